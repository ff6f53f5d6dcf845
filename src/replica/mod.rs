//! What this instance knows: every record that a check needs, in memory, kept up to date by changes.
//!
//! A check asks here and nowhere else. What is absent here is absent: that is only true under a
//! [`Lease`], so every answer depends on one.

mod apply;
mod compiling;
mod deployed;
mod follow;
mod journal;
mod keeper;
mod lease;
mod load;
mod pack;
mod packer;
mod reconcile;
mod saved;
mod seen;
mod skew;
mod tables;
mod trouble;
mod uses;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use self::compiling::Compiling;
use self::deployed::Deployed;
pub use self::follow::{Follower, Pace, Settings};
pub use self::lease::Lease;
pub use self::saved::SnapshotFile;
pub use self::seen::was_deployed;
pub use self::tables::SigningKeys;
pub use self::tables::Stored;
use self::tables::Tables;
pub use self::uses::{PERIOD, Usage, hear_of_sessions};
use crate::clock::Clock;
use crate::domain::authentication::ConsumerBy;
use crate::domain::catalog::Catalog;
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::deployment::Opens;
use crate::domain::issuer::Signer;
use crate::domain::key::{KeyFacts, KeyId};
use crate::domain::password::{Account, Mark};
use crate::domain::session::Session;
use crate::domain::time::Timestamp;
use crate::domain::token::{AccessKey, Token};
use crate::domain::verdict::Fault;
use crate::domain::verifier::Verifier;
use crate::store::ring::Ring;
use crate::store::{Epoch, Uses};

/// All records that checks need. One for the process, shared.
pub struct Replica {
    /// Swapped whole when a snapshot is read, changed in place when a change is applied.
    tables: ArcSwap<Tables>,
    loaded: AtomicBool,
    lease: Lease,
    /// How far changes have been applied.
    applied: watch::Sender<Option<Epoch>>,
    compiling: Compiling,
    lag: AtomicU64,
    went_back: AtomicU64,
    alarm: ArcSwapOption<String>,
    trouble: ArcSwapOption<String>,
    /// Milliseconds.
    clock_ahead: AtomicI64,
    /// What secrets in it are sealed with.
    ring: Option<Arc<Ring>>,
    deployed: Deployed,
}

/// Changes asked for at once.
const RUN: usize = 1000;

/// What a replica holds, for gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    pub keys: usize,
    pub consumers: usize,
    pub weak_keys: usize,
}

impl Replica {
    pub fn new(bound: Duration) -> Self {
        Self {
            tables: ArcSwap::default(),
            loaded: AtomicBool::new(false),
            lease: Lease::new(bound),
            applied: watch::Sender::new(None),
            compiling: Compiling::default(),
            lag: AtomicU64::new(0),
            went_back: AtomicU64::new(0),
            alarm: ArcSwapOption::empty(),
            trouble: ArcSwapOption::empty(),
            clock_ahead: AtomicI64::new(0),
            ring: None,
            deployed: Deployed::default(),
        }
    }

    /// Without it nothing of consumers that sign their own tokens is known.
    #[must_use]
    pub fn with_ring(self, ring: Arc<Ring>) -> Self {
        Self { ring: Some(ring), ..self }
    }

    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether a snapshot has been read since the process started, and can be decided by.
    pub fn loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// How far changes have been applied; `None` before the first snapshot.
    pub fn applied(&self) -> watch::Receiver<Option<Epoch>> {
        self.applied.subscribe()
    }

    /// Up to where this instance decides: all changes up to there have been applied, and those of objects
    /// are in the catalog. Writers wait for theirs here.
    pub fn decided(&self) -> watch::Receiver<Option<Epoch>> {
        self.compiling.decided()
    }

    /// For whoever makes catalogs of the objects: called before a follower runs. What is received only says
    /// that there is something to do.
    pub fn attach_compiler(&self) -> watch::Receiver<u64> {
        self.compiling.attach()
    }

    /// What there is to make a catalog of, and from where it stands.
    pub fn begin_compilation(&self) -> (Stored, Option<Epoch>) {
        let from = self.compiling.begin();
        let mut stored = self.tables.load().objects();
        stored.of_store = self.deployed.see(&stored);
        (stored, from)
    }

    /// What began at `from` is in force.
    pub fn finish_compilation(&self, from: Option<Epoch>) {
        self.compiling.finish(from);
        self.note_loaded();
    }

    /// Has every consumer looked at, until one is found.
    pub fn find_consumer(&self, mut is: impl FnMut(&Consumer) -> bool) -> Option<Arc<Consumer>> {
        let mut found = None;
        self.tables.load().for_each_consumer(|consumer| {
            if found.is_none() && is(consumer) {
                found = Some(Arc::clone(consumer));
            }
        });
        found
    }

    /// The ids of the keys that open these and not everything.
    pub fn keys_that_open(&self, is: impl Fn(&Opens) -> bool) -> Vec<KeyId> {
        let mut found = Vec::new();
        self.tables.load().for_each_key(|key| {
            if key.opens().is_some_and(|opens| opens.iter().any(&is)) {
                found.push(key.id);
            }
        });
        found
    }

    /// The follower has brought the tables to `at`.
    fn arrive(&self, at: Epoch, objects_changed: bool) {
        self.applied.send_replace(Some(at));
        self.compiling.arrive(at, objects_changed);
        self.note_loaded();
    }

    fn note_loaded(&self) {
        if self.compiling.now().is_some() {
            self.loaded.store(true, Ordering::Release);
        }
    }

    /// How many changes were still to be applied when the last heartbeat was answered.
    pub fn lag(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
    }

    /// How often the store was found to be another one, or back in time, since the process started.
    pub fn went_back(&self) -> u64 {
        self.went_back.load(Ordering::Relaxed)
    }

    /// What was found the last time, for people.
    pub fn alarm(&self) -> Option<Arc<String>> {
        self.alarm.load_full()
    }

    /// Why the store cannot be followed, as long as it cannot.
    pub fn trouble(&self) -> Option<Arc<String>> {
        self.trouble.load_full()
    }

    /// By how many milliseconds this machine's clock was ahead of the store's at the last heartbeat.
    pub fn clock_ahead(&self) -> i64 {
        self.clock_ahead.load(Ordering::Relaxed)
    }

    /// Whether what is known is only what was kept on disk: the store has not been read yet.
    pub fn from_snapshot(&self) -> bool {
        self.loaded() && self.lease.is_of_snapshot()
    }

    /// Everything that is known, in pieces of about a mebibyte, as [`Store::pack`] keeps them.
    ///
    /// [`Store::pack`]: crate::store::Store::pack
    pub fn pack(&self) -> Vec<Bytes> {
        pack::encode(&self.tables.load())
    }

    pub fn holdings(&self) -> Holdings {
        self.tables.load().holdings()
    }

    /// The key with this verifier, as of the lease.
    pub fn key(&self, verifier: &Verifier) -> Option<KeyFacts> {
        self.tables.load().key(verifier)
    }

    /// The same, with its consumer where that is known.
    pub fn key_and_consumer(&self, verifier: &Verifier) -> Option<(KeyFacts, Option<Arc<Consumer>>)> {
        self.tables.load().key_and_consumer(verifier)
    }

    pub fn consumer(&self, id: ConsumerId) -> Option<Arc<Consumer>> {
        self.tables.load().consumer(id)
    }

    /// The consumer that has this text for its id, username or `custom_id`.
    pub fn consumer_by(&self, by: ConsumerBy, text: &str) -> Option<Arc<Consumer>> {
        self.tables.load().consumer_by(by, text)
    }

    /// What our own JWTs are signed and verified with, as of the lease; `None` where there are none yet.
    pub fn signing_keys(&self) -> Option<Arc<SigningKeys>> {
        self.tables.load().signing_keys()
    }

    /// By which credential the consumer signs whose tokens have this `iss`, as of the lease.
    pub fn signer(&self, key: &str) -> Option<Arc<Signer>> {
        self.tables.load().signers().get(key, self.ring.as_deref()?)
    }

    /// The admin key with this verifier, as of the lease.
    pub fn admin_key(&self, verifier: &Verifier) -> Option<Uuid> {
        self.tables.load().admin_key(verifier)
    }

    /// The account of this name, as of the lease.
    pub fn account(&self, username: &str) -> Option<Arc<Account>> {
        self.tables.load().account(username)
    }

    /// The account of this consumer whose password has this mark, as of the lease, by the file or the store. One that
    /// is stored counts no longer once the file has a password of its name: nobody logs in with it either.
    pub fn account_by_mark(
        &self,
        catalog: &Catalog,
        consumer: ConsumerId,
        mark: Mark,
    ) -> Option<Arc<Account>> {
        let declared = catalog.account_by_mark(consumer, mark).map(Arc::clone);
        let counts = |stored: &Account| catalog.account(&stored.username).is_none();
        declared.or_else(|| self.tables.load().account_by_mark(consumer, mark, counts))
    }

    /// Whether the admin key of this id opens, as of the lease.
    pub fn has_admin_key(&self, id: &Uuid) -> bool {
        self.tables.load().has_admin_key(id)
    }

    /// Whether there is any admin key.
    pub fn has_admin_keys(&self) -> bool {
        self.tables.load().has_admin_keys()
    }

    /// The opaque token of this id, as of the lease.
    pub fn token(&self, id: &Uuid) -> Option<Arc<Token>> {
        self.tables.load().issued().token(id)
    }

    /// The access key of this id, as of the lease.
    pub fn access_key(&self, id: &Uuid) -> Option<Arc<AccessKey>> {
        self.tables.load().issued().access_key(id)
    }

    /// The session of this id, as of the lease, and when it was last used.
    pub fn session(&self, id: &Uuid) -> Option<(Arc<Session>, Timestamp)> {
        self.tables.load().issued().session(id)
    }

    /// Notes that a session was used, here or elsewhere.
    pub fn touch(&self, session: &Uuid, at: Timestamp) {
        self.tables.load().issued().touch(session, at);
    }

    /// The tokens that open nothing any more at `now`: they expired, or what bought them is gone.
    pub fn spent_tokens(&self, now: Timestamp) -> Vec<Arc<Token>> {
        self.tables.load().issued().spent_tokens(now)
    }

    /// The access keys that are over at `now`.
    pub fn spent_access_keys(&self, now: Timestamp) -> Vec<Arc<AccessKey>> {
        self.tables.load().issued().spent_access_keys(now)
    }

    /// Some of the sessions that have ended at `now`, used or not.
    pub fn spent_sessions(&self, now: Timestamp, most: usize) -> Vec<Arc<Session>> {
        self.tables.load().issued().spent_sessions(now, most)
    }

    /// Sessions that were not used here lately, by an eighth of what they may go unused: others may have
    /// used them.
    pub fn quiet_sessions(&self, now: Timestamp) -> Vec<Uuid> {
        self.tables.load().issued().quiet_sessions(now)
    }

    /// Notes what the store was told of the use of sessions. None was used after `now`, whatever a clock says.
    pub fn note_sessions_used(&self, uses: &[Uses], now: Timestamp) {
        let tables = self.tables.load();
        uses.iter()
            .for_each(|uses| tables.issued().touch(&uses.id, Timestamp::from_unix(uses.last).min(now)));
    }

    /// How many tokens and sessions of a consumer have not expired at `now`.
    pub fn held_by(&self, consumer: &ConsumerId, now: Timestamp) -> usize {
        self.tables.load().issued().held_by(consumer, now)
    }

    /// Whether what is absent here may be taken to be absent everywhere.
    ///
    /// # Errors
    ///
    /// Nothing was read yet, or the lease is over at `now` (on the clock that counts suspension).
    pub fn trust(&self, now: Duration) -> Result<(), Fault> {
        if !self.loaded() {
            Err(Fault::NotLoaded)
        } else if !self.lease.holds(now) {
            Err(Fault::LeaseExpired)
        } else {
            Ok(())
        }
    }

    /// Where there is no store: it knows nobody, and what it does not know is nowhere. It never ages.
    pub fn of_no_store(clock: &Clock) -> Self {
        Self::settled(Tables::default(), clock)
    }

    /// Neither follows a store nor ages: for a moment in which nobody else can write.
    fn settled(tables: Tables, clock: &Clock) -> Self {
        let replica = Self::new(Duration::MAX);
        replica.tables.store(Arc::new(tables));
        replica.loaded.store(true, Ordering::Release);
        // Nothing but zero means never, and a clock that stands may stand there.
        replica.lease.renew(clock.boottime().max(Duration::from_nanos(1)));
        replica
    }

    fn replace(&self, tables: Tables) {
        // When sessions were used is not among the records.
        let before = self.tables.load();
        before.issued().for_each_session(|session, last| tables.issued().touch(&session.id, last));
        self.tables.store(Arc::new(tables));
    }

    fn note_lag(&self, changes: u64) {
        self.lag.store(changes, Ordering::Relaxed);
    }

    fn note_alarm(&self, why: &str) {
        self.went_back.fetch_add(1, Ordering::Relaxed);
        self.alarm.store(Some(Arc::new(why.to_owned())));
    }
}
