//! KakaoCloud's document, request by request as it is printed, and OpenStack's own clients.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use crate::fleet::{Answer, BOUND, Fleet};
use crate::rig::doorward::Doorward;
use crate::rig::http1::{Reply, request, send};
use crate::rig::port::free_port;
use crate::rig::tools::program;
use crate::rig::wait::eventually;
use crate::world::{World, command, setup, start_doorward, started};

pub(crate) const CLOUD: &str = r#"
roles: [{name: owner}, {name: admin, implies: [member]}, {name: member, implies: [reader]}, {name: reader}]
projects:
  - id: ca7f6c731a004091a32d4eb97ec17271
    name: kakaocloud-project
    domain_id: 327373ec52974577a79a5e26b26c27e9
    description: kakaocloud-project
  - {id: 5b4d0f9a0a8f4c7b9d3e1c2f6a7b8c9d, name: other-project}
"#;

const SERVICES: &str = r#"
public_url: "http://iam.example"
services:
  - name: cloud
    paths: [/cloud]
    authentication: {any: [token]}
    rules: [{paths: [/cloud/admin], roles: [admin]}]
  - {name: dynamic, paths: [/dynamic], authentication: {any: [{token: {kinds: [dynamic]}}]}}
"#;

pub(crate) const PROJECT: &str = "ca7f6c731a004091a32d4eb97ec17271";

#[track_caller]
fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [&[("Content-Type", "application/json"), ("Connection", "close")], headers].concat();
    send(to, &request(method, path, &headers, body.as_bytes())).unwrap_or_else(|message| panic!("{message}"))
}

/// The document's two methods are two forms of `credential`.
pub(crate) fn authentication(credential: &Value) -> Value {
    let identity = json!({ "methods": ["application_credential"], "application_credential": credential });
    json!({ "auth": { "identity": identity } })
}

/// Asks for a token.
#[track_caller]
fn authenticate(to: SocketAddr, credential: Value) -> Reply {
    ask(to, "POST", TOKENS, &[], &authentication(&credential))
}

#[track_caller]
fn buy(to: SocketAddr, key: &Value) -> String {
    let reply = authenticate(to, json!({ "id": key["id"], "secret": key["secret"] }));
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.header("x-subject-token").unwrap().to_owned()
}

/// Alice is an admin of the project, and has an access key there.
#[track_caller]
fn alice(doorward: &Doorward) -> (Value, Value) {
    admin(doorward, "alice")
}

#[track_caller]
fn admin(doorward: &Doorward, name: &str) -> (Value, Value) {
    let run = |arguments: &[&str]| doorward.command(arguments).unwrap_or_else(|error| panic!("{error}"));
    let consumer = run(&["consumer", "create", name, "--role", "kakaocloud-project=admin"]);
    let key = run(&["access-key", "create", name, "--project", "kakaocloud-project", "--name", "ci"]);
    (consumer, key)
}

fn world() -> World {
    World::with(
        &format!("listen: {{grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}}{CLOUD}{SERVICES}"),
        |_| {},
    )
}

/// An id as the document writes them.
fn hex(id: &Value) -> String {
    id.as_str().unwrap().replace('-', "")
}

#[test]
fn a_token_is_bought_by_both_methods_and_tells_the_upstream_who_acts_in_which_project() {
    let world = world();
    let to = world.doorward.auth_address();
    let (alice, key) = alice(&world.doorward);
    let user = hex(&alice["id"]);
    assert!(key["secret"].as_str().unwrap().starts_with("dw_app_"), "{key}");

    let by_id = authenticate(to, json!({ "id": hex(&key["id"]), "secret": key["secret"] }));
    let by_name =
        json!({ "name": "ci", "secret": key["secret"], "user": { "id": alice["id"].as_str().unwrap() } });
    for reply in [by_id, authenticate(to, by_name)] {
        assert_eq!(reply.status, 201, "{}", reply.text());
        let token = reply.header("x-subject-token").unwrap().to_owned();
        let said = &reply.json()["token"];
        assert_eq!(said["user"]["id"], user);
        assert_eq!(said["project"]["id"], PROJECT);
        assert_eq!(said["application_credential"]["id"], hex(&key["id"]));
        let until = |text: &Value| doorward::config::Moment::parse(text.as_str().unwrap()).unwrap().0.unix();
        assert_eq!(until(&said["expires_at"]) - until(&said["issued_at"]), 12 * 3_600);

        let passed = world.get("/cloud/1", &[("X-Auth-Token", &token), ("X-Roles", "owner")]);
        assert_eq!(passed.status, 200, "{}", passed.text());
        let seen = passed.seen().unwrap();
        assert_eq!(seen.all("x-user-id"), [&user]);
        assert_eq!(seen.all("x-user-name"), ["alice"]);
        assert_eq!(seen.all("x-project-id"), [PROJECT]);
        assert_eq!(seen.all("x-project-name"), ["kakaocloud-project"]);
        assert_eq!(seen.all("x-roles"), ["admin, member, reader"]);
        assert_eq!(seen.all("x-auth-token"), [""; 0]);
        let bearer = format!("Bearer {token}");
        assert_eq!(world.get("/cloud/admin", &[("Authorization", &bearer)]).status, 200);
        assert_eq!(world.get("/dynamic", &[("Authorization", &bearer)]).code(), "invalid_credential");

        let projects = ask(
            to,
            "GET",
            &format!("/identity/v3/users/{user}/projects"),
            &[("X-Auth-token", &token)],
            &Value::Null,
        );
        assert_eq!(
            projects.json(),
            json!({
                "projects": [{
                    "id": PROJECT,
                    "name": "kakaocloud-project",
                    "domain_id": "327373ec52974577a79a5e26b26c27e9",
                    "description": "kakaocloud-project",
                    "enabled": true,
                    "parent_id": "327373ec52974577a79a5e26b26c27e9",
                    "is_domain": false,
                    "tags": [],
                    "options": {},
                    "links": { "self": format!("http://iam.example/identity/v3/projects/{PROJECT}") },
                }],
                "links": {
                    "next": null,
                    "self": format!("http://iam.example/identity/v3/users/{user}/projects"),
                    "previous": null,
                },
            })
        );
    }
    let rows = world.command(&["access-key", "list"]);
    assert_eq!((&rows[0]["name"], &rows[0]["secret"]), (&json!("ci"), &Value::Null));
}

#[test]
fn a_token_ends_when_it_is_revoked_when_its_roles_go_and_with_its_key() {
    let world = world();
    let to = world.doorward.auth_address();
    let (_, key) = alice(&world.doorward);
    let (token, other) = (buy(to, &key), buy(to, &key));
    let check = |path: &str, token: &str| world.get(path, &[("X-Auth-Token", token)]);
    let tokens = "/identity/v3/auth/tokens";
    let with = [("X-Auth-Token", &token[..]), ("X-Subject-Token", &other[..])];

    let validated = ask(to, "GET", tokens, &with, &Value::Null);
    assert_eq!((validated.status, validated.header("x-subject-token")), (200, Some(&other[..])));
    assert_eq!(validated.json()["token"]["project"]["id"], PROJECT);
    assert_eq!(ask(to, "HEAD", tokens, &with, &Value::Null).status, 200);
    assert_eq!(check("/cloud", &other).status, 200);
    assert_eq!(ask(to, "DELETE", tokens, &with, &Value::Null).status, 204);
    assert_eq!(check("/cloud", &other).code(), "invalid_credential");
    let gone = ask(to, "GET", tokens, &with, &Value::Null);
    assert_eq!((gone.status, &gone.json()["error"]["code"]), (404, &json!(404)));

    // The document: from Project Admin to Project Member.
    assert_eq!(check("/cloud/admin", &token).status, 200);
    world.command(&["consumer", "update", "alice", "--role", "kakaocloud-project=member"]);
    assert_eq!(check("/cloud/admin", &token).code(), "permission_denied");
    assert_eq!(check("/cloud", &token).seen().unwrap().all("x-roles"), ["member, reader"]);
    let said = ask(to, "GET", tokens, &[with[0], ("X-Subject-Token", &token)], &Value::Null).json();
    let roles: Vec<_> = said["token"]["roles"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(roles, ["member", "reader"]);
    // Deleted from the project.
    world.command(&["consumer", "update", "alice", "--no", "roles"]);
    assert_eq!(check("/cloud", &token).code(), "invalid_credential");
    let none = authenticate(to, json!({ "id": key["id"], "secret": key["secret"] }));
    assert_eq!(none.status, 401, "a token without a role: {}", none.text());
    world.command(&["consumer", "update", "alice", "--role", "kakaocloud-project=admin"]);
    // A token that was bought as a member stays one; the key was made by an admin.
    world.command(&["consumer", "update", "alice", "--role", "kakaocloud-project=member"]);
    let members = buy(to, &key);
    world.command(&["consumer", "update", "alice", "--role", "kakaocloud-project=admin"]);
    assert_eq!(check("/cloud/admin", &members).code(), "permission_denied");
    assert_eq!(check("/cloud/admin", &token).status, 200);

    world.command(&["consumer", "update", "alice", "--disable"]);
    assert_eq!(check("/cloud", &token).code(), "invalid_credential");
    world.command(&["consumer", "update", "alice", "--enable"]);
    assert_eq!(check("/cloud", &token).status, 200);

    world.command(&["access-key", "delete", key["id"].as_str().unwrap()]);
    for token in [&token, &members] {
        assert_eq!(check("/cloud", token).code(), "invalid_credential");
    }
    let deleted = authenticate(to, json!({ "id": key["id"], "secret": key["secret"] }));
    assert_eq!(deleted.status, 401);
}

/// Where OpenStack's own service has had to learn: alice is an admin of the project and mallory a reader,
/// each with an access key.
struct Lesson {
    doorward: Doorward,
    to: SocketAddr,
    alice: Value,
    alices: Value,
    mallory: Value,
    mallorys: Value,
    _folder: tempfile::TempDir,
}

const TOKENS: &str = "/identity/v3/auth/tokens";

impl Lesson {
    #[track_caller]
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!("listen: {{grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}}{CLOUD}{SERVICES}");
        let doorward = start_doorward(folder.path(), &config);
        let (alice, alices) = alice(&doorward);
        command(&doorward, &["consumer", "create", "mallory", "--role", "kakaocloud-project=reader"]);
        let mallory = command(&doorward, &["consumer", "show", "mallory"]);
        let run = &["access-key", "create", "mallory", "--project", PROJECT, "--name", "ci"];
        let mallorys = command(&doorward, run);
        let to = doorward.auth_address();
        Self { doorward, to, alice, alices, mallory, mallorys, _folder: folder }
    }

    #[track_caller]
    fn post(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Reply {
        ask(self.to, "POST", path, headers, &body)
    }

    /// What mallory's secret buys under these names.
    #[track_caller]
    fn buy_as(&self, mut names: Value) -> Reply {
        names["secret"] = self.mallorys["secret"].clone();
        authenticate(self.to, names)
    }

    /// Whether a token is one.
    #[track_caller]
    fn holds(&self, token: &str) -> bool {
        let both = [("X-Auth-Token", token), ("X-Subject-Token", token)];
        ask(self.to, "GET", TOKENS, &both, &Value::Null).status == 200
    }
}

#[test]
fn cve_2026_42998_a_user_beside_the_id_makes_nobody_that_user() {
    let lesson = Lesson::new();
    let (id, user) = (&lesson.mallorys["id"], json!({ "id": lesson.alice["id"] }));
    for names in [json!({ "id": id, "user": user }), json!({ "id": id, "name": "ci", "user": user })] {
        assert_eq!(lesson.buy_as(names).status, 400);
    }
    for names in [json!({ "name": "ci", "user": user }), json!({ "id": lesson.alices["id"] })] {
        let reply = lesson.buy_as(names);
        assert_eq!((reply.status, &reply.json()["error"]["title"]), (401, &json!("Unauthorized")));
        assert_eq!(reply.header("www-authenticate"), Some("Keystone"));
    }
    let twice = r#"{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":"x","id":"y","secret":"z"}}}}"#;
    let reply = send(lesson.to, &request("POST", TOKENS, &[("Connection", "close")], twice.as_bytes()));
    assert_eq!(reply.unwrap().status, 400);
}

#[test]
fn cve_2026_42999_neither_query_nor_body_says_whose_request_it_is() {
    let lesson = Lesson::new();
    let token = buy(lesson.to, &lesson.mallorys);
    let (user, own) = (hex(&lesson.alice["id"]), hex(&lesson.mallory["id"]));
    for path in [
        format!("/identity/v3/users/{user}/projects"),
        format!("/identity/v3/users/{user}/projects?user_id={own}"),
    ] {
        let body = json!({ "user_id": own });
        let reply = ask(lesson.to, "GET", &path, &[("X-Auth-Token", &token)], &body);
        assert_eq!(reply.status, 403, "{path}: {}", reply.text());
    }
    let alices = buy(lesson.to, &lesson.alices);
    for method in ["GET", "DELETE"] {
        let both = [("X-Auth-Token", &token[..]), ("X-Subject-Token", &alices[..])];
        assert_eq!(ask(lesson.to, method, TOKENS, &both, &Value::Null).status, 404, "{method}");
    }
    assert!(lesson.holds(&alices));
}

#[test]
fn cve_2026_43000_what_an_access_key_bought_makes_no_access_key() {
    let lesson = Lesson::new();
    let token = buy(lesson.to, &lesson.mallorys);
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", &bearer[..]), ("X-Auth-Token", &token[..])];
    let made = lesson.post("/auth/access-keys", &headers, json!({ "name": "more", "project_id": PROJECT }));
    assert_eq!((made.status, made.code().as_str()), (401, "invalid_credential"));
    assert_eq!(command(&lesson.doorward, &["access-key", "list"]).as_array().unwrap().len(), 2);
}

#[test]
fn cve_2026_43001_no_token_is_of_another_project_than_its_keys() {
    let lesson = Lesson::new();
    let scoped = |project: &str| {
        let credential = json!({ "id": lesson.mallorys["id"], "secret": lesson.mallorys["secret"] });
        let identity = json!({ "methods": ["application_credential"], "application_credential": credential });
        let auth = json!({ "identity": identity, "scope": { "project": { "id": project } } });
        lesson.post(TOKENS, &[], json!({ "auth": auth })).status
    };
    let other = ["--role", "kakaocloud-project=reader", "--role", "other-project=reader"];
    command(&lesson.doorward, &[&["consumer", "update", "mallory"], &other[..]].concat());
    assert_eq!(scoped("5b4d0f9a0a8f4c7b9d3e1c2f6a7b8c9d"), 401);
    assert_eq!(scoped(PROJECT), 201);
}

#[test]
fn cve_2026_44394_no_token_is_made_of_a_token() {
    let lesson = Lesson::new();
    let token = buy(lesson.to, &lesson.mallorys);
    let credential = json!({ "id": lesson.mallorys["id"], "secret": lesson.mallorys["secret"] });
    for identity in [
        json!({ "methods": ["token"], "token": { "id": token } }),
        json!({ "methods": ["token"] }),
        json!({ "methods": ["application_credential", "token"], "application_credential": credential }),
        json!({ "methods": [], "application_credential": credential }),
    ] {
        let asked = json!({ "auth": { "identity": identity } });
        assert_eq!(lesson.post(TOKENS, &[("X-Auth-Token", &token)], asked).status, 400, "{identity}");
    }
}

#[test]
fn cve_2022_2447_no_token_outlives_its_access_key() {
    let lesson = Lesson::new();
    let soon = doorward::clock::Clock::system().now().unix() + 3_600;
    let moment = doorward::config::Moment(doorward::domain::time::Timestamp::from_unix(soon)).to_string();
    let run =
        ["access-key", "create", "alice", "--project", PROJECT, "--name", "short", "--expires-at", &moment];
    let short = command(&lesson.doorward, &run);
    let reply = authenticate(lesson.to, json!({ "id": short["id"], "secret": short["secret"] }));
    assert_eq!(reply.json()["token"]["expires_at"], moment);
    let token = reply.header("x-subject-token").unwrap();
    assert!(lesson.holds(token));
    command(&lesson.doorward, &["access-key", "delete", short["id"].as_str().unwrap()]);
    assert!(!lesson.holds(token));
}

#[test]
fn what_is_refused_is_told_in_the_identity_apis_form_whatever_it_was() {
    let lesson = Lesson::new();
    let check = |method: &str, path: &str, body: &Value, expected: (u16, &str)| {
        let reply = ask(lesson.to, method, path, &[], body);
        let error = &reply.json()["error"];
        assert_eq!((reply.status, error["title"].as_str().unwrap()), expected, "{method} {path}");
        assert_eq!(error["code"], expected.0);
        assert!(!error["message"].as_str().unwrap().is_empty(), "{error}");
    };
    let large = json!({ "auth": "x".repeat(20_000) });
    check("GET", "/identity/v2.0/tokens", &Value::Null, (404, "Not Found"));
    check("PUT", TOKENS, &Value::Null, (405, "Method Not Allowed"));
    check("POST", TOKENS, &large, (413, "Payload Too Large"));
    check("POST", TOKENS, &json!({ "auth": {} }), (400, "Bad Request"));
    check("GET", TOKENS, &Value::Null, (401, "Unauthorized"));
}

#[test]
fn a_consumer_has_so_many_access_keys_and_tokens_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let limits = "limits: {access_keys: 2, tokens: 2}";
    let config =
        format!("listen: {{grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}}\n{limits}{CLOUD}{SERVICES}");
    let doorward = start_doorward(folder.path(), &config);
    let (_, key) = alice(&doorward);
    let make =
        |name| doorward.command(&["access-key", "create", "alice", "--project", PROJECT, "--name", name]);
    make("second").unwrap();
    let third = make("third").unwrap_err();
    assert!(third.contains("`limits.access_keys`"), "{third}");

    let to = doorward.auth_address();
    let first = buy(to, &key);
    buy(to, &key);
    let third = authenticate(to, json!({ "id": key["id"], "secret": key["secret"] }));
    assert_eq!(
        (third.status, &third.json()["error"]["title"]),
        (409, &json!("Conflict")),
        "{}",
        third.text()
    );
    // Whoever gives one back has room for another.
    let own = [("X-Auth-Token", &first[..]), ("X-Subject-Token", &first[..])];
    assert_eq!(ask(to, "DELETE", TOKENS, &own, &Value::Null).status, 204);
    buy(to, &key);
}

#[test]
fn on_two_instances_a_token_opens_at_once_and_ends_with_its_key_on_both() {
    let mut fleet = Fleet::new(0);
    for _ in 0..2 {
        let (setup, proxy) = fleet.plan("");
        let written = std::fs::read_to_string(setup.file()).unwrap();
        let services = "services:\n  - {name: cloud, paths: [/cloud], authentication: {any: [{token: {headers: [apikey]}}]}}\n";
        let cloud = format!("public_url: \"http://iam.example\"{CLOUD}{services}");
        setup.write(&written.replacen("services:\n", &cloud, 1)).unwrap();
        let doorward = setup.start().unwrap_or_else(|message| panic!("{message}"));
        fleet.join(doorward, proxy);
    }
    let (first, second) = (&fleet.instances[0], &fleet.instances[1]);
    // The file has an alice of its own.
    let (_, key) = admin(&first.doorward, "carol");
    let token = buy(first.doorward.auth_address(), &key);
    // Whoever is answered has a token that every instance knows.
    assert_eq!(second.ask_for("/cloud", &token), Answer::Allow);
    assert_eq!(first.ask_for("/cloud", &token), Answer::Allow);
    let theirs = eventually("the other instance knows the key", || {
        let reply =
            authenticate(second.doorward.auth_address(), json!({ "id": key["id"], "secret": key["secret"] }));
        reply.header("x-subject-token").map(str::to_owned)
    });
    assert_eq!(first.ask_for("/cloud", &theirs), Answer::Allow);

    let path = format!("/access-keys/{}", key["id"].as_str().unwrap());
    let reply = second.admin("DELETE", &path, &Value::Null);
    assert_eq!(reply.status, 204, "{}", reply.text());
    let began = std::time::Instant::now();
    for token in [&token, &theirs] {
        assert_eq!(second.ask_for("/cloud", token), Answer::Deny(401));
        eventually("the first instance denies", || {
            (first.ask_for("/cloud", token) == Answer::Deny(401)).then_some(())
        });
    }
    println!("both instances denied {:?} after; the bound is {BOUND:?}", began.elapsed());
}

/// As an application of OpenStack's would.
const KEYSTONEAUTH: &str = r#"
import sys
from keystoneauth1 import exceptions, session
from keystoneauth1.identity import v3

url, key, secret, name, user, user_project = sys.argv[1:]
by_id = v3.ApplicationCredential(auth_url=url, application_credential_id=key, application_credential_secret=secret)
by_name = v3.ApplicationCredential(auth_url=url, application_credential_name=name, application_credential_secret=secret, user_id=user)
for auth in (by_id, by_name):
    client = session.Session(auth=auth)
    token = client.get_token()
    assert token.startswith("dw_token_"), "another kind of token"
    assert client.get_project_id() == user_project and client.get_user_id() == user
    assert client.get_endpoint(service_type="identity").rstrip("/") == url, client.get_endpoint(service_type="identity")
    found = client.get(url + "/users/" + user + "/projects").json()["projects"]
    assert [project["id"] for project in found] == [user_project], found
    assert client.get(url + "/auth/tokens", headers={"X-Subject-Token": token}).status_code == 200
    assert client.delete(url + "/auth/tokens", headers={"X-Subject-Token": token}).status_code == 204
wrong = v3.ApplicationCredential(auth_url=url, application_credential_id=key, application_credential_secret=secret + "x")
try:
    session.Session(auth=wrong).get_token()
    sys.exit("a wrong secret was taken")
except exceptions.Unauthorized:
    print("all good")
"#;

#[test]
fn openstacks_own_clients_work_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let setup = setup(&folder.path().join("doorward")).with("DOORWARD_LISTEN__AUTH", &address);
    let services = SERVICES.replace("http://iam.example", &format!("http://{address}"));
    setup
        .write(&format!("listen: {{grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}}{CLOUD}{services}"))
        .unwrap();
    let doorward = started(&setup);
    let (alice, key) = alice(&doorward);
    let url = format!("http://{}/identity/v3", doorward.auth_address());
    let (id, secret) = (hex(&key["id"]), key["secret"].as_str().unwrap());
    let user = hex(&alice["id"]);
    let programs = program("openstack").unwrap();

    let mut python = Command::new(programs.join("python3"));
    python.args(["-c", KEYSTONEAUTH, &url, &id, secret, "ci", &user, PROJECT]);
    let ran = python.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("all good"),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );

    let client = |arguments: &[&str]| {
        let mut command = Command::new(programs.join("openstack"));
        command.env_clear().env("HOME", folder.path()).env("PATH", "/usr/bin:/bin");
        for (name, value) in [
            ("OS_AUTH_TYPE", "v3applicationcredential"),
            ("OS_AUTH_URL", &url),
            ("OS_APPLICATION_CREDENTIAL_ID", &id),
            ("OS_APPLICATION_CREDENTIAL_SECRET", secret),
            ("OS_IDENTITY_API_VERSION", "3"),
        ] {
            command.env(name, value);
        }
        let ran = command.args(arguments).args(["-f", "json"]).output().unwrap();
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "openstack {arguments:?}: {stderr}");
        serde_json::from_slice::<Value>(&ran.stdout).unwrap()
    };
    let issued = client(&["token", "issue"]);
    assert_eq!((&issued["project_id"], &issued["user_id"]), (&json!(PROJECT), &json!(user)));
    assert!(issued["id"].as_str().unwrap().starts_with("dw_token_"), "another kind of token");
    let projects = client(&["project", "list", "--my-projects"]);
    assert_eq!((&projects[0]["ID"], &projects[0]["Name"]), (&json!(PROJECT), &json!("kakaocloud-project")));
}
