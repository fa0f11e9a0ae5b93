//! # marque-model
//!
//! *Purpose*: the values that every ring speaks in (ids, targets, actions, effects, budgets, leases) and the event
//! vocabulary with the pure fold over it: `State::judge` says whether an event may be appended, `State::apply` says
//! what is true after it.
//!
//! *Not its job*: reading clocks, making ids, writing files, deciding policy. Times and random bytes come in as values.
//!
//! *Invariants*: state is a function of the records alone (I10); what is used never passes an ancestor's limit (I4);
//! after `session.end` no use is admitted (I6); an approval admits as many uses as it says (I9).
//!
//! *Entry points*: [`Event`], [`Draft`], [`State`], [`Action`], [`Target`].
//!
//! *How to test*: `cargo test -p marque-model`; the fold's laws are in `tests/it`.

pub mod action;
mod apply;
pub mod budget;
pub mod codec;
pub mod effect;
pub mod event;
pub mod ids;
pub mod judge;
pub mod lease;
pub mod limits;
pub mod registry;
pub mod session;
pub mod snapshot;
pub mod state;
pub mod target;

pub use action::{Action, ActionDigest, Content};
pub use budget::{Budget, Charge, Spent};
pub use effect::Effect;
pub use event::{Draft, Event};
pub use ids::{AskId, CredentialId, InstanceId, LeaseId, SessionId, SubjectId};
pub use judge::Refusal;
pub use session::{EndReason, Grade, Mode, Phase};
pub use state::State;
pub use target::{Scheme, Target, TargetError};
