//! Deleting a consumer with all that it owns.

use uuid::Uuid;

use super::consumers::claims;
use super::memberships::joined;
use super::owned::{Owned, owned_id};
use super::places::Limited;
use super::{By, Done, Refusal, Registrar, delete, unique};
use crate::domain::consumer::ConsumerId;
use crate::store::{Effect, Expect, Name, Step, StoreError, Table};

impl Registrar {
    /// Deletes a consumer with all that it owns. Its credentials end with the first write, in which
    /// the consumer itself goes and as many of them as one write takes; where it has more, the write says
    /// so, and the rest goes now, or with [`Registrar::finish_deletions`].
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`]; [`Refusal::OwnedByFile`] for one that the file declares.
    pub async fn delete_consumer(&self, by: &By, named: &str) -> Result<Done<()>, Refusal> {
        self.not_declared(named)?;
        let (id, done) = loop {
            let (record, revision) = self.consumer_and_revision(named).await?;
            let mut steps = vec![Step {
                table: Table::Consumer,
                name: Name::of(&record.id),
                expect: Expect::Revision(revision),
                effect: Effect::Delete,
            }];
            let names = claims(&record).into_iter();
            steps.extend(names.map(|(kind, text)| delete(Table::Unique, unique(kind, text.as_bytes()))));
            steps.extend(joined(&record.id, &record.groups, &[]));
            steps.extend(Limited::ALL.map(|limited| delete(Table::Unique, limited.tally(&record.id))));
            steps.extend(self.ending_owned_by(&record.id).await?);
            match self.write(by.does("consumer.delete", record.id), steps, ()).await {
                Ok(done) => break (record.id, done),
                // It, or a credential of it, was changed meanwhile: look again.
                Err(Refusal::Store(StoreError::Conflict { .. })) => {}
                Err(refusal) => return Err(refusal),
            }
        };
        Ok(self.end_all_owned_by(by, &id).await?.unwrap_or(done))
    }

    /// Ends the credentials of every consumer whose deletion was cut short: their texts could not be
    /// used again otherwise.
    ///
    /// # Errors
    ///
    /// The store's; what is left then is for the next time.
    pub async fn finish_deletions(&self) -> Result<(), Refusal> {
        let by = By::doorward();
        loop {
            let begun = self.store.scan(Table::Owned, DELETED.as_bytes(), None, RUN).await?;
            if begun.is_empty() {
                return Ok(());
            }
            for begun in begun {
                let consumer = owned_id(&begun.name);
                if self.store.read(Table::Consumer, &Name::of(&consumer)).await?.is_none() {
                    self.end_all_owned_by(&by, &consumer).await?;
                }
                let act = by.does("consumer.deleted", consumer);
                self.write(act, vec![delete(Table::Owned, begun.name)], ()).await?;
            }
        }
    }

    /// Ends what is left of an earlier consumer of this id, whose deletion was cut short: it must not open for
    /// the one that is to have the id now.
    pub(super) async fn end_what_is_left_of(&self, by: &By, id: &ConsumerId) -> Result<(), Refusal> {
        if self.store.read(Table::Consumer, &Name::of(id)).await?.is_none() {
            self.end_all_owned_by(by, id).await?;
        }
        Ok(())
    }

    /// Ends every credential of a consumer that is gone; the last of the writes, if there was any.
    pub(super) async fn end_all_owned_by(
        &self,
        by: &By,
        consumer: &ConsumerId,
    ) -> Result<Option<Done<()>>, Refusal> {
        // What was asked of the consumer was asked as it went.
        let by = &by.clone().provided(None);
        let mut done = None;
        loop {
            let steps = self.ending_owned_by(consumer).await?;
            // That all is done already is not worth a write.
            if steps.iter().all(|step| step.name == Name::pair(&DELETED, consumer)) {
                return Ok(done);
            }
            match self.write(by.does("consumer.end_credentials", *consumer), steps, ()).await {
                Ok(written) => done = Some(written),
                // One of them was ended meanwhile: look again.
                Err(Refusal::Store(StoreError::Conflict { .. })) => {}
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// What ends some of a consumer's credentials, and notes whether there are more.
    async fn ending_owned_by(&self, consumer: &ConsumerId) -> Result<Vec<Step>, Refusal> {
        let (mut steps, mut left) = (Vec::new(), self.store.most_steps() / STEPS_OF_ONE);
        let mut more = false;
        for kind in Owned::ALL {
            let mut owned = self.store.scan(Table::Owned, &kind.prefix(consumer), None, left + 1).await?;
            more |= owned.len() > left;
            owned.truncate(left);
            left -= owned.len();
            let names: Vec<Name> = owned.iter().map(|owned| Name::of(&owned_id(&owned.name))).collect();
            let stored = self.store.read_many(kind.table(), names.clone()).await?;
            let mut stored = stored.iter().peekable();
            for (owned, name) in owned.into_iter().zip(names) {
                match stored.next_if(|stored| stored.name == name) {
                    Some(stored) => steps.extend(kind.ending(stored)?),
                    None => steps.push(delete(Table::Owned, owned.name)),
                }
            }
        }
        let effect = if more { Effect::Put(Vec::new()) } else { Effect::Delete };
        let name = Name::pair(&DELETED, consumer);
        steps.push(Step { table: Table::Owned, name, expect: Expect::Anything, effect });
        Ok(steps)
    }
}

/// Consumers whose deletion was cut short are looked at so many at a time.
const RUN: usize = 500;

/// What it takes to end a credential: its record, its place among its owner's, and its text.
const STEPS_OF_ONE: usize = 3;

/// Owns the consumers that are deleted while credentials of theirs are still there. No consumer's id:
/// made once, by chance. Never change it.
pub(super) const DELETED: Uuid = Uuid::from_u128(0x7d1c_64a0_5b0e_4e39_9f8a_2c4b_d3e6_1f57);
