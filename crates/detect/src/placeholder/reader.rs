//! The syntax of shapes.

use super::ShapeError;

/// Reads the elements of a shape.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: text.as_bytes(),
            len: text.len(),
        }
    }
}

impl Reader<'_> {
    fn at(&self) -> usize {
        self.len - self.rest.len()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// A literal or a class.
    pub(super) fn element(&mut self) -> Result<Option<Vec<u8>>, ShapeError> {
        let at = self.at();
        match self.next() {
            None => Ok(None),
            Some(b'[') => self.class(at).map(Some),
            Some(b'\\') => self.escaped(at).map(|byte| Some(vec![byte])),
            Some(byte) if byte.is_ascii_graphic() && !b".^$*+?()|]{}".contains(&byte) => {
                Ok(Some(vec![byte]))
            }
            Some(byte) => Err(ShapeError::NotAllowed {
                what: printable(byte),
                at,
            }),
        }
    }

    fn escaped(&mut self, at: usize) -> Result<u8, ShapeError> {
        match self.next() {
            Some(byte) if byte.is_ascii_punctuation() && !b"<>".contains(&byte) => Ok(byte),
            Some(byte) => Err(ShapeError::NotAllowed {
                what: printable(byte),
                at: at + 1,
            }),
            None => Err(ShapeError::NotClosed { what: '\\', at }),
        }
    }

    fn class(&mut self, opened: usize) -> Result<Vec<u8>, ShapeError> {
        let mut members = Vec::new();
        loop {
            let first = match self.member(opened)? {
                None if members.is_empty() => {
                    return Err(ShapeError::Empty {
                        what: '[',
                        at: opened,
                    });
                }
                None => break,
                Some(byte) => byte,
            };
            let last = match self.rest {
                [b'-', next, ..] if *next != b']' => {
                    self.next();
                    self.member(opened)?.unwrap_or(first)
                }
                _ => first,
            };
            if last < first {
                return Err(ShapeError::Empty {
                    what: '[',
                    at: opened,
                });
            }
            members.extend(first..=last);
        }
        members.sort_unstable();
        members.dedup();
        Ok(members)
    }

    /// `None` at the end of the class. What regexes give a meaning inside classes needs a backslash here.
    fn member(&mut self, opened: usize) -> Result<Option<u8>, ShapeError> {
        let at = self.at();
        match self.next() {
            None => Err(ShapeError::NotClosed {
                what: '[',
                at: opened,
            }),
            Some(b']') => Ok(None),
            Some(b'\\') => self.escaped(at).map(Some),
            Some(byte) if byte.is_ascii_graphic() && !b"[^&~".contains(&byte) => Ok(Some(byte)),
            Some(byte) => Err(ShapeError::NotAllowed {
                what: printable(byte),
                at,
            }),
        }
    }

    /// How often the element before it is repeated.
    pub(super) fn count(&mut self) -> Result<usize, ShapeError> {
        let opened = self.at();
        if self.rest.first() != Some(&b'{') {
            return Ok(1);
        }
        self.next();
        let mut count = 0_usize;
        loop {
            let at = self.at();
            match self.next() {
                Some(digit @ b'0'..=b'9') => {
                    count = count
                        .saturating_mul(10)
                        .saturating_add(usize::from(digit - b'0'))
                }
                Some(b'}') if count > 0 => return Ok(count),
                Some(b'}') => {
                    return Err(ShapeError::Empty {
                        what: '{',
                        at: opened,
                    });
                }
                Some(byte) => {
                    return Err(ShapeError::NotAllowed {
                        what: printable(byte),
                        at,
                    });
                }
                None => {
                    return Err(ShapeError::NotClosed {
                        what: '{',
                        at: opened,
                    });
                }
            }
        }
    }
}

fn printable(byte: u8) -> char {
    if byte.is_ascii_graphic() {
        char::from(byte)
    } else {
        char::REPLACEMENT_CHARACTER
    }
}
