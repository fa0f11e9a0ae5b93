//! The fast half of the search: literal windows of the needles, found with SIMD.

use std::collections::BTreeMap;

use aho_corasick::packed::{self, MatchKind};
use aho_corasick::{AhoCorasick, AhoCorasickKind, Span};

use crate::forms::Sym;

/// Preferred length of an anchor. Long enough to be rare, short enough to say little of the secret.
const WINDOW_BYTES: usize = 8;
/// Shortest anchor considered.
const WINDOW_MIN_BYTES: usize = 4;
/// Spellings of one anchor (upper and lower case digits) that are worth a longer window.
const SPELLINGS: usize = 4;
/// Literals one Teddy search takes.
const TEDDY_LITERALS: usize = 64;
/// Teddy passes beyond which one pass of an automaton is as fast: about 2 GB/s by the number of passes, against 0.3.
const TEDDY_PASSES: usize = 4;

/// Where a needle would lie if an anchor occurs at some place.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) needle: usize,
    /// Bytes of the needle before the anchor.
    pub(super) offset: usize,
}

/// Finds every place where a needle may be.
pub(super) struct Anchors {
    engine: Engine,
    /// Per literal: what may lie there. Includes the candidates of literals that begin alike, because a search reports
    /// only one literal per place.
    candidates: Vec<Vec<Candidate>>,
}

enum Engine {
    /// Searchers with the number of their first literal.
    Teddy(Vec<(usize, packed::Searcher)>),
    Automaton(Box<AhoCorasick>),
    /// No needles.
    Nothing,
}

impl Anchors {
    /// `None` when the automaton cannot be built, which the limits on secrets rule out.
    pub(super) fn new<'a>(needles: impl Iterator<Item = &'a [Sym]>) -> Option<Self> {
        let mut literals: BTreeMap<Vec<u8>, Vec<Candidate>> = BTreeMap::new();
        for (needle, syms) in needles.enumerate() {
            let window = best_window(syms);
            let anchor = syms.get(window.clone()).unwrap_or_default();
            for spelling in spellings(anchor) {
                literals.entry(spelling).or_default().push(Candidate {
                    needle,
                    offset: window.start,
                });
            }
        }
        let (words, own): (Vec<_>, Vec<_>) = literals.into_iter().unzip();
        let engine = Engine::new(&words)?;
        Some(Self {
            engine,
            candidates: with_prefixes(&words, own),
        })
    }

    /// Calls with each possible start of a needle in `haystack`; some are called more than once.
    pub(super) fn each(&self, haystack: &[u8], mut call: impl FnMut(usize, usize)) {
        let mut report = |literal: usize, at: usize| {
            for candidate in self.candidates.get(literal).into_iter().flatten() {
                if let Some(start) = at.checked_sub(candidate.offset) {
                    call(candidate.needle, start);
                }
            }
        };
        match &self.engine {
            Engine::Nothing => {}
            Engine::Teddy(passes) => {
                for (first, searcher) in passes {
                    let mut from = 0;
                    while let Some(found) =
                        searcher.find_in(haystack, Span::from(from..haystack.len()))
                    {
                        report(first + found.pattern().as_usize(), found.start());
                        from = found.start() + 1;
                    }
                }
            }
            Engine::Automaton(automaton) => {
                for found in automaton.find_overlapping_iter(haystack) {
                    report(found.pattern().as_usize(), found.start());
                }
            }
        }
    }
}

impl Engine {
    fn new(words: &[Vec<u8>]) -> Option<Self> {
        if words.is_empty() {
            return Some(Self::Nothing);
        }
        if words.len() <= TEDDY_LITERALS * TEDDY_PASSES
            && let Some(passes) = Self::teddy(words)
        {
            return Some(passes);
        }
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .build(words)
            .ok()?;
        Some(Self::Automaton(Box::new(automaton)))
    }

    /// `None` where the processor has no Teddy.
    fn teddy(words: &[Vec<u8>]) -> Option<Self> {
        let mut passes = Vec::new();
        for (pass, chunk) in words.chunks(TEDDY_LITERALS).enumerate() {
            let mut builder = packed::Config::new()
                .match_kind(MatchKind::LeftmostFirst)
                .builder();
            builder.extend(chunk);
            passes.push((pass * TEDDY_LITERALS, builder.build()?));
        }
        Some(Self::Teddy(passes))
    }
}

/// Adds to each literal the candidates of those that are its beginning or that it begins.
fn with_prefixes(words: &[Vec<u8>], own: Vec<Vec<Candidate>>) -> Vec<Vec<Candidate>> {
    let mut merged = own.clone();
    for (all, word) in merged.iter_mut().zip(words) {
        for (other, more) in words.iter().zip(&own) {
            if other != word && (other.starts_with(word) || word.starts_with(other)) {
                all.extend_from_slice(more);
            }
        }
    }
    merged
}

/// The window to search for: few spellings, as long as allowed, and of many different bytes, the first four above all
/// because Teddy looks at those.
fn best_window(syms: &[Sym]) -> std::ops::Range<usize> {
    let longest = WINDOW_BYTES.min(syms.len());
    let shortest = WINDOW_MIN_BYTES.min(longest);
    for len in (shortest..=longest).rev() {
        let best = syms
            .windows(len)
            .enumerate()
            .filter(|(_, window)| spelling_count(window) <= SPELLINGS)
            .max_by_key(|(at, window)| {
                (
                    distinct(window.iter().take(4)),
                    distinct(window.iter()),
                    *at,
                )
            });
        if let Some((at, _)) = best {
            return at..at + len;
        }
    }
    let fewest = syms
        .windows(shortest)
        .enumerate()
        .min_by_key(|(_, window)| spelling_count(window));
    fewest.map_or(0..syms.len(), |(at, _)| at..at + shortest)
}

fn distinct<'a>(syms: impl Iterator<Item = &'a Sym>) -> u32 {
    let mut seen = [0_u128; 2];
    for sym in syms {
        let (byte, _) = sym.bytes();
        if let Some(half) = seen.get_mut(usize::from(byte >> 7)) {
            *half |= 1 << (byte & 0x7f);
        }
    }
    seen.iter().map(|half| half.count_ones()).sum()
}

fn spelling_count(window: &[Sym]) -> usize {
    1 << window.iter().filter(|sym| sym.bytes().1.is_some()).count()
}

fn spellings(window: &[Sym]) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::with_capacity(window.len())];
    for sym in window {
        let (one, other) = sym.bytes();
        let mut more = Vec::new();
        for word in &mut all {
            if let Some(other) = other {
                let mut second = word.clone();
                second.push(other);
                more.push(second);
            }
            word.push(one);
        }
        all.append(&mut more);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use crate::forms::forms_of;

    fn syms(secret: &[u8]) -> Vec<zeroize::Zeroizing<Vec<Sym>>> {
        forms_of(&Secret::new(secret.to_vec()))
            .unwrap()
            .into_iter()
            .map(crate::forms::Form::into_syms)
            .collect()
    }

    #[test]
    fn an_anchor_is_a_short_window_with_few_spellings() {
        for secret in [
            &b"ghp_x9Kq2LmZ7vTn4RbW8sYc1DfHj6GpUaEo3QiX"[..],
            &[0xab; 20],
            b"        ",
            b"\xfa\xde\xdb\xeb\xab\xac\xfe\xef\xfd",
        ] {
            for needle in syms(secret) {
                let window = best_window(&needle);
                assert!((WINDOW_MIN_BYTES..=WINDOW_BYTES).contains(&window.len()));
                assert!(spellings(&needle[window]).len() <= 16);
            }
        }
    }

    #[test]
    fn a_literal_that_begins_another_hides_neither() {
        let words = [b"abcd".to_vec(), b"abcdef".to_vec(), b"bcde".to_vec()];
        let own = (0..3)
            .map(|needle| vec![Candidate { needle, offset: 0 }])
            .collect();
        let merged = with_prefixes(&words, own);
        assert_eq!(merged.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
