//! The `basic` method: a name with a password (RFC 7617).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api_key::check_realm;
use super::authentication::Surroundings;
use super::place::At;
use crate::domain;

/// `Authorization: Basic`, with the password of a consumer or a `basic-auth` credential.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Basic {
    /// The `realm` of the challenge in `WWW-Authenticate`. Default: `doorward`.
    pub realm: At<String>,
    /// Keep name and password from the upstream. Default: true.
    pub hide: bool,
}

impl Default for Basic {
    fn default() -> Self {
        Self { realm: At::assumed("doorward".to_owned()), hide: true }
    }
}

impl Basic {
    pub(super) fn resolve(&self, around: &mut Surroundings<'_>) -> domain::authentication::Basic {
        check_realm(&self.realm, around.faults);
        domain::authentication::Basic { realm: self.realm.value.clone(), hide: self.hide }
    }
}
