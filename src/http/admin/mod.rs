//! The admin API, in Kong's paths and shapes for what Kong has.
//!
//! Served on the socket in the data directory, where the file's mode is the permission, and on TCP for
//! admin keys; called in process by commands that find no server running. `desk` has the routes with
//! their rights, `door` says who calls.

mod admin_keys;
mod answer;
mod audit;
mod consumers;
mod desk;
mod door;
mod keys;
mod networks;
mod openapi;
mod shape;
mod status;
mod store;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use utoipa_axum::routes;

pub use self::desk::{Desk, Right, Rights, Route};
pub use self::door::{Doorkeeper, Peer, socket, tcp};
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

/// Every route with what it works with; `more` are those of others.
pub fn router(admin: Admin, more: Desk<()>) -> Router {
    let (issuer, body_limit) = (Arc::clone(&admin.issuer), admin.body_limit);
    openapi::with_its_own(desk().with_state(admin).merge(more)).finish(Some(issuer), body_limit).0
}

/// Every route of the store's objects.
fn desk() -> Desk<Admin> {
    use Right::Everything;
    Desk::new()
        .route(Everything, routes!(admin_keys::list_admin_keys, admin_keys::create_admin_key))
        .route(Everything, routes!(admin_keys::show_admin_key, admin_keys::delete_admin_key))
        .route(Everything, routes!(audit::list_audit))
        .route(Everything, routes!(audit::verify_audit))
        .route(Everything, routes!(consumers::list_consumers, consumers::create_consumer))
        .route(Everything, routes!(consumers::show_consumer, consumers::delete_consumer))
        .route(Everything, routes!(keys::list_keys_of, keys::create_key))
        .route(Everything, routes!(keys::list_keys))
        .route(Everything, routes!(keys::show_key, keys::revoke_key))
        .route(Everything, routes!(status::status))
        .route(Everything, routes!(store::back_up))
}
