//! The audit log: what is in it, and that it cannot be changed in silence.

use serde_json::{Value, json};

use crate::admin::{admin_key, ask};
use crate::rig::http1::{request, send};
use crate::world::{HOUSE, command, start_doorward, started};

#[test]
fn every_change_is_in_the_audit_log_with_who_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut doorward = start_doorward(folder.path(), HOUSE);
    let (key, admin) = admin_key(&doorward);
    let bearer = format!("Bearer {key}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
        ("X-Request-Id", "deploy-42"),
        ("Connection", "close"),
    ];
    let made =
        send(doorward.admin_address(), &request("POST", "/consumers", &headers, br#"{"username":"carol"}"#));
    let made = made.unwrap();
    assert_eq!((made.status, made.header("x-request-id")), (201, Some("deploy-42")));
    let carol = made.json()["id"].clone();
    command(&doorward, &["key", "create", "carol"]);
    command(&doorward, &["consumer", "delete", "carol"]);
    // What is refused is no change.
    assert!(doorward.command(&["consumer", "delete", "carol"]).is_err());

    let listed = command(&doorward, &["audit", "list"]);
    let rows = listed.as_array().unwrap();
    let actions: Vec<&str> = rows.iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["consumer.delete", "key.create", "consumer.create", "admin_key.create"], "{listed}");
    assert_eq!(rows[2]["actor"], json!({ "kind": "admin_key", "id": admin }));
    assert_eq!((&rows[2]["object"], &rows[2]["request_id"]), (&carol, &json!("deploy-42")));
    assert_eq!(rows[0]["actor"], json!({ "kind": "socket", "id": null }));
    assert!(!listed.to_string().contains(&key), "no secret: {listed}");

    let only = |arguments: &[&str]| {
        command(&doorward, &[&["audit", "list"], arguments].concat()).as_array().unwrap().len()
    };
    assert_eq!(only(&["--actor", &admin]), 1);
    assert_eq!(only(&["--actor", "socket", "--action", "consumer"]), 1);
    assert_eq!(only(&["--object", carol.as_str().unwrap()]), 2);
    assert_eq!(only(&["--since", "2099-01-01T00:00:00Z"]), 0);
    assert_eq!(only(&["--until", "2001-01-01T00:00:00Z"]), 0);
    assert_eq!(only(&["--limit", "3"]), 3);

    let whole = command(&doorward, &["audit", "verify"]);
    assert_eq!((&whole["whole"], &whole["entries"], &whole["chains"]), (&json!(true), &json!(4), &json!(1)));
    // The same chain goes on after a restart, and for commands without a server.
    doorward.process().kill();
    command(&doorward, &["consumer", "create", "dave"]);
    let doorward = started(&doorward.setup().clone());
    command(&doorward, &["consumer", "delete", "dave"]);
    let whole = command(&doorward, &["audit", "verify"]);
    assert_eq!((&whole["whole"], &whole["entries"], &whole["chains"]), (&json!(true), &json!(6), &json!(1)));
}

#[test]
fn pages_of_the_audit_log_are_the_whole_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let (key, _) = admin_key(&doorward);
    let to = doorward.admin_address();
    for number in 0..20 {
        let body = format!(r#"{{"username":"c{number}"}}"#);
        assert_eq!(ask(to, &key, "POST", "/consumers", body.as_bytes()).status, 201);
    }
    let mut seen: Vec<Value> = Vec::new();
    let mut next = Some("/audit?size=6&action=consumer".to_owned());
    while let Some(path) = next {
        let page = ask(to, &key, "GET", &path, b"").json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|row| row["number"].clone()));
        next = page["next"].as_str().map(str::to_owned);
    }
    let expected: Vec<Value> = (2..=21).rev().map(Value::from).collect();
    assert_eq!(seen, expected);
}
