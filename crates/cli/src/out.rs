//! Printing: data on stdout, the rest on stderr, errors in one form.

use marque_api::{Code, Problem};
use std::sync::atomic::{AtomicBool, Ordering};
use std::io::Write;
use std::process::ExitCode;

/// Exit codes (documented in the README).
pub(crate) mod exit {
    pub(crate) const FAILURE: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const DENIED: u8 = 3;
    pub(crate) const AUTH: u8 = 4;
    pub(crate) const APPROVAL: u8 = 5;
    pub(crate) const UNREACHABLE: u8 = 6;
    pub(crate) const VERIFICATION: u8 = 7;
    pub(crate) const FINDINGS: u8 = 8;
}

/// Why a command failed.
pub(crate) enum Failure {
    /// A refusal with a code.
    Problem(Problem),
    /// Anything else, with the next step.
    Plain {
        /// What went wrong.
        what: String,
        /// What to do.
        help: String,
        /// Exit code.
        code: u8,
    },
}

pub(crate) type Outcome = Result<ExitCode, Failure>;

impl Failure {
    pub(crate) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Plain { what: what.into(), help: help.into(), code: exit::FAILURE }
    }

    pub(crate) fn usage(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Plain { what: what.into(), help: help.into(), code: exit::USAGE }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Plain { code, .. } => *code,
            Self::Problem(problem) => match problem.code {
                Code::AUTH | Code::SEALED | Code::KEYRING => exit::AUTH,
                Code::APPROVAL_PENDING => exit::APPROVAL,
                Code::UNREACHABLE => exit::UNREACHABLE,
                Code::TAMPERED | Code::ROLLED_BACK | Code::WITNESSED_OTHERWISE => exit::VERIFICATION,
                Code::INPUT | Code::PURPOSE | Code::GRANT | Code::TASK | Code::PROFILE => exit::USAGE,
                Code::NOT_FOUND
                | Code::CONFLICT
                | Code::TAKEN
                | Code::EXPOSED
                | Code::HUMAN_IN_USE
                | Code::JOURNAL
                | Code::NO_SPACE
                | Code::INDEX => exit::FAILURE,
                _ => exit::DENIED,
            },
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Problem(p) => format!("error[{}]: {}\nhelp: {}", p.code.text(), lines(&p.detail), lines(&p.help)),
            Self::Plain { what, help, .. } => format!("error: {}\nhelp: {}", lines(what), lines(help)),
        }
    }

    pub(crate) fn report(&self, json: bool) -> ExitCode {
        match self {
            Self::Problem(problem) if json => say(&escaped(&problem.to_json())),
            _ => say(&self.text()),
        }
        ExitCode::from(self.exit_code())
    }
}

impl From<marque_client::Error> for Failure {
    fn from(error: marque_client::Error) -> Self {
        match error {
            marque_client::Error::Refused(problem) => Self::Problem(problem),
            stranger @ marque_client::Error::Stranger { .. } => {
                Self::Problem(Problem::new(stranger.code(), stranger.to_string(), "find out who started it there; nothing was said to it"))
            }
            other => Self::Problem(Problem::new(other.code(), other.to_string(), "start one with `marque serve` or `marque run`")),
        }
    }
}

impl From<marque_authority::Error> for Failure {
    fn from(error: marque_authority::Error) -> Self {
        Self::Problem(error.to_problem())
    }
}

/// A line on stderr. A closed stderr has nobody to be told.
pub(crate) fn say(text: &str) {
    let end = if TERMINAL_IS_RAW.load(Ordering::Relaxed) { "\r\n" } else { "\n" };
    let text = text.replace('\n', end);
    let _ = write!(std::io::stderr(), "{text}{end}");
}

/// Whether the terminal makes no new line of a line feed: while an agent has one of its own.
pub(crate) static TERMINAL_IS_RAW: AtomicBool = AtomicBool::new(false);

/// The thing asked for, on stdout. A reader that went away ends the command quietly.
pub(crate) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// JSON on stdout.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::new(e.to_string(), "report this"))?;
    print(&escaped(&text));
    Ok(ExitCode::SUCCESS)
}

/// One line of JSON on stdout.
pub(crate) fn print_json_line(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|e| Failure::new(e.to_string(), "report this"))?;
    print(&escaped(&text));
    Ok(())
}

/// A value of the API as one versioned document: an object gets its schema, a list stands under `items`.
pub(crate) fn print_as(schema: &str, value: &impl serde::Serialize) -> Outcome {
    let value = serde_json::to_value(value).map_err(|e| Failure::new(e.to_string(), "report this"))?;
    let document = match value {
        serde_json::Value::Object(mut object) => {
            object.entry("schema").or_insert_with(|| schema.into());
            object.into()
        }
        other => serde_json::json!({ "schema": schema, "items": other }),
    };
    print_json(&document)
}

/// A text that is asked for: as it is, or in a versioned document.
pub(crate) fn text(global: &crate::args::Global, schema: &str, name: &str, text: &str) -> Outcome {
    if global.json {
        return print_json(&serde_json::json!({ "schema": schema, name: text }));
    }
    print(text.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// The same, line by line.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// What a terminal obeys or does not show: control characters, those that turn the direction of writing, those without width, and
/// tags, which spell a text that nobody sees.
fn odd(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text of others, for a terminal: none of those characters.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if odd(c) { '\u{fffd}' } else { c }).collect()
}

/// The same document with none of those characters as they are: outside of its strings JSON has no such character but line ends,
/// and inside of them line ends are written as escapes already.
pub(crate) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !odd(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{escaped, plain};

    /// Everything that [`super::odd`] is for, beside what JSON escapes by itself.
    const ODD: &str = "\u{7f}\u{9b}31m\u{ad}\u{61c}\u{200b}\u{200d}\u{200f}\u{2028}\u{202e}\u{2060}\u{2066}\u{feff}\u{e0041}";

    #[test]
    fn json_has_no_character_that_a_terminal_obeys_or_hides_and_means_the_same() {
        let value = serde_json::json!({ ODD: [ODD, "line\nend", "\u{1b}[2A", "größe 名"] });
        let text = escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|c| c == '\n' || !super::odd(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert!(text.contains("größe 名"));
    }

    #[test]
    fn plain_text_has_none_of_them() {
        assert_eq!(plain(ODD).matches('\u{fffd}').count(), ODD.chars().count() - "31m".len());
        assert_eq!(plain("größe 名"), "größe 名");
    }
}
