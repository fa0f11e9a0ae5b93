//! From the file that was named to the binary that starts: a script's `#!` line names its interpreter, which may be a script.

use super::capture::{Called, Refusal, fails, identify};
use super::identity::{Digests, Identified};
use super::limits::INTERPRETERS_MAX;
use super::memory::Strings;
use super::resolve::{Base, View};
use super::seen::Kind;
use super::shebang::{self, Head};

/// What the kernel makes of a program: a script starts its interpreter.
pub(super) struct Chain {
    /// The interpreter, where there is one.
    pub(super) binary: Option<Identified>,
    /// The arguments with which it starts.
    pub(super) argv: Strings,
    /// The argument that names the script.
    pub(super) script: Option<usize>,
    pub(super) kind: Kind,
}

impl Chain {
    pub(super) fn follow(
        called: &Called,
        program: &Identified,
        argv: &Strings,
        view: &View,
        digests: &Digests,
    ) -> Result<Self, Refusal> {
        let mut head = shebang::read(&program.head);
        let kind = match head {
            Head::Elf => Kind::Binary,
            Head::Script(_) => Kind::Script,
            Head::Other => Kind::Other,
        };
        let mut chain = Self { binary: None, argv: as_started(argv), script: None, kind };
        // By this name the interpreter will look for the script.
        let mut name = script_name(called);
        let mut followed = 0;
        while let Head::Script(line) = head {
            followed += 1;
            if followed > INTERPRETERS_MAX {
                return Err(Refusal::Fails(libc::ELOOP));
            }
            // The kernel puts the interpreter and its argument before the script, whose name takes the place of the first argument.
            let front = [Some(line.interpreter.as_slice()), line.argument.as_deref(), Some(name.as_slice())];
            let rest = chain.argv.iter().skip(1);
            let mut started = Strings::of(front.into_iter().flatten().chain(rest));
            started.truncated = chain.argv.truncated;
            if started.truncated {
                // The string that did not fit stands at the end, without terminator, and belongs to no argument.
                started.bytes.extend_from_slice(chain.argv.tail());
            }
            chain.script = Some(1 + usize::from(line.argument.is_some()));
            chain.argv = started;
            let file = view.resolve(Base::Cwd, &line.interpreter).map_err(fails)?;
            let next = identify(digests, file)?;
            head = shebang::read(&next.head);
            name = line.interpreter;
            chain.binary = Some(next);
        }
        Ok(chain)
    }
}

/// Since Linux 5.18 a program without arguments gets an empty one.
fn as_started(argv: &Strings) -> Strings {
    if argv.count == 0 && !argv.truncated { Strings::of([&b""[..]]) } else { argv.clone() }
}

fn script_name(called: &Called) -> Vec<u8> {
    match called.from {
        Base::Descriptor(fd) if called.path.is_empty() => format!("/dev/fd/{fd}").into_bytes(),
        Base::Descriptor(fd) if !called.path.starts_with(b"/") => [format!("/dev/fd/{fd}/").as_bytes(), &called.path].concat(),
        _ => called.path.clone(),
    }
}
