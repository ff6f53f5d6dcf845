//! What the embedded store promises beyond the contract: of its file, its ring and its copies.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use ::redb::{Builder, StorageBackend};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::domain::time::Timestamp;
use crate::store::contract::{all, batch, beat, name, next, put, step};
use crate::store::{Effect, Expect};

/// A store of which the log keeps so many changes.
pub(crate) fn open_keeping(folder: &Path, kept: u64) -> RedbStore {
    RedbStore::open_keeping(&folder.join("a.redb"), &folder.join("a.secret"), kept).unwrap()
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
        RedbStore::open(&self.store(), &self.secret())
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
    let mut each = |record| records.push(record);
    let epoch = store.snapshot(&layout::TABLES, &mut each).await.unwrap();
    (epoch, records)
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
    assert_eq!(store.heartbeat(beat()).await.unwrap(), written);
    assert_eq!(store.write(again).await.unwrap(), written, "the operation is still known");
    assert_eq!(*store.pushed().borrow(), written.number);
    assert_eq!(next(&store, Epoch { number: 0, ..written }, 1_000).await.len() as u64, written.number);
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
    assert_eq!(store.changes(Epoch { number: now.number - 6, ..now }, 9).await.unwrap(), Changes::Gone);
    assert_eq!(next(&store, Epoch { number: now.number - 5, ..now }, 9).await.len(), 5);
    // A shorter log than before is cut with the next change.
    drop(store);
    let store = open_keeping(place.folder.path(), 2);
    let now = store.write(put(Table::Key, 200, b"")).await.unwrap();
    assert_eq!(store.changes(Epoch { number: now.number - 3, ..now }, 9).await.unwrap(), Changes::Gone);
    assert_eq!(next(&store, Epoch { number: now.number - 2, ..now }, 9).await.len(), 2);
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

/// Flips one bit and either is refused, leaving the file as it is, or reads everything right.
async fn check_flip(original: &[u8], bit: usize, expected: &(Epoch, Vec<Record>), secret: &Path) -> bool {
    let place = Place::new();
    let mut bytes = original.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    std::fs::write(place.store(), &bytes).unwrap();
    std::fs::copy(secret, place.secret()).unwrap();
    match place.open() {
        Ok(store) => {
            assert!(everything(&store).await == *expected, "bit {bit} reads otherwise");
            true
        }
        Err(error) => {
            assert!(
                std::fs::read(place.store()).unwrap() == bytes,
                "bit {bit}: the refused file was changed"
            );
            assert!(
                matches!(error, FileError::Damaged { .. } | FileError::NotAStore { .. }),
                "bit {bit}: {error}"
            );
            false
        }
    }
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

#[tokio::test]
async fn flipped_bit_is_refused_or_harmless() {
    let mut refused = 0;
    for closed in [true, false] {
        let place = Place::new();
        let (original, expected) = filled(&place, closed).await;
        // Mostly where there is something: the file has long stretches of zeros.
        let used: Vec<usize> = (0..original.len()).filter(|at| original[*at] != 0).collect();
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..100 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let random = usize::try_from(seed >> 3).unwrap();
            let byte = if round % 10 == 0 { random % original.len() } else { used[random % used.len()] };
            let bit = byte * 8 + random % 8;
            refused += usize::from(!check_flip(&original, bit, &expected, &place.secret()).await);
        }
    }
    assert!(refused > 50, "only {refused} of 200 were noticed: what was flipped?");
}

#[tokio::test]
async fn flipped_bit_in_the_head_is_refused_or_harmless() {
    for closed in [true, false] {
        let place = Place::new();
        let (original, expected) = filled(&place, closed).await;
        // redb's magic number, flags and sizes, then its two commit slots.
        for bit in (0..32 * 8).chain((64 * 8..320 * 8).step_by(23)) {
            check_flip(&original, bit, &expected, &place.secret()).await;
        }
    }
}

#[tokio::test]
async fn foreign_empty_and_truncated_files_are_refused_as_they_are() {
    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let place = Place::new();
        Ring::create(&place.secret()).map(drop).unwrap();
        std::fs::write(place.store(), bytes).unwrap();
        let error = place.refusal().to_string();
        assert!(error.contains(expected) && error.contains("a.redb"), "{error}");
    }
    check(b"", "is not a store of Doorward: the file is empty");
    check(b"SQLite format 3\0 and more", "is not a store of Doorward: it does not begin as a redb file does");
    check(b"redb", "does not begin");
    check(b"redb\x1a\x0a\xa9\x0d\x0a", "is damaged");

    let place = Place::new();
    let (original, _) = filled(&place, true).await;
    for length in [10, 320, 4_096, original.len() / 2, original.len() - 4_096, original.len() - 1] {
        std::fs::write(place.store(), &original[..length]).unwrap();
        let error = place.refusal();
        assert!(matches!(error, FileError::Damaged { .. }), "{length}: {error}");
        assert!(error.to_string().contains("doorward store restore"), "{error}");
    }

    let other = Place::new();
    Ring::create(&other.secret()).map(drop).unwrap();
    let foreign: ::redb::TableDefinition<'_, u64, u64> = ::redb::TableDefinition::new("theirs");
    let database = ::redb::Database::create(other.store()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(foreign).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = other.refusal();
    assert!(matches!(error, FileError::NotAStore { .. }), "{error}");
}

#[tokio::test]
async fn newer_store_is_refused_as_newer() {
    let place = Place::new();
    let store = place.open().unwrap();
    fill(&store, 3).await;
    let ring = store.ring().clone();
    drop(store);
    let original = std::fs::read(place.store()).unwrap();

    meddle(&place.store(), |transaction| {
        use prost::Message;
        let mut table = transaction.open_table(layout::META).unwrap();
        let bytes = table.get(layout::META_NAME).unwrap().unwrap().value().to_vec();
        let sealed = crate::store::codec::unverified(&bytes).unwrap();
        let mut meta = crate::store::proto::Meta::decode(&sealed.payload[..]).unwrap();
        meta.schema += 1;
        let place = codec::Place { space: codec::Space::Meta, name: layout::META_NAME.as_bytes() };
        let newer = place.seal(&ring, sealed.revision, meta.encode_to_vec());
        table.insert(layout::META_NAME, &newer[..]).unwrap();
    });
    let error = place.refusal();
    assert!(matches!(error, FileError::Newer { .. }), "{error}");

    std::fs::write(place.store(), original).unwrap();
    meddle(&place.store(), |transaction| {
        use prost::Message;
        let mut table = transaction.open_table(layout::records(Table::Key)).unwrap();
        let bytes = table.get(&name(1).0[..]).unwrap().unwrap().value().to_vec();
        let mut sealed = codec::unverified(&bytes).unwrap();
        sealed.version = 2;
        table.insert(&name(1).0[..], &sealed.encode_to_vec()[..]).unwrap();
    });
    let error = place.refusal();
    assert!(matches!(error, FileError::Newer { .. }), "{error}");
    assert!(error.to_string().contains("written by a newer doorward"), "{error}");
}

#[tokio::test]
async fn writer_without_the_ring_can_neither_move_nor_drop_nor_add() {
    #[track_caller]
    fn check(original: &[u8], place: &Place, expected: &str, change: impl FnOnce(&::redb::WriteTransaction)) {
        std::fs::write(place.store(), original).unwrap();
        meddle(&place.store(), change);
        let error = place.refusal();
        assert!(matches!(error, FileError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    fn value(transaction: &::redb::WriteTransaction, number: u8) -> Vec<u8> {
        let table = transaction.open_table(layout::records(Table::Key)).unwrap();
        table.get(&name(number).0[..]).unwrap().unwrap().value().to_vec()
    }
    let place = Place::new();
    let (original, _) = filled(&place, true).await;
    let keys = layout::records(Table::Key);
    check(&original, &place, "MAC does not fit", |transaction| {
        let moved = value(transaction, 1);
        transaction.open_table(keys).unwrap().insert(&name(2).0[..], &moved[..]).unwrap();
    });
    check(&original, &place, "MAC does not fit", |transaction| {
        let moved = value(transaction, 1);
        let mut other = transaction.open_table(layout::records(Table::Consumer)).unwrap();
        other.insert(&name(1).0[..], &moved[..]).unwrap();
    });
    check(&original, &place, "expected 72", |transaction| {
        transaction.open_table(keys).unwrap().remove(&name(1).0[..]).unwrap();
    });
    check(&original, &place, "log has 6 where 5 should be", |transaction| {
        transaction.open_table(layout::LOG).unwrap().remove(5).unwrap();
    });
    check(&original, &place, "log ends at", |transaction| {
        transaction.open_table(layout::LOG).unwrap().pop_last().unwrap();
    });
    check(&original, &place, "not an envelope", |transaction| {
        transaction.open_table(keys).unwrap().insert(&name(1).0[..], &[0xff][..]).unwrap();
    });
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
    assert_eq!(store.heartbeat(beat()).await.unwrap().number, 0);
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

#[tokio::test]
async fn backup_of_a_running_store_is_of_one_moment_and_restores() {
    let place = Place::new();
    let store = Arc::new(place.open().unwrap());
    fill(&store, 50).await;
    let (writing, backup) = (store.clone(), place.path("backup"));
    let writer = tokio::spawn(async move {
        for number in 100..150 {
            writing.write(put(Table::Unique, number, b"later")).await.unwrap();
        }
    });
    let (copying, to) = (store.clone(), backup.clone());
    let report = tokio::task::spawn_blocking(move || copying.backup(&to)).await.unwrap().unwrap();
    writer.await.unwrap();
    let counts: BTreeMap<_, _> = report.records.iter().copied().collect();
    assert_eq!((counts[&Table::Consumer], counts[&Table::Key]), (50, 45));
    assert_eq!(counts[&Table::Unique] + 5, report.epoch.number, "the count fits the epoch");
    assert_eq!(std::fs::metadata(&backup).unwrap().mode() & 0o7777, 0o600);
    assert!(matches!(store.backup(&backup), Err(FileError::Exists { .. })));
    assert_eq!(check(&backup, &place.secret()).unwrap(), report);

    let before = store.heartbeat(beat()).await.unwrap();
    assert_eq!(store.check().unwrap().epoch, before);
    drop(Arc::into_inner(store).unwrap());
    let damaged = [&b"redb\x1a\x0a\xa9\x0d\x0a"[..], &[7; 10_000]].concat();
    let bytes = std::fs::read(place.store()).unwrap();
    let now = Timestamp::from_unix(1_800_000_000);
    let restored = |current: &[u8]| {
        std::fs::write(place.store(), current).unwrap();
        let (report, kept) = restore(&backup, &place.store(), &place.secret(), now).unwrap();
        let kept = kept.unwrap();
        assert_eq!(kept, place.path("a.redb.replaced-1800000000"));
        assert!(std::fs::read(&kept).unwrap() == current, "the replaced file is kept as it was");
        std::fs::remove_file(kept).unwrap();
        report.epoch
    };
    // Over a whole store: a later term than both, and no number twice.
    let first = restored(&bytes);
    assert_eq!(first, Epoch { term: 2, ..before });
    // Over one that cannot say which terms there were.
    assert_eq!(restored(&damaged), Epoch { term: 1_800_000_000, ..report.epoch });

    let store = place.open().unwrap();
    assert_eq!(store.changes(before, 10).await.unwrap(), Changes::Gone, "followers notice");
    assert_eq!(all(&store, Table::Key).await.len(), 45);
    let next_number = store.write(put(Table::Key, 250, b"")).await.unwrap().number;
    assert_eq!(next_number, report.epoch.number + 1);
    drop(store);
    assert!(place.open().is_ok());
    assert_eq!(place.names(), ["a.redb", "a.secret", "backup"]);
}

#[tokio::test]
async fn restore_replaces_nothing_with_less_than_a_whole_backup() {
    let place = Place::new();
    let (bytes, expected) = filled(&place, true).await;
    let (backup, bad) = (place.path("backup"), place.path("bad"));
    backup_file(&place.store(), &backup, &place.secret()).unwrap();
    let mut damaged = std::fs::read(&backup).unwrap();
    let last = damaged.iter().rposition(|byte| *byte != 0).unwrap();
    damaged[last] ^= 1;
    std::fs::write(&bad, damaged).unwrap();
    let now = Timestamp::from_unix(1);
    let error = restore(&bad, &place.store(), &place.secret(), now).unwrap_err();
    assert!(matches!(&error, FileError::Damaged { path, .. } if *path == bad), "{error}");
    let error = restore(&place.path("none"), &place.store(), &place.secret(), now).unwrap_err();
    assert!(matches!(error, FileError::Missing { .. }), "{error}");
    assert!(matches!(backup_file(&place.store(), &backup, &place.secret()), Err(FileError::Exists { .. })));
    assert!(std::fs::read(place.store()).unwrap() == bytes);
    assert_eq!(place.names(), ["a.redb", "a.secret", "backup", "bad"]);
    assert_eq!(everything(&place.open().unwrap()).await, expected);
    // With nothing to replace.
    std::fs::remove_file(place.store()).unwrap();
    let (_, kept) = restore(&backup, &place.store(), &place.secret(), now).unwrap();
    assert_eq!(kept, None);
    assert_eq!(everything(&place.open().unwrap()).await.1, expected.1);
}

/// A disk that refuses from some moment on.
#[derive(Debug)]
struct Failing {
    disk: ::redb::backends::InMemoryBackend,
    fails: Arc<std::sync::atomic::AtomicBool>,
}

impl StorageBackend for Failing {
    fn len(&self) -> std::io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        if self.fails.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(std::io::Error::other("fsync says no"));
        }
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.disk.write(offset, data)
    }
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged_any_more() {
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let disk = Failing { disk: ::redb::backends::InMemoryBackend::new(), fails: fails.clone() };
    let (pushed, newest) = watch::channel(0);
    let epoch = Epoch { store: Uuid::new_v4(), term: 1, number: 0 };
    let writer = Writer {
        database: Arc::new(Builder::new().create_with_backend(disk).unwrap()),
        ring: Arc::new(
            Ring::parse(Path::new("s"), format!("1 {:064x}", 1).as_bytes()).unwrap_or_else(|e| panic!("{e}")),
        ),
        history: History::new(epoch, 0, Vec::new()),
        counts: [0; 4],
        kept: 10,
        pushed,
        closed: None,
    };
    let (asks, asked) = mpsc::channel(8);
    let thread = std::thread::spawn(move || writer.run(asked));
    let ask = async |ask: &dyn Fn(writer::Answer) -> Ask| {
        let (answer, answered) = oneshot::channel();
        asks.send(ask(answer)).await.map_err(drop).unwrap();
        answered.await.unwrap()
    };
    let write = |number| move |answer| Ask::Write(put(Table::Key, number, b""), answer);
    assert_eq!(ask(&write(1)).await.unwrap().number, 1);
    fails.store(true, std::sync::atomic::Ordering::SeqCst);
    let error = ask(&write(2)).await.unwrap_err();
    assert!(error.to_string().contains("until a restart"), "{error}");
    // Even when the disk says yes again: what it has is not known.
    fails.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(ask(&write(3)).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(ask(&Ask::Beat).await, Err(StoreError::Unavailable(_))), "leases run out");
    assert_eq!(*newest.borrow(), 1, "nothing is pushed that is not durable");
    drop(asks);
    thread.join().unwrap();
}
