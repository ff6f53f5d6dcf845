//! What a denied caller reads.

use crate::rig::http1::request;
use crate::world::{ALICE, World};

#[test]
fn denials_are_problem_documents_with_stable_codes() {
    let world = World::new();
    for (target, key, status, code, title) in [
        ("/orders", "", 401, "missing_credential", "Unauthorized"),
        ("/orders", "wrong-0123456789", 401, "invalid_credential", "Unauthorized"),
        ("/nowhere", ALICE, 404, "unknown_service", "Not Found"),
        ("/orders/../x", ALICE, 400, "ambiguous_path", "Bad Request"),
    ] {
        let headers: Vec<(&str, &str)> = if key.is_empty() { vec![] } else { vec![("apikey", key)] };
        let reply = world.get(target, &headers);
        let body = reply.json();
        assert_eq!(reply.status, status, "{target}: {body}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{target}");
        assert_eq!(
            (body["status"].as_u64(), body["title"].as_str()),
            (Some(u64::from(status)), Some(title)),
            "{body}"
        );
        assert_eq!(body["code"], code, "{body}");
        for field in ["type", "message", "request_id"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {body}");
        }
    }
}

#[test]
fn challenges_name_the_schemes_and_the_realm() {
    let world = World::new();
    let challenges = |target: &str| -> Vec<String> {
        let reply = world.get(target, &[]);
        assert_eq!(reply.status, 401, "{target}");
        reply.headers.iter().filter(|(n, _)| n == "www-authenticate").map(|(_, v)| v.clone()).collect()
    };
    assert_eq!(challenges("/realm"), ["Key realm=\"Orders\""]);
    let plain = challenges("/orders");
    assert!(plain.len() == 1 && plain[0].starts_with("Key"), "{plain:?}");
    let bearer = challenges("/bearer");
    assert!(
        bearer.iter().any(|c| c.starts_with("Key")) && bearer.iter().any(|c| c.starts_with("Bearer")),
        "{bearer:?}"
    );
    // What is no 401 asks for nothing.
    assert!(world.get("/nowhere", &[]).header("www-authenticate").is_none());
}

#[test]
fn a_denied_head_request_has_no_body_and_the_next_request_on_the_connection_is_answered() {
    let world = World::new();
    let mut connection = crate::rig::http1::Connection::open(world.envoy.listener("main")).unwrap();
    let head = connection.exchange(&request("HEAD", "/orders", &[], b"")).unwrap();
    assert_eq!((head.status, head.body.len()), (401, 0));
    let next = connection.exchange(&request("GET", "/orders", &[("apikey", ALICE)], b"")).unwrap();
    assert_eq!(next.status, 200);
}

#[test]
fn an_upgrade_to_websocket_is_checked_as_any_request() {
    let world = World::new();
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    assert_eq!(world.get("/orders", &upgrade).code(), "missing_credential");
    assert_eq!(world.echo.requests(), 0);
}

#[test]
fn the_callers_request_id_is_repeated_only_when_it_is_harmless() {
    let world = World::new();
    let id = |sent: &str| {
        let reply = world.get("/orders", &[("x-request-id", sent)]);
        reply.json()["request_id"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(id("7f3a-good"), "7f3a-good");
    let envoys = world.get("/orders", &[]).json()["request_id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(envoys.len(), 36, "Envoy's, where the caller has none: {envoys:?}");
    // Envoy keeps the client's unless it is at the edge.
    for hostile in ["\"}{<script>", "a\tb", &"x".repeat(129), "é"] {
        let found = id(hostile);
        assert!(
            found.len() <= 128 && found.bytes().all(|byte| byte.is_ascii_graphic()),
            "{hostile:?}: {found:?}"
        );
    }
}
