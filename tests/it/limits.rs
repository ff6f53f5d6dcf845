//! What a consumer may have only so many of is no more, however many ask for it at once and wherever.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::fleet::{SECRET, secret};
use crate::identity::{CLOUD, PROJECT, authentication};
use crate::login::post;
use crate::rig::doorward::Doorward;
use crate::rig::redis::Redis;
use crate::rig::wait::eventually;
use crate::world::{command, setup, start_doorward, started};

const CONFIG: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
public_url: "https://iam.example"
limits: {own_keys: 3, access_keys: 3, tokens: 3, auth_connections: 400}
services:
  - {name: cloud, paths: [/cloud], authentication: {any: [{token: {kinds: [subject]}}, cookie]}}
"#;

const PASSWORD: &str = "four words of her own";
const MANY: usize = 16;

/// Has many ask at the same moment, at one place and the other, and three of them get what they ask for. What
/// these were told.
#[track_caller]
fn three_of_many(
    places: &[SocketAddr; 2],
    ask: impl Fn(SocketAddr, usize) -> (u16, Value) + Sync,
) -> Vec<Value> {
    let told: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let ask = &ask;
        let askers: Vec<_> = (0..MANY).map(|at| scope.spawn(move || ask(places[at % 2], at))).collect();
        askers.into_iter().map(|asker| asker.join().unwrap()).collect()
    });
    let (made, refused): (Vec<_>, Vec<_>) =
        told.into_iter().partition(|(status, _)| (200..300).contains(status));
    assert_eq!(made.len(), 3, "{made:?} {refused:?}");
    for (status, why) in refused {
        assert_eq!(status, 409, "{why}");
        assert!(why.to_string().contains("all that `limits."), "{why}");
    }
    made.into_iter().map(|(_, told)| told).collect()
}

#[track_caller]
fn hold(instances: [&Doorward; 2]) {
    let places = instances.map(Doorward::auth_address);
    command(instances[0], &["consumer", "create", "carol", "--role", "kakaocloud-project=admin"]);
    instances[0].set_password("carol", PASSWORD).unwrap();
    let login = json!({ "username": "carol", "password": PASSWORD });
    let [bearer, _] = places.map(|place| {
        eventually("carol can log in there", || {
            let reply = post(place, "/api/auth/access-token", &[], &login);
            let token = reply.json()["data"]["access_token"].as_str()?.to_owned();
            Some(format!("Bearer {token}"))
        })
    });
    let shown = [("Authorization", bearer.as_str())];
    let asked = |place, path: &str, headers: &[(&str, &str)], body: &Value| {
        let reply = post(place, path, headers, body);
        (reply.status, reply.json())
    };

    let until = json!({ "validTo": "2099-01-01T00:00:00Z" });
    three_of_many(&places, |place, _| asked(place, "/api/auth/api-key", &shown, &until));

    let keys = three_of_many(&places, |place, at| {
        let key = json!({ "name": format!("key-{at}"), "project_id": PROJECT });
        asked(place, "/auth/access-keys", &shown, &key)
    });

    let credential = json!({ "id": keys[0]["id"], "secret": keys[0]["secret"] });
    three_of_many(&places, |place, _| {
        eventually("the key is known there", || {
            let told = asked(place, "/identity/v3/auth/tokens", &[], &authentication(&credential));
            Some(told).filter(|(status, _)| *status != 401)
        })
    });
    // A session is one of them too.
    let (status, told) = asked(places[1], "/auth/cloud/login", &[], &login);
    assert_eq!((status, &told["code"]), (409, &json!("full")), "{told}");
}

#[test]
fn r19_limits_hold_for_many_who_ask_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), &format!("{CONFIG}{CLOUD}"));
    hold([&doorward, &doorward]);
}

#[test]
fn limits_hold_for_many_who_ask_two_instances_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::start(&folder.path().join("redis"), &[]).unwrap();
    let [here, there] = ["here", "there"].map(|name| {
        let setup = setup(&folder.path().join(name));
        setup.write(&format!("{CONFIG}{CLOUD}store: {{url: \"{}\"}}\n", redis.url())).unwrap();
        secret(&setup, SECRET);
        started(&setup)
    });
    hold([&here, &there]);
}
