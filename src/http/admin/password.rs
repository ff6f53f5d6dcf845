//! `/consumers/{consumer}/password`: what a consumer logs in with. Kong has no such path.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::answer::written;
use super::call::Call;
use crate::domain::secret::Secret;
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{Password, Refusal};

/// Exactly one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordBody {
    /// At least 15 characters, and none that is guessed first.
    password: Option<String>,
    /// In its place: its hash, argon2id as a PHC string.
    password_hash: Option<String>,
}

/// Sets a consumer's password; what was made at logins by the one before is over.
#[utoipa::path(put, path = "/consumers/{consumer}/password", tag = "passwords", params(("consumer" = String, Path)), request_body = PasswordBody, responses((status = 200, body = serde_json::Value)))]
pub(super) async fn set_password(
    call: Call,
    Path(consumer): Path<String>,
    Body(body): Body<PasswordBody>,
) -> Result<Response, Problem> {
    let invalid = |why: &str| Refusal::Invalid { field: "password", why: why.into() };
    let password = match (body.password, body.password_hash) {
        (Some(text), None) => Password::Text(Secret::from(text)),
        (None, Some(hash)) => Password::Hashed(hash),
        (None, None) => return Err(invalid("required field missing").into()),
        (Some(_), Some(_)) => return Err(invalid("cannot be given together with `password_hash`").into()),
    };
    let done = call.registrar.set_password(&call.by, &consumer, password).await?;
    let body = json!({ "id": done.value.id, "consumer": { "id": done.value.consumer }, "username": done.value.username });
    Ok(written(StatusCode::OK, &done, Some(body)))
}
