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
