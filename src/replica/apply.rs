//! What records come to for checks: their last states, and what takes away before what gives.

use std::collections::HashSet;

use tracing::error;
use uuid::Uuid;

use super::Tables;
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::key::KeyId;
use crate::domain::session::Session;
use crate::domain::token::{AccessKey, Token};
use crate::store::record::{
    AdminKeyRecord, BasicRecord, ConsumerRecord, GuardRecord, JwtRecord, KeyRecord, ObjectRecord,
    SIGNING_KEYS, SigningKeysRecord,
};
use crate::store::{Change, Name, StoreError, Table};

/// What a record says to checks.
pub(super) enum Fact {
    Consumer(Consumer),
    NoConsumer(ConsumerId),
    Key(KeyRecord),
    NoKey(KeyId),
    SigningKeys(SigningKeysRecord),
    NoSigningKeys,
    AdminKey(AdminKeyRecord),
    NoAdminKey(Uuid),
    Account(BasicRecord),
    NoAccount(Uuid),
    Object(ObjectRecord),
    NoObject(Uuid),
    /// `None`: gone.
    Guard(Option<GuardRecord>),
    Jwt(JwtRecord),
    NoJwt(Uuid),
    AccessKey(AccessKey),
    NoAccessKey(Uuid),
    Token(Token),
    NoToken(Uuid),
    Session(Session),
    NoSession(Uuid),
}

impl Fact {
    /// `None` where checks do not need it. A record that cannot be read is as good as none, for
    /// absence denies, and whatever stood there before is outdated. It is an alarm all the same.
    pub(super) fn of(table: Table, name: &Name, payload: Option<&[u8]>) -> Option<Self> {
        let read = match (table, name.id()) {
            (Table::Unique | Table::Owned | Table::Audit | Table::Grant, _) => return None,
            (_, None) => Err(StoreError::Damaged { table, why: "its name is no id".into() }),
            (Table::Consumer, Some(id)) => Ok(consumer_fact(id, payload)),
            (Table::Key, Some(id)) => Ok(key_fact(id, payload)),
            (Table::SigningKeys, Some(id)) => Ok(signing_keys_fact(id, payload)),
            (Table::AdminKey, Some(id)) => Ok(admin_key_fact(id, payload)),
            (Table::Basic, Some(id)) => Ok(account_fact(id, payload)),
            (Table::Object, Some(id)) if id.is_nil() => Ok(guard_fact(payload)),
            (Table::Object, Some(id)) => Ok(object_fact(id, payload)),
            (Table::Jwt, Some(id)) => Ok(jwt_fact(id, payload)),
            (Table::AccessKey, Some(id)) => Ok(access_key_fact(id, payload)),
            (Table::Token, Some(id)) => Ok(token_fact(id, payload)),
            (Table::Session, Some(id)) => Ok(session_fact(id, payload)),
        };
        let left_out = |error: &StoreError| {
            error!(%error, ?name, "a record is left out, so whatever it would allow is denied");
        };
        match read {
            Ok((fact, None)) => Some(fact),
            Ok((fact, Some(error))) => {
                left_out(&error);
                Some(fact)
            }
            Err(error) => {
                left_out(&error);
                None
            }
        }
    }

    /// Whether nothing is allowed by it.
    fn denies(&self) -> bool {
        match self {
            Self::NoConsumer(_) | Self::NoKey(_) | Self::NoAdminKey(_) | Self::NoAccount(_) => true,
            Self::NoAccessKey(_) | Self::NoToken(_) | Self::NoSession(_) | Self::NoSigningKeys => true,
            Self::Token(_) | Self::Session(_) => false,
            Self::AccessKey(key) => !key.enabled,
            // Only a catalog made of all of them says what they allow.
            Self::Object(_) | Self::NoObject(_) | Self::Guard(_) => false,
            Self::Consumer(consumer) => !consumer.enabled,
            Self::Key(key) => !key.enabled,
            Self::NoJwt(_) => true,
            Self::Jwt(jwt) => !jwt.enabled,
            Self::AdminKey(key) => !key.enabled,
            Self::Account(account) => !account.enabled,
            // A key that is gone from them is one that nothing verifies with.
            Self::SigningKeys(_) => true,
        }
    }
}

fn consumer_fact(id: ConsumerId, payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(ConsumerRecord::decode) {
        Some(Ok(record)) if record.id == id => (Fact::Consumer(record.into()), None),
        Some(Ok(_)) => (Fact::NoConsumer(id), Some(misplaced(Table::Consumer))),
        Some(Err(error)) => (Fact::NoConsumer(id), Some(error)),
        None => (Fact::NoConsumer(id), None),
    }
}

fn key_fact(id: KeyId, payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(KeyRecord::decode) {
        Some(Ok(record)) if record.id == id => (Fact::Key(record), None),
        Some(Ok(_)) => (Fact::NoKey(id), Some(misplaced(Table::Key))),
        Some(Err(error)) => (Fact::NoKey(id), Some(error)),
        None => (Fact::NoKey(id), None),
    }
}

fn signing_keys_fact(id: Uuid, payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(SigningKeysRecord::decode) {
        Some(Ok(record)) if id == SIGNING_KEYS => (Fact::SigningKeys(record), None),
        Some(Ok(_)) => (Fact::NoSigningKeys, Some(misplaced(Table::SigningKeys))),
        Some(Err(error)) => (Fact::NoSigningKeys, Some(error)),
        None => (Fact::NoSigningKeys, None),
    }
}

fn admin_key_fact(id: Uuid, payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(AdminKeyRecord::decode) {
        Some(Ok(record)) if record.id == id => (Fact::AdminKey(record), None),
        Some(Ok(_)) => (Fact::NoAdminKey(id), Some(misplaced(Table::AdminKey))),
        Some(Err(error)) => (Fact::NoAdminKey(id), Some(error)),
        None => (Fact::NoAdminKey(id), None),
    }
}

fn account_fact(id: Uuid, payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(BasicRecord::decode) {
        Some(Ok(record)) if record.id == id => (Fact::Account(record), None),
        Some(Ok(_)) => (Fact::NoAccount(id), Some(misplaced(Table::Basic))),
        Some(Err(error)) => (Fact::NoAccount(id), Some(error)),
        None => (Fact::NoAccount(id), None),
    }
}

fn object_fact(id: Uuid, payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(ObjectRecord::decode) {
        Some(Ok(record)) if record.id == id => (Fact::Object(record), None),
        Some(Ok(_)) => (Fact::NoObject(id), Some(misplaced(Table::Object))),
        Some(Err(error)) => (Fact::NoObject(id), Some(error)),
        None => (Fact::NoObject(id), None),
    }
}

fn jwt_fact(id: Uuid, payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(JwtRecord::decode) {
        Some(Ok(record)) if record.id == id => (Fact::Jwt(record), None),
        Some(Ok(_)) => (Fact::NoJwt(id), Some(misplaced(Table::Jwt))),
        Some(Err(error)) => (Fact::NoJwt(id), Some(error)),
        None => (Fact::NoJwt(id), None),
    }
}

fn access_key_fact(id: Uuid, payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(AccessKey::decode) {
        Some(Ok(key)) if key.id == id => (Fact::AccessKey(key), None),
        Some(Ok(_)) => (Fact::NoAccessKey(id), Some(misplaced(Table::AccessKey))),
        Some(Err(error)) => (Fact::NoAccessKey(id), Some(error)),
        None => (Fact::NoAccessKey(id), None),
    }
}

fn token_fact(id: Uuid, payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(Token::decode) {
        Some(Ok(token)) if token.id == id => (Fact::Token(token), None),
        Some(Ok(_)) => (Fact::NoToken(id), Some(misplaced(Table::Token))),
        Some(Err(error)) => (Fact::NoToken(id), Some(error)),
        None => (Fact::NoToken(id), None),
    }
}

fn session_fact(id: Uuid, payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(Session::decode) {
        Some(Ok(session)) if session.id == id => (Fact::Session(session), None),
        Some(Ok(_)) => (Fact::NoSession(id), Some(misplaced(Table::Session))),
        Some(Err(error)) => (Fact::NoSession(id), Some(error)),
        None => (Fact::NoSession(id), None),
    }
}

fn guard_fact(payload: Option<&[u8]>) -> (Fact, Option<StoreError>) {
    match payload.map(GuardRecord::decode).transpose() {
        Ok(guard) => (Fact::Guard(guard), None),
        Err(error) => (Fact::Guard(None), Some(error)),
    }
}

fn misplaced(table: Table) -> StoreError {
    StoreError::Damaged { table, why: "its `id` is not the one it is stored under".into() }
}

/// Brings `tables` to where they stand after these changes.
pub(super) fn apply(tables: &Tables, changes: &[Change]) {
    settle(changes).into_iter().for_each(|fact| tables.take(fact));
}

/// What the changes come to.
///
/// Only last states count, so that a credential which was made and revoked on the way is at no
/// moment usable; and what denies comes first, because a check may look at any moment in between.
/// The rest goes by the order of the log.
fn settle(changes: &[Change]) -> Vec<Fact> {
    let mut seen = HashSet::new();
    let newest_first = changes.iter().rev().flat_map(|change| change.records.iter().rev());
    let last: Vec<_> = newest_first.filter(|changed| seen.insert((changed.table, &changed.name))).collect();
    let facts = last
        .into_iter()
        .rev()
        .filter_map(|changed| Fact::of(changed.table, &changed.name, changed.payload.as_deref()));
    let (mut facts, others): (Vec<_>, Vec<_>) = facts.partition(Fact::denies);
    facts.extend(others);
    facts
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::replica::follow::tests::{id, key};
    use crate::store::{Changed, Mark};

    /// The records that changes wrote, a change each, come to these, in this order.
    #[track_caller]
    fn check(records: &[(Table, u8, Option<Vec<u8>>)], expected: &[&str]) {
        let change = |(number, (table, name, payload)): (usize, &(Table, u8, Option<Vec<u8>>))| {
            let records =
                vec![Changed { table: *table, name: Name::of(&id(*name)), payload: payload.clone() }];
            Change { number: number as u64, mark: Mark::NONE, operation: Uuid::nil(), records }
        };
        let changes: Vec<Change> = records.iter().enumerate().map(change).collect();
        let shown = |fact: &Fact| match fact {
            Fact::Consumer(consumer) => format!("consumer {}", consumer.id.as_u128()),
            Fact::NoConsumer(id) => format!("no consumer {}", id.as_u128()),
            Fact::Key(key) => format!("key {} {} {}", key.id.as_u128(), key.tags.concat(), key.enabled),
            Fact::NoKey(id) => format!("no key {}", id.as_u128()),
            Fact::SigningKeys(keys) => format!("signing keys {}", keys.primary.id),
            Fact::NoSigningKeys => "no signing keys".to_owned(),
            Fact::AdminKey(key) => format!("admin key {}", key.id.as_u128()),
            Fact::NoAdminKey(id) => format!("no admin key {}", id.as_u128()),
            Fact::Account(account) => format!("account {}", account.id.as_u128()),
            Fact::NoAccount(id) => format!("no account {}", id.as_u128()),
            Fact::Object(object) => format!("object {}", object.id.as_u128()),
            Fact::NoObject(id) => format!("no object {}", id.as_u128()),
            Fact::Guard(_) => "guard".to_owned(),
            Fact::Jwt(jwt) => format!("jwt {}", jwt.id.as_u128()),
            Fact::NoJwt(id) => format!("no jwt {}", id.as_u128()),
            Fact::AccessKey(key) => format!("access key {}", key.id.as_u128()),
            Fact::NoAccessKey(id) => format!("no access key {}", id.as_u128()),
            Fact::Token(token) => format!("token {}", token.id.as_u128()),
            Fact::NoToken(id) => format!("no token {}", id.as_u128()),
            Fact::Session(session) => format!("session {}", session.id.as_u128()),
            Fact::NoSession(id) => format!("no session {}", id.as_u128()),
        };
        assert_eq!(settle(&changes).iter().map(shown).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn changes_come_to_last_states_and_what_denies_comes_first() {
        let on = |number, tag| (Table::Key, number, Some(key(number, true, tag).encode()));
        let off = |number| (Table::Key, number, Some(key(number, false, "").encode()));
        let gone = |table, number| (table, number, None);
        check(&[], &[]);
        check(&[on(1, "a"), gone(Table::Key, 1)], &["no key 1"]);
        check(&[gone(Table::Key, 1), on(1, "a"), on(1, "b")], &["key 1 b true"]);
        check(&[on(1, "a"), off(2)], &["key 2  false", "key 1 a true"]);
        check(
            &[on(2, "a"), on(1, "a"), gone(Table::Consumer, 3)],
            &["no consumer 3", "key 2 a true", "key 1 a true"],
        );
        check(&[on(2, "a"), on(1, "a"), on(2, "b")], &["key 1 a true", "key 2 b true"]);
        check(&[gone(Table::Unique, 1), gone(Table::Owned, 1)], &[]);
    }

    #[test]
    fn what_cannot_be_read_is_as_good_as_none() {
        check(&[(Table::Key, 1, Some(vec![0xff]))], &["no key 1"]);
        check(&[(Table::Key, 1, Some(key(2, true, "").encode()))], &["no key 1"]);
        check(&[(Table::Consumer, 1, Some(vec![0xff]))], &["no consumer 1"]);
        let nameless = Changed { table: Table::Key, name: Name(vec![1]), payload: None };
        assert!(Fact::of(nameless.table, &nameless.name, None).is_none());
    }
}
