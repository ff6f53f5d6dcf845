//! What every store does with a batch before it writes: look for its operation, ask what it
//! expects, give it the next number.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use super::{Batch, Change, Changed, Effect, Epoch, Expect, Mark, Name, Step, StoreError, Table};

/// How many changes a log keeps. A follower that lags by more reads a snapshot.
pub(super) const KEPT: u64 = 100_000;

/// The part of a store's history that its log still has.
pub(super) struct History {
    epoch: Epoch,
    /// The log has the changes after this one, up to `epoch.number`, without gaps.
    after: u64,
    /// The operations of those changes, in order.
    operations: VecDeque<Uuid>,
    numbers: HashMap<Uuid, u64>,
}

impl History {
    /// A history that goes on from `epoch`; `operations` are those of the changes after `after`,
    /// so there are `epoch.number - after` of them.
    pub(super) fn new(epoch: Epoch, after: u64, operations: Vec<Uuid>) -> Self {
        let numbers =
            operations.iter().zip(after + 1..).map(|(operation, number)| (*operation, number)).collect();
        Self { epoch, after, operations: operations.into(), numbers }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn after(&self) -> u64 {
        self.after
    }

    /// The epoch that a batch of this operation was written at, if the log still knows.
    pub(super) fn written(&self, operation: &Uuid) -> Option<Epoch> {
        self.numbers.get(operation).map(|number| Epoch { number: *number, ..self.epoch })
    }

    /// Takes the next number for a batch.
    pub(super) fn advance(&mut self, operation: Uuid) -> Epoch {
        self.epoch.number += 1;
        self.operations.push_back(operation);
        self.numbers.insert(operation, self.epoch.number);
        self.epoch
    }

    pub(super) fn begin_term(&mut self) {
        self.epoch.term += 1;
    }

    /// Forgets every change after `number`, as a store does that was restored or fails over.
    #[cfg(test)]
    pub(super) fn wind_back(&mut self, number: u64, term: u32) {
        while self.epoch.number > number.max(self.after) {
            if let Some(operation) = self.operations.pop_back() {
                self.numbers.remove(&operation);
            }
            self.epoch.number -= 1;
        }
        self.epoch.term = term;
    }

    /// Forgets all but the newest `kept` changes; gives the numbers of those to be removed from
    /// the log.
    pub(super) fn trim(&mut self, kept: u64) -> std::ops::RangeInclusive<u64> {
        let first = self.after + 1;
        while self.epoch.number - self.after > kept {
            if let Some(operation) = self.operations.pop_front() {
                self.numbers.remove(&operation);
            }
            self.after += 1;
        }
        first..=self.after
    }
}

/// The first step whose expectation does not hold, as the records stand before the batch.
///
/// # Errors
///
/// [`StoreError::Conflict`], or what `revision_of` gives.
pub(super) fn expect(
    batch: &Batch,
    mut revision_of: impl FnMut(Table, &Name) -> Result<Option<u64>, StoreError>,
) -> Result<(), StoreError> {
    for step in &batch.steps {
        let holds = match step.expect {
            Expect::Anything => true,
            Expect::Absent => revision_of(step.table, &step.name)?.is_none(),
            Expect::Present => revision_of(step.table, &step.name)?.is_some(),
            Expect::Revision(revision) => revision_of(step.table, &step.name)? == Some(revision),
        };
        if !holds {
            return Err(StoreError::Conflict { table: step.table, name: step.name.clone() });
        }
    }
    Ok(())
}

/// The batch as the log has it; its mark is up to who keeps the log.
pub(super) fn change(number: u64, batch: &Batch) -> Change {
    let changed = |step: &Step| {
        let payload = match &step.effect {
            Effect::Put(payload) => Some(payload.clone()),
            Effect::Delete => None,
            Effect::Keep => return None,
        };
        Some(Changed { table: step.table, name: step.name.clone(), payload })
    };
    let records = batch.steps.iter().filter_map(changed).collect();
    Change { number, mark: Mark::NONE, operation: batch.operation, records }
}
