//! Tells a denied process why, on its standard error.

use std::io::IoSlice;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::limits::LINE_BYTES_MAX;

/// Writes `line` to the standard error of process `pid`. The descriptor itself is borrowed, not opened by name: what the process
/// may not write to is not written to. A line that nobody takes is lost; its process is told by the error number all the same.
pub(super) fn tell(pid: i32, line: &str) {
    let _lost = write(pid, &told(line));
}

/// The same for a process of which only one thread is known.
pub(super) fn tell_thread(tid: i32, line: &str) {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let pid = status.lines().find_map(|line| line.strip_prefix("Tgid:")).and_then(|pid| pid.trim().parse().ok());
    if let Some(pid) = pid {
        tell(pid, line);
    }
}

fn write(pid: i32, line: &[u8]) -> Result<(), Errno> {
    let process = pidfd_open(Pid::from_raw(pid).ok_or(Errno::SRCH)?, PidfdFlags::empty())?;
    let stderr = pidfd_getfd(&process, 2, PidfdGetfdFlags::empty())?;
    match rustix::io::pwritev2(&stderr, &[IoSlice::new(line)], u64::MAX, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::INVAL) => {}
        other => return other.map(drop),
    }
    // A terminal or an ordinary file: there it waits for nobody, or says so.
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    if poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? == 0 {
        return Err(Errno::AGAIN);
    }
    rustix::io::write(&stderr, line).map(drop)
}

/// The line as it is told.
fn told(line: &str) -> Vec<u8> {
    let mut told: String = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    while told.len() > LINE_BYTES_MAX {
        told.pop();
    }
    format!("marque: {told}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_short_line_without_control_characters() {
        assert_eq!(told("no\x1b]0;x\x07\nway"), b"marque: no ]0;x  way\n");
        assert_eq!(told(&"a".repeat(LINE_BYTES_MAX)).len(), told(&"a".repeat(LINE_BYTES_MAX + 1)).len());
        assert!(std::str::from_utf8(&told(&"\u{e4}".repeat(LINE_BYTES_MAX))).is_ok());
    }
}
