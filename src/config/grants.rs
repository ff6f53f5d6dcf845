//! What groups may do in the admin API: by object, and anywhere.

use std::collections::{BTreeMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::names::Names;
use super::place::At;

/// Privileges by group (name or id).
pub type Grants<P> = BTreeMap<At<String>, Vec<P>>;

/// What a group may do with a service; `admin` includes all, `write` and `deploy` include `read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnService {
    /// See it, its keys, and those of its deployments whose infrastructure may be viewed.
    Read,
    /// Upload and remove its versions.
    Write,
    /// Make, change and switch deployments, where the infrastructure may be deployed on.
    Deploy,
    /// Change and delete it, and grant.
    Admin,
}

/// What a group may do with an infrastructure; `admin` includes all, `deploy` includes `view`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnInfrastructure {
    /// See it, and those deployments on it whose service may be read.
    View,
    /// Make, change and switch deployments, where the service may be deployed.
    Deploy,
    /// Change it, and grant.
    Admin,
}

/// What a group may do anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anywhere {
    /// Make services, which their maker then owns.
    CreateService,
}

/// Faults where a group is unknown, named twice, or given nothing.
pub(super) fn check<P>(grants: &Grants<P>, names: &Names, faults: &mut Vec<Fault>) {
    let mut seen = HashSet::new();
    for (group, privileges) in grants {
        let Some(id) = names.groups.find(group, faults) else { continue };
        if !seen.insert(id) {
            let message = format!("the group `{}` stands in `grants` twice", group.value);
            faults.push(Fault::new(group.place, message));
        }
        if privileges.is_empty() {
            let message = format!("the group `{}` is granted nothing; leave it out", group.value);
            faults.push(Fault::new(group.place, message));
        }
    }
}
