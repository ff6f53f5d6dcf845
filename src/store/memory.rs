//! A store that lasts as long as its process: for tests, and for a configuration that keeps every
//! record in the file.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::changes::{self, History};
use super::{Batch, Beat, Change, Changes, Effect, Epoch, Name, Record, Store, StoreError, Table};

/// Records in memory.
pub struct Memory {
    /// Never held across an await. Poisoned only by a panic in the code below, before it has
    /// changed anything; so what is there is whole.
    state: Mutex<State>,
    kept: u64,
    pushed: watch::Sender<u64>,
}

struct State {
    history: History,
    records: BTreeMap<(Table, Name), Record>,
    log: VecDeque<Change>,
}

impl Memory {
    /// An empty store with an id of its own.
    pub fn new() -> Self {
        Self::keeping(changes::KEPT)
    }

    /// An empty store whose log has the newest `kept` changes.
    pub fn keeping(kept: u64) -> Self {
        let epoch = Epoch { store: Uuid::new_v4(), term: 1, number: 0 };
        let history = History::new(epoch, 0, Vec::new());
        let state = State { history, records: BTreeMap::new(), log: VecDeque::new() };
        Self { state: Mutex::new(state), kept, pushed: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

#[tonic::async_trait]
impl Store for Memory {
    async fn write(&self, batch: Batch) -> Result<Epoch, StoreError> {
        let mut state = self.state();
        if let Some(epoch) = state.history.written(&batch.operation) {
            return Ok(epoch);
        }
        changes::expect(&batch, |table, name| {
            Ok(state.records.get(&(table, name.clone())).map(|record| record.revision))
        })?;
        let epoch = state.history.advance(batch.operation);
        state.log.push_back(changes::change(epoch.number, &batch));
        for step in batch.steps {
            state.apply(epoch.number, step.table, step.name, step.effect);
        }
        for _ in state.history.trim(self.kept) {
            state.log.pop_front();
        }
        self.pushed.send_replace(epoch.number);
        Ok(epoch)
    }

    async fn read(&self, table: Table, name: &Name) -> Result<Option<Record>, StoreError> {
        Ok(self.state().records.get(&(table, name.clone())).cloned())
    }

    async fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let prefix_name = Name(prefix.to_vec());
        let from = after.filter(|after| **after >= prefix_name).unwrap_or(&prefix_name);
        let state = self.state();
        let records = state
            .records
            .range((table, from.clone())..)
            .map(|(_, record)| record)
            .take_while(|record| record.table == table && record.name.0.starts_with(prefix))
            .filter(|record| Some(&record.name) != after);
        Ok(records.take(limit).cloned().collect())
    }

    async fn snapshot(
        &self,
        tables: &[Table],
        each: &mut (dyn for<'r> FnMut(Record) + Send),
    ) -> Result<Epoch, StoreError> {
        let (epoch, records) = {
            let state = self.state();
            let wanted = state.records.values().filter(|record| tables.contains(&record.table));
            (state.history.epoch(), wanted.cloned().collect::<Vec<_>>())
        };
        records.into_iter().for_each(each);
        Ok(epoch)
    }

    async fn changes(&self, epoch: Epoch, limit: usize) -> Result<Changes, StoreError> {
        let state = self.state();
        if !changes::reaches(state.history.epoch(), state.history.after(), epoch) {
            return Ok(Changes::Gone);
        }
        // The log begins with the change after `after`, and has no gaps.
        let known = usize::try_from(epoch.number - state.history.after()).unwrap_or(usize::MAX);
        Ok(Changes::Next(state.log.iter().skip(known).take(limit).cloned().collect()))
    }

    async fn heartbeat(&self, _beat: Beat) -> Result<Epoch, StoreError> {
        Ok(self.state().history.epoch())
    }

    fn pushed(&self) -> watch::Receiver<u64> {
        self.pushed.subscribe()
    }
}

impl State {
    fn apply(&mut self, revision: u64, table: Table, name: Name, effect: Effect) {
        match effect {
            Effect::Put(payload) => {
                let record = Record { table, name: name.clone(), revision, payload };
                self.records.insert((table, name), record);
            }
            Effect::Delete => {
                self.records.remove(&(table, name));
            }
            Effect::Keep => {}
        }
    }
}
