//! The status listener: `/livez`, `/readyz`, `/metrics`, and nothing else.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use crate::telemetry::{Conditions, Readiness, Telemetry};

/// The text format of Prometheus, with the character set that it always has.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What `listen.status` serves. Answers GET and HEAD; no answer may be kept by a cache.
pub fn router(telemetry: Arc<Telemetry>, readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(metrics).with_state(telemetry))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(map_response(uncached))
}

async fn readyz(State(readiness): State<Arc<Readiness>>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let (conditions, trouble) = (readiness.conditions(), readiness.trouble());
    let trouble = trouble.as_deref().map(String::as_str);
    let status = if conditions.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose =
        query.is_some_and(|query| query.split('&').any(|item| item.split('=').next() == Some("verbose")));
    (status, if verbose { every_condition(conditions, trouble) } else { first_fault(conditions, trouble) })
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_TYPE)], telemetry.render())
}

async fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn first_fault(conditions: Conditions, trouble: Option<&str>) -> String {
    match conditions.report(trouble).into_iter().find_map(|(_, fault)| fault) {
        None => "ok\n".to_owned(),
        Some(fault) => format!("not ready: {fault}\n"),
    }
}

/// A line for each condition, as Kubernetes' own `/readyz?verbose` has them.
fn every_condition(conditions: Conditions, trouble: Option<&str>) -> String {
    let mut text = String::new();
    for (name, fault) in conditions.report(trouble) {
        // Writing to a `String` does not fail.
        let _ = match fault {
            None => writeln!(text, "[+]{name} ok"),
            Some(fault) => writeln!(text, "[-]{name} failed: {fault}"),
        };
    }
    text + if conditions.ready() { "ready\n" } else { "not ready\n" }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::body::Body;
    use http::{Method, Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::clock::Clock;

    fn parts() -> (Router, Arc<Readiness>) {
        let readiness = Arc::new(Readiness::new());
        let telemetry = Arc::new(Telemetry::new(Clock::system(), Arc::clone(&readiness)));
        (router(telemetry, Arc::clone(&readiness)), readiness)
    }

    async fn ask(router: &Router, method: Method, target: &str) -> (u16, http::HeaderMap, String) {
        let request = Request::builder().method(method).uri(target).body(Body::empty()).unwrap();
        let (head, body) = router.clone().oneshot(request).await.unwrap().into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (head.status.as_u16(), head.headers, text)
    }

    #[tokio::test]
    async fn readyz_follows_every_condition() {
        let (router, readiness) = parts();
        let check = async |target: &str, status: u16, text: &str| {
            let answer = ask(&router, Method::GET, target).await;
            assert_eq!((answer.0, answer.2.as_str()), (status, text), "{target}");
        };
        check("/readyz", 503, "not ready: the store has not been read yet\n").await;
        readiness.set_loaded(true);
        check(
            "/readyz",
            503,
            "not ready: the store has been out of reach for longer than revocation.bound\n",
        )
        .await;
        readiness.set_lease(true);
        check("/readyz", 200, "ok\n").await;
        check("/readyz?verbose", 200, "[+]loaded ok\n[+]lease ok\n[+]serving ok\nready\n").await;
        readiness.set_draining();
        check("/readyz", 503, "not ready: draining, about to stop\n").await;
        check(
            "/readyz?a&verbose=1",
            503,
            "[+]loaded ok\n[+]lease ok\n[-]serving failed: draining, about to stop\nnot ready\n",
        )
        .await;
    }

    #[tokio::test]
    async fn livez_answers_whatever_readiness_is() {
        let (router, readiness) = parts();
        readiness.set_draining();
        let (status, _, text) = ask(&router, Method::GET, "/livez").await;
        assert_eq!((status, text.as_str()), (200, "ok\n"));
    }

    #[tokio::test]
    async fn metrics_are_named_as_the_text_format() {
        let (router, _) = parts();
        let (status, headers, text) = ask(&router, Method::GET, "/metrics").await;
        assert_eq!((status, &headers[CONTENT_TYPE]), (200, &HeaderValue::from_static(METRICS_TYPE)));
        assert!(text.contains("\n# TYPE doorward_checks_total counter\n"), "{text}");
    }

    #[tokio::test]
    async fn nothing_else_is_served_and_nothing_is_cached() {
        let (router, _) = parts();
        let check = async |method: Method, target: &str, expected: u16| {
            let (status, headers, text) = ask(&router, method.clone(), target).await;
            assert_eq!((status, text.as_str()), (expected, ""), "{method} {target}");
            assert_eq!(headers[CACHE_CONTROL], "no-store");
        };
        for target in ["/", "/livez/", "/metrics/x", "/healthz", "/debug/pprof", "/%2e%2e/metrics"] {
            check(Method::GET, target, 404).await;
        }
        for target in ["/livez", "/readyz", "/metrics"] {
            check(Method::POST, target, 405).await;
            check(Method::DELETE, target, 405).await;
        }
        check(Method::HEAD, "/livez", 200).await;
        check(Method::HEAD, "/readyz", 503).await;
    }
}
