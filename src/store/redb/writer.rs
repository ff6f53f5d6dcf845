//! The one thread that writes.
//!
//! It takes what has come in while the disk was busy, writes it as one transaction, and answers
//! in order once that is durable.

use std::sync::Arc;

use ::redb::{Database, Durability, ReadableTable, Table as Open, WriteTransaction};
use tokio::sync::{mpsc, oneshot, watch};

use super::error::Fault;
use super::layout::{self, LOG, META, META_NAME, Meta, TABLES};
use crate::store::changes::{self, History};
use crate::store::codec;
use crate::store::ring::Ring;
use crate::store::{Batch, Effect, Epoch, Name, Step, StoreError, Table};

/// What the writer is asked.
pub(super) enum Ask {
    Write(Batch, Answer),
    /// Where the store stands. It goes the way of the writes, so an answer says that the writer
    /// lives and that the disk took what it was last given.
    Beat(Answer),
}

pub(super) type Answer = oneshot::Sender<Result<Epoch, StoreError>>;

/// How many may wait for the writer.
pub(super) const QUEUE: usize = 1_024;

pub(super) struct Writer {
    pub(super) database: Arc<Database>,
    pub(super) ring: Arc<Ring>,
    pub(super) history: History,
    /// Records by [`layout::index`].
    pub(super) counts: [u64; 4],
    /// How many changes the log keeps.
    pub(super) kept: u64,
    pub(super) pushed: watch::Sender<u64>,
    /// Why nothing is written any more. After a failed fsync nobody knows what the disk has, and
    /// asking again may be answered from memory that never reached it: only a restart, which
    /// reads the file anew, can tell.
    pub(super) closed: Option<String>,
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
        let mut beats = Vec::new();
        for ask in group {
            match ask {
                Ask::Write(batch, answer) => {
                    batches.push(batch);
                    writers.push(answer);
                }
                Ask::Beat(answer) => beats.push(answer),
            }
        }
        let results = self.write(&batches);
        for (answer, result) in writers.into_iter().zip(results) {
            // Whoever asked may have gone; it is written all the same.
            let _ = answer.send(result);
        }
        for answer in beats {
            let _ = answer.send(self.standing());
        }
    }

    fn standing(&self) -> Result<Epoch, StoreError> {
        match &self.closed {
            None => Ok(self.history.epoch()),
            Some(why) => Err(StoreError::Unavailable(why.clone())),
        }
    }

    /// One result a batch.
    fn write(&mut self, batches: &[Batch]) -> Vec<Result<Epoch, StoreError>> {
        if !batches.is_empty() && self.closed.is_none() {
            match self.transact(batches) {
                Ok(results) => {
                    let number = self.history.epoch().number;
                    self.pushed.send_if_modified(|newest| std::mem::replace(newest, number) != number);
                    return results;
                }
                Err(why) => {
                    let why = format!("the disk refused a write ({why}); nothing is written until a restart");
                    tracing::error!(reason = %why, "store closed for writing");
                    self.closed = Some(why);
                }
            }
        }
        batches.iter().map(|_| self.standing()).collect()
    }

    /// Writes the batches in one durable transaction; an error is the disk's, and the end.
    fn transact(&mut self, batches: &[Batch]) -> Result<Vec<Result<Epoch, StoreError>>, String> {
        let failed = |fault: Fault| fault.to_string();
        let mut transaction = self.database.begin_write().map_err(|error| error.to_string())?;
        transaction.set_durability(Durability::Immediate).map_err(|error| error.to_string())?;
        // With one phase redb goes back a commit in silence where the newest does not verify: an
        // acknowledged revocation would be undone by one flipped bit. With two it says so.
        transaction.set_two_phase_commit(true);
        let before = self.history.epoch();
        let mut results = Vec::with_capacity(batches.len());
        {
            let mut tables = Tables::open(&transaction).map_err(failed)?;
            for batch in batches {
                results.push(match self.put(&mut tables, batch) {
                    Err(StoreError::Unavailable(why)) => return Err(why),
                    result => result,
                });
            }
            if self.history.epoch() != before {
                self.finish(&transaction, &mut tables).map_err(failed)?;
            }
        }
        if self.history.epoch() == before {
            transaction.abort().map_err(|error| error.to_string())?;
        } else {
            transaction.commit().map_err(|error| error.to_string())?;
        }
        Ok(results)
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
        let change = layout::seal_change(&self.ring, &changes::change(epoch.number, batch));
        tables.log.insert(epoch.number, &change[..]).map_err(|error| unavailable(error.into()))?;
        Ok(epoch)
    }

    fn apply(&mut self, tables: &mut Tables<'_>, revision: u64, step: &Step) -> Result<(), Fault> {
        let records = tables.of(step.table);
        let count = &mut self.counts[layout::index(step.table)];
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
        let epoch = self.history.epoch();
        let meta = Meta { epoch, log_after: self.history.after(), counts: self.counts };
        transaction.open_table(META)?.insert(META_NAME, &meta.seal(&self.ring)[..])?;
        Ok(())
    }
}

/// The tables, open in one transaction.
struct Tables<'t> {
    records: [Open<'t, &'static [u8], &'static [u8]>; 4],
    log: Open<'t, u64, &'static [u8]>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        let [a, b, c, d] = TABLES.map(|table| transaction.open_table(layout::records(table)));
        Ok(Self { records: [a?, b?, c?, d?], log: transaction.open_table(LOG)? })
    }

    fn of(&mut self, table: Table) -> &mut Open<'t, &'static [u8], &'static [u8]> {
        &mut self.records[layout::index(table)]
    }

    /// The number of the change that wrote a record, `None` where there is none.
    fn revision(&mut self, ring: &Ring, table: Table, name: &Name) -> Result<Option<u64>, StoreError> {
        let value = self.of(table).get(&name.0[..]);
        let value = value.map_err(|error| StoreError::Unavailable(Fault::from(error).to_string()))?;
        let open = |value: ::redb::AccessGuard<'_, &[u8]>| codec::open(ring, table, name, value.value());
        let opened = value.map(open).transpose().map_err(|distrust| distrust.of(table))?;
        Ok(opened.map(|(revision, _)| revision))
    }
}

/// How many asks are served by one commit at most: what waits longer than one fsync.
const GROUP: usize = 256;
