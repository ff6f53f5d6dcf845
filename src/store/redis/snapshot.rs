//! Reading all records while writes go on.
//!
//! The head is read first and the buckets after it, so that no record is older than the head; some
//! are newer. At the end the head must still be part of the history: a failover on the way may have
//! gone back behind it.

use std::collections::VecDeque;

use ::redis::{Pipeline, Value};
use tokio::task::JoinHandle;

use super::RedisStore;
use super::reads;
use super::refusal::Refusal;
use super::{keys, reply, value};
use crate::store::ring::Ring;
use crate::store::{Changes, Head, Name, Record, StoreError, Table};

pub(super) async fn read(
    store: &RedisStore,
    tables: &[Table],
    each: &mut (dyn FnMut(Shown) + Send),
) -> Result<Head, StoreError> {
    let head = store.bulk.standing().await?.head;
    let chunks = tables.iter().flat_map(|table| (0..keys::BUCKETS).step_by(CHUNK).map(|from| (*table, from)));
    let mut chunks = chunks.map(|(table, from)| fetch(store, table, from));
    // Redis answers, threads verify, and the caller takes, all at once.
    let mut ahead: VecDeque<_> = chunks.by_ref().take(AHEAD).collect();
    while let Some(fetched) = ahead.pop_front() {
        let records = fetched.await.map_err(unfinished)??;
        ahead.extend(chunks.next());
        records.into_iter().for_each(&mut *each);
        tokio::task::yield_now().await;
    }
    match reads::changes(&store.reads, &store.ring, head, 0).await? {
        Changes::Next(_) | Changes::Gone => Ok(head),
        Changes::Parted => Err(StoreError::Unavailable(
            "the store in Redis lost changes while it was read; it is read again".into(),
        )),
    }
}

fn fetch(store: &RedisStore, table: Table, from: u16) -> JoinHandle<Result<Vec<Shown>, StoreError>> {
    let mut commands = Pipeline::with_capacity(CHUNK);
    for bucket in from..from + CHUNK as u16 {
        commands.cmd("HGETALL").arg(keys::bucket(table, bucket));
    }
    let (link, ring) = (store.bulk.clone(), store.ring.clone());
    store.runtime.spawn(async move {
        let buckets = link.ask_all(&commands).await?;
        // Some milliseconds of arithmetic: not where heartbeats are sent.
        let opened = tokio::task::spawn_blocking(move || open(&ring, table, buckets));
        opened.await.map_err(unfinished)?
    })
}

fn open(ring: &Ring, table: Table, buckets: Vec<Value>) -> Result<Vec<Shown>, StoreError> {
    let mut records = Vec::new();
    for bucket in buckets {
        let pairs = reply::map(bucket)?;
        records.reserve(pairs.len());
        for (name, value) in pairs {
            let name = reply::bytes(name)?.map(Name).ok_or_else(|| Refusal::garbled("a name"))?;
            let value = reply::bytes(value)?.ok_or_else(|| Refusal::garbled("a record"))?;
            records.push(match value::open(ring, table, name, &value) {
                Ok(record) => Ok(record),
                Err(damaged) if damaged.is_alone() => Err(damaged.into()),
                Err(damaged) => return Err(damaged.into()),
            });
        }
    }
    Ok(records)
}

/// A record, or why one cannot be trusted.
type Shown = Result<Record, StoreError>;

fn unfinished(error: tokio::task::JoinError) -> StoreError {
    StoreError::Unavailable(format!("a read did not end: {error}"))
}

/// Buckets that are asked for at once: with a million records some 8,000 of them, 2 MB.
const CHUNK: usize = 32;
/// Chunks that are on their way.
const AHEAD: usize = 3;
