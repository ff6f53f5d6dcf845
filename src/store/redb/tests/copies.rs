//! Backups and restored stores.

use super::*;

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

    let head = store.heartbeat(beat()).await.unwrap();
    let before = head.epoch;
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
    assert_eq!(store.changes(head, 10).await.unwrap(), Changes::Parted, "followers notice");
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
    std::fs::copy(&backup, &bad).unwrap();
    meddle(&bad, |transaction| {
        transaction.open_table(layout::records(Table::Key)).unwrap().pop_first().unwrap();
    });
    let now = Timestamp::from_unix(1);
    let error = restore(&bad, &place.store(), &place.secret(), now).unwrap_err();
    assert!(matches!(&error, FileError::Damaged { path, .. } if *path == bad), "{error}");
    let error = restore(&place.path("none"), &place.store(), &place.secret(), now).unwrap_err();
    assert!(matches!(error, FileError::Missing { .. }), "{error}");
    assert!(matches!(backup_file(&place.store(), &backup, &place.secret()), Err(FileError::Exists { .. })));
    assert!(std::fs::read(place.store()).unwrap() == bytes);
    assert_eq!(place.names(), ["a.redb", "a.secret", "backup", "bad"]);
    assert_eq!(everything(&place.open().unwrap()).await, expected);
    // With nothing to replace, and from what may only be read.
    std::fs::set_permissions(&backup, std::fs::Permissions::from_mode(0o400)).unwrap();
    std::fs::remove_file(place.store()).unwrap();
    let (_, kept) = restore(&backup, &place.store(), &place.secret(), now).unwrap();
    assert_eq!(kept, None);
    assert_eq!(everything(&place.open().unwrap()).await.1, expected.1);
}
