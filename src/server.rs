//! Serves checks: accepts, deals connections out to workers, drains.
//!
//! A check waits for nothing, so each worker is one thread with a runtime of its own and a
//! connection stays where it was put: half the CPU of one runtime over all threads under load. One
//! acceptor puts each connection on the worker that has the fewest, because Envoy opens one
//! connection for each of its own threads, and SO_REUSEPORT would deal so few out unevenly.

mod connection;
mod guests;
mod http1;
mod listener;
mod owners_only;
mod places;
mod tls;
mod worker;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use guests::Guests;
pub use http1::serve_http;
pub use listener::Listener;
pub use owners_only::OwnersOnly;
pub use tls::{Certificates, Tls};
use worker::Pool;

use crate::grpc::{Decide, Wire};

/// How connections are held.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that check; as many as there are cores. Never 0.
    pub workers: usize,
    /// Connections at once; 10,000. One more is closed at once.
    pub connections: usize,
    /// Of them from one address, or one IPv6 network of 64 bits; 1,000. Unix sockets have no address.
    pub connections_of_peer: usize,
    /// How long one is used, give or take a tenth; 30 minutes. Then whoever asks is told to open another.
    pub connection_age: Duration,
    /// How many there are at this moment: counted here, shown by whoever wants to.
    pub open: Arc<AtomicUsize>,
    /// Calls at once on a connection (SETTINGS_MAX_CONCURRENT_STREAMS); 1,024, as many as Envoy's
    /// circuit breaker lets out unless it is told otherwise.
    pub streams: u32,
    /// The largest header list of a call in bytes (SETTINGS_MAX_HEADER_LIST_SIZE); 96 KiB. A larger
    /// one is an RPC error, so it must hold what an Envoy copies from the client into
    /// `initial_metadata`: up to 60 KiB.
    pub header_bytes: u32,
    /// From NOT_SERVING to GOAWAY; 5 s. At least three health check intervals of the asker.
    pub drain_delay: Duration,
    /// From GOAWAY to the end, whatever is still under way; 30 s.
    pub drain_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            connections: 10_000,
            connections_of_peer: 1_000,
            connection_age: Duration::from_secs(30 * 60),
            open: Arc::default(),
            streams: 1024,
            header_bytes: 96 << 10,
            drain_delay: Duration::from_secs(5),
            drain_limit: Duration::from_secs(30),
        }
    }
}

/// Serves `listeners` until `shutdown` completes, then drains: health says NOT_SERVING, after
/// `drain_delay` nothing more is accepted and each connection is told to go away, and what is under
/// way finishes within `drain_limit`.
///
/// Dropping the future drains too, without the delay and without waiting for the end.
///
/// # Errors
///
/// Where a worker cannot start, or one died.
pub async fn serve<D: Decide>(
    listeners: Vec<Listener>,
    wire: Arc<Wire<D>>,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let health = wire.health().clone();
    let (drain, draining) = watch::channel(false);
    let pool = Arc::new(Pool::start(&wire, &settings, &draining)?);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, pool.clone()));
    }

    let stopping = async {
        shutdown.await;
        health.shutdown();
        tracing::info!(delay = ?settings.drain_delay, "draining: health says NOT_SERVING");
        tokio::time::sleep(settings.drain_delay).await;
    };
    tokio::select! {
        () = stopping => {}
        // An acceptor ends only where a worker is gone, and then half of the checks would hang.
        Some(ended) = accepting.join_next() => return ended.map_err(io::Error::other)?,
    }

    accepting.shutdown().await;
    health.end();
    drain.send_replace(true);
    tracing::info!(connections = pool.connections(), limit = ?settings.drain_limit, "draining: GOAWAY");
    let pool = Arc::into_inner(pool).ok_or_else(|| io::Error::other("an acceptor outlived its end"))?;
    pool.finish().await
}

/// Accepts for ever. Errors of `accept` end nothing: they are of one connection, or of a lack of
/// descriptors that passes.
async fn accept(listener: Listener, pool: Arc<Pool>) -> io::Result<()> {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok(socket) => {
                failing = false;
                pool.place(socket)?;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !failing {
                    tracing::error!(%error, %listener, "no connection can be accepted; trying again");
                }
                failing = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Long enough not to spin while descriptors are lacking, and short beside Envoy's 200 ms.
const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
