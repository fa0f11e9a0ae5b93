//! A secret in memory: wiped on drop, impossible to print, serialise or clone.

mod entropy;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The bytes of a credential.
///
/// The bytes are wiped when the value is dropped. Copies that other libraries make of what [`Secret::expose`] returned
/// (a TLS record, an HTTP buffer) are not.
///
/// There is no way to print it by accident:
/// ```compile_fail,E0277
/// let secret = marque_detect::Secret::new(b"correct horse".to_vec());
/// let _ = format!("{secret:?}");
/// ```
/// ```compile_fail,E0277
/// let secret = marque_detect::Secret::new(b"correct horse".to_vec());
/// let _ = format!("{secret}");
/// ```
/// nor to copy it:
/// ```compile_fail,E0599
/// let secret = marque_detect::Secret::new(b"correct horse".to_vec());
/// let _ = secret.clone();
/// ```
/// nor to serialise it (the same program compiles for a type that can be):
/// ```compile_fail,E0277
/// fn wants_serialize<T: serde::Serialize>(_: T) {}
/// wants_serialize(marque_detect::Secret::new(b"correct horse".to_vec()));
/// ```
/// ```
/// fn wants_serialize<T: serde::Serialize>(_: T) {}
/// wants_serialize(b"correct horse".to_vec());
/// ```
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; the caller keeps no copy.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one place that puts them on the wire or derives something from them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in time that depends on the lengths only.
    #[must_use]
    pub fn eq_bytes(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }

    /// A cautious estimate of how many bits a guesser has to try, from the alphabet used, repetition and likeness to
    /// words. It is a heuristic that errs on the low side for what people make up, not a proof of strength.
    #[must_use]
    pub fn entropy_bits_estimate(&self) -> u32 {
        entropy::estimate_bits(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_sees_every_byte_and_the_length() {
        let secret = Secret::new(b"0123456789abcdef".to_vec());
        assert!(secret.eq_bytes(b"0123456789abcdef"));
        assert!(!secret.eq_bytes(b"0123456789abcdeF"));
        assert!(!secret.eq_bytes(b"0123456789abcde"));
        assert!(!secret.eq_bytes(b"0123456789abcdef0"));
        assert_eq!(secret.len(), 16);
        assert!(!secret.is_empty());
        assert!(Secret::new(Vec::new()).is_empty());
    }
}
