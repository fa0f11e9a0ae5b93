//! Shell text, SQL, the catalogue of commands, the worker's messages.

use super::text;
use marque_effects::protocol::{decode_command, decode_reading, encode_command, encode_reading};
use marque_effects::{Catalogue, Command, Reading, Script, ScriptSource, classify};
use std::sync::LazyLock;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::shipped().unwrap_or_default());

fn judged(command: &Command) -> Reading {
    let reading = classify(command, &CATALOGUE);
    assert_eq!(decode_reading(&encode_reading(&reading)).as_ref(), Ok(&reading));
    reading
}

/// A text in quotes is one word of a list: what it does counts there too.
pub(crate) fn shell(input: &[u8]) {
    let alone = judged(&Command::of([b"bash".as_slice(), b"-c", input]));
    let script = Some(Script { source: ScriptSource::Stdin, text: input.to_vec(), complete: true });
    judged(&Command { script, ..Command::of(["sh"]) });
    if let Some(text) = text(input).filter(|text| text.len() < 4096) {
        let listed = format!("true; bash -c '{}'", text.replace('\'', r"'\''"));
        let listed = judged(&Command::shell("bash", &listed));
        assert!(listed.asks() || !alone.asks(), "{alone:?} {listed:?}");
    }
}

pub(crate) fn statements(input: &[u8]) {
    let Some(text) = text(input).filter(|text| text.len() < 4096) else { return };
    let alone = judged(&Command::of(["psql", "-c", text]));
    let more = judged(&Command::of(["psql", "-c", &format!("select 1;{text}")]));
    assert!(more.worst() >= alone.worst(), "{alone:?} {more:?}");
}

pub(crate) fn command(input: &[u8]) {
    if let Ok(command) = decode_command(input) {
        assert_eq!(encode_command(&command), input);
        judged(&command);
    }
}

pub(crate) fn reading(input: &[u8]) {
    if let Ok(reading) = decode_reading(input) {
        assert_eq!(encode_reading(&reading), input);
    }
}

pub(crate) fn catalogue(input: &[u8]) {
    if let Some(text) = text(input)
        && let Ok(catalogue) = Catalogue::parse([("fuzz.toml", text)])
    {
        let reading = classify(&Command::shell("bash", "aws s3 rm s3://b/k; git push"), &catalogue);
        assert_eq!(decode_reading(&encode_reading(&reading)).as_ref(), Ok(&reading));
    }
}
