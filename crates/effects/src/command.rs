//! What is asked about: one command, as the gate that stopped it saw it.

/// One command before it runs. Bytes, because that is what the kernel has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Its words; the first is what it calls itself.
    pub argv: Vec<Vec<u8>>,
    /// What differs from the environment that the session began with.
    pub env: Vec<EnvChange>,
    /// The working directory.
    pub cwd: Vec<u8>,
    /// Text that a shell would read and that somebody else has read: a script file, or a regular file on its input. The text
    /// of `sh -c` stands in `argv`.
    pub script: Option<Script>,
    /// The file that would be executed.
    pub executable: Executable,
}

/// A variable that differs from the session's baseline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EnvChange {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value now; none where it was taken away.
    pub value: Option<Vec<u8>>,
}

/// Text that a shell would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Where it was read.
    pub source: ScriptSource,
    /// The text, or its beginning.
    pub text: Vec<u8>,
    /// Whether that is all of it.
    pub complete: bool,
}

/// Where a script was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ScriptSource {
    /// A file that is run: code that can also be left unread, as each command that it starts is judged by itself.
    File = 1,
    /// Standard input.
    Stdin = 2,
}

/// Facts about the file that would be executed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Executable {
    /// Its path as it was opened, links resolved. Empty where it is not known.
    pub path: Vec<u8>,
    /// Whether the agent could have written it.
    pub workspace_writable: bool,
    /// The rest of its `#!` line.
    pub interpreter: Option<Vec<u8>>,
}

impl Command {
    /// A command of words alone.
    pub fn of<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        Self { argv: words.into_iter().map(|word| word.as_ref().to_vec()).collect(), ..Self::default() }
    }

    /// `SHELL -c TEXT`.
    #[must_use]
    pub fn shell(shell: &str, text: &str) -> Self {
        Self::of([shell, "-c", text])
    }

    /// Bytes of everything that is read.
    pub(crate) fn bytes(&self) -> usize {
        let words: usize = self.argv.iter().map(Vec::len).sum();
        let env: usize = self.env.iter().map(|e| e.name.len() + e.value.as_ref().map_or(0, Vec::len)).sum();
        words + env + self.script.as_ref().map_or(0, |script| script.text.len())
    }
}
