//! Reading all records while writes go on.
//!
//! The head is read first and the buckets after it, so that no record is older than the head; some
//! are newer. At the end the head must still be part of the history: a failover on the way may have
//! gone back behind it.

use ::redis::{Pipeline, Value};
use tokio::task::JoinHandle;

use super::RedisStore;
use super::reads;
use super::refusal::Refusal;
use super::{keys, reply, value};
use crate::store::{Changes, Head, Name, Record, StoreError, Table};

pub(super) async fn read(
    store: &RedisStore,
    tables: &[Table],
    each: &mut (dyn for<'r> FnMut(Record) + Send),
) -> Result<Head, StoreError> {
    let head = store.bulk.standing().await?.head;
    let chunks = tables.iter().flat_map(|table| (0..keys::BUCKETS).step_by(CHUNK).map(|from| (*table, from)));
    let mut chunks = chunks.map(|(table, from)| (table, fetch(store, table, from)));
    let mut next = chunks.next();
    while let Some((table, fetched)) = next {
        let buckets =
            fetched.await.map_err(|error| StoreError::Unavailable(format!("a read did not end: {error}")))?;
        // Redis answers the next while these are opened.
        next = chunks.next();
        for bucket in buckets? {
            for (name, value) in reply::map(bucket)? {
                let name = reply::bytes(name)?.map(Name).ok_or_else(|| Refusal::garbled("a name"))?;
                let value = reply::bytes(value)?.ok_or_else(|| Refusal::garbled("a record"))?;
                each(value::open(&store.ring, table, name, &value)?);
            }
        }
        tokio::task::yield_now().await;
    }
    match reads::changes(&store.reads, &store.ring, head, 0).await? {
        Changes::Next(_) | Changes::Gone => Ok(head),
        Changes::Parted => Err(StoreError::Unavailable(
            "the store in Redis lost changes while it was read; it is read again".into(),
        )),
    }
}

fn fetch(store: &RedisStore, table: Table, from: u16) -> JoinHandle<Result<Vec<Value>, Refusal>> {
    let mut commands = Pipeline::with_capacity(CHUNK);
    for bucket in from..from + CHUNK as u16 {
        commands.cmd("HGETALL").arg(keys::bucket(table, bucket));
    }
    let link = store.bulk.clone();
    store.runtime.spawn(async move { link.ask_all(&commands).await })
}

/// Buckets that are asked for at once: with a million records some 8,000 of them, 2 MB.
const CHUNK: usize = 32;
