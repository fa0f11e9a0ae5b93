//! Files by their path: which hold credentials, which run by themselves, which lead around everything.

use super::file::{Path, Sort};
use super::pattern::glob;

/// Rules of paths, compiled.
#[derive(Debug, Clone)]
pub(crate) struct PathRule {
    pub(crate) rule: Path,
    matches: Vec<Vec<String>>,
    except: Vec<Vec<String>>,
}

impl PathRule {
    pub(super) fn new(rule: Path) -> Self {
        let compile = |list: &[String]| list.iter().map(|pattern| pattern.to_lowercase().split('/').map(str::to_owned).collect()).collect();
        Self { matches: compile(&rule.patterns), except: compile(&rule.except), rule }
    }

    pub(crate) fn holds(&self, segments: &[&str]) -> bool {
        self.matches.iter().any(|pattern| ends(pattern, segments)) && !self.except.iter().any(|pattern| ends(pattern, segments))
    }

    /// Whether a pattern of file names may become one of the paths that the rule was written for. `*` alone may become anything,
    /// and then says nothing: a beginning is needed, or a directory that is hidden.
    fn may(&self, segments: &[&str]) -> bool {
        let Some((last, dirs)) = segments.split_last() else { return false };
        let start = last.chars().take_while(|c| !matches!(c, '*' | '?' | '[' | '{' | '+' | '@' | '!' | '(')).count();
        let dots = last.starts_with('.') && dirs.last().is_some_and(|dir| *dir == "~");
        if start < 2 && !dots && !dirs.last().is_some_and(|dir| dir.starts_with('.')) {
            return false;
        }
        self.rule.yes.iter().any(|example| {
            let example = example.to_lowercase();
            let example = split(&example);
            let pairs = example.iter().rev().zip(segments.iter().rev().filter(|segment| **segment != "~"));
            let mut any = false;
            let all = pairs.filter(|(part, _)| **part != "~").all(|(part, segment)| {
                any = true;
                let pattern: String = segment.chars().map(|c| if matches!(c, '?' | '[' | ']' | '(' | ')' | '+' | '@' | '!' | '|') { '*' } else { c }).collect();
                glob(&pattern, part)
            });
            any && all
        })
    }
}

/// The segments of a path, without what goes nowhere.
pub(crate) fn split(path: &str) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::new();
    for segment in path.strip_prefix("file://").unwrap_or(path).split('/') {
        match segment {
            "" | "." => {}
            ".." if out.last().is_some_and(|last| *last != "..") => _ = out.pop(),
            _ => out.push(segment),
        }
    }
    out
}

/// Whether the pattern is the end of the path. `**` at its end is anything below, the directory itself too.
fn ends(pattern: &[String], segments: &[&str]) -> bool {
    let anchored = pattern.first().is_some_and(String::is_empty);
    let pattern = if anchored { pattern.get(1..).unwrap_or_default() } else { pattern };
    let (pattern, below) = match pattern.split_last() {
        Some((last, rest)) if last == "**" => (rest, true),
        _ => (pattern, false),
    };
    let fits = |at: usize| {
        segments.get(at..at + pattern.len()).is_some_and(|part| part.iter().zip(pattern).all(|(segment, p)| named(p, segment)))
            && (below || at + pattern.len() == segments.len())
    };
    if anchored { fits(0) } else { (0..segments.len()).any(fits) }
}

/// `*.key` is not `.key`: that is a member of something.
fn named(pattern: &str, segment: &str) -> bool {
    glob(pattern, segment) && !(pattern.starts_with("*.") && pattern.len() == segment.len() + 1)
}

/// What that path is, strictest first. `pattern`: it is a pattern of file names.
pub(crate) fn sort<'r>(rules: &'r [PathRule], path: &str, pattern: bool) -> Option<&'r Path> {
    // Some file systems do not tell cases apart.
    let path = path.to_lowercase();
    let segments = split(&path);
    if segments.is_empty() || path.len() > 4096 {
        return None;
    }
    let found = of_segments(rules, &segments, pattern);
    if found.is_some() {
        return found;
    }
    // A copy is what it is a copy of.
    let copy = COPIES.iter().find_map(|end| path.strip_suffix(end))?;
    of_segments(rules, &split(copy), false).filter(|rule| rule.sort == Sort::Credential && rule.name != "home directory")
}

/// Ends of names of copies.
const COPIES: &[&str] = &["~", ".bak", ".backup", ".old", ".orig", ".save", ".saved", ".copy", ".tmp", ".swp", ".txt", ".1", "-backup", "-old", ".rpmsave", ".dpkg-old"];

fn of_segments<'r>(rules: &'r [PathRule], segments: &[&str], pattern: bool) -> Option<&'r Path> {
    if segments.is_empty() {
        return None;
    }
    let found = rules.iter().filter(|rule| rule.holds(segments) || (pattern && rule.rule.sort == Sort::Credential && rule.may(segments)));
    found.map(|rule| &rule.rule).min_by_key(|rule| rule.sort)
}
