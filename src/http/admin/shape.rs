//! What is common to all answers: who asked, and the shape of a refusal.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::http::problem::{Problem, Said};
use crate::issue::By;

/// By which an answer is found again in the audit log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The paths that Kong has: there refusals have its shapes.
const KONGS: &[&str] = &["consumers", "key-auths", "acls", "basic-auths", "jwts", "plugins", "routes"];

/// Around everything. Answers are of this moment and of this caller, and may hold a secret: nobody keeps them.
pub(super) async fn ours(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_kongs = is_kongs(path);
    let is_text =
        percent_decode_str(path).decode_utf8().is_ok_and(|path| !path.chars().any(char::is_control));
    let request_id = request.extensions().get::<By>().map(|by| by.request_id.clone());
    let mut response = match is_text {
        true => next.run(request).await,
        false => Problem::Path.into_response(),
    };
    if !is_kongs && let Some(said) = response.extensions_mut().remove::<Said>() {
        response = as_problem(response, &said, request_id.as_deref());
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(id) = request_id.and_then(|id| HeaderValue::try_from(id).ok()) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn is_kongs(path: &str) -> bool {
    let mut segments = path.trim_start_matches('/').split('/');
    let first = segments.next().unwrap_or_default();
    KONGS.contains(&first) || (first == "services" && segments.nth(1) == Some("plugins"))
}

/// RFC 9457.
fn as_problem(response: Response, said: &Said, request_id: Option<&str>) -> Response {
    let status = response.status();
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "code": said.code,
        "message": said.body["message"],
        "request_id": request_id,
    });
    for more in ["fields", "epoch"] {
        if !said.body[more].is_null() {
            body[more] = said.body[more].clone();
        }
    }
    let (mut head, _) = response.into_parts();
    head.headers.remove(http::header::CONTENT_LENGTH);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    Response::from_parts(head, axum::body::Body::from(body.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kongs_paths_are_told_from_ours() {
        for path in [
            "/consumers",
            "/consumers/a/key-auth",
            "/key-auths/x",
            "/services/a/plugins",
            "/routes/a/plugins/b",
        ] {
            assert!(is_kongs(path), "{path}");
        }
        for path in ["/services", "/services/a/versions", "/admin-keys", "/audit", "/", "/consumersx"] {
            assert!(!is_kongs(path), "{path}");
        }
    }
}
