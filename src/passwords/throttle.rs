//! How often a check may show a wrong password: by the name and by the address that it comes from, on this
//! instance. Checks ask no store; logins, which do, are counted there for all instances together.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;

/// Wrong passwords within [`WINDOW`] after which no more are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub of_account: u32,
    pub of_address: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { of_account: 10, of_address: 100 }
    }
}

pub(super) struct Throttle {
    limits: Limits,
    /// How many, and until when they count.
    seen: Cache<Who, (u32, Duration)>,
    /// Held by whoever counts: two guesses at once are two.
    counting: Mutex<()>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Who {
    Account(Box<str>),
    Address(Network),
}

/// Where somebody is who may choose from many addresses: all of an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    V4([u8; 4]),
    V6([u8; 8]),
}

/// For so long a wrong password counts.
pub const WINDOW: Duration = Duration::from_secs(900);

/// Names and networks that are remembered; a flood displaces the oldest.
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
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, seen: Cache::new(MOST), counting: Mutex::default() }
    }

    /// How long none more is looked at; `None`: this one is.
    pub(super) fn shut_for(&self, username: &str, from: Option<IpAddr>, now: Duration) -> Option<Duration> {
        let shut = |(who, most)| {
            let (count, until) = self.seen.get(&who)?;
            (count >= most).then(|| until.checked_sub(now)).flatten().filter(|left| !left.is_zero())
        };
        self.each(username, from).filter_map(shut).max()
    }

    pub(super) fn count(&self, username: &str, from: Option<IpAddr>, now: Duration) {
        self.each(username, from).for_each(|(who, _)| self.add(who, now, |count| count + 1));
    }

    /// Nobody has looked at it.
    pub(super) fn take_back(&self, username: &str, from: Option<IpAddr>, now: Duration) {
        self.each(username, from).for_each(|(who, _)| self.add(who, now, |count| count.saturating_sub(1)));
    }

    /// It was the right one. What was wrong before under this name is forgotten; of the address it is one
    /// less, or whoever has one account would have as many guesses at others as he likes.
    pub(super) fn forgive(&self, username: &str, from: Option<IpAddr>, now: Duration) {
        for (who, _) in self.each(username, from) {
            match who {
                Who::Account(_) => drop(self.seen.remove(&who)),
                Who::Address(_) => self.add(who, now, |count| count.saturating_sub(1)),
            }
        }
    }

    fn add(&self, who: Who, now: Duration, change: impl Fn(u32) -> u32) {
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, until) =
            self.seen.get(&who).filter(|(_, until)| now < *until).unwrap_or((0, now + WINDOW));
        self.seen.insert(who, (change(count), until));
    }

    fn each(&self, username: &str, from: Option<IpAddr>) -> impl Iterator<Item = (Who, u32)> {
        let account = (Who::Account(username.into()), self.limits.of_account);
        let address = from.map(|from| (Who::Address(Network::of(from)), self.limits.of_address));
        std::iter::once(account).chain(address)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    impl Throttle {
        fn admits(&self, username: &str, from: Option<IpAddr>, now: Duration) -> bool {
            self.shut_for(username, from, now).is_none()
        }
    }

    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_name_is_guessed_at_so_often_and_then_not_until_the_window_is_over() {
        let throttle = Throttle::new(Limits { of_account: 3, of_address: 100 });
        for guess in 0..3_u8 {
            let address = Some(IpAddr::from([192, 0, 2, guess]));
            assert!(throttle.admits("alice", address, NOW), "{guess}");
            throttle.count("alice", address, NOW);
        }
        assert!(!throttle.admits("alice", from("192.0.2.9"), NOW), "from anywhere");
        assert!(throttle.admits("bob", from("192.0.2.9"), NOW), "and nobody else");
        assert!(throttle.admits("alice", from("192.0.2.9"), NOW + WINDOW));
        throttle.forgive("alice", from("192.0.2.9"), NOW);
        assert!(throttle.admits("alice", from("192.0.2.9"), NOW));
    }

    #[test]
    fn an_address_is_one_network_of_64_bits_and_one_account_of_its_own_does_not_help_it() {
        let throttle = Throttle::new(Limits { of_account: 100, of_address: 3 });
        for guess in 0..3 {
            throttle.count(&format!("a{guess}"), from(&format!("2001:db8::{guess}")), NOW);
        }
        assert!(!throttle.admits("b", from("2001:db8::ffff:1"), NOW));
        assert!(throttle.admits("b", from("2001:db8:0:1::1"), NOW));
        throttle.count("mallory", from("2001:db8::1"), NOW);
        throttle.forgive("mallory", from("2001:db8::1"), NOW);
        assert!(!throttle.admits("b", from("2001:db8::ffff:1"), NOW));
    }
}
