//! New files: an empty store, a backup, a restored one. Each is written under another name,
//! verified, and then given its own, so that none is ever there in part.

use std::io;
use std::path::{Path, PathBuf};

use ::redb::{Builder, ReadTransaction, ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::error::{Fault, FileError};
use super::file::Held;
use super::layout::{self, LOG, META, META_NAME, Meta};
use super::verify::{self, Report};
use crate::domain::time::Timestamp;
use crate::store::durable::{self, Unfinished};
use crate::store::ring::{Ring, RingError};
use crate::store::{Epoch, Name, NeededKeys, Table, codec, needed};

/// Verifies the store at `path`, which no server may have open, and says what it holds and what it needs
/// each key of the ring for. Changes nothing. Blocks.
///
/// # Errors
///
/// Every variant of [`FileError`] but `Exists`.
pub fn check(path: &Path, secret_file: &Path) -> Result<(Report, NeededKeys), FileError> {
    let ring = load_ring(path, secret_file)?;
    let file = Held::lock_to_read(path)?;
    verify::examine(&file, &ring, |transaction, verified| {
        Ok((verified.report(file.size()?), verify::needed(transaction, &ring)?))
    })
    .map_err(|fault| fault.at(path, secret_file))
}

/// Copies the store at `from`, which no server may have open, into a new file at `to`. Blocks.
///
/// # Errors
///
/// Every variant of [`FileError`]; `from` is unchanged and there is nothing at `to` then.
pub fn backup_file(from: &Path, to: &Path, secret_file: &Path) -> Result<Report, FileError> {
    let ring = load_ring(from, secret_file)?;
    let file = Held::lock_to_read(from)?;
    verify::examine(&file, &ring, |transaction, _| Ok(backup_transaction(transaction, &ring, from, to)))
        .map_err(|fault| fault.at(from, secret_file))?
}

/// Puts the backup `from` in the place of the store at `to`, which no server may have open; what
/// was there is kept as `<to>.replaced-<now>`, whose path is given back. The restored store has
/// a new term and an empty log, so that whoever followed the old one reads a snapshot, and all that can be is
/// under the primary key of the ring. Blocks.
///
/// # Errors
///
/// Every variant of [`FileError`]; both files are unchanged then.
pub fn restore(
    from: &Path,
    to: &Path,
    secret_file: &Path,
    now: Timestamp,
) -> Result<(Report, Option<PathBuf>), FileError> {
    let ring = load_ring(from, secret_file)?;
    let backup = Held::lock_to_read(from)?;
    let old = match Held::lock_to_read(to) {
        Ok(old) => Some(old),
        Err(FileError::Missing { .. }) => None,
        Err(error) => return Err(error),
    };
    let beside = Unfinished::beside(to);
    let copied = verify::examine(&backup, &ring, |transaction, verified| {
        let epoch = epoch_after(verified.meta.epoch, old.as_ref(), &ring, now);
        let meta = Meta { epoch, log_after: epoch.number, ..verified.meta };
        let anew = |table, name: &[u8], value: &[u8]| written_anew(&ring, table, name, value);
        Ok(copy(&beside, &ring, &meta, |new| copy_records(transaction, new, anew)))
    });
    let report =
        copied.map_err(|fault| fault.at(from, secret_file))?.map_err(|fault| fault.at(to, secret_file))?;
    let replaced = match old {
        Some(_) => replace(beside.path(), to, now).map(Some),
        None => durable::publish_new(beside.path(), to).map(|()| None),
    };
    Ok((report, replaced.map_err(FileError::io(to, "replaced"))?))
}

/// Gives back as what the one before is kept. Within one second the later ones count on.
fn replace(made: &Path, to: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let count = if number == 1 { String::new() } else { format!("-{number}") };
        let kept = durable::with_suffix(to, &format!(".replaced-{}{count}", now.unix()));
        match durable::publish_over(made, to, &kept) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            replaced => return replaced.map(|()| kept),
        }
    }
}

/// Makes an empty store. Where another process was first, that one's stays.
pub(super) fn make(path: &Path, ring: &Ring) -> Result<(), FileError> {
    let beside = Unfinished::beside(path);
    let epoch = Epoch { store: Uuid::new_v4(), term: 1, number: 0 };
    let meta = Meta { epoch, log_after: 0, counts: [0; Table::COUNT] };
    copy(&beside, ring, &meta, |_| Ok(())).map_err(|fault| fault.at(path, Path::new("")))?;
    match durable::publish_new(beside.path(), path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(FileError::io(path, "made")(error)),
        _ => Ok(()),
    }
}

/// Copies what the transaction sees, which is verified on the way.
pub(super) fn backup_transaction(
    transaction: &ReadTransaction,
    ring: &Ring,
    from: &Path,
    to: &Path,
) -> Result<Report, FileError> {
    let fault = |fault: Fault| match fault {
        Fault::Io(error) => FileError::io(to, "written")(error),
        // What is copied was there before the copy.
        other => other.at(from, Path::new("")),
    };
    let beside = Unfinished::beside(to);
    let meta = Meta::read(transaction, ring).map_err(fault)?;
    let report = copy(&beside, ring, &meta, |new| {
        copy_records(transaction, new, |_, _, value| Ok(value.to_vec()))?;
        copy_log(transaction, new)
    })
    .map_err(fault)?;
    match durable::publish_new(beside.path(), to) {
        Ok(()) => Ok(report),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(FileError::Exists { path: to.to_owned() })
        }
        Err(error) => Err(FileError::io(to, "written")(error)),
    }
}

/// The restored store's: later than the backup's and than that of the store it replaces.
fn epoch_after(backup: Epoch, old: Option<&Held>, ring: &Ring, now: Timestamp) -> Epoch {
    let replaced = old.and_then(|old| verify::glance(old, ring).ok()).map(|meta| meta.epoch);
    let replaced = replaced.filter(|epoch| epoch.store == backup.store);
    match replaced {
        Some(replaced) => Epoch {
            term: backup.term.max(replaced.term) + 1,
            number: backup.number.max(replaced.number),
            ..backup
        },
        // Nobody can say which terms there have been since the backup, so take one that no count
        // of restores has reached: the seconds since 1970, good until 2106.
        None => Epoch { term: (backup.term + 1).max(u32::try_from(now.unix()).unwrap_or(0)), ..backup },
    }
}

/// Makes the file, fills it in one durable transaction, and verifies it.
fn copy(
    beside: &Unfinished,
    ring: &Ring,
    meta: &Meta,
    fill: impl FnOnce(&WriteTransaction) -> Result<(), Fault>,
) -> Result<Report, Fault> {
    let file = Held::create(beside.path())?;
    verify::guarded(|| {
        let database = Builder::new().set_cache_size(CACHE).create_with_backend(file.clone())?;
        let mut transaction = database.begin_write()?;
        transaction.set_two_phase_commit(true);
        for table in Table::ALL {
            transaction.open_table(layout::records(table))?;
        }
        transaction.open_table(LOG)?;
        transaction.open_table(META)?.insert(META_NAME, &meta.seal(ring)[..])?;
        fill(&transaction)?;
        transaction.commit()?;
        Ok(database.close()?)
    })?;
    file.sync()?;
    verify::examine(&file, ring, |_, verified| Ok(verified.report(file.size()?)))
}

fn copy_records(
    from: &ReadTransaction,
    to: &WriteTransaction,
    as_it_is_to_be: impl Fn(Table, &[u8], &[u8]) -> Result<Vec<u8>, Fault>,
) -> Result<(), Fault> {
    for table in Table::ALL {
        let mut new = to.open_table(layout::records(table))?;
        let Some(old) = layout::read_records(from, table)? else { continue };
        for entry in old.iter()? {
            let (name, value) = entry?;
            new.insert(name.value(), &as_it_is_to_be(table, name.value(), value.value())?[..])?;
        }
    }
    Ok(())
}

/// A record with its envelope and its secrets under the primary key, where they can be.
fn written_anew(ring: &Ring, table: Table, name: &[u8], value: &[u8]) -> Result<Vec<u8>, Fault> {
    if needed::is_named_by_verifier(table) {
        return Ok(value.to_vec());
    }
    let name = Name(name.to_vec());
    let (revision, payload) = codec::open(ring, table, &name, value)
        .map_err(|distrust| Fault::distrust(&format!("the {table:?} record {name:?}"), distrust))?;
    let payload = needed::renewed(ring, table, payload);
    let payload = payload.map_err(|error| Fault::Damaged(error.to_string()))?;
    Ok(codec::seal(ring, table, &name, revision, payload))
}

fn copy_log(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), Fault> {
    let mut new = to.open_table(LOG)?;
    for entry in from.open_table(LOG)?.iter()? {
        let (number, value) = entry?;
        new.insert(number.value(), value.value())?;
    }
    Ok(())
}

fn load_ring(store: &Path, secret_file: &Path) -> Result<Ring, FileError> {
    match Ring::load(secret_file) {
        Err(RingError::Missing { .. }) if store.exists() => {
            Err(FileError::SecretMissing { path: store.to_owned(), secret: secret_file.to_owned() })
        }
        // Where there is neither, the store is what was asked for.
        Err(RingError::Missing { .. }) => Err(FileError::Missing { path: store.to_owned() }),
        loaded => Ok(loaded?),
    }
}

/// Bytes. What is being copied is read once.
const CACHE: usize = 64 * 1024 * 1024;
