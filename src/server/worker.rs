//! Threads that check, and who of them gets the next connection.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};

use super::Settings;
use super::connection::Connections;
use super::listener::Socket;
use super::places::{Full, Place, Places};
use crate::grpc::{Decide, Wire};

/// The workers, as the acceptors see them.
pub(super) struct Pool {
    workers: Vec<Worker>,
    places: Arc<Places>,
    /// All that are open, for whoever shows it.
    open: Arc<AtomicUsize>,
    /// Whether all were taken when a connection last came, so that the log says so once.
    full: AtomicBool,
}

struct Worker {
    sockets: mpsc::UnboundedSender<(Socket, Held)>,
    live: Arc<AtomicUsize>,
    /// Dropped, or sent to, by the thread when it ends.
    ended: oneshot::Receiver<()>,
}

/// A connection's place at its worker and among all, free again when dropped.
struct Held {
    counts: [Arc<AtomicUsize>; 2],
    _place: Place,
}

impl Held {
    fn new(counts: [Arc<AtomicUsize>; 2], place: Place) -> Self {
        for count in &counts {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Self { counts, _place: place }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for count in &self.counts {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Pool {
    pub(super) fn start<D: Decide>(
        wire: &Arc<Wire<D>>,
        settings: &Settings,
        draining: &watch::Receiver<bool>,
    ) -> io::Result<Self> {
        let workers = (0..settings.workers.max(1))
            .map(|number| {
                let connections = Connections::new(wire.clone(), settings, draining.clone());
                Worker::start(number, connections, settings.drain_limit)
            })
            .collect::<io::Result<_>>()?;
        let open = settings.open.clone();
        let places = Arc::new(Places::new(settings.connections, settings.connections_of_peer));
        Ok(Self { workers, places, open, full: AtomicBool::new(false) })
    }

    pub(super) fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Hands a connection to the worker that has the fewest, or closes it where there are too many.
    ///
    /// # Errors
    ///
    /// Where that worker died.
    pub(super) fn place(&self, socket: Socket) -> io::Result<()> {
        let peer = socket.peer();
        let place = Places::take(&self.places, peer);
        self.tell(place.as_ref().err().copied(), peer);
        let Ok(place) = place else { return Ok(()) };
        let worker = self.workers.iter().min_by_key(|worker| worker.connections());
        worker.expect("a pool has a worker").take(socket, &self.open, place)
    }

    fn tell(&self, full: Option<Full>, peer: Option<IpAddr>) {
        let all = full == Some(Full::All);
        if all && !self.full.load(Ordering::Relaxed) {
            tracing::error!("limits.connections is reached: new ones are closed");
        }
        self.full.store(all, Ordering::Relaxed);
        if full == Some(Full::OfOne { news: true }) {
            tracing::error!(?peer, "limits.connections_of_peer is reached: new ones of this peer are closed");
        }
    }

    /// Waits for the workers to finish what they have; no more connections come.
    pub(super) async fn finish(self) -> io::Result<()> {
        for Worker { sockets, ended, .. } in self.workers {
            drop(sockets);
            ended.await.map_err(|_| died())?;
        }
        Ok(())
    }
}

impl Worker {
    fn start<D: Decide>(number: usize, connections: Connections<D>, limit: Duration) -> io::Result<Self> {
        let (sockets, placed) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(format!("check-{number}")).spawn(move || {
            LocalSet::new().block_on(&runtime, work(placed, connections, limit));
            // Nobody is left to hear it where `serve` was dropped.
            let _ = end.send(());
        })?;
        Ok(Self { sockets, live: Arc::default(), ended })
    }

    fn connections(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    fn take(&self, socket: Socket, open: &Arc<AtomicUsize>, place: Place) -> io::Result<()> {
        let held = Held::new([self.live.clone(), open.clone()], place);
        self.sockets.send((socket, held)).map_err(|_| died())
    }
}

fn died() -> io::Error {
    io::Error::other("a check worker died; its panic is on stderr")
}

/// A worker's life: serves what it is handed until no more can come, then lets it finish.
async fn work<D: Decide>(
    mut placed: mpsc::UnboundedReceiver<(Socket, Held)>,
    connections: Connections<D>,
    limit: Duration,
) {
    let connections = Arc::new(connections);
    let mut live = JoinSet::new();
    loop {
        tokio::select! {
            next = placed.recv() => {
                let Some((socket, held)) = next else { break };
                let connections = connections.clone();
                live.spawn_local(async move {
                    connections.serve(socket).await;
                    drop(held);
                });
            }
            Some(_) = live.join_next() => {}
        }
    }
    let finished = tokio::time::timeout(limit, async { while live.join_next().await.is_some() {} });
    if finished.await.is_err() {
        tracing::warn!(connections = live.len(), "cut off: not finished within the drain limit");
    }
}
