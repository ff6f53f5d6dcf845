//! Reading everything a store holds.

use tracing::{error, warn};

use super::apply::{Fact, apply};
use super::pack;
use super::{RUN, Replica, Tables};
use crate::clock::Clock;
use crate::store::{Changes, Head, Record, Store, StoreError, Table};

/// What a store held at one moment.
pub(super) struct Loaded {
    pub(super) tables: Tables,
    pub(super) at: Head,
    /// Records that were read one by one; 0 where there was a pack.
    pub(super) plain: u64,
    /// Changes that were applied on top.
    pub(super) replayed: u64,
    /// Records that are left out, because they cannot be trusted.
    pub(super) damaged: Vec<String>,
}

/// A store whose log is shorter than a snapshot takes to read is not followed for ever.
const TRIES: usize = 5;

/// Damaged records of which the log has a line each; `doorward store check` has all.
const TOLD: usize = 100;

/// A pack if there is one, else every record, and then the changes until there are no more.
///
/// # Errors
///
/// The store's.
pub(super) async fn load(store: &dyn Store) -> Result<Loaded, StoreError> {
    if let Some(mut loaded) = unpack(store).await {
        match replay(store, &mut loaded).await {
            Ok(true) => return Ok(loaded),
            Ok(false) => warn!("the log does not lead on from the pack; every record is read instead"),
            Err(error) => {
                warn!(%error, "the pack cannot be brought up to date; every record is read instead")
            }
        }
    }
    for _ in 0..TRIES {
        let mut loaded = read(store).await?;
        if replay(store, &mut loaded).await? {
            return Ok(loaded);
        }
    }
    Err(StoreError::Unavailable(format!("its log was too short for its snapshot, {TRIES} times")))
}

/// What the last packer left, if it can be used.
async fn unpack(store: &dyn Store) -> Option<Loaded> {
    let (at, pieces) = match store.packed().await {
        Ok(packed) => packed?,
        Err(error) => {
            warn!(%error, "the pack cannot be read; every record is read instead");
            return None;
        }
    };
    let decoded = tokio::task::spawn_blocking(move || pack::decode(pieces)).await;
    match decoded.unwrap_or(Err(pack::Unreadable::Record)) {
        Ok(tables) => Some(Loaded { tables, at, plain: 0, replayed: 0, damaged: Vec::new() }),
        Err(error) => {
            warn!(%error, "the pack cannot be used; every record is read instead");
            None
        }
    }
}

async fn read(store: &dyn Store) -> Result<Loaded, StoreError> {
    let (tables, mut plain, mut damaged, mut refused) = (Tables::default(), 0, Vec::new(), None);
    let mut each = |shown: Result<Record, StoreError>| match shown {
        Ok(record) => {
            plain += 1;
            let fact = Fact::of(record.table, &record.name, Some(&record.payload));
            fact.into_iter().for_each(|fact| tables.take(fact));
        }
        Err(error) if absence_denies(&error) => damaged.push(error.to_string()),
        Err(error) => refused = Some(error),
    };
    let at = store.snapshot(&Table::REPLICATED, &mut each).await?;
    if let Some(error) = refused {
        return Err(error);
    }
    for error in damaged.iter().take(TOLD) {
        error!(%error, "a record is left out, so whatever it would allow is denied");
    }
    Ok(Loaded { tables, at, plain, replayed: 0, damaged })
}

/// Whether to be without the record is the stricter reading of it. Without a service or deployment its paths
/// may be another one's, which is open.
fn absence_denies(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { table, .. } if *table != Table::Object)
}

/// Applies what the log has from there, until there is no more. False where it does not lead on.
async fn replay(store: &dyn Store, loaded: &mut Loaded) -> Result<bool, StoreError> {
    loop {
        let changes = match store.changes(loaded.at, RUN).await? {
            Changes::Next(changes) => changes,
            Changes::Gone | Changes::Parted => return Ok(false),
        };
        let Some(last) = changes.last() else { return Ok(true) };
        apply(&loaded.tables, &changes);
        loaded.at.epoch.number = last.number;
        loaded.at.mark = last.mark;
        loaded.replayed += changes.len() as u64;
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
        Ok(Self::settled(load(store).await?.tables, clock))
    }
}
