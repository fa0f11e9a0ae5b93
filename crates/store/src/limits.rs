//! Every bound of the store, in one place. Each is tested at n and n+1.

use marque_journal::limits::MAX_RECORD_BYTES;

/// Drafts that wait for the committer; writers wait beyond it.
pub const QUEUE_DRAFTS: usize = 4_096;
/// Most drafts in one batch.
pub const BATCH_DRAFTS: usize = 1_024;
/// A batch takes no further draft once it has this many bytes.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// How long a draft that nobody waits for may wait for company.
pub const LINGER: std::time::Duration = std::time::Duration::from_millis(2);

/// Size of a segment file, preallocated.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Largest segment file: offsets in it are `u32`, and recovery reads one at a time into memory.
pub const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Size of the preallocated file that only essential drafts may use.
pub const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// With less free space than this, ordinary drafts are refused.
pub const FLOOR_BYTES: u64 = 1024 * 1024 * 1024;

/// Most openings of one draft.
pub const DRAFT_OPENINGS: usize = marque_journal::limits::MAX_COMMITMENTS;
/// Most ciphertext bytes of one draft's openings together.
pub const DRAFT_OPENING_BYTES: usize = 256 * 1024;
/// What an opening's frame adds to its ciphertext, at most.
pub(crate) const OPENING_OVERHEAD_BYTES: usize = 96;
/// Longest frames of a draft without openings: batch header, frame header and record.
pub(crate) const DRAFT_RECORD_BYTES: usize = MAX_RECORD_BYTES + 128;

/// Events that make a checkpoint due.
pub const CHECKPOINT_EVENTS: u64 = 256;
/// Age of the oldest event without a checkpoint that makes one due, milliseconds.
pub const CHECKPOINT_AGE_MS: u64 = 1_000;
/// Least time between two checkpoints that only the number of events asks for, milliseconds. Shorter gaps
/// were measured to take the disk from the committer (64 writers: 0.6 instead of 0.76 of the bare file).
pub const CHECKPOINT_GAP_MS: u64 = 1_000;
/// Events without a tile at which the committer waits for the integrator.
pub const LAG_EVENTS: u64 = 262_144;
/// Events after which tiles are forced to disk in a calm moment; until then a restart writes them again from the segments.
pub const TILE_SYNC_EVENTS: u64 = 16_384;
/// How many times as many events may wait for it under load, when each sync would take the disk from the committer.
pub const TILE_SYNC_PATIENCE: u64 = 16;
/// Most tiles that are forced to disk when the journal is closed: with more, the next start writes them again.
pub const TILE_CLOSE_SYNC: usize = 1_024;
/// Events in one step of the integrator that count as load.
pub const TILE_LOAD_EVENTS: u64 = 1_024;
/// Distance between two entries of the in-memory index, bytes of a segment.
pub const INDEX_STEP_BYTES: u32 = 16 * 1024;

/// Longest snapshot file, bytes. A state that needs more is not written: a start then reads the records.
pub const SNAPSHOT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Snapshots that are kept: the newest, and one before it should the newest not be believed.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Most snapshots that a start looks at before it reads every record.
pub const SNAPSHOTS_TRIED: usize = 4;

/// Memory of the search index for pages, KiB.
pub const INDEX_PAGE_CACHE_KIB: i64 = 16 * 1024;

/// Most rows of the secrets file.
pub const SECRET_ROWS: usize = 10_000;
/// Longest secret, bytes.
pub const SECRET_BYTES: usize = 65_536;
/// Longest row id, bytes.
pub const ROW_ID_BYTES: usize = 128;
/// Longest wrapped key, bytes: room for what an external key service returns.
pub const WRAPPED_KEY_BYTES: usize = 1_024;
/// Longest secrets file, bytes.
pub const SECRETS_FILE_BYTES: usize = SECRET_ROWS * (ROW_ID_BYTES + WRAPPED_KEY_BYTES) + 512 * 1024 * 1024;
/// Wraps under one key-encryption key before a new term is required (NIST SP 800-38D section 8.3 allows 2^32).
pub const WRAPS_PER_TERM: u64 = 1 << 30;
/// Most terms of a keyring.
pub const KEYRING_TERMS: usize = 1_024;
/// Most wrapped copies of the root key.
pub const SEAL_COPIES: usize = 16;
/// Longest passphrase, bytes.
pub const PASSPHRASE_BYTES: usize = 1_024;
/// Most memory a stored Argon2 parameter may ask for, KiB.
pub const ARGON2_KIB_MAX: u32 = 2 * 1024 * 1024;
/// Most passes a stored Argon2 parameter may ask for.
pub const ARGON2_PASSES_MAX: u32 = 16;
/// Longest small file (seal, keyring, mark, checkpoint), bytes.
pub const SMALL_FILE_BYTES: u64 = 1024 * 1024;
