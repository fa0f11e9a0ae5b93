//! Which account an AWS access key id belongs to: it is in the id itself, so nobody has to be asked.

/// The twelve digits of the account (an encoding that is observed and not documented: base 32 behind the prefix; the
/// account is bits 1 to 40).
pub(crate) fn account_of(id: &str) -> Option<String> {
    let body = id.strip_prefix("AKIA").or_else(|| id.strip_prefix("ASIA"))?;
    if body.len() != 16 {
        return None;
    }
    let mut bits: u128 = 0;
    for byte in body.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u128::from(digit);
    }
    let account = (bits >> 39) & 0xff_ffff_ffff;
    (account < 1_000_000_000_000).then(|| format!("{account:012}"))
}

#[cfg(test)]
mod tests {
    use super::account_of;

    #[test]
    fn an_account_is_read_from_a_key_id() {
        // The two ids that the encoding was published with.
        assert_eq!(account_of("ASIAQNZGKIQY56JQ7WML").as_deref(), Some("029608264753"));
        assert_eq!(account_of("AKIASP2TPHJSQH3FJRUX").as_deref(), Some("171436882533"));
        for bad in ["", "AKIA", "AKIAQNZGKIQY56JQ7WM", "AKIAQNZGKIQY56JQ7WML2", "AKIA1111111111111111", "XXXXQNZGKIQY56JQ7WML"] {
            assert_eq!(account_of(bad), None, "{bad}");
        }
    }
}
