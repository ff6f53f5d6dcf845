//! Kong's Admin API: paths, verbs, statuses and shapes as `kong-behaviour.md` 8 has them, over the socket.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::login::basic;
use crate::plugins::public;
use crate::rig::doorward::Doorward;
use crate::rig::http1::{Reply, request, send_to_socket};
use crate::rig::process::Signal;
use crate::rig::wait::eventually;
use crate::world::{ALICE, HOUSE, World, start_doorward};

/// The admin API of a server, over its socket.
pub(crate) struct Api {
    socket: PathBuf,
}

impl Api {
    pub(crate) fn of(doorward: &Doorward) -> Self {
        Self { socket: doorward.setup().folder.join("doorward.sock") }
    }

    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, "application/json", &body)
    }

    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, encoding: &str, body: &str) -> Reply {
        let headers = [("Content-Type", encoding), ("Connection", "close")];
        let headers = if body.is_empty() { &headers[1..] } else { &headers[..] };
        send_to_socket(&self.socket, &request(method, path, headers, body.as_bytes())).unwrap()
    }

    /// One that has to come to this status; its body.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16, method: &str, path: &str, body: Value) -> Value {
        let reply = self.call(method, path, &body);
        assert_eq!(reply.status, status, "{method} {path} {body}: {}", reply.text());
        reply.json()
    }
}

fn server() -> (Doorward, Api, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(&folder.path().join("doorward"), HOUSE);
    let api = Api::of(&doorward);
    (doorward, api, folder)
}

fn members(row: &Value) -> Vec<&str> {
    row.as_object().unwrap().keys().map(String::as_str).collect()
}

const SOME_ID: &str = "7d2f5c0e-4a7a-4c8e-9d5d-3f1f7a0c9b11";
const OTHER_ID: &str = "0c9b117d-2f5c-4e4a-8a4c-8e9d5d3f1f7a";

#[test]
fn consumers_are_made_read_replaced_changed_and_deleted_as_in_kong() {
    let (_doorward, api, _folder) = server();
    let made = api.expect(
        201,
        "POST",
        "/consumers",
        json!({"username": "carol", "custom_id": "c-7", "tags": ["a", "b", "a"]}),
    );
    for member in ["id", "username", "custom_id", "tags", "created_at", "updated_at"] {
        assert!(members(&made).contains(&member), "{member}: {made}");
    }
    assert_eq!(made["tags"], json!(["a", "b"]));
    let id = made["id"].as_str().unwrap().to_owned();
    for named in ["carol", &id] {
        assert_eq!(api.expect(200, "GET", &format!("/consumers/{named}"), Value::Null), made);
    }
    assert_eq!(api.expect(200, "GET", "/consumers?custom_id=c-7", Value::Null)["data"], json!([made]));
    assert_eq!(api.expect(200, "GET", "/consumers?custom_id=c-8", Value::Null)["data"], json!([]));

    let taken = api.expect(409, "POST", "/consumers", json!({"username": "carol"}));
    assert_eq!((&taken["code"], &taken["name"]), (&json!(5), &json!("unique constraint violation")));
    assert_eq!(taken["message"], "UNIQUE violation detected on '{username=\"carol\"}'");
    let twice = api.expect(400, "POST", "/consumers", json!({"id": id, "username": "dave"}));
    assert_eq!((&twice["code"], &twice["name"]), (&json!(3), &json!("primary key violation")));
    let nameless = api.expect(400, "POST", "/consumers", json!({}));
    assert!(nameless["fields"]["@entity"].is_string(), "{nameless}");

    let changed = api.expect(
        200,
        "PATCH",
        "/consumers/carol",
        json!({"custom_id": null, "email": "carol@example.com", "groups": ["gold"]}),
    );
    assert_eq!(
        (&changed["custom_id"], &changed["email"], &changed["tags"]),
        (&Value::Null, &json!("carol@example.com"), &json!(["a", "b"]))
    );
    assert_eq!(changed["groups"], json!(["gold"]));
    // The name is free again.
    api.expect(201, "POST", "/consumers", json!({"username": "dave", "custom_id": "c-7"}));
    api.expect(409, "PATCH", "/consumers/dave", json!({"email": "carol@example.com"}));
    api.expect(409, "PATCH", "/consumers/dave", json!({"username": "carol"}));
    api.expect(400, "PATCH", "/consumers/dave", json!({"username": null, "custom_id": null}));
    api.expect(404, "PATCH", "/consumers/nobody", json!({"tags": ["x"]}));

    // What Kong knows is replaced; who was shut out stays so.
    api.expect(200, "PATCH", "/consumers/carol", json!({"enabled": false}));
    let put = api.expect(200, "PUT", "/consumers/carol", json!({"tags": ["c"]}));
    assert_eq!((&put["id"], &put["tags"], &put["groups"]), (&json!(id), &json!(["c"]), &json!(["gold"])));
    assert_eq!(put["enabled"], false);
    let by_id = api.expect(200, "PUT", &format!("/consumers/{SOME_ID}"), json!({"username": "erin"}));
    assert_eq!((&by_id["id"], &by_id["username"]), (&json!(SOME_ID), &json!("erin")));
    assert_eq!(api.expect(200, "PUT", "/consumers/frank", json!({}))["username"], "frank");

    api.expect(204, "DELETE", "/consumers/carol", Value::Null);
    api.expect(404, "GET", "/consumers/carol", Value::Null);
    api.expect(201, "POST", "/consumers", json!({"username": "carol", "email": "carol@example.com"}));
    // The file's.
    for (method, body) in [("PATCH", json!({"tags": ["x"]})), ("PUT", json!({})), ("DELETE", Value::Null)] {
        api.expect(409, method, "/consumers/alice", body);
    }
    assert_eq!(api.call("TRACE", "/consumers", &Value::Null).status, 405);
    let told = api.call("OPTIONS", "/consumers", &Value::Null);
    assert_eq!((told.status, told.header("allow")), (204, Some("GET,HEAD,POST")));
}

#[test]
fn keys_are_made_read_replaced_changed_and_deleted_as_in_kong() {
    let (_doorward, api, _folder) = server();
    api.expect(201, "POST", "/consumers", json!({"username": "carol"}));
    api.expect(201, "POST", "/consumers", json!({"username": "dave"}));
    let made = api.expect(201, "POST", "/consumers/carol/key-auth", json!({"tags": ["ci"], "ttl": 3600}));
    for member in ["id", "key", "ttl", "tags", "consumer", "created_at"] {
        assert!(members(&made).contains(&member), "{member}: {made}");
    }
    let (id, text) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let public = &text[..19];
    assert!((3590..=3600).contains(&made["ttl"].as_i64().unwrap()), "{made}");
    for path in ["/key-auths", "/consumers/carol/key-auth"] {
        for named in [id, public, &public[7..], text] {
            let found = api.expect(200, "GET", &format!("{path}/{named}"), Value::Null);
            assert_eq!((&found["id"], &found["key"]), (&json!(id), &json!(public)));
        }
    }
    assert_eq!(
        api.expect(200, "GET", &format!("/key-auths/{text}/consumer"), Value::Null)["username"],
        "carol"
    );
    api.expect(404, "GET", &format!("/consumers/dave/key-auth/{id}"), Value::Null);
    api.expect(404, "DELETE", &format!("/consumers/dave/key-auth/{id}"), Value::Null);
    api.expect(404, "PATCH", &format!("/consumers/dave/key-auth/{id}"), json!({"tags": []}));
    api.expect(404, "POST", "/consumers/nobody/key-auth", json!({}));

    // By itself, with its consumer in the body.
    let foreign = json!({"key": "62eb165c070a41d5c1b58d9d3d725ca1", "consumer": {"username": "carol"}});
    let brought = api.expect(201, "POST", "/key-auths", foreign.clone());
    assert_eq!(brought["key"], "62eb165c070a41d5c1b58d9d3d725ca1");
    assert_eq!(
        api.expect(200, "GET", "/key-auths/62eb165c070a41d5c1b58d9d3d725ca1", Value::Null)["key"],
        Value::Null
    );
    let taken = api.expect(409, "POST", "/key-auths", foreign);
    assert!(taken["code"] == 5 && !taken.to_string().contains("62eb165c"), "{taken}");
    let nobody = api.expect(400, "POST", "/key-auths", json!({}));
    assert_eq!(nobody["message"], "schema violation (consumer: required field missing)");
    assert_eq!(api.expect(400, "POST", "/key-auths", json!({"consumer": {"id": SOME_ID}}))["code"], 4);

    // Changed: what is not sent stays.
    let changed =
        api.expect(200, "PATCH", &format!("/key-auths/{id}"), json!({"tags": ["new"], "enabled": false}));
    assert_eq!(
        (&changed["tags"], &changed["enabled"], &changed["key"]),
        (&json!(["new"]), &json!(false), &json!(public))
    );
    assert!(changed["ttl"].is_number(), "{changed}");
    let changed = api.expect(200, "PATCH", &format!("/key-auths/{id}"), json!({"ttl": 0, "key": public}));
    assert_eq!((&changed["ttl"], &changed["key"]), (&Value::Null, &json!(public)));
    api.expect(400, "PATCH", &format!("/key-auths/{id}"), json!({"consumer": {"username": "dave"}}));
    let moved =
        api.expect(200, "PATCH", &format!("/key-auths/{id}"), json!({"key": "another-text-0123456789"}));
    assert_eq!(moved["key"], "another-text-0123456789");
    api.expect(404, "GET", &format!("/key-auths/{text}"), Value::Null);
    assert_eq!(api.expect(200, "GET", "/key-auths/another-text-0123456789", Value::Null)["id"], json!(id));

    // Put: made where it is not, and made anew where nothing is sent.
    let put = api.expect(200, "PUT", &format!("/consumers/carol/key-auth/{SOME_ID}"), json!({}));
    let again = api.expect(200, "PUT", &format!("/consumers/carol/key-auth/{SOME_ID}"), json!({}));
    assert!(put["key"] != again["key"] && put["id"] == again["id"], "{put} {again}");
    let by_text =
        api.expect(200, "PUT", "/consumers/carol/key-auth/put-by-text-0123456789", json!({"tags": ["x"]}));
    assert_eq!(by_text["key"], "put-by-text-0123456789");
    let again = api.expect(200, "PUT", "/consumers/carol/key-auth/put-by-text-0123456789", json!({}));
    assert_eq!((&again["id"], &again["tags"]), (&by_text["id"], &Value::Null));
    // Nobody's credential is taken over.
    api.expect(409, "PUT", "/consumers/dave/key-auth/put-by-text-0123456789", json!({}));
    api.expect(409, "PUT", &format!("/key-auths/{SOME_ID}"), json!({"consumer": {"username": "dave"}}));

    api.expect(204, "DELETE", &format!("/consumers/carol/key-auth/{id}"), Value::Null);
    api.expect(404, "GET", &format!("/key-auths/{id}"), Value::Null);
    let left = api.expect(200, "GET", "/consumers/carol/key-auth", Value::Null);
    assert_eq!(left["data"].as_array().unwrap().len(), 3, "{left}");
    api.expect(204, "DELETE", "/consumers/carol", Value::Null);
    let left = api.expect(200, "GET", "/key-auths", Value::Null);
    assert!(left["data"].as_array().unwrap().iter().all(|row| row["declared_in_file"] == true), "{left}");
}

#[test]
fn lives_of_keys_are_within_kongs_bounds() {
    let (_doorward, api, _folder) = server();
    api.expect(201, "POST", "/consumers", json!({"username": "carol"}));
    for (body, expected) in [
        (json!({"ttl": -1}), Err("ttl")),
        (json!({"ttl": 100_000_001}), Err("ttl")),
        (json!({"ttl": 99_999_999_999_i64}), Err("ttl")),
        (json!({"ttl": 60, "expires_at": 4_000_000_000_i64}), Err("ttl")),
        (json!({"not_before": 4_000_000_000_i64, "expires_at": 4_000_000_000_i64}), Err("expires_at")),
        (json!({"ttl": 100_000_000}), Ok(true)),
        (json!({"ttl": 0}), Ok(false)),
        (json!({"ttl": null}), Ok(false)),
        (json!({"ttl": 0, "expires_at": 4_000_000_000_i64}), Ok(true)),
        (json!({}), Ok(false)),
    ] {
        let reply = api.call("POST", "/consumers/carol/key-auth", &body);
        match expected {
            Ok(ends) => assert!(
                reply.status == 201 && reply.json()["ttl"].is_number() == ends,
                "{body}: {}",
                reply.text()
            ),
            Err(field) => {
                assert_eq!(reply.status, 400, "{body}");
                assert!(reply.json()["fields"][field].is_string(), "{body}: {}", reply.text());
            }
        }
    }
}

#[test]
fn groups_are_joined_and_left_as_in_kong_and_the_next_check_knows() {
    let world = World::new();
    let api = Api::of(&world.doorward);
    let carol = api.expect(201, "POST", "/consumers", json!({"username": "carol"}))["id"].clone();
    let (text, _) = world.key("carol", &[]);
    let groups = || {
        let seen = world.get("/orders", &[("apikey", &text)]).seen().expect("allowed");
        seen.header("x-consumer-groups").map(str::to_owned)
    };
    assert_eq!(groups(), None);
    let made = api.expect(201, "POST", "/consumers/carol/acls", json!({"group": "gold", "tags": ["t"]}));
    assert_eq!(members(&made), ["consumer", "created_at", "group", "id", "tags"]);
    assert_eq!((&made["consumer"]["id"], &made["group"]), (&carol, &json!("gold")));
    assert_eq!(groups().as_deref(), Some("gold"));
    api.expect(409, "POST", "/consumers/carol/acls", json!({"group": "gold"}));
    api.expect(400, "POST", "/consumers/carol/acls", json!({}));
    api.expect(400, "POST", "/consumers/carol/acls", json!({"group": "a,b"}));
    let other = api.expect(
        201,
        "POST",
        "/acls",
        json!({"group": "staff", "id": SOME_ID, "consumer": {"username": "carol"}}),
    );
    assert_eq!((&other["id"], groups().as_deref()), (&json!(SOME_ID), Some("gold, staff")));

    let id = made["id"].as_str().unwrap();
    for path in
        [format!("/acls/{id}"), format!("/consumers/carol/acls/{id}"), "/consumers/carol/acls/gold".into()]
    {
        assert_eq!(api.expect(200, "GET", &path, Value::Null), made);
    }
    api.expect(400, "GET", "/acls/gold", Value::Null);
    assert_eq!(api.expect(200, "GET", &format!("/acls/{id}/consumer"), Value::Null)["username"], "carol");
    let listed = api.expect(200, "GET", "/acls?tags=t", Value::Null);
    assert_eq!(listed["data"], json!([made]));
    assert_eq!(
        api.expect(200, "GET", "/consumers/carol/acls", Value::Null)["data"].as_array().unwrap().len(),
        2
    );

    let changed = api.expect(200, "PATCH", &format!("/acls/{id}"), json!({"group": "silver"}));
    assert_eq!(
        (&changed["group"], &changed["tags"], groups().as_deref()),
        (&json!("silver"), &json!(["t"]), Some("silver, staff"))
    );
    api.expect(409, "PATCH", &format!("/acls/{id}"), json!({"group": "staff"}));
    assert_eq!(api.expect(200, "PUT", "/consumers/carol/acls/bronze", json!({}))["group"], "bronze");
    assert_eq!(
        api.expect(
            200,
            "PUT",
            &format!("/acls/{OTHER_ID}"),
            json!({"group": "lead", "consumer": {"id": carol}})
        )["id"],
        OTHER_ID
    );
    api.expect(204, "DELETE", "/consumers/carol/acls/silver", Value::Null);
    api.expect(204, "DELETE", &format!("/acls/{SOME_ID}"), Value::Null);
    api.expect(404, "DELETE", &format!("/acls/{SOME_ID}"), Value::Null);
    assert_eq!(groups().as_deref(), Some("bronze, lead"));
    api.expect(204, "DELETE", "/consumers/carol", Value::Null);
    assert_eq!(api.expect(200, "GET", "/acls", Value::Null)["data"], json!([]));
    api.expect(409, "POST", "/consumers/alice/acls", json!({"group": "gold"}));
}

#[test]
fn names_with_passwords_are_kept_without_the_passwords() {
    let (doorward, api, folder) = server();
    api.expect(201, "POST", "/consumers", json!({"username": "carol"}));
    api.expect(201, "POST", "/consumers", json!({"username": "dave"}));
    let body = json!({"username": "carol", "password": "correct horse battery staple"});
    let made = api.expect(201, "POST", "/consumers/carol/basic-auth", body.clone());
    assert_eq!((&made["username"], &made["password"]), (&json!("carol"), &Value::Null));
    assert!(!made.to_string().contains("argon2") && !made.to_string().contains("horse"), "{made}");
    api.expect(409, "POST", "/consumers/dave/basic-auth", body);
    for (body, field) in [
        (json!({"username": "x"}), "password"),
        (json!({"password": "x"}), "username"),
        (json!({"username": "a:b", "password": "x"}), "username"),
        (json!({"username": "x", "password": ""}), "password"),
        (
            json!({"username": "x", "password_hash": "5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8"}),
            "password_hash",
        ),
        (json!({"username": "x", "password": "x", "password_hash": "x"}), "password_hash"),
    ] {
        let refused = api.expect(400, "POST", "/consumers/dave/basic-auth", body);
        assert!(refused["fields"][field].is_string(), "{refused}");
    }
    let id = made["id"].as_str().unwrap();
    for path in [
        format!("/basic-auths/{id}"),
        "/basic-auths/carol".into(),
        "/consumers/carol/basic-auth/carol".into(),
    ] {
        assert_eq!(api.expect(200, "GET", &path, Value::Null), made);
    }
    api.expect(404, "GET", "/consumers/dave/basic-auth/carol", Value::Null);
    assert_eq!(
        api.expect(200, "PATCH", "/basic-auths/carol", json!({"username": "cc", "password": "other"}))["username"],
        "cc"
    );
    api.expect(404, "GET", "/basic-auths/carol", Value::Null);
    api.expect(400, "PUT", "/consumers/carol/basic-auth/cc", json!({}));
    api.expect(200, "PUT", "/consumers/carol/basic-auth/cc", json!({"password": "third", "tags": ["x"]}));
    api.expect(409, "PUT", "/consumers/dave/basic-auth/cc", json!({"password": "fourth"}));
    api.expect(200, "PUT", "/consumers/dave/basic-auth/dd", json!({"password": "fourth"}));
    assert_eq!(
        api.expect(200, "GET", "/basic-auths?tags=x", Value::Null)["data"].as_array().unwrap().len(),
        1
    );
    api.expect(204, "DELETE", "/basic-auths/dd", Value::Null);
    api.expect(204, "DELETE", "/consumers/carol", Value::Null);
    assert_eq!(api.expect(200, "GET", "/basic-auths", Value::Null)["data"], json!([]));
    drop(doorward);
    let store = std::fs::read(folder.path().join("doorward/doorward.redb")).unwrap();
    for secret in ["correct horse", "fourth"] {
        assert!(memchr::memmem::find(&store, secret.as_bytes()).is_none(), "{secret}");
    }
}

#[test]
fn jwt_credentials_keep_public_keys_as_they_are_and_secrets_sealed() {
    let (doorward, api, folder) = server();
    api.expect(201, "POST", "/consumers", json!({"username": "carol"}));
    let made = api.expect(201, "POST", "/consumers/carol/jwt", json!({}));
    for member in ["id", "key", "secret", "algorithm", "rsa_public_key", "tags", "consumer", "created_at"] {
        assert!(members(&made).contains(&member), "{member}: {made}");
    }
    assert_eq!(
        (&made["algorithm"], made["key"].as_str().unwrap().len(), made["secret"].as_str().unwrap().len()),
        (&json!("HS256"), 32, 32)
    );
    let key = made["key"].as_str().unwrap();
    assert_eq!(api.expect(200, "GET", &format!("/jwts/{key}"), Value::Null)["secret"], Value::Null);
    let secret = "a-secret-that-is-long-enough-for-hs256";
    api.expect(
        201,
        "POST",
        "/jwts",
        json!({"key": "iss-1", "secret": secret, "consumer": {"username": "carol"}}),
    );
    api.expect(409, "POST", "/consumers/carol/jwt", json!({"key": "iss-1"}));

    let pem = |pair: rcgen::KeyPair| pair.public_key_pem();
    let (p256, p384) = (
        pem(rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()),
        pem(rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap()),
    );
    let ed25519 = pem(rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
    let made = api.expect(
        201,
        "POST",
        "/consumers/carol/jwt",
        json!({"key": "iss-2", "algorithm": "ES256", "rsa_public_key": p256}),
    );
    assert_eq!((&made["rsa_public_key"], &made["secret"]), (&json!(p256), &Value::Null));
    api.expect(201, "POST", "/consumers/carol/jwt", json!({"algorithm": "ES384", "rsa_public_key": p384}));
    api.expect(201, "POST", "/consumers/carol/jwt", json!({"algorithm": "EdDSA", "rsa_public_key": ed25519}));
    for (body, field) in [
        (json!({"algorithm": "none"}), "algorithm"),
        (json!({"algorithm": "ES512", "rsa_public_key": p256}), "algorithm"),
        (json!({"algorithm": "RS256"}), "rsa_public_key"),
        (json!({"algorithm": "ES256"}), "rsa_public_key"),
        (json!({"algorithm": "RS256", "rsa_public_key": p256}), "rsa_public_key"),
        (json!({"algorithm": "ES256", "rsa_public_key": p384}), "rsa_public_key"),
        (json!({"algorithm": "ES256", "rsa_public_key": "no key"}), "rsa_public_key"),
        (json!({"algorithm": "HS256", "rsa_public_key": p256}), "rsa_public_key"),
        (json!({"algorithm": "ES256", "rsa_public_key": p256, "secret": secret}), "secret"),
        (json!({"algorithm": "HS256", "secret": "short"}), "secret"),
        // Of which half the world may have a copy.
        (json!({"algorithm": "HS256", "secret": p256}), "secret"),
        (json!({"algorithm": "HS512", "secret": secret}), "secret"),
    ] {
        let refused = api.expect(400, "POST", "/consumers/carol/jwt", body.clone());
        assert!(refused["fields"][field].is_string(), "{body}: {refused}");
    }
    api.expect(400, "PATCH", "/jwts/iss-2", json!({"algorithm": "RS256"}));
    let changed = api.expect(200, "PATCH", "/jwts/iss-2", json!({"algorithm": "HS256"}));
    assert!(changed["secret"].is_string() && changed["rsa_public_key"].is_null(), "{changed}");
    let put = api.expect(200, "PUT", "/consumers/carol/jwt/iss-1", json!({"tags": ["x"]}));
    assert_eq!((&put["secret"], &put["tags"]), (&Value::Null, &json!(["x"])));
    api.expect(204, "DELETE", "/consumers/carol/jwt/iss-1", Value::Null);
    api.expect(404, "GET", "/jwts/iss-1", Value::Null);
    drop(doorward);
    let store = std::fs::read(folder.path().join("doorward/doorward.redb")).unwrap();
    assert!(memchr::memmem::find(&store, secret.as_bytes()).is_none());
}

#[test]
fn a_rotated_key_opens_beside_its_successor_until_the_grace_is_over() {
    let world = World::new();
    let api = Api::of(&world.doorward);
    world.command(&["consumer", "create", "carol"]);
    let (old, id) = world.key("carol", &["--service", "orders", "--tag", "ci"]);
    let opens = |key: &str| world.get("/orders", &[("apikey", key)]).status == 200;
    let new = world.command(&["key", "rotate", &id, "--grace", "3600"]);
    assert_eq!((&new["tags"], &new["rotated"]["id"]), (&json!(["ci"]), &json!(id)));
    assert_eq!(new["services"].as_array().unwrap().len(), 1);
    let text = new["key"].as_str().unwrap();
    assert!(opens(&old) && opens(text));
    let ends = api.expect(200, "GET", &format!("/key-auths/{id}"), Value::Null)["ttl"].as_i64().unwrap();
    assert!((3_500..=3_600).contains(&ends), "{ends}");

    // At once, and for whoever is rotated itself.
    let third = world.command(&["key", "rotate", new["id"].as_str().unwrap(), "--grace", "0"]);
    assert!(!opens(text) && opens(third["key"].as_str().unwrap()));
    assert_eq!(api.call("POST", &format!("/key-auths/{text}/rotate"), &json!({"grace": 0})).status, 404);
    for (body, field) in
        [(json!({}), "grace"), (json!({"grace": -1}), "grace"), (json!({"grace": 100_000_001}), "grace")]
    {
        let refused = api.expect(400, "POST", &format!("/key-auths/{id}/rotate"), body);
        assert!(refused.to_string().contains(field), "{refused}");
    }
    world.command(&["key", "update", &id, "--disable"]);
    let refused = api.expect(400, "POST", &format!("/key-auths/{id}/rotate"), json!({"grace": 60}));
    assert!(refused.to_string().contains("disabled"), "{refused}");
}

#[test]
fn uses_of_a_key_are_counted_and_survive_a_restart() {
    let mut world = World::new();
    world.command(&["consumer", "create", "carol"]);
    let (text, id) = world.key("carol", &["--service", "orders"]);
    assert_eq!(world.command(&["key", "show", &id])["last_used_at"], Value::Null);
    for _ in 0..3 {
        assert_eq!(world.get("/orders", &[("apikey", &text)]).status, 200);
    }
    // One that does not pass is no use.
    assert_eq!(world.get("/bearer", &[("apikey", &text)]).status, 403);
    let shown = |world: &World| world.command(&["key", "show", &id]);
    let told = eventually("the uses are told", || (shown(&world)["uses"] == 3).then(|| shown(&world)));
    assert!(told["last_used_at"].as_i64().unwrap() > 1_700_000_000, "{told}");

    // What was counted last is told at the end.
    assert_eq!(world.get("/orders", &[("apikey", &text)]).status, 200);
    world.doorward.signal(Signal::TERM).unwrap();
    eventually("it has ended", || world.doorward.process().ended());
    let shown = world.doorward.setup().run(&["key", "show", &id, "--output", "json"]).unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["uses"], 4);
}

#[test]
fn pages_lead_through_every_row_once() {
    let (_doorward, api, _folder) = server();
    for number in 0..7 {
        let tags = if number % 2 == 0 { json!(["even", "x"]) } else { json!(["odd"]) };
        api.expect(201, "POST", "/consumers", json!({"username": format!("c{number}"), "tags": tags}));
        api.expect(201, "POST", "/consumers/c0/key-auth", json!({"tags": tags}));
    }
    let walk = |first: &str| {
        let (mut seen, mut next) = (Vec::new(), Some(first.to_owned()));
        while let Some(path) = next {
            let page = api.expect(200, "GET", &path, Value::Null);
            let rows = page["data"].as_array().unwrap();
            assert!(rows.len() <= 2 || page["next"].is_null(), "{page}");
            assert_eq!(page["next"].is_null(), page["offset"].is_null(), "{page}");
            seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            next = page["next"].as_str().map(str::to_owned);
        }
        let mut distinct = seen.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), seen.len(), "{first}");
        seen.len()
    };
    // Three more are the file's, on the last page.
    assert_eq!(walk("/consumers?size=2"), 10);
    assert_eq!(walk("/consumers?size=2&tags=even"), 4);
    assert_eq!(walk("/consumers?size=2&tags=even,odd"), 0);
    assert_eq!(walk("/consumers?size=2&tags=even/odd"), 7);
    assert_eq!(walk("/key-auths?size=2"), 9);
    assert_eq!(walk("/consumers/c0/key-auth?size=2&tags=odd"), 3);
    for (query, code) in [("size=0", 9), ("size=x", 9), ("offset=x", 7), ("tags=", 11), ("tags=a,b/c", 11)] {
        assert_eq!(
            api.expect(400, "GET", &format!("/key-auths?{query}"), Value::Null)["code"],
            code,
            "{query}"
        );
    }
}

#[test]
fn bad_bodies_are_refused_by_field_and_store_nothing() {
    let (_doorward, api, _folder) = server();
    api.expect(201, "POST", "/consumers", json!({"username": "carol"}));
    for (path, body, field) in [
        ("/consumers", r#"{"username": 5}"#, "username"),
        ("/consumers", r#"{"username": "x", "unknown": 1}"#, "unknown"),
        ("/consumers", r#"{"username": "x", "tags": "y"}"#, "tags"),
        ("/consumers", r#"{"username": "x", "tags": ["a/b"]}"#, "tags"),
        ("/consumers", r#"{"username": "a\r\nb"}"#, "username"),
        ("/consumers", r#"{"username": "x", "id": "y"}"#, "id"),
        ("/consumers", r#"{"username": "x", "permissions": ["none"]}"#, "permissions"),
        ("/consumers", r#"{"username": "x", "roles": {"none": ["admin"]}}"#, "roles"),
        ("/consumers", r#"{"username": "x", "networks": {"allow": ["300.0.0.1"]}}"#, "networks"),
        ("/consumers/carol/key-auth", r#"{"key": "dw_key_x"}"#, "key"),
        ("/consumers/carol/key-auth", r#"{"key": "short"}"#, "key"),
        ("/consumers/carol/key-auth", r#"{"ttl": "abc"}"#, "ttl"),
        ("/consumers/carol/key-auth", r#"{"ttl": 1.5}"#, "ttl"),
        ("/consumers/carol/key-auth", r#"{"services": ["none"]}"#, "services"),
        ("/consumers/carol/acls", r#"{"group": ["a"]}"#, "group"),
        ("/consumers/carol/basic-auth", r#"{"username": "x", "password": 5}"#, "password"),
        ("/consumers/carol/jwt", r#"{"algorithm": 5}"#, "algorithm"),
    ] {
        let reply = api.send("POST", path, "application/json", body);
        assert_eq!(reply.status, 400, "{path} {body}: {}", reply.text());
        assert!(reply.text().contains(field), "{path} {body}: {}", reply.text());
    }
    assert_eq!(api.expect(200, "GET", "/consumers", Value::Null)["data"].as_array().unwrap().len(), 4);
    for path in ["/consumers/carol/key-auth", "/acls", "/basic-auths", "/jwts"] {
        assert_eq!(api.expect(200, "GET", path, Value::Null)["data"], json!([]));
    }
}

const DECLARED: &str = "\
_format_version: '3.0'
consumers:
- username: carol
  custom_id: c-7
  keyauth_credentials: [{key: carol-0123456789-abcdef}, {key: short}]
  acls: [{group: gold}, {group: 'a,b'}]
  basicauth_credentials: [{username: carol, password: hunter2-hunter2}, {username: 'a:b', password: hunter2-hunter2}]
  jwt_secrets: [{key: iss, secret: a-secret-that-is-long-enough-for-hs256}, {key: weak, secret: guessed}]
keyauth_credentials:
- {key: dave-0123456789-abcdef, consumer: dave}
services:
- name: billing
  url: http://billing.example
  plugins:
  - {name: key-auth, config: {key_names: [apikey], key_in_query: false}}
  - {name: acl, config: {allow: [gold]}}
  - {name: rate-limiting, config: {minute: 5}}
- {name: orders, plugins: [{name: acl, config: {allow: [gold]}}]}
- {name: nowhere, plugins: [{name: key-auth}]}
- {name: reports, plugins: [{name: basic-auth, config: {hide_credentials: true}}]}
";

#[test]
fn r25_a_file_of_kongs_is_taken_over_and_a_second_time_changes_nothing() {
    let world = World::new();
    let file = world.doorward.setup().folder.join("kong.yaml");
    std::fs::write(&file, DECLARED).unwrap();
    let import = |options: &[&str]| {
        let arguments = [&["import", "kong", file.to_str().unwrap(), "--output", "json"], options].concat();
        let ran = world.doorward.setup().run(&arguments).unwrap();
        let told: Value = serde_json::from_slice(&ran.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
        (ran.status.code(), told)
    };
    let opens = |key: &str| world.get("/orders", &[("apikey", key)]).status == 200;
    let counts = |made: &str| {
        json!({
            "consumers": {made: 1}, "acls": {made: 1, "refused": 1}, "keys": {made: 1, "refused": 2},
            "basics": {made: 1, "refused": 1}, "jwts": {made: 1, "refused": 1}, "plugins": {made: 3, "refused": 2},
        })
    };
    let api = Api::of(&world.doorward);
    public(&api, "billing");
    let reports = json!({ "name": "reports", "paths": ["/reports"], "authentication": "none" });
    api.expect(201, "POST", "/services", reports);
    api.expect(201, "POST", "/deployments", json!({ "service": "reports", "infrastructure": "production" }));

    let (code, told) = import(&["--dry-run"]);
    assert_eq!((code, &told["objects"]), (Some(1), &counts("made")), "{told}");
    let foretold = told["refused"].clone();
    let left_out: Vec<&str> =
        told["left_out"].as_array().unwrap().iter().map(|it| it["what"].as_str().unwrap()).collect();
    assert_eq!(left_out, ["plugin `rate-limiting` of service `billing`", "services (4)"]);
    assert_eq!(api.expect(200, "GET", "/services/billing/plugins", Value::Null)["data"], json!([]));
    assert!(!opens("carol-0123456789-abcdef"));

    let (code, told) = import(&[]);
    assert_eq!((code, &told["objects"]), (Some(1), &counts("made")), "{told}");
    assert_eq!(told["refused"], foretold);
    let refused = told["refused"].to_string();
    for expected in ["dave", "at least 16", "plugin `acl` of service `orders`", "service `nowhere`"] {
        assert!(refused.contains(expected), "{refused}");
    }
    assert!(!refused.contains("short"), "{refused}");
    assert!(opens("carol-0123456789-abcdef"));
    let carol = [("apikey", "carol-0123456789-abcdef")];
    assert_eq!(world.get("/billing", &[]).status, 401);
    assert_eq!(world.get("/billing", &carol).status, 200, "she is in the group");
    assert_eq!(world.get("/billing?apikey=carol-0123456789-abcdef", &[]).status, 401);
    assert_eq!(world.get("/billing", &[("apikey", ALICE)]).status, 403);
    let reports = |password: &str| world.get("/reports", &[("Authorization", &basic("carol", password))]);
    assert_eq!((reports("hunter2-hunter3").status, reports("hunter2-hunter2").status), (401, 200));
    let (_, told) = import(&[]);
    assert_eq!(told["objects"], counts("unchanged"), "{told}");
    let (code, told) = import(&["--insecure-allow-weak"]);
    assert_eq!(
        (code, &told["objects"]["keys"]),
        (Some(1), &json!({"unchanged": 1, "made": 1, "refused": 1})),
        "{told}"
    );
    assert!(opens("short"));
}

/// `alice` is the configuration file's.
const TWINS: &str = "
consumers:
- {username: v1, custom_id: '950', acls: [{group: gold}]}
- {username: v2, custom_id: '950', keyauth_credentials: [{key: v2-0123456789-abcdef}]}
- {username: v1, acls: [{group: silver}]}
- {username: v3, custom_id: '951', basicauth_credentials: [{username: v3, password: hunter2-hunter2}]}
keyauth_credentials:
- {key: shared-0123456789-abcdef, consumer: v1}
- {key: shared-0123456789-abcdef, consumer: v3}
- {key: shared-0123456789-abcdef, consumer: {custom_id: '950'}}
basicauth_credentials:
- {username: v3, password: hunter3-hunter3, consumer: v1}
acls:
- {group: gold, consumer: v1}
- {group: gold, consumer: alice}
";

#[test]
fn a_dry_run_foretells_of_twins_and_of_the_files_own_what_the_import_says() {
    let (doorward, api, folder) = server();
    let file = folder.path().join("kong.yaml");
    std::fs::write(&file, TWINS).unwrap();
    let import = |options: &[&str]| {
        let arguments = [&["import", "kong", file.to_str().unwrap(), "--output", "json"], options].concat();
        let ran = doorward.setup().run(&arguments).unwrap();
        let mut told: Value = serde_json::from_slice(&ran.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
        told["dry_run"].take();
        (ran.status.code(), told)
    };
    let foretold = import(&["--dry-run"]);
    let done = import(&[]);
    assert_eq!(foretold, done);
    let (code, told) = done;
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(
        told["objects"],
        json!({
            "consumers": {"made": 2, "unchanged": 1, "refused": 1},
            "acls": {"made": 2, "unchanged": 1, "refused": 1},
            "keys": {"made": 1, "unchanged": 1, "refused": 2},
            "basics": {"made": 1, "refused": 1},
        }),
        "{told}"
    );
    let refused = told["refused"].to_string();
    for expected in [
        "custom_id `950` is taken",
        "there is no consumer `v2`",
        "this key is in use already",
        "username `v3` is taken",
        "is declared in the configuration file",
    ] {
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
    assert_eq!(
        api.expect(200, "GET", "/consumers/v1", Value::Null)["groups"],
        json!(["gold", "silver"]),
        "who is there twice has the groups of both"
    );
}

#[test]
fn many_keys_are_imported_listed_and_deleted_while_checks_go_on() {
    const KEYS: usize = 20_000;
    let world = World::new();
    let file = world.doorward.setup().folder.join("kong.yaml");
    let keys: String =
        (0..KEYS).map(|number| format!("  - key: imported-key-of-many-{number:06}\n")).collect();
    std::fs::write(&file, format!("consumers:\n- username: many\n  keyauth_credentials:\n{keys}")).unwrap();
    let arguments = ["import", "kong", file.to_str().unwrap(), "--output", "json"];
    let ran = world.doorward.setup().run(&arguments).unwrap();
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(told["objects"]["keys"], json!({"made": KEYS}), "{told}");
    // Meanwhile, and beside what is to be parsed.
    let progress = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(progress, "keys: 10000 of 20000\nkeys: 20000 of 20000\n");
    let writes = |action: &str| {
        let listed = world.command(&["audit", "list", "--action", action]);
        listed.as_array().unwrap().len()
    };
    assert_eq!(writes("key.import"), 2, "ten thousand with each commit");
    let opens = |number: usize| {
        let text = format!("imported-key-of-many-{number:06}");
        world.get("/orders", &[("apikey", &text)]).status == 200
    };
    assert!(opens(0) && opens(KEYS / 2) && opens(KEYS - 1));

    let api = Api::of(&world.doorward);
    let (mut seen, mut next) = (0, Some("/consumers/many/key-auth?size=1000".to_owned()));
    while let Some(path) = next {
        let page = api.expect(200, "GET", &path, Value::Null);
        seen += page["data"].as_array().unwrap().len();
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, KEYS);

    // Others pass while all of it goes.
    let deleting = {
        let setup = world.doorward.setup().clone();
        std::thread::spawn(move || setup.run(&["consumer", "delete", "many"]).unwrap())
    };
    let mut passed = 0;
    while !deleting.is_finished() {
        assert_eq!(world.get("/orders", &[("apikey", ALICE)]).status, 200);
        passed += 1;
    }
    let deleted = deleting.join().unwrap();
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    assert!(passed > 0);
    assert_eq!((writes("consumer.delete"), writes("consumer.end_credentials")), (1, 1));
    assert!(!opens(0) && !opens(KEYS - 1));
    let left = api.expect(200, "GET", "/key-auths", Value::Null);
    assert!(left["data"].as_array().unwrap().iter().all(|row| row["declared_in_file"] == true), "{left}");
}
