//! What to search for: all forms of a set of secrets, compiled once and shared.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::anchors::Anchors;
use super::hits::{Hits, SecretId, Tally};
use super::{Occurrence, scrubber};
use crate::Secret;
use crate::forms::{FormError, Sym, accepts_all, forms_of};
use crate::limits::{LOW_ENTROPY_BITS, SECRETS_MAX};

/// Why needles cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NeedleError {
    /// The secret itself cannot be scrubbed.
    #[error(transparent)]
    Form(#[from] FormError),
    /// More secrets than one search takes.
    #[error("more than {max} secrets in one search")]
    TooMany {
        /// [`SECRETS_MAX`].
        max: usize,
    },
    /// The secrets together use every byte that could mask them.
    #[error("no byte is left that occurs in none of the secrets and could mask them")]
    NoMask,
    /// The search could not be compiled.
    #[error("the search for these secrets could not be compiled")]
    Compile,
}

/// The compiled search for a set of secrets. Share it in an [`Arc`](std::sync::Arc).
pub struct Needles {
    ids: Vec<SecretId>,
    entropy_bits: Vec<u32>,
    needles: Vec<Needle>,
    anchors: Anchors,
    starts: Starts,
    max_len: usize,
    mask: u8,
}

/// Collects secrets.
#[derive(Default)]
pub struct NeedlesBuilder {
    ids: Vec<SecretId>,
    entropy_bits: Vec<u32>,
    needles: Vec<Needle>,
}

struct Needle {
    /// Index into [`Needles::ids`].
    secret: usize,
    syms: Zeroizing<Vec<Sym>>,
}

/// Which needles begin with a byte, and which pairs of bytes begin any: the end of every chunk is checked against it.
struct Starts {
    by_byte: Vec<Vec<usize>>,
    pairs: Zeroizing<Vec<u64>>,
}

impl NeedlesBuilder {
    /// Registers a secret. Several values may share an id (the parts of a credential, its basic-auth composite): their
    /// hits count as one secret's.
    ///
    /// # Errors
    /// When the secret is too short or long to be scrubbed, or there are [`SECRETS_MAX`] already.
    pub fn add(&mut self, id: SecretId, secret: &Secret) -> Result<&mut Self, NeedleError> {
        let forms = forms_of(secret)?;
        let bits = secret.entropy_bits_estimate();
        let index = match self.ids.iter().position(|known| *known == id) {
            Some(index) => index,
            None if self.ids.len() >= SECRETS_MAX => {
                return Err(NeedleError::TooMany { max: SECRETS_MAX });
            }
            None => {
                self.ids.push(id);
                self.entropy_bits.push(bits);
                self.ids.len() - 1
            }
        };
        if let Some(least) = self.entropy_bits.get_mut(index) {
            *least = bits.min(*least);
        }
        for form in forms {
            let syms = form.into_syms();
            if !self
                .needles
                .iter()
                .any(|known| known.secret == index && *known.syms == *syms)
            {
                self.needles.push(Needle {
                    secret: index,
                    syms,
                });
            }
        }
        Ok(self)
    }

    /// Compiles the search.
    ///
    /// # Errors
    /// When no byte can serve as the mask.
    pub fn build(self) -> Result<Needles, NeedleError> {
        let Self {
            ids,
            entropy_bits,
            needles,
        } = self;
        let anchors = Anchors::new(needles.iter().map(|needle| needle.syms.as_slice()))
            .ok_or(NeedleError::Compile)?;
        let starts = Starts::new(&needles);
        let max_len = needles
            .iter()
            .map(|needle| needle.syms.len())
            .max()
            .unwrap_or(0);
        let mask = choose_mask(&needles).ok_or(NeedleError::NoMask)?;
        Ok(Needles {
            ids,
            entropy_bits,
            needles,
            anchors,
            starts,
            max_len,
            mask,
        })
    }
}

impl Needles {
    /// Starts a set; an empty one finds nothing.
    #[must_use]
    pub fn builder() -> NeedlesBuilder {
        NeedlesBuilder::default()
    }

    /// The longest form, in bytes. A scrubber holds back less than this.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// What hits are replaced with: `*`, unless a secret contains it.
    #[must_use]
    pub fn mask(&self) -> u8 {
        self.mask
    }

    /// Whether the secret could be guessed through the scrubber, so that its first hit must withhold the body.
    #[must_use]
    pub fn is_low_entropy(&self, id: SecretId) -> bool {
        let bits = self
            .ids
            .iter()
            .position(|known| *known == id)
            .and_then(|index| self.entropy_bits.get(index));
        bits.is_some_and(|bits| *bits < LOW_ENTROPY_BITS)
    }

    /// Scrubs what is whole: a header value, a trailer, an error text. Borrows when there is nothing to mask.
    #[must_use]
    pub fn scrub_once<'a>(&self, input: &'a [u8]) -> Cow<'a, [u8]> {
        self.scrub_counting(input, &mut Hits::default())
    }

    /// [`Needles::scrub_once`], adding what was masked to `hits`.
    #[must_use]
    pub fn scrub_counting<'a>(&self, input: &'a [u8], hits: &mut Hits) -> Cow<'a, [u8]> {
        let mut found = Vec::new();
        self.find(input, 0, |occurrence| found.push(occurrence));
        if found.is_empty() {
            return Cow::Borrowed(input);
        }
        let mut tally = Tally::default();
        let masks = scrubber::settle(&mut found, Vec::new(), &mut tally);
        hits.merge(&self.hits_of(&tally));
        let mut output = input.to_vec();
        scrubber::apply(&masks, self.mask, 0, &mut output);
        Cow::Owned(output)
    }

    pub(super) fn hits_of(&self, tally: &Tally) -> Hits {
        tally.hits(&self.ids)
    }

    /// Calls with every occurrence of every needle, in no order, possibly more than once. `base` is the offset of
    /// `haystack` in the stream.
    pub(super) fn find(&self, haystack: &[u8], base: u64, mut call: impl FnMut(Occurrence)) {
        self.anchors.each(haystack, |needle, start| {
            let Some(needle) = self.needles.get(needle) else {
                return;
            };
            let Some(place) = haystack.get(start..start + needle.syms.len()) else {
                return;
            };
            if accepts_all(&needle.syms, place) {
                let start = base + start as u64;
                call(Occurrence {
                    end: start + place.len() as u64,
                    start,
                    secret: needle.secret,
                });
            }
        });
    }

    /// Where the part of `haystack` begins that may be the beginning of a needle; its length if no part may.
    pub(super) fn held_from(&self, haystack: &[u8]) -> usize {
        let first = haystack
            .len()
            .saturating_sub(self.max_len.saturating_sub(1));
        let mut tail = haystack.get(first..).unwrap_or_default();
        while let Some(byte) = tail.first() {
            if self.starts.may_begin(tail) && self.is_beginning(*byte, tail) {
                break;
            }
            tail = tail.get(1..).unwrap_or_default();
        }
        haystack.len() - tail.len()
    }

    fn is_beginning(&self, first: u8, tail: &[u8]) -> bool {
        let candidates = self
            .starts
            .by_byte
            .get(usize::from(first))
            .into_iter()
            .flatten();
        candidates
            .filter_map(|index| self.needles.get(*index))
            .any(|needle| needle.syms.len() > tail.len() && accepts_all(&needle.syms, tail))
    }
}

impl Starts {
    fn new(needles: &[Needle]) -> Self {
        let mut starts = Self {
            by_byte: vec![Vec::new(); 256],
            pairs: Zeroizing::new(vec![0; 1 << 10]),
        };
        for (index, needle) in needles.iter().enumerate() {
            let mut leading = needle.syms.iter().map(|sym| sym.bytes());
            let (Some(first), Some(second)) = (leading.next(), leading.next()) else {
                continue;
            };
            for a in [Some(first.0), first.1].into_iter().flatten() {
                if let Some(list) = starts.by_byte.get_mut(usize::from(a)) {
                    list.push(index);
                }
                for b in [Some(second.0), second.1].into_iter().flatten() {
                    let (word, bit) = Self::place(a, b);
                    if let Some(word) = starts.pairs.get_mut(word) {
                        *word |= bit;
                    }
                }
            }
        }
        starts
    }

    /// Cheap and never wrong about what may not begin a needle.
    fn may_begin(&self, tail: &[u8]) -> bool {
        match tail {
            [a, b, ..] => {
                let (word, bit) = Self::place(*a, *b);
                self.pairs.get(word).is_some_and(|word| word & bit != 0)
            }
            _ => true,
        }
    }

    fn place(a: u8, b: u8) -> (usize, u64) {
        let pair = usize::from(a) << 8 | usize::from(b);
        (pair >> 6, 1 << (pair & 63))
    }
}

/// A byte no needle contains, so that masking cannot complete one. It must not end a JSON string or an HTML element.
fn choose_mask(needles: &[Needle]) -> Option<u8> {
    let mut used = [false; 256];
    for sym in needles.iter().flat_map(|needle| needle.syms.iter()) {
        let (one, other) = sym.bytes();
        for byte in [Some(one), other].into_iter().flatten() {
            if let Some(flag) = used.get_mut(usize::from(byte)) {
                *flag = true;
            }
        }
    }
    let harmless = (b'!'..=0x7f).filter(|byte| {
        !matches!(
            byte,
            b'"' | b'\'' | b'\\' | b'<' | b'>' | b'&' | b'%' | b'/'
        )
    });
    let mut preferred = [b'*', b'#', b'x', b'X', b'.', b'_']
        .into_iter()
        .chain(harmless);
    preferred.find(|byte| used.get(usize::from(*byte)) == Some(&false))
}
