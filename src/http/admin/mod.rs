//! The admin API, in Kong's paths and shapes for what Kong has.
//!
//! Served on the socket in the data directory, where the file's mode is the permission, and called
//! in process by commands that find no server running.

mod answer;
mod consumers;
mod keys;
mod networks;
mod store;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use self::consumers::{create_consumer, delete_consumer, list_consumers, show_consumer};
use self::keys::{create_key, list_keys, list_keys_of, revoke_key, show_key};
use self::store::back_up;
use super::everywhere;
use super::problem::Problem;
use crate::clock::Clock;
use crate::issue::Issuer;

/// What the admin API works with.
#[derive(Clone)]
pub struct Admin {
    pub issuer: Arc<Issuer>,
    pub clock: Clock,
    /// Writes a consistent copy of the store to a path of the server's machine.
    pub backup: Arc<dyn Fn(PathBuf) -> Result<(), String> + Send + Sync>,
    /// Bytes.
    pub body_limit: usize,
}

pub fn router(admin: Admin) -> Router {
    let body_limit = DefaultBodyLimit::max(admin.body_limit);
    Router::new()
        .route("/consumers", get(list_consumers).post(create_consumer))
        .route("/consumers/{consumer}", get(show_consumer).delete(delete_consumer))
        .route("/consumers/{consumer}/key-auth", get(list_keys_of).post(create_key))
        .route("/key-auths", get(list_keys))
        .route("/key-auths/{key}", get(show_key).delete(revoke_key))
        .route("/store/backup", post(back_up))
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(body_limit)
        .layer(from_fn_with_state(Arc::clone(&admin.issuer), everywhere::wait))
        .with_state(admin)
}
