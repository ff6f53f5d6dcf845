//! Doorward cannot decide: what becomes of a request then, enforced and in shadow.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward::check::Checker;
use doorward::clock::Clock;
use doorward::config;
use doorward::domain::time::Timestamp;
use doorward::domain::verifier::{Pepper, Peppers};
use doorward::explain::{Account, Description, explain};
use doorward::replica::Replica;
use doorward::telemetry::{Readiness, Telemetry};
use serde_json::Value;

use crate::fleet::{SECRET, secret};
use crate::headers::OURS;
use crate::metadata::line;
use crate::rig::echo::Echo;
use crate::rig::http1::{request, send};
use crate::rig::process::Signal;
use crate::rig::redis::Redis;
use crate::rig::wait::eventually;
use crate::rig::wiring::Wiring;
use crate::world::{ALICE, command, key, setup, start_envoy, started};

/// The same service, enforced and only watched.
const BOTH: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
revocation: {heartbeat: 250ms, bound: 1s}
log: {allows: 1}
infrastructures: [{name: production}, {name: staging}]
services:
  - {name: orders, authentication: {any: [{api_key: {}}]}}
deployments:
  - {service: orders, infrastructure: production, hosts: [production.example]}
  - {service: orders, infrastructure: staging, hosts: [staging.example], override: {mode: shadow}}
consumers:
  - {username: alice, keys: [{from_env: ALICE_KEY}]}
"#;

/// Decides by the file, beside a store that was never read.
fn checker(policy: &str) -> Checker {
    let env = [("ALICE_KEY".to_owned(), ALICE.to_owned())];
    let loaded = config::load_beside("policy".as_ref(), policy.to_owned(), env.into_iter())
        .unwrap_or_else(|faults| panic!("{faults}"));
    let (clock, _hand) = Clock::stopped(Timestamp::from_unix(1_000_000));
    let peppers = Peppers::new(vec![Pepper::new(&[0; 32])]);
    let catalog = Arc::new(ArcSwap::from_pointee(loaded.config.catalog(&peppers).unwrap()));
    let replica = Arc::new(Replica::new(Duration::from_secs(10)));
    let telemetry = Arc::new(Telemetry::new(clock.clone(), Arc::new(Readiness::new())));
    Checker::new(catalog, peppers, replica, clock, telemetry).with_on_fault(loaded.config.on_fault.into())
}

fn decided(policy: &str, host: &str, target: &str, headers: &[(&str, &str)]) -> Account {
    let lines = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let description = Description {
        host: Some(host.to_owned()),
        target: Some(target.to_owned()),
        headers: Some(lines.collect()),
        ..Description::default()
    };
    explain(&checker(policy), &description.understood().unwrap_or_else(|wrong| panic!("{wrong}")))
}

/// A key that only the store could know.
const STORED: &str = "stored-0123456789-abcdef";

#[test]
fn a_fault_in_shadow_passes_unnamed_with_its_credential_and_is_told_as_a_fault() {
    let forged: Vec<(&str, &str)> = OURS.iter().map(|name| (*name, "evil")).collect();
    let disguised = [("x_consumer_id", "evil"), ("X.Consumer.Username", "evil"), ("apikey", STORED)];
    for on_fault in ["error", "deny"] {
        let policy = format!("{BOTH}\non_fault: {on_fault}\n");
        let headers = [&forged[..], &disguised].concat();
        let account = decided(&policy, "staging.example", "/orders?a=1&key=x", &headers);
        assert_eq!((account.verdict, account.mode, account.status), ("fault", "shadow", 200));
        assert_eq!((account.code, account.why), (Some("unavailable"), Some("not_loaded")));
        assert_eq!((&account.consumer, &account.credential), (&None, &None));
        let upstream = account.upstream.expect("it passes");
        assert!(upstream.set.is_empty() && upstream.remove_query.is_empty(), "{upstream:?}");
        for name in OURS.iter().chain(&["x_consumer_id", "x.consumer.username"]) {
            assert!(upstream.remove.iter().any(|gone| gone == name), "{name} is left: {upstream:?}");
        }
        assert!(!upstream.remove.iter().any(|gone| gone == "apikey"), "the credential is left: {upstream:?}");
    }
}

#[test]
fn on_fault_says_whether_an_enforced_fault_is_an_error_or_a_denial() {
    for (on_fault, error_response) in [("", true), ("on_fault: error", true), ("on_fault: deny", false)] {
        let policy = format!("{BOTH}\n{on_fault}\n");
        let account = decided(&policy, "production.example", "/orders", &[("apikey", STORED)]);
        assert_eq!((account.verdict, account.code), ("fault", Some("unavailable")), "{on_fault}");
        let answer = account.answer.expect("it is refused");
        let found = (answer.status, answer.error_response, answer.retry_after);
        assert_eq!(found, (503, error_response, Some(1)), "{on_fault}");
    }
    // What the file declares needs no store.
    let account = decided(BOTH, "production.example", "/orders", &[("apikey", ALICE)]);
    assert_eq!(account.verdict, "allow");
}

/// `security-rules.md` 3.2 A1: a store that is out of reach.
#[test]
fn a1_past_the_lease_enforce_answers_with_an_error_and_shadow_passes_until_the_store_is_heard_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let redis = Redis::start(&folder.path().join("redis"), &[]).unwrap();
    let setup = setup(&folder.path().join("doorward"));
    setup.write(&format!("{BOTH}store: {{url: \"{}\"}}\n", redis.url())).unwrap();
    secret(&setup, SECRET);
    let (doorward, echo) = (started(&setup), Echo::start(0).unwrap());
    let mut wiring = Wiring::new(echo.address(), &[doorward.grpc()]);
    wiring.access_log = Some(log.clone());
    let envoy = start_envoy(folder.path(), &wiring);
    let get = |path: &str, headers: &[(&str, &str)]| {
        send(envoy.listener("main"), &request("GET", path, headers, b"")).unwrap()
    };
    command(&doorward, &["consumer", "create", "carol"]);
    let (key, _) = key(&doorward, "carol", &[]);
    let opens = |path: &str| get(path, &[("Host", "production.example"), ("apikey", &key)]).status == 200;
    redis.signal(Signal::STOP).unwrap();
    eventually("the lease is over", || (!opens("/before")).then_some(()));
    let forged = [("apikey", key.as_str()), ("x-consumer-username", "evil"), ("x_consumer_id", "evil")];
    let [enforced, watched] = ["production.example", "staging.example"]
        .map(|host| get(&format!("/{host}"), &[&[("Host", host)], &forged[..]].concat()));
    assert_eq!((enforced.status, enforced.code().as_str()), (503, "unavailable"));
    assert_eq!(enforced.header("retry-after"), Some("1"));
    assert!(envoy.stat("http.main.ext_authz.error") > 0, "an error, and no denial");

    let seen = watched.seen().expect("it passes in shadow");
    assert_eq!(seen.all("apikey"), [key.as_str()], "the credential is left");
    assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{:?}", seen.headers);
    assert!(OURS.iter().all(|name| seen.all(name).is_empty()), "{:?}", seen.headers);

    let told = line(&log, "/staging.example")["doorward"].clone();
    let own = eventually("the log has it", || {
        let output = doorward.output();
        let mut lines = output.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.find(|line: &Value| line["path"] == "/staging.example")
    });
    for told in [&told, &own] {
        let found = ["verdict", "mode", "code"].map(|field| &told[field]);
        assert_eq!(found, ["fault", "shadow", "unavailable"], "{told}");
    }
    assert_eq!(own["why"], "lease_expired", "{own}");
    redis.signal(Signal::CONT).unwrap();
    eventually("the key opens again", || opens("/after").then_some(()));
}
