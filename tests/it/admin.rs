//! The admin API over TCP: who is let in, with what, and what bad bodies get.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::rig::doorward::Doorward;
use crate::rig::http1::{Reply, request, send};
use crate::rig::wait::eventually;
use crate::world::{HOUSE, command, start_doorward};

pub(crate) fn ask(to: SocketAddr, key: &str, method: &str, path: &str, body: &[u8]) -> Reply {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("Content-Type", "application/json"), ("Connection", "close")];
    if !key.is_empty() {
        headers.push(("Authorization", &bearer));
    }
    send(to, &request(method, path, &headers, body)).unwrap_or_else(|message| panic!("{message}"))
}

pub(crate) fn admin_key(doorward: &Doorward) -> (String, String) {
    let made = command(doorward, &["admin-key", "create"]);
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("no {name} in {made}")).to_owned();
    (text("key"), text("id"))
}

#[test]
fn r14_no_spelling_of_a_path_gets_around_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let (key, _) = admin_key(&doorward);
    let to = doorward.admin_address();
    let reply = ask(to, &key, "GET", "/consumers", b"");
    assert!(reply.status == 200 && reply.text().contains("alice"), "{}", reply.text());
    for path in [
        "//consumers",
        "/./consumers",
        "/consumers/",
        "/consumers//",
        "/consumers/.",
        "/consumers/..;/consumers",
        "/consumers;x",
        "/consumers?key=x",
        "/consumers%3f",
        "/%63onsumers",
        "/%2fconsumers",
        "/CONSUMERS",
        "/openapi.json/../consumers",
        "/openapi.json/..%2fconsumers",
        "/readyz/../consumers",
        "/.well-known/../consumers",
        "/consumers/alice/../../consumers",
        "http://127.0.0.1/consumers",
        "http://doorward/consumers",
        "consumers",
        "*",
    ] {
        for method in ["GET", "HEAD", "OPTIONS", "get", "POST", "PATCH", "DELETE", "TRACE"] {
            let hints = [
                ("Connection", "close"),
                ("X-Original-URL", "/consumers"),
                ("X-HTTP-Method-Override", "GET"),
                ("X-Forwarded-For", "127.0.0.1"),
                ("Content-Type", "application/json"),
            ];
            // A connection that is closed without an answer tells nothing either.
            let Ok(reply) = send(to, &request(method, path, &hints, b"{}")) else { continue };
            assert!(
                (400..=405).contains(&reply.status),
                "{method} {path}: {} {}",
                reply.status,
                reply.text()
            );
            assert!(!reply.text().contains("alice"), "{method} {path}: {}", reply.text());
        }
    }
}

#[test]
fn nobody_is_let_in_until_there_is_an_admin_key_and_then_only_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let to = doorward.admin_address();
    let consumer = command(&doorward, &["key", "create", "alice"]);
    let check = |case: &str, key: &str, status: u16| {
        let reply = ask(to, key, "GET", "/consumers", b"");
        assert_eq!(reply.status, status, "{case}: {}", reply.text());
        if status == 401 {
            let challenge = reply.header("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with(r#"Bearer realm="doorward-admin""#), "{case}: {challenge}");
        }
    };
    check("no key exists, none is sent", "", 401);
    check(
        "no key exists, a made up one",
        "dw_admin_0123456789ab_0123456789abcdef0123456789abcdef000000",
        401,
    );

    let (key, id) = admin_key(&doorward);
    assert!(key.starts_with("dw_admin_"), "{key}");
    check("the key", &key, 200);
    check("none", "", 401);
    check("cut short", &key[..key.len() - 1], 401);
    let last = if key.ends_with('x') { 'y' } else { 'x' };
    check("changed", &format!("{}{last}", &key[..key.len() - 1]), 401);
    check("with a blank", &format!(" {key}"), 401);
    check("a consumer's key", consumer["key"].as_str().unwrap(), 401);
    check("its public name", &key[..21], 401);
    check("its id", &id, 401);
    let twice = [
        ("Authorization", &format!("Bearer {key}")[..]),
        ("Authorization", "Bearer x"),
        ("Connection", "close"),
    ];
    assert_eq!(send(to, &request("GET", "/consumers", &twice, b"")).unwrap().status, 401, "two keys");
    let basic = [("Authorization", &format!("Basic {key}")[..]), ("Connection", "close")];
    assert_eq!(
        send(to, &request("GET", "/consumers", &basic, b"")).unwrap().status,
        401,
        "as another scheme"
    );

    // An admin key is no consumer's.
    let listed = command(&doorward, &["admin-key", "list"]);
    assert_eq!(listed[0]["id"], id.as_str());
    assert!(!listed.to_string().contains(&key), "shown once only: {listed}");
    assert!(doorward.command(&["key", "show", &key]).is_err());

    command(&doorward, &["admin-key", "delete", &key]);
    check("deleted", &key, 401);
    assert!(doorward.command(&["admin-key", "delete", &key]).is_err(), "once only");
    let log = doorward.output();
    assert!(!log.contains(&key), "a log has the key");
}

#[test]
fn wrong_keys_are_refused_alike_and_put_together_in_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let (key, _) = admin_key(&doorward);
    let face = |key: &str| {
        let reply = ask(doorward.admin_address(), key, "GET", "/consumers", b"");
        let mut headers = reply.headers.clone();
        headers.retain(|(name, _)| name != "date" && name != "x-request-id");
        (reply.status, headers, reply.text())
    };
    let expected = face("x");
    for wrong in [&key[..30], "dw_key_", &"k".repeat(4000), "a.b.c"] {
        assert_eq!(face(wrong), expected, "{wrong}");
    }
    let entry = eventually("the attempts are in the audit log", || {
        let listed = command(&doorward, &["audit", "list", "--action", "admin.refused"]);
        listed.as_array().filter(|rows| !rows.is_empty()).map(|rows| rows[0].clone())
    });
    assert_eq!(entry["actor"], json!({ "kind": "unknown", "id": null }));
    assert_eq!(entry["addresses"], json!(["127.0.0.1"]));
}

#[test]
fn the_spellings_of_the_dataiku_document_work() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let apinode_admin = folder.path().join("apinode-admin");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_doorward"), &apinode_admin).unwrap();
    let mut setup = doorward.setup().clone();
    setup.binary = apinode_admin;
    let run = |arguments: &[&str]| {
        let output = setup.run(arguments).unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let key = run(&["admin-key-create"]).trim().to_owned();
    assert_eq!(ask(doorward.admin_address(), &key, "GET", "/admin-keys", b"").status, 200);
    assert!(run(&["admin-keys-list"]).contains(&key[..21]));
    run(&["admin-key-delete", &key]);
    assert_eq!(ask(doorward.admin_address(), &key, "GET", "/admin-keys", b"").status, 401);
}

#[test]
fn bad_bodies_are_refused_by_their_field_and_nothing_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let (key, _) = admin_key(&doorward);
    let to = doorward.admin_address();
    let deep = format!(r#"{{"username":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    let long = format!(r#"{{"username":"{}"}}"#, "x".repeat(300));
    let longest = format!(r#"{{"username":"{}"}}"#, "x".repeat(2 << 20));
    #[rustfmt::skip]
    let bodies: &[(&[u8], u16, &str)] = &[
        (br#"{"username":42}"#,                         400, "username"),
        (br#"{"username":"a","username":"b"}"#,         400, "username"),
        (br#"{"username":"a","nonsense":1}"#,           400, "nonsense"),
        (br#"{"username":"a\u0000b"}"#,                 400, "username"),
        (br#"{"username":"a\r\nX-Evil: 1"}"#,           400, "username"),
        (br#"{"username":"a,b"}"#,                      400, "username"),
        (br#"{"username":"a","groups":["g\nh"]}"#,      400, "groups"),
        (br#"{"username":"a","tags":["t",1]}"#,         400, "tags[1]"),
        (br#"{"username":"a","networks":{"allow":["x"]}}"#, 400, "networks"),
        (br#"{"username":""}"#,                         400, "username"),
        (br#"{}"#,                                      400, "@entity"),
        (br#""#,                                        400, "@entity"),
        (long.as_bytes(),                               400, "username"),
        (deep.as_bytes(),                               400, ""),
        (longest.as_bytes(),                            413, ""),
        (b"{\"username\":\"\xff\"}",                    400, ""),
        (br#"{"username":"#,                            400, ""),
        (br#"[1]"#,                                     400, ""),
    ];
    for (body, status, field) in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let reply = ask(to, &key, "POST", "/consumers", body);
        assert_eq!(reply.status, *status, "{shown}: {}", reply.text());
        assert!(reply.json()["message"].is_string(), "{shown}: {}", reply.text());
        if !field.is_empty() {
            assert!(reply.json()["fields"][field].is_string(), "{shown}: {}", reply.text());
        }
    }
    let plain = [
        ("Authorization", &format!("Bearer {key}")[..]),
        ("Content-Type", "text/plain"),
        ("Connection", "close"),
    ];
    assert_eq!(send(to, &request("POST", "/consumers", &plain, b"{}")).unwrap().status, 415);
    let stored = ask(to, &key, "GET", "/consumers", b"").json();
    let stored: Vec<&Value> =
        stored["data"].as_array().unwrap().iter().filter(|row| row["declared_in_file"] != true).collect();
    assert!(stored.is_empty(), "{stored:?}");
}

#[test]
fn a_row_of_the_file_has_every_field_of_a_stored_one() {
    let project = "ca7f6c73-1a00-4091-a32d-4eb97ec17271";
    let config = HOUSE.replace(
        "consumers:\n",
        &format!(
            "roles: [{{name: member}}]\nprojects: [{{id: {project}, name: red}}]\nconsumers:\n  \
             - {{username: carol, email: carol@example.com, roles: {{red: [member]}}}}\n"
        ),
    );
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), &config);
    let (key, _) = admin_key(&doorward);
    let call = |method, path: &str, body: &Value| {
        ask(doorward.admin_address(), &key, method, path, body.to_string().as_bytes()).json()
    };
    call("POST", "/consumers", &json!({"username": "dave", "roles": {project: ["member"]}}));
    call("POST", "/consumers/dave/key-auth", &json!({}));
    for list in ["/consumers", "/key-auths"] {
        let listed = call("GET", list, &json!({}));
        let rows = listed["data"].as_array().unwrap();
        let (declared, stored): (Vec<_>, Vec<_>) =
            rows.iter().partition(|row| row["declared_in_file"] == true);
        assert!(declared.len() > 1 && stored.len() == 1, "{list}: {listed:#}");
        for mut row in declared.into_iter().map(|row| row.as_object().unwrap().clone()) {
            row.remove("declared_in_file");
            let fields: Vec<_> = row.keys().collect();
            assert_eq!(fields, stored[0].as_object().unwrap().keys().collect::<Vec<_>>(), "{list}");
        }
    }
    let [carol, dave] = ["carol", "dave"].map(|name| call("GET", &format!("/consumers/{name}"), &json!({})));
    assert_eq!(carol["declared_in_file"], true, "{carol:#}");
    assert_eq!(carol["roles"], json!({project: ["member"]}), "{carol:#}");
    assert_eq!((&carol["roles"], &carol["email"]), (&dave["roles"], &json!("carol@example.com")));
    assert!(carol["created_at"].is_null() && dave["created_at"].is_i64(), "{carol:#}");
}

#[test]
fn refusals_have_kongs_shape_on_kongs_paths_and_are_problems_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let (key, _) = admin_key(&doorward);
    let to = doorward.admin_address();
    let kong = ask(to, &key, "GET", "/consumers/nobody", b"");
    assert_eq!((kong.status, kong.header("content-type")), (404, Some("application/json")));
    let ours = ask(to, &key, "GET", "/admin-keys/nobody", b"");
    assert_eq!((ours.status, ours.header("content-type")), (404, Some("application/problem+json")));
    let problem = ours.json();
    assert_eq!((&problem["code"], &problem["status"]), (&json!("not_found"), &json!(404)));
    assert_eq!(problem["request_id"].as_str(), ours.header("x-request-id"));
    for (method, path, status) in [
        ("PATCH", "/admin-keys", 405),
        ("GET", "/nonsense", 404),
        ("GET", "/admin-keys?size=0", 400),
        ("GET", "/admin-keys?nonsense=1", 400),
        ("GET", "/admin-keys/%ff", 400),
        ("GET", "/admin-keys/a%0ab", 400),
    ] {
        let reply = ask(to, &key, method, path, b"");
        assert_eq!((reply.status, reply.header("cache-control")), (status, Some("no-store")), "{path}");
        assert!(reply.json()["code"].is_string(), "{path}: {}", reply.text());
    }
}

#[test]
fn a_creation_with_an_idempotency_key_is_made_once_and_its_secret_shown_once() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let (key, _) = admin_key(&doorward);
    let bearer = format!("Bearer {key}");
    let post = |path: &str, name: &str, body: &[u8]| {
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", name),
            ("Connection", "close"),
        ];
        send(doorward.admin_address(), &request("POST", path, &headers, body)).unwrap()
    };
    let made = post("/admin-keys", "one", b"{}");
    assert_eq!(made.status, 201, "{}", made.text());
    let again = post("/admin-keys", "one", b"{}");
    assert_eq!((again.status, again.code()), (409, "replayed".to_owned()), "{}", again.text());
    assert_eq!(again.json()["fields"]["id"], made.json()["id"]);
    assert!(!again.text().contains("dw_admin_"), "no secret: {}", again.text());
    assert_eq!(post("/admin-keys", "two", b"{}").status, 201, "another name");
    assert_eq!(post("/consumers", "one", br#"{"username":"carol"}"#).status, 201, "another path");
    assert_eq!(post("/consumers", "one", br#"{"username":"dave"}"#).status, 409, "the same name");
    assert_eq!(post("/consumers", "a b", b"{}").status, 400, "no name");
    // What was refused was not made, and may be tried again.
    assert_eq!(post("/consumers", "three", br#"{"username":"carol"}"#).status, 409);
    command(&doorward, &["consumer", "delete", "carol"]);
    assert_eq!(post("/consumers", "three", br#"{"username":"carol"}"#).status, 201);
    let listed = command(&doorward, &["admin-key", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    assert_eq!(command(&doorward, &["audit", "verify"])["whole"], true);
}

#[test]
fn commands_talk_to_a_server_elsewhere_with_an_admin_key() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let (key, _) = admin_key(&doorward);
    let url = format!("http://{}", doorward.admin_address());
    // No file, no store, no socket of its own.
    let elsewhere = crate::world::setup(&folder.path().join("elsewhere"));
    elsewhere.write("{}").unwrap();
    let run = |key: &str, arguments: &[&str]| {
        let setup = elsewhere.clone().with("DOORWARD_ADMIN_KEY", key);
        setup.run(&[arguments, &["--url", &url]].concat()).unwrap().status.code()
    };
    assert_eq!(run(&key, &["consumer", "create", "carol"]), Some(0));
    assert_eq!(run(&key, &["key", "create", "carol"]), Some(0));
    assert_eq!(run(&key, &["consumer", "show", "nobody"]), Some(1));
    assert_eq!(run("dw_admin_nonsense", &["consumer", "list"]), Some(1));
    assert_eq!(run("", &["consumer", "list"]), Some(2), "without a key");
    assert_eq!(run("dw_admin_with\na line break", &["consumer", "list"]), Some(2));
    assert!(!folder.path().join("elsewhere/doorward.redb").exists());
    let gone =
        elsewhere.with("DOORWARD_ADMIN_KEY", &key).run(&["consumer", "list", "--url", "http://127.0.0.1:1"]);
    assert_eq!(gone.unwrap().status.code(), Some(3));
    assert_eq!(command(&doorward, &["consumer", "show", "carol"])["username"], "carol");
}

#[test]
fn status_and_description_are_there_for_admin_keys() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let (key, _) = admin_key(&doorward);
    let to = doorward.admin_address();
    let status = ask(to, &key, "GET", "/status", b"").json();
    assert_eq!((&status["lease"], &status["catalogs_agree"]), (&json!(true), &json!(true)), "{status}");
    assert_eq!(status["instances"].as_array().unwrap().len(), 1, "{status}");
    let described = ask(to, &key, "GET", "/openapi.json", b"").json();
    for path in
        ["/consumers", "/key-auths/{key}", "/admin-keys", "/audit", "/status", "/explain", "/openapi.json"]
    {
        assert!(described["paths"][path].is_object(), "{path} is not described");
    }
    assert_eq!(ask(to, "", "GET", "/openapi.json", b"").status, 401);
}
