//! `/store`: what is done with the store as a whole.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::Admin;
use super::answer::Body;
use crate::http::problem::Problem;
use crate::issue::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupBody {
    /// Absolute.
    path: PathBuf,
}

pub(super) async fn back_up(State(admin): State<Admin>, body: Body<BackupBody>) -> Result<Response, Problem> {
    let axum::Json(BackupBody { path }) = body?;
    if !path.is_absolute() {
        let why = "must be an absolute path".into();
        return Err(Refusal::Invalid { field: "path", why }.into());
    }
    let backup = Arc::clone(&admin.backup);
    let copied = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || backup(path)).await
    };
    copied.map_err(|_| Problem::Internal)?.map_err(|why| Refusal::Invalid { field: "path", why })?;
    Ok(axum::Json(json!({ "path": path })).into_response())
}
