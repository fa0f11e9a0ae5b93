//! How event bodies become deterministic CBOR and back: one map, keys ascending, absent values left out.

use crate::effect::Effect;
use crate::ids::{AskId, CredentialId, InstanceId, LeaseId, SessionId, SubjectId};
use crate::lease::LeaseState;
use crate::session::{EndReason, Grade, HumanProof, Mode};
use marque_journal::cbor::{CborError, Reader, Writer};

/// Most items of a list in a body.
pub const LIST_ITEMS_MAX: u64 = 256;

/// Why the body of a record is not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Not the CBOR that this format uses.
    #[error("the body is not deterministic CBOR: {0}")]
    Cbor(#[from] CborError),
    /// No event has that kind.
    #[error("`{0}` is not a kind of event")]
    Kind(String),
    /// A field that the event needs is missing.
    #[error("field {0} is missing")]
    Missing(u64),
    /// A field that the event does not have.
    #[error("field {0} is not known")]
    Unknown(u64),
    /// A number that stands for nothing.
    #[error("a coded value is out of range")]
    Code,
    /// A list with too many items.
    #[error("a list is too long")]
    TooLong,
}

/// A field's value for people and for programs, whatever its type here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// Left out.
    Absent,
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A word, an id or a text; bytes in hex.
    Text(String),
    /// Several.
    List(Vec<Shown>),
}

/// A value that can stand in a body.
pub trait Field: Sized {
    /// What it says.
    fn show(&self) -> Shown;
    /// Writes one CBOR item.
    fn put(&self, w: &mut Writer<'_>);
    /// Reads one CBOR item.
    ///
    /// # Errors
    /// Where the item is of another kind or out of range.
    fn take(r: &mut Reader<'_>) -> Result<Self, BodyError>;
    /// Whether the field is left out.
    fn is_absent(&self) -> bool {
        false
    }
    /// What a field that was left out reads as.
    fn absent() -> Option<Self> {
        None
    }
}

macro_rules! uint_field {
    ($($t:ty),+) => {$(
        impl Field for $t {
            fn show(&self) -> Shown {
                Shown::Number(u64::from(*self))
            }
            fn put(&self, w: &mut Writer<'_>) {
                w.uint(u64::from(*self));
            }
            fn take(r: &mut Reader<'_>) -> Result<Self, BodyError> {
                Self::try_from(r.uint()?).map_err(|_| BodyError::Code)
            }
        }
    )+};
}
uint_field!(u8, u16, u32, u64);

macro_rules! id_field {
    ($($t:ty),+) => {$(
        impl Field for $t {
            fn show(&self) -> Shown {
                Shown::Text(self.to_string())
            }
            fn put(&self, w: &mut Writer<'_>) {
                w.bytes(self.as_bytes());
            }
            fn take(r: &mut Reader<'_>) -> Result<Self, BodyError> {
                Ok(Self::from_bytes(r.byte_array()?))
            }
        }
    )+};
}
id_field!(SessionId, AskId, CredentialId, LeaseId, SubjectId, InstanceId);

macro_rules! coded_field {
    ($($t:ty),+) => {$(
        impl Field for $t {
            fn show(&self) -> Shown {
                Shown::Text(self.to_string())
            }
            fn put(&self, w: &mut Writer<'_>) {
                w.uint(u64::from(self.code()));
            }
            fn take(r: &mut Reader<'_>) -> Result<Self, BodyError> {
                Self::from_code(r.uint()?).ok_or(BodyError::Code)
            }
        }
    )+};
}
coded_field!(Effect, Mode, Grade, EndReason, HumanProof, LeaseState);

impl Field for bool {
    fn show(&self) -> Shown {
        Shown::Flag(*self)
    }
    fn put(&self, w: &mut Writer<'_>) {
        w.bool(*self);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, BodyError> {
        Ok(r.bool()?)
    }
}

impl Field for String {
    fn show(&self) -> Shown {
        Shown::Text(self.clone())
    }
    fn put(&self, w: &mut Writer<'_>) {
        w.text(self);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, BodyError> {
        Ok(r.text()?.to_owned())
    }
}

impl<const N: usize> Field for [u8; N] {
    fn show(&self) -> Shown {
        Shown::Text(self.iter().map(|byte| format!("{byte:02x}")).collect())
    }
    fn put(&self, w: &mut Writer<'_>) {
        w.bytes(self);
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, BodyError> {
        Ok(r.byte_array()?)
    }
}

impl<T: Field> Field for Option<T> {
    fn show(&self) -> Shown {
        self.as_ref().map_or(Shown::Absent, Field::show)
    }
    fn put(&self, w: &mut Writer<'_>) {
        match self {
            Some(value) => value.put(w),
            None => {
                w.null();
            }
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, BodyError> {
        T::take(r).map(Some)
    }
    fn is_absent(&self) -> bool {
        self.is_none()
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Field> Field for Vec<T> {
    fn show(&self) -> Shown {
        Shown::List(self.iter().map(Field::show).collect())
    }
    fn put(&self, w: &mut Writer<'_>) {
        w.array(self.len());
        for item in self {
            item.put(w);
        }
    }
    fn take(r: &mut Reader<'_>) -> Result<Self, BodyError> {
        let len = r.array()?;
        if len > LIST_ITEMS_MAX {
            return Err(BodyError::TooLong);
        }
        (0..len).map(|_| T::take(r)).collect()
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

/// A body that is being read: the fields are asked for in ascending order and none may be left over.
pub struct BodyReader<'a> {
    reader: Reader<'a>,
    left: u64,
    before: Option<u64>,
    next: Option<u64>,
}

impl<'a> BodyReader<'a> {
    /// Starts at the map's head.
    ///
    /// # Errors
    /// Where the bytes do not begin with a map.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BodyError> {
        let mut reader = Reader::new(bytes);
        let left = reader.map()?;
        let mut this = Self { reader, left, before: None, next: None };
        this.advance()?;
        Ok(this)
    }

    fn advance(&mut self) -> Result<(), BodyError> {
        self.next = match self.left.checked_sub(1) {
            None => None,
            Some(left) => {
                self.left = left;
                Some(self.reader.key_above(&mut self.before)?)
            }
        };
        Ok(())
    }

    /// The field with that key.
    ///
    /// # Errors
    /// Where a field that must be there is missing, or a key in between is not known.
    pub fn field<T: Field>(&mut self, key: u64) -> Result<T, BodyError> {
        match self.next {
            Some(found) if found == key => {
                let value = T::take(&mut self.reader)?;
                self.advance()?;
                Ok(value)
            }
            Some(found) if found < key => Err(BodyError::Unknown(found)),
            _ => T::absent().ok_or(BodyError::Missing(key)),
        }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// A key that no event of this kind has, or bytes after the map.
    pub fn end(self) -> Result<(), BodyError> {
        if let Some(found) = self.next {
            return Err(BodyError::Unknown(found));
        }
        Ok(self.reader.end()?)
    }
}
