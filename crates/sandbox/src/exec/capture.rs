//! Reads everything about an exec while its thread waits.

use std::os::fd::AsFd;

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use super::Notification;
use super::chain::Chain;
use super::identity::{Digests, Identified, NotAProgram};
use super::limits::{ARGV_BYTES_MAX, ENV_BYTES_MAX, PATH_BYTES_MAX};
use super::memory::Memory;
use super::resolve::{Base, View, name_of};
use super::script::{self, Place};
use super::seen::{Baseline, Exec, Stdin};

/// Why an exec does not come before the judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It would fail anyway, with this error number: no such program, mostly. Searching `PATH` makes eight of these per exec.
    Fails(i32),
    /// It is refused with `EPERM`, and the caller is told why.
    Denied(&'static str),
    /// The caller is gone.
    Gone,
}

pub(super) fn fails(errno: Errno) -> Refusal {
    Refusal::Fails(errno.raw_os_error())
}

/// The arguments of the call.
pub(super) struct Called {
    pub(super) from: Base,
    pub(super) path: Vec<u8>,
    argv: u64,
    env: u64,
    flags: i32,
}

fn called(call: &Notification, memory: &mut Memory) -> std::io::Result<Called> {
    let [a, b, c, d, e, _] = call.args;
    let (from, path, argv, env, flags) = if call.nr == libc::SYS_execve {
        (Base::Cwd, a, b, c, 0)
    } else {
        // Descriptors and flags are 32-bit values in 64-bit registers.
        let from = if a as i32 == libc::AT_FDCWD { Base::Cwd } else { Base::Descriptor(a as i32) };
        (from, b, c, d, e as i32)
    };
    let mut bytes = Vec::new();
    if path != 0 && !memory.string(path, PATH_BYTES_MAX, &mut bytes)? {
        bytes.resize(PATH_BYTES_MAX, b'/');
    }
    Ok(Called { from, path: bytes, argv, env, flags })
}

impl Exec {
    /// Reads the exec that `call` asks for.
    ///
    /// # Errors
    /// When there is nothing to judge: the exec cannot succeed, or may not be judged.
    pub fn read(call: &Notification, baseline: &Baseline, digests: &Digests) -> Result<Self, Refusal> {
        const HIDDEN: Refusal = Refusal::Denied("the arguments of the program cannot be read");
        if call.tid <= 0 {
            return Err(Refusal::Denied("the process is outside of its session"));
        }
        let mut memory = Memory::open(call.tid).map_err(|_| HIDDEN)?;
        let called = called(call, &mut memory).map_err(|_| HIDDEN)?;
        let view = View::of(call.tid).map_err(|_| HIDDEN)?;
        let program = program(&called, &view, digests)?;
        let argv = memory.strings(called.argv, ARGV_BYTES_MAX).map_err(|_| HIDDEN)?;
        let env = memory.strings(called.env, ENV_BYTES_MAX).map_err(|_| HIDDEN)?;
        let process = Process::of(call.tid).ok_or(Refusal::Gone)?;
        let chain = Chain::follow(&called, &program, &argv, &view, digests)?;
        let cwd = std::fs::read_link(format!("/proc/{}/cwd", call.tid)).map_err(|_| HIDDEN)?;
        let cwd = std::os::unix::ffi::OsStringExt::into_vec(cwd.into_os_string());
        let place = Place { view: &view, cwd: &cwd, as_root: process.uid == 0 };
        let binary = chain.binary.as_ref().unwrap_or(&program);
        let script = script::find(&place, binary, &chain.argv, chain.script);
        Ok(Self {
            id: call.id,
            tid: call.tid,
            pid: process.pid,
            parent: process.parent,
            env_changed: baseline.changes(&env),
            binary: binary.id.clone(),
            program: program.id,
            kind: chain.kind,
            stdin: stdin(call.tid),
            starts_with: chain.argv,
            path: called.path,
            argv,
            env,
            cwd,
            script,
        })
    }
}

fn program(called: &Called, view: &View, digests: &Digests) -> Result<Identified, Refusal> {
    let by_descriptor = called.path.is_empty() && called.flags & libc::AT_EMPTY_PATH != 0;
    let file = match (by_descriptor, called.from) {
        (true, Base::Descriptor(fd)) => view.descriptor(fd),
        (true, Base::Cwd) => Err(Errno::ACCESS),
        (false, from) => view.resolve(from, &called.path),
    };
    let file = file.map_err(fails)?;
    if called.flags & libc::AT_SYMLINK_NOFOLLOW != 0 {
        // Nobody uses it; which of two files would run is then not worth knowing.
        return Err(Refusal::Fails(libc::ELOOP));
    }
    identify(digests, file)
}

pub(super) fn identify(digests: &Digests, file: std::os::fd::OwnedFd) -> Result<Identified, Refusal> {
    digests.identify(file).map_err(|why| match why {
        NotAProgram::NotExecutable => Refusal::Fails(libc::EACCES),
        NotAProgram::NoName => Refusal::Denied("the program lies in no directory; write it to a file and run that"),
        NotAProgram::TooLarge => Refusal::Denied("the program is too large to be identified"),
        NotAProgram::Unreadable(_) => Refusal::Denied("the program may be executed but not read, so that it cannot be identified"),
    })
}

/// What `/proc/<tid>/status` says.
struct Process {
    pid: i32,
    parent: i32,
    uid: u32,
}

impl Process {
    fn of(tid: i32) -> Option<Self> {
        let status = std::fs::read(format!("/proc/{tid}/status")).ok()?;
        let field = |name: &[u8]| {
            let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
            std::str::from_utf8(line).ok()?.split_ascii_whitespace().next().map(str::to_owned)
        };
        Some(Self {
            pid: field(b"Tgid:")?.parse().ok()?,
            parent: field(b"PPid:")?.parse().ok()?,
            uid: field(b"Uid:")?.parse().ok()?,
        })
    }
}

fn stdin(tid: i32) -> Stdin {
    let Ok(file) = rustix::fs::open(
        format!("/proc/{tid}/fd/0"),
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    ) else {
        return Stdin::None;
    };
    let Ok(status) = fstat(&file) else { return Stdin::None };
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => Stdin::File,
        FileType::Fifo | FileType::Socket => Stdin::Stream,
        FileType::CharacterDevice => {
            // Terminals have these names wherever devices have names.
            let name = name_of(file.as_fd()).unwrap_or_default();
            let terminal = name.starts_with(b"/dev/pts/") || name.starts_with(b"/dev/tty") || name == b"/dev/console";
            if terminal { Stdin::Terminal } else { Stdin::Device }
        }
        _ => Stdin::Device,
    }
}
