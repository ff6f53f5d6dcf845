//! Many networks, compiled so that a look-up costs no more for a hundred thousand than for ten.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Network;

/// Addresses, as disjoint ranges: networks that overlap or touch become one.
///
/// Takes 8 bytes a range of IPv4 and 32 of IPv6; large sets have a directory, with which a range of
/// IPv4 takes 16 at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSet {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
    /// For each value of an IPv4 address' first 16 bits, where in `v4` the ranges begin that end
    /// there or later; one more for the end. Empty for small sets.
    directory: Box<[u32]>,
}

impl NetworkSet {
    /// Whether `client` is inside. An IPv4 client seen as `::ffff:a.b.c.d` counts as IPv4.
    pub fn contains(&self, client: IpAddr) -> bool {
        match client.to_canonical() {
            IpAddr::V4(address) => {
                let address = u32::from(address);
                within(self.shelf(address), address)
            }
            IpAddr::V6(address) => within(&self.v6, u128::from(address)),
        }
    }

    /// The number of disjoint ranges: at most that of the networks it was made of.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The disjoint ranges in order, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = Network> {
        let v4 = self.v4.iter().map(|&(first, last)| Network {
            first: Ipv4Addr::from(first).into(),
            last: Ipv4Addr::from(last).into(),
        });
        let v6 = self.v6.iter().map(|&(first, last)| Network {
            first: Ipv6Addr::from(first).into(),
            last: Ipv6Addr::from(last).into(),
        });
        v4.chain(v6)
    }

    /// The ranges in which `address` has to stand if it is inside.
    fn shelf(&self, address: u32) -> &[(u32, u32)] {
        let head = (address >> 16) as usize;
        match self.directory.get(head..head + 2) {
            // A range that begins on this shelf may end on a later one: it is the first past `to`.
            Some(&[from, to]) => &self.v4[from as usize..self.v4.len().min(to as usize + 1)],
            _ => &self.v4,
        }
    }
}

impl FromIterator<Network> for NetworkSet {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match (network.first, network.last) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.into(), last.into())),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.into(), last.into())),
                _ => unreachable!("a network is of one family"),
            }
        }
        let v4 = merged(v4, |last: u32| last.checked_add(1));
        let v6 = merged(v6, |last: u128| last.checked_add(1));
        let directory = if v4.len() < WORTH_A_DIRECTORY { Box::default() } else { directory(&v4) };
        Self { v4, v6, directory }
    }
}

/// Whether one of `ranges`, which are disjoint and in order, holds `address`.
fn within<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let at = ranges.partition_point(|&(_, last)| last < address);
    ranges.get(at).is_some_and(|&(first, _)| first <= address)
}

/// The same addresses as disjoint ranges in order, as few as there can be.
fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    // `dedup_by` hands over the later element first.
    ranges.dedup_by(|later, kept| {
        // What ends at the highest address has everything after it inside.
        let touch = next(kept.1).is_none_or(|next| later.0 <= next);
        if touch {
            kept.1 = kept.1.max(later.1);
        }
        touch
    });
    ranges.into_boxed_slice()
}

fn directory(ranges: &[(u32, u32)]) -> Box<[u32]> {
    let mut at = 0;
    let mut directory: Vec<u32> = (0..=0xffff_u32)
        .map(|head| {
            while ranges.get(at).is_some_and(|&(_, last)| last < head << 16) {
                at += 1;
            }
            u32::try_from(at).expect("disjoint ranges of IPv4 are fewer than its addresses")
        })
        .collect();
    directory
        .push(u32::try_from(ranges.len()).expect("disjoint ranges of IPv4 are fewer than its addresses"));
    directory.into_boxed_slice()
}

/// In ranges. From here on the directory's 65,537 numbers of 4 bytes are at most 8 bytes a range.
const WORTH_A_DIRECTORY: usize = 32_769;
