//! Paths that can be read in two ways, hosts and targets of odd forms: gotchas 12, 15 and 16.

use crate::rig::http1::request;
use crate::rig::wiring::Paths;
use crate::tables::suite;
use crate::world::{ALICE, HOUSE, World};

/// One public prefix, one that asks for a key, on every host.
const TWO_SIDES: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: pub, paths: [/pub], authentication: none}
  - {name: admin, paths: [/admin], authentication: {any: [{api_key: {}}]}}
"#;

#[test]
fn no_spelling_of_a_protected_path_passes_as_public() {
    let suite = suite("paths.yaml");
    for mode in Paths::ALL {
        let world = World::of(&suite, |wiring| wiring.paths = mode);
        for target in suite.cases().iter().filter_map(|case| case.request.target.as_ref()) {
            let reply = world.get(target, &[]);
            if reply.status != 200 {
                continue;
            }
            let seen = reply.seen().expect("the upstream's answer").target;
            for reading in readings(&seen) {
                assert!(
                    reading == "/pub" || reading.starts_with("/pub/"),
                    "{mode:?}: {target} passed as public, the upstream got {seen} and may read {reading}"
                );
            }
        }
        assert_eq!(world.get("/pub/x", &[]).status, 200, "{mode:?}: a plain path has to pass");
    }
}

/// The paths that some upstream makes of a target: decoded or not, once or twice, backslashes turned,
/// parameters dropped, slashes merged, dots resolved.
fn readings(target: &str) -> Vec<String> {
    let path = target.split('?').next().unwrap_or_default();
    let once = decoded(path);
    let twice = decoded(&once);
    [path.to_owned(), once, twice]
        .iter()
        .flat_map(|path| [path.clone(), path.replace('\\', "/")])
        .flat_map(|path| [path.clone(), without_parameters(&path)])
        .map(|path| resolved(&path).to_lowercase())
        .collect()
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = (*first == b'%').then(|| std::str::from_utf8(tail.get(..2)?).ok()).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
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
