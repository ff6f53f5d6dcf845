//! On what services are deployed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fault::Fault;
use super::grants::{Grants, OnInfrastructure};
use super::id::{Id, given_or_derived};
use super::names::{Names, check_word};
use super::place::At;

/// Something on which services are deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Infrastructure {
    /// Letters, digits, `_`, `.`, `~` and `-`.
    pub name: At<String>,
    /// Absent: derived from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<At<Id>>,
    /// What groups may do with it in the admin API.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub grants: Grants<OnInfrastructure>,
}

impl Infrastructure {
    pub fn id(&self) -> Uuid {
        given_or_derived(self.id.as_ref(), "infrastructure", &self.name)
    }

    pub(super) fn declare(&self, names: &mut Names, faults: &mut Vec<Fault>) {
        let place = self.id.as_ref().map_or(self.name.place, |id| id.place);
        names.infrastructures.declare(Some(&self.name), At { value: self.id(), place }, faults);
        check_word("infrastructure", &self.name, faults);
    }
}
