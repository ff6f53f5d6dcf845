//! `/admin-keys`.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Admin;
use super::answer::{shown, written};
use super::page::{Asked, Page, Paging, Row};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{By, MadeAdminKey, NewAdminKey};
use crate::store::record::AdminKeyRecord;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminKeyBody {
    /// What it is for, for people.
    name: Option<String>,
}

/// An admin key, without its text but in the answer that made it.
#[derive(Serialize, ToSchema)]
pub(super) struct AdminKeyRow {
    id: Uuid,
    /// The full text in the answer that made it, its public name afterwards.
    key: String,
    name: Option<String>,
    /// Seconds since the Unix epoch.
    created_at: i64,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `list` writes")]
pub(super) struct AdminKeyPage {
    data: Vec<AdminKeyRow>,
    /// The next page; null on the last one.
    next: Option<String>,
    /// Absent on the last page.
    #[schema(required = false, nullable = false)]
    offset: Option<String>,
}

/// Makes an admin key; its text is shown this once.
#[utoipa::path(post, path = "/admin-keys", tag = "admin keys", request_body = AdminKeyBody,
    responses((status = 201, body = AdminKeyRow)))]
pub(super) async fn create_admin_key(
    State(admin): State<Admin>,
    by: By,
    Body(body): Body<AdminKeyBody>,
) -> Result<Response, Problem> {
    let done = admin.registrar.create_admin_key(&by, NewAdminKey { name: body.name }).await?;
    let MadeAdminKey { record, text } = &done.value;
    // The only time that the text is shown.
    let row = AdminKeyRow { key: text.expose().to_owned(), ..row(record) };
    Ok(written(StatusCode::CREATED, &done, Some(json!(row))))
}

/// Admin keys, page by page.
#[utoipa::path(get, path = "/admin-keys", tag = "admin keys", params(Asked),
    responses((status = 200, body = AdminKeyPage)))]
pub(super) async fn list_admin_keys(State(admin): State<Admin>, asked: Paging) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let (found, last) = page.read(|after, limit| admin.registrar.admin_keys(after, limit)).await?;
    Ok(page.answer("/admin-keys", found.iter().map(|key| json!(row(key))).collect(), last))
}

impl Row for AdminKeyRecord {
    fn id(&self) -> Uuid {
        self.id
    }
}

/// One admin key, by id, public name or text.
#[utoipa::path(get, path = "/admin-keys/{key}", tag = "admin keys", params(("key" = String, Path)),
    responses((status = 200, body = AdminKeyRow)))]
pub(super) async fn show_admin_key(
    State(admin): State<Admin>,
    Path(named): Path<String>,
) -> Result<Response, Problem> {
    let seen = admin.registrar.admin_key(&named).await?;
    Ok(shown(&seen, row(&seen)))
}

/// Ends an admin key for good, on every instance.
#[utoipa::path(delete, path = "/admin-keys/{key}", tag = "admin keys", params(("key" = String, Path)),
    responses((status = 204)))]
pub(super) async fn delete_admin_key(
    State(admin): State<Admin>,
    by: By,
    Path(named): Path<String>,
) -> Result<Response, Problem> {
    let done = admin.registrar.delete_admin_key(&by, &named).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

fn row(record: &AdminKeyRecord) -> AdminKeyRow {
    AdminKeyRow {
        id: record.id,
        key: format!("dw_admin_{}", record.handle),
        name: record.name.clone(),
        created_at: record.created_at.unix(),
    }
}
