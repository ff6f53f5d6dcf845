//! API keys: made, found, ended. A key's text exists here once, on its way out.

use uuid::Uuid;

use super::consumers::Owner;
use super::{By, Done, Issuer, Refusal, check_label, claim, delete, unique};
use crate::domain::consumer::ConsumerId;
use crate::domain::deployment::Opens;
use crate::domain::key::KeyFacts;
use crate::domain::network::Networks;
use crate::domain::secret::{self, Kind, Reading, Secret};
use crate::domain::time::Timestamp;
use crate::store::record::KeyRecord;
use crate::store::{Effect, Expect, Name, Step, StoreError, Table};

/// A key to be made.
#[derive(Default)]
pub struct NewKey {
    /// `None`: a random one.
    pub id: Option<Uuid>,
    /// A key that its owner brings along; `None`: one of ours is made.
    pub text: Option<Secret>,
    /// Whether a text of fewer than 16 bytes is taken.
    pub allow_weak: bool,
    /// Seconds from now; 0 is the same as `None`. Not together with `expires_at`.
    pub ttl: Option<i64>,
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub tags: Vec<String>,
    /// Services or deployments (`orders`, `orders/production`), by name or id; `None`: all.
    pub services: Option<Vec<String>>,
    /// By name or id; `None`: all that the consumer has.
    pub permissions: Option<Vec<String>>,
    /// From where it may be used.
    pub networks: Networks,
}

/// A key that was just made. Its text is nowhere else.
pub struct MadeKey {
    pub record: KeyRecord,
    pub text: Secret,
}

pub(super) const VERIFIER: &str = "key.verifier";
const HANDLE: &str = "key.handle";

/// The longest life of a key with a `ttl`, in seconds: Kong's.
const LONGEST_TTL: i64 = 100_000_000;

impl Issuer {
    /// # Errors
    ///
    /// [`Refusal::NotFound`] without its consumer, [`Refusal::Taken`] where somebody has that key.
    pub async fn create_key(
        &self,
        by: &By,
        consumer: &str,
        mut new: NewKey,
    ) -> Result<Done<MadeKey>, Refusal> {
        let owner = self.owner(consumer).await?;
        let (text, handle) = self.key_text(&mut new)?;
        let record = self.prepare_key(owner.id(), new, &text, handle)?;
        let mut steps = self.making_key(&record, &text);
        if let Owner::Stored(id) = owner {
            // Not without its consumer, who may be deleted at this moment.
            let effect = Effect::Keep;
            steps.push(Step { table: Table::Consumer, name: Name::of(&id), expect: Expect::Present, effect });
        }
        let (id, weak, made) = (record.id, record.weak, MadeKey { record, text });
        let done =
            self.write(by.makes("key.create", id), steps, made).await.map_err(|refusal| match refusal {
                Refusal::Store(StoreError::Conflict { table: Table::Consumer, .. }) => Refusal::Raced,
                Refusal::Store(StoreError::Conflict { table: Table::Key, .. }) => {
                    Refusal::Taken { what: "key", name: id.to_string() }
                }
                Refusal::Store(StoreError::Conflict { .. }) => in_use(),
                other => other,
            })?;
        if weak {
            tracing::warn!(key = %id, "a key of fewer than 16 bytes was taken; it can be guessed");
        }
        Ok(done)
    }

    /// The text: the one brought along, or a new one with its public name.
    fn key_text(&self, new: &mut NewKey) -> Result<(Secret, Option<String>), Refusal> {
        if let Some(text) = new.text.take() {
            secret::check_foreign(text.expose(), new.allow_weak || self.allow_weak)
                .map_err(|error| Refusal::Invalid { field: "key", why: error.to_string() })?;
            let catalog = self.catalog.load();
            // The file's keys are in no store, so no claim would find them.
            if self.ring.peppers().verifiers(text.expose().as_bytes()).any(|key| catalog.key(&key).is_some())
            {
                return Err(in_use());
            }
            return Ok((text, None));
        }
        let (text, handle) = generate(Kind::Key)?;
        Ok((text, Some(handle)))
    }

    fn prepare_key(
        &self,
        consumer: ConsumerId,
        new: NewKey,
        text: &Secret,
        handle: Option<String>,
    ) -> Result<KeyRecord, Refusal> {
        new.tags.iter().try_for_each(|tag| check_label("tags", tag))?;
        let now = self.clock.now();
        let expires_at = expiry(now, &new)?;
        let opens = new.services.as_ref().map(|named| self.resolve_services(named)).transpose()?;
        let permissions =
            new.permissions.as_ref().map(|named| self.resolve_permissions(named)).transpose()?;
        Ok(KeyRecord {
            id: new.id.unwrap_or_else(Uuid::new_v4),
            consumer,
            verifier: self.ring.primary_pepper().verifier(text.expose().as_bytes()),
            ring_key: self.ring.primary_id(),
            weak: handle.is_none() && text.expose().len() < secret::MIN_FOREIGN_LEN,
            handle,
            tags: new.tags,
            not_before: new.not_before,
            expires_at,
            networks: new.networks,
            enabled: true,
            opens,
            permissions,
            created_at: now,
        })
    }

    fn resolve_services(&self, named: &[String]) -> Result<Vec<Opens>, Refusal> {
        let catalog = self.catalog.load();
        let resolve = |named: &String| {
            let why = || format!("there is no service or deployment `{named}`");
            catalog.opens(named).ok_or_else(|| Refusal::Invalid { field: "services", why: why() })
        };
        named.iter().map(resolve).collect()
    }

    fn making_key(&self, record: &KeyRecord, text: &Secret) -> Vec<Step> {
        let mut steps = vec![
            Step {
                table: Table::Key,
                name: Name::of(&record.id),
                expect: Expect::Absent,
                effect: Effect::Put(record.encode()),
            },
            Step {
                table: Table::Owned,
                name: Name::pair(&record.consumer, &record.id),
                expect: Expect::Absent,
                effect: Effect::Put(Vec::new()),
            },
            claim(VERIFIER, record.verifier.as_bytes(), &record.id),
        ];
        // The same text may be stored under another key of the ring.
        let others = self.ring.peppers().verifiers(text.expose().as_bytes()).collect::<Vec<_>>();
        steps.extend(others.into_iter().filter(|other| *other != record.verifier).map(|other| Step {
            table: Table::Unique,
            name: unique(VERIFIER, other.as_bytes()),
            expect: Expect::Absent,
            effect: Effect::Keep,
        }));
        steps.extend(record.handle.iter().map(|handle| claim(HANDLE, handle.as_bytes(), &record.id)));
        steps
    }

    /// What ends a key and all that points to it.
    pub(super) fn ending_key(&self, record: &KeyRecord) -> Vec<Step> {
        let mut steps = vec![
            // Only once: a second one could take away what has been claimed anew since.
            Step {
                table: Table::Key,
                name: Name::of(&record.id),
                expect: Expect::Present,
                effect: Effect::Delete,
            },
            delete(Table::Owned, Name::pair(&record.consumer, &record.id)),
            delete(Table::Unique, unique(VERIFIER, record.verifier.as_bytes())),
        ];
        let handle = record.handle.iter();
        steps.extend(handle.map(|handle| delete(Table::Unique, unique(HANDLE, handle.as_bytes()))));
        steps
    }

    /// The stored key of this id, public name (`dw_key_<12>` or the 12 alone) or full text.
    pub async fn key(&self, named: &str) -> Result<KeyRecord, Refusal> {
        // What was given may be the secret itself, so it is never repeated.
        let absent = || match public_name(named) {
            Some(name) => Refusal::NotFound { what: "key", name },
            None => Refusal::NoSuchKey,
        };
        let id = match Uuid::parse_str(named) {
            Ok(id) => id,
            Err(_) => self.id_of_key(named).await?.ok_or_else(absent)?,
        };
        let record = self.store.read(Table::Key, &Name::of(&id)).await?.ok_or_else(absent)?;
        Ok(KeyRecord::decode(&record.payload)?)
    }

    /// The key of this id or full text that the file declares.
    pub fn declared_key(&self, named: &str) -> Option<KeyFacts> {
        let catalog = self.catalog.load();
        let by_text =
            || self.ring.peppers().verifiers(named.as_bytes()).find_map(|key| catalog.key(&key)).cloned();
        let id = Uuid::parse_str(named).ok();
        catalog.declared_keys().iter().find(|key| Some(key.id) == id).cloned().or_else(by_text)
    }

    /// The keys that the file declares, in its order.
    pub fn declared_keys(&self) -> Vec<KeyFacts> {
        self.catalog.load().declared_keys().to_vec()
    }

    async fn id_of_key(&self, named: &str) -> Result<Option<Uuid>, Refusal> {
        for verifier in self.ring.peppers().verifiers(named.as_bytes()).collect::<Vec<_>>() {
            if let Some(id) = self.owner_of(VERIFIER, verifier.as_bytes()).await? {
                return Ok(Some(id));
            }
        }
        let handle = named.strip_prefix("dw_key_").unwrap_or(named);
        self.owner_of(HANDLE, handle.as_bytes()).await
    }

    /// Stored keys in order of their ids, after `after`.
    pub async fn keys(&self, after: Option<Uuid>, size: usize) -> Result<Vec<KeyRecord>, Refusal> {
        let after = after.as_ref().map(Name::of);
        let records = self.store.scan(Table::Key, &[], after.as_ref(), size).await?;
        Ok(records.iter().map(|record| KeyRecord::decode(&record.payload)).collect::<Result<_, _>>()?)
    }

    /// The same for one consumer.
    pub async fn keys_of(
        &self,
        consumer: &Uuid,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Vec<KeyRecord>, Refusal> {
        let after = after.map(|after| Name::pair(consumer, &after));
        let owned = self.store.scan(Table::Owned, consumer.as_bytes(), after.as_ref(), size).await?;
        let mut keys = Vec::with_capacity(owned.len());
        for owned in owned {
            let Some(id) = owned.name.0.get(16..).and_then(|id| Uuid::from_slice(id).ok()) else { continue };
            if let Some(stored) = self.store.read(Table::Key, &Name::of(&id)).await? {
                keys.push(KeyRecord::decode(&stored.payload)?);
            }
        }
        Ok(keys)
    }

    /// Ends a key. When this returns, no check of this instance takes it any more (or
    /// [`Done::applied`] is false), and it will not come back.
    ///
    /// # Errors
    ///
    /// [`Refusal::OwnedByFile`] for a key that the file declares: it goes when its line goes.
    pub async fn revoke_key(&self, by: &By, named: &str) -> Result<Done<KeyRecord>, Refusal> {
        if let Some(declared) = self.declared_key(named) {
            return Err(Refusal::OwnedByFile { what: "key", name: declared.id.to_string() });
        }
        let record = self.key(named).await?;
        let steps = self.ending_key(&record);
        let (id, name) = (record.id, record.id.to_string());
        self.write(by.does("key.revoke", id), steps, record).await.map_err(|refusal| match refusal {
            Refusal::Store(StoreError::Conflict { .. }) => Refusal::NotFound { what: "key", name },
            other => other,
        })
    }
}

fn in_use() -> Refusal {
    Refusal::Invalid { field: "key", why: "this key is in use already".into() }
}

/// A new secret of ours, from the operating system's random bytes.
pub(super) fn generate(kind: Kind) -> Result<(Secret, String), Refusal> {
    let unavailable = |why: String| Refusal::Store(StoreError::Unavailable(why));
    let mut entropy = [0; secret::ENTROPY_BYTES];
    getrandom::fill(&mut entropy).map_err(|error| unavailable(format!("no random bytes: {error}")))?;
    let (secret, handle) = Secret::generate(kind, &entropy)
        .ok_or_else(|| unavailable("the random bytes did not suffice; try again".into()))?;
    Ok((secret, handle.to_string()))
}

/// When a key ends.
fn expiry(now: Timestamp, new: &NewKey) -> Result<Option<Timestamp>, Refusal> {
    let invalid = |field, why: &str| Err(Refusal::Invalid { field, why: why.into() });
    let expires_at = match (new.ttl.filter(|ttl| *ttl != 0), new.expires_at) {
        (Some(_), Some(_)) => return invalid("ttl", "cannot be given together with `expires_at`"),
        (Some(ttl), None) if !(0..=LONGEST_TTL).contains(&ttl) => {
            return invalid("ttl", "must be an integer between 0 and 100000000");
        }
        (Some(ttl), None) => Some(Timestamp::from_unix(now.unix() + ttl)),
        (None, expires_at) => expires_at,
    };
    if expires_at.is_some_and(|until| new.not_before.is_some_and(|from| until <= from)) {
        return invalid("expires_at", "must be after `not_before`");
    }
    Ok(expires_at)
}

/// What may be said of a name that was not found: nothing of a secret.
fn public_name(named: &str) -> Option<String> {
    match secret::read(named.as_bytes()) {
        Reading::Ours { kind: Kind::Key, handle } => Some(format!("dw_key_{handle}")),
        _ if Uuid::parse_str(named).is_ok() => Some(named.to_owned()),
        _ => None,
    }
}
