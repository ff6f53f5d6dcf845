#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use utoipa::openapi::path::Operation;
use uuid::Uuid;

use super::{Admin, Desk, Doorkeeper, NotCopied, Right, Rights, desk, openapi, tcp};
use crate::clock::Clock;
use crate::domain::catalog::{Catalog, Parts};
use crate::domain::rights::{Asked, Caller, OnService, ServicePrivilege};
use crate::http::Peer;
use crate::http::problem::Problem;
use crate::issue::{Attempts, By, Registrar};
use crate::store::memory::Memory;
use crate::store::ring::Ring;
use crate::telemetry::{Readiness, Telemetry};

fn admin() -> Admin {
    let ring = Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap();
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
    let clock = Clock::system();
    let registrar = Registrar::new(Arc::new(Memory::new()), Arc::new(ring), clock.clone(), catalog);
    Admin {
        registrar: Arc::new(registrar),
        clock,
        backup: Arc::new(|_| Err(NotCopied::Refused("not here".into()))),
        body_limit: 1 << 20,
    }
}

/// Every operation by its method and path, with ids in the place of what a path leaves open.
fn operations(desk: &Desk<()>) -> Vec<(&'static str, String, Right)> {
    let mut found = Vec::new();
    for (path, item) in &desk.openapi().paths.paths {
        let methods: [(&'static str, &Option<Operation>); 5] = [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        let concrete: Vec<&str> = path
            .split('/')
            .map(|part| if part.starts_with('{') { "0196a1f0-0000-7000-8000-000000000001" } else { part })
            .collect();
        let right = desk.routes().iter().find(|route| route.path == *path).unwrap().right;
        found.extend(
            methods
                .into_iter()
                .filter(|(_, it)| it.is_some())
                .map(|(method, _)| (method, concrete.join("/"), right)),
        );
    }
    found
}

async fn ask(router: &Router, method: &str, path: &str, caller: Option<Caller>) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    request.extensions_mut().extend({
        let mut extensions = http::Extensions::new();
        caller.map(|caller| extensions.insert(By::new(caller, None)));
        extensions
    });
    let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (head.status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn consumer() -> Caller {
    Caller::Consumer { id: Uuid::from_u128(1), groups: vec!["everybody".into()] }
}

#[tokio::test]
async fn r22_no_route_answers_without_a_caller_or_with_too_small_a_right() {
    let whole = openapi::with_its_own(desk().with_state(admin()));
    let operations = operations(&whole);
    assert!(operations.len() >= 15, "{operations:?}");
    let router = whole.finish(None, 1 << 20).0;
    for (method, path, right) in operations {
        let (status, _) = ask(&router, method, &path, None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}, nobody");
        let (status, body) = ask(&router, method, &path, Some(consumer())).await;
        match right {
            Right::Everything => {
                assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}, a consumer: {body}")
            }
            Right::ByObject => assert!(
                !status.is_success() || body["data"].as_array().is_some_and(Vec::is_empty),
                "{method} {path}, a consumer without any grant: {status} {body}"
            ),
        }
        for caller in [Caller::Socket, Caller::AdminKey(Uuid::from_u128(2))] {
            let (status, body) = ask(&router, method, &path, Some(caller)).await;
            assert!(
                !matches!(status.as_u16(), 401 | 403 | 500..),
                "{method} {path}, with every right: {status} {body}"
            );
        }
    }
}

#[utoipa::path(get, path = "/asks", responses((status = 200, body = String)))]
async fn asks(rights: Rights) -> Result<String, Problem> {
    let grants = [crate::domain::rights::Grant {
        group: "everybody".to_owned(),
        privileges: vec![ServicePrivilege::Read],
    }];
    rights.ask(Asked::Service(ServicePrivilege::Read, OnService { owner: None, grants: &grants }))?;
    Ok("asked".into())
}

#[utoipa::path(get, path = "/forgets", responses((status = 200, body = String)))]
async fn forgets() -> &'static str {
    "a secret"
}

#[utoipa::path(get, path = "/hides", responses((status = 200, body = String)))]
async fn hides(rights: Rights) -> Result<String, Problem> {
    rights.ask(Asked::Service(ServicePrivilege::Read, OnService { owner: None, grants: &[] }))?;
    Ok("a secret".into())
}

#[tokio::test]
async fn a_route_that_forgets_to_ask_tells_a_consumer_nothing() {
    use utoipa_axum::routes;
    let desk = Desk::<()>::new()
        .route(Right::ByObject, routes!(asks))
        .route(Right::ByObject, routes!(forgets))
        .route(Right::ByObject, routes!(hides));
    let router = desk.finish(None, 1024).0;
    let status = async |path: &str, caller| ask(&router, "GET", path, Some(caller)).await.0.as_u16();
    assert_eq!(status("/asks", consumer()).await, 200);
    assert_eq!(status("/forgets", consumer()).await, 500);
    assert_eq!(status("/hides", consumer()).await, 404);
    assert_eq!(status("/forgets", Caller::Socket).await, 200);
    assert_eq!(status("/hides", Caller::Socket).await, 200);
}

#[tokio::test]
async fn a_key_that_cannot_be_known_at_this_moment_is_counted_as_such() {
    let telemetry = Telemetry::new(Clock::system(), Arc::new(Readiness::new()));
    // Nothing follows the store.
    let doorkeeper = Doorkeeper::new(admin().registrar, Arc::new(Attempts::new(telemetry.logins())));
    let router = tcp(Router::new(), doorkeeper);
    let router = router.layer(MockConnectInfo(Peer::new([192, 0, 2, 1].into(), false)));
    let request = Request::get("/consumers").header("authorization", "Bearer dw_admin_x");
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let counted = telemetry.render();
    assert!(counted.contains("doorward_logins_total{by=\"admin\",outcome=\"unavailable\"} 1\n"), "{counted}");
}

/// A registrar whose checks, if it has any, do not hear of what is written.
#[tokio::test]
async fn a_write_says_where_it_stands_and_is_waited_for_where_that_is_asked_also_an_import() {
    let admin = admin();
    let registrar = Some(Arc::clone(&admin.registrar));
    let (router, _) = desk().with_state(admin).finish(registrar, 1 << 20);
    let ask = async |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(By::new(Caller::Socket, None));
        let response = router.clone().oneshot(request).await.unwrap();
        let epoch = response.headers().get("doorward-epoch").map(|epoch| epoch.to_str().unwrap().to_owned());
        (response.status().as_u16(), epoch)
    };
    let at = |number: u64| Some(format!("1-{number}"));
    let import = |name: &str| format!(r#"{{"consumers": [{{"username": "{name}"}}]}}"#);
    assert_eq!(ask("POST", "/consumers", r#"{"username": "alice"}"#).await, (202, at(1)));
    assert_eq!(ask("POST", "/import", &import("bob")).await, (202, at(2)));
    // No instance lives, so none lags.
    assert_eq!(ask("POST", "/import?wait=all", &import("carol")).await, (200, at(3)));
    assert_eq!(ask("DELETE", "/consumers/carol?wait=all", "").await.0, 204);
    // Nothing is written.
    assert_eq!(ask("POST", "/import?wait=all", &import("alice")).await, (200, None));
    let dry = r#"{"dry_run": true, "consumers": [{"username": "dave"}]}"#;
    assert_eq!(ask("POST", "/import", dry).await, (200, None));
}
