//! The dashboard and the alerts: Prometheus' own tool reads them, and what they ask for is there.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use doorward::domain::jwt::Algorithm;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::jwt::{jwks, key};
use crate::login::post;
use crate::rig::doorward::Doorward;
use crate::rig::http1::{request, send};
use crate::rig::tools;
use crate::rig::wait::eventually;
use crate::world::{command, said, setup, start_doorward, started};

const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yaml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/doorward.json");
const DOCUMENT: &str = include_str!("../../docs/monitoring.md");

/// One that has something to tell under every name: a certificate, an option that weakens, issuers.
pub(crate) fn talkative(folder: &Path) -> Doorward {
    let pair = Authority::new(&folder.join("tls")).issue("own");
    let config = format!(
        r#"
listen: {{grpc: "127.0.0.1:0", status: "127.0.0.1:0", tls: {{auth: {}}}}}
keys: {{insecure_allow_weak: true}}
issuers:
  here: {{issuer: "https://here.example", audiences: [orders], algorithms: [EdDSA], jwks_file: keys.json}}
  away: {{issuer: "https://away.example", audiences: [orders], algorithms: [EdDSA], jwks_url: "http://127.0.0.1:9/jwks"}}
services:
  - {{name: orders, authentication: {{any: [{{jwt: {{issuer: here}}}}, {{jwt: {{issuer: away}}}}]}}}}
"#,
        pair.setting("")
    );
    let setup = setup(folder);
    std::fs::write(folder.join("keys.json"), jwks(&[&key("1", Algorithm::EdDsa)])).unwrap();
    setup.write(&config).unwrap();
    started(&setup)
}

pub(crate) fn metrics(doorward: &Doorward) -> String {
    String::from_utf8(doorward.status("/metrics").unwrap().body).unwrap()
}

/// The names of our metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !word(letter));
    let ours = words.filter(|word| word.starts_with("doorward_") || word.starts_with("process_"));
    ours.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn every_metric_of_dashboard_and_alerts_is_there_and_promtool_finds_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = talkative(folder.path());
    let asked: BTreeSet<String> =
        [ALERTS, DASHBOARD].into_iter().flat_map(names).chain(names(DOCUMENT)).collect();
    assert!(asked.len() > 20, "{asked:?}");
    eventually("every metric is there", || {
        let there = metrics(&doorward);
        let missing = asked.iter().find(|name| !there.contains(&format!("\n# TYPE {name} ")));
        missing.is_none().then_some(())
    });

    let promtool = tools::program("promtool").unwrap();
    let mut lint = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    lint.stdin.take().unwrap().write_all(metrics(&doorward).as_bytes()).unwrap();
    let output = lint.wait_with_output().unwrap();
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let promtool = tools::program("promtool").unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    for arguments in [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]] {
        let output = Command::new(&promtool).args(arguments).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    for alert in ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(DOCUMENT.contains(&format!("| `{alert}` |")), "docs/monitoring.md has no line about {alert}");
    }
}

#[test]
fn every_query_of_the_dashboard_is_one() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<String> = targets
        .map(|target| {
            target["expr"].as_str().unwrap().replace("$__rate_interval", "5m").replace("$instance", ".*")
        })
        .collect();
    assert!(queries.len() > 30, "{}", queries.len());
    let rules: Vec<Value> = (0..)
        .zip(&queries)
        .map(|(number, query)| serde_json::json!({"record": format!("query:{number}"), "expr": query}))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queries.yaml");
    let group = serde_json::json!({"groups": [{"name": "queries", "rules": rules}]});
    std::fs::write(&file, group.to_string()).unwrap();
    let output = Command::new(tools::program("promtool").unwrap())
        .args(["check", "rules"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// The counter of logins, as it is now.
fn logins(doorward: &Doorward, by: &str, outcome: &str) -> String {
    let name = format!(r#"doorward_logins_total{{by="{by}",outcome="{outcome}"}} "#);
    let text = metrics(doorward);
    text.lines().find_map(|line| line.strip_prefix(&name)).expect("it is there from the start").to_owned()
}

#[test]
fn whoever_wants_to_be_let_in_is_counted_by_what_becomes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
public_url: https://auth.example.com
limits: {login_failures: 2}
services:
  - {name: news, paths: [/news], authentication: {any: [{token: {kinds: [dynamic]}}]}}
  - {name: partners, paths: [/partners], authentication: {any: [static_token]}}
  - {name: closed, paths: [/closed], authentication: {any: [token, static_token]}, networks: {deny: [127.0.0.0/8]}}
"#;
    let doorward = start_doorward(folder.path(), config);
    command(&doorward, &["consumer", "create", "alice"]);
    doorward.set_password("alice", "four words of her own").unwrap();
    for by in ["password", "access_key", "grant", "admin"] {
        for outcome in ["granted", "refused", "throttled", "busy", "unavailable"] {
            assert_eq!(logins(&doorward, by, outcome), "0", "{by} {outcome}");
        }
    }

    let asked = |path: &str, body: Value| post(doorward.auth_address(), path, &[], &body);
    let login =
        |password: &str| asked("/auth/news/login", json!({"username": "alice", "password": password}));
    let granted = login("four words of her own");
    assert_eq!(granted.status, 200, "{}", granted.text());
    assert_eq!([login("wrong"), login("wrong"), login("wrong")].map(|reply| reply.status), [401, 401, 429]);
    let grant = granted.json()["grant_token"].clone();
    let token = |grant: &Value| asked("/auth/news/token", json!({"grant_token": grant})).status;
    assert_eq!([token(&grant), token(&grant)], [200, 401]);
    let credential = json!({"id": "0".repeat(32), "secret": "wrong"});
    let identity = json!({"methods": ["application_credential"], "application_credential": credential});
    let refused = asked("/identity/v3/auth/tokens", json!({"auth": {"identity": identity}}));
    assert_eq!(refused.status, 401, "{}", refused.text());
    let admin = command(&doorward, &["admin-key", "create"])["key"].as_str().unwrap().to_owned();
    let list = |key: &str| {
        let bearer = format!("Bearer {key}");
        let headers = [("Authorization", &bearer[..]), ("Connection", "close")];
        send(doorward.admin_address(), &request("GET", "/consumers", &headers, b"")).unwrap().status
    };
    assert_eq!([list("wrong"), list(&admin)], [401, 200]);
    let make = |service: &str, key: &str| {
        let (path, bearer) = (format!("/auth/{service}/token"), format!("Bearer {key}"));
        let headers = [("Authorization", &bearer[..])];
        post(doorward.auth_address(), &path, &headers, &json!({"consumer": "alice"})).status
    };
    assert_eq!([make("news", "wrong"), make("partners", "wrong"), make("partners", &admin)], [404, 401, 200]);
    // Nor from an address that the service lets in nowhere.
    let login = json!({"username": "alice", "password": "four words of her own"});
    let denied =
        [asked("/auth/closed/login", login), asked("/auth/closed/token", json!({"grant_token": "x"}))];
    assert_eq!(denied.map(|reply| reply.status), [403, 403]);
    assert_eq!(make("closed", &admin), 403);

    for (by, outcome, count) in [
        ("password", "granted", "1"),
        ("password", "refused", "3"),
        ("password", "throttled", "1"),
        ("grant", "granted", "1"),
        ("grant", "refused", "2"),
        ("access_key", "granted", "0"),
        ("access_key", "refused", "1"),
        ("admin", "granted", "2"),
        ("admin", "refused", "3"),
    ] {
        assert_eq!(logins(&doorward, by, outcome), count, "{by} {outcome}");
    }
    assert!(metrics(&doorward).contains("\ndoorward_revocation_bound_seconds 10\n"));
}
