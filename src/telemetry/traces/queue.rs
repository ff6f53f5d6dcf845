//! Where spans wait to be sent. Who puts one in never waits, and wakes nobody for it until there are
//! enough to be worth it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::Notify;

use super::settings::Batching;

/// Where they are put in.
pub(super) struct Queue {
    spans: SyncSender<SpanData>,
    waiting: Arc<Waiting>,
    batch: usize,
}

/// Where they are taken out.
pub(super) struct Outlet {
    spans: Receiver<SpanData>,
    waiting: Arc<Waiting>,
    batch: usize,
}

#[derive(Default)]
pub(super) struct Waiting {
    count: AtomicUsize,
    enough: Notify,
}

pub(super) fn queue(batching: Batching) -> (Queue, Outlet) {
    let (into, out) = sync_channel(batching.queue);
    let waiting = Arc::new(Waiting::default());
    let queue = Queue { spans: into, waiting: Arc::clone(&waiting), batch: batching.batch };
    (queue, Outlet { spans: out, waiting, batch: batching.batch })
}

impl Queue {
    /// False where there is no place left, or nobody takes any out.
    pub(super) fn put(&self, span: SpanData) -> bool {
        // Counted before it is there, so that taking out never counts below zero.
        let before = self.waiting.count.fetch_add(1, Ordering::Relaxed);
        if self.spans.try_send(span).is_err() {
            self.waiting.count.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if before + 1 >= self.batch {
            self.waiting.enough.notify_one();
        }
        true
    }
}

impl Outlet {
    /// At most one batch; empty where none wait.
    pub(super) fn take(&mut self) -> Vec<SpanData> {
        let batch: Vec<_> = self.spans.try_iter().take(self.batch).collect();
        self.waiting.count.fetch_sub(batch.len(), Ordering::Relaxed);
        batch
    }

    pub(super) fn waiting(&self) -> Arc<Waiting> {
        Arc::clone(&self.waiting)
    }
}

impl Waiting {
    /// Once there is a whole batch, or has been.
    pub(super) async fn enough(&self) {
        self.enough.notified().await;
    }
}
