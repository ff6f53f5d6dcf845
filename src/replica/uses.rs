//! How often keys and sessions are used, and when last: counted by checks, told to the store now and then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashTable;
use uuid::Uuid;

use super::Replica;
use super::tables::hash_of_id;
use crate::domain::time::Timestamp;
use crate::store::{Store, StoreError, Table, Uses};

/// What was counted since the store was last told.
///
/// Every thread counts in a part of its own, so that it waits for nobody but, for the time of one
/// swap, for who tells the store; and each part is in pieces, so that no check makes a large table
/// grow.
pub struct Usage {
    pieces: Box<[Mutex<HashTable<Uses>>]>,
}

/// Threads that count apart; more share.
const THREADS: usize = 64;
/// Of a thread. A hundred thousand keys in use are some six thousand in each.
const PIECES: usize = 16;

/// How long what was counted stays in memory: what a crash loses.
pub const PERIOD: Duration = Duration::from_secs(5);

impl Default for Usage {
    fn default() -> Self {
        Self { pieces: (0..THREADS * PIECES).map(|_| Mutex::default()).collect() }
    }
}

impl Usage {
    /// Counts one use.
    pub fn note(&self, key: Uuid, now: Timestamp) {
        let hash = hash_of_id(&key);
        let mut piece = self.piece(thread() * PIECES + (hash >> 32) as usize % PIECES);
        match piece.find_mut(hash, |uses| uses.id == key) {
            Some(uses) => {
                uses.count += 1;
                uses.last = uses.last.max(now.unix());
            }
            None => {
                let uses = Uses { id: key, count: 1, last: now.unix() };
                piece.insert_unique(hash, uses, |uses| hash_of_id(&uses.id));
            }
        }
    }

    /// Tells the store what was counted.
    ///
    /// # Errors
    ///
    /// The store's; what was counted is kept for the next time. Where only the answer was lost it
    /// is counted twice then: a key that is in use must not look as if it were not.
    pub async fn tell(&self, store: &dyn Store) -> Result<(), StoreError> {
        let uses = self.take();
        if uses.is_empty() {
            return Ok(());
        }
        let told = store.note_uses(&uses).await;
        if told.is_err() {
            self.put_back(uses);
        }
        told
    }

    fn take(&self) -> Vec<Uses> {
        let mut all: HashMap<Uuid, Uses> = HashMap::new();
        for at in 0..self.pieces.len() {
            // Only the swap is under the lock, and room for as many is made here, not by a check.
            let room = HashTable::with_capacity(self.piece(at).len());
            let piece = std::mem::replace(&mut *self.piece(at), room);
            for uses in piece {
                let sum = all.entry(uses.id).or_insert(Uses { count: 0, ..uses });
                sum.count += uses.count;
                sum.last = sum.last.max(uses.last);
            }
        }
        all.into_values().collect()
    }

    fn put_back(&self, all: Vec<Uses>) {
        for uses in all {
            let hash = hash_of_id(&uses.id);
            let mut piece = self.piece((hash >> 32) as usize % PIECES);
            match piece.find_mut(hash, |known| known.id == uses.id) {
                Some(known) => {
                    known.count += uses.count;
                    known.last = known.last.max(uses.last);
                }
                None => {
                    piece.insert_unique(hash, uses, |uses| hash_of_id(&uses.id));
                }
            }
        }
    }

    /// A panic while one is held is a bug of ours; what is there is whole all the same.
    fn piece(&self, at: usize) -> MutexGuard<'_, HashTable<Uses>> {
        self.pieces[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears from the store when sessions were used at other instances, of those that were not used here
/// lately.
///
/// # Errors
///
/// The store's; what was heard so far is noted.
pub async fn hear_of_sessions(
    replica: &Replica,
    store: &dyn Store,
    now: Timestamp,
) -> Result<(), StoreError> {
    for some in replica.quiet_sessions(now).chunks(AT_ONCE) {
        replica.note_sessions_used(&store.uses(Table::Session, some).await?, now);
    }
    Ok(())
}

/// Sessions that the store is asked about at once.
const AT_ONCE: usize = 1_000;

/// The number of this thread.
fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed) % THREADS;
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;
    use crate::domain::password::Mark;
    use crate::domain::session::Session;
    use crate::store::memory::Memory;
    use crate::store::{Batch, Effect, Expect, Name, Step};

    fn key(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    async fn store_with_keys(keys: u128) -> Memory {
        let store = Memory::new();
        let steps = (0..keys).map(|number| Step {
            table: Table::Key,
            name: Name::of(&key(number)),
            expect: Expect::Absent,
            effect: Effect::Put(Vec::new()),
        });
        store.write(Batch { operation: Uuid::new_v4(), steps: steps.collect() }).await.unwrap();
        store
    }

    #[tokio::test]
    async fn every_use_by_every_thread_is_told_once() {
        let (usage, store) = (Arc::new(Usage::default()), store_with_keys(100).await);
        let count = |thread: u128| {
            let usage = Arc::clone(&usage);
            move || {
                for turn in 0..1_000 {
                    usage.note(key(turn % 100), Timestamp::from_unix((thread * 1_000 + turn) as i64));
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|thread| std::thread::spawn(count(thread))).collect();
        usage.tell(&store).await.unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        usage.tell(&store).await.unwrap();
        usage.tell(&store).await.unwrap();
        let keys: Vec<_> = (0..100).map(key).collect();
        for (number, uses) in store.uses(Table::Key, &keys).await.unwrap().into_iter().enumerate() {
            assert_eq!(uses, Uses { id: key(number as u128), count: 40, last: 3_900 + number as i64 });
        }
    }

    #[tokio::test]
    async fn a_session_that_is_used_at_one_instance_is_heard_of_at_another() {
        let (store, usage, elsewhere) = (Memory::new(), Usage::default(), Replica::new(Duration::MAX));
        let at = Timestamp::from_unix;
        let (id, idle) = (key(1), Duration::from_secs(80));
        let password = Mark::from_bytes([0; 12]);
        let (created_at, expires_at) = (at(100), at(10_000));
        let session = Session { id, consumer: key(9), created_at, expires_at, idle, password };
        let (name, effect) = (Name::of(&id), Effect::Put(session.encode()));
        let step = Step { table: Table::Session, name, expect: Expect::Absent, effect };
        store.write(Batch { operation: Uuid::new_v4(), steps: vec![step] }).await.unwrap();
        elsewhere.tables.load().issued().put_session(session);
        let heard = async |now: i64| {
            hear_of_sessions(&elsewhere, &store, at(now)).await.unwrap();
            elsewhere.session(&id).unwrap().1.unix()
        };
        usage.note(id, at(104));
        usage.tell(&store).await.unwrap();
        assert_eq!(heard(109).await, 100, "nobody asks about one that was used just now");
        assert_eq!(heard(110).await, 104);
        usage.note(id, at(500));
        usage.tell(&store).await.unwrap();
        assert_eq!(heard(120).await, 120, "by a clock that is ahead");
    }

    #[test]
    fn what_could_not_be_told_is_told_the_next_time() {
        let usage = Usage::default();
        usage.note(key(1), Timestamp::from_unix(7));
        let taken = usage.take();
        assert_eq!(taken, [Uses { id: key(1), count: 1, last: 7 }]);
        usage.note(key(1), Timestamp::from_unix(8));
        usage.put_back(taken);
        assert_eq!(usage.take(), [Uses { id: key(1), count: 2, last: 8 }]);
        assert_eq!(usage.take(), []);
    }
}
