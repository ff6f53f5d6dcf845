//! Taking over what another gateway knows, many at a time.

use std::collections::HashMap;

use uuid::Uuid;

use super::consumers::{Owner, steps_to_make, taken};
use super::keys::{VERIFIER, warn_if_weak};
use super::memberships::check_membership;
use super::owned::{Credential, not_without};
use super::{
    Act, By, ConsumerChange, MadeKey, NewBasic, NewConsumer, NewJwt, NewKey, NewMembership, Refusal,
    Registrar,
};
use crate::clock::Clock;
use crate::store::record::{BasicRecord, ConsumerRecord, JwtRecord, KeyRecord};
use crate::store::{Step, StoreError};

/// What came of one of them.
#[derive(Debug)]
pub enum Outcome {
    Made,
    /// It was there, and was given groups that it lacked.
    Added,
    /// It was there as it is.
    Unchanged,
    Refused(Refusal),
}

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    Earnest,
    /// Only says what would be done.
    Dry,
}

impl Registrar {
    /// Consumers, found again by id, username or custom id. One that is there keeps all that it has.
    ///
    /// # Errors
    ///
    /// The store's; what is wrong with one of them is its outcome.
    pub async fn import_consumers(
        &self,
        by: &By,
        new: Vec<NewConsumer>,
        run: Run,
    ) -> Result<Vec<Outcome>, Refusal> {
        let mut outcomes = Vec::with_capacity(new.len());
        let mut made = Vec::new();
        for new in new {
            let outcome = match self.consumer_there(&new).await {
                Ok(Some(found)) => self.add_groups(by, found, new.groups, run).await,
                Ok(None) => self.changed(self.blank(new.id), &new.clone().into()).map(|record| {
                    let steps = steps_to_make(&record);
                    made.push(PreparedConsumer { at: outcomes.len(), new, record, steps });
                    Outcome::Made
                }),
                Err(refusal) => Err(refusal),
            };
            outcomes.push(outcome_of(outcome)?);
        }
        if run == Run::Dry {
            return Ok(outcomes);
        }
        for id in made.iter().filter_map(|it| it.new.id) {
            self.end_what_is_left_of(by, &id).await?;
        }
        while !made.is_empty() {
            let some = together(made.iter().map(|it| it.steps.len()), self.store.most_steps());
            let some: Vec<_> = made.drain(..some).collect();
            let steps = some.iter().flat_map(|it| it.steps.iter().cloned()).collect();
            match self.write(import(by, "consumer.import"), steps, ()).await {
                Ok(_) => continue,
                Err(Refusal::Store(StoreError::Conflict { .. })) => {}
                Err(refusal) => return Err(refusal),
            }
            for it in some {
                let at = it.at;
                outcomes[at] = outcome_of(self.import_consumer(by, it, run).await)?;
            }
        }
        Ok(outcomes)
    }

    /// One by itself, where all together met with one that was there.
    async fn import_consumer(&self, by: &By, it: PreparedConsumer, run: Run) -> Result<Outcome, Refusal> {
        let PreparedConsumer { new, record, steps, .. } = it;
        match self.write(by.does("consumer.create", record.id), steps, ()).await {
            Err(conflict @ Refusal::Store(StoreError::Conflict { .. })) => {
                // Perhaps the same import made it a moment ago.
                match self.consumer_there(&new).await? {
                    Some(found) => self.add_groups(by, found, new.groups, run).await,
                    None => Err(taken(conflict, &record)),
                }
            }
            written => written.map(|_| Outcome::Made),
        }
    }

    /// The consumer that this one is.
    ///
    /// # Errors
    ///
    /// [`Refusal::Taken`] where somebody of another username has its custom id.
    async fn consumer_there(&self, new: &NewConsumer) -> Result<Option<ConsumerRecord>, Refusal> {
        let id = new.id.map(|id| id.to_string());
        for name in [id.as_ref(), new.username.as_ref()].into_iter().flatten() {
            self.not_declared(name)?;
            match self.consumer(name).await {
                Err(Refusal::NotFound { .. }) => {}
                found => return Ok(Some(found?.value)),
            }
        }
        let Some(custom_id) = &new.custom_id else { return Ok(None) };
        let found = self.consumer_with_custom_id(custom_id).await?;
        if found.is_some() && new.username.is_some() {
            return Err(Refusal::Taken { what: "custom_id", name: custom_id.clone() });
        }
        Ok(found)
    }

    async fn add_groups(
        &self,
        by: &By,
        found: ConsumerRecord,
        groups: Vec<String>,
        run: Run,
    ) -> Result<Outcome, Refusal> {
        let mut all: Vec<String> = found.groups.into_iter().map(|member| member.group).collect();
        let had = all.len();
        for group in groups {
            if !all.contains(&group) {
                all.push(group);
            }
        }
        if all.len() == had {
            return Ok(Outcome::Unchanged);
        }
        if run == Run::Earnest {
            let change = ConsumerChange { groups: Some(all), ..ConsumerChange::default() };
            self.change_consumer(by, &found.id.to_string(), &change).await?;
        }
        Ok(Outcome::Added)
    }

    /// Keys with their consumers, found again by their texts.
    ///
    /// # Errors
    ///
    /// The store's; what is wrong with one of them is its outcome.
    pub async fn import_keys(
        &self,
        by: &By,
        new: Vec<(Owner, NewKey)>,
        run: Run,
    ) -> Result<Vec<Outcome>, Refusal> {
        let mut outcomes = Vec::with_capacity(new.len());
        let mut made = Vec::new();
        for (owner, mut new) in new {
            new.id.get_or_insert_with(|| in_order_of_time(&self.clock));
            let outcome = self.prepare_key(owner.id(), new).map(|(key, steps)| {
                made.push(Prepared { at: outcomes.len(), owner, key, steps });
                Outcome::Made
            });
            outcomes.push(outcome_of(outcome)?);
        }
        while !made.is_empty() {
            let some = together(made.iter().map(|it| it.steps.len()), self.store.most_steps());
            let some: Vec<_> = made.drain(..some).collect();
            if run == Run::Earnest && self.import_together(by, &some).await? {
                continue;
            }
            for it in some {
                let at = it.at;
                outcomes[at] = outcome_of(self.import_key(by, it, run).await)?;
            }
        }
        Ok(outcomes)
    }

    /// Many in one write; `false` where one of them cannot be made, and so none was.
    async fn import_together(&self, by: &By, made: &[Prepared]) -> Result<bool, Refusal> {
        let mut owners: HashMap<Uuid, Owner> = HashMap::new();
        owners.extend(made.iter().map(|it| (it.owner.id(), it.owner)));
        let mut steps: Vec<Step> = made.iter().flat_map(|it| it.steps.iter().cloned()).collect();
        steps.extend(owners.into_values().filter_map(not_without));
        match self.write(import(by, "key.import"), steps, ()).await {
            Ok(_) => {
                made.iter().for_each(|it| warn_if_weak(&it.key.record));
                Ok(true)
            }
            Err(Refusal::Store(StoreError::Conflict { .. })) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// One by itself, where all together met with one that was there.
    async fn import_key(&self, by: &By, it: Prepared, run: Run) -> Result<Outcome, Refusal> {
        let record = &it.key.record;
        if let Some(id) = self.owner_of_secret(VERIFIER, it.key.text.expose().as_bytes()).await? {
            let theirs = self.credential::<KeyRecord>(&id).await?;
            let same = theirs.is_some_and(|(theirs, _)| theirs.consumer == record.consumer);
            return if same { Ok(Outcome::Unchanged) } else { Err(Refusal::KeyInUse) };
        }
        if self.credential::<KeyRecord>(&record.id).await?.is_some() {
            return Err(Refusal::IdTaken { what: KeyRecord::WHAT, id: record.id });
        }
        if run == Run::Dry {
            return Ok(Outcome::Made);
        }
        let act = by.does(KeyRecord::CREATE, record.id);
        let steps = it.steps.into_iter().chain(not_without(it.owner)).collect();
        match self.write(act, steps, ()).await {
            Err(Refusal::Store(StoreError::Conflict { .. })) => Err(Refusal::KeyInUse),
            written => {
                written?;
                warn_if_weak(&it.key.record);
                Ok(Outcome::Made)
            }
        }
    }

    /// A name with a password, found again by the name.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn import_basic(
        &self,
        by: &By,
        (owner, new): (Owner, NewBasic),
        run: Run,
    ) -> Result<Outcome, Refusal> {
        let outcome = match self.named_credential::<BasicRecord>(&new.username).await {
            Ok(found) => theirs_or_taken(found.consumer == owner.id(), &found.value),
            Err(Refusal::NotFound { .. }) if run == Run::Dry => self.check_basic(&new).map(|_| Outcome::Made),
            Err(Refusal::NotFound { .. }) => {
                self.create_basic(by, &owner.id().to_string(), new).await.map(|_| Outcome::Made)
            }
            Err(refusal) => Err(refusal),
        };
        outcome_of(outcome)
    }

    /// What a consumer's JWTs are verified with, found again by its key.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn import_jwt(
        &self,
        by: &By,
        (owner, new): (Owner, NewJwt),
        run: Run,
    ) -> Result<Outcome, Refusal> {
        let found = match &new.key {
            Some(key) => self.named_credential::<JwtRecord>(key).await,
            None => Err(Refusal::NotFound { what: JwtRecord::WHAT, name: String::new() }),
        };
        let outcome = match found {
            Ok(found) => theirs_or_taken(found.consumer == owner.id(), &found.value),
            Err(Refusal::NotFound { .. }) if run == Run::Dry => {
                self.jwt_to_make(owner.id(), new).map(|_| Outcome::Made)
            }
            Err(Refusal::NotFound { .. }) => {
                self.create_jwt(by, &owner.id().to_string(), new).await.map(|_| Outcome::Made)
            }
            Err(refusal) => Err(refusal),
        };
        outcome_of(outcome)
    }

    /// A membership, found again by its group.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn import_membership(
        &self,
        by: &By,
        (owner, new): (Owner, NewMembership),
        run: Run,
    ) -> Result<Outcome, Refusal> {
        let consumer = owner.id().to_string();
        let outcome = match self.membership_of(&consumer, &new.group).await {
            Ok(_) => Ok(Outcome::Unchanged),
            Err(Refusal::NotFound { .. }) if matches!(owner, Owner::Declared(_)) => {
                Err(Refusal::OwnedByFile { what: "consumer", name: consumer })
            }
            Err(Refusal::NotFound { .. }) if run == Run::Dry => check_membership(&new).map(|_| Outcome::Made),
            Err(Refusal::NotFound { .. }) => self.join_group(by, &consumer, new).await.map(|_| Outcome::Made),
            Err(refusal) => Err(refusal),
        };
        outcome_of(outcome)
    }
}

/// How many of these, which take so many steps each, one write takes.
fn together(steps: impl Iterator<Item = usize>, most_steps: usize) -> usize {
    let fits = |sum: &mut usize, steps: usize| {
        *sum += steps;
        (*sum <= most_steps).then_some(())
    };
    steps.scan(0, fits).count().max(1)
}

/// An id of version 7. Of a million keys each goes behind the one before, in the store's trees too: random
/// ids would have a page of its own written for every one of them.
fn in_order_of_time(clock: &Clock) -> Uuid {
    let millis = u64::try_from(clock.unix_millis()).unwrap_or_default();
    let random = Uuid::new_v4().into_bytes();
    // All but the two that say which version it is.
    let mut rest = [0; 10];
    rest[..6].copy_from_slice(&random[..6]);
    rest[6..].copy_from_slice(&random[9..13]);
    uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()
}

/// A consumer that is ready to be written.
struct PreparedConsumer {
    at: usize,
    /// As it was asked for.
    new: NewConsumer,
    record: ConsumerRecord,
    steps: Vec<Step>,
}

/// A key that is ready to be written.
struct Prepared {
    at: usize,
    owner: Owner,
    key: MadeKey,
    steps: Vec<Step>,
}

/// Of many objects at once, of which none stands for the others.
fn import<'b>(by: &'b By, action: &'static str) -> Act<'b> {
    Act { by, action, object: None, operation: None }
}

fn theirs_or_taken<C: Credential>(same_consumer: bool, found: &C) -> Result<Outcome, Refusal> {
    if same_consumer { Ok(Outcome::Unchanged) } else { Err(found.taken()) }
}

/// A refusal of one is its outcome; a store that does not answer ends the import.
fn outcome_of(outcome: Result<Outcome, Refusal>) -> Result<Outcome, Refusal> {
    match outcome {
        Err(Refusal::Store(error)) => Err(Refusal::Store(error)),
        Err(refusal) => Ok(Outcome::Refused(refusal)),
        Ok(outcome) => Ok(outcome),
    }
}
