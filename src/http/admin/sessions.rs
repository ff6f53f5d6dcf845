//! `/sessions`: signed-in browsers.

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
use crate::domain::session::Session;
use crate::http::problem::Problem;

/// A session, without what is in its cookie.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionRow {
    id: Uuid,
    consumer: Uuid,
    /// Seconds since the Unix epoch.
    created_at: i64,
    /// Whatever its use.
    expires_at: i64,
    /// Seconds without use after which it ends.
    idle: u64,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `list` writes")]
pub(super) struct SessionPage {
    data: Vec<SessionRow>,
    /// The next page; null on the last one.
    next: Option<String>,
    /// Absent on the last page.
    #[schema(required = false, nullable = false)]
    offset: Option<String>,
}

/// Sessions, page by page.
#[utoipa::path(get, path = "/sessions", tag = "sessions", params(Asked),
    responses((status = 200, body = SessionPage)))]
pub(super) async fn list_sessions(call: Call, asked: Paging) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let (found, last) = page.read(|after, limit| call.registrar.sessions(after, limit)).await?;
    Ok(page.answer("/sessions", found.iter().map(|session| json!(row(session))).collect(), last))
}

/// One session, by its id.
#[utoipa::path(get, path = "/sessions/{id}", tag = "sessions", params(("id" = Uuid, Path)),
    responses((status = 200, body = SessionRow)))]
pub(super) async fn show_session(call: Call, Path(id): Path<String>) -> Result<Response, Problem> {
    let seen = call.registrar.session(&named(&id)?).await?;
    Ok(shown(&seen, row(&seen)))
}

/// Ends a session on every instance.
#[utoipa::path(delete, path = "/sessions/{id}", tag = "sessions", params(("id" = Uuid, Path)),
    responses((status = 204)))]
pub(super) async fn end_session(call: Call, Path(id): Path<String>) -> Result<Response, Problem> {
    let seen = call.registrar.session(&named(&id)?).await?;
    let done = call.registrar.end_session(&call.by, seen).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

impl Row for Session {
    fn id(&self) -> Uuid {
        self.id
    }
}

fn row(session: &Session) -> SessionRow {
    SessionRow {
        id: session.id,
        consumer: session.consumer,
        created_at: session.created_at.unix(),
        expires_at: session.expires_at.unix(),
        idle: session.idle.as_secs(),
    }
}
