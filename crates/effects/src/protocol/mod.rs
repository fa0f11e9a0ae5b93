//! What the worker process and its caller say to each other: one message with a command, one with its reading.
//!
//! A frame is four bytes of length, big-endian, and that many bytes. A message is a version byte and fields in a fixed order:
//! numbers of four bytes, texts and lists with their length before them, a byte 0 or 1 before what may be missing. Nothing may
//! follow. What is read and written again is the same bytes.

mod reader;
mod writer;

use crate::command::{Command, EnvChange, Executable, Script, ScriptSource};
use crate::limits::{ARGV_WORDS_MAX, ENV_CHANGES_MAX, FINDINGS_MAX, MESSAGE_BYTES_MAX, REASONS_MAX};
use crate::reading::{Environment, Finding, Kind, Reading};
use marque_model::Effect;
use reader::Reader;
use writer::Writer;

/// The only version.
const VERSION: u8 = 1;
/// Bytes before each message.
pub const FRAME_HEAD_BYTES: usize = 4;

/// Why bytes are no message. A caller takes it for *unknown*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// It ends early.
    #[error("the message ends before its last field")]
    Short,
    /// Something follows.
    #[error("the message has bytes behind its last field")]
    Long,
    /// Another version.
    #[error("the message has another version")]
    Version,
    /// A number that stands for nothing, a text that is none, a list out of order.
    #[error("a field of the message has a value that it cannot have")]
    Value,
    /// More than a limit allows.
    #[error("a field of the message is over its limit")]
    Limit,
}

/// The length that a frame's head announces.
///
/// # Errors
/// [`ProtocolError::Limit`] for more than [`MESSAGE_BYTES_MAX`].
pub fn frame_length(head: [u8; FRAME_HEAD_BYTES]) -> Result<usize, ProtocolError> {
    let length = usize::try_from(u32::from_be_bytes(head)).map_err(|_| ProtocolError::Limit)?;
    if length > MESSAGE_BYTES_MAX { Err(ProtocolError::Limit) } else { Ok(length) }
}

/// A message with its head.
///
/// # Errors
/// [`ProtocolError::Limit`] for more than [`MESSAGE_BYTES_MAX`].
pub fn frame(message: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ProtocolError::Limit);
    }
    let length = u32::try_from(message.len()).map_err(|_| ProtocolError::Limit)?;
    Ok([&length.to_be_bytes(), message].concat())
}

/// A command as a message.
#[must_use]
pub fn encode_command(command: &Command) -> Vec<u8> {
    let mut out = Writer::new(VERSION);
    out.list(&command.argv, |out, word| out.bytes(word));
    out.list(&command.env, |out, change| {
        out.bytes(&change.name);
        out.maybe(change.value.as_deref(), Writer::bytes);
    });
    out.bytes(&command.cwd);
    out.maybe(command.script.as_ref(), |out, script| {
        out.byte(script.source as u8);
        out.bytes(&script.text);
        out.byte(u8::from(script.complete));
    });
    out.bytes(&command.executable.path);
    out.byte(u8::from(command.executable.workspace_writable));
    out.maybe(command.executable.interpreter.as_deref(), Writer::bytes);
    out.done()
}

/// The command of a message.
///
/// # Errors
/// [`ProtocolError`] for what is none.
pub fn decode_command(bytes: &[u8]) -> Result<Command, ProtocolError> {
    let mut from = Reader::new(bytes, VERSION)?;
    let argv = from.list(ARGV_WORDS_MAX, Reader::bytes)?;
    let env = from.list(ENV_CHANGES_MAX, |from| Ok(EnvChange { name: from.bytes()?, value: from.maybe(Reader::bytes)? }))?;
    let cwd = from.bytes()?;
    let script = from.maybe(|from| {
        let source = match from.byte()? {
            1 => ScriptSource::File,
            2 => ScriptSource::Stdin,
            _ => return Err(ProtocolError::Value),
        };
        Ok(Script { source, text: from.bytes()?, complete: from.flag()? })
    })?;
    let executable = Executable { path: from.bytes()?, workspace_writable: from.flag()?, interpreter: from.maybe(Reader::bytes)? };
    from.done()?;
    Ok(Command { argv, env, cwd, script, executable })
}

/// A reading as a message.
#[must_use]
pub fn encode_reading(reading: &Reading) -> Vec<u8> {
    let mut out = Writer::new(VERSION);
    out.list(&reading.findings, |out, finding| {
        for text in [&finding.tool, &finding.service, &finding.operation] {
            out.text(text);
        }
        out.byte(finding.effect.code());
        out.byte(finding.kind as u8);
        out.maybe(finding.target.as_deref(), Writer::text);
        out.byte(finding.environment as u8);
        out.maybe(finding.credential.as_deref(), Writer::text);
        out.byte(u8::from(finding.severe));
    });
    for list in [&reading.unknown, &reading.opaque, &reading.env_changed] {
        out.list(list, |out, text| out.text(text));
    }
    out.done()
}

/// The reading of a message.
///
/// # Errors
/// [`ProtocolError`] for what is none.
pub fn decode_reading(bytes: &[u8]) -> Result<Reading, ProtocolError> {
    let mut from = Reader::new(bytes, VERSION)?;
    let findings = from.list(FINDINGS_MAX, finding)?;
    let mut texts = || from.list(REASONS_MAX, Reader::text);
    let reading = Reading { findings, unknown: texts()?, opaque: texts()?, env_changed: texts()? };
    from.done()?;
    let rising = |list: &[String]| list.is_sorted_by(|a, b| a < b);
    let sorted = reading.findings.is_sorted_by(|a, b| a < b) && [&reading.unknown, &reading.opaque, &reading.env_changed].iter().all(|list| rising(list));
    if sorted { Ok(reading) } else { Err(ProtocolError::Value) }
}

fn finding(from: &mut Reader<'_>) -> Result<Finding, ProtocolError> {
    let (tool, service, operation) = (from.text()?, from.text()?, from.text()?);
    let effect = Effect::from_code(u64::from(from.byte()?)).ok_or(ProtocolError::Value)?;
    let kind = from.byte()?;
    let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind).ok_or(ProtocolError::Value)?;
    let target = from.maybe(Reader::text)?;
    let environment = from.byte()?;
    let environment = Environment::ALL.into_iter().find(|known| *known as u8 == environment).ok_or(ProtocolError::Value)?;
    Ok(Finding { tool, service, operation, effect, kind, target, environment, credential: from.maybe(Reader::text)?, severe: from.flag()? })
}
