//! The kinds of proxies, and from where each may ask.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::domain::network::NetworkSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Nginx,
    Caddy,
    Traefik,
    Envoy,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Nginx, Self::Caddy, Self::Traefik, Self::Envoy];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::Envoy => "envoy",
        }
    }

    /// Where it asks.
    pub(super) fn route(self) -> &'static str {
        match self {
            Self::Nginx => "/check/nginx",
            Self::Caddy => "/check/caddy",
            Self::Traefik => "/check/traefik",
            Self::Envoy => "/check/envoy",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// From where each kind may ask; a kind that is not here may not.
#[derive(Debug, Default)]
pub struct Askers {
    peers: Vec<(Kind, NetworkSet)>,
    /// Who asked and may not, and was told of.
    strangers: Mutex<HashSet<(Kind, IpAddr)>>,
}

/// Whoever reaches the port asks as often as he likes, and from as many addresses as he has: the log is for
/// whoever set up a proxy with an address that is not listed.
const MOST_STRANGERS: usize = 64;

impl Askers {
    /// By the kinds' names; none but known ones.
    pub fn new(peers: Vec<(&'static str, NetworkSet)>) -> Self {
        let known = peers.into_iter().filter_map(|(name, peers)| Some((Kind::parse(name)?, peers)));
        Self { peers: known.collect(), strangers: Mutex::default() }
    }

    pub(super) fn of(&self, kind: Kind) -> Option<&NetworkSet> {
        self.peers.iter().find(|(known, _)| *known == kind).map(|(_, peers)| peers)
    }

    /// Whether the log is to tell of somebody who may not ask: of each once, until there were too many.
    pub(super) fn is_news(&self, kind: Kind, stranger: IpAddr) -> bool {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.len() < MOST_STRANGERS && strangers.insert((kind, stranger))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_stranger_is_told_of_once_and_a_crowd_fills_no_log() {
        let askers = Askers::default();
        let told = |number: u32| askers.is_news(Kind::Nginx, Ipv4Addr::from_bits(number).into());
        assert!(told(1) && !told(1));
        assert_eq!((0..1000).filter(|number| told(*number)).count(), MOST_STRANGERS - 1);
    }
}
