//! A strict pull reader: it accepts exactly what [`super::Writer`] can produce.

use super::CborError;
use crate::limits::MAX_BODY_DEPTH;

/// What the next item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Unsigned integer.
    Uint,
    /// Negative integer.
    Negative,
    /// Byte string.
    Bytes,
    /// Text string.
    Text,
    /// Array.
    Array,
    /// Map.
    Map,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
}

/// Reads items from the front of a byte slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The kind of the next item, which stays unread.
    ///
    /// # Errors
    /// [`CborError::Truncated`] at the end, [`CborError::Forbidden`] for tags, floats and unassigned values.
    pub fn peek(&self) -> Result<Kind, CborError> {
        let first = *self.rest.first().ok_or(CborError::Truncated)?;
        Ok(match first >> 5 {
            0 => Kind::Uint,
            1 => Kind::Negative,
            2 => Kind::Bytes,
            3 => Kind::Text,
            4 => Kind::Array,
            5 => Kind::Map,
            _ if first == 0xf4 || first == 0xf5 => Kind::Bool,
            _ if first == 0xf6 => Kind::Null,
            _ => return Err(CborError::Forbidden),
        })
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// When the next item is not one, or not in its shortest form.
    pub fn uint(&mut self) -> Result<u64, CborError> {
        self.head_of(0)
    }

    /// A signed integer that fits `i64`.
    ///
    /// # Errors
    /// When the next item is not an integer, not in its shortest form, or out of range.
    pub fn int(&mut self) -> Result<i64, CborError> {
        let (major, value) = self.head()?;
        let value = i64::try_from(value).map_err(|_| CborError::Range)?;
        match major {
            0 => Ok(value),
            1 => Ok(!value),
            _ => Err(CborError::Unexpected),
        }
    }

    /// A byte string.
    ///
    /// # Errors
    /// When the next item is not one, or it is cut.
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.head_of(2)?;
        self.take(len)
    }

    /// A byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// When the next item is not one.
    pub fn byte_array<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        self.bytes()?.try_into().map_err(|_| CborError::Range)
    }

    /// A text string.
    ///
    /// # Errors
    /// When the next item is not one, it is cut, or it is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let len = self.head_of(3)?;
        std::str::from_utf8(self.take(len)?).map_err(|_| CborError::Utf8)
    }

    /// The number of items of an array; they follow. It is untrusted: allocate nothing from it.
    ///
    /// # Errors
    /// When the next item is not an array.
    pub fn array(&mut self) -> Result<u64, CborError> {
        self.head_of(4)
    }

    /// The number of entries of a map; they follow. It is untrusted: allocate nothing from it.
    ///
    /// # Errors
    /// When the next item is not a map.
    pub fn map(&mut self) -> Result<u64, CborError> {
        self.head_of(5)
    }

    /// The next unsigned key of a map, which must be above the one before.
    ///
    /// # Errors
    /// [`CborError::KeyOrder`] when it is not, and as [`Reader::uint`].
    pub fn key_above(&mut self, before: &mut Option<u64>) -> Result<u64, CborError> {
        let key = self.uint()?;
        if before.is_some_and(|b| key <= b) {
            return Err(CborError::KeyOrder);
        }
        *before = Some(key);
        Ok(key)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// When the next item is neither.
    pub fn bool(&mut self) -> Result<bool, CborError> {
        match self.peek()? {
            Kind::Bool => Ok(self.take(1)? == [0xf5]),
            _ => Err(CborError::Unexpected),
        }
    }

    /// `null`.
    ///
    /// # Errors
    /// When the next item is another.
    pub fn null(&mut self) -> Result<(), CborError> {
        match self.peek()? {
            Kind::Null => self.take(1).map(|_| ()),
            _ => Err(CborError::Unexpected),
        }
    }

    /// Reads one whole item of any kind and gives its bytes; checks everything, to `max_depth` levels of arrays and maps.
    ///
    /// # Errors
    /// When the item is not deterministic CBOR or is nested deeper.
    pub fn item(&mut self, max_depth: usize) -> Result<&'a [u8], CborError> {
        let start = self.rest;
        self.skip(max_depth)?;
        let used = start.len().saturating_sub(self.rest.len());
        start.get(..used).ok_or(CborError::Truncated)
    }

    /// Nothing may follow.
    ///
    /// # Errors
    /// [`CborError::Trailing`].
    pub fn end(&self) -> Result<(), CborError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CborError::Trailing) }
    }

    // Recursion is bounded by `max_depth`, which is at most `MAX_BODY_DEPTH` wherever input is untrusted.
    fn skip(&mut self, max_depth: usize) -> Result<(), CborError> {
        match self.peek()? {
            Kind::Uint | Kind::Negative => self.head().map(|_| ()),
            Kind::Bytes => self.bytes().map(|_| ()),
            Kind::Text => self.text().map(|_| ()),
            Kind::Bool | Kind::Null => self.take(1).map(|_| ()),
            Kind::Array => {
                let inner = max_depth.checked_sub(1).ok_or(CborError::TooDeep)?;
                for _ in 0..self.array()? {
                    self.skip(inner)?;
                }
                Ok(())
            }
            Kind::Map => {
                let inner = max_depth.checked_sub(1).ok_or(CborError::TooDeep)?;
                self.skip_map(inner)
            }
        }
    }

    fn skip_map(&mut self, inner: usize) -> Result<(), CborError> {
        let mut before: Option<&[u8]> = None;
        for _ in 0..self.map()? {
            // A key is a scalar, so depth 0.
            let key = self.item(0)?;
            if before.is_some_and(|b| key <= b) {
                return Err(CborError::KeyOrder);
            }
            before = Some(key);
            self.skip(inner)?;
        }
        Ok(())
    }

    fn head_of(&mut self, wanted: u8) -> Result<u64, CborError> {
        let (major, value) = self.head()?;
        if major == wanted { Ok(value) } else { Err(CborError::Unexpected) }
    }

    fn head(&mut self) -> Result<(u8, u64), CborError> {
        let (&first, rest) = self.rest.split_first().ok_or(CborError::Truncated)?;
        let (major, low) = (first >> 5, first & 31);
        self.rest = rest;
        let (value, least) = match low {
            0..=23 => (u64::from(low), 0),
            24 => (u64::from(u8::from_be_bytes(self.take_array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.take_array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.take_array()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.take_array()?), 1 << 32),
            31 => return Err(CborError::Indefinite),
            _ => return Err(CborError::Forbidden),
        };
        if value < least { Err(CborError::NotShortest) } else { Ok((major, value)) }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let len = usize::try_from(len).map_err(|_| CborError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// Checks that `bytes` is exactly one map with unsigned integer keys, deterministic, at most [`MAX_BODY_DEPTH`] levels deep.
///
/// # Errors
/// What is wrong with it.
pub fn validate(bytes: &[u8]) -> Result<(), CborError> {
    let mut reader = Reader::new(bytes);
    let mut before = None;
    for _ in 0..reader.map()? {
        reader.key_above(&mut before)?;
        reader.item(MAX_BODY_DEPTH - 1)?;
    }
    reader.end()
}
