//! Mask every form of every registered secret, in a stream, without changing its length.
//!
//! [`Needles`] are built once per set of credential versions and shared; a [`Scrubber`] is one stream's state.
//!
//! A fast search finds *anchors*, short literal windows of the needles, and each is verified in full at its place, so
//! that overlapping occurrences are all found and the union of them is masked. Only the anchors reach the search
//! library: it never holds a whole secret.

mod anchors;
mod hits;
mod needles;
mod scrubber;

pub use hits::{Hits, SecretId};
pub use needles::{NeedleError, Needles, NeedlesBuilder};
pub use scrubber::Scrubber;

/// One occurrence of a needle, in offsets of what was searched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Occurrence {
    /// First in order: occurrences are counted by where they end, which no split of the input changes.
    end: u64,
    start: u64,
    /// Position of the secret in [`Needles`].
    secret: usize,
}
