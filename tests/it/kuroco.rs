//! Kuroco's four kinds of security, login by login, through a real Envoy.

use serde_json::{Value, json};

use crate::fleet::{SECRET, secret};
use crate::login::{Both, Place};
use crate::rig::echo::Echo;
use crate::rig::http1::{Reply, request, send};
use crate::rig::redis::Redis;
use crate::rig::wait::eventually;
use crate::world::{command, setup, start_doorward, started};

const KUROCO: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: open, paths: [/open], authentication: none}
  - {name: partners, paths: [/partners], authentication: {any: [static_token]}, networks: {allow: [127.0.0.1]}}
  - {name: news, paths: [/news], authentication: {any: [{token: {kinds: [dynamic]}}]}}
  - {name: shop, paths: [/shop], authentication: {any: [token]}}
  - {name: bought, paths: [/bought], authentication: {any: [{token: {kinds: [subject]}}]}}
  - {name: closed, paths: [/closed], authentication: {any: [token, static_token]}, networks: {deny: [127.0.0.0/8]}}
  - {name: watched, paths: [/watched], authentication: {any: [token]}, networks: {allow: []}, mode: shadow}
"#;

const PASSWORD: &str = "four words of her own";
const OTHER: &str = "four other words of hers";

impl Place {
    #[track_caller]
    fn login(&self, service: &str, password: &str) -> Reply {
        self.post(&format!("/auth/{service}/login"), &[], &json!({"username": "alice", "password": password}))
    }

    #[track_caller]
    fn exchange(&self, service: &str, grant: &str) -> Reply {
        self.post(&format!("/auth/{service}/token"), &[], &json!({"grant_token": grant}))
    }
}

#[track_caller]
fn grant(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let grant = answer["grant_token"].as_str().unwrap().to_owned();
    assert_eq!(answer, json!({"grant_token": grant, "expires_in": 60}));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    grant
}

#[track_caller]
fn value(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let token = &answer["access_token"];
    let value = token["value"].as_str().unwrap().to_owned();
    assert_eq!(answer, json!({"access_token": {"value": value, "expires_at": token["expires_at"]}}));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    value
}

#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{}", reply.text());
}

/// Logs in, uses what one gets, and loses it in every way.
fn walk(both: &Both<'_>) {
    let Both { here, there } = both;
    command(&here.doorward, &["consumer", "create", "alice", "--email", "alice@example.com"]);
    here.doorward.set_password("alice", PASSWORD).unwrap();
    both.answer("/open", &[], "allowed");
    both.answer("/news", &[], "missing_credential");

    let once = grant(&here.login("news", PASSWORD));
    // A grant opens nothing, here or at another service, and is a token's worth once.
    assert_ne!(here.answer("/news", &[("X-Auth-Token", &once)]), "allowed");
    refused(&there.exchange("shop", &once), 401, "invalid_credential");
    // The other instance knows of alice as soon as it has heard of her.
    let taken = eventually("the grant is taken", || {
        Some(there.exchange("news", &once)).filter(|it| it.status != 401)
    });
    let token = value(&taken);
    for at in [here, there] {
        refused(&at.exchange("news", &once), 401, "invalid_credential");
    }
    let bearer = format!("Bearer {token}");
    let shown = [("Authorization", bearer.as_str())];
    both.comes_to("/news", &shown, "allowed");
    both.comes_to("/news", &[("X-Auth-Token", &token)], "allowed");
    // Services do not share what a login gives.
    both.comes_to("/shop", &shown, "invalid_credential");
    both.comes_to("/bought", &shown, "invalid_credential");
    one_of_many(both);

    // Logged out, it is over for all.
    let by_email = json!({"email": "alice@example.com", "password": PASSWORD});
    let reply = here.post("/auth/shop/login", &[], &by_email);
    let second = value(&here.exchange("shop", &grant(&reply)));
    let second = [("X-Auth-Token", second.as_str())];
    both.comes_to("/shop", &second, "allowed");
    refused(&here.post("/auth/shop/logout", &[], &json!({})), 401, "missing_credential");
    assert_eq!(here.post("/auth/shop/logout", &second, &json!({})).status, 204);
    both.comes_to("/shop", &second, "invalid_credential");
    // Another login's is not.
    both.comes_to("/news", &shown, "allowed");
    assert_eq!(there.post("/auth/shop/logout", &second, &json!({})).status, 204, "it has ended already");

    // With the password all ends that was got by it.
    let once = grant(&there.login("news", PASSWORD));
    here.doorward.set_password("alice", OTHER).unwrap();
    both.answer("/news", &shown, "invalid_credential");
    refused(&here.exchange("news", &once), 401, "invalid_credential");
    refused(&here.login("news", PASSWORD), 401, "invalid_credential");

    // So does it with who is switched off.
    let once = grant(&here.login("news", OTHER));
    let token = value(&here.exchange("news", &grant(&here.login("news", OTHER))));
    let shown = [("X-Auth-Token", token.as_str())];
    both.answer("/news", &shown, "allowed");
    command(&here.doorward, &["consumer", "update", "alice", "--disable"]);
    both.answer("/news", &shown, "invalid_credential");
    refused(&here.exchange("news", &once), 401, "invalid_credential");
    refused(&here.login("news", OTHER), 401, "invalid_credential");
}

/// Whoever shows the same grant at the same moment, one has the token.
fn one_of_many(both: &Both<'_>) {
    let Both { here, there } = *both;
    let once = grant(&here.login("news", PASSWORD));
    let taken: Vec<u16> = std::thread::scope(|scope| {
        let take = |at: &'_ Place| at.exchange("news", &once).status;
        let takers = [here, there, here, there].map(|at| scope.spawn(move || take(at)));
        takers.into_iter().map(|taker| taker.join().unwrap()).collect()
    });
    assert_eq!(taken.iter().filter(|status| **status == 200).count(), 1, "{taken:?}");
    assert_eq!(taken.iter().filter(|status| **status == 401).count(), 3, "{taken:?}");
}

#[test]
fn dynamic_tokens_are_got_used_and_lost() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let place = Place::new(start_doorward(&folder.path().join("doorward"), KUROCO), &echo);
    walk(&Both { here: &place, there: &place });
}

#[test]
fn dynamic_tokens_are_got_used_and_lost_over_two_instances() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let redis = Redis::start(&folder.path().join("redis"), &[]).unwrap();
    let [here, there] = ["here", "there"].map(|name| {
        let setup = setup(&folder.path().join(name));
        setup.write(&format!("{KUROCO}store: {{url: \"{}\"}}\n", redis.url())).unwrap();
        secret(&setup, SECRET);
        Place::new(started(&setup), &echo)
    });
    walk(&Both { here: &here, there: &there });
}

#[test]
fn what_is_asked_wrongly_at_a_login_is_told_and_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let place = Place::new(start_doorward(&folder.path().join("doorward"), KUROCO), &echo);
    command(&place.doorward, &["consumer", "create", "alice"]);
    place.doorward.set_password("alice", PASSWORD).unwrap();
    let login = json!({"username": "alice", "password": PASSWORD});
    let both = json!({"username": "alice", "email": "a@example.com", "password": PASSWORD});
    for (path, body, status, code) in [
        ("/auth/nothing/login", &login, 404, "not_found"),
        ("/auth/open/login", &login, 404, "not_found"),
        ("/auth/partners/login", &login, 404, "not_found"),
        ("/auth/bought/login", &login, 404, "not_found"),
        ("/auth/news/login", &json!({"username": "alice"}), 400, "invalid_field"),
        ("/auth/news/login", &json!({"password": PASSWORD}), 400, "invalid_field"),
        ("/auth/news/login", &both, 400, "invalid_field"),
        ("/auth/news/login", &json!({"username": "alice", "password": 1}), 400, "invalid_field"),
        ("/auth/news/login", &json!({"username": "alice", "password": "x", "more": 1}), 400, "invalid_field"),
        ("/auth/news/login", &json!({"username": "alice", "password": "wrong"}), 401, "invalid_credential"),
        ("/auth/news/login", &json!({"email": "alice", "password": PASSWORD}), 401, "invalid_credential"),
        ("/auth/news/token", &json!({}), 400, "invalid_field"),
        ("/auth/news/token", &json!({"grant_token": "dw_once_"}), 401, "invalid_credential"),
        ("/auth/bought/token", &json!({"grant_token": "dw_once_"}), 404, "not_found"),
        ("/auth/partners/token", &json!({"consumer": "alice"}), 401, "missing_credential"),
        // Address restriction is of the service's logins too, whatever they show.
        ("/auth/closed/login", &login, 403, "network_denied"),
        ("/auth/closed/token", &json!({"grant_token": "dw_once_"}), 403, "network_denied"),
        ("/auth/closed/logout", &json!({}), 401, "missing_credential"),
        ("/auth/news/logout", &json!({}), 401, "missing_credential"),
        ("/auth/nothing/logout", &json!({}), 404, "not_found"),
    ] {
        refused(&place.post(path, &[], body), status, code);
    }
    grant(&place.login("watched", PASSWORD));
    let get = request("GET", "/auth/news/login", &[("Connection", "close")], b"");
    refused(&send(place.doorward.auth_address(), &get).unwrap(), 405, "method_not_allowed");
}

#[test]
fn an_admin_key_makes_a_static_token_of_a_service_that_is_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let place = Place::new(start_doorward(&folder.path().join("doorward"), KUROCO), &echo);
    command(&place.doorward, &["consumer", "create", "alice"]);
    let admin = command(&place.doorward, &["admin-key", "create"])["key"].as_str().unwrap().to_owned();
    let admin = format!("Bearer {admin}");
    let shown = [("Authorization", admin.as_str())];
    let asked = json!({"consumer": "alice"});
    let reply = place.post("/auth/partners/token", &shown, &asked);
    assert_eq!(reply.json()["access_token"]["expires_at"], Value::Null);
    let token = value(&reply);
    assert_eq!(place.answer("/partners", &[("X-Auth-Token", &token)]), "allowed");
    assert_eq!(place.answer("/partners", &[("Authorization", &format!("Bearer {token}"))]), "allowed");
    assert_ne!(place.answer("/news", &[("X-Auth-Token", &token)]), "allowed");
    let until = json!({"consumer": "alice", "expires_at": "2099-01-01T00:00:00Z"});
    let reply = place.post("/auth/partners/token", &shown, &until);
    assert_eq!(reply.json()["access_token"]["expires_at"], "2099-01-01T00:00:00Z");
    for (path, key, body, status, code) in [
        ("/auth/partners/token", admin.as_str(), json!({}), 400, "invalid_field"),
        ("/auth/partners/token", &admin, json!({"consumer": "nobody"}), 400, "unknown_reference"),
        (
            "/auth/partners/token",
            &admin,
            json!({"consumer": "alice", "grant_token": "x"}),
            400,
            "invalid_field",
        ),
        ("/auth/news/token", &admin, asked.clone(), 404, "not_found"),
        // Which key it is, is asked where there are static tokens.
        ("/auth/news/token", "Bearer dw_admin_none", asked.clone(), 404, "not_found"),
        ("/auth/closed/token", &admin, asked.clone(), 403, "network_denied"),
        ("/auth/partners/token", "Bearer dw_admin_none", asked.clone(), 401, "invalid_credential"),
        ("/auth/partners/token", &format!("Bearer {token}"), asked, 401, "invalid_credential"),
    ] {
        refused(&place.post(path, &[("Authorization", key)], &body), status, code);
    }
}
