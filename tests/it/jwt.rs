//! JWTs of other issuers, from Envoy to the upstream: every family, every place, an issuer that rotates
//! its keys and goes away.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward::domain::jwt::Algorithm;
use doorward::issue::SigningKey;
use serde_json::{Value, json};

use crate::admin::{admin_key, ask};
use crate::rig::http1::Reply;
use crate::rig::wait::{eventually, until};
use crate::world::{ALICE, World, setup};

const FAMILIES: [Algorithm; 6] = [
    Algorithm::Hs256,
    Algorithm::Rs256,
    Algorithm::Ps384,
    Algorithm::Es256,
    Algorithm::Es512,
    Algorithm::EdDsa,
];

pub(crate) fn key(id: &str, algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(id.to_owned(), algorithm).unwrap()
}

fn jwk(key: &SigningKey) -> Value {
    let public = key.public();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut jwk = match public.algorithm {
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
            json!({"kty": "oct", "k": part(public.bytes)})
        }
        Algorithm::EdDsa => json!({"kty": "OKP", "crv": "Ed25519", "x": part(public.bytes)}),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => {
            let (x, y) = public.bytes[1..].split_at(public.bytes.len() / 2);
            let curve = match x.len() {
                32 => "P-256",
                48 => "P-384",
                _ => "P-521",
            };
            json!({"kty": "EC", "crv": curve, "x": part(x), "y": part(y)})
        }
        // PKCS#1 of 2048 bits: two headers of four bytes, a zero, and the modulus.
        _ => json!({"kty": "RSA", "n": part(&public.bytes[9..265]), "e": "AQAB"}),
    };
    jwk["kid"] = public.id.into();
    jwk["alg"] = public.algorithm.name().into();
    jwk
}

pub(crate) fn jwks(keys: &[&SigningKey]) -> String {
    json!({ "keys": keys.iter().map(|key| jwk(key)).collect::<Vec<_>>() }).to_string()
}

fn now() -> i64 {
    doorward::clock::Clock::system().now().unix()
}

pub(crate) fn claims(issuer: &str) -> Value {
    json!({"iss": issuer, "sub": "alice@example", "aud": ["other", "orders"], "exp": now() + 600})
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A service for each family, each with an issuer of its own.
fn families() -> (World, Vec<SigningKey>) {
    let folder = tempfile::tempdir().unwrap().keep();
    let keys: Vec<_> = FAMILIES.iter().map(|algorithm| key("k", *algorithm)).collect();
    let (mut issuers, mut services) = (String::new(), String::new());
    for key in &keys {
        let name = key.public().algorithm.name();
        let file = folder.join(format!("{name}.jwks"));
        std::fs::write(&file, jwks(&[key])).unwrap();
        issuers += &format!(
            "  {name}: {{issuer: \"https://{name}.example\", audiences: [orders], algorithms: [{name}], jwks_file: {}}}\n",
            file.display()
        );
        services += &format!(
            "  - {{name: {name}, paths: [/{name}], authentication: {{any: [jwt: {{issuer: {name}, claims: {{groups: groups}}}}]}}}}\n"
        );
    }
    let config = format!(
        "listen: {{grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}}\nissuers:\n{issuers}services:\n{services}"
    );
    (World::with(&config, |_| {}), keys)
}

#[test]
fn tokens_of_every_family_open_and_everything_near_them_does_not() {
    let (world, keys) = families();
    let get = |name: &str, token: &str| world.get(&format!("/{name}"), &[("Authorization", &bearer(token))]);
    for (at, key) in keys.iter().enumerate() {
        let name = key.public().algorithm.name();
        let issuer = format!("https://{name}.example");
        let mut claims = claims(&issuer);
        claims["groups"] = json!(["gold", "a,b"]);
        let token = key.sign(&claims).unwrap();
        // Twice: verified, and remembered.
        for _ in 0..2 {
            let reply = get(name, &token);
            assert_eq!(reply.status, 200, "{name}: {}", reply.text());
            let seen = reply.seen().unwrap();
            assert_eq!(seen.header("x-credential-identifier"), Some("alice@example"), "{name}");
            assert_eq!(seen.header("x-consumer-custom-id"), Some("alice@example"), "{name}");
            assert_eq!(seen.header("x-consumer-groups"), Some("gold"), "{name}");
            assert_eq!(seen.header("authorization"), None, "{name}: the token is kept back");
        }
        let mut expired = claims.clone();
        expired["exp"] = json!(now() - 60);
        let mut elsewhere = claims.clone();
        elsewhere["aud"] = json!("stock");
        let mut flipped = token.clone().into_bytes();
        let last = flipped.len() - 10;
        flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
        let next = &keys[(at + 1) % keys.len()];
        let unsigned = token.rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
        for (case, token) in [
            ("expired", key.sign(&expired).unwrap()),
            ("for another", key.sign(&elsewhere).unwrap()),
            ("changed", String::from_utf8(flipped).unwrap()),
            ("by another's key", next.sign(&claims).unwrap()),
            (
                "another's",
                next.sign(&self::claims(&format!("https://{}.example", next.public().algorithm))).unwrap(),
            ),
            ("unsigned", unsigned),
        ] {
            let reply = get(name, &token);
            assert_eq!((reply.status, reply.code().as_str()), (401, "invalid_credential"), "{name}: {case}");
            assert_eq!(
                reply.header("www-authenticate"),
                Some("Bearer realm=\"doorward\", error=\"invalid_token\""),
                "{name}: {case}"
            );
        }
        // What is not of a JWT's form was not presented to this method.
        for other in ["Bearer opaque", "Bearer a.b.c.d.e", "Basic YTpi"] {
            let reply = world.get(&format!("/{name}"), &[("Authorization", other)]);
            assert_eq!((reply.status, reply.code().as_str()), (401, "missing_credential"), "{name}: {other}");
            assert_eq!(
                reply.header("www-authenticate"),
                Some("Bearer realm=\"doorward\""),
                "{name}: {other}"
            );
        }
        let twice = [("Authorization", bearer(&token)), ("Authorization", bearer(&token))];
        let twice: Vec<_> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(world.get(&format!("/{name}"), &twice).code(), "duplicate_credential", "{name}");
    }
}

#[test]
fn the_policy_in_the_document_is_valid() {
    let document = include_str!("../../docs/jwt.md");
    let policy = document.split("\n```").find_map(|block| block.strip_prefix("yaml\n")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    setup.write(policy).unwrap();
    let output = setup.run(&["validate"]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An issuer that a test can have rotate its keys, and go away.
struct Issuer {
    address: SocketAddr,
    /// `None`: it answers nothing.
    set: Arc<Mutex<Option<String>>>,
}

impl Issuer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = Self { address: listener.local_addr().unwrap(), set: Arc::default() };
        let set = Arc::clone(&issuer.set);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(mut stream), set) = (stream, Arc::clone(&set)) else { return };
                let _ = stream.read(&mut [0; 4096]);
                let Some(body) = set.lock().unwrap().clone() else { continue };
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
            }
        });
        issuer
    }

    fn publishes(&self, keys: &[&SigningKey]) {
        *self.set.lock().unwrap() = Some(jwks(keys));
    }

    fn goes_away(&self) {
        *self.set.lock().unwrap() = None;
    }
}

/// A service that takes keys and tokens, and everything that says where a token may stand.
fn with_issuer(issuer: &Issuer) -> World {
    let config = format!(
        r#"
listen: {{grpc: "127.0.0.1:0", status: "127.0.0.1:0"}}
permissions: [{{name: read}}]
headers: {{claims: [X-Tenant, X-Scope]}}
issuers:
  accounts:
    {{issuer: "https://accounts.example", audiences: [orders], algorithms: [EdDSA], jwks_url: "http://{}/jwks"}}
services:
  - name: orders
    paths: [/orders]
    authentication:
      any: [api_key: {{}}, jwt: {{issuer: accounts, cookies: [token], query: [jwt], claims: {{permissions: scope, headers: {{X-Tenant: [org, id], X-Scope: scope}}}}}}]
    rules: [{{paths: [/orders/read], permissions: [read]}}]
  - name: known
    paths: [/known]
    authentication:
      any: [jwt: {{issuer: accounts, hide: false, claims: {{consumer: {{by: custom_id}}, groups: [realm, groups]}}}}]
    groups: {{allow: [gold, late]}}
consumers:
  - {{username: alice, custom_id: "alice@example", groups: [gold], keys: [{{from_env: ALICE_KEY}}]}}
  - {{username: mallory, custom_id: "mallory@example", enabled: false}}
"#,
        issuer.address
    );
    World::with(&config, |_| {})
}

/// Keys that a token names are fetched once in ten seconds.
#[track_caller]
fn patiently(what: &str, look: impl FnMut() -> Option<()>) {
    until(what, Duration::from_secs(60), look).unwrap_or_else(|message| panic!("{message}"));
}

pub(crate) const ACCOUNTS: &str = "https://accounts.example";

fn known(world: &World, token: &str) -> Reply {
    world.get("/orders", &[("Authorization", &bearer(token))])
}

#[test]
fn an_issuer_that_was_never_reached_is_an_error_and_then_its_tokens_open() {
    let issuer = Issuer::start();
    let world = with_issuer(&issuer);
    let first = key("1", Algorithm::EdDsa);
    let token = first.sign(&claims(ACCOUNTS)).unwrap();
    let reply = known(&world, &token);
    assert_eq!((reply.status, reply.code().as_str()), (503, "unavailable"));
    assert!(world.envoy.stat("http.main.ext_authz.error") > 0, "an error, and no denial");
    // What could be no token of this issuer is a denial all the same.
    let other = first.sign(&claims("https://other.example")).unwrap();
    assert_eq!(known(&world, &other).code(), "invalid_credential");
    assert_eq!(known(&world, "a.b.c").code(), "invalid_credential");
    // Whoever has a key does not notice.
    assert_eq!(world.get("/orders", &[("apikey", ALICE)]).status, 200);
    issuer.publishes(&[&first]);
    eventually("the issuer was reached", || (known(&world, &token).status == 200).then_some(()));

    // Rotation: the new key is fetched because a token names it, and no request waits for that.
    let second = key("2", Algorithm::EdDsa);
    issuer.publishes(&[&first, &second]);
    let new = second.sign(&claims(ACCOUNTS)).unwrap();
    assert_eq!(known(&world, &new).code(), "invalid_credential");
    patiently("the new key was fetched", || (known(&world, &new).status == 200).then_some(()));
    assert_eq!(known(&world, &token).status, 200);
    // Away: what is known stays, for the one that was never seen before too.
    issuer.goes_away();
    let fresh =
        first.sign(&json!({"jti": "x", "iss": ACCOUNTS, "sub": "bob", "aud": "orders", "exp": now() + 60}));
    assert_eq!(known(&world, &fresh.unwrap()).status, 200);
    let unknown = key("3", Algorithm::EdDsa).sign(&claims(ACCOUNTS)).unwrap();
    assert_eq!(known(&world, &unknown).code(), "invalid_credential");
    // Gone from the set: no longer believed, remembered or not.
    issuer.publishes(&[&second, &key("4", Algorithm::Es256)]);
    patiently("the old key is gone", || {
        (known(&world, &unknown).status == 401 && known(&world, &token).status == 401).then_some(())
    });
    assert_eq!(known(&world, &new).status, 200);
    let metrics = world.doorward.status("/metrics").unwrap().text();
    assert!(metrics.contains("doorward_issuer_keys{issuer=\"accounts\"} 1"), "{metrics}");
    // J4: one of another kind than the issuer's tokens are signed with.
    assert!(metrics.contains("doorward_issuer_keys_left_out{issuer=\"accounts\"} 1"), "{metrics}");
    assert!(
        metrics.contains("doorward_issuer_fetches_total{issuer=\"accounts\",outcome=\"failed\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("doorward_signatures_total{outcome=\"good\"}"), "{metrics}");
}

#[test]
fn a_token_is_found_where_it_may_stand_and_says_who_comes() {
    let issuer = Issuer::start();
    let signer = key("1", Algorithm::EdDsa);
    issuer.publishes(&[&signer]);
    let world = with_issuer(&issuer);
    let sign = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims(ACCOUNTS);
        change(&mut claims);
        signer.sign(&claims).unwrap()
    };
    let token = sign(&|_| {});
    eventually("the keys are there", || (known(&world, &token).status == 200).then_some(()));

    let cookie = format!("a=1; token={token}; b=2");
    let seen = world.get("/orders", &[("Cookie", &cookie)]).seen().unwrap();
    assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
    let seen = world.get(&format!("/orders?jwt={token}&x=1"), &[]).seen().unwrap();
    assert_eq!(seen.target, "/orders?x=1");
    for (case, target, headers) in [
        ("an empty bearer", "/orders", vec![("Authorization", "Bearer ".to_owned())]),
        ("an empty cookie", "/orders", vec![("Cookie", "token=".to_owned())]),
        ("nothing", "/orders?jwt=", vec![]),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(world.get(target, &headers).code(), "missing_credential", "{case}");
    }
    let two = format!("token={token}; token={token}");
    assert_eq!(world.get("/orders", &[("Cookie", &two)]).code(), "duplicate_credential");
    let disguised = world.get(&format!("/orders?%6awt={token}"), &[]);
    assert_eq!(disguised.code(), "malformed_request");
    // The first place that holds one decides, good or not.
    let bad = format!("{}x", &token[..token.len() - 1]);
    let both = world.get("/orders", &[("Authorization", &bearer(&bad)), ("Cookie", &cookie)]);
    assert_eq!(both.code(), "invalid_credential");

    // Rights by claims.
    assert_eq!(world.get("/orders/read", &[("Authorization", &bearer(&token))]).code(), "permission_denied");
    let scoped = sign(&|claims| claims["scope"] = json!("openid read nothing"));
    assert_eq!(world.get("/orders/read", &[("Authorization", &bearer(&scoped))]).status, 200);

    // Claims become headers, and nobody else can write these: not with a key, not at another service.
    let told = sign(&|claims| {
        claims["org"] = json!({"id": "Straße 7"});
        claims["scope"] = json!(["a", "b,c", 7, true, null]);
    });
    let forged = [
        ("X-Tenant", "mine"),
        ("x_tenant", "mine"),
        ("X-Tenant", "other"),
        ("X-Scope", "all"),
        ("x.scope", "all"),
    ];
    let ask = |target: &str, name: &str, value: &str| {
        let headers: Vec<_> = forged.into_iter().chain([(name, value)]).collect();
        let reply = world.get(target, &headers);
        let seen = reply.seen().unwrap_or_else(|| panic!("{target}: {}", reply.text()));
        assert_eq!((seen.header("x_tenant"), seen.header("x.scope")), (None, None), "{target}");
        (seen.header("x-tenant").map(str::to_owned), seen.header("x-scope").map(str::to_owned))
    };
    let both = (Some("Stra%C3%9Fe%207".to_owned()), Some("a, b%2Cc, 7, true".to_owned()));
    assert_eq!(ask("/orders", "Authorization", &bearer(&told)), both);
    assert_eq!(ask("/orders", "Authorization", &bearer(&token)), (None, None));
    assert_eq!(ask("/orders", "apikey", ALICE), (None, None));
    assert_eq!(ask("/known", "Authorization", &bearer(&told)), (None, None));
    let long = sign(&|claims| claims["org"] = json!({"id": "x".repeat(1025)}));
    let reply = world.get("/orders", &[("Authorization", &bearer(&long))]);
    assert_eq!((reply.status, reply.code().as_str()), (500, "internal"), "never cut");

    // A consumer that is known here.
    let ask = |token: &str| world.get("/known", &[("Authorization", &bearer(token))]);
    let seen = ask(&token).seen().unwrap();
    assert_eq!(seen.header("x-consumer-username"), Some("alice"));
    assert_eq!(seen.header("x-consumer-groups"), Some("gold"));
    assert_eq!(seen.header("authorization"), Some(bearer(&token).as_str()), "`hide: false`");
    let more = sign(&|claims| claims["realm"] = json!({"groups": ["late", "gold"]}));
    assert_eq!(ask(&more).seen().unwrap().header("x-consumer-groups"), Some("gold, late"));
    for (subject, why) in [("nobody", "consumer_unknown"), ("mallory@example", "consumer_disabled")] {
        let token = sign(&|claims| claims["sub"] = json!(subject));
        assert_eq!(ask(&token).code(), "invalid_credential");
        world.doorward.logged(why);
    }
    // One made later, in the store.
    let dora = sign(&|claims| {
        claims["sub"] = json!("dora@example");
        claims["realm"] = json!({"groups": "late"});
    });
    assert_eq!(ask(&dora).code(), "invalid_credential");
    world.command(&["consumer", "create", "dora", "--custom-id", "dora@example"]);
    assert_eq!(ask(&dora).seen().unwrap().header("x-consumer-username"), Some("dora"));
    world.command(&["consumer", "delete", "dora"]);
    assert_eq!(ask(&dora).code(), "invalid_credential");
    // The log has the subject and never the token.
    let output = world.doorward.output();
    assert!(
        !output.contains(&token[..60]) && !output.contains(&token[token.len() - 40..]),
        "a token in the log"
    );
}

/// SubjectPublicKeyInfo (RFC 5280, RFC 8410) of an Ed25519 key, as PEM.
fn pem(key: &SigningKey) -> String {
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let body = STANDARD.encode([&prefix, key.public().bytes].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

/// A token of these claims, signed with a shared secret.
fn signed(algorithm: jsonwebtoken::Algorithm, secret: &str, claims: &Value) -> String {
    let header = jsonwebtoken::Header { kid: Some("any".into()), ..jsonwebtoken::Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, &jsonwebtoken::EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[test]
fn consumers_sign_their_own_tokens_with_kongs_credentials() {
    use jsonwebtoken::Algorithm::{HS256, HS384};
    let world = World::with(
        r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: own, paths: [/own], authentication: {any: [jwt: {issuer: consumers, query: [jwt]}]}, groups: {allow: [gold]}}
"#,
        |_| {},
    );
    world.command(&["consumer", "create", "robot", "--group", "gold"]);
    let (admin, _) = admin_key(&world.doorward);
    let api = |method: &str, path: &str, body: &Value| {
        ask(world.doorward.admin_address(), &admin, method, path, body.to_string().as_bytes())
    };
    let made = api("POST", "/consumers/robot/jwt", &json!({})).json();
    let (key, secret) = (made["key"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let status = |token: &str| world.get("/own", &[("Authorization", &bearer(token))]).status;
    let claims = |change: &dyn Fn(&mut Value)| {
        let mut claims = json!({"iss": key, "exp": now() + 600});
        change(&mut claims);
        claims
    };

    let token = signed(HS256, secret, &claims(&|_| {}));
    let seen = world.get(&format!("/own?jwt={token}"), &[]).seen().unwrap();
    assert_eq!(seen.header("x-consumer-username"), Some("robot"));
    assert_eq!(seen.header("x-credential-identifier"), Some(key));
    assert_eq!(seen.target, "/own");
    for (status_expected, case, change) in [
        (
            200,
            "for this service",
            &(|claims: &mut Value| claims["aud"] = json!(["x", "own"])) as &dyn Fn(&mut Value),
        ),
        (200, "of somebody", &|claims| claims["sub"] = json!("somebody")),
        (401, "for another service", &|claims| claims["aud"] = json!("other")),
        (401, "for nobody", &|claims| claims["aud"] = json!([])),
        (401, "of nobody", &|claims| claims["sub"] = json!("")),
        (401, "expired", &|claims| claims["exp"] = json!(now() - 60)),
        (401, "for ever", &|claims| claims["exp"] = Value::Null),
        (401, "for too long", &|claims| claims["exp"] = json!(now() + 2 * 86_400)),
        (401, "too early", &|claims| claims["nbf"] = json!(now() + 600)),
        (401, "of another key", &|claims| claims["iss"] = json!("nobody's")),
        (401, "of no key", &|claims| drop(claims.as_object_mut().unwrap().remove("iss"))),
        (401, "of many keys", &|claims| claims["iss"] = json!([key])),
    ] {
        let token = signed(HS256, secret, &claims(change));
        // Twice: verified, and remembered.
        assert_eq!((status(&token), status(&token)), (status_expected, status_expected), "{case}");
    }
    assert_eq!(status(&signed(HS384, secret, &claims(&|_| {}))), 401, "another algorithm");
    assert_eq!(status(&signed(HS256, &"x".repeat(32), &claims(&|_| {}))), 401, "another secret");

    // A key pair; and its public half is nobody's secret (CVE-2015-9235).
    let pair = self::key("", Algorithm::EdDsa);
    let pair_pem = pem(&pair);
    let body = json!({"key": "pair", "algorithm": "EdDSA", "rsa_public_key": pair_pem});
    let made_pair = api("POST", "/consumers/robot/jwt", &body);
    assert_eq!(made_pair.status, 201, "{}", made_pair.text());
    let of_pair = claims(&|claims| claims["iss"] = json!("pair"));
    let by_pair = pair.sign(&of_pair).unwrap();
    assert_eq!(status(&by_pair), 200);
    assert_eq!(status(&signed(HS256, &pair_pem, &of_pair)), 401);
    assert_eq!(status(&pair.sign(&claims(&|_| {})).unwrap()), 401, "each key has its own credential");

    // Another secret, remembered token or not; then nothing at all.
    let path = format!("/consumers/robot/jwt/{}", made["id"].as_str().unwrap());
    let other = "another secret of thirty-two bytes";
    assert_eq!(api("PATCH", &path, &json!({"secret": other})).status, 200);
    assert_eq!(status(&token), 401);
    let token = signed(HS256, other, &claims(&|_| {}));
    assert_eq!(status(&token), 200);
    assert_eq!(api("PATCH", &path, &json!({"enabled": false})).status, 200);
    assert_eq!(status(&token), 401);
    assert_eq!(api("PATCH", &path, &json!({"enabled": true})).status, 200);
    assert_eq!(status(&token), 200);
    assert_eq!(api("DELETE", &path, &json!({})).status, 204);
    assert_eq!(status(&token), 401);
    assert_eq!(status(&by_pair), 200);
    world.command(&["consumer", "delete", "robot"]);
    assert_eq!(status(&by_pair), 401);
}
