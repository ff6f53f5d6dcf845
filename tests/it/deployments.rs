//! A service on several infrastructures: how a deployment is found, what it overrides, and what
//! becomes of one that is switched off or that does not exist.

use serde_json::Value;

use crate::rig::wait::eventually;
use crate::rig::wiring::Wiring;
use crate::world::World;

/// `orders` in production and in staging; `catalogue` public in staging; an attic that is shut.
const SITES: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
infrastructures: [{name: production}, {name: staging}, {name: attic}]
services:
  - name: orders
    authentication: {any: [{api_key: {}}]}
  - name: catalogue
    paths: [/catalogue]
    authentication: {any: [{api_key: {}}]}
    networks: {deny: [127.0.0.0/8]}
    groups: {allow: [gold]}
  - name: single
    authentication: {any: [{api_key: {}}]}
deployments:
  - {service: orders, infrastructure: production, hosts: [api.example.com]}
  - {service: orders, infrastructure: staging, hosts: [staging.example.com]}
  - {service: orders, infrastructure: attic, hosts: [attic.example.com], enabled: true}
  - {service: catalogue, infrastructure: production, hosts: [api.example.com]}
  - service: catalogue
    infrastructure: staging
    hosts: [staging.example.com]
    override:
      authentication: none
      networks: null
      groups: null
  - {service: catalogue, infrastructure: attic, hosts: [attic.example.com], override: {networks: {deny: [192.0.2.1]}}}
  - {service: single, infrastructure: production, hosts: [single.example.com]}
consumers:
  - {username: alice, keys: [{from_env: ALICE_KEY}]}
  - {username: bob, groups: [gold], keys: [{from_env: BOB_KEY, services: [orders, catalogue/attic]}]}
"#;

/// Routes that name what they are for.
fn routed(wiring: &mut Wiring) {
    wiring.contexts = vec![
        ("/by-route/production", vec![("service", "orders"), ("infrastructure", "production")]),
        ("/by-route/staging", vec![("service", "orders"), ("infrastructure", "staging")]),
        ("/by-route/single", vec![("service", "single")]),
        ("/by-route/undecided", vec![("service", "orders")]),
        ("/by-route/nobody", vec![("service", "nobody"), ("infrastructure", "production")]),
        ("/by-route/nowhere", vec![("service", "orders"), ("infrastructure", "moon")]),
        ("/by-route/elsewhere", vec![("service", "single"), ("infrastructure", "staging")]),
        ("/by-route/attic", vec![("service", "orders"), ("infrastructure", "attic")]),
        ("/on-moon", vec![("infrastructure", "moon")]),
    ];
}

fn code(world: &World, host: &str, target: &str, key: &str) -> String {
    let reply = world.get(target, &[("Host", host), ("apikey", key)]);
    if reply.status == 200 { "allow".to_owned() } else { reply.code() }
}

const PRODUCTION: &str = "api.example.com";
const STAGING: &str = "staging.example.com";
const ATTIC: &str = "attic.example.com";
const NOBODY: &str = "nobody.example.com";

#[test]
fn a_key_of_one_deployment_opens_no_other_however_it_is_found() {
    let world = World::with(SITES, routed);
    let key = |services: &[&str]| {
        let options: Vec<&str> = services.iter().flat_map(|service| ["--service", *service]).collect();
        world.key("alice", &options).0
    };
    let (production, staging) = (key(&["orders/production"]), key(&["orders/staging"]));
    let (all, two) = (key(&["orders"]), key(&["orders/staging", "orders/production"]));
    let (any, other) = (key(&[]), key(&["catalogue"]));
    #[rustfmt::skip] // A table is read by its columns.
    let table = [
        //              production  staging  attic
        (&production,  [true,       false,   false]),
        (&staging,     [false,      true,    false]),
        (&two,         [true,       true,    false]),
        (&all,         [true,       true,    true]),
        (&any,         [true,       true,    true]),
        (&other,       [false,      false,   false]),
    ];
    for (key, opens) in table {
        for (at, open) in opens.into_iter().enumerate() {
            let expected = if open { "allow" } else { "service_denied" };
            let host = [PRODUCTION, STAGING, ATTIC][at];
            assert_eq!(code(&world, host, "/", key), expected, "{host}");
            // What a route says counts, whatever host and path the client names.
            let target = ["/by-route/production", "/by-route/staging", "/by-route/attic"][at];
            for host in [PRODUCTION, STAGING, NOBODY] {
                assert_eq!(code(&world, host, target, key), expected, "{host}{target}");
            }
        }
    }
    let refused = world.doorward.command(&["key", "create", "alice", "--service", "orders/moon"]);
    assert!(refused.is_err_and(|message| message.contains("orders/moon")));
}

#[test]
fn a_key_may_name_a_service_that_is_deployed_only_later() {
    let waiting = SITES.replace(
        "deployments:\n",
        "  - {name: waiting, authentication: {any: [{api_key: {}}]}}\ndeployments:\n",
    );
    let world = World::with(&waiting, |_| {});
    let (key, _) = world.key("alice", &["--service", "waiting"]);
    let host = "waiting.example.com";
    assert_eq!(code(&world, host, "/", &key), "unknown_service");
    assert_eq!(code(&world, PRODUCTION, "/", &key), "service_denied");
    let deployed = waiting.replace(
        "consumers:\n",
        &format!("  - {{service: waiting, infrastructure: staging, hosts: [{host}]}}\nconsumers:\n"),
    );
    world.doorward.setup().write(&deployed).unwrap();
    eventually("it is deployed", || (code(&world, host, "/", &key) == "allow").then_some(()));
    assert_eq!(code(&world, PRODUCTION, "/", &key), "service_denied");
    // A deployment is named once it is there, also by its id.
    let refused = world.doorward.command(&["key", "create", "alice", "--service", "waiting/production"]);
    assert!(refused.is_err_and(|message| message.contains("waiting/production")));
    let id = doorward::config::derived("deployment", "waiting/staging").to_string();
    let (key, _) = world.key("alice", &["--service", &id]);
    assert_eq!(code(&world, host, "/", &key), "allow");
    assert_eq!(code(&world, STAGING, "/", &key), "service_denied");
}

#[test]
fn a_service_that_is_deployed_once_needs_no_infrastructure_in_its_route() {
    let world = World::with(SITES, routed);
    let (key, _) = world.key("alice", &["--service", "single/production"]);
    assert_eq!(code(&world, NOBODY, "/by-route/single", &key), "allow");
    assert_eq!(code(&world, "single.example.com", "/x", &key), "allow");
}

#[test]
fn a_route_that_names_nothing_is_denied_and_an_error_in_the_log() {
    for fail_open in [false, true] {
        let world = World::with(SITES, |wiring| {
            routed(wiring);
            wiring.fail_open = fail_open;
        });
        let (key, _) = world.key("alice", &[]);
        for target in [
            "/by-route/undecided",
            "/by-route/nobody",
            "/by-route/nowhere",
            "/by-route/elsewhere",
            "/on-moon",
        ] {
            // A host that is somebody's does not help.
            let reply = world.get(target, &[("Host", PRODUCTION), ("apikey", &key)]);
            assert_eq!((reply.status, reply.code().as_str()), (404, "unknown_service"), "{target}");
            let line = logged(&world, target);
            assert_eq!(line["level"].as_str().map(str::to_lowercase).as_deref(), Some("error"), "{line}");
            assert!(line["why"].as_str().is_some_and(|why| why.contains("context_extensions")), "{line}");
        }
        // A client's mistake is none of ours.
        assert_eq!(code(&world, NOBODY, "/client", &key), "unknown_service");
        let line = logged(&world, "/client");
        assert_eq!(line["level"].as_str().map(str::to_lowercase).as_deref(), Some("info"), "{line}");
        assert_eq!(world.echo.requests(), 0);
    }
}

fn logged(world: &World, path: &str) -> Value {
    eventually(&format!("the log has {path}"), || {
        let output = world.doorward.output();
        output
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|line: &Value| line["path"] == path)
    })
}

#[test]
fn an_override_replaces_whole_parts_and_the_rest_is_inherited() {
    let world = World::with(SITES, |_| {});
    let (alice, bob) = (crate::world::ALICE, crate::world::BOB);
    // As the service has it: everybody here is on loopback, which it denies.
    assert_eq!(code(&world, PRODUCTION, "/catalogue", bob), "network_denied");
    // Public, and neither networks nor groups are left.
    assert_eq!(code(&world, STAGING, "/catalogue", "wrong-0123456789-abcdef"), "allow");
    // Other networks, with the service's authentication and groups.
    assert_eq!(code(&world, ATTIC, "/catalogue", "wrong-0123456789-abcdef"), "invalid_credential");
    assert_eq!(code(&world, ATTIC, "/catalogue", alice), "group_denied");
    assert_eq!(code(&world, ATTIC, "/catalogue", bob), "allow");
    // The longest path of a host wins, whosoever it is.
    assert_eq!(code(&world, PRODUCTION, "/catalogues", alice), "allow");
}

#[test]
fn the_policy_that_results_is_shown_with_who_said_it() {
    let world = World::with(SITES, |_| {});
    let show = |name: &str, more: &[&str]| {
        let arguments = [&["config", "show", "--effective", name], more].concat();
        let output = world.doorward.setup().run(&arguments).unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (done, shown) = show("catalogue/staging", &[]);
    assert!(done, "{shown}");
    for (line, origin) in [
        ("authentication: \"none\"", "override"),
        ("networks: null", "override"),
        ("groups: null", "override"),
        ("infrastructure: \"staging\"", "deployment"),
        ("paths: [\"/catalogue\"]", "service"),
        ("mode: \"enforce\"", "default"),
    ] {
        let found = shown.lines().find(|found| found.starts_with(line));
        let found = found.unwrap_or_else(|| panic!("no line begins with {line}:\n{shown}"));
        let place = SITES
            .lines()
            .position(|written| origin == "override" && written.trim() == line.replace('"', "").as_str());
        assert!(found.contains(&format!("# {origin}")), "{found}");
        if let Some(place) = place {
            assert!(found.ends_with(&format!("doorward.yaml:{}", place + 1)), "{found}");
        }
    }
    let (done, shown) = show("catalogue/attic", &["--output", "json"]);
    assert!(done, "{shown}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["deployment"], "catalogue/attic");
    assert_eq!(shown["policy"]["networks"]["deny"][0], "192.0.2.1");
    assert_eq!(shown["policy"]["groups"]["allow"][0], "gold");
    let (done, said) = show("orders/moon", &[]);
    assert!(!done && said.contains("orders/moon"), "{said}");
}

#[test]
fn a_deployment_that_is_switched_off_denies_everybody_also_where_envoy_fails_open() {
    let off = SITES.replace("enabled: true", "enabled: false");
    for fail_open in [false, true] {
        let world = World::with(&off, |wiring| {
            routed(wiring);
            wiring.fail_open = fail_open;
        });
        let (key, _) = world.key("alice", &[]);
        for (host, target) in [(ATTIC, "/"), (NOBODY, "/by-route/attic")] {
            for key in [key.as_str(), "wrong-0123456789-abcdef"] {
                let reply = world.get(target, &[("Host", host), ("apikey", key)]);
                let found = (reply.status, reply.code());
                assert_eq!(found, (503, "deployment_disabled".to_owned()), "{host}{target}");
                assert_eq!(reply.header("content-type"), Some("application/problem+json"));
            }
        }
        assert_eq!(world.echo.requests(), 0, "the upstream was reached");
        assert_eq!(world.envoy.stat("http.main.ext_authz.error"), 0, "a plain denial");
        assert_eq!(code(&world, PRODUCTION, "/", &key), "allow", "the others stay up");
    }
}

#[test]
fn a_deployment_is_switched_without_a_restart() {
    let world = World::with(SITES, |_| {});
    let (key, _) = world.key("alice", &["--service", "orders/attic"]);
    assert_eq!(code(&world, ATTIC, "/", &key), "allow");
    for (word, expected) in [("enabled: false", "deployment_disabled"), ("enabled: true", "allow")] {
        world.doorward.setup().write(&SITES.replace("enabled: true", word)).unwrap();
        eventually(word, || (code(&world, ATTIC, "/", &key) == expected).then_some(()));
    }
    // A service that is switched off is off everywhere: no deployment can switch it on.
    let off = SITES.replace("  - name: orders\n", "  - name: orders\n    enabled: false\n");
    world.doorward.setup().write(&off).unwrap();
    eventually("the service is off", || {
        (code(&world, ATTIC, "/", &key) == "deployment_disabled").then_some(())
    });
    assert_eq!(code(&world, PRODUCTION, "/", &key), "deployment_disabled");
}

#[test]
fn envoys_access_log_names_the_infrastructure() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let world = World::with(SITES, |wiring| wiring.access_log = Some(log.clone()));
    let (key, _) = world.key("alice", &["--service", "orders/production"]);
    code(&world, PRODUCTION, "/logged/one", &key);
    code(&world, STAGING, "/logged/two", &key);
    for (path, infrastructure, verdict) in
        [("/logged/one", "production", "allow"), ("/logged/two", "staging", "deny")]
    {
        let line = crate::metadata::line(&log, path);
        let told = &line["doorward"];
        assert_eq!(
            (&told["service"], &told["infrastructure"]),
            (&"orders".into(), &infrastructure.into()),
            "{line}"
        );
        assert_eq!(told["verdict"], verdict, "{line}");
    }
}
