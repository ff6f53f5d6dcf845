//! Files that somebody else writes: whether they have changed, and rest.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Files, each as it was last seen; `None` where it was away.
pub struct Watched {
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// At how many looks in a row they were still changing, up to the last one.
    moving: u8,
}

/// After so many looks they are read though they never rest: a file that somebody touches all the time must not keep a
/// revoked key in another one in force.
const RESTLESS: u8 = 10;

impl Watched {
    /// Made before they are read, so that what changes meanwhile is read again.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let seen = |file: PathBuf| {
            let stamp = stamp(&file);
            (file, stamp)
        };
        Self { files: files.into_iter().map(seen).collect(), moving: 0 }
    }

    /// Whether they have changed since they were read, and rest since the last look: half of a file may
    /// be good by itself, and a certificate and its key are replaced one after the other. Those that do not
    /// rest for 10 looks have changed too, and will have again.
    pub fn have_changed(&mut self) -> bool {
        let mut moved = false;
        for (file, seen) in &mut self.files {
            let now = stamp(file);
            moved |= now != *seen;
            *seen = now;
        }
        if !moved {
            return std::mem::take(&mut self.moving) > 0;
        }
        self.moving += 1;
        let restless = self.moving >= RESTLESS;
        if restless {
            self.moving = 1;
        }
        restless
    }

    /// They are read now, whether they rest or not.
    pub fn are_read(&mut self) {
        self.have_changed();
        self.moving = 0;
    }

    /// Watches these instead; what was seen of those that stay counts.
    pub fn turn_to(&mut self, files: Vec<PathBuf>) {
        let before = std::mem::replace(self, Self::new(files));
        for (file, seen) in &mut self.files {
            if let Some((_, earlier)) = before.files.iter().find(|(other, _)| other == file) {
                *seen = *earlier;
            }
        }
    }
}

/// Inode, length, and when it was written and when anything of it changed.
type Stamp = (u64, u64, [i64; 4]);

/// Tells two states of a file apart, also where it was written with the length and the time that it had, or
/// where only who may read it is another.
fn stamp(file: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(file).ok()?;
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    Some((metadata.ino(), metadata.len(), times))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_counts_as_changed_once_it_rests() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        std::fs::write(&one, "whole\n").unwrap();
        std::fs::write(&other, "whole\n").unwrap();
        let mut watched = Watched::new(vec![one.clone(), other.clone()]);
        assert!(!watched.have_changed());

        // Truncated, and written piece by piece, with a look at each state.
        let mut written = std::fs::File::create(&one).unwrap();
        assert!(!watched.have_changed());
        for piece in ["services:\n", "  - {name: open, authentication: none}\n"] {
            written.write_all(piece.as_bytes()).unwrap();
            assert!(!watched.have_changed(), "{piece}");
        }
        assert!(watched.have_changed());
        assert!(!watched.have_changed(), "it was told");

        // Two are waited for until both rest.
        std::fs::write(&one, "new one\n").unwrap();
        assert!(!watched.have_changed());
        std::fs::write(&other, "the new other\n").unwrap();
        assert!(!watched.have_changed());
        assert!(watched.have_changed());

        // What is read because somebody asked for it has not changed after that.
        std::fs::write(&one, "another new one\n").unwrap();
        assert!(!watched.have_changed());
        watched.are_read();
        assert!(!watched.have_changed());

        // Written with the length and the time that it had; then only who may read it changes.
        let (had, written) =
            (std::fs::metadata(&one).unwrap(), std::fs::File::options().write(true).open(&one).unwrap());
        (&written).write_all(b"ANOTHER").unwrap();
        written.set_times(std::fs::FileTimes::new().set_modified(had.modified().unwrap())).unwrap();
        assert!(!watched.have_changed());
        assert!(watched.have_changed());
        std::fs::set_permissions(&one, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!watched.have_changed());
        assert!(watched.have_changed());

        // One that is replaced is away for a moment; one that stays away is a change.
        std::fs::remove_file(&one).unwrap();
        assert!(!watched.have_changed());
        assert!(watched.have_changed());
    }

    #[test]
    fn files_that_never_rest_are_read_at_last_and_once_more_when_they_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let mut written = std::fs::File::options().append(true).open(&file).unwrap();
        let mut watched = Watched::new(vec![file]);
        let looks: Vec<bool> = (0..20)
            .map(|_| {
                written.write_all(b"x").unwrap();
                watched.have_changed()
            })
            .collect();
        let told: Vec<usize> = (0..20).filter(|look| looks[*look]).collect();
        assert_eq!(told, [9, 18]);
        assert!(watched.have_changed(), "what was written after that");
        assert!(!watched.have_changed());
    }
}
