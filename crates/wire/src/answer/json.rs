//! Where in a JSON text the value of a member stands, so that it can be exchanged and every other byte stays.
//!
//! Re-serialising would change numbers, order and escapes, and with them what was approved.

use crate::limits::{POINTER_HITS_MAX, POINTER_STEPS_MAX};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

/// A JSON pointer (RFC 6901), in which `*` as a whole step is every member or item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Step {
    Name(String),
    Any,
}

/// Why a text is no pointer, or a body has no place that a pointer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// See RFC 6901; or more than [`POINTER_STEPS_MAX`] steps.
    #[error("it is not a JSON pointer")]
    Pointer,
    /// Not UTF-8, or not one JSON value.
    #[error("the body is not JSON")]
    Syntax,
    /// Two members of that name: readers take the first or the last.
    #[error("the body has a member twice")]
    Duplicate,
    /// What should hold the member is no object.
    #[error("the body has no object where the member belongs")]
    NoObject,
    /// More than [`POINTER_HITS_MAX`] values.
    #[error("the body has more values in that place than are handled")]
    TooMany,
}

impl Pointer {
    /// Reads `/a/b`; `~1` is a slash and `~0` a tilde inside a name.
    ///
    /// # Errors
    /// [`JsonError::Pointer`].
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let below = text.strip_prefix('/').ok_or(JsonError::Pointer)?;
        let mut steps = Vec::new();
        for token in below.split('/') {
            if steps.len() == POINTER_STEPS_MAX {
                return Err(JsonError::Pointer);
            }
            steps.push(if token == "*" { Step::Any } else { Step::Name(unescape(token)?) });
        }
        Ok(Self { steps })
    }

    /// Whether it names one place only.
    #[must_use]
    pub fn is_single(&self) -> bool {
        !self.steps.contains(&Step::Any)
    }

    /// The spans of all values that the pointer names, in order. Members that occur twice are all named.
    pub(super) fn find_all(&self, text: &str) -> Result<Vec<Range<usize>>, JsonError> {
        let mut spans = vec![trimmed(text)?];
        for step in &self.steps {
            let mut below = Vec::new();
            for span in spans {
                match (step, children(text, span)?) {
                    (Step::Any, Node::Object(members)) => below.extend(members.into_iter().map(|(_, s)| s)),
                    (Step::Any, Node::Array(items)) => below.extend(items),
                    (Step::Name(name), Node::Object(members)) => {
                        below.extend(members.into_iter().filter(|(key, _)| key == name).map(|(_, s)| s));
                    }
                    (Step::Name(name), Node::Array(items)) => {
                        below.extend(name.parse::<usize>().ok().and_then(|at| items.into_iter().nth(at)));
                    }
                    (_, Node::Scalar) => {}
                }
            }
            if below.len() > POINTER_HITS_MAX {
                return Err(JsonError::TooMany);
            }
            spans = below;
        }
        Ok(spans)
    }

    /// Where one value stands, or where it would be put: objects all the way, every member on it once.
    pub(crate) fn locate(&self, body: &[u8]) -> Result<Place, JsonError> {
        let text = std::str::from_utf8(body).map_err(|_| JsonError::Syntax)?;
        let mut span = trimmed(text)?;
        let mut steps = self.steps.iter().peekable();
        while let Some(step) = steps.next() {
            let Step::Name(name) = step else { return Err(JsonError::Pointer) };
            let Node::Object(members) = children(text, span.clone())? else { return Err(JsonError::NoObject) };
            let is_empty = members.is_empty();
            // Go's decoder takes `Token` for `token`: another case is the same member to some.
            let mut named = members.into_iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            span = match (named.next(), named.next(), steps.peek()) {
                (Some(_), Some(_), _) => return Err(JsonError::Duplicate),
                (Some((key, _)), None, _) if key != *name => return Err(JsonError::Duplicate),
                (Some((_, found)), None, _) => found,
                (None, _, Some(_)) => return Err(JsonError::NoObject),
                (None, _, None) => {
                    let at = span.end.saturating_sub(1);
                    return Ok(Place::Missing { at, name: name.clone(), is_empty });
                }
            };
        }
        Ok(Place::Value(span))
    }
}

/// Where a member stands in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The span of its value.
    Value(Range<usize>),
    /// It is not there: it belongs at `at`, before the closing brace of its object.
    Missing {
        /// Offset of the closing brace, in bytes.
        at: usize,
        /// Its name, not escaped.
        name: String,
        /// The object has no member, so that no comma is needed.
        is_empty: bool,
    },
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            match step {
                Step::Any => f.write_str("/*")?,
                Step::Name(name) => write!(f, "/{}", name.replace('~', "~0").replace('/', "~1"))?,
            }
        }
        Ok(())
    }
}

/// The JSON string that reads as `text`, quotes included.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a JSON string, unescaped.
pub(crate) fn unquote(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

enum Node {
    Object(Vec<(String, Range<usize>)>),
    Array(Vec<Range<usize>>),
    Scalar,
}

/// The one value of a text, without the blanks around it; the whole text is checked once here.
fn trimmed(text: &str) -> Result<Range<usize>, JsonError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|_| JsonError::Syntax)?;
    span_of(text, raw)
}

/// One level below a value. Goes through its bytes once and does not recurse, however deep they nest.
fn children(text: &str, span: Range<usize>) -> Result<Node, JsonError> {
    let value = text.get(span).ok_or(JsonError::Syntax)?;
    match value.as_bytes().first() {
        Some(b'{') => {
            let members = serde_json::Deserializer::from_str(value).deserialize_map(Members);
            let spans =
                members.map_err(|_| JsonError::Syntax)?.into_iter().map(|(k, raw)| Ok((k, span_of(text, raw)?)));
            spans.collect::<Result<_, _>>().map(Node::Object)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(value).map_err(|_| JsonError::Syntax)?;
            items.into_iter().map(|raw| span_of(text, raw)).collect::<Result<_, _>>().map(Node::Array)
        }
        _ => Ok(Node::Scalar),
    }
}

/// A raw value borrows from the text, so its place is the distance between the two.
fn span_of(text: &str, raw: &RawValue) -> Result<Range<usize>, JsonError> {
    let start = raw.get().as_ptr().addr().checked_sub(text.as_ptr().addr()).ok_or(JsonError::Syntax)?;
    let span = start..start.saturating_add(raw.get().len());
    if text.get(span.clone()) == Some(raw.get()) { Ok(span) } else { Err(JsonError::Syntax) }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut out = Vec::new();
        while let Some(member) = map.next_entry()? {
            out.push(member);
        }
        Ok(out)
    }
}

fn unescape(token: &str) -> Result<String, JsonError> {
    let mut out = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '~' => match chars.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(JsonError::Pointer),
            },
            c if c.is_control() => return Err(JsonError::Pointer),
            c => c,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str, pointer: &str) -> Result<Vec<String>, JsonError> {
        let spans = Pointer::parse(pointer)?.find_all(text)?;
        Ok(spans.into_iter().map(|s| text.get(s).unwrap_or_default().to_owned()).collect())
    }

    #[test]
    fn a_pointer_names_the_bytes_of_its_values() -> Result<(), JsonError> {
        let text = r#" { "a" : {"b": "x\u0041"} , "l":[{"t":1.0},{"t":[ 2 ]},3], "a/b":{"~":null}, "*":"star" } "#;
        for (pointer, want) in [
            ("/a/b", vec![r#""x\u0041""#]),
            ("/a", vec![r#"{"b": "x\u0041"}"#]),
            ("/l/*/t", vec!["1.0", "[ 2 ]"]),
            ("/l/2", vec!["3"]),
            ("/l/9", vec![]),
            ("/a~1b/~0", vec!["null"]),
            ("/*/b", vec![r#""x\u0041""#]),
            ("/none/x", vec![]),
            ("/a/b/c", vec![]),
        ] {
            assert_eq!(found(text, pointer)?, want, "{pointer}");
        }
        assert_eq!(found(r#"{"t":1,"\u0074":2}"#, "/t")?, ["1", "2"], "a repeated member is named each time");
        Ok(())
    }

    #[test]
    fn a_body_that_is_not_one_json_value_has_no_places() {
        for text in ["", "{", "{}x", "{'a':1}", "\u{feff}{}", "[1,]", "{\"a\":01}", "nul"] {
            assert_eq!(found(text, "/a"), Err(JsonError::Syntax), "{text:?}");
        }
        assert_eq!(Pointer { steps: vec![] }.locate(b"{\"a\":\"\xff\"}"), Err(JsonError::Syntax));
    }

    #[test]
    fn deep_nesting_neither_recurses_nor_fails() -> Result<(), JsonError> {
        let deep = format!("{{\"a\":{}{},\"t\":7}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(found(&deep, "/t")?, ["7"]);
        Ok(())
    }

    #[test]
    fn pointers_are_bounded_at_n() {
        let steps = "/a".repeat(POINTER_STEPS_MAX);
        assert!(Pointer::parse(&steps).is_ok());
        assert_eq!(Pointer::parse(&format!("{steps}/a")), Err(JsonError::Pointer));
        let items = |n: usize| format!("[{}]", vec!["1"; n].join(","));
        assert_eq!(found(&items(POINTER_HITS_MAX), "/*").map(|f| f.len()), Ok(POINTER_HITS_MAX));
        assert_eq!(found(&items(POINTER_HITS_MAX + 1), "/*"), Err(JsonError::TooMany));
    }

    #[test]
    fn what_is_no_pointer_does_not_parse() {
        for bad in ["", "a", "/a~", "/a~2", "/a\nb"] {
            assert_eq!(Pointer::parse(bad), Err(JsonError::Pointer), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_pointer_prints_as_it_parses(steps in prop::collection::vec("[a-z~/*]{0,4}", 1..6)) {
            let text: String = steps.iter().map(|s| format!("/{}", s.replace('~', "~0").replace('/', "~1"))).collect();
            let pointer = Pointer::parse(&text).unwrap();
            prop_assert_eq!(pointer.to_string(), text);
        }

        #[test]
        fn a_string_survives_its_quotes(text in ".{0,20}") {
            let quoted = quote(&text);
            prop_assert_eq!(unquote(&quoted), Some(text));
        }

        #[test]
        fn any_bytes_are_survived(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let pointer = Pointer::parse("/a/b").unwrap();
            if let Ok(Place::Value(span)) = pointer.locate(&body) {
                prop_assert!(body.get(span).is_some());
            }
        }
    }
}
