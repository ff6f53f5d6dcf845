//! Packs: what an instance made of all that checks need, kept for others to start from.
//!
//! Pieces are strings of their own, under a manifest that is sealed and has their digests. A pack
//! that cannot be trusted or read is none: the records themselves are still there.

use ::redis::Value;
use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::RedisStore;
use super::refusal::Refusal;
use super::scripts::{Call, Script};
use super::{beats, keys, meta, reads, reply};
use crate::store::codec::{Place, Space};
use crate::store::{Changes, Head, Mark, StoreError, proto};

/// Keeps a pack of the store as it stood at `head`; `false` where there is a newer one, or where the
/// log does not lead on from it.
pub(super) async fn keep(store: &RedisStore, head: Head, pieces: Vec<Bytes>) -> Result<bool, StoreError> {
    if !leads_on(store, head).await? {
        return Ok(false);
    }
    let id = Uuid::new_v4().simple().to_string();
    let digests = pieces.iter().map(|piece| Sha256::digest(piece).to_vec()).collect();
    let mut call = Call::new(Script::Pack, &[keys::META, keys::PACK]);
    for (index, piece) in pieces.iter().enumerate() {
        let key = keys::piece(&id, index);
        let mut command = ::redis::cmd("SET");
        // Forgotten by itself, should this not come to its end.
        command.arg(&key).arg(&piece[..]).arg("EX").arg(UNFINISHED_SECONDS);
        store.bulk.ask(&command).await?;
        call.keys.push(key);
    }
    let call = call.with(head.epoch.number.to_string()).with(&id[..]).with(seal(store, head, &id, digests));
    Ok(reply::number(store.bulk.call(&call).await?)? == 1)
}

/// The newest pack, if it is whole and the log leads on from it.
pub(super) async fn read(store: &RedisStore) -> Result<Option<(Head, Vec<Bytes>)>, StoreError> {
    // While it is read, a newer one may take its place.
    for _ in 0..2 {
        let mut command = ::redis::cmd("HMGET");
        let fields = store.bulk.ask(command.arg(keys::PACK).arg("id").arg("sealed")).await?;
        let [id, sealed] = reply::exactly(fields)?;
        let (Some(id), Some(sealed)) = (reply::bytes(id)?, reply::bytes(sealed)?) else { return Ok(None) };
        let Some((head, id, digests)) = open(store, id, &sealed) else {
            tracing::warn!("the pack in the store cannot be trusted; the records themselves are read");
            return Ok(None);
        };
        if !leads_on(store, head).await? {
            return Ok(None);
        }
        if let Some(pieces) = pieces(store, &id, &digests).await? {
            return Ok(Some((head, pieces)));
        }
    }
    tracing::warn!("the pack in the store is not whole; the records themselves are read");
    Ok(None)
}

async fn leads_on(store: &RedisStore, head: Head) -> Result<bool, StoreError> {
    let next = reads::changes(&store.reads, &store.ring, head, 0).await?;
    Ok(matches!(next, Changes::Next(_)))
}

/// `None` where one is gone, or is another.
async fn pieces(store: &RedisStore, id: &str, digests: &[Vec<u8>]) -> Result<Option<Vec<Bytes>>, StoreError> {
    let mut keys = (0..digests.len()).map(|index| fetch(store, keys::piece(id, index)));
    let mut pieces = Vec::with_capacity(digests.len());
    let mut next = keys.next();
    for digest in digests {
        let Some(fetched) = next.take() else { return Ok(None) };
        let fetched = fetched.await;
        // Redis sends the next while this one is looked at.
        next = keys.next();
        let piece =
            fetched.map_err(|error| StoreError::Unavailable(format!("a read did not end: {error}")))?;
        match reply::bytes(piece?)? {
            Some(piece) if Sha256::digest(&piece)[..] == digest[..] => pieces.push(piece.into()),
            _ => return Ok(None),
        }
    }
    Ok(Some(pieces))
}

fn fetch(store: &RedisStore, key: String) -> JoinHandle<Result<Value, Refusal>> {
    let link = store.bulk.clone();
    store.runtime.spawn(async move {
        let mut command = ::redis::cmd("GET");
        link.ask(command.arg(key)).await
    })
}

fn seal(store: &RedisStore, head: Head, id: &str, digests: Vec<Vec<u8>>) -> Vec<u8> {
    let manifest = proto::Manifest {
        epoch: Some(beats::epoch_message(head.epoch)),
        mark: if head.mark == Mark::NONE { Vec::new() } else { head.mark.0.to_vec() },
        digests,
    };
    let place = Place { space: Space::Manifest, name: id.as_bytes() };
    place.seal(&store.ring, head.epoch.number, manifest.encode_to_vec())
}

fn open(store: &RedisStore, id: Vec<u8>, sealed: &[u8]) -> Option<(Head, String, Vec<Vec<u8>>)> {
    let (_, payload) = Place { space: Space::Manifest, name: &id }.open(&store.ring, sealed).ok()?;
    let manifest = proto::Manifest::decode(&payload[..]).ok()?;
    let head = Head { epoch: beats::epoch(&manifest.epoch?)?, mark: meta::mark(&manifest.mark)? };
    Some((head, String::from_utf8(id).ok()?, manifest.digests))
}

/// How long pieces stay whose manifest never comes.
const UNFINISHED_SECONDS: u32 = 600;
