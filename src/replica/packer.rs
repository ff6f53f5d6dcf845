//! When a replica is packed, so that the next instance starts sooner.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::Tables;
use super::pack;
use crate::store::{Head, Store};

/// Counts what a pack would gain, and packs when that is enough.
#[derive(Default)]
pub(super) struct Packer {
    /// Changes applied that no pack has, as far as this instance knows.
    changes: u64,
    /// Heartbeats until it is packed; `None` where it need not be.
    wait: Option<u64>,
    running: Option<JoinHandle<bool>>,
}

/// From so many records on they are worth a pack, for whoever starts next.
const RECORDS: u64 = 10_000;

/// A pack is made anew after so many changes: what is replayed in a tenth of a second.
const CHANGES: u64 = 25_000;

/// Instances wait for a random number of heartbeats below this, so that one is first.
const JITTER: u64 = 20;

/// Heartbeats after which a pack that failed is tried again.
const AGAIN: u64 = 240;

impl Packer {
    /// Notes that so many records were read one by one, and so many changes applied to a pack.
    pub(super) fn loaded(&mut self, plain: u64, replayed: u64) {
        self.changes = replayed;
        if plain > RECORDS {
            self.wait = Some(jitter());
        }
        self.applied(0);
    }

    pub(super) fn applied(&mut self, changes: u64) {
        self.changes += changes;
        if self.changes >= CHANGES && self.wait.is_none() {
            self.wait = Some(jitter());
        }
    }

    /// Once a heartbeat: whether it is time to pack, if this instance is the one to do it.
    pub(super) async fn is_due(&mut self) -> bool {
        if let Some(running) = self.running.take_if(|running| running.is_finished())
            && !running.await.unwrap_or(false)
        {
            self.wait = Some(AGAIN);
        }
        match &mut self.wait {
            None => false,
            Some(0) => self.running.is_none(),
            Some(wait) => {
                *wait -= 1;
                false
            }
        }
    }

    /// Leaves it to another instance.
    pub(super) fn pass(&mut self) {
        (self.changes, self.wait) = (0, None);
    }

    /// Packs what `tables` hold, which has everything up to `head` applied, beside everything else.
    pub(super) fn pack(&mut self, tables: Arc<Tables>, head: Head, store: Arc<dyn Store>) {
        self.pass();
        self.running = Some(tokio::spawn(async move {
            let Some(pieces) = encode(tables).await else { return false };
            let bytes: usize = pieces.iter().map(Bytes::len).sum();
            match store.pack(head, pieces).await {
                Ok(true) => info!(epoch = head.epoch.number, bytes, "the replica has been packed"),
                Ok(false) => debug!(epoch = head.epoch.number, "the store keeps another pack"),
                Err(error) => {
                    warn!(%error, "the replica cannot be packed; instances start more slowly");
                    return false;
                }
            }
            true
        }));
    }
}

/// On a thread of its own: it takes a second where there are millions of keys. `None` where it panicked.
pub(super) async fn encode(tables: Arc<Tables>) -> Option<Vec<Bytes>> {
    tokio::task::spawn_blocking(move || pack::encode(&tables)).await.ok()
}

/// Any of so many.
fn jitter() -> u64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    high % JITTER
}
