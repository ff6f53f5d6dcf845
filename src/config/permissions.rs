//! What consumers and keys may be allowed to do, by name and id.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fault::Fault;
use super::id::{Id, given_or_derived};
use super::names::Names;
use super::place::At;
use crate::domain;

/// A right that a consumer or a key may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// Absent: derived from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<At<Id>>,
    pub name: At<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Permission {
    pub fn id(&self) -> Uuid {
        given_or_derived(self.id.as_ref(), "permission", &self.name)
    }

    /// What becomes of it in the catalog; declared in `names` on the way.
    pub(super) fn resolve(
        &self,
        names: &mut Names,
        faults: &mut Vec<Fault>,
    ) -> domain::permission::Permission {
        let id = self.id();
        let place = self.id.as_ref().map_or(self.name.place, |id| id.place);
        names.permissions.declare(Some(&self.name), At { value: id, place }, faults);
        domain::permission::Permission {
            id,
            name: self.name.value.clone(),
            description: self.description.clone(),
        }
    }
}
