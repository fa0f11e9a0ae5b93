//! The catalogue: what programs do, as data. `services/commands/*.toml`, one file per family.
//!
//! One rule is patterns, what they mean, and examples that must and must not match; [`Catalogue::check`] runs them all. All
//! rules that match count, so that a rule can only add. What matches no rule of a known tool is what its table calls
//! `unlisted`.

pub(crate) mod args;
mod check;
pub(crate) mod file;
pub(crate) mod paths;
pub(crate) mod pattern;
mod shipped;

pub use check::Problem;

use crate::limits::CATALOGUE_BYTES_MAX;
use file::{Names, Rule, Tool, Variable};
use paths::PathRule;
use pattern::{Pattern, glob};
use std::collections::BTreeMap;

/// What programs, paths and variables mean.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    tools: Vec<Program>,
    names: BTreeMap<String, Vec<usize>>,
    patterns: Vec<(String, usize)>,
    pub(crate) paths: Vec<PathRule>,
    pub(crate) variables: Vec<Variable>,
}

/// A tool with its rules.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) tool: Tool,
    pub(crate) rules: Vec<Compiled>,
}

/// A rule with its patterns.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) rule: Rule,
    pub(crate) patterns: Vec<Pattern>,
}

/// Why a text is no catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{file}`: {why}")]
pub struct CatalogueError {
    /// The file.
    pub file: String,
    /// What is wrong.
    pub why: String,
}

impl Catalogue {
    /// Reads files: name and text of each. Examples are run by [`Catalogue::check`].
    ///
    /// # Errors
    /// [`CatalogueError`] for what is no catalogue.
    pub fn parse<'t>(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> Result<Self, CatalogueError> {
        let mut out = Self::default();
        for (name, text) in files {
            out.add(text).map_err(|why| CatalogueError { file: name.to_owned(), why })?;
        }
        Ok(out)
    }

    /// The catalogue that ships with the product.
    ///
    /// # Errors
    /// [`CatalogueError`]; a test reads and checks it, so that none comes in a release.
    pub fn shipped() -> Result<Self, CatalogueError> {
        Self::parse(shipped::FILES.iter().copied())
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        if text.len() > CATALOGUE_BYTES_MAX {
            return Err("is too long".to_owned());
        }
        let file: file::File = toml::from_str(text).map_err(|error| error.to_string())?;
        let first = self.tools.len();
        for tool in file.tool {
            self.tool(tool)?;
        }
        for rule in file.rule {
            self.rule(first, rule)?;
        }
        self.paths.extend(file.path.into_iter().map(PathRule::new));
        self.variables.extend(file.variable);
        Ok(())
    }

    fn tool(&mut self, tool: Tool) -> Result<(), String> {
        let at = self.tools.len();
        if tool.names.is_empty() {
            return Err("a tool has no name".to_owned());
        }
        for name in &tool.names {
            if name.contains('*') {
                self.patterns.push((name.clone(), at));
            } else {
                self.names.entry(name.clone()).or_default().push(at);
            }
        }
        self.tools.push(Program { tool, rules: Vec::new() });
        Ok(())
    }

    fn rule(&mut self, first: usize, rule: Rule) -> Result<(), String> {
        let names = match &rule.tool {
            Names::One(name) => std::slice::from_ref(name),
            Names::Many(names) => names.as_slice(),
        };
        let patterns: Result<Vec<Pattern>, _> = rule.patterns.iter().map(|text| Pattern::parse(text)).collect();
        let patterns = patterns.map_err(|why| format!("`{}`: {why}", rule.name))?;
        let compiled = Compiled { patterns, rule: rule.clone() };
        for name in names {
            let own = self.tools.iter_mut().skip(first).find(|program| program.tool.names.first() == Some(name));
            let program = own.ok_or_else(|| format!("`{}`: this file has no tool `{name}`", rule.name))?;
            if program.rules.iter().any(|other| other.rule.name == rule.name) {
                return Err(format!("`{name}` has two rules `{}`", rule.name));
            }
            program.rules.push(compiled.clone());
        }
        Ok(())
    }

    /// Every entry for a program of that name.
    pub(crate) fn programs(&self, name: &str) -> Vec<&Program> {
        let mut found: Vec<usize> = self.names.get(name).cloned().unwrap_or_default();
        found.extend(self.patterns.iter().filter(|(pattern, _)| glob(pattern, name)).map(|(_, at)| *at));
        found.dedup();
        found.into_iter().filter_map(|at| self.tools.get(at)).collect()
    }

    /// What a variable of that name decides.
    pub(crate) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|rule| rule.names.iter().any(|pattern| glob(pattern, name)))
    }

    /// The example commands of every rule, with the rule's name: what a held-out command may not be among.
    pub fn examples(&self) -> impl Iterator<Item = (&str, &str)> {
        let rules = self.tools.iter().flat_map(|program| &program.rules).map(|compiled| &compiled.rule);
        rules.flat_map(|rule| rule.yes.iter().chain(&rule.no).map(|example| (rule.name.as_str(), example.as_str())))
    }
}
