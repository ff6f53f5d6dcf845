//! OAuth 2 for programs, by a client that others wrote (authlib), and by hand where it says less than it hears.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::rig::http1::{Reply, request, send};
use crate::rig::tools::program;
use crate::world::World;

const CONFIG: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0", auth: "127.0.0.1:0"}
public_url: https://auth.example.com
roles: [{name: admin, implies: [member]}, {name: member, implies: [reader]}, {name: reader}]
projects: [{name: shop, domain_id: 327373ec52974577a79a5e26b26c27e9}]
services:
  - name: orders
    paths: [/orders]
    authentication: {any: [token: {kinds: [subject]}]}
    rules: [{paths: [/orders/admin], roles: [admin]}]
consumers:
  - {username: alice, roles: {shop: [admin]}}
  - {username: bob, roles: {shop: [member]}}
"#;

struct Desk {
    world: World,
    auth: SocketAddr,
    python: PathBuf,
}

/// One that has authlib and joserfc.
pub(crate) fn python() -> PathBuf {
    program("authlib").unwrap_or_else(|message| panic!("{message}"))
}

struct Client {
    id: String,
    secret: String,
}

impl Desk {
    fn new() -> Self {
        let world = World::with(CONFIG, |_| {});
        let auth = world.doorward.auth_address();
        Self { world, auth, python: python() }
    }

    fn client(&self, consumer: &str, options: &[&str]) -> Client {
        let command = ["access-key", "create", consumer, "--project", "shop"];
        let made = self.world.command(&[&command, options].concat());
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Client { id: text("id"), secret: text("secret") }
    }

    /// What authlib makes of it.
    #[track_caller]
    fn authlib(&self, client: &Client, method: &str, arguments: &[&str]) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oauth/client.py");
        let output = Command::new(&self.python)
            .arg(script)
            .args([&format!("http://{}", self.auth), method, &client.id, &client.secret])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[track_caller]
    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let form = [("Content-Type", "application/x-www-form-urlencoded"), ("Connection", "close")];
        send(self.auth, &request("POST", path, &[&form[..], headers].concat(), body.as_bytes())).unwrap()
    }

    fn opens(&self, target: &str, token: &str) -> u16 {
        self.world.get(target, &[("Authorization", &format!("Bearer {token}"))]).status
    }
}

impl Client {
    fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.id, self.secret)))
    }
}

const BASIC: &str = "client_secret_basic";
const POST: &str = "client_secret_post";

#[test]
fn authlib_gets_looks_at_and_gives_back_tokens() {
    let desk = Desk::new();
    let (alice, other) = (desk.client("alice", &["--name", "ci"]), desk.client("bob", &["--name", "other"]));
    let about = desk.authlib(&alice, BASIC, &["metadata"]);
    assert_eq!(about["issuer"], "https://auth.example.com");
    assert_eq!(about["token_endpoint"], "https://auth.example.com/oauth2/token");

    for method in [BASIC, POST] {
        let token = desk.authlib(&alice, method, &["token"]);
        assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("Bearer"), &json!(12 * 3600)));
        assert_eq!(token["scope"], "admin member reader");
        let text = token["access_token"].as_str().unwrap();
        assert_eq!((desk.opens("/orders", text), desk.opens("/orders/admin", text)), (200, 200));

        let known = desk.authlib(&other, method, &["introspect", text]);
        assert_eq!((&known["active"], &known["scope"]), (&json!(true), &json!("admin member reader")));
        assert_eq!((&known["client_id"], &known["username"]), (&json!(alice.id), &json!("alice")));
        assert_eq!(known["exp"].as_i64().unwrap() - known["iat"].as_i64().unwrap(), 12 * 3600);

        // Whose it is not hears the same, and takes nothing away.
        assert_eq!(desk.authlib(&other, method, &["revoke", text])["status"], 200);
        assert_eq!(desk.opens("/orders", text), 200);
        assert_eq!(desk.authlib(&alice, method, &["revoke", text])["status"], 200);
        assert_eq!(desk.opens("/orders", text), 401);
        assert_eq!(desk.authlib(&alice, method, &["introspect", text]), json!({"active": false}));
        for text in [text, "dw_tok_nonsense", "nonsense"] {
            assert_eq!(desk.authlib(&alice, method, &["revoke", text])["status"], 200);
        }
    }

    // Less than the key has, and never more.
    let narrow = desk.client("alice", &["--name", "narrow", "--role", "member"]);
    let token = desk.authlib(&narrow, BASIC, &["token", "reader"]);
    assert_eq!(token["scope"], "reader");
    assert_eq!(desk.opens("/orders/admin", token["access_token"].as_str().unwrap()), 403);
    assert_eq!(desk.authlib(&narrow, BASIC, &["token", "admin"])["error"], "invalid_scope");

    // With the key its tokens end.
    let text = token["access_token"].as_str().unwrap();
    assert_eq!(desk.opens("/orders", text), 200);
    desk.world.command(&["access-key", "delete", &narrow.id]);
    assert_eq!(desk.opens("/orders", text), 401);
    assert_eq!(desk.authlib(&alice, BASIC, &["introspect", text]), json!({"active": false}));
    assert_eq!(desk.authlib(&narrow, BASIC, &["token"])["error"], "invalid_client");
}

#[test]
fn requests_that_are_refused_are_told_so_as_rfc_6749_has_it() {
    let desk = Desk::new();
    let client = desk.client("alice", &["--name", "ci"]);
    let basic = client.basic();
    let named = format!("client_id={}&client_secret={}", client.id, client.secret);
    let stranger = Client { id: client.id.clone(), secret: "dw_app_x".into() }.basic();
    let grant = "grant_type=client_credentials";
    for (path, authorization, body, status, error) in [
        ("/oauth2/token", &*basic, "", 400, "invalid_request"),
        ("/oauth2/token", &basic, "grant_type=", 400, "invalid_request"),
        ("/oauth2/token", &basic, "grant_type=password", 400, "unsupported_grant_type"),
        ("/oauth2/token", &basic, "grant_type=client_credentials&scope=nobody", 400, "invalid_scope"),
        ("/oauth2/token", &basic, &format!("{grant}&{grant}"), 400, "invalid_request"),
        ("/oauth2/token", &basic, &format!("{grant}&{named}"), 400, "invalid_request"),
        ("/oauth2/token", "", grant, 401, "invalid_client"),
        ("/oauth2/token", &stranger, grant, 401, "invalid_client"),
        ("/oauth2/token", "Bearer x", grant, 401, "invalid_client"),
        ("/oauth2/introspect", "", "token=x", 401, "invalid_client"),
        ("/oauth2/introspect", &stranger, "token=x", 401, "invalid_client"),
        ("/oauth2/introspect", &basic, "", 400, "invalid_request"),
        ("/oauth2/revoke", "", "token=x", 401, "invalid_client"),
        ("/oauth2/revoke", &basic, "", 400, "invalid_request"),
        ("/oauth2/revoke", &basic, "token=a.b.c", 400, "unsupported_token_type"),
    ] {
        let headers = [("Authorization", authorization)];
        let headers = if authorization.is_empty() { &[][..] } else { &headers };
        let reply = desk.post(path, headers, body);
        assert_eq!((reply.status, &reply.json()["error"]), (status, &json!(error)), "{path} {body}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path} {body}");
        let challenge = (status == 401).then_some("Basic realm=\"doorward\"");
        assert_eq!(reply.header("www-authenticate"), challenge, "{path} {authorization}");
    }
    let reply = desk.post("/oauth2/token", &[("Authorization", &basic)], grant);
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")), "{}", reply.text());
    let reply = send(desk.auth, &request("GET", "/oauth2/token", &[("Connection", "close")], b"")).unwrap();
    assert_eq!((reply.status, &reply.json()["error"]), (405, &json!("invalid_request")));
    let reply = desk.post("/oauth2/token", &[("Authorization", &basic)], &"x".repeat(20_000));
    assert_eq!((reply.status, &reply.json()["error"]), (413, &json!("invalid_request")));
    let about = "/.well-known/oauth-authorization-server/elsewhere";
    let reply = send(desk.auth, &request("GET", about, &[("Connection", "close")], b"")).unwrap();
    assert_eq!(reply.status, 404, "another issuer's");
}
