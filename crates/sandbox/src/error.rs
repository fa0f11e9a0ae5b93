//! Why a sandbox could not be made: which step failed, with what, and what to do about it.

use rustix::io::Errno;
use std::path::PathBuf;

macro_rules! steps {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $text:literal, $help:expr;)*) => {
        /// A step of making a sandbox. Its number goes from child to parent, and into records.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Step { $($(#[doc = $doc])* $name = $code,)* }

        impl Step {
            pub(crate) fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// What the step does, in a few words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What the user can do when it fails.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }
        }
    };
}

const NAMESPACES: &str = "run `marque doctor`: it says what the kernel refuses and how to allow it";
const KERNEL: &str = "use Linux 6.12 or newer for grade A";

steps! {
    /// Reading the plan, before anything is started.
    Plan = 1, "read the plan", "give paths that exist and are absolute";
    /// Starting the thread and the channel that belong to the sandbox.
    Prepare = 2, "prepare the sandbox", "free some memory, processes or descriptors";
    /// Making the namespaces.
    Namespaces = 3, "make namespaces", NAMESPACES;
    /// Writing the user's and group's ids into the user namespace.
    Identity = 4, "map the user into the sandbox", NAMESPACES;
    /// The child went away without a word, or said nothing for too long.
    Lost = 6, "hear from the sandbox", "try again; if it stays, report the kernel's log";
    /// Leaving the session keyring.
    Keyring = 7, "leave the session keyring", KERNEL;
    /// Leaving supplementary groups.
    Groups = 8, "leave the user's groups", NAMESPACES;
    /// Bringing up the loopback interface.
    Loopback = 9, "bring up the sandbox's network", KERNEL;
    /// The one route, to the gateway.
    Route = 10, "route everything to the gateway", KERNEL;
    /// Sockets of the gateway inside.
    Listen = 11, "listen inside the sandbox", "choose ports that occur once";
    /// Handing descriptors over.
    Hand = 12, "hand descriptors over", "raise the limit of open files";
    /// Cutting mount propagation.
    Propagation = 13, "cut mounts off from the host", NAMESPACES;
    /// Opening what will be shown.
    Source = 14, "open a path that the agent may see", "check that the path exists and that you may read it";
    /// The empty root.
    Root = 15, "make an empty root", NAMESPACES;
    /// Directories and files to mount on.
    Skeleton = 16, "make a place for a mount", "check that no link stands in the path";
    /// Mounting.
    Mount = 17, "mount", NAMESPACES;
    /// A fresh `/proc`.
    Proc = 18, "mount a fresh /proc", "containers that mask /proc need `--security-opt systempaths=unconfined`, or run at grade B";
    /// Bytes that are laid over files.
    Overlay = 19, "write a file for the sandbox", "free some memory";
    /// Limits of the namespaces.
    Limits = 20, "limit the sandbox", KERNEL;
    /// Leaving the host's root.
    Pivot = 21, "leave the host's root", NAMESPACES;
    /// Landlock.
    Landlock = 22, "bind the agent with Landlock", "boot with `lsm=landlock,…`, on Linux 6.12 or newer";
    /// Starting the agent's process.
    Fork = 23, "start the agent's process", "raise the limit of processes";
    /// Dropping capabilities.
    Capabilities = 24, "drop capabilities", KERNEL;
    /// The working directory.
    Directory = 25, "enter the working directory", "choose a directory that the sandbox shows";
    /// What others install just before the agent starts.
    Hook = 26, "install the filters of the exec gate", NAMESPACES;
    /// Descriptors of the agent.
    Descriptors = 27, "set up the agent's descriptors", "raise the limit of open files";
    /// Executing the agent.
    Execute = 28, "execute the agent", "give the path of a program that the sandbox shows";
}

/// A sandbox could not be made. Nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("could not {}{}: {errno}", .step.text(), subject(.about))]
pub struct SpawnError {
    /// What failed.
    pub step: Step,
    /// What the system said.
    pub errno: Errno,
    /// The path or port that it was about.
    pub about: Option<PathBuf>,
}

fn subject(about: &Option<PathBuf>) -> String {
    about.as_ref().map(|path| format!(" at `{}`", path.display())).unwrap_or_default()
}

impl SpawnError {
    pub(crate) const fn new(step: Step, errno: Errno) -> Self {
        Self { step, errno, about: None }
    }

    pub(crate) fn at(step: Step, errno: Errno, about: impl Into<PathBuf>) -> Self {
        Self { step, errno, about: Some(about.into()) }
    }

    pub(crate) fn io(step: Step, error: &std::io::Error) -> Self {
        Self::new(step, errno_of(error))
    }

    /// What the user can do about it: one line.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        self.step.help()
    }

    /// Whether the agent's program is not there, rather than not executable: shells tell 127 from 126 by it.
    #[must_use]
    pub fn is_missing_program(&self) -> bool {
        self.step == Step::Execute && matches!(self.errno, Errno::NOENT | Errno::NOTDIR)
    }
}

pub(crate) fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_survives_the_way_from_child_to_parent() {
        let mut known = 0;
        for code in 0..=u8::MAX {
            if let Some(step) = Step::from_code(code) {
                assert_eq!(step as u8, code);
                assert!(!step.text().is_empty() && !step.help().is_empty());
                known += 1;
            }
        }
        assert_eq!(known, 27);
    }

    #[test]
    fn an_error_says_what_failed_where_and_what_to_do() {
        let error = SpawnError::at(Step::Source, Errno::NOENT, "/nowhere");
        assert_eq!(error.to_string(), "could not open a path that the agent may see at `/nowhere`: No such file or directory (os error 2)");
        assert!(error.help().contains("exists"));
        assert!(SpawnError::new(Step::Execute, Errno::NOENT).is_missing_program());
    }
}
