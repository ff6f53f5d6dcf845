//! `/consumers`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Admin;
use super::answer::{Page, Paging, list, paging, written};
use super::networks::{NetworksBody, networks, networks_row};
use crate::domain::consumer::Consumer;
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{By, NewConsumer};
use crate::store::record::ConsumerRecord;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsumerBody {
    id: Option<Uuid>,
    username: Option<String>,
    custom_id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    networks: NetworksBody,
}

/// Consumers, page by page.
#[utoipa::path(get, path = "/consumers", tag = "consumers", params(Page), responses((status = 200, body = Value)))]
pub(super) async fn list_consumers(State(admin): State<Admin>, page: Paging) -> Result<Response, Problem> {
    let (after, size) = paging(page)?;
    let stored = admin.issuer.consumers(after, size + 1).await?;
    let mut rows: Vec<Value> = stored.iter().take(size).map(consumer_row).collect();
    let last = stored.get(size.wrapping_sub(1)).filter(|_| stored.len() > size).map(|record| record.id);
    if last.is_none() {
        // What the file declares stands at the end of the last page.
        rows.extend(admin.issuer.declared_consumers().iter().map(|consumer| declared_row(consumer)));
    }
    Ok(list("/consumers", rows, last, size))
}

/// Makes a consumer.
#[utoipa::path(post, path = "/consumers", tag = "consumers", request_body = ConsumerBody, responses((status = 201, body = Value)))]
pub(super) async fn create_consumer(
    State(admin): State<Admin>,
    by: By,
    Body(body): Body<ConsumerBody>,
) -> Result<Response, Problem> {
    let new = NewConsumer {
        id: body.id,
        username: body.username,
        custom_id: body.custom_id,
        tags: body.tags,
        groups: body.groups,
        permissions: body.permissions,
        networks: networks(body.networks)?,
    };
    let done = admin.issuer.create_consumer(&by, new).await?;
    Ok(written(StatusCode::CREATED, &done, Some(consumer_row(&done.value))))
}

/// One consumer, by id or username.
#[utoipa::path(get, path = "/consumers/{consumer}", tag = "consumers", params(("consumer" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_consumer(
    State(admin): State<Admin>,
    Path(named): Path<String>,
) -> Result<Response, Problem> {
    let row = match admin.issuer.declared_consumer(&named) {
        Some(declared) => declared_row(&declared),
        None => consumer_row(&admin.issuer.consumer(&named).await?),
    };
    Ok(axum::Json(row).into_response())
}

/// Deletes a consumer with all that it owns.
#[utoipa::path(delete, path = "/consumers/{consumer}", tag = "consumers", params(("consumer" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_consumer(
    State(admin): State<Admin>,
    by: By,
    Path(named): Path<String>,
) -> Result<Response, Problem> {
    let done = admin.issuer.delete_consumer(&by, &named).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

fn consumer_row(record: &ConsumerRecord) -> Value {
    json!({
        "id": record.id,
        "username": record.username,
        "custom_id": record.custom_id,
        "tags": record.tags,
        "groups": record.groups,
        "permissions": record.permissions,
        "networks": networks_row(&record.networks),
        "enabled": record.enabled,
        "created_at": record.created_at.unix(),
        "updated_at": record.updated_at.unix(),
    })
}

fn declared_row(consumer: &Consumer) -> Value {
    json!({
        "id": consumer.id,
        "username": consumer.username,
        "custom_id": consumer.custom_id,
        "tags": [],
        "groups": consumer.groups,
        "permissions": consumer.permissions,
        "networks": networks_row(&consumer.networks),
        "enabled": consumer.enabled,
        "declared_in_file": true,
    })
}
