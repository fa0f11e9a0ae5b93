//! Which addresses may be dialled (the SSRF floor; dataplane 1.2).
//!
//! Addresses are judged as values, never as text, and an address that carries another one inside is judged by that
//! one too: every embedding below was a real bypass of somebody's filter.

use crate::limits::ADDRESSES_MAX;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for (IANA special-purpose registries, RFC 6890).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Globally reachable.
    Public,
    /// 127/8, `::1`.
    Loopback,
    /// RFC 1918, `fc00::/7`.
    Private,
    /// 169.254/16, `fe80::/10`.
    LinkLocal,
    /// Where a cloud hands out its credentials: refused whatever is pinned.
    Metadata,
    /// 100.64/10 (RFC 6598).
    Cgnat,
    /// 224/4, `ff00::/8`.
    Multicast,
    /// For examples (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// 198.18/15 (RFC 2544), `2001:2::/48`.
    Benchmark,
    /// 0/8, `::`: most kernels connect these to the host itself.
    Unspecified,
    /// Everything else that is not globally reachable, and deprecated embeddings of public addresses.
    Reserved,
}

impl Class {
    /// The word used in records and denials.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Cgnat => "carrier-grade-nat",
            Self::Multicast => "multicast",
            Self::Documentation => "documentation",
            Self::Benchmark => "benchmark",
            Self::Unspecified => "unspecified",
            Self::Reserved => "reserved",
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a name is not dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// Over [`ADDRESSES_MAX`].
    #[error("the name has more addresses than are judged")]
    TooMany,
    /// The address is on the floor, and not pinned or not to be pinned.
    #[error("the address {address} is {class} and may not be dialled")]
    Class {
        /// The address, as it was resolved.
        address: IpAddr,
        /// What it is.
        class: Class,
    },
    /// The host is pinned to another address.
    #[error("the host is pinned to {pin} and has the address {address}")]
    NotPinned {
        /// The address, as it was resolved.
        address: IpAddr,
        /// The one it should be.
        pin: IpAddr,
    },
}

impl Refused {
    /// A stable word for error codes and tests.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
            Self::TooMany => "too_many_addresses",
            Self::Class { class: Class::Metadata, .. } => "address_metadata",
            Self::Class { .. } => "address_not_public",
            Self::NotPinned { .. } => "address_not_pinned",
        }
    }
}

/// Judges all addresses of one name: one that may not be dialled refuses the name, for a second look-up or a retry
/// would reach it. Returns the exact addresses to dial, IPv4-mapped ones as the IPv4 address that a connection goes to.
///
/// `pin` is the one address that an I14 act has bound this host to. A private or loopback address passes only if it
/// is the pin; a pinned host has no other address; nothing lifts any other class. The gateway's own listeners are the
/// caller's to refuse.
///
/// # Errors
/// [`Refused`].
pub fn judge(addresses: &[IpAddr], pin: Option<IpAddr>) -> Result<Vec<IpAddr>, Refused> {
    if addresses.is_empty() {
        return Err(Refused::NoAddress);
    }
    if addresses.len() > ADDRESSES_MAX {
        return Err(Refused::TooMany);
    }
    let pin = pin.map(|pin| pin.to_canonical());
    addresses.iter().map(|address| judge_one(*address, pin)).collect()
}

fn judge_one(address: IpAddr, pin: Option<IpAddr>) -> Result<IpAddr, Refused> {
    let dialled = address.to_canonical();
    let class = class(dialled);
    // A tunnelled private address has no pin: a pin names what is dialled.
    let plain = matches!(class, Class::Private | Class::Loopback) && embedded(dialled).is_empty();
    let may_pass = class == Class::Public || (plain && pin == Some(dialled));
    match pin {
        Some(pin) if may_pass && pin != dialled => Err(Refused::NotPinned { address, pin }),
        _ if may_pass => Ok(dialled),
        _ => Err(Refused::Class { address, class }),
    }
}

/// What an address is, with every address inside it: the most refused reading counts.
#[must_use]
pub fn class(address: IpAddr) -> Class {
    let address = address.to_canonical();
    let inner = embedded(address);
    let inner = inner.iter().map(|ip| class_v4(*ip)).filter(|c| *c != Class::Public);
    // Metadata is the one class that no pin lifts, so it is the one to report.
    if let Some(worst) = inner.max_by_key(|c| (*c == Class::Metadata, *c)) {
        return worst;
    }
    match address {
        IpAddr::V4(ip) => class_v4(ip),
        IpAddr::V6(ip) => class_v6(ip),
    }
}

fn class_v4(ip: Ipv4Addr) -> Class {
    match ip.octets() {
        // AWS, GCP, Azure, Oracle and OpenStack; ECS and EKS tasks; Alibaba; Azure's host; Oracle's older one.
        [169, 254, 169, 254]
        | [169, 254, 170, 2 | 23]
        | [100, 100, 100, 200]
        | [168, 63, 129, 16]
        | [192, 0, 0, 192] => Class::Metadata,
        [0, ..] => Class::Unspecified,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        [100, 64..=127, ..] => Class::Cgnat,
        [127, ..] => Class::Loopback,
        [169, 254, ..] => Class::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Class::Documentation,
        [192, 0, 0, _] | [192, 88, 99, _] => Class::Reserved,
        [198, 18 | 19, ..] => Class::Benchmark,
        [224..=239, ..] => Class::Multicast,
        [240..=255, ..] => Class::Reserved,
        _ => Class::Public,
    }
}

/// EC2, EC2 pod identity, Google Cloud.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

fn class_v6(ip: Ipv6Addr) -> Class {
    if METADATA_V6.contains(&ip) {
        return Class::Metadata;
    }
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
        // NAT64 with a public address inside: how an IPv6-only network reaches the IPv4 internet (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Class::Public,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        [0xfc00..=0xfdff, ..] => Class::Private,
        [0xff00..=0xffff, ..] => Class::Multicast,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Documentation,
        [0x2001, 2, 0, ..] => Class::Benchmark,
        // IETF protocol assignments, Teredo and ORCHID among them; 6to4 (deprecated by RFC 7526).
        [0x2001, 0..=0x1ff, ..] | [0x2002, ..] => Class::Reserved,
        [0x2000..=0x3fff, ..] => Class::Public,
        // Only 2000::/3 is allocated; site-local, IPv4-compatible, local NAT64, discard and the rest are outside.
        _ => Class::Reserved,
    }
}

/// The IPv4 addresses that an IPv6 address may stand for, at every place where a translator would look.
fn embedded(address: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(ip) = address else { return Vec::new() };
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let o = ip.octets();
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        // `::` and `::1` are themselves; the rest of ::/96 is IPv4-compatible (RFC 4291 section 2.5.5.1).
        [0, 0, 0, 0, 0, 0] if g != 0 || h > 1 => vec![join(g, h)],
        // IPv4-translated (RFC 2765): ::ffff:0:a.b.c.d.
        [0, 0, 0, 0, 0xffff, 0] => vec![join(g, h)],
        [0x64, 0xff9b, 0, 0, 0, 0] => vec![join(g, h)],
        // Local NAT64 (RFC 8215) with prefixes of 48, 56, 64 and 96 bits (RFC 6052 section 2.2 skips octet 8).
        [0x64, 0xff9b, 1, _, _, _] => vec![
            Ipv4Addr::new(o[6], o[7], o[9], o[10]),
            Ipv4Addr::new(o[7], o[9], o[10], o[11]),
            Ipv4Addr::new(o[9], o[10], o[11], o[12]),
            join(g, h),
        ],
        [0x2002, ..] => vec![join(b, c)],
        // Teredo (RFC 4380): server, and client with its bits flipped.
        [0x2001, 0, ..] => vec![join(c, d), join(!g, !h)],
        // ISATAP (RFC 5214 section 6.1) under any prefix.
        [_, _, _, _, 0 | 0x200, 0x5efe] => vec![join(g, h)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const TABLE: &[(&str, Class)] = &[
        ("8.8.8.8", Class::Public),
        ("1.1.1.1", Class::Public),
        ("9.255.255.255", Class::Public),
        ("11.0.0.0", Class::Public),
        ("100.63.255.255", Class::Public),
        ("100.128.0.0", Class::Public),
        ("126.255.255.255", Class::Public),
        ("128.0.0.0", Class::Public),
        ("172.15.255.255", Class::Public),
        ("172.32.0.0", Class::Public),
        ("198.17.255.255", Class::Public),
        ("198.20.0.0", Class::Public),
        ("223.255.255.255", Class::Public),
        ("0.0.0.0", Class::Unspecified),
        ("0.1.2.3", Class::Unspecified),
        ("10.0.0.1", Class::Private),
        ("172.16.0.1", Class::Private),
        ("172.31.255.255", Class::Private),
        ("192.168.1.1", Class::Private),
        ("100.64.0.1", Class::Cgnat),
        ("100.127.255.255", Class::Cgnat),
        ("127.0.0.1", Class::Loopback),
        ("127.255.255.254", Class::Loopback),
        ("169.254.1.1", Class::LinkLocal),
        ("169.254.169.254", Class::Metadata),
        ("169.254.170.2", Class::Metadata),
        ("169.254.170.23", Class::Metadata),
        ("100.100.100.200", Class::Metadata),
        ("168.63.129.16", Class::Metadata),
        ("192.0.0.192", Class::Metadata),
        ("192.0.0.8", Class::Reserved),
        ("192.0.2.1", Class::Documentation),
        ("198.51.100.1", Class::Documentation),
        ("203.0.113.1", Class::Documentation),
        ("192.88.99.1", Class::Reserved),
        ("198.18.0.1", Class::Benchmark),
        ("198.19.255.255", Class::Benchmark),
        ("224.0.0.1", Class::Multicast),
        ("239.255.255.255", Class::Multicast),
        ("240.0.0.1", Class::Reserved),
        ("255.255.255.255", Class::Reserved),
        ("2606:4700::1111", Class::Public),
        ("2a00:1450::1", Class::Public),
        ("::", Class::Unspecified),
        ("::1", Class::Loopback),
        ("fc00::1", Class::Private),
        ("fdff:ffff::1", Class::Private),
        ("fd00:ec2::254", Class::Metadata),
        ("fd00:ec2::23", Class::Metadata),
        ("fd20:ce::254", Class::Metadata),
        ("fe80::1", Class::LinkLocal),
        ("febf::1", Class::LinkLocal),
        ("fec0::1", Class::Reserved),
        ("ff02::1", Class::Multicast),
        ("2001:db8::1", Class::Documentation),
        ("3fff:0fff::1", Class::Documentation),
        ("2001:2::1", Class::Benchmark),
        ("2001:10::1", Class::Reserved),
        ("100::1", Class::Reserved),
        ("4000::1", Class::Reserved),
        ("5f00::1", Class::Reserved),
        // IPv4-mapped
        ("::ffff:127.0.0.1", Class::Loopback),
        ("::ffff:169.254.169.254", Class::Metadata),
        ("::ffff:10.0.0.1", Class::Private),
        ("::ffff:8.8.8.8", Class::Public),
        // IPv4-compatible, IPv4-translated
        ("::127.0.0.1", Class::Loopback),
        ("::169.254.169.254", Class::Metadata),
        ("::8.8.8.8", Class::Reserved),
        ("::2", Class::Unspecified),
        ("::ffff:0:127.0.0.1", Class::Loopback),
        ("::ffff:0:8.8.8.8", Class::Reserved),
        // NAT64, both prefixes
        ("64:ff9b::127.0.0.1", Class::Loopback),
        ("64:ff9b::169.254.169.254", Class::Metadata),
        ("64:ff9b::10.0.0.1", Class::Private),
        ("64:ff9b::8.8.8.8", Class::Public),
        ("64:ff9b:1::169.254.169.254", Class::Metadata),
        ("64:ff9b:1:a9fe:a9:fe00::", Class::Metadata),
        ("64:ff9b:1:a9:fe:a9fe::", Class::Metadata),
        ("64:ff9b:1:0:a9:fea9:fe00:0", Class::Metadata),
        ("64:ff9b:1:808:8:808:808:808", Class::Reserved),
        ("64:ff9b::1:0:0", Class::Reserved),
        // 6to4
        ("2002:7f00:1::1", Class::Loopback),
        ("2002:a9fe:a9fe::1", Class::Metadata),
        ("2002:c0a8:101::1", Class::Private),
        ("2002:808:808::1", Class::Reserved),
        // Teredo: server, then client
        ("2001:0:7f00:1:0:0:f7f7:f7f7", Class::Loopback),
        ("2001:0:808:808:0:0:5601:5601", Class::Metadata),
        ("2001:0:808:808:0:0:f7f7:f7f7", Class::Reserved),
        // ISATAP
        ("2606:4700::5efe:127.0.0.1", Class::Loopback),
        ("2606:4700::200:5efe:169.254.169.254", Class::Metadata),
        ("2606:4700::5efe:8.8.8.8", Class::Public),
        ("fe80::5efe:8.8.8.8", Class::LinkLocal),
    ];

    #[test]
    fn every_address_has_the_class_of_its_most_refused_reading() {
        for (text, want) in TABLE {
            assert_eq!(class(ip(text)), *want, "{text}");
        }
    }

    #[test]
    fn nothing_but_a_public_address_is_dialled_unless_pinned() {
        for (text, class) in TABLE {
            let judged = judge(&[ip(text)], None);
            assert_eq!(judged.is_ok(), *class == Class::Public, "{text}");
            let hidden = judge(&[ip("8.8.8.8"), ip(text)], None);
            assert_eq!(hidden.is_ok(), *class == Class::Public, "{text} behind a public address");
        }
    }

    #[test]
    fn a_pin_lifts_exactly_itself_and_only_private_or_loopback() {
        for (text, class) in TABLE {
            let plain =
                !matches!(ip(text), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() && !embedded(ip(text)).is_empty());
            let liftable = matches!(class, Class::Private | Class::Loopback) && plain;
            let pinned = judge(&[ip(text)], Some(ip(text)));
            assert_eq!(pinned.is_ok(), liftable || *class == Class::Public, "{text}");
        }
        let pin = Some(ip("127.0.0.1"));
        assert_eq!(judge(&[ip("127.0.0.1")], pin), Ok(vec![ip("127.0.0.1")]));
        assert_eq!(
            judge(&[ip("::ffff:127.0.0.1")], pin),
            Ok(vec![ip("127.0.0.1")]),
            "what is dialled is what is pinned"
        );
        for (addresses, want) in [
            (vec!["127.0.0.2"], "address_not_public"),
            (vec!["127.0.0.1", "127.0.0.2"], "address_not_public"),
            (vec!["::1"], "address_not_public"),
            (vec!["127.0.0.1", "169.254.169.254"], "address_metadata"),
            (vec!["8.8.8.8"], "address_not_pinned"),
            (vec!["127.0.0.1", "8.8.8.8"], "address_not_pinned"),
        ] {
            let addresses: Vec<IpAddr> = addresses.into_iter().map(ip).collect();
            assert_eq!(judge(&addresses, pin).map_err(|r| r.kind()), Err(want), "{addresses:?}");
        }
    }

    #[test]
    fn metadata_is_dialled_by_no_pin() {
        for (text, _) in TABLE.iter().filter(|(_, class)| *class == Class::Metadata) {
            assert_eq!(judge(&[ip(text)], Some(ip(text))).map_err(|r| r.kind()), Err("address_metadata"), "{text}");
        }
    }

    #[test]
    fn a_name_has_one_address_at_least_and_n_at_most() {
        assert_eq!(judge(&[], None), Err(Refused::NoAddress));
        assert!(judge(&vec![ip("8.8.8.8"); ADDRESSES_MAX], None).is_ok());
        assert_eq!(judge(&vec![ip("8.8.8.8"); ADDRESSES_MAX + 1], None), Err(Refused::TooMany));
    }

    proptest! {
        #[test]
        fn no_wrapping_makes_an_address_better(bits in any::<u32>()) {
            let v4 = Ipv4Addr::from(bits);
            let [a, b] = [(bits >> 16) as u16, bits as u16];
            for wrapped in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, a, b),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, a, b),
                Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, a, b, 0, 0, 0, 0),
                Ipv6Addr::new(0x2001, 0, 0x808, 0x808, 0, 0, !a, !b),
                Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0x5efe, a, b),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, a, b),
            ] {
                if class_v4(v4) != Class::Public {
                    prop_assert_ne!(class(IpAddr::V6(wrapped)), Class::Public, "{} in {}", v4, wrapped);
                    prop_assert!(judge(&[IpAddr::V6(wrapped)], None).is_err());
                }
                if class_v4(v4) == Class::Metadata {
                    prop_assert_eq!(class(IpAddr::V6(wrapped)), Class::Metadata);
                }
            }
        }
    }
}
