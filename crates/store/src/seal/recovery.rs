//! The recovery key as text that a person can write down.

use super::SealError;
use marque_detect::Secret;
use marque_journal::merkle::sha256;
use zeroize::Zeroizing;

const PREFIX: &str = "marque-rk-";
/// Crockford's base 32: no `i`, `l`, `o` or `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const KEY_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;
/// Letters between two hyphens.
const GROUP: usize = 5;

fn checksum(key: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = sha256(&[b"marque/recovery/v1", key].concat());
    [a, b, c, d]
}

/// `marque-rk-` and 58 letters in groups of five, the last of which tell a slip of the pen.
pub(crate) fn to_text(key: &Secret) -> Secret {
    let mut bytes = Zeroizing::new(key.expose().to_vec());
    bytes.extend_from_slice(&checksum(key.expose()));
    let mut text = Vec::with_capacity(2 * bytes.len() + PREFIX.len());
    text.extend_from_slice(PREFIX.as_bytes());
    let (mut bits, mut held, mut written) = (0u32, 0u32, 0usize);
    // Zero bits at the end complete the last letter.
    for byte in bytes.iter().chain(std::iter::once(&0)) {
        bits = (bits << 8 | u32::from(*byte)) & 0xffff;
        held += 8;
        while held >= 5 && written < letters() {
            held -= 5;
            if written > 0 && written.is_multiple_of(GROUP) {
                text.push(b'-');
            }
            text.push(ALPHABET.get((bits >> held & 31) as usize).copied().unwrap_or(b'0'));
            written += 1;
        }
    }
    Secret::new(text)
}

const fn letters() -> usize {
    ((KEY_BYTES + CHECKSUM_BYTES) * 8).div_ceil(5)
}

/// The key in a text. Case, spaces and hyphens do not matter, and letters that look like digits are read as such.
pub(crate) fn from_text(text: &Secret) -> Result<Secret, SealError> {
    let lower = Zeroizing::new(text.expose().to_ascii_lowercase());
    let body = lower.trim_ascii().strip_prefix(PREFIX.as_bytes()).ok_or(SealError::NotARecoveryKey)?;
    let mut bytes = Vec::with_capacity(KEY_BYTES + CHECKSUM_BYTES + 1);
    let (mut bits, mut held, mut read) = (0u32, 0u32, 0usize);
    for letter in body.iter().filter(|letter| !matches!(letter, b'-' | b' ')) {
        let letter = match letter {
            b'o' => b'0',
            b'i' | b'l' => b'1',
            other => *other,
        };
        let value = ALPHABET.iter().position(|a| *a == letter).ok_or(SealError::NotARecoveryKey)?;
        bits = (bits << 5 | u32::try_from(value).unwrap_or(0)) & 0xffff;
        held += 5;
        read += 1;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
        if read > letters() {
            return Err(SealError::NotARecoveryKey);
        }
    }
    let key = bytes.get(..KEY_BYTES).map(<[u8]>::to_vec).map(Secret::new);
    let whole = Secret::new(bytes);
    let key = key.ok_or(SealError::NotARecoveryKey)?;
    let padded = bits & ((1 << held) - 1) == 0;
    if read != letters() || !padded || whole.expose().get(KEY_BYTES..) != Some(&checksum(key.expose())[..]) {
        return Err(SealError::NotARecoveryKey);
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_recovery_key_survives_being_written_down(key in any::<[u8; 32]>()) {
            let text = to_text(&Secret::new(key.to_vec()));
            prop_assert!(text.expose().starts_with(b"marque-rk-"));
            let careless = String::from_utf8(text.expose().to_vec()).unwrap().to_uppercase().replace('0', "O").replacen("MARQUE-RK-", "marque-rk-", 1);
            for written in [text.expose().to_vec(), careless.into_bytes()] {
                prop_assert!(from_text(&Secret::new(written)).is_ok_and(|read| read.eq_bytes(&key)));
            }
        }

        #[test]
        fn one_wrong_letter_is_told(key in any::<[u8; 32]>(), at in 0usize..58, letter in 0usize..31) {
            let mut text = to_text(&Secret::new(key.to_vec())).expose().to_vec();
            let letters: Vec<usize> = (PREFIX.len()..text.len()).filter(|i| text[*i] != b'-').collect();
            let position = letters[at];
            let other: Vec<u8> = ALPHABET.iter().copied().filter(|l| *l != text[position]).collect();
            text[position] = other[letter];
            prop_assert!(matches!(from_text(&Secret::new(text)), Err(SealError::NotARecoveryKey)));
        }
    }

    #[test]
    fn what_is_not_a_recovery_key_is_refused() {
        for text in [
            "",
            "marque-rk-",
            "marque-rk-00000",
            "sk-00000",
            &format!("marque-rk-{}", "0".repeat(59)),
            &format!("marque-rk-{}", "0".repeat(10_000)),
        ] {
            assert!(matches!(from_text(&Secret::new(text.as_bytes().to_vec())), Err(SealError::NotARecoveryKey)), "{text}");
        }
    }
}
