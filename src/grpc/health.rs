//! `grpc.health.v1`: is there a server, and may it judge.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tonic::codegen::tokio_stream::wrappers::WatchStream;
use tonic::codegen::tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as Service, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::AUTHORIZATION;

/// What health checks are told. Clones share one state.
///
/// Two names are known: `""` serves from the start until [`shutdown`](Self::shutdown), whatever
/// befalls the store, so that nobody restarts a server for an outage elsewhere;
/// `envoy.service.auth.v3.Authorization` serves while [`set_ready`](Self::set_ready) says so. Any
/// other is NOT_FOUND.
#[derive(Clone)]
pub struct Health {
    server: Arc<watch::Sender<Phase>>,
    checks: Arc<watch::Sender<Phase>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    NotReady,
    Ready,
    /// On the way out; nothing makes it ready again.
    Stopping,
    /// Who still watches is let go, so that connections can close.
    Ended,
}

impl Default for Health {
    fn default() -> Self {
        let phase = |phase| Arc::new(watch::Sender::new(phase));
        Self { server: phase(Phase::Ready), checks: phase(Phase::NotReady) }
    }
}

impl Health {
    /// Whether checks can be answered: loaded, and within the lease. Has no effect after `shutdown`.
    pub fn set_ready(&self, ready: bool) {
        let next = if ready { Phase::Ready } else { Phase::NotReady };
        self.checks.send_if_modified(|phase| {
            let changes = *phase != next && matches!(phase, Phase::NotReady | Phase::Ready);
            if changes {
                *phase = next;
            }
            changes
        });
    }

    /// Whether `envoy.service.auth.v3.Authorization` is SERVING.
    pub fn is_ready(&self) -> bool {
        *self.checks.borrow() == Phase::Ready
    }

    /// NOT_SERVING under both names, for good.
    pub fn shutdown(&self) {
        for name in [&self.server, &self.checks] {
            name.send_if_modified(|phase| {
                let changes = !matches!(phase, Phase::Stopping | Phase::Ended);
                if changes {
                    *phase = Phase::Stopping;
                }
                changes
            });
        }
    }

    /// Ends every Watch: each would hold its connection open for ever.
    pub(crate) fn end(&self) {
        self.server.send_replace(Phase::Ended);
        self.checks.send_replace(Phase::Ended);
    }

    pub(super) fn service(&self) -> HealthServer<impl Service> {
        HealthServer::new(self.clone())
    }

    fn named(&self, name: &str) -> Result<&watch::Sender<Phase>, Status> {
        match name {
            "" => Ok(&self.server),
            AUTHORIZATION => Ok(&self.checks),
            _ => Err(Status::not_found(format!("known are \"\" and \"{AUTHORIZATION}\""))),
        }
    }
}

#[tonic::async_trait]
impl Service for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let phase = *self.named(&request.get_ref().service)?.borrow();
        Ok(Response::new(said(phase)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let phases = WatchStream::new(self.named(&request.get_ref().service)?.subscribe());
        let answers = phases.map_while(|phase| (phase != Phase::Ended).then(|| Ok(said(phase))));
        Ok(Response::new(Box::pin(answers)))
    }
}

fn said(phase: Phase) -> HealthCheckResponse {
    let status = match phase {
        Phase::Ready => ServingStatus::Serving,
        Phase::NotReady | Phase::Stopping | Phase::Ended => ServingStatus::NotServing,
    };
    HealthCheckResponse { status: status.into() }
}
