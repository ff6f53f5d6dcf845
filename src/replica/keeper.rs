//! When what is known is written to disk, and taken from there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::packer::encode;
use super::saved::{Refused, SnapshotFile};
use super::{Tables, pack};
use crate::store::Head;

/// Keeps a file true to a replica.
pub(super) struct Keeper {
    file: SnapshotFile,
    /// What was written last, and when, on the clock that counts suspension.
    kept: Option<(Head, Duration)>,
    running: Option<JoinHandle<()>>,
    failing: Arc<AtomicBool>,
    /// Whether the file has been looked for at the start.
    looked: bool,
}

/// Where a replica stands, and since when that is known to be where the store stands.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) at: Head,
    /// In milliseconds since the Unix epoch.
    pub(super) true_at: i64,
}

/// What changed is written after so long.
const MINUTE: Duration = Duration::from_secs(60);

impl Keeper {
    pub(super) fn new(file: SnapshotFile) -> Self {
        Self { file, kept: None, running: None, failing: Arc::default(), looked: false }
    }

    /// Writes what is known, if that is due: after a minute what changed, and after a quarter of the
    /// time for which it is believed what did not, so that it does not grow old.
    pub(super) fn keep(&mut self, tables: &ArcSwap<Tables>, known: Known, now: Duration) {
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let rest = self.file.max_age / 4;
        let due = self.kept.is_none_or(|(head, at)| {
            let pause = if head == known.at { rest } else { rest.min(MINUTE) };
            now.saturating_sub(at) >= pause
        });
        if due {
            self.kept = Some((known.at, now));
            let (file, failing) = (self.file.clone(), Arc::clone(&self.failing));
            self.running = Some(tokio::spawn(write(file, tables.load_full(), known, failing)));
        }
    }

    /// What the file has, if it may be believed: at the start, and once.
    pub(super) async fn take_out(&mut self, now: i64) -> Option<(Tables, Head, Duration)> {
        if std::mem::replace(&mut self.looked, true) {
            return None;
        }
        let file = self.file.clone();
        let read = move || {
            let saved = file.open(now)?;
            let tables = pack::decode(saved.pieces).map_err(|_| Refused::Damaged("its pack"))?;
            Ok((tables, saved.head, saved.remaining))
        };
        let read = tokio::task::spawn_blocking(read).await.unwrap_or(Err(Refused::Damaged("its pack")));
        let file = self.file.path.display();
        match read {
            Ok((tables, head, remaining)) => {
                let (keys, seconds) = (tables.holdings().keys, remaining.as_secs());
                warn!(
                    %file, keys, seconds, epoch = head.epoch.number,
                    "the store does not answer; the snapshot on disk is believed for so long, or until it does"
                );
                Some((tables, head, remaining))
            }
            Err(refused @ Refused::Missing) => {
                info!(%file, %refused, "no snapshot on disk to start from");
                None
            }
            Err(refused) => {
                error!(%file, %refused, "the snapshot on disk is not used");
                None
            }
        }
    }
}

/// Warns once, until it goes well again.
async fn write(file: SnapshotFile, tables: Arc<Tables>, known: Known, failing: Arc<AtomicBool>) {
    let path = file.path.clone();
    let written = match encode(tables).await {
        Some(pieces) => {
            tokio::task::spawn_blocking(move || file.save(known.at, known.true_at, &pieces)).await
        }
        None => Ok(Err(io::Error::other("it could not be packed"))),
    };
    match written.unwrap_or_else(|panicked| Err(io::Error::other(panicked))) {
        Ok(()) => failing.store(false, Ordering::Relaxed),
        Err(error) if !failing.swap(true, Ordering::Relaxed) => {
            let file = path.display();
            warn!(%file, %error, "the snapshot cannot be written; a start without the store has an older one, or none");
        }
        Err(_) => {}
    }
}
