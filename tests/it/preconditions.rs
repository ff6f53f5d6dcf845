//! `ETag` and `If-Match`: nobody's change is undone unseen.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::admin::admin_key;
use crate::rig::doorward::Doorward;
use crate::rig::http1::{Reply, request, send};
use crate::world::{HOUSE, command, start_doorward};

struct Api {
    doorward: Doorward,
    to: SocketAddr,
    bearer: String,
    _folder: TempDir,
}

impl Api {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let doorward = start_doorward(&folder.path().join("doorward"), HOUSE);
        let (key, _) = admin_key(&doorward);
        Self { to: doorward.admin_address(), bearer: format!("Bearer {key}"), doorward, _folder: folder }
    }

    fn ask(&self, method: &str, path: &str, tag: Option<&str>, body: &Value) -> Reply {
        let mut headers = vec![
            ("Authorization", self.bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Connection", "close"),
        ];
        headers.extend(tag.map(|tag| ("If-Match", tag)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(self.to, &request(method, path, &headers, body.as_bytes())).unwrap()
    }

    #[track_caller]
    fn expect(&self, status: u16, method: &str, path: &str, tag: Option<&str>, body: Value) -> Reply {
        let reply = self.ask(method, path, tag, &body);
        assert_eq!(reply.status, status, "{method} {path} if {tag:?}: {}", reply.text());
        reply
    }

    /// The tag of what is there.
    #[track_caller]
    fn tag(&self, path: &str) -> String {
        tag_of(&self.expect(200, "GET", path, None, Value::Null))
    }
}

#[track_caller]
fn tag_of(reply: &Reply) -> String {
    let tag = reply.header("etag").unwrap_or_else(|| panic!("no tag: {}", reply.text()));
    assert!(tag.starts_with('"') && tag.ends_with('"'), "strong: {tag}");
    tag.to_owned()
}

/// One of each kind, and two bodies that change it.
fn one_of_each(api: &Api) -> Vec<(String, Value, Value)> {
    let at = |reply: &Reply, list: &str| format!("/{list}/{}", reply.json()["id"].as_str().unwrap());
    let make = |path: &str, body: Value| api.expect(201, "POST", path, None, body);
    let tags = |tag: &str| json!({ "tags": [tag] });
    let consumer = make("/consumers", json!({"username": "carol"}));
    let mut all = vec![(at(&consumer, "consumers"), tags("a"), tags("b"))];
    for (path, list, body) in [
        ("/consumers/carol/key-auth", "key-auths", json!({})),
        ("/consumers/carol/acls", "acls", json!({"group": "gold"})),
        ("/consumers/carol/basic-auth", "basic-auths", json!({"username": "c", "password": "correct horse"})),
        ("/consumers/carol/jwt", "jwts", json!({})),
    ] {
        let made = make(path, body);
        all.push((at(&made, list), tags("a"), tags("b")));
        let nested = format!("{path}/{}", made.json()["id"].as_str().unwrap());
        all.push((nested, tags("c"), tags("d")));
    }
    for (list, body) in objects() {
        let made = make(&format!("/{list}"), body);
        all.push((at(&made, list), tags("a"), tags("b")));
    }
    all
}

/// One of each kind that policy is made of, in an order in which each has what it needs.
fn objects() -> Vec<(&'static str, Value)> {
    vec![
        ("permissions", json!({"name": "buy"})),
        ("roles", json!({"name": "buyer"})),
        ("projects", json!({"name": "market"})),
        ("groups", json!({"name": "devs"})),
        ("infrastructures", json!({"name": "production"})),
        ("services", json!({"name": "shop", "paths": ["/shop"], "authentication": {"any": ["api_key"]}})),
        ("deployments", json!({"service": "shop", "infrastructure": "production"})),
    ]
}

#[test]
fn every_answer_that_shows_one_object_has_its_tag_and_each_change_another() {
    let api = Api::start();
    let all = one_of_each(&api);
    for (path, one, other) in &all {
        let read = api.tag(path);
        assert_eq!(api.tag(path), read, "{path}: reading changes nothing");
        let changed = tag_of(&api.expect(200, "PATCH", path, None, one.clone()));
        assert_ne!(changed, read, "{path}");
        assert_eq!(api.tag(path), changed, "{path}: the tag of the answer is that of the object");
        let again = tag_of(&api.expect(200, "PATCH", path, Some(&changed), other.clone()));
        assert_eq!(api.tag(path), again, "{path}");
    }
    let put = tag_of(&api.expect(200, "PUT", "/consumers/erin", None, json!({})));
    assert_eq!(api.tag("/consumers/erin"), put);
    let made = api.expect(201, "POST", "/consumers", None, json!({"username": "dave"}));
    assert_eq!(api.tag("/consumers/dave"), tag_of(&made));
    let admin = api.expect(201, "POST", "/admin-keys", None, json!({}));
    let path = format!("/admin-keys/{}", admin.json()["id"].as_str().unwrap());
    assert_eq!(api.tag(&path), tag_of(&admin));
    let version =
        api.expect(201, "POST", "/services/shop/versions", None, json!({"name": "v1", "policy": {}}));
    assert_eq!(api.tag("/services/shop/versions/v1"), tag_of(&version));
    for path in ["/consumers", "/key-auths", "/consumers/alice", "/services", "/services/orders"] {
        let reply = api.expect(200, "GET", path, None, Value::Null);
        assert_eq!(reply.header("etag"), None, "{path}: a list, or what the file declares");
    }
}

#[test]
fn what_was_changed_since_is_neither_changed_nor_ended() {
    let api = Api::start();
    for (path, one, other) in one_of_each(&api) {
        let stale = api.tag(&path);
        let tag = tag_of(&api.expect(200, "PATCH", &path, None, one));
        let before = api.expect(200, "GET", &path, None, Value::Null).json();
        for old in [&stale[..], "\"0\"", "\"18446744073709551615\"", "\"another\"", &format!("W/{tag}")] {
            let refused = api.expect(412, "PATCH", &path, Some(old), other.clone());
            assert!(refused.json()["message"].as_str().unwrap().contains("ETag"), "{}", refused.text());
            api.expect(412, "DELETE", &path, Some(old), Value::Null);
        }
        assert_eq!(api.expect(200, "GET", &path, None, Value::Null).json(), before, "{path}");
        assert_eq!(api.tag(&path), tag, "{path}");
    }
    let admin = api.expect(201, "POST", "/admin-keys", None, json!({}));
    let path = format!("/admin-keys/{}", admin.json()["id"].as_str().unwrap());
    let refused = api.expect(412, "DELETE", &path, Some("\"1\""), Value::Null);
    assert_eq!(
        (refused.code(), refused.header("content-type")),
        ("stale".into(), Some("application/problem+json"))
    );
    api.expect(204, "DELETE", &path, Some(&tag_of(&admin)), Value::Null);
}

#[test]
fn with_its_tag_or_a_star_an_object_is_changed_and_ended() {
    let api = Api::start();
    let mut all = one_of_each(&api);
    // The consumer goes last: it takes the others along.
    all.reverse();
    for (path, one, other) in all.iter().filter(|(path, ..)| !path.starts_with("/consumers/carol/")) {
        let tag = api.tag(path);
        let tag = tag_of(&api.expect(200, "PATCH", path, Some(&tag), one.clone()));
        api.expect(200, "PATCH", path, Some("*"), other.clone());
        api.expect(412, "DELETE", path, Some(&tag), Value::Null);
        let tag = api.tag(path);
        api.expect(204, "DELETE", path, Some(&tag), Value::Null);
        api.expect(404, "DELETE", path, Some("*"), Value::Null);
    }
    assert_eq!(command(&api.doorward, &["audit", "verify"])["whole"], true);
}

#[test]
fn a_put_with_a_condition_makes_nothing_anew() {
    let api = Api::start();
    let carol = api.expect(201, "POST", "/consumers", None, json!({"username": "carol"}));
    let tag = tag_of(&carol);
    let id = "5b1f3c1e-6f0f-4c0e-9d6f-2f6f1f0d8a11";
    for (path, body) in [
        ("/consumers/erin".to_owned(), json!({})),
        (format!("/consumers/{id}"), json!({"username": "erin"})),
        (format!("/consumers/carol/key-auth/{id}"), json!({})),
        ("/consumers/carol/acls/gold".to_owned(), json!({})),
        ("/consumers/carol/basic-auth/erin".to_owned(), json!({"password": "correct horse"})),
        ("/consumers/carol/jwt/erin".to_owned(), json!({})),
        ("/groups/new".to_owned(), json!({})),
        (format!("/groups/{id}"), json!({"name": "new"})),
        ("/services/new".to_owned(), json!({"authentication": "none"})),
    ] {
        for condition in ["*", &tag, "\"1\""] {
            api.expect(412, "PUT", &path, Some(condition), body.clone());
            api.expect(404, "GET", &path, None, Value::Null);
        }
    }
    assert_eq!(api.tag("/consumers/carol"), tag);
    let put = api.expect(200, "PUT", "/consumers/carol", Some(&tag), json!({"tags": ["a"]}));
    api.expect(412, "PUT", "/consumers/carol", Some(&tag), json!({"tags": ["b"]}));
    assert_eq!(api.tag("/consumers/carol"), tag_of(&put));
}

#[test]
fn of_two_writers_with_the_same_tag_exactly_one_succeeds() {
    let api = Api::start();
    for (path, one, other) in one_of_each(&api) {
        for round in 0..5 {
            let tag = api.tag(&path);
            let together = Barrier::new(2);
            let write = |body: &Value| {
                together.wait();
                api.ask("PATCH", &path, Some(&tag), body)
            };
            let replies = thread::scope(|scope| {
                let writers = [&one, &other].map(|body| scope.spawn(move || (body, write(body))));
                writers.map(|writer| writer.join().unwrap())
            });
            let mut statuses = replies.each_ref().map(|(_, reply)| reply.status);
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412], "{path}, round {round}");
            let (body, winner) = replies.iter().find(|(_, reply)| reply.status == 200).unwrap();
            let there = api.expect(200, "GET", &path, None, Value::Null);
            assert_eq!(there.json()["tags"], body["tags"], "{path}, round {round}");
            assert_eq!(tag_of(&there), tag_of(winner), "{path}, round {round}");
        }
    }
    // One changes it, one ends it: it does not end as somebody has not seen it.
    let made = api.expect(201, "POST", "/consumers/carol/key-auth", None, json!({}));
    let path = format!("/key-auths/{}", made.json()["id"].as_str().unwrap());
    let tag = tag_of(&made);
    let (changed, ended) = thread::scope(|scope| {
        let change = scope.spawn(|| api.ask("PATCH", &path, Some(&tag), &json!({"enabled": false})));
        let end = scope.spawn(|| api.ask("DELETE", &path, Some(&tag), &Value::Null));
        (change.join().unwrap().status, end.join().unwrap().status)
    });
    assert!(matches!((changed, ended), (200, 412) | (404 | 412, 204)), "{changed} {ended}");
}

/// A grant is a setting of the service, and a version has a state of its own.
#[test]
fn grants_and_versions_heed_the_tag_of_what_they_change() {
    let api = Api::start();
    objects()
        .into_iter()
        .for_each(|(list, body)| drop(api.expect(201, "POST", &format!("/{list}"), None, body)));
    let grant = "/services/shop/grants/devs";
    let seen = api.tag("/services/shop");
    let read = json!({"privileges": ["read"]});
    let put = tag_of(&api.expect(200, "PUT", grant, Some(&seen), read.clone()));
    assert_eq!((api.tag(grant), api.tag("/services/shop")), (put.clone(), put.clone()));
    api.expect(412, "PUT", grant, Some(&seen), read);
    api.expect(412, "DELETE", grant, Some(&seen), Value::Null);
    api.expect(204, "DELETE", grant, Some(&put), Value::Null);

    let version =
        api.expect(201, "POST", "/services/shop/versions", None, json!({"name": "v1", "policy": {}}));
    let path = "/services/shop/versions/v1";
    api.expect(412, "DELETE", path, Some("\"1\""), Value::Null);
    api.expect(204, "DELETE", path, Some(&tag_of(&version)), Value::Null);

    // Who has a role where has no state of its own: a condition that would not be heeded is refused.
    api.expect(201, "POST", "/consumers", None, json!({"username": "carol"}));
    let refused = api.expect(400, "PUT", "/projects/market/users/carol/roles/buyer", Some("*"), Value::Null);
    assert!(refused.json()["fields"]["If-Match"].is_string(), "{}", refused.text());
}

#[test]
fn what_is_no_condition_is_refused_by_its_name() {
    let api = Api::start();
    api.expect(201, "POST", "/consumers", None, json!({"username": "carol"}));
    for wrong in ["12", "\"1\", \"2\"", "\"1"] {
        let refused = api.expect(400, "PATCH", "/consumers/carol", Some(wrong), json!({"tags": ["a"]}));
        assert!(refused.json()["fields"]["If-Match"].is_string(), "{}", refused.text());
    }
    // What shows or makes is not asked about.
    api.expect(200, "GET", "/consumers/carol", Some("\"1\""), Value::Null);
    api.expect(201, "POST", "/consumers", Some("\"1\""), json!({"username": "dave"}));
}
