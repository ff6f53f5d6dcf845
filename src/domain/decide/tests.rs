//! The decision's tables: one request, one word for what becomes of it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod issued;

use std::collections::HashMap;

use uuid::Uuid;

use super::*;
use crate::domain::authentication::{ApiKey, Claims, ConsumerBy, Jwt, KeyName, Method, Place};
use crate::domain::catalog::Parts;
use crate::domain::consumer::Given;
use crate::domain::credential::Challenge;
use crate::domain::denial::Unproven;
use crate::domain::deployment::{Mode, Opens, Reading, Rule};
use crate::domain::headers::{Mutations, mutate};
use crate::domain::issuer::{Issuer, Signer};
use crate::domain::jwt::Refused;
use crate::domain::request::{Body, Header, Headers, Route};
use crate::domain::step::Unwatched;
use crate::domain::verifier::Pepper;

const NOW: Timestamp = Timestamp::from_unix(1_000_000);
const ALICE: Uuid = Uuid::from_u128(1);
const GUEST: Uuid = Uuid::from_u128(2);
const MALLORY: Uuid = Uuid::from_u128(3);
const ORDERS: Uuid = Uuid::from_u128(10);
const READ: Uuid = Uuid::from_u128(20);
const WRITE: Uuid = Uuid::from_u128(21);

/// Keys known to the directory, by text, and what is special about each.
fn keys() -> HashMap<&'static str, KeyFacts> {
    let key = |number, consumer| KeyFacts {
        id: Uuid::from_u128(number),
        consumer,
        not_before: None,
        expires_at: None,
        enabled: true,
        opens: None,
        permissions: None,
        networks: None,
    };
    let at = |seconds| Some(Timestamp::from_unix(seconds));
    let opens = |service| Some(Arc::from([Opens { service, infrastructure: None }]));
    HashMap::from([
        ("alice-key-0000001", key(101, ALICE)),
        ("expired-key-00001", KeyFacts { expires_at: at(1_000_000), ..key(102, ALICE) }),
        ("last-second-key-1", KeyFacts { expires_at: at(1_000_001), ..key(103, ALICE) }),
        ("early-key-0000001", KeyFacts { not_before: at(1_000_001), ..key(104, ALICE) }),
        ("first-second-key1", KeyFacts { not_before: at(1_000_000), ..key(105, ALICE) }),
        ("disabled-key-0001", KeyFacts { enabled: false, ..key(106, ALICE) }),
        ("orphan-key-000001", key(107, Uuid::from_u128(99))),
        ("mallory-key-00001", key(108, MALLORY)),
        ("orders-key-000001", KeyFacts { opens: opens(ORDERS), ..key(109, ALICE) }),
        ("other-key-0000001", KeyFacts { opens: opens(Uuid::from_u128(11)), ..key(110, ALICE) }),
        ("closed-key-000001", KeyFacts { opens: Some(Arc::from([])), ..key(111, ALICE) }),
        ("reader-key-000001", KeyFacts { permissions: Some(Arc::from([READ])), ..key(112, ALICE) }),
        (
            "greedy-key-000001",
            KeyFacts { permissions: Some(Arc::from([Uuid::from_u128(22)])), ..key(113, ALICE) },
        ),
    ])
}

struct Memory {
    keys: HashMap<Verifier, KeyFacts>,
    consumers: HashMap<ConsumerId, Arc<Consumer>>,
    fault: Option<Fault>,
    tokens: HashMap<Uuid, Arc<Token>>,
    access_keys: HashMap<Uuid, Arc<AccessKey>>,
    sessions: HashMap<Uuid, (Arc<Session>, Timestamp)>,
    passwords: HashMap<ConsumerId, Mark>,
}

impl Directory for Memory {
    fn key_and_consumer(&self, verifier: &Verifier) -> Result<Option<Owned>, Fault> {
        let key = self.fault.map_or(Ok(()), Err).map(|()| self.keys.get(verifier).cloned())?;
        key.map(|key| Ok((key.clone(), self.consumer(key.consumer)?))).transpose()
    }

    fn consumer(&self, id: ConsumerId) -> Result<Option<Arc<Consumer>>, Fault> {
        Ok(self.consumers.get(&id).cloned())
    }

    fn consumer_by(&self, _: ConsumerBy, text: &str) -> Result<Option<Arc<Consumer>>, Fault> {
        Ok(self.consumers.values().find(|consumer| consumer.username.as_deref() == Some(text)).cloned())
    }

    fn signer(&self, _: &str) -> Result<Option<Arc<Signer>>, Fault> {
        Ok(None)
    }

    fn jwt(&self, _: &Arc<Issuer>, _: &[u8]) -> Result<Judged, Fault> {
        Ok(Judged::Refused(Refused::Signature))
    }

    fn token(&self, id: Uuid) -> Result<Option<Arc<Token>>, Fault> {
        self.fault.map_or(Ok(()), Err).map(|()| self.tokens.get(&id).cloned())
    }

    fn access_key(&self, id: Uuid) -> Result<Option<Arc<AccessKey>>, Fault> {
        Ok(self.access_keys.get(&id).cloned())
    }

    fn session(&self, id: Uuid) -> Result<Option<(Arc<Session>, Timestamp)>, Fault> {
        self.fault.map_or(Ok(()), Err).map(|()| self.sessions.get(&id).cloned())
    }

    fn account(&self, _: &str) -> Result<Option<Arc<Account>>, Fault> {
        Ok(None)
    }

    fn password(&self, _: Option<&Arc<Account>>, _: Login<'_>) -> Known {
        Known::Wrong
    }

    fn password_stands(&self, consumer: ConsumerId, mark: Mark) -> Result<bool, Fault> {
        Ok(self.passwords.get(&consumer) == Some(&mark))
    }
}

fn consumer(id: Uuid, username: &str, enabled: bool) -> (ConsumerId, Arc<Consumer>) {
    let consumer = Consumer {
        id,
        username: Some(username.into()),
        custom_id: None,
        given: Arc::new(Given {
            groups: vec!["gold".into(), "eu west".into()],
            permissions: vec![READ, WRITE],
            ..Given::default()
        }),
        enabled,
    };
    (id, Arc::new(consumer))
}

fn peppers() -> Peppers {
    Peppers::new(vec![Pepper::new(&[1; 32]), Pepper::new(&[2; 32])])
}

fn memory() -> Memory {
    // Some under each key of the ring: both must be found.
    let stored = keys()
        .into_iter()
        .enumerate()
        .map(|(index, (text, key))| (peppers().verifiers(text.as_bytes()).nth(index % 2).unwrap(), key));
    Memory {
        keys: stored.collect(),
        consumers: HashMap::from([
            consumer(ALICE, "alice", true),
            consumer(GUEST, "guest", true),
            consumer(MALLORY, "mallory", false),
        ]),
        fault: None,
        tokens: HashMap::new(),
        access_keys: HashMap::new(),
        sessions: HashMap::new(),
        passwords: HashMap::new(),
    }
}

fn name(name: &str, places: &[Place]) -> KeyName {
    KeyName { name: name.into(), header: name.to_lowercase(), places: places.to_vec() }
}

fn api_key() -> ApiKey {
    ApiKey {
        names: vec![
            name("apikey", &[Place::Header, Place::Query]),
            name("X-API-Key", &[Place::Header, Place::Query]),
            name("key", &[Place::Query]),
        ],
        bearer: false,
        hide: true,
        realm: None,
        preflight: true,
    }
}

fn any(methods: Vec<ApiKey>, anonymous: Option<ConsumerId>) -> Authentication {
    let methods = methods.into_iter().map(Method::ApiKey).collect();
    Authentication::Required { combine: Combine::Any, methods, anonymous }
}

fn catalog(authentication: Authentication) -> Catalog {
    let deployment = Deployment {
        stored: false,
        id: ORDERS,
        service: ORDERS,
        service_name: "orders".into(),
        infrastructure: None,
        hosts: vec!["api.example.com".into()],
        paths: vec!["/orders".into()],
        enabled: true,
        reading: Reading::Strict,
        policy: Policy {
            authentication: authentication.into(),
            networks: Arc::default(),
            groups: Arc::default(),
            rules: Vec::new(),
            mode: Mode::Enforce,
        },
    };
    Catalog::new(Parts { deployments: vec![deployment], ..Parts::default() }).unwrap()
}

/// `GET /orders?query` with header lines `name: value`.
fn request<'a>(target: &'a str, lines: &[&'a str]) -> Request<'a> {
    let mut request = Request {
        method: b"GET",
        target: target.as_bytes(),
        host: b"api.example.com",
        headers: Headers::default(),
        ..Request::default()
    };
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request.headers.push(Header { name: name.as_bytes(), value: value.as_bytes() });
    }
    request
}

/// `alice`, `anonymous guest`, `nobody`, a denial's code with its reason, or `fault`.
fn outcome(catalog: &Catalog, memory: &Memory, request: &Request<'_>) -> String {
    let peppers = peppers();
    let world = World { catalog, peppers: &peppers, directory: memory, now: NOW };
    let username = |consumer: &Consumer| consumer.username.as_deref().unwrap_or_default().to_owned();
    match decide(world, request, &mut Unwatched).verdict {
        Ok(Verdict::Allow(grant)) => match &grant.principal {
            Principal::Nobody => "nobody".into(),
            Principal::Anonymous(consumer) => format!("anonymous {}", username(consumer)),
            Principal::Proven { consumer, .. } => username(consumer),
        },
        Ok(Verdict::Deny(denial)) => match denial.why() {
            Some(why) if matches!(denial, Denial::InvalidCredential { .. }) => {
                format!("{}: {why}", denial.notice().code)
            }
            _ => denial.notice().code.into(),
        },
        Err(_) => "fault".into(),
    }
}

#[track_caller]
fn check(authentication: Authentication, target: &str, lines: &[&str], expected: &str) {
    let found = outcome(&catalog(authentication), &memory(), &request(target, lines));
    assert_eq!(found, expected, "{target} {lines:?}");
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn the_first_door_that_is_shut_names_the_denial() {
    let check = |target, lines: &[&str], expected| check(any(vec![api_key()], None), target, lines, expected);
    check("/orders",                          &["apikey: alice-key-0000001"],   "alice");
    check("/orders/7?apikey=alice-key-0000001", &[],                            "alice");
    check("/orders",                          &["x-api-key: alice-key-0000001"], "alice");
    check("/orders?key=alice-key-0000001",    &[],                              "alice");
    check("/orders",                          &[],                              "missing_credential");
    check("/orders",                          &["apikey: "],                    "missing_credential");
    check("/orders",                          &["key: alice-key-0000001"],      "missing_credential");
    check("/orders",                          &["apikey: nobodys-key-0001"],    "invalid_credential: unknown");
    check("/orders",                          &["apikey: with blank"],          "invalid_credential: malformed");
    check("/orders",                          &["apikey: dw_key_short"],        "invalid_credential: malformed");
    check("/orders",                          &["apikey: expired-key-00001"],   "invalid_credential: expired");
    check("/orders",                          &["apikey: last-second-key-1"],   "alice");
    check("/orders",                          &["apikey: early-key-0000001"],   "invalid_credential: not_yet_valid");
    check("/orders",                          &["apikey: first-second-key1"],   "alice");
    check("/orders",                          &["apikey: disabled-key-0001"],   "invalid_credential: disabled");
    check("/orders",                          &["apikey: orphan-key-000001"],   "invalid_credential: consumer_unknown");
    check("/orders",                          &["apikey: mallory-key-00001"],   "invalid_credential: consumer_disabled");
    check("/orders",                          &["apikey: orders-key-000001"],   "alice");
    check("/orders",                          &["apikey: other-key-0000001"],   "service_denied");
    check("/orders",                          &["apikey: closed-key-000001"],   "service_denied");
    check("/invoices",                        &["apikey: alice-key-0000001"],   "unknown_service");
    check("/ordersx",                         &["apikey: alice-key-0000001"],   "unknown_service");
    check("/orders/../x",                     &["apikey: alice-key-0000001"],   "ambiguous_path");
    check("",                                 &["apikey: alice-key-0000001"],   "malformed_request");
}

#[test]
#[rustfmt::skip]
fn names_are_the_outer_loop_and_places_the_inner_one() {
    let check = |target, lines: &[&str], expected| check(any(vec![api_key()], None), target, lines, expected);
    check("/orders?apikey=alice-key-0000001", &["apikey: "],                    "missing_credential");
    check("/orders?apikey=alice-key-0000001", &["apikey: nobodys-key-0001"],    "invalid_credential: unknown");
    check("/orders?apikey=nobodys-key-0001",  &["x-api-key: alice-key-0000001"], "invalid_credential: unknown");
    check("/orders?apikey",                   &["x-api-key: alice-key-0000001"], "alice");
    check("/orders?apikey=1&apikey=2",        &["apikey: alice-key-0000001"],   "alice");
}

#[test]
#[rustfmt::skip]
fn a_second_credential_in_one_place_is_refused_equal_or_not() {
    let check = |target, lines: &[&str], expected| check(any(vec![api_key()], None), target, lines, expected);
    let good = "apikey: alice-key-0000001";
    check("/orders", &[good, "apikey: nobodys-key-0001"],               "duplicate_credential");
    check("/orders", &["apikey: nobodys-key-0001", good],               "duplicate_credential");
    check("/orders", &[good, good],                                     "duplicate_credential");
    check("/orders", &["apikey: alice-key-0000001,alice-key-0000001"],  "duplicate_credential");
    check("/orders?apikey=alice-key-0000001&apikey=alice-key-0000001", &[], "duplicate_credential");
}

#[test]
fn a_name_in_percent_escapes_is_refused_wherever_the_good_key_stands() {
    let check =
        |target, lines: &[&str]| check(any(vec![api_key()], None), target, lines, "malformed_request");
    check("/orders?api%6bey=alice-key-0000001", &[]);
    check("/orders?api%6bey=alice-key-0000001", &["apikey: alice-key-0000001"]);
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn no_method_of_a_deployment_lets_another_ones_disguised_credential_through() {
    let header = || ApiKey { names: vec![name("apikey", &[Place::Header])], preflight: false, ..api_key() };
    let jwt = || Jwt {
        issuer: "accounts".into(),
        bearer: true,
        cookies: Vec::new(),
        query: vec!["token".into(), "jwt".into()],
        hide: true,
        claims: Claims::default(),
    };
    let check = |combine, anonymous, target, line: &str, expected| {
        let methods = vec![Method::ApiKey(header()), Method::Jwt(jwt())];
        check(Authentication::Required { combine, methods, anonymous }, target, &[line], expected);
    };
    let (good, bad) = ("apikey: alice-key-0000001", "apikey: nobodys-key-0001");
    check(Combine::Any, None,        "/orders?jwt=a.b.c",       good, "alice");
    check(Combine::Any, None,        "/orders?x=j%77t&y=a+b",   good, "alice");
    check(Combine::Any, None,        "/orders?api%6bey=x",      good, "alice");
    check(Combine::Any, None,        "/orders?j%77t=a.b.c",     good, "malformed_request");
    check(Combine::Any, None,        "/orders?x=1&tok%65n",     good, "malformed_request");
    check(Combine::Any, Some(GUEST), "/orders?j%77t=a.b.c",     bad,  "malformed_request");
    check(Combine::Any, None,        "/orders?j%77t=a.b.c",     bad,  "malformed_request");
    check(Combine::All, None,        "/orders?j%77t=a.b.c",     good, "malformed_request");
}

#[test]
#[rustfmt::skip]
fn a_bearer_key_is_read_by_its_form() {
    let bearer = || ApiKey { bearer: true, ..api_key() };
    let check = |lines: &[&str], expected| check(any(vec![bearer()], None), "/orders", lines, expected);
    check(&["authorization: Bearer alice-key-0000001"],       "alice");
    check(&["authorization: bearer alice-key-0000001"],       "alice");
    check(&["authorization: Bearer a.b.c"],                   "missing_credential");
    check(&["authorization: Basic YWxpY2U6eA=="],             "missing_credential");
    check(&["authorization: Bearer one,Bearer two"],          "duplicate_credential");
    check(&["authorization: Bearer nobodys-key-0001"],        "invalid_credential: unknown");
}

#[test]
fn a_bearer_challenge_says_what_was_wrong_with_the_token_and_nothing_where_there_was_none() {
    let method = Method::ApiKey(ApiKey { bearer: true, realm: Some("Orders".into()), ..api_key() });
    let challenges = |denial| {
        let challenges = method.challenges(&denial);
        challenges.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(challenges(Denial::MissingCredential), ["Key realm=\"Orders\"", "Bearer realm=\"Orders\""]);
    let invalid = challenges(Denial::InvalidCredential { why: Unproven::Unknown });
    assert_eq!(invalid[1], "Bearer realm=\"Orders\", error=\"invalid_token\"");
    let shown = |realm, error| Challenge { scheme: "Key", realm, error }.to_string();
    assert_eq!(shown(Some("a \\ \"b\""), None), "Key realm=\"a \\\\ \\\"b\\\"\"");
    assert_eq!(shown(None, Some("invalid_request")), "Key error=\"invalid_request\"");
    assert_eq!(shown(None, None), "Key");
}

#[test]
#[rustfmt::skip]
fn an_anonymous_consumer_catches_every_failure_to_prove_and_nothing_else() {
    let check = |target, lines: &[&str], expected| check(any(vec![api_key()], Some(GUEST)), target, lines, expected);
    check("/orders",                   &[],                                      "anonymous guest");
    check("/orders",                   &["apikey: nobodys-key-0001"],            "anonymous guest");
    check("/orders",                   &["apikey: a-key,another-key"],           "anonymous guest");
    check("/orders",                   &["apikey: alice-key-0000001"],           "alice");
    check("/orders",                   &["apikey: other-key-0000001"],           "service_denied");
    check("/orders/..",                &[],                                      "ambiguous_path");
    check("/orders?api%6bey=x",        &[],                                      "malformed_request");
}

#[test]
fn an_anonymous_consumer_that_does_not_exist_is_our_mistake_and_one_switched_off_is_none() {
    let absent = Uuid::from_u128(77);
    check(any(vec![api_key()], Some(absent)), "/orders", &[], "internal");
    check(any(vec![api_key()], Some(MALLORY)), "/orders", &[], "missing_credential");
}

#[test]
#[rustfmt::skip]
fn any_takes_the_first_that_proves_and_all_takes_every_one() {
    let second = || ApiKey { names: vec![name("second", &[Place::Header])], ..api_key() };
    let both = |combine| Authentication::Required {
        combine,
        methods: vec![Method::ApiKey(api_key()), Method::ApiKey(second())],
        anonymous: None,
    };
    let good = "apikey: alice-key-0000001";
    check(both(Combine::Any), "/orders", &["second: alice-key-0000001"],        "alice");
    check(both(Combine::Any), "/orders", &["second: nobodys-key-0001"],         "invalid_credential: unknown");
    check(both(Combine::Any), "/orders", &["apikey: nobodys-key-0001", "second: alice-key-0000001"], "alice");
    check(both(Combine::Any), "/orders", &[],                                   "missing_credential");
    check(both(Combine::All), "/orders", &[good],                               "missing_credential");
    check(both(Combine::All), "/orders", &[good, "second: alice-key-0000001"],  "alice");
    check(both(Combine::All), "/orders", &[good, "second: other-key-0000001"],  "service_denied");
    check(both(Combine::All), "/orders", &["apikey: other-key-0000001", "second: alice-key-0000001"], "service_denied");
}

#[test]
fn what_all_methods_proved_was_used_and_not_only_what_names_the_caller() {
    let second = ApiKey { names: vec![name("second", &[Place::Header])], ..api_key() };
    let authentication = |combine| Authentication::Required {
        combine,
        methods: vec![Method::ApiKey(api_key()), Method::ApiKey(second.clone())],
        anonymous: None,
    };
    let besides = |combine| {
        let (catalog, memory, peppers) = (catalog(authentication(combine)), memory(), peppers());
        let world = World { catalog: &catalog, peppers: &peppers, directory: &memory, now: NOW };
        let lines = ["apikey: alice-key-0000001", "second: alice-key-0000001"];
        let Ok(Verdict::Allow(grant)) = decide(world, &request("/orders", &lines), &mut Unwatched).verdict
        else {
            panic!("alice has both keys")
        };
        let named: Vec<_> = grant.besides.iter().map(Principal::credential).collect();
        (named == vec![grant.principal.credential(); named.len()]).then_some(named.len())
    };
    assert_eq!(besides(Combine::All), Some(1));
    assert_eq!(besides(Combine::Any), Some(0));
}

#[test]
fn a_preflight_is_checked_unless_the_method_says_otherwise() {
    let options = |preflight| {
        let catalog = catalog(any(vec![ApiKey { preflight, ..api_key() }], None));
        let request = Request { method: b"OPTIONS", ..request("/orders", &[]) };
        outcome(&catalog, &memory(), &request)
    };
    assert_eq!(options(true), "missing_credential");
    assert_eq!(options(false), "nobody");
}

#[test]
fn a_lease_that_ran_out_is_a_fault_and_never_an_anonymous_caller() {
    let memory = Memory { fault: Some(Fault::LeaseExpired), ..memory() };
    let check = |authentication, lines: &[&str], expected: &str| {
        assert_eq!(outcome(&catalog(authentication), &memory, &request("/orders", lines)), expected);
    };
    check(any(vec![api_key()], Some(GUEST)), &["apikey: nobodys-key-0001"], "fault");
    check(any(vec![api_key()], None), &["apikey: dw_key_broken"], "invalid_credential: malformed");
    check(any(vec![api_key()], None), &[], "missing_credential");
    check(Authentication::None, &[], "nobody");
}

#[test]
fn a_key_in_a_body_is_read_from_a_whole_body_alone() {
    let method = || ApiKey { names: vec![name("apikey", &[Place::Body])], ..api_key() };
    let posted = |body| {
        let request = Request {
            method: b"POST",
            body,
            ..request("/orders", &["content-type: application/x-www-form-urlencoded"])
        };
        outcome(&catalog(any(vec![method()], None)), &memory(), &request)
    };
    assert_eq!(posted(Body::Whole(b"apikey=alice-key-0000001&x=1")), "alice");
    assert_eq!(posted(Body::Partial), "missing_credential");
    assert_eq!(posted(Body::Absent), "missing_credential");
}

#[test]
fn a_route_names_its_service_whatever_the_host() {
    let catalog = catalog(any(vec![api_key()], None));
    let named = |service: &'static [u8], infrastructure: Option<&'static [u8]>| {
        let route = Route { service: Some(service), infrastructure };
        let request = Request { host: b"else.example", route, ..request("/elsewhere", &[]) };
        outcome(&catalog, &memory(), &request)
    };
    assert_eq!(named(b"orders", None), "missing_credential");
    assert_eq!(named(b"orders", Some(b"staging")), "unknown_service");
    assert_eq!(named(b"nothing", None), "unknown_service");
}

fn mutations(
    authentication: Authentication,
    target: &str,
    lines: &[&str],
    use_it: impl FnOnce(Mutations<'_>),
) {
    let (catalog, memory, peppers) = (catalog(authentication), memory(), peppers());
    let request = request(target, lines);
    let world = World { catalog: &catalog, peppers: &peppers, directory: &memory, now: NOW };
    let decided = decide(world, &request, &mut Unwatched);
    let Ok(Verdict::Allow(grant)) = decided.verdict else { panic!("{:?}", decided.verdict) };
    let query = decided.trail.query();
    use_it(mutate(&grant, &catalog, &request, query).unwrap());
}

#[test]
fn every_identity_header_is_set_or_removed_and_never_both() {
    let lines = [
        "apikey: reader-key-000001",
        "x_consumer_id: evil",
        "X.Consumer-Groups: evil",
        "x-consumer-id: evil",
    ];
    mutations(any(vec![api_key()], None), "/orders", &lines, |mutations| {
        let value =
            |name| mutations.set.iter().find(|(set, _)| *set == name).map(|(_, value)| value.to_string());
        let set = |name| value(name).unwrap_or_default();
        let removed = |name: &str| mutations.remove.iter().any(|removed| removed == name);
        assert_eq!(set("x-consumer-id"), ALICE.to_string());
        assert_eq!(set("x-consumer-groups"), "gold, eu%20west");
        assert_eq!(set("x-permissions"), READ.to_string(), "the key was given less");
        assert!(removed("x-anonymous-consumer") && removed("x-consumer-custom-id") && removed("x-roles"));
        assert!(removed("x_consumer_id") && removed("X.Consumer-Groups"), "look-alikes go");
        assert!(!removed("x-consumer-id"), "what is set is not removed");
        assert!(removed("apikey") && removed("x-api-key"), "credentials stay here");
        assert!(mutations.remove_query.is_empty(), "nothing to take out, so the query stays as it is");
    });
}

#[test]
fn cookies_of_every_method_leave_the_one_header_together() {
    let method = |cookie| ApiKey { names: vec![name(cookie, &[Place::Cookie])], ..api_key() };
    let both = || any(vec![method("one"), method("two")], None);
    let lines = ["cookie: one=alice-key-0000001; theme=dark; two=alice-key-0000001"];
    mutations(both(), "/orders", &lines, |mutations| {
        let cookies = mutations.set.iter().filter(|(name, _)| *name == "cookie");
        assert_eq!(cookies.map(|(_, value)| value.to_string()).collect::<Vec<_>>(), ["theme=dark"]);
    });
    mutations(both(), "/orders", &["cookie: one=alice-key-0000001; two=alice-key-0000001"], |mutations| {
        assert!(!mutations.set.iter().any(|(name, _)| *name == "cookie"));
        assert!(mutations.remove.iter().any(|name| name == "cookie"));
    });
}

#[test]
fn a_key_never_has_more_permissions_than_its_consumer() {
    mutations(any(vec![api_key()], None), "/orders", &["apikey: greedy-key-000001"], |mutations| {
        assert!(!mutations.set.iter().any(|(name, _)| *name == "x-permissions"));
        assert!(mutations.remove.iter().any(|name| name == "x-permissions"));
    });
}

#[test]
fn nobody_and_anonymous_callers_bring_no_identity_along() {
    mutations(Authentication::None, "/orders", &["x-consumer-id: evil"], |mutations| {
        assert!(mutations.set.is_empty());
        assert!(mutations.remove.iter().any(|name| name == "x-consumer-id"));
    });
    mutations(any(vec![api_key()], Some(GUEST)), "/orders?apikey=wrong", &[], |mutations| {
        let names: Vec<&str> = mutations.set.iter().map(|(name, _)| *name).collect();
        assert!(names.contains(&"x-anonymous-consumer") && !names.contains(&"x-credential-identifier"));
        assert_eq!(*mutations.remove_query, ["apikey"], "a wrong key is hidden too");
    });
}

#[test]
fn where_the_asker_shows_only_some_headers_every_spelling_is_removed() {
    let (catalog, memory, peppers) = (catalog(Authentication::None), memory(), peppers());
    let request = Request { filtered: true, ..request("/orders", &[]) };
    let world = World { catalog: &catalog, peppers: &peppers, directory: &memory, now: NOW };
    let Ok(Verdict::Allow(grant)) = decide(world, &request, &mut Unwatched).verdict else { panic!() };
    let mutations = mutate(&grant, &catalog, &request, None).unwrap();
    for spelling in ["x_consumer_id", "x-consumer_id", "x.consumer.id", "x_roles", "x_consumer-custom.id"] {
        assert!(mutations.remove.iter().any(|name| name == spelling), "{spelling}");
    }
}

#[test]
fn a_rule_of_several_readings_is_asked_once_and_in_written_order() {
    let rule = |paths: &[&str], groups: &[&str], permissions: &[Uuid]| Rule {
        paths: paths.iter().map(|path| (*path).into()).collect(),
        groups: groups.iter().map(|group| (*group).into()).collect(),
        permissions: permissions.to_vec(),
        ..Rule::default()
    };
    // Resolved, the path is the second rule's alone; as it is written, also the first's.
    let mut deployment = catalog(any(vec![api_key()], None)).deployments()[0].clone();
    deployment.reading = Reading::Resolve;
    deployment.policy.rules =
        vec![rule(&["/orders/a"], &["silver"], &[]), rule(&["/orders/b", "/orders/a"], &[], &[ORDERS])];
    let catalog = Catalog::new(Parts { deployments: vec![deployment], ..Parts::default() }).unwrap();
    let (memory, peppers) = (memory(), peppers());
    let world = World { catalog: &catalog, peppers: &peppers, directory: &memory, now: NOW };
    let check = |target, expected: &[usize], denial| {
        let mut steps = Vec::new();
        let decided = decide(world, &request(target, &["apikey: alice-key-0000001"]), &mut steps);
        let asked = steps.iter().filter_map(|step| match step {
            Step::Rule { index, .. } => Some(*index),
            _ => None,
        });
        assert_eq!(asked.collect::<Vec<_>>(), expected, "{target}");
        assert!(matches!(decided.verdict, Ok(Verdict::Deny(found)) if found == denial), "{target}");
    };
    check("/orders/b", &[1], Denial::PermissionDenied);
    check("/orders/b//c", &[1], Denial::PermissionDenied);
    check("/orders/a/../b", &[0], Denial::GroupDenied);
    check("/orders/b/../a", &[0], Denial::GroupDenied);
}
