//! Hosts, as people register them: a name, everything below a name, an address, a network.

use super::RegistryError;
use crate::target::{Scheme, Target};
use std::net::IpAddr;

/// A network: of two that share an address, one lies in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    v4: bool,
    bits: u128,
    pub(super) length: u32,
}

/// What a host entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPattern {
    Name(Box<str>),
    /// Everything below, without the name itself.
    Below(Box<str>),
    Network(Network),
}

/// An address, and how many bits it has. One that is written as a version 6 address of a version 4 host is that host.
fn bits_of(ip: IpAddr) -> (bool, u128, u32) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (true, u128::from(u32::from(ip)) << 96, 32),
        IpAddr::V6(ip) => (false, u128::from(ip), 128),
    }
}

const fn mask(length: u32) -> u128 {
    match length {
        0 => 0,
        n if n >= 128 => u128::MAX,
        n => u128::MAX << (128 - n),
    }
}

impl Network {
    fn new(ip: IpAddr, length: Option<u32>) -> Option<Self> {
        let (v4, bits, most) = bits_of(ip);
        let length = length.unwrap_or(most);
        (length <= most && bits & !mask(length) == 0).then_some(Self { v4, bits, length })
    }

    pub(super) fn holds(&self, ip: IpAddr) -> bool {
        let (v4, bits, _) = bits_of(ip);
        v4 == self.v4 && bits & mask(self.length) == self.bits
    }
}

impl HostPattern {
    /// # Errors
    /// [`RegistryError::Host`] for what names no host.
    pub(super) fn parse(text: &str) -> Result<Self, RegistryError> {
        let wrong = || RegistryError::Host(text.chars().take(64).collect());
        let name = |text: &str| {
            let target = Target::new(Scheme::Https, text, 1).map_err(|_| wrong())?;
            if target.ip().is_some() { Err(wrong()) } else { Ok(Box::from(text)) }
        };
        if let Some(zone) = text.strip_prefix("*.") {
            return name(zone).map(Self::Below);
        }
        if let Some((address, length)) = text.split_once('/') {
            let (ip, length) = (address.parse().map_err(|_| wrong())?, length.parse().map_err(|_| wrong())?);
            return Network::new(ip, Some(length)).map(Self::Network).ok_or_else(wrong);
        }
        match text.parse() {
            Ok(ip) => Network::new(ip, None).map(Self::Network).ok_or_else(wrong),
            Err(_) => name(text).map(Self::Name),
        }
    }
}
