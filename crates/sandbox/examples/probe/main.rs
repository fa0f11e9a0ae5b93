//! A process inside a session: attacks, odd ways to exec, and a stop-watch. Says what happened by exit code and one line.

#![expect(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::exit,
    reason = "attacks are made of system calls, and end at whatever they did not expect"
)]

use std::ffi::{CString, c_char};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

mod races;

/// Exit codes of what ran, and of what did not.
pub(crate) const SAFE: i32 = 10;
pub(crate) const DENIED_RAN: i32 = 20;
pub(crate) const EPERM: i32 = 30;
pub(crate) const OTHER: i32 = 31;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let arg = |at: usize| args.get(at).map(String::as_str).unwrap_or_default();
    match arg(1) {
        "SAFE__" => std::process::exit(SAFE),
        "DENYME" => std::process::exit(DENIED_RAN),
        "race" => races::run(arg(2), arg(3).parse().unwrap(), arg(4)),
        "thread" => from_thread(&args[2..]),
        "memfd" => memfd(arg(2)),
        "descriptor" => descriptor(arg(2)),
        "hidden" => hidden(),
        "undumpable" => undumpable(&args[2..]),
        "empty" => no_arguments(arg(2)),
        "storm" => storm(&args[2..]),
        "times" => times(arg(2).parse().unwrap(), arg(3)),
        "many" => many(arg(2).parse().unwrap(), arg(3)),
        "supervise" => supervise(&args[2..]),
        "wait-then" => wait_then(&args[2..]),
        "connect" => connect(arg(2)),
        "unix" => unix(arg(2), arg(3)),
        "socket" => socket(arg(2)),
        "race-connect" => race_connect(arg(2).parse().unwrap(), arg(3).parse().unwrap()),
        other => panic!("unknown role {other}"),
    }
}

fn exec_error(error: &std::io::Error) -> ! {
    println!("errno {}", error.raw_os_error().unwrap_or(0));
    std::process::exit(if error.raw_os_error() == Some(libc::EPERM) { EPERM } else { OTHER })
}

/// Execs from another thread than the first, while that one waits.
fn from_thread(command: &[String]) {
    let command = command.to_vec();
    let other = std::thread::spawn(move || {
        let error = Command::new(&command[0]).args(&command[1..]).exec();
        exec_error(&error)
    });
    other.join().unwrap();
}

/// A program that lies in no directory.
fn memfd(program: &str) {
    let bytes = std::fs::read(program).unwrap();
    let fd = unsafe { libc::memfd_create(c"x".as_ptr(), 0) };
    assert!(fd >= 0);
    std::fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}")).unwrap().write_all(&bytes).unwrap();
    execveat(fd);
}

/// A program by its descriptor.
fn descriptor(program: &str) {
    let file = std::fs::File::open(program).unwrap();
    execveat(file.as_raw_fd());
}

fn execveat(fd: i32) -> ! {
    let argv = [c"it".as_ptr(), std::ptr::null()];
    unsafe { libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), argv.as_ptr(), argv[1..].as_ptr(), libc::AT_EMPTY_PATH) };
    exec_error(&std::io::Error::last_os_error())
}

/// Arguments in memory that only this process can read.
fn hidden() {
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, 0) } as i32;
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    assert_eq!(unsafe { libc::ftruncate(fd, 4096) }, 0);
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    let hidden = at.cast::<c_char>();
    unsafe { std::ptr::copy_nonoverlapping(c"secret".as_ptr(), hidden, 7) };
    let argv = [c"true".as_ptr(), hidden.cast_const(), std::ptr::null()];
    unsafe { libc::execv(c"/bin/true".as_ptr(), argv.as_ptr()) };
    exec_error(&std::io::Error::last_os_error())
}

fn undumpable(command: &[String]) {
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    exec_error(&Command::new(&command[0]).args(&command[1..]).exec())
}

/// No argument at all, not even a name.
fn no_arguments(program: &str) {
    let program = CString::new(program).unwrap();
    unsafe { libc::syscall(libc::SYS_execve, program.as_ptr(), 0usize, 0usize) };
    exec_error(&std::io::Error::last_os_error())
}

/// Execs while a signal comes every 10 ms.
fn storm(command: &[String]) {
    extern "C" fn nothing(_: i32) {}
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    let every = libc::timeval { tv_sec: 0, tv_usec: 10_000 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    unsafe {
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        // Also a signal that a handler of the new program will not need to survive.
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
    loop {
        let error = Command::new(&command[0]).args(&command[1..]).exec();
        if error.raw_os_error() != Some(libc::EINTR) {
            exec_error(&error);
        }
    }
}

/// Time of a fork, an exec and a wait.
fn times(count: usize, program: &str) {
    let mut all: Vec<u128> = (0..count)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(fork_exec(program, &["--flag", "value"]), 0);
            start.elapsed().as_nanos()
        })
        .collect();
    all.sort_unstable();
    println!("{} {}", all[count / 2], all[count * 9 / 10]);
}

pub(crate) fn fork_exec(program: &str, args: &[&str]) -> i32 {
    let path = CString::new(program).unwrap();
    let owned: Vec<CString> = args.iter().map(|arg| CString::new(*arg).unwrap()).collect();
    let mut argv = vec![path.as_ptr()];
    argv.extend(owned.iter().map(|arg| arg.as_ptr()));
    argv.push(std::ptr::null());
    fork_exec_raw(&path, &argv)
}

unsafe extern "C" {
    static environ: *const *const c_char;
}

pub(crate) fn fork_exec_raw(path: &std::ffi::CStr, argv: &[*const c_char]) -> i32 {
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::execve(path.as_ptr(), argv.as_ptr(), environ);
            libc::_exit(if *libc::__errno_location() == libc::EPERM { EPERM } else { OTHER });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
    }
}

/// Many processes that exec at once.
fn many(count: usize, program: &str) {
    let threads: Vec<_> = (0..count)
        .map(|_| {
            std::thread::spawn({
                let program = program.to_owned();
                move || fork_exec(&program, &[])
            })
        })
        .collect();
    let failed = threads.into_iter().map(|thread| thread.join().unwrap()).filter(|code| *code != 0).count();
    println!("failed {failed}");
}

/// A supervisor that allows everything, to be killed.
fn supervise(command: &[String]) {
    struct All;
    impl marque_sandbox::exec::Judge for All {
        fn judge(&self, _: &Arc<marque_sandbox::exec::Exec>) -> marque_sandbox::exec::Verdict {
            marque_sandbox::exec::Verdict::Allow { remember: false }
        }
    }
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]);
    marque_sandbox::exec::start(child, Default::default(), Arc::new(All)).unwrap().finish().unwrap();
}

/// Says that it is there, waits for a line, then execs and says what came of it.
fn wait_then(command: &[String]) {
    println!("{}", std::process::id());
    std::io::stdin().read_exact(&mut [0u8; 1]).unwrap();
    exec_error(&Command::new(&command[0]).args(&command[1..]).exec())
}

/// Connects, says hello, and prints what comes back.
fn connect(to: &str) {
    match std::net::TcpStream::connect(to) {
        Ok(mut stream) => {
            let mut got = String::new();
            stream.write_all(b"hello").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream.read_to_string(&mut got).unwrap();
            println!("{got}");
        }
        Err(error) => exec_error(&error),
    }
}

/// Connects to a name, or binds it and connects to itself.
fn unix(what: &str, path: &str) {
    let listening = (what == "bind").then(|| std::os::unix::net::UnixListener::bind(path).unwrap());
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => println!("connected {}", listening.is_some()),
        Err(error) => exec_error(&error),
    }
}

/// Makes a socket, or uses one in a way that needs no connect.
fn socket(what: &str) {
    let (family, kind, protocol) = match what {
        "udp" => (libc::AF_INET, libc::SOCK_DGRAM, 0),
        "udp6" => (libc::AF_INET6, libc::SOCK_DGRAM, 0),
        "raw" => (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        "sctp" => (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP),
        "mptcp" => (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
        "datagram" => (libc::AF_UNIX, libc::SOCK_DGRAM, 0),
        "tcp" | "fastopen" => (libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0),
        "route" => (libc::AF_NETLINK, libc::SOCK_RAW, 0),
        _ => panic!("unknown socket"),
    };
    let fd = unsafe { libc::socket(family, kind, protocol) };
    if fd < 0 {
        exec_error(&std::io::Error::last_os_error());
    }
    if what == "fastopen" {
        let mut to: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        (to.sin_family, to.sin_port) = (libc::AF_INET as u16, 9u16.to_be());
        to.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let at = (&raw const to).cast();
        let sent = unsafe { libc::sendto(fd, at, 1, libc::MSG_FASTOPEN, at.cast(), size_of_val(&to) as u32) };
        if sent < 0 {
            exec_error(&std::io::Error::last_os_error());
        }
    }
    println!("made");
}

/// Connects to an address that another thread writes between a loopback port and somewhere else. Prints the connections made.
fn race_connect(attempts: usize, port: u16) {
    struct At(*mut libc::sockaddr_in);
    unsafe impl Sync for At {}
    let mut to: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    (to.sin_family, to.sin_port) = (libc::AF_INET as u16, port.to_be());
    to.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    let at = At(Box::into_raw(Box::new(to)));
    let stop = AtomicBool::new(false);
    let made = std::thread::scope(|threads| {
        threads.spawn(|| {
            let ip = unsafe { &raw mut (*std::ptr::from_ref(&at).read().0).sin_addr.s_addr };
            until(&stop, || unsafe {
                ip.write_volatile(u32::from_ne_bytes([10, 0, 0, 7]));
                std::hint::spin_loop();
                ip.write_volatile(u32::from_ne_bytes([127, 0, 0, 1]));
            });
        });
        let made = (0..attempts)
            .filter(|_| unsafe {
                let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
                let made = libc::connect(fd, at.0.cast_const().cast(), size_of::<libc::sockaddr_in>() as u32) == 0;
                libc::close(fd);
                made
            })
            .count();
        stop.store(true, Ordering::Relaxed);
        made
    });
    println!("{made}");
}

/// For threads of the races.
pub(crate) fn until(stop: &AtomicBool, mut step: impl FnMut()) {
    while !stop.load(Ordering::Relaxed) {
        step();
    }
}
