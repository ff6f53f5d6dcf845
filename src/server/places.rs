//! How many connections a listener has, all together and of one peer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections there are, and of one peer at most, so that nobody keeps everybody out.
pub(super) struct Places {
    all: usize,
    of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by: HashMap<IpAddr, Of>,
}

/// What one peer has.
#[derive(Default)]
struct Of {
    taken: usize,
    /// Whether it was told that it may have no more.
    told: bool,
}

impl Places {
    pub(super) fn new(all: usize, of_one: usize) -> Self {
        Self { all, of_one, taken: Mutex::default() }
    }

    /// For a peer with this address, or for one that may have all of them.
    ///
    /// # Errors
    ///
    /// Which of both is reached.
    pub(super) fn take(places: &Arc<Self>, peer: Option<IpAddr>) -> Result<Place, Full> {
        let peer = peer.map(|address| network(address.to_canonical()));
        let mut taken = places.taken();
        if taken.all >= places.all {
            return Err(Full::All);
        }
        if let Some(network) = peer {
            let by = taken.by.entry(network).or_default();
            if by.taken >= places.of_one {
                return Err(Full::OfOne { news: !std::mem::replace(&mut by.told, true) });
            }
            by.taken += 1;
        }
        taken.all += 1;
        Ok(Place { places: Arc::clone(places), peer })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No place is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    All,
    /// Of this peer; news, where it is the first time since it had none.
    OfOne {
        news: bool,
    },
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
    peer: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(Entry::Occupied(mut by)) = self.peer.map(|network| taken.by.entry(network)) {
            by.get_mut().taken -= 1;
            if by.get().taken == 0 {
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
    fn no_peer_has_more_than_its_share_of_the_places() {
        let places = Arc::new(Places::new(8, 2));
        let take = |peer| Places::take(&places, peer);
        let first: Vec<_> = (0..2).map(|_| take(address("192.0.2.1")).unwrap()).collect();
        for news in [true, false] {
            assert_eq!(take(address("::ffff:192.0.2.1")).err(), Some(Full::OfOne { news }));
        }
        let second = [take(address("2001:db8::1")).unwrap(), take(address("2001:db8::2:1")).unwrap()];
        assert!(take(address("2001:db8::3")).is_err(), "a network of 64 bits is one stranger");
        let third = take(address("2001:db8:0:1::1")).unwrap();
        drop(first);
        assert!(take(address("192.0.2.1")).is_ok(), "free again");
        drop((second, third));
        let taken = places.taken();
        assert_eq!((taken.all, taken.by.len()), (0, 0), "nothing is left of who is gone");
    }

    #[test]
    fn a_trusted_proxy_may_have_all_places_and_nobody_more() {
        let places = Arc::new(Places::new(8, 2));
        let mut proxy: Vec<_> = (0..8).map(|_| Places::take(&places, None).unwrap()).collect();
        assert!(Places::take(&places, None).is_err());
        assert!(Places::take(&places, address("192.0.2.1")).is_err());
        assert!(places.taken().by.is_empty(), "who is turned away leaves nothing behind");
        proxy.pop();
        assert!(Places::take(&places, address("192.0.2.1")).is_ok());
    }

    #[test]
    fn where_there_is_one_place_it_is_anybodys() {
        let places = Arc::new(Places::new(1, 1));
        let stranger = Places::take(&places, address("192.0.2.1")).unwrap();
        assert!(Places::take(&places, None).is_err());
        drop(stranger);
        assert!(Places::take(&places, None).is_ok());
    }
}
