//! Which crate may know which, and what a ring may not use. An edge that is not here is an error: add it here, with the
//! reader of ARCHITECTURE.md in mind.

/// A crate's ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ring {
    /// Values in, values out.
    Pure,
    /// One outside thing each.
    Outside,
    /// Owns a promise over time.
    Running,
    /// Presents and wires.
    Edge,
    /// Not part of the product.
    Support,
}

/// A crate, its ring, and the crates of ours that it may use.
pub(crate) struct House {
    pub(crate) dir: &'static str,
    pub(crate) ring: Ring,
    pub(crate) may_use: &'static [&'static str],
}

const fn house(dir: &'static str, ring: Ring, may_use: &'static [&'static str]) -> House {
    House { dir, ring, may_use }
}

/// The whole house.
pub(crate) const HOUSE: &[House] = &[
    house("crates/chain", Ring::Pure, &[]),
    house("crates/journal", Ring::Pure, &[]),
    house("crates/detect", Ring::Pure, &[]),
    house("crates/api", Ring::Pure, &[]),
    house("crates/model", Ring::Pure, &["chain", "journal"]),
    house("crates/policy", Ring::Pure, &["model"]),
    house("crates/wire", Ring::Pure, &["chain", "detect", "model"]),
    house("crates/effects", Ring::Pure, &["model"]),
    house("crates/store", Ring::Outside, &["journal", "detect", "switch"]),
    house("crates/switch", Ring::Outside, &[]),
    house("crates/client", Ring::Outside, &["api"]),
    house("crates/witness", Ring::Outside, &["journal", "store"]),
    house("crates/scan", Ring::Outside, &["detect"]),
    house("crates/sandbox", Ring::Outside, &[]),
    house("crates/authority", Ring::Running, &["api", "chain", "detect", "journal", "model", "policy", "store", "switch", "wire", "witness"]),
    house("crates/gateway", Ring::Running, &["detect", "model", "wire"]),
    house(
        "crates/cli",
        Ring::Edge,
        &["api", "authority", "chain", "client", "detect", "gateway", "journal", "model", "policy", "sandbox", "scan", "store", "switch", "wire", "witness", "testkit"],
    ),
    house("bench", Ring::Support, &["chain", "journal", "store", "testkit"]),
    house(
        "fuzz",
        Ring::Support,
        &["api", "chain", "detect", "effects", "gateway", "journal", "model", "policy", "sandbox", "scan", "store", "wire"],
    ),
    house("testkit", Ring::Support, &[]),
    house("xtask", Ring::Support, &[]),
];

/// The one crate that talks to the kernel without a library between: its manifest repeats the workspace's lints, but for this one.
pub(crate) const OWN_LINTS: (&str, &str) = ("crates/sandbox", "unsafe_code");

/// Crates that a ring may not depend on, and why.
pub(crate) const BANNED: &[(Ring, &[&str], &str)] = &[
    (
        Ring::Pure,
        &["tokio", "hyper", "hyper-util", "rustls", "tokio-rustls", "reqwest", "rusqlite", "getrandom", "rand", "rustix", "libc", "nix"],
        "the pure ring has no I/O, clock, randomness or threads",
    ),
    (Ring::Outside, &["hyper-rustls", "reqwest"], "HTTP clients come from one hardened builder"),
    (Ring::Running, &["reqwest", "rusqlite", "tower"], "SQL lives in `store`, and the hot path has no tower"),
    (Ring::Edge, &["reqwest", "rusqlite"], "the edge wires, it does not talk to outside things"),
];

/// Text that may not stand in the sources of the pure ring: it would bring in a clock, a file or a thread.
pub(crate) const PURE_TEXT: &[&str] =
    &["std::fs::", "std::net::TcpStream", "SystemTime::now", "Instant::now", "thread::spawn", "std::env::var", "std::process::Command"];

/// Parsers of outside bytes, as `file#text of its definition`, and the fuzz target that feeds each. A file with a public parser that
/// is neither here nor in [`NOT_OUTSIDE`] is an error.
pub(crate) const PARSERS: &[(&str, &str)] = &[
    ("crates/api/src/code.rs#pub fn from_text(", "api/code"),
    ("crates/api/src/control.rs#pub struct SessionOpen ", "api/control"),
    ("crates/api/src/problem.rs#pub fn from_json(", "api/problem"),
    ("crates/chain/src/claims.rs#pub fn from_json(", "chain/claims"),
    ("crates/chain/src/commitment.rs#pub fn from_text(", "chain/digest"),
    ("crates/chain/src/grant/mod.rs#pub fn parse(", "chain/grant"),
    ("crates/chain/src/grant/origin.rs#pub fn parse(", "chain/origin"),
    ("crates/chain/src/grant/path.rs#pub fn parse(", "chain/path-pattern"),
    ("crates/chain/src/grant/resource.rs#impl ActionPattern", "chain/action-pattern"),
    ("crates/chain/src/grant/resource.rs#impl ResourcePattern", "chain/resource-pattern"),
    ("crates/chain/src/link.rs#pub fn read_unverified(", "chain/link"),
    ("crates/chain/src/proof.rs#pub fn verify(", "chain/proof"),
    ("crates/chain/src/strict_json.rs#pub fn parse(", "chain/strict-json"),
    ("crates/chain/src/verify/mod.rs#pub fn verify_offline_at(", "chain/chain"),
    ("crates/detect/src/decode/mod.rs#pub fn parse_list(", "detect/coding-list"),
    ("crates/detect/src/decode/brotli.rs#fn push", "detect/decode-brotli"),
    ("crates/detect/src/decode/inflate.rs#fn push", "detect/decode-gzip"),
    ("crates/detect/src/decode/inflate.rs#fn push", "detect/decode-deflate"),
    ("crates/detect/src/decode/mod.rs#pub fn stacked(", "detect/decode-stacked"),
    ("crates/detect/src/decode/zstd.rs#fn push", "detect/decode-zstd"),
    ("crates/detect/src/pattern/mod.rs#pub fn compile(", "detect/rule"),
    ("crates/detect/src/pattern/mod.rs#pub fn find(", "detect/rules-find"),
    ("crates/detect/src/placeholder/mod.rs#pub fn parse(", "detect/placeholder-shape"),
    ("crates/detect/src/scrub/scrubber.rs#pub fn push(", "detect/scrub"),
    ("crates/effects/src/catalogue/mod.rs#pub fn parse<", "effects/catalogue"),
    ("crates/effects/src/classify.rs#pub fn classify(", "effects/classify"),
    ("crates/effects/src/exec/statement.rs#pub(crate) fn statements(", "effects/statements"),
    ("crates/effects/src/protocol/mod.rs#pub fn decode_command(", "effects/command"),
    ("crates/effects/src/protocol/mod.rs#pub fn decode_reading(", "effects/reading"),
    ("crates/gateway/src/strict.rs#pub fn advance(", "gateway/strict-framing"),
    ("crates/journal/src/cbor/reader.rs#pub fn validate(", "journal/cbor"),
    ("crates/journal/src/checkpoint.rs#pub fn parse(", "journal/checkpoint"),
    ("crates/journal/src/note.rs#pub fn parse(bytes", "journal/note"),
    ("crates/journal/src/note.rs#pub fn parse(vkey", "journal/verifier-key"),
    ("crates/journal/src/proof.rs#pub fn parse(", "journal/tlog-proof"),
    ("crates/journal/src/record/decode.rs#pub fn decode(", "journal/record"),
    ("crates/journal/src/segment/header.rs#pub fn parse(", "journal/segment-header"),
    ("crates/journal/src/segment/opening.rs#pub fn decode(", "journal/opening"),
    ("crates/journal/src/segment/recover.rs#pub fn recover(", "journal/segment"),
    ("crates/journal/src/segment/scan.rs#pub fn scan<", "journal/segment"),
    ("crates/journal/src/tile.rs#pub fn parse(", "journal/tile-path"),
    ("crates/journal/src/tile.rs#pub fn parse_bundle(", "journal/tile-bundle"),
    ("crates/journal/src/witness.rs#pub fn parse(body", "journal/add-checkpoint"),
    ("crates/journal/src/witness.rs#pub fn parse(status", "journal/witness-answer"),
    ("crates/model/src/event.rs#pub fn decode(", "model/event"),
    ("crates/model/src/ids.rs#impl FromStr for", "model/id"),
    ("crates/model/src/registry/host.rs#pub(super) fn parse(", "model/registry"),
    ("crates/model/src/registry/mod.rs#pub fn parse(", "model/registry"),
    ("crates/model/src/registry/pattern.rs#pub fn parse(", "model/registry"),
    ("crates/model/src/snapshot/mod.rs#pub fn decode(", "model/snapshot"),
    ("crates/model/src/target.rs#pub fn from_authority(", "model/target"),
    ("crates/policy/src/assertions.rs#fn check(", "policy/assertions"),
    ("crates/policy/src/pack.rs#pub fn load(", "policy/pack"),
    ("crates/sandbox/src/dns/message.rs#pub fn answer(", "sandbox/dns"),
    ("crates/scan/src/readers.rs#pub(crate) fn read(", "scan/file"),
    ("crates/store/src/mark.rs#pub fn open(", "store/mark"),
    ("crates/store/src/seal/mod.rs#pub fn load(", "store/seal"),
    ("crates/store/src/files/snapshot.rs#fn decode(", "store/snapshot"),
    ("crates/store/src/sealed/mod.rs#pub fn open(", "store/secrets"),
    ("crates/wire/src/answer/field.rs#impl FromStr for", "wire/answer-field"),
    ("crates/wire/src/answer/json.rs#pub fn parse(", "wire/json-pointer"),
    ("crates/wire/src/answer/restore.rs#impl FromStr for", "wire/return-slot"),
    ("crates/wire/src/answer/swap.rs#pub fn swap(", "wire/answer-swap"),
    ("crates/wire/src/git/commands.rs#pub fn parse_commands(", "wire/git-commands"),
    ("crates/wire/src/git/pkt.rs#pub fn read(", "wire/git-pkt"),
    ("crates/wire/src/git/smart.rs#pub fn recognise<", "wire/git-smart"),
    ("crates/wire/src/graphql/call.rs#pub fn parse(", "wire/graphql"),
    ("crates/wire/src/http/check.rs#pub fn check_connect(", "wire/connect-authority"),
    ("crates/wire/src/http/check.rs#pub fn check_request(", "wire/http-request"),
    ("crates/wire/src/http/path.rs#pub fn parse(", "wire/path"),
    ("crates/wire/src/http/query.rs#pub fn parse(", "wire/query"),
    ("crates/wire/src/http/query.rs#pub fn parse_form(", "wire/form"),
    ("crates/wire/src/http/ws/rewrite.rs#pub fn push(", "wire/websocket-client"),
    ("crates/wire/src/http/ws/rewrite.rs#pub fn push(", "wire/websocket-server"),
    ("crates/wire/src/place/parse.rs#impl FromStr for", "wire/placement"),
    ("crates/wire/src/profile/egress.rs#pub fn parse(", "wire/egress"),
    ("crates/wire/src/profile/mod.rs#pub fn parse(", "wire/profile"),
    ("crates/wire/src/profile/view.rs#pub fn extract(", "wire/profile-extract"),
];

/// Files with a parser of a usual name whose text never comes from outside.
pub(crate) const NOT_OUTSIDE: &[&str] = &[];
