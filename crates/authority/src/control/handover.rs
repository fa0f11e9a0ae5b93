//! Sockets that a launcher made in its agent's network, on their way to the gateway: the one thing that HTTP cannot carry.

use super::{Control, Peer};
use crate::{Error, limits};
use marque_api::control::{HANDOVER, HANDOVER_FDS_MAX, Handover};
use marque_api::{Code, Problem};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// Longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Whether what comes is a handover. Nothing is read.
pub(super) async fn is_one(stream: &UnixStream) -> std::io::Result<bool> {
    let mut first = [0];
    let peek = || Ok(recv(stream, &mut first, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.0);
    let len = stream.async_io(Interest::READABLE, peek).await?;
    Ok(len == 1 && first == [HANDOVER])
}

/// Takes it and answers.
pub(super) async fn serve(control: &Arc<Control>, peer: Peer, mut stream: UnixStream) {
    let taken = tokio::time::timeout(limits::CONTROL_HEAD_WAIT, take(control, peer, &stream)).await;
    let outcome = taken.unwrap_or_else(|_| Err(refused("the message does not come")));
    let answer = outcome.err().map(|error| error.to_problem().to_json()).unwrap_or_default();
    // A launcher that is gone needs no answer.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn refused(why: &str) -> Error {
    Error::Refused(Problem::new(Code::INPUT, why, "start a new session with `marque run`"))
}

async fn take(control: &Arc<Control>, peer: Peer, stream: &UnixStream) -> Result<(), Error> {
    if peer.session().is_some() {
        return Err(refused("a process of a session hands nothing over"));
    }
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    let mut fds = Vec::new();
    let len = stream.async_io(Interest::READABLE, || receive(stream, &mut bytes, &mut fds)).await;
    let len = len.map_err(|error| refused(&format!("the message cannot be read: {error}")))?;
    let text = bytes.get(1..len).and_then(|rest| rest.strip_suffix(b"\n"));
    let asked: Option<Handover> = text.and_then(|text| serde_json::from_slice(text).ok());
    let asked = asked.ok_or_else(|| refused("the message is no handover"))?;
    control.open_authority().await?.hand_over(&asked, fds)
}

/// One message with all its descriptors. What was truncated is no message: the descriptors that came are closed.
fn receive(stream: &UnixStream, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> std::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDOVER_FDS_MAX))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut beside, flags)?;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if got.flags.contains(rustix::net::ReturnFlags::CTRUNC) {
        fds.clear();
        return Err(std::io::Error::other("too many descriptors"));
    }
    Ok(got.bytes)
}
