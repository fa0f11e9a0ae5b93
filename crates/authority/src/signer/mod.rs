//! The signer: a process of its own that holds the root key and parses nothing hostile. It signs link 0 and checkpoints,
//! and wraps the keys of the secrets file; it signs only checkpoints that extend what it signed before (threats H8, H27).

mod client;
mod desktop;
mod keys;
mod process;
mod proto;
mod remote;

pub use keys::hex;

pub use desktop::KeyringTrouble;
pub use client::{RemoteWrap, SignerClient, SignerStatus};
pub use process::{Signer, SignerOptions};
pub use proto::{Copy, Keys};
pub use remote::RemoteSigner;
