//! Action and resource patterns of `service` grants.

use super::pattern::{PatternError, pattern_type};
use crate::limits::{MAX_PATTERN_BYTES, MAX_SEGMENTS, MAX_USE_BYTES};

/// A typed action pattern: segments joined by dots; a last segment `*` stands for one or more segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionPattern {
    text: String,
    literals: Vec<String>,
    rest: bool,
}
pattern_type!(ActionPattern);

impl ActionPattern {
    /// # Errors
    /// [`PatternError`] for what is no pattern, or over a bound.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError("is longer than a pattern may be"));
        }
        let (literals, rest) = match text.strip_suffix('*') {
            None => (Some(text), false),
            Some("") => (None, true),
            Some(head) => (
                Some(
                    head.strip_suffix('.')
                        .ok_or(PatternError("may have `*` only as a whole last segment"))?,
                ),
                true,
            ),
        };
        let literals: Vec<String> = literals
            .into_iter()
            .flat_map(|t| t.split('.'))
            .map(str::to_owned)
            .collect();
        if !literals.iter().all(|s| is_action_segment(s)) {
            return Err(PatternError(
                "must be dot-separated segments of letters, digits, `_` and `-`",
            ));
        }
        if literals.len() + usize::from(rest) > MAX_SEGMENTS {
            return Err(PatternError("has more segments than a pattern may"));
        }
        Ok(Self {
            text: text.to_owned(),
            literals,
            rest,
        })
    }

    /// Whether a concrete action matches.
    #[must_use]
    pub fn permits(&self, action: &str) -> bool {
        if action.len() > MAX_USE_BYTES || !action.split('.').all(is_action_segment) {
            return false;
        }
        let mut parts = action.split('.');
        self.literals.iter().all(|want| parts.next() == Some(want))
            && parts.next().is_some() == self.rest
    }

    /// Whether every action that `child` permits is permitted by `self`.
    #[must_use]
    pub fn covers(&self, child: &Self) -> bool {
        if !self.rest {
            return self == child;
        }
        let longer = child.literals.len() + usize::from(child.rest) > self.literals.len();
        longer && child.literals.starts_with(&self.literals)
    }
}

fn is_action_segment(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Before {
    Nothing,
    Slash,
    At,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    Literal(String),
    One,
    Rest,
}

/// A typed resource pattern: segments, each after `/`, `@` or nothing.
///
/// `*` stands for one whole segment. A trailing `**` stands for one or more segments joined by `/`, never
/// across an `@`: `acme/**` does not reach `acme/web@main`, and `acme/web@agent/**` not the ref `agent`.
/// Segments are visible ASCII; the extractor escapes the rest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePattern {
    text: String,
    parts: Vec<(Before, Segment)>,
}
pattern_type!(ResourcePattern);

impl ResourcePattern {
    /// # Errors
    /// [`PatternError`] for what is no pattern, or over a bound.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError("is longer than a pattern may be"));
        }
        let mut parts = Vec::new();
        let mut pieces = Pieces::of(text);
        while let Some((before, piece)) = pieces.next() {
            let segment = match piece {
                "**" if pieces.rest.is_none() => Segment::Rest,
                "**" => return Err(PatternError("may have `**` only at its end")),
                "*" => Segment::One,
                _ if piece.contains('*') => {
                    return Err(PatternError("may have `*` only as a whole segment"));
                }
                _ if is_resource_segment(piece) => Segment::Literal(piece.to_owned()),
                _ => {
                    return Err(PatternError(
                        "must be non-empty segments of visible ASCII, none of them `.` or `..`",
                    ));
                }
            };
            parts.push((before, segment));
        }
        if parts.len() > MAX_SEGMENTS {
            return Err(PatternError("has more segments than a pattern may"));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// Whether a concrete resource matches. Linear, allocates nothing.
    #[must_use]
    pub fn permits(&self, resource: &str) -> bool {
        if resource.len() > MAX_USE_BYTES
            || !Pieces::of(resource).all(|(_, piece)| is_resource_segment(piece))
        {
            return false;
        }
        let mut pieces = Pieces::of(resource);
        for (before, segment) in &self.parts {
            let Some((theirs, piece)) = pieces.next() else {
                return false;
            };
            let matches = match segment {
                Segment::Rest => {
                    return theirs == *before && pieces.all(|(b, _)| b == Before::Slash);
                }
                Segment::One => true,
                Segment::Literal(want) => want == piece,
            };
            if theirs != *before || !matches {
                return false;
            }
        }
        pieces.next().is_none()
    }

    /// Whether every resource that `child` permits is permitted by `self`.
    #[must_use]
    pub fn covers(&self, child: &Self) -> bool {
        let mut theirs = child.parts.iter();
        for (before, mine) in &self.parts {
            let Some((child_before, segment)) = theirs.next() else {
                return false;
            };
            let covers = match (mine, segment) {
                (Segment::Rest, _) => {
                    return child_before == before && theirs.all(|(b, _)| *b == Before::Slash);
                }
                (Segment::One, Segment::One | Segment::Literal(_)) => true,
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                _ => false,
            };
            if child_before != before || !covers {
                return false;
            }
        }
        theirs.next().is_none()
    }
}

fn is_resource_segment(piece: &str) -> bool {
    !matches!(piece, "" | "." | "..") && piece.bytes().all(|b| b.is_ascii_graphic())
}

/// Splits at `/` and `@`, and says which stood before each piece.
struct Pieces<'a> {
    before: Before,
    rest: Option<&'a str>,
}

impl<'a> Pieces<'a> {
    fn of(text: &'a str) -> Self {
        Self {
            before: Before::Nothing,
            rest: Some(text),
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (Before, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        let before = self.before;
        let cut = text
            .find(['/', '@'])
            .and_then(|at| text.split_at_checked(at));
        let Some((piece, tail)) = cut else {
            return Some((before, text));
        };
        let slash = tail.strip_prefix('/');
        self.before = if slash.is_some() {
            Before::Slash
        } else {
            Before::At
        };
        self.rest = slash.or_else(|| tail.strip_prefix('@'));
        Some((before, piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn r(text: &str) -> ResourcePattern {
        ResourcePattern::parse(text).unwrap()
    }
    fn a(text: &str) -> ActionPattern {
        ActionPattern::parse(text).unwrap()
    }

    #[test]
    fn resources_match_segment_by_segment_and_never_across_an_at() {
        for (pattern, yes, no) in [
            (
                "acme/web",
                vec!["acme/web"],
                vec!["acme/web2", "acme", "acme/web/x", "acme@web"],
            ),
            (
                "acme/*",
                vec!["acme/web"],
                vec!["acme", "acme/web@main", "acme/web/x", "acme@web"],
            ),
            (
                "acme/**",
                vec!["acme/web", "acme/a/b"],
                vec!["acme", "acme/web@main", "acme@web"],
            ),
            (
                "acme/web@agent/**",
                vec!["acme/web@agent/x", "acme/web@agent/x/y"],
                vec!["acme/web@agent", "acme/web@main", "acme/web@agent/x@y"],
            ),
            (
                "acme/web@**",
                vec!["acme/web@a", "acme/web@a/b"],
                vec!["acme/web", "acme/web/a", "acme/web@a@b"],
            ),
            (
                "**",
                vec!["a", "a/b"],
                vec!["", "a@b", "a/", "/a", "a//b", "a/../b", "a b", "ä"],
            ),
            ("*@*", vec!["a@b"], vec!["a", "a/b", "a@b@c"]),
        ] {
            for resource in yes {
                assert!(r(pattern).permits(resource), "{pattern} {resource}");
            }
            for resource in no {
                assert!(!r(pattern).permits(resource), "{pattern} {resource}");
            }
        }
        for bad in [
            "", "/", "a/", "/a", "a//b", "a*", "**/a", "a/**@b", "a/.", "..", "a b", "a@", "a\n",
        ] {
            assert!(ResourcePattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn actions_match_whole_segments() {
        for (pattern, yes, no) in [
            (
                "repo.read",
                vec!["repo.read"],
                vec!["repo", "repo.read.x", "repo.readx", ""],
            ),
            (
                "pr.*",
                vec!["pr.create", "pr.review.submit"],
                vec!["pr", "prx.a", "pr.", "repo.read"],
            ),
            ("*", vec!["a", "a.b"], vec!["", "a..b", "a b", "."]),
        ] {
            for action in yes {
                assert!(a(pattern).permits(action), "{pattern} {action}");
            }
            for action in no {
                assert!(!a(pattern).permits(action), "{pattern} {action}");
            }
        }
        for bad in [
            "", ".", "a.", ".a", "a*", "*.a", "a.*.b", "a.**", "**", "a b", "ä",
        ] {
            assert!(ActionPattern::parse(bad).is_err(), "{bad}");
        }
        assert!(!a("pr.*").covers(&a("pr")));
        assert!(!a("pr").covers(&a("pr.*")));
        assert!(a("*").covers(&a("pr.*")) && !a("pr.*").covers(&a("*")));
    }

    #[test]
    fn patterns_and_uses_are_bounded_at_n() {
        let dots = |n: usize| vec!["a"; n].join(".");
        assert!(ActionPattern::parse(&dots(MAX_SEGMENTS)).is_ok());
        assert!(ActionPattern::parse(&dots(MAX_SEGMENTS + 1)).is_err());
        assert!(ActionPattern::parse(&format!("{}.*", dots(MAX_SEGMENTS - 1))).is_ok());
        assert!(ActionPattern::parse(&format!("{}.*", dots(MAX_SEGMENTS))).is_err());
        assert!(ResourcePattern::parse(&vec!["a"; MAX_SEGMENTS].join("/")).is_ok());
        assert!(ResourcePattern::parse(&vec!["a"; MAX_SEGMENTS + 1].join("/")).is_err());
        for parses in [
            |t: &str| ResourcePattern::parse(t).is_ok(),
            |t: &str| ActionPattern::parse(t).is_ok(),
        ] {
            assert!(parses(&"a".repeat(MAX_PATTERN_BYTES)));
            assert!(!parses(&"a".repeat(MAX_PATTERN_BYTES + 1)));
        }
        assert!(
            r("**").permits(&"a".repeat(MAX_USE_BYTES))
                && !r("**").permits(&"a".repeat(MAX_USE_BYTES + 1))
        );
        assert!(
            a("*").permits(&"a".repeat(MAX_USE_BYTES))
                && !a("*").permits(&"a".repeat(MAX_USE_BYTES + 1))
        );
    }
}
