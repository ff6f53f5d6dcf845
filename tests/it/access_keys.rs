//! KakaoCloud's document from the login on, as its users have it: through a hardened Envoy, at
//! `listen.auth` and at a service. An access key is made, buys tokens, and they are lost in each way
//! there is.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::identity::{CLOUD, PROJECT, authentication};
use crate::rig::doorward::Doorward;
use crate::rig::echo::Echo;
use crate::rig::http1::{Reply, request, send};
use crate::rig::wait::eventually;
use crate::world::{command, start_doorward, start_hardened};

const PASSWORD: &str = "four words of her own";
const OTHER: &str = "four other words of hers";

const SERVICES: &str = r#"
public_url: "https://iam.example"
services:
  - {name: cloud, paths: [/cloud], authentication: {any: [token]}, rules: [{paths: [/cloud/admin], roles: [admin]}]}
"#;

/// Asks again where a busy machine is to blame: Envoy did not get through in its time, which it says without
/// JSON, or Doorward shed load. Whatever else comes is the answer.
#[track_caller]
fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [&[("Content-Type", "application/json"), ("Connection", "close")], headers].concat();
    let bytes = request(method, path, &headers, body.as_bytes());
    eventually("an answer", || {
        let reply = send(to, &bytes).unwrap_or_else(|message| panic!("{message}"));
        let busy = reply.json().is_null() || ["deadline", "overloaded"].contains(&&*reply.code());
        (reply.status != 503 || !busy).then_some(reply)
    })
}

/// What becomes of a request with this token: `200`, or the code of the denial.
#[track_caller]
fn outcome(to: SocketAddr, path: &str, token: &str) -> String {
    let reply = ask(to, "GET", path, &[("X-Auth-Token", token)], &Value::Null);
    if reply.status == 200 { "200".to_owned() } else { reply.code() }
}

/// The Envoys of two instances, or one twice.
struct Site<'s> {
    first: SocketAddr,
    second: SocketAddr,
    doorward: &'s Doorward,
}

impl Site<'_> {
    /// At the instance that was told at once, at the other one soon.
    #[track_caller]
    fn expect(&self, path: &str, token: &str, expected: &str) {
        assert_eq!(outcome(self.first, path, token), expected, "{path}");
        eventually(&format!("{path} is {expected} at the other instance"), || {
            (outcome(self.second, path, token) == expected).then_some(())
        });
    }

    #[track_caller]
    fn login(&self, password: &str) -> String {
        let asked = json!({ "username": "carol", "password": password });
        // The first keys to sign with may be on their way.
        let reply = eventually("there are keys to sign with", || {
            let reply = ask(self.first, "POST", "/api/auth/access-token", &[], &asked);
            (reply.code() != "unavailable").then_some(reply)
        });
        assert_eq!(reply.status, 200, "{}", reply.text());
        format!("Bearer {}", reply.json()["data"]["access_token"].as_str().unwrap())
    }

    #[track_caller]
    fn buy(&self, at: SocketAddr, credential: &Value) -> String {
        eventually("a token", || {
            let reply = ask(at, "POST", "/identity/v3/auth/tokens", &[], &authentication(credential));
            (reply.status == 201).then(|| reply.header("x-subject-token").unwrap().to_owned())
        })
    }

    #[track_caller]
    fn update(&self, change: &[&str]) {
        command(self.doorward, &[&["consumer", "update", "carol"], change].concat());
    }
}

/// An access key of carol's own making.
#[track_caller]
fn make_key(site: &Site<'_>, bearer: &str) -> (String, String) {
    let make = |bearer: &str, asked: Value| {
        ask(site.first, "POST", "/auth/access-keys", &[("Authorization", bearer)], &asked)
    };
    let reply = make(bearer, json!({ "name": "ci", "project_id": PROJECT }));
    assert_eq!(reply.status, 201, "{}", reply.text());
    let made = reply.json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let (id, secret) = (text("id"), text("secret"));
    assert_eq!(made, json!({ "id": id, "secret": secret, "name": "ci", "project_id": PROJECT }));
    assert!(secret.starts_with("dw_app_") && !id.contains('-'), "{id}");
    for (asked, status) in [
        (json!({ "name": "ci", "project_id": PROJECT }), 409),
        (json!({ "name": "more", "project_id": PROJECT, "roles": ["owner"] }), 403),
        (json!({ "name": "more", "project_id": PROJECT, "roles": ["nothing"] }), 400),
        (json!({ "name": "more", "project_id": "5b4d0f9a0a8f4c7b9d3e1c2f6a7b8c9d" }), 403),
        (json!({ "name": "more", "project_id": "nowhere" }), 400),
        (json!({ "name": "more", "project_id": PROJECT, "expires_at": "soon" }), 400),
        (json!({ "name": "more", "project_id": PROJECT, "expires_at": "2020-01-01T00:00:00Z" }), 400),
        (json!({ "name": "more", "project_id": PROJECT, "consumer": "bob" }), 400),
        (json!({ "name": "more" }), 400),
    ] {
        let reply = make(bearer, asked.clone());
        assert_eq!(reply.status, status, "{asked}: {}", reply.text());
    }
    let listed = ask(site.first, "GET", "/auth/access-keys", &[("Authorization", bearer)], &Value::Null);
    assert_eq!(listed.json()["data"][0]["id"], id, "{}", listed.text());
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 1);
    assert!(!listed.text().contains("dw_app_"), "{}", listed.text());
    (id, secret)
}

/// What an access key bought is none of a login's: whoever was told that it is over would leave it lying open.
#[track_caller]
fn not_logged_out(site: &Site<'_>, token: &str) {
    let left = ask(site.first, "POST", "/auth/cloud/logout", &[("X-Auth-Token", token)], &json!({}));
    assert_eq!((left.status, left.code().as_str()), (401, "missing_credential"), "{}", left.text());
}

/// From the login to the end of the key.
#[track_caller]
fn walk_through_kakaocloud(site: &Site<'_>) {
    let bearer = site.login(PASSWORD);
    let (id, secret) = make_key(site, &bearer);
    let by_id = json!({ "id": id, "secret": secret });
    let user = command(site.doorward, &["consumer", "show", "carol"])["id"].clone();
    let by_name = json!({ "name": "ci", "secret": secret, "user": { "id": user } });
    let tokens = [site.buy(site.first, &by_id), site.buy(site.second, &by_name)];

    let user = user.as_str().unwrap().replace('-', "");
    for token in &tokens {
        site.expect("/cloud/admin", token, "200");
        let path = format!("/identity/v3/users/{user}/projects");
        let listed = ask(site.second, "GET", &path, &[("X-Auth-token", token)], &Value::Null);
        assert_eq!(listed.json()["projects"][0]["id"], PROJECT, "{}", listed.text());
        // What an access key bought is no login.
        let bought = format!("Bearer {token}");
        for method in ["GET", "POST"] {
            let asked = json!({ "name": "more", "project_id": PROJECT });
            let reply = ask(site.first, method, "/auth/access-keys", &[("Authorization", &bought)], &asked);
            assert_eq!((reply.status, reply.code().as_str()), (401, "invalid_credential"));
        }
        not_logged_out(site, token);
        site.expect("/cloud/admin", token, "200");
    }
    // Whose owner is switched off for a while is still there after it.
    site.update(&["--disable"]);
    for token in &tokens {
        site.expect("/cloud", token, "invalid_credential");
        not_logged_out(site, token);
    }
    site.update(&["--enable"]);
    tokens.iter().for_each(|token| site.expect("/cloud/admin", token, "200"));

    // From Project Admin to Project Member, and out of the project.
    site.update(&["--role", "kakaocloud-project=member"]);
    for token in &tokens {
        site.expect("/cloud/admin", token, "permission_denied");
        site.expect("/cloud", token, "200");
    }
    site.update(&["--no", "roles"]);
    let none = ask(site.first, "POST", "/identity/v3/auth/tokens", &[], &authentication(&by_id));
    assert_eq!(none.status, 401, "{}", none.text());
    for token in &tokens {
        site.expect("/cloud", token, "invalid_credential");
        not_logged_out(site, token);
    }
    site.update(&["--role", "kakaocloud-project=admin"]);
    tokens.iter().for_each(|token| site.expect("/cloud/admin", token, "200"));

    // Another password ends what was opened before; the key buys anew.
    site.doorward.set_password("carol", OTHER).unwrap();
    tokens.iter().for_each(|token| site.expect("/cloud", token, "invalid_credential"));
    let stale = ask(site.first, "GET", "/auth/access-keys", &[("Authorization", &bearer)], &Value::Null);
    assert_eq!(stale.status, 401);
    let token = site.buy(site.first, &by_id);
    site.expect("/cloud", &token, "200");

    // Whoever only has the login's token cannot end the key.
    let bearer = site.login(OTHER);
    let end = |id: &str, body: Value| {
        let path = format!("/auth/access-keys/{id}");
        ask(site.first, "DELETE", &path, &[("Authorization", &bearer)], &body).status
    };
    assert_eq!(end(&id, Value::Null), 400);
    assert_eq!(end(&id, json!({ "password": PASSWORD })), 401);
    assert_eq!(end(&user, json!({ "password": OTHER })), 404);
    assert_eq!(outcome(site.first, "/cloud", &token), "200");
    assert_eq!(end(&id, json!({ "password": OTHER })), 204);
    site.expect("/cloud", &token, "invalid_credential");
    let none = ask(site.first, "POST", "/identity/v3/auth/tokens", &[], &authentication(&by_id));
    assert_eq!(none.status, 401);
    assert_eq!(end(&id, json!({ "password": OTHER })), 404);
}

fn carol(doorward: &Doorward) {
    command(doorward, &["consumer", "create", "carol", "--role", "kakaocloud-project=admin"]);
    doorward.set_password("carol", PASSWORD).unwrap();
}

#[test]
fn kakaoclouds_document_is_walked_through() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let config = format!("listen: {{grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}}{CLOUD}{SERVICES}");
    let doorward = start_doorward(&folder.path().join("doorward"), &config);
    let envoy = start_hardened(folder.path(), &doorward, echo.address());
    carol(&doorward);
    let here = envoy.listener("main");
    walk_through_kakaocloud(&Site { first: here, second: here, doorward: &doorward });
}

#[test]
fn kakaoclouds_document_is_walked_through_at_two_instances_over_one_redis() {
    let mut fleet = Fleet::new(0);
    let echo = Echo::start(0).unwrap();
    for _ in 0..2 {
        let (setup, proxy) = fleet.plan("");
        let written = std::fs::read_to_string(setup.file()).unwrap();
        setup.write(&written.replacen("services:\n", format!("{CLOUD}{SERVICES}").trim_start(), 1)).unwrap();
        let doorward = setup.start().unwrap_or_else(|message| panic!("{message}"));
        fleet.join(doorward, proxy);
    }
    let envoys = [0, 1].map(|at| {
        let folder = fleet.folder.path().join(format!("envoy-{at}"));
        std::fs::create_dir(&folder).unwrap();
        start_hardened(&folder, &fleet.instances[at].doorward, echo.address())
    });
    let doorward = &fleet.instances[0].doorward;
    carol(doorward);
    let [first, second] = [envoys[0].listener("main"), envoys[1].listener("main")];
    walk_through_kakaocloud(&Site { first, second, doorward });
}
