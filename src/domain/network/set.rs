//! Many networks, compiled so that a look-up costs no more for a hundred thousand than for ten.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Network;

/// Addresses, as disjoint ranges: networks that overlap or touch become one.
///
/// Takes 8 bytes a range of IPv4 and 32 of IPv6; large sets have a directory, with which a range of
/// IPv4 takes 16 at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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

    pub fn has_all_of_ipv4(&self) -> bool {
        *self.v4 == [(0, u32::MAX)]
    }

    /// Those that stand for addresses of IPv4 do not count: no network has them.
    pub fn has_all_of_ipv6(&self) -> bool {
        let (before, after) = (0xfffe_ffff_ffff, 0x1_0000_0000_0000);
        *self.v6 == [(0, u128::MAX)] || *self.v6 == [(0, before), (after, u128::MAX)]
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::super::tests::any_network;
    use super::*;

    #[track_caller]
    fn check(networks: &[&str], expected: &[&str]) {
        let set: NetworkSet = networks.iter().map(|text| text.parse::<Network>().unwrap()).collect();
        assert_eq!(set.iter().map(|network| network.to_string()).collect::<Vec<_>>(), expected);
        assert_eq!(set.len(), expected.len());
        assert_eq!(set.is_empty(), expected.is_empty());
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn networks_that_overlap_or_touch_become_one() {
        check(&[],                                                   &[]);
        check(&["10.0.0.2", "10.0.0.1"],                             &["10.0.0.1-10.0.0.2"]);
        check(&["10.0.0.3", "10.0.0.1"],                             &["10.0.0.1", "10.0.0.3"]);
        check(&["10.0.0.128/25", "10.0.0.0/25"],                     &["10.0.0.0/24"]);
        check(&["10.0.0.5", "10.0.0.0/8", "10.255.0.0/16"],          &["10.0.0.0/8"]);
        check(&["255.255.255.255", "255.255.255.0/24", "0.0.0.0"],   &["0.0.0.0", "255.255.255.0/24"]);
        check(&["0.0.0.0/0", "255.255.255.255", "1.1.1.1"],          &["0.0.0.0/0"]);
        check(&["::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],  &["::/0"]);
        check(&["2001:db8::1", "10.0.0.1", "2001:db8::", "::a00:1"], &["10.0.0.1", "::a00:1", "2001:db8::/127"]);
    }

    /// As many ranges as have a directory: each second address of IPv4's first, and of scattered heads.
    fn large() -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = (0..40_000_u32).map(|n| (n * 2, n * 2)).collect();
        ranges.extend(
            (0..500_u32)
                .map(|n| (0x0100_0000 + n * 0x0040_0001, 0x0100_0000 + n * 0x0040_0001 + 0x0003_0000)),
        );
        ranges.push((0xffff_fff0, 0xffff_ffff));
        ranges
    }

    fn network((first, last): (u32, u32)) -> Network {
        Network { first: Ipv4Addr::from(first).into(), last: Ipv4Addr::from(last).into() }
    }

    #[test]
    fn a_directory_changes_no_answer() {
        let ranges = large();
        let set: NetworkSet = ranges.iter().copied().map(network).collect();
        assert_eq!(set.directory.len(), 65_537);
        let ends = ranges
            .iter()
            .flat_map(|&(first, last)| [first.wrapping_sub(1), first, last, last.wrapping_add(1)]);
        let heads = (0..=0xffff_u32).flat_map(|head| [head << 16, head << 16 | 0xffff]);
        for address in ends.chain(heads) {
            let expected = within(&set.v4, address);
            assert_eq!(set.contains(Ipv4Addr::from(address).into()), expected, "{}", Ipv4Addr::from(address));
        }
    }

    /// A number that counts how often it is compared.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Counting(u32);

    thread_local! {
        static COMPARED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    }

    impl Ord for Counting {
        fn cmp(&self, other: &Self) -> std::cmp::Ordering {
            COMPARED.set(COMPARED.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counting {
        fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
            Some(self.cmp(other))
        }
    }

    /// `security-rules.md` 3.3 I9: whatever a list's length is, by what is done and not by the clock.
    #[test]
    fn i9_a_look_up_among_a_hundred_thousand_compares_no_more_than_a_binary_search() {
        const RANGES: u32 = 100_000;
        let counting: Vec<_> = (0..RANGES).map(|n| (Counting(n * 4), Counting(n * 4 + 1))).collect();
        // 2^17 is the first power above: so many halvings, the range they end at, and its other end.
        let search = RANGES.next_power_of_two().ilog2() + 2;
        for address in (0..RANGES * 4 + 4).step_by(7) {
            COMPARED.set(0);
            assert_eq!(within(&counting, Counting(address)), address % 4 < 2 && address < RANGES * 4);
            assert!(COMPARED.get() <= search, "{} comparisons for {address}", COMPARED.get());
        }
        // And the directory leaves less to be searched: a shelf's own ranges, and the one after it.
        let set: NetworkSet = (0..RANGES).map(|n| network((n * 4, n * 4 + 1))).collect();
        assert_eq!(set.directory.len(), 65_537);
        for address in (0..u32::MAX - 65_536).step_by(65_536) {
            assert!(set.shelf(address).len() <= 65_536 / 4 + 1, "{address}");
        }
    }

    #[test]
    fn a_set_that_has_all_of_a_family_says_so_however_it_is_written() {
        let check = |networks: &[&str], expected: [bool; 2]| {
            let set: NetworkSet = networks.iter().map(|text| text.parse::<Network>().unwrap()).collect();
            assert_eq!([set.has_all_of_ipv4(), set.has_all_of_ipv6()], expected, "{networks:?}");
        };
        check(&[], [false, false]);
        check(&["0.0.0.0/0"], [true, false]);
        check(&["::/0"], [false, true]);
        check(&["0.0.0.0-255.255.255.255", "::/1", "8000::/1"], [true, true]);
        check(&["0.0.0.0/1", "128.0.0.0/1"], [true, false]);
        check(&["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0-255.255.255.254"], [false, false]);
        check(
            &["::ffff:0:0/96", "::-::fffe:ffff:ffff", "::1:0:0:0-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
            [true, true],
        );
        check(&["::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], [false, false]);
    }

    /// `performance.md` 11: at most 16 bytes a prefix.
    #[test]
    fn a_range_of_ipv4_takes_sixteen_bytes_at_most() {
        for count in [1, 1_000, WORTH_A_DIRECTORY - 1, WORTH_A_DIRECTORY, 100_000] {
            let addresses = (0..u32::try_from(count).unwrap()).map(|n| network((n * 2, n * 2)));
            let set: NetworkSet = addresses.collect();
            assert_eq!(set.v4.len(), count);
            let bytes = size_of_val(&*set.v4) + size_of_val(&*set.directory);
            assert!(bytes <= 16 * count, "{bytes} bytes for {count} ranges");
        }
    }

    proptest! {
        #[test]
        fn a_set_holds_what_its_networks_hold(
            networks in prop::collection::vec(any_network(), 0..12), addresses in prop::collection::vec(any::<IpAddr>(), 8)
        ) {
            let set: NetworkSet = networks.iter().copied().collect();
            let step = |address: IpAddr, by: i8| match address {
                IpAddr::V4(a) => IpAddr::V4(u32::from(a).wrapping_add_signed(by.into()).into()),
                IpAddr::V6(a) => IpAddr::V6(u128::from(a).wrapping_add_signed(by.into()).into()),
            };
            let ends = networks.iter().flat_map(|n| [step(n.first, -1), n.first, n.last, step(n.last, 1)]);
            for address in ends.chain(addresses) {
                let scan = networks.iter().any(|network| network.contains(address));
                prop_assert_eq!(set.contains(address), scan, "{}", address);
            }
        }

        #[test]
        fn a_set_of_a_sets_networks_is_the_set(networks in prop::collection::vec(any_network(), 0..12)) {
            let set: NetworkSet = networks.into_iter().collect();
            let printed: Vec<String> = set.iter().map(|network| network.to_string()).collect();
            prop_assert_eq!(&printed.iter().map(|text| text.parse::<Network>().unwrap()).collect::<NetworkSet>(), &set);
            let apart = set.iter().zip(set.iter().skip(1)).all(|(before, after)| before.last < after.first);
            prop_assert!(apart);
        }

        #[test]
        fn a_large_set_agrees_with_a_scan(address in prop_oneof![any::<u32>(), 0..90_000_u32]) {
            let ranges = large();
            let set: NetworkSet = ranges.iter().copied().map(network).collect();
            let scan = ranges.iter().any(|&(first, last)| (first..=last).contains(&address));
            prop_assert_eq!(set.contains(Ipv4Addr::from(address).into()), scan);
        }
    }
}
