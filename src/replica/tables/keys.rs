//! Keys: a row of 44 bytes each, found by digest for a check and by id for a change.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;
use uuid::Uuid;

use super::consumers::{Consumers, Held};
use super::limits::{Limits, in_a_row};
use super::shards::{SHARD_BITS, SHARDS, hash_of_id, shard_of, shares};
use super::shared::Shared;
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::deployment::Opens;
use crate::domain::key::{KeyFacts, KeyId};
use crate::domain::time::Timestamp;
use crate::domain::verifier::Verifier;
use crate::store::record::KeyRecord;

/// Half a verifier.
///
/// A verifier is an HMAC under a pepper that no caller has, so nobody can look for two secrets of
/// one digest, and by chance two of a billion keys share 128 bits once in 10^20 replicas: half is
/// enough to tell keys apart. Nor can anybody guess a digest: a key that opens is a preimage under
/// the pepper, 2^128 tries against the server itself.
pub(in crate::replica) type Digest = [u8; 16];

/// All keys, by digest and by id. Changed by one writer at a time for each key.
///
/// Locks are taken in this order: ids, rows, consumers. A check takes the last two, to read.
pub(super) struct Keys {
    shards: Box<[RwLock<Shard>]>,
    ids: Box<[Mutex<HashTable<Place>>]>,
    limits: Shared<Limits>,
    weak: AtomicUsize,
    len: AtomicUsize,
}

/// A key, as it is put in and shown.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::replica) struct Key {
    pub(in crate::replica) digest: Digest,
    pub(in crate::replica) id: KeyId,
    pub(in crate::replica) consumer: ConsumerId,
    /// Seconds since 1970; 0: none, or where the limits say. So is the next.
    pub(in crate::replica) not_before: u32,
    pub(in crate::replica) expires: u32,
    pub(in crate::replica) limits: Option<Arc<Limits>>,
}

impl Key {
    /// What it opens; `None`: everything.
    pub(in crate::replica) fn opens(&self) -> Option<&[Opens]> {
        self.limits.as_ref()?.opens.as_deref()
    }
}

/// Where a row is: the shard in the upper 10 bits, the row in the lower 22.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(u32);

#[derive(Default)]
struct Shard {
    by_digest: HashTable<u32>,
    /// In pieces, so that growing copies nothing and leaves nothing unused.
    #[allow(clippy::vec_box, reason = "a vector of rows would move them all when it grows")]
    rows: Vec<Box<[Row; PIECE]>>,
    /// So many rows were ever used.
    used: u32,
    /// The first of those that are free, each of which has the next in its `limited`.
    free: Option<u32>,
    /// By `limited` of a row, which counts from 1.
    limited: Vec<Limited>,
    free_limited: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Row {
    digest: Digest,
    id: KeyId,
    /// Nobody where the row is free.
    consumer: Held,
    expires: u32,
    /// 0: not at all.
    limited: u32,
}

/// What most keys have not: beside the rows, so that these are small.
#[derive(Clone, Default)]
struct Limited {
    not_before: u32,
    limits: Option<Arc<Limits>>,
}

const ROW_BITS: u32 = 32 - SHARD_BITS;
/// 20 rows are 880 bytes; allocators have a size of 896.
const PIECE: usize = 20;

impl Default for Keys {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            ids: (0..SHARDS).map(|_| Mutex::default()).collect(),
            limits: Shared::default(),
            weak: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
        }
    }
}

impl Key {
    pub(super) fn of(record: KeyRecord, share: impl FnOnce(Limits) -> Arc<Limits>) -> Self {
        Self {
            digest: digest(&record.verifier),
            id: record.id,
            consumer: record.consumer,
            not_before: record.not_before.and_then(in_a_row).unwrap_or(0),
            expires: record.expires_at.and_then(in_a_row).unwrap_or(0),
            limits: Limits::of(record).map(share),
        }
    }
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn weak(&self) -> usize {
        self.weak.load(Ordering::Relaxed)
    }

    pub(super) fn get(
        &self,
        verifier: &Verifier,
        consumers: &Consumers,
    ) -> Option<(KeyFacts, Option<Arc<Consumer>>)> {
        let digest = digest(verifier);
        let hash = hash_of(&digest);
        let shard = self.read(shard_of(hash));
        let row = shard.row(shard.find(hash, &digest)?);
        // While the row is locked nobody takes it out, so its consumer's place is still its own.
        let (id, consumer) = consumers.at(row.consumer);
        let limited = shard.limited_of(row);
        let limits = limited.and_then(|limited| limited.limits.as_deref());
        let facts = KeyFacts {
            id: row.id,
            consumer: id,
            not_before: limited
                .and_then(|limited| moment(limited.not_before))
                .or_else(|| limits.and_then(|limits| limits.not_before)),
            expires_at: moment(row.expires).or_else(|| limits.and_then(|limits| limits.expires_at)),
            enabled: limits.is_none_or(|limits| limits.enabled),
            opens: limits.and_then(|limits| limits.opens.clone()),
            permissions: limits.and_then(|limits| limits.permissions.clone()),
            networks: limits.and_then(|limits| limits.networks.clone()),
        };
        Some((facts, consumer))
    }

    /// Puts a key in the place of whatever was there of its id. A key that is changed is at no
    /// moment away.
    pub(super) fn put(&self, key: Key, consumers: &Consumers) {
        let held = consumers.hold(&key.consumer);
        let id_hash = hash_of_id(&key.id);
        let mut ids = self.ids(shard_of(id_hash));
        let before = ids.find(id_hash, |place| self.id_at(*place) == key.id).copied();
        let (place, displaced) = self.put_row(&key, held);
        match before {
            Some(before) if before != place => {
                if let Some(known) = ids.find_mut(id_hash, |known| *known == before) {
                    *known = place;
                }
                self.free_row(before, &key.id, consumers);
            }
            Some(_) => {}
            None => {
                ids.insert_unique(id_hash, place, |place| hash_of_id(&self.id_at(*place)));
            }
        }
        drop(ids);
        let Some(displaced) = displaced else { return };
        if displaced.id != key.id {
            let hash = hash_of_id(&displaced.id);
            if let Ok(entry) = self.ids(shard_of(hash)).find_entry(hash, |other| *other == place) {
                entry.remove();
            }
        }
        consumers.release(displaced.consumer);
    }

    pub(super) fn remove(&self, id: &KeyId, consumers: &Consumers) {
        let hash = hash_of_id(id);
        let mut ids = self.ids(shard_of(hash));
        if let Ok(entry) = ids.find_entry(hash, |place| self.id_at(*place) == *id) {
            let (place, _) = entry.remove();
            self.free_row(place, id, consumers);
        }
    }

    pub(super) fn share(&self, limits: Limits) -> Arc<Limits> {
        self.limits.share(limits)
    }

    #[cfg(test)]
    pub(super) fn rows_in_use(&self) -> usize {
        let ids: usize = (0..SHARDS).map(|shard| self.ids(shard).len()).sum();
        let rows: usize = (0..SHARDS).map(|shard| self.read(shard).by_digest.len()).sum();
        let limited = |shard: &Shard| shard.limited.len() - shard.free_limited.len();
        let limited: usize = (0..SHARDS).map(|shard| limited(&self.read(shard))).sum();
        assert!(ids == rows && limited <= rows, "{ids} ids, {rows} rows, {limited} of them limited");
        rows
    }

    /// Makes room in the indexes for so many keys in all. Rows need none.
    pub(super) fn expect(&self, keys: usize) {
        for (shard, share) in shares(keys).into_iter().enumerate() {
            let mut rows = self.write(shard);
            let Shard { by_digest, rows: pieces, .. } = &mut *rows;
            let more = share.saturating_sub(by_digest.len());
            by_digest.reserve(more, |at| hash_of(&row_in(pieces, *at).digest));
            drop(rows);
            let mut ids = self.ids(shard);
            let more = share.saturating_sub(ids.len());
            ids.reserve(more, |place| hash_of_id(&self.id_at(*place)));
        }
    }

    pub(super) fn for_each(&self, consumers: &Consumers, mut each: impl FnMut(Key)) {
        for number in 0..SHARDS {
            for piece in 0.. {
                let keys = {
                    let shard = self.read(number);
                    let Some(rows) = shard.rows.get(piece) else { break };
                    let used = rows.iter().filter(|row| row.consumer != Held::NOBODY);
                    used.map(|row| shard.key(row, consumers)).collect::<Vec<_>>()
                };
                keys.into_iter().for_each(&mut each);
            }
        }
    }

    /// Writes the row of the key's digest; gives what was there.
    fn put_row(&self, key: &Key, held: Held) -> (Place, Option<Row>) {
        self.count_weak(key.limits.as_deref(), 1);
        let hash = hash_of(&key.digest);
        let number = shard_of(hash);
        let mut shard = self.write(number);
        let found = shard.find(hash, &key.digest);
        let displaced = found.map(|row| *shard.row(row));
        // Taken out before the lock is given back, but dropped after: others wait.
        let before = displaced.and_then(|row| shard.take_limits(&row));
        let limited = shard.limit(key);
        let Key { digest, id, expires, .. } = *key;
        let row = Row { digest, id, consumer: held, expires, limited };
        let at = match found {
            Some(at) => {
                *shard.row_mut(at) = row;
                at
            }
            None => shard.add_row(hash, row),
        };
        drop(shard);
        self.count_weak(before.as_deref(), -1);
        if displaced.is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        (Place::of(number, at), displaced)
    }

    /// Only where the key of this id has it: another may have come to the same digest.
    fn free_row(&self, place: Place, id: &KeyId, consumers: &Consumers) {
        let mut shard = self.write(place.shard());
        let row = *shard.row(place.row());
        if row.id != *id || row.consumer == Held::NOBODY {
            return;
        }
        let limits = shard.take_limits(&row);
        shard.free_row(place.row());
        drop(shard);
        self.count_weak(limits.as_deref(), -1);
        self.len.fetch_sub(1, Ordering::Relaxed);
        consumers.release(row.consumer);
    }

    fn count_weak(&self, limits: Option<&Limits>, by: isize) {
        if limits.is_some_and(|limits| limits.weak) {
            self.weak.fetch_add(by.cast_unsigned(), Ordering::Relaxed);
        }
    }

    fn id_at(&self, place: Place) -> KeyId {
        self.read(place.shard()).row(place.row()).id
    }

    /// A panic while a lock is held is a bug of ours; what is there is whole all the same.
    fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: usize) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard].write().unwrap_or_else(PoisonError::into_inner)
    }

    fn ids(&self, shard: usize) -> MutexGuard<'_, HashTable<Place>> {
        self.ids[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn find(&self, hash: u64, digest: &Digest) -> Option<u32> {
        self.by_digest.find(hash, |at| self.row(*at).digest == *digest).copied()
    }

    fn key(&self, row: &Row, consumers: &Consumers) -> Key {
        let Row { digest, id, consumer, expires, .. } = *row;
        let Limited { not_before, limits } = self.limited_of(row).cloned().unwrap_or_default();
        Key { digest, id, consumer: consumers.id_at(consumer), not_before, expires, limits }
    }

    fn row(&self, at: u32) -> &Row {
        row_in(&self.rows, at)
    }

    fn row_mut(&mut self, at: u32) -> &mut Row {
        &mut self.rows[at as usize / PIECE][at as usize % PIECE]
    }

    fn limited_of(&self, row: &Row) -> Option<&Limited> {
        self.limited.get(row.limited.checked_sub(1)? as usize)
    }

    fn take_limits(&mut self, row: &Row) -> Option<Arc<Limits>> {
        let limited = self.limited.get_mut(row.limited.checked_sub(1)? as usize)?;
        self.free_limited.push(row.limited);
        std::mem::take(limited).limits
    }

    /// Where the limits of this key stand now; 0 where it has none.
    fn limit(&mut self, key: &Key) -> u32 {
        if key.not_before == 0 && key.limits.is_none() {
            return 0;
        }
        let limited = Limited { not_before: key.not_before, limits: key.limits.clone() };
        if let Some(free) = self.free_limited.pop() {
            self.limited[free as usize - 1] = limited;
            return free;
        }
        if self.limited.len() == self.limited.capacity() {
            // A quarter at a time: memory counts more here than a copy of some kilobytes.
            self.limited.reserve_exact(self.limited.len() / 4 + 4);
        }
        self.limited.push(limited);
        u32::try_from(self.limited.len()).expect("no more than rows")
    }

    fn add_row(&mut self, hash: u64, row: Row) -> u32 {
        let at = match self.free {
            Some(at) => {
                self.free = self.row(at).limited.checked_sub(1);
                at
            }
            None => {
                let at = self.used;
                assert!(at < 1 << ROW_BITS, "four billion keys");
                if at as usize == self.rows.len() * PIECE {
                    self.rows.push(Box::new([Row::FREE; PIECE]));
                }
                self.used += 1;
                at
            }
        };
        *self.row_mut(at) = row;
        let Self { by_digest, rows, .. } = self;
        by_digest.insert_unique(hash, at, |at| hash_of(&row_in(rows, *at).digest));
        at
    }

    fn free_row(&mut self, at: u32) {
        let hash = hash_of(&self.row(at).digest);
        if let Ok(entry) = self.by_digest.find_entry(hash, |other| *other == at) {
            entry.remove();
        }
        *self.row_mut(at) = Row { limited: self.free.map_or(0, |next| next + 1), ..Row::FREE };
        self.free = Some(at);
    }
}

impl Row {
    const FREE: Self =
        Self { digest: [0; 16], id: Uuid::nil(), consumer: Held::NOBODY, expires: 0, limited: 0 };
}

fn row_in(rows: &[Box<[Row; PIECE]>], at: u32) -> &Row {
    &rows[at as usize / PIECE][at as usize % PIECE]
}

/// Of seconds since 1970, of which 0 are none.
fn moment(seconds: u32) -> Option<Timestamp> {
    (seconds != 0).then(|| Timestamp::from_unix(seconds.into()))
}

impl Place {
    fn of(shard: usize, row: u32) -> Self {
        Self(((shard as u32) << ROW_BITS) | row)
    }

    fn shard(self) -> usize {
        (self.0 >> ROW_BITS) as usize
    }

    fn row(self) -> u32 {
        self.0 & ((1 << ROW_BITS) - 1)
    }
}

pub(super) fn digest(verifier: &Verifier) -> Digest {
    let mut half = [0; 16];
    half.copy_from_slice(&verifier.as_bytes()[..16]);
    half
}

/// A digest is as random as a hash.
fn hash_of(digest: &Digest) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&digest[..8]);
    u64::from_le_bytes(half)
}
