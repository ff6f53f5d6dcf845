//! How far this instance has seen the store, kept in a file: so that it notices after a restart
//! that the store went back meanwhile.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use crate::store::Epoch;
use crate::store::durable;

/// The high-water file: one line, `<store> <term> <number>`.
pub(super) struct Seen {
    path: PathBuf,
    /// What the file said at the start, until it has been compared.
    before: Option<Epoch>,
    /// What was seen last.
    now: Option<Epoch>,
    written: Option<Epoch>,
    /// When the file was written last, on the clock that counts suspension.
    wrote_at: Duration,
    failed: Arc<AtomicBool>,
}

/// Between two writes.
const PAUSE: Duration = Duration::from_secs(1);

impl Seen {
    /// A file that cannot be read is warned of, and as good as none.
    pub(super) fn read(path: PathBuf) -> Self {
        let before = match fs::read_to_string(&path) {
            Ok(text) => {
                let epoch = parse(&text);
                if epoch.is_none() {
                    let file = path.display();
                    warn!(%file, "expected `<store> <term> <number>`; whether the store went back is not known");
                }
                epoch
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let file = path.display();
                warn!(%file, %error, "cannot be read; whether the store went back is not known");
                None
            }
        };
        let failed = Arc::new(AtomicBool::new(false));
        Self { path, before, now: None, written: before, wrote_at: Duration::ZERO, failed }
    }

    /// Why the store, which stands at `there`, is not where it was when this was written. Asked once.
    pub(super) fn compare(&mut self, there: Epoch) -> Option<String> {
        let before = self.before.take()?;
        if before.store != there.store {
            Some(format!("it is another store: {} before, {} now", before.store, there.store))
        } else if there.term < before.term || (there.term == before.term && there.number < before.number) {
            Some(format!(
                "it stands at change {} of term {}, and stood at {} of term {} before this start",
                there.number, there.term, before.number, before.term
            ))
        } else {
            None
        }
    }

    /// Notes how far the store was seen, and writes it when a second has passed since the last time.
    pub(super) fn note(&mut self, epoch: Epoch, now: Duration) {
        self.now = Some(epoch);
        let due = self.written.is_none() || now.saturating_sub(self.wrote_at) >= PAUSE;
        if self.written == self.now || !due {
            return;
        }
        (self.written, self.wrote_at) = (self.now, now);
        let (path, failed) = (self.path.clone(), Arc::clone(&self.failed));
        // Nobody waits for it: a slow disk must not hold up who follows the store.
        tokio::task::spawn_blocking(move || write(&path, epoch, &failed));
    }
}

/// At the end, whatever is not yet in the file.
impl Drop for Seen {
    fn drop(&mut self) {
        if let Some(now) = self.now.filter(|now| self.written != Some(*now)) {
            write(&self.path, now, &self.failed);
        }
    }
}

fn write(path: &Path, epoch: Epoch, failed: &AtomicBool) {
    let text = format!("{} {} {}\n", epoch.store, epoch.term, epoch.number);
    match durable::replace(path, |file| file.write_all(text.as_bytes())) {
        Ok(()) => failed.store(false, Ordering::Relaxed),
        Err(error) if !failed.swap(true, Ordering::Relaxed) => {
            let file = path.display();
            warn!(%file, %error, "cannot be written; after a restart it will not be noticed if the store went back");
        }
        Err(_) => {}
    }
}

fn parse(text: &str) -> Option<Epoch> {
    let mut words = text.split_ascii_whitespace();
    let (store, term, number) = (words.next()?, words.next()?, words.next()?);
    let epoch =
        Epoch { store: Uuid::parse_str(store).ok()?, term: term.parse().ok()?, number: number.parse().ok()? };
    words.next().is_none().then_some(epoch)
}
