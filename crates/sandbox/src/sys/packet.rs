//! Datagrams with the address that they were sent to: an answer must come from there.
#![allow(unsafe_code)]

use super::call::outcome;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Room for one control message that holds an address.
#[repr(C, align(8))]
struct Control([u8; 64]);

const HEADER_BYTES: usize = size_of::<libc::cmsghdr>();

/// Receives one datagram: its length, who sent it, and the address it was sent to.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<(usize, SocketAddr, IpAddr), Errno> {
    let mut name = [0_u8; 28];
    let mut control = Control([0; 64]);
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeros is a valid message header, which names no memory.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = name.len() as u32;
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: every pointer of the header leads to memory of the length beside it, which outlives the call.
    let got = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
    let len = outcome(got as libc::c_long)? as usize;
    let from = read_name(&name).ok_or(Errno::AFNOSUPPORT)?;
    let to = read_control(&control.0).ok_or(Errno::AFNOSUPPORT)?;
    Ok((len, from, to))
}

/// Sends one datagram to `to`, from the address `own`.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], to: SocketAddr, own: IpAddr) -> Result<(), Errno> {
    let (mut name, name_len) = write_name(to);
    let (mut control, control_len) = write_control(own);
    let mut slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zeros is a valid message header, which names no memory.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = name_len;
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control_len as _;
    // SAFETY: every pointer of the header leads to memory of at least the length beside it, which outlives the call and
    // which sending does not write.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    outcome(sent as libc::c_long).map(drop)
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// `struct sockaddr_in` or `sockaddr_in6`.
fn read_name(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(part(bytes, 2)?);
    match i32::from(u16::from_ne_bytes(part(bytes, 0)?)) {
        libc::AF_INET => Some(SocketAddr::from((part::<4>(bytes, 4)?, port))),
        libc::AF_INET6 => Some(SocketAddr::from((part::<16>(bytes, 8)?, port))),
        _ => None,
    }
}

fn write_name(to: SocketAddr) -> ([u8; 28], u32) {
    let mut out = Vec::with_capacity(28);
    let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    out.extend_from_slice(&(family as u16).to_ne_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    match to.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => {
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&ip.octets());
        }
    }
    let len = if to.is_ipv4() { 16 } else { 28 };
    out.resize(28, 0);
    (out.first_chunk().copied().unwrap_or([0; 28]), len)
}

/// The address in `IP_PKTINFO` or `IPV6_PKTINFO`.
fn read_control(bytes: &[u8]) -> Option<IpAddr> {
    let level = i32::from_ne_bytes(part(bytes, 8)?);
    let kind = i32::from_ne_bytes(part(bytes, 12)?);
    match (level, kind) {
        // struct in_pktinfo: interface, local address, destination of the packet.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => Some(Ipv4Addr::from(part::<4>(bytes, HEADER_BYTES + 8)?).into()),
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => Some(Ipv6Addr::from(part::<16>(bytes, HEADER_BYTES)?).into()),
        _ => None,
    }
}

fn write_control(own: IpAddr) -> (Control, usize) {
    let (level, kind, payload) = match own {
        IpAddr::V4(ip) => (libc::IPPROTO_IP, libc::IP_PKTINFO, [&[0; 4][..], &ip.octets()[..], &[0; 4][..]].concat()),
        IpAddr::V6(ip) => (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, [&ip.octets()[..], &[0; 4][..]].concat()),
    };
    let mut out = (HEADER_BYTES + payload.len()).to_ne_bytes().to_vec();
    out.extend_from_slice(&level.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&payload);
    let len = out.len().next_multiple_of(8);
    out.resize(64, 0);
    (Control(out.first_chunk().copied().unwrap_or([0; 64])), len)
}
