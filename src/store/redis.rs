//! The shared store: records in Redis (7 or later, or what speaks as it does), one primary.
//!
//! Redis is trusted with nothing but to be there: every value carries a MAC, and every change names
//! the one before, so that whoever writes to Redis can destroy, and put back what once was, but can
//! make up nothing. Each write is one script; it takes place only if the store still stands where
//! the writer believes, and where its answer is lost it is sent again under the same operation.

pub mod acl;
mod beats;
mod cluster;
mod connection;
mod counters;
mod deadline;
mod group;
mod keys;
mod link;
mod meta;
mod pack;
mod primary;
mod push;
mod reads;
mod refusal;
mod reply;
mod report;
mod scripts;
mod sentinel;
pub mod settings;
mod snapshot;
#[cfg(test)]
pub(super) mod tests;
mod tls;
mod uses;
mod value;
mod writable;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use self::beats::Sweep;
use self::deadline::Deadline;
use self::link::Link;
use self::primary::Hears;
use self::push::Heard;
use self::reads::Range;
pub use self::report::{FINDINGS, Finding, Report};
pub use self::settings::{Address, Password, RedisSettings, Target, Timeouts, Tls};
use self::writable::Writable;
use self::writer::{Ask, QUEUE, Writer};
use super::ring::Ring;
use super::{
    Batch, Beat, Changes, Count, Counted, Epoch, Head, Instance, Name, Record, Store, StoreError, Table,
    Uses, changes,
};
use crate::domain::time::Timestamp;

/// A store in Redis, connected or not.
pub struct RedisStore {
    settings: Arc<RedisSettings>,
    ring: Arc<Ring>,
    runtime: Handle,
    /// For what is short. Over it also comes what others push.
    reads: Arc<Link>,
    /// For what is long.
    bulk: Arc<Link>,
    heard: Arc<Heard>,
    writable: Arc<Writable>,
    sweep: Sweep,
    /// In milliseconds, of the last heartbeat's answer; 0 before it.
    time: AtomicI64,
    asks: mpsc::Sender<Ask>,
}

impl RedisStore {
    /// A store that connects when it is first asked, and again whenever it has to. `ring` must be
    /// the same for every instance that shares it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime: its connections live in the one that it was made in.
    pub fn new(settings: RedisSettings, ring: Arc<Ring>) -> Self {
        Self::keeping(settings, ring, changes::KEPT)
    }

    /// `kept`: how many changes the log keeps.
    fn keeping(settings: RedisSettings, ring: Arc<Ring>, kept: u64) -> Self {
        let (settings, runtime) = (Arc::new(settings), Handle::current());
        let heard = Arc::new(Heard::new());
        let link = |hears| Arc::new(Link::new(settings.clone(), ring.clone(), runtime.clone(), hears));
        let hearing = heard.clone();
        let hears: Hears = Arc::new(move |push| hearing.message(&push));
        let (asks, asked) = mpsc::channel(QUEUE);
        let writable = Arc::new(Writable::new());
        let told = (heard.clone(), writable.clone());
        let writer = Writer::new(link(None), ring.clone(), settings.clone(), told, kept);
        runtime.spawn(writer.run(asked));
        let (reads, bulk) = (link(Some(hears)), link(None));
        Self {
            settings,
            ring,
            runtime,
            reads,
            bulk,
            heard,
            writable,
            sweep: Sweep::default(),
            time: AtomicI64::new(0),
            asks,
        }
    }

    /// Whether Redis takes writes, as far as is known: looked at beside the heartbeats.
    pub fn writable(&self) -> watch::Receiver<bool> {
        self.writable.subscribe()
    }

    async fn ask(&self, batch: Batch, begins_after: Option<Head>) -> Result<Epoch, StoreError> {
        let (answer, answered) = oneshot::channel();
        let deadline = Deadline::after(self.settings.timeouts.write);
        let ask = Ask { batch, begins_after, deadline, open: false, answer };
        self.asks.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => gone(),
            mpsc::error::TrySendError::Full(_) => {
                StoreError::Unavailable(format!("{QUEUE} writes are waiting; try again"))
            }
        })?;
        answered.await.map_err(|_| gone())?
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the writer has stopped; restart Doorward".into())
}

#[tonic::async_trait]
impl Store for RedisStore {
    async fn write(&self, batch: Batch) -> Result<Epoch, StoreError> {
        self.ask(batch, None).await
    }

    async fn read(&self, table: Table, name: &Name) -> Result<Option<Record>, StoreError> {
        reads::read(&self.reads, &self.ring, table, name).await
    }

    async fn read_many(&self, table: Table, names: Vec<Name>) -> Result<Vec<Record>, StoreError> {
        reads::read_many(&self.reads, &self.ring, table, names).await
    }

    async fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        reads::scan(&self.reads, &self.ring, Range { table, prefix, after }, limit).await
    }

    async fn snapshot(
        &self,
        tables: &[Table],
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<Head, StoreError> {
        snapshot::read(self, tables, each).await
    }

    async fn changes(&self, from: Head, limit: usize) -> Result<Changes, StoreError> {
        reads::changes(&self.reads, &self.ring, from, limit).await
    }

    async fn heartbeat(&self, beat: Beat) -> Result<Head, StoreError> {
        let (head, time) = beats::send(&self.reads, &self.ring, &self.sweep, beat).await?;
        self.time.store(time, Ordering::Relaxed);
        self.heard.stands(head.epoch);
        if self.writable.is_due() {
            let (writable, link) = (self.writable.clone(), self.reads.clone());
            self.runtime.spawn(async move { writable.look(&link).await });
        }
        Ok(head)
    }

    fn time(&self) -> Option<i64> {
        Some(self.time.load(Ordering::Relaxed)).filter(|time| *time > 0)
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        beats::instances(&self.reads, &self.ring).await
    }

    async fn begin_term(&self, from: Head, batch: Batch) -> Result<Epoch, StoreError> {
        self.ask(batch, Some(from)).await
    }

    async fn packed(&self) -> Result<Option<(Head, Vec<Bytes>)>, StoreError> {
        pack::read(self).await
    }

    async fn pack(&self, head: Head, pieces: Vec<Bytes>) -> Result<bool, StoreError> {
        pack::keep(self, head, pieces).await
    }

    async fn note_uses(&self, told: &[Uses]) -> Result<(), StoreError> {
        uses::note(&self.bulk, &self.ring, told).await
    }

    async fn uses(&self, of: Table, ids: &[Uuid]) -> Result<Vec<Uses>, StoreError> {
        uses::read(&self.reads, &self.ring, of, ids).await
    }

    async fn count(&self, counts: &[Count], now: Timestamp) -> Result<Vec<Counted>, StoreError> {
        counters::count(&self.reads, counts, now).await
    }

    fn pushed(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }
}
