//! Headers that claims of JWTs are told under: nobody but the token writes them, whatever the service and
//! however Envoy asks.

use doorward::domain::jwt::Algorithm;
use doorward::issue::SigningKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::jwt::{ACCOUNTS, bearer, claims, jwks, key};
use crate::rig::process::Signal;
use crate::rig::wait::eventually;
use crate::rig::wiring::Wiring;
use crate::world::{ALICE, World};

/// A service for each way to come by a token or by none.
struct House {
    world: World,
    signer: SigningKey,
    _keys: TempDir,
}

impl House {
    #[track_caller]
    fn wired(change: impl FnOnce(&mut Wiring)) -> Self {
        let signer = key("1", Algorithm::Hs256);
        let keys = tempfile::tempdir().unwrap();
        let file = keys.path().join("keys.jwks");
        std::fs::write(&file, jwks(&[&signer])).unwrap();
        let many: Vec<String> = (1..=9).map(|at| format!("X-{at}")).collect();
        let each: Vec<String> = many.iter().map(|name| format!("{name}: [org, id]")).collect();
        let jwt = "jwt: {issuer: accounts, claims: {headers: {X-Tenant: [org, id], X-Scope: scope}}}";
        let config = format!(
            r#"
listen: {{grpc: "127.0.0.1:0", status: "127.0.0.1:0"}}
headers: {{claims: [X-Tenant, X-Scope, {}]}}
infrastructures: [{{name: production}}]
issuers:
  accounts: {{issuer: "{ACCOUNTS}", audiences: [orders], algorithms: [HS256], jwks_file: "{}"}}
services:
  - {{name: many, paths: [/many], authentication: {{any: [jwt: {{issuer: accounts, claims: {{headers: {{{}}}}}}}]}}}}
  - {{name: orders, paths: [/orders], authentication: {{any: [{{api_key: {{}}}}, {{{jwt}}}]}}}}
  - {{name: watched, paths: [/watched], authentication: {{any: [{{{jwt}}}]}}, mode: shadow}}
  - {{name: token-last, paths: [/token-last], authentication: {{all: [{{api_key: {{}}}}, {{{jwt}}}]}}}}
  - {{name: key-last, paths: [/key-last], authentication: {{all: [{{{jwt}}}, {{api_key: {{}}}}]}}}}
  - {{name: public, paths: [/public], authentication: none}}
consumers:
  - {{username: alice, keys: [{{from_env: ALICE_KEY}}]}}
"#,
            many.join(", "),
            file.display(),
            each.join(", ")
        );
        Self { world: World::with(&config, change), signer, _keys: keys }
    }

    fn token(&self, org: Value, scope: Value) -> String {
        let mut claims = claims(ACCOUNTS);
        claims["org"] = json!({ "id": org });
        claims["scope"] = scope;
        bearer(&self.signer.sign(&claims).unwrap())
    }

    /// What the upstream is told under both names by a request that has them, and what looks like them.
    #[track_caller]
    fn told(&self, target: &str, headers: &[(&str, &str)]) -> (Option<String>, Option<String>) {
        let forged = [
            ("X-Tenant", "mine"),
            ("x_tenant", "mine"),
            ("x-tenant", "other"),
            ("X.Scope", "mine"),
            ("X-SCOPE", "mine"),
        ];
        let reply = self.world.get(target, &[&forged[..], headers].concat());
        let seen = reply.seen().unwrap_or_else(|| panic!("{target}: {} {}", reply.head, reply.text()));
        assert!(seen.headers.iter().all(|(_, value)| value != "mine"), "{target}: {:?}", seen.headers);
        let one = |name: &str| match seen.all(name).as_slice() {
            [] => None,
            [one] => Some((*one).to_owned()),
            many => panic!("{target}: {name}: {many:?}"),
        };
        (one("x-tenant"), one("x-scope"))
    }
}

#[test]
fn claim_headers_are_the_tokens_or_absent_however_envoy_asks_and_whatever_the_service() {
    let some = |tenant: &str, scope: &str| (Some(tenant.to_owned()), Some(scope.to_owned()));
    for (wiring, change) in crate::headers::wirings() {
        let house = House::wired(change);
        let token = house.token(json!("acme"), json!(["a", "b"]));
        let (token, key) = (("Authorization", token.as_str()), ("apikey", ALICE));
        let none = (None, None);
        for (target, headers, expected) in [
            ("/orders", &[token][..], some("acme", "a, b")),
            ("/orders", &[key], none.clone()),
            ("/watched", &[token], some("acme", "a, b")),
            ("/watched", &[], none.clone()),
            ("/token-last", &[token, key], some("acme", "a, b")),
            ("/key-last", &[token, key], none.clone()),
            ("/public", &[token], none),
        ] {
            assert_eq!(house.told(target, headers), expected, "{wiring}: {target} {headers:?}");
        }
    }
}

#[test]
fn one_text_with_a_comma_is_no_list_and_all_headers_have_a_bound_together() {
    let house = House::wired(|_| {});
    let told =
        |org: Value, scope: Value| house.told("/orders", &[("Authorization", &house.token(org, scope))]);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        told(json!("sales,admin"), json!(["sales", "admin"])),
        (text("sales%2Cadmin"), text("sales, admin"))
    );
    assert_eq!(
        told(json!("100%2C"), json!(["b,c", 7, true, null, {}])),
        (text("100%252C"), text("b%2Cc, 7, true"))
    );
    // Nine of 800 bytes are less than 8 KiB, and nine of 1000 are more.
    let many = |length: usize| {
        let token = house.token(json!("x".repeat(length)), json!(null));
        house.world.get("/many", &[("Authorization", &token)])
    };
    assert_eq!(many(800).seen().unwrap().header("x-9").map(str::len), Some(800));
    let reply = many(1000);
    assert_eq!((reply.status, reply.code().as_str()), (500, "internal"), "never cut");
}

#[test]
fn a_stored_service_tells_claims_under_names_of_the_file_alone() {
    let house = House::wired(|_| {});
    let world = &house.world;
    let with = |header: &str| {
        format!("{{any: [{{jwt: {{issuer: accounts, claims: {{headers: {{{header}: [org, id]}}}}}}}}]}}")
    };
    let make = |name: &str, header: &str| {
        let path = format!("/{name}");
        let authentication = with(header);
        let arguments = ["service", "create", name, "--path", &path, "--authentication", &authentication];
        world.doorward.setup().run(&arguments).unwrap()
    };
    for header in ["User-Agent", "X-Other", "x_tenant", "X-Forwarded-Client-Cert"] {
        let output = make("greedy", header);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{header}: {said}");
        assert!(said.contains("`headers.claims`"), "{header}: {said}");
    }
    let output = make("stored", "x-tenant");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    world.command(&["deployment", "create", "stored", "production"]);
    let token = house.token(json!("acme"), json!("a"));
    assert_eq!(house.told("/stored", &[("Authorization", &token)]), (Some("acme".to_owned()), None));

    // What the file no longer declares is the stored object's fault, and nobody else's.
    let setup = world.doorward.setup();
    let file = std::fs::read_to_string(setup.file()).unwrap();
    let file = file.replace("X-Tenant: [org, id], ", "").replace("claims: [X-Tenant, ", "claims: [");
    setup.write(&file).unwrap();
    world.doorward.signal(Signal::HUP).unwrap();
    eventually("the file is read anew", || (world.get("/stored", &[]).status == 404).then_some(()));
    let seen = world.get("/orders", &[("Authorization", &token), ("X-Tenant", "theirs")]).seen().unwrap();
    assert_eq!((seen.header("x-scope"), seen.header("x-tenant")), (Some("a"), Some("theirs")));
}
