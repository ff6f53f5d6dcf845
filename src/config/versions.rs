//! Versions of a service: policies that are set when it is designed, and activated where it is deployed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::deployments::Override;
use super::fault::Fault;
use super::id::{Id, given_or_derived};
use super::names::{Names, check_word};
use super::place::At;
use super::services::Service;

/// A policy that comes with a version of a service: what it names stands instead of the service's
/// own wherever the version is active.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Letters, digits, `_`, `.`, `~` and `-`.
    pub name: At<String>,
    /// Absent: derived from the names of service and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<At<Id>>,
    /// Whole parts of the policy; `null` removes one of the service's.
    pub policy: Override,
}

impl Version {
    pub fn id(&self, service: &Service) -> Uuid {
        given_or_derived(self.id.as_ref(), "version", &self.path(service))
    }

    /// `orders/v1`, by which all versions are told apart.
    fn path(&self, service: &Service) -> String {
        format!("{}/{}", service.name.value, self.name.value)
    }

    pub(super) fn declare(&self, service: &Service, names: &mut Names, faults: &mut Vec<Fault>) {
        check_word("version", &self.name, faults);
        let path = At { value: self.path(service), place: self.name.place };
        let place = self.id.as_ref().map_or(self.name.place, |id| id.place);
        names.versions.declare(Some(&path), At { value: self.id(service), place }, faults);
    }

    /// Whether it is meant by this name or id.
    pub(super) fn is(&self, service: &Service, reference: &str) -> bool {
        self.name.value == reference
            || Uuid::try_parse(reference).is_ok_and(|wanted| wanted == self.id(service))
    }
}
