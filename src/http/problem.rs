//! What the admin API says when it does not do what was asked: Kong's shapes.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};
use tracing::error;

use crate::issue::Refusal;
use crate::store::StoreError;

/// Why a call was not answered as asked.
#[derive(Debug)]
pub enum Problem {
    NotFound,
    MethodNotAllowed,
    InvalidSize,
    /// The body is not JSON of the form that the path takes. The text names what is wrong.
    Body(StatusCode, String),
    Query(String),
    Refused(Refusal),
    Internal,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, body) = self.face();
        (status, axum::Json(body)).into_response()
    }
}

impl Problem {
    /// The one table of statuses and bodies.
    fn face(self) -> (StatusCode, Value) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, json!({ "message": "Not found" })),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, json!({ "message": "Method not allowed" }))
            }
            Self::InvalidSize => (
                StatusCode::BAD_REQUEST,
                json!({ "code": 9, "name": "invalid size", "message": "size must be an integer between 1 and 1000" }),
            ),
            Self::Body(status, message) => (status, json!({ "message": message })),
            Self::Query(message) => (StatusCode::BAD_REQUEST, json!({ "message": message })),
            Self::Refused(refusal) => refused(&refusal),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, json!({ "message": "An unexpected error occurred" }))
            }
        }
    }
}

fn refused(refusal: &Refusal) -> (StatusCode, Value) {
    let message = refusal.to_string();
    match refusal {
        Refusal::NotFound { .. } | Refusal::NoSuchKey => {
            (StatusCode::NOT_FOUND, json!({ "message": message }))
        }
        Refusal::Taken { what, name } => (
            StatusCode::CONFLICT,
            json!({
                "code": 5,
                "name": "unique constraint violation",
                "message": message,
                "fields": { (*what): name },
            }),
        ),
        Refusal::OwnedByFile { .. } | Refusal::Raced => (StatusCode::CONFLICT, json!({ "message": message })),
        Refusal::Invalid { field, why } => (
            StatusCode::BAD_REQUEST,
            json!({
                "code": 2,
                "name": "schema violation",
                "message": format!("schema violation ({field}: {why})"),
                "fields": { (*field): why },
            }),
        ),
        Refusal::Store(StoreError::Unavailable(why) | StoreError::Foreign(why)) => {
            error!(%why, "a call to the admin API failed");
            // Whoever may write here may know why, and a command has no log to look into.
            (StatusCode::SERVICE_UNAVAILABLE, json!({ "message": message }))
        }
        // Written: whoever tries again would make a second one.
        Refusal::Store(StoreError::Unconfirmed(epoch)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({
                "code": "unconfirmed",
                "message": message,
                "epoch": format!("{}-{}", epoch.term, epoch.number),
            }),
        ),
        Refusal::Store(failure) => {
            error!(error = %failure, "a call to the admin API failed");
            Problem::Internal.face()
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        // 422 for a wrong type is axum's; Kong answers 400 to every body it cannot take.
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        Self::Body(status, without_values(&rejection.body_text()))
    }
}

/// serde's text without the value that was found: it may be a secret of the wrong type.
/// ``invalid type: integer `42`, expected a string`` becomes `invalid type: integer, expected a string`.
fn without_values(text: &str) -> String {
    for what in ["invalid type: ", "invalid value: "] {
        // What is expected is ours and comes last; what was found may hold anything.
        let (Some(start), Some(end)) = (text.find(what), text.rfind(", expected ")) else { continue };
        if let Some(found) = text.get(start + what.len()..end) {
            let kind = found.split(['`', '"']).next().unwrap_or_default().trim_end();
            return format!("{}{kind}{}", &text[..start + what.len()], &text[end..]);
        }
    }
    text.to_owned()
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::Query(rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only its errors are looked at")]
    struct Body {
        key: Option<String>,
        tags: Option<Vec<String>>,
        ttl: Option<u32>,
    }

    #[test]
    fn a_value_of_the_wrong_type_is_not_repeated() {
        let check = |body: &str, expected: &str| {
            let error = serde_json::from_str::<Body>(body).expect_err("is refused").to_string();
            let said = without_values(&error);
            assert!(said.starts_with(expected), "{said}");
            assert!(!said.contains("4242") && !said.contains("secret"), "{said}");
        };
        check(r#"{"key":4242}"#, "invalid type: integer, expected a string at line 1");
        check(r#"{"key":-42.4242}"#, "invalid type: floating point, expected a string");
        check(r#"{"key":["secret"]}"#, "invalid type: sequence, expected a string");
        check(r#"{"tags":"secret"}"#, "invalid type: string, expected a sequence");
        check(r#"{"tags":"secret, expected `\"secret"}"#, "invalid type: string, expected a sequence");
        check(r#"{"ttl":-4242}"#, "invalid value: integer, expected u32");
        check(r#"{"ttl":true}"#, "invalid type: boolean, expected u32");
    }
}
