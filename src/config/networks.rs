//! From where requests may come.

use std::slice;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::place::{At, Place};
use crate::domain::network::{self, Network, NetworkSet};

/// From where requests may come: at least one of `allow` and `deny`, which wins. Entries are
/// networks (`203.0.113.0/24`), ranges (`192.0.2.1-192.0.2.9`) and single addresses, of IPv4 and
/// IPv6. Where a list is in force, a client whose address is not known is denied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Networks {
    /// All who may pass; nobody, where it is empty. Absent: everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<At<Vec<At<String>>>>,
    /// Who may not pass, even where `allow` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<At<Vec<At<String>>>>,
}

impl Networks {
    pub(super) fn resolve(
        &self,
        place: Place,
        faults: &mut Vec<Fault>,
        warnings: &mut Vec<Fault>,
    ) -> network::Networks {
        if self.allow.is_none() && self.deny.is_none() {
            let message = "`networks` has neither of `allow` and `deny`, expected at least one; for no \
                           restriction leave `networks` out";
            faults.push(Fault::new(place, message));
        }
        if let Some(allow) = &self.allow
            && allow.is_empty()
        {
            warnings.push(Fault::new(allow.place, "`allow` is empty: no address may pass"));
        }
        network::Networks {
            allow: self.allow.as_ref().map(|entries| set(entries, faults)),
            deny: self.deny.as_ref().map(|entries| set(entries, faults)).unwrap_or_default(),
        }
    }
}

/// One bad entry refuses the configuration: half a list of addresses would open a door.
fn set(entries: &[At<String>], faults: &mut Vec<Fault>) -> NetworkSet {
    entries.iter().filter_map(|entry| network(entry, faults)).collect()
}

pub(super) fn network(entry: &At<String>, faults: &mut Vec<Fault>) -> Option<Network> {
    entry
        .parse()
        .map_err(|why: network::MalformedNetwork| faults.push(Fault::new(entry.place, why.to_string())))
        .ok()
}

/// Where a list has all addresses of a family, however they are written: at the entry that has them, else
/// at the list; and what was found there, for the middle of a message.
pub(super) fn everybody(list: &At<Vec<At<String>>>) -> Vec<(Place, String)> {
    let found = |family: &str, has_all: fn(&NetworkSet) -> bool| {
        let has_all = |entries: &[At<String>]| {
            has_all(&entries.iter().filter_map(|entry| entry.parse::<Network>().ok()).collect())
        };
        has_all(list).then(|| match list.iter().find(|entry| has_all(slice::from_ref(entry))) {
            Some(entry) => (entry.place, format!("`{}`, all addresses of {family}", entry.value)),
            None => (list.place, format!("all addresses of {family}")),
        })
    };
    let families = [found("IPv4", NetworkSet::has_all_of_ipv4), found("IPv6", NetworkSet::has_all_of_ipv6)];
    families.into_iter().flatten().collect()
}
