//! How the listener comes from the child, where it is made, to the supervisor. The child names its number and waits; the
//! supervisor takes a copy with `pidfd_getfd`. Passing it as a message would need a call that the filter may judge, and whoever
//! cannot take a copy could not read the child's memory later either, so that failure is seen before anything runs.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg, sockopt};
use rustix::process::{DumpableBehavior, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open, set_dumpable_behavior};

use super::Listener;
use crate::bpf::Program;

/// The child's half, between fork and exec: installs `filter`, hands its listener over, and returns when the supervisor has it.
/// Allocates nothing and takes no lock. `socket` is the child's end of a socket pair of streams.
///
/// The child is made dumpable, which it is not where the launcher is not: the supervisor reads its memory to judge its first exec.
///
/// # Errors
/// The kernel's. The caller must not exec then: `Errno::NODATA` means that the supervisor did not take the listener.
pub fn surrender(filter: &Program, socket: BorrowedFd<'_>) -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    let listener = filter.install_with_listener(true)?;
    rustix::io::write(socket, &listener.as_raw_fd().to_ne_bytes())?;
    wait_for_answer(socket)
}

fn wait_for_answer(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut answer = [0u8; 1];
    loop {
        match rustix::io::read(socket, &mut answer) {
            Ok(1) => return Ok(()),
            Ok(_) => return Err(Errno::NODATA.into()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Prepares the supervisor's end: call it before the child is forked, so that every message carries the sender's process id.
///
/// # Errors
/// The kernel's.
pub fn prepare(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_passcred(socket, true)?)
}

/// The supervisor's half: waits for the child's number and takes the listener. The child goes on when this returns.
///
/// # Errors
/// When the child ended before, or may not be looked into (Yama, another user): then there is no exec gate.
pub fn receive(socket: impl AsFd) -> io::Result<Listener> {
    let mut number = [0u8; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(&mut number)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    if got.bytes != number.len() || got.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let sender = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(of) => Some(of.pid),
        _ => None,
    });
    let sender = sender.ok_or(io::ErrorKind::InvalidData)?;
    // The child waits for the answer, so that its id is still its own.
    let child = pidfd_open(sender, PidfdFlags::empty())?;
    let fd: OwnedFd = pidfd_getfd(&child, i32::from_ne_bytes(number), PidfdGetfdFlags::empty())?;
    let listener = Listener::new(fd)?;
    rustix::io::write(&socket, b"+")?;
    Ok(listener)
}
