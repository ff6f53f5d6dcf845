//! Everything that checks need in few bytes and few pieces, from which a replica is there at once.
//!
//! A pack is no record: it is made from a replica and vouched for by whoever keeps it, and one that
//! cannot be read costs a slower start. A piece is `DWP6`, a byte that says what is in it, how many
//! as 4 bytes, and these one after the other; numbers are little-endian. Pieces stand for
//! themselves, so that each can be read on a processor of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use uuid::Uuid;

use super::tables::{Key, Limits, Tables};
use crate::domain::consumer::{Consumer, Given};
use crate::domain::session::Session;
use crate::domain::time::Timestamp;
use crate::domain::token::{AccessKey, Token};
use crate::store::StoreError;
use crate::store::record::{
    AdminKeyRecord, BasicRecord, ConsumerRecord, GuardRecord, JwtRecord, KeyRecord, Membership, ObjectRecord,
    SigningKeysRecord,
};

/// Why a pack is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("a piece does not begin like one of this version")]
    Foreign,
    #[error("a piece ends too early, or too late")]
    Length,
    #[error("a record in a piece cannot be read")]
    Record,
}

const MAGIC: &[u8; 4] = b"DWP6";
const HEADER: usize = 9;
const CONSUMERS: u8 = 1;
const KEYS: u8 = 2;
const ADMIN_KEYS: u8 = 3;
const SIGNING_KEYS: u8 = 4;
const OBJECTS: u8 = 5;
const GUARD: u8 = 6;
const ACCOUNTS: u8 = 7;
const JWTS: u8 = 8;
const ACCESS_KEYS: u8 = 9;
const TOKENS: u8 = 10;
const SESSIONS: u8 = 11;

/// A piece is finished when it has so many bytes.
const PIECE: usize = 1 << 20;

/// Keys for which it is not worth to make room beforehand.
const FEW: usize = 10_000;

/// More processors than that gain nothing: memory is what they wait for.
const READERS: usize = 8;

/// All of `tables` but what is changed meanwhile: that may be in it as it was, as it is, or not at
/// all, so whoever reads it has to apply the changes from before this began.
pub(super) fn encode(tables: &Tables) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    of_records(CONSUMERS, &mut pieces, |add| tables.for_each_consumer(|it| add(record_of(it).encode())));
    of_records(ADMIN_KEYS, &mut pieces, |add| tables.for_each_admin_key(|it| add(it.encode())));
    of_records(ACCOUNTS, &mut pieces, |add| {
        tables.for_each_account(|it| add(BasicRecord::from(it).encode()))
    });
    let stored = tables.objects();
    of_records(OBJECTS, &mut pieces, |add| stored.objects.values().for_each(|it| add(it.encode())));
    of_records(GUARD, &mut pieces, |add| stored.guard.iter().for_each(|it| add(it.encode())));
    let mut piece = Piece::new(KEYS);
    tables.for_each_key(|key| {
        piece.key(&key);
        piece.finish_if_full(&mut pieces);
    });
    piece.finish(&mut pieces);
    of_records(SIGNING_KEYS, &mut pieces, |add| {
        tables.signing_keys().iter().for_each(|it| add(it.record.encode()))
    });
    of_records(JWTS, &mut pieces, |add| tables.signers().for_each(|it| add(it.encode())));
    let issued = tables.issued();
    of_records(ACCESS_KEYS, &mut pieces, |add| issued.for_each_access_key(|it| add(it.encode())));
    of_records(TOKENS, &mut pieces, |add| issued.for_each_token(|it| add(it.encode())));
    // When they were used is asked of the store.
    of_records(SESSIONS, &mut pieces, |add| issued.for_each_session(|it, _| add(it.encode())));
    pieces
}

/// Pieces of one kind, with what `each` adds to them.
fn of_records(kind: u8, pieces: &mut Vec<Bytes>, each: impl FnOnce(&mut dyn FnMut(Vec<u8>))) {
    let mut piece = Piece::new(kind);
    each(&mut |record| {
        piece.record(&record);
        piece.finish_if_full(pieces);
    });
    piece.finish(pieces);
}

/// What was packed, read on as many processors as there are.
pub(super) fn decode(pieces: Vec<Bytes>) -> Result<Tables, Unreadable> {
    let tables = Tables::default();
    let keys = pieces.iter().filter(|piece| piece.get(4) == Some(&KEYS));
    let keys: usize = keys.map(|piece| count(piece)).sum();
    if keys > FEW {
        tables.expect_keys(keys);
    }
    let readers = std::thread::available_parallelism().map_or(1, usize::from).min(READERS).min(pieces.len());
    // Each is gone when it has been read.
    let pieces = Mutex::new(pieces.into_iter());
    let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    let read = || {
        while let Some(piece) = next() {
            decode_piece(&tables, &piece)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..readers).map(|_| scope.spawn(read)).collect();
        // A panic is a bug of ours; that pack is not used.
        readers.into_iter().try_for_each(|reader| reader.join().unwrap_or(Err(Unreadable::Record)))
    })?;
    Ok(tables)
}

/// As its header says. A key takes more than its 48 bytes, so nobody makes us expect more keys than
/// could be there.
fn count(piece: &[u8]) -> usize {
    let said = piece.get(5..HEADER).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    (said as usize).min(piece.len() / 48)
}

fn decode_piece(tables: &Tables, piece: &[u8]) -> Result<(), Unreadable> {
    let mut rest = Rest(piece);
    if rest.take(4)? != MAGIC {
        return Err(Unreadable::Foreign);
    }
    let (kind, count) = (rest.array::<1>()?, rest.number()?);
    match kind[0] {
        CONSUMERS => rest.each(count, ConsumerRecord::decode, |it| tables.put_consumer(it.into()))?,
        ADMIN_KEYS => rest.each(count, AdminKeyRecord::decode, |it| tables.put_admin_key(it))?,
        ACCOUNTS => rest.each(count, BasicRecord::decode, |it| tables.put_account(it))?,
        OBJECTS => rest.each(count, ObjectRecord::decode, |it| tables.put_object(it))?,
        GUARD => rest.each(count, GuardRecord::decode, |it| tables.put_guard(it))?,
        KEYS => {
            let mut limits = Vec::new();
            for _ in 0..count {
                let key = rest.key(tables, &mut limits)?;
                tables.put_key(key);
            }
        }
        SIGNING_KEYS => rest.each(count, SigningKeysRecord::decode, |it| tables.put_signing_keys(it))?,
        JWTS => rest.each(count, JwtRecord::decode, |it| tables.signers().put(it))?,
        ACCESS_KEYS => rest.each(count, AccessKey::decode, |it| tables.issued().put_access_key(it))?,
        TOKENS => rest.each(count, Token::decode, |it| tables.issued().put_token(it))?,
        SESSIONS => rest.each(count, Session::decode, |it| tables.issued().put_session(it))?,
        _ => return Err(Unreadable::Foreign),
    }
    if rest.0.is_empty() { Ok(()) } else { Err(Unreadable::Length) }
}

/// One that is being written.
struct Piece {
    kind: u8,
    bytes: Vec<u8>,
    count: u32,
    /// What keys of this piece have; kept, so that an address stands for one of them.
    limits: HashMap<*const Limits, (u32, Arc<Limits>)>,
}

impl Piece {
    fn new(kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(PIECE + PIECE / 64);
        bytes.extend_from_slice(MAGIC);
        bytes.push(kind);
        bytes.extend_from_slice(&[0; 4]);
        Self { kind, bytes, count: 0, limits: HashMap::new() }
    }

    fn record(&mut self, record: &[u8]) {
        self.length_and(record);
        self.count += 1;
    }

    fn length_and(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("records are smaller than 4 GiB");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    fn key(&mut self, key: &Key) {
        self.bytes.extend_from_slice(&key.digest);
        self.bytes.extend_from_slice(key.id.as_bytes());
        self.bytes.extend_from_slice(key.consumer.as_bytes());
        self.bytes.extend_from_slice(&key.not_before.to_le_bytes());
        self.bytes.extend_from_slice(&key.expires.to_le_bytes());
        self.limits(key.limits.as_ref());
        self.count += 1;
    }

    /// 0: none. Else the how manieth of this piece; the first time with what it is.
    fn limits(&mut self, limits: Option<&Arc<Limits>>) {
        let Some(limits) = limits else { return self.bytes.extend_from_slice(&[0; 4]) };
        let new = u32::try_from(self.limits.len() + 1).expect("no more than keys of a piece");
        let (number, _) = *self.limits.entry(Arc::as_ptr(limits)).or_insert((new, Arc::clone(limits)));
        self.bytes.extend_from_slice(&number.to_le_bytes());
        if number == new {
            self.length_and(&KeyRecord::from(&**limits).encode());
        }
    }

    fn finish_if_full(&mut self, pieces: &mut Vec<Bytes>) {
        if self.bytes.len() >= PIECE {
            std::mem::replace(self, Self::new(self.kind)).finish(pieces);
        }
    }

    fn finish(mut self, pieces: &mut Vec<Bytes>) {
        if self.count > 0 {
            self.bytes[5..HEADER].copy_from_slice(&self.count.to_le_bytes());
            pieces.push(self.bytes.into());
        }
    }
}

/// What is still to be read of a piece.
struct Rest<'p>(&'p [u8]);

impl<'p> Rest<'p> {
    fn take(&mut self, length: usize) -> Result<&'p [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| Unreadable::Length)
    }

    fn number(&mut self) -> Result<u32, Unreadable> {
        self.array().map(u32::from_le_bytes)
    }

    fn record(&mut self) -> Result<&'p [u8], Unreadable> {
        let length = self.number()?;
        self.take(length as usize)
    }

    /// So many records, one after the other.
    fn each<R>(
        &mut self,
        count: u32,
        decode: fn(&[u8]) -> Result<R, StoreError>,
        put: impl Fn(R),
    ) -> Result<(), Unreadable> {
        for _ in 0..count {
            put(decode(self.record()?).map_err(|_| Unreadable::Record)?);
        }
        Ok(())
    }

    fn key(&mut self, tables: &Tables, known: &mut Vec<Arc<Limits>>) -> Result<Key, Unreadable> {
        let digest = self.array()?;
        let id = Uuid::from_bytes(self.array()?);
        let consumer = Uuid::from_bytes(self.array()?);
        let (not_before, expires, limits) = (self.number()?, self.number()?, self.number()?);
        let limits = match limits as usize {
            0 => None,
            number if number == known.len() + 1 => {
                let record = KeyRecord::decode(self.record()?).map_err(|_| Unreadable::Record)?;
                let limits = tables.share(Limits::of(record).ok_or(Unreadable::Record)?);
                known.push(Arc::clone(&limits));
                Some(limits)
            }
            number => Some(Arc::clone(known.get(number - 1).ok_or(Unreadable::Record)?)),
        };
        Ok(Key { digest, id, consumer, not_before, expires, limits })
    }
}

/// Without what checks do not need.
fn record_of(consumer: &Consumer) -> ConsumerRecord {
    let Consumer { id, username, custom_id, given, enabled } = consumer.clone();
    let Given { groups, permissions, roles, networks } = Given::clone(&given);
    let never = Timestamp::from_unix(0);
    ConsumerRecord {
        id,
        username: username.map(String::from),
        custom_id: custom_id.map(String::from),
        tags: Vec::new(),
        email: None,
        groups: groups.into_iter().map(|group| Membership::plain(&id, group, never)).collect(),
        permissions,
        enabled,
        created_at: never,
        updated_at: never,
        roles,
        networks,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;
    use crate::domain::password::Mark;
    use crate::domain::token::Scope;

    #[test]
    fn what_was_issued_is_there_after_a_start_from_a_pack() {
        let id = Uuid::from_u128;
        let (at, password) = (Timestamp::from_unix(7), Mark::from_bytes([8; 12]));
        let key = AccessKey {
            id: id(1),
            consumer: id(9),
            name: "ci".into(),
            project: id(2),
            roles: vec!["member".into()],
            expires_at: Some(at),
            enabled: true,
            created_at: at,
        };
        let scope = Scope::Dynamic { service: id(3), password };
        let token = Token { id: id(4), consumer: id(9), scope, expires_at: at, created_at: at };
        let session = Session {
            id: id(5),
            consumer: id(9),
            created_at: at,
            expires_at: at,
            idle: Duration::from_secs(60),
            password,
        };
        let tables = Tables::default();
        tables.issued().put_access_key(key.clone());
        tables.issued().put_token(token.clone());
        tables.issued().put_session(session.clone());
        let unpacked = decode(encode(&tables)).unwrap();
        let issued = unpacked.issued();
        assert_eq!(issued.access_key(&id(1)).as_deref(), Some(&key));
        assert_eq!(issued.token(&id(4)).as_deref(), Some(&token));
        assert_eq!(issued.session(&id(5)).map(|(session, _)| (*session).clone()), Some(session));
        assert_eq!(issued.held_by(&id(9), Timestamp::from_unix(0)), 2);
    }
}
