//! Following a store: a snapshot, then every change after it, and a lease for as long as it answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{Replica, Tables};
use crate::clock::Clock;
use crate::store::{Beat, Changes, Head, Store, StoreError, Table};

/// How often the store is asked, and how long it is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// After which an answer no longer counts, but for a snapshot's. Less than the lease's bound.
    pub patience: Duration,
}

/// The only one who changes a replica.
pub struct Follower {
    replica: Arc<Replica>,
    store: Arc<dyn Store>,
    clock: Clock,
    pace: Pace,
    instance: Uuid,
    catalog: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Up to where the replica has been brought.
    at: Option<Head>,
}

/// Changes asked for at once.
const RUN: usize = 1000;

/// How long a snapshot may take: a million records take seconds, on a slow machine many.
const LOADING: Duration = Duration::from_secs(120);

impl Follower {
    /// `catalog` gives the digest of the catalog in force, for the heartbeat.
    pub fn new(
        replica: Arc<Replica>,
        store: Arc<dyn Store>,
        clock: Clock,
        pace: Pace,
        catalog: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Self {
        Self { replica, store, clock, pace, instance: Uuid::new_v4(), catalog, at: None }
    }

    /// Follows for as long as the process lives. A store that does not answer is asked again with
    /// the next heartbeat; meanwhile the lease runs.
    pub async fn run(mut self) {
        let mut pushed = self.store.pushed();
        let mut beats = interval(self.pace.heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let followed = tokio::select! {
                _ = beats.tick() => self.beat().await,
                Ok(()) = pushed.changed() => self.catch_up().await,
            };
            match followed {
                Ok(()) if failing => {
                    info!("the store answers again");
                    failing = false;
                }
                Ok(()) => {}
                Err(error) if !failing => {
                    warn!(%error, "the store cannot be followed; checks go on within the lease");
                    failing = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Asks where the store stands, goes there, and renews the lease.
    async fn beat(&mut self) -> Result<(), StoreError> {
        let beat =
            Beat { instance: self.instance, applied: self.at.map(|at| at.epoch), catalog: (self.catalog)() };
        let sent = self.clock.boottime();
        let there = self.patiently(self.store.heartbeat(beat)).await?;
        match self.at {
            None => self.load().await?,
            Some(_) => self.catch_up().await?,
        }
        if self.at.is_some_and(|at| at.epoch.reaches(there.epoch)) {
            self.replica.lease.renew(sent);
        }
        Ok(())
    }

    /// Applies every change after the last one applied.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let Some(mut at) = self.at else { return self.load().await };
        loop {
            let changes = match self.patiently(self.store.changes(at, RUN)).await? {
                Changes::Next(changes) => changes,
                Changes::Gone => return self.load().await,
                Changes::Parted => {
                    error!(?at, "the store is another one, or went back in time; reading it anew");
                    return self.load().await;
                }
            };
            if changes.is_empty() {
                return Ok(());
            }
            let tables = self.replica.tables.load_full();
            for change in changes {
                if change.number != at.epoch.number + 1 {
                    // A hole in the numbers: something was missed.
                    return self.load().await;
                }
                for changed in &change.records {
                    apply(&tables, changed.table, &changed.name, changed.payload.as_deref());
                }
                at.epoch.number = change.number;
                at.mark = change.mark;
            }
            self.at = Some(at);
            self.replica.applied.send_replace(Some(at.epoch));
        }
    }

    /// Reads everything anew, while the old replica serves within its lease.
    async fn load(&mut self) -> Result<(), StoreError> {
        let (tables, at) = within(LOADING, read(&*self.store)).await?;
        self.replica.replace(tables, at.epoch);
        self.at = Some(at);
        let holdings = self.replica.holdings();
        info!(
            epoch = at.epoch.number,
            keys = holdings.keys,
            consumers = holdings.consumers,
            "the store has been read"
        );
        Ok(())
    }

    async fn patiently<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        within(self.pace.patience, answer).await
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
        let (tables, _) = read(store).await?;
        Ok(Self::settled(tables, clock))
    }
}

async fn read(store: &dyn Store) -> Result<(Tables, Head), StoreError> {
    let tables = Tables::default();
    let mut each = |record: crate::store::Record| {
        apply(&tables, record.table, &record.name, Some(&record.payload));
    };
    let head = store.snapshot(&[Table::Consumer, Table::Key], &mut each).await?;
    Ok((tables, head))
}

async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = |_| StoreError::Unavailable(format!("no answer within {patience:?}"));
    timeout(patience, answer).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

/// A record that cannot be read is left out: absence denies. It is an alarm all the same.
fn apply(tables: &Tables, table: Table, name: &crate::store::Name, payload: Option<&[u8]>) {
    let applied = match name.id() {
        Some(id) => tables.apply(table, id, payload),
        None if matches!(table, Table::Unique | Table::Owned) => Ok(()),
        None => Err(StoreError::Damaged { table, why: "its name is no id".into() }),
    };
    if let Err(error) = applied {
        error!(%error, name = ?name, "a record is left out, so whatever it would allow is denied");
    }
}
