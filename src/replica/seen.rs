//! How far this instance has seen the store, kept in a file: so that it notices after a restart
//! that the store went back meanwhile, and that it had deployments.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::warn;
use uuid::Uuid;

use crate::store::Epoch;
use crate::store::durable;

/// The high-water file: one line, `<store> <term> <number> <deployed>`; versions before did not write the
/// last.
pub(super) struct Seen {
    /// What the file said at the start, until it has been compared.
    before: Option<Epoch>,
    /// What was seen last.
    now: Option<Mark>,
    written: Option<Mark>,
    /// When the file was written last, on the clock that counts suspension.
    wrote_at: Duration,
    /// How many writes were asked for.
    turns: u64,
    file: Arc<Mutex<File>>,
}

/// How far the store was seen, and what [`Deployed`](super::deployed::Deployed) remembers of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) epoch: Epoch,
    pub(super) deployed: u64,
}

/// Whoever writes holds it.
#[derive(Default)]
struct File {
    path: PathBuf,
    /// The turn of the last write: one that comes late must not undo a later one.
    turn: u64,
    failed: bool,
}

/// Between two writes.
const PAUSE: Duration = Duration::from_secs(1);

impl Seen {
    /// A file that cannot be read is warned of, and as good as none.
    pub(super) fn read(path: PathBuf) -> Self {
        let written = match fs::read_to_string(&path) {
            Ok(text) => {
                let mark = parse(&text);
                if mark.is_none() {
                    let file = path.display();
                    warn!(
                        %file,
                        "expected `<store> <term> <number> <deployed>`; whether the store went back is not known"
                    );
                }
                mark
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let file = path.display();
                warn!(%file, %error, "cannot be read; whether the store went back is not known");
                None
            }
        };
        let file = Arc::new(Mutex::new(File { path, ..File::default() }));
        let before = written.map(|mark| mark.epoch);
        Self { before, now: None, written, wrote_at: Duration::ZERO, turns: 0, file }
    }

    /// What the file said of deployments, until something else was noted.
    pub(super) fn deployed(&self) -> u64 {
        self.written.map_or(0, |mark| mark.deployed)
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

    /// Notes how far the store was seen, and writes it when a second has passed since the last time, also
    /// where that time it failed.
    pub(super) fn note(&mut self, mark: Mark, now: Duration) {
        self.now = Some(mark);
        let due = self.written.is_none() || now.saturating_sub(self.wrote_at) >= PAUSE;
        // Nobody waits for whoever is writing, here neither.
        let failed = self.file.try_lock().is_ok_and(|file| file.failed);
        if !due || self.written == self.now && !failed {
            return;
        }
        (self.written, self.wrote_at) = (self.now, now);
        self.turns += 1;
        let (turn, file) = (self.turns, Arc::clone(&self.file));
        // Nobody waits for it: a slow disk must not hold up who follows the store.
        tokio::task::spawn_blocking(move || write(&file, turn, mark));
    }
}

/// At the end, whatever is not yet in the file: what was asked for last may have failed, or still wait
/// for a thread, and would be forgotten with the runtime, or come after the file has another writer.
impl Drop for Seen {
    fn drop(&mut self) {
        let missing = {
            let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.failed || file.turn < self.turns
        };
        if let Some(now) = self.now.filter(|now| missing || self.written != Some(*now)) {
            write(&self.file, self.turns + 1, now);
        }
    }
}

/// Whether the store had deployments when it was last seen, by what the file says.
pub fn was_deployed(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    parse(&text).is_some_and(|mark| mark.deployed > 0)
}

fn write(file: &Mutex<File>, turn: u64, Mark { epoch, deployed }: Mark) {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    if turn <= file.turn {
        return;
    }
    let text = format!("{} {} {} {deployed}\n", epoch.store, epoch.term, epoch.number);
    let wrote = durable::replace(&file.path, |file| file.write_all(text.as_bytes()));
    if let Err(error) = &wrote
        && !file.failed
    {
        let file = file.path.display();
        warn!(%file, %error, "cannot be written; after a restart it will not be noticed if the store went back");
    }
    (file.turn, file.failed) = (turn, wrote.is_err());
}

fn parse(text: &str) -> Option<Mark> {
    let mut words = text.split_ascii_whitespace();
    let (store, term, number) = (words.next()?, words.next()?, words.next()?);
    let epoch =
        Epoch { store: Uuid::parse_str(store).ok()?, term: term.parse().ok()?, number: number.parse().ok()? };
    let deployed = words.next().map_or(Some(0), |word| word.parse().ok())?;
    words.next().is_none().then_some(Mark { epoch, deployed })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn at(number: u64) -> Mark {
        Mark { epoch: Epoch { store: Uuid::nil(), term: 1, number }, deployed: 2 }
    }

    #[test]
    fn a_file_of_before_deployments_were_remembered_is_read() {
        let text = "00000000-0000-0000-0000-000000000000 1 3";
        assert_eq!(parse(text), Some(Mark { deployed: 0, ..at(3) }));
        assert_eq!(parse(&format!("{text} 2\n")), Some(at(3)));
        for odd in ["x", "2 1"] {
            assert_eq!(parse(&format!("{text} {odd}")), None, "{odd}");
        }
    }

    #[test]
    fn a_write_that_comes_late_does_not_undo_a_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("doorward.seen");
        let file = Mutex::new(File { path: path.clone(), ..File::default() });
        write(&file, 2, at(3));
        write(&file, 1, at(0));
        assert_eq!(parse(&fs::read_to_string(&path).unwrap()), Some(at(3)));
        write(&file, 3, at(4));
        assert_eq!(parse(&fs::read_to_string(&path).unwrap()), Some(at(4)));
    }

    #[test]
    fn a_write_that_failed_is_made_again_also_where_nothing_changes_and_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/doorward.seen");
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let _entered = runtime.enter();
        // Whoever waited for the one thread comes before this.
        let settled = || runtime.block_on(tokio::task::spawn_blocking(|| ())).unwrap();
        let mut seen = Seen::read(path.clone());
        seen.note(at(3), PAUSE);
        settled();
        assert!(!path.exists());
        fs::create_dir(folder.path().join("later")).unwrap();
        seen.note(at(3), PAUSE * 3 / 2);
        settled();
        assert!(!path.exists(), "not at once");
        seen.note(at(3), PAUSE * 2);
        settled();
        assert_eq!(parse(&fs::read_to_string(&path).unwrap()), Some(at(3)));

        fs::remove_dir_all(folder.path().join("later")).unwrap();
        seen.note(at(4), PAUSE * 3);
        settled();
        fs::create_dir(folder.path().join("later")).unwrap();
        drop(seen);
        assert_eq!(parse(&fs::read_to_string(&path).unwrap()), Some(at(4)));
    }

    #[test]
    fn a_write_that_still_waits_is_made_at_the_end_and_not_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("doorward.seen");
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let holder = runtime.spawn_blocking(move || held.recv());
        {
            let _entered = runtime.enter();
            Seen::read(path.clone()).note(at(3), PAUSE);
        }
        assert_eq!(parse(&fs::read_to_string(&path).unwrap()), Some(at(3)));
        fs::write(&path, "of the next one").unwrap();
        let_go.send(()).unwrap();
        runtime.block_on(async {
            holder.await.unwrap().unwrap();
            // Whoever waited for the one thread comes before this.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "of the next one");
    }
}
