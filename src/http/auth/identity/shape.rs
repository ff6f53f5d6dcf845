//! What the Identity API says when it does not do what was asked: `{"error": {"code", "title", "message"}}`.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::http::problem::Said;

/// One text for whatever proves nothing.
const UNAUTHORIZED: &str = "The request you have made requires authentication.";

/// Whether what is refused there is told in this form: also a path that is none, or a body too large.
pub(in crate::http::auth) fn is_path(path: &str) -> bool {
    path.strip_prefix("/identity").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A refusal in this form; any other response as it is.
pub(in crate::http::auth) fn as_error(mut response: Response) -> Response {
    let Some(said) = response.extensions_mut().remove::<Said>() else { return response };
    let status = response.status();
    let message = match status {
        StatusCode::UNAUTHORIZED => json!(UNAUTHORIZED),
        _ => said.body["message"].clone(),
    };
    let error = json!({
        "code": status.as_u16(),
        "title": status.canonical_reason().unwrap_or("Error"),
        "message": message,
    });
    let (mut head, _) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    if status == StatusCode::UNAUTHORIZED {
        head.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Keystone"));
    }
    let body = axum::Json(json!({ "error": error })).into_response().into_body();
    Response::from_parts(head, body)
}
