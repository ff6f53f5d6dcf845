//! Parts of a service that ask for more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authentication::Surroundings;
use super::compiled::by_id;
use super::directory::Directory;
use super::fault::{Fault, quoted};
use super::groups::{also_by_name, check_group};
use super::lists::{find_all, read_all};
use super::names::Names;
use super::place::At;
use super::services::path;
use crate::domain::deployment;
use crate::domain::role::RoleDemand;

/// A part of a service that asks for more: at least one of `permissions`, `groups` and `roles`.
///
/// Of the rules about a request's method those with the longest prefix that covers its path all
/// apply; what no rule covers needs the rest of the policy alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// In upper case; `GET` includes HEAD. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<At<Vec<At<String>>>>,
    /// Absolute prefixes by whole segments. Absent: every path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<At<Vec<At<String>>>>,
    /// Names or ids of permissions; all of them are needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<At<Vec<At<String>>>>,
    /// One of these groups is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<At<Vec<At<String>>>>,
    /// One of these roles is needed: `admin` in any project, `project/admin` in that one (name or id).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<At<Vec<At<String>>>>,
}

pub(super) fn resolve(rules: &[At<Rule>], around: &mut Surroundings<'_>) -> Vec<deployment::Rule> {
    rules.iter().map(|rule| rule.resolve(around.names, around.faults)).collect()
}

impl At<Rule> {
    /// Has permissions, roles and their projects named by id.
    pub(super) fn refer_by_id(&mut self, names: &Names) {
        let rule = &mut self.value;
        let permissions = rule.permissions.iter_mut().flat_map(|it| &mut it.value);
        permissions.for_each(|permission| by_id(permission, &names.permissions));
        for reference in rule.roles.iter_mut().flat_map(|it| &mut it.value) {
            let id = |text: &str, of: &Directory| of.lookup(text).map(|id| id.to_string());
            let found = match reference.rsplit_once('/') {
                Some((project, role)) => id(project, &names.projects)
                    .zip(id(role, &names.roles))
                    .map(|(project, role)| format!("{project}/{role}")),
                None => id(reference, &names.roles),
            };
            if let Some(found) = found {
                reference.value = found;
            }
        }
    }

    fn resolve(&self, names: &Names, faults: &mut Vec<Fault>) -> deployment::Rule {
        if self.permissions.is_none() && self.groups.is_none() && self.roles.is_none() {
            let message =
                "a rule asks for nothing, expected at least one of `permissions`, `groups` and `roles`";
            faults.push(Fault::new(self.place, message));
        }
        let group = |group: &At<String>, faults: &mut Vec<Fault>| {
            check_group(group, faults);
            Some(group.value.clone())
        };
        deployment::Rule {
            methods: read_all(self.methods.as_ref(), ("methods", "all methods"), method, faults),
            paths: read_all(self.paths.as_ref(), ("paths", "every path"), path, faults),
            permissions: find_all(
                self.permissions.as_ref(),
                ("permissions", NONE),
                faults,
                |name, faults| names.permissions.find(name, faults),
            ),
            groups: also_by_name(find_all(self.groups.as_ref(), ("groups", NONE), faults, group), names),
            roles: find_all(self.roles.as_ref(), ("roles", NONE), faults, |name, faults| {
                demand(name, names, faults)
            }),
        }
    }
}

const NONE: &str = "none to be needed";

/// RFC 9110 section 9.1: a token, by case; and all that are in use are in upper case.
fn method(text: &str) -> Result<String, String> {
    let upper =
        |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(upper) {
        return Ok(text.to_owned());
    }
    let raised = text.to_ascii_uppercase();
    let meant = if raised != text && method(&raised).is_ok() {
        format!("; did you mean `{raised}`?")
    } else {
        String::new()
    };
    Err(format!("{} is no method, expected a word in upper case such as `POST`{meant}", quoted(text)))
}

/// `admin`, `project/admin`: a role's name has no `/`, a project's may.
fn demand(reference: &At<String>, names: &Names, faults: &mut Vec<Fault>) -> Option<RoleDemand> {
    let part = |text: &str| At { value: text.to_owned(), place: reference.place };
    let (project, role) = match reference.rsplit_once('/') {
        Some((project, role)) => (Some(names.projects.find(&part(project), faults)), part(role)),
        None => (None, reference.clone()),
    };
    let role = names.role(&role, faults);
    // A project that is not known must not become "any project".
    match project {
        Some(project) => Some(RoleDemand { role: role?, project: Some(project?) }),
        None => Some(RoleDemand { role: role?, project: None }),
    }
}
