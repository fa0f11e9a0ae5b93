//! A pack: policy texts which parsed, validated strictly and passed their own assertions. There is no other kind.

use crate::assertions;
use crate::error::{PackError, Problem, line_of, lower};
use crate::limits::{FILES_MAX, NESTING_MAX, OPERATORS_MAX, POLICIES_MAX, POLICY_BYTES_MAX, TEXT_BYTES_MAX};
use crate::literals::{nesting, operators};
use crate::policies::Policies;
use crate::rule::Rule;
use crate::vocabulary::Vocabulary;
use aws_lc_rs::digest::{Context, SHA256};
use cedar_policy::{PolicyId, PolicySet, ValidationError, ValidationMode, ValidationWarning, Validator};
use miette::Diagnostic;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

/// Policies that may be applied.
#[derive(Debug, Clone)]
pub struct Pack {
    pub(crate) rules: Vec<Rule>,
    pub(crate) texts: Vec<Arc<str>>,
    digest: [u8; 32],
    warnings: Vec<Problem>,
}

impl Pack {
    /// Reads policy texts, each with its name, and the assertions they have to pass (TOML), likewise.
    ///
    /// # Errors
    /// Everything that is wrong with the texts, each with file and line. Assertions are tried when nothing else is.
    pub fn load(
        files: &[(&str, &str)],
        assertions: Option<(&str, &str)>,
        vocabulary: &Vocabulary,
    ) -> Result<Self, PackError> {
        let mut problems = Vec::new();
        let rules = read(files, &mut problems)?;
        PackError::check(problems)?;
        let (problems, warnings) = validate(&rules, files, vocabulary);
        PackError::check(problems)?;
        let texts = files.iter().map(|(_, text)| Arc::from(*text)).collect();
        let pack = Self { rules, texts, digest: digest(files, assertions), warnings };
        if let Some((file, text)) = assertions {
            assertions::check(file, text, &Policies::new(vocabulary, vec![pack.clone()]), vocabulary)?;
        }
        Ok(pack)
    }

    /// Things to look at that keep nothing from loading: policies that can never match.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Ids of its rules, in the order of the texts.
    pub fn rule_ids(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.id)
    }

    /// SHA-256 over names and texts, assertions included.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

fn digest(files: &[(&str, &str)], assertions: Option<(&str, &str)>) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    let mut field = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    field(b"marque/policy/v1");
    field(&(files.len() as u64).to_be_bytes());
    for (name, text) in files.iter().chain(&assertions) {
        field(name.as_bytes());
        field(text.as_bytes());
    }
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

fn read(files: &[(&str, &str)], problems: &mut Vec<Problem>) -> Result<Vec<Rule>, PackError> {
    if files.len() > FILES_MAX {
        let message = format!("the pack has more than {FILES_MAX} files");
        return Err(Problem::new("pack", 0, message, "join some of them").into());
    }
    let mut rules: Vec<Rule> = Vec::new();
    for (file, text) in files {
        match read_file(file, text) {
            Ok(read) => read.into_iter().for_each(|rule| match rule {
                Ok(rule) => rules.push(rule),
                Err(problem) => problems.push(problem),
            }),
            Err(problem) => problems.push(problem),
        }
    }
    if rules.len() > POLICIES_MAX {
        let message = format!("the pack has more than {POLICIES_MAX} policies");
        return Err(Problem::new("pack", 0, message, "every decision pays for each of them; join some").into());
    }
    let mut seen: BTreeMap<&str, &Rule> = BTreeMap::new();
    for rule in &rules {
        if let Some(first) = seen.insert(&rule.id, rule) {
            let message = format!("the id `{}` is taken by {}:{}", rule.id, first.file, first.line);
            problems.push(Problem::new(&rule.file, rule.line, message, "give each policy an id of its own"));
        }
    }
    Ok(rules)
}

fn read_file(file: &str, text: &str) -> Result<Vec<Result<Rule, Problem>>, Problem> {
    let wrong = |line, message: String, help: &str| Problem::new(file, line, message, help);
    if text.len() > TEXT_BYTES_MAX {
        return Err(wrong(0, format!("the file is longer than {TEXT_BYTES_MAX} bytes"), "split it"));
    }
    // Before the parser: what it and everything behind it recurse over.
    if nesting(text) > NESTING_MAX {
        return Err(wrong(
            0,
            format!("brackets nest deeper than {NESTING_MAX}"),
            "split the condition into several policies",
        ));
    }
    if operators(text) > OPERATORS_MAX {
        return Err(wrong(
            0,
            format!("a policy has more than {OPERATORS_MAX} operators"),
            "split it into several policies",
        ));
    }
    let set = PolicySet::from_str(text).map_err(|errors| {
        let first = errors.iter().next();
        let help = first
            .and_then(|e| e.help())
            .map_or_else(|| "see https://docs.cedarpolicy.com".to_owned(), |h| lower(&h.to_string()));
        let line = first.and_then(offset_of).map_or(0, |at| line_of(text, at));
        wrong(line, first.map_or_else(|| lower(&errors.to_string()), |e| lower(&e.to_string())), &help)
    })?;
    if set.templates().next().is_some() {
        return Err(wrong(
            0,
            "the file has a policy with a `?principal` or `?resource` slot".to_owned(),
            "write the names out",
        ));
    }
    let mut placed = Vec::new();
    for policy in set.policies() {
        let span = policy.as_ref().loc().map(|loc| (loc.span.offset(), loc.span.len()));
        let (at, len) = span.ok_or_else(|| wrong(0, "a policy has no place in the text".to_owned(), "report this"))?;
        placed.push((at, len, policy));
    }
    placed.sort_by_key(|(at, ..)| *at);
    let read = placed.into_iter().map(|(at, len, policy)| {
        let line = line_of(text, at);
        if len > POLICY_BYTES_MAX {
            return Err(wrong(line, format!("the policy is longer than {POLICY_BYTES_MAX} bytes"), "split it"));
        }
        Rule::read(file, line, text.get(at..at.saturating_add(len)).unwrap_or(text), policy)
    });
    Ok(read.collect())
}

fn offset_of(diagnostic: &(impl Diagnostic + ?Sized)) -> Option<usize> {
    diagnostic.labels().and_then(|mut labels| labels.next()).map(|label| label.offset())
}

/// Strict validation of all rules together; then what is only strange.
fn validate(rules: &[Rule], files: &[(&str, &str)], vocabulary: &Vocabulary) -> (Vec<Problem>, Vec<Problem>) {
    let by_id: BTreeMap<&str, &Rule> = rules.iter().map(|rule| (&*rule.id, rule)).collect();
    let text_of = |rule: &Rule| files.iter().find(|(name, _)| *name == &*rule.file).map_or("", |(_, text)| *text);
    let place = |id: &PolicyId, diagnostic: &dyn Diagnostic, message: String| {
        let id: &str = id.as_ref();
        let rule = by_id.get(id);
        let (file, first) = rule.map_or(("pack", 0), |rule| (&*rule.file, rule.line));
        let line = rule.and_then(|rule| offset_of(diagnostic).map(|at| line_of(text_of(rule), at)));
        let help = diagnostic.help().map_or_else(
            || "`marque policy show --schema` prints the names that policies may use".to_owned(),
            |h| lower(&h.to_string()),
        );
        Problem::new(file, line.unwrap_or(first), lower(&message), help)
    };
    let policies = rules.iter().map(|rule| rule.policy.new_id(PolicyId::new(&rule.id)));
    let set = match PolicySet::from_policies(policies) {
        Ok(set) => set,
        Err(error) => return (vec![Problem::new("pack", 0, lower(&error.to_string()), "report this")], Vec::new()),
    };
    let result = Validator::new(vocabulary.inner().schema.clone()).validate(&set, ValidationMode::Strict);
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    for error in result.validation_errors() {
        let problem = place(error.policy_id(), error, error.to_string());
        // A group that no profile fills today: nothing can match, and that is as good as it sounds.
        match error {
            ValidationError::InvalidActionApplication(_) => warnings.push(problem),
            _ => problems.push(problem),
        }
    }
    for warning in result.validation_warnings() {
        let problem = place(warning.policy_id(), warning, warning.to_string());
        // A policy that cannot match is strange; letters that only look like others are an attack on its reviewer.
        match warning {
            ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => {
                warnings.push(problem);
            }
            _ => problems.push(problem),
        }
    }
    (problems, warnings)
}
