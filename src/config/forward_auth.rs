//! Which proxies may ask at `/check`, each kind under its name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::networks::{everybody, network};
use super::place::At;
use crate::domain::network::NetworkSet;

/// Proxies that ask over HTTP, at `/check` on `listen.auth`, whether a request may pass. What is not
/// named here may not ask. Default: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardAuth {
    /// nginx with `auth_request`, at `/check/nginx`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nginx: Option<At<Asker>>,
    /// Caddy with `forward_auth`, at `/check/caddy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caddy: Option<At<Asker>>,
    /// Traefik with `forwardAuth`, at `/check/traefik`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traefik: Option<At<Asker>>,
    /// Envoy with `http_service`, at `/check/envoy`; over gRPC it tells more, and needs none of this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envoy: Option<At<Asker>>,
}

/// A kind of proxy that may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asker {
    /// The proxies' own addresses. Whoever else asks is refused; what these say about a request, its
    /// client's address above all, is believed.
    pub peers: At<Vec<At<String>>>,
}

impl ForwardAuth {
    pub(super) fn is_absent(&self) -> bool {
        self.each().next().is_none()
    }

    /// Every kind that may ask, by its name.
    fn each(&self) -> impl Iterator<Item = (&'static str, &At<Asker>)> {
        let kinds = [
            ("nginx", &self.nginx),
            ("caddy", &self.caddy),
            ("traefik", &self.traefik),
            ("envoy", &self.envoy),
        ];
        kinds.into_iter().filter_map(|(name, asker)| Some((name, asker.as_ref()?)))
    }

    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        for (name, asker) in self.each() {
            if asker.peers.is_empty() {
                let message =
                    format!("`forward_auth.{name}.peers` is empty, so nobody may ask; leave `{name}` out");
                faults.push(Fault::new(asker.peers.place.or(asker.place), message));
            }
            for (place, found) in everybody(&asker.peers) {
                let message = format!(
                    "`forward_auth.{name}.peers` has {found}: whoever asks says who the client is; name your proxies'"
                );
                faults.push(Fault::new(place.or(asker.place), message));
            }
            for peer in asker.peers.iter() {
                network(peer, faults);
            }
        }
    }

    /// From where each kind may ask.
    pub fn peers(&self) -> Vec<(&'static str, NetworkSet)> {
        let of = |asker: &Asker| asker.peers.iter().filter_map(|peer| peer.parse().ok()).collect();
        self.each().map(|(name, asker)| (name, of(asker))).collect()
    }
}
