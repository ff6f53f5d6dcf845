//! Making and ending consumers and credentials: every write to the store goes through here.

mod access_keys;
mod act;
mod admin_keys;
mod attempts;
mod audit;
mod basics;
mod condition;
mod consumers;
mod deletion;
mod everywhere;
mod grants;
mod import;
mod jws;
mod jwt;
mod jwt_credentials;
mod keys;
mod login;
mod logout;
mod memberships;
mod objects;
mod owned;
mod password;
mod places;
mod sessions;
mod signing_keys;
mod standing;
mod sweep;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use uuid::Uuid;

pub use self::access_keys::{Buyer, MadeAccessKey, NamedAccessKey, NewAccessKey};
use self::act::Act;
pub use self::act::{By, request_id};
pub use self::admin_keys::{MadeAdminKey, NewAdminKey, Unknowing};
pub use self::attempts::Attempts;
use self::audit::{Appended, Chain, Event};
pub use self::audit::{AuditFilter, AuditPage, ChainStanding, Finding, Offset, Verdict};
pub use self::basics::{BasicChange, NewBasic};
pub use self::condition::{Condition, Seen};
pub use self::consumers::{ConsumerChange, NewConsumer, Owner};
pub use self::everywhere::Reach;
pub use self::grants::{MadeGrant, ShownGrant};
pub use self::import::{Outcome, Run};
pub use self::jws::{Broken, SigningKey, self_test};
pub use self::jwt::{Minted, NotProven};
pub use self::jwt_credentials::{JwtChange, MadeJwt, NewJwt};
pub use self::keys::{ChangedKey, KeyChange, MadeKey, NewKey, NewText, Rotated};
pub use self::login::{Declined, LoggedIn, Login, LoginName};
pub use self::logout::{Ends, Leaving};
pub use self::memberships::{Member, MembershipChange, NewMembership};
pub use self::objects::{
    InProject, Named, Naming, Need, ObjectLimits, Sides, Written, access, access_to_make,
};
pub use self::owned::{Credential, NamedCredential};
use self::places::Turns;
pub use self::sessions::OpenedSession;
pub use self::signing_keys::KeyLives;
pub use self::standing::Standing;
pub use self::tokens::{Lifetimes, MadeToken, Most, Shown, TakenBack};
use crate::clock::Clock;
use crate::compile::Compiler;
use crate::config::Wrong;
use crate::domain::catalog::Catalog;
use crate::domain::rights::{Access, Asked, Caller, decide};
use crate::domain::verdict::Fault;
pub use crate::passwords::Password;
use crate::passwords::{Passwords, Tries};
use crate::replica::Replica;
use crate::store::record::OwnerRecord;
use crate::store::ring::Ring;
use crate::store::{Batch, Effect, Epoch, Expect, Name, Step, Store, StoreError, Table};

/// Makes and ends what the store holds: consumers, credentials, objects. (An issuer is whoever signs JWTs:
/// `domain::issuer`.) Cheap to share behind an `Arc`.
pub struct Registrar {
    store: Arc<dyn Store>,
    ring: Arc<Ring>,
    clock: Clock,
    /// Names of services and permissions are resolved by it, and what the file owns is left alone.
    catalog: Arc<ArcSwap<Catalog>>,
    /// What policy is made of.
    compiler: Arc<Compiler>,
    object_limits: ObjectLimits,
    /// Whoever runs a replica has its writes wait until that replica knows them.
    replica: Option<Arc<Replica>>,
    reach: Reach,
    /// Of changes, in the audit log.
    changes: Chain,
    attempts: Chain,
    /// Of tokens and sessions that were handed out.
    handed_out: Chain,
    lifetimes: Lifetimes,
    most: Most,
    turns: Turns,
    /// Whether keys of fewer than 16 bytes are taken without being asked to (`keys.insecure_allow_weak`).
    allow_weak: bool,
    /// The `iss` of our JWTs; `None`: there are none.
    public_url: Option<String>,
    key_lives: KeyLives,
    passwords: Arc<Passwords>,
    tries: Tries,
}

/// What is to be set: `None` is left as it is, `Some(None)` is taken away.
pub type Set<T> = Option<Option<T>>;

/// What was done, and since when it is so.
#[derive(Clone, Debug)]
pub struct Done<T> {
    pub value: T,
    pub epoch: Epoch,
    /// Whether this instance's checks know of it already.
    pub applied: bool,
}

/// Why something was not done. The caller's to mend, but for the last.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("there is no {what} `{name}`")]
    NotFound { what: &'static str, name: String },
    /// What was given may be a key's text, so it is not repeated.
    #[error("there is no such key; expected its id, its public name `{prefix}…` or its text")]
    NoSuchKey { prefix: &'static str },
    #[error("{what} `{name}` is taken")]
    Taken { what: &'static str, name: String },
    /// Its text is not repeated.
    #[error("this key is in use already")]
    KeyInUse,
    /// A body names a consumer that is not there.
    #[error("there is no consumer `{name}`")]
    NoConsumer { name: String },
    #[error("the id {id} belongs to another {what}")]
    IdTaken { what: &'static str, id: Uuid },
    #[error("{what} `{name}` is declared in the configuration file; change it there")]
    OwnedByFile { what: &'static str, name: String },
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: String },
    /// A write of this name was made before, and nothing was done again.
    #[error("this `Idempotency-Key` was used already; nothing was made again{}", made(.id))]
    Replayed { id: Option<Uuid> },
    /// Settings that are not as they would have to be in the file.
    #[error("{}", told(.0))]
    Faulty(Vec<Wrong>),
    /// What is asked and what there is cannot both be.
    #[error("{0}")]
    Contradiction(String),
    /// Something else cannot do without it, or not with the change.
    #[error("it is needed by {by}: {why}")]
    InUse { by: String, why: String },
    #[error("there are {most} {what} already, which is all that `{limit}` allows")]
    Full { what: &'static str, most: usize, limit: &'static str },
    /// Whoever asks may not know that it is there.
    #[error("there is no such thing")]
    Hidden,
    /// It may be seen, and that is all.
    #[error("you have no right to do that here")]
    Forbidden,
    /// More than whoever asks for it has.
    #[error("{field}: {why}")]
    Exceeds { field: &'static str, why: String },
    /// What was shown proves nothing, or no longer; nobody learns why.
    #[error("Unauthorized")]
    Unproven,
    /// Somebody else changed the same record at the same moment.
    #[error("it was changed by someone else at the same moment; try again")]
    Raced,
    /// Its caller wanted to change it as it was, and it is no longer so.
    #[error("it was changed since, or is not there; read it again, and send its new `ETag` in `If-Match`")]
    Stale,
    /// Too many passwords wait to be hashed.
    #[error("too many passwords are being hashed; try again")]
    Busy,
    #[error(transparent)]
    Store(StoreError),
}

/// A writer waits this long for its own instance to know of the write.
const OWN_APPLIER: Duration = Duration::from_secs(2);

/// Entries that a chain of the audit log keeps, unless told otherwise.
const AUDIT_KEPT: u64 = 100_000;
/// What others change at the same moment is looked at again so often.
const TRIES: usize = 16;

impl<T> Done<T> {
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Done<U> {
        Done { value: with(self.value), epoch: self.epoch, applied: self.applied }
    }
}

impl Registrar {
    pub fn new(store: Arc<dyn Store>, ring: Arc<Ring>, clock: Clock, catalog: Arc<ArcSwap<Catalog>>) -> Self {
        let reach = Reach { bound: Duration::from_secs(10), heartbeat: Duration::from_millis(250) };
        let [changes, attempts, handed_out] = chains(Uuid::nil(), AUDIT_KEPT);
        let compiler = Arc::new(Compiler::of_nothing(&ring.peppers()));
        Self {
            store,
            ring,
            clock,
            catalog,
            compiler,
            object_limits: ObjectLimits::default(),
            replica: None,
            reach,
            changes,
            attempts,
            handed_out,
            lifetimes: Lifetimes::default(),
            most: Most { own_keys: 1_000, access_keys: 100, tokens: usize::MAX },
            turns: Turns::default(),
            allow_weak: false,
            public_url: None,
            key_lives: KeyLives::default(),
            passwords: Arc::default(),
            tries: Tries::default(),
        }
    }

    pub fn with_reach(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// Has objects of policy judged and made part of what this compiler compiles, of which the catalog is
    /// one too.
    pub fn with_compiler(self, compiler: Arc<Compiler>, limits: ObjectLimits) -> Self {
        Self { catalog: compiler.catalog(), compiler, object_limits: limits, ..self }
    }

    /// Has every write wait until `replica` has applied it.
    pub fn with_replica(self, replica: Arc<Replica>) -> Self {
        Self { replica: Some(replica), ..self }
    }

    pub fn with_public_url(self, public_url: Option<String>) -> Self {
        Self { public_url, ..self }
    }

    pub fn with_key_lives(self, key_lives: KeyLives) -> Self {
        Self { key_lives, ..self }
    }

    /// Who hashes, and how often a login may be tried.
    pub fn with_passwords(self, passwords: Arc<Passwords>, tries: Tries) -> Self {
        Self { passwords, tries, ..self }
    }

    /// Whose chains of the audit log are written, and how many entries each of them keeps.
    pub fn with_audit(self, instance: Uuid, kept: u64) -> Self {
        let [changes, attempts, handed_out] = chains(instance, kept);
        Self { changes, attempts, handed_out, ..self }
    }

    /// How long what is handed out lives, and how much of it a consumer may have.
    pub fn with_lifetimes(self, lifetimes: Lifetimes, most: Most) -> Self {
        Self { lifetimes, most, ..self }
    }

    pub fn with_weak_keys_allowed(self, allow_weak: bool) -> Self {
        Self { allow_weak, ..self }
    }

    /// The one way to the store. The act is in the audit log with the same write, or neither is.
    async fn write<T>(&self, act: Act<'_>, steps: Vec<Step>, value: T) -> Result<Done<T>, Refusal> {
        self.write_to(&self.changes, act, steps, value).await
    }

    /// The same, with the entry in this chain of the log.
    async fn write_to<T>(
        &self,
        chain: &Chain,
        act: Act<'_>,
        mut steps: Vec<Step>,
        value: T,
    ) -> Result<Done<T>, Refusal> {
        let held = condition::hold(&act, &mut steps)?;
        let batch = Batch { operation: act.operation.unwrap_or_else(Uuid::new_v4), steps };
        if let Some((table, name)) = batch.made_twice() {
            return Err(StoreError::Conflict { table, name: name.clone() }.into());
        }
        let appended = chain.write(&*self.store, batch, &Event::of(&act), self.clock.now()).await;
        let appended = appended.map_err(|error| match error {
            StoreError::Conflict { table, name } if held == Some((table, name.clone())) => Refusal::Stale,
            other => other.into(),
        })?;
        let Appended::Now(epoch) = appended else { return Err(self.made_before(act.operation).await?) };
        let applied = match &self.replica {
            None => false,
            Some(replica) => {
                let mut decided = replica.decided();
                let known = decided.wait_for(|at| at.is_some_and(|at| at.reaches(epoch)));
                matches!(timeout(OWN_APPLIER, known).await, Ok(Ok(_)))
            }
        };
        act.by.wrote(Done { value: (), epoch, applied });
        Ok(Done { value, epoch, applied })
    }

    /// What a named write made the first time.
    async fn made_before(&self, operation: Option<Uuid>) -> Result<Refusal, Refusal> {
        let filter = AuditFilter { operation, ..AuditFilter::default() };
        let page = self.audit(&filter, None, 1).await?;
        Ok(Refusal::Replayed { id: page.entries.first().and_then(|entry| entry.object) })
    }

    /// The id that a unique text belongs to.
    async fn owner_of(&self, kind: &str, text: &[u8]) -> Result<Option<Uuid>, Refusal> {
        let record = self.store.read(Table::Unique, &unique(kind, text)).await?;
        let owner = record.map(|record| OwnerRecord::decode(Table::Unique, &record.payload)).transpose()?;
        Ok(owner.map(|owner| owner.id))
    }

    /// The id that a secret belongs to, whichever pepper it was stored with.
    async fn owner_of_secret(&self, kind: &str, text: &[u8]) -> Result<Option<Uuid>, Refusal> {
        for verifier in self.ring.peppers().verifiers(text).collect::<Vec<_>>() {
            if let Some(id) = self.owner_of(kind, verifier.as_bytes()).await? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Whether the replica may be believed. Whoever has none asks the store, which always may.
    fn trust(&self) -> Result<(), Fault> {
        self.replica.as_ref().map_or(Ok(()), |replica| replica.trust(self.clock.boottime()))
    }
}

/// An instance's three: what was changed, what was tried in vain, and what was handed out.
fn chains(instance: Uuid, kept: u64) -> [Chain; 3] {
    let beside = |name: &[u8]| Chain::new(Uuid::new_v5(&instance, name), kept);
    [Chain::new(instance, kept), beside(b"attempts"), beside(b"handed_out")]
}

fn made(id: &Option<Uuid>) -> String {
    id.map_or_else(String::new, |id| format!(": what it made has the id {id}"))
}

/// What a unique text is known by: a digest, so that no user's text becomes a record's name.
fn unique(kind: &str, text: &[u8]) -> Name {
    let mut digest = Sha256::new();
    digest.update(kind.as_bytes());
    digest.update([0]);
    digest.update(text);
    Name(digest.finalize().to_vec())
}

/// Claims a unique text for its owner.
fn claim(kind: &str, text: &[u8], owner: &Uuid) -> Step {
    Step {
        table: Table::Unique,
        name: unique(kind, text),
        expect: Expect::Absent,
        effect: Effect::Put(OwnerRecord { id: *owner }.encode()),
    }
}

/// The id that a name is, in the form that we write: 32 hex digits without hyphens may be a key from
/// elsewhere, which must be found, and must not be repeated as an id may be.
pub fn id_of(named: &str) -> Option<Uuid> {
    (named.len() == 36).then(|| Uuid::try_parse(named).ok()).flatten()
}

fn delete(table: Table, name: Name) -> Step {
    Step { table, name, expect: Expect::Anything, effect: Effect::Delete }
}

/// A name or label that may stand in a list of a header: no comma, no control byte, not empty.
fn check_label(field: &'static str, text: &str) -> Result<(), Refusal> {
    let why = if text.is_empty() {
        "must not be empty"
    } else if text.len() > LONGEST_LABEL {
        "must not be longer than 256 bytes"
    } else if text.contains(',') || text.chars().any(char::is_control) {
        "must not hold commas or control characters"
    } else {
        return Ok(());
    };
    Err(Refusal::Invalid { field, why: why.into() })
}

/// Tags as Kong takes them, each once: no control character, no comma and no slash, by which filters
/// are told apart.
fn check_tags(tags: &[String]) -> Result<Vec<String>, Refusal> {
    let mut checked: Vec<String> = Vec::with_capacity(tags.len());
    for tag in tags {
        check_label("tags", tag)?;
        if tag.contains('/') {
            return Err(Refusal::Invalid { field: "tags", why: "must not hold slashes".into() });
        }
        if !checked.contains(tag) {
            checked.push(tag.clone());
        }
    }
    if checked.len() > MOST_TAGS {
        let why = format!("are {}, expected at most {MOST_TAGS}", checked.len());
        return Err(Refusal::Invalid { field: "tags", why });
    }
    Ok(checked)
}

const MOST_TAGS: usize = 64;

/// Bytes; several of them must fit into one header.
const LONGEST_LABEL: usize = 256;

fn told(wrong: &[Wrong]) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Refusal {
    /// The same without the names of what its hearer may not know of.
    fn told_to(self, caller: &Caller) -> Self {
        match self {
            Self::Faulty(wrong) if decide(caller, Asked::Everything) != Access::Allowed => {
                Self::Faulty(wrong.into_iter().map(Wrong::discreet).collect())
            }
            other => other,
        }
    }
}

/// A replica that may not be believed is as good as a store that is away.
impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Store(StoreError::Unavailable(fault.to_string()))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    pub(super) mod alice;
    pub(super) mod failing;

    use super::*;
    use crate::domain::catalog::Parts;
    use crate::store::memory::Memory;

    /// On a store of its own, with nothing in the file.
    pub(super) fn registrar() -> Registrar {
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        Registrar::new(Arc::new(Memory::new()), Arc::new(alice::ring()), Clock::system(), catalog)
    }
}
