//! Shell text: checked, parsed by the one parser, and every simple command visited.

mod compound;
pub(crate) mod cursor;
pub(crate) mod expand;
pub(crate) mod parse;
mod redirect;
mod simple;
mod values;
pub(crate) mod walk;
pub(crate) mod word;
mod written;
