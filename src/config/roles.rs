//! What somebody may be in a project, and which roles include which.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fault::{Fault, quoted};
use super::id::{Id, given_or_derived};
use super::names::Names;
use super::place::At;
use crate::domain::role;

/// What somebody may be in a project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Without `,` and `/`.
    pub name: At<String>,
    /// Absent: derived from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<At<Id>>,
    /// The roles that whoever has this one has too, by name or id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub implies: Vec<At<String>>,
}

/// Names or ids of roles by project (name or id).
pub type RolesByProject = BTreeMap<At<String>, Vec<At<String>>>;

impl Role {
    pub fn id(&self) -> Uuid {
        given_or_derived(self.id.as_ref(), "role", &self.name)
    }

    pub(super) fn declare(&self, names: &mut Names, faults: &mut Vec<Fault>) {
        let place = self.id.as_ref().map_or(self.name.place, |id| id.place);
        names.roles.declare(Some(&self.name), At { value: self.id(), place }, faults);
        // Roles are sent as a list with commas between them, and asked for as `project/role`.
        if self.name.contains([',', '/']) {
            let message = format!("the role name {} has a `,` or a `/`", quoted(&self.name));
            faults.push(Fault::new(self.name.place, message));
        }
    }
}

pub(super) fn resolve(roles: &[Role], names: &Names, faults: &mut Vec<Fault>) -> role::Roles {
    let direct: HashMap<String, Vec<String>> = roles
        .iter()
        .map(|role| {
            let implied = role.implies.iter().filter_map(|name| names.role(name, faults));
            (role.name.value.clone(), implied.collect())
        })
        .collect();
    role::Roles::new(&direct)
}

pub(super) fn grants(roles: &RolesByProject, names: &Names, faults: &mut Vec<Fault>) -> Vec<role::RoleGrant> {
    let mut grants = Vec::new();
    for (project, roles) in roles {
        let project = names.projects.find(project, faults);
        for role in roles {
            if let (Some(role), Some(project)) = (names.role(role, faults), project) {
                grants.push(role::RoleGrant { project, role });
            }
        }
    }
    grants
}
