//! `/acls` and `/consumers/…/acls`: who is in which group.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::answer::{nothing_if_empty, segment, shown, written};
use super::call::Call;
use super::consumers;
use super::given::{ConsumerNamed, owner, set, stays};
use super::page::{Asked, Page, Paging, Row};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{Done, Member, MembershipChange, NewMembership, Refusal, Seen, Set, id_of};

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AclBody {
    id: Option<Uuid>,
    group: Option<String>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<Vec<String>>)]
    tags: Set<Vec<String>>,
    #[serde(default, deserialize_with = "set")]
    #[schema(value_type = Option<ConsumerNamed>)]
    pub(super) consumer: Set<ConsumerNamed>,
}

impl AclBody {
    pub(super) fn into_new(self) -> Result<NewMembership, Problem> {
        let missing = || Refusal::Invalid { field: "group", why: "required field missing".into() };
        Ok(NewMembership {
            id: self.id,
            group: self.group.ok_or_else(missing)?,
            tags: self.tags.flatten().unwrap_or_default(),
        })
    }
}

impl Row for Member {
    fn id(&self) -> Uuid {
        self.membership.id
    }

    fn tags(&self) -> &[String] {
        &self.membership.tags
    }
}

/// Page by page.
#[utoipa::path(get, path = "/acls", tag = "groups", params(Asked), responses((status = 200, body = Value)))]
pub(super) async fn list_acls(call: Call, asked: Paging) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let (found, last) = page.read(|after, limit| call.registrar.memberships(after, limit)).await?;
    Ok(page.answer("/acls", found.iter().map(row).collect(), last))
}

/// A consumer's, page by page.
#[utoipa::path(get, path = "/consumers/{consumer}/acls", tag = "groups", params(("consumer" = String, Path), Asked), responses((status = 200, body = Value)))]
pub(super) async fn list_acls_of(
    call: Call,
    Path(consumer): Path<String>,
    asked: Paging,
) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let read = |after, limit| call.registrar.memberships_of(&consumer, after, limit);
    let (found, last) = page.read(read).await?;
    let path = format!("/consumers/{}/acls", segment(&consumer));
    Ok(page.answer(&path, found.iter().map(row).collect(), last))
}

/// Makes one; the body names its consumer.
#[utoipa::path(post, path = "/acls", tag = "groups", request_body = AclBody, responses((status = 201, body = Value)))]
pub(super) async fn create_acl(call: Call, Body(mut body): Body<AclBody>) -> Result<Response, Problem> {
    let owner = owner(&call.registrar, body.consumer.take()).await?.id();
    join(&call, StatusCode::CREATED, owner, body).await
}

/// Makes one for a consumer.
#[utoipa::path(post, path = "/consumers/{consumer}/acls", tag = "groups", params(("consumer" = String, Path)), request_body = AclBody, responses((status = 201, body = Value)))]
pub(super) async fn create_acl_of(
    call: Call,
    Path(consumer): Path<String>,
    Body(mut body): Body<AclBody>,
) -> Result<Response, Problem> {
    let owner = call.registrar.owner(&consumer).await?.id();
    stays(&call.registrar, body.consumer.take(), owner).await?;
    join(&call, StatusCode::CREATED, owner, body).await
}

async fn join(call: &Call, status: StatusCode, owner: Uuid, body: AclBody) -> Result<Response, Problem> {
    let done = call.registrar.join_group(&call.by, &owner.to_string(), body.into_new()?).await?;
    Ok(written(status, &done, Some(row(&done.value))))
}

/// One of them.
#[utoipa::path(get, path = "/acls/{acl}", tag = "groups", params(("acl" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_acl(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let member = call.registrar.membership(&given_id(&named)?).await?;
    Ok(shown(&member, row(&member)))
}

/// One of a consumer's.
#[utoipa::path(get, path = "/consumers/{consumer}/acls/{acl}", tag = "groups", params(("consumer" = String, Path), ("acl" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_acl_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let member = call.registrar.membership_of(&consumer, &named).await?;
    Ok(shown(&member, row(&member)))
}

/// A group may be called anything, so without its consumer it names nothing.
fn given_id(named: &str) -> Result<Uuid, Problem> {
    let invalid = || Refusal::Invalid { field: "id", why: "expected a valid UUID".into() };
    Ok(id_of(named).ok_or_else(invalid)?)
}

/// Changes what is sent.
#[utoipa::path(patch, path = "/acls/{acl}", tag = "groups", params(("acl" = String, Path)), request_body = AclBody, responses((status = 200, body = Value)))]
pub(super) async fn patch_acl(
    call: Call,
    Path(named): Path<String>,
    Body(body): Body<AclBody>,
) -> Result<Response, Problem> {
    let member = call.registrar.membership(&given_id(&named)?).await?;
    patch(&call, &member, body).await
}

/// Changes what is sent of a consumer's.
#[utoipa::path(patch, path = "/consumers/{consumer}/acls/{acl}", tag = "groups", params(("consumer" = String, Path), ("acl" = String, Path)), request_body = AclBody, responses((status = 200, body = Value)))]
pub(super) async fn patch_acl_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
    Body(body): Body<AclBody>,
) -> Result<Response, Problem> {
    let member = call.registrar.membership_of(&consumer, &named).await?;
    patch(&call, &member, body).await
}

async fn patch(call: &Call, member: &Member, mut body: AclBody) -> Result<Response, Problem> {
    stays(&call.registrar, body.consumer.take(), member.consumer).await?;
    if body.id.is_some_and(|id| id != member.membership.id) {
        return Err(Refusal::Invalid { field: "id", why: "cannot be changed".into() }.into());
    }
    let change = MembershipChange { group: body.group, tags: body.tags.map(Option::unwrap_or_default) };
    changed(call.registrar.change_membership(&call.by, member, &change).await?)
}

fn changed(done: Done<Member>) -> Result<Response, Problem> {
    Ok(written(StatusCode::OK, &done, Some(row(&done.value))))
}

/// Makes one, or puts it in the place of the one that is there.
#[utoipa::path(put, path = "/acls/{acl}", tag = "groups", params(("acl" = String, Path)), request_body = AclBody, responses((status = 200, body = Value)))]
pub(super) async fn put_acl(
    call: Call,
    Path(named): Path<String>,
    Body(mut body): Body<AclBody>,
) -> Result<Response, Problem> {
    let id = given_id(&named)?;
    let owner = owner(&call.registrar, body.consumer.take()).await?.id();
    match call.registrar.membership(&id).await {
        Ok(member) if member.consumer != owner => Err(Problem::AnothersCredential),
        found => put(&call, owner, found, AclBody { id: Some(id), ..body }).await,
    }
}

/// Makes one for a consumer, or puts it in the place of the one that is there.
#[utoipa::path(put, path = "/consumers/{consumer}/acls/{acl}", tag = "groups", params(("consumer" = String, Path), ("acl" = String, Path)), request_body = AclBody, responses((status = 200, body = Value)))]
pub(super) async fn put_acl_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
    Body(mut body): Body<AclBody>,
) -> Result<Response, Problem> {
    let owner = call.registrar.owner(&consumer).await?.id();
    stays(&call.registrar, body.consumer.take(), owner).await?;
    match id_of(&named) {
        Some(id) => body.id = Some(id),
        None => body.group = Some(named.clone()),
    }
    let found = call.registrar.membership_of(&owner.to_string(), &named).await;
    put(&call, owner, found, body).await
}

async fn put(
    call: &Call,
    owner: Uuid,
    found: Result<Seen<Member>, Refusal>,
    body: AclBody,
) -> Result<Response, Problem> {
    let member = match found {
        Ok(member) => member,
        Err(Refusal::NotFound { .. }) => return join(call, StatusCode::OK, owner, body).await,
        Err(refusal) => return Err(refusal.into()),
    };
    let NewMembership { group, tags, .. } = body.into_new()?;
    let change = MembershipChange { group: Some(group), tags: Some(tags) };
    changed(call.registrar.change_membership(&call.by, &member, &change).await?)
}

/// Ends it for good.
#[utoipa::path(delete, path = "/acls/{acl}", tag = "groups", params(("acl" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_acl(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let member = call.registrar.membership(&given_id(&named)?).await?;
    let done = call.registrar.leave_group(&call.by, &member).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// Ends a consumer's for good.
#[utoipa::path(delete, path = "/consumers/{consumer}/acls/{acl}", tag = "groups", params(("consumer" = String, Path), ("acl" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_acl_of(
    call: Call,
    Path((consumer, named)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let member = call.registrar.membership_of(&consumer, &named).await?;
    let done = call.registrar.leave_group(&call.by, &member).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

/// The consumer whose it is.
#[utoipa::path(get, path = "/acls/{acl}/consumer", tag = "groups", operation_id = "show_owner_of_acls", params(("acl" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn show_owner(call: Call, Path(named): Path<String>) -> Result<Response, Problem> {
    let owner = call.registrar.membership(&given_id(&named)?).await?.consumer;
    consumers::show(&call, &owner.to_string()).await
}

fn row(member: &Member) -> Value {
    json!({
        "id": member.membership.id,
        "group": member.membership.group,
        "tags": nothing_if_empty(&member.membership.tags),
        "consumer": { "id": member.consumer },
        "created_at": member.membership.created_at.unix(),
    })
}
