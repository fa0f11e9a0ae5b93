//! Decoders, rules, the scrubber.

use super::text;
use marque_detect::Secret;
use marque_detect::decode::{Coding, DecodeLimits, Decoder};
use marque_detect::pattern::{Rule, Rules, builtin_rules};
use marque_detect::placeholder::Shape;
use marque_detect::scrub::{Needles, Scrubber, SecretId};
use std::sync::{Arc, LazyLock};

/// Bytes that a decoder of these tests may put out.
const DECODED_MAX: u64 = 4 << 20;

/// Whole and in pieces it is the same, and never more than the limit.
fn decode(codings: &[Coding], input: &[u8]) {
    let run = |piece: usize| {
        let limits = DecodeLimits { max_bytes: DECODED_MAX, ..DecodeLimits::default() };
        let mut decoder = Decoder::stacked(codings).ok()?.with_limits(limits);
        let mut out = Vec::new();
        let mut fine = true;
        for chunk in input.chunks(piece.max(1)) {
            fine = fine && decoder.push(chunk, &mut out).is_ok();
        }
        fine = fine && decoder.finish().is_ok();
        assert!(out.len() as u64 <= DECODED_MAX);
        Some((fine, out))
    };
    let whole = run(usize::MAX);
    // Every byte by itself is slow: long inputs in larger pieces.
    let pieces = run(1 + input.len() / 512);
    if let (Some((whole, a)), Some((pieces, b))) = (whole, pieces) {
        assert_eq!(whole, pieces, "the pieces decide whether it decodes");
        assert!(!whole || a == b, "the pieces decide what it decodes to");
    }
}

pub(crate) fn gzip(input: &[u8]) {
    decode(&[Coding::Gzip], input);
}

pub(crate) fn deflate(input: &[u8]) {
    decode(&[Coding::Deflate], input);
}

pub(crate) fn brotli(input: &[u8]) {
    decode(&[Coding::Brotli], input);
}

pub(crate) fn zstd(input: &[u8]) {
    decode(&[Coding::Zstd], input);
}

pub(crate) fn stacked(input: &[u8]) {
    decode(&[Coding::Deflate, Coding::Gzip], input);
}

pub(crate) fn coding_list(input: &[u8]) {
    if let Some(Ok(list)) = text(input).map(Coding::parse_list) {
        let written: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(Coding::parse_list(&written.join(", ")).ok(), Some(list));
    }
}

/// A shape fills itself with as many bytes as it asks for.
pub(crate) fn shape(input: &[u8]) {
    if let Some(Ok(shape)) = text(input).map(Shape::parse) {
        let filled = shape.fill(&vec![0x5a; shape.random_bytes()]);
        assert!(filled.is_ok_and(|text| !text.is_empty()));
    }
}

pub(crate) fn rule(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(rules) = Rules::compile(&[Rule::new("own", text, 256)]) {
        for finding in rules.find(input) {
            assert!(!finding.range.is_empty() && finding.range.len() <= 256);
        }
    }
}

static RULES: LazyLock<Option<Rules>> = LazyLock::new(|| Rules::compile(&builtin_rules()).ok());

/// Findings are in order, apart, and within the input.
pub(crate) fn find(input: &[u8]) {
    let Some(rules) = RULES.as_ref() else { return };
    let mut end = 0;
    for finding in rules.find(input) {
        assert!(finding.range.start >= end && finding.range.end <= input.len() && !finding.range.is_empty());
        end = finding.range.end;
    }
}

static NEEDLES: LazyLock<Option<Arc<Needles>>> = LazyLock::new(|| {
    let mut builder = Needles::builder();
    for (id, secret) in [(1, &b"correct-horse-battery-staple"[..]), (2, b"hunter2hunter2"), (3, b"aaaaaaaa")] {
        builder.add(SecretId(id), &Secret::new(secret.to_vec())).ok()?;
    }
    builder.build().ok().map(Arc::new)
});

/// Whole and in pieces it is the same, of the same length, and a second pass finds nothing.
pub(crate) fn scrub(input: &[u8]) {
    let Some(needles) = NEEDLES.as_ref() else { return };
    let run = |piece: usize| {
        let mut scrubber = Scrubber::new(needles.clone());
        let mut out = Vec::new();
        for chunk in input.chunks(piece.max(1)) {
            scrubber.push(chunk, &mut out);
        }
        scrubber.finish(&mut out);
        out
    };
    let whole = run(usize::MAX);
    assert_eq!(whole.len(), input.len());
    assert_eq!(run(1 + input.len() / 128), whole);
    let mut hits = marque_detect::scrub::Hits::default();
    assert_eq!(&*needles.scrub_counting(&whole, &mut hits), whole);
    assert!(hits.is_empty(), "a needle is left");
}
