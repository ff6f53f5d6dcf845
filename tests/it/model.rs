//! The decision, held against a second one that shares nothing with it but `interface.md`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward::check::Checker;
use doorward::clock::Clock;
use doorward::domain::catalog::Catalog;
use doorward::domain::time::Timestamp;
use doorward::replica::{Follower, Pace, Replica};
use doorward::store::memory::Memory;
use doorward::telemetry::{Readiness, Telemetry};

use self::evaluator::evaluate;
use self::random::{NOW, Random};
use self::words::{Policy, Request};

mod evaluator;
mod minimal;
mod product;
mod random;
mod words;

const PAIRS: usize = 100_000;
const REQUESTS: usize = 20;

/// One checker for all policies, over an empty store.
struct Bench {
    catalog: Arc<ArcSwap<Catalog>>,
    checker: Checker,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(NOW - 1));
        // A lease that was renewed at 0 was never renewed.
        hand.advance(Duration::from_secs(1));
        let replica = Arc::new(Replica::new(Duration::from_secs(10)));
        let pace = Pace { heartbeat: Duration::from_millis(25), patience: Duration::from_secs(5) };
        let store = Arc::new(Memory::new());
        let follower = Follower::new(Arc::clone(&replica), store, clock.clone(), pace, Box::new(|| 0));
        runtime.spawn(follower.run());
        while replica.trust(clock.boottime()).is_err() {
            std::thread::yield_now();
        }
        let catalog = Arc::new(ArcSwap::from_pointee(product::catalog(&Policy::default()).unwrap()));
        let telemetry = Arc::new(Telemetry::new(clock.clone(), Arc::new(Readiness::new())));
        let checker = Checker::new(Arc::clone(&catalog), product::peppers(), replica, clock, telemetry);
        Self { catalog, checker, _runtime: runtime }
    }

    /// `None`: not a policy, for two deployments clash.
    fn load(&self, policy: &Policy) -> Option<()> {
        self.catalog.store(Arc::new(product::catalog(policy).ok()?));
        Some(())
    }

    fn check(&self, request: &Request) -> (String, bool) {
        self.checker.check(&product::write(request).request(request), product::told)
    }
}

#[test]
fn a_second_evaluator_agrees_on_a_hundred_thousand_policies_and_requests() {
    let bench = Bench::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut pairs = 0;
    let mut bad = BTreeMap::new();
    'all: for seed in 0.. {
        let mut random = Random(seed);
        let policy = random::policy(&mut random);
        if bench.load(&policy).is_none() {
            continue;
        }
        for _ in 0..REQUESTS {
            let mut request = random::request(&mut random, &policy);
            request.now = NOW;
            let (expected, found) = (evaluate(&policy, &request), bench.check(&request));
            if expected != found {
                let (policy, request) = minimal::minimal(policy.clone(), request, |policy, request| {
                    bench.load(policy).is_some()
                        && evaluate(policy, request) == expected
                        && bench.check(request) == found
                });
                bad.entry((expected.0.clone(), found.0.clone())).or_insert_with(Vec::new).push((
                    expected.clone(),
                    found,
                    policy,
                    request,
                ));
                if bad.values().map(Vec::len).sum::<usize>() > 40 {
                    break 'all;
                };
                break;
            }
            *seen.entry(expected.0).or_default() += 1;
            pairs += 1;
        }
        if pairs >= PAIRS {
            break;
        }
    }
    for (pair, all) in &bad {
        println!("{pair:?}: {}\n{:?}", all.len(), all[0]);
    }
    panic!("{seen:#?}");
}
