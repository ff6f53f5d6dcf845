//! What would be denied passes in shadow, is told everywhere but to the upstream, and nobody gains
//! a name by it.

use std::path::Path;

use serde_json::Value;

use crate::headers::OURS;
use crate::metadata::line;
use crate::rig::http1::{Reply, Seen};
use crate::rig::wait::eventually;
use crate::world::{ALICE, BOB, World};

/// One service, enforced in production and only watched in staging; every door is there.
const SHADOWED: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
log: {allows: 1}
permissions: [{name: user-management}]
infrastructures: [{name: production}, {name: staging}]
services:
  - name: orders
    paths: [/orders]
    authentication: {any: [{api_key: {names: [apikey, {name: key, in: [query]}, {name: sid, in: [cookie]}]}}]}
    groups: {deny: [banned]}
    rules: [{paths: [/orders/admin], permissions: [user-management]}]
  - name: far
    paths: [/far]
    authentication: none
    networks: {deny: [127.0.0.0/8]}
  - name: off
    paths: [/off]
    authentication: none
deployments:
  - {service: orders, infrastructure: production, hosts: [production.example]}
  - {service: orders, infrastructure: staging, hosts: [staging.example], override: {mode: shadow}}
  - {service: far, infrastructure: production, hosts: [production.example]}
  - {service: far, infrastructure: staging, hosts: [staging.example], override: {mode: shadow}}
consumers:
  - {username: alice, custom_id: "42", groups: [gold], permissions: [user-management], keys: [{from_env: ALICE_KEY}]}
  - {username: bob, groups: [banned], keys: [{from_env: BOB_KEY}]}
"#;

const WRONG: &str = "wrong-0123456789-abcdef";

/// The same request, for one who enforces and one who watches.
struct Both {
    enforced: Reply,
    watched: Reply,
}

#[track_caller]
fn ask(world: &World, target: &str, headers: &[(&str, &str)]) -> Both {
    let at = |host: &str| world.get(target, &[&[("Host", host)], headers].concat());
    Both { enforced: at("production.example"), watched: at("staging.example") }
}

#[track_caller]
fn passed(reply: &Reply) -> Seen {
    reply.seen().unwrap_or_else(|| panic!("did not pass: {} {}", reply.head, reply.text()))
}

type Header = (&'static str, &'static str);

/// Requests that are denied where the policy is enforced.
fn denials() -> Vec<(&'static str, String, Vec<Header>)> {
    let refused = |code, target: &str, headers: &[_]| (code, target.to_owned(), headers.to_vec());
    vec![
        refused("missing_credential", "/orders/missing", &[]),
        refused("invalid_credential", "/orders/invalid", &[("apikey", WRONG)]),
        refused("invalid_credential", &format!("/orders/query?z=1&key={WRONG}&a=%2F"), &[]),
        refused(
            "invalid_credential",
            "/orders/cookie",
            &[("Cookie", "a=1; sid=wrong-0123456789-abcdef; b=2")],
        ),
        refused("duplicate_credential", "/orders/duplicate", &[("apikey", ALICE), ("apikey", BOB)]),
        refused("group_denied", "/orders/group", &[("apikey", BOB)]),
        refused("network_denied", "/far/network", &[("apikey", ALICE)]),
        refused("ambiguous_path", "/orders/../orders/ambiguous", &[("apikey", ALICE)]),
        refused("ambiguous_path", "/orders//ambiguous", &[("apikey", ALICE)]),
    ]
}

#[test]
fn what_would_be_denied_passes_with_its_credential_and_without_a_name() {
    let forged: Vec<(&str, &str)> = OURS.iter().map(|name| (*name, "evil")).collect();
    let disguised =
        [("x_consumer_id", "evil"), ("X.Consumer.Username", "evil"), ("x-consumer_groups", "evil")];
    for (raw, fail_open) in [(false, false), (true, false), (false, true)] {
        let world = World::with(SHADOWED, |wiring| {
            wiring.raw_headers = raw;
            wiring.fail_open = fail_open;
        });
        for (code, target, credential) in denials() {
            let headers = [&forged[..], &disguised, &credential].concat();
            let Both { enforced, watched } = ask(&world, &target, &headers);
            let case = format!("{target}, raw {raw}");
            assert_eq!(enforced.code(), code, "{case}");
            let seen = passed(&watched);
            assert_eq!(seen.target, target, "{case}: byte for byte");
            for (name, value) in &credential {
                assert!(seen.all(&name.to_lowercase()).contains(value), "{case}: {:?}", seen.headers);
            }
            assert!(OURS.iter().all(|name| seen.all(name).is_empty()), "{case}: {:?}", seen.headers);
            assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{case}: {:?}", seen.headers);
        }
        assert_eq!(world.envoy.stat("http.main.ext_authz.error"), 0);
    }
}

#[test]
fn log_metadata_and_metric_say_what_would_have_been() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let world = World::with(SHADOWED, |wiring| wiring.access_log = Some(log.clone()));
    let mut counted = std::collections::BTreeMap::new();
    for (code, target, credential) in denials() {
        passed(&world.get(&target, &[&[("Host", "staging.example")], &credential[..]].concat()));
        *counted.entry(code).or_insert(0) += 1;
        check_told(&world, &log, &target, code);
    }
    let metrics = world.doorward.status("/metrics").unwrap().text();
    for (code, count) in counted {
        let line =
            format!("doorward_checks_total{{code=\"{code}\",mode=\"shadow\",verdict=\"deny\"}} {count}");
        assert!(metrics.lines().any(|found| found == line), "no `{line}` in {metrics}");
    }
    // Who it would have been is told as well.
    let told = line(&log, "/orders/group");
    assert_eq!(told["doorward"]["username"], "bob", "{told}");
}

/// What Envoy's access log and Doorward's own say of a request.
#[track_caller]
fn check_told(world: &World, log: &Path, target: &str, code: &str) {
    let told = line(log, target);
    assert_eq!(told["status"], 200, "{told}");
    for (field, value) in
        [("verdict", "deny"), ("code", code), ("mode", "shadow"), ("infrastructure", "staging")]
    {
        assert_eq!(told["doorward"][field], value, "{field} in {told}");
    }
    let path = target.split('?').next().unwrap_or_default();
    let own = eventually(&format!("the log has {path}"), || {
        let output = world.doorward.output();
        output
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|line: &Value| line["path"] == path)
    });
    for (field, value) in [("verdict", "deny"), ("code", code), ("mode", "shadow")] {
        assert_eq!(own[field], value, "{field} in {own}");
    }
}

#[test]
fn a_request_of_nobody_or_that_cannot_be_read_is_refused_in_shadow_too() {
    let world = World::with(SHADOWED, |wiring| {
        wiring.contexts = vec![
            ("/named", vec![("service", "orders"), ("infrastructure", "staging")]),
            ("/lost", vec![("service", "orders"), ("infrastructure", "moon")]),
        ];
    });
    for (target, status, code) in [
        ("/elsewhere", 404, "unknown_service"),
        ("/off", 404, "unknown_service"),
        ("/lost", 404, "unknown_service"),
        ("/orders/%zz", 400, "malformed_request"),
        ("/orders/%00", 400, "malformed_request"),
        ("/named/%zz", 400, "malformed_request"),
        // The name of a credential in disguise
        ("/orders?ke%79=x", 400, "malformed_request"),
        // Two readings of two services: nobody's shadow.
        ("/orders/../far", 400, "ambiguous_path"),
        ("/orders/../elsewhere", 400, "ambiguous_path"),
    ] {
        let reply = world.get(target, &[("Host", "staging.example"), ("apikey", ALICE)]);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{target}");
    }
    assert_eq!(world.echo.requests(), 0);
    // A route that names the deployment leaves no doubt where an ambiguous path belongs.
    passed(&world.get("/named/../named/x", &[("Host", "staging.example")]));
}

#[test]
fn who_may_pass_passes_in_shadow_exactly_as_where_the_policy_is_enforced() {
    let world = World::with(SHADOWED, |_| {});
    let query = format!("/orders/1?z=1&key={ALICE}&a=2");
    let cookie = format!("a=1; sid={ALICE}; b=2");
    let forged = [("x-consumer-username", "evil"), ("x_consumer_id", "evil")];
    for (target, headers) in [
        ("/orders/1", vec![("apikey", ALICE)]),
        ("/orders/admin", vec![("apikey", ALICE)]),
        (query.as_str(), vec![]),
        ("/orders/1", vec![("Cookie", cookie.as_str())]),
        ("/orders/1?z=1&a=2", vec![("apikey", ALICE)]),
    ] {
        let Both { enforced, watched } = ask(&world, target, &[&forged[..], &headers].concat());
        let (enforced, watched) = (passed(&enforced), passed(&watched));
        assert_eq!(enforced.target, watched.target);
        let told = |seen: &Seen| {
            let own = |name: &str| !matches!(name, "host" | "x-request-id");
            seen.headers.iter().filter(|(name, _)| own(name)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(told(&enforced), told(&watched), "{target}");
        assert_eq!(watched.all("x-consumer-username"), ["alice"]);
        assert!(!format!("{watched:?}").contains(ALICE), "the credential is kept back: {watched:?}");
    }
}
