//! Paths that can be read in two ways, hosts and targets of odd forms: gotchas 12, 15 and 16.

use crate::rig::http1::{request, send};
use crate::rig::wiring::{Edge, Paths};
use crate::tables::suite;
use crate::world::{ALICE, HOUSE, World, start_hardened};

/// One public prefix, one that asks for a key, on every host.
const TWO_SIDES: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: pub, paths: [/pub], authentication: none}
  - {name: admin, paths: [/admin], authentication: {any: [{api_key: {}}]}}
"#;

/// The same two sides as parts of one service: whoever proves nothing is the guest, who may not
/// manage users. PATH is how the service takes paths of two readings.
const ONE_SERVICE: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
permissions: [{name: user-management}]
services:
  - name: site
    paths: [/pub, /admin]
    path: PATH
    authentication: {any: [{api_key: {}}], anonymous: guest}
    rules: [{paths: [/admin], permissions: [user-management]}]
consumers:
  - {username: guest}
  - {username: alice, permissions: [user-management], keys: [{from_env: ALICE_KEY}]}
"#;

/// Targets that read as public in one way and as protected in another, each with two turns.
const TWISTED: &[&str] = &[
    "/pub/../admin/..;/pub",
    "/pub/../admin/..;/../pub",
    "/pub/../admin/..%2fpub",
    "/pub/../admin/..%5cpub",
    "/pub/../admin/..\\pub",
    "/pub/%2e%2e/admin/..%2fpub",
    "/pub/%2e%2e/admin/..;/pub",
    "/pub/..;/admin/..;/pub",
    "/pub/..%2fadmin/..%5cpub",
    "/pub/..\\admin/..;/pub",
    "/pub;/../admin/..%2f..%2fpub",
    "/%61dmin/../pub",
    "/%61dmin/..%2fpub",
    "/admin/../pub",
    "/admin;x/../pub",
    "/admin%2f../pub",
    "/admin/%2e%2e/pub",
    "//admin/../pub",
    "/%2e/admin/../pub",
];

#[test]
fn no_spelling_of_a_protected_path_passes_as_public() {
    let suite = suite("paths.yaml");
    let listed = suite.cases().iter().filter_map(|case| case.request.target.as_deref());
    let targets: Vec<&str> = listed.chain(TWISTED.iter().copied()).collect();
    for (fixture, config) in [
        ("two services", TWO_SIDES.to_owned()),
        ("one service", ONE_SERVICE.replace("PATH", "strict")),
        ("one service that resolves", ONE_SERVICE.replace("PATH", "resolve")),
        ("two services that resolve", TWO_SIDES.replace("authentication", "path: resolve, authentication")),
    ] {
        let world = World::with(&config, |wiring| {
            for paths in Paths::ALL {
                let edge = Edge { paths: Some(paths), ..Edge::default() };
                wiring.edges.push((format!("{paths:?}"), edge));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let hardened = start_hardened(folder.path(), &world.doorward, world.echo.address());
        let listeners = Paths::ALL
            .map(|paths| format!("{paths:?}"))
            .map(|name| (world.envoy.listener(&name), name))
            .into_iter()
            .chain([(hardened.listener("main"), "hardened".to_owned())]);
        for (listener, mode) in listeners {
            let get = |target: &str| send(listener, &request("GET", target, &[], b"")).unwrap();
            for target in &targets {
                let reply = get(target);
                if reply.status == 200 {
                    let seen = reply.seen().expect("the upstream's answer").target;
                    check_public(&format!("{fixture}, {mode}: {target}"), &seen);
                }
            }
            assert_eq!(get("/pub/x").status, 200, "{fixture}, {mode}: a plain path has to pass");
        }
    }
}

#[track_caller]
fn check_public(case: &str, seen: &str) {
    for reading in readings(seen) {
        assert!(
            reading == "/pub" || reading.starts_with("/pub/"),
            "{case} passed as public, the upstream got {seen} and may read {reading}"
        );
    }
}

/// The paths that some upstream makes of a target: escapes decoded or not, all of them or those that
/// no one needs, once or twice; backslashes turned, parameters dropped; slashes merged and dots
/// resolved, or nothing of it.
fn readings(target: &str) -> Vec<String> {
    let path = target.split('?').next().unwrap_or_default();
    let (once, needless) = (decoded(path, |_| true), decoded(path, is_unreserved));
    let twice = decoded(&once, |_| true);
    [path.to_owned(), needless, once, twice]
        .iter()
        .flat_map(|path| [path.clone(), path.replace('\\', "/")])
        .flat_map(|path| [path.clone(), without_parameters(&path)])
        .flat_map(|path| [resolved(&path), path])
        .map(|path| path.to_lowercase())
        .collect()
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn decoded(path: &str, which: fn(u8) -> bool) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = (*first == b'%').then(|| std::str::from_utf8(tail.get(..2)?).ok()).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|byte| which(*byte)) {
            Some(byte) => (bytes.push(byte), rest = &tail[2..]).1,
            None => (bytes.push(*first), rest = tail).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn without_parameters(path: &str) -> String {
    let segments: Vec<&str> =
        path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    segments.join("/")
}

fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_refused_by_its_name() {
    let world = World::with(TWO_SIDES, |_| {});
    for target in [
        "/pub/../admin",
        "/pub//x",
        "/pub/%2e%2e/x",
        "/pub/a%2fb",
        "/pub;x=1",
        "/pub/a\\b",
        "/pub/%25",
        "/pub/a%3fb",
    ] {
        let reply = world.get(target, &[]);
        assert_eq!((reply.status, reply.code().as_str()), (400, "ambiguous_path"), "{target}");
    }
    for target in ["/pub/%zz", "/pub/%", "/pub/%00"] {
        let reply = world.get(target, &[]);
        assert_eq!((reply.status, reply.code().as_str()), (400, "malformed_request"), "{target}");
    }
    for (target, status) in [("/pub/", 200), ("/%70ub", 200), ("/PUB", 404), ("/pub/x?a=../../b//c%2f", 200)]
    {
        assert_eq!(world.get(target, &[]).status, status, "{target}");
    }
}

#[test]
fn a_service_may_have_paths_resolved_and_takes_the_strictest_reading() {
    let world = World::with(&ONE_SERVICE.replace("PATH", "resolve"), |_| {});
    let answer = |target: &str, key: &str| {
        let headers: &[(&str, &str)] = if key.is_empty() { &[] } else { &[("apikey", key)] };
        let reply = world.get(target, headers);
        if reply.status == 200 { "allow".to_owned() } else { reply.code() }
    };
    for target in
        ["/pub/./x", "/pub//x", "/pub/a/../x", "/pub/%2e/x", "/pub/x;v=1", "/pub/a%2fb", "/pub/a\\b"]
    {
        assert_eq!(answer(target, ""), "allow", "{target}");
        assert_eq!(world.get(target, &[]).seen().expect("allowed").target, target, "as it was written");
    }
    for target in ["/pub/../admin", "/admin/../pub", "/pub/..;/admin", "/pub/..%2fadmin", "/admin/;x"] {
        assert_eq!(answer(target, ""), "permission_denied", "{target}");
    }
    for target in ["/pub/../admin", "/admin/../pub", "/pub/..;/admin"] {
        assert_eq!(answer(target, ALICE), "allow", "{target}");
    }
    // Out of the service, whichever way one reads it.
    for target in ["/pub/../elsewhere", "/elsewhere/../pub", "/pub/../..", "/..", "//admin", "/admin;x"] {
        assert_eq!(answer(target, ALICE), "ambiguous_path", "{target}");
    }
    for target in ["/pub/%25", "/pub/%3f/../x", "/pub/%23"] {
        assert_eq!(answer(target, ALICE), "ambiguous_path", "{target}");
    }
    assert_eq!(answer("/pub/../%00", ALICE), "malformed_request");
}

/// The same path under hosts of each class: exact, by suffix, any.
const HOSTS: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: exact, hosts: [api.example.com], paths: [/a], authentication: {any: [{api_key: {}}]}}
  - {name: deep, hosts: ["*.api.example.com"], authentication: {any: [{api_key: {}}]}}
  - {name: suffix, hosts: ["*.example.com"], authentication: {any: [{api_key: {}}]}}
  - {name: any, authentication: none}
"#;

#[test]
fn a_host_with_a_service_of_its_own_is_never_served_by_a_wider_one() {
    let world = World::with(HOSTS, |_| {});
    let code = |host: &str, target: &str| {
        let reply = world.get(target, &[("Host", host)]);
        if reply.status == 200 { "allow".to_owned() } else { reply.code() }
    };
    for host in [
        "api.example.com",
        "API.Example.COM",
        "api.example.com.",
        "api.example.com:8443",
        "api.example.com.:1",
    ] {
        assert_eq!(code(host, "/a"), "missing_credential", "{host}");
        assert_eq!(code(host, "/b"), "unknown_service", "{host}");
    }
    for host in ["x.api.example.com", "x.example.com", "X.Y.EXAMPLE.com.", "api.example.com.example.com"] {
        assert_eq!(code(host, "/b"), "missing_credential", "{host}");
    }
    for host in ["example.com", "xexample.com", "api.example.com.evil", "127.0.0.1", "[::1]:80"] {
        assert_eq!(code(host, "/b"), "allow", "{host}");
    }
    // Of no single host: nobody's.
    for host in [
        "api.example.com..",
        ".example.com",
        "a@api.example.com",
        "api.example.com,x",
        "api.example.com:http",
    ] {
        assert_ne!(code(host, "/a"), "allow", "{host}");
    }
    let two = world.get("/a", &[("Host", "other.example"), ("Host", "api.example.com")]);
    assert_ne!(two.status, 200, "two hosts");
}

#[test]
fn hosts_are_matched_whole_without_case_and_port() {
    // Gotcha 16: two Host lines reach us as `a,b`.
    let world = World::new();
    let code = |hosts: &[&str], target: &str| {
        let headers: Vec<(&str, &str)> = hosts.iter().map(|host| ("Host", *host)).collect();
        let reply = world.get(target, &headers);
        if reply.status == 200 { "allow".to_owned() } else { reply.code() }
    };
    assert_eq!(code(&["admin.example"], "/x"), "missing_credential");
    assert_eq!(code(&["ADMIN.Example:443"], "/x"), "missing_credential");
    assert_eq!(code(&["admin.example."], "/x"), "missing_credential");
    assert_eq!(code(&["public.example"], "/x"), "allow");
    assert_ne!(code(&["http://public.example"], "/x"), "allow");
    assert_eq!(code(&["public.example.evil"], "/x"), "unknown_service");
    assert_eq!(code(&["public.example,admin.example"], "/x"), "unknown_service");
    // Envoy may refuse them itself; it must not be the public one that answers.
    assert_ne!(code(&["public.example", "admin.example"], "/x"), "allow");
    assert_ne!(code(&["admin.example", "public.example"], "/x"), "allow");
    // In absolute form the target's host counts, not the header's.
    assert_eq!(code(&["public.example"], "http://admin.example/x"), "missing_credential");
}

#[test]
fn connect_has_no_path_and_is_refused() {
    for fail_open in [false, true] {
        let world = World::with(HOUSE, |wiring| wiring.fail_open = fail_open);
        let target = world.echo.address().to_string();
        for headers in [vec![], vec![("apikey", ALICE)]] {
            let bytes =
                request("CONNECT", &target, &[&[("Host", target.as_str())][..], &headers].concat(), b"");
            let reply = world.send(&bytes);
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (400, "malformed_request"),
                "fail open: {fail_open}"
            );
        }
        assert_eq!(world.echo.requests(), 0);
    }
}

#[test]
fn a_route_may_name_its_service_and_no_client_can() {
    let world = World::with(HOUSE, |wiring| {
        wiring.contexts = vec![
            ("/anywhere", vec![("service", "routed")]),
            ("/lost", vec![("service", "nowhere")]),
            ("/public/strict", vec![("service", "orders")]),
        ];
    });
    assert_eq!(world.get("/anywhere/x", &[]).code(), "missing_credential");
    assert_eq!(world.get("/anywhere/x", &[("apikey", ALICE)]).status, 200);
    assert_eq!(world.get("/public/strict", &[]).code(), "missing_credential");
    assert_eq!(world.get("/lost", &[("apikey", ALICE)]).code(), "unknown_service");
    assert_eq!(world.get("/orders", &[("service", "public")]).code(), "missing_credential");
}

#[test]
fn rules_by_path_hold_when_only_some_headers_are_shown() {
    // Gotcha 12: `allowed_headers` hides `:path` and `:method` from the map.
    let world = World::with(TWO_SIDES, |wiring| wiring.allowed_headers = vec!["authorization"]);
    assert_eq!(world.get("/pub/x", &[]).status, 200);
    assert_eq!(world.get("/admin", &[]).code(), "missing_credential");
}
