//! Whose connection it is: the kernel knows the owner of the other end of a loopback connection. Asked once per connection.
//! Inside a network namespace the listener alone is the identity; outside it any user can dial the port (threats H4).

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, sendto, socket_with};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::net::{IpAddr, SocketAddr};

/// The user that owns the socket bound to `remote` and connected to `local`.
pub(crate) fn uid_of(remote: SocketAddr, local: SocketAddr) -> Option<u32> {
    match diagnosed(remote, local) {
        Some(found) => found,
        // A kernel that cannot be asked about one socket prints the table of all: it takes milliseconds where there are many.
        None => {
            let table = std::fs::read_to_string(if remote.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" }).ok()?;
            find(&table, &spell(remote), &spell(local))
        }
    }
}

/// Message type of a question by address family, and of its answer (`linux/sock_diag.h`).
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Message type of an error (`linux/netlink.h`).
const ERROR: u16 = 2;
const REQUEST: u16 = 1;
const TCP: u8 = 6;
const HEADER_BYTES: usize = 16;
/// Two ports, two addresses, interface, cookie.
const SOCKET_ID_BYTES: usize = 48;
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// States in which somebody holds the socket: established, and closed on one side (`net/tcp_states.h`).
const HELD: [u8; 6] = [1, 4, 5, 8, 9, 11];

/// Asks for one socket over netlink: `None` where the kernel cannot be asked, `Some(None)` where there is no such socket, or
/// nobody holds it any more.
fn diagnosed(remote: SocketAddr, local: SocketAddr) -> Option<Option<u32>> {
    ASKING.with_borrow_mut(|kept| {
        // Taken out, and put back only after a whole answer: the next question never meets the answer to another.
        let socket = match kept.take() {
            Some(socket) => socket,
            None => socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG)).ok()?,
        };
        let question = question(remote, local);
        sendto(&socket, &question, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0)).ok()?;
        let mut answer = [0u8; 1024];
        // The kernel answers within the call above.
        let (len, _) = recv(&socket, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
        let found = read(answer.get(..len)?, question.get(HEADER_BYTES + 8..)?)?;
        *kept = Some(socket);
        Some(found)
    })
}

thread_local! {
    /// One socket a thread: making and closing one for each connection costs more than the question.
    static ASKING: RefCell<Option<OwnedFd>> = const { RefCell::new(None) };
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn question(remote: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + 8 + SOCKET_ID_BYTES);
    out.extend_from_slice(&((HEADER_BYTES + 8 + SOCKET_ID_BYTES) as u32).to_ne_bytes());
    out.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend_from_slice(&REQUEST.to_ne_bytes());
    out.extend_from_slice(&[0; 8]);
    let family = if remote.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    out.extend_from_slice(&[family.as_raw() as u8, TCP, 0, 0]);
    out.extend_from_slice(&[0xff; 4]);
    out.extend_from_slice(&remote.port().to_be_bytes());
    out.extend_from_slice(&local.port().to_be_bytes());
    for ip in [remote.ip(), local.ip()] {
        match ip {
            IpAddr::V4(ip) => {
                out.extend_from_slice(&ip.octets());
                out.extend_from_slice(&[0; 12]);
            }
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&NO_COOKIE);
    out
}

/// `struct nlmsghdr` and `struct inet_diag_msg`, or an error. The addresses must be those that were asked for: where the
/// connection is gone, the kernel may name a listener instead.
fn read(answer: &[u8], asked: &[u8]) -> Option<Option<u32>> {
    let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    if kind == ERROR {
        let errno = i32::from_ne_bytes(answer.get(HEADER_BYTES..HEADER_BYTES + 4)?.try_into().ok()?);
        return (errno == -rustix::io::Errno::NOENT.raw_os_error()).then_some(None);
    }
    if kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let state = *answer.get(HEADER_BYTES + 1)?;
    let id = answer.get(HEADER_BYTES + 4..HEADER_BYTES + 4 + SOCKET_ID_BYTES)?;
    let behind = HEADER_BYTES + 4 + SOCKET_ID_BYTES;
    let (uid, inode) = (number(behind + 12)?, number(behind + 16)?);
    let same = id.get(..36)? == asked.get(..36)?;
    Some((same && HELD.contains(&state) && inode != 0).then_some(uid))
}

/// An address as the kernel prints it: words of the address in host order, the port in hex.
fn spell(address: SocketAddr) -> String {
    let mut out = String::new();
    let mut word = |bytes: [u8; 4]| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{:08X}", u32::from_ne_bytes(bytes));
    };
    match address.ip() {
        IpAddr::V4(ip) => word(ip.octets()),
        IpAddr::V6(ip) => {
            for chunk in ip.octets().chunks_exact(4) {
                word(chunk.try_into().unwrap_or_default());
            }
        }
    }
    let _ = write!(out, ":{:04X}", address.port());
    out
}

fn find(table: &str, remote: &str, local: &str) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        if fields.next()? != remote || fields.next()? != local {
            return None;
        }
        fields.nth(4)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_real_connection_is_found() {
        for ip in ["127.0.0.1", "::1"] {
            let Ok(listener) = std::net::TcpListener::bind((ip, 0)) else {
                // A machine without IPv6 has no such connections; IPv4 is always there.
                assert_ne!(ip, "127.0.0.1");
                continue;
            };
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (remote, local) = (client.local_addr().unwrap(), listener.local_addr().unwrap());
            let me = Some(rustix::process::getuid().as_raw());
            assert_eq!(uid_of(remote, local), me);
            // Both ways of asking say the same.
            assert_eq!(diagnosed(remote, local), Some(me), "{ip}");
            let table = std::fs::read_to_string(if remote.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" }).unwrap();
            assert_eq!(find(&table, &spell(remote), &spell(local)), me);
        }
    }

    #[test]
    fn a_connection_that_is_not_there_is_nobodys() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        assert_eq!(uid_of(SocketAddr::from(([127, 0, 0, 1], 1)), local), None);
        // A listener of the very address is no connection from it.
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(uid_of(other.local_addr().unwrap(), local), None);
        // Nor is one that both sides have left.
        let client = std::net::TcpStream::connect(local).unwrap();
        let remote = client.local_addr().unwrap();
        let (server, _) = listener.accept().unwrap();
        drop(client);
        drop(server);
        assert_eq!(uid_of(remote, local), None);
    }
}
