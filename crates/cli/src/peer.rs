//! Whose connection it is: the kernel's table of loopback connections names the owner of the other end. Asked once per
//! connection. Inside a network namespace the listener alone is the identity; outside it any user can dial the port
//! (threats H4).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The user that owns the socket bound to `remote` and connected to `local`.
pub(crate) fn uid_of(remote: SocketAddr, local: SocketAddr) -> Option<u32> {
    let table = std::fs::read_to_string(if remote.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" }).ok()?;
    find(&table, &spell(remote), &spell(local))
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
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let uid = uid_of(client.local_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(uid, Some(rustix::process::getuid().as_raw()));
        let other = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(uid_of(other, listener.local_addr().unwrap()), None);
    }
}
