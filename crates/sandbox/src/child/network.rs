//! The network of the sandbox: a loopback interface to which every address leads, and the gateway's sockets on it.

use super::message::MESSAGE_FDS;
use super::{At, Message, Outcome, Prepared, Tag, send};
use crate::error::Step;
use crate::sys::call::set_option;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_freebind, set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, listen, recv, socket_with,
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

const DNS: u16 = 53;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Sets up the network and hands the sockets out. Nothing inside keeps one.
pub(super) fn set_up(prepared: &Prepared, report: BorrowedFd<'_>) -> Outcome<()> {
    let netlink = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).at(Step::Loopback)?;
    ask(&netlink, &loopback_up()).at(Step::Loopback)?;
    ask(&netlink, &route(AddressFamily::INET, SCOPE_HOST)).at(Step::Route)?;
    // Without IPv6 there is nothing to route, and no address to go out by.
    let six = match ask(&netlink, &route(AddressFamily::INET6, SCOPE_UNIVERSE)) {
        Ok(()) => true,
        Err(Errno::AFNOSUPPORT | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => false,
        Err(error) => return Err(error).at(Step::Route),
    };
    let mut made: [Option<OwnedFd>; MESSAGE_FDS] = [const { None }; MESSAGE_FDS];
    let mut places = made.iter_mut();
    let mut keep = |socket: Result<OwnedFd, Errno>, port: u16| -> Outcome<()> {
        let socket = socket.of(Step::Listen, port.into())?;
        *places.next().ok_or(Errno::MFILE).of(Step::Listen, port.into())? = Some(socket);
        Ok(())
    };
    for any in [Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))), six.then(|| (Ipv6Addr::UNSPECIFIED, 0).into())].into_iter().flatten() {
        for port in &prepared.ports {
            keep(stream(any, *port), *port)?;
        }
        if prepared.dns {
            keep(stream(any, DNS), DNS)?;
            keep(datagram(any, DNS), DNS)?;
        }
    }
    let mut fds = [report; MESSAGE_FDS];
    let mut count = 0;
    for (place, fd) in fds.iter_mut().zip(made.iter().flatten()) {
        *place = fd.as_fd();
        count += 1;
    }
    send(report, Message::new(Tag::Sockets, i32::from(six)), fds.get(..count).unwrap_or_default()).at(Step::Hand)
}

fn stream(any: SocketAddr, port: u16) -> Result<OwnedFd, Errno> {
    let socket = own(any, SocketType::STREAM)?;
    set_socket_reuseaddr(&socket, true)?;
    bound(&socket, any, port)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Answers must come from the address that was asked, whichever it was.
fn datagram(any: SocketAddr, port: u16) -> Result<OwnedFd, Errno> {
    let socket = own(any, SocketType::DGRAM)?;
    match any.is_ipv4() {
        true => set_option(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?,
        false => {
            set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            // IPv6 lets nobody answer from an address that no interface has, though the route says that it is ours.
            set_ipv6_freebind(&socket, true)?;
        }
    }
    bound(&socket, any, port)?;
    Ok(socket)
}

/// A socket of one family; the two families are served apart, so that an address is never the other's in disguise.
pub(super) fn own(any: SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if any.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if any.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

fn bound(socket: &OwnedFd, any: SocketAddr, port: u16) -> Result<(), Errno> {
    bind(socket, &SocketAddr::new(any.ip(), port))
}

// Messages of rtnetlink (`linux/netlink.h`, `linux/rtnetlink.h`), for the one interface that a new network has.
const LOOPBACK_INDEX: u32 = 1;
const REQUEST_AND_ACK: u16 = 1 | 4;
const CREATE: u16 = 0x400;
const NEW_LINK: u16 = 16;
const NEW_ROUTE: u16 = 24;
const UP: u32 = 1;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_HOST: u8 = 254;
const SCOPE_UNIVERSE: u8 = 0;
const TYPE_LOCAL: u8 = 2;
const OUT_INTERFACE: u16 = 4;
const HEADER_BYTES: usize = 16;
const MESSAGE_BYTES: usize = 36;

fn header(kind: u16, flags: u16, len: u32) -> [u8; HEADER_BYTES] {
    let ([a, b, c, d], [e, f], [g, h]) = (len.to_ne_bytes(), kind.to_ne_bytes(), (flags | REQUEST_AND_ACK).to_ne_bytes());
    [a, b, c, d, e, f, g, h, 1, 0, 0, 0, 0, 0, 0, 0]
}

fn message(kind: u16, flags: u16, body: [u8; 20], used: usize) -> ([u8; MESSAGE_BYTES], usize) {
    let len = HEADER_BYTES + used;
    let mut out = [0; MESSAGE_BYTES];
    let (head, rest) = out.split_at_mut(HEADER_BYTES);
    head.copy_from_slice(&header(kind, flags, len as u32));
    rest.copy_from_slice(&body);
    (out, len)
}

/// `struct ifinfomsg`: family, type, index, flags, which flags change.
fn loopback_up() -> ([u8; MESSAGE_BYTES], usize) {
    let ([a, b, c, d], [e, f, g, h]) = (LOOPBACK_INDEX.to_ne_bytes(), UP.to_ne_bytes());
    message(NEW_LINK, 0, [0, 0, 0, 0, a, b, c, d, e, f, g, h, e, f, g, h, 0, 0, 0, 0], 16)
}

/// `struct rtmsg` and one attribute: every address is this machine's, by the loopback interface.
fn route(family: AddressFamily, scope: u8) -> ([u8; MESSAGE_BYTES], usize) {
    let ([a, b, c, d], [e, f]) = (LOOPBACK_INDEX.to_ne_bytes(), OUT_INTERFACE.to_ne_bytes());
    let [l, m] = 8_u16.to_ne_bytes();
    let family = family.as_raw() as u8;
    message(NEW_ROUTE, CREATE, [family, 0, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, scope, TYPE_LOCAL, 0, 0, 0, 0, l, m, e, f, a, b, c, d], 20)
}

/// Sends a request and reads its acknowledgement: `struct nlmsgerr`.
fn ask(netlink: &OwnedFd, (bytes, len): &([u8; MESSAGE_BYTES], usize)) -> Result<(), Errno> {
    const ERROR: u16 = 2;
    rustix::net::send(netlink, bytes.get(..*len).unwrap_or_default(), SendFlags::empty())?;
    let mut answer = [0_u8; 1024];
    recv(netlink, &mut answer[..], RecvFlags::empty())?;
    let [_, _, _, _, a, b, ..] = answer;
    let error = answer.get(HEADER_BYTES..).and_then(<[u8]>::first_chunk::<4>).copied().unwrap_or_default();
    match (u16::from_ne_bytes([a, b]), i32::from_ne_bytes(error)) {
        (ERROR, 0) => Ok(()),
        (ERROR, code) => Err(Errno::from_raw_os_error(-code)),
        _ => Err(Errno::PROTO),
    }
}
