//! `/projects/{project}/users/{consumer}/roles/{role}`: who has which role in a project.

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::put;
use http::StatusCode;

use super::describe::{Route, described};
use crate::http::admin::answer::written;
use crate::http::admin::{Admin, Desk, Right};
use crate::http::problem::Problem;
use crate::issue::{By, InProject};

type Names = Path<(String, String, String)>;

pub(super) fn desk() -> Desk<Admin> {
    let path = "/projects/{project}/users/{consumer}/roles/{role}".to_owned();
    Desk::new().route(Right::Everything, described(&Route::ProjectRole { path }, put(give).delete(take)))
}

async fn give(
    State(admin): State<Admin>,
    by: By,
    Path((project, consumer, role)): Names,
) -> Result<Response, Problem> {
    let role = InProject { project: &project, consumer: &consumer, role: &role };
    let done = admin.registrar.give_role(&by, role).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

async fn take(
    State(admin): State<Admin>,
    by: By,
    Path((project, consumer, role)): Names,
) -> Result<Response, Problem> {
    let role = InProject { project: &project, consumer: &consumer, role: &role };
    let done = admin.registrar.take_role(&by, role).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}
