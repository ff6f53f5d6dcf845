//! Whether a file is a whole store of ours.
//!
//! redb's checksums are not cryptographic and it does not ask them on opening, so we ask
//! everything: its integrity check, the MAC of every record and change, the counts, and that the
//! log has no gap. All of it over an [`Overlay`], before the file is opened to be written.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::redb::{Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend};
use uuid::Uuid;

use super::error::Fault;
use super::fence::Fenced;
use super::file::{Held, Overlay};
use super::layout::{self, LOG, Meta};
use crate::store::ring::Ring;
use crate::store::{Epoch, Name, NeededKeys, Table};
use crate::store::{codec, log};

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub epoch: Epoch,
    /// The number of records of each table.
    pub records: Vec<(Table, u64)>,
    /// The number of changes in the log.
    pub changes: u64,
    /// Bytes of the file.
    pub size: u64,
}

/// A store that was found whole.
pub(super) struct Verified {
    pub(super) meta: Meta,
    /// The operations of the changes in the log, in order.
    pub(super) operations: Vec<Uuid>,
    commit: Commit,
}

/// Which of the two commits that a redb file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commit {
    /// The one that its head names.
    Named,
    /// The other one, which is newer.
    Other,
}

impl Verified {
    pub(super) fn report(&self, size: u64) -> Report {
        let records = Table::ALL.iter().map(|table| (*table, self.meta.counts[table.index()])).collect();
        Report { epoch: self.meta.epoch, records, changes: self.operations.len() as u64, size }
    }
}

/// Verifies the whole file without changing it, then lets `then` read it.
pub(super) fn examine<T>(
    file: &Held,
    ring: &Ring,
    then: impl FnOnce(&ReadTransaction, Verified) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let commit = newest(file, ring)?;
    look(file, commit, |transaction| {
        let verified = verify(transaction, ring)?;
        then(transaction, Verified { commit, ..verified })
    })
}

/// What the file says of itself, be it whole or not.
pub(super) fn glance(file: &Held, ring: &Ring) -> Result<Meta, Fault> {
    look(file, Commit::Named, |transaction| Meta::read(transaction, ring))
}

/// Opens the file in earnest. Only for one that was found whole.
pub(super) fn open(file: Fenced, verified: &Verified) -> Result<Database, Fault> {
    if verified.commit == Commit::Other {
        name_other_commit(&file, &file.held().head::<HEAD>()?)?;
        file.sync_data()?;
    }
    guarded(|| open_on(file))
}

/// The store at the commit that its head names, to be read alone: what redb itself would write
/// stays in memory. Says where it stands.
pub(super) fn shadow(file: &Held, ring: &Ring) -> Result<(Database, Meta), Fault> {
    let overlay = Overlay::over(file.clone())?;
    guarded(|| {
        let database = open_on(overlay)?;
        let meta = Meta::read(&database.begin_read()?, ring)?;
        Ok((database, meta))
    })
}

/// Whether everything in the store is what we wrote.
pub(super) fn verify(transaction: &ReadTransaction, ring: &Ring) -> Result<Verified, Fault> {
    let meta = Meta::read(transaction, ring)?;
    for table in Table::ALL {
        let counted = verify_records(transaction, ring, table, meta.epoch.number)?;
        let expected = meta.counts[table.index()];
        if counted != expected {
            return Err(Fault::Damaged(format!("it has {counted} {table:?} records, expected {expected}")));
        }
    }
    let operations = verify_log(transaction, ring, &meta)?;
    Ok(Verified { meta, operations, commit: Commit::Named })
}

/// Whatever redb does on bytes that it does not expect, it is an answer.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // Nothing that the closure touched is used after a panic.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Fault::Damaged(format!("the engine stopped over it ({})", panic_text(&*panic))))
    })
}

/// The newest commit that the file has whole.
///
/// Where a writer was cut off between its two phases the head names the older commit, and rightly:
/// the newer was not acknowledged. But one flipped bit makes it name the older one too, and that
/// would undo an acknowledged commit. The two look the same, so the newer one is taken wherever
/// all of it verifies: unacknowledged, it may be written or not; acknowledged, it must be.
fn newest(file: &Held, ring: &Ring) -> Result<Commit, Fault> {
    let head = file.head::<HEAD>()?;
    check_head(&head)?;
    let named = usize::from(head[FLAGS] & OTHER_COMMIT != 0);
    if transaction_id(&head, 1 - named) <= transaction_id(&head, named) {
        return Ok(Commit::Named);
    }
    // Nothing of the head is verified by us, so the numbers that have a MAC decide.
    let number = |transaction: &ReadTransaction| Ok(verify(transaction, ring)?.meta.epoch.number);
    let named = look(file, Commit::Named, number)?;
    match look(file, Commit::Other, number) {
        Ok(other) if other >= named => Ok(Commit::Other),
        _ if head[FLAGS] & UNCLEAN != 0 => Ok(Commit::Named),
        Ok(other) => Err(Fault::Damaged(format!("it names change {named} and has change {other} after it"))),
        Err(fault) => Err(Fault::Damaged(format!("its newest commit is not whole: {fault}"))),
    }
}

fn look<T>(
    file: &Held,
    commit: Commit,
    read: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let head = file.head::<HEAD>()?;
    check_head(&head)?;
    let overlay = Overlay::over(file.clone())?;
    if commit == Commit::Other {
        name_other_commit(&overlay, &head)?;
    }
    guarded(|| {
        let database = open_on(overlay)?;
        read(&database.begin_read()?)
    })
}

fn name_other_commit(file: &impl StorageBackend, head: &[u8]) -> Result<(), Fault> {
    Ok(file.write(FLAGS as u64, &[head[FLAGS] ^ OTHER_COMMIT])?)
}

fn open_on(backend: impl StorageBackend) -> Result<Database, Fault> {
    let mut builder = Builder::new();
    builder.set_check_integrity_on_open(true).set_cache_size(CACHE);
    Ok(builder.create_with_backend(backend)?)
}

/// Tells other files from damaged ones, and keeps an empty one from being made a store.
fn check_head(head: &[u8]) -> Result<(), Fault> {
    if head.is_empty() {
        return Err(Fault::NotAStore("the file is empty".into()));
    }
    if !head.starts_with(MAGIC) {
        return Err(Fault::NotAStore("it does not begin as a redb file does".into()));
    }
    if head.len() < HEAD {
        return Err(Fault::Damaged(format!("it ends after {} bytes, within its head", head.len())));
    }
    Ok(())
}

/// The number of the transaction that wrote a commit slot.
fn transaction_id(head: &[u8], slot: usize) -> u64 {
    let at = SLOTS[slot] + TRANSACTION_ID;
    head[at..at + 8].iter().rev().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

fn verify_records(
    transaction: &ReadTransaction,
    ring: &Ring,
    table: Table,
    newest: u64,
) -> Result<u64, Fault> {
    let mut counted = 0;
    let Some(records) = layout::read_records(transaction, table)? else { return Ok(0) };
    for entry in records.iter()? {
        let (name, value) = entry?;
        let name = Name(name.value().to_vec());
        let (revision, _) = codec::open(ring, table, &name, value.value())
            .map_err(|distrust| Fault::distrust(&format!("the {table:?} record {name:?}"), distrust))?;
        if revision > newest {
            let why =
                format!("the {table:?} record {name:?} is of change {revision}, the newest is {newest}");
            return Err(Fault::Damaged(why));
        }
        counted += 1;
    }
    Ok(counted)
}

/// What a store that was verified needs each key of the ring for.
pub(super) fn needed(transaction: &ReadTransaction, ring: &Ring) -> Result<NeededKeys, Fault> {
    let mut needed = NeededKeys::of(ring);
    for table in Table::ALL {
        let Some(records) = layout::read_records(transaction, table)? else { continue };
        for entry in records.iter()? {
            let (_, value) = entry?;
            let sealed = codec::unverified(value.value());
            let sealed = sealed.map_err(|distrust| Fault::distrust("a record", distrust))?;
            let noted = needed.note(table, sealed.ring_key, &sealed.payload);
            noted.map_err(|error| Fault::Damaged(error.to_string()))?;
        }
    }
    for entry in transaction.open_table(LOG)?.iter()? {
        let (_, value) = entry?;
        let sealed = codec::unverified(value.value());
        needed.note_change(sealed.map_err(|distrust| Fault::distrust("a change", distrust))?.ring_key);
    }
    Ok(needed)
}

fn verify_log(transaction: &ReadTransaction, ring: &Ring, meta: &Meta) -> Result<Vec<Uuid>, Fault> {
    let mut operations = Vec::new();
    let mut expected = meta.log_after;
    for entry in transaction.open_table(LOG)?.iter()? {
        let (number, value) = entry?;
        expected += 1;
        if number.value() != expected {
            return Err(Fault::Damaged(format!("its log has {} where {expected} should be", number.value())));
        }
        let (change, _) = log::open(ring, expected, value.value())
            .map_err(|distrust| Fault::distrust(&format!("change {expected} of its log"), distrust))?;
        operations.push(change.operation);
    }
    if expected != meta.epoch.number {
        return Err(Fault::Damaged(format!("its log ends at {expected}, expected {}", meta.epoch.number)));
    }
    Ok(operations)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a reason")
}

/// The head of a redb file of format 3, from redb's design document; offsets and sizes in bytes.
const HEAD: usize = 320;
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const FLAGS: usize = 9;
const SLOTS: [usize; 2] = [64, 192];
const TRANSACTION_ID: usize = 104;
/// Flags: which slot is named, and that the file was not closed.
const OTHER_COMMIT: u8 = 1;
const UNCLEAN: u8 = 2;
/// Bytes. Checks never read the store, so it need not be in memory a second time.
const CACHE: usize = 64 * 1024 * 1024;
