//! `/consumers`.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::{nothing_if_empty, shown, written};
use super::call::Call;
use super::given::set;
use super::networks::{NetworksBody, networks, networks_row};
use super::page::{Asked, Page, Paging, Row};
use crate::domain::consumer::Consumer;
use crate::domain::role::RoleGrant;
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{ConsumerChange, NewConsumer, Refusal, Set, id_of};
use crate::store::record::ConsumerRecord;

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsumerBody {
    id: Option<Uuid>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<String>)]
    username: Set<String>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<String>)]
    custom_id: Set<String>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<String>)]
    email: Set<String>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    tags: Set<Vec<String>>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    groups: Set<Vec<String>>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    permissions: Set<Vec<String>>,
    /// By project.
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<BTreeMap<String, Vec<String>>>)]
    roles: Set<BTreeMap<String, Vec<String>>>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<NetworksBody>)]
    networks: Set<NetworksBody>,
    enabled: Option<bool>,
}

impl ConsumerBody {
    pub(super) fn into_new(self) -> Result<NewConsumer, Problem> {
        let id = self.id;
        Ok(self.change()?.into_new(id))
    }

    fn change(self) -> Result<ConsumerChange, Problem> {
        Ok(ConsumerChange {
            username: self.username,
            custom_id: self.custom_id,
            email: self.email,
            tags: self.tags.map(Option::unwrap_or_default),
            groups: self.groups.map(Option::unwrap_or_default),
            permissions: self.permissions.map(Option::unwrap_or_default),
            roles: self.roles.map(Option::unwrap_or_default),
            networks: self.networks.map(|body| networks(body.unwrap_or_default())).transpose()?,
            enabled: self.enabled,
        })
    }
}

impl Row for ConsumerRecord {
    fn id(&self) -> Uuid {
        self.id
    }

    fn tags(&self) -> &[String] {
        &self.tags
    }
}

/// Consumers, page by page.
#[utoipa::path(get, path = "/consumers", tag = "consumers", params(Asked), responses((status = 200, body = Value)))]
pub(super) async fn list_consumers(call: Call, asked: Paging) -> Result<Response, Problem> {
    let asked = asked?.0;
    if let Some(custom_id) = &asked.custom_id {
        return list_by_custom_id(&call, custom_id).await;
    }
    let page = Page::of(&asked)?;
    let read = |after, limit| call.registrar.consumers(after, limit);
    let (found, last) = page.read(read).await?;
    let mut rows: Vec<Value> = found.iter().map(consumer_row).collect();
    if last.is_none() && !page.is_filtered() {
        // What the file declares stands at the end of the last page.
        let declared = call.registrar.declared_consumers();
        rows.extend(declared.iter().map(|(consumer, email)| declared_row(consumer, email.as_deref())));
    }
    Ok(page.answer("/consumers", rows, last))
}

/// One or none, without pages.
async fn list_by_custom_id(call: &Call, custom_id: &str) -> Result<Response, Problem> {
    if custom_id.is_empty() {
        return Err(Problem::Query("custom_id must be an unempty string".into()));
    }
    let mut rows: Vec<Value> =
        call.registrar.consumer_with_custom_id(custom_id).await?.iter().map(consumer_row).collect();
    let declared = call.registrar.declared_consumers();
    let declared = declared.iter().filter(|(it, _)| it.custom_id.as_deref() == Some(custom_id));
    rows.extend(declared.map(|(consumer, email)| declared_row(consumer, email.as_deref())));
    Ok(axum::Json(json!({ "data": rows, "next": null })).into_response())
}

/// Makes a consumer.
#[utoipa::path(post, path = "/consumers", tag = "consumers", request_body = ConsumerBody, responses((status = 201, body = Value)))]
pub(super) async fn create_consumer(call: Call, Body(body): Body<ConsumerBody>) -> Result<Response, Problem> {
    let done = call.registrar.create_consumer(&call.by, body.into_new()?).await?;
    Ok(written(StatusCode::CREATED, &done, Some(consumer_row(&done.value))))
}

/// One consumer, by id or username.
#[utoipa::path(get, path = "/consumers/{consumer}", tag = "consumers", params(("consumer" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_consumer(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    show(&call, &named).await
}

/// Kong looks a consumer up by the path alone, so a body that names another id contradicts itself.
fn same_id(body: &ConsumerBody, named: &str) -> Result<(), Problem> {
    match body.id {
        Some(id) if id_of(named).is_some_and(|named| named != id) => {
            Err(Refusal::Invalid { field: "id", why: "is not the one of the path".into() }.into())
        }
        _ => Ok(()),
    }
}

/// Makes a consumer, or puts it in the place of the one that is there.
#[utoipa::path(put, path = "/consumers/{consumer}", tag = "consumers", params(("consumer" = String, Path)), request_body = ConsumerBody, responses((status = 200, body = Value)))]
pub(super) async fn put_consumer(
    call: Call,
    Path(named): Path<String>,
    Body(body): Body<ConsumerBody>,
) -> Result<Response, Problem> {
    put(&call, &named, body).await
}

/// Changes what is sent.
#[utoipa::path(patch, path = "/consumers/{consumer}", tag = "consumers", params(("consumer" = String, Path)), request_body = ConsumerBody, responses((status = 200, body = Value)))]
pub(super) async fn patch_consumer(
    call: Call,
    Path(named): Path<String>,
    Body(body): Body<ConsumerBody>,
) -> Result<Response, Problem> {
    patch(&call, &named, body).await
}

pub(super) async fn show(call: &Call, named: &str) -> Result<Response, Problem> {
    if let Some(declared) = call.registrar.declared_consumer(named) {
        let email = call.registrar.declared_email(declared.id);
        return Ok(axum::Json(declared_row(&declared, email.as_deref())).into_response());
    }
    let seen = call.registrar.consumer(named).await?;
    Ok(shown(&seen, consumer_row(&seen)))
}

pub(super) async fn put(call: &Call, named: &str, body: ConsumerBody) -> Result<Response, Problem> {
    same_id(&body, named)?;
    let done = call.registrar.put_consumer(&call.by, named, body.change()?).await?;
    Ok(written(StatusCode::OK, &done, Some(consumer_row(&done.value))))
}

pub(super) async fn patch(call: &Call, named: &str, body: ConsumerBody) -> Result<Response, Problem> {
    same_id(&body, named)?;
    let done = call.registrar.change_consumer(&call.by, named, &body.change()?).await?;
    Ok(written(StatusCode::OK, &done, Some(consumer_row(&done.value))))
}

/// Deletes a consumer and all that it owns.
#[utoipa::path(delete, path = "/consumers/{consumer}", tag = "consumers", params(("consumer" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_consumer(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    // It may take as long as there are keys, and goes on where whoever asked does not wait.
    let deleting = tokio::spawn(async move { call.registrar.delete_consumer(&call.by, &named).await });
    let done = deleting.await.map_err(|_| Problem::Internal)??;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// By project.
fn roles_row(grants: &[RoleGrant]) -> BTreeMap<String, Vec<&str>> {
    let mut roles = BTreeMap::<_, Vec<_>>::new();
    for grant in grants {
        roles.entry(grant.project.to_string()).or_default().push(&*grant.role);
    }
    roles
}

fn consumer_row(record: &ConsumerRecord) -> Value {
    json!({
        "id": record.id,
        "username": record.username,
        "custom_id": record.custom_id,
        "email": record.email,
        "tags": nothing_if_empty(&record.tags),
        "groups": record.groups.iter().map(|membership| &membership.group).collect::<Vec<_>>(),
        "permissions": record.permissions,
        "roles": roles_row(&record.roles),
        "networks": networks_row(&record.networks),
        "enabled": record.enabled,
        "created_at": record.created_at.unix(),
        "updated_at": record.updated_at.unix(),
    })
}

/// A consumer of the file: every field of a stored one, null where the file has no word for it.
fn declared_row(consumer: &Consumer, email: Option<&str>) -> Value {
    json!({
        "id": consumer.id,
        "username": consumer.username,
        "custom_id": consumer.custom_id,
        "email": email,
        "tags": null,
        "groups": consumer.given.groups,
        "permissions": consumer.given.permissions,
        "roles": roles_row(&consumer.given.roles),
        "networks": networks_row(&consumer.given.networks),
        "enabled": consumer.enabled,
        "created_at": null,
        "updated_at": null,
        "declared_in_file": true,
    })
}
