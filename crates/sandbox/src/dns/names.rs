//! Addresses for names, given once and never again.

use crate::limits::NAMES;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The range for IPv4: 198.18.0.0/15, which no host on the internet has (RFC 2544).
pub const NETWORK_V4: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 18, 0, 0), 15);
/// The range for IPv6: a unique local prefix (RFC 4193).
pub const NETWORK_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd4d, 0x6172, 0x7175, 0x65, 0, 0, 0, 0), 64);
/// Addresses below this are never given: the resolver's own is among them.
const FIRST: u32 = 256;

/// There are no more addresses in this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session has addresses for {NAMES} names")]
pub struct Exhausted;

/// The names of one session, in the order in which they were first asked for.
#[derive(Debug, Default)]
pub struct Names {
    by_name: HashMap<String, u32>,
    by_number: Vec<String>,
    refused: u64,
}

impl Names {
    /// No names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of a name, lower case and without a dot at the end; a new one where it has none.
    ///
    /// # Errors
    /// [`Exhausted`] past [`NAMES`] names: an address is never given to a second one.
    pub fn number(&mut self, name: &str) -> Result<u32, Exhausted> {
        if let Some(number) = self.by_name.get(name) {
            return Ok(*number);
        }
        if self.by_number.len() >= NAMES {
            self.refused += 1;
            return Err(Exhausted);
        }
        let number = FIRST + self.by_number.len() as u32;
        self.by_number.push(name.to_owned());
        self.by_name.insert(name.to_owned(), number);
        Ok(number)
    }

    /// The IPv4 address of a number.
    #[must_use]
    pub fn v4(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(NETWORK_V4.0.to_bits() | number)
    }

    /// The IPv6 address of a number.
    #[must_use]
    pub fn v6(number: u32) -> Ipv6Addr {
        Ipv6Addr::from_bits(NETWORK_V6.0.to_bits() | u128::from(number))
    }

    /// The name that an address stands for.
    #[must_use]
    pub fn name_of(&self, address: IpAddr) -> Option<&str> {
        let number = match address {
            IpAddr::V4(v4) => (v4.to_bits() ^ NETWORK_V4.0.to_bits()).checked_sub(FIRST)?,
            IpAddr::V6(v6) => u32::try_from(v6.to_bits() ^ NETWORK_V6.0.to_bits()).ok()?.checked_sub(FIRST)?,
        };
        self.by_number.get(number as usize).map(String::as_str)
    }

    /// Whether an address is in a range that stands for names, given or not.
    #[must_use]
    pub fn is_reserved(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4.to_bits() >> 17 == NETWORK_V4.0.to_bits() >> 17,
            IpAddr::V6(v6) => v6.to_bits() >> 64 == NETWORK_V6.0.to_bits() >> 64,
        }
    }

    /// Every name that was asked for.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        self.by_number.iter().map(String::as_str)
    }

    /// How many questions found no address left.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn an_address_is_never_given_twice_and_the_last_name_is_followed_by_none() {
        let mut names = Names::new();
        let mut seen = HashSet::new();
        for index in 0..NAMES {
            let number = names.number(&format!("n{index}.test")).unwrap();
            assert!(seen.insert(Names::v4(number)) && seen.len() == index + 1);
            assert!(Names::is_reserved(Names::v4(number).into()) && Names::is_reserved(Names::v6(number).into()));
        }
        assert_eq!(names.number("one.more"), Err(Exhausted));
        assert_eq!((names.refused(), names.asked().count()), (1, NAMES));
        assert_eq!(names.number("n0.test").map(Names::v4), Ok(Ipv4Addr::new(198, 18, 1, 0)));
        assert_eq!(names.name_of(Names::v4(FIRST + NAMES as u32 - 1).into()), Some(&*format!("n{}.test", NAMES - 1)));
    }

    #[test]
    fn both_addresses_lead_back_to_the_name_and_no_other_does() {
        let mut names = Names::new();
        let number = names.number("db.internal").unwrap();
        assert_eq!(names.name_of(Names::v4(number).into()), Some("db.internal"));
        assert_eq!(names.name_of(Names::v6(number).into()), Some("db.internal"));
        for other in ["198.18.0.1", "198.18.1.1", "8.8.8.8", "127.0.0.1", "::1", "fd4d:6172:7175:65::1", "fd4d:6172:7175:66::100"] {
            assert_eq!(names.name_of(other.parse().unwrap()), None, "{other}");
        }
        assert!(!Names::is_reserved("198.20.0.1".parse().unwrap()));
    }
}
