//! `Set-Cookie` (RFC 6265 section 4.1), as far as the value goes.

/// One line: what is before the value, the value, and its attributes, all as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SetCookie<'a> {
    pub name: &'a str,
    pub value: &'a str,
    /// From the first `;` on, or empty.
    pub attributes: &'a str,
}

impl<'a> SetCookie<'a> {
    /// `None` for a line without a name: some clients take it for a value, some for a name.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let end = line.find(';').unwrap_or(line.len());
        let (pair, attributes) = line.split_at_checked(end)?;
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        crate::place::cookie::is_name(name).then_some(Self { name, value, attributes })
    }

    /// The line with another value.
    pub(super) fn with_value(&self, value: &str) -> String {
        [self.name, "=", value, self.attributes].concat()
    }
}
