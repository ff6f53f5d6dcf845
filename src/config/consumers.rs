//! Whom the file declares.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::directory::check_name;
use super::fault::{Fault, quoted};
use super::groups::check_group;
use super::id::{Id, derived};
use super::keys::Key;
use super::names::Names;
use super::networks::Networks;
use super::place::{At, Place};
use super::roles::{self, RolesByProject};
use crate::domain;
use crate::domain::consumer::Given;
use crate::domain::headers::{LONGEST_VALUE, list_length};
use crate::passwords::hash_refusal;

/// A person, a team or a machine. Read-only in the admin API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Consumer {
    /// At least one of `username` and `custom_id` is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<At<String>>,
    /// The consumer's name in another system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<At<String>>,
    /// Absent: derived from the username, or else from the `custom_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<At<Id>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<At<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<At<String>>,
    /// Names or ids from `permissions`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<At<String>>,
    /// By project (name or id), names from `roles`.
    #[serde(skip_serializing_if = "RolesByProject::is_empty")]
    pub roles: RolesByProject,
    /// From where its credentials may be used. Absent: from anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<At<Networks>>,
    /// Whether its credentials are good. Default: true.
    pub enabled: bool,
    /// The variable of the environment that holds the hash of its password: argon2id, as a PHC string
    /// (`doorward password hash` makes one). Absent: it has none in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_from_env: Option<At<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<At<Key>>,
}

/// What consumers' names must not share.
#[derive(Default)]
pub(super) struct Identities<'c> {
    custom_ids: HashMap<&'c str, Place>,
    emails: HashMap<&'c str, Place>,
}

impl Default for Consumer {
    fn default() -> Self {
        Self {
            username: None,
            custom_id: None,
            id: None,
            email: None,
            groups: Vec::new(),
            permissions: Vec::new(),
            roles: RolesByProject::new(),
            networks: None,
            enabled: true,
            password_from_env: None,
            keys: Vec::new(),
        }
    }
}

impl Consumer {
    pub fn id(&self) -> Uuid {
        match (&self.id, &self.username, &self.custom_id) {
            (Some(id), _, _) => id.value.0,
            (None, Some(username), _) => derived("consumer", username),
            (None, None, custom_id) => {
                derived("consumer-custom-id", custom_id.as_ref().map_or("", |id| id.value.as_str()))
            }
        }
    }
}

impl Consumer {
    /// The hash of its password, from the variable that it names.
    pub(super) fn read_password(
        &self,
        variables: &HashMap<String, String>,
    ) -> Result<Option<Arc<str>>, Fault> {
        let Some(name) = &self.password_from_env else { return Ok(None) };
        if self.username.is_none() {
            let message = "`password_from_env` needs a `username` to log in with";
            return Err(Fault::new(name.place, message));
        }
        let phc = match variables.get(&name.value) {
            Some(phc) => phc.trim_end_matches(['\n', '\r']),
            // It may be the hash itself, which is not shown.
            None if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                let message = "`password_from_env` takes the name of an environment variable that holds the \
                               password's hash, never the hash itself";
                return Err(Fault::discreet(name.place, message));
            }
            None => {
                let message = format!(
                    "the environment variable {} is not set; it must hold the password's hash",
                    quoted(name)
                );
                return Err(Fault::new(name.place, message));
            }
        };
        match hash_refusal(phc) {
            None => Ok(Some(phc.into())),
            Some(why) => Err(Fault::new(name.place, format!("the variable {}: it {why}", quoted(name)))),
        }
    }

    /// Its password as the catalog has it.
    pub(super) fn account(&self, phc: &str) -> Option<domain::password::Account> {
        Some(domain::password::Account {
            id: derived("password", &self.id().to_string()),
            consumer: self.id(),
            username: self.username.as_ref()?.value.as_str().into(),
            hash: domain::password::Hash::new(phc),
            enabled: true,
        })
    }
}

impl At<Consumer> {
    pub(super) fn declare<'c>(
        &'c self,
        names: &mut Names,
        taken: &mut Identities<'c>,
        faults: &mut Vec<Fault>,
    ) {
        if self.username.is_none() && self.custom_id.is_none() {
            faults.push(Fault::new(
                self.place,
                "a consumer has neither `username` nor `custom_id`, expected one",
            ));
            return;
        }
        let named = self.username.as_ref().or(self.custom_id.as_ref()).map_or(self.place, |name| name.place);
        let place = self.id.as_ref().map_or(named, |id| id.place);
        names.consumers.declare(self.username.as_ref(), At { value: self.id(), place }, faults);
        unique("custom_id", self.custom_id.as_ref(), &mut taken.custom_ids, faults);
        unique("email", self.email.as_ref(), &mut taken.emails, faults);
        self.groups.iter().for_each(|group| check_group(group, faults));
    }

    /// What becomes of it in the catalog, without its keys.
    pub(super) fn resolve(
        &self,
        names: &Names,
        faults: &mut Vec<Fault>,
        warnings: &mut Vec<Fault>,
    ) -> domain::consumer::Consumer {
        let granted: Vec<Uuid> =
            self.permissions.iter().filter_map(|name| names.permissions.find(name, faults)).collect();
        let ids = list_length(granted.iter().map(Uuid::to_string));
        let groups = list_length(self.groups.iter().map(|group| &group.value));
        for (what, length) in [("permissions", ids), ("groups", groups)] {
            if length > LONGEST_VALUE {
                let message = format!(
                    "the `{what}` of this consumer do not fit in a header of {LONGEST_VALUE} bytes: \
                     its requests are denied with `internal`"
                );
                warnings.push(Fault::new(self.place, message));
            }
        }
        let networks = self.networks.as_ref();
        domain::consumer::Consumer {
            id: self.id(),
            username: self.username.as_ref().map(|name| name.value.as_str().into()),
            custom_id: self.custom_id.as_ref().map(|name| name.value.as_str().into()),
            given: Arc::new(Given {
                groups: self
                    .groups
                    .iter()
                    .map(|group| names.groups.name_of(group).unwrap_or(group).to_owned())
                    .collect(),
                permissions: granted,
                roles: roles::grants(&self.roles, names, faults),
                networks: networks
                    .map(|networks| networks.resolve(networks.place, faults, warnings))
                    .unwrap_or_default(),
            }),
            enabled: self.enabled,
        }
    }
}

fn unique<'c>(
    what: &'static str,
    name: Option<&'c At<String>>,
    taken: &mut HashMap<&'c str, Place>,
    faults: &mut Vec<Fault>,
) {
    let Some(name) = name else { return };
    check_name(what, name, faults);
    if let Some(first) = taken.insert(name, name.place) {
        let message = format!(
            "there are two consumers with the {what} {}; the other is in {}",
            quoted(name),
            first.describe()
        );
        faults.push(Fault::new(name.place, message));
    }
}
