//! What the admin API says when it does not do what was asked: Kong's shapes.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tracing::error;

use crate::config::Wrong;
use crate::issue::Refusal;
use crate::store::StoreError;

/// Why a call was not answered as asked.
#[derive(Debug)]
pub enum Problem {
    NotFound,
    /// An object that is not there, or that whoever asks may not know of: nobody learns which.
    Unseen {
        kind: &'static str,
        /// As it was asked for.
        name: String,
    },
    MethodNotAllowed,
    InvalidSize(&'static str),
    InvalidOffset,
    InvalidOptions {
        option: &'static str,
        why: &'static str,
    },
    /// A write under one consumer to what is another's.
    AnothersCredential,
    /// The body cannot be read at all. The text says why.
    Body(StatusCode, String),
    /// A field of it is not as it must be.
    Field {
        field: String,
        why: String,
    },
    Query(String),
    /// A path that is no text.
    Path,
    /// No admin key came along.
    Unauthenticated,
    /// One that opens nothing; nobody learns why.
    Unauthorized,
    /// It may be seen, and that is all.
    Forbidden,
    /// Too many wrong keys at this moment.
    Throttled,
    /// The door does not know whether a key still counts.
    Blind,
    Refused(Refusal),
    /// A login that is none, or a token that does not say who asks; nobody learns why.
    NotLoggedIn,
    /// A token that is none, or none any more; nobody learns why.
    WrongToken,
    /// A logout without what a login gives.
    NoLogin,
    /// Nobody has shown a token.
    NoToken,
    /// Logins that failed too often: not before so long.
    TooOften(Duration),
    /// Another site's page has made a browser send it.
    Origin(&'static str),
    /// No decision of that name is kept, of so many that are.
    NoDecision {
        kept: usize,
    },
    /// From an address that the service does not let in.
    Network,
    /// What only its maker knows whether it still counts cannot be known now.
    Unknown,
    /// What the machine would not do. Whoever may ask for it may know why.
    Failed(String),
    Internal,
}

/// What a refusal says, left with the response for whoever says it in another shape.
#[derive(Clone)]
pub(super) struct Said {
    pub(super) code: &'static str,
    pub(super) body: Value,
}

/// A refusal in the shape of RFC 9457; any other response as it is.
pub(super) fn as_problem(mut response: Response, request_id: Option<&str>) -> Response {
    let Some(said) = response.extensions_mut().remove::<Said>() else { return response };
    let status = response.status();
    let mut body = json!({
        "type": format!("urn:doorward:code:{}", said.code),
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
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    Response::from_parts(head, axum::body::Body::from(body.to_string()))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.code();
        let challenge = match &self {
            Self::Unauthenticated => Some(r#"Bearer realm="doorward-admin""#),
            Self::Unauthorized => Some(r#"Bearer realm="doorward-admin", error="invalid_token""#),
            Self::WrongToken => Some(r#"Bearer realm="doorward", error="invalid_token""#),
            Self::NotLoggedIn | Self::NoToken => Some(r#"Bearer realm="doorward""#),
            _ => None,
        };
        let retry = match &self {
            Self::Throttled | Self::Blind | Self::Unknown | Self::Refused(Refusal::Busy) => Some(1),
            Self::TooOften(left) => Some(left.as_secs().max(1)),
            _ => None,
        };
        let (status, body) = self.face();
        let mut response = (status, axum::Json(&body)).into_response();
        if let Some(challenge) = challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = retry {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Said { code, body });
        response
    }
}

impl Problem {
    /// The one table of statuses and bodies.
    fn face(self) -> (StatusCode, Value) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, json!({ "message": "Not found" })),
            Self::Unseen { kind, name } => (
                StatusCode::NOT_FOUND,
                json!({ "message": format!("there is no {kind} `{name}` that you may see") }),
            ),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, json!({ "message": "Method not allowed" }))
            }
            Self::InvalidSize(why) => {
                (StatusCode::BAD_REQUEST, json!({ "code": 9, "name": "invalid size", "message": why }))
            }
            Self::InvalidOffset => (
                StatusCode::BAD_REQUEST,
                json!({ "code": 7, "name": "invalid offset", "message": "offset is not one that a page gave" }),
            ),
            Self::InvalidOptions { option, why } => (
                StatusCode::BAD_REQUEST,
                json!({
                    "code": 11,
                    "name": "invalid options",
                    "message": format!("invalid option ({option}: {why})"),
                    "options": { (option): why },
                }),
            ),
            Self::AnothersCredential => (
                StatusCode::CONFLICT,
                json!({ "message": "this credential is another consumer's; a write does not take it over" }),
            ),
            Self::Body(status, message) => (status, json!({ "message": message })),
            Self::Field { field, why } => schema_violation(&field, &why),
            Self::Query(message) => (StatusCode::BAD_REQUEST, json!({ "message": message })),
            Self::Path => {
                (StatusCode::BAD_REQUEST, json!({ "message": "the path is not percent-encoded UTF-8" }))
            }
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                json!({ "message": "an admin key is needed: `Authorization: Bearer dw_admin_…`" }),
            ),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, json!({ "message": "Unauthorized" })),
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, json!({ "message": "you have no right to do that here" }))
            }
            Self::Throttled => {
                (StatusCode::TOO_MANY_REQUESTS, json!({ "message": "too many wrong keys; try again later" }))
            }
            Self::Blind => (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({ "message": "whether your key still counts is not known at this moment; try again" }),
            ),
            Self::NotLoggedIn | Self::WrongToken => {
                (StatusCode::UNAUTHORIZED, json!({ "message": "Unauthorized" }))
            }
            Self::NoLogin => (
                StatusCode::UNAUTHORIZED,
                json!({ "message": "nothing is shown that a login at this service gives" }),
            ),
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                json!({ "message": "a token is needed: `Authorization: Bearer …`, from a login" }),
            ),
            Self::TooOften(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                json!({ "message": "too many logins have failed; try again later" }),
            ),
            Self::Origin(why) => (StatusCode::FORBIDDEN, json!({ "message": why })),
            Self::Network => (StatusCode::FORBIDDEN, json!({ "message": "Your address is not allowed" })),
            Self::Unknown => (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({ "message": "who may log in is not known at this moment; try again" }),
            ),
            Self::NoDecision { kept } => (
                StatusCode::NOT_FOUND,
                json!({ "message": format!(
                    "no decision about a request of that id is among the {kept} that this instance keeps: another \
                     instance decided, or none; or it has no line in the log (`log.allows` is the share of allows \
                     that have one); or it was too long ago (`limits.recent_decisions`); or it was left out, as \
                     `doorward_recent_decisions_left_out_total` counts. Ask the other instances, \
                     or set `log.allows: 1` and have the request made again"
                ) }),
            ),
            Self::Refused(refusal) => refused(&refusal),
            Self::Failed(why) => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "message": why })),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, json!({ "message": "An unexpected error occurred" }))
            }
        }
    }
}

impl Problem {
    /// What programs go by. A code is API; it is not renamed.
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound
            | Self::Unseen { .. }
            | Self::NoDecision { .. }
            | Self::Refused(Refusal::NotFound { .. } | Refusal::NoSuchKey { .. } | Refusal::Hidden) => {
                "not_found"
            }
            Self::MethodNotAllowed => "method_not_allowed",
            Self::InvalidSize(_) | Self::InvalidOffset | Self::InvalidOptions { .. } | Self::Query(_) => {
                "invalid_query"
            }
            Self::AnothersCredential => "taken",
            Self::Body(StatusCode::PAYLOAD_TOO_LARGE, _) => "body_too_large",
            Self::Body(StatusCode::UNSUPPORTED_MEDIA_TYPE, _) => "unsupported_media_type",
            Self::Body(..) => "invalid_body",
            Self::Path => "invalid_path",
            Self::Field { .. } | Self::Refused(Refusal::Invalid { .. }) => "invalid_field",
            Self::Unauthenticated | Self::NoToken | Self::NoLogin => "missing_credential",
            Self::Unauthorized | Self::NotLoggedIn | Self::WrongToken | Self::Refused(Refusal::Unproven) => {
                "invalid_credential"
            }
            Self::Forbidden | Self::Refused(Refusal::Forbidden | Refusal::Exceeds { .. }) => {
                "permission_denied"
            }
            Self::Throttled | Self::TooOften(_) => "throttled",
            Self::Refused(Refusal::Busy) => "overloaded",
            Self::Origin(_) => "origin_denied",
            Self::Network => "network_denied",
            Self::Unknown => "unavailable",
            Self::Refused(Refusal::Stale) => "stale",
            Self::Refused(Refusal::Taken { .. } | Refusal::KeyInUse | Refusal::IdTaken { .. }) => "taken",
            Self::Refused(Refusal::NoConsumer { .. }) => "unknown_reference",
            Self::Refused(Refusal::OwnedByFile { .. }) => "owned_by_file",
            Self::Refused(Refusal::Faulty(_)) => "invalid_field",
            Self::Refused(Refusal::InUse { .. }) => "in_use",
            Self::Refused(Refusal::Contradiction(_)) => "contradiction",
            Self::Refused(Refusal::Full { .. }) => "full",
            Self::Refused(Refusal::Raced) => "raced",
            Self::Refused(Refusal::Replayed { .. }) => "replayed",
            Self::Refused(Refusal::Store(StoreError::Unconfirmed(_))) => "unconfirmed",
            Self::Blind
            | Self::Refused(Refusal::Store(StoreError::Unavailable(_) | StoreError::Foreign(_))) => {
                "unavailable"
            }
            Self::Refused(Refusal::Store(_)) | Self::Failed(_) | Self::Internal => "internal",
        }
    }
}

fn refused(refusal: &Refusal) -> (StatusCode, Value) {
    let message = refusal.to_string();
    match refusal {
        Refusal::NotFound { .. } | Refusal::NoSuchKey { .. } => {
            (StatusCode::NOT_FOUND, json!({ "message": message }))
        }
        Refusal::Taken { what, name } => (
            StatusCode::CONFLICT,
            json!({
                "code": 5,
                "name": "unique constraint violation",
                "message": format!("UNIQUE violation detected on '{{{what}=\"{name}\"}}'"),
                "fields": { (*what): name },
            }),
        ),
        Refusal::Replayed { id } => {
            (StatusCode::CONFLICT, json!({ "message": message, "fields": { "id": id } }))
        }
        Refusal::KeyInUse => (
            StatusCode::CONFLICT,
            json!({
                "code": 5,
                "name": "unique constraint violation",
                "message": message,
                "fields": { "key": "(not repeated)" },
            }),
        ),
        Refusal::NoConsumer { name } => (
            StatusCode::BAD_REQUEST,
            json!({
                "code": 4,
                "name": "foreign key violation",
                "message": message,
                "fields": { "consumer": { "name": name } },
            }),
        ),
        Refusal::IdTaken { id, .. } => (
            StatusCode::BAD_REQUEST,
            json!({
                "code": 3,
                "name": "primary key violation",
                "message": message,
                "fields": { "id": id },
            }),
        ),
        Refusal::Hidden => Problem::NotFound.face(),
        Refusal::Forbidden => Problem::Forbidden.face(),
        Refusal::Exceeds { .. } => (StatusCode::FORBIDDEN, json!({ "message": message })),
        Refusal::Unproven => (StatusCode::UNAUTHORIZED, json!({ "message": message })),
        Refusal::Stale => (StatusCode::PRECONDITION_FAILED, json!({ "message": message })),
        Refusal::OwnedByFile { .. }
        | Refusal::Raced
        | Refusal::InUse { .. }
        | Refusal::Contradiction(_)
        | Refusal::Full { .. } => (StatusCode::CONFLICT, json!({ "message": message })),
        Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, json!({ "message": message })),
        Refusal::Invalid { field, why } => schema_violation(field, why),
        Refusal::Faulty(wrong) => schema_violations(wrong),
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

fn schema_violation(field: &str, why: &str) -> (StatusCode, Value) {
    let message = format!("schema violation ({field}: {why})");
    let body = json!({ "code": 2, "name": "schema violation", "message": message, "fields": { field: why } });
    (StatusCode::BAD_REQUEST, body)
}

/// Several of them as Kong tells them: sorted by field, with their number.
fn schema_violations(wrong: &[Wrong]) -> (StatusCode, Value) {
    let field = |path: &str| if path.is_empty() { "@entity".to_owned() } else { path.to_owned() };
    let mut told: Vec<(String, &str)> = wrong.iter().map(|it| (field(&it.path), &it.why[..])).collect();
    told.sort();
    if let [(path, why)] = &told[..] {
        return schema_violation(path, why);
    }
    let list = told.iter().map(|(path, why)| format!("{path}: {why}")).collect::<Vec<_>>().join("; ");
    let message = format!("{} schema violations ({list})", told.len());
    let fields: serde_json::Map<String, Value> =
        told.into_iter().map(|(path, why)| (path, json!(why))).collect();
    let body = json!({ "code": 2, "name": "schema violation", "message": message, "fields": fields });
    (StatusCode::BAD_REQUEST, body)
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let text = rejection.body_text();
        let unknown =
            text.split_once("unknown field `").and_then(|(_, rest)| rest.rsplit_once("`, expected "));
        if let Some((name, known)) = unknown {
            let name: String = name.chars().take(60).collect();
            return Self::Query(format!("there is no parameter `{name}` here, expected {known}"));
        }
        // Without what was found: it may be anything.
        Self::Query(text.split([':', '`']).next().unwrap_or_default().trim_end().to_owned())
    }
}
