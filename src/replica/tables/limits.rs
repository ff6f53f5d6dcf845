//! What few keys have, or what many have alike: kept once, and beside the rows.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::deployment::Opens;
use crate::domain::network::Networks;
use crate::domain::permission::PermissionId;
use crate::domain::time::Timestamp;
use crate::domain::verifier::Verifier;
use crate::store::record::KeyRecord;

/// What is not like most keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::replica) struct Limits {
    pub(super) enabled: bool,
    pub(super) weak: bool,
    /// Where a row has no room for it, like the next.
    pub(super) not_before: Option<Timestamp>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) opens: Option<Arc<[Opens]>>,
    pub(super) permissions: Option<Arc<[PermissionId]>>,
    pub(super) networks: Option<Arc<Networks>>,
}

impl Limits {
    /// `None` where there is nothing to say that a row cannot say.
    pub(in crate::replica) fn of(record: KeyRecord) -> Option<Self> {
        let limits = Self {
            enabled: record.enabled,
            weak: record.weak,
            not_before: record.not_before.filter(|from| in_a_row(*from).is_none()),
            expires_at: record.expires_at.filter(|until| in_a_row(*until).is_none()),
            opens: record.opens.map(Arc::from),
            permissions: record.permissions.map(Arc::from),
            networks: record.networks.in_force().then(|| Arc::new(record.networks)),
        };
        (limits != Self::NONE).then_some(limits)
    }

    pub(super) const NONE: Self = Self {
        enabled: true,
        weak: false,
        not_before: None,
        expires_at: None,
        opens: None,
        permissions: None,
        networks: None,
    };
}

/// A record that says this and nothing else.
impl From<&Limits> for KeyRecord {
    fn from(limits: &Limits) -> Self {
        Self {
            id: Uuid::nil(),
            consumer: Uuid::nil(),
            verifier: Verifier::from_bytes([0; 32]),
            ring_key: 0,
            handle: None,
            tags: Vec::new(),
            not_before: limits.not_before,
            expires_at: limits.expires_at,
            enabled: limits.enabled,
            opens: limits.opens.as_deref().map(<[_]>::to_vec),
            permissions: limits.permissions.as_deref().map(<[_]>::to_vec),
            created_at: Timestamp::from_unix(0),
            weak: limits.weak,
            networks: limits.networks.as_deref().cloned().unwrap_or_default(),
        }
    }
}

/// A moment as a row has it: seconds from 1970 to 2106, and never 0.
pub(super) fn in_a_row(moment: Timestamp) -> Option<u32> {
    u32::try_from(moment.unix()).ok().filter(|seconds| *seconds != 0)
}
