//! A store that fails when a test says so.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use tokio::sync::watch;
use uuid::Uuid;

use crate::domain::time::Timestamp;
use crate::store::memory::Memory;
use crate::store::{
    Batch, Beat, Changes, Count, Counted, Epoch, Head, Instance, Name, Record, Store, StoreError, Table, Uses,
};

/// Keys that are ended by one write.
pub(in crate::issue) const TOGETHER: usize = 100;

/// A store whose power goes after so many writes, or that of its replicas.
pub(in crate::issue) struct Failing {
    store: Memory,
    /// Writes.
    pub(in crate::issue) left: AtomicUsize,
    /// What is written then is only not confirmed.
    pub(in crate::issue) unconfirmed: AtomicBool,
    /// How often records were asked for by name.
    pub(in crate::issue) reads: AtomicUsize,
    /// What time it is by its own clock, in milliseconds; 0: it has none.
    pub(in crate::issue) time: AtomicI64,
}

impl Failing {
    pub(in crate::issue) fn new() -> Self {
        Self {
            store: Memory::new(),
            left: AtomicUsize::new(usize::MAX),
            unconfirmed: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            time: AtomicI64::new(0),
        }
    }
}

#[tonic::async_trait]
impl Store for Failing {
    async fn write(&self, batch: Batch) -> Result<Epoch, StoreError> {
        let took_one = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, took_one) {
            Ok(_) => self.store.write(batch).await,
            Err(_) if self.unconfirmed.load(Ordering::SeqCst) => {
                Err(StoreError::Unconfirmed(self.store.write(batch).await?))
            }
            Err(_) => Err(StoreError::Unavailable("the power is gone".into())),
        }
    }

    async fn read(&self, table: Table, name: &Name) -> Result<Option<Record>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.store.read(table, name).await
    }

    fn most_steps(&self) -> usize {
        3 * TOGETHER
    }

    async fn read_many(&self, table: Table, names: Vec<Name>) -> Result<Vec<Record>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.store.read_many(table, names).await
    }

    async fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.store.scan(table, prefix, after, limit).await
    }

    async fn snapshot(
        &self,
        tables: &[Table],
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<Head, StoreError> {
        self.store.snapshot(tables, each).await
    }

    async fn changes(&self, from: Head, limit: usize) -> Result<Changes, StoreError> {
        self.store.changes(from, limit).await
    }

    async fn heartbeat(&self, beat: Beat) -> Result<Head, StoreError> {
        self.store.heartbeat(beat).await
    }

    fn time(&self) -> Option<i64> {
        Some(self.time.load(Ordering::Relaxed)).filter(|time| *time != 0)
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.store.instances().await
    }

    async fn begin_term(&self, from: Head, batch: Batch) -> Result<Epoch, StoreError> {
        self.store.begin_term(from, batch).await
    }

    async fn note_uses(&self, uses: &[Uses]) -> Result<(), StoreError> {
        self.store.note_uses(uses).await
    }

    async fn uses(&self, of: Table, ids: &[Uuid]) -> Result<Vec<Uses>, StoreError> {
        self.store.uses(of, ids).await
    }

    async fn count(&self, counts: &[Count], now: Timestamp) -> Result<Vec<Counted>, StoreError> {
        self.store.count(counts, now).await
    }

    fn pushed(&self) -> watch::Receiver<u64> {
        self.store.pushed()
    }
}
