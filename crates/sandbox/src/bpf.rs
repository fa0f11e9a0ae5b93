//! Filters of system calls as data, and their translation to classic BPF for seccomp, x86-64 alone: every program begins by
//! killing whatever was called by another convention, because its numbers mean other calls.
//!
//! Filters are built before the fork and installed after it, by a function that is safe there.

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::sys::seccomp;

/// `AUDIT_ARCH_X86_64` of `linux/audit.h`.
const ARCH_X86_64: u32 = 0xc000_003e;
/// Numbers from here on are x32's.
const X32_BIT: u32 = 0x4000_0000;
/// Offsets into `struct seccomp_data`.
const AT_NR: u32 = 0;
const AT_ARCH: u32 = 4;
const AT_ARGS: u32 = 16;

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// What happens to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It runs.
    Allow,
    /// It fails with this error number, without running.
    Errno(u16),
    /// The supervisor is asked; see [`crate::exec::Listener`].
    Notify,
    /// The process is killed.
    Kill,
}

impl Action {
    const fn value(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Errno(number) => libc::SECCOMP_RET_ERRNO | number as u32,
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// What is decided about one system call, by its arguments where need be.
#[derive(Debug, Clone)]
pub enum Rule {
    /// The same for every call.
    Is(Action),
    /// By the low 32 bits of an argument after masking. The kernel reads flags, families and ioctl numbers as 32-bit values, so
    /// that the high half must not be compared: a caller could set it and mean the same.
    If {
        /// Which argument, from 0.
        arg: u8,
        /// Bits that count.
        mask: u32,
        /// Values of which one must be met.
        values: &'static [u32],
        /// When one is met.
        then: Box<Rule>,
        /// When none is.
        otherwise: Box<Rule>,
    },
}

impl Rule {
    /// `then` if the masked argument is one of `values`, else `otherwise`.
    #[must_use]
    pub fn when(arg: u8, mask: u32, values: &'static [u32], then: Self, otherwise: Self) -> Self {
        Self::If { arg, mask, values, then: Box::new(then), otherwise: Box::new(otherwise) }
    }

    /// `action` if any of `bits` is set in the argument, else the call runs.
    #[must_use]
    pub fn when_any(arg: u8, bits: u32, action: Action) -> Self {
        Self::when(arg, bits, &[0], Self::Is(Action::Allow), Self::Is(action))
    }

    /// Instructions that end in a return on every way.
    fn emit(&self, out: &mut Vec<libc::sock_filter>) -> Result<(), TooLong> {
        match self {
            Self::Is(action) => out.push(step(RETURN, action.value())),
            Self::If { arg, mask, values, then, otherwise } => {
                out.push(step(LOAD_WORD, AT_ARGS + 8 * u32::from(*arg)));
                if *mask != u32::MAX {
                    out.push(step(AND, *mask));
                }
                let mut met = Vec::new();
                then.emit(&mut met)?;
                // A value that is met jumps over the tests that are left and over the other branch, which is thus the near one.
                let mut missed = Vec::new();
                otherwise.emit(&mut missed)?;
                for (at, value) in values.iter().enumerate() {
                    let over = values.len().saturating_sub(at + 1).saturating_add(missed.len());
                    out.push(libc::sock_filter { code: JUMP_EQUAL, jt: short(over)?, jf: 0, k: *value });
                }
                out.append(&mut missed);
                out.append(&mut met);
            }
        }
        Ok(())
    }
}

/// A filter has a jump longer than BPF allows. Filters are constants of this crate, so that a test of each is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a jump in the filter is longer than 255 instructions")]
pub struct TooLong;

fn short(distance: usize) -> Result<u8, TooLong> {
    u8::try_from(distance).map_err(|_| TooLong)
}

const fn step(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

/// A filter, ready to be installed.
#[derive(Clone)]
pub struct Program(Vec<libc::sock_filter>);

impl std::fmt::Debug for Program {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Program({} instructions)", self.0.len())
    }
}

impl Program {
    /// A filter of these rules; a call that none names runs.
    ///
    /// # Errors
    /// When one rule is longer than a jump can be.
    pub fn new(rules: &[(libc::c_long, Rule)]) -> Result<Self, TooLong> {
        let kill = step(RETURN, Action::Kill.value());
        let mut code = vec![
            step(LOAD_WORD, AT_ARCH),
            libc::sock_filter { code: JUMP_EQUAL, jt: 1, jf: 0, k: ARCH_X86_64 },
            kill,
            step(LOAD_WORD, AT_NR),
            libc::sock_filter { code: JUMP_AT_LEAST, jt: 0, jf: 1, k: X32_BIT },
            kill,
        ];
        for (number, rule) in rules {
            let mut block = Vec::new();
            rule.emit(&mut block)?;
            let number = u32::try_from(*number).map_err(|_| TooLong)?;
            code.push(libc::sock_filter { code: JUMP_EQUAL, jt: 0, jf: short(block.len())?, k: number });
            code.append(&mut block);
        }
        code.push(step(RETURN, Action::Allow.value()));
        Ok(Self(code))
    }

    /// Instructions, for those who keep count (the kernel allows 4,096).
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: a filter without rules still checks the calling convention.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Installs the filter on the calling thread, for good, and gives up the gain of privileges. Safe between fork and exec: it
    /// allocates nothing and takes no lock.
    ///
    /// # Errors
    /// The kernel's: `EINVAL` and `ENOSYS` where it has no filters.
    pub fn install(&self) -> Result<(), Errno> {
        rustix::thread::set_no_new_privs(true)?;
        seccomp::install(&self.0)
    }

    /// The same for a filter that notifies; its listener is returned. With `killable` a caller whose call was received waits
    /// through every signal but the one that ends it.
    ///
    /// # Errors
    /// The kernel's: `EINVAL` where it is older than 5.19, `EBUSY` where the process has such a filter already.
    pub fn install_with_listener(&self, killable: bool) -> Result<OwnedFd, Errno> {
        rustix::thread::set_no_new_privs(true)?;
        seccomp::install_with_listener(&self.0, killable)
    }
}

#[cfg(test)]
mod tests;
