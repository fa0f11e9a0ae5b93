//! What an HTTP request may look like, what is taken off it, and what its bytes hash to.
//!
//! Works on the values that hyper has already parsed; whatever two parsers could read differently is refused here
//! and never repaired (threats H13, H14). No JSON is rendered here: a [`Reject`] has a sentence and a stable kind.

pub mod check;
pub mod content;
mod framing;
pub mod path;
pub mod query;
mod reject;
pub mod strip;
pub mod ws;

pub use check::{Checked, check_absolute, check_connect, check_connect_as, check_request};
pub use content::{ContentHasher, content_hash, is_bound, is_unbound};
pub use framing::Framing;
pub use path::{Ambiguous, CanonicalPath};
pub use reject::Reject;
pub use strip::{RequestStrip, ResponseStrip, body_changed, strip_request, strip_response};

use http::HeaderName;

/// Whether a header is that one for a server that maps names to variables: CGI and its heirs (RFC 3875 section
/// 4.1.18) read `X-Api-Key` and `X_Api_Key` as one name, so an alias must not slip past a rule about the other.
#[must_use]
pub(crate) fn same_header(name: &HeaderName, other: &str) -> bool {
    let fold = |b: u8| if b == b'_' { b'-' } else { b.to_ascii_lowercase() };
    name.as_str().len() == other.len() && name.as_str().bytes().map(fold).eq(other.bytes().map(fold))
}
