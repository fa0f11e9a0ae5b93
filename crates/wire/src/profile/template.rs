//! Paths with variables, and the names that they make.

use super::limits::PATH_SEGMENTS_MAX;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::collections::{BTreeMap, BTreeSet};

/// Captured values, in the spelling of resources.
pub(super) type Captures = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    /// `{name}` or `*`: one segment, never empty.
    One(Option<String>),
    /// `{name**}` or `**`: one or more segments, none empty.
    Rest(Option<String>),
}

/// A path template. At most one segment is a rest, so that matching needs no search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathTemplate {
    pub segments: Vec<Segment>,
}

/// How a path compares with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fit {
    No,
    /// Only where letter case is ignored, as some servers do.
    Near,
    Exact(Captures),
}

impl PathTemplate {
    /// Parses the part behind the first slash.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut pieces = text.split('/').peekable();
        while let Some(piece) = pieces.next() {
            segments.push(match piece {
                "**" => Segment::Rest(None),
                "*" => Segment::One(None),
                "" if pieces.peek().is_none() => Segment::Literal(String::new()),
                "" | "." | ".." => return Err(format!("`{text}` has an empty or dot segment")),
                _ => segment(piece)?,
            });
        }
        let rests = segments.iter().filter(|s| matches!(s, Segment::Rest(_))).count();
        if rests > 1 || segments.len() > PATH_SEGMENTS_MAX {
            return Err(format!("`{text}` has more than one rest, or too many segments"));
        }
        let this = Self { segments };
        let names = this.variables();
        if names.len() != names.iter().collect::<BTreeSet<_>>().len() {
            return Err(format!("`{text}` names a variable twice"));
        }
        Ok(this)
    }

    pub(super) fn variables(&self) -> Vec<&str> {
        let mut out = Vec::new();
        for segment in &self.segments {
            if let Segment::One(Some(name)) | Segment::Rest(Some(name)) = segment {
                out.push(name.as_str());
            }
        }
        out
    }

    /// Compares with decoded segments.
    pub(super) fn fit(&self, path: &[&str]) -> Fit {
        let mut captures = Captures::new();
        match self.shape(path) {
            None => Fit::No,
            Some(false) => Fit::Near,
            Some(true) => {
                self.walk(path, |segment, mine| {
                    if let Segment::One(Some(name)) | Segment::Rest(Some(name)) = segment {
                        captures.insert(name.clone(), mine.join("/"));
                    }
                    true
                });
                Fit::Exact(captures)
            }
        }
    }

    /// Whether a path of so many segments can fit at all: most lines of a profile are ruled out by that alone.
    pub(super) fn may_have(&self, segments: usize) -> bool {
        segments == self.segments.len()
            || (segments > self.segments.len() && self.segments.iter().any(|s| matches!(s, Segment::Rest(_))))
    }

    /// Whether it fits, and then whether in the very case too. Most templates of a profile do not fit a request: nothing is
    /// allocated to find that out.
    pub(super) fn shape(&self, path: &[&str]) -> Option<bool> {
        let mut exact = true;
        let fits = self.walk(path, |segment, mine| match (segment, mine) {
            (Segment::Literal(want), [have]) => {
                exact &= want == have;
                want.eq_ignore_ascii_case(have)
            }
            (Segment::One(_) | Segment::Rest(_), _) => !mine.iter().any(|piece| piece.is_empty()),
            _ => false,
        });
        fits.then_some(exact)
    }

    /// Shows each segment with its part of the path, until one is not taken; whether all were and nothing is left.
    fn walk(&self, path: &[&str], mut take: impl FnMut(&Segment, &[&str]) -> bool) -> bool {
        let spare = (path.len() + 1).checked_sub(self.segments.len());
        let mut left = path;
        for segment in &self.segments {
            let width = match (segment, spare) {
                (Segment::Rest(_), Some(spare)) if spare > 0 => spare,
                (Segment::Rest(_), _) => return false,
                _ => 1,
            };
            let Some((mine, rest)) = left.split_at_checked(width) else { return false };
            left = rest;
            if !take(segment, mine) {
                return false;
            }
        }
        left.is_empty()
    }

    /// Whether some path fits both. Exact: wildcards over segments, decided by the product of the two.
    pub(super) fn intersects(&self, other: &Self) -> bool {
        let (a, b) = (steps(&self.segments), steps(&other.segments));
        // reach[j]: whether a[i..] and b[j..] share a path, for the row i below.
        let mut below: Vec<bool> = Vec::new();
        for i in (0..=a.len()).rev() {
            let mut row = vec![false; b.len() + 1];
            for j in (0..=b.len()).rev() {
                let at = |list: &[bool], j: usize| list.get(j).copied().unwrap_or(false);
                let value = match (a.get(i), b.get(j)) {
                    (None, None) => true,
                    (Some(Step::Any), Some(Step::Any)) => at(&below, j) || at(&row, j + 1),
                    (Some(Step::Any), Some(y)) => at(&below, j) || (y.fits(&Step::One) && at(&row, j + 1)),
                    (Some(x), Some(Step::Any)) => at(&row, j + 1) || (x.fits(&Step::One) && at(&below, j)),
                    (Some(x), Some(y)) => x.fits(y) && at(&below, j + 1),
                    (Some(Step::Any), None) => at(&below, j),
                    (None, Some(Step::Any)) => at(&row, j + 1),
                    _ => false,
                };
                if let Some(cell) = row.get_mut(j) {
                    *cell = value;
                }
            }
            below = row;
        }
        below.first().copied().unwrap_or(false)
    }
}

fn segment(piece: &str) -> Result<Segment, String> {
    let Some(inner) = piece.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
        let plain = !piece.contains(['{', '}', '*', '%', '?', '#']);
        return if plain {
            Ok(Segment::Literal(piece.to_owned()))
        } else {
            Err(format!("`{piece}` must be a literal, `{{name}}`, `{{name**}}`, `*` or `**`"))
        };
    };
    let (name, rest) = inner.strip_suffix("**").map_or((inner, false), |name| (name, true));
    if !is_variable(name) {
        return Err(format!("`{piece}` has no variable name of lower case letters, digits and `_`"));
    }
    let name = Some(name.to_owned());
    Ok(if rest { Segment::Rest(name) } else { Segment::One(name) })
}

pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A rest is one segment and then any number.
enum Step<'a> {
    Literal(&'a str),
    One,
    Any,
}

impl Step<'_> {
    fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(a), Self::Literal(b)) => a.eq_ignore_ascii_case(b),
            (Self::Literal(text), Self::One) | (Self::One, Self::Literal(text)) => !text.is_empty(),
            _ => true,
        }
    }
}

fn steps(segments: &[Segment]) -> Vec<Step<'_>> {
    let mut out = Vec::new();
    for segment in segments {
        match segment {
            Segment::Literal(text) => out.push(Step::Literal(text)),
            Segment::One(_) => out.push(Step::One),
            Segment::Rest(_) => out.extend([Step::One, Step::Any]),
        }
    }
    out
}

/// What may stand in a resource's segment as it is: visible ASCII, without what separates (`/`, `@`) or escapes.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'@').add(b'%');

/// A value in the spelling of resources: each segment escaped, so that a value cannot add structure.
pub(super) fn spell(value: &str) -> String {
    value.split('/').map(|piece| utf8_percent_encode(piece, ESCAPED).to_string()).collect::<Vec<_>>().join("/")
}

/// The name of a resource: text and variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NameTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl NameTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, tail)) = rest.split_once('{') {
            let (name, after) = tail.split_once('}').ok_or_else(|| format!("`{text}` has an open brace"))?;
            if !is_variable(name) {
                return Err(format!("`{{{name}}}` is no variable"));
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Variable(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        if text.is_empty() || text.contains('*') || text.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(format!("`{text}` must be visible ASCII without `*`"));
        }
        Ok(Self { parts })
    }

    pub(super) fn variables(&self) -> BTreeSet<&str> {
        let mut out = BTreeSet::new();
        for part in &self.parts {
            if let Part::Variable(name) = part {
                out.insert(name.as_str());
            }
        }
        out
    }

    /// `None` where a variable was not captured.
    pub(super) fn render(&self, captures: &Captures) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(name) => out.push_str(captures.get(name)?),
            }
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn t(text: &str) -> PathTemplate {
        PathTemplate::parse(text).unwrap()
    }
    fn fit(template: &str, path: &str) -> Fit {
        t(template).fit(&path.split('/').collect::<Vec<_>>())
    }

    #[test]
    fn templates_capture_segments_and_rests() {
        let captured = |template, path| match fit(template, path) {
            Fit::Exact(c) => c.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "),
            other => format!("{other:?}"),
        };
        assert_eq!(captured("repos/{owner}/{name}/**", "repos/acme/web/a/b"), "name=web owner=acme");
        assert_eq!(captured("repos/{owner}/{name}/**", "repos/acme/web"), "No");
        assert_eq!(captured("repos/{owner}/{name}/**", "Repos/acme/web/a"), "Near");
        assert_eq!(captured("v2/{name**}/manifests/{tag}", "v2/a/b/manifests/1"), "name=a/b tag=1");
        assert_eq!(captured("v2/{name**}/manifests/{tag}", "v2/manifests/1"), "No");
        assert_eq!(captured("v2/", "v2/"), "");
        assert_eq!(captured("v2/", "v2"), "No");
        assert_eq!(captured("a/{x}", "a/"), "No");
        assert_eq!(captured("a/**", "a/b/"), "No");
        for bad in ["a//b", "a/{x}/{x}", "**/**", "a/x*", "a/{X}", "a/..", "a/{x"] {
            assert!(PathTemplate::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn intersections_are_decided() {
        for (a, b, both) in [
            ("a/{x}", "a/b", true),
            ("a/{x}/c", "a/b/{y}", true),
            ("a/{x}/c", "a/b/d", false),
            ("a/**", "a/b/c/d", true),
            ("a/**", "a", false),
            ("a/**/z", "a/b/**", true),
            ("**/z", "**/y", false),
            ("v2/{n**}/blobs/{d}", "v2/{n**}/blobs/uploads/{u}", false),
            ("v2/{n**}/blobs/{d}", "v2/{n**}/blobs/uploads/", false),
            ("v2/", "v2/{x}", false),
            ("A/b", "a/b", true),
        ] {
            assert_eq!(t(a).intersects(&t(b)), both, "{a} {b}");
            assert_eq!(t(b).intersects(&t(a)), both, "{b} {a}");
        }
    }

    #[test]
    fn a_value_cannot_add_structure_to_a_name() {
        let name = NameTemplate::parse("{owner}/{name}@{branch}").unwrap();
        let captures = [("owner", "acme"), ("name", "w@b"), ("branch", "a/b c%é")];
        let captures = captures.into_iter().map(|(k, v)| (k.to_owned(), spell(v))).collect();
        assert_eq!(name.render(&captures).unwrap(), "acme/w%40b@a/b%20c%25%C3%A9");
        assert_eq!(name.render(&Captures::new()), None);
    }

    proptest! {
        /// A path that fits both shows that the two intersect: symbolically nothing is missed.
        #[test]
        fn two_templates_that_fit_one_path_intersect(
            a in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**"]), 1..5),
            b in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**"]), 1..5),
            path in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..7),
        ) {
            let (Ok(a), Ok(b)) = (PathTemplate::parse(&a.join("/")), PathTemplate::parse(&b.join("/"))) else { return Ok(()) };
            if a.fit(&path) != Fit::No && b.fit(&path) != Fit::No {
                prop_assert!(a.intersects(&b));
            }
        }
    }
}
