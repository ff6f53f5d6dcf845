//! Groups as objects of their own: what their members may do in the admin API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::fault::Fault;
use super::grants::Anywhere;
use super::groups::check_group;
use super::id::{Id, given_or_derived};
use super::names::Names;
use super::place::At;

/// A group that privileges can be granted to. Consumers may be in groups that are not declared, and
/// policies may name those: they grant nothing in the admin API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Without commas.
    pub name: At<String>,
    /// Absent: derived from the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<At<Id>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What its members may do anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub privileges: Vec<Anywhere>,
}

impl Group {
    pub fn id(&self) -> Uuid {
        given_or_derived(self.id.as_ref(), "group", &self.name)
    }

    pub(super) fn declare(&self, names: &mut Names, faults: &mut Vec<Fault>) {
        let place = self.id.as_ref().map_or(self.name.place, |id| id.place);
        names.groups.declare(Some(&self.name), At { value: self.id(), place }, faults);
        if self.name.contains(',') {
            check_group(&self.name, faults);
        }
    }
}
