//! What consumers may do in the admin API, by what their groups were granted: every route, without
//! rights, with too small ones and with sufficient ones, with real tokens over TCP.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward::clock::Clock;
use doorward::compile::Compiler;
use doorward::domain::jwt::{ADMIN_AUDIENCE, EVERY_SERVICE};
use doorward::domain::time::Timestamp;
use doorward::issue::Registrar;
use doorward::store::redb::RedbStore;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::admin::{admin_key, ask};
use crate::rig::doorward::Doorward;
use crate::rig::http1::Reply;
use crate::world::{key, setup, started};

const PUBLIC_URL: &str = "https://auth.example";
const HOUR: Duration = Duration::from_secs(3600);

/// The consumers: each has the groups that it is called by.
const CALLERS: &[&str] = &[
    "nobody",
    "s-read",
    "s-write",
    "s-deploy",
    "s-admin",
    "i-view",
    "i-deploy",
    "i-admin",
    "makers",
    "s-read i-view",
    "s-deploy i-view",
    "s-read i-deploy",
    "s-write i-deploy",
    "s-deploy i-deploy",
    "s-admin i-admin makers",
    "i-deploy makers",
];
const GROUPS: &[&str] =
    &["s-read", "s-write", "s-deploy", "s-admin", "i-view", "i-deploy", "i-admin", "makers"];
const BOSS: &str = "s-admin i-admin makers";

fn id_of(caller: &str) -> Uuid {
    let at = CALLERS.iter().position(|it| *it == caller).unwrap();
    Uuid::from_u128(0x0196_a1f0_0000_7000_8000_0000_0000_0001 + at as u128)
}

/// Consumers that the store holds, whose tokens are made before they are.
const STORED: Uuid = Uuid::from_u128(0x0196_a1f0_0000_7000_8000_0000_0000_0101);
const GONE: Uuid = Uuid::from_u128(0x0196_a1f0_0000_7000_8000_0000_0000_0102);
/// Of the file, and let in from other addresses alone.
const ELSEWHERE: Uuid = Uuid::from_u128(0x0196_a1f0_0000_7000_8000_0000_0000_0103);

/// Signs with the keys of the store that the server is started on.
pub(crate) struct Mint {
    registrar: Registrar,
    runtime: tokio::runtime::Runtime,
}

impl Mint {
    pub(crate) fn new(folder: &Path, public_url: &str, clock: Clock) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let secret = folder.join("doorward.secret");
        let store = RedbStore::open(&folder.join("doorward.redb"), &secret).unwrap();
        let ring = Arc::clone(store.ring());
        let catalog = Compiler::of_nothing(&ring.peppers()).catalog();
        let registrar = Registrar::new(Arc::new(store), ring, clock, catalog)
            .with_public_url(Some(public_url.to_owned()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(registrar.tend_signing_keys()).unwrap();
        Self { registrar, runtime }
    }

    pub(crate) fn token(&self, consumer: Uuid, audiences: &[&str], lifetime: Duration) -> String {
        let audiences: Vec<String> = audiences.iter().map(|it| (*it).to_owned()).collect();
        self.runtime.block_on(self.registrar.mint(consumer, &audiences, lifetime)).unwrap().token
    }
}

struct Api {
    doorward: Doorward,
    key: String,
    tokens: BTreeMap<&'static str, String>,
    /// Tokens of the table of refusals, by what is wrong with each.
    wrong: Vec<(&'static str, String)>,
    stored: String,
    _folder: TempDir,
}

impl Api {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("doorward");
        let for_admin = [ADMIN_AUDIENCE];
        let boss = id_of(BOSS);
        let long_ago = Clock::stopped(Timestamp::from_unix(Clock::system().now().unix() - 7200)).0;
        // One after the other: the store has one master.
        let minted = |home: &Path, public_url: &str, clock: Clock| {
            Mint::new(home, public_url, clock).token(boss, &for_admin, HOUR)
        };
        let mut wrong = vec![
            ("expired", minted(&home, PUBLIC_URL, long_ago)),
            ("of another issuer", minted(&home, "https://other.example", Clock::system())),
            (
                "signed with keys of another store",
                minted(&folder.path().join("elsewhere"), PUBLIC_URL, Clock::system()),
            ),
        ];
        let mint = Mint::new(&home, PUBLIC_URL, Clock::system());
        let tokens: BTreeMap<_, _> =
            CALLERS.iter().map(|caller| (*caller, mint.token(id_of(caller), &for_admin, HOUR))).collect();
        let service = Uuid::from_u128(7).to_string();
        let good = &tokens[BOSS];
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { "B" } else { "A" };
        wrong.extend([
            ("for every service", mint.token(boss, &[EVERY_SERVICE], HOUR)),
            ("for a service", mint.token(boss, &[&service], HOUR)),
            ("for a service too", mint.token(boss, &[ADMIN_AUDIENCE, &service], HOUR)),
            ("for nobody", mint.token(boss, &[], HOUR)),
            ("of nobody that is known", mint.token(Uuid::from_u128(9), &for_admin, HOUR)),
            ("of a consumer that is gone", mint.token(GONE, &for_admin, HOUR)),
            ("of a consumer that may not come from here", mint.token(ELSEWHERE, &for_admin, HOUR)),
            ("with another signature", format!("{signed}.{flipped}{}", &signature[1..])),
            ("without a signature", format!("{signed}.")),
        ]);
        let stored = mint.token(STORED, &for_admin, HOUR);
        drop(mint);

        let networks = json!({ "allow": ["198.51.100.0/24"] });
        let elsewhere = json!({ "username": "elsewhere", "id": ELSEWHERE, "networks": networks });
        let consumers: Vec<Value> = CALLERS
            .iter()
            .map(|caller| {
                let groups: Vec<&str> = caller.split(' ').filter(|it| GROUPS.contains(it)).collect();
                json!({ "username": caller.replace(' ', "_"), "id": id_of(caller), "groups": groups })
            })
            .chain([elsewhere])
            .collect();
        let setup = setup(&home);
        let listen = json!({ "grpc": "127.0.0.1:0", "status": "127.0.0.1:0" });
        let config = json!({ "listen": listen, "public_url": PUBLIC_URL, "consumers": consumers });
        setup.write(&config.to_string()).unwrap();
        let doorward = started(&setup);
        let (key, _) = admin_key(&doorward);
        Self { doorward, key, tokens, wrong, stored, _folder: folder }
    }

    /// `key` is the admin key.
    fn ask(&self, caller: &str, method: &str, path: &str, body: &Value) -> Reply {
        let token = if caller == "key" { &self.key } else { &self.tokens[caller] };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(self.doorward.admin_address(), token, method, path, body.as_bytes())
    }

    #[track_caller]
    fn expect(&self, status: u16, caller: &str, (method, path): (&str, &str), body: Value) -> Reply {
        let reply = self.ask(caller, method, path, &body);
        assert_eq!(reply.status, status, "{method} {path} by {caller:?}: {}", reply.text());
        if matches!(status, 403 | 404) && reply.header("content-type") == Some("application/problem+json") {
            assert_eq!(reply.code(), if status == 404 { "not_found" } else { "permission_denied" });
        }
        reply
    }

    fn make(&self, path: &str, body: Value) {
        self.expect(201, "key", ("POST", path), body);
    }

    /// Two infrastructures and services with a group for each privilege, and some that nobody is granted.
    fn furnish(&self) {
        for group in GROUPS {
            let privileges: &[&str] = if *group == "makers" { &["create_service"] } else { &[] };
            self.make("/groups", json!({ "name": group, "privileges": privileges }));
        }
        let here = json!({ "i-view": ["view"], "i-deploy": ["deploy"], "i-admin": ["admin"] });
        self.make("/infrastructures", json!({ "name": "here", "grants": here }));
        self.make("/infrastructures", json!({ "name": "gone", "grants": here }));
        self.make("/infrastructures", json!({ "name": "there", "grants": { "i-deploy": ["view"] } }));
        self.make("/infrastructures", json!({ "name": "secretive" }));
        let grants =
            json!({ "s-read": ["read"], "s-write": ["write"], "s-deploy": ["deploy"], "s-admin": ["admin"] });
        for name in ["shop", "stock", "third", "gone"] {
            self.make(
                "/services",
                json!({ "name": name, "paths": [format!("/{name}")], "authentication": {"any": ["api_key"]}, "grants": grants }),
            );
        }
        let hidden = json!({ "name": "secretive", "paths": ["/taken"], "authentication": "none" });
        self.make("/services", hidden);
        for version in ["v1", "v2"] {
            self.make("/services/shop/versions", json!({ "name": version, "policy": {} }));
        }
        for (service, infrastructure) in
            [("shop", "here"), ("stock", "here"), ("secretive", "here"), ("third", "secretive")]
        {
            self.make("/deployments", json!({ "service": service, "infrastructure": infrastructure }));
        }
    }

    fn names(&self, caller: &str, path: &str) -> BTreeSet<String> {
        let reply = self.expect(200, caller, ("GET", path), Value::Null);
        let rows = reply.json()["data"].as_array().unwrap().clone();
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    }
}

type Case<'c> = (&'c str, u16);

/// A route, a request that is made of it, and what callers hear, one after the other.
struct Row<'r> {
    route: (&'r str, &'r str),
    path: &'r str,
    body: Value,
    heard: &'r [Case<'r>],
}

#[rustfmt::skip] // A table is read by its columns.
fn table() -> Vec<Row<'static>> {
    const READS: &[Case<'_>] = &[("nobody", 404), ("i-admin", 404), ("s-read", 200), ("s-write", 200), ("s-deploy", 200), ("key", 200)];
    const VIEWS: &[Case<'_>] = &[("nobody", 404), ("s-admin", 404), ("i-view", 200), ("i-deploy", 200), ("key", 200)];
    const ADMINS: &[Case<'_>] = &[("nobody", 404), ("i-admin", 404), ("s-read", 403), ("s-write", 403), ("s-deploy", 403), ("s-admin", 200), ("key", 200)];
    const I_ADMINS: &[Case<'_>] = &[("nobody", 404), ("s-admin", 404), ("i-view", 403), ("i-deploy", 403), ("i-admin", 200), ("key", 200)];
    const SEES: &[Case<'_>] = &[("nobody", 404), ("s-read", 404), ("s-admin", 404), ("i-view", 404), ("i-admin", 404), ("s-read i-view", 200), (BOSS, 200), ("key", 200)];
    const DEPLOYS: &[Case<'_>] = &[("nobody", 404), ("s-deploy", 404), ("i-deploy", 404), ("s-read i-view", 403), ("s-deploy i-view", 403), ("s-read i-deploy", 403), ("s-write i-deploy", 403), ("s-deploy i-deploy", 200), ("key", 200)];
    const EVERYBODY: &[Case<'_>] = &[("nobody", 200), (BOSS, 200), ("key", 200)];
    let row = |route, path, body, heard| Row { route, path, body, heard };
    let get = |route, path, heard| Row { route: ("GET", route), path, body: Value::Null, heard };
    let service = json!({ "paths": ["/shop"], "authentication": {"any": ["api_key"]}, "grants": {
        "s-read": ["read"], "s-write": ["write"], "s-deploy": ["deploy"], "s-admin": ["admin"] } });
    let infrastructure = json!({ "grants": { "i-view": ["view"], "i-deploy": ["deploy"], "i-admin": ["admin"] } });
    let at = |service: &str| json!({ "service": service, "infrastructure": "here" });
    vec![
        get("/services", "/services", EVERYBODY),
        get("/services/{service}", "/services/shop", READS),
        get("/services/{service}/keys", "/services/shop/keys", READS),
        get("/services/{service}/versions", "/services/shop/versions", READS),
        get("/services/{service}/versions/{version}", "/services/shop/versions/v1", READS),
        get("/services/{service}/grants/{group}", "/services/shop/grants/s-read", ADMINS),
        row(("PUT",    "/services/{service}"), "/services/shop", service, ADMINS),
        row(("PATCH",  "/services/{service}"), "/services/shop", json!({ "tags": ["a"] }), ADMINS),
        row(("PUT",    "/services/{service}/grants/{group}"), "/services/shop/grants/s-read", json!({ "privileges": ["read"] }), ADMINS),
        row(("DELETE", "/services/{service}/grants/{group}"), "/services/gone/grants/s-read", Value::Null,
            &[("nobody", 404), ("s-read", 403), ("s-write", 403), ("s-deploy", 403), ("s-admin", 204), ("key", 404)]),
        row(("POST",   "/services"), "/services", json!({ "name": "made", "authentication": "none" }),
            &[("nobody", 403), ("s-admin i-admin makers", 201), ("makers", 409), ("s-admin", 403), ("i-admin", 403)]),
        row(("DELETE", "/services/{service}"), "/services/gone", Value::Null,
            &[("nobody", 404), ("s-write", 403), ("s-deploy", 403), ("makers", 404), ("s-admin", 204)]),
        row(("POST",   "/services/{service}/versions"), "/services/shop/versions", json!({ "name": "v3", "policy": {} }),
            &[("nobody", 404), ("s-read", 403), ("s-deploy", 403), ("s-write", 201)]),
        row(("DELETE", "/services/{service}/versions/{version}"), "/services/shop/versions/v2", Value::Null,
            &[("nobody", 404), ("s-read", 403), ("s-deploy", 403), ("s-write", 204)]),
        get("/infrastructures", "/infrastructures", EVERYBODY),
        get("/infrastructures/{infrastructure}", "/infrastructures/here", VIEWS),
        get("/infrastructures/{infrastructure}/grants/{group}", "/infrastructures/here/grants/i-view", I_ADMINS),
        row(("PUT",    "/infrastructures/{infrastructure}"), "/infrastructures/here", infrastructure, I_ADMINS),
        row(("PATCH",  "/infrastructures/{infrastructure}"), "/infrastructures/here", json!({ "tags": ["a"] }), I_ADMINS),
        row(("PUT",    "/infrastructures/{infrastructure}/grants/{group}"), "/infrastructures/here/grants/i-view", json!({ "privileges": ["view"] }), I_ADMINS),
        row(("DELETE", "/infrastructures/{infrastructure}/grants/{group}"), "/infrastructures/gone/grants/i-view", Value::Null,
            &[("nobody", 404), ("i-view", 403), ("i-deploy", 403), ("i-admin", 204), ("key", 404)]),
        // Global administrators make infrastructures, and end them.
        row(("POST",   "/infrastructures"), "/infrastructures", json!({ "name": "new" }),
            &[("nobody", 403), ("i-admin", 403), (BOSS, 403), ("key", 201)]),
        row(("DELETE", "/infrastructures/{infrastructure}"), "/infrastructures/gone", Value::Null,
            &[("nobody", 404), ("i-deploy", 403), ("i-admin", 403), (BOSS, 403), ("key", 204)]),
        get("/deployments", "/deployments", EVERYBODY),
        get("/deployments/{deployment}", "/deployments/shop%2Fhere", SEES),
        get("/deployments/{deployment}/keys", "/deployments/shop%2Fhere/keys", SEES),
        get("/deployments/{deployment}/sample", "/deployments/shop%2Fhere/sample", SEES),
        get("/deployments/{deployment}/effective", "/deployments/shop%2Fhere/effective", SEES),
        row(("POST",   "/deployments"), "/deployments", json!({ "service": "third", "infrastructure": "here", "hosts": ["third.example"] }),
            &[("nobody", 404), ("s-deploy", 404), ("i-deploy", 404), ("s-deploy i-view", 403), ("s-read i-deploy", 403), ("s-write i-deploy", 403), ("s-deploy i-deploy", 201)]),
        row(("PUT",    "/deployments/{deployment}"), "/deployments/shop%2Fhere", at("shop"), DEPLOYS),
        row(("PATCH",  "/deployments/{deployment}"), "/deployments/shop%2Fhere", json!({ "enabled": false }), DEPLOYS),
        row(("DELETE", "/deployments/{deployment}"), "/deployments/stock%2Fhere", Value::Null,
            &[("nobody", 404), ("s-deploy", 404), ("s-deploy i-view", 403), ("s-read i-deploy", 403), ("s-deploy i-deploy", 204)]),
    ]
}

/// Where consumers have rights at all, but for Kong's paths.
fn is_of_consumers(path: &str) -> bool {
    let of_objects = ["/services", "/infrastructures", "/deployments"].iter().any(|it| path.starts_with(it));
    of_objects && !path.contains("/plugins")
}

#[test]
fn every_route_asks_for_the_right_that_the_documents_name() {
    let api = Api::start();
    api.furnish();
    let table = table();
    let described = api.expect(200, "key", ("GET", "/openapi.json"), Value::Null).json();
    let mut routes = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            if is_of_consumers(path) {
                routes.insert((method, path.clone()));
                continue;
            }
            // Everything else is for admin keys.
            let concrete: Vec<&str> = path
                .split('/')
                .map(|it| if it.starts_with('{') { "0196a1f0-0000-7000-8000-000000000001" } else { it })
                .collect();
            api.expect(403, BOSS, (&method, &concrete.join("/")), Value::Null);
        }
    }
    let rows: BTreeSet<_> =
        table.iter().map(|row| (row.route.0.to_owned(), row.route.1.to_owned())).collect();
    assert_eq!(rows, routes, "every route has its row, and every row its route");
    for row in &table {
        for (caller, status) in row.heard {
            api.expect(*status, caller, (row.route.0, row.path), row.body.clone());
        }
    }
    // Who makes a service owns it, and nobody else sees it.
    assert!(api.names("makers", "/services").is_empty());
    api.expect(201, "makers", ("POST", "/services"), json!({ "name": "own", "authentication": "none" }));
    api.expect(200, "makers", ("PUT", "/services/own/grants/s-read"), json!({ "privileges": ["deploy"] }));
    api.expect(201, "makers", ("POST", "/services/own/versions"), json!({ "name": "v1", "policy": {} }));
    api.expect(200, "s-read", ("GET", "/services/own"), Value::Null);
    api.expect(404, "s-admin", ("GET", "/services/own"), Value::Null);
    api.expect(204, "makers", ("DELETE", "/services/own"), Value::Null);
    // What was done is in the audit log with who did it.
    let audit = api.expect(200, "key", ("GET", "/audit?action=service.delete&size=1"), Value::Null).json();
    assert_eq!(audit["data"][0]["actor"], json!({ "kind": "consumer", "id": id_of("makers") }), "{audit}");
}

#[test]
fn lists_hold_what_the_caller_may_see_and_answers_name_nothing_else() {
    let api = Api::start();
    api.furnish();
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    #[rustfmt::skip] // A table is read by its columns.
    let lists = [
        ("nobody",            "/services",        all(&[])),
        ("i-admin",           "/services",        all(&[])),
        ("makers",            "/services",        all(&[])),
        ("s-read",            "/services",        all(&["gone", "shop", "stock", "third"])),
        ("key",               "/services",        all(&["gone", "secretive", "shop", "stock", "third"])),
        ("nobody",            "/infrastructures", all(&[])),
        ("s-admin",           "/infrastructures", all(&[])),
        ("i-view",            "/infrastructures", all(&["here", "gone"])),
        ("i-deploy",          "/infrastructures", all(&["here", "gone", "there"])),
        ("s-admin",           "/deployments",     all(&[])),
        ("i-admin",           "/deployments",     all(&[])),
        ("s-read i-view",     "/deployments",     all(&["shop/here", "stock/here"])),
        ("s-deploy i-deploy", "/deployments",     all(&["shop/here", "stock/here"])),
        ("key",               "/deployments",     all(&["secretive/here", "shop/here", "stock/here", "third/secretive"])),
    ];
    for (caller, path, expected) in lists {
        assert_eq!(api.names(caller, path), expected, "{caller} {path}");
    }
    // Pages are of what may be seen, so none is short of what another caller would see there.
    let page = api.expect(200, "s-read", ("GET", "/services?size=4"), Value::Null).json();
    assert_eq!((page["data"].as_array().map(Vec::len), &page["next"]), (Some(4), &Value::Null));

    // To whom else something is open is for those who may grant.
    let seen = |caller| api.expect(200, caller, ("GET", "/services/shop"), Value::Null).json();
    assert!(seen("s-read")["grants"].is_null() && seen("s-admin")["grants"].is_object());

    // A deployment goes nowhere where its caller may not deploy.
    let mover = "s-deploy i-deploy";
    let to = |infrastructure: &str| json!({ "service": "shop", "infrastructure": infrastructure });
    for (infrastructure, status) in [("there", 403), ("secretive", 404), ("nowhere", 404)] {
        api.expect(
            status,
            mover,
            ("PATCH", "/deployments/shop%2Fhere"),
            json!({ "infrastructure": infrastructure }),
        );
        api.expect(status, mover, ("PUT", "/deployments/shop%2Fhere"), to(infrastructure));
    }
    api.expect(404, mover, ("PATCH", "/deployments/shop%2Fhere"), json!({ "service": "secretive" }));

    // What is hidden and what is not there are told alike, whatever is asked of it.
    let but_name = |reply: Reply, name: &str| {
        let mut told = reply.json();
        told["request_id"] = Value::Null;
        (reply.status, told.to_string().replace(name, "NAME"))
    };
    let service = json!({ "authentication": "none" });
    for (method, path, body) in [
        ("GET", "/services/", Value::Null),
        ("PUT", "/services/", service),
        ("PATCH", "/services/", json!({ "mode": "shadow" })),
        ("DELETE", "/services/", Value::Null),
        ("GET", "/infrastructures/", Value::Null),
        ("PUT", "/infrastructures/", json!({})),
        ("DELETE", "/infrastructures/", Value::Null),
    ] {
        let of = |name: &str| {
            but_name(api.ask("s-admin i-admin makers", method, &format!("{path}{name}"), &body), name)
        };
        if (method, path) != ("PUT", "/services/") {
            assert_eq!(of("secretive"), of("nowhere"), "{method} {path}");
        }
        let of = |name: &str| but_name(api.ask("nobody", method, &format!("{path}{name}"), &body), name);
        assert_eq!(of("secretive"), of("nowhere"), "{method} {path}");
    }

    // No refusal names what its hearer may not see.
    let (key, id) = ("s-admin i-admin makers", api.names("key", "/services"));
    assert!(id.contains("secretive"));
    let settings = json!({ "rules": [{ "groups": ["x"], "permissions": ["secretivf"] }] });
    let taken = json!({ "paths": ["/taken"] });
    for (case, status, (method, path), body) in [
        ("it is deployed where nobody may look", 409, ("DELETE", "/services/third"), Value::Null),
        ("an unknown permission", 400, ("PATCH", "/services/shop"), settings),
        (
            "a group that is not there",
            400,
            ("PUT", "/services/shop/grants/secretivf"),
            json!({ "privileges": ["read"] }),
        ),
        ("a path that is taken", 409, ("PATCH", "/deployments/shop%2Fhere"), taken.clone()),
    ] {
        let told = api.expect(status, key, (method, path), body).text();
        assert!(!told.contains("secretive") && !told.contains("s-write"), "{case}: {told}");
    }
    let told = api.expect(409, "key", ("PATCH", "/deployments/shop%2Fhere"), taken).text();
    assert!(told.contains("secretive"), "an admin key is told all: {told}");
}

/// Whoever may deploy somewhere takes no requests from what others have elsewhere.
#[test]
fn whoever_may_not_deploy_a_service_takes_none_of_its_places() {
    let api = Api::start();
    api.furnish();
    let orders = json!({ "name": "orders", "hosts": ["api.example.com"], "paths": ["/orders"],
        "authentication": { "any": ["api_key"] } });
    api.make("/services", orders);
    api.make("/deployments", json!({ "service": "orders", "infrastructure": "secretive" }));
    let mallory = "i-deploy makers";
    api.expect(201, mallory, ("POST", "/services"), json!({ "name": "m", "authentication": "none" }));
    let deployed = json!({ "service": "m", "infrastructure": "here" });
    let refused = |(method, path): (&str, &str), body: &Value| {
        let told = api.expect(403, mallory, (method, path), body.clone()).text();
        assert!(told.contains("may not see"), "{told}");
        assert!(!told.contains("secretive") && !told.contains("orders/"), "it names nobody: {told}");
    };
    let within = [
        json!({ "hosts": ["api.example.com"], "paths": ["/orders/admin"] }),
        json!({ "hosts": ["api.example.com"], "paths": ["/"] }),
        json!({ "hosts": ["api.example.com"], "paths": null }),
        json!({ "hosts": ["*.example.com"], "paths": ["/orders"] }),
        json!({ "hosts": null, "paths": ["/orders/admin"] }),
    ];
    for place in &within {
        api.expect(200, mallory, ("PATCH", "/services/m"), place.clone());
        refused(("POST", "/deployments"), &deployed);
    }
    let own = json!({ "hosts": ["api.example.com"], "paths": ["/orders-of-m"] });
    api.expect(200, mallory, ("PATCH", "/services/m"), own);
    api.expect(201, mallory, ("POST", "/deployments"), deployed);
    for place in &within {
        refused(("PATCH", "/services/m"), place);
        // Where a deployment says nothing, it inherits.
        if place.as_object().unwrap().values().all(|it| !it.is_null()) {
            refused(("PATCH", "/deployments/m%2Fhere"), place);
        }
    }
    api.expect(200, mallory, ("PATCH", "/services/m"), json!({ "mode": "shadow" }));
    api.expect(200, "key", ("PATCH", "/deployments/m%2Fhere"), within[0].clone());
    // What stays where it is asks for no right on what it lies in.
    api.expect(200, mallory, ("PATCH", "/deployments/m%2Fhere"), json!({ "enabled": false }));

    // What was deployed by others where its owner may not deploy stays as it is.
    api.make(
        "/deployments",
        json!({ "service": "m", "infrastructure": "secretive", "hosts": ["m.example"] }),
    );
    for change in [
        json!({ "authentication": { "any": ["api_key"] } }),
        json!({ "paths": ["/m"] }),
        json!({ "mode": null }),
    ] {
        refused(("PATCH", "/services/m"), &change);
    }
    api.expect(200, mallory, ("PATCH", "/services/m"), json!({ "tags": ["a"] }));
    api.expect(200, mallory, ("PUT", "/services/m/grants/s-read"), json!({ "privileges": ["read"] }));

    // Of deployments of one service, one takes nothing of what another one names.
    let two = json!({ "name": "two", "authentication": { "any": ["api_key"] }, "grants": { "i-deploy": ["deploy"] } });
    api.make("/services", two);
    let hosts = json!(["two.example", "*.two.example"]);
    api.make(
        "/deployments",
        json!({ "service": "two", "infrastructure": "secretive", "hosts": hosts, "paths": ["/a"] }),
    );
    let two = |hosts: &str, path: &str| {
        json!({ "service": "two", "infrastructure": "here", "hosts": [hosts], "paths": [path],
            "override": { "authentication": "none" } })
    };
    for (host, path) in [("two.example", "/a/admin"), ("*.two.example", "/a/b"), ("b.two.example", "/b")] {
        refused(("POST", "/deployments"), &two(host, path));
    }
    api.expect(201, mallory, ("POST", "/deployments"), two("two.example", "/b"));
    refused(("PATCH", "/deployments/two%2Fhere"), &json!({ "paths": ["/a/admin"] }));

    // Where that one takes any host, a host is named only with what that one asks for, now and later.
    let four = json!({ "name": "four", "paths": ["/three"], "authentication": "none" });
    api.expect(201, mallory, ("POST", "/services"), four);
    let three = json!({ "name": "three", "paths": ["/three"], "authentication": { "any": ["api_key"] },
        "grants": { "i-deploy": ["deploy"] } });
    api.make("/services", three);
    api.make("/deployments", json!({ "service": "three", "infrastructure": "secretive" }));
    let three = |policy: Value| json!({ "service": "three", "infrastructure": "here", "hosts": ["three.example"], "override": policy });
    let with = |key: &str, value: Value| {
        let mut deployment = three(json!({}));
        deployment[key] = value;
        deployment
    };
    let open = json!({ "authentication": "none" });
    refused(("POST", "/deployments"), &three(open.clone()));
    refused(("POST", "/deployments"), &three(json!({ "mode": "shadow" })));
    // Or nobody there has an answer any more.
    refused(("POST", "/deployments"), &with("paths", json!(["/other"])));
    refused(("POST", "/deployments"), &with("enabled", json!(false)));
    api.expect(201, mallory, ("POST", "/deployments"), three(json!({})));
    refused(("PATCH", "/deployments/three%2Fhere"), &json!({ "override": open }));
    api.expect(200, mallory, ("PATCH", "/deployments/three%2Fhere"), json!({ "hosts": ["3.example"] }));
    // Nor by being another service's, whatever that one asks for.
    refused(("PATCH", "/deployments/three%2Fhere"), &json!({ "service": "four" }));
    // Nor by a version that only this one would take.
    api.make("/services/three/versions", json!({ "name": "v1", "policy": {} }));
    api.expect(200, "key", ("PATCH", "/deployments/three%2Fsecretive"), json!({ "version": "v1" }));
    let privileges = json!({ "privileges": ["write", "deploy"] });
    api.expect(200, "key", ("PUT", "/services/three/grants/i-deploy"), privileges);
    let v2 = json!({ "name": "v2", "policy": open });
    let told = api.expect(403, mallory, ("POST", "/services/three/versions"), v2).text();
    assert!(told.contains("asks for the same"), "{told}");
    api.expect(200, mallory, ("PATCH", "/deployments/three%2Fhere"), json!({ "enabled": false }));

    // The way out.
    api.make(
        "/services",
        json!({ "name": "n", "hosts": ["api.example.com"], "paths": ["/orders/n"], "authentication": "none",
        "grants": { "i-deploy": ["deploy"] } }),
    );
    let n = json!({ "service": "n", "infrastructure": "here" });
    refused(("POST", "/deployments"), &n);
    let grant = |path: &str, privilege: &str| {
        api.expect(200, "key", ("PUT", path), json!({ "privileges": [privilege] }));
    };
    let [service, infrastructure] =
        ["/services/orders/grants/i-deploy", "/infrastructures/secretive/grants/i-deploy"];
    grant(service, "deploy");
    refused(("POST", "/deployments"), &n);
    grant(infrastructure, "view");
    let told = api.expect(403, mallory, ("POST", "/deployments"), n.clone()).text();
    assert!(told.contains("`orders/secretive`"), "{told}");
    grant(infrastructure, "deploy");
    api.expect(201, mallory, ("POST", "/deployments"), n);
}

#[test]
fn a_token_that_is_not_for_the_admin_api_opens_nothing_in_it() {
    let api = Api::start();
    let to = api.doorward.admin_address();
    let consumer = |id: Uuid, body: Value| {
        api.expect(200, "key", ("PUT", &format!("/consumers/{id}")), body);
    };
    consumer(STORED, json!({ "username": "stored" }));
    consumer(GONE, json!({ "username": "gone" }));
    api.expect(204, "key", ("DELETE", &format!("/consumers/{GONE}")), Value::Null);
    for (what, token) in &api.wrong {
        let reply = ask(to, token, "GET", "/services", b"");
        assert_eq!((reply.status, reply.code()), (401, "invalid_credential".to_owned()), "{what}");
    }
    // A consumer's other credentials are none here either.
    let (text, _) = key(&api.doorward, "stored", &[]);
    assert_eq!(ask(to, &text, "GET", "/services", b"").status, 401, "a key");

    let status = || ask(to, &api.stored, "GET", "/services", b"").status;
    assert_eq!(status(), 200, "the consumer is there");
    api.expect(200, "key", ("PATCH", &format!("/consumers/{STORED}")), json!({ "enabled": false }));
    assert_eq!(status(), 401, "disabled");
    api.expect(200, "key", ("PATCH", &format!("/consumers/{STORED}")), json!({ "enabled": true }));
    assert_eq!(status(), 200, "enabled again");
    api.expect(204, "key", ("DELETE", &format!("/consumers/{STORED}")), Value::Null);
    assert_eq!(status(), 401, "deleted");
}

/// A right that is taken away counts no longer, whatever the token says.
#[test]
fn groups_and_grants_are_those_of_now() {
    let api = Api::start();
    api.furnish();
    let read = |status: u16, caller: &str| {
        api.expect(status, caller, ("GET", "/services/shop"), Value::Null);
    };
    read(200, "s-read");
    api.expect(204, "key", ("DELETE", "/services/shop/grants/s-read"), Value::Null);
    read(404, "s-read");
    let stored = format!("/consumers/{STORED}");
    api.expect(200, "key", ("PUT", &stored), json!({ "username": "stored" }));
    let status = || ask(api.doorward.admin_address(), &api.stored, "GET", "/services/shop", b"").status;
    assert_eq!(status(), 404);
    api.expect(201, "key", ("POST", "/consumers/stored/acls"), json!({ "group": "s-write" }));
    assert_eq!(status(), 200);
    api.expect(204, "key", ("DELETE", "/consumers/stored/acls/s-write"), Value::Null);
    assert_eq!(status(), 404);
}
