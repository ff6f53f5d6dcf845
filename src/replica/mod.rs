//! What this instance knows: every record that a check needs, in memory, kept up to date by changes.
//!
//! A check asks here and nowhere else. What is absent here is absent: that is only true under a
//! [`Lease`], so every answer depends on one.

mod follow;
mod lease;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use tokio::sync::watch;
use uuid::Uuid;

pub use self::follow::{Follower, Pace};
pub use self::lease::Lease;
use crate::clock::Clock;
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::key::{KeyFacts, KeyId};
use crate::domain::verdict::Fault;
use crate::domain::verifier::Verifier;
use crate::store::record::{ConsumerRecord, KeyRecord};
use crate::store::{Epoch, StoreError, Table};

/// Half a verifier: 128 bits of an HMAC, which nobody can steer, are enough to tell keys apart.
type Digest = [u8; 16];

/// All records that checks need. One for the process, shared.
pub struct Replica {
    /// Swapped whole when a snapshot is read, changed in place when a change is applied.
    tables: ArcSwap<Tables>,
    loaded: AtomicBool,
    lease: Lease,
    /// How far changes have been applied; writers wait for theirs here.
    applied: watch::Sender<Option<Epoch>>,
}

#[derive(Default)]
struct Tables {
    keys: DashMap<Digest, KeyFacts>,
    /// A deleted key is known by its id alone.
    digests: DashMap<KeyId, Digest>,
    consumers: DashMap<ConsumerId, Arc<Consumer>>,
    /// Keys that were accepted although they are short.
    weak_keys: DashMap<KeyId, ()>,
}

/// What a replica holds, for gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    pub keys: usize,
    pub consumers: usize,
    pub weak_keys: usize,
}

impl Replica {
    pub fn new(bound: Duration) -> Self {
        Self {
            tables: ArcSwap::default(),
            loaded: AtomicBool::new(false),
            lease: Lease::new(bound),
            applied: watch::Sender::new(None),
        }
    }

    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether a snapshot has been read since the process started.
    pub fn loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// How far changes have been applied; `None` before the first snapshot.
    pub fn applied(&self) -> watch::Receiver<Option<Epoch>> {
        self.applied.subscribe()
    }

    pub fn holdings(&self) -> Holdings {
        let tables = self.tables.load();
        Holdings {
            keys: tables.keys.len(),
            consumers: tables.consumers.len(),
            weak_keys: tables.weak_keys.len(),
        }
    }

    /// The key with this verifier, as of the lease.
    pub fn key(&self, verifier: &Verifier) -> Option<KeyFacts> {
        self.tables.load().keys.get(&digest(verifier)).map(|facts| facts.clone())
    }

    pub fn consumer(&self, id: ConsumerId) -> Option<Arc<Consumer>> {
        self.tables.load().consumers.get(&id).map(|consumer| Arc::clone(&consumer))
    }

    /// Whether what is absent here may be taken to be absent everywhere.
    ///
    /// # Errors
    ///
    /// Nothing was read yet, or the lease is over at `now` (on the clock that counts suspension).
    pub fn trust(&self, now: Duration) -> Result<(), Fault> {
        if !self.loaded() {
            Err(Fault::NotLoaded)
        } else if !self.lease.holds(now) {
            Err(Fault::LeaseExpired)
        } else {
            Ok(())
        }
    }

    /// Where there is no store: it knows nobody, and what it does not know is nowhere. It never ages.
    pub fn of_no_store(clock: &Clock) -> Self {
        Self::settled(Tables::default(), clock)
    }

    /// Neither follows a store nor ages: for a moment in which nobody else can write.
    fn settled(tables: Tables, clock: &Clock) -> Self {
        let replica = Self::new(Duration::MAX);
        replica.tables.store(Arc::new(tables));
        replica.loaded.store(true, Ordering::Release);
        // Nothing but zero means never, and a clock that stands may stand there.
        replica.lease.renew(clock.boottime().max(Duration::from_nanos(1)));
        replica
    }

    fn replace(&self, tables: Tables, epoch: Epoch) {
        self.tables.store(Arc::new(tables));
        self.loaded.store(true, Ordering::Release);
        self.applied.send_replace(Some(epoch));
    }
}

impl Tables {
    /// Puts a record in its place, or takes it out.
    ///
    /// # Errors
    ///
    /// A payload that cannot be read; whatever stood there before is taken out, for it is outdated.
    fn apply(&self, table: Table, id: Uuid, payload: Option<&[u8]>) -> Result<(), StoreError> {
        match table {
            Table::Consumer => {
                let record = payload.map(ConsumerRecord::decode).transpose();
                match record {
                    Ok(Some(record)) => {
                        self.consumers.insert(id, Arc::new(record.into()));
                    }
                    Ok(None) => drop(self.consumers.remove(&id)),
                    Err(error) => {
                        self.consumers.remove(&id);
                        return Err(error);
                    }
                }
            }
            Table::Key => {
                let record = payload.map(KeyRecord::decode).transpose();
                let new =
                    record.as_ref().ok().and_then(Option::as_ref).map(|record| digest(&record.verifier));
                let before = match new {
                    Some(new) => self.digests.insert(id, new),
                    None => self.digests.remove(&id).map(|(_, digest)| digest),
                };
                let weak = matches!(&record, Ok(Some(record)) if record.weak);
                if weak {
                    self.weak_keys.insert(id, ());
                } else {
                    self.weak_keys.remove(&id);
                }
                if let (Ok(Some(record)), Some(new)) = (&record, new) {
                    self.keys.insert(new, record.clone().into());
                }
                // Only then, and only where it is another one: a key that was changed is at no moment
                // away.
                if let Some(before) = before.filter(|before| new != Some(*before)) {
                    self.keys.remove_if(&before, |_, facts| facts.id == id);
                }
                record?;
            }
            // Checks need neither.
            Table::Unique | Table::Owned => {}
        }
        Ok(())
    }
}

fn digest(verifier: &Verifier) -> Digest {
    let mut half = [0; 16];
    half.copy_from_slice(&verifier.as_bytes()[..16]);
    half
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::domain::network::Networks;
    use crate::domain::time::Timestamp;
    use crate::domain::verifier::Pepper;

    const KEY: Uuid = Uuid::from_u128(1);

    fn record(text: &str, weak: bool) -> KeyRecord {
        KeyRecord {
            id: KEY,
            consumer: Uuid::from_u128(2),
            verifier: verifier(text),
            ring_key: 1,
            weak,
            handle: None,
            tags: Vec::new(),
            not_before: None,
            expires_at: None,
            enabled: true,
            opens: None,
            permissions: None,
            created_at: Timestamp::from_unix(0),
            networks: Networks::default(),
        }
    }

    fn verifier(text: &str) -> Verifier {
        Pepper::new(&[7; 32]).verifier(text.as_bytes())
    }

    fn apply(replica: &Replica, record: Option<&KeyRecord>) {
        let payload = record.map(KeyRecord::encode);
        replica.tables.load().apply(Table::Key, KEY, payload.as_deref()).unwrap();
    }

    #[test]
    fn a_key_that_is_changed_is_known_at_every_moment() {
        let replica = Arc::new(Replica::new(std::time::Duration::from_secs(10)));
        apply(&replica, Some(&record("one", false)));
        let done = Arc::new(AtomicBool::new(false));
        let asker = std::thread::spawn({
            let (replica, done) = (Arc::clone(&replica), Arc::clone(&done));
            move || {
                while !done.load(Ordering::Relaxed) {
                    assert!(replica.key(&verifier("one")).is_some(), "away for a moment");
                }
            }
        });
        for change in 0..20_000 {
            apply(&replica, Some(&record("one", change % 2 == 0)));
        }
        done.store(true, Ordering::Relaxed);
        asker.join().unwrap();
    }

    #[test]
    fn a_record_made_anew_under_an_id_ends_the_key_before_it() {
        let replica = Replica::new(std::time::Duration::from_secs(10));
        let holds = |keys, weak_keys| {
            assert_eq!(replica.holdings(), Holdings { keys, consumers: 0, weak_keys });
        };
        apply(&replica, Some(&record("one", true)));
        holds(1, 1);
        apply(&replica, Some(&record("two", false)));
        holds(1, 0);
        assert!(replica.key(&verifier("one")).is_none() && replica.key(&verifier("two")).is_some());
        assert!(replica.tables.load().apply(Table::Key, KEY, Some(b"\xff")).is_err());
        holds(0, 0);
        apply(&replica, Some(&record("two", true)));
        apply(&replica, None);
        holds(0, 0);
    }
}
