//! Every bound of the format, in one place. Each is tested at n and n+1.

/// Longest record, in bytes: an entry bundle stores its length as a `u16` (C2SP tlog-tiles).
pub const MAX_RECORD_BYTES: usize = 65_535;
/// Longest record kind, in bytes.
pub const MAX_KIND_BYTES: usize = 48;
/// Longest leaf (link `jti`), in bytes.
pub const MAX_LEAF_BYTES: usize = 128;
/// Most backlinks in one record.
pub const MAX_BACKLINKS: usize = 8;
/// Longest key id in a backlink, in bytes.
pub const MAX_KEY_ID_BYTES: usize = 32;
/// Most commitments in one record.
pub const MAX_COMMITMENTS: usize = 16;
/// Deepest nesting of arrays and maps in a body; the body's own map is level 1.
pub const MAX_BODY_DEPTH: usize = 8;

/// Most frame bytes in one batch.
pub const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Most frames in one batch.
pub const MAX_BATCH_FRAMES: u32 = 65_536;
/// Longest encoded opening, in bytes.
pub const MAX_OPENING_BYTES: usize = 262_144;

/// Most leaves in a tree: sizes stay positive in languages with signed 64-bit integers.
pub const MAX_TREE_SIZE: u64 = (1 << 63) - 1;
/// Most hashes in an inclusion or a consistency proof (C2SP tlog-witness allows 63 lines).
pub const MAX_PROOF_HASHES: usize = 63;

/// Longest signed note, in bytes.
pub const MAX_NOTE_BYTES: usize = 65_536;
/// Most signature lines in a note; C2SP signed-note requires that at least 16 are accepted.
pub const MAX_NOTE_SIGNATURES: usize = 32;
/// Longest key name or checkpoint origin, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// Most extra bytes in a receipt before base64; room for one record.
pub const MAX_EXTRA_BYTES: usize = MAX_RECORD_BYTES;
/// Longest receipt text, in bytes.
pub const MAX_RECEIPT_BYTES: usize = 4 * MAX_EXTRA_BYTES.div_ceil(3) + MAX_PROOF_HASHES * 45 + MAX_NOTE_BYTES + 256;

/// Most findings a journal verification lists; further ones are only counted.
pub const MAX_FINDINGS: usize = 1_000;
