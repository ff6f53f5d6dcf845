//! What is common to all answers: who asked, and the shape of a refusal.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use percent_encoding::percent_decode_str;

use crate::http::REQUEST_ID;
use crate::http::problem::{Problem, as_problem};
use crate::issue::request_id;

/// The paths that Kong has: there refusals have its shapes.
const KONGS: &[&str] = &["consumers", "key-auths", "acls", "basic-auths", "jwts", "plugins", "routes"];

/// By what a request is known in its answer and in the audit log.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) String);

/// Around everything, the door as well. Answers are of this moment and of this caller, and may hold a secret: nobody keeps them.
pub(super) async fn ours(mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_kongs = is_kongs(path);
    let is_text =
        percent_decode_str(path).decode_utf8().is_ok_and(|path| !path.chars().any(char::is_control));
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let request_id = request_id(given);
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let mut response = match is_text {
        true => next.run(request).await,
        false => Problem::Path.into_response(),
    };
    if !is_kongs {
        response = as_problem(response, Some(&request_id));
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

pub(super) fn is_kongs(path: &str) -> bool {
    let mut segments = path.trim_start_matches('/').split('/');
    let first = segments.next().unwrap_or_default();
    KONGS.contains(&first) || (first == "services" && segments.nth(1) == Some("plugins"))
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
