//! The file under redb: locked, and looked at without being changed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redb::StorageBackend;

use super::error::FileError;

/// The open file, locked for this process until the last clone is gone.
///
/// We lock it ourselves (flock, which redb's own tools respect), so that the lock is one and the
/// same from the first look to the last write.
#[derive(Clone, Debug)]
pub(super) struct Held(Arc<File>);

impl Held {
    /// Opens and locks the file at `path`, for reading and writing.
    pub(super) fn lock(path: &Path) -> Result<Self, FileError> {
        loop {
            let file = match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(FileError::Missing { path: path.to_owned() });
                }
                Err(error) => return Err(FileError::io(path, "opened")(error)),
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(FileError::InUse { path: path.to_owned() }),
                Err(TryLockError::Error(error)) => return Err(FileError::io(path, "locked")(error)),
            }
            // A restore may have put another file here before we had the lock: then it is that
            // one's turn.
            let held = file.metadata().map_err(FileError::io(path, "opened"))?;
            match std::fs::metadata(path) {
                Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => {
                    return Ok(Self(Arc::new(file)));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(FileError::io(path, "opened")(error)),
            }
        }
    }

    /// Makes a new file, for its owner alone, and locks it.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        file.try_lock()?;
        Ok(Self(Arc::new(file)))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    pub(super) fn size(&self) -> io::Result<u64> {
        self.0.metadata().map(|about| about.len())
    }

    /// The first bytes, as many as there are.
    pub(super) fn head<const N: usize>(&self) -> io::Result<Vec<u8>> {
        let mut head = vec![0; N];
        let mut filled = 0;
        while filled < N {
            match self.0.read_at(&mut head[filled..], filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        head.truncate(filled);
        Ok(head)
    }
}

/// Reads and writes the file.
impl StorageBackend for Held {
    fn len(&self) -> io::Result<u64> {
        self.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// The file as it would be: what is written to this stays in memory.
///
/// redb repairs a file by opening it. On this it can do so, and what comes of it can be judged,
/// before a byte of the file is touched.
#[derive(Debug)]
pub(super) struct Overlay {
    file: Held,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// How much of the file still shows: a cut and a growth leave zeros.
    shown: u64,
    /// Whole pages, by number.
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(super) fn over(file: Held) -> io::Result<Self> {
        let len = file.size()?;
        let written = Mutex::new(Written { len, shown: len, pages: BTreeMap::new() });
        Ok(Self { file, written })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        written.within(offset, out.len())?;
        // The file in one go, then the pages that were written over it.
        let from_file = written.shown.saturating_sub(offset).min(out.len() as u64) as usize;
        let (shown, beyond) = out.split_at_mut(from_file);
        self.file.read(offset, shown)?;
        beyond.fill(0);
        let last = (offset + out.len() as u64).div_ceil(PAGE);
        for (page, bytes) in written.pages.range(offset / PAGE..last) {
            let start = (page * PAGE).max(offset);
            let end = ((page + 1) * PAGE).min(offset + out.len() as u64);
            let source = &bytes[(start - page * PAGE) as usize..(end - page * PAGE) as usize];
            out[(start - offset) as usize..(end - offset) as usize].copy_from_slice(source);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written();
        if len < written.len {
            written.cut(len);
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        written.within(offset, data.len())?;
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let (page, start) = (at / PAGE, (at % PAGE) as usize);
            let count = (PAGE as usize - start).min(data.len() - done);
            let bytes = written.page(page, &self.file)?;
            bytes[start..start + count].copy_from_slice(&data[done..done + count]);
            done += count;
        }
        Ok(())
    }
}

impl Written {
    fn within(&self, offset: u64, count: usize) -> io::Result<()> {
        match offset.checked_add(count as u64) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a page is beyond the end of the file")),
        }
    }

    /// The page to be written to, as it shows now.
    fn page(&mut self, page: u64, file: &Held) -> io::Result<&mut [u8]> {
        let shown = self.shown.saturating_sub(page * PAGE).min(PAGE) as usize;
        match self.pages.entry(page) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let mut bytes = vec![0; PAGE as usize].into_boxed_slice();
                file.read(page * PAGE, &mut bytes[..shown])?;
                Ok(entry.insert(bytes))
            }
        }
    }

    fn cut(&mut self, len: u64) {
        self.shown = self.shown.min(len);
        self.pages.split_off(&len.div_ceil(PAGE));
        if let Some(last) = self.pages.get_mut(&(len / PAGE)) {
            last[(len % PAGE) as usize..].fill(0);
        }
    }
}

/// Bytes; any would do.
const PAGE: u64 = 4096;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Act {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0u64..20_000, prop::collection::vec(any::<u8>(), 0..9_000))
                .prop_map(|(at, data)| Act::Write(at, data)),
            (0u64..20_000).prop_map(Act::SetLen),
        ]
    }

    proptest! {
        /// The overlay reads as a file would that had really been written to, and the file is as it was.
        #[test]
        fn overlay_is_a_file_that_leaves_the_file_alone(
            start in prop::collection::vec(any::<u8>(), 0..10_000),
            acts in prop::collection::vec(act(), 0..12),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            std::fs::write(&path, &start).unwrap();
            let overlay = Overlay::over(Held::lock(&path).unwrap()).unwrap();
            let mut model = start.clone();
            for act in acts {
                match act {
                    Act::Write(at, data) if at as usize + data.len() <= model.len() => {
                        overlay.write(at, &data).unwrap();
                        model[at as usize..at as usize + data.len()].copy_from_slice(&data);
                    }
                    Act::Write(at, data) => prop_assert!(overlay.write(at, &data).is_err()),
                    Act::SetLen(len) => {
                        overlay.set_len(len).unwrap();
                        model.resize(len as usize, 0);
                    }
                }
                let mut whole = vec![1; model.len()];
                overlay.read(0, &mut whole).unwrap();
                prop_assert_eq!(&whole, &model);
                let middle = model.len() / 3;
                let mut part = vec![1; model.len() / 2];
                overlay.read(middle as u64, &mut part).unwrap();
                prop_assert_eq!(&part[..], &model[middle..middle + part.len()]);
            }
            prop_assert!(overlay.read(model.len() as u64, &mut [0]).is_err());
            prop_assert_eq!(std::fs::read(&path).unwrap(), start);
        }
    }
}
