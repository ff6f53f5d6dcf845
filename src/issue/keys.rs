//! API keys: made, found, changed, ended. A key's text exists here once, on its way out.

use std::collections::HashMap;

use uuid::Uuid;

use super::owned::{Claim, Credential, Owned, changing, making, not_without, unmade};
use super::places::Limited;
use super::{By, Done, Refusal, Registrar, Seen, Set, TRIES, check_tags, id_of, unique};
use crate::domain::consumer::ConsumerId;
use crate::domain::deployment::Opens;
use crate::domain::key::KeyFacts;
use crate::domain::network::Networks;
use crate::domain::secret::{self, Kind, Reading, Secret};
use crate::domain::time::Timestamp;
use crate::domain::verifier::Verifier;
use crate::store::record::KeyRecord;
use crate::store::{Effect, Expect, Step, StoreError, Table, Uses};

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
    pub disabled: bool,
}

/// What becomes different about a key; `None` stays as it is.
#[derive(Default)]
pub struct KeyChange {
    pub text: Option<NewText>,
    pub allow_weak: bool,
    /// Seconds from now; 0: never. Not together with `expires_at`.
    pub ttl: Set<i64>,
    pub not_before: Set<Timestamp>,
    pub expires_at: Set<Timestamp>,
    pub tags: Option<Vec<String>>,
    pub services: Set<Vec<String>>,
    pub permissions: Set<Vec<String>>,
    pub networks: Option<Networks>,
    pub enabled: Option<bool>,
}

/// The text that a key gets in the place of the one that it has.
pub enum NewText {
    /// Brought along.
    Brought(Secret),
    /// One of ours is made.
    Ours,
}

/// A key that was just made. Its text is nowhere else.
pub struct MadeKey {
    pub record: KeyRecord,
    pub text: Secret,
}

/// A key that was just changed, with its text where it has another one.
pub struct ChangedKey {
    pub record: KeyRecord,
    pub text: Option<Secret>,
}

/// A key and its successor.
pub struct Rotated {
    pub made: MadeKey,
    /// The one before, which ends; `None` where it has ended.
    pub before: Option<KeyRecord>,
}

pub(super) const VERIFIER: &str = "key.verifier";
const HANDLE: &str = "key.handle";

/// The longest life of a key with a `ttl`, in seconds: Kong's.
const LONGEST_TTL: i64 = 100_000_000;

impl Credential for KeyRecord {
    const KIND: Owned = Owned::Key;
    const WHAT: &'static str = "key";
    const CREATE: &'static str = "key.create";
    const CHANGE: &'static str = "key.change";
    const END: &'static str = "key.revoke";

    fn id(&self) -> Uuid {
        self.id
    }

    fn consumer(&self) -> ConsumerId {
        self.consumer
    }

    fn claims(&self) -> Vec<Claim> {
        let verifier = (VERIFIER, self.verifier.as_bytes().to_vec());
        let handle = self.handle.iter().map(|handle| (HANDLE, handle.as_bytes().to_vec()));
        std::iter::once(verifier).chain(handle).collect()
    }

    fn taken(&self) -> Refusal {
        Refusal::KeyInUse
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
    /// [`Refusal::NotFound`] without its consumer, [`Refusal::KeyInUse`] where somebody has that text.
    pub async fn create_key(&self, by: &By, consumer: &str, new: NewKey) -> Result<Done<MadeKey>, Refusal> {
        let (made, steps) = self.key_to_make(consumer, new).await?;
        let written = self.write(by.makes(KeyRecord::CREATE, made.record.id), steps, ()).await;
        let done = written.map_err(|refusal| unmade(refusal, &made.record))?;
        warn_if_weak(&made.record);
        Ok(done.map(|()| made))
    }

    /// The same for a consumer that makes it itself, of which it may have only so many.
    ///
    /// # Errors
    ///
    /// [`Refusal::Full`]; as above.
    pub async fn create_own_key(
        &self,
        by: &By,
        consumer: ConsumerId,
        new: NewKey,
    ) -> Result<Done<MadeKey>, Refusal> {
        let (made, steps) = self.key_to_make(&consumer.to_string(), new).await?;
        let act = by.makes(KeyRecord::CREATE, made.record.id);
        let written = self.take_place((Limited::OwnKeys, consumer), act, steps).await;
        let done = written.map_err(|refusal| unmade(refusal, &made.record))?;
        Ok(done.map(|()| made))
    }

    async fn key_to_make(&self, consumer: &str, new: NewKey) -> Result<(MadeKey, Vec<Step>), Refusal> {
        let owner = self.owner(consumer).await?;
        let (made, mut steps) = self.prepare_key(owner.id(), new)?;
        steps.extend(not_without(owner));
        Ok((made, steps))
    }

    /// A key of this consumer and what makes it.
    pub(super) fn prepare_key(
        &self,
        consumer: ConsumerId,
        mut new: NewKey,
    ) -> Result<(MadeKey, Vec<Step>), Refusal> {
        let brought = new.text.take().map_or(NewText::Ours, NewText::Brought);
        let text = self.key_text(brought, new.allow_weak)?;
        let now = self.clock.now();
        let blank = KeyRecord {
            id: new.id.unwrap_or_else(Uuid::new_v4),
            consumer,
            verifier: Verifier::from_bytes([0; 32]),
            ring_key: 0,
            weak: false,
            handle: None,
            tags: Vec::new(),
            not_before: None,
            expires_at: None,
            networks: Networks::default(),
            enabled: true,
            opens: None,
            permissions: None,
            created_at: now,
        };
        let record = self.changed_key(blank, &new.into())?;
        let record = self.with_text(record, &text);
        let mut steps = making(&record);
        steps.extend(self.nobody_elses(&record, &text.secret));
        Ok((MadeKey { record, text: text.secret }, steps))
    }

    /// Changes what is to be different.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`]; as for one that is made.
    pub async fn change_key(
        &self,
        by: &By,
        id: &Uuid,
        mut change: KeyChange,
    ) -> Result<Done<ChangedKey>, Refusal> {
        let text = change.text.take().map(|text| self.key_text(text, change.allow_weak)).transpose()?;
        for _ in 0..TRIES {
            let found = self.credential::<KeyRecord>(id).await?;
            let absent = || Refusal::NotFound { what: "key", name: id.to_string() };
            let (before, revision) = found.ok_or_else(absent)?;
            let mut after = self.changed_key(before.clone(), &change)?;
            let mut others = Vec::new();
            if let Some(text) = &text {
                after = self.with_text(after, text);
                if after.verifier != before.verifier {
                    others = self.nobody_elses(&after, &text.secret);
                }
            }
            let mut steps = changing(&before, revision, &after);
            steps.extend(others);
            let blame = after.clone();
            match self.write(by.does("key.change", *id), steps, after).await {
                Err(Refusal::Store(StoreError::Conflict { table: Table::Key, .. })) => {}
                Err(refusal) => return Err(unmade(refusal, &blame)),
                Ok(done) => {
                    warn_if_weak(&blame);
                    let text = text.map(|text| text.secret);
                    return Ok(done.map(|record| ChangedKey { record, text }));
                }
            }
        }
        Err(Refusal::Raced)
    }

    /// Makes a key of ours with the settings of one that is there, which ends after `grace` seconds,
    /// at once where that is 0.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`]; [`Refusal::Invalid`] where the key has ended or is disabled: nothing
    /// that opens comes of what does not.
    pub async fn rotate_key(&self, by: &By, named: &str, grace: i64) -> Result<Done<Rotated>, Refusal> {
        if !(0..=LONGEST_TTL).contains(&grace) {
            return Err(Refusal::Invalid { field: "grace", why: TTL_RANGE.into() });
        }
        for _ in 0..TRIES {
            let id = self.key_to_change(named).await?.id;
            let Some((old, revision)) = self.credential::<KeyRecord>(&id).await? else { break };
            let now = self.clock.now();
            if !old.enabled || old.expires_at.is_some_and(|until| until <= now) {
                let why = "this key has ended or is disabled; make a new one with `key create`".into();
                return Err(Refusal::Invalid { field: "key", why });
            }
            let text = self.key_text(NewText::Ours, false)?;
            let record = KeyRecord { id: Uuid::new_v4(), created_at: now, ..old.clone() };
            let record = self.with_text(record, &text);
            let mut steps = making(&record);
            steps.extend(self.owner(&old.consumer.to_string()).await.map(not_without)?);
            let before = (grace > 0).then(|| {
                let end = Timestamp::from_unix(now.unix() + grace);
                KeyRecord {
                    expires_at: Some(old.expires_at.map_or(end, |until| until.min(end))),
                    ..old.clone()
                }
            });
            match &before {
                Some(ended) => steps.extend(changing(&old, revision, ended)),
                None => steps.extend(super::owned::ending(&old, Some(revision))),
            }
            let rotated = Rotated { made: MadeKey { record, text: text.secret }, before };
            match self.write(by.makes("key.rotate", old.id), steps, rotated).await {
                Err(Refusal::Store(StoreError::Conflict { table: Table::Key, .. })) => {}
                Err(Refusal::Store(StoreError::Conflict { .. })) => return Err(Refusal::Raced),
                done => return done,
            }
        }
        Err(Refusal::Raced)
    }

    /// The text: the one brought along, or a new one with its public name.
    fn key_text(&self, text: NewText, allow_weak: bool) -> Result<Text, Refusal> {
        let NewText::Brought(secret) = text else {
            let (secret, handle) = generate(Kind::Key)?;
            return Ok(Text { secret, handle: Some(handle) });
        };
        secret::check_foreign(secret.expose(), allow_weak || self.allow_weak)
            .map_err(|error| Refusal::Invalid { field: "key", why: error.to_string() })?;
        let catalog = self.catalog.load();
        // The file's keys are in no store, so no claim would find them.
        if self.ring.peppers().verifiers(secret.expose().as_bytes()).any(|key| catalog.key(&key).is_some()) {
            return Err(Refusal::KeyInUse);
        }
        Ok(Text { secret, handle: None })
    }

    fn with_text(&self, record: KeyRecord, text: &Text) -> KeyRecord {
        let bytes = text.secret.expose().as_bytes();
        KeyRecord {
            verifier: self.ring.primary_pepper().verifier(bytes),
            ring_key: self.ring.primary_id(),
            weak: text.handle.is_none() && bytes.len() < secret::MIN_FOREIGN_LEN,
            handle: text.handle.clone(),
            ..record
        }
    }

    /// That the same text is not stored under another key of the ring.
    fn nobody_elses(&self, record: &KeyRecord, text: &Secret) -> Vec<Step> {
        let others = self.ring.peppers().verifiers(text.expose().as_bytes()).collect::<Vec<_>>();
        let others = others.into_iter().filter(|other| *other != record.verifier);
        others
            .map(|other| Step {
                table: Table::Unique,
                name: unique(VERIFIER, other.as_bytes()),
                expect: Expect::Absent,
                effect: Effect::Keep,
            })
            .collect()
    }

    /// The key after the change, if it may be so; its text apart.
    fn changed_key(&self, mut it: KeyRecord, change: &KeyChange) -> Result<KeyRecord, Refusal> {
        if let Some(tags) = &change.tags {
            it.tags = check_tags(tags)?;
        }
        if let Some(not_before) = change.not_before {
            it.not_before = not_before;
        }
        if let Some(end) = self.end(change)? {
            it.expires_at = end;
        }
        if it.expires_at.is_some_and(|until| it.not_before.is_some_and(|from| until <= from)) {
            return Err(Refusal::Invalid { field: "expires_at", why: "must be after `not_before`".into() });
        }
        if let Some(services) = &change.services {
            it.opens = services.as_ref().map(|named| self.resolve_services(named)).transpose()?;
        }
        if let Some(permissions) = &change.permissions {
            it.permissions = permissions.as_ref().map(|named| self.resolve_permissions(named)).transpose()?;
        }
        if let Some(networks) = &change.networks {
            it.networks = networks.clone();
        }
        it.enabled = change.enabled.unwrap_or(it.enabled);
        Ok(it)
    }

    /// When the key ends from now on; `None` where that stays as it is.
    fn end(&self, change: &KeyChange) -> Result<Set<Timestamp>, Refusal> {
        let ttl = change.ttl.map(|ttl| ttl.filter(|ttl| *ttl != 0));
        match (ttl, change.expires_at) {
            (Some(Some(_)), Some(Some(_))) => {
                let why = "cannot be given together with `expires_at`".into();
                Err(Refusal::Invalid { field: "ttl", why })
            }
            (Some(Some(ttl)), _) if !(0..=LONGEST_TTL).contains(&ttl) => {
                Err(Refusal::Invalid { field: "ttl", why: TTL_RANGE.into() })
            }
            (Some(Some(ttl)), _) => Ok(Some(Some(Timestamp::from_unix(self.clock.now().unix() + ttl)))),
            (_, Some(expires_at)) => Ok(Some(expires_at)),
            (Some(None), None) => Ok(Some(None)),
            (None, None) => Ok(None),
        }
    }

    fn resolve_services(&self, named: &[String]) -> Result<Vec<Opens>, Refusal> {
        let catalog = self.catalog.load();
        let resolve = |named: &String| {
            let why = || format!("there is no service or deployment `{named}`");
            catalog.opens(named).ok_or_else(|| Refusal::Invalid { field: "services", why: why() })
        };
        named.iter().map(resolve).collect()
    }

    /// The stored key of this id, public name (`dw_key_<12>` or the 12 alone) or full text.
    pub async fn key(&self, named: &str) -> Result<Seen<KeyRecord>, Refusal> {
        // What was given may be the secret itself, so it is never repeated.
        let absent = || match public_name(named) {
            Some(name) => Refusal::NotFound { what: "key", name },
            None => Refusal::NoSuchKey { prefix: "dw_key_" },
        };
        let id = match id_of(named) {
            Some(id) => id,
            None => self.id_of_key(named).await?.ok_or_else(absent)?,
        };
        Ok(self.credential(&id).await?.ok_or_else(absent)?.into())
    }

    /// The same for one that is to be changed.
    ///
    /// # Errors
    ///
    /// [`Refusal::OwnedByFile`] for a key that the file declares: it changes with its line.
    pub async fn key_to_change(&self, named: &str) -> Result<Seen<KeyRecord>, Refusal> {
        match self.declared_key(named) {
            Some(declared) => Err(Refusal::OwnedByFile { what: "key", name: declared.id.to_string() }),
            None => self.key(named).await,
        }
    }

    /// The key of this id or full text that the file declares.
    pub fn declared_key(&self, named: &str) -> Option<KeyFacts> {
        let catalog = self.catalog.load();
        let by_text =
            || self.ring.peppers().verifiers(named.as_bytes()).find_map(|key| catalog.key(&key)).cloned();
        let id = id_of(named);
        catalog.declared_keys().iter().find(|key| Some(key.id) == id).cloned().or_else(by_text)
    }

    /// The keys that the file declares, in its order.
    pub fn declared_keys(&self) -> Vec<KeyFacts> {
        self.catalog.load().declared_keys().to_vec()
    }

    async fn id_of_key(&self, named: &str) -> Result<Option<Uuid>, Refusal> {
        if let Some(id) = self.owner_of_secret(VERIFIER, named.as_bytes()).await? {
            return Ok(Some(id));
        }
        let handle = named.strip_prefix("dw_key_").unwrap_or(named);
        self.owner_of(HANDLE, handle.as_bytes()).await
    }

    /// Stored keys in order of their ids, after `after`.
    pub async fn keys(&self, after: Option<Uuid>, size: usize) -> Result<Vec<KeyRecord>, Refusal> {
        self.credentials(after, size).await
    }

    /// The same for one consumer.
    pub async fn keys_of(
        &self,
        consumer: &Uuid,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Vec<KeyRecord>, Refusal> {
        self.credentials_of(consumer, after, size).await
    }

    /// How often these keys were used on all instances, and when last; those that never were are
    /// not in it. What the last seconds brought is not told yet.
    pub async fn uses(&self, keys: &[Uuid]) -> Result<HashMap<Uuid, Uses>, Refusal> {
        let uses = self.store.uses(Table::Key, keys).await?;
        Ok(uses.into_iter().map(|uses| (uses.id, uses)).collect())
    }

    /// Ends a key. When this returns, no check of this instance takes it any more (or
    /// [`Done::applied`] is false), and it will not come back.
    ///
    /// # Errors
    ///
    /// [`Refusal::OwnedByFile`] for a key that the file declares: it goes when its line goes.
    pub async fn revoke_key(&self, by: &By, named: &str) -> Result<Done<KeyRecord>, Refusal> {
        let record = self.key_to_change(named).await?.value;
        self.end_credential(by, record).await
    }
}

impl From<NewKey> for KeyChange {
    fn from(new: NewKey) -> Self {
        Self {
            text: None,
            allow_weak: new.allow_weak,
            ttl: new.ttl.map(Some),
            not_before: Some(new.not_before),
            expires_at: Some(new.expires_at),
            tags: Some(new.tags),
            services: Some(new.services),
            permissions: Some(new.permissions),
            networks: Some(new.networks),
            enabled: Some(!new.disabled),
        }
    }
}

/// A key's text, with its public name where it is ours.
struct Text {
    secret: Secret,
    handle: Option<String>,
}

pub(super) fn warn_if_weak(record: &KeyRecord) {
    if record.weak {
        tracing::warn!(key = %record.id, "a key of fewer than 16 bytes was taken; it can be guessed");
    }
}

const TTL_RANGE: &str = "must be an integer between 0 and 100000000";

/// A new secret of ours, from the operating system's random bytes.
pub(super) fn generate(kind: Kind) -> Result<(Secret, String), Refusal> {
    let unavailable = |why: String| Refusal::Store(StoreError::Unavailable(why));
    let mut entropy = [0; secret::ENTROPY_BYTES];
    getrandom::fill(&mut entropy).map_err(|error| unavailable(format!("no random bytes: {error}")))?;
    let (secret, handle) = Secret::generate(kind, &entropy)
        .ok_or_else(|| unavailable("the random bytes did not suffice; try again".into()))?;
    Ok((secret, handle.to_string()))
}

/// What may be said of a name that was not found: nothing of a secret.
fn public_name(named: &str) -> Option<String> {
    match secret::read(named.as_bytes()) {
        Reading::Ours { kind: Kind::Key, handle } => Some(format!("dw_key_{handle}")),
        _ if id_of(named).is_some() => Some(named.to_owned()),
        _ => None,
    }
}
