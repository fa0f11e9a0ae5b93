//! Laws of decoding: chunks change nothing, a bomb is stopped at its limit, what is cut or goes on is an error.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use marque_detect::decode::{Coding, DecodeError, DecodeLimits, Decoder};
use marque_detect::limits::{
    CODINGS_MAX, DECODED_FREE_BYTES, DECODED_RATIO_MAX, ZSTD_WINDOW_MAX_BYTES,
};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

const CODINGS: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn bare_deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn brotli(body: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 18);
    encoder.write_all(body).unwrap();
    encoder.into_inner()
}

fn encode(coding: Coding, body: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => gzip(body),
        Coding::Deflate => zlib(body),
        Coding::Brotli => brotli(body),
        Coding::Zstd => compress_to_vec(body, CompressionLevel::Fastest),
    }
}

fn decode<'c>(
    mut decoder: Decoder,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::new();
    for chunk in chunks {
        decoder.push(chunk, &mut out)?;
    }
    decoder.finish()?;
    Ok(out)
}

fn at_once(coding: Coding, wire: &[u8]) -> Result<Vec<u8>, DecodeError> {
    decode(Decoder::new(coding), [wire])
}

fn body(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|n| {
            if n % 5 < 3 {
                b'a' + (n / 64 % 20) as u8
            } else {
                (n.wrapping_mul(0x9e37_79b9) >> 13) as u8
            }
        })
        .collect()
}

#[test]
fn every_coding_gives_the_body_back_for_every_chunk_size() {
    let body = body(700);
    for coding in CODINGS {
        let wire = encode(coding, &body);
        for size in 1..=wire.len() {
            assert_eq!(
                decode(Decoder::new(coding), wire.chunks(size)).as_deref(),
                Ok(body.as_slice()),
                "{coding} by {size}"
            );
        }
    }
    let wire = bare_deflate(&body);
    for size in 1..=wire.len() {
        assert_eq!(
            decode(Decoder::new(Coding::Deflate), wire.chunks(size)).as_deref(),
            Ok(body.as_slice()),
            "bare by {size}"
        );
    }
}

#[test]
fn a_frame_of_the_reference_zstd_is_read() {
    // `zstd -19 --check` of 40 lines.
    const WIRE: &str = "28b52ffd64a004150200a4026c696e652030206f662061206c6f672074686174207265706561747320697473656c660a3132333435360800a1fccd0f403c80640029007900c900227804f5042a064d13";
    let wire: Vec<u8> = (0..WIRE.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&WIRE[at..at + 2], 16).unwrap())
        .collect();
    let lines: String = (0..40)
        .map(|n| format!("line {} of a log that repeats itself\n", n % 7))
        .collect();
    for size in 1..=wire.len() {
        assert_eq!(
            decode(Decoder::new(Coding::Zstd), wire.chunks(size)).as_deref(),
            Ok(lines.as_bytes())
        );
    }
    let mut corrupt = wire.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    assert_eq!(
        at_once(Coding::Zstd, &corrupt),
        Err(DecodeError::Corrupt {
            coding: Coding::Zstd
        }),
        "the checksum counts"
    );
}

#[test]
fn every_cut_is_an_error_at_the_end() {
    let body = body(300);
    for coding in CODINGS {
        let wire = encode(coding, &body);
        for len in 1..wire.len() {
            assert_eq!(
                at_once(coding, &wire[..len]),
                Err(DecodeError::Truncated { coding }),
                "{len} of {}",
                wire.len()
            );
        }
        assert_eq!(
            at_once(coding, b"").as_deref(),
            Ok(&b""[..]),
            "no body at all is complete"
        );
    }
}

#[test]
fn what_follows_the_end_is_an_error() {
    for coding in CODINGS {
        let mut wire = encode(coding, b"complete");
        wire.push(b'!');
        let error = at_once(coding, &wire).unwrap_err();
        let expected = match coding {
            Coding::Deflate | Coding::Brotli => DecodeError::TrailingData { coding },
            // These may go on with another member or frame, which this is not.
            Coding::Gzip | Coding::Zstd => DecodeError::Truncated { coding },
        };
        assert_eq!(error, expected);
        wire.extend_from_slice(b"and more that is no header of anything");
        assert!(at_once(coding, &wire).is_err());
    }
}

#[test]
fn members_and_frames_are_joined() {
    let twice = [gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(
        at_once(Coding::Gzip, &twice).as_deref(),
        Ok(&b"one two"[..])
    );
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
    let zstd = |body: &[u8]| encode(Coding::Zstd, body);
    let frames = [
        &skippable[..],
        &zstd(b"one "),
        &skippable,
        &zstd(b"two"),
        &skippable,
    ]
    .concat();
    for size in 1..frames.len() {
        assert_eq!(
            decode(Decoder::new(Coding::Zstd), frames.chunks(size)).as_deref(),
            Ok(&b"one two"[..])
        );
    }
    let cut = &frames[..frames.len() - 1];
    assert_eq!(
        at_once(Coding::Zstd, cut),
        Err(DecodeError::Truncated {
            coding: Coding::Zstd
        })
    );
}

#[test]
fn codings_stack_up_to_three() {
    let body = body(5000);
    let codings = [Coding::Brotli, Coding::Gzip, Coding::Zstd];
    let wire = codings
        .iter()
        .fold(body.clone(), |wire, coding| encode(*coding, &wire));
    for size in [1, 2, 3, 100, wire.len()] {
        let decoder = Decoder::stacked(&codings).unwrap();
        assert_eq!(
            decode(decoder, wire.chunks(size)).as_deref(),
            Ok(body.as_slice())
        );
    }
    let too_many = Decoder::stacked(&[Coding::Gzip; CODINGS_MAX + 1]).err();
    assert_eq!(
        too_many,
        Some(DecodeError::TooManyCodings { max: CODINGS_MAX })
    );
    assert_eq!(
        decode(Decoder::stacked(&[]).unwrap(), [b"as is".as_slice()]).as_deref(),
        Ok(&b"as is"[..])
    );
    // The outer layer is complete, the inner one is not.
    let cut = gzip(&gzip(&body)[..40]);
    let decoder = Decoder::stacked(&[Coding::Gzip, Coding::Gzip]).unwrap();
    assert_eq!(
        decode(decoder, [cut.as_slice()]),
        Err(DecodeError::Truncated {
            coding: Coding::Gzip
        })
    );
}

#[test]
fn the_field_is_read_as_http_says() {
    let list = |field| Coding::parse_list(field);
    assert_eq!(list("gzip"), Ok(vec![Coding::Gzip]));
    assert_eq!(
        list(" BR ,\tx-gzip, identity,"),
        Ok(vec![Coding::Brotli, Coding::Gzip])
    );
    assert_eq!(
        list("deflate, zstd, br"),
        Ok(vec![Coding::Deflate, Coding::Zstd, Coding::Brotli])
    );
    assert_eq!(list(""), Ok(vec![]));
    assert_eq!(
        list("br,br,br,br"),
        Err(DecodeError::TooManyCodings { max: 3 })
    );
    assert_eq!(
        list("gzip, compress"),
        Err(DecodeError::UnknownCoding {
            name: "compress".to_owned()
        })
    );
    let long = list(&"\n`x".repeat(500)).unwrap_err();
    assert!(
        long.to_string().len() < 400 && !long.to_string().contains('\n'),
        "{long}"
    );
}

#[test]
fn the_size_limit_is_exact() {
    let body = body(10_000);
    for coding in CODINGS {
        let wire = encode(coding, &body);
        let with = |max_bytes| {
            let limits = DecodeLimits {
                max_bytes,
                ..DecodeLimits::default()
            };
            decode(Decoder::new(coding).with_limits(limits), wire.chunks(7)).map(|out| out.len())
        };
        assert_eq!(with(10_000), Ok(10_000));
        assert_eq!(
            with(9_999),
            Err(DecodeError::TooLarge { max: 9_999 }),
            "{coding}"
        );
    }
}

#[test]
fn the_ratio_limit_is_exact() {
    let body = vec![b'0'; 6_000];
    let wire = gzip(&body);
    let ratio = (body.len() as u64).div_ceil(wire.len() as u64);
    let with = |max_ratio, free_bytes| {
        let limits = DecodeLimits {
            max_ratio,
            free_bytes,
            ..DecodeLimits::default()
        };
        decode(
            Decoder::new(Coding::Gzip).with_limits(limits),
            [wire.as_slice()],
        )
        .map(|out| out.len())
    };
    assert_eq!(with(ratio, 0), Ok(6_000));
    assert_eq!(
        with(ratio - 1, 0),
        Err(DecodeError::RatioTooHigh { max: ratio - 1 })
    );
    assert_eq!(with(1, 6_000), Ok(6_000));
    assert_eq!(with(1, 5_999), Err(DecodeError::RatioTooHigh { max: 1 }));
}

#[test]
fn a_bomb_is_stopped_early_in_every_coding_and_stack() {
    let zeros = vec![0; 64 << 20];
    let free_and_step = DECODED_FREE_BYTES as usize + (256 << 10);
    for coding in CODINGS {
        let wire = encode(coding, &zeros);
        let mut decoder = Decoder::new(coding);
        let mut out = b"kept".to_vec();
        let mut most = 0;
        let error = wire.chunks(1024).find_map(|chunk| {
            let result = decoder.push(chunk, &mut out);
            most = most.max(out.len());
            result.err()
        });
        assert_eq!(
            error,
            Some(DecodeError::RatioTooHigh {
                max: DECODED_RATIO_MAX
            }),
            "{coding}"
        );
        assert!(
            most <= free_and_step.max(wire.len() * DECODED_RATIO_MAX as usize),
            "{most}"
        );
        assert_eq!(
            decoder.push(b"more", &mut out),
            Err(DecodeError::RatioTooHigh {
                max: DECODED_RATIO_MAX
            })
        );
        assert_eq!(
            decoder.finish(),
            Err(DecodeError::RatioTooHigh {
                max: DECODED_RATIO_MAX
            }),
            "it stays failed"
        );
    }
    let nested = gzip(&gzip(&gzip(&zeros)));
    let decoder = Decoder::stacked(&[Coding::Gzip; 3]).unwrap();
    assert_eq!(
        decode(decoder, [nested.as_slice()]),
        Err(DecodeError::RatioTooHigh {
            max: DECODED_RATIO_MAX
        })
    );
}

#[test]
fn a_failed_push_appends_nothing() {
    let mut wire = gzip(&body(100_000));
    let middle = wire.len() / 2;
    wire[middle..middle + 64].fill(0xff);
    let mut out = b"kept".to_vec();
    let mut decoder = Decoder::new(Coding::Gzip);
    assert_eq!(
        decoder.push(&wire, &mut out),
        Err(DecodeError::Corrupt {
            coding: Coding::Gzip
        })
    );
    assert_eq!(out, b"kept");
}

#[test]
fn windows_and_dictionaries_nobody_announced_are_refused() {
    // A frame header with this window descriptor (RFC 8878 section 3.1.1.1.2), then an empty last block.
    let window = |descriptor: u8| {
        at_once(
            Coding::Zstd,
            &[0x28, 0xb5, 0x2f, 0xfd, 0x00, descriptor, 0x01, 0x00, 0x00],
        )
    };
    assert_eq!(window(13 << 3), Ok(vec![]), "8 MiB");
    let too_large = DecodeError::WindowTooLarge {
        coding: Coding::Zstd,
        max: ZSTD_WINDOW_MAX_BYTES,
    };
    assert_eq!(window(13 << 3 | 1), Err(too_large), "9 MiB");
    let dictionary = [0x28, 0xb5, 0x2f, 0xfd, 0x01, 0x00, 0x07, 0x01, 0x00, 0x00];
    assert_eq!(
        at_once(Coding::Zstd, &dictionary),
        Err(DecodeError::NeedsDictionary {
            coding: Coding::Zstd
        })
    );
    let preset = [0x78, 0xbb, 1, 2, 3, 4, 0, 0];
    assert_eq!(
        at_once(Coding::Deflate, &preset),
        Err(DecodeError::NeedsDictionary {
            coding: Coding::Deflate
        })
    );
}

#[test]
fn a_zstd_block_has_128_kib_at_most() {
    // Run-length blocks of 128 KiB and of one byte more.
    let block = |size: u32| {
        let header = (size << 3 | 1 << 1 | 1).to_le_bytes();
        at_once(
            Coding::Zstd,
            &[
                &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58][..],
                &header[..3],
                b"x",
            ]
            .concat(),
        )
        .map(|out| out.len())
    };
    assert_eq!(block(128 << 10), Ok(128 << 10));
    assert_eq!(
        block((128 << 10) + 1),
        Err(DecodeError::Corrupt {
            coding: Coding::Zstd
        })
    );
}

fn any_coding() -> impl Strategy<Value = Coding> {
    prop::sample::select(CODINGS.to_vec())
}

fn cases(default: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(default)
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn any_chunking_of_any_stack_gives_the_body_back(
        body in proptest::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..4000),
        codings in proptest::collection::vec(any_coding(), 1..=CODINGS_MAX),
        sizes in proptest::collection::vec(1_usize..600, 1..10),
    ) {
        let wire = codings.iter().fold(body.clone(), |wire, coding| encode(*coding, &wire));
        let mut rest = wire.as_slice();
        let mut chunks = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        prop_assert_eq!(decode(Decoder::stacked(&codings).unwrap(), chunks), Ok(body));
    }

    #[test]
    fn garbage_never_panics_and_chunks_do_not_change_the_verdict(
        coding in any_coding(),
        body in proptest::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..2000),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        size in 1_usize..50,
    ) {
        let mut wire = encode(coding, &body);
        for (at, byte) in damage {
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        let whole = at_once(coding, &wire);
        let pieces = decode(Decoder::new(coding), wire.chunks(size));
        prop_assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok());
    }
}
