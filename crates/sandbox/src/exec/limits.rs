//! Every bound of the exec gate, in one place. Each is tested at n and n+1.

use std::time::Duration;

/// Bytes of argv that are read, strings and their terminators. What is longer is judged as *truncated*.
pub const ARGV_BYTES_MAX: usize = 128 << 10;
/// Bytes of an environment that are read, likewise.
pub const ENV_BYTES_MAX: usize = 256 << 10;
/// Bytes of the path of an exec (`PATH_MAX`).
pub const PATH_BYTES_MAX: usize = 4_096;
/// Bytes of a script that are read, judged and given to its interpreter. A longer one is not held.
pub const SCRIPT_BYTES_MAX: usize = 1 << 20;
/// Bytes of a program that are hashed. A larger one is refused.
pub const PROGRAM_BYTES_MAX: u64 = 2 << 30;
/// Interpreters of interpreters that are followed; the kernel follows five.
pub const INTERPRETERS_MAX: usize = 4;
/// Symbolic links that are followed in one path, as in the kernel.
pub const LINKS_MAX: usize = 40;
/// Parents of a process that are named.
pub const PARENTS_MAX: usize = 16;
/// Digests of programs that are remembered.
pub const DIGESTS_MAX: usize = 2_048;
/// Allowed executions that are remembered.
pub const ALLOWED_MAX: usize = 8_192;
/// Questions of one session that wait at once. One more is denied; none is dropped.
pub const ASKS_MAX: usize = 64;
/// Threads that judge and verify at once.
pub const WORKERS: usize = 6;
/// Interpreters that are on the way to their script at once. One more is denied.
pub const WATCHES_MAX: usize = 64;
/// Processes and threads of one interpreter on the way to its script. One more ends it.
pub const WATCHED_TASKS_MAX: usize = 256;
/// Bytes of the line that a denied process is told.
pub const LINE_BYTES_MAX: usize = 512;
/// How often it is looked whether a thread that waits for an answer is still there.
pub const WITHDRAWN_LOOK: Duration = Duration::from_millis(100);
/// A file that was written to more recently than this is hashed again at the exec stop: clocks of file systems tick in
/// milliseconds, and a write within one tick leaves the time as it was.
pub const SETTLED: Duration = Duration::from_secs(2);
