//! The embedded store: one file, one process, one thread that writes.
//!
//! The file is locked as long as it is open, so nobody else can move its epoch. It is verified
//! wholly before it is opened ([`verify`]), and every value once more when it is read.

mod copies;
mod counters;
mod error;
mod fence;
mod file;
mod layout;
mod refusal;
mod shared;
#[cfg(test)]
pub(crate) mod tests;
mod uses;
mod verify;
mod writer;

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use ::redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

pub use self::copies::{backup_file, check, restore};
use self::error::Fault;
pub use self::error::FileError;
use self::fence::Fenced;
use self::file::Held;
use self::layout::{LOG, Meta};
use self::shared::Shared;
pub use self::verify::Report;
use self::writer::{Ask, QUEUE, Writer};
use super::changes::{self, History};
use super::ring::{Ring, RingError};
use super::roster::Roster;
use super::{
    Batch, Beat, Change, Changes, Count, Counted, Epoch, Head, Instance, Mark, Name, Record, Store,
    StoreError, Table, Uses, codec, log,
};
use crate::domain::time::Timestamp;

/// An open store. Dropping it waits until what was asked is written, and closes the file.
pub struct RedbStore {
    path: PathBuf,
    file: Held,
    shared: Arc<Shared>,
    ring: Arc<Ring>,
    roster: Roster,
    #[cfg(test)]
    faults: Arc<fence::Faults>,
    /// `None` only while it is dropped.
    asks: Option<mpsc::Sender<Ask>>,
    writer: Option<JoinHandle<()>>,
}

impl RedbStore {
    /// Opens the store at `path` with the key ring at `secret_file`. Where there is no store, one
    /// is made, and the ring too if it is missing; both are durable when this returns. An
    /// existing file is verified wholly first: some four seconds for a million records.
    ///
    /// Blocks: call it before the runtime starts, or on a blocking thread.
    ///
    /// # Errors
    ///
    /// Every variant of [`FileError`] but `Missing` and `Exists`. The file is unchanged then.
    pub fn open(path: &Path, secret_file: &Path) -> Result<Self, FileError> {
        Self::open_keeping(path, secret_file, changes::KEPT)
    }

    /// The same, but makes nothing.
    ///
    /// # Errors
    ///
    /// [`FileError::Missing`] where there is no store; see [`RedbStore::open`].
    pub fn open_existing(path: &Path, secret_file: &Path) -> Result<Self, FileError> {
        match path.try_exists().map_err(FileError::io(path, "looked for"))? {
            true => Self::open(path, secret_file),
            false => Err(FileError::Missing { path: path.into() }),
        }
    }

    /// `kept`: how many changes the log keeps.
    fn open_keeping(path: &Path, secret_file: &Path, kept: u64) -> Result<Self, FileError> {
        let there = path.try_exists().map_err(FileError::io(path, "looked for"))?;
        let ring = match Ring::load(secret_file) {
            Ok(ring) => ring,
            Err(RingError::Missing { .. }) if there => {
                return Err(FileError::SecretMissing { path: path.into(), secret: secret_file.into() });
            }
            Err(RingError::Missing { .. }) => make_ring(secret_file)?,
            Err(error) => return Err(error.into()),
        };
        if !there {
            copies::make(path, &ring)?;
        }
        let writer = Self::writer(path, secret_file, ring, kept)?;
        let (file, shared, ring) =
            (writer.file.held().clone(), Arc::clone(&writer.shared), Arc::clone(&writer.ring));
        #[cfg(test)]
        let faults = writer.file.faults.clone();
        let (asks, asked) = mpsc::channel(QUEUE);
        let writer = std::thread::Builder::new().name("store".into()).spawn(move || writer.run(asked));
        let writer = writer.map_err(FileError::io(path, "given a thread"))?;
        Ok(Self {
            path: path.into(),
            file,
            shared,
            ring,
            roster: Roster::default(),
            #[cfg(test)]
            faults,
            asks: Some(asks),
            writer: Some(writer),
        })
    }

    /// Who writes to a file that is there, which is verified and locked from here on.
    fn writer(path: &Path, secret_file: &Path, ring: Ring, kept: u64) -> Result<Writer, FileError> {
        let file = Held::lock(path)?;
        let fault = |fault: Fault| fault.at(path, secret_file);
        let verified = verify::examine(&file, &ring, |_, verified| Ok(verified)).map_err(fault)?;
        let fenced = Fenced::new(file);
        let database = verify::open(fenced.clone(), &verified).map_err(fault)?;
        let epoch = verified.meta.epoch;
        Ok(Writer {
            shared: Arc::new(Shared::new(database, epoch)),
            writes_to: Some(fenced.clone()),
            file: fenced,
            readable: true,
            ring: Arc::new(ring),
            history: History::new(epoch, verified.meta.log_after, verified.operations),
            counts: verified.meta.counts,
            kept,
            pause: writer::Pause::default(),
            sweep_above: 0,
        })
    }

    /// The key ring that the store was opened with.
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Whether the disk takes writes. While it does not, checks and reads go on; writes are
    /// [`StoreError::Unavailable`] and taken again when it does.
    pub fn writable(&self) -> watch::Receiver<bool> {
        self.shared.writable.subscribe()
    }

    /// Copies the store as it stands now into a new file, while it goes on; the copy is verified.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// [`FileError::Exists`], [`FileError::Io`], [`FileError::Damaged`].
    pub fn backup(&self, to: &Path) -> Result<Report, FileError> {
        let fault = |error: ::redb::TransactionError| Fault::from(error).at(&self.path, Path::new(""));
        let database = self.shared.database();
        let transaction = database.begin_read().map_err(fault)?;
        copies::backup_transaction(&transaction, &self.ring, &self.path, to)
    }

    /// Verifies every record as it stands now, while the store goes on. Blocks.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn check(&self) -> Result<Report, StoreError> {
        let unavailable = |fault: Fault| StoreError::Unavailable(fault.to_string());
        verify::guarded(|| {
            let database = self.shared.database();
            let verified = verify::verify(&database.begin_read()?, &self.ring)?;
            Ok(verified.report(self.file.size()?))
        })
        .map_err(unavailable)
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Ask,
    ) -> Result<T, StoreError> {
        let gone = || {
            self.shared.writable.send_replace(false);
            StoreError::Unavailable("the writer has stopped; restart Doorward".into())
        };
        let asks = self.asks.as_ref().ok_or_else(gone)?;
        let (answer, answered) = oneshot::channel();
        asks.try_send(ask(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => gone(),
            mpsc::error::TrySendError::Full(_) => {
                StoreError::Unavailable(format!("{QUEUE} writes are waiting; try again"))
            }
        })?;
        answered.await.map_err(|_| gone())?
    }

    /// Reads on a thread that may block: the disk may be slow, and redb may panic over bytes that
    /// changed under it.
    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction, &Ring) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (shared, ring) = (self.shared.clone(), self.ring.clone());
        let read = move || {
            // Kept until the end: dropped, it ends its transactions.
            let database = shared.database();
            read(&database.begin_read().map_err(refused)?, &ring)
        };
        tokio::task::spawn_blocking(read)
            .await
            .unwrap_or_else(|panic| Err(StoreError::Unavailable(format!("a read did not end: {panic}"))))
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(writer) = self.writer.take() {
            // A panic in it was answered to those who waited; there is nobody left to tell.
            let _ = writer.join();
        }
    }
}

#[tonic::async_trait]
impl Store for RedbStore {
    async fn write(&self, batch: Batch) -> Result<Epoch, StoreError> {
        self.ask(|answer| Ask::Write(batch, answer)).await
    }

    /// Of a commit the most is waiting for the disk: some 100 ms for so many.
    fn most_steps(&self) -> usize {
        30_000
    }

    async fn read(&self, table: Table, name: &Name) -> Result<Option<Record>, StoreError> {
        let name = name.clone();
        self.reading(move |transaction, ring| {
            let Some(records) = layout::read_records(transaction, table).map_err(refused)? else {
                return Ok(None);
            };
            let value = records.get(&name.0[..]).map_err(refused)?;
            value.map(|value| record(ring, table, &name.0, value.value())).transpose()
        })
        .await
    }

    async fn read_many(&self, table: Table, names: Vec<Name>) -> Result<Vec<Record>, StoreError> {
        self.reading(move |transaction, ring| {
            let Some(records) = layout::read_records(transaction, table).map_err(refused)? else {
                return Ok(Vec::new());
            };
            let mut found = Vec::with_capacity(names.len());
            for name in &names {
                if let Some(value) = records.get(&name.0[..]).map_err(refused)? {
                    found.push(record(ring, table, &name.0, value.value())?);
                }
            }
            Ok(found)
        })
        .await
    }

    async fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (prefix, after) = (prefix.to_vec(), after.cloned());
        self.reading(move |transaction, ring| {
            let Some(records) = layout::read_records(transaction, table).map_err(refused)? else {
                return Ok(Vec::new());
            };
            let from = match &after {
                Some(after) if after.0 >= prefix => Bound::Excluded(&after.0[..]),
                _ => Bound::Included(&prefix[..]),
            };
            let mut found = Vec::new();
            for entry in records.range::<&[u8]>((from, Bound::Unbounded)).map_err(refused)?.take(limit) {
                let (name, value) = entry.map_err(refused)?;
                if !name.value().starts_with(&prefix) {
                    break;
                }
                found.push(record(ring, table, name.value(), value.value())?);
            }
            Ok(found)
        })
        .await
    }

    async fn snapshot(
        &self,
        tables: &[Table],
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<Head, StoreError> {
        let tables = tables.to_vec();
        // The reader may be as much ahead as this; a million records are never in memory at once.
        let (send, mut receive) = mpsc::channel(2);
        let reading = self.reading(move |transaction, ring| {
            for table in tables {
                send_records(transaction, ring, table, &send)?;
            }
            Meta::read(transaction, ring).map(|meta| head(meta.epoch)).map_err(unreadable)
        });
        let showing = async {
            while let Some(records) = receive.recv().await {
                Vec::into_iter(records).map(Ok).for_each(&mut *each);
            }
        };
        tokio::join!(reading, showing).0
    }

    async fn changes(&self, from: Head, limit: usize) -> Result<Changes, StoreError> {
        let now = head(self.shared.epoch());
        if from.mark != now.mark || from.epoch.store != now.epoch.store {
            return Ok(Changes::Parted);
        }
        // Asked with every heartbeat, and mostly for nothing: that needs no disk.
        if from.epoch.number == now.epoch.number {
            return Ok(Changes::Next(Vec::new()));
        }
        self.reading(move |transaction, ring| {
            let meta = Meta::read(transaction, ring).map_err(unreadable)?;
            match from.epoch.number {
                number if number < meta.log_after => return Ok(Changes::Gone),
                number if number > meta.epoch.number => return Ok(Changes::Parted),
                _ => {}
            }
            let entries = transaction.open_table(LOG).map_err(refused)?;
            let mut next = Vec::new();
            for entry in entries.range(from.epoch.number + 1..).map_err(refused)?.take(limit) {
                let (number, value) = entry.map_err(refused)?;
                let fault = |distrust| unreadable(Fault::distrust("a change of the log", distrust));
                let (change, _) = log::open(ring, number.value(), value.value()).map_err(fault)?;
                next.push(Change { mark: from.mark, ..change });
            }
            Ok(Changes::Next(next))
        })
        .await
    }

    /// Written nowhere, unlike on a shared store: the file is locked, so nobody but our own writer
    /// can move the epoch, and it shows here what it has made durable before it answers anybody. A
    /// disk that refuses or hangs therefore ends no lease.
    async fn heartbeat(&self, beat: Beat) -> Result<Head, StoreError> {
        self.roster.note(beat);
        if let Some(asks) = self.asks.as_ref().filter(|_| !*self.shared.writable.borrow()) {
            // A full queue will try the disk all the same.
            let _ = asks.try_send(Ask::Probe);
        }
        Ok(head(self.shared.epoch()))
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        Ok(self.roster.instances())
    }

    async fn begin_term(&self, _from: Head, _batch: Batch) -> Result<Epoch, StoreError> {
        Err(StoreError::Unavailable("an open file loses no changes, so it needs no new term".into()))
    }

    async fn note_uses(&self, uses: &[Uses]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.ask(|answer| Ask::Uses(uses, answer)).await.map(drop)
    }

    async fn uses(&self, _of: Table, ids: &[Uuid]) -> Result<Vec<Uses>, StoreError> {
        let ids = ids.to_vec();
        self.reading(move |transaction, _| uses::read(transaction, &ids).map_err(unreadable)).await
    }

    async fn count(&self, counts: &[Count], now: Timestamp) -> Result<Vec<Counted>, StoreError> {
        let counts = counts.to_vec();
        self.ask(|answer| Ask::Count(counts, now, answer)).await
    }

    fn pushed(&self) -> watch::Receiver<u64> {
        self.shared.pushed.subscribe()
    }
}

/// The ring of a new store. Where another process was first, it is that one's.
fn make_ring(secret_file: &Path) -> Result<Ring, FileError> {
    match Ring::create(secret_file) {
        Err(RingError::Exists { .. }) => Ok(Ring::load(secret_file)?),
        made => Ok(made?),
    }
}

/// While the file is open nobody else writes to it, so that its term alone names its history.
fn head(epoch: Epoch) -> Head {
    Head { epoch, mark: Mark(u128::from(epoch.term).to_be_bytes()) }
}

fn record(ring: &Ring, table: Table, name: &[u8], value: &[u8]) -> Result<Record, StoreError> {
    let name = Name(name.to_vec());
    let (revision, payload) =
        codec::open(ring, table, &name, value).map_err(|distrust| distrust.of(table, &name))?;
    Ok(Record { table, name, revision, payload })
}

fn send_records(
    transaction: &ReadTransaction,
    ring: &Ring,
    table: Table,
    send: &mpsc::Sender<Vec<Record>>,
) -> Result<(), StoreError> {
    let gone = |_| StoreError::Unavailable("nobody reads the snapshot any more".into());
    let Some(records) = layout::read_records(transaction, table).map_err(refused)? else { return Ok(()) };
    let mut chunk = Vec::with_capacity(CHUNK);
    for entry in records.iter().map_err(refused)? {
        let (name, value) = entry.map_err(refused)?;
        chunk.push(record(ring, table, name.value(), value.value())?);
        if chunk.len() == CHUNK {
            send.blocking_send(std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK))).map_err(gone)?;
        }
    }
    send.blocking_send(chunk).map_err(gone)
}

fn refused(error: impl Into<::redb::Error>) -> StoreError {
    StoreError::Unavailable(error.into().to_string())
}

fn unreadable(fault: Fault) -> StoreError {
    StoreError::Unavailable(fault.to_string())
}

/// Records that are shown between two awaits: some hundred microseconds.
const CHUNK: usize = 512;
