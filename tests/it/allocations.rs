//! What a check takes from the heap: its answer, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use doorward::check::Checker;
use doorward::clock::Clock;
use doorward::config::load_text;
use doorward::domain::network::Networks;
use doorward::domain::request;
use doorward::domain::role::RoleGrant;
use doorward::domain::secret::{Kind, Secret};
use doorward::domain::time::Timestamp;
use doorward::domain::token::{AccessKey, Scope, Token};
use doorward::domain::verifier::{Pepper, Peppers};
use doorward::grpc::{render, view};
use doorward::replica::Replica;
use doorward::store::memory::Memory;
use doorward::store::record::{ConsumerRecord, KeyRecord, Membership};
use doorward::store::{Batch, Effect, Expect, Name, Step, Store, Table};
use doorward::telemetry::{Readiness, Telemetry};
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, address};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use prost::Message as _;
use uuid::Uuid;

const POLICY: &str = "
permissions: [{id: 01968c91-8789-7288-a337-f0e398711aac, name: read, description: d}]
services:
  - name: orders
    hosts: [api.example]
    paths: [/orders]
    authentication: {any: [{api_key: {bearer: true}}]}
    networks: {deny: [192.0.2.0/24]}
    groups: {allow: [gold]}
    rules: [{methods: [GET], paths: [/orders/mine], permissions: [read]}]
  - {name: cloud, hosts: [api.example], paths: [/cloud], authentication: {any: [token]}, rules: [{roles: [reader]}]}
roles: [{name: member, implies: [reader]}, {name: reader}]
projects: [{id: ca7f6c731a004091a32d4eb97ec17271, name: kakaocloud-project}]
";
const READ: Uuid = Uuid::from_u128(0x01968c91_8789_7288_a337_f0e398711aac);
const PROJECT: Uuid = Uuid::from_u128(0xca7f6c73_1a00_4091_a32d_4eb97ec17271);
const KEY: &str = "a-key-0123456789-abcdef";

fn token() -> String {
    let entropy = std::array::from_fn(|at| at as u8);
    Secret::generate(Kind::Token, &entropy).unwrap().0.expose().to_owned()
}

fn peppers() -> Peppers {
    Peppers::new(vec![Pepper::new(&[3; 32])])
}

async fn checker(telemetry: Telemetry) -> Checker {
    let (consumer, zero) = (Uuid::from_u128(1), Timestamp::from_unix(0));
    let alice = ConsumerRecord {
        id: consumer,
        username: Some("alice".into()),
        custom_id: Some("42".into()),
        tags: Vec::new(),
        email: None,
        groups: ["staff", "gold"]
            .map(|it| Membership::plain(&Uuid::nil(), it.into(), Timestamp::from_unix(0)))
            .into(),
        permissions: vec![READ],
        enabled: true,
        created_at: zero,
        updated_at: zero,
        roles: vec![RoleGrant { project: PROJECT, role: "member".into() }],
        networks: Networks::default(),
    };
    let access_key = AccessKey {
        id: Uuid::from_u128(4),
        consumer,
        name: "ci".into(),
        project: PROJECT,
        roles: vec!["member".into()],
        expires_at: None,
        enabled: true,
        created_at: zero,
    };
    let scope = Scope::Subject {
        access_key: access_key.id,
        project: PROJECT,
        roles: vec!["member".into()],
        passwords: Vec::new(),
    };
    let id = peppers().verifiers(token().as_bytes()).next().unwrap().id();
    let far = Timestamp::from_unix(i64::from(u32::MAX));
    let token = Token { id, consumer, scope, expires_at: far, created_at: zero };
    let key = KeyRecord {
        id: Uuid::from_u128(2),
        consumer,
        verifier: peppers().verifiers(KEY.as_bytes()).next().unwrap(),
        ring_key: 1,
        handle: None,
        tags: Vec::new(),
        not_before: None,
        expires_at: None,
        enabled: true,
        opens: None,
        permissions: Some(vec![READ]),
        created_at: zero,
        weak: false,
        networks: Networks::default(),
    };
    let put = |table, id: &Uuid, record| Step {
        table,
        name: Name::of(id),
        expect: Expect::Absent,
        effect: Effect::Put(record),
    };
    let steps = vec![
        put(Table::Consumer, &alice.id, alice.encode()),
        put(Table::Key, &key.id, key.encode()),
        put(Table::AccessKey, &access_key.id, access_key.encode()),
        put(Table::Token, &token.id, token.encode()),
    ];
    let store = Memory::new();
    store.write(Batch { operation: Uuid::from_u128(3), steps }).await.unwrap();
    let clock = Clock::system();
    let replica = Arc::new(Replica::load(&store, &clock).await.unwrap());
    let loaded = load_text(POLICY.to_owned()).unwrap_or_else(|faults| panic!("{faults}"));
    let catalog = loaded.config.catalog(&peppers()).unwrap_or_else(|faults| panic!("{faults}"));
    let catalog = Arc::new(ArcSwap::from_pointee(catalog));
    Checker::new(catalog, peppers(), replica, clock, Arc::new(telemetry))
}

fn telemetry() -> Telemetry {
    Telemetry::new(Clock::system(), Arc::new(Readiness::new()))
}

fn message(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":path", path),
        ("accept", "*/*"),
        ("cookie", "theme=dark; consent=yes"),
        ("user-agent", "a browser of some length, as they are"),
        ("x-forwarded-for", "203.0.113.9, 198.51.100.7"),
        ("x-request-id", "0190b3f2-7c1e-7c9a-9a52-0123456789ab"),
    ];
    let headers = usual.iter().chain(headers).map(|(name, value)| ((*name).into(), (*value).into()));
    let http = HttpRequest {
        method: "GET".into(),
        path: path.into(),
        host: "api.example".into(),
        headers: headers.collect::<HashMap<_, _>>(),
        ..HttpRequest::default()
    };
    let socket = SocketAddress { address: "198.51.100.7".into(), ..SocketAddress::default() };
    let address = Address { address: Some(address::Address::SocketAddress(socket)) };
    let attributes = AttributeContext {
        source: Some(Peer { address: Some(address), ..Peer::default() }),
        request: Some(Request { http: Some(http), time: None }),
        ..AttributeContext::default()
    };
    CheckRequest { attributes: Some(attributes) }.encode_to_vec()
}

/// The HTTP status that comes of a check, and how often it took memory once it is warm.
fn asked(checker: &Checker, message: &[u8]) -> (i32, u64) {
    let answer = || {
        let (mut scratch, mut request) = (Vec::new(), request::Request::default());
        view::read(message, &mut scratch, &mut request).unwrap();
        checker.check(&request, render::render)
    };
    let first = CheckResponse::decode(&answer()[5..]).unwrap();
    let status = match first.http_response {
        Some(HttpResponse::OkResponse(_)) => 200,
        Some(HttpResponse::DeniedResponse(denied)) => denied.status.unwrap().code,
        other => panic!("{other:?}"),
    };
    let mut last = None;
    let taken = allocation_counter::measure(|| last = Some(answer()));
    assert_eq!(taken.bytes_total, last.unwrap().len() as u64, "one block, of the answer's size");
    (status, taken.count_total)
}

#[tokio::test]
async fn a_cached_hit_allocates_only_its_answer() {
    costs_its_answer(&checker(telemetry()).await);
}

#[tokio::test]
async fn nor_does_one_that_has_no_line_in_the_log_where_decisions_with_a_line_are_kept() {
    let telemetry = telemetry();
    telemetry.set_sampling(0.0, 0);
    telemetry.set_recent(1 << 20);
    telemetry.set_followers(8);
    costs_its_answer(&checker(telemetry).await);
}

#[track_caller]
fn costs_its_answer(checker: &Checker) {
    for (path, headers, status) in [
        ("/orders/mine/1?limit=10&sort=up", &[("x-api-key", KEY)][..], 200),
        ("/orders/mine/1?limit=10", &[("authorization", &*format!("Bearer {KEY}"))][..], 200),
        ("/cloud", &[("x-auth-token", &*token())][..], 200),
        ("/cloud", &[("authorization", &*format!("Bearer {}", token()))][..], 200),
        ("/orders?limit=10&key=a-key-0123456789-abcdef", &[][..], 200),
        ("/orders", &[("x-api-key", "no-key-0123456789-abcdef")][..], 401),
        ("/orders", &[][..], 401),
        ("/elsewhere", &[("x-api-key", KEY)][..], 404),
    ] {
        assert_eq!(asked(checker, &message(path, headers)), (status, 1), "{path} {headers:?}");
    }
}
