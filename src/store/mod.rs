//! Where records live: durable truth, and an ordered log of changes.
//!
//! Every store keeps the same promises; `contract` asks them of each. Values are opaque here:
//! [`codec`] turns records into bytes that carry a version and a MAC, and back.

mod changes;
pub mod codec;
pub(crate) mod durable;
mod fingerprints;
mod log;
pub mod memory;
mod needed;
mod proto;
pub mod record;
pub mod redb;
pub mod redis;
pub mod ring;
mod roster;
pub mod seal;

#[cfg(test)]
mod contract;

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

pub use self::needed::{Needed, NeededKeys};
use crate::domain::time::Timestamp;

/// A place in the history of one store.
///
/// `number` counts changes; `term` rises where history was rewritten (a restored backup), so that
/// two stores that share a past are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub store: Uuid,
    pub term: u32,
    pub number: u64,
}

/// What tells apart two histories that have the same numbers: it depends on every change up to one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub [u8; 16]);

/// Where a history stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub epoch: Epoch,
    /// Of the change that the epoch has the number of.
    pub mark: Mark,
}

/// The kinds of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Consumers, by id.
    Consumer,
    /// Keys, by id.
    Key,
    /// What must be unique, by a digest of its kind and text; the value is the owner's id.
    Unique,
    /// Whose is what: the owner's id, then the owned one's.
    Owned,
    /// What our own JWTs are signed with: one record for all of them.
    SigningKeys,
    /// Admin keys, by id.
    AdminKey,
    /// Who changed what: the id of a chain is its head, with a number behind it an entry.
    Audit,
    /// Names with passwords, by id.
    Basic,
    /// What consumers' own JWTs are verified with, by id.
    Jwt,
    /// Objects of policy, by id; nil: their guard.
    Object,
    /// Access keys, by id.
    AccessKey,
    /// Opaque tokens, by id.
    Token,
    /// Sessions, by id.
    Session,
    /// Grants, by half of their verifiers.
    Grant,
}

/// What a record is known by inside its table: ids and digests, never a user's text.
/// 16 to 32 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub Vec<u8>);

/// A record as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub table: Table,
    pub name: Name,
    /// The number of the change that wrote it.
    pub revision: u64,
    /// The encoded message, without its envelope.
    pub payload: Vec<u8>,
}

/// One atomic write: all of its steps or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Names the write, so that one that timed out is looked up instead of guessed about.
    /// A batch whose operation is in the log already answers with that epoch and writes nothing.
    pub operation: Uuid,
    pub steps: Vec<Step>,
}

impl Batch {
    /// A record that two of the steps would make. Neither finds it there, and the later one would stand, with
    /// what else the other made beside it.
    pub fn made_twice(&self) -> Option<(Table, &Name)> {
        let mut made = HashSet::new();
        let makes = |step: &&Step| matches!((step.expect, &step.effect), (Expect::Absent, Effect::Put(_)));
        let named = self.steps.iter().filter(makes).map(|step| (step.table, &step.name));
        named.into_iter().find(|named| !made.insert(*named))
    }
}

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub table: Table,
    pub name: Name,
    pub expect: Expect,
    pub effect: Effect,
}

/// What must hold of a record for the batch to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Absent,
    /// There, whatever it holds.
    Present,
    /// There, and written by the change of this number.
    Revision(u64),
    Anything,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Put(Vec<u8>),
    Delete,
    /// Only the expectation counts.
    Keep,
}

/// A batch as the log has it, in order and without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub number: u64,
    /// Of the history up to and with this change.
    pub mark: Mark,
    pub operation: Uuid,
    pub records: Vec<Changed>,
}

/// A record as a change left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub table: Table,
    pub name: Name,
    /// `None` where it was deleted.
    pub payload: Option<Vec<u8>>,
}

/// What the log has after a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// The next ones, oldest first; empty where there are none.
    Next(Vec<Change>),
    /// The log no longer reaches back that far: read a snapshot.
    Gone,
    /// The store's history is not the one that was asked about: it lost changes, or is another store.
    Parted,
}

/// What an instance tells the store of itself with each heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    pub instance: Uuid,
    /// Up to where the instance has applied changes; `None` before its first snapshot.
    pub applied: Option<Epoch>,
    /// A digest of the catalog it decides with.
    pub catalog: u64,
}

/// An instance as the store knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What it said last.
    pub beat: Beat,
    /// How long ago, by the store's clock.
    pub silent: Duration,
}

/// How often a key or a session was used since it was last told, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses {
    pub id: Uuid,
    pub count: u64,
    /// Seconds since the Unix epoch.
    pub last: i64,
}

/// What is added to a counter that ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// A digest: no user's text.
    pub name: [u8; 16],
    /// Below 0: takes away, but never more than there is.
    pub add: i64,
    /// How long it counts from when it is more than 0, in whole seconds.
    pub lives: Duration,
    /// What would come to more is not added, nor is anything that was to be counted with it.
    pub most: u64,
}

/// What a counter came to, or would have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub total: u64,
    /// Until it begins anew.
    pub left: Duration,
}

/// Total and end of a counter to which something is added. Times in seconds.
fn counted(known: Option<(u64, i64)>, Count { add, lives, .. }: &Count, now: i64) -> (u64, i64) {
    let last = now.saturating_add(i64::try_from(lives.as_secs().max(1)).unwrap_or(i64::MAX));
    let (total, ends) = known.filter(|(_, ends)| now < *ends).unwrap_or((0, last));
    // One that ends later than a new one was counted by a clock that is ahead: it counts, and no longer than
    // any other, or whoever finds an instance that is behind could begin anew.
    (total.saturating_add_signed(*add), ends.min(last))
}

/// Durable records.
#[tonic::async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes a batch. When this returns `Ok`, the change is durable and in the log.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] names the first step whose expectation did not hold; nothing was
    /// written then. Any other error leaves open whether the batch was written: ask again with
    /// the same operation.
    async fn write(&self, batch: Batch) -> Result<Epoch, StoreError>;

    /// How many steps a batch had best have at most: while it is written, nothing else is.
    fn most_steps(&self) -> usize {
        3_000
    }

    /// The record, `None` where there is none.
    async fn read(&self, table: Table, name: &Name) -> Result<Option<Record>, StoreError>;

    /// The records of these names, in their order; what is not there is left out.
    async fn read_many(&self, table: Table, names: Vec<Name>) -> Result<Vec<Record>, StoreError>;

    /// Up to `limit` records whose names begin with `prefix` and come after `after`, in order.
    async fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Shows `each` every record of the tables, none older than the head that is returned; some may
    /// be newer. With the changes after that head applied to them, they are as they all stood at
    /// one moment. One that cannot be trusted is shown as [`StoreError::Damaged`], if the store can tell
    /// that it is the only one.
    async fn snapshot(
        &self,
        tables: &[Table],
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<Head, StoreError>;

    /// The changes after `from`, at most `limit`.
    async fn changes(&self, from: Head, limit: usize) -> Result<Changes, StoreError>;

    /// Writes that an instance lives and says where the store stands.
    async fn heartbeat(&self, beat: Beat) -> Result<Head, StoreError>;

    /// What time it was by the store's own clock when it answered the last heartbeat, in milliseconds since the
    /// Unix epoch; `None` where it has none.
    fn time(&self) -> Option<i64> {
        None
    }

    /// Every instance that has sent a heartbeat in the last hour, this one too.
    async fn instances(&self) -> Result<Vec<Instance>, StoreError>;

    /// Begins a new term with this batch as its first change, if the store still stands at `from`:
    /// for a history that lost changes, so that nobody takes the numbers that come now for lost ones.
    ///
    /// # Errors
    ///
    /// [`StoreError::Moved`] where it stands elsewhere: somebody was first, look again.
    async fn begin_term(&self, from: Head, batch: Batch) -> Result<Epoch, StoreError>;

    /// What an instance packed last of all that checks need, in pieces, and the head from which the
    /// changes have to be applied to it. `None` where nobody packed, or where that gains nothing.
    async fn packed(&self) -> Result<Option<(Head, Vec<Bytes>)>, StoreError> {
        Ok(None)
    }

    /// Keeps a pack in the place of the one before, and the log from `head` on. `false` where the
    /// store does not keep packs, or has one that is newer.
    async fn pack(&self, head: Head, pieces: Vec<Bytes>) -> Result<bool, StoreError> {
        let _ = (head, pieces);
        Ok(false)
    }

    /// Adds to what is known of the use of keys and sessions: counts are summed up, the latest `last` stands.
    /// Beside the records: in no change and in no backup, for all that is decided by it is whether a session
    /// was not used for long; it ends in any case at its own time.
    /// What is not there is left out.
    async fn note_uses(&self, uses: &[Uses]) -> Result<(), StoreError>;

    /// What is known of the use of these, all of one of the tables whose use is counted; those that were never
    /// used are left out. Of a session nobody else's word is taken.
    async fn uses(&self, of: Table, ids: &[Uuid]) -> Result<Vec<Uses>, StoreError>;

    /// Adds to counters that all instances share, in one step, and says what they come to at `now`: to all
    /// of them, or to none where one of them would come to more than it may.
    /// Beside the records, like the uses of keys; a crash may lose the last of it.
    async fn count(&self, counts: &[Count], now: Timestamp) -> Result<Vec<Counted>, StoreError>;

    /// The number of the newest change this store has heard of; only makes following sooner.
    fn pushed(&self) -> watch::Receiver<u64>;
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A precondition did not hold. The caller's to mend.
    #[error("a {table:?} record is not as expected")]
    Conflict { table: Table, name: Name },
    /// A record's bytes are not what we wrote: damage, a foreign writer, or another ring.
    #[error("a {table:?} record cannot be trusted: {why}")]
    Damaged { table: Table, why: String },
    /// An entry of the log is not what we wrote, or is not there: only a snapshot leads past it.
    #[error("the store's log cannot be trusted: {0}")]
    DamagedLog(String),
    /// [`Store::begin_term`] came too late.
    #[error("the store has moved on")]
    Moved,
    /// Written, but too few of the store's own replicas say that they have it.
    #[error("written as change {}, but not confirmed by enough replicas of the store", .0.number)]
    Unconfirmed(Epoch),
    /// What is there belongs to another secret, or to a newer Doorward. Nothing was changed.
    #[error("{0}")]
    Foreign(String),
    /// The store does not answer, or its disk refuses.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

impl Epoch {
    /// Whether whoever has applied everything up to here knows of the change at `other`: only within
    /// one history do numbers compare.
    pub fn reaches(self, other: Self) -> bool {
        (self.store, self.term) == (other.store, other.term) && self.number >= other.number
    }
}

impl Table {
    /// Every kind of record.
    pub const ALL: [Self; 14] = [
        Self::Consumer,
        Self::Key,
        Self::Unique,
        Self::Owned,
        Self::SigningKeys,
        Self::AdminKey,
        Self::Audit,
        Self::Basic,
        Self::Jwt,
        Self::Object,
        Self::AccessKey,
        Self::Token,
        Self::Session,
        Self::Grant,
    ];

    pub const COUNT: usize = Self::ALL.len();

    /// The use of whose records is counted.
    const USED: [Self; 2] = [Self::Key, Self::Session];

    fn is_used(self) -> bool {
        Self::USED.contains(&self)
    }

    /// What is looked up in memory: a replica holds all of these.
    pub const REPLICATED: [Self; 10] = [
        Self::Consumer,
        Self::Key,
        Self::SigningKeys,
        Self::AdminKey,
        Self::Basic,
        Self::Jwt,
        Self::Object,
        Self::AccessKey,
        Self::Token,
        Self::Session,
    ];

    /// As stores call it. Stored: never rename.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Key => "key",
            Self::Unique => "unique",
            Self::Owned => "owned",
            Self::SigningKeys => "signing_keys",
            Self::AdminKey => "admin_key",
            Self::Audit => "audit",
            Self::Basic => "basic",
            Self::Jwt => "jwt",
            Self::Object => "object",
            Self::AccessKey => "access_key",
            Self::Token => "token",
            Self::Session => "session",
            Self::Grant => "grant",
        }
    }

    /// Where it stands in [`Table::ALL`].
    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|table| *table == self).expect("every table is listed")
    }
}

impl Mark {
    /// Of a history without changes.
    pub const NONE: Self = Self([0; 16]);
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_hex(&self.0, f)
    }
}

impl Head {
    /// Where no change was made yet.
    pub fn start(store: Uuid, term: u32) -> Self {
        Self { epoch: Epoch { store, term, number: 0 }, mark: Mark::NONE }
    }
}

impl Name {
    pub fn of(id: &Uuid) -> Self {
        Self(id.as_bytes().to_vec())
    }

    /// Two ids, one after the other.
    pub fn pair(owner: &Uuid, owned: &Uuid) -> Self {
        let mut bytes = owner.as_bytes().to_vec();
        bytes.extend_from_slice(owned.as_bytes());
        Self(bytes)
    }

    /// The id, where the name is one.
    pub fn id(&self) -> Option<Uuid> {
        Uuid::from_slice(&self.0).ok()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_hex(&self.0, f)
    }
}

fn in_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn numbers_compare_within_one_history_alone() {
        let epoch = |store: u128, term, number| Epoch { store: Uuid::from_u128(store), term, number };
        let check = |other, expected| assert_eq!(epoch(1, 2, 7).reaches(other), expected, "{other:?}");
        //    other           reached
        check(epoch(1, 2, 7), true);
        check(epoch(1, 2, 6), true);
        check(epoch(1, 2, 8), false);
        check(epoch(1, 3, 1), false);
        check(epoch(1, 1, 7), false);
        check(epoch(2, 2, 1), false);
    }
}
