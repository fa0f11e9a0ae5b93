//! Reads a TOML document value by value, with the line of each, and refuses keys that are not known.

use super::error::{ProfileError, nearest};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At<T> {
    pub value: T,
    pub line: usize,
}

/// Byte offsets to lines.
pub(super) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(ends).collect() }
    }
    pub(super) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }
}

/// One table.
pub(super) struct Reader<'a> {
    lines: &'a Lines,
    table: &'a DeTable<'a>,
    pub line: usize,
}

impl<'a> Reader<'a> {
    /// `known` is empty where the keys are names of the profile's own.
    pub(super) fn new(
        lines: &'a Lines,
        table: &'a DeTable<'a>,
        line: usize,
        known: &[&'static str],
    ) -> Result<Self, ProfileError> {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.is_empty() && !known.contains(&name) {
                let line = lines.line(key.span().start);
                let meant = nearest(name, known.iter().copied());
                return Err(ProfileError::UnknownKey { line, key: name.to_owned(), meant });
            }
        }
        Ok(Self { lines, table, line })
    }

    fn find(&self, key: &str) -> Option<(&'a DeValue<'a>, usize)> {
        let value = self.table.get(key)?;
        Some((value.get_ref(), self.lines.line(value.span().start)))
    }

    pub(super) fn text(&self, key: &'static str) -> Result<Option<At<String>>, ProfileError> {
        self.find(key).map(|(value, line)| text(value, line, key)).transpose()
    }

    pub(super) fn required(&self, key: &'static str) -> Result<At<String>, ProfileError> {
        self.text(key)?.ok_or(ProfileError::Missing { line: self.line, key })
    }

    /// One string or a list of them.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<At<String>>, ProfileError> {
        match self.find(key) {
            None => Ok(Vec::new()),
            Some((DeValue::Array(list), _)) => list
                .iter()
                .map(|item: &Spanned<DeValue<'_>>| text(item.get_ref(), self.lines.line(item.span().start), key))
                .collect(),
            Some((value, line)) => Ok(vec![text(value, line, key)?]),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, ProfileError> {
        match self.find(key) {
            None => Ok(false),
            Some((DeValue::Boolean(value), _)) => Ok(*value),
            Some((_, line)) => Err(ProfileError::value(line, format!("`{key}` must be true or false"))),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<At<usize>>, ProfileError> {
        match self.find(key) {
            None => Ok(None),
            Some((DeValue::Integer(number), line)) => {
                let value = usize::from_str_radix(number.as_str(), number.radix());
                let value = value.map_err(|_| ProfileError::value(line, format!("`{key}` must be a number of bytes")))?;
                Ok(Some(At { value, line }))
            }
            Some((_, line)) => Err(ProfileError::value(line, format!("`{key}` must be a number of bytes"))),
        }
    }

    pub(super) fn table(&self, key: &str, known: &[&'static str]) -> Result<Option<Reader<'a>>, ProfileError> {
        match self.find(key) {
            None => Ok(None),
            Some((DeValue::Table(table), line)) => Reader::new(self.lines, table, line, known).map(Some),
            Some((_, line)) => Err(ProfileError::value(line, format!("`{key}` must be a table"))),
        }
    }

    pub(super) fn tables(&self, key: &str, known: &[&'static str]) -> Result<Vec<Reader<'a>>, ProfileError> {
        match self.find(key) {
            None => Ok(Vec::new()),
            Some((DeValue::Array(list), _)) => list
                .iter()
                .map(|item: &Spanned<DeValue<'_>>| {
                    let line = self.lines.line(item.span().start);
                    match item.get_ref() {
                        DeValue::Table(table) => Reader::new(self.lines, table, line, known),
                        _ => Err(ProfileError::value(line, format!("`{key}` must be tables"))),
                    }
                })
                .collect(),
            Some((_, line)) => Err(ProfileError::value(line, format!("`{key}` must be written `[[{key}]]`"))),
        }
    }

    /// Keys with their lines, for tables whose keys are names of the profile's own.
    pub(super) fn keys(&self) -> Vec<At<String>> {
        let line = |key: &Spanned<toml::de::DeString<'_>>| self.lines.line(key.span().start);
        self.table.keys().map(|key| At { value: key.get_ref().to_string(), line: line(key) }).collect()
    }

    /// A table of strings.
    pub(super) fn map(&self, key: &str) -> Result<BTreeMap<String, At<String>>, ProfileError> {
        let Some(table) = self.table(key, &[])? else { return Ok(BTreeMap::new()) };
        table.entries()
    }

    /// The strings of this table.
    pub(super) fn entries(&self) -> Result<BTreeMap<String, At<String>>, ProfileError> {
        self.keys()
            .into_iter()
            .map(|key| {
                let mut values = self.texts(&key.value)?;
                match (values.pop(), values.is_empty()) {
                    (Some(value), true) => Ok((key.value, value)),
                    _ => Err(ProfileError::value(key.line, format!("`{}` must be one string", key.value))),
                }
            })
            .collect()
    }
}

fn text(value: &DeValue<'_>, line: usize, key: &str) -> Result<At<String>, ProfileError> {
    match value {
        DeValue::String(text) => Ok(At { value: text.to_string(), line }),
        _ => Err(ProfileError::value(line, format!("`{key}` must be a string"))),
    }
}
