//! `/signing-keys`: what our own JWTs are signed with.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Admin;
use super::answer::written;
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::By;
use crate::store::record::{SigningKeyRecord, SigningKeysRecord};

#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RotationBody {
    /// Also where the staged key was published only now, so that others may not know it yet.
    now: bool,
}

/// The public side of a signing key.
#[derive(Serialize, ToSchema)]
pub(super) struct SigningKeyRow {
    /// The `kid` of its tokens, and the thumbprint (RFC 7638) of the key.
    id: String,
    /// `staged`: published, and signs next; `primary`: signs; `secondary`: has signed, and verifies until its
    /// last token has ended.
    state: &'static str,
    algorithm: &'static str,
    /// Since when it stands there, in seconds since the Unix epoch.
    since: i64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct SigningKeyPage {
    data: Vec<SigningKeyRow>,
    /// Always null: there are few.
    next: Option<String>,
}

/// What our own JWTs are signed with, in the order of their lives; none without `public_url`.
#[utoipa::path(get, path = "/signing-keys", tag = "signing keys", responses((status = 200, body = SigningKeyPage)))]
pub(super) async fn list_signing_keys(
    State(admin): State<Admin>,
) -> Result<axum::Json<SigningKeyPage>, Problem> {
    Ok(axum::Json(page(admin.registrar.signing_key_records().await?.as_ref())))
}

/// Has the staged key sign from now on, and stages a new one. Every token stays good.
#[utoipa::path(post, path = "/signing-keys/rotate", tag = "signing keys", request_body = RotationBody,
    responses((status = 200, body = SigningKeyPage), (status = 404, description = "There are none yet")))]
pub(super) async fn rotate_signing_keys(
    State(admin): State<Admin>,
    by: By,
    Body(body): Body<RotationBody>,
) -> Result<Response, Problem> {
    let done = admin.registrar.rotate_signing_keys(&by, body.now).await?;
    Ok(written(StatusCode::OK, &done, Some(json!(page(Some(&done.value))))))
}

/// Takes a key away, because somebody else has it: every token of it ends, on every instance.
#[utoipa::path(delete, path = "/signing-keys/{key}", tag = "signing keys", params(("key" = String, Path)),
    responses((status = 204)))]
pub(super) async fn revoke_signing_key(
    State(admin): State<Admin>,
    by: By,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let done = admin.registrar.revoke_signing_key(&by, &id).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

fn page(keys: Option<&SigningKeysRecord>) -> SigningKeyPage {
    let row = |state, key: &SigningKeyRecord| SigningKeyRow {
        id: key.id.clone(),
        state,
        algorithm: "ES256",
        since: key.since.unix(),
    };
    let mut data = Vec::new();
    if let Some(SigningKeysRecord { staged, primary, secondary }) = keys {
        data.extend([row("staged", staged), row("primary", primary)]);
        data.extend(secondary.iter().map(|key| row("secondary", key)));
    }
    SigningKeyPage { data, next: None }
}
