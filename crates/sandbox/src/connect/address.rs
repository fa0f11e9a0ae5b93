//! Addresses as they lie in the memory of a process (`struct sockaddr_in`, `_in6`, `_un`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a socket is to be connected or bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// The internet.
    Inet(SocketAddr),
    /// A name in the file system.
    Path(Vec<u8>),
    /// A name outside of it, or none.
    Abstract,
    /// Something else.
    Other,
}

/// Reads an address.
pub(super) fn read(bytes: &[u8]) -> Address {
    let Some((family, rest)) = bytes.split_first_chunk::<2>() else { return Address::Other };
    let inet = |ip: IpAddr| {
        let port = rest.first_chunk::<2>().map(|port| u16::from_be_bytes(*port))?;
        Some(Address::Inet(SocketAddr::new(ip, port)))
    };
    let address = match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => rest.get(2..).and_then(|rest| rest.first_chunk::<4>()).and_then(|ip| inet(Ipv4Addr::from(*ip).into())),
        libc::AF_INET6 => {
            // Behind the port come four bytes of flow label. A mapped address is the one that it maps.
            rest.get(6..).and_then(|rest| rest.first_chunk::<16>()).and_then(|ip| inet(Ipv6Addr::from(*ip).to_canonical()))
        }
        libc::AF_UNIX => Some(unix(rest)),
        _ => None,
    };
    address.unwrap_or(Address::Other)
}

fn unix(path: &[u8]) -> Address {
    match path.split(|byte| *byte == 0).next() {
        Some(path) if !path.is_empty() => Address::Path(path.to_vec()),
        _ => Address::Abstract,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockaddr(family: i32, rest: &[u8]) -> Vec<u8> {
        [&u16::try_from(family).unwrap().to_ne_bytes()[..], rest].concat()
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(read(&sockaddr(libc::AF_INET, &[1, 187, 10, 0, 0, 7, 0, 0])), Address::Inet("10.0.0.7:443".parse().unwrap()));
        let mut six = vec![0, 80, 0, 0, 0, 0];
        six.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(read(&sockaddr(libc::AF_INET6, &six)), Address::Inet("[2001:db8::7]:80".parse().unwrap()));
        let mut mapped = vec![0, 80, 0, 0, 0, 0];
        mapped.extend("::ffff:169.254.169.254".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(read(&sockaddr(libc::AF_INET6, &mapped)), Address::Inet("169.254.169.254:80".parse().unwrap()));
        assert_eq!(read(&sockaddr(libc::AF_UNIX, b"/run/x.sock\0junk")), Address::Path(b"/run/x.sock".to_vec()));
        assert_eq!(read(&sockaddr(libc::AF_UNIX, b"\0dbus")), Address::Abstract);
        assert_eq!(read(&sockaddr(libc::AF_UNIX, b"")), Address::Abstract);
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_no_address() {
        for short in
            [&b""[..], &[2], &[2, 0, 1], &[2, 0, 1, 187, 10, 0, 0], &[10, 0, 0, 80, 0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 0, 0]]
        {
            assert_eq!(read(short), Address::Other, "{short:?}");
        }
    }
}
