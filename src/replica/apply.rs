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
        let stored = Stored { table, id: name.id(), payload };
        let (fact, error) = match table {
            Table::Unique | Table::Owned | Table::Audit | Table::Grant => return None,
            Table::Consumer => {
                let fact = |record: ConsumerRecord| Self::Consumer(record.into());
                stored.read(ConsumerRecord::decode, |it| it.id, fact, Self::NoConsumer)
            }
            Table::Key => stored.read(KeyRecord::decode, |it| it.id, Self::Key, Self::NoKey),
            Table::SigningKeys => {
                let none = |_| Self::NoSigningKeys;
                stored.read(SigningKeysRecord::decode, |_| SIGNING_KEYS, Self::SigningKeys, none)
            }
            Table::AdminKey => {
                stored.read(AdminKeyRecord::decode, |it| it.id, Self::AdminKey, Self::NoAdminKey)
            }
            Table::Basic => stored.read(BasicRecord::decode, |it| it.id, Self::Account, Self::NoAccount),
            Table::Object if stored.id.is_some_and(|id| id.is_nil()) => guard_fact(payload),
            Table::Object => stored.read(ObjectRecord::decode, |it| it.id, Self::Object, Self::NoObject),
            Table::Jwt => stored.read(JwtRecord::decode, |it| it.id, Self::Jwt, Self::NoJwt),
            Table::AccessKey => {
                stored.read(AccessKey::decode, |it| it.id, Self::AccessKey, Self::NoAccessKey)
            }
            Table::Token => stored.read(Token::decode, |it| it.id, Self::Token, Self::NoToken),
            Table::Session => stored.read(Session::decode, |it| it.id, Self::Session, Self::NoSession),
        };
        if let Some(error) = error {
            error!(%error, ?name, "a record is left out, so whatever it would allow is denied");
        }
        fact
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

/// What a store has under a name.
struct Stored<'p> {
    table: Table,
    /// `None`: the name is no id.
    id: Option<Uuid>,
    payload: Option<&'p [u8]>,
}

impl Stored<'_> {
    /// `fact` of the record, and `none` where it is gone, cannot be read, or is another's.
    fn read<R>(
        &self,
        decode: fn(&[u8]) -> Result<R, StoreError>,
        id_of: fn(&R) -> Uuid,
        fact: fn(R) -> Fact,
        none: fn(Uuid) -> Fact,
    ) -> (Option<Fact>, Option<StoreError>) {
        let Some(id) = self.id else { return (None, Some(self.damaged("its name is no id"))) };
        match self.payload.map(decode) {
            Some(Ok(record)) if id_of(&record) == id => (Some(fact(record)), None),
            Some(Ok(_)) => (Some(none(id)), Some(self.damaged("its `id` is not the one it is stored under"))),
            Some(Err(error)) => (Some(none(id)), Some(error)),
            None => (Some(none(id)), None),
        }
    }

    fn damaged(&self, why: &'static str) -> StoreError {
        StoreError::Damaged { table: self.table, why: why.into() }
    }
}

fn guard_fact(payload: Option<&[u8]>) -> (Option<Fact>, Option<StoreError>) {
    match payload.map(GuardRecord::decode).transpose() {
        Ok(guard) => (Some(Fact::Guard(guard)), None),
        Err(error) => (Some(Fact::Guard(None)), Some(error)),
    }
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
