//! Whom Doorward knows.

use uuid::Uuid;

use super::network::Networks;
use super::permission::PermissionId;
use super::role::RoleGrant;

/// Names a consumer.
pub type ConsumerId = Uuid;

/// A person, a team or a machine. Owns credentials.
#[derive(Clone, Debug, Default)]
pub struct Consumer {
    pub id: ConsumerId,
    /// At least one of `username` and `custom_id` is there.
    pub username: Option<String>,
    /// The consumer's name in another system.
    pub custom_id: Option<String>,
    pub groups: Vec<String>,
    pub permissions: Vec<PermissionId>,
    pub roles: Vec<RoleGrant>,
    /// From where its credentials may be used.
    pub networks: Networks,
    pub enabled: bool,
}
