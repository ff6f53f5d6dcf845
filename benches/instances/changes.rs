//! Changes that are followed: what they do to checks, and how far behind an instance is.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use doorward::store::redb::RedbStore;
use doorward::store::{Batch, Effect, Epoch, Expect, Name, Step, Store, StoreError, Table};
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::ALLOW;
use super::shared::{Shared, fill, records, setup};
use crate::call::Pick;
use crate::child::{Core, pin};
use crate::house::{self, Services, Size};
use crate::load::{Target, paced};
use crate::rig::Outcome;
use crate::rig::doorward::Doorward;
use crate::rig::http1::{request, send_to_socket};
use crate::rig::wait::until;
use crate::rounds::{Aim, median, share, table};

/// Checks a second, and for how long, with changes and without.
const RATE: u32 = 1000;
const TIME: Duration = Duration::from_secs(4);
/// How many keys are changed again and again.
const CHANGED: u64 = 1000;
/// Changes a second.
const ON_REDIS: u32 = 10_000;
const ON_REDB: u32 = 2_000;
/// Of redb's store, which is the instance's own.
const REDB_KEYS: u64 = 10_000;
/// Who changes something over the admin API, each one change at a time.
const CALLERS: u32 = 96;
/// Between two looks at how far the instance is.
const LOOK: Duration = Duration::from_millis(100);

/// Makes changes, so many a second, until it is told to end, and counts those acknowledged.
type Make<'m> = &'m (dyn Fn(&AtomicBool, &AtomicU64) -> Outcome<()> + Sync);

struct Round {
    quiet: f64,
    busy: f64,
    /// Changes a second.
    made: f64,
    /// Changes that were acknowledged, and not yet applied.
    behind: f64,
}

pub(super) fn run(shared: &Shared, rounds: usize) -> Outcome<(String, Vec<Aim>)> {
    pin(Core::Any);
    let redis = {
        let doorward = shared.instance("follows")?;
        let store = Arc::new(shared.store());
        let steps = steps(shared);
        let make = |over: &AtomicBool, made: &AtomicU64| {
            shared.runtime.block_on(written(&store, &steps, ON_REDIS, (over, made)))
        };
        measured(&doorward, shared.size, rounds, &make)?
    };
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    let (doorward, size) = embedded(shared, folder.path())?;
    let socket = doorward.setup().folder.join("doorward.sock");
    let redb = measured(&doorward, size, rounds, &|over, made| called(&socket, size, (over, made)))?;
    Ok(told(&[("Redis", ON_REDIS, redis), ("redb", ON_REDB, redb)]))
}

fn told(stores: &[(&str, u32, Vec<Round>)]) -> (String, Vec<Aim>) {
    let mut aims = Vec::new();
    let rows: Vec<Vec<String>> = stores
        .iter()
        .map(|(store, asked, rounds)| {
            let of = |part: fn(&Round) -> f64| median(rounds.iter().map(part));
            let ratio = of(|round| round.busy / round.quiet);
            aims.push(Aim {
                what: format!(
                    "checks' p99 while {asked} changes a second are followed on {store}, against quiet"
                ),
                most: 3.0,
                found: ratio,
            });
            let made = of(|round| round.made);
            aims.push(Aim {
                what: format!("changes a second on {store}, asked against made"),
                most: 1.05,
                found: f64::from(*asked) / made,
            });
            let figures = [f64::from(*asked), made, of(|round| round.behind)].map(|it| format!("{it:.0}"));
            let waits = [of(|round| round.quiet), of(|round| round.busy)].map(|it| format!("{it:.0}"));
            let row = std::iter::once((*store).to_owned()).chain(figures).chain(waits);
            row.chain([format!("{ratio:.2}")]).collect()
        })
        .collect();
    let headings = [
        "store",
        "changes asked for a second",
        "made",
        "most behind",
        "p99 µs quiet",
        "p99 µs meanwhile",
        "ratio",
    ];
    let text = format!(
        "{RATE} checks a second; on Redis somebody else writes, one record a change; on redb the instance's own \
         admin API does, called by {CALLERS} at once, with its audit log. Both are durable before they are \
         acknowledged.\n\n{}",
        table(&headings, &rows)
    );
    (text, aims)
}

fn measured(doorward: &Doorward, size: Size, rounds: usize, make: Make<'_>) -> Outcome<Vec<Round>> {
    let pick = Pick { keys: size.keys, services: size.services };
    let target = Target { address: doorward.grpc(), pick, expected: ALLOW };
    let p99 = || Ok::<_, String>(share(&paced(target, (RATE, TIME))?, 0.99).as_secs_f64() * 1e6);
    let once = |_| {
        let quiet = p99()?;
        let (over, made) = (AtomicBool::new(false), AtomicU64::new(0));
        let from = epoch(doorward)?;
        let began = Instant::now();
        let (busy, behind, seconds) = thread::scope(|scope| {
            let making = scope.spawn(|| make(&over, &made));
            let watching = scope.spawn(|| watched(doorward, from, (&over, &made)));
            let busy = p99();
            over.store(true, Ordering::Relaxed);
            let ended = making.join().map_err(|_| "a thread died".to_owned())?;
            let seconds = began.elapsed().as_secs_f64();
            let behind = watching.join().map_err(|_| "a thread died".to_owned())??;
            ended.and(busy).map(|busy| (busy, behind, seconds))
        })?;
        let made = made.load(Ordering::Relaxed);
        until("all changes are applied", Duration::from_secs(10), || {
            (epoch(doorward).ok()? >= from + made).then_some(())
        })?;
        Ok(Round { quiet, busy, made: made as f64 / seconds, behind: behind as f64 })
    };
    (0..rounds).map(once).collect()
}

/// How far the instance was behind at most.
fn watched(doorward: &Doorward, from: u64, (over, made): (&AtomicBool, &AtomicU64)) -> Outcome<u64> {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        // Read first: what is made meanwhile is not held against it.
        let made = made.load(Ordering::Relaxed);
        most = most.max((from + made).saturating_sub(epoch(doorward)?));
        thread::sleep(LOOK);
    }
    Ok(most)
}

/// The last change that it has applied.
fn epoch(doorward: &Doorward) -> Outcome<u64> {
    let metrics = doorward.status("/metrics")?.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("doorward_epoch "));
    line.and_then(|number| number.parse().ok()).ok_or_else(|| "no `doorward_epoch`".to_owned())
}

/// Keys that can be written as they are, again and again.
pub(super) fn steps(shared: &Shared) -> Vec<Step> {
    (0..CHANGED).map(|number| step(shared, number)).collect()
}

fn step(shared: &Shared, number: u64) -> Step {
    let key = shared.key(number);
    Step {
        table: Table::Key,
        name: Name::of(&key.id),
        expect: Expect::Anything,
        effect: Effect::Put(key.encode()),
    }
}

/// An open loop: `rate` changes a second, as long as no more than so many are on their way.
pub(super) async fn written(
    store: &Arc<impl Store>,
    steps: &[Step],
    rate: u32,
    (over, made): (&AtomicBool, &AtomicU64),
) -> Outcome<()> {
    const UNDER_WAY: usize = 1000;
    let mut writes: JoinSet<Result<Epoch, StoreError>> = JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    let (began, mut sent) = (Instant::now(), 0_u64);
    while !over.load(Ordering::Relaxed) || !writes.is_empty() {
        ticks.tick().await;
        while let Some(write) = writes.try_join_next() {
            write.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            made.fetch_add(1, Ordering::Relaxed);
        }
        let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while sent < due && writes.len() < UNDER_WAY && !over.load(Ordering::Relaxed) {
            let step = steps[sent as usize % steps.len()].clone();
            let (store, batch) = (Arc::clone(store), Batch { operation: Uuid::new_v4(), steps: vec![step] });
            writes.spawn(async move { store.write(batch).await });
            sent += 1;
        }
    }
    Ok(())
}

/// A Doorward with the embedded store, and the house's records in it.
fn embedded(shared: &Shared, folder: &Path) -> Outcome<(Doorward, Size)> {
    let size = Size { keys: REDB_KEYS, services: Services::Whole };
    let setup = setup(folder, "redb:doorward.redb")?;
    let store = RedbStore::open(&folder.join("doorward.redb"), &folder.join("doorward.secret"));
    let store = Arc::new(store.map_err(|error| error.to_string())?);
    let records = records(size, store.ring().primary_pepper());
    shared.runtime.block_on(fill(store, records)).map_err(|error| error.to_string())?;
    Ok((setup.start()?, size))
}

/// As [`written`], over the admin API.
fn called(socket: &Path, size: Size, (over, made): (&AtomicBool, &AtomicU64)) -> Outcome<()> {
    let gap = CALLERS * Duration::from_secs(1) / ON_REDB;
    let start = Instant::now();
    let caller = |number: u32| {
        for turn in 0.. {
            let due = start + number * gap / CALLERS + turn * gap;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if over.load(Ordering::Relaxed) {
                break;
            }
            // Nobody else changes it meanwhile.
            let key = house::key(u64::from(number) + u64::from(CALLERS) * u64::from(turn % 40), size).id;
            let body = format!("{{\"tags\": [\"turn {turn}\"]}}");
            let headers = [("Content-Type", "application/json"), ("Connection", "close")];
            let asked = request("PATCH", &format!("/key-auths/{key}"), &headers, body.as_bytes());
            let reply = send_to_socket(socket, &asked)?;
            if reply.status != 200 {
                return Err(format!(
                    "expected a key to be changed, found {}: {}",
                    reply.status,
                    reply.text()
                ));
            }
            made.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|number| scope.spawn(move || caller(number))).collect();
        callers.into_iter().try_for_each(|caller| caller.join().map_err(|_| "a thread died".to_owned())?)
    })
}
