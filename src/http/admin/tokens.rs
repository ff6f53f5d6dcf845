//! `/tokens`: opaque tokens, until a day after they expired.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::access_keys::named;
use super::answer::{shown, written};
use super::call::Call;
use super::page::{Asked, Page, Paging, Row};
use crate::domain::token::{Scope, Token};
use crate::http::problem::Problem;

/// A token, without its text.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenRow {
    id: Uuid,
    /// `dynamic` or `subject`.
    kind: &'static str,
    consumer: Uuid,
    /// Of a dynamic one: the service that it opens.
    service: Option<Uuid>,
    /// Of a subject one: what it was bought with.
    access_key: Option<Uuid>,
    project_id: Option<Uuid>,
    /// As they were issued; it acts with those that its consumer still has.
    roles: Vec<String>,
    /// Seconds since the Unix epoch.
    expires_at: i64,
    created_at: i64,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `list` writes")]
pub(super) struct TokenPage {
    data: Vec<TokenRow>,
    /// The next page; null on the last one.
    next: Option<String>,
    /// Absent on the last page.
    #[schema(required = false, nullable = false)]
    offset: Option<String>,
}

/// Tokens, page by page.
#[utoipa::path(get, path = "/tokens", tag = "tokens", params(Asked), responses((status = 200, body = TokenPage)))]
pub(super) async fn list_tokens(call: Call, asked: Paging) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let (found, last) = page.read(|after, limit| call.registrar.tokens(after, limit)).await?;
    Ok(page.answer("/tokens", found.iter().map(|token| json!(row(token))).collect(), last))
}

/// One token, by its id.
#[utoipa::path(get, path = "/tokens/{id}", tag = "tokens", params(("id" = Uuid, Path)),
    responses((status = 200, body = TokenRow)))]
pub(super) async fn show_token(call: Call, Path(id): Path<String>) -> Result<Response, Problem> {
    let seen = call.registrar.token(&named(&id)?).await?;
    Ok(shown(&seen, row(&seen)))
}

/// Ends a token on every instance.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = Uuid, Path)),
    responses((status = 204)))]
pub(super) async fn end_token(call: Call, Path(id): Path<String>) -> Result<Response, Problem> {
    let seen = call.registrar.token(&named(&id)?).await?;
    let done = call.registrar.end_token(&call.by, seen).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

impl Row for Token {
    fn id(&self) -> Uuid {
        self.id
    }
}

fn row(token: &Token) -> TokenRow {
    let row = TokenRow {
        id: token.id,
        kind: token.scope.kind().name(),
        consumer: token.consumer,
        service: None,
        access_key: None,
        project_id: None,
        roles: Vec::new(),
        expires_at: token.expires_at.unix(),
        created_at: token.created_at.unix(),
    };
    match &token.scope {
        Scope::Dynamic { service, .. } => TokenRow { service: Some(*service), ..row },
        Scope::Subject { access_key, project, roles, .. } => TokenRow {
            access_key: Some(*access_key),
            project_id: Some(*project),
            roles: roles.clone(),
            ..row
        },
    }
}
