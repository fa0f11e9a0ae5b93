//! Identifiers: random bytes from outside, a short prefix that says what they name, and a text form people can copy.

use std::fmt;
use std::str::FromStr;

/// Crockford's base 32 in lower case: no `i`, `l`, `o` or `u`, so an id read aloud survives.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{prefix}-…`")]
pub struct IdError {
    /// What was given, cut to 64 characters.
    pub text: String,
    /// The prefix that was expected.
    pub prefix: &'static str,
}

fn write_base32(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut acc = 0u32;
    let mut bits = 0u32;
    for byte in bytes {
        acc = ((acc & 0xff) << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            let index = ((acc >> bits) & 31) as usize;
            let symbol = ALPHABET.get(index).copied().unwrap_or(b'0');
            write!(f, "{}", char::from(symbol))?;
        }
    }
    if bits > 0 {
        let index = ((acc << (5 - bits)) & 31) as usize;
        let symbol = ALPHABET.get(index).copied().unwrap_or(b'0');
        write!(f, "{}", char::from(symbol))?;
    }
    Ok(())
}

fn read_base32(text: &str, out: &mut [u8]) -> Option<()> {
    let mut acc = 0u32;
    let mut bits = 0u32;
    let mut slots = out.iter_mut();
    let mut filled = 0usize;
    for symbol in text.bytes() {
        let value = ALPHABET.iter().position(|a| *a == symbol)?;
        acc = ((acc & 0xff) << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            *slots.next()? = ((acc >> bits) & 0xff) as u8;
            filled += 1;
        }
    }
    // What is left must be padding of zero bits, so that one id has exactly one text.
    (filled == out.len() && bits < 5 && (acc & ((1 << bits) - 1)) == 0).then_some(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// How many bytes the id has.
            pub const LEN: usize = $len;
            /// What its text begins with.
            pub const PREFIX: &'static str = $prefix;
            /// Wraps bytes that the caller drew at random, or read back from a record.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
            /// The bytes, as a record holds them.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "-"))?;
                write_base32(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let fail = || IdError { text: text.chars().take(64).collect(), prefix: $prefix };
                let rest = text.strip_prefix(concat!($prefix, "-")).ok_or_else(fail)?;
                let mut bytes = [0u8; $len];
                read_base32(rest, &mut bytes).ok_or_else(fail)?;
                Ok(Self(bytes))
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One session.
    SessionId, "s", 10
);
id!(
    /// One question to a human.
    AskId, "q", 10
);
id!(
    /// One stored credential, over all its versions.
    CredentialId, "c", 10
);
id!(
    /// One credential minted at an upstream, or kept from an upstream's answer.
    LeaseId, "l", 10
);
id!(
    /// A pseudonym of a human. The name is in an erasable table; records hold this alone (threats H9).
    SubjectId, "h", 16
);
id!(
    /// One authority's journal.
    InstanceId, "i", 16
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_itself_and_no_other_text_does() {
        let id = SessionId::from_bytes([7, 255, 0, 1, 2, 3, 4, 5, 6, 250]);
        let text = id.to_string();
        assert_eq!(text.len(), 2 + 16);
        assert_eq!(text.parse::<SessionId>(), Ok(id));
        assert!(text.to_uppercase().parse::<SessionId>().is_err());
        assert!(format!("{text}0").parse::<SessionId>().is_err());
        assert!(text.replace("s-", "q-").parse::<SessionId>().is_err());
    }

    #[test]
    fn padding_bits_must_be_zero() {
        let id = SubjectId::from_bytes([0xff; 16]);
        let text = id.to_string();
        let mut other = text.clone();
        other.pop();
        let last = text.chars().last().map(|c| if c == 'z' { 'y' } else { 'z' });
        other.extend(last);
        assert_ne!(other, text);
        assert!(other.parse::<SubjectId>().is_err());
    }
}
