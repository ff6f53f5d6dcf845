//! The admin API, in Kong's paths and shapes for what Kong has.
//!
//! Served on the socket in the data directory, where the file's mode is the permission, and on TCP for
//! admin keys; called in process by commands that find no server running. `desk` has the routes with
//! their rights, `door` says who calls.

mod access_keys;
mod acls;
mod admin_keys;
mod answer;
mod audit;
mod basics;
mod call;
mod consumers;
mod credentials;
mod desk;
mod door;
mod given;
mod import;
mod jwts;
mod keys;
mod networks;
mod objects;
mod openapi;
mod page;
mod password;
mod sessions;
mod shape;
mod signing_keys;
mod status;
mod store;
mod tag;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use http::Uri;
use tower::util::MapRequest;
use utoipa_axum::routes;

pub use self::answer::segment;
pub use self::desk::{Desk, Right, Rights, Route};
pub use self::door::{Doorkeeper, socket, tcp};
pub use self::objects::plugins::plugin_names;
pub use self::store::NotCopied;
use crate::clock::Clock;
use crate::issue::Registrar;

/// What the admin API works with.
#[derive(Clone)]
pub struct Admin {
    pub registrar: Arc<Registrar>,
    pub clock: Clock,
    /// Writes a consistent copy of the store to a path of the server's machine.
    pub backup: Arc<dyn Fn(PathBuf) -> Result<(), NotCopied> + Send + Sync>,
    /// Bytes.
    pub body_limit: usize,
}

/// Every route with what it works with; `more` are those of others.
pub fn router(admin: Admin, more: Desk<()>) -> Router {
    let (registrar, body_limit) = (Arc::clone(&admin.registrar), admin.body_limit);
    let desk = desk().with_state(admin).merge(more);
    let router = openapi::with_its_own(desk).finish(Some(registrar), body_limit).0;
    Router::new().fallback_service(MapRequest::new(router, without_trailing_slash))
}

/// As in Kong, `/consumers/` is `/consumers`.
fn without_trailing_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty()) else { return request };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(shorter) = Uri::try_from(format!("{path}{query}")) {
        *request.uri_mut() = shorter;
    }
    request
}

/// Every route of the store's objects.
fn desk() -> Desk<Admin> {
    use Right::Everything;
    Desk::new()
        .route(Everything, routes!(admin_keys::list_admin_keys, admin_keys::create_admin_key))
        .route(Everything, routes!(admin_keys::show_admin_key, admin_keys::delete_admin_key))
        .route(Everything, routes!(access_keys::list_access_keys, access_keys::create_access_key))
        .route(Everything, routes!(access_keys::show_access_key, access_keys::delete_access_key))
        .route(Everything, routes!(tokens::list_tokens))
        .route(Everything, routes!(tokens::show_token, tokens::end_token))
        .route(Everything, routes!(sessions::list_sessions))
        .route(Everything, routes!(sessions::show_session, sessions::end_session))
        .route(Everything, routes!(audit::list_audit))
        .route(Everything, routes!(audit::verify_audit))
        .route(Everything, routes!(audit::list_chains))
        .route(Everything, routes!(audit::retire_chain))
        .route(Everything, routes!(import::import))
        .route(Everything, routes!(signing_keys::list_signing_keys))
        .route(Everything, routes!(signing_keys::rotate_signing_keys))
        .route(Everything, routes!(signing_keys::revoke_signing_key))
        .route(Everything, routes!(status::status))
        .route(Everything, routes!(store::back_up))
        .merge(kong())
        .merge(objects::desk())
}

/// Kong's paths for what consumers own.
fn kong() -> Desk<Admin> {
    use Right::Everything;
    Desk::new()
        .route(Everything, routes!(consumers::list_consumers, consumers::create_consumer))
        .route(
            Everything,
            routes!(
                consumers::show_consumer,
                consumers::put_consumer,
                consumers::patch_consumer,
                consumers::delete_consumer
            ),
        )
        .route(Everything, routes!(keys::list_keys, keys::create_key))
        .route(Everything, routes!(keys::show_key, keys::put_key, keys::patch_key, keys::revoke_key))
        .route(Everything, routes!(keys::show_owner, keys::put_owner, keys::patch_owner))
        .route(Everything, routes!(keys::list_keys_of, keys::create_key_of))
        .route(
            Everything,
            routes!(keys::show_key_of, keys::put_key_of, keys::patch_key_of, keys::revoke_key_of),
        )
        .route(Everything, routes!(keys::rotate_key))
        .route(Everything, routes!(acls::list_acls, acls::create_acl))
        .route(Everything, routes!(acls::show_acl, acls::put_acl, acls::patch_acl, acls::delete_acl))
        .route(Everything, routes!(acls::show_owner))
        .route(Everything, routes!(acls::list_acls_of, acls::create_acl_of))
        .route(
            Everything,
            routes!(acls::show_acl_of, acls::put_acl_of, acls::patch_acl_of, acls::delete_acl_of),
        )
        .route(Everything, routes!(password::set_password))
        .merge(credentials::desk::<basics::BasicBody>())
        .merge(credentials::desk::<jwts::JwtBody>())
}
