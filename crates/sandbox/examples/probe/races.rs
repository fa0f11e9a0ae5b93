//! Something is exchanged between harmless and denied while it is judged, again and again.

use std::ffi::{CStr, CString, c_char};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::{DENIED_RAN, EPERM, SAFE, fork_exec, fork_exec_raw, until};

/// Runs one race and prints the count of each end.
pub(crate) fn run(what: &str, attempts: usize, directory: &str) {
    let directory = Path::new(directory);
    let ends: Vec<i32> = match what {
        "argv" => argv(attempts),
        "shebang" => exchanged(attempts, directory, "#!/bin/sh\nexit 10\n", "#!/bin/sh\nexit 20\n"),
        "shell" => in_place(attempts, directory),
        "binary" => binary(attempts, directory),
        "mapped" => mapped(attempts, directory),
        _ => panic!("unknown race"),
    };
    let count = |code: i32| ends.iter().filter(|end| **end == code).count();
    let killed = count(128 + libc::SIGKILL);
    let other = ends.len() - count(SAFE) - count(DENIED_RAN) - count(EPERM) - killed;
    println!("safe={} ran={} denied={} killed={killed} other={other}", count(SAFE), count(DENIED_RAN), count(EPERM));
}

/// While `race` runs in another thread.
fn beside(mut race: impl FnMut() + Send, attempt: impl FnMut() -> i32, attempts: usize) -> Vec<i32> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| until(&stop, &mut race));
        let ends = std::iter::repeat_with(attempt).take(attempts).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        ends
    })
}

fn spin(turns: u32) {
    for turn in 0..turns {
        std::hint::black_box(turn);
    }
}

/// The argument lies in shared memory.
fn argv(attempts: usize) -> Vec<i32> {
    struct At(*mut c_char);
    unsafe impl Sync for At {}
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    let at = At(at.cast());
    let write = |word: &CStr| unsafe { std::ptr::copy_nonoverlapping(word.as_ptr(), std::ptr::from_ref(&at).read().0, 7) };
    write(c"SAFE__");
    let flip = || {
        write(c"SAFE__");
        spin(3000);
        write(c"DENYME");
        spin(3000);
    };
    let program = CString::new(std::env::current_exe().unwrap().to_str().unwrap()).unwrap();
    beside(flip, || fork_exec_raw(&program, &[c"probe".as_ptr(), at.0, std::ptr::null()]), attempts)
}

fn swap(a: &CStr, b: &CStr) {
    unsafe { libc::renameat2(libc::AT_FDCWD, a.as_ptr(), libc::AT_FDCWD, b.as_ptr(), libc::RENAME_EXCHANGE) };
}

fn program(path: &Path, bytes: &[u8]) -> CString {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    CString::new(path.to_str().unwrap()).unwrap()
}

/// Two scripts exchange their names.
fn exchanged(attempts: usize, directory: &Path, safe: &str, denied: &str) -> Vec<i32> {
    let job = program(&directory.join("job.sh"), safe.as_bytes());
    let other = program(&directory.join("other.sh"), denied.as_bytes());
    let flip = || {
        swap(&job, &other);
        spin(20_000);
    };
    beside(flip, || fork_exec(job.to_str().unwrap(), &[]), attempts)
}

/// `sh FILE`, where one letter of the file is written again and again.
fn in_place(attempts: usize, directory: &Path) -> Vec<i32> {
    let path = directory.join("job");
    std::fs::write(&path, "exit 10\n").unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let flip = || {
        file.write_at(b"1", 5).unwrap();
        spin(20_000);
        file.write_at(b"2", 5).unwrap();
        spin(20_000);
    };
    beside(flip, || fork_exec("/bin/sh", &[path.to_str().unwrap()]), attempts)
}

/// Two binaries exchange their names. `true` and `false` end with 0 and 1.
fn binary(attempts: usize, directory: &Path) -> Vec<i32> {
    let job = program(&directory.join("job"), &std::fs::read("/bin/true").unwrap());
    let other = program(&directory.join("other"), &std::fs::read("/bin/false").unwrap());
    let flip = || {
        swap(&job, &other);
        spin(20_000);
    };
    let attempt = || match fork_exec(job.to_str().unwrap(), &[]) {
        0 => SAFE,
        1 => DENIED_RAN,
        end => end,
    };
    beside(flip, attempt, attempts)
}

/// A binary that is written through a mapping, whose times do not move while its pages are dirty. The mapping must be gone for an
/// exec to succeed, so that this race is run step by step: map, dirty, be judged once, change, unmap, exec.
fn mapped(attempts: usize, directory: &Path) -> Vec<i32> {
    let bytes = std::fs::read("/bin/true").unwrap();
    let path = directory.join("job");
    let job = program(&path, &bytes);
    // The last byte of the file belongs to no instruction: the section table. It changes the digest and not the program.
    let last = bytes.len() - 1;
    (0..attempts)
        .map(|attempt| {
            let denied = attempt % 2 == 1;
            let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
            let at = unsafe {
                libc::mmap(std::ptr::null_mut(), bytes.len(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0)
            };
            let byte = unsafe { at.cast::<u8>().add(last) };
            unsafe { byte.write_volatile(byte.read_volatile()) };
            // Judged here, with the file still open for writing: the kernel refuses it (ETXTBSY) after the judge allowed it.
            let early = fork_exec(job.to_str().unwrap(), &[]);
            assert!(early != 0, "a program that is open for writing ran");
            unsafe { byte.write_volatile(if denied { 0xdd } else { bytes[last] }) };
            unsafe { libc::munmap(at, bytes.len()) };
            drop(file);
            match (fork_exec(job.to_str().unwrap(), &[]), denied) {
                (0, true) => DENIED_RAN,
                (0, false) => SAFE,
                (end, _) => end,
            }
        })
        .collect()
}
