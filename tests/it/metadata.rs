//! What Envoy is told besides the verdict: for its access log and its rate limits.

use std::path::Path;

use serde_json::Value;

use crate::rig::wait::eventually;
use crate::world::{ALICE, HOUSE, World};

/// The access log's line for a path.
pub(crate) fn line(log: &Path, path: &str) -> Value {
    eventually(&format!("the access log has {path}"), || {
        let text = std::fs::read_to_string(log).ok()?;
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|line: &Value| line["path"] == path)
    })
}

#[test]
fn envoys_access_log_says_who_called_and_why_one_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let world = World::with(HOUSE, |wiring| wiring.access_log = Some(log.clone()));
    let seen = world.get("/orders/allowed", &[("apikey", ALICE)]).seen().expect("allowed");
    world.get("/orders/denied", &[("apikey", "wrong-0123456789-abcdef")]);
    world.get("/guests/x", &[]);

    let allowed = &line(&log, "/orders/allowed")["doorward"];
    for (field, value) in [
        ("service", "orders"),
        ("verdict", "allow"),
        ("username", "alice"),
        ("method", "api_key"),
        ("mode", "enforce"),
        ("consumer", seen.header("x-consumer-id").unwrap()),
        ("credential", seen.header("x-credential-identifier").unwrap()),
    ] {
        assert_eq!(allowed[field], value, "{field} in {allowed}");
    }
    let denied = &line(&log, "/orders/denied")["doorward"];
    for (field, value) in [("service", "orders"), ("verdict", "deny"), ("code", "invalid_credential")] {
        assert_eq!(denied[field], value, "{field} in {denied}");
    }
    assert!(denied["username"].is_null(), "{denied}");
    assert_eq!(line(&log, "/guests/x")["doorward"]["username"], "guest");
}
