//! System calls that rustix does not have, or not in a form that may be used between clone and execve. All `unsafe` of this
//! half of the crate is here; nothing here decides anything.

pub(crate) mod call;
pub(crate) mod landlock;
pub(crate) mod packet;
pub(crate) mod process;
pub(crate) mod probe;
