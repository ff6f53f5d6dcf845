//! Logins and tokens at `listen.auth`, as the documents print them, through a real Envoy where one is in
//! between.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::rig::doorward::Doorward;
use crate::rig::http1::{Reply, request, send};
use crate::rig::wait::eventually;
use crate::world::{HOUSE, World, setup, start_doorward};

#[track_caller]
fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, &request("GET", path, &[("Connection", "close")], b"")).unwrap()
}

#[track_caller]
fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let headers = [headers, &[("Connection", "close"), ("Content-Type", "application/json")]].concat();
    send(address, &request("POST", path, &headers, body.to_string().as_bytes())).unwrap()
}

/// As somebody types it.
#[track_caller]
fn set_password(doorward: &Doorward, consumer: &str, password: &str) {
    let mut command = doorward.setup().command(&["password", "set", consumer]);
    let mut set =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    set.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let output = set.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_key_set_is_published_by_the_server_to_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("public_url: https://auth.example.com\n{HOUSE}");
    let doorward = start_doorward(folder.path(), &config);
    let set = eventually("there are keys", || {
        let reply = get(doorward.auth_address(), "/.well-known/jwks.json");
        (reply.status == 200).then(|| reply.json())
    });
    assert_eq!(set["keys"].as_array().unwrap().len(), 2, "{set}");
    for elsewhere in [doorward.status_address(), doorward.admin_address()] {
        assert_ne!(get(elsewhere, "/.well-known/jwks.json").status, 200);
    }
    assert_eq!(get(doorward.auth_address(), "/metrics").status, 404);
    assert_eq!(get(doorward.auth_address(), "/consumers").status, 404);
}

const KALA: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
public_url: https://auth.example.com
permissions:
  - {id: 01968c91-8789-7288-a337-f0e398711aac, name: user-management}
  - {id: 01968c91-8789-7724-b62d-946b118ce9d6, name: data-management}
services:
  - name: kala
    paths: [/api/resource]
    authentication: {any: [{jwt: {issuer: doorward}}, api_key: {}, basic]}
    rules:
      - {paths: [/api/resource/users], permissions: [user-management]}
      - {paths: [/api/resource/data], permissions: [data-management]}
  - {name: other, paths: [/other], authentication: {any: [api_key: {}]}}
"#;

const USERS: &str = "01968c91-8789-7288-a337-f0e398711aac";
const DATA: &str = "01968c91-8789-7724-b62d-946b118ce9d6";
const PASSWORD: &str = "four words of her own";

/// The flow of Kala's document at one instance: what passes there is asked at `world`'s Envoy.
#[track_caller]
fn walk_through_kala(world: &World, auth: SocketAddr, username: &str) {
    let login = |password: &str| {
        post(auth, "/api/auth/access-token", &[], &json!({"username": username, "password": password}))
    };
    // The first keys to sign with may be on their way.
    let reply = eventually("a login", || Some(login(PASSWORD)).filter(|reply| reply.status != 503));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let token = answer["data"]["access_token"].as_str().unwrap().to_owned();
    assert_eq!(answer, json!({"data": {"access_token": token}}), "as it is printed");
    assert_eq!(token.split('.').count(), 3);
    let bearer = format!("Bearer {token}");
    let with_token = |path: &str| world.get(path, &[("Authorization", &bearer)]);
    assert_eq!(with_token("/api/resource").status, 200);
    assert_eq!(with_token("/api/resource/users").status, 200);
    assert_eq!(
        with_token("/api/resource/data").code(),
        "permission_denied",
        "permissions are read at the check"
    );

    let make =
        |bearer: &str, asked: &Value| post(auth, "/api/auth/api-key", &[("Authorization", bearer)], asked);
    let reply = make(&bearer, &json!({"validTo": "2099-01-01T00:00:00Z", "permissions": [USERS]}));
    assert_eq!(reply.status, 201, "{}", reply.text());
    let key = reply.json()["data"].as_str().unwrap().to_owned();
    assert_eq!(world.get("/api/resource/users", &[("X-API-Key", &key)]).status, 200);
    assert_eq!(world.get(&format!("/api/resource/users?key={key}"), &[]).status, 200);
    assert_eq!(world.get("/other", &[("X-API-Key", &key)]).status, 200, "all services, where none is named");

    let reply = make(
        &bearer,
        &json!({"validFrom": "2024-01-01T00:00:00Z", "validTo": "2099-01-01T00:00:00Z", "services": ["kala"]}),
    );
    let narrow = reply.json()["data"].as_str().unwrap().to_owned();
    assert_eq!(world.get("/api/resource", &[("X-API-Key", &narrow)]).status, 200);
    assert_eq!(world.get("/api/resource/users", &[("X-API-Key", &narrow)]).code(), "permission_denied");
    assert_eq!(world.get("/other", &[("X-API-Key", &narrow)]).code(), "service_denied");
    let reply =
        make(&bearer, &json!({"validFrom": "2098-01-01T00:00:00Z", "validTo": "2099-01-01T00:00:00Z"}));
    let early = reply.json()["data"].as_str().unwrap().to_owned();
    assert_eq!(world.get("/api/resource", &[("X-API-Key", &early)]).code(), "invalid_credential");

    for (asked, status) in [
        (json!({}), 400),
        (json!({"validTo": "soon"}), 400),
        (json!({"validTo": "2020-01-01T00:00:00Z"}), 400),
        (json!({"validFrom": "2099-01-01T00:00:00Z", "validTo": "2099-01-01T00:00:00Z"}), 400),
        (json!({"validTo": "2099-01-01T00:00:00Z", "permissions": ["nothing"]}), 400),
        (json!({"validTo": "2099-01-01T00:00:00Z", "services": ["nothing"]}), 400),
        (json!({"validTo": "2099-01-01T00:00:00Z", "user": "bob"}), 400),
        (json!({"validTo": "2099-01-01T00:00:00Z", "permissions": [USERS, DATA]}), 403),
    ] {
        let reply = make(&bearer, &asked);
        assert_eq!(reply.status, status, "{asked}: {}", reply.text());
    }
    for credential in [format!("Bearer {key}"), "Bearer a.b.c".to_owned(), format!("Basic {token}")] {
        assert_eq!(make(&credential, &json!({"validTo": "2099-01-01T00:00:00Z"})).status, 401);
    }

    // A revoked key is over, and its maker's token is not.
    let public_name = &key[.."dw_key_".len() + 12];
    world.command(&["key", "revoke", public_name]);
    assert_eq!(world.get("/api/resource", &[("X-API-Key", &key)]).code(), "invalid_credential");
    assert_eq!(with_token("/api/resource").status, 200);
    // A changed password ends what was made at logins by the one before, and no key.
    set_password(&world.doorward, username, "four other words of hers");
    assert_eq!(with_token("/api/resource").code(), "invalid_credential");
    assert_eq!(make(&bearer, &json!({"validTo": "2099-01-01T00:00:00Z"})).status, 401);
    assert_eq!(world.get("/api/resource", &[("X-API-Key", &narrow)]).status, 200);
    let refused = login(PASSWORD);
    assert_eq!((refused.status, refused.code().as_str()), (401, "invalid_credential"));
    assert_eq!(login("four other words of hers").status, 200);
}

#[test]
fn kalas_document_is_walked_through() {
    let world = World::with(KALA, |_| {});
    world.command(&["consumer", "create", "alice", "--permission", USERS]);
    set_password(&world.doorward, "alice", PASSWORD);
    walk_through_kala(&world, world.doorward.auth_address(), "alice");
}

#[test]
fn whoever_is_refused_hears_the_same_and_too_many_tries_are_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("limits: {{login_failures: 3, login_failures_of_address: 8}}\n{KALA}");
    let doorward = start_doorward(folder.path(), &config);
    doorward.command(&["consumer", "create", "alice"]).unwrap();
    set_password(&doorward, "alice", PASSWORD);
    let auth = doorward.auth_address();
    let login = |username: &str, password: &str| {
        let asked = json!({"username": username, "password": password});
        let reply = post(auth, "/api/auth/access-token", &[("x-request-id", "same")], &asked);
        (reply.status, reply.text(), reply)
    };
    let (status, unknown, _) = login("nobody", PASSWORD);
    assert_eq!(status, 401, "{unknown}");
    for wrong in ["wrong", "", "four words of her own "] {
        let (status, text, reply) = login("alice", wrong);
        assert_eq!((status, &text), (401, &unknown));
        assert!(reply.header("www-authenticate").is_some_and(|it| it.starts_with("Bearer")));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    let (status, text, reply) = login("alice", PASSWORD);
    assert_eq!((status, reply.code().as_str()), (429, "throttled"), "{text}");
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=900).contains(&seconds));
    for _ in 0..4 {
        login("x", "x");
    }
    assert_eq!(login("y", "y").0, 429, "the address");
    let asked = |text: &str| {
        let headers = [("Connection", "close"), ("Content-Type", "application/json")];
        send(auth, &request("POST", "/api/auth/access-token", &headers, text.as_bytes())).unwrap().status
    };
    assert_eq!(asked("{"), 400);
    assert_eq!(asked(r#"{"username": "a"}"#), 400);
    assert_eq!(asked(r#"{"username": "a", "password": "b", "admin": true}"#), 400);
    assert_eq!(asked(r#"{"username": "a", "username": "b", "password": "b"}"#), 400);
    assert_eq!(asked(&"x".repeat(20_000)), 413);
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

#[test]
fn a_name_and_a_password_open_while_they_are_there_and_are_kept_from_the_upstream() {
    let folder = tempfile::tempdir().unwrap();
    // The file's own, as `password hash` makes it.
    let hashing = setup(&folder.path().join("hash"));
    hashing.write("").unwrap();
    let mut command = hashing.command(&["password", "hash"]);
    let mut hash = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    hash.stdin.take().unwrap().write_all(b"a phrase of the file's own\n").unwrap();
    let hash = String::from_utf8(hash.wait_with_output().unwrap().stdout).unwrap();
    let config = format!(
        "{KALA}consumers: [{{username: filed, password_from_env: FILED_PHC, permissions: [user-management]}}]\n"
    );
    let world = World::with_environment(&config, &[("FILED_PHC", hash.trim())]);
    let ask = |credential: &str| world.get("/api/resource", &[("Authorization", credential)]);

    let filed = ask(&basic("filed", "a phrase of the file's own"));
    assert_eq!(filed.status, 200);
    assert_eq!(filed.seen().unwrap().header("x-credential-identifier"), Some("filed"));
    assert_eq!(filed.seen().unwrap().header("authorization"), None);
    assert_eq!(ask(&basic("filed", "another")).code(), "invalid_credential");

    world.command(&["consumer", "create", "alice"]);
    set_password(&world.doorward, "alice", PASSWORD);
    for _ in 0..20 {
        assert_eq!(ask(&basic("alice", PASSWORD)).status, 200);
    }
    let refused = ask(&basic("nobody", PASSWORD));
    assert_eq!((refused.status, refused.code().as_str()), (401, "invalid_credential"));
    assert!(refused.headers.iter().any(|(_, value)| value == "Basic realm=\"doorward\""));
    for broken in ["Basic", "Basic !", "Basic YWxpY2U=", "Basic /w=="] {
        assert_eq!(ask(broken).code(), "invalid_credential", "{broken}");
    }
    // What was verified a moment ago is worth nothing any more.
    set_password(&world.doorward, "alice", "four other words of hers");
    assert_eq!(ask(&basic("alice", PASSWORD)).code(), "invalid_credential");
    assert_eq!(ask(&basic("alice", "four other words of hers")).status, 200);
    world.command(&["consumer", "delete", "alice"]);
    assert_eq!(ask(&basic("alice", "four other words of hers")).code(), "invalid_credential");
}
