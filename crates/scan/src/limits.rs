//! Every bound of this crate, in one place. Each is tested at n and n+1.

/// Longest file that is read, in bytes. Settings are far shorter; what is longer is named and not read.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Entries of directories that are looked at below one given path.
pub const ENTRIES_MAX: usize = 20_000;
/// How far below a given path directories are entered.
pub const DEPTH_MAX: usize = 12;
/// Given paths.
pub const PATHS_MAX: usize = 64;
/// Files of `~/.ssh` that are looked at.
pub const SSH_FILES_MAX: usize = 256;
/// Processes that are looked at.
pub const PROCESSES_MAX: usize = 2_048;
/// Bytes of one process's environment that are read.
pub const ENVIRON_BYTES_MAX: usize = 1 << 20;
/// Variables of one environment.
pub const VARIABLES_MAX: usize = 4_096;
/// Bytes of one value that are judged.
pub const VALUE_BYTES_MAX: usize = 16 << 10;
/// Nesting of JSON and TOML that is followed.
pub const NEST_MAX: usize = 32;
/// Findings of one scan.
pub const FINDINGS_MAX: usize = 4_096;
/// Notes of one scan: what could not be read.
pub const NOTES_MAX: usize = 256;
/// Characters of a name or detail that are shown.
pub const TEXT_CHARS_MAX: usize = 64;
/// Places or holders of one value that are kept.
pub const PLACES_MAX: usize = 64;
