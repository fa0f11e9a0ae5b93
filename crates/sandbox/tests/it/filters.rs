//! The deny list, call by call. Each call is made twice in a forked child: without the filter it fails or succeeds in its own way,
//! with it in the filter's. The control counts as root alone: without privileges the kernel itself refuses half of them in the same
//! way.

use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};

use libc::{SYS_clone, c_long};
use marque_sandbox::bpf::Program;
use marque_sandbox::exec::{Gates, deny_list, notifying};

use crate::world::{is_root, promise};

const EPERM: i64 = -1;
const ENOSYS: i64 = -38;

/// What `call` returns in a child that has `filter`, negative for an error number; or the signal that ended it.
fn in_child(filter: Option<&Program>, call: impl Fn() -> c_long) -> Result<i64, i32> {
    let mut fds = [0; 2];
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // Nothing here allocates or takes a lock.
        unsafe {
            if filter.is_some_and(|filter| filter.install().is_err()) {
                libc::_exit(99);
            }
            let got = call();
            let got = if got < 0 { -i64::from(*libc::__errno_location()) } else { got };
            libc::write(fds[1], (&raw const got).cast(), 8);
            libc::_exit(0);
        }
    }
    let [reader, writer] = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    drop(writer);
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    if libc::WIFSIGNALED(status) {
        return Err(libc::WTERMSIG(status));
    }
    assert_eq!(libc::WEXITSTATUS(status), 0, "the filter was not installed");
    let mut got = [0; 8];
    std::fs::File::from(reader).read_exact(&mut got).unwrap();
    Ok(i64::from_ne_bytes(got))
}

fn refused(name: &str, expected: i64, call: impl Fn() -> c_long) {
    let filter = deny_list().unwrap();
    let without = in_child(None, &call).unwrap();
    assert!(without != expected || !is_root(), "the control of `{name}` says nothing");
    assert_eq!(in_child(Some(&filter), &call), Ok(expected), "`{name}`, which gives {without} without the filter");
}

fn left_alone(name: &str, call: impl Fn() -> c_long) {
    let filter = deny_list().unwrap();
    let without = in_child(None, &call).unwrap();
    assert!(without >= 0, "`{name}` gives {without} without the filter");
    assert!(in_child(Some(&filter), &call).unwrap() >= 0, "`{name}`");
}

const BAD: usize = 1;
const NONE: usize = 0;

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {
        || unsafe { libc::syscall(libc::$number $(, $argument)*) }
    };
}

promise!(other_processes_are_out_of_reach, || {
    refused("ptrace", EPERM, call!(SYS_ptrace, libc::PTRACE_TRACEME, 0, 0, 0));
    let mut byte = 0u8;
    let at = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    refused("process_vm_readv", EPERM, || unsafe {
        libc::syscall(libc::SYS_process_vm_readv, libc::getpid(), &raw const at, 1, &raw const at, 1, 0)
    });
    refused("process_vm_writev", EPERM, || unsafe {
        libc::syscall(libc::SYS_process_vm_writev, libc::getpid(), &raw const at, 1, &raw const at, 1, 0)
    });
    refused("pidfd_getfd", EPERM, || unsafe {
        let own = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0);
        libc::syscall(libc::SYS_pidfd_getfd, own, own, 0)
    });
});

promise!(mounts_and_namespaces_are_final, || {
    refused("mount", EPERM, call!(SYS_mount, BAD, BAD, BAD, 0, 0));
    refused("umount2", EPERM, call!(SYS_umount2, BAD, 0));
    refused("pivot_root", EPERM, call!(SYS_pivot_root, BAD, BAD));
    refused("move_mount", EPERM, call!(SYS_move_mount, -1, BAD, -1, BAD, 0));
    refused("open_tree", EPERM, call!(SYS_open_tree, -1, c"".as_ptr(), u32::MAX));
    refused("open_tree_attr", EPERM, || unsafe { libc::syscall(467, -1, c"".as_ptr(), u32::MAX, BAD, 0) });
    refused("fsopen", EPERM, call!(SYS_fsopen, BAD, 0));
    refused("fsconfig", EPERM, call!(SYS_fsconfig, -1, 0, 0, 0, 0));
    refused("fsmount", EPERM, call!(SYS_fsmount, -1, 0, 0));
    refused("fspick", EPERM, call!(SYS_fspick, -1, BAD, 0));
    refused("mount_setattr", EPERM, call!(SYS_mount_setattr, -1, BAD, u32::MAX, NONE, 0));
    refused("setns", EPERM, call!(SYS_setns, -1, 0));
    refused("open_by_handle_at", EPERM, call!(SYS_open_by_handle_at, -1, BAD, 0));
    refused("unshare", EPERM, call!(SYS_unshare, libc::CLONE_NEWUSER));
    refused("clone", EPERM, || unsafe {
        let got = libc::syscall(SYS_clone, libc::CLONE_NEWUSER | libc::SIGCHLD, 0, 0, 0, 0);
        if got == 0 {
            libc::_exit(0);
        }
        got
    });
    refused("clone3", ENOSYS, call!(SYS_clone3, NONE, 0));
    left_alone("fork", || unsafe {
        let got = libc::fork();
        if got == 0 {
            libc::_exit(0);
        }
        c_long::from(got)
    });
    left_alone("unshare of files", call!(SYS_unshare, libc::CLONE_FILES));
});

promise!(the_larger_surfaces_are_closed, || {
    refused("io_uring_setup", ENOSYS, call!(SYS_io_uring_setup, 0, BAD));
    refused("io_uring_enter", ENOSYS, call!(SYS_io_uring_enter, -1, 0, 0, 0, NONE, 0));
    refused("io_uring_register", ENOSYS, call!(SYS_io_uring_register, -1, 0, NONE, 0));
    refused("keyctl", EPERM, call!(SYS_keyctl, 0xffff, 0, 0, 0, 0));
    refused("add_key", EPERM, call!(SYS_add_key, BAD, BAD, NONE, 0, 0));
    refused("request_key", EPERM, call!(SYS_request_key, BAD, BAD, NONE, 0));
    refused("bpf", EPERM, call!(SYS_bpf, 0xffff, NONE, 0));
    refused("perf_event_open", EPERM, call!(SYS_perf_event_open, NONE, 0, 0, -1, 0));
    refused("userfaultfd", EPERM, call!(SYS_userfaultfd, 0x7fff_0000));
    refused("kexec_load", EPERM, call!(SYS_kexec_load, 0, 0, NONE, u32::MAX));
    refused("kexec_file_load", EPERM, call!(SYS_kexec_file_load, -1, -1, 0, NONE, u32::MAX));
    refused("init_module", EPERM, call!(SYS_init_module, NONE, 0, NONE));
    refused("finit_module", EPERM, call!(SYS_finit_module, -1, NONE, 0xffff));
    refused("delete_module", EPERM, call!(SYS_delete_module, BAD, 0));
    refused("iopl", EPERM, call!(SYS_iopl, 99));
    refused("ioperm", EPERM, call!(SYS_ioperm, 0x10000, 1, 0));
    refused("settimeofday", EPERM, call!(SYS_settimeofday, BAD, NONE));
    refused("clock_settime", EPERM, call!(SYS_clock_settime, 9_999, NONE));
});

promise!(no_further_filter_is_installed, || {
    refused("seccomp", EPERM, call!(SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, NONE));
    refused("prctl", EPERM, call!(SYS_prctl, libc::PR_SET_SECCOMP, 2, NONE));
    let action = libc::SECCOMP_RET_ALLOW;
    left_alone("seccomp query", || unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    });
    left_alone("prctl", call!(SYS_prctl, libc::PR_GET_DUMPABLE));
});

promise!(nobody_types_on_anothers_terminal, || {
    refused("TIOCSTI", EPERM, call!(SYS_ioctl, -1, 0x5412usize, NONE));
    refused("TIOCLINUX", EPERM, call!(SYS_ioctl, -1, 0x541cusize, NONE));
    // The kernel looks at 32 bits of the number, and so must the filter.
    refused("TIOCSTI and more", EPERM, call!(SYS_ioctl, -1, 0x7_0000_5412usize, NONE));
    left_alone("FIONREAD", || unsafe {
        let (mut fds, mut waiting) = ([0; 2], 0);
        libc::pipe(fds.as_mut_ptr());
        c_long::from(libc::ioctl(fds[0], libc::FIONREAD, &raw mut waiting))
    });
});

promise!(sockets_are_of_four_families, || {
    refused("AF_PACKET", -97, call!(SYS_socket, libc::AF_PACKET, libc::SOCK_RAW, 0));
    refused("AF_NETLINK", -93, call!(SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT));
    refused("AF_UNIX and more", -97, call!(SYS_socket, libc::AF_PACKET as usize | 0x1_0000_0000, libc::SOCK_RAW, 0));
    for family in [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6] {
        left_alone("a stream", move || unsafe {
            libc::syscall(libc::SYS_socket, family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0)
        });
    }
    left_alone("routes", call!(SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE));
});

promise!(another_calling_convention_kills, || {
    let x32 = || unsafe { libc::syscall(0x4000_0000 + libc::SYS_getpid) };
    let i386 = || {
        let got: c_long;
        unsafe {
            std::arch::asm!("int 0x80", inlateout("rax") 20 as c_long => got, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
        };
        got
    };
    for filter in [deny_list().unwrap(), notifying(Gates::Exec).unwrap(), notifying(Gates::ExecAndConnect).unwrap()] {
        assert!(in_child(None, x32).is_ok());
        assert_eq!(in_child(Some(&filter), x32), Err(libc::SIGSYS));
        assert!(in_child(None, i386).unwrap() > 0, "the control needs a kernel with 32-bit calls");
        assert_eq!(in_child(Some(&filter), i386), Err(libc::SIGSYS));
    }
});
