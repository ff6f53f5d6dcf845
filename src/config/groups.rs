//! Who may pass by their groups: Kong's `acl`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::directory::check_name;
use super::fault::{Fault, quoted};
use super::names::Names;
use super::place::{At, Place};
use crate::domain::deployment;

/// Who may pass by their groups: exactly one of `allow` and `deny`. Names compare by case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Groups {
    /// Whoever is in one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<At<Vec<At<String>>>>,
    /// Whoever is in none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<At<Vec<At<String>>>>,
}

impl Groups {
    pub(super) fn resolve(&self, place: Place, names: &Names, faults: &mut Vec<Fault>) -> deployment::Groups {
        let (word, list): (_, fn(Vec<String>) -> deployment::Groups) = match (&self.allow, &self.deny) {
            (Some(_), None) => ("allow", deployment::Groups::Allow),
            (None, Some(_)) => ("deny", deployment::Groups::Deny),
            (allow, _) => {
                let found = if allow.is_some() { "both" } else { "neither" };
                let message = format!(
                    "`groups` has {found} of `allow` and `deny`, expected exactly one; for no restriction \
                     leave `groups` out"
                );
                faults.push(Fault::new(place, message));
                return deployment::Groups::Any;
            }
        };
        let groups = self.allow.iter().chain(&self.deny);
        let written = groups.clone().flat_map(|groups| &groups.value);
        let written = written.map(|group| {
            check_group(group, faults);
            group.value.clone()
        });
        let written = written.collect();
        for empty in groups.clone().filter(|groups| groups.is_empty()) {
            let message =
                format!("`{word}` is empty, expected a group; for no restriction leave `groups` out");
            faults.push(Fault::new(empty.place, message));
        }
        list(also_by_name(written, names))
    }
}

/// Groups as they are written, and the names of those that are written by their ids: consumers have them by
/// name, and a token may claim either. A group need not be declared.
pub(super) fn also_by_name(mut groups: Vec<String>, names: &Names) -> Vec<String> {
    let named = groups.iter().filter_map(|group| names.groups.name_of(group).filter(|name| name != group));
    let named: Vec<String> = named.map(str::to_owned).collect();
    groups.extend(named);
    groups
}

/// A group's name: it is sent as one of a list with commas between them.
pub(super) fn check_group(group: &At<String>, faults: &mut Vec<Fault>) {
    check_name("group", group, faults);
    if group.contains(',') {
        faults.push(Fault::new(group.place, format!("the group name {} has a comma", quoted(group))));
    }
}
