//! `/store`: what is done with the store as a whole.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admin;
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::Refusal;

/// Why there is no copy of the store.
pub enum NotCopied {
    /// Not to that path, or not of this store.
    Refused(String),
    /// The machine's: a full disk, say.
    Failed(String),
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupBody {
    /// Absolute.
    #[schema(value_type = String)]
    path: PathBuf,
}

#[derive(Serialize, ToSchema)]
struct Copied {
    #[schema(value_type = String)]
    path: PathBuf,
}

/// Writes a consistent copy of the store to a path of the server's machine.
#[utoipa::path(post, path = "/store/backup", tag = "store", request_body = BackupBody, responses((status = 200, body = Copied)))]
pub(super) async fn back_up(
    State(admin): State<Admin>,
    Body(BackupBody { path }): Body<BackupBody>,
) -> Result<Response, Problem> {
    if !path.is_absolute() {
        let why = "must be an absolute path".into();
        return Err(Refusal::Invalid { field: "path", why }.into());
    }
    let backup = Arc::clone(&admin.backup);
    let copied = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || backup(path)).await
    };
    copied.map_err(|_| Problem::Internal)?.map_err(|why| match why {
        NotCopied::Refused(why) => Refusal::Invalid { field: "path", why }.into(),
        NotCopied::Failed(why) => Problem::Failed(why),
    })?;
    Ok(axum::Json(Copied { path }).into_response())
}
