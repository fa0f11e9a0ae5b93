//! Credentials in the path: Telegram's `/bot<token>/…`, Slack's `/services/<team>/<channel>/<token>`.

use super::PlaceError;
use super::parse::Template;
use crate::limits::PATH_SEGMENTS_MAX;
use std::fmt;

/// Where in the path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathPlace {
    /// The whole segment of that number, from 0.
    Segment(usize),
    /// In place of the `{}`. With nothing after it the secret is the rest of the path, and may have slashes of its
    /// own; otherwise the path goes on after the template as the agent wrote it.
    Template(Template),
}

impl PathPlace {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with('/') {
            let template = Template::split(text).ok_or("a path's text has exactly one `{}`")?;
            let plain = |text: &str| text.bytes().all(|b| may_stand(b) || b == b'/') && !text.contains("//");
            let steps = |text: &str| text.split('/').all(|s| !matches!(s, "." | ".."));
            let ok =
                plain(&template.before) && plain(&template.after) && steps(&template.before) && steps(&template.after);
            // Otherwise `{}suffix` would leave open where the secret ends.
            let closed = template.after.is_empty() || template.after.starts_with('/');
            return if ok && closed {
                Ok(Self::Template(template))
            } else {
                Err("the text around `{}` is no canonical path")
            };
        }
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        match text.parse::<usize>() {
            Ok(number) if plain && number < PATH_SEGMENTS_MAX => Ok(Self::Segment(number)),
            _ => Err("a path slot is the number of a segment, or a text that begins with `/`"),
        }
    }

    /// `raw` with the secret where the placeholder stands; every other byte as it was.
    pub(super) fn fill(&self, raw: &str, placeholder: &str, secret: &str) -> Result<String, PlaceError> {
        if placeholder.is_empty() {
            return Err(PlaceError::NoPlaceholder);
        }
        if !self.may_hold(secret) {
            return Err(PlaceError::SecretBytes);
        }
        let (before, after) = self.around(raw, placeholder).ok_or(PlaceError::PathMismatch)?;
        Ok([before, secret, after].concat())
    }

    /// What stands before and after the placeholder, if it is where it belongs.
    fn around<'a>(&self, raw: &'a str, placeholder: &str) -> Option<(&'a str, &'a str)> {
        match self {
            Self::Segment(number) => {
                // Byte offsets of the segment: after the number-th slash.
                let start = raw.match_indices('/').nth(*number)?.0 + 1;
                let rest = raw.get(start..)?;
                let end = start + rest.find('/').unwrap_or(rest.len());
                (raw.starts_with('/') && raw.get(start..end)? == placeholder)
                    .then_some((raw.get(..start)?, raw.get(end..)?))
            }
            Self::Template(template) => {
                let rest = raw.strip_prefix(template.before.as_str())?.strip_prefix(placeholder)?;
                let fits = if template.after.is_empty() { rest.is_empty() } else { rest.starts_with(&template.after) };
                fits.then_some((raw.get(..template.before.len())?, rest))
            }
        }
    }

    /// The piece of a raw path that stands in the slot, for a template that a fixed text follows or nothing.
    pub(super) fn held<'a>(&self, raw: &'a str) -> Option<&'a str> {
        match self {
            Self::Segment(number) => raw.strip_prefix('/')?.split('/').nth(*number),
            Self::Template(template) => {
                let rest = raw.strip_prefix(template.before.as_str())?;
                if template.after.is_empty() {
                    Some(rest)
                } else {
                    rest.split_once(template.after.as_str()).map(|(h, _)| h)
                }
            }
        }
    }

    fn may_hold(&self, secret: &str) -> bool {
        let tail = matches!(self, Self::Template(template) if template.after.is_empty());
        let whole = |piece: &str| !matches!(piece, "" | "." | "..") && piece.bytes().all(may_stand);
        if tail { secret.split('/').all(whole) } else { whole(secret) }
    }
}

impl fmt::Display for PathPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(number) => write!(f, "{number}"),
            Self::Template(template) => write!(f, "{template}"),
        }
    }
}

/// Characters that a path holds as they are, so that a credential is sent in the one spelling it has.
const fn may_stand(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b'='
                | b':'
                | b'@'
        )
}
