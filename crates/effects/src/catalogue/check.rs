//! Every example of the catalogue, run.

use super::Catalogue;
use super::file::{Sort, What};
use super::paths::sort;
use crate::classify::{reading_of, rules_of};
use crate::reading::Kind;
use std::fmt;

/// An example that is not what its rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The rule.
    pub rule: String,
    /// The example.
    pub example: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: `{}` {}", self.rule, self.example, self.why)
    }
}

const MUST: &str = "must match and does not";
const MUST_NOT: &str = "must not match and does";
const NONE: &str = "has no example that must match";

impl Catalogue {
    /// Runs every example.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let mut out = Vec::new();
        for program in &self.tools {
            let tool = program.tool.names.first().map_or("", String::as_str);
            for compiled in &program.rules {
                let rule = &compiled.rule;
                let name = format!("{tool}/{}", rule.name);
                // A rule of several tools has examples for each.
                let own = |line: &&String| program.tool.names.iter().any(|n| line.contains(n.trim_matches('*')));
                let matches = |line: &str| rules_of(line, self).contains(&name);
                examples(&mut out, &name, rule.yes.iter().filter(own), rule.no.iter(), matches);
                // A rule with a command inside must reach it.
                let destroys = |line: &&String| line.contains("rm -rf") || line.contains("s3 rm");
                for line in rule.yes.iter().filter(|_| rule.run.is_some()).filter(destroys) {
                    if reading_of(line, self).worst() < Some(Kind::Destructive) {
                        out.push(Problem { rule: name.clone(), example: line.clone(), why: "holds a command that is not reached" });
                    }
                }
            }
        }
        for path in &self.paths {
            let matches = |line: &str| sort(&self.paths, line, false).is_some_and(|found| found.name == path.rule.name || found.sort < path.rule.sort);
            examples(&mut out, &path.rule.name, path.rule.yes.iter(), path.rule.no.iter(), matches);
            if path.rule.sort == Sort::Credential && path.rule.no.is_empty() {
                out.push(Problem { rule: path.rule.name.clone(), example: String::new(), why: "has no example that must not match" });
            }
        }
        for variable in &self.variables {
            let matches = |line: &str| {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                let same = self.variable(name).is_some_and(|found| found.names == variable.names);
                same && (variable.what == What::Credential || !variable.quiet.iter().any(|quiet| super::glob(quiet, value)))
            };
            examples(&mut out, &variable.names.join(","), variable.yes.iter(), variable.no.iter(), matches);
        }
        out
    }
}

fn examples<'e>(
    out: &mut Vec<Problem>,
    rule: &str,
    yes: impl Iterator<Item = &'e String>,
    no: impl Iterator<Item = &'e String>,
    matches: impl Fn(&str) -> bool,
) {
    let mut problem = |example: &str, why| out.push(Problem { rule: rule.to_owned(), example: example.to_owned(), why });
    let mut any = false;
    for line in yes {
        any = true;
        if !matches(line) {
            problem(line, MUST);
        }
    }
    if !any {
        problem("", NONE);
    }
    for line in no.filter(|line| matches(line)) {
        problem(line, MUST_NOT);
    }
}
