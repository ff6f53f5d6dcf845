//! What answers over HTTP, each part on a listener of its own.

use std::sync::Arc;

use axum::Router;
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;

use super::instance::Instance;
use super::listeners::Listeners;
use crate::http::admin::{self, Admin, Doorkeeper};
use crate::http::auth::{self, Auth};
use crate::http::forward::{self, Askers, Forward};
use crate::http::{decisions, explain, status};
use crate::server::{Listener, OwnersOnly, serve_http};
use crate::telemetry::Traces;

pub(super) struct Doors {
    /// For admin keys.
    admin: Router,
    /// The same for whoever may open the socket's file.
    socket: Router,
    doorkeeper: Doorkeeper,
    auth: Router,
    status: Router,
}

impl Doors {
    pub(super) fn of(instance: &Instance, traces: Option<Arc<Traces>>) -> Self {
        let Instance { config, clock, telemetry, checker, registrar, attempts, .. } = instance;
        let catalog = instance.compiler.catalog();
        let decisions = decisions::desk(Arc::clone(telemetry), Arc::clone(&catalog), Arc::clone(registrar));
        let admin = admin::router(
            Admin {
                registrar: Arc::clone(registrar),
                clock: clock.clone(),
                backup: instance.backing.backup(),
                body_limit: config.limits.admin_body_bytes.value.bytes(),
            },
            explain::desk(Arc::clone(checker)).merge(decisions),
        );
        let auth = auth::router(Auth {
            registrar: Arc::clone(registrar),
            catalog: Arc::clone(&catalog),
            clock: clock.clone(),
            attempts: Arc::clone(attempts),
            jwt_lives: config.lifetimes.jwt.value.0,
            body_limit: config.limits.auth_body_bytes.value.bytes(),
            arriving: Arc::new(Semaphore::new((config.limits.auth_connections.value / 2).max(1) as usize)),
        });
        let forward = forward::router(Forward {
            checker: Arc::clone(checker),
            catalog,
            askers: Arc::new(Askers::new(config.forward_auth.peers())),
            traces,
        });
        Self {
            socket: admin::socket(admin.clone()),
            admin,
            doorkeeper: Doorkeeper::new(Arc::clone(registrar), Arc::clone(attempts)),
            auth: auth.merge(forward),
            status: status::router(Arc::clone(telemetry), Arc::clone(&instance.readiness)),
        }
    }

    /// Opens all of them, until they are told to stop; the listener that is left is that of checks.
    pub(super) fn open(self, listeners: Listeners, stopping: &Receiver<bool>) -> (JoinSet<()>, Listener) {
        let Listeners { grpc, auth, admin_socket, admin, status } = listeners;
        let mut open = JoinSet::new();
        open.spawn(serve_http(OwnersOnly(admin_socket), self.socket, stopping.clone()));
        open.spawn(serve_http(admin, admin::tcp(self.admin, self.doorkeeper), stopping.clone()));
        open.spawn(serve_http(auth, self.auth, stopping.clone()));
        open.spawn(serve_http(status, self.status, stopping.clone()));
        (open, grpc)
    }
}
