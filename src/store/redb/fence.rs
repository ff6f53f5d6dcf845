//! The file as the database that writes has it: until it is told to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redb::StorageBackend;

use super::file::Held;

/// The file under the one database that may write to it.
///
/// redb refuses everything after the first error of the disk, so the file is then opened anew
/// while somebody may still hold the old database: that one must never write again.
#[derive(Clone, Debug)]
pub(super) struct Fenced {
    file: Held,
    shut: Arc<AtomicBool>,
    /// Shared by every database of this file.
    unsynced: Arc<AtomicBool>,
    #[cfg(test)]
    pub(super) faults: Arc<Faults>,
}

/// What a test has the disk refuse.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) syncs: AtomicBool,
    pub(super) writes: AtomicBool,
}

impl Fenced {
    pub(super) fn new(file: Held) -> Self {
        Self {
            file,
            shut: Arc::default(),
            unsynced: Arc::default(),
            #[cfg(test)]
            faults: Arc::default(),
        }
    }

    /// The same file for the next database.
    pub(super) fn anew(&self) -> Self {
        Self { shut: Arc::default(), ..self.clone() }
    }

    /// From here on nothing is written through this, and what was read may still be.
    pub(super) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    /// Whether an fsync has failed. The kernel then takes what it could not write for written, so
    /// neither a second fsync nor reading the file again tells what the disk has.
    pub(super) fn unsynced(&self) -> bool {
        self.unsynced.load(Ordering::SeqCst)
    }

    pub(super) fn held(&self) -> &Held {
        &self.file
    }

    fn may_write(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.faults.writes.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.not_shut()
    }

    fn not_shut(&self) -> io::Result<()> {
        match self.shut.load(Ordering::SeqCst) {
            true => Err(io::Error::other("this database has been given up")),
            false => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.faults.syncs.load(Ordering::SeqCst) {
            return Err(io::Error::other("fsync says no"));
        }
        self.file.sync_data()
    }
}

impl StorageBackend for Fenced {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.may_write()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.not_shut()?;
        self.sync().inspect_err(|_| self.unsynced.store(true, Ordering::SeqCst))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.may_write()?;
        self.file.write(offset, data)
    }
}
