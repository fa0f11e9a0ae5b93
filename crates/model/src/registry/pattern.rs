//! Names of resources, as people register them: a prefix of segments, the last letters of each open.

use super::RegistryError;
use crate::limits::REGISTRY_NAME_BYTES_MAX;
use std::cmp::Ordering;

/// What stands before a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Before {
    Nothing,
    Slash,
    At,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    before: Before,
    /// Lower case.
    text: Box<str>,
    /// A `*` at its end: anything may follow.
    open: bool,
}

/// A resource and everything below it: `acme/payments-*` is each such repository with its branches. Segments lie between `/`
/// and `@`; a `*` may end one. Case is no difference, because most services make none and a second spelling must not lead
/// around an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Box<[Part]>,
}

impl Pattern {
    /// # Errors
    /// [`RegistryError::Resource`] for what is no pattern.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let wrong = |why: &'static str| RegistryError::Resource(text.chars().take(64).collect(), why);
        if text.len() > REGISTRY_NAME_BYTES_MAX {
            return Err(wrong("is too long"));
        }
        let mut parts = Vec::new();
        let mut pieces = Pieces::of(text);
        while let Some((before, piece)) = pieces.next() {
            let stem = match piece {
                // As grants write it: whatever lies below is meant anyway.
                "**" if pieces.rest.is_none() => Some(""),
                _ => piece.strip_suffix('*'),
            };
            let (text, open) = (stem.unwrap_or(piece), stem.is_some());
            if text.contains('*') {
                return Err(wrong("may have `*` only at the end of a segment"));
            }
            if matches!(piece, "" | "." | "..") || !piece.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(wrong("must be non-empty segments of visible ASCII, none of them `.` or `..`"));
            }
            parts.push(Part { before, text: text.to_ascii_lowercase().into(), open });
        }
        Ok(Self { parts: parts.into() })
    }

    /// Whether that resource lies in it. Linear, allocates nothing.
    #[must_use]
    pub fn holds(&self, resource: &str) -> bool {
        let mut pieces = Pieces::of(resource);
        self.parts.iter().all(|part| {
            pieces.next().is_some_and(|(before, piece)| {
                let head = if part.open { piece.as_bytes().get(..part.text.len()) } else { Some(piece.as_bytes()) };
                before == part.before && head.is_some_and(|head| head.eq_ignore_ascii_case(part.text.as_bytes()))
            })
        })
    }

    /// Whether everything in `other` lies in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.parts.len() <= other.parts.len() && self.parts.iter().zip(&other.parts).all(|(mine, theirs)| mine.covers(theirs))
    }

    /// Whether something may lie in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.parts.iter().zip(&other.parts).all(|(mine, theirs)| mine.covers(theirs) || theirs.covers(mine))
    }

    /// What comes first when one is looked for: of two of which one covers the other, the covered one.
    pub(super) fn narrower_first(&self, other: &Self) -> Ordering {
        let one = |a: &Part, b: &Part| {
            a.before.cmp(&b.before).then(a.open.cmp(&b.open)).then(b.text.len().cmp(&a.text.len())).then_with(|| a.text.cmp(&b.text))
        };
        let mut pairs = self.parts.iter().zip(&other.parts);
        pairs.find_map(|(a, b)| Some(one(a, b)).filter(|o| o.is_ne())).unwrap_or_else(|| other.parts.len().cmp(&self.parts.len()))
    }

    /// Its first segment, where that is a whole word.
    pub(super) fn first_word(&self) -> Option<&str> {
        self.parts.first().filter(|part| !part.open).map(|part| &*part.text)
    }
}

impl Part {
    fn covers(&self, other: &Self) -> bool {
        let text = if self.open { other.text.starts_with(&*self.text) } else { !other.open && self.text == other.text };
        self.before == other.before && text
    }
}

/// The first segment of a resource.
pub(super) fn first_piece(resource: &str) -> &str {
    Pieces::of(resource).next().map_or("", |(_, piece)| piece)
}

/// Splits at `/` and `@`, and says which stood before each piece.
struct Pieces<'a> {
    before: Before,
    rest: Option<&'a str>,
}

impl<'a> Pieces<'a> {
    const fn of(text: &'a str) -> Self {
        Self { before: Before::Nothing, rest: Some(text) }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (Before, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        let before = self.before;
        let Some((piece, tail)) = text.find(['/', '@']).and_then(|at| text.split_at_checked(at)) else {
            return Some((before, text));
        };
        let slash = tail.strip_prefix('/');
        self.before = if slash.is_some() { Before::Slash } else { Before::At };
        self.rest = slash.or_else(|| tail.strip_prefix('@'));
        Some((before, piece))
    }
}
