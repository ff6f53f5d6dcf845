//! What is wrong with a body is told by its field, on every route that takes one, and nothing is written.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::admin::{admin_key, ask};
use crate::rig::http1::Reply;
use crate::world::{HOUSE, start_doorward};

/// Texts of several lines, and what is read back by nobody but its owner.
const FREE: &[&str] =
    &["description", "password", "rsa_public_key", "key", "secret", "path", "announced", "grant_token"];

/// A route that takes a body, and what its description says of that.
struct Route {
    method: String,
    template: String,
    /// With things that are there in the place of names.
    path: String,
    properties: Map<String, Value>,
    /// A body that would be taken, so that what is wrong is the only thing that is.
    good: Map<String, Value>,
}

fn good(method: &str, template: &str) -> Map<String, Value> {
    let last = template.rsplit('/').find(|segment| !segment.starts_with('{')).unwrap();
    let body = match (last, method) {
        (_, "PATCH") => json!({}),
        ("services", _) => json!({ "name": "new", "authentication": "none" }),
        ("deployments", "POST") => json!({ "service": "shop", "infrastructure": "staging" }),
        ("deployments", _) => json!({ "service": "shop", "infrastructure": "production" }),
        ("plugins", "POST") => json!({ "name": "acl", "config": { "allow": ["gold"] } }),
        ("versions", _) => json!({ "name": "v9", "policy": {} }),
        ("grants", _) => json!({ "privileges": ["admin"] }),
        ("permissions" | "roles" | "projects" | "groups" | "infrastructures", _) => json!({ "name": "new" }),
        ("acls", _) => json!({ "group": "silver", "consumer": { "username": "carol" } }),
        ("basic-auths" | "basic-auth", _) => {
            json!({ "username": "d", "password": "correct horse", "consumer": { "username": "carol" } })
        }
        ("access-keys", _) => json!({ "name": "new", "consumer": "carol", "project_id": "market" }),
        ("key-auths" | "jwts", _) => json!({ "consumer": { "username": "carol" } }),
        ("consumer", _) => json!({ "username": "carol" }),
        ("consumers", _) => json!({ "username": "dave" }),
        ("rotate", _) if template.starts_with("/key-auths") => json!({ "grace": 1 }),
        ("backup", _) => json!({ "path": "copy.redb" }),
        ("import", _) => json!({ "dry_run": true }),
        _ => json!({}),
    };
    body.as_object().unwrap().clone()
}

/// The schema that a reference leads to.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}"))
        }
        None => schema,
    }
}

/// The types of JSON that a schema takes.
fn types(document: &Value, schema: &Value) -> BTreeSet<String> {
    let schema = resolved(document, schema);
    let mut all = BTreeSet::new();
    match &schema["type"] {
        Value::String(one) => _ = all.insert(one.clone()),
        Value::Array(several) => all.extend(several.iter().filter_map(|it| it.as_str().map(str::to_owned))),
        _ => {}
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        for part in schema[word].as_array().into_iter().flatten() {
            all.extend(types(document, part));
        }
    }
    let values = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const"));
    all.extend(values.map(|value| type_of(value).to_owned()));
    if all.contains("number") {
        all.insert("integer".to_owned());
    }
    all
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn every_bad_body_is_refused_by_its_field_on_every_route_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let (key, _) = admin_key(&doorward);
    let to = doorward.admin_address();
    let call = |method: &str, path: &str, body: &[u8]| ask(to, &key, method, path, body);
    let make = |path: &str, body: Value| {
        let made = call("POST", path, body.to_string().as_bytes());
        assert_eq!(made.status, 201, "{path}: {}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    };
    make("/consumers", json!({ "username": "carol" }));
    let ids = [
        ("{key}", make("/consumers/carol/key-auth", json!({}))),
        ("{acl}", make("/consumers/carol/acls", json!({ "group": "gold" }))),
        (
            "{basic}",
            make("/consumers/carol/basic-auth", json!({ "username": "c", "password": "correct horse" })),
        ),
        ("{jwt}", make("/consumers/carol/jwt", json!({}))),
        ("{permission}", make("/permissions", json!({ "name": "buy" }))),
        ("{role}", make("/roles", json!({ "name": "buyer" }))),
        ("{project}", make("/projects", json!({ "name": "market" }))),
        ("{group}", make("/groups", json!({ "name": "devs" }))),
        ("(another)", make("/infrastructures", json!({ "name": "staging" }))),
        ("{infrastructure}", make("/infrastructures", json!({ "name": "production" }))),
        (
            "{service}",
            make("/services", json!({ "name": "shop", "paths": ["/shop"], "authentication": "none" })),
        ),
        ("{plugin}", make("/services/shop/plugins", json!({ "name": "key-auth" }))),
        ("{route}", "shop".to_owned()),
        ("{version}", make("/services/shop/versions", json!({ "name": "v1", "policy": {} }))),
        ("{deployment}", make("/deployments", json!({ "service": "shop", "infrastructure": "production" }))),
        ("{consumer}", "carol".to_owned()),
    ];
    let document = call("GET", "/openapi.json", b"").json();
    let routes = routes(&document, &ids);
    assert!(routes.len() >= 40, "{}", routes.len());

    let newest = || call("GET", "/audit?size=1", b"").json()["data"][0]["id"].clone();
    let before = newest();
    let mut taken = Vec::new();
    for route in &routes {
        let mut check = |what: &str, body: &[u8], field: Option<&str>| {
            let reply = call(&route.method, &route.path, body);
            if !refused(&reply, field) {
                let head = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
                let (method, template) = (&route.method, &route.template);
                taken.push(format!("{method} {template}: {what}: {head}: {} {}", reply.status, reply.text()));
            }
        };
        let text = |with: &[(&str, Value)]| {
            let mut body = route.good.clone();
            body.extend(with.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            Value::Object(body).to_string()
        };
        let deep = format!(r#"{{"deep":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
        let long = format!(r#"{{"long":"{}"}}"#, "x".repeat(2 << 20));
        check("too deep", deep.as_bytes(), None);
        check("too long", long.as_bytes(), None);
        check("no UTF-8", b"{\"a\":\"\xff\"}", None);
        check("cut off", br#"{"a":"#, None);
        check("no object", b"[1]", None);
        check("a name with a control character", br#"{"a\r\nX-Evil: 1":1}"#, None);
        check("a member twice", br#"{"a":1,"a":2}"#, Some("a"));
        check("an unknown field", text(&[("nonsense", json!(1))]).as_bytes(), Some("nonsense"));
        for (name, schema) in &route.properties {
            // What we add to answers may come back, and is not looked at; a consumer is called as in the path.
            let named_by_path = (&route.method[..], &route.template[..], &name[..]);
            if schema["readOnly"] == true || named_by_path == ("PUT", "/consumers/{consumer}", "username") {
                continue;
            }
            let is = types(&document, schema);
            let others = [json!(4242), json!("nonsense"), json!([[]]), json!({ "nonsense": 1 }), json!(true)];
            if let Some(other) =
                others.into_iter().find(|other| !is.contains(type_of(other))).filter(|_| !is.is_empty())
            {
                check("another type", text(&[(name, other)]).as_bytes(), Some(name));
            }
            let texts = |text: &str| match (is.contains("string"), is.contains("array")) {
                (true, _) => Some(json!(text)),
                (false, true) => Some(json!([text])),
                (false, false) => None,
            };
            if let Some(nul) = texts("a\0b") {
                check("a NUL", text(&[(name, nul)]).as_bytes(), Some(name));
            }
            if let Some(splitting) = texts("a\r\nX-Evil: 1").filter(|_| !FREE.contains(&&name[..])) {
                check("what splits a header", text(&[(name, splitting)]).as_bytes(), Some(name));
            }
        }
    }
    assert!(taken.is_empty(), "{} were not refused as they should be:\n{}", taken.len(), taken.join("\n"));
    assert_eq!(newest(), before, "nothing was written");
}

fn routes(document: &Value, ids: &[(&str, String)]) -> Vec<Route> {
    let mut routes = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let content = &operation["requestBody"]["content"];
            let Some(body) = content.as_object().and_then(|content| content.values().next()) else {
                continue;
            };
            let method = method.to_uppercase();
            let path = ids.iter().fold(template.clone(), |path, (name, id)| path.replace(name, id));
            assert!(!path.contains('{'), "nothing is there for {template}");
            let schema = resolved(document, &body["schema"]);
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            let good = good(&method, template);
            routes.push(Route { method, template: template.clone(), path, properties, good });
        }
    }
    routes
}

/// 4xx, with a message, and the field among those that are named.
fn refused(reply: &Reply, field: Option<&str>) -> bool {
    let told = reply.json();
    let named = |field: &str| {
        told["fields"].as_object().is_some_and(|fields| fields.keys().any(|it| it.starts_with(field)))
    };
    (400..500).contains(&reply.status)
        && told["message"].as_str().is_some_and(|message| !message.is_empty())
        && field.is_none_or(named)
}
