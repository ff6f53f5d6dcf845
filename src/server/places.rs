//! How many connections a listener has, all together and of one peer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections there are. One peer has a quarter of them at most, so that no stranger keeps
/// everybody out; behind a trusted proxy there are many.
pub(super) struct Places {
    all: usize,
    of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, usize>,
}

impl Places {
    pub(super) fn new(all: usize) -> Self {
        Self { all, of_one: all.div_ceil(4), taken: Mutex::default() }
    }

    /// For a stranger with this address, or for a proxy that is trusted.
    pub(super) fn take(places: &Arc<Self>, stranger: Option<IpAddr>) -> Option<Place> {
        let stranger = stranger.map(network);
        let mut taken = places.taken();
        if taken.all == places.all {
            return None;
        }
        if let Some(network) = stranger {
            let by = taken.by.entry(network).or_default();
            if *by == places.of_one {
                return None;
            }
            *by += 1;
        }
        taken.all += 1;
        Some(Place { places: Arc::clone(places), stranger })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has an IPv6 address has a network of 64 bits to choose from.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Free again when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    stranger: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(Entry::Occupied(mut by)) = self.stranger.map(|network| taken.by.entry(network)) {
            *by.get_mut() -= 1;
            if *by.get() == 0 {
                by.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn no_stranger_has_more_than_a_quarter_of_the_places() {
        let places = Arc::new(Places::new(8));
        let take = |stranger| Places::take(&places, stranger);
        let first: Vec<_> = (0..2).map(|_| take(address("192.0.2.1")).unwrap()).collect();
        assert!(take(address("192.0.2.1")).is_none());
        let second = [take(address("2001:db8::1")).unwrap(), take(address("2001:db8::2:1")).unwrap()];
        assert!(take(address("2001:db8::3")).is_none(), "a network of 64 bits is one stranger");
        let third = take(address("2001:db8:0:1::1")).unwrap();
        drop(first);
        assert!(take(address("192.0.2.1")).is_some(), "free again");
        drop((second, third));
        let taken = places.taken();
        assert_eq!((taken.all, taken.by.len()), (0, 0), "nothing is left of who is gone");
    }

    #[test]
    fn a_trusted_proxy_may_have_all_places_and_nobody_more() {
        let places = Arc::new(Places::new(8));
        let mut proxy: Vec<_> = (0..8).map(|_| Places::take(&places, None).unwrap()).collect();
        assert!(Places::take(&places, None).is_none());
        assert!(Places::take(&places, address("192.0.2.1")).is_none());
        assert!(places.taken().by.is_empty(), "who is turned away leaves nothing behind");
        proxy.pop();
        assert!(Places::take(&places, address("192.0.2.1")).is_some());
    }

    #[test]
    fn where_there_is_one_place_it_is_anybodys() {
        let places = Arc::new(Places::new(1));
        let stranger = Places::take(&places, address("192.0.2.1")).unwrap();
        assert!(Places::take(&places, None).is_none());
        drop(stranger);
        assert!(Places::take(&places, None).is_some());
    }
}
