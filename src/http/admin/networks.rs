//! From where a credential may be used, as the API reads and shows it.

use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::domain::network::{NetworkSet, Networks};
use crate::http::problem::Problem;
use crate::issue::Refusal;

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworksBody {
    /// Absent: from anywhere.
    allow: Option<Vec<String>>,
    #[serde(default)]
    deny: Vec<String>,
}

pub(super) fn networks(body: NetworksBody) -> Result<Networks, Problem> {
    Networks::parse(body.allow.as_deref(), &body.deny)
        .map_err(|error| Refusal::Invalid { field: "networks", why: error.to_string() }.into())
}

/// Null where no list is in force.
pub(super) fn networks_row(networks: &Networks) -> Value {
    let entries = |set: &NetworkSet| set.iter().map(|network| network.to_string()).collect::<Vec<_>>();
    let allow = networks.allow.as_ref().map(entries);
    networks.in_force().then(|| json!({ "allow": allow, "deny": entries(&networks.deny) })).into()
}
