//! Nobody reads a secret in what Doorward writes.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::rig::http1::{Reply, request, send};
use crate::rig::process::Process;
use crate::rig::wait::eventually;
use crate::rig::wiring::Body;
use crate::world::{ALICE, BOB, HOUSE, World, start_doorward};

/// In the cookie of another application, which the upstream gets.
const OTHERS: &str = "other-secret-0123456789";

/// All that is kept of recent decisions: what `explain --request-id` prints for every id in the log.
fn explained(world: &World) -> String {
    let log = world.doorward.output();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ids: BTreeSet<String> = lines
        .filter_map(|line| line["request_id"].as_str().map(str::to_owned))
        .filter(|id| !id.is_empty())
        .collect();
    let explain = |id: &String| world.command(&["explain", "--request-id", id]).to_string();
    let kept: Vec<String> = ids.iter().map(explain).collect();
    assert!(kept.len() > 20, "{kept:?}");
    kept.join("\n")
}

const CLOUD: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0", auth: "127.0.0.1:0"}
log: {level: trace}
public_url: https://iam.example
roles: [{name: member}]
projects: [{name: shop}]
services: [{name: cloud, paths: [/cloud], authentication: {any: [token]}}]
"#;

#[test]
fn r29_no_secret_is_logged_or_counted_at_any_level() {
    let world = World::with(&format!("log: {{level: trace, allows: 1}}\n{HOUSE}"), |wiring| {
        wiring.raw_headers = true;
        wiring.body =
            Some(Body { max_request_bytes: 8192, allow_partial_message: false, pack_as_bytes: true });
    });
    let folder = tempfile::tempdir().unwrap();
    let tail = world.doorward.setup().command(&["tail", "--output", "json"]);
    let tail = Process::start("tail", tail, &folder.path().join("tail.log")).unwrap();
    eventually("somebody follows", || {
        world.doorward.status("/metrics").unwrap().text().contains("\ndoorward_followers 1\n").then_some(())
    });
    world.command(&["consumer", "create", "carol"]);
    let (made, id) = world.key("carol", &[]);
    let (foreign, _) = world.key("carol", &["--key", "62eb165c070a41d5c1b58d9d3d725ca1"]);
    let wrong = "wrong-0123456789-abcdef";
    for key in [ALICE, BOB, &made, &foreign, wrong] {
        world.get("/orders", &[("apikey", key)]);
        world.get("/orders", &[("apikey", key), ("apikey", key)]);
        world.get(&format!("/orders?key={key}&x=1"), &[]);
        world.get(&format!("/orders?api%6bey={key}"), &[]);
        world.get("/cookies", &[("Cookie", &format!("sid={key}"))]);
        world.get("/cookies", &[("Cookie", &format!("sid={key}; other={OTHERS}; third=x"))]);
        world.get("/bearer", &[("Authorization", &format!("Bearer {key}"))]);
        world.get(&format!("/orders/../x?key={key}"), &[("apikey", key)]);
        world.get(
            "/orders",
            &[("Authorization", &format!("Basic {}", STANDARD.encode(format!("alice:{key}"))))],
        );
        world.get("/orders", &[("X-Auth-Token", key), ("X-Forwarded-For", key), ("Referer", key)]);
        world.post(
            "/orders",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            format!("key={key}").as_bytes(),
        );
        world.post(
            "/orders",
            &[("Content-Type", "application/json")],
            json!({ "key": key }).to_string().as_bytes(),
        );
    }
    // Where no credential belongs, one of ours is known by its form.
    world.get(&format!("/orders/{made}"), &[("apikey", &made)]);
    world.get(&format!("/{made}"), &[("Host", &made), ("x-request-id", &made)]);
    world.send(
        format!("{made} /orders HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    world.command(&["key", "revoke", &id]);
    world.get("/orders", &[("apikey", &made)]);
    world.get("/last", &[]);

    let log = world.doorward.logged("\"/last\"");
    assert!(log.lines().count() > 10, "at trace level there is more to say:\n{log}");
    let metrics = world.doorward.status("/metrics").unwrap().text();
    let shown = world.doorward.setup().run(&["config", "show"]).unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    // The handle of a key of ours may be shown; what follows it may not.
    let secret = made.rsplit('_').next().unwrap();
    let kept = explained(&world);
    assert!(kept.contains("(cookies that are left: 2)"), "{kept}");
    let decisions = log.matches(r#""target":"doorward::check""#).count();
    let followed = eventually("all is followed", || {
        let followed = tail.output();
        (followed.matches(r#""target":"doorward::check""#).count() >= decisions).then_some(followed)
    });
    for (where_, text) in [
        ("log", &log),
        ("metrics", &metrics),
        ("config show", &shown),
        ("explain --request-id", &kept),
        ("tail", &followed),
    ] {
        for key in [ALICE, BOB, secret, &foreign, wrong, OTHERS] {
            assert!(!text.contains(key), "{key} stands in the {where_}");
        }
    }
}

#[test]
fn no_password_token_or_secret_of_an_access_key_is_logged_at_any_level() {
    let world = World::with(CLOUD, |wiring| wiring.raw_headers = true);
    let (password, wrong) = ("four words of her own", "another-secret-of-nobody");
    world.command(&["consumer", "create", "carol", "--role", "shop=member"]);
    world.doorward.set_password("carol", password).unwrap();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| -> Reply {
        let headers = [headers, &[("Connection", "close")]].concat();
        send(world.doorward.auth_address(), &request(method, path, &headers, body.as_bytes())).unwrap()
    };
    let json_of = |status: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &Value| {
        let headers = [headers, &[("Content-Type", "application/json")]].concat();
        let reply = ask(method, path, &headers, &body.to_string());
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        reply
    };
    let form = |path: &str, basic: &str, body: &str| {
        let headers = [("Authorization", basic), ("Content-Type", "application/x-www-form-urlencoded")];
        ask("POST", path, &headers, body)
    };

    eventually("what JWTs are signed with", || {
        (ask("GET", "/.well-known/jwks.json", &[], "").status == 200).then_some(())
    });
    let login = |password: &str| json!({ "username": "carol", "password": password });
    json_of(401, "POST", "/api/auth/access-token", &[], &login(wrong));
    let jwt = json_of(200, "POST", "/api/auth/access-token", &[], &login(password)).json();
    let jwt = jwt["data"]["access_token"].as_str().unwrap();
    let bearer = format!("Bearer {jwt}");
    let own = [("Authorization", &bearer[..])];
    let asked = json!({ "name": "ci", "project_id": "shop" });
    let key = json_of(201, "POST", "/auth/access-keys", &own, &asked).json();
    let (id, secret) = (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap());
    let buy = |status: u16, secret: &str| {
        let credential = json!({ "id": id, "secret": secret });
        let identity = json!({ "methods": ["application_credential"], "application_credential": credential });
        let asked = json!({ "auth": { "identity": identity } });
        json_of(status, "POST", "/identity/v3/auth/tokens", &[], &asked)
    };
    buy(401, wrong);
    let token = buy(201, secret).header("x-subject-token").unwrap().to_owned();
    let basic_of = |secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let (basic, grant) = (basic_of(secret), "grant_type=client_credentials");
    assert_eq!(form("/oauth2/token", &basic_of(wrong), grant).status, 401);
    let other = form("/oauth2/token", &basic, grant).json();
    let other = other["access_token"].as_str().unwrap();
    for token in [&token, other] {
        assert_eq!(world.get("/cloud", &[("X-Auth-Token", token)]).status, 200);
        assert_eq!(form("/oauth2/introspect", &basic, &format!("token={token}")).json()["active"], true);
        assert_eq!(form("/oauth2/introspect", &basic, &format!("token={token}&token={token}")).status, 400);
        let both = [("X-Auth-Token", token), ("X-Subject-Token", token)];
        assert_eq!(ask("GET", "/identity/v3/auth/tokens", &both, "").status, 200);
    }
    let both = [("X-Auth-Token", &token[..]), ("X-Subject-Token", &token)];
    assert_eq!(ask("DELETE", "/identity/v3/auth/tokens", &both, "").status, 204);
    assert_eq!(form("/oauth2/revoke", &basic, &format!("token={other}")).status, 200);
    let again = json!({ "password": password });
    json_of(204, "DELETE", &format!("/auth/access-keys/{id}"), &own, &again);
    assert_eq!(world.get("/cloud", &[("X-Auth-Token", other)]).status, 401);

    world.get("/last", &[]);
    let log = world.doorward.logged("\"/last\"");
    assert!(log.contains("/oauth2/revoke") && log.contains("/identity/v3/auth/tokens"), "{log}");
    let metrics = world.doorward.status("/metrics").unwrap().text();
    // What follows a prefix, and the signature of a JWT, is what nobody may read.
    let last = |text: &str, at: char| text.rsplit(at).next().unwrap().to_owned();
    let secrets = [last(secret, '_'), last(&token, '_'), last(other, '_'), last(jwt, '.'), basic];
    for (place, text) in [("log", &log), ("metrics", &metrics)] {
        for told in secrets.iter().map(|secret| &secret[..]).chain([password, wrong]) {
            assert!(!text.contains(told), "{told} stands in the {place}");
        }
    }
}

#[test]
fn r18_what_a_client_writes_cannot_forge_a_line_of_the_log() {
    let world = World::new();
    world.get("/orders/%0a%0dlevel=ERROR", &[("user-agent", "x\tforged")]);
    world.send(b"GET /orders HTTP/1.1\r\nHost: api.example\r\nx-request-id: a\x09b\r\n\r\n");
    for line in world.doorward.output().lines() {
        assert!(!line.starts_with("level=ERROR") && !line.contains('\r'), "{line:?}");
    }
}

#[test]
fn r26_neither_the_store_nor_its_folder_holds_a_key_in_clear() {
    let world = World::new();
    world.command(&["consumer", "create", "carol"]);
    let (made, _) = world.key("carol", &[]);
    let (foreign, _) = world.key("carol", &["--key", "62eb165c070a41d5c1b58d9d3d725ca1"]);
    let secret = made.rsplit('_').next().unwrap();
    for entry in std::fs::read_dir(&world.doorward.setup().folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for key in [secret, &foreign] {
            assert!(
                memchr::memmem::find(&bytes, key.as_bytes()).is_none(),
                "{key} stands in {}",
                path.display()
            );
        }
    }
}

#[test]
fn no_crash_writes_the_memory_of_a_server_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut doorward = start_doorward(folder.path(), HOUSE);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", doorward.process().id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{core}");
}

#[test]
fn a_key_that_the_file_declares_cannot_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let made = doorward.setup().run(&["key", "create", "alice", "--key", BOB]).unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert_eq!(made.status.code(), Some(1), "{said}");
    assert!(said.contains("in use already") && !said.contains(BOB), "{said}");
}
