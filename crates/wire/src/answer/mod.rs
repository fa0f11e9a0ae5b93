//! Answers that are credentials (threats C10): a profile declares where, the agent gets a placeholder or a gateway
//! URL, and what was kept goes back only into the slot it belongs to.
//!
//! [`swap`] works on the way to the agent and [`restore`] on the way back. What nobody declared (a cookie, a signed
//! redirect) is withheld: the caller passes only answers of governed hosts.

mod field;
pub mod json;
mod restore;
mod set_cookie;
mod signed;
mod swap;
#[cfg(test)]
mod tests;

pub use field::{AnswerField, Carrier, FieldError, Treat};
pub use restore::{ReturnSlot, cookies, restore};
pub use signed::looks_signed;
pub use swap::{AnswerError, Fate, Found, Mint, Swapped, needs_body, swap};
