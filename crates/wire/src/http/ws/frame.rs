//! The head of a frame (RFC 6455 section 5.2), read strictly and written in its shortest form.

use super::{Side, WsError};
use crate::limits::{WS_CONTROL_BYTES_MAX, WS_FRAME_BYTES_MAX};

/// Longest head: two bytes, eight of length, four of mask.
pub(super) const HEAD_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const MASKED: u8 = 0x80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub fin: bool,
    pub opcode: Opcode,
    /// Of a client's frame.
    pub mask: Option<[u8; 4]>,
    pub len_bytes: u64,
}

impl Head {
    /// Reads a head from the start of `bytes`. `None` while there is not enough of it.
    pub(super) fn read(bytes: &[u8], side: Side) -> Result<Option<(Self, usize)>, WsError> {
        use WsError::Frame as No;
        let Some((&[first, second], mut rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
        if first & RSV != 0 {
            return Err(No("a reserved bit is set and no extension was agreed on"));
        }
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(No("its opcode is reserved")),
        };
        let fin = first & FIN != 0;
        if (second & MASKED != 0) != (side == Side::Client) {
            return Err(No("a client masks its frames and a server does not"));
        }
        let len_bytes = match second & 0x7f {
            126 => {
                let Some((len, after)) = rest.split_first_chunk::<2>() else { return Ok(None) };
                rest = after;
                u64::from(u16::from_be_bytes(*len))
            }
            127 => {
                let Some((len, after)) = rest.split_first_chunk::<8>() else { return Ok(None) };
                rest = after;
                u64::from_be_bytes(*len)
            }
            short => u64::from(short),
        };
        let shortest = match second & 0x7f {
            126 => len_bytes >= 126,
            127 => len_bytes > u64::from(u16::MAX),
            _ => true,
        };
        if !shortest {
            return Err(No("its length is not in the shortest form"));
        }
        if opcode.is_control() && (!fin || len_bytes > WS_CONTROL_BYTES_MAX as u64) {
            return Err(No("a control frame is whole and short"));
        }
        if len_bytes > WS_FRAME_BYTES_MAX {
            return Err(WsError::TooLong);
        }
        let mask = match side {
            Side::Server => None,
            Side::Client => match rest.split_first_chunk::<4>() {
                None => return Ok(None),
                Some((mask, after)) => {
                    rest = after;
                    Some(*mask)
                }
            },
        };
        Ok(Some((Self { fin, opcode, mask, len_bytes }, bytes.len().saturating_sub(rest.len()))))
    }

    /// Writes a frame, masking its payload where the head has a mask.
    pub(super) fn write(fin: bool, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
        out.push(if fin { FIN } else { 0 } | opcode as u8);
        let masked = if mask.is_some() { MASKED } else { 0 };
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(len @ ..126), _) => out.push(masked | len),
            (_, Ok(len)) => {
                out.push(masked | 126);
                out.extend_from_slice(&len.to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        out.extend(mask.iter().flatten());
        let start = out.len();
        out.extend_from_slice(payload);
        if let (Some(mask), Some(payload)) = (mask, out.get_mut(start..)) {
            apply(mask, 0, payload);
        }
    }
}

/// Masks or unmasks bytes that begin `offset` bytes into a payload (RFC 6455 section 5.3).
pub(super) fn apply(mask: [u8; 4], offset: usize, bytes: &mut [u8]) {
    for (byte, key) in bytes.iter_mut().zip(mask.iter().cycle().skip(offset % 4)) {
        *byte ^= key;
    }
}
