//! What commands mean, from outside.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and the figures of the labelled commands are printed"
)]

mod bombs;
mod bypass;
mod corpus;
mod examples;
mod laws;
mod limits;
mod messages;
mod readings;

use marque_effects::{Catalogue, Command, Reading, classify};
use std::sync::LazyLock;

/// The files of `services/commands`.
pub fn files() -> Vec<(String, String)> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../services/commands");
    let mut out: Vec<(String, String)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    out.sort();
    out
}

/// The catalogue of these files.
pub static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let files = files();
    Catalogue::parse(files.iter().map(|(name, text)| (name.as_str(), text.as_str()))).unwrap()
});

/// The reading of a line of bash.
pub fn bash(text: &str) -> Reading {
    classify(&Command::shell("bash", text), &CATALOGUE)
}

/// The reading of a command's words.
pub fn argv(words: &[&str]) -> Reading {
    classify(&Command::of(words), &CATALOGUE)
}
