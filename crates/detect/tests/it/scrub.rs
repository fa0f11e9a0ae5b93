//! Laws of scrubbing: the split of the input changes nothing, no needle survives, nothing else changes.

use std::borrow::Cow;
use std::sync::Arc;

use marque_detect::Secret;
use marque_detect::forms::{Form, basic_composite, forms_of};
use marque_detect::limits::{SECRET_MAX_BYTES, SECRETS_MAX};
use marque_detect::scrub::{Hits, NeedleError, Needles, Scrubber, SecretId};
use proptest::prelude::*;

const TOKEN: &[u8] = b"ghp_x9Kq2LmZ7vTn4RbW8sYc1DfHj6GpUaEo3QiX";
const PASSWORD: &[u8] = b"p@ss \"w/o\\rd\" <&> 'ab+cd=?'\n\xc3\xa4";

fn secret(bytes: &[u8]) -> Secret {
    Secret::new(bytes.to_vec())
}

fn needles(secrets: &[&[u8]]) -> Arc<Needles> {
    let mut builder = Needles::builder();
    for (id, bytes) in (1..).zip(secrets) {
        builder.add(SecretId(id), &secret(bytes)).unwrap();
    }
    Arc::new(builder.build().unwrap())
}

fn scrub<'c>(
    needles: &Arc<Needles>,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> (Vec<u8>, Hits) {
    let mut scrubber = Scrubber::new(Arc::clone(needles));
    let mut out = Vec::new();
    for chunk in chunks {
        scrubber.push(chunk, &mut out);
        assert!(
            scrubber.held_bytes() < needles.max_len().max(1),
            "it holds less than the longest needle"
        );
    }
    scrubber.finish(&mut out);
    (out, scrubber.hits())
}

fn whole(needles: &Arc<Needles>, input: &[u8]) -> (Vec<u8>, Hits) {
    scrub(needles, [input])
}

/// The slow and obvious way: every form at every place.
fn reference(forms: &[Form], mask: u8, input: &[u8]) -> Vec<u8> {
    let mut output = input.to_vec();
    for form in forms {
        for start in 0..(input.len() + 1).saturating_sub(form.len()) {
            let place = start..start + form.len();
            if form.matches(&input[place.clone()]) {
                output[place].fill(mask);
            }
        }
    }
    output
}

fn all_forms(secrets: &[&[u8]]) -> Vec<Form> {
    secrets
        .iter()
        .flat_map(|bytes| forms_of(&secret(bytes)).unwrap())
        .collect()
}

fn base64(bytes: &[u8], url: bool) -> Vec<u8> {
    let alphabet = if url {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    } else {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    };
    let mut out = Vec::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| {
            bits << 8 | usize::from(*group.get(at).unwrap_or(&0))
        });
        for at in 0..=group.len() {
            out.push(alphabet[bits >> (18 - 6 * at) & 63]);
        }
    }
    out
}

fn every_byte(bytes: &[u8], write: impl Fn(u8) -> String) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| write(*byte).into_bytes())
        .collect()
}

/// What encoders make of a secret between other things, and how many bytes of it may stay (the ends of base64).
fn echoes(bytes: &[u8]) -> Vec<Vec<u8>> {
    let around = |before: &[u8], after: &[u8]| [before, bytes, after].concat();
    let mixed = |byte: u8| {
        if byte & 1 == 0 {
            format!("{byte:02x}")
        } else {
            format!("{byte:02X}")
        }
    };
    vec![
        bytes.to_vec(),
        base64(bytes, false),
        base64(&around(b"u", b"v"), false),
        base64(&around(b"us", b""), true),
        base64(&around(b"x-access-token:", b""), true),
        every_byte(bytes, |b| format!("{b:02x}")),
        every_byte(bytes, |b| format!("{b:02X}")),
        every_byte(bytes, mixed),
        every_byte(bytes, |b| format!("%{b:02x}")),
        every_byte(bytes, |b| format!("%{}", mixed(b))),
        every_byte(bytes, |b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        }),
        every_byte(bytes, |b| match b {
            b' ' => "+".to_owned(),
            b if b.is_ascii_alphanumeric() || b"*-._".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02x}"),
        }),
        json(bytes, false),
        json(bytes, true),
        html(bytes),
    ]
}

fn json(bytes: &[u8], everything: bool) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut out = String::new();
    for c in text.chars() {
        match c {
            c if everything => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| out += &format!("\\u{unit:04X}")),
            '"' | '\\' | '/' => out.extend(['\\', c]),
            '\n' => out += "\\n",
            c => out.push(c),
        }
    }
    out.into_bytes()
}

fn html(bytes: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(bytes).unwrap();
    let amp = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    amp.replace('"', "&quot;")
        .replace('\'', "&#x27;")
        .into_bytes()
}

#[test]
fn needles_are_shared_between_threads_and_scrubbers_move() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Needles>();
    moved::<Scrubber>();
}

#[test]
fn every_split_of_every_form_is_scrubbed_alike() {
    for bytes in [TOKEN, PASSWORD, b"12345678", b"aaaaaaaaa"] {
        let needles = needles(&[bytes]);
        let forms = all_forms(&[bytes]);
        for echo in echoes(bytes) {
            let input = [
                b"{\"a\": \"",
                echo.as_slice(),
                b"\", \"b\": \"",
                echo.as_slice(),
                b"\"}",
            ]
            .concat();
            let (output, hits) = whole(&needles, &input);
            assert_eq!(output, reference(&forms, needles.mask(), &input));
            assert_eq!(hits.of(SecretId(1)), 2, "{}", input.escape_ascii());
            assert!(!forms.iter().any(|form| {
                output
                    .windows(form.len())
                    .any(|window| form.matches(window))
            }));
            for at in 0..=input.len() {
                let (left, right) = input.split_at(at);
                assert_eq!(
                    scrub(&needles, [left, right]),
                    (output.clone(), hits.clone()),
                    "split at {at}"
                );
            }
            assert_eq!(
                scrub(&needles, input.chunks(1)),
                (output, hits),
                "byte by byte"
            );
        }
    }
}

#[test]
fn scrubbing_chunk_by_chunk_without_memory_would_leak() {
    let needles = needles(&[TOKEN]);
    let (left, right) = TOKEN.split_at(20);
    let naive = [needles.scrub_once(left), needles.scrub_once(right)].concat();
    assert_eq!(
        naive, TOKEN,
        "the control: without the carry, the secret comes through"
    );
    assert_eq!(scrub(&needles, [left, right]).0, vec![b'*'; TOKEN.len()]);
}

#[test]
fn what_is_left_of_base64_is_at_most_four_bits_at_each_end() {
    let needles = needles(&[TOKEN]);
    for before in 0..3 {
        for after in 0..3 {
            let text = base64(&[&b"uu"[..before], TOKEN, &b"vv"[..after]].concat(), false);
            let (output, _) = whole(&needles, &text);
            // A character holds six bits; the first and last of the secret share theirs with a neighbour.
            let first_own = (8 * before).div_ceil(6);
            let end_own = 8 * (before + TOKEN.len()) / 6;
            let expected: Vec<u8> = (0..)
                .zip(&text)
                .map(|(at, byte)| {
                    if (first_own..end_own).contains(&at) {
                        b'*'
                    } else {
                        *byte
                    }
                })
                .collect();
            assert_eq!(output, expected, "{before} before, {after} after");
            assert!(
                6 * first_own - 8 * before <= 4 && 8 * (before + TOKEN.len()) - 6 * end_own <= 4
            );
        }
    }
}

#[test]
fn a_match_across_a_border_is_counted_once() {
    let needles = needles(&[TOKEN]);
    let input = [b"..", TOKEN, b"...", TOKEN, TOKEN].concat();
    for size in 1..input.len() {
        assert_eq!(
            scrub(&needles, input.chunks(size)).1.of(SecretId(1)),
            3,
            "chunks of {size}"
        );
    }
}

#[test]
fn overlapping_matches_are_masked_in_union() {
    let needles = needles(&[b"abcdefgh12", b"gh12345678"]);
    let (output, hits) = whole(&needles, b"..abcdefgh12345678..");
    assert_eq!(output, b"..****************..");
    assert_eq!(
        (hits.of(SecretId(1)), hits.of(SecretId(2)), hits.total()),
        (1, 1, 2)
    );
}

#[test]
fn an_event_is_not_delayed_by_the_next() {
    let needles = needles(&[TOKEN, PASSWORD]);
    let mut scrubber = Scrubber::new(Arc::clone(&needles));
    let mut out = Vec::new();
    scrubber.push(b"data: {\"text\":\"hello\"}\n\n", &mut out);
    assert_eq!(out, b"data: {\"text\":\"hello\"}\n\n");
    assert_eq!(scrubber.held_bytes(), 0);
    out.clear();
    scrubber.push(b"data: ghp_x9", &mut out);
    assert_eq!((out.as_slice(), scrubber.held_bytes()), (&b"data: "[..], 6));
    scrubber.push(b"!", &mut out);
    assert_eq!(
        (out.as_slice(), scrubber.held_bytes()),
        (&b"data: ghp_x9!"[..], 0)
    );
}

#[test]
fn a_stream_that_ends_in_the_beginning_of_a_secret_is_complete() {
    let needles = needles(&[TOKEN]);
    let mut scrubber = Scrubber::new(Arc::clone(&needles));
    let mut out = Vec::new();
    scrubber.push(&TOKEN[..39], &mut out);
    assert_eq!((out.len(), scrubber.held_bytes()), (0, 39));
    scrubber.finish(&mut out);
    assert_eq!(out, &TOKEN[..39]);
    assert!(scrubber.hits().is_empty());
}

#[test]
fn a_reset_scrubber_remembers_nothing() {
    let needles = needles(&[TOKEN]);
    let mut scrubber = Scrubber::new(Arc::clone(&needles));
    let mut out = Vec::new();
    scrubber.push(TOKEN, &mut out);
    scrubber.push(&TOKEN[..20], &mut out);
    scrubber.reset();
    assert!(scrubber.hits().is_empty());
    out.clear();
    scrubber.push(&TOKEN[20..], &mut out);
    scrubber.finish(&mut out);
    assert_eq!(out, &TOKEN[20..]);
}

#[test]
fn what_is_whole_is_borrowed_when_clean() {
    let needles = needles(&[TOKEN]);
    assert!(matches!(
        needles.scrub_once(b"text/html; charset=utf-8"),
        Cow::Borrowed(_)
    ));
    let mut hits = Hits::default();
    let location = [b"https://x/?t=".as_slice(), TOKEN, b"&u=1"].concat();
    let output = needles.scrub_counting(&location, &mut hits);
    assert_eq!(
        output,
        [b"https://x/?t=".as_slice(), &[b'*'; 40], b"&u=1"].concat()
    );
    assert_eq!(hits.of(SecretId(1)), 1);
}

#[test]
fn basic_authentication_is_masked_with_its_user() {
    let password = secret(b"s3cr3t-s3cr3t");
    let mut builder = Needles::builder();
    builder.add(SecretId(7), &password).unwrap();
    builder
        .add(SecretId(7), &basic_composite(b"alice", &password))
        .unwrap();
    let needles = builder.build().unwrap();
    let mut hits = Hits::default();
    let header = [b"Basic ".as_slice(), &base64(b"alice:s3cr3t-s3cr3t", false)].concat();
    let output = needles.scrub_counting(&header, &mut hits);
    assert!(
        output.starts_with(b"Basic *************************"),
        "{}",
        output.escape_ascii()
    );
    assert_eq!(
        hits.total(),
        1,
        "the composite and the secret in it are one hit"
    );
}

#[test]
fn the_mask_is_no_byte_of_a_secret() {
    // Masked with `*`, the end of the first would complete the second.
    let needles = needles(&[b"zzzzzzzz-1", b"ab********"]);
    assert_ne!(needles.mask(), b'*');
    let (output, _) = whole(&needles, b"abzzzzzzzz-1");
    assert_eq!(output, [b"ab".as_slice(), &[needles.mask(); 10]].concat());

    let mut builder = Needles::builder();
    let everything: Vec<u8> = (b'!'..=0x7f).collect();
    builder.add(SecretId(1), &secret(&everything)).unwrap();
    assert!(matches!(builder.build(), Err(NeedleError::NoMask)));
}

#[test]
fn guessable_secrets_are_known_as_such() {
    let needles = needles(&[TOKEN, b"password123"]);
    assert!(!needles.is_low_entropy(SecretId(1)));
    assert!(needles.is_low_entropy(SecretId(2)));
    assert!(!needles.is_low_entropy(SecretId(3)), "unknown");
}

#[test]
fn no_secrets_means_no_change() {
    let none = needles(&[]);
    assert_eq!(
        scrub(&none, [b"abc".as_slice(), b"", b"def"]),
        (b"abcdef".to_vec(), Hits::default())
    );
}

#[test]
fn up_to_256_secrets_fit_one_search() {
    let mut builder = Needles::builder();
    let value = |n: usize| {
        format!(
            "K{n:03}-{:016x}",
            (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        )
        .into_bytes()
    };
    let mut reached = Vec::new();
    for n in 0..SECRETS_MAX {
        builder.add(SecretId(n as u32), &secret(&value(n))).unwrap();
        reached.push(value(n));
    }
    let more = builder.add(SecretId(u32::MAX), &secret(TOKEN)).err();
    assert_eq!(more, Some(NeedleError::TooMany { max: SECRETS_MAX }));
    builder.add(SecretId(0), &secret(TOKEN)).unwrap();
    let needles = Arc::new(builder.build().unwrap());
    let input = reached.join(&b" "[..]);
    for size in [7, 64, 4096, input.len()] {
        let (output, hits) = scrub(&needles, input.chunks(size));
        assert!(
            output
                .iter()
                .all(|byte| *byte == needles.mask() || *byte == b' ')
        );
        assert_eq!(hits.total() as usize, SECRETS_MAX);
    }
}

#[test]
fn more_literals_than_one_pass_takes_are_all_found() {
    let values: Vec<Vec<u8>> = (0..12_u64)
        .map(|n| format!("{:016x}~{n}", (n + 1).wrapping_mul(0x2545_f491_4f6c_dd1d)).into_bytes())
        .collect();
    let secrets: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let needles = needles(&secrets);
    for (id, value) in (1..).zip(&secrets) {
        for echo in echoes(value) {
            let (output, hits) = whole(&needles, &echo);
            assert_eq!(
                output,
                reference(&all_forms(&[value]), needles.mask(), &echo)
            );
            assert_eq!((hits.of(SecretId(id)), hits.total()), (1, 1));
        }
    }
}

#[test]
fn the_longest_secret_is_scrubbed_across_chunks() {
    let long: Vec<u8> = (0..SECRET_MAX_BYTES)
        .map(|n| b'a' + ((n * n + n / 7) % 26) as u8)
        .collect();
    let needles = needles(&[&long]);
    let input = [b"<<".as_slice(), &long, b">>"].concat();
    for size in [1000, 8191, 8192, 8193, 100_000] {
        let (output, hits) = scrub(&needles, input.chunks(size));
        assert_eq!(
            output,
            [b"<<".as_slice(), &vec![b'*'; SECRET_MAX_BYTES], b">>"].concat()
        );
        assert_eq!(hits.total(), 1);
    }
}

/// Secrets of few letters, so that they overlap themselves and each other.
fn crowded_secret() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ab]{8,12}".prop_map(String::into_bytes),
        "[ab*/\"%]{8,10}".prop_map(String::into_bytes),
        proptest::collection::vec(prop_oneof![Just(0xff_u8), Just(b'A'), Just(0xfb)], 8..11),
        proptest::collection::vec(any::<u8>(), 8..40),
    ]
}

/// Pieces of secrets, of their echoes, and other text.
fn crowded_input(secrets: Vec<Vec<u8>>) -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    let mut sources: Vec<Vec<u8>> = vec![b"ab*%\"41+/AP__8 \\u00".to_vec()];
    for bytes in &secrets {
        sources.extend([
            bytes.clone(),
            base64(bytes, false),
            base64(&[b"q", bytes.as_slice()].concat(), true),
        ]);
        sources.push(every_byte(bytes, |b| format!("{b:02X}")));
        sources.push(every_byte(bytes, |b| format!("%{b:02x}")));
        sources.push(every_byte(bytes, |b| format!("\\u00{b:02x}")));
    }
    let piece = (
        0..sources.len(),
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    );
    proptest::collection::vec(piece, 1..12).prop_map(move |pieces| {
        let mut input = Vec::new();
        for (source, from, to, all) in pieces {
            let source = &sources[source];
            let (from, to) = (from.index(source.len()), to.index(source.len()));
            input.extend_from_slice(if all {
                source
            } else {
                &source[from.min(to)..from.max(to)]
            });
        }
        (secrets.clone(), input)
    })
}

fn cases(default: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(default)
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn any_split_gives_what_the_slow_way_gives(
        (secrets, input) in proptest::collection::vec(crowded_secret(), 1..4).prop_flat_map(crowded_input),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let secrets: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
        let needles = needles(&secrets);
        let forms = all_forms(&secrets);
        let (output, hits) = whole(&needles, &input);
        prop_assert_eq!(&output, &reference(&forms, needles.mask(), &input));
        prop_assert!(!forms.iter().any(|form| output.windows(form.len()).any(|window| form.matches(window))));

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]);
        prop_assert_eq!(scrub(&needles, chunks), (output.clone(), hits.clone()));
        prop_assert_eq!(scrub(&needles, input.chunks(1)), (output.clone(), hits.clone()));

        let mut counted = Hits::default();
        let once = needles.scrub_counting(&input, &mut counted).into_owned();
        prop_assert_eq!(once, output);
        prop_assert_eq!(counted, hits);
    }
}
