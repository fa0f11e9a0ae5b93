//! Every bound of the sandbox, in one place. Each is tested at n and n+1.

use std::time::Duration;

/// Most ports on which the gateway listens inside.
pub const PORTS: usize = 64;
/// Most descriptors that are handed to the agent, the standard ones included.
pub const FDS: usize = 32;
/// Highest number, plus one, that a handed descriptor may have: above it the child keeps its own.
pub const FD_NUMBER: i32 = 64;
/// Most mounts of one sandbox.
pub const MOUNTS: usize = 512;
/// Most bytes that are laid over files, together.
pub const OVERLAY_BYTES: usize = 64 * 1024 * 1024;
/// Most descriptors that a hook gives to the supervisor.
pub const HOOK_FDS: usize = 8;
/// Longest argument list and environment together, bytes (`execve` refuses more than a quarter of the stack's limit anyway).
pub const ARGUMENT_BYTES: usize = 1024 * 1024;

/// Most processes and threads of one sandbox.
pub const PROCESSES: u32 = 8_192;
/// Least that the kernel takes for the process ids of a namespace: root's sandbox is bounded by no fewer processes.
pub const PID_MAX_LEAST: u32 = 301;
/// Size of the private `/tmp`, bytes of memory.
pub const TMP_BYTES: u64 = 4 << 30;
/// Size of a private home, bytes of memory.
pub const HOME_BYTES: u64 = 1 << 30;
/// Size of the smaller private directories, bytes of memory.
pub const SMALL_BYTES: u64 = 256 << 20;

/// How long a step of the start may take before it counts as failed.
pub const STEP_WAIT: Duration = Duration::from_secs(30);
/// How long publishing waits for a service inside.
pub const PUBLISH_WAIT: Duration = Duration::from_secs(10);
/// Most connections that one published port carries at once.
pub const PUBLISHED_CONNECTIONS: usize = 256;

/// Most names that are given an address in one session; the range has 131,072 addresses.
pub const NAMES: usize = 32_768;
/// Longest DNS message over UDP without extensions, bytes (RFC 1035 section 4.2.1).
pub const DNS_UDP_BYTES: usize = 512;
/// Longest question that is read, bytes.
pub const DNS_QUERY_BYTES: usize = 4_096;
/// Most connections for DNS over TCP at once.
pub const DNS_CONNECTIONS: usize = 32;
/// Packets, reads or connections of one socket that are taken before the others, and the end, are looked at again.
pub const DNS_TURN: usize = 64;
/// How long such a connection may be idle.
pub const DNS_IDLE: Duration = Duration::from_secs(10);

/// Most entries of a workspace that are walked.
pub const ENTRIES: usize = 2_000_000;
/// Deepest directory of a workspace that is walked.
pub const DEPTH: usize = 128;
/// Most bytes that are copied for `--workspace copy`.
pub const COPY_BYTES: u64 = 256 << 30;
/// Most entries of `/etc` that are looked at.
pub const ETC_ENTRIES: usize = 65_536;
/// Most places of one tree that are hidden one by one.
pub const HIDES: usize = 192;
