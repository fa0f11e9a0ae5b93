//! Grants, links, chains and proofs.

use super::{line, text};
use marque_chain::grant::{ActionPattern, Origin, PathPattern, ResourcePattern};
use marque_chain::limits::{MAX_ROOT_LINK_BYTES, MAX_USE_BYTES};
use marque_chain::proof::{Expected, ProofClaims, verify as verify_proof};
use marque_chain::{Claims, Digest, Grant, Lineage, Link, PublicKey, Rules, covers, strict_json, verify_offline_at};
use std::sync::LazyLock;

/// What strict JSON reads, it reads the same when it is written again.
pub(crate) fn strict_json(input: &[u8]) {
    if let Ok(value) = strict_json::parse(input, MAX_ROOT_LINK_BYTES) {
        let again = strict_json::parse(value.to_string().as_bytes(), 2 * MAX_ROOT_LINK_BYTES);
        assert_eq!(again.ok(), Some(value));
    }
}

pub(crate) fn digest(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Some(digest) = Digest::from_text(text) {
        let written = serde_json::to_value(digest).unwrap_or_default();
        assert_eq!(written.as_str(), Some(text), "a digest has one text");
    }
}

/// A grant covers itself, and is the same when it is written and read again.
pub(crate) fn grant(input: &[u8]) {
    let Some(Ok(grant)) = text(input).map(Grant::parse) else { return };
    assert_eq!(covers(&grant, &grant), Ok(()));
    let written = serde_json::to_value(&grant).unwrap_or_default();
    assert_eq!(Grant::from_json(written).ok(), Some(grant.clone()));
    assert!(!marque_chain::render(&grant).is_empty());
}

/// Written and read again it is the same, and it covers itself.
macro_rules! pattern {
    ($name:ident, $kind:ident) => {
        pub(crate) fn $name(input: &[u8]) {
            let Some(Ok(pattern)) = text(input).map($kind::parse) else { return };
            assert_eq!($kind::parse(&pattern.to_string()).as_ref(), Ok(&pattern));
            assert!(pattern.covers(&pattern));
        }
    };
}
pattern!(action_pattern, ActionPattern);
pattern!(path_pattern, PathPattern);

/// Also: what has no `*` permits itself, and nothing else of the same length that differs.
pub(crate) fn resource_pattern(input: &[u8]) {
    let Some(text) = text(input) else { return };
    let Ok(pattern) = ResourcePattern::parse(text) else { return };
    assert_eq!(ResourcePattern::parse(&pattern.to_string()).as_ref(), Ok(&pattern));
    assert!(pattern.covers(&pattern));
    if !text.contains('*') && text.len() <= MAX_USE_BYTES {
        assert!(pattern.permits(text), "{text}");
        assert!(!pattern.permits(&format!("{text}x")), "{text}");
    }
}

pub(crate) fn origin(input: &[u8]) {
    let Some(Ok(origin)) = text(input).map(Origin::parse) else { return };
    assert_eq!(Origin::parse(origin.as_str()).as_ref(), Ok(&origin));
}

/// Claims are the same when they are written and read again.
pub(crate) fn claims(input: &[u8]) {
    let Ok(value) = strict_json::parse(input, MAX_ROOT_LINK_BYTES) else { return };
    if let Ok(claims) = Claims::from_json(value.clone()) {
        let written = serde_json::to_value(&claims).unwrap_or_default();
        assert_eq!(Claims::from_json(written).ok(), Some(claims));
    }
    if let Ok(claims) = ProofClaims::from_json(value) {
        let written = serde_json::to_value(&claims).unwrap_or_default();
        assert_eq!(ProofClaims::from_json(written).ok(), Some(claims));
    }
}

/// A link that is read is kept as it is: its hash is that of the text that came.
pub(crate) fn link(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(link) = Link::read_unverified(text) {
        assert_eq!(link.compact(), text);
        assert_eq!(Link::read_unverified(link.compact()).map(|again| again.hash()).ok(), Some(link.hash()));
    }
}

/// A root key as a JWK on the first line, then a link on each line. A chain that verifies is contained link by link.
pub(crate) fn chain(input: &[u8]) {
    let (first, rest) = line(input);
    let (Some(first), Some(rest)) = (text(first), text(rest)) else { return };
    let root = serde_json::from_str(first).ok().and_then(|value| PublicKey::from_json(value).ok());
    let root = root.or_else(|| PublicKey::from_bytes([7; 32]).ok());
    let links: Vec<&str> = rest.lines().collect();
    let Ok(lineage) = verify_offline_at(&links, &root.into_iter().collect::<Vec<_>>(), None, &Rules::for_auditor()) else { return };
    let hops = lineage.hops();
    for (parent, child) in hops.iter().zip(hops.iter().skip(1)) {
        assert!(child.depth > parent.depth && child.exp_s <= parent.exp_s);
        assert_eq!(marque_chain::contain(&parent.grants, &child.grants).map(|_| ()), Ok(()));
    }
}

/// A lineage of the vectors.
static LINEAGE: LazyLock<Option<Lineage>> = LazyLock::new(|| {
    crate::corpus::seeds("chain/chain").iter().find_map(|seed| {
        let (first, rest) = line(seed);
        let root = PublicKey::from_json(serde_json::from_slice(first).ok()?).ok()?;
        let links: Vec<&str> = std::str::from_utf8(rest).ok()?.lines().collect();
        verify_offline_at(&links, &[root], None, &Rules::for_auditor()).ok()
    })
});

/// Nothing proves a request that nobody signed.
pub(crate) fn proof(input: &[u8]) {
    let (Some(text), Some(lineage)) = (text(input), LINEAGE.as_ref()) else { return };
    let expected = Expected { htm: "GET", htu: "https://nowhere.test/", now_s: 0, max_age_s: 60, body_sha256: None };
    assert!(verify_proof(text, lineage, &expected).is_err());
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_vectors_hold_a_chain_that_verifies() {
        assert!(super::LINEAGE.is_some());
    }
}
