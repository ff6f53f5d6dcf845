//! Where spans and log records wait to be sent. Who puts one in never waits, and wakes nobody for it until there are
//! enough to be worth it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::Notify;

use super::settings::Batching;

/// Where they are put in.
pub(in crate::telemetry) struct Queue<T> {
    items: SyncSender<T>,
    waiting: Arc<Waiting>,
    batch: usize,
}

/// Where they are taken out.
pub(in crate::telemetry) struct Outlet<T> {
    items: Receiver<T>,
    waiting: Arc<Waiting>,
    batch: usize,
}

#[derive(Default)]
pub(in crate::telemetry) struct Waiting {
    count: AtomicUsize,
    enough: Notify,
}

pub(in crate::telemetry) fn queue<T>(batching: Batching) -> (Queue<T>, Outlet<T>) {
    let (into, out) = sync_channel(batching.queue);
    let waiting = Arc::new(Waiting::default());
    let queue = Queue { items: into, waiting: Arc::clone(&waiting), batch: batching.batch };
    (queue, Outlet { items: out, waiting, batch: batching.batch })
}

impl<T> Queue<T> {
    /// False where there is no place left, or nobody takes any out.
    pub(in crate::telemetry) fn put(&self, item: T) -> bool {
        // Counted before it is there, so that taking out never counts below zero.
        let before = self.waiting.count.fetch_add(1, Ordering::Relaxed);
        if self.items.try_send(item).is_err() {
            self.waiting.count.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if before + 1 >= self.batch {
            self.waiting.enough.notify_one();
        }
        true
    }
}

impl<T> Outlet<T> {
    /// At most one batch; empty where none wait.
    pub(in crate::telemetry) fn take(&mut self) -> Vec<T> {
        let batch: Vec<_> = self.items.try_iter().take(self.batch).collect();
        self.waiting.count.fetch_sub(batch.len(), Ordering::Relaxed);
        batch
    }

    pub(in crate::telemetry) fn waiting(&self) -> Arc<Waiting> {
        Arc::clone(&self.waiting)
    }
}

impl Waiting {
    /// Once there is a whole batch, or has been.
    pub(in crate::telemetry) async fn enough(&self) {
        self.enough.notified().await;
    }
}
