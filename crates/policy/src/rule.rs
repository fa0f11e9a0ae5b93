//! One policy with what its annotations say to people.

use crate::error::Problem;
use crate::limits::{
    ASK_TTL_DEFAULT_S, ASK_TTL_MAX_S, ASK_USES_DEFAULT, ASK_USES_MAX, GROUPS_MAX, ID_BYTES_MAX, SENTENCE_BYTES_MAX,
};
use crate::literals::mentions_counters;
use cedar_policy::{Effect, Policy};
use std::sync::Arc;

/// What happens where the rule determines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Says {
    Permit,
    Deny { next_step: Arc<str> },
    Ask { groups: Vec<String>, uses: u64, ttl_s: u64 },
}

/// A policy that passed the loader's rules.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: Arc<str>,
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    pub(crate) because: Arc<str>,
    pub(crate) says: Says,
    pub(crate) policy: Policy,
    /// The policy may look at what the session counted.
    pub(crate) counters: bool,
}

const KNOWN: [&str; 7] = ["id", "because", "deny", "ask", "uses", "ttl", "doc"];

struct Reader<'a> {
    file: &'a str,
    line: usize,
    policy: &'a Policy,
}

impl Reader<'_> {
    fn wrong(&self, message: impl Into<String>, help: &str) -> Problem {
        Problem::new(self.file, self.line, message, help)
    }

    fn id(&self) -> Result<&str, Problem> {
        let id = self.policy.annotation("id").ok_or_else(|| {
            self.wrong("the policy has no `@id`", "add `@id(\"a-short-name\")`; people see it in denials and records")
        })?;
        let of_id = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(of_id) {
            let help = format!("use 1 to {ID_BYTES_MAX} lower-case letters, digits and `-`");
            return Err(self.wrong(format!("`{}` is not an id", id.escape_debug()), &help));
        }
        Ok(id)
    }

    fn sentence(&self, name: &str) -> Result<Option<Arc<str>>, Problem> {
        let Some(text) = self.policy.annotation(name) else { return Ok(None) };
        if text.trim().is_empty() || text.len() > SENTENCE_BYTES_MAX || text.chars().any(char::is_control) {
            let help = format!("say it in one line of at most {SENTENCE_BYTES_MAX} bytes");
            return Err(self.wrong(format!("`@{name}` is not one sentence"), &help));
        }
        Ok(Some(text.into()))
    }

    fn groups(&self, text: &str) -> Result<Vec<String>, Problem> {
        let groups: Vec<String> = text.split(',').map(|group| group.trim().to_owned()).collect();
        let of_group = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        let is_group = |g: &String| !g.is_empty() && g.len() <= ID_BYTES_MAX && g.bytes().all(of_group);
        if groups.len() > GROUPS_MAX || !groups.iter().all(is_group) {
            let help = format!("name 1 to {GROUPS_MAX} groups, as in `@ask(\"oncall, owners\")`");
            return Err(self.wrong("`@ask` does not name groups", &help));
        }
        Ok(groups)
    }

    fn uses(&self) -> Result<u64, Problem> {
        let Some(text) = self.policy.annotation("uses") else { return Ok(ASK_USES_DEFAULT) };
        let uses = text.parse().ok().filter(|uses| (1..=ASK_USES_MAX).contains(uses));
        let help = format!("give a number from 1 to {ASK_USES_MAX}, as in `@uses(\"1\")`");
        uses.ok_or_else(|| self.wrong(format!("`@uses` is not a number of uses: `{}`", text.escape_debug()), &help))
    }

    fn ttl_s(&self) -> Result<u64, Problem> {
        let Some(text) = self.policy.annotation("ttl") else { return Ok(ASK_TTL_DEFAULT_S) };
        let unit_s = match text.as_bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            _ => 0,
        };
        let count = text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<u64>().ok());
        let ttl_s = count.and_then(|count| count.checked_mul(unit_s)).filter(|s| (1..=ASK_TTL_MAX_S).contains(s));
        ttl_s.ok_or_else(|| {
            self.wrong(
                format!("`@ttl` is not a duration: `{}`", text.escape_debug()),
                "give seconds, minutes or hours up to 8h, as in `@ttl(\"10m\")`",
            )
        })
    }

    fn says(&self) -> Result<Says, Problem> {
        let (deny, ask) = (self.sentence("deny")?, self.policy.annotation("ask"));
        if let Some((name, _)) = self.policy.annotations().find(|(name, _)| !KNOWN.contains(name)) {
            return Err(self
                .wrong(format!("`@{name}` is not an annotation"), "known are id, because, deny, ask, uses, ttl, doc"));
        }
        let only_ask = ["uses", "ttl"].into_iter().find(|name| self.policy.annotation(name).is_some());
        if let (Some(name), None) = (only_ask, ask) {
            return Err(self.wrong(format!("`@{name}` belongs to an `@ask`"), "remove it, or ask"));
        }
        match (self.policy.effect(), deny, ask) {
            (Effect::Permit, None, None) => Ok(Says::Permit),
            (Effect::Permit, ..) => {
                Err(self.wrong("a `permit` says `@deny` or `@ask`", "write a `forbid` that does, beside the `permit`"))
            }
            (Effect::Forbid, Some(next_step), None) => Ok(Says::Deny { next_step }),
            (Effect::Forbid, None, Some(ask)) => {
                Ok(Says::Ask { groups: self.groups(ask)?, uses: self.uses()?, ttl_s: self.ttl_s()? })
            }
            (Effect::Forbid, Some(_), Some(_)) => {
                Err(self.wrong("the `forbid` says both `@deny` and `@ask`", "keep the one that is meant"))
            }
            (Effect::Forbid, None, None) => Err(self.wrong(
                "the `forbid` says neither `@deny` nor `@ask`",
                "add `@deny(\"what to do instead\")` or `@ask(\"who decides\")`",
            )),
        }
    }
}

impl Rule {
    /// Reads the annotations of a policy that stands at `line` of `file` and whose text is `source`.
    pub(crate) fn read(file: &str, line: usize, source: &str, policy: &Policy) -> Result<Self, Problem> {
        let reader = Reader { file, line, policy };
        let id = reader.id()?;
        let says = reader.says()?;
        let because = reader.sentence("because")?;
        if because.is_none() && says != Says::Permit {
            return Err(reader.wrong(
                format!("the `forbid` `{id}` has no `@because`"),
                "add `@because(\"changes production\")`: it is what people see",
            ));
        }
        Ok(Self {
            id: id.into(),
            file: file.into(),
            line,
            because: because.unwrap_or_else(|| "".into()),
            says,
            policy: policy.clone(),
            counters: mentions_counters(source),
        })
    }
}
