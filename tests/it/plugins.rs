//! `/services/…/plugins` and `/routes/…/plugins`: Kong's plugins as parts of a service's policy.

use serde_json::{Value, json};

use crate::kong::Api;
use crate::login::basic;
use crate::world::{ALICE, World};

/// A public service of the store's, which plugins are put on, behind an Envoy.
fn world() -> (World, Api, String) {
    let world = World::new();
    let api = Api::of(&world.doorward);
    let id = public(&api, "billing");
    (world, api, id)
}

/// Makes and deploys a public service of this name; its id.
pub(crate) fn public(api: &Api, name: &str) -> String {
    let service = json!({ "name": name, "paths": [format!("/{name}")], "authentication": "none" });
    let id = api.expect(201, "POST", "/services", service)["id"].as_str().unwrap().to_owned();
    api.expect(201, "POST", "/infrastructures", json!({ "name": "production" }));
    api.expect(201, "POST", "/deployments", json!({ "service": name, "infrastructure": "production" }));
    id
}

const PLUGINS: &str = "/services/billing/plugins";

#[test]
fn a_plugin_is_part_of_the_policy_from_the_answer_on() {
    let (world, api, id) = world();
    let status = |headers: &[(&str, &str)]| world.get("/billing", headers).status;
    assert_eq!(status(&[]), 200);
    let made = api.expect(201, "POST", PLUGINS, json!({ "name": "key-auth" }));
    assert_eq!(
        made["config"],
        json!({
            "key_names": ["apikey"], "key_in_header": true, "key_in_query": true, "key_in_body": false,
            "hide_credentials": false, "run_on_preflight": true, "realm": null, "anonymous": null,
        })
    );
    for (field, expected) in [
        ("name", json!("key-auth")),
        ("enabled", json!(true)),
        ("protocols", json!(["grpc", "grpcs", "http", "https"])),
        ("service", json!({ "id": id })),
        ("route", Value::Null),
        ("consumer", Value::Null),
        ("tags", Value::Null),
    ] {
        assert_eq!(made[field], expected, "{field}");
    }
    assert!(made["created_at"].is_u64() && made["id"].is_string(), "{made}");
    assert_eq!((status(&[]), status(&[("apikey", ALICE)])), (401, 200));

    let acl = api.expect(201, "POST", PLUGINS, json!({ "name": "acl", "config": { "allow": ["gold"] } }));
    assert_eq!(status(&[("apikey", ALICE)]), 403);
    let one = format!("{PLUGINS}/{}", acl["id"].as_str().unwrap());
    let changed = api.expect(200, "PATCH", &one, json!({ "config": { "allow": null, "deny": ["gold"] } }));
    assert_eq!(changed["config"]["deny"], json!(["gold"]));
    assert_eq!(changed["config"]["allow"], Value::Null);
    assert_eq!(status(&[("apikey", ALICE)]), 200);
    api.expect(
        201,
        "POST",
        PLUGINS,
        json!({ "name": "ip-restriction", "config": { "deny": ["127.0.0.0/8"] } }),
    );
    assert_eq!(status(&[("apikey", ALICE)]), 403);
    assert_eq!(api.call("DELETE", &format!("{PLUGINS}/ip-restriction"), &Value::Null).status, 204);
    assert_eq!(api.call("DELETE", &one, &Value::Null).status, 204);
    assert_eq!(api.call("DELETE", &one, &Value::Null).status, 404);
    assert_eq!(status(&[("apikey", ALICE)]), 200);
}

#[test]
fn a_plugin_is_read_replaced_and_listed_as_in_kong() {
    let (_world, api, id) = world();
    let made = api.expect(201, "POST", PLUGINS, json!({ "name": "key-auth", "config": { "realm": "r" } }));
    api.expect(201, "POST", PLUGINS, json!({ "name": "acl", "config": { "allow": ["gold"] } }));
    let one = format!("{PLUGINS}/{}", made["id"].as_str().unwrap());
    assert_eq!(api.expect(200, "GET", &one, Value::Null), {
        let mut row = made.clone();
        row["updated_at"] = api.expect(200, "GET", &one, Value::Null)["updated_at"].clone();
        row
    });
    // The same, as of a route.
    let route = api.expect(200, "GET", &format!("/routes/{id}/plugins/key-auth"), Value::Null);
    assert_eq!((&route["route"], &route["service"]), (&json!({ "id": id }), &Value::Null));
    assert_eq!(route["id"], made["id"]);

    let first = api.expect(200, "GET", &format!("{PLUGINS}?size=1"), Value::Null);
    assert_eq!(first["data"].as_array().unwrap().len(), 1);
    let second = api.expect(200, "GET", first["next"].as_str().unwrap(), Value::Null);
    assert!(second["data"].as_array().unwrap().len() == 1 && second["next"].is_null(), "{second}");
    assert_ne!(first["data"][0]["name"], second["data"][0]["name"]);

    // What is not sent goes back to the defaults; what was read can be sent again.
    let replaced =
        api.expect(200, "PUT", &one, json!({ "name": "key-auth", "config": { "key_in_query": false } }));
    assert_eq!(
        (&replaced["config"]["realm"], &replaced["config"]["key_in_query"]),
        (&Value::Null, &json!(false))
    );
    assert_eq!(api.expect(200, "PUT", &one, replaced.clone())["config"], replaced["config"]);
    let by_name = json!({ "config": { "deny": ["198.51.100.7"] } });
    assert_eq!(
        api.expect(200, "PUT", &format!("{PLUGINS}/ip-restriction"), by_name)["name"],
        "ip-restriction"
    );
    // Tokens are those that consumers sign, unless another issuer is named.
    let jwt = api.expect(201, "POST", PLUGINS, json!({ "name": "jwt" }));
    assert_eq!(jwt["config"]["issuer"], "consumers");
    assert_eq!(jwt["config"]["uri_param_names"], json!(["jwt"]));
    // The policy says the same in its own words.
    let policy = api.expect(200, "GET", "/services/billing", Value::Null);
    assert_eq!(policy["networks"], json!({ "deny": ["198.51.100.7"] }));
    assert_eq!(policy["groups"], json!({ "allow": ["gold"] }));
}

#[test]
fn either_of_two_plugins_is_enough_where_they_share_an_anonymous_consumer() {
    let (world, api, _) = world();
    let guest = json!({ "name": "key-auth", "config": { "anonymous": "guest" } });
    let made = api.expect(201, "POST", PLUGINS, guest);
    assert!(made["config"]["anonymous"].is_string(), "{made}");
    assert_eq!(world.get("/billing", &[]).status, 200);
    let acl = json!({ "name": "acl", "config": { "allow": ["gold"] } });
    api.expect(201, "POST", PLUGINS, acl);
    assert_eq!(world.get("/billing", &[]).status, 401, "a guest without groups, as in Kong");
    let unknown = json!({ "config": { "anonymous": "nobody" } });
    let refused = api.expect(400, "PATCH", &format!("{PLUGINS}/key-auth"), unknown);
    assert!(refused["fields"]["config.anonymous"].is_string(), "{refused}");
}

#[test]
fn a_name_and_its_password_open_what_basic_auth_is_on() {
    let (world, api, _) = world();
    let ask =
        |name: &str, password: &str| world.get("/billing", &[("Authorization", &basic(name, password))]);
    let status = |name: &str, password: &str| ask(name, password).status;
    api.expect(201, "POST", "/consumers", json!({ "username": "carol" }));
    let form = "application/x-www-form-urlencoded";
    let made = api.send("POST", "/consumers/carol/basic-auth", form, "username=desk&password=p%3Aq");
    assert_eq!((made.status, &made.json()["password"]), (201, &Value::Null));
    let plugin = api.expect(201, "POST", PLUGINS, json!({ "name": "basic-auth" }));
    let kongs = json!({ "realm": "service", "hide_credentials": false, "anonymous": null });
    assert_eq!(plugin["config"], kongs);

    for refused in [world.get("/billing", &[]), ask("desk", "p"), ask("carol", "p:q"), ask("nobody", "p:q")] {
        assert_eq!(refused.status, 401);
        assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"service\""));
    }
    let seen = ask("desk", "p:q").seen().unwrap();
    for (name, expected) in [
        ("x-consumer-username", Some("carol")),
        ("x-credential-identifier", Some("desk")),
        ("authorization", Some(&basic("desk", "p:q")[..])),
    ] {
        assert_eq!(seen.header(name), expected, "{name}");
    }
    let hidden = json!({ "config": { "hide_credentials": true, "realm": "r" } });
    api.expect(200, "PATCH", &format!("{PLUGINS}/basic-auth"), hidden);
    assert_eq!(ask("desk", "p:q").seen().unwrap().header("authorization"), None);

    // From the answer on, whatever was remembered.
    api.expect(200, "PATCH", "/basic-auths/desk", json!({ "password": "other" }));
    assert_eq!((status("desk", "p:q"), status("desk", "other")), (401, 200));
    api.expect(200, "PATCH", "/basic-auths/desk", json!({ "username": "chair" }));
    assert_eq!((status("desk", "other"), status("chair", "other")), (401, 200));
    api.expect(200, "PATCH", "/consumers/carol/basic-auth/chair", json!({ "enabled": false }));
    assert_eq!(status("chair", "other"), 401);
    api.expect(200, "PATCH", "/consumers/carol/basic-auth/chair", json!({ "enabled": true }));
    assert_eq!(status("chair", "other"), 200);
    assert_eq!(api.call("DELETE", "/basic-auths/chair", &Value::Null).status, 204);
    assert_eq!(status("chair", "other"), 401);
}

#[test]
fn what_would_open_the_service_or_cannot_be_carried_out_is_refused_and_says_why() {
    let (world, api, _) = world();
    api.expect(201, "POST", PLUGINS, json!({ "name": "key-auth" }));
    let before = api.expect(200, "GET", "/services/billing", Value::Null);
    let last = api.expect(409, "DELETE", &format!("{PLUGINS}/key-auth"), Value::Null);
    assert!(last["message"].as_str().unwrap().contains("authentication: none"), "{last}");
    api.expect(409, "POST", PLUGINS, json!({ "name": "key-auth" }));
    // The file's is changed in the file.
    let owned = json!({ "name": "acl", "config": { "allow": ["gold"] } });
    api.expect(409, "POST", "/services/orders/plugins", owned);
    assert_eq!(api.expect(200, "GET", "/routes/orders/plugins", Value::Null)["data"][0]["name"], "key-auth");
    for (path, body, field) in [
        (PLUGINS, json!({}), "name"),
        (PLUGINS, json!({ "name": "rate-limiting" }), "name"),
        (PLUGINS, json!({ "name": "acl" }), "config.allow"),
        (PLUGINS, json!({ "name": "acl", "config": { "allow": [5] } }), "config.allow[0]"),
        (PLUGINS, json!({ "name": "acl", "config": { "allow": ["a,b"] } }), "config.allow[0]"),
        (PLUGINS, json!({ "name": "acl", "config": { "key_names": ["a"] } }), "config.key_names"),
        (PLUGINS, json!({ "name": "acl", "config": { "nothing": 1 } }), "config.nothing"),
        (PLUGINS, json!({ "name": "acl", "enabled": false, "config": { "allow": ["a"] } }), "enabled"),
        (PLUGINS, json!({ "name": "acl", "protocols": ["http"], "config": { "allow": ["a"] } }), "protocols"),
        (PLUGINS, json!({ "name": "acl", "tags": ["a"], "config": { "allow": ["a"] } }), "tags"),
        (
            PLUGINS,
            json!({ "name": "acl", "consumer": { "id": "a" }, "config": { "allow": ["a"] } }),
            "consumer",
        ),
        (
            PLUGINS,
            json!({ "name": "acl", "service": { "name": "orders" }, "config": { "allow": ["a"] } }),
            "service",
        ),
        (
            PLUGINS,
            json!({ "name": "ip-restriction", "config": { "allow": ["192.0.2.300"] } }),
            "config.allow[0]",
        ),
        (PLUGINS, json!({ "name": "jwt", "config": { "issuer": "nobody" } }), "config.issuer"),
    ] {
        let refused = api.expect(400, "POST", path, body.clone());
        assert!(refused["fields"][field].is_string(), "{body}: {refused}");
    }
    let key_auth = format!("{PLUGINS}/key-auth");
    for (body, field) in [
        (json!({ "name": "acl" }), "name"),
        (json!({ "config": { "key_names": ["a b"] } }), "config.key_names[0]"),
        (json!({ "config": { "key_names": ["X-Consumer-ID"] } }), "config.key_names[0]"),
        (json!({ "config": { "realm": "a\"b" } }), "config.realm"),
        (json!({ "config": { "key_in_header": false, "key_in_query": false } }), "config.key_in_header"),
    ] {
        let refused = api.expect(400, "PATCH", &key_auth, body.clone());
        assert!(refused["fields"][field].is_string(), "{body}: {refused}");
    }
    let chosen = format!("{PLUGINS}/7d2f5c0e-4a7a-4c8e-9d5d-3f1f7a0c9b11");
    api.expect(400, "PUT", &chosen, json!({ "name": "acl", "config": { "allow": ["a"] } }));
    api.expect(404, "GET", &chosen, Value::Null);
    api.expect(404, "PATCH", &format!("{PLUGINS}/acl"), json!({ "config": { "allow": ["a"] } }));
    api.expect(404, "GET", "/services/nowhere/plugins", Value::Null);
    let after = api.expect(200, "GET", "/services/billing", Value::Null);
    assert_eq!(after, before, "nothing was changed");
    assert_eq!(world.get("/billing", &[]).status, 401);
}

#[test]
fn what_a_plugin_cannot_say_is_shown_and_left_alone() {
    let (_world, api, _) = world();
    let ours = json!({ "authentication": { "any": [
        { "api_key": { "names": ["apikey", { "name": "sid", "in": ["cookie"] }] } }, "static_token",
    ] } });
    let before = api.expect(200, "PATCH", "/services/billing", ours);
    let listed = api.expect(200, "GET", PLUGINS, Value::Null);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(listed["data"][0]["config"]["key_names"], json!(["apikey", "sid"]));
    let refused =
        api.expect(409, "PATCH", &format!("{PLUGINS}/key-auth"), json!({ "config": { "realm": "r" } }));
    assert!(refused["message"].as_str().unwrap().contains("/services"), "{refused}");
    let after = api.expect(200, "GET", "/services/billing", Value::Null);
    assert_eq!(after["authentication"], before["authentication"]);
    assert_eq!(api.call("DELETE", &format!("{PLUGINS}/key-auth"), &Value::Null).status, 204);
}
