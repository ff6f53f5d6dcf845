//! Checkers to hold the evaluator against: one for everything, or a new one for every request.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward::check::{Checker, Decision};
use doorward::clock::Clock;
use doorward::domain::catalog::Catalog;
use doorward::domain::time::Timestamp;
use doorward::replica::{Follower, Pace, Replica, Settings};
use doorward::store::memory::Memory;
use doorward::store::record::{ConsumerRecord, KeyRecord, Membership};
use doorward::store::{Batch, Effect, Expect, Name, Step, Store, Table};
use doorward::telemetry::{Readiness, Telemetry};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::product;
use super::random::NOW;
use super::words::{Consumer, Key, Policy, Request};

pub struct Bench {
    catalog: Arc<ArcSwap<Catalog>>,
    warm: Checker,
    replica: Arc<Replica>,
    clock: Clock,
    telemetry: Arc<Telemetry>,
    /// Follows the store; ends with the bench.
    _runtime: Runtime,
}

impl Bench {
    /// Over a store that has these consumers and keys.
    pub fn new(consumers: &[Consumer], keys: &[Key]) -> Self {
        let runtime = Runtime::new().unwrap();
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(NOW - 1));
        // What is renewed at 0 was never renewed.
        hand.advance(Duration::from_secs(1));
        let store = Arc::new(Memory::new());
        let steps: Vec<Step> = consumers.iter().map(consumer).chain(keys.iter().map(key)).collect();
        runtime.block_on(store.write(Batch { operation: Uuid::new_v4(), steps })).unwrap();
        let replica = Arc::new(Replica::new(Duration::from_secs(10)));
        let pace = Pace { heartbeat: Duration::from_millis(25), patience: Duration::from_secs(5) };
        let settings = Settings::new(pace, Box::new(|| 0));
        runtime.spawn(Follower::new(Arc::clone(&replica), store, clock.clone(), settings).run());
        while replica.trust(clock.boottime()).is_err() {
            std::thread::yield_now();
        }
        let catalog = Arc::new(ArcSwap::from_pointee(product::catalog(&Policy::default()).unwrap()));
        let telemetry = Arc::new(Telemetry::new(clock.clone(), Arc::new(Readiness::new())));
        let warm = Checker::new(
            Arc::clone(&catalog),
            product::peppers(),
            Arc::clone(&replica),
            clock.clone(),
            Arc::clone(&telemetry),
        );
        Self { catalog, warm, replica, clock, telemetry, _runtime: runtime }
    }

    /// Puts a policy in force; false where two of its deployments clash.
    pub fn reload(&self, policy: &Policy) -> bool {
        product::catalog(policy).map(|catalog| self.catalog.store(Arc::new(catalog))).is_ok()
    }

    /// By the policy in force.
    pub fn check(&self, request: &Request) -> (String, bool) {
        self.warm.check(&product::write(request).request(request), product::told)
    }

    /// By the policy in force: everything that is decided.
    pub fn warm(&self, request: &Request) -> String {
        self.warm.check(&product::write(request).request(request), shown)
    }

    /// By a checker that has decided nothing before.
    pub fn cold(&self, policy: &Policy, request: &Request) -> String {
        let catalog = Arc::new(ArcSwap::from_pointee(product::catalog(policy).unwrap()));
        let (replica, telemetry) = (Arc::clone(&self.replica), Arc::clone(&self.telemetry));
        let checker = Checker::new(catalog, product::peppers(), replica, self.clock.clone(), telemetry);
        checker.check(&product::write(request).request(request), shown)
    }
}

fn shown(decision: &Decision<'_>) -> String {
    format!("{decision:?}")
}

fn consumer(it: &Consumer) -> Step {
    let known = product::consumer(it);
    let given = Arc::unwrap_or_clone(known.given);
    let record = ConsumerRecord {
        id: known.id,
        username: known.username.map(String::from),
        custom_id: None,
        tags: Vec::new(),
        email: None,
        groups: given
            .groups
            .into_iter()
            .map(|group| Membership::plain(&known.id, group, Timestamp::from_unix(0)))
            .collect(),
        permissions: given.permissions,
        enabled: known.enabled,
        created_at: Timestamp::from_unix(0),
        updated_at: Timestamp::from_unix(0),
        roles: given.roles,
        networks: given.networks,
    };
    put(Table::Consumer, known.id, record.encode())
}

fn key(it: &Key) -> Step {
    let known = product::key(it);
    let record = KeyRecord {
        id: known.id,
        consumer: known.consumer,
        verifier: product::verifier(it),
        ring_key: 1,
        handle: None,
        tags: Vec::new(),
        not_before: known.not_before,
        expires_at: known.expires_at,
        enabled: known.enabled,
        opens: known.opens.map(|opens| opens.to_vec()),
        permissions: known.permissions.map(|permissions| permissions.to_vec()),
        created_at: Timestamp::from_unix(0),
        weak: false,
        networks: product::networks(&it.networks),
    };
    put(Table::Key, known.id, record.encode())
}

fn put(table: Table, id: Uuid, payload: Vec<u8>) -> Step {
    let name = Name(id.as_bytes().to_vec());
    Step { table, name, expect: Expect::Absent, effect: Effect::Put(payload) }
}
