//! What few keys have, or what many have alike: kept once, and beside the rows.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashTable;
use uuid::Uuid;

use crate::domain::deployment::Opens;
use crate::domain::network::Networks;
use crate::domain::permission::PermissionId;
use crate::domain::time::Timestamp;
use crate::domain::verifier::Verifier;
use crate::store::record::KeyRecord;

/// What is not like most keys.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Limits, each once.
#[derive(Default)]
pub(super) struct Shared(Mutex<Pool>);

#[derive(Default)]
struct Pool {
    limits: HashTable<Arc<Limits>>,
    /// How many there were when those that nobody has any more were taken out.
    swept: usize,
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

    const NONE: Self = Self {
        enabled: true,
        weak: false,
        not_before: None,
        expires_at: None,
        opens: None,
        permissions: None,
        networks: None,
    };

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.enabled, self.weak, self.not_before, self.expires_at).hash(&mut hasher);
        for opens in self.opens.iter().flat_map(|opens| opens.iter()) {
            (opens.service, opens.infrastructure).hash(&mut hasher);
        }
        self.permissions.hash(&mut hasher);
        hasher.finish()
    }
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

impl Shared {
    /// These limits, as others have them already if they do.
    pub(super) fn share(&self, limits: Limits) -> Arc<Limits> {
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = limits.hash();
        if let Some(shared) = pool.limits.find(hash, |shared| **shared == limits) {
            return Arc::clone(shared);
        }
        if pool.limits.len() > 2 * pool.swept + 64 {
            pool.limits.retain(|limits| Arc::strong_count(limits) > 1);
            pool.swept = pool.limits.len();
        }
        let limits = Arc::new(limits);
        pool.limits.insert_unique(hash, Arc::clone(&limits), |limits| limits.hash());
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_once_and_not_for_ever() {
        let shared = Shared::default();
        let from = |second| Limits { not_before: Some(Timestamp::from_unix(second)), ..Limits::NONE };
        let (one, same) = (shared.share(from(1)), shared.share(from(1)));
        assert!(Arc::ptr_eq(&one, &same));
        (2..10_000).for_each(|second| drop(shared.share(from(second))));
        assert!(shared.0.lock().unwrap_or_else(PoisonError::into_inner).limits.len() < 200);
        assert!(Arc::ptr_eq(&one, &shared.share(from(1))));
    }
}
