//! Consumers: whom credentials belong to.

use std::sync::Arc;

use uuid::Uuid;

use super::{BATCH, Done, Issuer, Refusal, check_label, claim, delete, unique};
use crate::domain::consumer::{Consumer, ConsumerId};
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
    pub async fn create_consumer(&self, new: NewConsumer) -> Result<Done<ConsumerRecord>, Refusal> {
        let chosen = new.id;
        let record = self.prepare_consumer(new)?;
        if let Some(id) = chosen
            && self.store.read(Table::Consumer, &Name::of(&id)).await?.is_none()
        {
            // Where a deletion was cut short, keys of an earlier consumer of that id are still
            // there: they must not open for this one.
            self.end_keys_of(&id).await?;
        }
        let mut steps = vec![Step {
            table: Table::Consumer,
            name: Name::of(&record.id),
            expect: Expect::Absent,
            effect: Effect::Put(record.encode()),
        }];
        steps.extend(record.username.iter().map(|name| claim(USERNAME, name.as_bytes(), &record.id)));
        steps.extend(record.custom_id.iter().map(|name| claim(CUSTOM_ID, name.as_bytes(), &record.id)));
        let id = record.id;
        let (username, custom_id) = (record.username.clone(), record.custom_id.clone());
        self.write(steps, record).await.map_err(|refusal| match refusal {
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
        let now = self.clock.now();
        Ok(ConsumerRecord {
            id: new.id.unwrap_or_else(Uuid::new_v4),
            username: new.username,
            custom_id: new.custom_id,
            tags: new.tags,
            groups: new.groups,
            permissions: self.resolve_permissions(&new.permissions)?,
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
            Err(_) => self.owner_of(USERNAME, named.as_bytes()).await?.ok_or_else(|| {
                let declared =
                    self.catalog.load().consumers().values().any(|c| c.username.as_deref() == Some(named));
                match declared {
                    true => Refusal::OwnedByFile { what: "consumer", name: named.to_owned() },
                    false => absent(),
                }
            })?,
        };
        let record = self.store.read(Table::Consumer, &Name::of(&id)).await?.ok_or_else(absent)?;
        Ok(ConsumerRecord::decode(&record.payload)?)
    }

    /// Whom a credential may be made for: a stored consumer, or one that the file declares.
    pub async fn owner(&self, named: &str) -> Result<Owner, Refusal> {
        let declared = |consumer: &&Arc<Consumer>| {
            consumer.username.as_deref() == Some(named)
                || Uuid::parse_str(named).is_ok_and(|id| id == consumer.id)
        };
        // The file wins on a name.
        if let Some(consumer) = self.catalog.load().consumers().values().find(declared) {
            return Ok(Owner::Declared(consumer.id));
        }
        Ok(Owner::Stored(self.consumer(named).await?.id))
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
    /// the consumer itself goes; the rest tidies up.
    pub async fn delete_consumer(&self, named: &str) -> Result<Done<()>, Refusal> {
        let record = self.consumer(named).await?;
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
        let done = self.write(steps, ()).await.map_err(|refusal| match refusal {
            Refusal::Store(StoreError::Conflict { .. }) => {
                Refusal::NotFound { what: "consumer", name: named.to_owned() }
            }
            other => other,
        })?;
        Ok(self.end_keys_of(&record.id).await?.unwrap_or(done))
    }

    /// Ends every key of a consumer that is gone; the last of the writes, if there was any.
    async fn end_keys_of(&self, consumer: &ConsumerId) -> Result<Option<Done<()>>, Refusal> {
        let mut done = None;
        loop {
            let owned = self.store.scan(Table::Owned, consumer.as_bytes(), None, BATCH).await?;
            if owned.is_empty() {
                return Ok(done);
            }
            let mut steps = Vec::new();
            for owned in owned {
                let key = Uuid::from_slice(owned.name.0.get(16..).unwrap_or_default()).unwrap_or_default();
                match self.store.read(Table::Key, &Name::of(&key)).await? {
                    Some(stored) => steps.extend(self.ending_key(&KeyRecord::decode(&stored.payload)?)),
                    None => steps.push(delete(Table::Owned, owned.name)),
                }
            }
            match self.write(steps, ()).await {
                Ok(written) => done = Some(written),
                // One of the keys was revoked meanwhile: look again.
                Err(Refusal::Store(StoreError::Conflict { .. })) => {}
                Err(refusal) => return Err(refusal),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use arc_swap::ArcSwap;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::catalog::{Catalog, Parts};
    use crate::issue::NewKey;
    use crate::store::memory::Memory;
    use crate::store::ring::Ring;
    use crate::store::{Batch, Store as _};

    fn alice(id: Uuid) -> NewConsumer {
        NewConsumer { id: Some(id), username: Some("alice".into()), ..NewConsumer::default() }
    }

    #[tokio::test]
    async fn keys_left_by_a_deletion_that_was_cut_short_open_for_nobody_of_that_id() {
        let ring = Ring::parse(Path::new("ring"), format!("1 {}", "1f2e".repeat(16)).as_bytes()).unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        let store = Arc::new(Memory::new());
        let issuer = Issuer::new(store.clone(), Arc::new(ring), Clock::system(), catalog);
        let id = Uuid::from_u128(7);
        issuer.create_consumer(alice(id)).await.unwrap();
        let made = issuer.create_key("alice", NewKey::default()).await.unwrap().value;

        // The first write of a deletion, and then the power goes.
        let steps =
            vec![delete(Table::Consumer, Name::of(&id)), delete(Table::Unique, unique(USERNAME, b"alice"))];
        store.write(Batch { operation: Uuid::new_v4(), steps }).await.unwrap();

        issuer.create_consumer(alice(id)).await.unwrap();
        assert!(issuer.key(made.text.expose()).await.is_err(), "a deleted consumer's key is back");
        assert!(issuer.keys_of(&id, None, 10).await.unwrap().is_empty());

        let made = issuer.create_key("alice", NewKey::default()).await.unwrap().value;
        assert!(matches!(issuer.create_consumer(alice(id)).await, Err(Refusal::Taken { .. })));
        assert!(issuer.key(made.text.expose()).await.is_ok(), "a refused creation ends nobody's keys");
    }
}
