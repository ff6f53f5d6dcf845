//! Whose word about a client's address is taken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::networks::{everybody, network};
use super::place::At;
use crate::domain::client::{TrustedProxies, UNIX};

/// Whose word about a client's address is taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientAddress {
    /// The networks of the operator's own proxies: what they say in `x-forwarded-for` is believed.
    /// The word `unix` stands for whoever connects over a Unix socket. Default: none, so that the
    /// client is whoever connects to Envoy.
    pub trusted_proxies: At<Vec<At<String>>>,
}

impl ClientAddress {
    pub(super) fn resolve(&self, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) -> TrustedProxies {
        let (unix, networks): (Vec<_>, Vec<_>) =
            self.trusted_proxies.iter().partition(|entry| entry.value == UNIX);
        for (place, found) in everybody(&self.trusted_proxies) {
            let message =
                format!("`trusted_proxies` has {found}: every client may claim to have another one");
            warnings.push(Fault::new(place, message));
        }
        let networks = networks.into_iter().filter_map(|entry| network(entry, faults)).collect();
        TrustedProxies::new(networks, !unix.is_empty())
    }
}
