//! `/access-keys`: what buys subject tokens.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::{shown, written};
use super::call::Call;
use super::page::{Asked, Page, Paging, Row};
use crate::domain::time::Timestamp;
use crate::domain::token::AccessKey;
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{NewAccessKey, Refusal};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessKeyBody {
    /// Username or id.
    consumer: String,
    /// No other of the consumer's is called so.
    name: String,
    /// By id or name.
    project_id: String,
    /// What the consumer has in the project, or less. Absent: all of it.
    roles: Option<Vec<String>>,
    /// Seconds since the Unix epoch. Absent: never.
    expires_at: Option<i64>,
}

/// An access key. Its secret stands in the answer that made it and nowhere else.
#[derive(Serialize, ToSchema)]
pub(super) struct AccessKeyRow {
    id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    secret: Option<String>,
    name: String,
    project_id: Uuid,
    consumer: Uuid,
    roles: Vec<String>,
    /// Seconds since the Unix epoch; null: never.
    expires_at: Option<i64>,
    enabled: bool,
    /// Seconds since the Unix epoch.
    created_at: i64,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `list` writes")]
pub(super) struct AccessKeyPage {
    data: Vec<AccessKeyRow>,
    /// The next page; null on the last one.
    next: Option<String>,
    /// Absent on the last page.
    #[schema(required = false, nullable = false)]
    offset: Option<String>,
}

/// Makes an access key; its secret is shown this once.
#[utoipa::path(post, path = "/access-keys", tag = "access keys", request_body = AccessKeyBody,
    responses((status = 201, body = AccessKeyRow)))]
pub(super) async fn create_access_key(
    call: Call,
    Body(body): Body<AccessKeyBody>,
) -> Result<Response, Problem> {
    let new = NewAccessKey {
        name: body.name,
        project: body.project_id,
        roles: body.roles,
        expires_at: body.expires_at.map(Timestamp::from_unix),
    };
    let made = call.registrar.create_access_key(&call.by, &body.consumer, new).await;
    let done = made.map_err(|refusal| match refusal {
        Refusal::NotFound { what: "consumer", name } => Refusal::NoConsumer { name },
        other => other,
    })?;
    // The only time that the secret is shown.
    let secret = Some(done.value.secret.expose().to_owned());
    let row = AccessKeyRow { secret, ..row(&done.value.key) };
    Ok(written(StatusCode::CREATED, &done, Some(json!(row))))
}

/// Access keys, page by page.
#[utoipa::path(get, path = "/access-keys", tag = "access keys", params(Asked),
    responses((status = 200, body = AccessKeyPage)))]
pub(super) async fn list_access_keys(call: Call, asked: Paging) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let (found, last) = page.read(|after, limit| call.registrar.access_keys(after, limit)).await?;
    Ok(page.answer("/access-keys", found.iter().map(|key| json!(row(key))).collect(), last))
}

/// One access key.
#[utoipa::path(get, path = "/access-keys/{id}", tag = "access keys", params(("id" = Uuid, Path)),
    responses((status = 200, body = AccessKeyRow)))]
pub(super) async fn show_access_key(call: Call, Path(id): Path<String>) -> Result<Response, Problem> {
    let seen = call.registrar.access_key(&named(&id)?).await?;
    Ok(shown(&seen, row(&seen)))
}

/// Ends an access key and all tokens that it bought, on every instance.
#[utoipa::path(delete, path = "/access-keys/{id}", tag = "access keys", params(("id" = Uuid, Path)),
    responses((status = 204)))]
pub(super) async fn delete_access_key(call: Call, Path(id): Path<String>) -> Result<Response, Problem> {
    let seen = call.registrar.access_key(&named(&id)?).await?;
    let done = call.registrar.end_access_key(&call.by, seen).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// An id, with hyphens or without. What is none may be a secret, and is not repeated.
pub(super) fn named(id: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(id).map_err(|_| Problem::NotFound)
}

impl Row for AccessKey {
    fn id(&self) -> Uuid {
        self.id
    }
}

fn row(key: &AccessKey) -> AccessKeyRow {
    AccessKeyRow {
        id: key.id,
        secret: None,
        name: key.name.clone(),
        project_id: key.project,
        consumer: key.consumer,
        roles: key.roles.clone(),
        expires_at: key.expires_at.map(Timestamp::unix),
        enabled: key.enabled,
        created_at: key.created_at.unix(),
    }
}
