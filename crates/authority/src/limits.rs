//! Every bound of this crate, in one place.

/// Bytes that one use reserves at most where a limit on bytes stands in its chain.
pub const RESERVE_BYTES: u64 = 16 << 20;
/// Longest request body of one use where no limit says less.
pub const REQUEST_BYTES_MAX: u64 = 4 << 30;
/// Longest answer body of one use where no limit says less.
pub const ANSWER_BYTES_MAX: u64 = 16 << 30;
/// Credentials kept from answers, per leaf; beyond it the one longest unused goes.
pub const KEPT_MAX: usize = 1024;
/// Of those, the latest so many are searched for in answers.
pub const KEPT_NEEDLES_MAX: usize = 64;
/// Longest path and query of a signed address, in bytes.
pub const KEPT_ADDRESS_BYTES_MAX: usize = 8192;
/// A value in the query of a signed address is secret by itself from this length on, in bytes.
pub const TELLING_BYTES_MIN: usize = 16;
/// So many values of one address are searched for.
pub const TELLING_MAX: usize = 8;
/// Bytes of the key that a desktop's keyring keeps.
pub const KEYRING_KEY_BYTES: usize = 32;
/// Longest output of the tool that asks the keyring: it names one entry.
pub const KEYRING_ANSWER_BYTES_MAX: usize = 4096;
/// How long the tool may take: a person may have to unlock the keyring first.
pub const KEYRING_WAIT: std::time::Duration = std::time::Duration::from_secs(15);
/// Longest purpose in bytes.
pub const PURPOSE_BYTES_MAX: usize = 512;
/// Most references of a session.
pub const REFS_MAX: usize = 16;
/// Longest body of a request to the local API.
pub const CONTROL_BYTES_MAX: usize = 1 << 20;
/// Connections to the local API at once; every live session holds one.
pub const CONTROL_CONNECTIONS_MAX: usize = 1024;
/// The same for processes of sessions.
pub const CONTROL_CONNECTIONS_INSIDE_MAX: usize = 16;
/// How long a connection may take to send a request's head.
pub const CONTROL_HEAD_WAIT: std::time::Duration = std::time::Duration::from_secs(5);
/// How long a use waits in line for a human, in milliseconds (DESIGN section 5).
pub const HOLD_MS: u64 = 25_000;
/// Seconds after which a client may send a held request again.
pub const ASK_RETRY_S: u32 = 5;
/// Times that one request is decided on before it is refused because the session's facts keep changing, or because it is
/// asked about again and again.
pub const DECISIONS_MAX: usize = 16;
/// Classes of uses (service, operation, effect, branch or not) that a leaf's policies are worked out for; further ones are
/// judged without.
pub const POLICY_CLASSES_MAX: usize = 1_024;
/// Longest name of a policy pack.
pub const PACK_NAME_BYTES_MAX: usize = 32;
/// Longest value that a reference may give, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 64 << 10;
/// How long a program that gives a value may take.
pub const REFERENCE_COMMAND_MAX: std::time::Duration = std::time::Duration::from_secs(20);
/// Least milliseconds between two readings of one reference in one session.
pub const REFERENCE_GAP_MS: u64 = 1_000;
/// Values of one reference that a session searches answers for; beyond it the oldest goes.
pub const REFERENCE_VALUES_MAX: usize = 64;
/// Longest address in a vault, in bytes.
pub const VAULT_ADDRESS_BYTES_MAX: usize = 512;
/// How long an open question may be answered, in milliseconds.
pub const ASK_MS: u64 = 10 * 60_000;
/// Hosts of one session's certificate authority.
pub const HOSTS_MAX: usize = 256;
/// Statements of ended sessions that are kept at hand.
pub const STATEMENTS_MAX: usize = 1024;
/// Bytes of a held body that a human who is asked is shown; its length is always shown.
pub const ASK_BODY_BYTES: usize = 16 * 1024;
/// Records that one page of a listing reads at most.
pub const PAGE_RECORDS: usize = 100_000;
/// Uses that one page of a session's uses holds at most.
pub const PAGE_USES: usize = 1_000;
