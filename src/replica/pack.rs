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
    let mut piece = Piece::new(CONSUMERS);
    tables.for_each_consumer(|consumer| {
        piece.record(&record_of(consumer).encode());
        piece.finish_if_full(&mut pieces);
    });
    piece.finish(&mut pieces);
    let mut piece = Piece::new(ADMIN_KEYS);
    tables.for_each_admin_key(|key| {
        piece.record(&key.encode());
        piece.finish_if_full(&mut pieces);
    });
    piece.finish(&mut pieces);
    let mut piece = Piece::new(ACCOUNTS);
    tables.for_each_account(|account| {
        piece.record(&BasicRecord::from(account).encode());
        piece.finish_if_full(&mut pieces);
    });
    piece.finish(&mut pieces);
    let stored = tables.objects();
    let mut piece = Piece::new(OBJECTS);
    stored.objects.values().for_each(|object| {
        piece.record(&object.encode());
        piece.finish_if_full(&mut pieces);
    });
    piece.finish(&mut pieces);
    let mut piece = Piece::new(GUARD);
    stored.guard.iter().for_each(|guard| piece.record(&guard.encode()));
    piece.finish(&mut pieces);
    let mut piece = Piece::new(KEYS);
    tables.for_each_key(|key| {
        piece.key(&key);
        piece.finish_if_full(&mut pieces);
    });
    piece.finish(&mut pieces);
    let mut piece = Piece::new(SIGNING_KEYS);
    if let Some(keys) = tables.signing_keys() {
        piece.record(&keys.record.encode());
    }
    piece.finish(&mut pieces);
    let mut piece = Piece::new(JWTS);
    tables.signers().for_each(|record| {
        piece.record(&record.encode());
        piece.finish_if_full(&mut pieces);
    });
    piece.finish(&mut pieces);
    encode_issued(tables, &mut pieces);
    pieces
}

fn encode_issued(tables: &Tables, pieces: &mut Vec<Bytes>) {
    let mut piece = Piece::new(ACCESS_KEYS);
    tables.issued().for_each_access_key(|key| {
        piece.record(&key.encode());
        piece.finish_if_full(pieces);
    });
    piece.finish(pieces);
    let mut piece = Piece::new(TOKENS);
    tables.issued().for_each_token(|token| {
        piece.record(&token.encode());
        piece.finish_if_full(pieces);
    });
    piece.finish(pieces);
    let mut piece = Piece::new(SESSIONS);
    // When they were used is asked of the store.
    tables.issued().for_each_session(|session, _| {
        piece.record(&session.encode());
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
        CONSUMERS => {
            for _ in 0..count {
                let record = ConsumerRecord::decode(rest.record()?).map_err(|_| Unreadable::Record)?;
                tables.put_consumer(record.into());
            }
        }
        ADMIN_KEYS => {
            for _ in 0..count {
                let record = AdminKeyRecord::decode(rest.record()?).map_err(|_| Unreadable::Record)?;
                tables.put_admin_key(record);
            }
        }
        ACCOUNTS => {
            for _ in 0..count {
                tables.put_account(BasicRecord::decode(rest.record()?).map_err(|_| Unreadable::Record)?);
            }
        }
        OBJECTS => {
            for _ in 0..count {
                tables.put_object(ObjectRecord::decode(rest.record()?).map_err(|_| Unreadable::Record)?);
            }
        }
        GUARD => {
            for _ in 0..count {
                tables.put_guard(GuardRecord::decode(rest.record()?).map_err(|_| Unreadable::Record)?);
            }
        }
        KEYS => {
            let mut limits = Vec::new();
            for _ in 0..count {
                let key = rest.key(tables, &mut limits)?;
                tables.put_key(key);
            }
        }
        SIGNING_KEYS => {
            for _ in 0..count {
                let record = SigningKeysRecord::decode(rest.record()?).map_err(|_| Unreadable::Record)?;
                tables.put_signing_keys(record);
            }
        }
        JWTS => {
            for _ in 0..count {
                tables.signers().put(JwtRecord::decode(rest.record()?).map_err(|_| Unreadable::Record)?);
            }
        }
        ACCESS_KEYS => {
            for _ in 0..count {
                let key = AccessKey::decode(rest.record()?).map_err(|_| Unreadable::Record)?;
                tables.issued().put_access_key(key);
            }
        }
        TOKENS => {
            for _ in 0..count {
                let token = Token::decode(rest.record()?).map_err(|_| Unreadable::Record)?;
                tables.issued().put_token(token);
            }
        }
        SESSIONS => {
            for _ in 0..count {
                let session = Session::decode(rest.record()?).map_err(|_| Unreadable::Record)?;
                tables.issued().put_session(session);
            }
        }
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
