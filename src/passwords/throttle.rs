//! How often a check may show a wrong password: by the name and by the address that it comes from, on this
//! instance. Checks ask no store; logins, which do, are counted there for all instances together.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;

use super::remembered::Name;

/// Wrong passwords after which no more are looked at, of checks by an instance and of logins by all of them.
#[derive(Clone, Copy, Debug)]
pub struct Tries {
    /// Within [`WINDOW`].
    pub of_account: u32,
    /// The same within a day: NIST SP 800-63B allows 100.
    pub of_account_a_day: u32,
    /// From an address (of an IPv6 network of 64 bits), within [`WINDOW`].
    pub of_address: u32,
}

impl Default for Tries {
    fn default() -> Self {
        Self { of_account: 10, of_account_a_day: 100, of_address: 100 }
    }
}

/// Names and networks are counted apart: a flood of the one displaces nothing of the other.
pub(super) struct Throttle {
    names: Counts<Name>,
    names_a_day: Counts<Name>,
    networks: Counts<Network>,
}

/// Of one kind.
struct Counts<K> {
    most: u32,
    window: Duration,
    /// How many, and until when they count.
    seen: Cache<K, (u32, Duration)>,
    /// Held by whoever counts: two guesses at once are two.
    counting: Mutex<()>,
}

/// Where somebody is who may choose from many addresses: all of an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    V4([u8; 4]),
    V6([u8; 8]),
}

/// For so long a wrong password counts.
pub const WINDOW: Duration = Duration::from_secs(900);

pub const DAY: Duration = Duration::from_secs(86_400);

/// Names that are remembered, and networks; a flood displaces the oldest.
const MOST: usize = 50_000;

impl Network {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }
}

impl Throttle {
    pub(super) fn new(tries: Tries) -> Self {
        Self {
            names: Counts::new(tries.of_account, WINDOW),
            names_a_day: Counts::new(tries.of_account_a_day, DAY),
            networks: Counts::new(tries.of_address, WINDOW),
        }
    }

    /// How long none more is looked at; `None`: this one is.
    pub(super) fn shut_for(&self, name: &Name, from: Option<IpAddr>, now: Duration) -> Option<Duration> {
        let network = from.map(Network::of);
        let shut = [
            self.names.shut_for(name, now),
            self.names_a_day.shut_for(name, now),
            network.and_then(|network| self.networks.shut_for(&network, now)),
        ];
        shut.into_iter().flatten().max()
    }

    pub(super) fn count(&self, name: &Name, from: Option<IpAddr>, now: Duration) {
        self.names.count(*name, now);
        self.names_a_day.count(*name, now);
        from.into_iter().for_each(|from| self.networks.count(Network::of(from), now));
    }

    /// Nobody has looked at it.
    pub(super) fn take_back(&self, name: &Name, from: Option<IpAddr>, now: Duration) {
        self.names.take_back(*name, now);
        self.names_a_day.take_back(*name, now);
        from.into_iter().for_each(|from| self.networks.take_back(Network::of(from), now));
    }

    /// It was the right one. What was wrong before under this name is forgotten; of the address it is one
    /// less, or whoever has one account would have as many guesses at others as he likes.
    pub(super) fn forgive(&self, name: &Name, from: Option<IpAddr>, now: Duration) {
        self.names.seen.remove(name);
        self.names_a_day.seen.remove(name);
        from.into_iter().for_each(|from| self.networks.take_back(Network::of(from), now));
    }
}

impl<K: Copy + Eq + Hash> Counts<K> {
    fn new(most: u32, window: Duration) -> Self {
        Self { most, window, seen: Cache::new(MOST), counting: Mutex::default() }
    }

    fn shut_for(&self, who: &K, now: Duration) -> Option<Duration> {
        let (count, until) = self.seen.get(who)?;
        (count >= self.most).then(|| until.checked_sub(now)).flatten().filter(|left| !left.is_zero())
    }

    fn count(&self, who: K, now: Duration) {
        self.change(who, now, |count| count.saturating_add(1));
    }

    fn take_back(&self, who: K, now: Duration) {
        self.change(who, now, |count| count.saturating_sub(1));
    }

    fn change(&self, who: K, now: Duration, change: impl Fn(u32) -> u32) {
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.seen.get(&who).filter(|(_, until)| now < *until);
        let (count, until) = known.unwrap_or((0, now + self.window));
        match change(count) {
            0 => drop(self.seen.remove(&who)),
            count => self.seen.insert(who, (count, until)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    /// Names of people, as many as there are bytes.
    const ALICE: Name = [0; 16];
    const BOB: Name = [1; 16];

    impl Throttle {
        fn admits(&self, name: &Name, from: Option<IpAddr>, now: Duration) -> bool {
            self.shut_for(name, from, now).is_none()
        }
    }

    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn throttle(of_account: u32, of_account_a_day: u32, of_address: u32) -> Throttle {
        Throttle::new(Tries { of_account, of_account_a_day, of_address })
    }

    #[test]
    fn a_name_is_guessed_at_so_often_and_then_not_until_the_window_is_over() {
        let throttle = throttle(3, 100, 100);
        for guess in 0..3_u8 {
            let address = Some(IpAddr::from([192, 0, 2, guess]));
            assert!(throttle.admits(&ALICE, address, NOW), "{guess}");
            throttle.count(&ALICE, address, NOW);
        }
        assert!(!throttle.admits(&ALICE, from("192.0.2.9"), NOW), "from anywhere");
        assert!(throttle.admits(&BOB, from("192.0.2.9"), NOW), "and nobody else");
        assert!(throttle.admits(&ALICE, from("192.0.2.9"), NOW + WINDOW));
        throttle.forgive(&ALICE, from("192.0.2.9"), NOW);
        assert!(throttle.admits(&ALICE, from("192.0.2.9"), NOW));
    }

    #[test]
    fn a_name_is_guessed_at_no_more_than_so_often_a_day() {
        let throttle = throttle(2, 3, 100);
        let later = NOW + WINDOW;
        for now in [NOW, NOW, later] {
            assert!(throttle.admits(&ALICE, None, now));
            throttle.count(&ALICE, None, now);
        }
        assert_eq!(throttle.shut_for(&ALICE, None, later), Some(DAY - WINDOW));
        assert!(throttle.admits(&ALICE, None, NOW + DAY));
        throttle.forgive(&ALICE, None, later);
        assert!(throttle.admits(&ALICE, None, later));
    }

    #[test]
    fn an_address_is_one_network_of_64_bits_and_one_account_of_its_own_does_not_help_it() {
        let throttle = throttle(100, 100, 3);
        for guess in 0..3 {
            throttle.count(&[guess; 16], from(&format!("2001:db8::{guess}")), NOW);
        }
        assert!(!throttle.admits(&BOB, from("2001:db8::ffff:1"), NOW));
        assert!(throttle.admits(&BOB, from("2001:db8:0:1::1"), NOW));
        throttle.count(&[9; 16], from("2001:db8::1"), NOW);
        throttle.forgive(&[9; 16], from("2001:db8::1"), NOW);
        assert!(!throttle.admits(&BOB, from("2001:db8::ffff:1"), NOW));
    }

    #[test]
    fn what_was_taken_back_leaves_nothing_and_names_displace_no_networks() {
        let throttle = throttle(1, 1, 1);
        let here = from("192.0.2.1");
        throttle.count(&ALICE, here, NOW);
        throttle.take_back(&ALICE, here, NOW);
        assert_eq!((throttle.names.seen.len(), throttle.networks.seen.len()), (0, 0));
        throttle.count(&ALICE, here, NOW);
        for number in 0..2 * MOST {
            throttle.count(&(number as u128 + 1).to_be_bytes(), None, NOW);
        }
        assert!(!throttle.admits(&BOB, here, NOW));
    }
}
