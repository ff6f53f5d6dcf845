//! `doorward bench`, against a real server.

use serde_json::Value;

use crate::world::{ALICE, HOUSE, said, setup, started};

/// A quarter of a second, a hundred checks.
const SHORT: [&str; 4] = ["--rate", "400", "--duration", "250ms"];

#[test]
fn a_running_instance_is_asked_at_a_fixed_rate_and_its_verdicts_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    setup.write(HOUSE).unwrap();
    let doorward = started(&setup);
    let account = |header: &str| {
        let asked = ["bench", "/orders", "--host", "api.example", "-H", header];
        doorward.command(&[&asked[..], &SHORT].concat()).unwrap()
    };
    for (header, verdict, status) in [
        (&*format!("apikey: {ALICE}"), "allow", Value::Null),
        ("apikey: wrong-0123456789", "deny", 401.into()),
    ] {
        let account = account(header);
        let one = serde_json::json!({ "verdict": verdict, "status": status, "count": 100 });
        assert_eq!(account["verdicts"], serde_json::json!([one]), "{account}");
        assert_eq!(account["answered"], 100);
        assert_eq!(account["errors"], serde_json::json!({}));
        let times = ["p50_us", "p99_us", "p99_9_us", "max_us"].map(|name| account[name].as_u64().unwrap());
        assert!(times.is_sorted() && times[0] > 0, "{account}");
        assert!(!account.to_string().contains(ALICE), "the key is told");
    }
    let metrics = doorward.status("/metrics").unwrap().text();
    let allowed = r#"doorward_checks_total{code="",mode="enforce",verdict="allow"} 100"#;
    assert!(metrics.lines().any(|line| line == allowed), "{metrics}");
}

#[test]
fn who_cannot_be_asked_is_said_and_what_is_not_bounded_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    setup.write(HOUSE).unwrap();
    let nobody = format!("127.0.0.1:{}", crate::rig::port::free_port().unwrap());
    for (arguments, code, word) in [
        (&["bench", "/orders", "--target", &*nobody][..], 3, &*nobody),
        (&["bench", "/orders", "--rate", "20001"], 2, "20001"),
        (&["bench", "/orders", "--duration", "6m"], 2, "at most 5 minutes"),
        (&["bench", "/orders", "--duration", "0s"], 2, "more than nothing"),
        (&["bench", "/orders", "--duration", "soon"], 2, "`250ms`, `10s`"),
        (&["bench", "orders"], 2, "is no URL"),
    ] {
        let output = setup.run(arguments).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(word), "{arguments:?}: {}", said(&output));
    }
}
