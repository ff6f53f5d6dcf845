//! What the embedded store promises beyond the contract: of its file, its ring and its copies.

#![allow(clippy::unwrap_used, reason = "tests")]

mod copies;
mod damage;
mod groups;
mod refusal;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use ::redb::Builder;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::domain::time::Timestamp;
use crate::store::contract::{all, batch, beat, name, next, put, step};
use crate::store::{Effect, Expect};

/// A store of which the log keeps so many changes.
pub(crate) fn open_keeping(folder: &Path, kept: u64) -> RedbStore {
    let open = || RedbStore::open_keeping(&folder.join("a.redb"), &folder.join("a.secret"), kept);
    patiently(open).unwrap()
}

/// Another test of this process that starts a Redis just now has a copy of every open file between
/// `fork` and `exec`, and so keeps the lock of a store that was dropped for that moment.
fn patiently(open: impl Fn() -> Result<RedbStore, FileError>) -> Result<RedbStore, FileError> {
    for _ in 0..100 {
        match open() {
            Err(FileError::InUse { .. }) => std::thread::sleep(Duration::from_millis(10)),
            opened => return opened,
        }
    }
    open()
}

/// A folder with a store's file and its ring.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> PathBuf {
        self.path("a.redb")
    }

    fn secret(&self) -> PathBuf {
        self.path("a.secret")
    }

    fn open(&self) -> Result<RedbStore, FileError> {
        patiently(|| RedbStore::open(&self.store(), &self.secret()))
    }

    /// Its refusal, after which the file must be what it was.
    #[track_caller]
    fn refusal(&self) -> FileError {
        let before = std::fs::read(self.store()).unwrap();
        let error = match self.open() {
            Ok(_) => panic!("was opened"),
            Err(error) => error,
        };
        assert!(std::fs::read(self.store()).unwrap() == before, "the refused file was changed: {error}");
        error
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Some records of every kind, written, changed and deleted.
async fn fill(store: &RedbStore, count: u8) {
    for number in 0..count {
        let payload = vec![number; usize::from(number) * 3];
        let steps = [Table::Consumer, Table::Key, Table::Unique, Table::Owned]
            .map(|table| step(table, number, Expect::Absent, Effect::Put(payload.clone())));
        store.write(batch(steps)).await.unwrap();
        if number % 10 == 0 {
            store.write(batch([step(Table::Key, number, Expect::Anything, Effect::Delete)])).await.unwrap();
        }
    }
}

async fn everything(store: &RedbStore) -> (Epoch, Vec<Record>) {
    let mut records = Vec::new();
    let mut each = |shown: Result<Record, StoreError>| records.push(shown.unwrap());
    let head = store.snapshot(&Table::ALL, &mut each).await.unwrap();
    (head.epoch, records)
}

/// The file of a filled store, and what it holds: closed, or as a kill leaves it.
async fn filled(place: &Place, closed: bool) -> (Vec<u8>, (Epoch, Vec<Record>)) {
    let store = place.open().unwrap();
    fill(&store, 80).await;
    let expected = everything(&store).await;
    if closed {
        drop(store);
        return (std::fs::read(place.store()).unwrap(), expected);
    }
    (std::fs::read(place.store()).unwrap(), expected)
}

/// The mark of a file's history is one for its whole term.
fn at(now: Head, number: u64) -> Head {
    Head { epoch: Epoch { number, ..now.epoch }, ..now }
}

/// Changes the file as somebody would who knows redb, but not the ring.
fn meddle(path: &Path, change: impl FnOnce(&::redb::WriteTransaction)) {
    let database = Builder::new().open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let place = Place::new();
    let store = place.open().unwrap();
    fill(&store, 60).await;
    let again = put(Table::Key, 200, b"once");
    let written = store.write(again.clone()).await.unwrap();
    let before = everything(&store).await;
    drop(store);
    let store = place.open().unwrap();
    assert_eq!(everything(&store).await, before);
    let now = store.heartbeat(beat()).await.unwrap();
    assert_eq!(now.epoch, written);
    assert_eq!(store.write(again).await.unwrap(), written, "the operation is still known");
    assert_eq!(*store.pushed().borrow(), written.number);
    assert_eq!(next(&store, at(now, 0), 1_000).await.len() as u64, written.number);
    assert_eq!(place.names(), ["a.redb", "a.secret"]);
    let mode = std::fs::metadata(place.store()).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[tokio::test]
async fn killed_store_opens_with_all_that_was_acknowledged() {
    let place = Place::new();
    let store = place.open().unwrap();
    for number in 0..20 {
        store.write(put(Table::Key, number, &[number])).await.unwrap();
        // What a kill would leave: the file as it is, never closed.
        let killed = Place::new();
        std::fs::copy(place.store(), killed.store()).unwrap();
        std::fs::copy(place.secret(), killed.secret()).unwrap();
        let survivor = killed.open().unwrap();
        assert_eq!(everything(&survivor).await, everything(&store).await);
    }
}

#[tokio::test]
async fn trimmed_log_is_whole_after_reopening() {
    let place = Place::new();
    let store = open_keeping(place.folder.path(), 5);
    fill(&store, 30).await;
    let now = store.heartbeat(beat()).await.unwrap();
    drop(store);
    let store = open_keeping(place.folder.path(), 5);
    assert_eq!(store.changes(at(now, now.epoch.number - 6), 9).await.unwrap(), Changes::Gone);
    assert_eq!(next(&store, at(now, now.epoch.number - 5), 9).await.len(), 5);
    // A shorter log than before is cut with the next change.
    drop(store);
    let store = open_keeping(place.folder.path(), 2);
    let last = store.write(put(Table::Key, 200, b"")).await.unwrap().number;
    assert_eq!(store.changes(at(now, last - 3), 9).await.unwrap(), Changes::Gone);
    assert_eq!(next(&store, at(now, last - 2), 9).await.len(), 2);
}

#[tokio::test]
async fn second_opener_is_told_that_the_store_is_in_use() {
    let place = Place::new();
    let store = place.open().unwrap();
    let (path, secret, other) = (place.store(), place.secret(), place.path("b"));
    for result in [
        place.open().map(drop),
        check(&path, &secret).map(drop),
        backup_file(&path, &other, &secret).map(drop),
        restore(&path, &other, &secret, Timestamp::from_unix(1)).map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(&error, FileError::InUse { path: p } if *p == path), "{error}");
        assert!(error.to_string().contains("already in use by another doorward"), "{error}");
    }
    drop(store);
    assert!(place.open().is_ok());
}

#[tokio::test]
async fn ring_is_made_with_a_new_store_only() {
    let place = Place::new();
    let (original, expected) = filled(&place, true).await;
    let text = std::fs::read(place.secret()).unwrap();
    std::fs::remove_file(place.secret()).unwrap();
    let error = place.refusal();
    assert!(matches!(error, FileError::SecretMissing { .. }), "{error}");
    assert!(error.to_string().contains("is missing beside an existing store"), "{error}");
    assert!(!place.secret().exists(), "a ring was made beside an existing store");

    std::fs::write(place.secret(), &text).unwrap();
    std::fs::set_permissions(place.secret(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = place.refusal();
    assert!(matches!(error, FileError::Ring(RingError::Exposed { .. })), "{error}");
    std::fs::set_permissions(place.secret(), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(everything(&place.open().unwrap()).await, expected);

    // A ring without a store is taken as it is.
    std::fs::remove_file(place.store()).unwrap();
    let store = place.open().unwrap();
    assert_eq!(store.heartbeat(beat()).await.unwrap().epoch.number, 0);
    assert_eq!(std::fs::read(place.secret()).unwrap(), text);
    drop((store, original));
}

#[tokio::test]
async fn another_ring_is_refused_and_never_shown() {
    let place = Place::new();
    filled(&place, true).await;
    let own = std::fs::read_to_string(place.secret()).unwrap();
    let own = own.lines().last().unwrap().strip_prefix("1 ").unwrap().to_owned();
    let foreign = "a0".repeat(16) + &"5b".repeat(16);
    let refusal = |text: &str| {
        std::fs::write(place.secret(), text).unwrap();
        let error = place.refusal();
        assert!(matches!(error, FileError::WrongRing { .. }), "{error}");
        for shown in [error.to_string(), format!("{error:?}")] {
            assert!(!shown.contains("a0a0") && !shown.contains(&own[..8]), "{shown}");
        }
        error.to_string()
    };
    assert!(refusal(&format!("1 {foreign}\n")).contains("its key 1 is another one"));
    assert!(refusal(&format!("2 {foreign}\n")).contains("no key of the store's (1)"));

    // Rotated: the new key first, the old one still there.
    std::fs::write(place.secret(), format!("2 {foreign}\n1 {own}\n")).unwrap();
    let store = place.open().unwrap();
    store.write(put(Table::Key, 200, b"new")).await.unwrap();
    drop(store);
    assert!(place.open().is_ok());
    // Now both are needed.
    assert!(refusal(&format!("2 {foreign}\n")).contains("key 1"));
    assert!(refusal(&format!("1 {own}\n")).contains("key 2"));
}
