//! Whether the store has deployments, or had some that nobody ended: remembered outside of it, for a store
//! that was emptied, or is another one, cannot tell.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Stored;
use crate::domain::catalog::OfStore;

/// How often objects had been written when the store was last seen with deployments; 0: it never was, or
/// they have been ended since; the largest number: they were lost.
#[derive(Debug, Default)]
pub(super) struct Deployed(AtomicU64);

impl Deployed {
    pub(super) fn writes(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Takes up what was remembered.
    pub(super) fn remember(&self, writes: u64) {
        self.0.store(writes, Ordering::Release);
    }

    /// Remembers what the store has now, and says what that means.
    pub(super) fn see(&self, stored: &Stored) -> OfStore {
        let writes = stored.guard.map_or(0, |guard| guard.writes);
        let (of_store, remembered) = match self.writes() {
            _ if stored.objects.values().any(|it| it.is_deployment()) => (OfStore::Some, writes.max(1)),
            // Whoever ends the last one writes once more. Lost ends with a deployment alone: whoever makes things
            // anew writes as often before the first of them.
            before if writes < before => (OfStore::Lost, u64::MAX),
            _ => (OfStore::None, 0),
        };
        self.remember(remembered);
        of_store
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::store::record::{GuardRecord, ObjectRecord};

    /// A store after so many writes of objects, with or without a deployment.
    fn stored(writes: u64, kind: &str) -> Stored {
        let object = ObjectRecord {
            id: Uuid::from_u128(1),
            kind: kind.into(),
            settings: "{}".into(),
            service: None,
            owner: None,
            tags: Vec::new(),
            created_at: Timestamp::from_unix(0),
            updated_at: Timestamp::from_unix(0),
            sequence: 1,
        };
        let guard = (writes > 0).then(|| GuardRecord { token: Uuid::from_u128(2), writes });
        Stored { guard, objects: [(object.id, Arc::new(object))].into(), ..Stored::default() }
    }

    #[test]
    fn deployments_that_are_gone_without_a_write_are_lost_and_others_were_ended() {
        let deployed = Deployed::default();
        assert_eq!(deployed.see(&stored(0, "service")), OfStore::None);
        assert_eq!(deployed.see(&stored(3, "service")), OfStore::None);
        assert_eq!(deployed.see(&stored(4, "deployment")), OfStore::Some);
        assert_eq!(deployed.see(&stored(5, "service")), OfStore::None, "ended");
        assert_eq!(deployed.see(&stored(6, "deployment")), OfStore::Some);
        for writes in [0, 5] {
            assert_eq!(deployed.see(&stored(writes, "service")), OfStore::Lost);
            assert_eq!(deployed.writes(), u64::MAX, "still remembered");
        }
        assert_eq!(deployed.see(&stored(7, "service")), OfStore::Lost, "nobody has deployed anything yet");
        assert_eq!(deployed.see(&stored(1, "deployment")), OfStore::Some, "made anew");
        assert_eq!(deployed.see(&stored(2, "service")), OfStore::None);
    }
}
