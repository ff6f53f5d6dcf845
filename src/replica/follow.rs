//! Following a store: a snapshot, then every change after it, and a lease for as long as it answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::apply::apply;
use super::journal::{Fork, Journal};
use super::keeper::{Keeper, Known};
use super::load::{Loaded, load};
use super::packer::Packer;
use super::reconcile::Restoration;
use super::saved::SnapshotFile;
use super::seen::{Mark, Seen};
use super::skew::{self, Skew};
use super::trouble::Trouble;
use super::{RUN, Replica};
use crate::clock::Clock;
use crate::store::{Batch, Beat, Change, Changes, Epoch, Head, Store, StoreError, Table};

/// How often the store is asked, and how long it is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// After which an answer no longer counts, but for a snapshot's. Less than the lease's bound.
    pub patience: Duration,
}

/// How a store is followed.
pub struct Settings {
    pub pace: Pace,
    /// The digest of the catalog in force, for the heartbeat.
    pub catalog: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Whether the store may lose what it acknowledged (Redis may; an open file does not): then what
    /// was applied is kept for a while, to be given back.
    pub lossy: bool,
    /// Where it is kept how far the store was seen, for the next start.
    pub seen: Option<PathBuf>,
    /// Whether the store keeps packs.
    pub packs: bool,
    /// What is kept on disk for a start without the store.
    pub snapshot: Option<SnapshotFile>,
}

/// The only one who changes a replica.
pub struct Follower {
    replica: Arc<Replica>,
    store: Arc<dyn Store>,
    clock: Clock,
    settings: Settings,
    instance: Uuid,
    /// Up to where the replica has been brought.
    at: Option<Head>,
    /// What led there; empty where the store is not lossy.
    journal: Journal,
    /// Stores that stood in this one's place before, the last one at the end.
    before: Vec<Followed>,
    seen: Option<Seen>,
    skew: Skew,
    packer: Packer,
    keeper: Option<Keeper>,
    /// Whether the store has answered since the process started.
    heard: bool,
    /// Whether the store's history is not the replica's, and that has been told.
    parted: bool,
    /// A renewal that a catalog is waited for with.
    owed: Option<(Duration, Epoch)>,
}

/// Where a store was left, and what led there.
struct Followed {
    at: Head,
    journal: Journal,
}

/// Stores that are remembered beside the one that is followed: a Redis that keeps nothing comes up as a
/// new one each time.
const STORES: usize = 4;

/// How long a snapshot may take: a million records take seconds, on a slow machine many.
const LOADING: Duration = Duration::from_secs(120);

/// How often a new term is tried in a row, while others go on writing.
const TRIES: usize = 10;

impl Settings {
    /// For a store that keeps what it has.
    pub fn new(pace: Pace, catalog: Box<dyn Fn() -> u64 + Send + Sync>) -> Self {
        Self { pace, catalog, lossy: false, seen: None, packs: false, snapshot: None }
    }
}

impl Follower {
    /// Reads the file of how far the store was seen, where there is one.
    pub fn new(replica: Arc<Replica>, store: Arc<dyn Store>, clock: Clock, settings: Settings) -> Self {
        let seen = settings.seen.clone().map(Seen::read);
        if let Some(seen) = &seen {
            replica.deployed.remember(seen.deployed());
        }
        let keeper = settings.snapshot.clone().map(Keeper::new);
        Self {
            replica,
            store,
            clock,
            settings,
            instance: Uuid::new_v4(),
            at: None,
            journal: Journal::default(),
            before: Vec::new(),
            seen,
            skew: Skew::default(),
            packer: Packer::default(),
            keeper,
            heard: false,
            parted: false,
            owed: None,
        }
    }

    /// What this instance is called in heartbeats.
    pub fn instance(&self) -> Uuid {
        self.instance
    }

    /// Follows for as long as the process lives. A store that does not answer is asked again with
    /// the next heartbeat; meanwhile the lease runs.
    pub async fn run(mut self) {
        let mut pushed = self.store.pushed();
        let mut decided = self.replica.decided();
        let mut beats = interval(self.settings.pace.heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        loop {
            let followed = tokio::select! {
                _ = beats.tick() => self.live().await,
                Ok(()) = pushed.changed() => match self.catch_up().await {
                    // That there is no trouble any more a heartbeat says, which asks for more.
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
                Ok(()) = decided.changed() => {
                    self.settle();
                    continue;
                }
            };
            self.tell(followed, &mut trouble);
        }
    }

    fn tell(&self, followed: Result<(), StoreError>, trouble: &mut Trouble) {
        let Err(error) = followed else {
            if trouble.end() {
                self.replica.trouble.store(None);
                info!("the store answers again");
            }
            return;
        };
        let (why, now) = (error.to_string(), self.clock.boottime());
        if trouble.is_news(&why, now) {
            let meanwhile = match self.replica.trust(now) {
                Ok(()) => "checks go on within the lease",
                Err(_) => "what it holds is not decided",
            };
            warn!(error = why, "the store cannot be followed; {meanwhile}");
        }
        self.replica.trouble.store(Some(Arc::new(why)));
    }

    /// A heartbeat, and what is done beside the following.
    async fn live(&mut self) -> Result<(), StoreError> {
        let (begun, true_at) = (self.clock.boottime(), self.clock.unix_millis());
        if let Err(error) = self.beat().await {
            if !self.heard && self.at.is_none() {
                self.begin_with_snapshot().await;
            }
            return Err(error);
        }
        let Some(at) = self.at else { return Ok(()) };
        let renewed = self.replica.lease.renewed().is_some_and(|renewed| renewed >= begun);
        if let Some(keeper) = self.keeper.as_mut().filter(|_| renewed) {
            keeper.keep(&self.replica.tables, Known { at, true_at }, self.clock.boottime());
        }
        if self.settings.packs && self.packer.is_due().await {
            match self.is_elected().await {
                Ok(true) => self.packer.pack(self.replica.tables.load_full(), at, Arc::clone(&self.store)),
                Ok(false) => self.packer.pass(),
                // With the next heartbeat then.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Of the instances that live, the one whose id is lowest packs for all.
    async fn is_elected(&self) -> Result<bool, StoreError> {
        let instances = self.patiently(self.store.instances()).await?;
        let mut living = instances.iter().filter(|instance| instance.silent < self.settings.pace.patience);
        Ok(living.all(|instance| instance.beat.instance >= self.instance))
    }

    /// Where the store cannot be reached at the start, what was kept on disk may be all there is.
    async fn begin_with_snapshot(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        let Some((tables, at, remaining)) = keeper.take_out(self.clock.unix_millis()).await else { return };
        self.journal.reach(at);
        self.replica.replace(tables);
        self.replica.lease.begin_with_snapshot(self.clock.boottime() + remaining);
        self.arrive(at, true);
    }

    /// Asks where the store stands, goes there, and renews the lease.
    async fn beat(&mut self) -> Result<(), StoreError> {
        let (sent, asked) = (self.clock.boottime(), self.clock.unix_millis());
        let there = self.heartbeat().await?;
        self.heard = true;
        if let Some(theirs) = self.store.time() {
            let ahead = skew::ahead(asked, self.clock.unix_millis(), theirs);
            self.replica.clock_ahead.store(ahead, Ordering::Relaxed);
            self.skew.note(ahead);
        }
        self.replica.lease.heard(sent);
        if let Some(changed) = self.seen.as_mut().and_then(|seen| seen.compare(there.epoch)) {
            self.alarm(&changed);
        }
        if let Some(at) = self.at {
            self.replica.note_lag(there.epoch.number.saturating_sub(at.epoch.number));
        }
        self.catch_up().await?;
        self.adopt_term(there).await?;
        let Some(at) = self.at else { return Ok(()) };
        if at.epoch.reaches(there.epoch) {
            self.renew(sent, there.epoch);
        }
        if let Some(seen) = &mut self.seen {
            let mark = Mark { epoch: at.epoch, deployed: self.replica.deployed.writes() };
            seen.note(mark, self.clock.boottime());
        }
        Ok(())
    }

    /// Renews the lease as far as this instance decides by what the store had when it was asked. A catalog
    /// that is still being made is waited for, and vouched for from when the question was sent.
    fn renew(&mut self, sent: Duration, there: Epoch) {
        self.settle();
        if self.replica.compiling.now().is_some_and(|decided| decided.reaches(there)) {
            self.replica.lease.renew(sent);
            self.owed = None;
        } else {
            self.owed.get_or_insert((sent, there));
        }
    }

    /// Renews what was owed, where the catalog is there now.
    fn settle(&mut self) {
        let decided = self.replica.compiling.now();
        let owed = self.owed.take_if(|(_, there)| decided.is_some_and(|decided| decided.reaches(*there)));
        if let Some((sent, _)) = owed {
            self.replica.lease.renew(sent);
        }
    }

    async fn heartbeat(&self) -> Result<Head, StoreError> {
        let applied = self.replica.compiling.now();
        let beat = Beat { instance: self.instance, applied, catalog: (self.settings.catalog)() };
        self.patiently(self.store.heartbeat(beat)).await
    }

    /// Applies every change after the last one applied.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        loop {
            let Some(at) = self.at else { return self.read_anew().await };
            match self.patiently(self.store.changes(at, RUN)).await {
                Ok(Changes::Next(changes)) if changes.is_empty() => return Ok(()),
                Ok(Changes::Next(changes)) if in_order(at, &changes) => self.go_on(at, changes),
                // A hole in the numbers: something was missed.
                Ok(Changes::Next(_)) => return self.read_anew().await,
                Ok(Changes::Gone) => return self.jump(at).await,
                Ok(Changes::Parted) => return self.part(at, None).await,
                Err(StoreError::DamagedLog(why)) => {
                    self.tell_parted(&format!(
                        "its log was cut or damaged ({why}); every record is read instead"
                    ));
                    return self.read_anew().await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn go_on(&mut self, mut at: Head, changes: Vec<Change>) {
        apply(&self.replica.tables.load(), &changes);
        let objects = changes.iter().flat_map(|change| &change.records).any(|it| it.table == Table::Object);
        if let Some(last) = changes.last() {
            (at.epoch.number, at.mark) = (last.number, last.mark);
        }
        self.packer.applied(changes.len() as u64);
        if self.settings.lossy {
            self.journal.extend(changes);
        }
        self.arrive(at, objects);
    }

    fn arrive(&mut self, at: Head, objects_changed: bool) {
        self.at = Some(at);
        self.replica.arrive(at.epoch, objects_changed);
    }

    /// A new term that began with a change which the log led to is only a number.
    async fn adopt_term(&mut self, there: Head) -> Result<(), StoreError> {
        let Some(at) = self.at.filter(|at| at.epoch.term != there.epoch.term) else { return Ok(()) };
        if at.epoch.store != there.epoch.store || at.epoch.number < there.epoch.number {
            return Ok(());
        }
        let mark = match at.epoch.number == there.epoch.number {
            true => Some(at.mark),
            false => self.journal.mark_at(there.epoch.number),
        };
        let led_to = match mark {
            Some(mark) => mark == there.mark,
            None => matches!(self.patiently(self.store.changes(there, 1)).await?, Changes::Next(_)),
        };
        if led_to {
            let epoch = Epoch { term: there.epoch.term, ..at.epoch };
            self.arrive(Head { epoch, ..at }, false);
        }
        Ok(())
    }

    /// The log no longer has the change after `at`.
    async fn jump(&mut self, at: Head) -> Result<(), StoreError> {
        let there = self.heartbeat().await?;
        if (at.epoch.store, at.epoch.term) == (there.epoch.store, there.epoch.term) {
            return self.read_anew().await;
        }
        self.part(at, Some(Fork::Unknown)).await
    }

    /// The store's history is not the replica's: gives back what can be, under a new term, and reads
    /// the store anew. The old replica serves meanwhile, within a lease that is not renewed.
    async fn part(&mut self, at: Head, fork: Option<Fork>) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let there = self.heartbeat().await?;
            let (at, fork) = if there.epoch.store == at.epoch.store {
                self.tell_parted("it went back in time: changes that it acknowledged are gone");
                (at, fork)
            } else if let Some(lost) = self.lost_meanwhile(there).await? {
                self.tell_parted(
                    "it is one that was followed before, and lost changes since: it was put back",
                );
                lost
            } else {
                self.tell_parted("it is another store than the one that was followed");
                return self.read_anew().await;
            };
            if !self.settings.lossy {
                return self.read_anew().await;
            }
            if there.epoch.term <= at.epoch.term {
                let batch = Batch { operation: Uuid::new_v4(), steps: Vec::new() };
                match self.patiently(self.store.begin_term(there, batch)).await {
                    // Or somebody was first; or one new term is not enough. Look again.
                    Ok(_) | Err(StoreError::Moved | StoreError::Unconfirmed(_)) => continue,
                    Err(error) => return Err(error),
                }
            }
            match within(LOADING, self.give_back(at, fork)).await {
                Err(StoreError::Conflict { .. }) => {}
                // What too few have may be lost once more: then it is in the journal once more.
                Ok(()) | Err(StoreError::Unconfirmed(_)) => return self.read_anew().await,
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Moved)
    }

    /// Where this instance stood in the store that is there, if it followed it before another one, and
    /// that store has since lost changes: it was put back from a backup.
    async fn lost_meanwhile(&self, there: Head) -> Result<Option<(Head, Option<Fork>)>, StoreError> {
        let Some(before) = self.before.iter().find(|it| it.at.epoch.store == there.epoch.store) else {
            return Ok(None);
        };
        let at = before.at;
        match self.patiently(self.store.changes(at, 1)).await {
            Ok(Changes::Next(_)) => Ok(None),
            Ok(Changes::Gone) if at.epoch.term == there.epoch.term => Ok(None),
            Ok(Changes::Gone) | Err(StoreError::DamagedLog(_)) => Ok(Some((at, Some(Fork::Unknown)))),
            Ok(Changes::Parted) => Ok(Some((at, None))),
            Err(error) => Err(error),
        }
    }

    /// What led to where this instance stood last in this store, if anything is known of that.
    fn journal_of(&self, store: Uuid) -> Option<&Journal> {
        match self.at {
            Some(at) if at.epoch.store != store => {
                self.before.iter().find(|it| it.at.epoch.store == store).map(|it| &it.journal)
            }
            Some(_) | None => Some(&self.journal),
        }
    }

    async fn give_back(&self, at: Head, fork: Option<Fork>) -> Result<(), StoreError> {
        let Some(journal) = self.journal_of(at.epoch.store) else { return Ok(()) };
        let fork = match fork {
            Some(fork) => fork,
            None => journal.fork(&*self.store, at.epoch).await?,
        };
        let plan = Restoration::plan(&*self.store, journal, fork).await?;
        error!(
            ?fork,
            given_back = plan.len(),
            lost = plan.lost,
            "what the store lost is appended to it again"
        );
        plan.write(&*self.store).await
    }

    fn tell_parted(&mut self, why: &str) {
        if !std::mem::replace(&mut self.parted, true) {
            self.alarm(why);
        }
    }

    fn alarm(&self, why: &str) {
        error!(why, at = ?self.at, "the store is not as it was");
        self.replica.note_alarm(why);
    }

    /// Reads everything anew, while the old replica serves within its lease.
    async fn read_anew(&mut self) -> Result<(), StoreError> {
        let Loaded { tables, at, plain, replayed, damaged } = within(LOADING, load(&*self.store)).await?;
        if self.settings.lossy {
            let (none, known) = (Journal::default(), self.journal_of(at.epoch.store));
            let journal = within(LOADING, known.unwrap_or(&none).follow(&*self.store, at)).await?;
            self.keep_journal(journal, at);
        }
        self.replica.replace(tables);
        self.arrive(at, true);
        self.parted = false;
        if let Some(first) = damaged.first() {
            let count = damaged.len();
            self.alarm(&format!(
                "{count} of its records are left out ({first}); `doorward store check` names all"
            ));
        }
        self.packer.loaded(plain, replayed);
        let holdings = self.replica.holdings();
        info!(
            epoch = at.epoch.number,
            keys = holdings.keys,
            consumers = holdings.consumers,
            "the store has been read"
        );
        Ok(())
    }

    /// From now on `journal` is of what is followed. That of another store is kept: whoever puts a backup
    /// in the place of a store that came up empty brings the one before back.
    fn keep_journal(&mut self, journal: Journal, at: Head) {
        let left = std::mem::replace(&mut self.journal, journal);
        self.before.retain(|it| it.at.epoch.store != at.epoch.store);
        if let Some(was) = self.at.filter(|was| was.epoch.store != at.epoch.store) {
            self.before.push(Followed { at: was, journal: left });
            let oldest = self.before.len().saturating_sub(STORES);
            self.before.drain(..oldest);
        }
    }

    async fn patiently<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        within(self.settings.pace.patience, answer).await
    }
}

fn in_order(at: Head, changes: &[Change]) -> bool {
    changes.iter().zip(at.epoch.number + 1..).all(|(change, number)| change.number == number)
}

async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = |_| StoreError::Unavailable(format!("no answer within {patience:?}"));
    timeout(patience, answer).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

#[cfg(test)]
pub(super) mod tests;
