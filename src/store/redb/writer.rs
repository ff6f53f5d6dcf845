//! The one thread that writes.
//!
//! It takes what has come in while the disk was busy, writes it as one transaction, and answers
//! in order once that is durable.

use std::sync::Arc;

use ::redb::{Database, Durability, ReadableTable, Table as Open, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::error::Fault;
use super::fence::Fenced;
use super::layout::{self, LOG, META, META_NAME, Meta, USES};
use super::shared::Shared;
use super::{counters, uses, verify};
use crate::domain::time::Timestamp;
use crate::store::changes::{self, History};
use crate::store::ring::Ring;
use crate::store::{Batch, Count, Counted, Effect, Epoch, Mark, Name, Step, StoreError, Table, Uses};
use crate::store::{codec, log};

/// What the writer is asked.
pub(super) enum Ask {
    Write(Batch, Answer),
    Uses(Vec<Uses>, Answer),
    Count(Vec<Count>, Timestamp, CountAnswer),
    /// To see whether a disk that refused takes writes again.
    Probe,
}

pub(super) type Answer = oneshot::Sender<Result<Epoch, StoreError>>;

pub(super) type CountAnswer = oneshot::Sender<Result<Vec<Counted>, StoreError>>;

/// How many may wait for the writer.
pub(super) const QUEUE: usize = 1_024;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// The file under the database that writes; `None` while none does.
    pub(super) writes_to: Option<Fenced>,
    /// The same file, for the next one.
    pub(super) file: Fenced,
    /// Whether what is read from can still be read.
    pub(super) readable: bool,
    pub(super) ring: Arc<Ring>,
    pub(super) history: History,
    /// Records by [`Table::index`].
    pub(super) counts: [u64; Table::COUNT],
    /// How many changes the log keeps.
    pub(super) kept: u64,
    pub(super) pause: Pause,
    /// With more counters than that, those that have ended are thrown out.
    pub(super) sweep_above: u64,
}

/// How many probes are let pass between two tries: 0, 1, 3, 7 and so on, for a try reads the
/// whole file.
#[derive(Default)]
pub(super) struct Pause {
    tries: u32,
    left: u32,
}

impl Writer {
    /// Runs until every sender is gone.
    pub(super) fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        while let Some(first) = asks.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(ask) = asks.try_recv()
            {
                group.push(ask);
            }
            self.serve(group);
        }
    }

    fn serve(&mut self, group: Vec<Ask>) {
        let mut batches = Vec::new();
        let mut writers = Vec::new();
        let mut counts = Vec::new();
        let mut probe = false;
        for ask in group {
            match ask {
                Ask::Write(batch, answer) => {
                    batches.push(batch);
                    writers.push(answer);
                }
                Ask::Uses(uses, answer) => self.note_uses(&uses, answer),
                Ask::Count(asked, now, answer) => counts.push((asked, now, answer)),
                Ask::Probe => probe = true,
            }
        }
        if batches.is_empty() && counts.is_empty() && probe {
            self.probe();
        }
        // Logins wait for changes, among which revocations are.
        self.write(&batches, writers);
        self.count(counts);
    }

    fn write(&mut self, batches: &[Batch], writers: Vec<Answer>) {
        if batches.is_empty() {
            return;
        }
        let results = match self.written(|writer, database| writer.transact(database, batches)) {
            Ok(results) => results,
            Err(why) => batches.iter().map(|_| Err(StoreError::Unavailable(why.clone()))).collect(),
        };
        for (answer, result) in writers.into_iter().zip(results) {
            // Whoever asked may have gone; it is written all the same.
            let _ = answer.send(result);
        }
    }

    fn note_uses(&mut self, uses: &[Uses], answer: Answer) {
        let noted = self.written(|writer, database| {
            let transaction = begin(database)?;
            uses::note(&transaction, uses)?;
            transaction.commit()?;
            Ok(writer.history.epoch())
        });
        let _ = answer.send(noted.map_err(StoreError::Unavailable));
    }

    /// All that came in meanwhile with one write.
    fn count(&mut self, asked: Vec<(Vec<Count>, Timestamp, CountAnswer)>) {
        if asked.is_empty() {
            return;
        }
        let counted = self.written(|writer, database| {
            let transaction = begin(database)?;
            let (mut all, mut any) = (Vec::with_capacity(asked.len()), false);
            for (counts, now, _) in &asked {
                let (counted, added) = counters::count(&transaction, counts, *now, &mut writer.sweep_above)?;
                all.push(counted);
                any |= added;
            }
            match any {
                true => transaction.commit()?,
                // Whoever is turned away has nothing written to the disk.
                false => transaction.abort()?,
            }
            Ok(all)
        });
        let counted = match counted {
            Ok(counted) => counted.into_iter().map(Ok).collect(),
            Err(why) => asked.iter().map(|_| Err(StoreError::Unavailable(why.clone()))).collect::<Vec<_>>(),
        };
        for ((_, _, answer), counted) in asked.into_iter().zip(counted) {
            let _ = answer.send(counted);
        }
    }

    /// Writes what is there already, if a disk that refused has been left alone for long enough.
    fn probe(&mut self) {
        if *self.shared.writable.borrow() || !self.pause.over() {
            return;
        }
        // Why it failed is in the log since the first time.
        let _ = self.written(Self::rewrite);
    }

    /// Has `write` done and pushed, on a database that is opened anew if need be. After an error,
    /// which is the disk's, everything can be read and the next write begins from what is there.
    fn written<T>(
        &mut self,
        write: impl FnOnce(&mut Self, &Database) -> Result<T, Fault>,
    ) -> Result<T, String> {
        // Whatever redb does when the disk fails under it, it is an answer.
        let done = self.ready().and_then(|database| verify::guarded(|| write(self, &database)));
        match done {
            Ok(value) => {
                self.shared.push(self.history.epoch().number);
                self.resumed();
                Ok(value)
            }
            Err(fault) => Err(self.refused(&fault)),
        }
    }

    /// Writes the batches in one durable transaction; an error is the disk's.
    fn transact(
        &mut self,
        database: &Database,
        batches: &[Batch],
    ) -> Result<Vec<Result<Epoch, StoreError>>, Fault> {
        let transaction = begin(database)?;
        let before = self.history.epoch();
        let mut results = Vec::with_capacity(batches.len());
        {
            let mut tables = Tables::open(&transaction)?;
            for batch in batches {
                results.push(match self.put(&mut tables, batch) {
                    Err(StoreError::Unavailable(why)) => return Err(Fault::Io(std::io::Error::other(why))),
                    result => result,
                });
            }
            if self.history.epoch() != before {
                self.finish(&transaction, &mut tables)?;
            }
        }
        if self.history.epoch() == before {
            transaction.abort()?;
        } else {
            transaction.commit()?;
        }
        Ok(results)
    }

    /// Writes durably what the store keeps of itself, as it is.
    fn rewrite(&mut self, database: &Database) -> Result<(), Fault> {
        let transaction = begin(database)?;
        self.write_meta(&transaction)?;
        Ok(transaction.commit()?)
    }

    /// Puts a batch into the transaction, whole or not at all. `Unavailable` is the disk's; any
    /// other error leaves the transaction as it was.
    fn put(&mut self, tables: &mut Tables<'_>, batch: &Batch) -> Result<Epoch, StoreError> {
        if let Some(epoch) = self.history.written(&batch.operation) {
            return Ok(epoch);
        }
        changes::expect(batch, |table, name| tables.revision(&self.ring, table, name))?;
        let unavailable = |fault: Fault| StoreError::Unavailable(fault.to_string());
        let epoch = self.history.advance(batch.operation);
        for step in &batch.steps {
            self.apply(tables, epoch.number, step).map_err(unavailable)?;
        }
        // Nobody else writes to the file, so its entries need no chain.
        let change = log::seal(&self.ring, &changes::change(epoch.number, batch), Mark::NONE);
        tables.log.insert(epoch.number, &change[..]).map_err(|error| unavailable(error.into()))?;
        Ok(epoch)
    }

    fn apply(&mut self, tables: &mut Tables<'_>, revision: u64, step: &Step) -> Result<(), Fault> {
        let records = tables.of(step.table);
        let count = &mut self.counts[step.table.index()];
        match &step.effect {
            Effect::Put(payload) => {
                let sealed = codec::seal(&self.ring, step.table, &step.name, revision, payload.clone());
                if records.insert(&step.name.0[..], &sealed[..])?.is_none() {
                    *count += 1;
                }
            }
            Effect::Delete => {
                if records.remove(&step.name.0[..])?.is_some() {
                    *count -= 1;
                }
                if step.table.is_used() {
                    tables.uses.remove(&step.name.0[..])?;
                }
            }
            Effect::Keep => {}
        }
        Ok(())
    }

    /// Shortens the log and writes what the store keeps of itself.
    fn finish(&mut self, transaction: &WriteTransaction, tables: &mut Tables<'_>) -> Result<(), Fault> {
        for number in self.history.trim(self.kept) {
            tables.log.remove(number)?;
        }
        self.write_meta(transaction)
    }

    fn write_meta(&self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let epoch = self.history.epoch();
        let meta = Meta { epoch, log_after: self.history.after(), counts: self.counts };
        transaction.open_table(META)?.insert(META_NAME, &meta.seal(&self.ring)[..])?;
        Ok(())
    }
}

fn begin(database: &Database) -> Result<WriteTransaction, Fault> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    // With one phase redb goes back a commit in silence where the newest does not verify: an
    // acknowledged revocation would be undone by one flipped bit. With two it says so.
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

impl Pause {
    /// Counts a probe.
    fn over(&mut self) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return false;
        }
        true
    }

    pub(super) fn lengthen(&mut self) {
        self.left = (1 << self.tries.min(LONGEST_PAUSE)) - 1;
        self.tries += 1;
    }
}

/// The tables, open in one transaction.
struct Tables<'t> {
    /// By [`Table::index`].
    records: Vec<Open<'t, &'static [u8], &'static [u8]>>,
    log: Open<'t, u64, &'static [u8]>,
    uses: Open<'t, &'static [u8], (u64, i64)>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        let records = Table::ALL.into_iter().map(|table| transaction.open_table(layout::records(table)));
        Ok(Self {
            records: records.collect::<Result<_, _>>()?,
            log: transaction.open_table(LOG)?,
            uses: transaction.open_table(USES)?,
        })
    }

    fn of(&mut self, table: Table) -> &mut Open<'t, &'static [u8], &'static [u8]> {
        &mut self.records[table.index()]
    }

    /// The number of the change that wrote a record, `None` where there is none.
    fn revision(&mut self, ring: &Ring, table: Table, name: &Name) -> Result<Option<u64>, StoreError> {
        let value = self.of(table).get(&name.0[..]);
        let value = value.map_err(|error| StoreError::Unavailable(Fault::from(error).to_string()))?;
        let open = |value: ::redb::AccessGuard<'_, &[u8]>| codec::open(ring, table, name, value.value());
        let opened = value.map(open).transpose().map_err(|distrust| distrust.of(table, name))?;
        Ok(opened.map(|(revision, _)| revision))
    }
}

/// How many asks are served by one commit at most: what waits longer than one fsync.
const GROUP: usize = 256;

/// A power of two, of probes: some 16 seconds where there are four a second.
const LONGEST_PAUSE: u32 = 6;
