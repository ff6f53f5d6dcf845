#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const POLICY: &str = r#"
policy: |
  services:
    - {name: orders, hosts: [api.example.com], paths: [/orders], authentication: {any: [{api_key: {}}]}}
    - {name: shy, paths: [/shy], authentication: {any: [{api_key: {}}]}, mode: shadow}
  consumers:
    - username: alice
      keys: [{from_env: ALICE_KEY, not_before: 2026-01-01T00:00:00Z, expires_at: 2027-01-01T00:00:00Z}]
env: {ALICE_KEY: alice-0123456789-abcdef}
now: 2026-06-01T12:00:00Z
defaults: {host: api.example.com, target: /orders, headers: [[apikey, "{ALICE_KEY}"]]}
cases:
"#;

fn suite(text: &str) -> Result<Suite, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.yaml");
    std::fs::write(&file, text).unwrap();
    let place = format!("{}/", folder.path().display());
    Suite::read(&file).map_err(|faults| faults.to_string().replace(&place, ""))
}

/// The differences of one case, written as a row.
#[track_caller]
fn check(row: &str, expected: &[&str]) {
    let suite = suite(&format!("{POLICY}  - {row}\n")).unwrap_or_else(|faults| panic!("{faults}"));
    let tried = suite.run();
    assert_eq!(tried[0].differences, expected, "{row}");
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn what_is_as_expected_has_no_differences_and_all_else_is_named() {
    check("{case: a, expect: allow}", &[]);
    check("{case: a, expect: deny}", &["passes: expected false, found true", "verdict: expected deny, found allow"]);
    check("{case: a, request: {headers: []}, expect: missing_credential}", &[]);
    check("{case: a, request: {headers: []}, expect: allow}",
          &["passes: expected true, found false", "verdict: expected allow, found deny"]);
    check("{case: a, request: {headers: []}, expect: {status: 401, challenges: [Key], deployment: orders}}", &[]);
    check("{case: a, request: {headers: []}, expect: {challenges: []}}", &["challenges: expected none, found Key"]);
    check("{case: a, expect: {consumer: alice, mode: enforce, set: {X-Consumer-Username: alice}, absent: [x-roles]}}", &[]);
    check("{case: a, expect: {consumer: bob, set: {x-roles: admin}, absent: [x-consumer-username]}}",
          &["consumer: expected bob, found alice", "set x-roles: expected admin, found none",
            "absent x-consumer-username: expected none, found `alice`"]);
    check("{case: a, request: {target: '/orders?apikey={ALICE_KEY}', headers: []}, expect: {remove_query: [apikey]}}", &[]);
    check("{case: a, request: {headers: [[x-mine, a]]}, expect: {absent: [x-mine]}}", &[]);
    check("{case: a, request: {headers: [[apikey, '{ALICE_KEY}'], [x-mine, a]]}, expect: {absent: [x-mine]}}",
          &["absent x-mine: expected none, found the client's own"]);
    check("{case: a, request: {source: 192.0.2.1}, expect: {client: 192.0.2.1}}", &[]);
    check("{case: a, expect: {client: unknown}}", &[]);
}

#[test]
fn time_is_the_files_and_a_case_may_have_its_own() {
    check("{case: a, expect: allow}", &[]);
    check("{case: a, now: 2025-12-31T23:59:59Z, expect: {why: not_yet_valid}}", &[]);
    check("{case: a, now: 2027-01-01T00:00:00Z, expect: {why: expired}}", &[]);
}

#[test]
fn in_shadow_mode_a_denial_passes_and_is_neither_word() {
    let row =
        |expect| format!("{{case: a, request: {{target: /shy, host: x, headers: []}}, expect: {expect}}}");
    check(&row("{passes: true, verdict: deny, code: missing_credential, mode: shadow, status: 200}"), &[]);
    check(&row("allow"), &["verdict: expected allow, found deny"]);
    check(&row("missing_credential"), &["passes: expected false, found true"]);
}

#[test]
fn a_file_that_cannot_be_used_says_where_and_why() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let said = suite(text).err().unwrap();
        assert_eq!(said.lines().next().unwrap(), expected, "{text}");
    }
    let row = |row: &str| format!("{POLICY}  - {row}\n");
    check(
        "cases:\n  - {case: a, expect: allow}\n",
        "cases.yaml:2:3: there is neither of `config` and `policy`, expected exactly one of them",
    );
    check(
        &row("{case: a, request: {path: /}, expect: allow}"),
        "cases.yaml:13:25: unknown key `path`, expected one of `method`, `target`, `host`, `headers`, `body`, \
         `source`, `service`, `infrastructure`, `joined`, `allowed_headers`",
    );
    check(
        &row("{case: a, request: {source: '127.1'}, expect: allow}"),
        "cases.yaml:13:5: `source`: expected an IP address or `unix`, found `127.1`",
    );
    check(
        &format!("{POLICY}  []\n"),
        "cases.yaml:13:3: `cases` is empty, and a file that tests nothing is never wrong",
    );
    check(
        "policy: 'services: 1'\ncases: []\n",
        "cases.yaml: policy:1:11: expected a list, found a number or a truth value",
    );
    check(
        "config: nowhere.yaml\ncases: []\n",
        "nowhere.yaml: cannot be read: No such file or directory (os error 2)",
    );
}
