//! Consumers, by id and by the number under which keys name theirs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;

use super::shards::{SHARDS, hash_of_id, shard_of};
use crate::domain::consumer::{Consumer, ConsumerId};

/// All consumers, and the ids of those that keys name although nobody is there.
pub(super) struct Consumers {
    shards: Box<[RwLock<Shard>]>,
    known: AtomicUsize,
}

/// Where a consumer stands, for as long as it is held or known: the shard in the upper 8 bits, the slot in
/// the lower 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held(u32);

#[derive(Default)]
struct Shard {
    by_id: HashTable<u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
}

struct Slot {
    /// Where the consumer is not known, one that has an id and nothing else, and is disabled.
    consumer: Arc<Consumer>,
    known: bool,
    /// By so many keys.
    held: u32,
}

const SLOT_BITS: u32 = 24;

/// Four of the keys' shards make one of consumers: there are fewer of them.
const CONSUMER_SHARDS: usize = SHARDS / 4;

impl Default for Consumers {
    fn default() -> Self {
        let shards = (0..CONSUMER_SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, known: AtomicUsize::new(0) }
    }
}

impl Consumers {
    pub(super) fn len(&self) -> usize {
        self.known.load(Ordering::Relaxed)
    }

    pub(super) fn get(&self, id: &ConsumerId) -> Option<Arc<Consumer>> {
        self.find(id).map(|(_, consumer)| consumer)
    }

    /// The same, with where it stands as long as it is not removed.
    pub(super) fn find(&self, id: &ConsumerId) -> Option<(Held, Arc<Consumer>)> {
        let hash = hash_of_id(id);
        let number = shard_of(hash) / 4;
        let shard = self.read(number);
        let slot_number = shard.find(hash, id)?;
        let slot = shard.slots[slot_number as usize].as_ref()?;
        slot.known.then(|| (Held::of(number, slot_number), Arc::clone(&slot.consumer)))
    }

    /// Whose place this is. The caller makes sure that it is held meanwhile.
    pub(super) fn id_at(&self, held: Held) -> ConsumerId {
        let shard = self.read((held.0 >> SLOT_BITS) as usize);
        shard.at(held).map_or(ConsumerId::nil(), |slot| slot.consumer.id)
    }

    /// The same, with the consumer where it is known.
    pub(super) fn at(&self, held: Held) -> (ConsumerId, Option<Arc<Consumer>>) {
        let shard = self.read((held.0 >> SLOT_BITS) as usize);
        let Some(slot) = shard.at(held) else { return (ConsumerId::nil(), None) };
        (slot.consumer.id, slot.known.then(|| Arc::clone(&slot.consumer)))
    }

    /// Where it stands now, as long as it is not removed.
    pub(super) fn put(&self, consumer: Arc<Consumer>) -> Held {
        let (hash, id) = (hash_of_id(&consumer.id), consumer.id);
        let number = shard_of(hash) / 4;
        let mut shard = self.write(number);
        let slot_number = shard.find_or_make(hash, &id, || Arc::clone(&consumer));
        let slot = shard.slot(slot_number);
        let was_known = std::mem::replace(&mut slot.known, true);
        let before = std::mem::replace(&mut slot.consumer, consumer);
        drop(shard);
        // Not while others wait.
        drop(before);
        if !was_known {
            self.known.fetch_add(1, Ordering::Relaxed);
        }
        Held::of(number, slot_number)
    }

    pub(super) fn remove(&self, id: &ConsumerId) {
        let hash = hash_of_id(id);
        let mut shard = self.write(shard_of(hash) / 4);
        let Some(number) = shard.find(hash, id) else { return };
        let slot = shard.slot(number);
        if !std::mem::replace(&mut slot.known, false) {
            return;
        }
        let before = std::mem::replace(&mut slot.consumer, nobody(id));
        shard.free_if_idle(number);
        drop(shard);
        drop(before);
        self.known.fetch_sub(1, Ordering::Relaxed);
    }

    /// Keeps a place for the consumer of a key, whether it is known or not, until it is released.
    pub(super) fn hold(&self, id: &ConsumerId) -> Held {
        let hash = hash_of_id(id);
        let number = shard_of(hash) / 4;
        let mut shard = self.write(number);
        let slot_number = shard.find_or_make(hash, id, || nobody(id));
        shard.slot(slot_number).held += 1;
        Held::of(number, slot_number)
    }

    pub(super) fn release(&self, held: Held) {
        let mut shard = self.write((held.0 >> SLOT_BITS) as usize);
        let number = held.0 & ((1 << SLOT_BITS) - 1);
        shard.slot(number).held -= 1;
        shard.free_if_idle(number);
    }

    /// Shows `each` every consumer, shard by shard.
    pub(super) fn for_each(&self, mut each: impl FnMut(&Arc<Consumer>)) {
        for shard in 0..CONSUMER_SHARDS {
            let known: Vec<_> = {
                let shard = self.read(shard);
                let slots = shard.slots.iter().flatten().filter(|slot| slot.known);
                slots.map(|slot| Arc::clone(&slot.consumer)).collect()
            };
            known.iter().for_each(&mut each);
        }
    }

    #[cfg(test)]
    pub(super) fn slots_in_use(&self) -> usize {
        (0..CONSUMER_SHARDS).map(|shard| self.read(shard).by_id.len()).sum()
    }

    /// A panic while one is held is a bug of ours; what is there is whole all the same.
    fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard].write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// No place: there is none with this number.
    pub(super) const NOBODY: Self = Self(u32::MAX);

    fn of(shard: usize, slot: u32) -> Self {
        Self(((shard as u32) << SLOT_BITS) | slot)
    }

    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }
}

impl Shard {
    fn find(&self, hash: u64, id: &ConsumerId) -> Option<u32> {
        let is =
            |number: &u32| self.slots[*number as usize].as_ref().is_some_and(|slot| slot.consumer.id == *id);
        self.by_id.find(hash, is).copied()
    }

    fn find_or_make(&mut self, hash: u64, id: &ConsumerId, make: impl FnOnce() -> Arc<Consumer>) -> u32 {
        if let Some(number) = self.find(hash, id) {
            return number;
        }
        let slot = Some(Slot { consumer: make(), known: false, held: 0 });
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = slot;
                number
            }
            None => {
                if self.slots.len() == self.slots.capacity() {
                    // A quarter at a time: memory counts more here than a copy of some kilobytes.
                    self.slots.reserve_exact(self.slots.len() / 4 + 4);
                }
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("consumers that fit into memory")
            }
        };
        assert!(number < (1 << SLOT_BITS) - 1, "four billion consumers");
        let Self { by_id, slots, .. } = self;
        let rehash =
            |number: &u32| slots[*number as usize].as_ref().map_or(0, |slot| hash_of_id(&slot.consumer.id));
        by_id.insert_unique(hash, number, rehash);
        number
    }

    fn at(&self, held: Held) -> Option<&Slot> {
        self.slots.get(held.slot())?.as_ref()
    }

    fn slot(&mut self, number: u32) -> &mut Slot {
        self.slots[number as usize].as_mut().expect("a place that is in the index or held")
    }

    fn free_if_idle(&mut self, number: u32) {
        let slot = self.slot(number);
        if slot.known || slot.held > 0 {
            return;
        }
        let hash = hash_of_id(&slot.consumer.id);
        self.slots[number as usize] = None;
        self.free.push(number);
        if let Ok(entry) = self.by_id.find_entry(hash, |other| *other == number) {
            entry.remove();
        }
    }
}

fn nobody(id: &ConsumerId) -> Arc<Consumer> {
    Arc::new(Consumer { id: *id, ..Consumer::default() })
}
