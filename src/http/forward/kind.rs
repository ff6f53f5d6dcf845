//! The kinds of proxies, and from where each may ask.

use crate::domain::network::NetworkSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub struct Askers(Vec<(Kind, NetworkSet)>);

impl Askers {
    /// By the kinds' names; none but known ones.
    pub fn new(peers: Vec<(&'static str, NetworkSet)>) -> Self {
        Self(peers.into_iter().filter_map(|(name, peers)| Some((Kind::parse(name)?, peers))).collect())
    }

    pub(super) fn of(&self, kind: Kind) -> Option<&NetworkSet> {
        self.0.iter().find(|(known, _)| *known == kind).map(|(_, peers)| peers)
    }
}
