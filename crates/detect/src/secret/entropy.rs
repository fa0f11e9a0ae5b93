//! How hard a secret is to guess, roughly and cautiously.
//!
//! Each byte is worth the logarithm of the alphabet the secret uses, unless it continues a repetition or a sequence
//! (one bit) or stands in a run of letters that reads like a word (two bits, the rate of English text).

use std::collections::BTreeSet;

/// Bits for a letter inside something that reads like a word.
const WORD_BITS: f64 = 2.0;
/// Bits for a byte that repeats or continues what went before.
const REPEAT_BITS: f64 = 1.0;
/// Shortest run of letters that is looked at as a word.
const WORD_MIN: usize = 4;
/// The most frequent letter pairs of English text; together more than half of all pairs, against a tenth in random text.
const COMMON_PAIRS: &[u8] = b"thheineranreedonesstenatntndtihaoretasitngseouhiisofeaalvelelirarionecoromtemedetadicamasiursslalahechpawoackkercewssprdog";

/// See [`Secret::entropy_bits_estimate`](crate::Secret::entropy_bits_estimate).
pub(super) fn estimate_bits(bytes: &[u8]) -> u32 {
    let per_byte = bits_per_byte(bytes);
    let worth_little = repeats(bytes);
    let words = word_bytes(bytes);
    let mut bits = 0.0;
    for (little, word) in worth_little.iter().zip(&words) {
        let cap = if *little {
            REPEAT_BITS
        } else if *word {
            WORD_BITS
        } else {
            per_byte
        };
        bits += per_byte.min(cap);
    }
    // The cast saturates, and a secret of 2^32 bits does not fit the limits.
    bits.floor() as u32
}

/// The logarithm of the alphabet's size. A secret four times as long as its alphabet has shown all of it.
fn bits_per_byte(bytes: &[u8]) -> f64 {
    let distinct = bytes.iter().collect::<BTreeSet<_>>().len();
    let usual = f64::from(alphabet_size(bytes)).log2();
    if distinct * 4 <= bytes.len() {
        usual.min((distinct.max(1) as f64).log2())
    } else {
        usual
    }
}

/// The size of the smallest usual alphabet that holds every byte.
fn alphabet_size(bytes: &[u8]) -> u32 {
    let all = |test: fn(&u8) -> bool| bytes.iter().all(test);
    if all(u8::is_ascii_digit) {
        return 10;
    }
    if all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        || all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
    {
        return 16;
    }
    let any = |test: fn(&u8) -> bool| bytes.iter().any(test);
    let mut size = 0;
    for (present, count) in [
        (any(u8::is_ascii_digit), 10),
        (any(u8::is_ascii_lowercase), 26),
        (any(u8::is_ascii_uppercase), 26),
        (any(|b| b.is_ascii_punctuation() || *b == b' '), 33),
        (any(|b| !b.is_ascii_graphic() && *b != b' '), 128),
    ] {
        if present {
            size += count;
        }
    }
    size.max(1)
}

/// Marks bytes that repeat an earlier run of three, or continue a run (`aaa`) or a sequence (`345`, `cba`).
fn repeats(bytes: &[u8]) -> Vec<bool> {
    let mut seen = BTreeSet::new();
    let mut marks = vec![false; bytes.len()];
    for (window, mark) in bytes.windows(3).zip(marks.iter_mut().skip(2)) {
        if let [a, b, c] = *window {
            let (first, second) = (i16::from(b) - i16::from(a), i16::from(c) - i16::from(b));
            let steady = first == second && first.abs() <= 1;
            *mark = !seen.insert([a, b, c]) || steady;
        }
    }
    marks
}

/// Marks bytes of runs of letters whose pairs are those of English.
fn word_bytes(bytes: &[u8]) -> Vec<bool> {
    let mut marks = Vec::with_capacity(bytes.len());
    for run in bytes.chunk_by(|a, b| a.is_ascii_alphabetic() == b.is_ascii_alphabetic()) {
        let is_word = run.first().is_some_and(u8::is_ascii_alphabetic) && reads_like_words(run);
        marks.extend(run.iter().map(|_| is_word));
    }
    marks
}

fn reads_like_words(run: &[u8]) -> bool {
    let pairs = run.len().saturating_sub(1);
    let common = run
        .windows(2)
        .filter(|pair| {
            COMMON_PAIRS
                .chunks(2)
                .any(|known| known.eq_ignore_ascii_case(pair))
        })
        .count();
    run.len() >= WORD_MIN && common * 5 >= pairs * 2
}

#[cfg(test)]
mod tests {
    use super::estimate_bits;
    use crate::limits::LOW_ENTROPY_BITS;

    #[test]
    fn what_people_make_up_counts_as_guessable() {
        for weak in [
            &b"password"[..],
            b"password1234",
            b"hunter2hunter2",
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            b"abcdefghijklmnop",
            b"1234567890123456",
            b"correcthorsebatterystaple",
            b"Winter2024!",
            b"deadbeef",
            b"",
        ] {
            let bits = estimate_bits(weak);
            assert!(
                bits < LOW_ENTROPY_BITS,
                "{bits} bits for `{}`",
                weak.escape_ascii()
            );
        }
    }

    #[test]
    fn what_a_generator_makes_does_not() {
        for strong in [
            &b"ghp_x9Kq2LmZ7vTn4RbW8sYc1DfHj6GpUaEo3QiX"[..],
            b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            b"9f86d081884c7d659a2feaa0c55ad015",
            b"v8#Lq!2zR@pT",
            b"xkqvzjwpfhbnmgtr",
        ] {
            let bits = estimate_bits(strong);
            assert!(
                bits >= LOW_ENTROPY_BITS,
                "{bits} bits for `{}`",
                strong.escape_ascii()
            );
        }
    }

    #[test]
    fn sixteen_random_hex_digits_are_just_enough() {
        assert_eq!(estimate_bits(b"9f3a7c1e5b8d2604"), LOW_ENTROPY_BITS);
        assert_eq!(estimate_bits(b"9f3a7c1e5b8d260"), LOW_ENTROPY_BITS - 4);
    }

    #[test]
    fn a_longer_repetition_is_hardly_harder() {
        let once = estimate_bits(b"k9x2m4q7");
        let thrice = estimate_bits(b"k9x2m4q7k9x2m4q7k9x2m4q7");
        assert!(thrice < once + 30, "{once} {thrice}");
    }
}
