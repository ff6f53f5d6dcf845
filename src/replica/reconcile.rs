//! Giving back to a store what it lost.
//!
//! A store that fails over or is restored from a backup may go back in time: changes that it
//! acknowledged are gone, and others may have taken their numbers. Whoever had applied the lost ones
//! appends again what took something away, and denies where two histories contradict each other.
//! What was merely made is only reported: to be without a new credential is a nuisance, to have an
//! old one back is a hole. But a service or a deployment comes back, switched off: without it, what it
//! guarded may be that of a wider and a public one.

use std::collections::{HashMap, HashSet};

use tracing::warn;
use uuid::Uuid;

use super::journal::{Fork, Journal};
use crate::domain::token::AccessKey;
use crate::store::record::{
    AdminKeyRecord, BasicRecord, ConsumerRecord, JwtRecord, KeyRecord, ObjectRecord, OwnerRecord,
    SigningKeysRecord,
};
use crate::store::{Batch, Changed, Effect, Expect, Name, Record, Step, Store, StoreError, Table};

/// What has to be written for the store to have what it lost.
#[derive(Default)]
pub(super) struct Restoration {
    /// One for each record.
    steps: Vec<Planned>,
    /// The lost changes of which something is written again.
    touched: HashSet<u64>,
    /// Records that are to be deleted.
    ended: HashSet<Name>,
    /// Records that are not given back.
    pub(super) lost: usize,
}

struct Planned {
    step: Step,
    /// Of the lost change that touched the record last.
    change: u64,
    /// The record as the store has it.
    stored: Option<Record>,
}

/// The last state of a record in the lost changes.
struct Last<'j> {
    changed: &'j Changed,
    change: u64,
}

/// Steps written at once, or one change's.
const BATCH: usize = 500;

impl Restoration {
    /// # Errors
    ///
    /// The store's.
    pub(super) async fn plan(store: &dyn Store, journal: &Journal, fork: Fork) -> Result<Self, StoreError> {
        let mut last = HashMap::new();
        for point in journal.after(fork) {
            for changed in &point.records {
                last.insert((changed.table, &changed.name), Last { changed, change: point.number });
            }
        }
        // The audit log is a chain of its own: it goes on from where the store has it.
        let mut lost: Vec<_> = last.into_values().filter(|last| last.changed.table != Table::Audit).collect();
        lost.sort_by_key(|last| last.change);
        let mut plan = Self::default();
        let (claims, credentials): (Vec<_>, Vec<_>) =
            lost.iter().partition(|last| matches!(last.changed.table, Table::Unique | Table::Owned));
        for last in credentials {
            plan.give_back(store, last, fork).await?;
        }
        for last in claims {
            plan.give_back_claim(store, last, fork).await?;
        }
        plan.denials_first();
        Ok(plan)
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// # Errors
    ///
    /// The store's; [`StoreError::Conflict`] where somebody wrote one of the records meanwhile, so
    /// that a new plan is needed.
    pub(super) async fn write(self, store: &dyn Store) -> Result<(), StoreError> {
        let mut planned = self.steps.into_iter().peekable();
        while let Some(first) = planned.next() {
            let (mut change, mut steps) = (first.change, vec![first.step]);
            // A record and what claims its names go together.
            while let Some(next) = planned.next_if(|next| next.change == change || steps.len() < BATCH) {
                change = next.change;
                steps.push(next.step);
            }
            store.write(Batch { operation: Uuid::new_v4(), steps }).await?;
        }
        Ok(())
    }

    /// By change; those that only take away stand first.
    fn denials_first(&mut self) {
        let gives = |planned: &&Planned| !denies(&planned.step);
        let giving: HashSet<u64> = self.steps.iter().filter(gives).map(|planned| planned.change).collect();
        self.steps.sort_by_key(|planned| (giving.contains(&planned.change), planned.change));
    }

    /// A consumer or a credential.
    async fn give_back(&mut self, store: &dyn Store, last: &Last<'_>, fork: Fork) -> Result<(), StoreError> {
        let Changed { table, name, payload } = last.changed;
        let stored = match store.read(*table, name).await {
            Err(StoreError::Damaged { why, .. }) => {
                self.give_back_damaged(last, &why);
                return Ok(());
            }
            read => read?,
        };
        let Some(stored) = stored else {
            match payload.as_deref().map(|payload| made_again(*table, payload)) {
                Some(Some(again)) if fork != Fork::Unknown => {
                    warn!(?table, ?name, "the store lost a record; it is made again and opens nothing");
                    self.plan_step(last, Effect::Put(again), None);
                }
                Some(_) => {
                    warn!(?table, ?name, "the store lost a record; it is not made again");
                    self.lost += 1;
                }
                None => {}
            }
            return Ok(());
        };
        let effect = match payload {
            Some(payload) if *payload == stored.payload => return Ok(()),
            None if fork != Fork::Unknown || never_made_again(*table) => Effect::Delete,
            Some(payload) if unchanged_since(&stored, fork) => Effect::Put(payload.clone()),
            Some(payload) if *table == Table::SigningKeys => {
                match (SigningKeysRecord::decode(payload), SigningKeysRecord::decode(&stored.payload)) {
                    (Ok(last), Ok(now)) if now.without_what_ended_before(&last) != now => {
                        warn!(?table, "the store has signing keys again that were ended; they end again");
                        Effect::Put(now.without_what_ended_before(&last).encode())
                    }
                    (Ok(_), Ok(_)) | (Err(_), _) | (_, Err(_)) => return Ok(()),
                }
            }
            // Where the log cannot tell, everything that was changed since looks lost.
            Some(payload) if fork == Fork::Unknown && enabled(*table, payload) => {
                self.lost += 1;
                return Ok(());
            }
            Some(_) | None => match disabled(&stored) {
                Some(disabled) => {
                    contradicted(&stored);
                    Effect::Put(disabled)
                }
                None => return Ok(()),
            },
        };
        self.plan_step(last, effect, Some(stored));
        Ok(())
    }

    /// What cannot be read allows nothing; but what was ended is not to be there when it is mended.
    fn give_back_damaged(&mut self, last: &Last<'_>, why: &str) {
        let Changed { table, name, payload } = last.changed;
        if payload.is_some() {
            warn!(
                ?table,
                ?name,
                why,
                "the store lost a change of a record that cannot be read; it is left so"
            );
            self.lost += 1;
            return;
        }
        let (name, expect) = (name.clone(), Expect::Anything);
        let step = Step { table: *table, name, expect, effect: Effect::Delete };
        self.push(last, step, None);
    }

    /// Whose a text is, or whose a key is. Goes with the record that it is about.
    async fn give_back_claim(
        &mut self,
        store: &dyn Store,
        last: &Last<'_>,
        fork: Fork,
    ) -> Result<(), StoreError> {
        let Changed { table, name, payload } = last.changed;
        let stored = match store.read(*table, name).await {
            Err(StoreError::Damaged { why, .. }) => {
                self.give_back_damaged(last, &why);
                return Ok(());
            }
            read => read?,
        };
        match (payload, stored) {
            (None, Some(stored)) => {
                let gone = match (fork, table) {
                    // Where the log cannot tell, only with what it lists.
                    (Fork::Unknown, Table::Owned) => self.ended.contains(&owned(name)),
                    (Fork::Unknown, _) => false,
                    (Fork::After(_), Table::Owned) => true,
                    (Fork::After(_), _) => unchanged_since(&stored, fork) || self.ends(&stored),
                };
                if gone {
                    self.plan_step(last, Effect::Delete, Some(stored));
                }
            }
            (Some(payload), None) if self.touched.contains(&last.change) => {
                self.plan_step(last, Effect::Put(payload.clone()), None);
            }
            (Some(payload), Some(stored)) if *payload != stored.payload => self.deny_all_of(last.change),
            (Some(_) | None, _) => {}
        }
        Ok(())
    }

    fn plan_step(&mut self, last: &Last<'_>, effect: Effect, stored: Option<Record>) {
        let expect = stored.as_ref().map_or(Expect::Absent, |stored| Expect::Revision(stored.revision));
        let step = Step { table: last.changed.table, name: last.changed.name.clone(), expect, effect };
        self.push(last, step, stored);
    }

    fn push(&mut self, last: &Last<'_>, step: Step, stored: Option<Record>) {
        self.touched.insert(last.change);
        if step.effect == Effect::Delete {
            self.ended.insert(step.name.clone());
        }
        self.steps.push(Planned { step, change: last.change, stored });
    }

    /// Whether the owner of this text is to be deleted.
    fn ends(&self, claim: &Record) -> bool {
        OwnerRecord::decode(claim.table, &claim.payload)
            .is_ok_and(|owner| self.ended.contains(&Name::of(&owner.id)))
    }

    /// The text that a lost change claimed is somebody else's by now: whoever claimed it stays as
    /// the store has it, and is disabled.
    fn deny_all_of(&mut self, change: u64) {
        for planned in self.steps.iter_mut().filter(|planned| planned.change == change) {
            if let (Effect::Put(put), Some(stored)) = (&mut planned.step.effect, &planned.stored)
                && let Some(disabled) = disabled(stored)
            {
                contradicted(stored);
                *put = disabled;
            }
        }
    }
}

/// Whether what was ended there is ended for good: it cannot be disabled, and another one of the same name,
/// which is by chance, was not made since.
fn never_made_again(table: Table) -> bool {
    match table {
        Table::Token | Table::Session | Table::Grant => true,
        Table::Consumer | Table::Key | Table::AdminKey | Table::Basic | Table::Jwt => false,
        Table::Object | Table::AccessKey => false,
        Table::Unique | Table::Owned | Table::SigningKeys | Table::Audit => false,
    }
}

/// The name of what a record of [`Table::Owned`] lists, which is the second half of its own.
fn owned(name: &Name) -> Name {
    Name(name.0.get(16..).unwrap_or_default().to_vec())
}

fn unchanged_since(stored: &Record, fork: Fork) -> bool {
    matches!(fork, Fork::After(number) if stored.revision <= number)
}

fn contradicted(stored: &Record) {
    warn!(
        table = ?stored.table, name = ?stored.name,
        "a lost change and what the store has now contradict each other; the record is disabled until \
         somebody has looked at it"
    );
}

/// A lost record that takes requests from wider ones, so that it goes on doing so and lets none of them pass. A
/// version does not: the latest is in force where a deployment names none, so a lost one could open again what
/// was closed since. What cannot be understood without it is left out, and keeps its place.
fn made_again(table: Table, payload: &[u8]) -> Option<Vec<u8>> {
    let record = ObjectRecord::decode(payload).ok().filter(|_| table == Table::Object)?;
    // Behind what was made since, which has its name or its place if it wants them.
    record.can_be_off().then(|| ObjectRecord { sequence: u64::MAX, ..record.disabled() }.encode())
}

/// Whether nothing is allowed by what the step writes.
fn denies(step: &Step) -> bool {
    match &step.effect {
        Effect::Put(payload) => !enabled(step.table, payload),
        Effect::Delete => true,
        Effect::Keep => false,
    }
}

/// What cannot be read denies.
fn enabled(table: Table, payload: &[u8]) -> bool {
    match table {
        Table::Consumer => ConsumerRecord::decode(payload).is_ok_and(|record| record.enabled),
        Table::Key => KeyRecord::decode(payload).is_ok_and(|record| record.enabled),
        Table::AdminKey => AdminKeyRecord::decode(payload).is_ok_and(|record| record.enabled),
        Table::Basic => BasicRecord::decode(payload).is_ok_and(|record| record.enabled),
        Table::Jwt => JwtRecord::decode(payload).is_ok_and(|record| record.enabled),
        Table::Object => ObjectRecord::decode(payload).is_ok_and(|record| record.is_on()),
        Table::AccessKey => AccessKey::decode(payload).is_ok_and(|record| record.enabled),
        // What is in them never changes.
        Table::Token | Table::Session | Table::Grant => true,
        Table::Unique | Table::Owned | Table::SigningKeys | Table::Audit => true,
    }
}

/// The record so that it denies; `None` where it does.
fn disabled(stored: &Record) -> Option<Vec<u8>> {
    if !enabled(stored.table, &stored.payload) {
        return None;
    }
    let bytes = &stored.payload;
    let disabled = match stored.table {
        Table::Consumer => ConsumerRecord { enabled: false, ..ConsumerRecord::decode(bytes).ok()? }.encode(),
        Table::Key => KeyRecord { enabled: false, ..KeyRecord::decode(bytes).ok()? }.encode(),
        Table::AdminKey => AdminKeyRecord { enabled: false, ..AdminKeyRecord::decode(bytes).ok()? }.encode(),
        Table::Basic => BasicRecord { enabled: false, ..BasicRecord::decode(bytes).ok()? }.encode(),
        Table::Jwt => JwtRecord { enabled: false, ..JwtRecord::decode(bytes).ok()? }.encode(),
        Table::Object => ObjectRecord::decode(bytes).ok()?.disabled().encode(),
        Table::AccessKey => AccessKey { enabled: false, ..AccessKey::decode(bytes).ok()? }.encode(),
        Table::Token | Table::Session | Table::Grant => return None,
        Table::Unique | Table::Owned | Table::SigningKeys | Table::Audit => return None,
    };
    Some(disabled)
}
