//! A store that lasts as long as its process: for tests, and for a configuration that keeps every
//! record in the file.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

use super::changes::{self, History};
use super::roster::Roster;
use super::{
    Batch, Beat, Change, Changes, Count, Counted, Effect, Epoch, Head, Instance, Mark, Name, Record, Store,
    StoreError, Table, Uses, counted,
};
use crate::domain::time::Timestamp;

/// Records in memory.
pub struct Memory {
    /// Never held across an await. Poisoned only by a panic in the code below, before it has
    /// changed anything; so what is there is whole.
    state: Mutex<State>,
    kept: u64,
    pushed: watch::Sender<u64>,
    roster: Roster,
}

struct State {
    history: History,
    records: BTreeMap<(Table, Name), Record>,
    /// How often keys and sessions were used, and when last.
    uses: HashMap<Uuid, (u64, i64)>,
    /// Totals and ends.
    counters: HashMap<[u8; 16], (u64, i64)>,
    log: VecDeque<Change>,
    /// Of the change that the log begins after.
    mark_before: Mark,
    /// The numbers of the changes that terms after the first began with.
    terms: Vec<u64>,
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
        let state = State {
            history,
            records: BTreeMap::new(),
            uses: HashMap::new(),
            counters: HashMap::new(),
            log: VecDeque::new(),
            mark_before: Mark::NONE,
            terms: Vec::new(),
        };
        Self { state: Mutex::new(state), kept, pushed: watch::Sender::new(0), roster: Roster::default() }
    }

    /// Loses every change after `number`, which the log must still have from its first on.
    #[cfg(test)]
    pub(crate) fn wind_back(&self, number: u64) {
        let mut state = self.state();
        assert_eq!(state.history.after(), 0, "only a log that has everything can be wound back");
        state.log.retain(|change| change.number <= number);
        state.terms.retain(|began| *began <= number);
        let term = 1 + u32::try_from(state.terms.len()).unwrap_or(u32::MAX);
        state.history.wind_back(number, term);
        state.records.clear();
        for change in state.log.clone() {
            for super::Changed { table, name, payload } in change.records {
                let effect = payload.map_or(Effect::Delete, Effect::Put);
                state.apply(change.number, table, name, effect);
            }
        }
        drop(state);
        self.pushed.send_replace(number);
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
        let epoch = self.state().write(batch, self.kept)?;
        self.pushed
            .send_if_modified(|newest| epoch.number > std::mem::replace(newest, epoch.number.max(*newest)));
        Ok(epoch)
    }

    async fn read(&self, table: Table, name: &Name) -> Result<Option<Record>, StoreError> {
        Ok(self.state().records.get(&(table, name.clone())).cloned())
    }

    async fn read_many(&self, table: Table, names: Vec<Name>) -> Result<Vec<Record>, StoreError> {
        let state = self.state();
        Ok(names.into_iter().filter_map(|name| state.records.get(&(table, name)).cloned()).collect())
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
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<Head, StoreError> {
        let (head, records) = {
            let state = self.state();
            let wanted = state.records.values().filter(|record| tables.contains(&record.table));
            (state.head(), wanted.cloned().collect::<Vec<_>>())
        };
        records.into_iter().map(Ok).for_each(each);
        Ok(head)
    }

    async fn changes(&self, from: Head, limit: usize) -> Result<Changes, StoreError> {
        let state = self.state();
        let number = from.epoch.number;
        if from.epoch.store != state.history.epoch().store {
            return Ok(Changes::Parted);
        }
        // The log begins with the change after this one, and has no gaps.
        let Some(known) = number.checked_sub(state.history.after()) else { return Ok(Changes::Gone) };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        if state.mark_at(known) != Some(from.mark) {
            return Ok(Changes::Parted);
        }
        Ok(Changes::Next(state.log.iter().skip(known).take(limit).cloned().collect()))
    }

    async fn heartbeat(&self, beat: Beat) -> Result<Head, StoreError> {
        self.roster.note(beat);
        Ok(self.state().head())
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        Ok(self.roster.instances())
    }

    async fn begin_term(&self, from: Head, batch: Batch) -> Result<Epoch, StoreError> {
        let epoch = {
            let mut state = self.state();
            if state.head() != from {
                return Err(StoreError::Moved);
            }
            state.history.begin_term();
            let epoch = state.write(batch, self.kept)?;
            state.terms.push(epoch.number);
            epoch
        };
        self.pushed.send_replace(epoch.number);
        Ok(epoch)
    }

    async fn note_uses(&self, uses: &[Uses]) -> Result<(), StoreError> {
        let mut state = self.state();
        for Uses { id: key, count, last } in uses {
            let has = |table| state.records.contains_key(&(table, Name::of(key)));
            if Table::USED.into_iter().any(has) {
                let (sum, latest) = state.uses.entry(*key).or_insert((0, i64::MIN));
                *sum += count;
                *latest = (*latest).max(*last);
            }
        }
        Ok(())
    }

    async fn uses(&self, _of: Table, ids: &[Uuid]) -> Result<Vec<Uses>, StoreError> {
        let state = self.state();
        let known = ids.iter().filter_map(|key| Some((*key, *state.uses.get(key)?)));
        Ok(known.map(|(key, (count, last))| Uses { id: key, count, last }).collect())
    }

    async fn count(&self, counts: &[Count], now: Timestamp) -> Result<Vec<Counted>, StoreError> {
        let mut state = self.state();
        let now = now.unix();
        let one = |count: &Count| counted(state.counters.get(&count.name).copied(), count, now);
        let found: Vec<_> = counts.iter().map(one).collect();
        if found.iter().zip(counts).all(|((total, _), count)| *total <= count.most) {
            for ((total, ends), count) in found.iter().zip(counts) {
                match total {
                    0 => drop(state.counters.remove(&count.name)),
                    total => drop(state.counters.insert(count.name, (*total, *ends))),
                }
            }
        }
        let told =
            |(total, ends): (u64, i64)| Counted { total, left: Duration::from_secs(ends.abs_diff(now)) };
        Ok(found.into_iter().map(told).collect())
    }

    fn pushed(&self) -> watch::Receiver<u64> {
        self.pushed.subscribe()
    }
}

impl State {
    fn head(&self) -> Head {
        let mark = self.log.back().map_or(self.mark_before, |change| change.mark);
        Head { epoch: self.history.epoch(), mark }
    }

    /// Of the change that comes after so many of the log's.
    fn mark_at(&self, known: usize) -> Option<Mark> {
        match known.checked_sub(1) {
            None => Some(self.mark_before),
            Some(index) => self.log.get(index).map(|change| change.mark),
        }
    }

    fn write(&mut self, batch: Batch, kept: u64) -> Result<Epoch, StoreError> {
        if let Some(epoch) = self.history.written(&batch.operation) {
            return Ok(epoch);
        }
        changes::expect(&batch, |table, name| {
            Ok(self.records.get(&(table, name.clone())).map(|record| record.revision))
        })?;
        let mark = mark_after(self.head().mark, &batch.operation);
        let epoch = self.history.advance(batch.operation);
        self.log.push_back(Change { mark, ..changes::change(epoch.number, &batch) });
        for step in batch.steps {
            self.apply(epoch.number, step.table, step.name, step.effect);
        }
        for _ in self.history.trim(kept) {
            self.mark_before = self.log.pop_front().map_or(self.mark_before, |change| change.mark);
        }
        Ok(epoch)
    }

    fn apply(&mut self, revision: u64, table: Table, name: Name, effect: Effect) {
        match effect {
            Effect::Put(payload) => {
                let record = Record { table, name: name.clone(), revision, payload };
                self.records.insert((table, name), record);
            }
            Effect::Delete => {
                if let Some(key) = name.id().filter(|_| table.is_used()) {
                    self.uses.remove(&key);
                }
                self.records.remove(&(table, name));
            }
            Effect::Keep => {}
        }
    }
}

/// An operation's id names its batch.
fn mark_after(previous: Mark, operation: &Uuid) -> Mark {
    let digest: [u8; 32] = Sha256::new().chain_update(previous.0).chain_update(operation).finalize().into();
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest[..16]);
    Mark(mark)
}
