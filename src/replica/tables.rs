//! The records that checks need, by what checks know them by.

use std::sync::Arc;

use dashmap::DashMap;

use super::Holdings;
use super::apply::Fact;
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::key::{KeyFacts, KeyId};
use crate::domain::verifier::Verifier;
use crate::store::record::KeyRecord;

/// Half a verifier: 128 bits of an HMAC, which nobody can steer, are enough to tell keys apart.
type Digest = [u8; 16];

#[derive(Default)]
pub(super) struct Tables {
    keys: DashMap<Digest, KeyFacts>,
    /// A deleted key is known by its id alone.
    digests: DashMap<KeyId, Digest>,
    consumers: DashMap<ConsumerId, Arc<Consumer>>,
    /// Keys that were accepted although they are short.
    weak_keys: DashMap<KeyId, ()>,
}

impl Tables {
    pub(super) fn holdings(&self) -> Holdings {
        Holdings { keys: self.keys.len(), consumers: self.consumers.len(), weak_keys: self.weak_keys.len() }
    }

    pub(super) fn key(&self, verifier: &Verifier) -> Option<KeyFacts> {
        self.keys.get(&digest(verifier)).map(|facts| facts.clone())
    }

    pub(super) fn consumer(&self, id: ConsumerId) -> Option<Arc<Consumer>> {
        self.consumers.get(&id).map(|consumer| Arc::clone(&consumer))
    }

    /// Puts a record in its place, or takes it out.
    pub(super) fn take(&self, fact: Fact) {
        match fact {
            Fact::Consumer(consumer) => drop(self.consumers.insert(consumer.id, Arc::new(consumer))),
            Fact::NoConsumer(id) => drop(self.consumers.remove(&id)),
            Fact::Key(record) => self.put_key(record),
            Fact::NoKey(id) => {
                self.weak_keys.remove(&id);
                if let Some((_, digest)) = self.digests.remove(&id) {
                    self.keys.remove_if(&digest, |_, facts| facts.id == id);
                }
            }
        }
    }

    fn put_key(&self, record: KeyRecord) {
        let (id, new) = (record.id, digest(&record.verifier));
        let before = self.digests.insert(id, new);
        if record.weak {
            self.weak_keys.insert(id, ());
        } else {
            self.weak_keys.remove(&id);
        }
        self.keys.insert(new, record.into());
        // Only then, and only where it is another one: a key that was changed is at no moment away.
        if let Some(before) = before.filter(|before| new != *before) {
            self.keys.remove_if(&before, |_, facts| facts.id == id);
        }
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

    use std::sync::atomic::{AtomicBool, Ordering};

    use uuid::Uuid;

    use super::super::Replica;
    use super::*;
    use crate::domain::network::Networks;
    use crate::domain::time::Timestamp;
    use crate::domain::verifier::Pepper;
    use crate::store::{Name, Table};

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

    fn take(replica: &Replica, payload: Option<&[u8]>) {
        replica.tables.load().take(Fact::of(Table::Key, &Name::of(&KEY), payload).unwrap());
    }

    fn apply(replica: &Replica, record: Option<&KeyRecord>) {
        let payload = record.map(KeyRecord::encode);
        take(replica, payload.as_deref());
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
        take(&replica, Some(b"\xff"));
        holds(0, 0);
        apply(&replica, Some(&record("two", true)));
        apply(&replica, None);
        holds(0, 0);
    }
}
