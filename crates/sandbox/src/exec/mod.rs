//! # The exec gate
//!
//! Every `execve` and `execveat` of a session waits in the kernel (seccomp user notification) until its judge has spoken; an
//! allowed one is verified at the exec stop, before the first instruction of the new program.
//!
//! Judging alone would not do: the arguments lie in memory that other threads write, and the file behind a name is exchanged in
//! a moment. Verifying alone would come too late to ask anybody. The two together hold: what is judged is what runs, or nothing
//! does.
//!
//! * [`hook()`] with a [`Judge`], which goes into [`crate::Plan::hook`]: the gate of a sandbox.
//! * [`start`]: the same for a command with no sandbox around it.
//! * [`deny_list`], [`notifying`]: the filters, which a child installs between fork and exec; [`surrender`] and [`receive`] hand the
//!   listener over where there is no channel for it.
//! * [`ExecGate::run`]: reads each [`Exec`], asks for a [`Verdict`], lets it run or fail, tells the caller why.
//!
//! What it does not see: what an interpreter or the dynamic loader does without an exec, and what a shell reads as a script after
//! the kernel refused it ([`Kind::Other`]). Without a sandbox, processes of one session can write to each other's memory through
//! `/proc`; the gate is about programs that start, the network plane about what they can do.

mod alone;
mod asks;
mod cache;
mod capture;
mod chain;
mod copy;
mod filter;
mod gate;
mod handoff;
mod hook;
mod identity;
mod judge;
pub mod limits;
mod listener;
pub(crate) mod memory;
mod question;
pub(crate) mod resolve;
mod script;
mod seen;
mod shebang;
mod tell;
mod verify;
mod watch;

pub use alone::{Judged, start};
pub use capture::Refusal;
pub use filter::{Gates, deny_list, notifying};
pub use gate::{Ended, ExecGate, Handle, Settings};
pub use handoff::{prepare, receive, surrender};
pub use hook::{denying, hook};
pub use identity::{Digests, FileId};
pub use judge::{Answer, Denial, Judge, Outcome, Tampering, Verdict};
pub use listener::{Listener, Notification, Received};
pub use memory::Strings;
pub use question::{Pending, Resolver, question};
pub use script::{Held, Script};
pub use seen::{Baseline, Exec, Kind, Parent, Stdin};
pub use shebang::{HEAD_BYTES, Head, Shebang, read as read_head};
