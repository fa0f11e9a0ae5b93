//! Grants, the signed links which hand them on, and the verifier of a chain of links.
//!
//! **Purpose.** Say what an agent may do ([`Grant`]), whether one permission lies within another
//! ([`contain`]), sign that as an Ed25519 JWS *link*, and check a whole chain with nothing but the root
//! public key ([`verify`]). A resource server depends on this crate alone.
//!
//! **Not its job.** Budgets (what was used so far), policy, storage, transport, replay of proofs, and the
//! meaning of a passkey assertion. It has no clock, no randomness and no I/O: both are parameters.
//!
//! **Invariants.** A child never holds more than its parent: scope, limits, time, depth, audience,
//! environment; wider is an error with a JSON pointer, never silently ineffective. A signature is verified
//! before anything it covers is parsed. [`Verified`] and [`Live`] come only from here; no effect should accept
//! less than [`Live`]. Work is bounded by the constants in [`limits`]. Nothing here panics.
//!
//! **Entry points.** [`Grant`], [`contain`], [`sign_root`], [`derive()`], [`verify`](verify()),
//! [`verify_offline_at`], [`proof`].
//!
//! **How to test.** `cargo test -p marque-chain`; vectors for other languages are in `conformance/chain/`.

mod b64;
mod claims;
mod commitment;
pub mod grant;
mod jws;
mod key;
pub mod limits;
mod link;
mod live;
pub mod proof;
mod schema;
pub mod strict_json;
mod verify;

pub use claims::{
    Agent, Claims, Confirmation, HumanAssertion, HumanProof, Mode, PolicyRef, Session, StatusRef,
    human_challenge,
};
pub use commitment::{Digest, commit, sha256};
pub use grant::{
    Grant, HttpGrant, Limits, Rate, ServiceGrant, UseRef, UseWhat, Wider, contain, covers, render,
};
pub use key::{KeyError, PublicKey, SigningKey};
pub use link::{ChildRequest, DeriveError, Link, SignError, derive, sign_root};
pub use live::{Live, NotLive, Status};
pub use schema::SchemaError;
pub use verify::{Hop, Invalid, Lineage, Rule, Rules, Verified, verify, verify_offline_at};
