//! Randomness, from the kernel. The pure rings are given its bytes.

use crate::Error;

/// Fills `out`.
///
/// # Errors
/// Where the kernel gives none: nothing may go on then.
pub fn fill(out: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(out).map_err(|e| Error::Random(e.to_string()))
}

/// So many bytes.
///
/// # Errors
/// As [`fill`].
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut out = [0u8; N];
    fill(&mut out)?;
    Ok(out)
}
