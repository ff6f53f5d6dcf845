//! A disk that refuses.

use std::sync::atomic::Ordering;

use super::*;

async fn number(store: &RedbStore) -> u64 {
    store.heartbeat(beat()).await.unwrap().epoch.number
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged_any_more() {
    let place = Place::new();
    let store = place.open().unwrap();
    store.write(put(Table::Key, 1, b"one")).await.unwrap();
    store.faults.syncs.store(true, Ordering::SeqCst);
    let error = store.write(put(Table::Key, 2, b"two")).await.unwrap_err();
    assert!(error.to_string().contains("until a restart"), "{error}");
    // Even when the disk says yes again: what it has is not known.
    store.faults.syncs.store(false, Ordering::SeqCst);
    assert!(matches!(store.write(put(Table::Key, 3, b"")).await, Err(StoreError::Unavailable(_))));
    assert!(!*store.writable().borrow());

    assert_eq!(number(&store).await, 1, "a lease goes on, with what was acknowledged");
    assert_eq!(*store.pushed().borrow(), 1, "nothing is pushed that is not durable");
    let found = store.read(Table::Key, &name(1)).await.unwrap();
    assert_eq!(found.map(|record| record.payload), Some(b"one".to_vec()), "reads go on");
    drop(store);
    let store = place.open().unwrap();
    assert!(store.write(put(Table::Key, 4, b"four")).await.is_ok(), "a restart reads the file anew");
    assert!(store.check().is_ok());
}

#[tokio::test]
async fn a_disk_without_room_stops_writes_alone_and_only_as_long_as_it_is_full() {
    let place = Place::new();
    let store = place.open().unwrap();
    fill(&store, 30).await;
    for full_for in 1..4_u8 {
        let before = everything(&store).await;
        store.faults.writes.store(true, Ordering::SeqCst);
        for _ in 0..full_for {
            let refused = store.write(put(Table::Key, 200, b"refused")).await;
            assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
            assert!(!*store.writable().borrow());
            assert_eq!(number(&store).await, before.0.number, "leases go on");
            assert!(store.read(Table::Key, &name(7)).await.unwrap().is_some(), "reads go on");
            let from = at(store.heartbeat(beat()).await.unwrap(), 1);
            let changes = store.changes(from, 1).await.unwrap();
            assert!(matches!(changes, Changes::Next(next) if next.len() == 1), "the log too");
            store.backup(&place.path(&format!("copy-{}", Uuid::new_v4()))).unwrap();
        }
        store.faults.writes.store(false, Ordering::SeqCst);
        assert!(everything(&store).await == before, "what was refused is not there");
        let again = store.write(put(Table::Key, 100 + full_for, b"room")).await.unwrap();
        assert_eq!(again.number, before.0.number + 1);
        assert!(*store.writable().borrow());
        store.check().unwrap();
    }
    let before = everything(&store).await;
    drop(store);
    assert!(everything(&place.open().unwrap()).await == before);
}

#[tokio::test]
async fn a_store_that_nobody_writes_to_finds_out_itself_that_there_is_room_again() {
    let place = Place::new();
    let store = place.open().unwrap();
    store.faults.writes.store(true, Ordering::SeqCst);
    assert!(store.write(put(Table::Key, 1, b"refused")).await.is_err());
    let mut writable = store.writable();
    store.faults.writes.store(false, Ordering::SeqCst);
    for _ in 0..200 {
        assert_eq!(number(&store).await, 0);
        let changed = tokio::time::timeout(std::time::Duration::from_millis(50), writable.changed()).await;
        if changed.is_ok() && *writable.borrow() {
            return;
        }
    }
    panic!("heartbeats alone do not open the store for writing");
}
