//! Files that appear whole or not at all, and stay.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A file that is not yet what it will be; gone with this unless it was given its name.
pub(super) struct Unfinished(PathBuf);

impl Unfinished {
    /// A name beside `path`, in the same file system, that nobody has.
    pub(super) fn beside(path: &Path) -> Self {
        Self(with_suffix(path, &format!(".new-{}", Uuid::new_v4().simple())))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The folder that a path's entry stands in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Makes the entries of `path`'s folder durable: a file's own fsync does not (fsync(2)).
fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Gives the finished file `made` its name, unless that is taken (`AlreadyExists`).
pub(super) fn publish_new(made: &Path, path: &Path) -> io::Result<()> {
    // A link fails where the name is taken; a rename would replace what is there.
    std::fs::hard_link(made, path)?;
    std::fs::remove_file(made)?;
    sync_folder_of(path)
}

/// Puts the finished file `made` in the place of `path`, and keeps what was there as `kept`.
/// At no moment is there no file at `path`.
pub(super) fn publish_over(made: &Path, path: &Path, kept: &Path) -> io::Result<()> {
    std::fs::hard_link(path, kept)?;
    std::fs::rename(made, path)?;
    sync_folder_of(path)
}

/// Puts what `write` writes in the place of whatever is at `path`, readable by its owner alone. At no
/// moment is there half a file.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let made = Unfinished::beside(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(made.path())?;
    write(&mut file)?;
    file.sync_all()?;
    std::fs::rename(made.path(), path)?;
    sync_folder_of(path)
}

/// `path` with something after its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
