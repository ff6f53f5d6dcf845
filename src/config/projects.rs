//! In what consumers have roles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fault::Fault;
use super::id::{Id, given_or_derived};
use super::names::Names;
use super::place::At;
use crate::domain::role;

/// Something in which consumers have roles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Absent: derived from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<At<Id>>,
    pub name: At<String>,
    /// The domain that the project belongs to, for those who ask about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_id: Option<At<Id>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Project {
    pub fn id(&self) -> Uuid {
        given_or_derived(self.id.as_ref(), "project", &self.name)
    }

    /// What becomes of it in the catalog; declared in `names` on the way.
    pub(super) fn resolve(&self, names: &mut Names, faults: &mut Vec<Fault>) -> role::Project {
        let id = self.id();
        let place = self.id.as_ref().map_or(self.name.place, |id| id.place);
        names.projects.declare(Some(&self.name), At { value: id, place }, faults);
        role::Project {
            id,
            name: self.name.value.clone(),
            domain_id: self.domain_id.as_ref().map(|id| id.value.0),
            description: self.description.clone(),
        }
    }
}
