//! Rules that recognise secrets nobody registered, for scanning and for flagging answers.
//!
//! A rule is a regex of bounded length, searched in linear time. Rules whose shape says little (forty characters of
//! base64, `password = …`) are tied to keywords nearby or marked low in precision. Exact rules are searched first, and
//! what they find hides what low-precision rules find at the same place.

mod builtin;
mod keywords;
mod tail;

use std::ops::Range;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input, Match, PatternID};
use regex_syntax::hir::Hir;

pub use builtin::builtin_rules;

use keywords::{KeywordSearch, near, reaches};
use tail::{NextText, tail_end};

use crate::limits::{
    KEYWORD_REACH_BYTES, RULE_KEYWORDS_MAX, RULE_MATCH_MAX_BYTES, RULE_REGEX_MAX_BYTES, RULES_MAX,
    RULES_MEMORY_MAX_BYTES,
};

/// Nesting of a rule's regex.
const NEST_MAX: u32 = 32;

/// One detection rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Names the rule in findings.
    pub id: String,
    /// Bytes, ASCII classes. The secret is the first capture group where there is one, else the whole match.
    pub regex: String,
    /// ASCII. If any: one of these, in any case, must begin within [`KEYWORD_REACH_BYTES`] before the match, or in it.
    pub keywords: Vec<String>,
    /// Longest match in bytes; the regex is refused if it could match more.
    pub max_len: usize,
    /// How a finding goes on.
    pub tail: Tail,
    /// How much a finding is worth.
    pub precision: Precision,
}

/// How a finding goes on after the bounded match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// It does not.
    None,
    /// Over letters, digits and `-._=+/~`.
    Token,
    /// To the end of this text, if it follows within [`FINDING_TAIL_MAX_BYTES`](crate::limits::FINDING_TAIL_MAX_BYTES).
    Through(String),
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// The shape is a credential's own.
    Exact,
    /// May be something else: flag, never block.
    Low,
}

/// Where a rule found a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// [`Rule::id`].
    pub rule: Arc<str>,
    /// Of the secret, in bytes.
    pub range: Range<usize>,
    /// Of the rule.
    pub precision: Precision,
}

/// Why rules cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// More rules than one set takes.
    #[error("more than {max} rules")]
    TooMany {
        /// [`RULES_MAX`].
        max: usize,
    },
    /// The regex is too long, or the rule has too many or empty keywords.
    #[error("rule `{id}` is longer than its limits allow")]
    TooLong {
        /// The rule.
        id: String,
    },
    /// Not a regex.
    #[error("rule `{id}` is not a regex")]
    Syntax {
        /// The rule.
        id: String,
    },
    /// Could match nothing at all, or more than it says.
    #[error("rule `{id}` must match between 1 and {max} bytes")]
    Unbounded {
        /// The rule.
        id: String,
        /// In bytes.
        max: usize,
    },
    /// Too much memory.
    #[error("the rules do not compile within {max} bytes")]
    TooBig {
        /// [`RULES_MEMORY_MAX_BYTES`].
        max: usize,
    },
}

/// A compiled set of rules.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Rules without keywords, searched together: the exact ones, then the others.
    groups: Vec<Group>,
    /// Rules with keywords, each on its own and only where a keyword occurs.
    keyed: Vec<Group>,
    keywords: Option<KeywordSearch>,
}

#[derive(Debug, Clone)]
struct Group {
    regex: Regex,
    rules: Vec<Compiled>,
}

#[derive(Debug, Clone)]
struct Compiled {
    id: Arc<str>,
    tail: Tail,
    precision: Precision,
}

impl Rule {
    /// An exact rule without keywords or tail.
    #[must_use]
    pub fn new(id: &str, regex: &str, max_len: usize) -> Self {
        Self {
            id: id.to_owned(),
            regex: regex.to_owned(),
            keywords: Vec::new(),
            max_len,
            tail: Tail::None,
            precision: Precision::Exact,
        }
    }

    /// The same, only near one of these words.
    #[must_use]
    pub fn near(mut self, keywords: &[&str]) -> Self {
        self.keywords = keywords.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// The same, with a tail.
    #[must_use]
    pub fn with_tail(mut self, tail: Tail) -> Self {
        self.tail = tail;
        self
    }

    /// The same, of low precision.
    #[must_use]
    pub fn low(mut self) -> Self {
        self.precision = Precision::Low;
        self
    }

    /// Whether the whole of what it finds is a token of one exact form: nothing that stands nearby is needed to tell, nothing
    /// beside the token is taken along, and it does not run to a text further on.
    #[must_use]
    pub fn is_a_token(&self) -> bool {
        let whole = self.parse().is_ok_and(|hir| hir.properties().explicit_captures_len() == 0);
        let ends = !matches!(self.tail, Tail::Through(_));
        whole && ends && self.precision == Precision::Exact && self.keywords.is_empty()
    }

    /// Checks the bounds and parses.
    fn parse(&self) -> Result<Hir, RuleError> {
        let id = || self.id.clone();
        let keywords_fit = self.keywords.len() <= RULE_KEYWORDS_MAX
            && self
                .keywords
                .iter()
                .all(|word| word.is_ascii() && (1..=KEYWORD_REACH_BYTES).contains(&word.len()));
        if self.regex.len() > RULE_REGEX_MAX_BYTES || !keywords_fit {
            return Err(RuleError::TooLong { id: id() });
        }
        let mut parser = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .nest_limit(NEST_MAX)
            .build();
        let hir = parser
            .parse(&self.regex)
            .map_err(|_| RuleError::Syntax { id: id() })?;
        let max = self.max_len.min(RULE_MATCH_MAX_BYTES);
        let (shortest, longest) = (
            hir.properties().minimum_len(),
            hir.properties().maximum_len(),
        );
        let bounded = shortest.is_some_and(|len| len > 0) && longest.is_some_and(|len| len <= max);
        if bounded {
            Ok(hir)
        } else {
            Err(RuleError::Unbounded { id: id(), max })
        }
    }
}

impl Rules {
    /// Compiles a set.
    ///
    /// # Errors
    /// When a rule breaks a limit; the error names it.
    pub fn compile(rules: &[Rule]) -> Result<Self, RuleError> {
        if rules.len() > RULES_MAX {
            return Err(RuleError::TooMany { max: RULES_MAX });
        }
        let (keyed_rules, free_rules): (Vec<&Rule>, Vec<&Rule>) =
            rules.iter().partition(|rule| !rule.keywords.is_empty());
        let (exact, low): (Vec<&Rule>, Vec<&Rule>) = free_rules
            .into_iter()
            .partition(|rule| rule.precision == Precision::Exact);
        let mut groups = Vec::new();
        for group in [exact, low] {
            if !group.is_empty() {
                groups.push(Group::compile(&group)?);
            }
        }
        let keyed = keyed_rules
            .iter()
            .map(|rule| Group::compile(&[rule]))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            groups,
            keyed,
            keywords: KeywordSearch::new(&keyed_rules)?,
        })
    }

    /// Everything the rules find, in order, without overlaps. Linear in the input.
    #[must_use]
    pub fn find(&self, input: &[u8]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for group in &self.groups {
            group.find(input, 0..input.len(), |_| true, &mut findings);
        }
        if let Some(keywords) = &self.keywords {
            for (group, places) in self
                .keyed
                .iter()
                .zip(keywords.places(input, self.keyed.len()))
            {
                for reach in reaches(&places, input.len()) {
                    group.find(input, reach, |range| near(&places, range), &mut findings);
                }
            }
        }
        without_overlaps(findings)
    }
}

/// In order of precision, then place: what overlaps something better is dropped.
fn without_overlaps(mut findings: Vec<Finding>) -> Vec<Finding> {
    let of = |precision| {
        let mut some: Vec<Finding> = Vec::new();
        for finding in findings
            .iter()
            .filter(|finding| finding.precision == precision)
        {
            some.push(finding.clone());
        }
        some.sort_by_key(|finding| (finding.range.start, std::cmp::Reverse(finding.range.end)));
        some.dedup_by(|next, kept| next.range.start < kept.range.end);
        some
    };
    let (exact, low) = (of(Precision::Exact), of(Precision::Low));
    findings.clear();
    for finding in low {
        // The exact findings are apart from each other, so both their starts and their ends ascend.
        let after = exact.partition_point(|better| better.range.end <= finding.range.start);
        let hidden = exact
            .get(after)
            .is_some_and(|better| better.range.start < finding.range.end);
        if !hidden {
            findings.push(finding);
        }
    }
    findings.extend(exact);
    findings.sort_by_key(|finding| finding.range.start);
    findings
}

impl Group {
    fn compile(rules: &[&Rule]) -> Result<Self, RuleError> {
        let hirs = rules
            .iter()
            .map(|rule| rule.parse())
            .collect::<Result<Vec<_>, _>>()?;
        let config = Regex::config()
            .nfa_size_limit(Some(RULES_MEMORY_MAX_BYTES))
            .utf8_empty(false);
        let regex = Regex::builder()
            .configure(config)
            .build_many_from_hir(&hirs)
            .map_err(|_| RuleError::TooBig {
                max: RULES_MEMORY_MAX_BYTES,
            })?;
        let compiled = rules.iter().map(|rule| Compiled {
            id: Arc::from(rule.id.as_str()),
            tail: rule.tail.clone(),
            precision: rule.precision,
        });
        Ok(Self {
            regex,
            rules: compiled.collect(),
        })
    }

    fn find(
        &self,
        input: &[u8],
        part: Range<usize>,
        keep: impl Fn(&Range<usize>) -> bool,
        findings: &mut Vec<Finding>,
    ) {
        let mut from = part.start;
        let mut ends = vec![NextText::default(); self.rules.len()];
        while let Some(found) = self.search(input, from..part.end) {
            let rule = found.pattern().as_usize();
            let (Some(rule), Some(next)) = (self.rules.get(rule), ends.get_mut(rule)) else {
                return;
            };
            let whole = found.range();
            let secret = self.secret(input, found.pattern(), &whole);
            let range = secret.start..tail_end(input, secret.end, &rule.tail, next);
            // A match is never empty. One step past a secret leaves its closing delimiter to open the next match.
            from = range.end.max(whole.start + 1);
            // A group that took part with nothing is no secret.
            if keep(&whole) && !range.is_empty() {
                findings.push(Finding {
                    rule: Arc::clone(&rule.id),
                    range,
                    precision: rule.precision,
                });
            }
        }
    }

    fn search(&self, input: &[u8], part: Range<usize>) -> Option<Match> {
        // A tail may reach beyond the part.
        (part.start < part.end)
            .then(|| self.regex.search(&Input::new(input).range(part)))
            .flatten()
    }

    /// The first capture group of the match, or all of it.
    fn secret(&self, input: &[u8], pattern: PatternID, whole: &Range<usize>) -> Range<usize> {
        let mut captures = self.regex.create_captures();
        let place = Input::new(input)
            .range(whole.clone())
            .anchored(Anchored::Pattern(pattern));
        self.regex.search_captures(&place, &mut captures);
        captures
            .get_group(1)
            .map_or(whole.clone(), |group| group.range())
    }
}

#[cfg(test)]
mod tests;
