//! Consumers: whom credentials belong to.

use std::sync::Arc;

use uuid::Uuid;

use super::{BATCH, By, Done, Issuer, Refusal, check_label, claim, delete, unique};
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::headers::{LONGEST_VALUE, list_length};
use crate::domain::network::Networks;
use crate::domain::permission::PermissionId;
use crate::store::record::{ConsumerRecord, KeyRecord};
use crate::store::{Effect, Expect, Name, Step, StoreError, Table};

/// A consumer to be made. At least one of `username` and `custom_id` must be there.
#[derive(Clone, Debug, Default)]
pub struct NewConsumer {
    /// `None`: a random one.
    pub id: Option<Uuid>,
    pub username: Option<String>,
    pub custom_id: Option<String>,
    pub tags: Vec<String>,
    pub groups: Vec<String>,
    /// By id or name.
    pub permissions: Vec<String>,
    /// From where its credentials may be used.
    pub networks: Networks,
}

/// Whose a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Stored(ConsumerId),
    Declared(ConsumerId),
}

impl Owner {
    pub fn id(self) -> ConsumerId {
        match self {
            Self::Stored(id) | Self::Declared(id) => id,
        }
    }
}

pub(super) const USERNAME: &str = "consumer.username";
pub(super) const CUSTOM_ID: &str = "consumer.custom_id";

impl Issuer {
    /// # Errors
    ///
    /// [`Refusal::Taken`] where the username, the custom id or the id belongs to another.
    pub async fn create_consumer(&self, by: &By, new: NewConsumer) -> Result<Done<ConsumerRecord>, Refusal> {
        let chosen = new.id;
        let record = self.prepare_consumer(new)?;
        if let Some(id) = chosen
            && self.store.read(Table::Consumer, &Name::of(&id)).await?.is_none()
        {
            // Where a deletion was cut short, keys of an earlier consumer of that id are still
            // there: they must not open for this one.
            self.end_keys_of(by, &id).await?;
        }
        let mut steps = vec![Step {
            table: Table::Consumer,
            name: Name::of(&record.id),
            expect: Expect::Absent,
            effect: Effect::Put(record.encode()),
        }];
        // Whoever has this id from now on is not deleted.
        steps.push(delete(Table::Owned, Name::pair(&DELETED, &record.id)));
        steps.extend(record.username.iter().map(|name| claim(USERNAME, name.as_bytes(), &record.id)));
        steps.extend(record.custom_id.iter().map(|name| claim(CUSTOM_ID, name.as_bytes(), &record.id)));
        let id = record.id;
        let (username, custom_id) = (record.username.clone(), record.custom_id.clone());
        self.write(by.makes("consumer.create", id), steps, record).await.map_err(|refusal| match refusal {
            Refusal::Store(StoreError::Conflict { table: Table::Consumer, .. }) => {
                Refusal::Taken { what: "consumer", name: id.to_string() }
            }
            Refusal::Store(StoreError::Conflict { name, .. }) => match (username, custom_id) {
                (Some(username), _) if name == unique(USERNAME, username.as_bytes()) => {
                    Refusal::Taken { what: "username", name: username }
                }
                (_, custom_id) => Refusal::Taken { what: "custom_id", name: custom_id.unwrap_or_default() },
            },
            other => other,
        })
    }

    fn prepare_consumer(&self, new: NewConsumer) -> Result<ConsumerRecord, Refusal> {
        if new.username.is_none() && new.custom_id.is_none() {
            let why = "at least one of `username` and `custom_id` must be there".into();
            return Err(Refusal::Invalid { field: "username", why });
        }
        if new.username.as_deref().is_some_and(|name| Uuid::parse_str(name).is_ok()) {
            // Nobody could say who is meant: everywhere an id serves as well as a name.
            let why = "looks like an id; choose another".into();
            return Err(Refusal::Invalid { field: "username", why });
        }
        for (field, values) in [
            ("username", new.username.as_slice()),
            ("custom_id", new.custom_id.as_slice()),
            ("tags", &new.tags),
            ("groups", &new.groups),
        ] {
            values.iter().try_for_each(|value| check_label(field, value))?;
        }
        let catalog = self.catalog.load();
        let taken = catalog.consumers().values().find(|declared| {
            (new.username.is_some() && declared.username == new.username)
                || (new.custom_id.is_some() && declared.custom_id == new.custom_id)
                || new.id == Some(declared.id)
        });
        if let Some(declared) = taken {
            let name = declared.username.clone().unwrap_or_else(|| declared.id.to_string());
            return Err(Refusal::OwnedByFile { what: "consumer", name });
        }
        let permissions = self.resolve_permissions(&new.permissions)?;
        fits("groups", list_length(&new.groups))?;
        fits("permissions", list_length(permissions.iter().map(Uuid::to_string)))?;
        let now = self.clock.now();
        Ok(ConsumerRecord {
            id: new.id.unwrap_or_else(Uuid::new_v4),
            username: new.username,
            custom_id: new.custom_id,
            tags: new.tags,
            groups: new.groups,
            permissions,
            roles: Vec::new(),
            networks: new.networks,
            enabled: true,
            created_at: now,
            updated_at: now,
        })
    }

    pub(super) fn resolve_permissions(&self, named: &[String]) -> Result<Vec<PermissionId>, Refusal> {
        let catalog = self.catalog.load();
        named
            .iter()
            .map(|named| {
                let id = Uuid::parse_str(named).ok();
                catalog
                    .permissions()
                    .iter()
                    .find(|permission| Some(permission.id) == id || permission.name == *named)
                    .map(|permission| permission.id)
                    .ok_or_else(|| Refusal::Invalid {
                        field: "permissions",
                        why: format!("there is no permission `{named}`"),
                    })
            })
            .collect()
    }

    /// The stored consumer of this id or username.
    pub async fn consumer(&self, named: &str) -> Result<ConsumerRecord, Refusal> {
        let absent = || Refusal::NotFound { what: "consumer", name: named.to_owned() };
        let id = match Uuid::parse_str(named) {
            Ok(id) => id,
            Err(_) => self.owner_of(USERNAME, named.as_bytes()).await?.ok_or_else(absent)?,
        };
        let record = self.store.read(Table::Consumer, &Name::of(&id)).await?.ok_or_else(absent)?;
        Ok(ConsumerRecord::decode(&record.payload)?)
    }

    /// The consumer of this id or username that the file declares. The file wins on a name, so
    /// whoever looks for one looks here first.
    pub fn declared_consumer(&self, named: &str) -> Option<Arc<Consumer>> {
        let id = Uuid::parse_str(named).ok();
        let catalog = self.catalog.load();
        let is = |it: &&Arc<Consumer>| it.username.as_deref() == Some(named) || Some(it.id) == id;
        catalog.consumers().values().find(is).cloned()
    }

    /// Whom a credential may be made for: a stored consumer, or one that the file declares.
    pub async fn owner(&self, named: &str) -> Result<Owner, Refusal> {
        match self.declared_consumer(named) {
            Some(consumer) => Ok(Owner::Declared(consumer.id)),
            None => Ok(Owner::Stored(self.consumer(named).await?.id)),
        }
    }

    /// The consumers that the configuration file declares, by username.
    pub fn declared_consumers(&self) -> Vec<Arc<Consumer>> {
        let mut declared: Vec<_> = self.catalog.load().consumers().values().cloned().collect();
        declared.sort_by(|a, b| a.username.cmp(&b.username));
        declared
    }

    /// Stored consumers in order of their ids, after `after`.
    pub async fn consumers(&self, after: Option<Uuid>, size: usize) -> Result<Vec<ConsumerRecord>, Refusal> {
        let after = after.as_ref().map(Name::of);
        let records = self.store.scan(Table::Consumer, &[], after.as_ref(), size).await?;
        Ok(records.iter().map(|record| ConsumerRecord::decode(&record.payload)).collect::<Result<_, _>>()?)
    }

    /// Deletes a consumer with all that it owns. Its credentials end with the first write, in which
    /// the consumer itself goes and [`BATCH`] of its keys; where it has more, the write says so, and
    /// the rest goes now, or with [`Issuer::finish_deletions`].
    ///
    /// # Errors
    ///
    /// [`Refusal::OwnedByFile`] for one that the file declares. A stored one of the same name is
    /// deleted by its id.
    pub async fn delete_consumer(&self, by: &By, named: &str) -> Result<Done<()>, Refusal> {
        if self.declared_consumer(named).is_some() {
            return Err(Refusal::OwnedByFile { what: "consumer", name: named.to_owned() });
        }
        let record = self.consumer(named).await?;
        let done = loop {
            let mut steps = vec![Step {
                table: Table::Consumer,
                name: Name::of(&record.id),
                expect: Expect::Present,
                effect: Effect::Delete,
            }];
            let texts = [(USERNAME, &record.username), (CUSTOM_ID, &record.custom_id)];
            steps.extend(texts.into_iter().filter_map(|(kind, text)| {
                text.as_ref().map(|text| delete(Table::Unique, unique(kind, text.as_bytes())))
            }));
            steps.extend(self.ending_keys_of(&record.id).await?);
            match self.write(by.does("consumer.delete", record.id), steps, ()).await {
                Ok(done) => break done,
                Err(Refusal::Store(StoreError::Conflict { table: Table::Consumer, .. })) => {
                    return Err(Refusal::NotFound { what: "consumer", name: named.to_owned() });
                }
                // One of the keys was revoked meanwhile: look again.
                Err(Refusal::Store(StoreError::Conflict { .. })) => {}
                Err(refusal) => return Err(refusal),
            }
        };
        Ok(self.end_keys_of(by, &record.id).await?.unwrap_or(done))
    }

    /// Ends the keys of every consumer whose deletion was cut short: their texts could not be used
    /// again otherwise.
    ///
    /// # Errors
    ///
    /// The store's; what is left then is for the next time.
    pub async fn finish_deletions(&self) -> Result<(), Refusal> {
        let by = By::doorward();
        loop {
            let begun = self.store.scan(Table::Owned, DELETED.as_bytes(), None, BATCH).await?;
            if begun.is_empty() {
                return Ok(());
            }
            for begun in begun {
                let consumer = owned_id(&begun.name);
                if self.store.read(Table::Consumer, &Name::of(&consumer)).await?.is_none() {
                    self.end_keys_of(&by, &consumer).await?;
                }
                let act = by.does("consumer.deleted", consumer);
                self.write(act, vec![delete(Table::Owned, begun.name)], ()).await?;
            }
        }
    }

    /// Ends every key of a consumer that is gone; the last of the writes, if there was any.
    async fn end_keys_of(&self, by: &By, consumer: &ConsumerId) -> Result<Option<Done<()>>, Refusal> {
        let mut done = None;
        loop {
            let steps = self.ending_keys_of(consumer).await?;
            // That all is done already is not worth a write.
            if steps.iter().all(|step| step.name == Name::pair(&DELETED, consumer)) {
                return Ok(done);
            }
            match self.write(by.does("consumer.end_keys", *consumer), steps, ()).await {
                Ok(written) => done = Some(written),
                // One of the keys was revoked meanwhile: look again.
                Err(Refusal::Store(StoreError::Conflict { .. })) => {}
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// What ends some of a consumer's keys, and notes whether there are more.
    async fn ending_keys_of(&self, consumer: &ConsumerId) -> Result<Vec<Step>, Refusal> {
        let owned = self.store.scan(Table::Owned, consumer.as_bytes(), None, BATCH + 1).await?;
        let more = owned.len() > BATCH;
        let mut steps = Vec::new();
        for owned in owned.into_iter().take(BATCH) {
            match self.store.read(Table::Key, &Name::of(&owned_id(&owned.name))).await? {
                Some(stored) => steps.extend(self.ending_key(&KeyRecord::decode(&stored.payload)?)),
                None => steps.push(delete(Table::Owned, owned.name)),
            }
        }
        let effect = if more { Effect::Put(Vec::new()) } else { Effect::Delete };
        let name = Name::pair(&DELETED, consumer);
        steps.push(Step { table: Table::Owned, name, expect: Expect::Anything, effect });
        Ok(steps)
    }
}

/// Refuses a list of so many bytes where that is longer than a header that is vouched for may be:
/// every request of the consumer would be denied.
fn fits(field: &'static str, length: usize) -> Result<(), Refusal> {
    if length <= LONGEST_VALUE {
        return Ok(());
    }
    let why = format!("must fit into a header of {LONGEST_VALUE} bytes; these take {length}");
    Err(Refusal::Invalid { field, why })
}

/// The second half of the name of an [`Table::Owned`] record.
fn owned_id(name: &Name) -> Uuid {
    Uuid::from_slice(name.0.get(16..).unwrap_or_default()).unwrap_or_default()
}

/// Owns the consumers that are deleted while keys of theirs are still there. No consumer's id: made
/// once, by chance. Never change it.
const DELETED: Uuid = Uuid::from_u128(0x7d1c_64a0_5b0e_4e39_9f8a_2c4b_d3e6_1f57);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use arc_swap::ArcSwap;
    use tokio::sync::watch;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::catalog::{Catalog, Parts};
    use crate::issue::NewKey;
    use crate::store::memory::Memory;
    use crate::store::ring::Ring;
    use crate::store::{Batch, Beat, Changes, Epoch, Head, Instance, Record, Store};

    fn by() -> By {
        By::doorward()
    }

    fn alice(id: Uuid) -> NewConsumer {
        NewConsumer { id: Some(id), username: Some("alice".into()), ..NewConsumer::default() }
    }

    /// A store whose power goes after so many writes.
    struct Failing {
        store: Memory,
        left: AtomicUsize,
    }

    #[tonic::async_trait]
    impl Store for Failing {
        async fn write(&self, batch: Batch) -> Result<Epoch, StoreError> {
            let took_one = |left: usize| left.checked_sub(1);
            match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, took_one) {
                Ok(_) => self.store.write(batch).await,
                Err(_) => Err(StoreError::Unavailable("the power is gone".into())),
            }
        }

        async fn read(&self, table: Table, name: &Name) -> Result<Option<Record>, StoreError> {
            self.store.read(table, name).await
        }

        async fn scan(
            &self,
            table: Table,
            prefix: &[u8],
            after: Option<&Name>,
            limit: usize,
        ) -> Result<Vec<Record>, StoreError> {
            self.store.scan(table, prefix, after, limit).await
        }

        async fn snapshot(
            &self,
            tables: &[Table],
            each: &mut (dyn for<'r> FnMut(Record) + Send),
        ) -> Result<Head, StoreError> {
            self.store.snapshot(tables, each).await
        }

        async fn changes(&self, from: Head, limit: usize) -> Result<Changes, StoreError> {
            self.store.changes(from, limit).await
        }

        async fn heartbeat(&self, beat: Beat) -> Result<Head, StoreError> {
            self.store.heartbeat(beat).await
        }

        async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
            self.store.instances().await
        }

        async fn begin_term(&self, from: Head, batch: Batch) -> Result<Epoch, StoreError> {
            self.store.begin_term(from, batch).await
        }

        fn pushed(&self) -> watch::Receiver<u64> {
            self.store.pushed()
        }
    }

    fn issuer(store: Arc<dyn Store>) -> Issuer {
        let ring = Ring::parse(Path::new("ring"), format!("1 {}", "1f2e".repeat(16)).as_bytes()).unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        Issuer::new(store, Arc::new(ring), Clock::system(), catalog)
    }

    fn brought_along(number: usize) -> NewKey {
        let text = Some(format!("a-key-of-their-own-{number:04}").into());
        NewKey { text, ..NewKey::default() }
    }

    #[tokio::test]
    async fn a_deletion_that_is_cut_short_is_finished_at_the_next_start() {
        const KEYS: usize = 2 * BATCH + 7;
        for writes in 0..4 {
            let store = Arc::new(Failing { store: Memory::new(), left: AtomicUsize::new(usize::MAX) });
            let issuer = issuer(store.clone());
            let id = Uuid::from_u128(7);
            issuer.create_consumer(&by(), alice(id)).await.unwrap();
            for number in 0..KEYS {
                issuer.create_key(&by(), "alice", brought_along(number)).await.unwrap();
            }
            store.left.store(writes, Ordering::SeqCst);
            assert_eq!(issuer.delete_consumer(&by(), "alice").await.is_ok(), writes == 3, "{writes}");
            store.left.store(usize::MAX, Ordering::SeqCst);

            issuer.finish_deletions().await.unwrap();
            let left = if writes == 0 { KEYS } else { 0 };
            assert_eq!(issuer.keys_of(&id, None, 2 * KEYS).await.unwrap().len(), left, "{writes}");
            if writes > 0 {
                let mut records = Vec::new();
                let tables = [Table::Consumer, Table::Key, Table::Unique, Table::Owned];
                store.snapshot(&tables, &mut |record| records.push(record)).await.unwrap();
                assert_eq!(records, [], "{writes}");
                issuer.create_consumer(&by(), alice(Uuid::from_u128(8))).await.unwrap();
                issuer.create_key(&by(), "alice", brought_along(KEYS - 1)).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_consumer_made_anew_is_not_taken_for_the_deleted_one() {
        let store = Arc::new(Failing { store: Memory::new(), left: AtomicUsize::new(usize::MAX) });
        let issuer = issuer(store.clone());
        let id = Uuid::from_u128(7);
        issuer.create_consumer(&by(), alice(id)).await.unwrap();
        for number in 0..=BATCH {
            issuer.create_key(&by(), "alice", brought_along(number)).await.unwrap();
        }
        store.left.store(1, Ordering::SeqCst);
        assert!(issuer.delete_consumer(&by(), "alice").await.is_err());
        store.left.store(usize::MAX, Ordering::SeqCst);
        issuer.create_consumer(&by(), alice(id)).await.unwrap();
        assert!(issuer.keys_of(&id, None, 10).await.unwrap().is_empty(), "the old keys are gone");
        let made = issuer.create_key(&by(), "alice", NewKey::default()).await.unwrap().value;
        issuer.finish_deletions().await.unwrap();
        assert!(issuer.key(made.text.expose()).await.is_ok(), "and the new one stays");
    }

    #[tokio::test]
    async fn lists_that_fit_in_no_header_are_refused_by_name() {
        let issuer = issuer(Arc::new(Memory::new()));
        let check = async |id: u128, groups: Vec<String>, fits: bool| {
            let new = NewConsumer { groups, username: Some(id.to_string()), ..NewConsumer::default() };
            match issuer.create_consumer(&by(), new).await {
                Ok(_) => assert!(fits, "{id}"),
                Err(refusal) => {
                    assert!(
                        !fits && matches!(refusal, Refusal::Invalid { field: "groups", .. }),
                        "{refusal}"
                    );
                }
            }
        };
        // Joined by two bytes: 3 × 254 + 256 + 3 × 2 = 1024.
        let four = |last: usize| vec!["a".repeat(254), "b".repeat(254), "c".repeat(254), "d".repeat(last)];
        check(1, four(256), true).await;
        check(2, [four(255), vec!["e".into()]].concat(), false).await;
        check(3, vec!["é".repeat(128), "ü".repeat(43)], false).await;
        check(4, vec!["é".repeat(128), "ü".repeat(42)], true).await;
        // Escaped too, so that no two groups become one.
        check(5, vec!["%".repeat(256), "%".repeat(86)], false).await;
    }

    #[tokio::test]
    async fn keys_left_by_a_deletion_that_was_cut_short_open_for_nobody_of_that_id() {
        let ring = Ring::parse(Path::new("ring"), format!("1 {}", "1f2e".repeat(16)).as_bytes()).unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        let store = Arc::new(Memory::new());
        let issuer = Issuer::new(store.clone(), Arc::new(ring), Clock::system(), catalog);
        let id = Uuid::from_u128(7);
        issuer.create_consumer(&by(), alice(id)).await.unwrap();
        let made = issuer.create_key(&by(), "alice", NewKey::default()).await.unwrap().value;

        // The first write of a deletion, and then the power goes.
        let steps =
            vec![delete(Table::Consumer, Name::of(&id)), delete(Table::Unique, unique(USERNAME, b"alice"))];
        store.write(Batch { operation: Uuid::new_v4(), steps }).await.unwrap();

        issuer.create_consumer(&by(), alice(id)).await.unwrap();
        assert!(issuer.key(made.text.expose()).await.is_err(), "a deleted consumer's key is back");
        assert!(issuer.keys_of(&id, None, 10).await.unwrap().is_empty());

        let made = issuer.create_key(&by(), "alice", NewKey::default()).await.unwrap().value;
        assert!(matches!(issuer.create_consumer(&by(), alice(id)).await, Err(Refusal::Taken { .. })));
        assert!(issuer.key(made.text.expose()).await.is_ok(), "a refused creation ends nobody's keys");
    }
}
