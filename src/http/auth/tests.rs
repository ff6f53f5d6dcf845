#![allow(clippy::unwrap_used, reason = "tests")]

mod issued;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{Auth, from_fn_with_state, router};
use crate::clock::Clock;
use crate::config::load_text;
use crate::domain::catalog::{Catalog, Parts};
use crate::domain::secret::{ENTROPY_BYTES, Kind, Secret};
use crate::domain::verifier::{Pepper, Peppers};
use crate::http::Peer;
use crate::issue::{Attempts, Registrar};
use crate::replica::Replica;
use crate::store::memory::Memory;
use crate::store::ring::Ring;
use crate::telemetry::log::{self, Capture, Format};
use crate::telemetry::{Readiness, Telemetry};

pub(super) fn auth(public_url: Option<&str>) -> Auth {
    auth_with(public_url, None)
}

fn auth_with(public_url: Option<&str>, replica: Option<Replica>) -> Auth {
    let ring = Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap();
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
    let registrar =
        Registrar::new(Arc::new(Memory::new()), Arc::new(ring), Clock::system(), Arc::clone(&catalog))
            .with_public_url(public_url.map(str::to_owned));
    let registrar = match replica {
        Some(replica) => registrar.with_replica(Arc::new(replica)),
        None => registrar,
    };
    Auth {
        registrar: Arc::new(registrar),
        catalog,
        clock: Clock::system(),
        attempts: Arc::default(),
        jwt_lives: Duration::from_secs(3_600),
        body_limit: 100,
        arriving: Arc::new(Semaphore::new(1)),
    }
}

fn somebody() -> MockConnectInfo<Peer> {
    MockConnectInfo(Peer::new(IpAddr::from([192, 0, 2, 1]), false))
}

async fn ask(router: Router, request: http::request::Builder, body: &str) -> (u16, HeaderMap, Value) {
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let (head, body) = router.layer(somebody()).oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test]
async fn the_key_set_is_there_for_everybody_once_there_are_keys() {
    for (public_url, keys) in [(None, false), (None, true), (Some("https://auth.example.com"), false)] {
        let auth = auth(public_url);
        if keys {
            auth.registrar.tend_signing_keys().await.unwrap();
        }
        let (status, headers, body) = ask(router(auth), Request::get("/.well-known/jwks.json"), "").await;
        assert_eq!((status, body["code"].as_str()), (404, Some("not_found")), "{body}");
        assert_eq!(headers["cache-control"], "no-store", "an absent key set is not remembered");
    }
    let auth = auth(Some("https://auth.example.com"));
    auth.registrar.tend_signing_keys().await.unwrap();
    let (status, headers, body) = ask(router(auth), Request::get("/.well-known/jwks.json"), "").await;
    assert_eq!((status, body["keys"].as_array().unwrap().len()), (200, 2), "{body}");
    assert_eq!(headers["content-type"], "application/jwk-set+json");
    assert_eq!(headers["cache-control"], "public, max-age=300");
}

#[tokio::test]
async fn a_key_set_that_is_not_known_yet_is_unavailable_and_not_absent() {
    let clock = Clock::system();
    let check = async |replica: Replica, expected: (u16, &str)| {
        let auth = auth_with(Some("https://auth.example.com"), Some(replica));
        let (status, headers, body) = ask(router(auth), Request::get("/.well-known/jwks.json"), "").await;
        assert_eq!((status, body["code"].as_str().unwrap()), expected, "{body}");
        assert_eq!(headers["cache-control"], "no-store");
    };
    check(Replica::new(Duration::from_secs(10)), (503, "unavailable")).await;
    check(Replica::of_no_store(&clock), (404, "not_found")).await;
}

#[tokio::test]
async fn without_a_public_url_what_needs_one_is_absent_and_strangers_write_no_errors() {
    let log = Capture::default();
    let (subscriber, _levels) =
        log::subscriber(Format::Json, &"warn".parse().unwrap(), Clock::system(), log.clone());
    let _logging = tracing::subscriber::set_default(subscriber);
    for (path, token) in [("/identity/v3", ""), ("/auth/access-keys", "Bearer x.y.z")] {
        let request = Request::get(path).header("authorization", token);
        assert_eq!(ask(router(auth(None)), request, "").await.0, 404, "{path}");
    }
    assert_eq!(log.text(), "");
}

#[tokio::test]
async fn whoever_is_trusted_may_stay_after_a_request_and_no_stranger() {
    for trusted in [false, true] {
        let peer = Peer::new(IpAddr::from([192, 0, 2, 1]), trusted);
        let router = router(auth(None)).layer(MockConnectInfo(peer.clone()));
        router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(peer.takes_more().is_some(), trusted);
    }
}

#[tokio::test]
async fn what_is_not_answered_is_a_problem_with_the_id_of_its_request() {
    let check = async |method: &str, path: &str, body: &str, status: u16, code: &str| {
        let request = Request::builder().method(method).uri(path).header("x-request-id", "abc-1");
        let (found, headers, problem) = ask(router(auth(None)), request, body).await;
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{method} {path}: {problem}");
        assert_eq!((&problem["request_id"], &problem["status"]), (&"abc-1".into(), &status.into()));
        assert_eq!(headers["x-request-id"], "abc-1");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["cache-control"], "no-store");
    };
    check("GET", "/", "", 404, "not_found").await;
    check("GET", "/consumers", "", 404, "not_found").await;
    check("DELETE", "/.well-known/jwks.json", "", 405, "method_not_allowed").await;
    check("POST", "/", &"x".repeat(101), 413, "body_too_large").await;
}

#[tokio::test]
async fn a_panic_is_one_refused_request_and_what_it_says_is_not_logged() {
    let auth = auth(None);
    let panics = Router::new()
        .route("/panics", post(async || -> &'static str { panic!("as it is told to") }))
        .route("/works", get(async || "fine"))
        .layer(from_fn_with_state(auth, super::door::admit));
    let log = Capture::default();
    let (subscriber, _levels) =
        log::subscriber(Format::Json, &"debug".parse().unwrap(), Clock::system(), log.clone());
    let _logging = tracing::subscriber::set_default(subscriber);
    let (status, _, problem) = ask(panics.clone(), Request::post("/panics"), "").await;
    assert_eq!((status, problem["code"].as_str()), (500, Some("internal")));
    assert_eq!(ask(panics, Request::get("/works"), "").await.0, 200);
    let log = log.text();
    assert!(log.contains("was not answered") && !log.contains("as it is told to"), "{log}");
}

/// What is counted under each pair, of an instance that does not know whether anything still counts.
#[tokio::test]
async fn who_cannot_be_known_at_this_moment_is_told_so_and_counted() {
    let services = "services: [{name: news, paths: [/news], authentication: {any: [token]}}, \
                    {name: partners, paths: [/partners], authentication: {any: [static_token]}}]";
    let config = load_text(services.into()).unwrap_or_else(|faults| panic!("{faults}")).config;
    let telemetry = Telemetry::new(Clock::system(), Arc::new(Readiness::new()));
    let auth = Auth { attempts: Arc::new(Attempts::new(telemetry.logins())), ..auth(None) };
    auth.catalog.store(config.catalog(&Peppers::new(vec![Pepper::new(&[1; 32])])).unwrap().into());
    let (token, _) = Secret::generate(Kind::Token, &[7; ENTROPY_BYTES]).unwrap();
    let check = async |path: &str, header: (&str, &str), body: &str, expected: u16| {
        let kind =
            if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        let request = Request::post(path).header(header.0, header.1).header("content-type", kind);
        let (status, _, problem) = ask(router(auth.clone()), request, body).await;
        assert_eq!(status, expected, "{path}: {problem}");
    };
    let admin = ("authorization", "Bearer dw_admin_x");
    check("/auth/partners/token", admin, r#"{"consumer": "alice"}"#, 503).await;
    check("/auth/news/token", admin, r#"{"consumer": "alice"}"#, 404).await;
    let client = format!("Basic {}", STANDARD.encode(format!("{}:x", Uuid::nil())));
    check("/oauth2/token", ("authorization", &client), "grant_type=client_credentials", 503).await;
    check("/auth/news/logout", ("x-auth-token", token.expose()), "{}", 503).await;
    let counted = telemetry.render();
    for by in ["admin", "access_key"] {
        let line = format!("doorward_logins_total{{by=\"{by}\",outcome=\"unavailable\"}} 1\n");
        assert!(counted.contains(&line), "{counted}");
    }
}

#[tokio::test]
async fn whoever_cannot_log_in_learns_no_services_name() {
    for audience in ["orders", "no-such-service"] {
        let body = format!(r#"{{"username": "nobody", "password": "x", "audience": ["{audience}"]}}"#);
        let request = Request::post("/api/auth/access-token").header("content-type", "application/json");
        let (status, _, problem) = ask(router(auth(Some("https://a.example"))), request, &body).await;
        assert_eq!(status, 401, "{problem}");
    }
}
