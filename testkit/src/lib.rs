//! # marque-testkit
//!
//! **Purpose.** What the tests of the other crates talk to, drive and search: real upstreams where they install, shape
//! servers where they do not, scripted model servers for published agents, canaries and the searches for them.
//!
//! **Not its job.** Nothing here is linked into the product, and nothing here judges the product: assertions stay in tests.
//!
//! **Invariants.** Every server binds port 0 on the loopback, shows a nonce of its own, logs every request with the
//! credential it saw, and stops when dropped. A missing program is an error that says how to install it.
//!
//! **Entry points.** [`upstream`], [`model::ScriptedModel`], [`proc::Child`], [`canary()`], [`search`], [`tools::Tools`].
//!
//! **How to test.** `testkit/tools/install`, then `cargo test -p marque-testkit`.

pub mod agents;
pub mod credential;
pub mod docker_registry;
pub mod encode;
pub mod error;
pub mod http;
pub mod log;
pub mod model;
pub mod nginx;
pub mod openbao;
pub mod pki;
pub mod proc;
pub mod search;
pub mod serve;
pub mod tools;
pub mod upstream;
mod websocket;

pub use error::{Error, Result};
pub use log::{Record, RequestLog};
pub use serve::{Options, Server};

use aws_lc_rs::rand;

/// A secret nobody else has: `mq<kind>_` and 160 random bits in hexadecimal.
#[must_use]
pub fn canary(kind: &str) -> String {
    let mut bytes = [0_u8; 20];
    // The generator of aws-lc aborts rather than fail after its first use; a repeat would only weaken one test.
    let _ = rand::fill(&mut bytes);
    format!("mq{kind}_{}", encode::hex(&bytes))
}
