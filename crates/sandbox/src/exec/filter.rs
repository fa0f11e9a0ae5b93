//! The two filters of a session: calls that no agent needs, and calls that are judged.

use crate::bpf::{Action, Program, Rule, TooLong};

const ALLOW: Rule = Rule::Is(Action::Allow);
const EPERM: Rule = Rule::Is(Action::Errno(1));
/// "Not there": C libraries fall back to the older call.
const ENOSYS: Rule = Rule::Is(Action::Errno(38));
const EPROTONOSUPPORT: Rule = Rule::Is(Action::Errno(93));
const EAFNOSUPPORT: Rule = Rule::Is(Action::Errno(97));

const CLONE_NEWUSER: u32 = 0x1000_0000;
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const NETLINK_ROUTE: u32 = 0;
/// `open_tree_attr`, newer than the bindings.
const SYS_OPEN_TREE_ATTR: libc::c_long = 467;

/// `fchmodat2`, newer than the bindings.
const SYS_FCHMODAT2: libc::c_long = 452;
/// Set-user-id and set-group-id.
const SET_ID: u32 = 0o6000;

/// Calls by which one process enters another, the kernel's larger surfaces, and whatever would undo the sandbox.
const REFUSED: &[libc::c_long] = &[
    // Other processes' memory and descriptors: between agents of one session, and in the exec stop.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    // The plan of mounts is final.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    // Keyrings belong to the user, not to the session.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Large surfaces; userfaultfd also holds a judge who reads memory.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    // Where a session runs as root: the kernel itself, and the clock by which a changed file is noticed.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
];

/// The deny list, for every process of a session. It is installed after the notifying filter, because it refuses further
/// filters: a newer one with a listener would answer in ours' place.
///
/// # Errors
/// Never for this list; a test builds it.
pub fn deny_list() -> Result<Program, TooLong> {
    let mut rules: Vec<_> = REFUSED.iter().map(|nr| (*nr, EPERM)).collect();
    // Submission queues run calls that no filter sees.
    rules.extend([libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register].map(|nr| (nr, ENOSYS)));
    rules.extend([
        // The flags of clone3 lie in memory, where a filter cannot read them.
        (libc::SYS_clone3, ENOSYS),
        (libc::SYS_clone, Rule::when_any(0, CLONE_NEWUSER, Action::Errno(1))),
        (libc::SYS_unshare, Rule::when_any(0, CLONE_NEWUSER, Action::Errno(1))),
        (libc::SYS_seccomp, Rule::when(0, u32::MAX, &[libc::SECCOMP_SET_MODE_FILTER], EPERM, ALLOW)),
        (libc::SYS_prctl, Rule::when(0, u32::MAX, &[libc::PR_SET_SECCOMP as u32], EPERM, ALLOW)),
        // Keystrokes for a terminal that somebody else types on.
        (libc::SYS_ioctl, Rule::when(1, u32::MAX, &[TIOCSTI, TIOCLINUX], EPERM, ALLOW)),
        (libc::SYS_socket, families()),
        // The mode of a new file lies in memory, where a filter cannot read it.
        (libc::SYS_openat2, ENOSYS),
    ]);
    // A file of the user's that runs with his rights for whoever starts it: in a shared workspace it would outlive the sandbox.
    let modes = [
        (libc::SYS_chmod, 1),
        (libc::SYS_fchmod, 1),
        (libc::SYS_fchmodat, 2),
        (SYS_FCHMODAT2, 2),
        (libc::SYS_creat, 1),
        (libc::SYS_open, 2),
        (libc::SYS_openat, 3),
        (libc::SYS_mknod, 1),
        (libc::SYS_mknodat, 2),
    ];
    rules.extend(modes.map(|(nr, arg)| (nr, Rule::when_any(arg, SET_ID, Action::Errno(1)))));
    Program::new(&rules)
}

/// The internet, pathname sockets, and the routing table that name resolution and `ip` read.
fn families() -> Rule {
    let netlink = Rule::when(2, u32::MAX, &[NETLINK_ROUTE], ALLOW, EPROTONOSUPPORT);
    let others = Rule::when(0, u32::MAX, &[libc::AF_NETLINK as u32], netlink, EAFNOSUPPORT);
    Rule::when(0, u32::MAX, &[libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32], ALLOW, others)
}

/// The filter that asks the supervisor. There is one per process for ever (the kernel allows a single listener), so that both
/// gates share it.
///
/// # Errors
/// Never for this list; a test builds it.
pub fn notifying(gates: Gates) -> Result<Program, TooLong> {
    let ask = Rule::Is(Action::Notify);
    let mut rules = vec![(libc::SYS_execve, ask.clone()), (libc::SYS_execveat, ask)];
    if gates == Gates::ExecAndConnect {
        rules.extend(crate::connect::rules());
    }
    Program::new(&rules)
}

/// Which calls are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gates {
    /// Every exec.
    Exec,
    /// Also every connection, where there is no network namespace.
    ExecAndConnect,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_are_short() {
        // Each call passes them in full where the kernel cannot decide by number alone; 4,096 instructions are the kernel's limit.
        assert!(deny_list().unwrap().len() < 260);
        assert!(notifying(Gates::Exec).unwrap().len() < 20);
        assert!(notifying(Gates::ExecAndConnect).unwrap().len() < 100);
    }
}
