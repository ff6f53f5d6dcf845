//! `/.well-known/jwks.json`: what others verify our JWTs with.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::Auth;
use crate::http::problem::Problem;

/// RFC 7517 section 8.5.
const JWK_SET: &str = "application/jwk-set+json";

/// A key stands here for at least an hour before it signs (`lifetimes.signing_key`).
const KEPT: &str = "public, max-age=300";

pub(super) fn routes() -> Router<Auth> {
    Router::new().route("/.well-known/jwks.json", get(key_set))
}

async fn key_set(State(auth): State<Auth>) -> Result<Response, Problem> {
    let set = auth.registrar.key_set().await?;
    Ok(([(CONTENT_TYPE, JWK_SET), (CACHE_CONTROL, KEPT)], set.to_string()).into_response())
}
