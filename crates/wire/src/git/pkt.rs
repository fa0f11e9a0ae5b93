//! pkt-lines (gitprotocol-common).

use crate::profile::limits::PKT_DATA_BYTES_MAX;

/// Why bytes are no push that can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// Four hex digits were expected, or the length is 3 or above the bound.
    #[error("a pkt-line has no valid length")]
    Length,
    /// The command section ends before its flush packet.
    #[error("the commands end before their flush packet")]
    Truncated,
    /// The command section is longer than the bound.
    #[error("the commands are longer than the bound")]
    TooLong,
    /// More commands than the bound.
    #[error("there are more ref commands than the bound")]
    TooMany,
    /// Not `old new ref`.
    #[error("a line is not a ref command")]
    Command,
    /// The ref is not what `git check-ref-format` accepts, or not UTF-8.
    #[error("a ref name is not valid")]
    RefName,
    /// One ref is named twice.
    #[error("a ref is changed twice")]
    RefTwice,
    /// A signed push: the commands are inside the certificate.
    #[error("the push is signed, so that its commands lie inside the certificate")]
    PushCert,
    /// Push options change what the server does, in ways of its own.
    #[error("the push carries options, whose meaning is the server's")]
    PushOptions,
}

/// One pkt-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pkt<'a> {
    /// `0000`
    Flush,
    /// `0001`
    Delim,
    /// `0002`
    ResponseEnd,
    /// Anything longer.
    Data(&'a [u8]),
}

/// Reads the first pkt-line of `bytes` and says how long it is with its length field. `None`: more bytes are needed.
///
/// # Errors
/// [`GitError::Length`].
pub fn read(bytes: &[u8]) -> Result<Option<(Pkt<'_>, usize)>, GitError> {
    let Some((head, rest)) = bytes.split_at_checked(4) else {
        // A wrong digit is refused as soon as it is there.
        return if bytes.iter().all(u8::is_ascii_hexdigit) { Ok(None) } else { Err(GitError::Length) };
    };
    let Some(length) = hex4(head) else { return Err(GitError::Length) };
    match length {
        0 => Ok(Some((Pkt::Flush, 4))),
        1 => Ok(Some((Pkt::Delim, 4))),
        2 => Ok(Some((Pkt::ResponseEnd, 4))),
        3 => Err(GitError::Length),
        _ if length - 4 > PKT_DATA_BYTES_MAX => Err(GitError::Length),
        _ => Ok(rest.get(..length - 4).map(|data| (Pkt::Data(data), length))),
    }
}

/// The bytes of the pkt-line that `bytes` begins with, as far as its length field is there.
pub(super) fn needed(bytes: &[u8]) -> usize {
    bytes.get(..4).and_then(hex4).map_or(4, |length| length.max(4))
}

fn hex4(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |sum, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(sum * 16 + usize::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pkt_lines_are_read_exactly() {
        assert_eq!(read(b"0000rest"), Ok(Some((Pkt::Flush, 4))));
        assert_eq!(read(b"0001"), Ok(Some((Pkt::Delim, 4))));
        assert_eq!(read(b"0002"), Ok(Some((Pkt::ResponseEnd, 4))));
        assert_eq!(read(b"0006a\nmore"), Ok(Some((Pkt::Data(b"a\n"), 6))));
        assert_eq!(read(b"0004"), Ok(Some((Pkt::Data(b""), 4))));
        assert_eq!(read(b"0006a"), Ok(None));
        assert_eq!(read(b"00"), Ok(None));
        for bad in [b"0003".as_slice(), b"zz", b"+006ab", b"00 6ab", b"PACK"] {
            assert_eq!(read(bad), Err(GitError::Length), "{bad:?}");
        }
    }

    #[test]
    fn a_pkt_line_is_bounded_at_n() {
        let line = |n: usize| [format!("{:04x}", n + 4).into_bytes(), vec![b'a'; n]].concat();
        assert!(matches!(read(&line(PKT_DATA_BYTES_MAX)), Ok(Some((Pkt::Data(_), _)))));
        assert_eq!(read(&line(PKT_DATA_BYTES_MAX + 1)), Err(GitError::Length));
    }
}
