//! Messages between the sandbox's processes and the supervisor: twelve bytes, and descriptors.

use super::Failed;
use crate::error::Step;
use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// Most descriptors of one message: listeners for two families, DNS, and what a hook gives stay below.
pub(crate) const MESSAGE_FDS: usize = 160;
const BYTES: usize = 12;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    /// The child is there and waits for its identity.
    Up = 1,
    /// The other side may go on.
    Go = 2,
    /// Sockets of the gateway, which come along; the value says whether there is IPv6.
    Sockets = 3,
    /// The agent is ready to execute: its pidfd and what its hook gave come along.
    Ready = 4,
    /// It executes.
    Running = 5,
    /// A step failed.
    Failed = 6,
    /// The agent ended: its exit code, or 256 and the signal.
    Ended = 7,
    /// A socket is asked for, of the family in the value; or is given.
    Socket = 8,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tag: Tag,
    pub(crate) step: u8,
    pub(crate) index: u32,
    pub(crate) value: i32,
}

impl Message {
    pub(crate) const fn new(tag: Tag, value: i32) -> Self {
        Self { tag, step: 0, index: 0, value }
    }

    pub(crate) fn failed(failed: Failed) -> Self {
        Self { tag: Tag::Failed, step: failed.step as u8, index: failed.index, value: failed.errno.raw_os_error() }
    }

    /// The failure that it tells of.
    pub(crate) fn failure(&self) -> Option<Failed> {
        let step = Step::from_code(self.step)?;
        (self.tag == Tag::Failed).then(|| Failed { step, errno: Errno::from_raw_os_error(self.value), index: self.index })
    }

    pub(crate) fn to_bytes(self) -> [u8; BYTES] {
        let [a, b, c, d] = self.index.to_ne_bytes();
        let [e, f, g, h] = self.value.to_ne_bytes();
        [self.tag as u8, self.step, 0, 0, a, b, c, d, e, f, g, h]
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [tag, step, _, _, a, b, c, d, e, f, g, h] = *bytes.first_chunk::<BYTES>()?;
        let tag = match tag {
            1 => Tag::Up,
            2 => Tag::Go,
            3 => Tag::Sockets,
            4 => Tag::Ready,
            5 => Tag::Running,
            6 => Tag::Failed,
            7 => Tag::Ended,
            8 => Tag::Socket,
            _ => return None,
        };
        Some(Self { tag, step, index: u32::from_ne_bytes([a, b, c, d]), value: i32::from_ne_bytes([e, f, g, h]) })
    }
}

/// Sends a message with descriptors.
pub(crate) fn send(to: impl AsFd, message: Message, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let bytes = message.to_bytes();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MESSAGE_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::TOOMANYREFS);
    }
    sendmsg(to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Receives one, and calls `take` with every descriptor. `None` when the other side is gone; waits for `within`, or for ever.
pub(crate) fn receive(from: impl AsFd, within: Option<Duration>, mut take: impl FnMut(OwnedFd)) -> Result<Option<Message>, Errno> {
    let from = from.as_fd();
    if let Some(within) = within {
        wait_for(from, within)?;
    }
    let mut bytes = [0_u8; BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MESSAGE_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        match recvmsg(from, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other?.bytes,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            fds.for_each(&mut take);
        }
    }
    if got == 0 {
        return Ok(None);
    }
    Message::from_bytes(bytes.get(..got).unwrap_or_default()).map(Some).ok_or(Errno::BADMSG)
}

fn wait_for(fd: BorrowedFd<'_>, within: Duration) -> Result<(), Errno> {
    let end = Instant::now() + within;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(Errno::TIMEDOUT),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written_and_others_are_refused() {
        for tag in [Tag::Up, Tag::Go, Tag::Sockets, Tag::Ready, Tag::Running, Tag::Failed, Tag::Ended, Tag::Socket] {
            let message = Message { tag, step: 3, index: 70_000, value: -5 };
            assert_eq!(Message::from_bytes(&message.to_bytes()), Some(message));
        }
        assert_eq!(Message::from_bytes(&[9; BYTES]), None);
        assert_eq!(Message::from_bytes(&[1; BYTES - 1]), None);
    }
}
