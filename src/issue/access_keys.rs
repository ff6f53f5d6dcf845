//! Access keys: an id and a secret that buy subject tokens.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::consumers::Owner;
use super::keys::generate;
use super::login::may_be;
use super::owned::{Claim, Credential, Owned, making, not_without, replacing, unmade};
use super::places::Limited;
use super::{Attempts, By, Done, Refusal, Registrar, Seen, Unknowing, check_label};
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::role::{Project, ProjectId};
use crate::domain::secret::{self, Kind, Reading, Secret};
use crate::domain::time::Timestamp;
use crate::domain::token::AccessKey;
use crate::store::record::ConsumerRecord;
use crate::store::{Name, StoreError, Table};
use crate::telemetry::{LoginBy, LoginOutcome};

/// An access key to be made.
#[derive(Clone, Debug, Default)]
pub struct NewAccessKey {
    /// No other of its consumer's is called so.
    pub name: String,
    /// By id or name.
    pub project: String,
    /// What its consumer has in the project, or less; `None`: all of it as it is now.
    pub roles: Option<Vec<String>>,
    /// `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// An access key that was just made. Its secret is nowhere else.
pub struct MadeAccessKey {
    pub key: AccessKey,
    pub secret: Secret,
}

/// An access key whose secret was shown, and whose it is.
pub struct Buyer {
    pub key: Arc<AccessKey>,
    pub consumer: Arc<Consumer>,
}

/// How whoever shows a secret says which access key it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedAccessKey {
    Id(Uuid),
    /// The consumer's of this name.
    Name(ConsumerId, String),
}

const NAME: &str = "access_key.name";

impl Credential for AccessKey {
    const KIND: Owned = Owned::AccessKey;
    const WHAT: &'static str = "access key";
    const CREATE: &'static str = "access_key.create";
    const CHANGE: &'static str = "access_key.change";
    const END: &'static str = "access_key.delete";

    fn id(&self) -> Uuid {
        self.id
    }

    fn consumer(&self) -> ConsumerId {
        self.consumer
    }

    fn claims(&self) -> Vec<Claim> {
        vec![(NAME, [self.consumer.as_bytes(), self.name.as_bytes()].concat())]
    }

    fn taken(&self) -> Refusal {
        Refusal::Taken { what: "name", name: self.name.clone() }
    }

    fn encode(&self) -> Vec<u8> {
        self.encode()
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::decode(bytes)
    }
}

impl Registrar {
    /// # Errors
    ///
    /// [`Refusal::NotFound`] without its consumer, [`Refusal::Taken`] where it has one of that name that is not
    /// over, [`Refusal::Full`], [`Refusal::Exceeds`] for roles that the consumer does not have in the project.
    pub async fn create_access_key(
        &self,
        by: &By,
        consumer: &str,
        new: NewAccessKey,
    ) -> Result<Done<MadeAccessKey>, Refusal> {
        let owner = self.owner(consumer).await?;
        check_label("name", &new.name)?;
        if new.expires_at.is_some_and(|until| until <= self.clock.now()) {
            let why = "is in the past; the access key could buy nothing".into();
            return Err(Refusal::Invalid { field: "expires_at", why });
        }
        let project = self.named_project(&new.project)?;
        let known = self.known_consumer_record(owner).await?;
        let roles = self.roles_for(&known, project.id, new.roles)?;
        let (secret, _) = generate(Kind::App)?;
        let key = AccessKey {
            id: self.ring.primary_pepper().verifier(secret.expose().as_bytes()).id(),
            consumer: owner.id(),
            name: new.name,
            project: project.id,
            roles,
            expires_at: new.expires_at,
            enabled: true,
            created_at: self.clock.now(),
        };
        let before = self.one_that_is_over(&key).await?;
        let mut steps = before.as_ref().map_or_else(|| making(&key), |before| replacing(before, &key));
        steps.extend(not_without(owner));
        let place = (Limited::AccessKeys, key.consumer);
        let done = self.take_place(place, by.makes(AccessKey::CREATE, key.id), steps).await;
        let done = done.map_err(|refusal| match refusal {
            // The one that was over went meanwhile.
            Refusal::Store(StoreError::Conflict { table: Table::AccessKey, .. }) => Refusal::Raced,
            other => unmade(other, &key),
        })?;
        Ok(done.map(|()| MadeAccessKey { key, secret }))
    }

    /// The consumer's access key that has the name of a new one, where it buys nothing any more: it makes way.
    async fn one_that_is_over(&self, new: &AccessKey) -> Result<Option<AccessKey>, Refusal> {
        let [(kind, text)] = &new.claims()[..] else { return Ok(None) };
        let Some(id) = self.owner_of(kind, text).await? else { return Ok(None) };
        let found = self.credential::<AccessKey>(&id).await?.map(|(key, _)| key);
        Ok(found.filter(|key| key.is_over(self.clock.now())))
    }

    /// # Errors
    ///
    /// [`Refusal::NotFound`].
    pub async fn access_key(&self, id: &Uuid) -> Result<Seen<AccessKey>, Refusal> {
        let absent = || Refusal::NotFound { what: AccessKey::WHAT, name: id.to_string() };
        Ok(self.credential(id).await?.ok_or_else(absent)?.into())
    }

    /// In order of their ids, after `after`.
    pub async fn access_keys(&self, after: Option<Uuid>, size: usize) -> Result<Vec<AccessKey>, Refusal> {
        self.credentials(after, size).await
    }

    /// The same for one consumer.
    pub async fn access_keys_of(
        &self,
        consumer: &ConsumerId,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Vec<AccessKey>, Refusal> {
        self.credentials_of(consumer, after, size).await
    }

    /// Ends an access key, and by that every token that it bought: each check asks for it.
    pub async fn end_access_key(&self, by: &By, it: Seen<AccessKey>) -> Result<Done<AccessKey>, Refusal> {
        self.end_credential(by, it.value).await
    }

    /// The access key that a secret is of, and whose it is, by what this instance knows: `None` where it is
    /// of none, or not of the one that is named, or of one that does not hold now, or whose consumer is
    /// disabled, or may not be there. Nobody is told which; `attempts` is told of it.
    ///
    /// # Errors
    ///
    /// [`Unknowing`] past the lease, and where nothing follows the store.
    pub fn shown_access_key(
        &self,
        named: &NamedAccessKey,
        secret: &str,
        (attempts, from): (&Attempts, IpAddr),
    ) -> Result<Option<Buyer>, Unknowing> {
        let buyer = self.buyer(named, secret, from);
        match &buyer {
            Ok(Some(_)) => attempts.count(LoginBy::AccessKey, LoginOutcome::Granted),
            Ok(None) => attempts.refused(LoginBy::AccessKey, "access_key.refused", from),
            Err(Unknowing) => attempts.count(LoginBy::AccessKey, LoginOutcome::Unavailable),
        }
        buyer
    }

    fn buyer(&self, named: &NamedAccessKey, secret: &str, from: IpAddr) -> Result<Option<Buyer>, Unknowing> {
        let replica = self.trusted_replica()?;
        let is_ours = matches!(secret::read(secret.as_bytes()), Reading::Ours { kind: Kind::App, .. });
        let verifiers = self.ring.peppers();
        let found = verifiers.verifiers(secret.as_bytes()).find_map(|it| replica.access_key(&it.id()));
        let now = self.clock.now();
        let key = found.filter(|key| {
            let is_named = match named {
                NamedAccessKey::Id(id) => key.id == *id,
                NamedAccessKey::Name(consumer, name) => key.consumer == *consumer && key.name == *name,
            };
            is_ours && is_named && key.holds(now)
        });
        let consumer = key.as_ref().map(|key| self.enabled_consumer(key.consumer)).transpose()?.flatten();
        let consumer = consumer.filter(|consumer| may_be(consumer, from));
        Ok(key.zip(consumer).map(|(key, consumer)| Buyer { key, consumer }))
    }

    /// A consumer as checks know it: the file's, else the store's; `None` where there is none, or it is
    /// disabled.
    ///
    /// # Errors
    ///
    /// [`Unknowing`].
    pub(super) fn enabled_consumer(&self, id: ConsumerId) -> Result<Option<Arc<Consumer>>, Unknowing> {
        self.trusted_replica()?;
        Ok(self.known(id).filter(|consumer| consumer.enabled))
    }

    /// The project of this id, with hyphens or without, or of this name.
    pub(super) fn named_project(&self, named: &str) -> Result<Project, Refusal> {
        let catalog = self.catalog.load();
        let id = Uuid::try_parse(named).ok();
        let found = catalog.projects().iter().find(|it| Some(it.id) == id || it.name == named);
        found.cloned().ok_or_else(|| {
            let why = format!("there is no project `{named}`");
            Refusal::Invalid { field: "project_id", why }
        })
    }

    async fn known_consumer_record(&self, owner: Owner) -> Result<Consumer, Refusal> {
        let absent = || Refusal::NotFound { what: "consumer", name: owner.id().to_string() };
        match owner {
            Owner::Declared(id) => {
                let catalog = self.catalog.load();
                catalog.consumers().get(&id).map(|it| Consumer::clone(it)).ok_or_else(absent)
            }
            Owner::Stored(id) => {
                let stored = self.store.read(Table::Consumer, &Name::of(&id)).await?.ok_or_else(absent)?;
                Ok(ConsumerRecord::decode(&stored.payload)?.into())
            }
        }
    }

    fn roles_for(
        &self,
        consumer: &Consumer,
        project: ProjectId,
        wanted: Option<Vec<String>>,
    ) -> Result<Vec<String>, Refusal> {
        let catalog = self.catalog.load();
        let grants = consumer.given.roles.iter().filter(|grant| grant.project == project);
        let had: Vec<String> = grants.map(|grant| grant.role.clone()).collect();
        let mut roles = wanted.unwrap_or_else(|| had.clone());
        roles.sort_unstable();
        roles.dedup();
        if let Some(unknown) = roles.iter().find(|role| !catalog.roles().is_known(role)) {
            return Err(Refusal::Invalid { field: "roles", why: format!("there is no role `{unknown}`") });
        }
        if let Some(more) = roles.iter().find(|role| !catalog.roles().imply(&had, role)) {
            let why = format!("the consumer does not have the role `{more}` in this project");
            return Err(Refusal::Exceeds { field: "roles", why });
        }
        if roles.is_empty() {
            let why =
                "are none: the consumer has no role in this project, and a token without one opens nothing";
            return Err(Refusal::Exceeds { field: "roles", why: why.into() });
        }
        Ok(roles)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::{BTreeMap, HashMap};
    use std::path::Path;
    use std::time::Duration;

    use arc_swap::ArcSwap;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::catalog::{Catalog, Parts};
    use crate::domain::role::Roles;
    use crate::issue::{Lifetimes, Most, NewConsumer};
    use crate::store::memory::Memory;
    use crate::store::ring::Ring;

    const SHOP: ProjectId = Uuid::from_u128(1);

    #[tokio::test]
    async fn an_access_key_that_is_over_makes_way_for_the_next_one_of_its_name() {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
        let project = Project { id: SHOP, name: "shop".into(), ..Project::default() };
        let roles = Roles::new(&HashMap::from([("member".to_owned(), Vec::new())]));
        let parts = Parts { projects: vec![project], roles, ..Parts::default() };
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(parts).unwrap()));
        let ring = Arc::new(Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap());
        let most = Most { own_keys: 0, access_keys: 2, tokens: 0 };
        let registrar = Registrar::new(Arc::new(Memory::new()), ring, clock.clone(), catalog)
            .with_lifetimes(Lifetimes::default(), most);
        let by = By::doorward();
        let roles = BTreeMap::from([("shop".to_owned(), vec!["member".to_owned()])]);
        let alice = NewConsumer { username: Some("alice".into()), roles, ..NewConsumer::default() };
        let alice = registrar.create_consumer(&by, alice).await.unwrap().value.id;
        let make = async |name: &str, lives: Option<i64>| {
            let expires_at = lives.map(|lives| Timestamp::from_unix(clock.now().unix() + lives));
            let new = NewAccessKey { name: name.into(), project: "shop".into(), roles: None, expires_at };
            registrar.create_access_key(&by, "alice", new).await.map(|made| made.value.key.id)
        };
        let listed = async || {
            let keys = registrar.access_keys_of(&alice, None, 10).await.unwrap();
            keys.iter().map(|key| key.id).collect::<Vec<_>>()
        };
        let first = make("ci", Some(60)).await.unwrap();
        hand.advance(Duration::from_secs(59));
        assert!(matches!(make("ci", None).await, Err(Refusal::Taken { .. })), "it buys until then");
        hand.advance(Duration::from_secs(1));
        let other = make("cd", None).await.unwrap();
        assert!(
            matches!(make("ce", None).await, Err(Refusal::Full { .. })),
            "it has its place until it goes"
        );
        let second = make("ci", None).await.unwrap();
        assert!(!listed().await.contains(&first));
        assert!(listed().await.contains(&other) && listed().await.contains(&second));
        assert!(matches!(make("ci", None).await, Err(Refusal::Full { .. })));
        let key = registrar.access_key(&other).await.unwrap();
        registrar.end_access_key(&by, key).await.unwrap();
        assert!(matches!(make("ci", None).await, Err(Refusal::Taken { .. })), "the name is the second one's");
    }
}
