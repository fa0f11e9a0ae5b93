//! Every parser of bytes from outside, in one list, and the engine that feeds it.
//!
//! **Purpose.** [`TARGETS`] names each parser; [`engine::run`] feeds it inputs made from seeds (conformance vectors, shipped
//! profiles and policies, [`corpus`]) by a seeded, deterministic mutation. No input may panic, overflow a small stack or take
//! more processor time than [`engine::Budget`] allows; where there is a law (what is read and written again is the same), the
//! target asserts it.
//!
//! **Not its job.** Coverage guidance: the targets are plain functions, so that libFuzzer or another engine can call them.
//!
//! **Invariants.** The same seed makes the same inputs everywhere. `cargo xtask tidy` fails when the table in `README.md` and
//! the list differ, or when a file that reads outside bytes has no target in its table of parsers.
//!
//! **Entry points.** [`TARGETS`], [`engine::run`].
//!
//! **How to test.** `cargo test -p marque-fuzz` feeds every target for about a second; `./test --campaign fuzz SECONDS` for as long
//! as you like.

pub mod corpus;
pub mod engine;
mod targets;

/// One parser.
pub struct Target {
    /// Its name: crate and what it reads.
    pub name: &'static str,
    /// Feeds it once. Panics where a law is broken.
    pub feed: fn(&[u8]),
}

macro_rules! targets {
    ($($name:literal => $feed:path),+ $(,)?) => {
        /// Every parser of bytes from outside.
        pub const TARGETS: &[Target] = &[$(Target { name: $name, feed: $feed }),+];
    };
}

use targets::{chain, detect, effects, journal, model, outside, store, wire};

targets! {
    "api/code" => outside::api_code,
    "api/control" => outside::api_control,
    "api/problem" => outside::api_problem,
    "chain/action-pattern" => chain::action_pattern,
    "chain/chain" => chain::chain,
    "chain/claims" => chain::claims,
    "chain/digest" => chain::digest,
    "chain/grant" => chain::grant,
    "chain/link" => chain::link,
    "chain/origin" => chain::origin,
    "chain/path-pattern" => chain::path_pattern,
    "chain/proof" => chain::proof,
    "chain/resource-pattern" => chain::resource_pattern,
    "chain/strict-json" => chain::strict_json,
    "detect/coding-list" => detect::coding_list,
    "detect/decode-brotli" => detect::brotli,
    "detect/decode-deflate" => detect::deflate,
    "detect/decode-gzip" => detect::gzip,
    "detect/decode-stacked" => detect::stacked,
    "detect/decode-zstd" => detect::zstd,
    "detect/placeholder-shape" => detect::shape,
    "detect/rule" => detect::rule,
    "detect/rules-find" => detect::find,
    "detect/scrub" => detect::scrub,
    "effects/catalogue" => effects::catalogue,
    "effects/classify" => effects::shell,
    "effects/command" => effects::command,
    "effects/reading" => effects::reading,
    "effects/statements" => effects::statements,
    "gateway/strict-framing" => outside::strict_framing,
    "journal/add-checkpoint" => journal::add_checkpoint,
    "journal/cbor" => journal::cbor,
    "journal/checkpoint" => journal::checkpoint,
    "journal/note" => journal::note,
    "journal/opening" => journal::opening,
    "journal/record" => journal::record,
    "journal/segment" => journal::segment,
    "journal/segment-header" => journal::segment_header,
    "journal/tile-bundle" => journal::tile_bundle,
    "journal/tile-path" => journal::tile_path,
    "journal/tlog-proof" => journal::receipt,
    "journal/verifier-key" => journal::verifier_key,
    "journal/witness-answer" => journal::witness_answer,
    "model/event" => model::event,
    "model/id" => model::id,
    "model/registry" => model::registry,
    "model/snapshot" => model::snapshot,
    "model/target" => model::target,
    "policy/assertions" => outside::policy_assertions,
    "policy/pack" => outside::policy_pack,
    "sandbox/dns" => outside::sandbox_dns,
    "scan/file" => outside::scan_file,
    "store/mark" => store::mark,
    "store/seal" => store::seal,
    "store/secrets" => store::secrets,
    "store/snapshot" => store::snapshot,
    "wire/answer-field" => wire::answer_field,
    "wire/answer-swap" => wire::answer_swap,
    "wire/connect-authority" => wire::connect_authority,
    "wire/egress" => wire::egress,
    "wire/form" => wire::form,
    "wire/git-commands" => wire::git_commands,
    "wire/git-pkt" => wire::git_pkt,
    "wire/git-smart" => wire::git_smart,
    "wire/graphql" => wire::graphql,
    "wire/http-request" => wire::http_request,
    "wire/json-pointer" => wire::json_pointer,
    "wire/path" => wire::path,
    "wire/placement" => wire::placement,
    "wire/profile" => wire::profile,
    "wire/profile-extract" => wire::profile_extract,
    "wire/query" => wire::query,
    "wire/return-slot" => wire::return_slot,
    "wire/websocket-client" => wire::websocket_client,
    "wire/websocket-server" => wire::websocket_server,
}
