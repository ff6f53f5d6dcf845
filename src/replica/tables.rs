//! The records that checks need, by what checks know them by.

mod accounts;
mod admin_keys;
mod consumers;
mod issued;
mod keys;
mod limits;
mod names;
mod objects;
mod shards;
mod shared;
mod signers;
mod signing_keys;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use uuid::Uuid;

use self::accounts::Accounts;
use self::admin_keys::AdminKeys;
use self::consumers::Consumers;
use self::issued::Issued;
pub(super) use self::keys::Key;
use self::keys::Keys;
pub(super) use self::limits::Limits;
use self::names::{Kind, Names};
use self::objects::Objects;
pub use self::objects::Stored;
pub(super) use self::shards::hash_of_id;
use self::shared::Shared;
use self::signers::Signers;
pub use self::signing_keys::SigningKeys;
use super::Holdings;
use super::apply::Fact;
use crate::domain::authentication::ConsumerBy;
use crate::domain::consumer::{Consumer, ConsumerId, Given};
use crate::domain::key::KeyFacts;
use crate::domain::password::{Account, Mark};
use crate::domain::verifier::Verifier;
use crate::store::record::{AdminKeyRecord, BasicRecord, GuardRecord, ObjectRecord, SigningKeysRecord};

/// All that checks ask for. One writer changes it, anybody reads.
#[derive(Default)]
pub(super) struct Tables {
    keys: Keys,
    consumers: Consumers,
    /// What consumers were given.
    given: Shared<Given>,
    names: Names,
    signing_keys: ArcSwapOption<SigningKeys>,
    admin_keys: AdminKeys,
    accounts: Accounts,
    objects: Objects,
    signers: Signers,
    issued: Issued,
}

impl Tables {
    pub(super) fn holdings(&self) -> Holdings {
        Holdings { keys: self.keys.len(), consumers: self.consumers.len(), weak_keys: self.keys.weak() }
    }

    pub(super) fn key(&self, verifier: &Verifier) -> Option<KeyFacts> {
        self.key_and_consumer(verifier).map(|(key, _)| key)
    }

    pub(super) fn key_and_consumer(&self, verifier: &Verifier) -> Option<(KeyFacts, Option<Arc<Consumer>>)> {
        self.keys.get(verifier, &self.consumers)
    }

    pub(super) fn consumer(&self, id: ConsumerId) -> Option<Arc<Consumer>> {
        self.consumers.get(&id)
    }

    pub(super) fn consumer_by(&self, by: ConsumerBy, text: &str) -> Option<Arc<Consumer>> {
        match by {
            ConsumerBy::Id => self.consumer(Uuid::try_parse(text).ok()?),
            ConsumerBy::Username => self.names.owner(Kind::Username, text, &self.consumers),
            ConsumerBy::CustomId => self.names.owner(Kind::CustomId, text, &self.consumers),
        }
    }

    /// Puts a record in its place, or takes it out.
    pub(super) fn take(&self, fact: Fact) {
        match fact {
            Fact::Consumer(consumer) => self.put_consumer(consumer),
            Fact::NoConsumer(id) => {
                if let Some((held, before)) = self.consumers.find(&id) {
                    self.names.release(&before, held, None);
                }
                self.consumers.remove(&id);
            }
            Fact::Key(record) => self.put_key(Key::of(record, |limits| self.share(limits))),
            Fact::NoKey(id) => self.keys.remove(&id, &self.consumers),
            Fact::SigningKeys(record) => self.put_signing_keys(record),
            Fact::NoSigningKeys => self.signing_keys.store(None),
            Fact::AdminKey(record) => self.put_admin_key(record),
            Fact::NoAdminKey(id) => self.admin_keys.remove(&id),
            Fact::Account(record) => self.put_account(record),
            Fact::NoAccount(id) => self.accounts.remove(&id),
            Fact::Object(record) => self.objects.put(record),
            Fact::NoObject(id) => self.objects.remove(&id),
            Fact::Guard(guard) => self.objects.guard(guard),
            Fact::Jwt(record) => self.signers.put(record),
            Fact::NoJwt(id) => self.signers.remove(&id),
            Fact::AccessKey(key) => self.issued.put_access_key(key),
            Fact::NoAccessKey(id) => self.issued.remove_access_key(&id),
            Fact::Token(token) => self.issued.put_token(token),
            Fact::NoToken(id) => self.issued.remove_token(&id),
            Fact::Session(session) => self.issued.put_session(session),
            Fact::NoSession(id) => self.issued.remove_session(&id),
        }
    }

    /// What consumers' own tokens are verified with.
    pub(super) fn signers(&self) -> &Signers {
        &self.signers
    }

    pub(super) fn issued(&self) -> &Issued {
        &self.issued
    }

    pub(super) fn signing_keys(&self) -> Option<Arc<SigningKeys>> {
        self.signing_keys.load_full()
    }

    pub(super) fn put_signing_keys(&self, record: SigningKeysRecord) {
        self.signing_keys.store(Some(Arc::new(record.into())));
    }

    pub(super) fn put_consumer(&self, mut consumer: Consumer) {
        consumer.given = self.given.share(consumer.given);
        if let Some((held, before)) = self.consumers.find(&consumer.id) {
            self.names.release(&before, held, Some(&consumer));
        }
        let consumer = Arc::new(consumer);
        let held = self.consumers.put(Arc::clone(&consumer));
        self.names.claim(&consumer, held, &self.consumers);
    }

    pub(super) fn put_key(&self, key: Key) {
        self.keys.put(key, &self.consumers);
    }

    pub(super) fn admin_key(&self, verifier: &Verifier) -> Option<Uuid> {
        self.admin_keys.get(verifier)
    }

    pub(super) fn has_admin_key(&self, id: &Uuid) -> bool {
        self.admin_keys.has(id)
    }

    pub(super) fn has_admin_keys(&self) -> bool {
        !self.admin_keys.is_empty()
    }

    pub(super) fn put_admin_key(&self, record: AdminKeyRecord) {
        self.admin_keys.put(record);
    }

    pub(super) fn for_each_admin_key(&self, each: impl FnMut(&AdminKeyRecord)) {
        self.admin_keys.for_each(each);
    }

    pub(super) fn account(&self, username: &str) -> Option<Arc<Account>> {
        self.accounts.get(username)
    }

    pub(super) fn account_by_mark(
        &self,
        consumer: ConsumerId,
        mark: Mark,
        counts: impl Fn(&Account) -> bool,
    ) -> Option<Arc<Account>> {
        self.accounts.by_mark(consumer, mark, counts)
    }

    pub(super) fn put_account(&self, record: BasicRecord) {
        self.accounts.put(record.into());
    }

    pub(super) fn for_each_account(&self, each: impl FnMut(&Account)) {
        self.accounts.for_each(each);
    }

    pub(super) fn put_object(&self, record: ObjectRecord) {
        self.objects.put(record);
    }

    pub(super) fn put_guard(&self, guard: GuardRecord) {
        self.objects.guard(Some(guard));
    }

    pub(super) fn objects(&self) -> Stored {
        self.objects.all()
    }

    /// These limits, as other keys have them already if they do.
    pub(super) fn share(&self, limits: Limits) -> Arc<Limits> {
        self.keys.share(limits)
    }

    /// Makes room for so many keys in all.
    pub(super) fn expect_keys(&self, keys: usize) {
        self.keys.expect(keys);
    }

    /// Shows `each` every key that is not changed meanwhile, and perhaps others. No lock is held for
    /// longer than a few rows, and none while `each` runs.
    pub(super) fn for_each_key(&self, each: impl FnMut(Key)) {
        self.keys.for_each(&self.consumers, each);
    }

    pub(super) fn for_each_consumer(&self, each: impl FnMut(&Arc<Consumer>)) {
        self.consumers.for_each(each);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, Ordering};

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::{Replica, pack};
    use super::*;
    use crate::domain::network::Networks;
    use crate::domain::time::Timestamp;
    use crate::domain::verifier::Pepper;
    use crate::store::record::{ConsumerRecord, KeyRecord, Membership};
    use crate::store::{Name, Table};

    const KEY: Uuid = Uuid::from_u128(1);

    fn record(text: &str, weak: bool) -> KeyRecord {
        KeyRecord {
            id: KEY,
            consumer: Uuid::from_u128(2),
            verifier: verifier(text),
            ring_key: 1,
            weak,
            handle: None,
            tags: Vec::new(),
            not_before: None,
            expires_at: None,
            enabled: true,
            opens: None,
            permissions: None,
            created_at: Timestamp::from_unix(0),
            networks: Networks::default(),
        }
    }

    fn verifier(text: &str) -> Verifier {
        Pepper::new(&[7; 32]).verifier(text.as_bytes())
    }

    fn take(replica: &Replica, payload: Option<&[u8]>) {
        replica.tables.load().take(Fact::of(Table::Key, &Name::of(&KEY), payload).unwrap());
    }

    fn apply(replica: &Replica, record: Option<&KeyRecord>) {
        let payload = record.map(KeyRecord::encode);
        take(replica, payload.as_deref());
    }

    #[test]
    fn a_key_that_is_changed_is_known_at_every_moment() {
        let replica = Arc::new(Replica::new(std::time::Duration::from_secs(10)));
        apply(&replica, Some(&record("one", false)));
        let done = Arc::new(AtomicBool::new(false));
        let asker = std::thread::spawn({
            let (replica, done) = (Arc::clone(&replica), Arc::clone(&done));
            move || {
                while !done.load(Ordering::Relaxed) {
                    assert!(replica.key(&verifier("one")).is_some(), "away for a moment");
                }
            }
        });
        for change in 0..20_000 {
            apply(&replica, Some(&record("one", change % 2 == 0)));
        }
        done.store(true, Ordering::Relaxed);
        asker.join().unwrap();
    }

    #[test]
    fn a_record_made_anew_under_an_id_ends_the_key_before_it() {
        let replica = Replica::new(std::time::Duration::from_secs(10));
        let holds = |keys, weak_keys| {
            assert_eq!(replica.holdings(), Holdings { keys, consumers: 0, weak_keys });
        };
        apply(&replica, Some(&record("one", true)));
        holds(1, 1);
        apply(&replica, Some(&record("two", false)));
        holds(1, 0);
        assert!(replica.key(&verifier("one")).is_none() && replica.key(&verifier("two")).is_some());
        take(&replica, Some(b"\xff"));
        holds(0, 0);
        apply(&replica, Some(&record("two", true)));
        apply(&replica, None);
        holds(0, 0);
    }

    #[derive(Clone, Debug)]
    enum Act {
        Key { id: u8, text: u8, consumer: u8, form: u8 },
        NoKey(u8),
        Consumer(u8, u8),
        NoConsumer(u8),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (1..9_u8, 0..6_u8, 1..6_u8, 0..8_u8)
                .prop_map(|(id, text, consumer, form)| Act::Key { id, text, consumer, form }),
            2 => (1..9_u8).prop_map(Act::NoKey),
            2 => (1..6_u8, 0..4_u8).prop_map(|(id, version)| Act::Consumer(id, version)),
            1 => (1..6_u8).prop_map(Act::NoConsumer),
        ]
    }

    fn id(number: u8) -> Uuid {
        Uuid::from_u128(number.into())
    }

    /// Of every form that a row and its limits tell apart.
    fn of_form(number: u8, text: u8, consumer: u8, form: u8) -> KeyRecord {
        let at = |seconds| Some(Timestamp::from_unix(seconds));
        let plain =
            KeyRecord { id: id(number), consumer: id(consumer), ..record(&text.to_string(), form == 1) };
        match form {
            0 | 1 => plain,
            2 => KeyRecord { enabled: false, ..plain },
            3 => KeyRecord { not_before: at(1), expires_at: at(u32::MAX.into()), ..plain },
            4 => KeyRecord { not_before: at(0), expires_at: at(i64::MIN), ..plain },
            5 => KeyRecord { expires_at: at(i64::from(u32::MAX) + 1), ..plain },
            6 => KeyRecord { opens: Some(vec![]), permissions: Some(vec![id(7)]), ..plain },
            _ => KeyRecord { networks: Networks::parse(Some(&["192.0.2.1".into()]), &[]).unwrap(), ..plain },
        }
    }

    fn person(number: u8, version: u8) -> ConsumerRecord {
        ConsumerRecord {
            id: id(number),
            username: Some(version.to_string()),
            custom_id: None,
            tags: Vec::new(),
            email: None,
            groups: (0..version)
                .map(|group| Membership::plain(&id(number), group.to_string(), Timestamp::from_unix(0)))
                .collect(),
            permissions: Vec::new(),
            enabled: version != 0,
            created_at: Timestamp::from_unix(0),
            updated_at: Timestamp::from_unix(0),
            roles: Vec::new(),
            networks: Networks::default(),
        }
    }

    /// What tables would be if memory were no concern.
    #[derive(Default)]
    struct Model {
        keys: HashMap<u8, KeyRecord>,
        /// By text: whose it is.
        texts: HashMap<u8, u8>,
        consumers: HashMap<u8, ConsumerRecord>,
        /// By username: who had it last.
        names: HashMap<u8, u8>,
    }

    impl Model {
        fn take(&mut self, act: &Act) -> Fact {
            match *act {
                Act::Key { id: number, text, consumer, form } => {
                    let record = of_form(number, text, consumer, form);
                    self.texts.retain(|_, owner| *owner != number);
                    if let Some(displaced) = self.texts.insert(text, number) {
                        self.keys.remove(&displaced);
                    }
                    self.keys.insert(number, record.clone());
                    Fact::Key(record)
                }
                Act::NoKey(number) => {
                    self.keys.remove(&number);
                    self.texts.retain(|_, owner| *owner != number);
                    Fact::NoKey(id(number))
                }
                Act::Consumer(number, version) => {
                    self.consumers.insert(number, person(number, version));
                    self.names.retain(|_, owner| *owner != number);
                    self.names.insert(version, number);
                    Fact::Consumer(person(number, version).into())
                }
                Act::NoConsumer(number) => {
                    self.consumers.remove(&number);
                    self.names.retain(|_, owner| *owner != number);
                    Fact::NoConsumer(id(number))
                }
            }
        }

        #[track_caller]
        fn check(&self, tables: &Tables) {
            for text in 0..6 {
                let expected = self.texts.get(&text).map(|owner| KeyFacts::from(self.keys[owner].clone()));
                let found = tables.key(&verifier(&text.to_string()));
                assert_eq!(format!("{found:?}"), format!("{expected:?}"), "key of text {text}");
            }
            for number in 1..6 {
                let expected = self.consumers.get(&number).cloned().map(Consumer::from);
                let found = tables.consumer(id(number));
                assert_eq!(format!("{:?}", found.as_deref()), format!("{:?}", expected.as_ref()));
            }
            let weak_keys = self.keys.values().filter(|key| key.weak).count();
            let (keys, consumers) = (self.keys.len(), self.consumers.len());
            assert_eq!(tables.holdings(), Holdings { keys, consumers, weak_keys });
        }

        /// Two may have one name here, as no store lets them: then a pack does not tell who had it last.
        #[track_caller]
        fn check_names(&self, tables: &Tables) {
            for version in 0..4 {
                let found = tables.consumer_by(ConsumerBy::Username, &version.to_string());
                let expected = self.names.get(&version).map(|owner| id(*owner));
                assert_eq!(found.map(|consumer| consumer.id), expected, "named {version}");
            }
        }
    }

    proptest! {
        #[test]
        fn tables_know_what_maps_would_know(acts in proptest::collection::vec(act(), 0..80)) {
            let (tables, mut model) = (Tables::default(), Model::default());
            for act in &acts {
                tables.take(model.take(act));
                model.check(&tables);
                model.check_names(&tables);
            }
            // Packed and read again it is the same.
            model.check(&pack::decode(pack::encode(&tables)).unwrap());
            // And where everything is taken out, nothing stays.
            (1..9).for_each(|number| tables.take(Fact::NoKey(id(number))));
            (1..6).for_each(|number| tables.take(Fact::NoConsumer(id(number))));
            prop_assert_eq!(tables.keys.rows_in_use(), 0);
            prop_assert_eq!(tables.consumers.slots_in_use(), 0);
            prop_assert_eq!(tables.names.len(), 0);
        }
    }

    #[test]
    fn a_consumer_that_is_changed_is_known_by_its_name_at_every_moment() {
        let tables = Arc::new(Tables::default());
        let one = |version: u8| ConsumerRecord { username: Some("one".into()), ..person(1, version) };
        tables.take(Fact::Consumer(one(0).into()));
        let done = Arc::new(AtomicBool::new(false));
        let asker = std::thread::spawn({
            let (tables, done) = (Arc::clone(&tables), Arc::clone(&done));
            move || {
                while !done.load(Ordering::Relaxed) {
                    assert!(tables.consumer_by(ConsumerBy::Username, "one").is_some(), "away for a moment");
                }
            }
        });
        for change in 0..20_000_u32 {
            tables.take(Fact::Consumer(one((change % 4) as u8).into()));
        }
        done.store(true, Ordering::Relaxed);
        asker.join().unwrap();
    }

    #[test]
    fn unknown_keys_leave_nothing_behind() {
        let replica = Replica::new(std::time::Duration::from_secs(10));
        apply(&replica, Some(&record("one", false)));
        for number in 0..20_000 {
            assert!(replica.key(&verifier(&format!("unknown {number}"))).is_none());
        }
        let tables = replica.tables.load();
        assert_eq!((tables.keys.rows_in_use(), tables.consumers.slots_in_use()), (1, 1));
    }

    #[test]
    fn a_key_is_never_seen_with_the_consumer_of_another() {
        let tables = Arc::new(Tables::default());
        let done = Arc::new(AtomicBool::new(false));
        let asker = std::thread::spawn({
            let (tables, done) = (Arc::clone(&tables), Arc::clone(&done));
            move || {
                while !done.load(Ordering::Relaxed) {
                    for text in 0..4 {
                        let facts = tables.key(&verifier(&text.to_string()));
                        assert!(facts.is_none_or(|facts| facts.consumer == id(text + 100)));
                    }
                }
            }
        });
        // Each consumer is only there as long as its key is, so their places are used by turns.
        for turn in 0..40_000_u32 {
            let text = (turn % 4) as u8;
            tables.take(Fact::Key(of_form(text + 1, text, text + 100, 0)));
            tables.take(Fact::NoKey(id((turn.wrapping_mul(7) % 4) as u8 + 1)));
        }
        done.store(true, Ordering::Relaxed);
        asker.join().unwrap();
    }
}
