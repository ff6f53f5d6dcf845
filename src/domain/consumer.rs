//! Whom Doorward knows.

use std::sync::Arc;

use uuid::Uuid;

use super::network::Networks;
use super::permission::PermissionId;
use super::role::RoleGrant;

/// Names a consumer.
pub type ConsumerId = Uuid;

/// A person, a team or a machine. Owns credentials.
///
/// There may be a hundred thousand in memory, so what many have alike stands once for all of them.
#[derive(Clone, Debug, Default)]
pub struct Consumer {
    pub id: ConsumerId,
    /// At least one of `username` and `custom_id` is there.
    pub username: Option<Box<str>>,
    /// The consumer's name in another system.
    pub custom_id: Option<Box<str>>,
    pub given: Arc<Given>,
    pub enabled: bool,
}

/// What a consumer was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Given {
    pub groups: Vec<String>,
    pub permissions: Vec<PermissionId>,
    pub roles: Vec<RoleGrant>,
    /// From where its credentials may be used.
    pub networks: Networks,
}
