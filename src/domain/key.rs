//! API keys: the text a caller presents, and what is known of it.

use std::sync::Arc;

use uuid::Uuid;

use super::consumer::ConsumerId;
use super::deployment::Opens;
use super::network::Networks;
use super::permission::PermissionId;
use super::time::Timestamp;

/// Names a key record.
pub type KeyId = Uuid;

/// What a check needs to know of a key. Everything else stays in the store.
#[derive(Clone, Debug)]
pub struct KeyFacts {
    pub id: KeyId,
    pub consumer: ConsumerId,
    /// Valid from here on; `None`: since ever.
    pub not_before: Option<Timestamp>,
    /// No longer valid from here on; `None`: for ever.
    pub expires_at: Option<Timestamp>,
    pub enabled: bool,
    /// What it opens; `None`: every service.
    pub opens: Option<Arc<[Opens]>>,
    /// What it may do at most; `None`: all that its consumer may.
    pub permissions: Option<Arc<[PermissionId]>>,
    /// From where it may be used; `None`: from anywhere.
    pub networks: Option<Arc<Networks>>,
}
