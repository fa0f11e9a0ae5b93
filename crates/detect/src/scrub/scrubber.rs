//! One stream being scrubbed.

use std::ops::Range;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::hits::{Hits, Tally};
use super::{Needles, Occurrence};

/// Masks the secrets of one [`Needles`] in one stream.
///
/// What it emits depends on the whole of its input only, not on how it was split. It never emits a byte that may still
/// turn out to begin a needle: it holds fewer than [`Needles::max_len`] bytes back, and none unless the input so far ends
/// in the beginning of a needle, so that an event of a stream is not delayed by the next.
///
/// As secret as what passes through it: no `Debug`, and what is held back is wiped on drop.
pub struct Scrubber {
    needles: Arc<Needles>,
    /// Input not emitted yet: always the beginning of some needle.
    carry: Zeroizing<Vec<u8>>,
    /// Scratch: the carry and what follows it.
    seam: Zeroizing<Vec<u8>>,
    /// Length of the input so far.
    seen: u64,
    /// Sorted, apart from each other, in offsets of the stream. Kept while they reach beyond what was emitted.
    masks: Vec<Range<u64>>,
    tally: Tally,
}

impl Scrubber {
    /// Begins a stream.
    #[must_use]
    pub fn new(needles: Arc<Needles>) -> Self {
        Self {
            needles,
            carry: Zeroizing::default(),
            seam: Zeroizing::default(),
            seen: 0,
            masks: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Appends to `out` everything that can be emitted once `chunk` is known.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if chunk.is_empty() {
            return;
        }
        if self.carry.is_empty() {
            self.push_whole(chunk, out);
        } else {
            self.push_after_carry(chunk, out);
        }
    }

    /// Ends the stream: what was held back turned out to be harmless and is emitted. Hits stay readable.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let carry = std::mem::take(&mut self.carry);
        self.emit(&carry, self.seen - carry.len() as u64, out);
        self.masks.clear();
    }

    /// Forgets everything and begins another stream with the same needles.
    pub fn reset(&mut self) {
        *self = Self::new(Arc::clone(&self.needles));
    }

    /// Bytes held back at the moment.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.carry.len()
    }

    /// What was masked so far.
    #[must_use]
    pub fn hits(&self) -> Hits {
        self.needles.hits_of(&self.tally)
    }

    /// Nothing is held back: the chunk is searched in place and copied once.
    fn push_whole(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let base = self.seen;
        let mut found = Vec::new();
        self.needles
            .find(chunk, base, |occurrence| found.push(occurrence));
        self.advance(chunk, base, found, out);
    }

    /// Searches what spans the carry and the chunk, then the chunk in place.
    fn push_after_carry(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let base = self.seen - self.carry.len() as u64;
        let reach = chunk.len().min(self.needles.max_len().saturating_sub(1));
        let mut seam = std::mem::take(&mut self.seam);
        seam.clear();
        if seam.capacity() == 0 {
            // Twice what can be held or is appended: it never grows, so no unwiped copy is left behind.
            seam.reserve_exact(self.needles.max_len() * 2);
        }
        seam.extend_from_slice(&self.carry);
        seam.extend_from_slice(chunk.get(..reach).unwrap_or_default());

        // What ends inside the carry was found when the carry was read.
        let mut found = Vec::new();
        let seen = self.seen;
        if reach == chunk.len() {
            self.needles.find(&seam, base, |o| {
                if o.end > seen {
                    found.push(o)
                }
            });
            self.advance(&seam, base, found, out);
        } else {
            // The chunk is longer than any needle's rest, so every needle that begins in the carry is decided.
            self.needles.find(&seam, base, |o| {
                if o.end > seen && o.start < seen {
                    found.push(o)
                }
            });
            self.needles
                .find(chunk, seen, |occurrence| found.push(occurrence));
            let carry = std::mem::take(&mut self.carry);
            self.settle(&mut found);
            self.emit(&carry, base, out);
            self.advance(chunk, seen, Vec::new(), out);
        }
        self.seam = seam;
    }

    /// Emits `input`, which begins at `base` and takes the place of the carry, up to what must be held back.
    fn advance(&mut self, input: &[u8], base: u64, mut found: Vec<Occurrence>, out: &mut Vec<u8>) {
        self.settle(&mut found);
        let (ready, held) = input.split_at(self.needles.held_from(input));
        self.emit(ready, base, out);
        self.carry.clear();
        if !held.is_empty() && self.carry.capacity() == 0 {
            self.carry.reserve_exact(self.needles.max_len());
        }
        self.carry.extend_from_slice(held);
        self.seen = base + input.len() as u64;
        let emitted = self.seen - held.len() as u64;
        self.masks.retain(|mask| mask.end > emitted);
    }

    fn settle(&mut self, found: &mut Vec<Occurrence>) {
        if !found.is_empty() {
            self.masks = settle(found, std::mem::take(&mut self.masks), &mut self.tally);
        }
    }

    fn emit(&self, bytes: &[u8], base: u64, out: &mut Vec<u8>) {
        let before = out.len();
        out.extend_from_slice(bytes);
        apply(
            &self.masks,
            self.needles.mask(),
            base,
            out.get_mut(before..).unwrap_or_default(),
        );
    }
}

/// Counts occurrences and joins them with the masks known before, sorted and apart from each other.
pub(super) fn settle(
    found: &mut Vec<Occurrence>,
    mut masks: Vec<Range<u64>>,
    tally: &mut Tally,
) -> Vec<Range<u64>> {
    found.sort_unstable();
    found.dedup();
    for occurrence in found.iter() {
        tally.record(*occurrence);
        masks.push(occurrence.start..occurrence.end);
    }
    masks.sort_unstable_by_key(|mask| mask.start);
    let mut union: Vec<Range<u64>> = Vec::with_capacity(masks.len());
    for mask in masks {
        match union.last_mut() {
            Some(last) if mask.start <= last.end => last.end = last.end.max(mask.end),
            _ => union.push(mask),
        }
    }
    union
}

/// Overwrites what the masks cover of `bytes`, which begin at `base`.
pub(super) fn apply(masks: &[Range<u64>], with: u8, base: u64, bytes: &mut [u8]) {
    let end = base + bytes.len() as u64;
    for mask in masks
        .iter()
        .filter(|mask| mask.end > base && mask.start < end)
    {
        // Both ends lie within `bytes`, whose length is a usize.
        let (from, to) = (mask.start.max(base) - base, mask.end.min(end) - base);
        if let Some(covered) = bytes.get_mut(from as usize..to as usize) {
            covered.fill(with);
        }
    }
}
