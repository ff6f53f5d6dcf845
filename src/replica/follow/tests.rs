#![allow(clippy::unwrap_used, reason = "tests")]

mod going_back;
mod histories;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::watch;

use super::*;
use crate::clock::Hand;
use crate::domain::network::Networks;
use crate::domain::time::Timestamp;
use crate::domain::verifier::Verifier;
use crate::store::memory::Memory;
use crate::store::record::KeyRecord;
use crate::store::{Count, Counted, Effect, Epoch, Expect, Instance, Name, Record, Step, Table, Uses};

const BOUND: Duration = Duration::from_secs(10);
const PACE: Pace = Pace { heartbeat: Duration::from_millis(25), patience: Duration::from_secs(5) };

/// A store that does what stores do at the worst moment.
pub(super) struct Fickle {
    inner: ArcSwap<Memory>,
    /// What is written while a snapshot is read, by snapshot.
    meanwhile: Mutex<Vec<Vec<Batch>>>,
    read_only: AtomicBool,
    /// In milliseconds; 0 for none.
    time: AtomicI64,
    /// What cannot be read.
    damaged: Mutex<Vec<Name>>,
}

impl Fickle {
    pub(super) fn new(inner: Memory) -> Arc<Self> {
        Arc::new(Self {
            inner: ArcSwap::from_pointee(inner),
            meanwhile: Mutex::default(),
            read_only: AtomicBool::new(false),
            time: AtomicI64::new(0),
            damaged: Mutex::default(),
        })
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        match self.read_only.load(Ordering::Relaxed) {
            true => Err(StoreError::Unavailable("it takes no writes".into())),
            false => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl Store for Fickle {
    async fn write(&self, batch: Batch) -> Result<Epoch, StoreError> {
        self.check_writable()?;
        self.inner.load_full().write(batch).await
    }

    async fn read(&self, table: Table, name: &Name) -> Result<Option<Record>, StoreError> {
        if self.damaged.lock().unwrap().contains(name) {
            return Err(StoreError::Damaged { table, why: "as the test has it".into() });
        }
        self.inner.load_full().read(table, name).await
    }

    async fn read_many(&self, table: Table, names: Vec<Name>) -> Result<Vec<Record>, StoreError> {
        self.inner.load_full().read_many(table, names).await
    }

    async fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&Name>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.inner.load_full().scan(table, prefix, after, limit).await
    }

    async fn snapshot(
        &self,
        tables: &[Table],
        each: &mut (dyn FnMut(Result<Record, StoreError>) + Send),
    ) -> Result<Head, StoreError> {
        let inner = self.inner.load_full();
        let head = inner.snapshot(tables, each).await?;
        let meanwhile = self.meanwhile.lock().unwrap().pop();
        for batch in meanwhile.into_iter().flatten() {
            inner.write(batch).await?;
        }
        Ok(head)
    }

    async fn changes(&self, from: Head, limit: usize) -> Result<Changes, StoreError> {
        self.inner.load_full().changes(from, limit).await
    }

    async fn heartbeat(&self, beat: Beat) -> Result<Head, StoreError> {
        self.inner.load_full().heartbeat(beat).await
    }

    fn time(&self) -> Option<i64> {
        Some(self.time.load(Ordering::Relaxed)).filter(|time| *time > 0)
    }

    async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.inner.load_full().instances().await
    }

    async fn begin_term(&self, from: Head, batch: Batch) -> Result<Epoch, StoreError> {
        self.check_writable()?;
        self.inner.load_full().begin_term(from, batch).await
    }

    async fn packed(&self) -> Result<Option<(Head, Vec<Bytes>)>, StoreError> {
        self.inner.load_full().packed().await
    }

    async fn pack(&self, head: Head, pieces: Vec<Bytes>) -> Result<bool, StoreError> {
        self.inner.load_full().pack(head, pieces).await
    }

    async fn note_uses(&self, uses: &[Uses]) -> Result<(), StoreError> {
        self.inner.load_full().note_uses(uses).await
    }

    async fn uses(&self, of: Table, ids: &[Uuid]) -> Result<Vec<Uses>, StoreError> {
        self.inner.load_full().uses(of, ids).await
    }

    async fn count(&self, counts: &[Count], now: Timestamp) -> Result<Vec<Counted>, StoreError> {
        self.inner.load_full().count(counts, now).await
    }

    fn pushed(&self) -> watch::Receiver<u64> {
        self.inner.load_full().pushed()
    }
}

/// A store, a clock, and who follows the one by the other.
pub(super) struct Bench {
    pub(super) store: Arc<Fickle>,
    pub(super) clock: Clock,
    pub(super) hand: Hand,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::over(Memory::new())
    }

    pub(super) fn over(memory: Memory) -> Self {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_000_000));
        // What is renewed at 0 was never renewed.
        hand.advance(Duration::from_secs(1));
        Self { store: Fickle::new(memory), clock, hand }
    }

    pub(super) fn follower(&self) -> Follower {
        self.follower_with(|_| {})
    }

    pub(super) fn follower_with(&self, change: impl FnOnce(&mut Settings)) -> Follower {
        let mut settings = Settings { lossy: true, ..Settings::new(PACE, Box::new(|| 0)) };
        change(&mut settings);
        let replica = Arc::new(Replica::new(BOUND));
        Follower::new(replica, self.store.clone(), self.clock.clone(), settings)
    }

    pub(super) async fn write(&self, steps: impl Into<Vec<Step>>) -> Epoch {
        let batch = Batch { operation: Uuid::new_v4(), steps: steps.into() };
        self.store.inner.load_full().write(batch).await.unwrap()
    }

    pub(super) fn wind_back(&self, number: u64) {
        self.store.inner.load().wind_back(number);
    }

    /// As another instance would that came first.
    pub(super) async fn begin_term(&self) {
        let nothing = Batch { operation: Uuid::new_v4(), steps: vec![] };
        self.store.begin_term(self.head().await, nothing).await.unwrap();
    }

    /// What the store has of the key: whether it is enabled.
    pub(super) async fn stored(&self, number: u8) -> Option<bool> {
        let record = self.store.read(Table::Key, &Name::of(&id(number))).await.unwrap();
        record.map(|record| KeyRecord::decode(&record.payload).unwrap().enabled)
    }

    pub(super) async fn head(&self) -> Head {
        let beat = Beat { instance: Uuid::nil(), applied: None, catalog: 0 };
        self.store.inner.load_full().heartbeat(beat).await.unwrap()
    }
}

pub(in crate::replica) fn id(number: u8) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

pub(super) fn verifier(number: u8) -> Verifier {
    Verifier::from_bytes([number; 32])
}

/// Of the key with this number; `tag` tells its versions apart.
pub(in crate::replica) fn key(number: u8, enabled: bool, tag: &str) -> KeyRecord {
    KeyRecord {
        id: id(number),
        consumer: id(200),
        verifier: verifier(number),
        ring_key: 1,
        handle: None,
        tags: vec![tag.into()],
        not_before: None,
        expires_at: None,
        enabled,
        opens: None,
        permissions: None,
        created_at: Timestamp::from_unix(0),
        weak: false,
        networks: Networks::default(),
    }
}

pub(super) fn put(record: &KeyRecord) -> Step {
    step(Table::Key, Name::of(&record.id), Effect::Put(record.encode()))
}

pub(super) fn delete(number: u8) -> Step {
    step(Table::Key, Name::of(&id(number)), Effect::Delete)
}

pub(super) fn step(table: Table, name: Name, effect: Effect) -> Step {
    Step { table, name, expect: Expect::Anything, effect }
}

/// What a follower knows of a key: whether it is enabled.
pub(super) fn known(follower: &Follower, number: u8) -> Option<bool> {
    follower.replica.key(&verifier(number)).map(|facts| facts.enabled)
}

fn trusted(follower: &Follower) -> bool {
    follower.replica.trust(follower.clock.boottime()).is_ok()
}

#[tokio::test]
async fn changes_made_while_a_snapshot_is_read_are_in_the_replica_that_is_swapped_in() {
    let bench = Bench::new();
    bench.write([put(&key(1, true, ""))]).await;
    let revocation = Batch { operation: Uuid::new_v4(), steps: vec![delete(1)] };
    bench.store.meanwhile.lock().unwrap().push(vec![revocation]);
    let mut follower = bench.follower();
    follower.read_anew().await.unwrap();
    assert_eq!(known(&follower, 1), None);
    assert_eq!(follower.at, Some(bench.head().await));
}

#[tokio::test]
async fn a_log_that_forgot_what_came_after_a_snapshot_has_it_read_again() {
    let bench = Bench::over(Memory::keeping(2));
    let many = (1..=5).map(|number| vec![put(&key(number, true, ""))]);
    let many = many.map(|steps| Batch { operation: Uuid::new_v4(), steps }).collect();
    bench.store.meanwhile.lock().unwrap().push(many);
    let mut follower = bench.follower();
    follower.read_anew().await.unwrap();
    assert!((1..=5).all(|number| known(&follower, number) == Some(true)));
    let read_once = Replica::load(&*bench.store, &bench.clock).await.unwrap();
    assert_eq!(read_once.holdings(), follower.replica.holdings());
}

#[tokio::test]
async fn a_follower_that_lags_by_more_than_the_log_reads_a_snapshot_and_raises_no_alarm() {
    let bench = Bench::over(Memory::keeping(2));
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    for number in 1..=5 {
        bench.write([put(&key(number, true, ""))]).await;
    }
    follower.beat().await.unwrap();
    assert_eq!((known(&follower, 1), follower.replica.went_back()), (Some(true), 0));
    assert_eq!(follower.replica.lag(), 5);
}

#[tokio::test]
async fn a_catalog_that_is_finished_renews_the_lease_before_the_next_heartbeat() {
    let bench = Bench::new();
    let follower = bench.follower_with(|settings| settings.pace.heartbeat = Duration::from_secs(3600));
    let replica = Arc::clone(&follower.replica);
    let mut wanted = replica.attach_compiler();
    let following = tokio::spawn(follower.run());
    wanted.changed().await.unwrap();
    assert_eq!(replica.lease().renewed(), None);
    replica.finish_compilation(replica.begin_compilation().1);
    let renewed = async {
        while replica.lease().renewed().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), renewed).await.unwrap();
    following.abort();
}

#[tokio::test]
async fn a_new_term_that_the_log_leads_to_is_taken_over_and_renews_the_lease() {
    let bench = Bench::new();
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    for _ in 0..2 {
        let batch = Batch { operation: Uuid::new_v4(), steps: vec![put(&key(1, true, ""))] };
        let epoch = bench.store.begin_term(bench.head().await, batch).await.unwrap();
        bench.hand.advance(BOUND * 2);
        follower.beat().await.unwrap();
        assert!(trusted(&follower));
        assert!(follower.replica.applied().borrow().is_some_and(|at| at.reaches(epoch)));
    }
    assert_eq!(follower.replica.went_back(), 0);
}

/// Runs `changes` again and again while `look` is asked of the replica at every moment.
async fn at_every_moment(
    run: impl Fn(u64) -> [Vec<Step>; 2],
    look: impl Fn(&Replica) -> bool + Send + 'static,
) {
    let bench = Bench::new();
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    let replica = Arc::clone(&follower.replica);
    let done = Arc::new(AtomicBool::new(false));
    let looker = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            while !done.load(Ordering::Relaxed) {
                assert!(look(&replica));
            }
        }
    });
    for turn in 0..2_000 {
        for steps in run(turn) {
            bench.write(steps).await;
        }
        follower.beat().await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    looker.join().unwrap();
}

#[tokio::test]
async fn a_key_made_and_revoked_in_one_run_is_at_no_moment_usable() {
    let run = |_| [vec![put(&key(1, true, ""))], vec![delete(1)]];
    at_every_moment(run, |replica| replica.key(&verifier(1)).is_none()).await;
}

#[tokio::test]
async fn a_heartbeat_says_how_far_changes_are_applied() {
    let bench = Bench::new();
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    let epoch = bench.write([put(&key(1, true, ""))]).await;
    follower.beat().await.unwrap();
    follower.beat().await.unwrap();
    let instances = bench.store.instances().await.unwrap();
    let own = instances.iter().find(|instance| instance.beat.instance == follower.instance());
    assert_eq!(own.unwrap().beat.applied, Some(epoch));
}

#[tokio::test]
async fn how_far_the_clock_is_from_the_stores_is_known_with_each_heartbeat() {
    let bench = Bench::new();
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    assert_eq!(follower.replica.clock_ahead(), 0, "a store without a clock");
    for ahead in [0, 6_000, -7_000] {
        bench.store.time.store(bench.clock.unix_millis() - ahead, Ordering::Relaxed);
        follower.beat().await.unwrap();
        assert_eq!(follower.replica.clock_ahead(), ahead);
    }
}
