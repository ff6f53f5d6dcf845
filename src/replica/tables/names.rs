//! Whose a username or a `custom_id` is, for whoever knows a consumer by one.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use super::consumers::{Consumers, Held};
use crate::domain::consumer::Consumer;

/// The owners of names. The names themselves are read where the consumers have them.
///
/// An entry goes before its consumer gets another name, so every entry is where the name of its
/// consumer belongs. Locks are taken in this order: names, consumers.
pub(super) struct Names {
    usernames: Index,
    custom_ids: Index,
}

/// What kind of name.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Username,
    CustomId,
}

/// Of names of one kind.
struct Index {
    kind: Kind,
    /// Names may be chosen by who is to be found, so it depends on what only this process knows.
    hash: RandomState,
    shards: Box<[Mutex<HashTable<Held>>]>,
}

/// A writer holds up whoever asks for a name of the same shard, while that grows: with 100,000
/// consumers 400 entries.
const SHARDS: usize = 256;

impl Default for Names {
    fn default() -> Self {
        Self { usernames: Index::new(Kind::Username), custom_ids: Index::new(Kind::CustomId) }
    }
}

impl Names {
    pub(super) fn owner(&self, kind: Kind, name: &str, consumers: &Consumers) -> Option<Arc<Consumer>> {
        match kind {
            Kind::Username => self.usernames.owner(name, consumers),
            Kind::CustomId => self.custom_ids.owner(name, consumers),
        }
    }

    /// All names that a consumer has, which stands at `held` already. Whoever had one has it no longer.
    pub(super) fn claim(&self, consumer: &Consumer, held: Held, consumers: &Consumers) {
        self.usernames.claim(consumer, held, consumers);
        self.custom_ids.claim(consumer, held, consumers);
    }

    /// Lets go of what the consumer at `held` has and is not to have, and leaves alone what somebody
    /// else has claimed since.
    pub(super) fn release(&self, before: &Consumer, held: Held, after: Option<&Consumer>) {
        self.usernames.release(before, held, after);
        self.custom_ids.release(before, held, after);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let shards = self.usernames.shards.iter().chain(&self.custom_ids.shards);
        shards.map(|shard| lock(shard).len()).sum()
    }
}

impl Kind {
    fn of(self, consumer: &Consumer) -> Option<&str> {
        match self {
            Self::Username => consumer.username.as_deref(),
            Self::CustomId => consumer.custom_id.as_deref(),
        }
    }
}

impl Index {
    fn new(kind: Kind) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { kind, hash: RandomState::new(), shards }
    }

    fn owner(&self, name: &str, consumers: &Consumers) -> Option<Arc<Consumer>> {
        let hash = self.hash.hash_one(name);
        let shard = self.shard(hash);
        let mut found = None;
        shard.find(hash, |held| {
            found = consumers.at(*held).1.filter(|consumer| self.kind.of(consumer) == Some(name));
            found.is_some()
        });
        found
    }

    fn claim(&self, consumer: &Consumer, held: Held, consumers: &Consumers) {
        let Some(name) = self.kind.of(consumer) else { return };
        let hash = self.hash.hash_one(name);
        let mut shard = self.shard(hash);
        match shard.find_mut(hash, |owner| self.is(*owner, name, consumers)) {
            Some(owner) => *owner = held,
            None => {
                let name_hash = |held: &Held| {
                    let consumer = consumers.at(*held).1?;
                    Some(self.hash.hash_one(self.kind.of(&consumer)?))
                };
                shard.insert_unique(hash, held, |held| name_hash(held).unwrap_or_default());
            }
        }
    }

    fn release(&self, before: &Consumer, held: Held, after: Option<&Consumer>) {
        let Some(name) = self.kind.of(before) else { return };
        if after.and_then(|after| self.kind.of(after)) == Some(name) {
            return;
        }
        let hash = self.hash.hash_one(name);
        if let Ok(entry) = self.shard(hash).find_entry(hash, |owner| *owner == held) {
            entry.remove();
        }
    }

    fn is(&self, held: Held, name: &str, consumers: &Consumers) -> bool {
        consumers.at(held).1.is_some_and(|consumer| self.kind.of(&consumer) == Some(name))
    }

    /// By bits of which hashbrown uses none within it.
    fn shard(&self, hash: u64) -> MutexGuard<'_, HashTable<Held>> {
        lock(&self.shards[(hash >> 40) as usize % SHARDS])
    }
}

/// A panic while one is held is a bug of ours; what is there is whole all the same.
fn lock(shard: &Mutex<HashTable<Held>>) -> MutexGuard<'_, HashTable<Held>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
