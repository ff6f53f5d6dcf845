//! Backups and restored stores.

use super::*;
use crate::domain::network::Networks;
use crate::domain::token::AccessKey;
use crate::store::NeededKeys;
use crate::store::record::{JwtRecord, JwtSecret, KeyRecord};
use crate::store::seal::Sealed;

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
    {
        let (file, ring) = (Held::lock_to_read(&backup).unwrap(), Ring::load(&place.secret()).unwrap());
        let whole = verify::examine(&file, &ring, |_, verified| Ok(verified.report(file.size()?)));
        assert_eq!(whole.unwrap(), report);
    }

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
    // Several within one second: nothing that is kept is lost.
    for kept in ["a.redb.replaced-1", "a.redb.replaced-1-2", "a.redb.replaced-1-3"] {
        let replaced = restore(&backup, &place.store(), &place.secret(), now).unwrap().1;
        assert_eq!(replaced, Some(place.path(kept)));
    }
}

fn needed(place: &Place, ring_key: u32) -> Option<crate::store::Needed> {
    let NeededKeys(all) = check(&place.store(), &place.secret()).unwrap().1;
    all.get(&ring_key).cloned()
}

/// What each of them needs another way out of the old key for.
fn credentials(ring: &Ring) -> [(Table, Vec<u8>); 3] {
    let (id, created_at) = (Uuid::from_u128(1), Timestamp::from_unix(0));
    let key = KeyRecord {
        id,
        consumer: id,
        verifier: ring.primary_pepper().verifier(b"a key"),
        ring_key: ring.primary_id(),
        handle: None,
        tags: Vec::new(),
        not_before: None,
        expires_at: None,
        enabled: true,
        opens: None,
        permissions: None,
        created_at,
        weak: false,
        networks: Networks::default(),
    };
    let access_key = AccessKey {
        id,
        consumer: id,
        name: "ci".into(),
        project: id,
        roles: Vec::new(),
        expires_at: None,
        enabled: true,
        created_at,
    };
    let jwt = JwtRecord {
        id,
        consumer: id,
        key: "iss".into(),
        algorithm: "HS256".into(),
        secret: JwtSecret::Shared(Sealed::new(ring, id.as_bytes(), b"a secret").unwrap()),
        tags: Vec::new(),
        enabled: true,
        created_at,
    };
    [(Table::Key, key.encode()), (Table::AccessKey, access_key.encode()), (Table::Jwt, jwt.encode())]
}

#[tokio::test]
async fn restored_under_a_new_key_a_store_needs_the_old_one_for_its_verifiers_alone_and_without_them_for_nothing()
 {
    let place = Place::new();
    let store = place.open().unwrap();
    let of_old = credentials(store.ring());
    for (table, payload) in &of_old {
        store.write(put(*table, 1, payload)).await.unwrap();
    }
    store.write(put(Table::Consumer, 1, b"somebody")).await.unwrap();
    drop(store);
    let old_line = std::fs::read_to_string(place.secret()).unwrap();
    std::fs::write(place.secret(), format!("2 {:064x}\n{old_line}", 2)).unwrap();
    // A MAC of the key, the JWT's credential and the consumer; a seal.
    let before = needed(&place, 1).unwrap();
    assert_eq!((before.sealed, before.changes, needed(&place, 2).unwrap().is_nothing()), (4, 4, true));

    backup_file(&place.store(), &place.path("backup"), &place.secret()).unwrap();
    restore(&place.path("backup"), &place.store(), &place.secret(), Timestamp::from_unix(1)).unwrap();
    let verified = BTreeMap::from([(Table::Key, 1), (Table::AccessKey, 1)]);
    assert_eq!(needed(&place, 1).unwrap(), crate::store::Needed { verified, ..Default::default() });
    assert_eq!(needed(&place, 2).unwrap().sealed, 4);

    // Whoever takes the line away now is told so by what stands under it and nowhere else.
    std::fs::write(place.secret(), format!("2 {:064x}\n", 2)).unwrap();
    let error = place.refusal();
    assert!(error.to_string().contains("put that line back"), "{error}");
    std::fs::write(place.secret(), format!("2 {:064x}\n{old_line}", 2)).unwrap();
    let store = place.open().unwrap();
    for table in [Table::Key, Table::AccessKey] {
        store.write(batch([step(table, 1, Expect::Present, Effect::Delete)])).await.unwrap();
    }
    drop(store);
    assert!(needed(&place, 1).unwrap().is_nothing());
    std::fs::write(place.secret(), format!("2 {:064x}\n", 2)).unwrap();
    let store = place.open().unwrap();
    let jwt = store.read(Table::Jwt, &name(1)).await.unwrap().unwrap();
    let JwtSecret::Shared(sealed) = JwtRecord::decode(&jwt.payload).unwrap().secret else {
        panic!("no secret")
    };
    let secret = sealed.open(store.ring(), Uuid::from_u128(1).as_bytes()).unwrap();
    assert_eq!(&secret[..], b"a secret");
    assert_eq!(store.read(Table::Consumer, &name(1)).await.unwrap().unwrap().payload, b"somebody");
}
