//! `listen.auth`: logins and tokens, for everybody. Envoys route to it without asking.
//!
//! A file for each document or family of paths, with its routes; `door` stands in front of all of them.

mod access_keys;
mod door;
mod field;
mod identity;
mod kala;
mod key_set;
mod kuroco;
mod oauth;
mod outcome;
mod service;
mod session_cookie;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::domain::catalog::Catalog;
use crate::http::problem::Problem;
use crate::issue::{Attempts, Registrar};

/// What the routes work with.
#[derive(Clone)]
pub struct Auth {
    pub registrar: Arc<Registrar>,
    /// Says whose word about a client's address is taken.
    pub catalog: Arc<ArcSwap<Catalog>>,
    pub clock: Clock,
    /// Where logins are noted that were not looked at.
    pub attempts: Arc<Attempts>,
    /// How long JWTs live.
    pub jwt_lives: Duration,
    /// Bytes.
    pub body_limit: usize,
    /// For bodies that are under way through a peer of `forward_auth`: fewer than it has connections. Else
    /// those of strangers, who come through it, would take all that it asks about requests with.
    pub arriving: Arc<Semaphore>,
}

/// Every route, behind the door. Whoever serves it says who is at the other end, by a [`Peer`] as
/// connect info.
///
/// [`Peer`]: crate::http::Peer
pub fn router(auth: Auth) -> Router {
    Router::new()
        .merge(kala::routes())
        .merge(key_set::routes())
        .merge(identity::routes())
        .merge(access_keys::routes())
        .merge(oauth::routes())
        .merge(kuroco::routes())
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .with_state(auth.clone())
        .layer(from_fn_with_state(auth, door::admit))
}
