//! What many records have alike, kept once for all of them.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashTable;

/// Values, each once.
pub(super) struct Shared<T> {
    pool: Mutex<Pool<T>>,
    hasher: RandomState,
}

struct Pool<T> {
    values: HashTable<Arc<T>>,
    /// How many there were when those that nobody has any more were taken out.
    swept: usize,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        let pool = Pool { values: HashTable::new(), swept: 0 };
        Self { pool: Mutex::new(pool), hasher: RandomState::new() }
    }
}

impl<T: Eq + Hash> Shared<T> {
    /// This value, as others have it already if they do.
    pub(super) fn share(&self, value: impl Into<Arc<T>>) -> Arc<T> {
        let value = value.into();
        let hash = self.hasher.hash_one(&*value);
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = pool.values.find(hash, |shared| **shared == *value) {
            return Arc::clone(shared);
        }
        if pool.values.len() > 2 * pool.swept + 64 {
            pool.values.retain(|value| Arc::strong_count(value) > 1);
            pool.swept = pool.values.len();
        }
        pool.values.insert_unique(hash, Arc::clone(&value), |value| self.hasher.hash_one(&**value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_once_and_not_for_ever() {
        let shared = Shared::<u32>::default();
        let (one, same) = (shared.share(1), shared.share(1));
        assert!(Arc::ptr_eq(&one, &same));
        (2..10_000).for_each(|value| drop(shared.share(value)));
        assert!(shared.pool.lock().unwrap_or_else(PoisonError::into_inner).values.len() < 200);
        assert!(Arc::ptr_eq(&one, &shared.share(1)));
    }
}
