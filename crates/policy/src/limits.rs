//! Every bound of this crate, in one place. Each is tested at n and n+1.

/// Most files of one pack.
pub const FILES_MAX: usize = 32;
/// Longest text of one file, policies or assertions, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Most policies of one pack.
pub const POLICIES_MAX: usize = 500;
/// Longest text of one policy in bytes, so that no condition is deep enough to trouble a stack.
pub const POLICY_BYTES_MAX: usize = 4 * 1024;
/// Deepest nesting of brackets in a policy text.
pub const NESTING_MAX: usize = 32;
/// Most operators `&&`, `||`, `+`, `-`, `*`, `.` and `[` of one policy: each may be one level of its expression.
pub const OPERATORS_MAX: usize = 256;
/// Longest `@id` in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Longest `@because` or `@deny` in bytes: it is one sentence on somebody's terminal.
pub const SENTENCE_BYTES_MAX: usize = 200;
/// Most groups that one `@ask` names.
pub const GROUPS_MAX: usize = 8;
/// Most uses that `@uses` gives to one approval.
pub const ASK_USES_MAX: u64 = 1_000;
/// Uses of an approval whose rule does not say.
pub const ASK_USES_DEFAULT: u64 = 1;
/// Longest `@ttl` in seconds.
pub const ASK_TTL_MAX_S: u64 = 8 * 3600;
/// Life of an approval whose rule does not say, in seconds.
pub const ASK_TTL_DEFAULT_S: u64 = 600;
/// Most assertions of one pack.
pub const CASES_MAX: usize = 2_000;
/// Longest string among the facts in bytes.
pub const FACT_BYTES_MAX: usize = 16 * 1024;
/// Most attributes of an action or of a resource.
pub const ATTRIBUTES_MAX: usize = 64;
/// Most operations of all services.
pub const OPERATIONS_MAX: usize = 20_000;
/// Longest name of a service or operation in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Most parts of a service's name (`postgres/orders-staging` has 2).
pub const SERVICE_PARTS_MAX: usize = 4;
/// Most environments that policies name in their heads; a further one is decided with the others in one slice.
pub const ENVIRONMENTS_MAX: usize = 16;
/// Most literals of one kind that the search for a counterfactual tries.
pub const CANDIDATES_MAX: usize = 64;
