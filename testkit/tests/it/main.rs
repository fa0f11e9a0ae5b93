//! The kit against the real programs: agents, git, gh, curl, nginx, the registry, OpenBao. A missing one fails its test.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail their test")]

mod agents;
mod clients;
mod echo;
mod model;
mod servers;

use std::time::Duration;

/// Ample for a cold start of a large program on a loaded machine.
const LONG: Duration = Duration::from_secs(120);
