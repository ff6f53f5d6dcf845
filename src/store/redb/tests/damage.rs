//! Bytes that are not what we wrote are refused, and left as they are.

use super::*;

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
async fn flipped_commit_flag_undoes_no_acknowledged_write() {
    for closed in [true, false] {
        let place = Place::new();
        let (original, expected) = filled(&place, closed).await;
        let which_commit = 9 * 8;
        assert!(check_flip(&original, which_commit, &expected, &place.secret()).await, "closed: {closed}");
    }
}

#[tokio::test]
async fn commit_cut_off_between_its_phases_is_there_whole_or_not_at_all() {
    let place = Place::new();
    let store = place.open().unwrap();
    fill(&store, 20).await;
    let before = everything(&store).await;
    store.write(put(Table::Key, 200, b"not acknowledged")).await.unwrap();
    let after = everything(&store).await;
    let mut bytes = std::fs::read(place.store()).unwrap();
    drop(store);
    // As it is before the second phase: the commit is there, the flag still names the one before.
    bytes[9] ^= 1;
    std::fs::write(place.store(), &bytes).unwrap();
    assert!(everything(&place.open().unwrap()).await == after);
    assert!(everything(&place.open().unwrap()).await == after, "and it stays");
    // Within the first phase: the commit is there in part.
    let unnamed = if bytes[9] & 1 == 0 { 192 } else { 64 };
    bytes[unnamed + 60] ^= 0xff;
    std::fs::write(place.store(), &bytes).unwrap();
    let store = place.open().unwrap();
    assert!(everything(&store).await == before);
    assert_eq!(store.heartbeat(beat()).await.unwrap().epoch, before.0);
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
