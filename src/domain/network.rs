//! Networks: what is written in lists of addresses, and who is inside.
//!
//! `ipnet` counts for us and never reads: it takes `192.0.2.010` for `192.0.2.10`, and an
//! IPv4-mapped client for a stranger to an IPv4 network.

mod address;
mod lists;
mod set;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

pub use address::address;
pub use lists::{Barred, List, MalformedEntry, Networks};
pub use set::NetworkSet;

/// A range of addresses of one family, written `203.0.113.0/24`, `192.0.2.1-192.0.2.2` or as one
/// address; IPv6 likewise.
///
/// What is written of IPv4-mapped addresses is IPv4. An IPv6 network has no IPv4 client inside,
/// however wide it is: `::/0` is all of IPv6, and `0.0.0.0/0` all of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    // One family, `first <= last`, and neither is an IPv4-mapped address.
    first: IpAddr,
    last: IpAddr,
}

impl Network {
    pub fn first(&self) -> IpAddr {
        self.first
    }

    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Whether `client` is inside. An IPv4 client seen as `::ffff:a.b.c.d` counts as IPv4.
    pub fn contains(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        client.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&client)
    }

    fn cidr(text: &str, start: &str, prefix: &str) -> Result<Self, MalformedNetwork> {
        let written = literal(start)?;
        let longest = if written.is_ipv4() { 32 } else { 128 };
        let malformed = || MalformedNetwork::Prefix { found: shown(prefix), longest };
        let mut prefix = address::number(prefix.as_bytes(), longest).ok_or_else(malformed)?;
        let beyond_mapped = || MalformedNetwork::BeyondMapped { found: shown(text) };
        let address = written.to_canonical();
        if address.is_ipv4() && written.is_ipv6() {
            prefix = prefix.checked_sub(MAPPED_PREFIX).ok_or_else(beyond_mapped)?;
        }
        let net = IpNet::new(address, prefix).map_err(|_| malformed())?;
        let network = Self { first: net.network(), last: net.broadcast() };
        if network.first != address {
            return Err(MalformedNetwork::HostBits { found: shown(text), meant: network });
        }
        if network.last.to_canonical() != network.last {
            return Err(beyond_mapped());
        }
        Ok(network)
    }

    fn range(text: &str, first: &str, last: &str) -> Result<Self, MalformedNetwork> {
        let (first, last) = (literal(first)?.to_canonical(), literal(last)?.to_canonical());
        if first.is_ipv4() != last.is_ipv4() {
            return Err(MalformedNetwork::MixedFamilies { found: shown(text) });
        }
        if first > last {
            let meant = Self { first: last, last: first };
            return Err(MalformedNetwork::Reversed { found: shown(text), meant });
        }
        Ok(Self { first, last })
    }
}

impl FromStr for Network {
    type Err = MalformedNetwork;

    fn from_str(text: &str) -> Result<Self, MalformedNetwork> {
        if text.is_empty() {
            return Err(MalformedNetwork::Empty);
        }
        if let Some((first, last)) = text.split_once('-') {
            return Self::range(text, first, last);
        }
        if let Some((start, prefix)) = text.split_once('/') {
            return Self::cidr(text, start, prefix);
        }
        let address = literal(text)?.to_canonical();
        Ok(Self { first: address, last: address })
    }
}

impl TryFrom<&str> for Network {
    type Error = MalformedNetwork;

    fn try_from(text: &str) -> Result<Self, MalformedNetwork> {
        text.parse()
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { first: address, last: address }
    }
}

/// As one address, else as CIDR, else as a range.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last {
            return first.fmt(f);
        }
        let mut subnets = match (*first, *last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => IpSubnets::V4(Ipv4Subnets::new(first, last, 0)),
            (IpAddr::V6(first), IpAddr::V6(last)) => IpSubnets::V6(Ipv6Subnets::new(first, last, 0)),
            _ => return write!(f, "{first}-{last}"),
        };
        match subnets.next() {
            Some(net) if net.broadcast() == *last => net.fmt(f),
            _ => write!(f, "{first}-{last}"),
        }
    }
}

/// The text is no network. Whoever wrote it can mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedNetwork {
    #[error(
        "`{found}` is no IP address, expected four decimal numbers without leading zeros (`192.0.2.1`) or IPv6 (`2001:db8::1`); write an address, a network such as `192.0.2.0/24` or a range such as `192.0.2.1-192.0.2.9`"
    )]
    Address { found: String },
    #[error(
        "`{found}` reaches beyond the IPv4-mapped addresses (`::ffff:0:0/96`), which count as IPv4; write the IPv4 network and the IPv6 network as two entries"
    )]
    BeyondMapped { found: String },
    #[error(
        "the entry is empty, expected an address, a network such as `192.0.2.0/24` or a range such as `192.0.2.1-192.0.2.9`; write one, or take the entry out"
    )]
    Empty,
    #[error("`{found}` has bits set past its prefix; did you mean `{meant}`?")]
    HostBits { found: String, meant: Network },
    #[error(
        "the range `{found}` begins in one address family and ends in the other; write an IPv4 and an IPv6 range as two entries"
    )]
    MixedFamilies { found: String },
    #[error(
        "`/{found}` is no prefix length, expected a number from 0 to {longest} without sign or leading zero; write one as in `192.0.2.0/24`"
    )]
    Prefix { found: String, longest: u8 },
    #[error("the range `{found}` ends before it begins; did you mean `{meant}`?")]
    Reversed { found: String, meant: Network },
}

fn literal(text: &str) -> Result<IpAddr, MalformedNetwork> {
    address::literal(text.as_bytes()).ok_or_else(|| MalformedNetwork::Address { found: shown(text) })
}

/// Text for a message of one line: it may come from anyone who may write records.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// `::ffff:0:0/96` holds the IPv4-mapped addresses (RFC 4291 section 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// In characters. The longest network is a range of two addresses of 45.
const LONGEST_SHOWN: usize = 91;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// What a text is printed as, or why it is none.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = text.parse::<Network>().map_or_else(|why| why.to_string(), |network| network.to_string());
        assert_eq!(found, expected, "{text:?}");
    }

    #[track_caller]
    fn refused(text: &str, is_expected: impl FnOnce(&MalformedNetwork) -> bool) {
        let why = text.parse::<Network>().unwrap_err();
        assert!(is_expected(&why), "{text:?}: {why:?}");
    }

    /// The Kuroco document: "CIDR (e.g., /24); IP range with `-` (e.g., 192.0.2.1-192.0.2.2)".
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn networks_are_printed_as_they_are_best_written() {
        //    written                          printed
        check("203.0.113.0/24",                "203.0.113.0/24");
        check("192.0.2.1-192.0.2.2",           "192.0.2.1-192.0.2.2");
        check("192.0.2.1",                     "192.0.2.1");
        check("192.0.2.1/32",                  "192.0.2.1");
        check("192.0.2.1-192.0.2.1",           "192.0.2.1");
        check("192.0.2.0-192.0.2.255",         "192.0.2.0/24");
        check("192.0.2.1-192.0.2.255",         "192.0.2.1-192.0.2.255");
        check("0.0.0.0/0",                     "0.0.0.0/0");
        check("0.0.0.0-255.255.255.255",       "0.0.0.0/0");
        check("2001:DB8::/32",                 "2001:db8::/32");
        check("2001:db8:0:0::1-2001:db8::2",   "2001:db8::1-2001:db8::2");
        check("2001:db8::-2001:db8::ffff",     "2001:db8::/112");
        check("2001:db8::1/128",               "2001:db8::1");
        check("::/0",                          "::/0");
        check("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0");
    }

    /// `security-rules.md` 3.3 I1, and finding 3.
    #[test]
    fn i1_no_network_is_made_of_what_is_no_address() {
        for text in [
            "192.0.2.010/24",
            "192.0.2.010",
            "127.1/8",
            "10/8",
            "0x0a.0.0.0/8",
            "[2001:db8::]/32",
            "fe80::1%eth0/64",
            "10.0.0.0:80/8",
            " 10.0.0.0/8",
            "10.0.0.0 /8",
            "/8",
            "-",
            "192.0.2.1-",
            "-192.0.2.1",
            "192.0.2.1-9",
            "192.0.2.1 - 192.0.2.2",
            "192.0.2.1–192.0.2.2",
            "192.0.2.0/24-192.0.3.0/24",
            "1.1.1.1-1.1.1.2-1.1.1.3",
            "192.0.2.*",
            "example.com",
            "any",
            "*",
            "192.0.2.1,192.0.2.2",
            "unix",
        ] {
            refused(text, |why| matches!(why, MalformedNetwork::Address { .. }));
        }
        check(
            "192.0.2.010/24",
            "`192.0.2.010` is no IP address, expected four decimal numbers without leading zeros (`192.0.2.1`) \
             or IPv6 (`2001:db8::1`); write an address, a network such as `192.0.2.0/24` or a range such as \
             `192.0.2.1-192.0.2.9`",
        );
        refused("", |why| *why == MalformedNetwork::Empty);
    }

    /// `security-rules.md` 3.3 I2.
    #[test]
    fn i2_a_prefix_is_a_plain_number_within_its_family() {
        for prefix in [
            "",
            "08",
            "00",
            "+8",
            "-8",
            " 8",
            "8 ",
            "33",
            "129",
            "256",
            "255.0.0.0",
            "8/8",
            "0x8",
            "٨",
            "1e1",
        ] {
            if !prefix.contains('-') {
                refused(&format!("0.0.0.0/{prefix}"), |why| {
                    matches!(why, MalformedNetwork::Prefix { longest: 32, .. })
                });
            }
        }
        refused("0.0.0.0/-8", |why| matches!(why, MalformedNetwork::Address { .. }));
        refused("::/129", |why| matches!(why, MalformedNetwork::Prefix { longest: 128, .. }));
        refused("::ffff:0.0.0.0/129", |why| matches!(why, MalformedNetwork::Prefix { .. }));
        for prefix in 0..=32 {
            assert_eq!(
                format!("0.0.0.0/{prefix}").parse::<Network>().unwrap().first().to_string(),
                "0.0.0.0"
            );
        }
        check(
            "192.0.2.0/33",
            "`/33` is no prefix length, expected a number from 0 to 32 without sign or leading zero; \
             write one as in `192.0.2.0/24`",
        );
    }

    /// `security-rules.md` 3.3 I3.
    #[test]
    fn i3_a_range_goes_upwards_in_one_family() {
        check(
            "192.0.2.2-192.0.2.1",
            "the range `192.0.2.2-192.0.2.1` ends before it begins; did you mean `192.0.2.1-192.0.2.2`?",
        );
        check(
            "192.0.2.1-2001:db8::1",
            "the range `192.0.2.1-2001:db8::1` begins in one address family and ends in the other; \
             write an IPv4 and an IPv6 range as two entries",
        );
        refused("::-192.0.2.1", |why| matches!(why, MalformedNetwork::MixedFamilies { .. }));
        refused("::-::ffff:192.0.2.1", |why| matches!(why, MalformedNetwork::MixedFamilies { .. }));
        refused("2001:db8::2-2001:db8::1", |why| matches!(why, MalformedNetwork::Reversed { .. }));
    }

    /// `security-rules.md` 3.3 I4, and finding 3.
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn i4_what_is_mapped_is_ipv4() {
        //    written                                    printed
        check("::ffff:192.0.2.0/120",                    "192.0.2.0/24");
        check("::ffff:c000:200/120",                     "192.0.2.0/24");
        check("::ffff:0:0/96",                           "0.0.0.0/0");
        check("::ffff:192.0.2.1",                        "192.0.2.1");
        check("::ffff:192.0.2.1-::ffff:192.0.2.2",       "192.0.2.1-192.0.2.2");
        check("192.0.2.1-::ffff:192.0.2.2",              "192.0.2.1-192.0.2.2");
        check("::ffff:192.0.2.1/120", "`::ffff:192.0.2.1/120` has bits set past its prefix; did you mean `192.0.2.0/24`?");
        check("::ffff:192.0.2.0/24", "`::ffff:192.0.2.0/24` reaches beyond the IPv4-mapped addresses (`::ffff:0:0/96`), \
               which count as IPv4; write the IPv4 network and the IPv6 network as two entries");
        for text in ["::ffff:0:0/95", "::ffff:0:0/0", "::fffe:0:0/95", "::8000:0:0/81", "::/80"] {
            refused(text, |why| matches!(why, MalformedNetwork::BeyondMapped { .. }));
        }
        let inside = |network: &str, client: &str| network.parse::<Network>().unwrap().contains(client.parse().unwrap());
        assert!(inside("192.0.2.0/24", "::ffff:192.0.2.1"));
        assert!(inside("::ffff:192.0.2.0/120", "192.0.2.1"));
        assert!(inside("::/0", "::1") && inside("0.0.0.0/0", "0.0.0.0"));
        assert!(!inside("::/0", "192.0.2.1") && !inside("::/0", "::ffff:192.0.2.1"));
        assert!(!inside("0.0.0.0/0", "::1") && !inside("0.0.0.0/0", "::192.0.2.1"));
    }

    /// `security-rules.md` 3.3 I5.
    #[test]
    fn i5_host_bits_are_refused_and_the_meant_network_is_named() {
        check("10.1.2.3/8", "`10.1.2.3/8` has bits set past its prefix; did you mean `10.0.0.0/8`?");
        check("0.0.0.1/0", "`0.0.0.1/0` has bits set past its prefix; did you mean `0.0.0.0/0`?");
        check("192.0.2.1/31", "`192.0.2.1/31` has bits set past its prefix; did you mean `192.0.2.0/31`?");
        check(
            "2001:db8::1/32",
            "`2001:db8::1/32` has bits set past its prefix; did you mean `2001:db8::/32`?",
        );
    }

    #[test]
    fn what_is_shown_of_a_bad_entry_is_one_short_line() {
        let long = format!("\n\u{1b}[31m{}", "9".repeat(1000));
        let text = long.parse::<Network>().unwrap_err().to_string();
        assert!(text.starts_with("`\\n\\u{1b}[31m999") && text.contains("9…` is no IP address"), "{text}");
        assert!(text.len() < 400 && !text.contains(char::is_control));
    }

    pub(super) fn any_network() -> impl Strategy<Value = Network> {
        let mapped_apart = |(a, b): (u128, u128)| {
            let [first, last] = [a.min(b), a.max(b)].map(|bits| IpAddr::from(bits.to_be_bytes()));
            (first.to_canonical() == first && last.to_canonical() == last).then_some(Network { first, last })
        };
        let v4 = |(a, b): (u32, u32)| Network {
            first: IpAddr::from(a.min(b).to_be_bytes()),
            last: IpAddr::from(a.max(b).to_be_bytes()),
        };
        prop_oneof![
            any::<(u32, u32)>().prop_map(v4),
            (any::<u32>(), 0..=32_u32).prop_map(move |(bits, host)| {
                let low = 1_u32.checked_shl(host).map_or(u32::MAX, |size| size - 1);
                v4((bits & !low, bits | low))
            }),
            (any::<u32>(), 0..9_u32).prop_map(move |(a, more)| v4((a, a.saturating_add(more)))),
            any::<(u128, u128)>().prop_filter_map("an end is mapped", mapped_apart),
            (any::<u128>(), 0..=128_u32).prop_filter_map("an end is mapped", move |(bits, host)| {
                let low = 1_u128.checked_shl(host).map_or(u128::MAX, |size| size - 1);
                mapped_apart((bits & !low, bits | low))
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_as_the_same(network in any_network()) {
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }

        #[test]
        fn what_can_be_read_is_printed_so_that_it_is_read_alike(
            text in prop_oneof![
                "[0-9.]{1,15}/[0-9]{1,3}", "[0-9a-f:.]{1,20}[-/][0-9a-f:.]{1,20}",
                "(10|0)\\.0\\.0\\.0/[0-9]{1,2}", "::[0-9a-f]{0,4}:0:0/[0-9]{1,3}", ".{0,30}",
            ]
        ) {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse(), Ok(network));
                prop_assert!(network.contains(network.first()) && network.contains(network.last()));
            }
        }

        /// `ipnet` counts the same as the bits do.
        #[test]
        fn a_prefix_leaves_the_bits_past_it_free(bits in any::<u32>(), prefix in 0..=32_u32) {
            let low = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let start = std::net::Ipv4Addr::from(bits & !low);
            let network: Network = format!("{start}/{prefix}").parse().unwrap();
            let last = std::net::Ipv4Addr::from(bits | low);
            prop_assert_eq!((network.first(), network.last()), (IpAddr::V4(start), IpAddr::V4(last)));
        }
    }
}
