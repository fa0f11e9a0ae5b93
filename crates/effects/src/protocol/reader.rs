//! Reads the fields of a message, strictly: every length is checked before anything is taken.

use super::ProtocolError;
use crate::limits::{COMMAND_BYTES_MAX, MESSAGE_BYTES_MAX, TEXT_BYTES_MAX};

pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8], version: u8) -> Result<Self, ProtocolError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(ProtocolError::Limit);
        }
        let mut out = Self(bytes);
        if out.byte()? == version { Ok(out) } else { Err(ProtocolError::Version) }
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], ProtocolError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ProtocolError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, ProtocolError> {
        self.take(1)?.first().copied().ok_or(ProtocolError::Short)
    }

    pub(super) fn flag(&mut self) -> Result<bool, ProtocolError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ProtocolError::Value),
        }
    }

    fn length(&mut self, most: usize) -> Result<usize, ProtocolError> {
        let bytes: [u8; 4] = self.take(4)?.try_into().map_err(|_| ProtocolError::Short)?;
        let length = usize::try_from(u32::from_be_bytes(bytes)).map_err(|_| ProtocolError::Limit)?;
        if length > most { Err(ProtocolError::Limit) } else { Ok(length) }
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, ProtocolError> {
        let length = self.length(COMMAND_BYTES_MAX)?;
        Ok(self.take(length)?.to_vec())
    }

    pub(super) fn text(&mut self) -> Result<String, ProtocolError> {
        let length = self.length(TEXT_BYTES_MAX)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| ProtocolError::Value)?;
        Ok(text.to_owned())
    }

    pub(super) fn list<T>(&mut self, most: usize, each: impl Fn(&mut Self) -> Result<T, ProtocolError>) -> Result<Vec<T>, ProtocolError> {
        let length = self.length(most)?;
        let mut out = Vec::new();
        for _ in 0..length {
            out.push(each(self)?);
        }
        Ok(out)
    }

    pub(super) fn maybe<T>(&mut self, read: impl Fn(&mut Self) -> Result<T, ProtocolError>) -> Result<Option<T>, ProtocolError> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    pub(super) fn done(self) -> Result<(), ProtocolError> {
        if self.0.is_empty() { Ok(()) } else { Err(ProtocolError::Long) }
    }
}
