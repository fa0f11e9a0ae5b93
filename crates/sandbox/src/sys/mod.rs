//! System calls that rustix does not have, or not in a form that may be used between clone and execve. All `unsafe` of this
//! crate is here, but for the calls of `clone` and what stands before one `exec`; nothing here decides anything.

pub(crate) mod call;
pub(crate) mod landlock;
pub(crate) mod packet;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod seccomp;
pub(crate) mod trace;
