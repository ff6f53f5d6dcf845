//! Who decides: a checker as `doorward serve` makes it, over a store that answers and is empty.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward::check::Checker;
use doorward::clock::Clock;
use doorward::config;
use doorward::domain::time::Timestamp;
use doorward::domain::verifier::{Pepper, Peppers};
use doorward::replica::{Follower, Pace, Replica, Settings};
use doorward::store::memory::Memory;
use doorward::telemetry::{Readiness, Telemetry};

pub struct House {
    pub checker: Checker,
}

/// User names and their keys; alice's opens every service, bob's only the lounge.
pub const KEYS: [(&str, &str); 2] = [("alice", "alice-holds-this"), ("bob", "bob-has-this-one")];

/// A public service, a service with every place of a key, one that takes guests, one that wants two
/// proofs and hides one of them, one that wants two and hides both, one that lets preflights pass.
const CATALOG: &str = r#"
services:
  - {name: open, hosts: [open.example, "*.open.example"], authentication: none}
  - name: orders
    paths: [/orders]
    authentication:
      any:
        - api_key:
            names: [apikey, X-API-Key, {name: key, in: [query]}]
            in: [header, query, cookie, body]
            bearer: true
            realm: orders
  - {name: lounge, paths: [/lounge], authentication: {any: [api_key], anonymous: guest}}
  - name: both
    paths: [/both]
    authentication:
      all:
        - api_key: {names: [one], in: [header, cookie], hide: false}
        - api_key: {names: [two], in: [query, header]}
  - name: pair
    paths: [/pair]
    authentication:
      all:
        - api_key: {names: [one], in: [cookie]}
        - api_key: {names: [two], in: [cookie]}
  - {name: preflight, paths: [/preflight], authentication: {any: [{api_key: {preflight: false}}]}}
consumers:
  - {username: alice, custom_id: "4 2", groups: [gold, "östlich 50%"], keys: [{from_env: ALICE}]}
  - {username: bob, keys: [{from_env: BOB, services: [lounge]}]}
  - {username: guest}
"#;

impl House {
    pub fn get() -> &'static Self {
        static HOUSE: LazyLock<House> = LazyLock::new(House::built);
        &HOUSE
    }

    fn built() -> Self {
        let peppers = Peppers::new(vec![Pepper::new(&[7; 32])]);
        let catalog = Arc::new(ArcSwap::from_pointee(
            configured().catalog(&peppers).expect("a configuration that was loaded"),
        ));
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
        // Boot time 0 stands for a lease that was never renewed.
        hand.advance(Duration::from_secs(1));
        let replica = following(&clock);
        let telemetry = Arc::new(Telemetry::new(clock.clone(), Arc::new(Readiness::new())));
        Self { checker: Checker::new(catalog, peppers, replica, clock, telemetry) }
    }
}

fn configured() -> config::Config {
    let path = std::env::temp_dir().join(format!("doorward-fuzz-check-{}.yaml", std::process::id()));
    std::fs::write(&path, CATALOG).expect("a writable temporary folder");
    let keys = KEYS.map(|(user, key)| (user.to_uppercase(), key.to_owned()));
    let loaded = config::load(Some(&path), keys.into_iter(), &[]);
    std::fs::remove_file(&path).expect("our own file");
    match loaded {
        Ok(loaded) => loaded.config,
        Err(faults) => panic!("{faults}"),
    }
}

/// A replica that has been read and holds a lease for as long as the clock stands: so absence is
/// absence, and no check has a reason to end in a fault.
fn following(clock: &Clock) -> Arc<Replica> {
    let replica = Arc::new(Replica::new(Duration::from_secs(10)));
    let pace = Pace { heartbeat: Duration::from_millis(1), patience: Duration::from_secs(5) };
    let store = Arc::new(Memory::new());
    let settings = Settings::new(pace, Box::new(|| 0));
    let follower = Follower::new(Arc::clone(&replica), store, clock.clone(), settings);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let trusted = async {
            while replica.trust(clock.boottime()).is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = follower.run() => {}
            () = trusted => {}
        }
    });
    replica
}
