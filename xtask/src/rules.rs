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
    house("crates/store", Ring::Outside, &["journal", "detect", "switch"]),
    house("crates/switch", Ring::Outside, &[]),
    house("crates/client", Ring::Outside, &["api"]),
    house("crates/scan", Ring::Outside, &["detect"]),
    house("crates/authority", Ring::Running, &["api", "chain", "detect", "journal", "model", "policy", "store", "switch", "wire"]),
    house("crates/gateway", Ring::Running, &["detect", "model", "wire"]),
    house(
        "crates/cli",
        Ring::Edge,
        &["api", "authority", "chain", "client", "detect", "gateway", "journal", "model", "policy", "scan", "store", "switch", "wire", "testkit"],
    ),
    house("bench", Ring::Support, &["chain", "journal", "store", "testkit"]),
    house("testkit", Ring::Support, &[]),
    house("xtask", Ring::Support, &[]),
];

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
