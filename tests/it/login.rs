//! Logins and tokens at `listen.auth`, as the documents print them, through a real Envoy where one is in
//! between.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward::clock::Clock;
use doorward::domain::jwt::EVERY_SERVICE;
use doorward::domain::time::Timestamp;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::fleet::{SECRET, secret};
use crate::rig::doorward::Doorward;
use crate::rig::echo::Echo;
use crate::rig::envoy::Envoy;
use crate::rig::http1::{Reply, request, send};
use crate::rig::redis::Redis;
use crate::rig::wait::{eventually, until};
use crate::rig::wiring::Wiring;
use crate::rights::Mint;
use crate::world::{HOUSE, World, command, setup, start_doorward, start_envoy, started};

#[track_caller]
fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, &request("GET", path, &[("Connection", "close")], b"")).unwrap()
}

#[track_caller]
pub(crate) fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let headers = [headers, &[("Connection", "close"), ("Content-Type", "application/json")]].concat();
    send(address, &request("POST", path, &headers, body.to_string().as_bytes())).unwrap()
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
const LATER: &str = "2099-01-01T00:00:00Z";

/// A Doorward behind an Envoy of its own, which sends logins to it without asking.
pub(crate) struct Place {
    pub(crate) envoy: Envoy,
    pub(crate) doorward: Doorward,
}

impl Place {
    #[track_caller]
    pub(crate) fn new(doorward: Doorward, echo: &Echo) -> Self {
        let wiring =
            Wiring { auth: Some(doorward.auth_address()), ..Wiring::new(echo.address(), &[doorward.grpc()]) };
        Self { envoy: start_envoy(&doorward.setup().folder, &wiring), doorward }
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        post(self.envoy.listener("main"), path, headers, body)
    }

    #[track_caller]
    fn log_in(&self, username: &str, password: &str) -> Reply {
        self.post("/api/auth/access-token", &[], &json!({"username": username, "password": password}))
    }

    /// `allowed`, or the code of the denial.
    #[track_caller]
    pub(crate) fn answer(&self, path: &str, headers: &[(&str, &str)]) -> String {
        let reply = send(self.envoy.listener("main"), &request("GET", path, headers, b"")).unwrap();
        if reply.status == 200 { "allowed".to_owned() } else { reply.code() }
    }
}

/// The same place twice, or two instances over one store.
pub(crate) struct Both<'p> {
    pub(crate) here: &'p Place,
    pub(crate) there: &'p Place,
}

impl Both<'_> {
    /// The same at both, as soon as they have heard of what was done last.
    #[track_caller]
    pub(crate) fn comes_to(&self, path: &str, headers: &[(&str, &str)], expected: &str) {
        for at in [self.here, self.there] {
            let mut last = String::new();
            let heard = until("it is known there", Duration::from_secs(30), || {
                last = at.answer(path, headers);
                (last == expected).then_some(())
            });
            assert!(heard.is_ok(), "{path} comes to {last}, expected {expected}");
        }
    }

    /// What was done at one place holds there from its answer on, and at the other as soon as it hears of it.
    #[track_caller]
    pub(crate) fn answer(&self, path: &str, headers: &[(&str, &str)], expected: &str) {
        assert_eq!(self.here.answer(path, headers), expected, "{path}");
        let mut last = String::new();
        let heard = until("the other one knows", Duration::from_secs(30), || {
            last = self.there.answer(path, headers);
            (last == expected).then_some(())
        });
        assert!(heard.is_ok(), "{path} comes to {last}, expected {expected}");
    }

    #[track_caller]
    fn log_in(&self, username: &str, password: &str, expected: u16) {
        assert_eq!(self.here.log_in(username, password).status, expected);
        let mut last = 0;
        let heard = until("the other one knows", Duration::from_secs(30), || {
            last = self.there.log_in(username, password).status;
            (last == expected).then_some(())
        });
        assert!(heard.is_ok(), "a login comes to {last}, expected {expected}");
    }
}

/// Kala's document from its first line to its last, and every way to lose what one has got by it.
fn walk_through_kala(both: &Both<'_>) {
    let Both { here, there } = both;
    command(&here.doorward, &["consumer", "create", "alice", "--permission", USERS]);
    here.doorward.set_password("alice", PASSWORD).unwrap();
    // The first keys to sign with may be on their way.
    let reply = eventually("a login", || Some(here.log_in("alice", PASSWORD)).filter(|it| it.status != 503));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let token = answer["data"]["access_token"].as_str().unwrap().to_owned();
    assert_eq!(answer, json!({"data": {"access_token": token}}), "as it is printed");
    assert_eq!(token.split('.').count(), 3);
    let bearer = format!("Bearer {token}");
    let authorization = [("Authorization", bearer.as_str())];
    both.answer("/api/resource", &authorization, "allowed");
    both.answer("/api/resource/users", &authorization, "allowed");
    both.answer("/api/resource/data", &authorization, "permission_denied");

    // However often a service is named, and by what; more of them than a check takes are told at the login.
    let kala = command(&here.doorward, &["service", "show", "kala"])["id"].clone();
    let login = |audience: &[&str]| {
        let asked = json!({"username": "alice", "password": PASSWORD, "audience": audience});
        here.post("/api/auth/access-token", &[], &asked)
    };
    let twice = login(&["kala", kala.as_str().unwrap()].repeat(150));
    let one = format!("Bearer {}", twice.json()["data"]["access_token"].as_str().unwrap());
    both.answer("/api/resource", &[("Authorization", &one)], "allowed");

    let keys = make_keys(both, &bearer);
    let full = [("X-API-Key", keys.full.as_str())];
    // A permission that is taken away is gone from all that was made with it.
    command(&here.doorward, &["consumer", "update", "alice", "--permission", DATA]);
    both.answer("/api/resource/users", &authorization, "permission_denied");
    both.answer("/api/resource/users", &full, "permission_denied");
    both.answer("/api/resource/data", &authorization, "allowed");
    both.answer("/api/resource/data", &full, "permission_denied");
    command(&here.doorward, &["consumer", "update", "alice", "--permission", USERS]);
    both.answer("/api/resource/users", &full, "allowed");
    // A revoked key is over, and its maker's token is not.
    command(&here.doorward, &["key", "revoke", &keys.full[.."dw_key_".len() + 12]]);
    both.answer("/api/resource", &full, "invalid_credential");
    both.answer("/api/resource", &authorization, "allowed");
    // A changed password ends what was made at logins by the one before, and no key.
    here.doorward.set_password("alice", "four other words of hers").unwrap();
    both.answer("/api/resource", &authorization, "invalid_credential");
    for at in [here, there] {
        let made = at.post("/api/auth/api-key", &authorization, &json!({"validTo": LATER}));
        assert_eq!(made.status, 401);
    }
    let narrow = [("X-API-Key", keys.narrow.as_str())];
    both.answer("/api/resource", &narrow, "allowed");
    let refused = here.log_in("alice", PASSWORD);
    assert_eq!((refused.status, refused.code().as_str()), (401, "invalid_credential"));
    both.log_in("alice", PASSWORD, 401);
    both.log_in("alice", "four other words of hers", 200);
    let reply = there.log_in("alice", "four other words of hers").json();
    let bearer = format!("Bearer {}", reply["data"]["access_token"].as_str().unwrap());
    let authorization = [("Authorization", bearer.as_str())];
    both.answer("/api/resource", &authorization, "allowed");
    // Who is switched off has nothing any more, and cannot get it.
    command(&here.doorward, &["consumer", "update", "alice", "--disable"]);
    both.answer("/api/resource", &authorization, "invalid_credential");
    both.answer("/api/resource", &narrow, "invalid_credential");
    both.log_in("alice", "four other words of hers", 401);

    let listed = command(&here.doorward, &["audit", "list", "--action", "login", "--limit", "1000"]);
    let count = |action: &str| {
        let rows = listed.as_array().unwrap().iter();
        rows.filter(|row| row["action"] == action && row["addresses"] == json!(["127.0.0.1"])).count()
    };
    assert!(count("login.granted") >= 4 && count("login.refused") >= 4, "{listed}");
    assert!(!listed.to_string().contains("words"), "{listed}");
}

struct Keys {
    /// With the maker's permission, for all services.
    full: String,
    /// With none, for one service.
    narrow: String,
}

fn make_keys(both: &Both<'_>, bearer: &str) -> Keys {
    let make = |bearer: &str, asked: &Value| {
        both.here.post("/api/auth/api-key", &[("Authorization", bearer)], asked)
    };
    let made = |asked: Value| {
        let reply = make(bearer, &asked);
        assert_eq!(reply.status, 201, "{asked}: {}", reply.text());
        reply.json()["data"].as_str().unwrap().to_owned()
    };
    let full = made(json!({"validTo": LATER, "permissions": [USERS]}));
    let answer = |path: &str, key: &str, expected: &str| both.answer(path, &[("X-API-Key", key)], expected);
    answer("/api/resource/users", &full, "allowed");
    both.answer(&format!("/api/resource/users?key={full}"), &[], "allowed");
    answer("/other", &full, "allowed");
    let narrow = made(json!({"validFrom": "2024-01-01T00:00:00Z", "validTo": LATER, "services": ["kala"]}));
    answer("/api/resource", &narrow, "allowed");
    answer("/api/resource/users", &narrow, "permission_denied");
    answer("/other", &narrow, "service_denied");
    let early = made(json!({"validFrom": "2098-01-01T00:00:00Z", "validTo": LATER}));
    answer("/api/resource", &early, "invalid_credential");
    let soon = now() + 3;
    let short = made(json!({"validTo": moment(soon)}));
    eventually("the key expires", || {
        (both.here.answer("/other", &[("X-API-Key", &short)]) != "allowed").then_some(())
    });
    assert!(now() >= soon, "and not before its time");
    answer("/other", &short, "invalid_credential");

    for (asked, status) in [
        (json!({}), 400),
        (json!({"validTo": "soon"}), 400),
        (json!({"validTo": "2020-01-01T00:00:00Z"}), 400),
        (json!({"validFrom": LATER, "validTo": LATER}), 400),
        (json!({"validTo": LATER, "permissions": ["nothing"]}), 400),
        (json!({"validTo": LATER, "services": ["nothing"]}), 400),
        (json!({"validTo": LATER, "user": "bob"}), 400),
        (json!({"validTo": LATER, "permissions": [USERS, DATA]}), 403),
    ] {
        let reply = make(bearer, &asked);
        assert_eq!(reply.status, status, "{asked}: {}", reply.text());
    }
    let token = bearer.trim_start_matches("Bearer ");
    for credential in [format!("Bearer {full}"), "Bearer a.b.c".to_owned(), format!("Basic {token}")] {
        assert_eq!(make(&credential, &json!({"validTo": LATER})).status, 401);
    }
    Keys { full, narrow }
}

fn now() -> i64 {
    Clock::system().now().unix()
}

/// As Kala's document writes it.
fn moment(unix: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(unix).unwrap();
    let (hour, minute, second) = at.to_hms();
    format!("{}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", at.year(), u8::from(at.month()), at.day())
}

#[test]
fn kalas_document_is_walked_through() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let home = folder.path().join("doorward");
    // An hour's token of two hours ago, and one of now: the store has one master at a time.
    let carl = Uuid::from_u128(0x0196_a1f0_0000_7000_8000_0000_0000_0201);
    let long_ago = Clock::stopped(Timestamp::from_unix(now() - 7200)).0;
    let [expired, good] = [long_ago, Clock::system()].map(|clock| {
        Mint::new(&home, "https://auth.example.com", clock).token(
            carl,
            &[EVERY_SERVICE],
            Duration::from_secs(3600),
        )
    });
    let config = format!("{KALA}consumers: [{{username: carl, id: {carl}}}]\n");
    let place = Place::new(start_doorward(&home, &config), &echo);
    for (token, expected) in [(good, "allowed"), (expired, "invalid_credential")] {
        assert_eq!(place.answer("/api/resource", &[("Authorization", &format!("Bearer {token}"))]), expected);
    }
    walk_through_kala(&Both { here: &place, there: &place });
}

#[test]
fn kalas_document_is_walked_through_over_two_instances() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let redis = Redis::start(&folder.path().join("redis"), &[]).unwrap();
    let [here, there] = ["here", "there"].map(|name| {
        let setup = setup(&folder.path().join(name));
        let config = format!("{KALA}limits: {{login_failures: 5}}\nstore: {{url: \"{}\"}}\n", redis.url());
        setup.write(&config).unwrap();
        secret(&setup, SECRET);
        Place::new(started(&setup), &echo)
    });
    walk_through_kala(&Both { here: &here, there: &there });
    // Guesses are counted for both together.
    for at in [&here, &there, &here, &there, &here] {
        assert_eq!(at.log_in("bob", "wrong").status, 401);
    }
    for at in [&here, &there] {
        let refused = at.log_in("bob", PASSWORD);
        assert_eq!((refused.status, refused.code().as_str()), (429, "throttled"));
    }
}

#[test]
fn r3_what_a_token_claims_is_never_what_its_asker_writes() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), KALA);
    doorward.command(&["consumer", "create", "alice"]).unwrap();
    doorward.set_password("alice", PASSWORD).unwrap();
    let auth = doorward.auth_address();
    let login = json!({"username": "alice", "password": PASSWORD});
    eventually("there are signing keys, and she logs in", || {
        (post(auth, "/api/auth/access-token", &[], &login).status == 200).then_some(())
    });
    let reserved =
        ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "pwd", "permissions", "roles", "groups"];
    for claim in reserved {
        let mut asked = login.clone();
        asked[claim] = json!("carol");
        let reply = post(auth, "/api/auth/access-token", &[], &asked);
        assert_eq!(reply.status, 400, "{claim}: {}", reply.text());
        assert!(
            reply.text().contains("there is a field in it that is not known here"),
            "{claim}: {}",
            reply.text()
        );
    }
}

#[test]
fn whoever_is_refused_hears_the_same_and_too_many_tries_are_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("limits: {{login_failures: 3, login_failures_of_address: 8}}\n{KALA}");
    let doorward = start_doorward(folder.path(), &config);
    doorward.command(&["consumer", "create", "alice"]).unwrap();
    doorward.set_password("alice", PASSWORD).unwrap();
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
        assert_eq!(reply.json()["type"], "urn:doorward:code:invalid_credential");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    let (status, text, reply) = login("alice", PASSWORD);
    assert_eq!((status, reply.code().as_str()), (429, "throttled"), "{text}");
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=900).contains(&seconds));
    for guess in 0..4 {
        assert_eq!(login(&format!("x{guess}"), "x").0, 401);
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

pub(crate) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// For the file, as `password hash` makes it.
#[track_caller]
pub(crate) fn hashed(folder: &Path, password: &str) -> String {
    let hashing = setup(&folder.join("hash"));
    hashing.write("").unwrap();
    let mut command = hashing.command(&["password", "hash"]);
    let mut hash = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(hash.stdin.take().unwrap(), "{password}").unwrap();
    String::from_utf8(hash.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn a_name_and_a_password_open_while_they_are_there_and_are_kept_from_the_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let hash = hashed(folder.path(), "a phrase of the file's own");
    let config = format!(
        "{KALA}consumers: [{{username: filed, password_from_env: FILED_PHC, permissions: [user-management]}}]\n"
    );
    let world = World::with_environment(&config, &[("FILED_PHC", &hash)]);
    let ask = |credential: &str| world.get("/api/resource", &[("Authorization", credential)]);

    let filed = ask(&basic("filed", "a phrase of the file's own"));
    assert_eq!(filed.status, 200);
    assert_eq!(filed.seen().unwrap().header("x-credential-identifier"), Some("filed"));
    assert_eq!(filed.seen().unwrap().header("authorization"), None);
    assert_eq!(ask(&basic("filed", "another")).code(), "invalid_credential");

    world.command(&["consumer", "create", "alice"]);
    world.doorward.set_password("alice", PASSWORD).unwrap();
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
    world.doorward.set_password("alice", "four other words of hers").unwrap();
    assert_eq!(ask(&basic("alice", PASSWORD)).code(), "invalid_credential");
    assert_eq!(ask(&basic("alice", "four other words of hers")).status, 200);
    world.command(&["consumer", "delete", "alice"]);
    assert_eq!(ask(&basic("alice", "four other words of hers")).code(), "invalid_credential");
    // Guesses are counted here as well.
    for _ in 0..10 {
        assert_eq!(ask(&basic("guessed", PASSWORD)).status, 401);
    }
    let refused = ask(&basic("guessed", PASSWORD));
    assert_eq!((refused.status, refused.code().as_str()), (429, "throttled"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=900).contains(&seconds));
}
