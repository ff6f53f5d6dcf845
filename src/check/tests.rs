#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use uuid::Uuid;

use super::*;
use crate::clock::Hand;
use crate::config;
use crate::domain::jwt::{ADMIN_AUDIENCE, EVERY_SERVICE};
use crate::domain::request::{Body, Header};
use crate::domain::rights::Caller;
use crate::explain::{Account, Description, explain};
use crate::issue::{By, NewConsumer, Registrar};
use crate::store::memory::Memory;
use crate::store::ring::Ring;
use crate::telemetry::Readiness;

const POLICY: &str = r#"
public_url: https://auth.example.com
services:
  - {name: orders, paths: [/orders], authentication: {any: [jwt: {issuer: doorward}]}}
  - {name: watched, paths: [/watched], mode: shadow, authentication: {any: [jwt: {issuer: doorward}]}}
  - {name: stock, paths: [/stock], authentication: {any: [jwt: {issuer: doorward}]}}
  - {name: both, paths: [/both], authentication: {all: [jwt: {issuer: doorward}, jwt: {issuer: doorward, cookies: [second], bearer: false}]}}
"#;

/// Doorward's own tokens, from the mint to the decision.
struct Mint {
    store: Arc<Memory>,
    catalog: Arc<ArcSwap<Catalog>>,
    registrar: Registrar,
    clock: Clock,
    hand: Hand,
    peppers: Peppers,
}

impl Mint {
    fn new() -> Self {
        let ring = format!("1 {}", "1f2e".repeat(16));
        let ring = Arc::new(Ring::parse(Path::new("ring"), ring.as_bytes()).unwrap());
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
        let loaded = config::load_text(POLICY.to_owned()).unwrap_or_else(|faults| panic!("{faults}"));
        let peppers = ring.peppers();
        let catalog = Arc::new(ArcSwap::from_pointee(loaded.config.catalog(&peppers).unwrap()));
        let store = Arc::new(Memory::new());
        let registrar = Registrar::new(Arc::clone(&store) as _, ring, clock.clone(), Arc::clone(&catalog))
            .with_public_url(Some("https://auth.example.com".into()));
        Self { store, catalog, registrar, clock, hand, peppers }
    }

    /// With keys to sign with, and a consumer.
    async fn with_alice() -> (Self, Uuid) {
        let mint = Self::new();
        mint.registrar.tend_signing_keys().await.unwrap();
        let new = NewConsumer { username: Some("alice".into()), ..NewConsumer::default() };
        let alice =
            mint.registrar.create_consumer(&By::new(Caller::Socket, None), new).await.unwrap().value.id;
        (mint, alice)
    }

    async fn token(&self, consumer: Uuid, audiences: &[&str]) -> String {
        let audiences: Vec<_> = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        self.registrar.mint(consumer, &audiences, Duration::from_secs(3_600)).await.unwrap().token
    }

    /// What becomes of a request, as the store stands now.
    async fn ask(&self, target: &str, token: &str) -> Account {
        let replica = Replica::load(&*self.store, &self.clock).await.unwrap();
        let telemetry = Arc::new(Telemetry::new(self.clock.clone(), Arc::new(Readiness::new())));
        let (catalog, peppers) = (Arc::clone(&self.catalog), self.peppers.clone());
        let checker = Checker::new(catalog, peppers, Arc::new(replica), self.clock.clone(), telemetry);
        let headers = [("authorization", format!("Bearer {token}")), ("cookie", format!("second={token}"))];
        let description = Description {
            host: Some("api.example".into()),
            target: Some(target.into()),
            headers: Some(headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ..Description::default()
        };
        explain(&checker, &description.understood().unwrap_or_else(|wrong| panic!("{wrong}")))
    }

    #[track_caller]
    fn is(account: &Account, expected: Option<&str>) {
        let verdict = if expected.is_some() { "deny" } else { "allow" };
        assert_eq!((account.verdict, account.why), (verdict, expected));
    }
}

#[tokio::test]
async fn a_token_of_ours_opens_the_services_it_is_for_while_its_consumer_may() {
    let mint = Mint::new();
    Mint::is(&mint.ask("/orders", "a.b.c").await, Some("jwt_unknown_key"));
    mint.registrar.tend_signing_keys().await.unwrap();
    let new = NewConsumer { username: Some("alice".into()), ..NewConsumer::default() };
    let alice = mint.registrar.create_consumer(&By::new(Caller::Socket, None), new).await.unwrap().value.id;
    let orders = mint.catalog.load().opens("orders").unwrap().service.to_string();

    let all = mint.token(alice, &[EVERY_SERVICE]).await;
    let account = mint.ask("/orders", &all).await;
    Mint::is(&account, None);
    Mint::is(&mint.ask("/stock", &all).await, None);
    Mint::is(&mint.ask("/both", &all).await, None);
    let one = mint.token(alice, &[&orders]).await;
    Mint::is(&mint.ask("/orders", &one).await, None);
    Mint::is(&mint.ask("/stock", &one).await, Some("other_service"));
    for elsewhere in [ADMIN_AUDIENCE, "orders", "ALL", ""] {
        let token = mint.token(alice, &[elsewhere]).await;
        Mint::is(&mint.ask("/orders", &token).await, Some("other_service"));
    }
    let nobody = mint.token(Uuid::from_u128(7), &[EVERY_SERVICE]).await;
    Mint::is(&mint.ask("/orders", &nobody).await, Some("consumer_unknown"));

    mint.registrar.rotate_signing_keys(&By::new(Caller::Socket, None), true).await.unwrap();
    Mint::is(&mint.ask("/orders", &all).await, None);
    mint.registrar.rotate_signing_keys(&By::new(Caller::Socket, None), true).await.unwrap();
    Mint::is(&mint.ask("/orders", &all).await, None);
    mint.hand.advance(Duration::from_secs(3_630));
    Mint::is(&mint.ask("/orders", &all).await, Some("jwt_expired"));
}

#[tokio::test]
async fn the_steps_that_are_kept_fit_to_the_answer_before_and_after_a_token_is_remembered() {
    let (mint, alice) = Mint::with_alice().await;
    let value = format!("Bearer {}", mint.token(alice, &[EVERY_SERVICE]).await);
    let replica = Arc::new(Replica::load(&*mint.store, &mint.clock).await.unwrap());
    let telemetry = Arc::new(Telemetry::new(mint.clock.clone(), Arc::new(Readiness::new())));
    telemetry.set_recent(1 << 20);
    telemetry.set_sampling(1.0, 1000);
    let issuers = Issuers::new(mint.clock.clone(), Arc::clone(&telemetry), None, 1 << 20);
    let pool = Pool::start(1, 8, Arc::clone(&telemetry)).unwrap();
    let (catalog, peppers) = (Arc::clone(&mint.catalog), mint.peppers.clone());
    let checker = Checker::new(catalog, peppers, replica, mint.clock.clone(), Arc::clone(&telemetry))
        .with_issuers(Arc::new(issuers), pool);
    let kept = async |id: &str, body: &[u8]| {
        let request = Request {
            method: b"POST",
            target: b"/orders",
            host: b"api.example",
            headers: [Header { name: b"authorization", value: value.as_bytes() }].into_iter().collect(),
            id: id.as_bytes(),
            body: Body::Whole(body),
            ..Request::default()
        };
        if let Err(work) = checker.attempt(&request, &[], |_| ()) {
            let done = checker.verify(work).unwrap().done().await.unwrap();
            assert!(checker.attempt(&request, &[done], |_| ()).is_ok(), "{id}");
        }
        let [account] = &telemetry.recent().of(id)[..] else { panic!("one decision of {id}") };
        let account: serde_json::Value = serde_json::from_str(account).unwrap();
        account["steps"].as_array().unwrap().clone()
    };
    let proven = |steps: &[serde_json::Value]| {
        let step = steps.iter().find(|step| step["step"] == "credential");
        step.unwrap_or_else(|| panic!("{steps:?}"))["outcome"].clone()
    };
    for id in ["first", "second"] {
        assert_eq!(proven(&kept(id, b"").await), "open", "{id}");
    }
    mint.hand.advance(Duration::from_secs(3_600 + 61));
    for id in ["third", "fourth", "fifth"] {
        assert_eq!(proven(&kept(id, b"").await)["shut"], "jwt_expired", "{id}");
    }
    // A large one is not looked at twice.
    let steps = kept("large", &[b'x'; 1 << 20]).await;
    assert_eq!(steps, ["no steps are kept of a request whose path and body are longer than 16 KiB"]);
}

#[tokio::test]
async fn a_signature_is_verified_elsewhere_and_the_check_decided_again() {
    let (mint, alice) = Mint::with_alice().await;
    let token = mint.token(alice, &[EVERY_SERVICE]).await;
    let replica = Arc::new(Replica::load(&*mint.store, &mint.clock).await.unwrap());
    let telemetry = Arc::new(Telemetry::new(mint.clock.clone(), Arc::new(Readiness::new())));
    let (catalog, peppers) = (Arc::clone(&mint.catalog), mint.peppers.clone());
    let issuers = Issuers::new(mint.clock.clone(), Arc::clone(&telemetry), None, 1 << 20);
    let pool = Pool::start(1, 8, Arc::clone(&telemetry)).unwrap();
    let checker = Checker::new(catalog, peppers, replica, mint.clock.clone(), telemetry)
        .with_issuers(Arc::new(issuers), pool);
    let at = |target: &str, token: &str, done: &[Done]| {
        let value = format!("Bearer {token}");
        let request = Request {
            method: b"GET",
            target: target.as_bytes(),
            host: b"api.example",
            headers: [Header { name: b"authorization", value: value.as_bytes() }].into_iter().collect(),
            ..Request::default()
        };
        checker.attempt(&request, done, |decision| {
            let told = (decision.metadata.service.map(str::to_owned), decision.metadata.code);
            (matches!(decision.outcome, Outcome::Allow(_)), told)
        })
    };
    let ask = |token: &str, done: &[Done]| at("/orders", token, done).map(|(passes, _)| passes);
    let Err(work) = ask(&token, &[]) else { panic!("nobody has verified it") };
    let done = checker.verify(work).unwrap().done().await.unwrap();
    assert_eq!(ask(&token, &[done]).ok(), Some(true));
    assert_eq!(ask(&token, &[]).ok(), Some(true), "it is remembered");
    // What was verified for one token says nothing of another.
    let Err(work) = ask(&mint.token(alice, &[EVERY_SERVICE]).await, &[]) else { panic!("another one") };
    let done = checker.verify(work).unwrap().done().await.unwrap();
    let third = mint.token(alice, &[EVERY_SERVICE]).await;
    assert!(ask(&third, std::slice::from_ref(&done)).is_err());
    // What is given up is denied, and what needs nothing more is decided as ever.
    let given_up = || Done::GivenUp(Denial::Overloaded);
    assert_eq!(ask(&third, &[given_up()]).ok(), Some(false));
    assert_eq!(ask(&third, &[done, given_up()]).ok(), Some(false));
    assert_eq!(ask(&token, &[given_up()]).ok(), Some(true));
    // It is denied as what was asked for, which may only be watched.
    for (target, service, passes) in [("/orders", "orders", false), ("/watched", "watched", true)] {
        let Ok((passed, told)) = at(target, &third, &[given_up()]) else { panic!("{target}") };
        assert_eq!((passed, told), (passes, (Some(service.to_owned()), Some("overloaded"))));
    }
}

#[tokio::test]
async fn what_was_decided_without_a_signature_is_kept_with_the_step_that_waited_for_it() {
    let (mint, alice) = Mint::with_alice().await;
    let token = mint.token(alice, &[EVERY_SERVICE]).await;
    let replica = Arc::new(Replica::load(&*mint.store, &mint.clock).await.unwrap());
    let telemetry = Arc::new(Telemetry::new(mint.clock.clone(), Arc::new(Readiness::new())));
    telemetry.set_recent(1 << 20);
    telemetry.set_sampling(1.0, 1000);
    let (catalog, peppers) = (Arc::clone(&mint.catalog), mint.peppers.clone());
    let checker = Checker::new(catalog, peppers, replica, mint.clock.clone(), Arc::clone(&telemetry));
    let value = format!("Bearer {token}");
    let ask = |id: &'static str, done: &[Done]| {
        let request = Request {
            method: b"GET",
            target: b"/orders",
            host: b"api.example",
            headers: [Header { name: b"authorization", value: value.as_bytes() }].into_iter().collect(),
            id: id.as_bytes(),
            ..Request::default()
        };
        checker.attempt(&request, done, |decision| decision.metadata.code)
    };
    let kept = |id: &str| {
        let [account] = &telemetry.recent().of(id)[..] else { panic!("one decision of {id}") };
        let account: serde_json::Value = serde_json::from_str(account).unwrap();
        let steps = account["steps"].as_array().unwrap();
        let said = steps.iter().map(|step| step["said"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        (account["code"].clone(), said)
    };
    let Err(work) = ask("first", &[]) else { panic!("nobody has verified it") };
    assert!(telemetry.recent().of("first").is_empty(), "nothing was decided");

    assert_eq!(ask("second", &[Done::GivenUp(Denial::Deadline)]).ok(), Some(Some("deadline")));
    let (code, said) = kept("second");
    assert_eq!(code, "deadline");
    assert_eq!(said.last().unwrap(), "jwt: a token: SHUT: a signature that was not verified");

    let done = checker.verify(work).unwrap().done().await.unwrap();
    assert_eq!(ask("third", &[done]).ok(), Some(None));
    let (code, said) = kept("third");
    assert!(code.is_null() && said.iter().any(|step| step.contains(" of alice (")), "{code} {said:?}");
}

/// Whoever keeps an issuer away for `max_stale` would choose who gets in, were `failure_mode_allow` asked.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_too_old_are_a_plain_denial_and_those_that_never_came_are_not() {
    let server = issuers::tests::Server::start().await;
    let key = issuers::tests::key("a");
    let policy = format!(
        r#"
issuers:
  accounts: {{issuer: "https://accounts.example", audiences: [orders], algorithms: [EdDSA], jwks_url: "{}"}}
services: [{{name: orders, authentication: {{any: [jwt: {{issuer: accounts}}], anonymous: guest}}}}]
consumers: [{{username: guest}}]
"#,
        server.url
    );
    let config = config::load_text(policy).unwrap_or_else(|faults| panic!("{faults}")).config;
    let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
    let peppers = Peppers::new(vec![crate::domain::verifier::Pepper::new(&[0; 32])]);
    let catalog = Arc::new(ArcSwap::from_pointee(config.catalog(&peppers).unwrap()));
    let telemetry = Arc::new(Telemetry::new(clock.clone(), Arc::new(Readiness::new())));
    let here = tokio::runtime::Handle::current();
    let issuers = Arc::new(Issuers::new(clock.clone(), Arc::clone(&telemetry), Some(here), 0));
    issuers.follow(catalog.load().issuers());
    let pool = Pool::start(1, 8, Arc::clone(&telemetry)).unwrap();
    let replica = Arc::new(Replica::of_no_store(&clock));
    let checker = Checker::new(Arc::clone(&catalog), peppers, replica, clock.clone(), telemetry)
        .with_issuers(Arc::clone(&issuers), pool);
    let ask = || {
        let claims = serde_json::json!({
            "iss": "https://accounts.example", "sub": "alice", "aud": "orders",
            "iat": clock.now().unix(), "exp": clock.now().unix() + 60,
        });
        let headers = [("authorization".to_owned(), format!("Bearer {}", key.sign(&claims).unwrap()))];
        let description = Description {
            host: Some("api.example".into()),
            target: Some("/orders".into()),
            headers: Some(headers.into()),
            ..Description::default()
        };
        let account = explain(&checker, &description.understood().unwrap_or_else(|wrong| panic!("{wrong}")));
        let answer = account.answer.map(|answer| (answer.status, answer.code, answer.error_response));
        (account.why, answer)
    };
    assert_eq!(ask(), (Some("keys_not_loaded"), Some((503, "unavailable", true))));
    server.publishes(&[&key]);
    issuers::tests::until(|| ask() == (None, None)).await;
    hand.advance(Duration::from_secs(86_400 + 1));
    assert_eq!(ask(), (Some("keys_too_old"), Some((503, "unavailable", false))));
}
