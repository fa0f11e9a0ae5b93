//! The part of a secret's base64 that does not depend on its neighbours (RFC 4648 sections 4 and 5).

use super::{Sym, Writer};
use zeroize::Zeroizing;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The characters made of the secret's bits alone when `alignment` (0, 1 or 2) bytes precede it in its group of three.
pub(super) fn middle(bytes: &[u8], alignment: usize) -> Zeroizing<Vec<Sym>> {
    // A character holds six bits: the first one wholly inside the secret starts 0, 4 or 2 bits into it.
    let skip_bits = match alignment {
        0 => 0,
        1 => 4,
        _ => 2,
    };
    Writer::with(|w| {
        let mut held: u32 = 0;
        let mut bits: u32 = 0;
        let mut to_skip = skip_bits;
        for byte in bytes {
            held = (held << 8) | u32::from(*byte);
            bits += 8;
            if to_skip > 0 {
                bits -= to_skip;
                to_skip = 0;
            }
            while bits >= 6 {
                bits -= 6;
                character(w, (held >> bits) & 0x3f);
            }
            held &= 0xff;
        }
    })
}

fn character(w: &mut Writer, value: u32) {
    match value {
        62 => w.either(b'+', b'-'),
        63 => w.either(b'/', b'_'),
        _ => {
            if let Some(byte) = ALPHABET.get(value as usize) {
                w.byte(*byte);
            }
        }
    }
}
