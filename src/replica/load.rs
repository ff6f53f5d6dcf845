//! Reading everything a store holds.

use super::apply::{Fact, apply};
use super::{Replica, Tables};
use crate::clock::Clock;
use crate::store::{Changes, Head, Record, Store, StoreError, Table};

/// Changes asked for at once.
const RUN: usize = 1000;

/// A store whose log is shorter than a snapshot takes to read is not followed for ever.
const TRIES: usize = 5;

/// What the store holds at one moment: a snapshot, and the changes after it until there are no more.
///
/// # Errors
///
/// The store's.
pub(super) async fn load(store: &dyn Store) -> Result<(Tables, Head), StoreError> {
    for _ in 0..TRIES {
        let tables = Tables::default();
        let mut each = |record: Record| {
            let fact = Fact::of(record.table, &record.name, Some(&record.payload));
            fact.into_iter().for_each(|fact| tables.take(fact));
        };
        let head = store.snapshot(&[Table::Consumer, Table::Key], &mut each).await?;
        if let Some(head) = replay(store, &tables, head).await? {
            return Ok((tables, head));
        }
    }
    Err(StoreError::Unavailable(format!("its log was too short for its snapshot, {TRIES} times")))
}

/// Applies the changes after `head`, until there are no more; gives where that is. `None` where the
/// log does not lead on from there.
async fn replay(store: &dyn Store, tables: &Tables, mut head: Head) -> Result<Option<Head>, StoreError> {
    loop {
        let changes = match store.changes(head, RUN).await? {
            Changes::Next(changes) => changes,
            Changes::Gone | Changes::Parted => return Ok(None),
        };
        let Some(last) = changes.last() else { return Ok(Some(head)) };
        apply(tables, &changes);
        head.epoch.number = last.number;
        head.mark = last.mark;
    }
}

impl Replica {
    /// What a store holds, read once and not followed: for a command that has the store to itself
    /// and decides one request.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn load(store: &dyn Store, clock: &Clock) -> Result<Self, StoreError> {
        let (tables, _) = load(store).await?;
        Ok(Self::settled(tables, clock))
    }
}
