//! # marque-gateway
//!
//! *Purpose*: the HTTP data plane. Listeners that each name one leaf, interception of TLS with a per-session authority,
//! and the phases of one use: identify, check, extract, admit, place, forward, scrub, settle.
//!
//! *Not its job*: to decide anything. Who is asking, where a leaf may go, whether a use is admitted and with which
//! credential is the [`Gate`]'s to say; what bytes mean is `marque-wire`'s; how secrets are found is `marque-detect`'s.
//!
//! *Invariants*: no credential byte is written before [`Gate::admit`] returned (I1). One immutable target per request;
//! CONNECT, TLS name, `Host` and dialled address agree with it or nothing is sent (I13). Upstream connections and TLS
//! state are never shared between leaves. Every admitted use is settled exactly once. When a leaf ends, its streams are
//! cut within 100 ms (I6). Nothing piles up: bodies are pulled, limits are in [`limits`] (I12).
//!
//! *Entry points*: [`Gate`], [`Service::new`], [`Service::run`], [`Handle::listen`], [`SessionCa::new`].
//!
//! *How to test*: `cargo test -p marque-gateway`; `tests/it` has real servers and clients and a gate of its own.

mod answer;
mod body;
mod ca;
mod connect;
mod dial;
mod dialled;
mod entry;
mod extract;
mod fetch;
mod follow;
mod forward;
mod gate;
mod leaf;
pub mod limits;
mod pace;
mod place;
mod pool;
mod problem;
mod request;
mod scrub;
mod serve;
mod settlement;
mod socket;
mod splice;
mod strict;
mod taken;
mod tls;
mod upgrade;

pub use body::{AnswerBody, BodyError};
pub use ca::{CaError, SessionCa};
pub use dial::{Resolver, SystemResolver};
pub use dialled::Names;
pub use fetch::Fetched;
pub use gate::{
    Address, Admitted, Attachment, DialPlan, Ending, Gate, Intended, KEPT_PATH, Kind, LeafKey, ListenerId, Outcome, Peer,
    Returned, Route, RoutePlan,
};
pub use problem::{Form, MARQUE_HEADER, MARQUE_WITHHELD, Problem, form_of};
pub use serve::{Handle, ListenError, Mode, Options, Service};
pub use socket::Socket;
pub use strict::{Framer, Refused};
