//! What a consumer may have only so many of: a place is counted and taken with one write.
//!
//! Whoever takes one writes the consumer's tally, which it has read before it counted. Of two that have counted
//! the same, at whichever instances, the second finds the tally written, and counts again.

use tokio::sync::Mutex;
use tokio::time::timeout;

use super::audit::Chain;
use super::owned::Owned;
use super::{Act, Done, OWN_APPLIER, Refusal, Registrar, unique};
use crate::domain::consumer::ConsumerId;
use crate::store::record::OwnerRecord;
use crate::store::{Effect, Expect, Name, Step, StoreError, Table};

/// Of what there are places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    /// Keys that a consumer makes itself. Ended ones count until they are revoked.
    OwnKeys,
    /// Those that are over count until they are taken away.
    AccessKeys,
    /// Tokens and sessions, both together, that have not expired.
    Tokens,
}

/// Those who take a place at this instance, one after the other: together they would only find each other's
/// tally.
pub(super) struct Turns(Vec<Mutex<()>>);

/// With more places than that left, tokens are taken without a tally: fewer are under way at once, for whoever
/// asks for one holds a connection to `listen.auth` meanwhile, of which an instance has 1024 unless told otherwise.
const FAR: usize = 4_096;

impl Limited {
    pub(super) const ALL: [Self; 3] = [Self::OwnKeys, Self::AccessKeys, Self::Tokens];

    /// Where the tally is, in [`Table::Unique`]. Stored: never change it.
    pub(super) fn tally(self, consumer: &ConsumerId) -> Name {
        let kind = match self {
            Self::OwnKeys => "tally.own_keys",
            Self::AccessKeys => "tally.access_keys",
            Self::Tokens => "tally.tokens",
        };
        unique(kind, consumer.as_bytes())
    }

    fn full(self, most: usize) -> Refusal {
        let (what, limit) = match self {
            Self::OwnKeys => ("keys of yours", "limits.own_keys"),
            Self::AccessKeys => ("access keys of this consumer", "limits.access_keys"),
            Self::Tokens => ("tokens and sessions of this consumer", "limits.tokens"),
        };
        Refusal::Full { what, most, limit }
    }

    /// How many the same write takes away.
    fn freed(self, steps: &[Step]) -> usize {
        let table = match self {
            Self::OwnKeys => Table::Key,
            Self::AccessKeys => Table::AccessKey,
            Self::Tokens => Table::Token,
        };
        steps.iter().filter(|step| step.table == table && step.effect == Effect::Delete).count()
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self((0..64).map(|_| Mutex::default()).collect())
    }
}

impl Turns {
    fn of(&self, consumer: &ConsumerId) -> &Mutex<()> {
        &self.0[usize::from(consumer.as_bytes()[15]) % self.0.len()]
    }
}

impl Registrar {
    /// Writes `steps`, which take one of the consumer's places, where one is left.
    ///
    /// # Errors
    ///
    /// [`Refusal::Full`]; [`Refusal::Raced`] where others took places all the time; the store's.
    pub(super) async fn take_place(
        &self,
        (limited, consumer): (Limited, ConsumerId),
        act: Act<'_>,
        steps: Vec<Step>,
    ) -> Result<Done<()>, Refusal> {
        let (most, chain) = self.bounds(limited);
        if limited == Limited::Tokens && most.saturating_sub(self.tokens_of(&consumer)) > FAR {
            return self.write_to(chain, act, steps, ()).await;
        }
        let (name, freed) = (limited.tally(&consumer), limited.freed(&steps));
        let _turn = self.turns.of(&consumer).lock().await;
        let began = self.clock.monotonic();
        while self.clock.monotonic() - began < OWN_APPLIER {
            let tally = self.store.read(Table::Unique, &name).await?.map(|tally| tally.revision);
            let held = self.held(limited, &consumer, (tally, most + freed)).await?;
            if held >= most + freed {
                return Err(limited.full(most));
            }
            // First, so that nothing else is told of what was counted wrongly.
            let expect = tally.map_or(Expect::Absent, Expect::Revision);
            let effect = Effect::Put(OwnerRecord { id: consumer }.encode());
            let tally = Step { table: Table::Unique, name: name.clone(), expect, effect };
            let all = std::iter::once(tally).chain(steps.iter().cloned()).collect();
            match self.write_to(chain, act, all, ()).await {
                Err(Refusal::Store(StoreError::Conflict { table: Table::Unique, name: of }))
                    if of == name => {}
                done => return done,
            }
        }
        Err(Refusal::Raced)
    }

    /// How many there may be, and in which chain of the audit log they are.
    fn bounds(&self, limited: Limited) -> (usize, &Chain) {
        match limited {
            Limited::OwnKeys => (self.most.own_keys, &self.changes),
            Limited::AccessKeys => (self.most.access_keys, &self.changes),
            Limited::Tokens => (self.most.tokens, &self.handed_out),
        }
    }

    /// How many there are, with all that was made up to the change that wrote the tally. Counts no further
    /// than `enough`.
    async fn held(
        &self,
        limited: Limited,
        consumer: &ConsumerId,
        (tally, enough): (Option<u64>, usize),
    ) -> Result<usize, Refusal> {
        let owned = match limited {
            Limited::OwnKeys => Owned::Key,
            Limited::AccessKeys => Owned::AccessKey,
            Limited::Tokens => {
                self.know_of(tally).await?;
                return Ok(self.tokens_of(consumer));
            }
        };
        Ok(self.store.scan(Table::Owned, &owned.prefix(consumer), None, enough).await?.len())
    }

    /// Waits until this instance knows of a change.
    async fn know_of(&self, change: Option<u64>) -> Result<(), Refusal> {
        let (Some(replica), Some(change)) = (&self.replica, change) else { return Ok(()) };
        let mut applied = replica.applied();
        let known = applied.wait_for(|at| at.is_some_and(|at| at.number >= change));
        match timeout(OWN_APPLIER, known).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Refusal::Raced),
        }
    }

    /// By what this instance knows.
    fn tokens_of(&self, consumer: &ConsumerId) -> usize {
        let now = self.clock.now();
        self.replica.as_ref().map_or(0, |replica| replica.held_by(consumer, now))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;
    use std::sync::Arc;

    use arc_swap::ArcSwap;
    use tokio::task::JoinSet;
    use uuid::Uuid;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::catalog::{Catalog, Parts};
    use crate::issue::{By, Lifetimes, Most, NewConsumer, NewKey};
    use crate::store::Store;
    use crate::store::redb::tests::open_keeping;
    use crate::store::ring::Ring;

    /// At two instances, which know of each other by their store alone.
    #[tokio::test]
    async fn of_many_who_ask_at_once_as_many_have_a_place_as_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Arc::new(open_keeping(folder.path(), 1_000));
        let ring = Arc::new(Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap());
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        let most = Most { own_keys: 3, access_keys: 0, tokens: 0 };
        let instances = [1, 2].map(|instance| {
            let registrar = Registrar::new(store.clone(), ring.clone(), Clock::system(), catalog.clone());
            let registrar = registrar.with_audit(Uuid::from_u128(instance), 1_000);
            Arc::new(registrar.with_lifetimes(Lifetimes::default(), most))
        });
        let by = By::doorward();
        let alice = NewConsumer { username: Some("alice".into()), ..NewConsumer::default() };
        let alice = instances[0].create_consumer(&by, alice).await.unwrap().value.id;
        let mut asked = JoinSet::new();
        for at in 0..16 {
            let (registrar, by) = (Arc::clone(&instances[at % 2]), by.clone());
            asked.spawn(
                async move { registrar.create_own_key(&by, alice, NewKey::default()).await.map(drop) },
            );
        }
        let answers = asked.join_all().await;
        let full = |answer: &&Result<(), Refusal>| matches!(answer, Err(Refusal::Full { most: 3, .. }));
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3, "{answers:?}");
        assert_eq!(answers.iter().filter(full).count(), 13, "{answers:?}");
        assert_eq!(instances[0].keys_of(&alice, None, 20).await.unwrap().len(), 3);

        // Nothing is left of it when she is gone.
        instances[1].delete_consumer(&by, "alice").await.unwrap();
        let tally = store.read(Table::Unique, &Limited::OwnKeys.tally(&alice)).await.unwrap();
        assert_eq!(tally, None);
    }
}
