//! Reads the memory of a thread that waits for an answer. What cannot be read is an error, never nothing: a program whose
//! arguments are hidden is not a program without arguments.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const PAGE: usize = 4_096;
/// Pages that are kept: the array of pointers, and the strings on a page or two.
const KEPT: usize = 4;

/// A process's memory, by pages. It stays that of the program that ran when it was opened, also after an exec.
pub(crate) struct Memory {
    file: File,
    pages: Vec<Page>,
    next: usize,
}

struct Page {
    at: u64,
    bytes: Vec<u8>,
}

/// Strings that were read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Strings {
    /// The strings, each followed by a zero byte.
    pub bytes: Vec<u8>,
    /// How many.
    pub count: usize,
    /// There are more, or the last is longer: they did not fit the bound.
    pub truncated: bool,
}

impl Strings {
    /// The strings, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == 0).take(self.count)
    }

    /// The first strings of a program that starts with these.
    #[must_use]
    pub fn of<'a>(strings: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut all = Self::default();
        for string in strings {
            all.push(string);
        }
        all
    }

    /// What was read of the string that did not fit.
    pub(crate) fn tail(&self) -> &[u8] {
        let whole = self.bytes.iter().rposition(|byte| *byte == 0).map_or(0, |at| at + 1);
        if self.truncated { self.bytes.get(whole..).unwrap_or_default() } else { &[] }
    }

    fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        self.count += 1;
    }
}

impl Memory {
    /// Opens the memory of `tid`.
    pub(crate) fn open(tid: i32) -> io::Result<Self> {
        Ok(Self { file: File::open(format!("/proc/{tid}/mem"))?, pages: Vec::with_capacity(KEPT), next: 0 })
    }

    /// Bytes from `at` to the end of their page.
    fn rest_of_page(&mut self, at: u64) -> io::Result<&[u8]> {
        let base = at & !(PAGE as u64 - 1);
        let known = self.pages.iter().position(|page| page.at == base);
        let index = match known {
            Some(index) => index,
            None => {
                let mut bytes = vec![0u8; PAGE];
                self.file.read_exact_at(&mut bytes, base)?;
                let page = Page { at: base, bytes };
                if self.pages.len() < KEPT {
                    self.pages.push(page);
                    self.pages.len() - 1
                } else {
                    let index = self.next % KEPT;
                    self.next = self.next.wrapping_add(1);
                    if let Some(slot) = self.pages.get_mut(index) {
                        *slot = page;
                    }
                    index
                }
            }
        };
        let offset = usize::try_from(at - base).unwrap_or(PAGE);
        self.pages.get(index).and_then(|page| page.bytes.get(offset..)).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Up to `max` bytes of the string at `at` are appended to `out`. True if it ended within them.
    pub(crate) fn string(&mut self, mut at: u64, max: usize, out: &mut Vec<u8>) -> io::Result<bool> {
        let mut left = max;
        loop {
            let rest = self.rest_of_page(at)?;
            let rest = rest.get(..left.min(rest.len())).unwrap_or(rest);
            if let Some(end) = rest.iter().position(|byte| *byte == 0) {
                out.extend_from_slice(rest.get(..end).unwrap_or_default());
                return Ok(true);
            }
            out.extend_from_slice(rest);
            left -= rest.len();
            if left == 0 {
                return Ok(false);
            }
            at = at.checked_add(rest.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
        }
    }

    /// `len` bytes at `at`.
    pub(crate) fn bytes(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0u8; len];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    fn word(&mut self, at: u64) -> io::Result<u64> {
        if let Some(word) = self.rest_of_page(at)?.first_chunk::<8>() {
            return Ok(u64::from_ne_bytes(*word));
        }
        // A pointer across two pages.
        let mut word = [0u8; 8];
        self.file.read_exact_at(&mut word, at)?;
        Ok(u64::from_ne_bytes(word))
    }

    /// The strings of the array of pointers at `array`, of at most `max` bytes with their terminators. A null array is an empty
    /// one, as in the kernel.
    pub(crate) fn strings(&mut self, array: u64, max: usize) -> io::Result<Strings> {
        let mut strings = Strings::default();
        if array == 0 {
            return Ok(strings);
        }
        let mut at = array;
        loop {
            let pointer = self.word(at)?;
            if pointer == 0 {
                return Ok(strings);
            }
            let room = max.saturating_sub(strings.bytes.len());
            // One byte of the room is the terminator's.
            let whole = room > 0 && self.string(pointer, room, &mut strings.bytes)?;
            if !whole {
                strings.truncated = true;
                return Ok(strings);
            }
            strings.bytes.push(0);
            strings.count += 1;
            at = at.checked_add(8).ok_or(io::ErrorKind::InvalidData)?;
        }
    }
}

#[cfg(test)]
mod tests;
