//! Names inside a sandbox: every name has an address of its own, which means the name to the gateway and nothing to anybody
//! else. No name is ever resolved here, so that none carries data out, and no address is used twice in a session.

mod message;
mod names;
mod server;

pub use message::{Answer, answer};
pub use names::{Exhausted, NETWORK_V4, NETWORK_V6, Names};
pub use server::Server;
