//! The audit log: who changed what, in the same atomic write as the change.
//!
//! Each instance has chains of its own, so that no instance waits for another: one of changes, one of
//! attempts (failed authentications, put together) and one of what was handed out and given back (tokens,
//! sessions), so that a flood of the latter two never displaces the former. An entry has the hash of the
//! one before, and the chain's head the number and the hash of the newest: whatever is removed, changed or
//! moved, `Registrar::verify_audit` finds it.
//! Records carry the ring's MAC besides, so that nobody without the ring writes a chain anew.

mod list;
mod retire;
mod verify;

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use uuid::Uuid;

pub use self::list::{AuditFilter, AuditPage, Offset};
pub use self::retire::ChainStanding;
pub use self::verify::{Finding, Verdict};
use super::{Act, delete};
use crate::domain::time::Timestamp;
use crate::store::record::{AuditEntry, AuditHead};
use crate::store::{Batch, Effect, Epoch, Expect, Name, Record, Step, Store, StoreError, Table};

/// One chain of this instance, and where it stands.
pub(super) struct Chain {
    id: Uuid,
    /// How many entries it keeps.
    kept: u64,
    /// `None` where that has to be read. Held while an entry is written: they follow on each other.
    head: Mutex<Option<Standing>>,
}

#[derive(Clone, Copy)]
struct Standing {
    head: AuditHead,
    /// Of the head's record; `None` where there is none.
    revision: Option<u64>,
}

/// What happened, without its place in a chain.
#[derive(Default)]
pub(super) struct Event {
    pub(super) caller: String,
    pub(super) caller_id: Option<Uuid>,
    pub(super) action: String,
    pub(super) object: Option<Uuid>,
    pub(super) request_id: String,
    pub(super) count: u64,
    pub(super) addresses: Vec<String>,
    pub(super) operation: Option<Uuid>,
}

/// What became of a write.
pub(super) enum Appended {
    Now(Epoch),
    /// Its operation was written before; nothing was done.
    Before,
}

impl Chain {
    pub(super) fn new(id: Uuid, kept: u64) -> Self {
        Self { id, kept, head: Mutex::new(None) }
    }

    /// Writes `steps` and the entry about them, all or nothing.
    ///
    /// # Errors
    ///
    /// As [`Store::write`].
    pub(super) async fn write(
        &self,
        store: &dyn Store,
        batch: Batch,
        event: &Event,
        now: Timestamp,
    ) -> Result<Appended, StoreError> {
        let mut head = timeout(PATIENCE, self.head.lock())
            .await
            .map_err(|_| StoreError::Unavailable("too many writes wait for the store".into()))?;
        for _ in 0..TRIES {
            let standing = match *head {
                Some(standing) => standing,
                None => self.read(store).await?,
            };
            // Until it is known to be written nothing is known: whoever is cut off here leaves that open.
            *head = None;
            let (steps, next) = self.append(standing, event, now);
            let mut batch = batch.clone();
            batch.steps.extend(steps);
            match store.write(batch).await {
                Ok(_) if event.operation.is_some() && !self.has(store, next.number).await? => {
                    return Ok(Appended::Before);
                }
                Ok(epoch) => {
                    *head = Some(Standing { head: next, revision: Some(epoch.number) });
                    return Ok(Appended::Now(epoch));
                }
                // Somebody wrote to this chain whom we do not know of: look again.
                Err(StoreError::Conflict { table: Table::Audit, name }) if self.has_name(&name) => {}
                Err(error @ StoreError::Conflict { .. }) => {
                    *head = Some(standing);
                    return Err(error);
                }
                Err(StoreError::Unconfirmed(epoch)) => {
                    *head = Some(Standing { head: next, revision: Some(epoch.number) });
                    return Err(StoreError::Unconfirmed(epoch));
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Unavailable("somebody else writes to this instance's audit chain".into()))
    }

    /// Whether it is this chain's head, or one of its entries.
    fn has_name(&self, name: &Name) -> bool {
        name.0.starts_with(&Name::of(&self.id).0)
    }

    async fn has(&self, store: &dyn Store, number: u64) -> Result<bool, StoreError> {
        Ok(store.read(Table::Audit, &AuditEntry::name(&self.id, number)).await?.is_some())
    }

    async fn read(&self, store: &dyn Store) -> Result<Standing, StoreError> {
        let record = store.read(Table::Audit, &Name::of(&self.id)).await?;
        let Some(Record { payload, revision, .. }) = record else {
            let head = AuditHead { number: 0, hash: [0; 32], first: 1, at: Timestamp::from_unix(0) };
            return Ok(Standing { head, revision: None });
        };
        Ok(Standing { head: AuditHead::decode(&payload)?, revision: Some(revision) })
    }

    /// The steps of one more entry, and where the chain stands then. They come last in a batch: what is
    /// wrong with the change itself is told first.
    fn append(&self, standing: Standing, event: &Event, now: Timestamp) -> (Vec<Step>, AuditHead) {
        let Standing { head, revision } = standing;
        let number = head.number + 1;
        let entry = AuditEntry {
            chain: self.id,
            number,
            previous: head.hash,
            // A clock that was put back does not put entries out of order.
            at: now.max(head.at),
            caller: event.caller.clone(),
            caller_id: event.caller_id,
            action: event.action.clone(),
            object: event.object,
            request_id: event.request_id.clone(),
            count: event.count,
            addresses: event.addresses.clone(),
            operation: event.operation,
        };
        let payload = entry.encode();
        let oldest = (number + 1).saturating_sub(self.kept).max(head.first);
        // Where fewer are kept than before, some with each entry.
        let first = oldest.min(head.first + MOST_DROPPED);
        let next = AuditHead { number, hash: AuditEntry::hash(&payload), first, at: entry.at };
        let mut steps = vec![
            Step {
                table: Table::Audit,
                name: AuditEntry::name(&self.id, number),
                expect: Expect::Absent,
                effect: Effect::Put(payload),
            },
            Step {
                table: Table::Audit,
                name: Name::of(&self.id),
                expect: revision.map_or(Expect::Absent, Expect::Revision),
                effect: Effect::Put(next.encode()),
            },
        ];
        let dropped = head.first..first;
        steps.extend(dropped.map(|number| delete(Table::Audit, AuditEntry::name(&self.id, number))));
        (steps, next)
    }
}

impl Event {
    pub(super) fn of(act: &Act<'_>) -> Self {
        Self {
            caller: act.by.caller.kind().to_owned(),
            caller_id: act.by.caller.id(),
            action: act.action.to_owned(),
            object: act.object,
            request_id: act.by.request_id.clone(),
            count: 1,
            addresses: Vec::new(),
            operation: act.operation,
        }
    }
}

/// For those who wait before a write: more than a store takes that answers at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Another process that writes to the same chain is a mistake, or one that is just ending.
const TRIES: usize = 8;

/// Entries dropped with one write.
const MOST_DROPPED: u64 = 64;
