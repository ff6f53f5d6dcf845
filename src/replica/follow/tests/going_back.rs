//! Stores that lost what they acknowledged.

use super::*;
use crate::domain::password::Mark;
use crate::domain::session::Session;
use crate::domain::token::{Scope, Token};
use crate::store::record::{
    GrantRecord, GuardRecord, ObjectRecord, OwnerRecord, SIGNING_KEYS, SigningKeyRecord, SigningKeysRecord,
};

fn text(number: u8) -> Name {
    Name(vec![number; 32])
}

fn claim(number: u8, owner: u8) -> Step {
    step(Table::Unique, text(number), Effect::Put(OwnerRecord { id: id(owner) }.encode()))
}

fn unclaim(number: u8) -> Step {
    step(Table::Unique, text(number), Effect::Delete)
}

/// Keys 1, 2 and 3 are there; then `lost` is written, followed and lost, and `since` is written.
async fn mended(lost: Vec<Vec<Step>>, since: Vec<Vec<Step>>) -> (Bench, Follower) {
    let bench = Bench::new();
    bench.write([1, 2, 3].map(|number| put(&key(number, true, "first")))).await;
    bench.write([claim(1, 1), claim(2, 2)]).await;
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    let fork = bench.head().await.epoch.number;
    for steps in lost {
        bench.write(steps).await;
    }
    follower.beat().await.unwrap();
    bench.wind_back(fork);
    for steps in since {
        bench.write(steps).await;
    }
    follower.beat().await.unwrap();
    follower.beat().await.unwrap();
    (bench, follower)
}

#[tokio::test]
async fn lost_changes_are_given_back_where_they_took_away() {
    #[track_caller]
    fn check(what: &str, found: Option<bool>, expected: Option<bool>) {
        assert_eq!(found, expected, "{what}");
    }
    let off = |number| vec![put(&key(number, false, "off"))];
    let changed = |number| vec![put(&key(number, true, "changed"))];
    #[rustfmt::skip] // A table is read by its columns.
    let cases = [
        ("deleted",                                vec![vec![delete(1)]],           vec![],             None),
        ("disabled",                               vec![off(1)],                    vec![],             Some(false)),
        ("changed",                                vec![changed(1)],                vec![],             Some(true)),
        ("deleted, though it was changed since",   vec![vec![delete(1)]],           vec![changed(1)],   None),
        ("disabled, though it was changed since",  vec![off(1)],                    vec![changed(1)],   Some(false)),
        ("changed, and changed otherwise since",   vec![changed(1)],
            vec![vec![put(&key(1, true, "otherwise"))]],                                                Some(false)),
        ("changed, and deleted since",             vec![changed(1)],                vec![vec![delete(1)]], None),
        ("disabled, and enabled again",            vec![off(1), changed(1)],        vec![],             Some(true)),
        ("changed, and the same since",            vec![changed(1)],                vec![changed(1)],   Some(true)),
    ];
    for (what, lost, since, expected) in cases {
        let (bench, follower) = mended(lost, since).await;
        check(what, bench.stored(1).await, expected);
        check(what, known(&follower, 1), expected);
        assert_eq!(follower.replica.went_back(), 1, "{what}");
        assert!(follower.replica.alarm().unwrap().contains("went back in time"));
        assert_eq!(bench.head().await.epoch.term, 2, "{what}");
        assert!(trusted(&follower), "{what}");
    }
}

#[tokio::test]
async fn a_lost_creation_is_not_made_again() {
    let (bench, follower) = mended(vec![vec![put(&key(9, true, "")), claim(9, 9)]], vec![]).await;
    assert_eq!((bench.stored(9).await, known(&follower, 9)), (None, None));
    assert!(bench.store.read(Table::Unique, &text(9)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_lost_deployment_keeps_its_place_and_lets_nobody_pass() {
    let object = |kind: &str, settings: &str| ObjectRecord {
        id: id(9),
        kind: kind.into(),
        settings: settings.into(),
        service: None,
        owner: None,
        tags: Vec::new(),
        created_at: Timestamp::from_unix(0),
        updated_at: Timestamp::from_unix(0),
        sequence: 1,
    };
    let off = r#"{"enabled":false,"paths":["/a"]}"#;
    // In shadow mode what is off would let everybody pass.
    let enforced = r#"{"enabled":false,"override":{"mode":"enforce"},"paths":["/a"]}"#;
    let behind = u64::MAX;
    for (kind, settings, expected) in [
        ("deployment", r#"{"paths":["/a"]}"#, Some((enforced, behind))),
        ("deployment", r#"{"override":{"mode":"shadow"},"paths":["/a"]}"#, Some((enforced, behind))),
        ("deployment", off, Some((enforced, behind))),
        ("service", r#"{"mode":"shadow","paths":["/a"]}"#, Some((off, behind))),
        // It would be in force wherever none is named.
        ("version", r#"{"name":"2"}"#, None),
        ("group", "{}", None),
    ] {
        let guard = GuardRecord { token: id(1), writes: 1 };
        let made = vec![
            step(Table::Object, Name::of(&id(9)), Effect::Put(object(kind, settings).encode())),
            step(Table::Object, GuardRecord::name(), Effect::Put(guard.encode())),
        ];
        let (bench, _) = mended(vec![made], vec![]).await;
        let stored = bench.store.read(Table::Object, &Name::of(&id(9))).await.unwrap();
        let stored = stored.map(|it| ObjectRecord::decode(&it.payload).unwrap());
        let stored = stored.as_ref().map(|it| (&it.settings[..], it.sequence));
        assert_eq!(stored, expected, "{kind} {settings}");
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_keeps_no_other_from_being_given_back() {
    for (lost, expected) in
        [(vec![delete(2), unclaim(2)], None), (vec![put(&key(2, true, "changed"))], Some(true))]
    {
        let bench = Bench::new();
        bench.write([1, 2].map(|number| put(&key(number, true, "first")))).await;
        bench.write([claim(1, 1), claim(2, 2)]).await;
        let mut follower = bench.follower();
        follower.beat().await.unwrap();
        bench.write(lost).await;
        bench.write([delete(1), unclaim(1)]).await;
        follower.beat().await.unwrap();
        bench.wind_back(2);
        bench.store.damaged.lock().unwrap().extend([Name::of(&id(2)), text(2)]);
        follower.beat().await.unwrap();
        follower.beat().await.unwrap();
        assert!(trusted(&follower));
        bench.store.damaged.lock().unwrap().clear();
        assert_eq!((bench.stored(1).await, bench.stored(2).await), (None, expected));
        let claimed = bench.store.read(Table::Unique, &text(2)).await.unwrap();
        assert_eq!(claimed.is_some(), expected.is_some());
    }
}

#[tokio::test]
async fn names_go_with_the_records_that_they_are_of() {
    let owner = async |bench: &Bench, number| {
        let record = bench.store.read(Table::Unique, &text(number)).await.unwrap()?;
        Some(OwnerRecord::decode(Table::Unique, &record.payload).unwrap().id)
    };
    // A deletion frees its text.
    let (bench, _) = mended(vec![vec![delete(1), unclaim(1)]], vec![]).await;
    assert_eq!(owner(&bench, 1).await, None);
    // Unless that is somebody else's by now.
    let since = vec![vec![delete(1), unclaim(1)], vec![put(&key(9, true, "")), claim(1, 9)]];
    let (bench, _) = mended(vec![vec![delete(1), unclaim(1)]], since).await;
    assert_eq!(owner(&bench, 1).await, Some(id(9)));
    // A change of text is given back with its claim,
    let renamed = vec![vec![put(&key(1, true, "renamed")), unclaim(1), claim(5, 1)]];
    let (bench, _) = mended(renamed.clone(), vec![]).await;
    assert_eq!((owner(&bench, 1).await, owner(&bench, 5).await), (None, Some(id(1))));
    assert_eq!(bench.stored(1).await, Some(true));
    // but not where that text was claimed since.
    let since = vec![vec![put(&key(9, true, "")), claim(5, 9)]];
    let (bench, _) = mended(renamed, since).await;
    assert_eq!(owner(&bench, 5).await, Some(id(9)));
    assert_eq!((bench.stored(1).await, bench.stored(9).await), (Some(false), Some(true)));
}

#[tokio::test]
async fn who_comes_second_adds_nothing() {
    let bench = Bench::new();
    bench.write([put(&key(1, true, ""))]).await;
    let (mut first, mut second) = (bench.follower(), bench.follower());
    for follower in [&mut first, &mut second] {
        follower.beat().await.unwrap();
    }
    bench.write([delete(1)]).await;
    for follower in [&mut first, &mut second] {
        follower.beat().await.unwrap();
    }
    bench.wind_back(1);
    first.beat().await.unwrap();
    let head = bench.head().await;
    // Now and with the next heartbeat, which tells the new term.
    for _ in 0..2 {
        second.beat().await.unwrap();
        first.beat().await.unwrap();
    }
    assert_eq!(bench.head().await, head);
    assert_eq!((known(&first, 1), known(&second, 1)), (None, None));
    assert_eq!(first.at, Some(head));
    assert_eq!(second.at, Some(head));
}

#[tokio::test]
async fn a_store_that_went_back_twice_has_what_was_given_back_once_more() {
    let (bench, mut follower) = mended(vec![vec![delete(1)]], vec![]).await;
    bench.wind_back(2);
    assert_eq!(bench.stored(1).await, Some(true));
    follower.beat().await.unwrap();
    assert_eq!((bench.stored(1).await, known(&follower, 1)), (None, None));
    assert_eq!(bench.head().await.epoch.term, 3, "the term of the lost history is not used again");
    assert_eq!(follower.replica.went_back(), 2);
}

#[tokio::test]
async fn a_lease_is_not_renewed_until_the_store_has_back_what_it_lost() {
    let bench = Bench::new();
    bench.write([put(&key(1, true, ""))]).await;
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    bench.write([delete(1)]).await;
    follower.beat().await.unwrap();
    bench.wind_back(1);
    bench.store.read_only.store(true, Ordering::Relaxed);
    for _ in 0..5 {
        bench.hand.advance(BOUND / 4);
        follower.beat().await.unwrap_err();
        assert_eq!(known(&follower, 1), None, "the old replica goes on");
    }
    assert!(!trusted(&follower));
    assert_eq!(follower.replica.went_back(), 1, "told once");
    bench.store.read_only.store(false, Ordering::Relaxed);
    follower.beat().await.unwrap();
    follower.beat().await.unwrap();
    assert!(trusted(&follower));
    assert_eq!(known(&follower, 1), None);
}

#[tokio::test]
async fn another_store_is_read_as_it_is_and_given_nothing() {
    let bench = Bench::new();
    bench.write([put(&key(1, true, ""))]).await;
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    bench.write([put(&key(1, true, "changed")), put(&key(2, true, ""))]).await;
    follower.beat().await.unwrap();
    bench.store.inner.store(Arc::new(Memory::new()));
    follower.beat().await.unwrap();
    assert_eq!((known(&follower, 1), known(&follower, 2)), (None, None));
    assert_eq!((bench.head().await.epoch.number, follower.replica.went_back()), (0, 1));
    assert!(follower.replica.alarm().unwrap().contains("another store"));
    assert!(trusted(&follower));
}

#[tokio::test]
async fn a_store_that_was_emptied_and_put_back_has_the_revocations_since_made_again() {
    let bench = Bench::new();
    bench.write([1, 2].map(|number| put(&key(number, true, "")))).await;
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    bench.write([delete(1)]).await;
    follower.beat().await.unwrap();
    let first = bench.store.inner.load_full();
    // Empty, twice, as a Redis that keeps nothing comes up.
    for _ in 0..2 {
        bench.store.inner.store(Arc::new(Memory::new()));
        follower.beat().await.unwrap();
        assert_eq!((known(&follower, 1), known(&follower, 2)), (None, None));
    }
    bench.write([put(&key(3, true, ""))]).await;
    follower.beat().await.unwrap();
    first.wind_back(1);
    bench.store.inner.store(first);
    bench.store.read_only.store(true, Ordering::Relaxed);
    bench.hand.advance(BOUND * 2);
    follower.beat().await.unwrap_err();
    assert!(!trusted(&follower), "not before it has back what it lost");
    bench.store.read_only.store(false, Ordering::Relaxed);
    for _ in 0..2 {
        follower.beat().await.unwrap();
    }
    assert_eq!((bench.stored(1).await, bench.stored(2).await), (None, Some(true)));
    assert_eq!((known(&follower, 1), known(&follower, 2), known(&follower, 3)), (None, Some(true), None));
    assert!(trusted(&follower));
    assert!(follower.replica.alarm().unwrap().contains("put back"));
}

#[tokio::test]
async fn a_store_that_comes_back_with_all_that_it_had_is_given_nothing() {
    let bench = Bench::new();
    bench.write([put(&key(1, true, ""))]).await;
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    let first = bench.store.inner.load_full();
    bench.store.inner.store(Arc::new(Memory::new()));
    follower.beat().await.unwrap();
    bench.store.inner.store(first);
    bench.write([delete(1)]).await;
    let head = bench.head().await;
    follower.beat().await.unwrap();
    assert_eq!((bench.head().await, follower.at, known(&follower, 1)), (head, Some(head), None));
}

#[tokio::test]
async fn where_the_log_cannot_tell_only_what_denied_is_denied() {
    let bench = Bench::over(Memory::new());
    bench.write([1, 2, 3].map(|number| put(&key(number, true, "first")))).await;
    let mut follower = bench.follower();
    follower.beat().await.unwrap();
    bench.write([delete(1)]).await;
    bench.write([put(&key(2, false, "off")), put(&key(3, true, "changed"))]).await;
    follower.beat().await.unwrap();
    let at = follower.at.unwrap();
    bench.wind_back(1);
    bench.begin_term().await;
    // As if the log had been cut since.
    follower.part(at, Some(Fork::Unknown)).await.unwrap();
    for (number, expected) in [(1, false), (2, false), (3, true)] {
        assert_eq!(bench.stored(number).await, Some(expected), "{number}");
        assert_eq!(known(&follower, number), Some(expected), "{number}");
    }
}

#[tokio::test]
async fn a_token_session_or_grant_that_was_ended_stays_so_whatever_the_log_can_tell() {
    let name = Name::of(&id(1));
    let place = Name::pair(&id(200), &id(1));
    let ended =
        [(Table::Token, &name), (Table::Session, &name), (Table::Grant, &name), (Table::Owned, &place)];
    for fork in [Fork::Unknown, Fork::After(1)] {
        let bench = Bench::over(Memory::new());
        let payload = |table| if table == Table::Owned { Vec::new() } else { issued(table) };
        let make = ended.map(|(table, name)| step(table, name.clone(), Effect::Put(payload(table))));
        bench.write(make).await;
        let mut follower = bench.follower();
        follower.beat().await.unwrap();
        bench.write(ended.map(|(table, name)| step(table, name.clone(), Effect::Delete))).await;
        follower.beat().await.unwrap();
        let at = follower.at.unwrap();
        bench.wind_back(1);
        bench.begin_term().await;
        follower.part(at, Some(fork)).await.unwrap();
        for (table, name) in ended {
            assert!(bench.store.read(table, name).await.unwrap().is_none(), "{table:?} {fork:?}");
        }
        assert!(follower.replica.token(&id(1)).is_none(), "{fork:?}");
    }
}

/// What a record of this table holds: one of alice's, by her password.
fn issued(table: Table) -> Vec<u8> {
    let (at, password) = (Timestamp::from_unix(i64::MAX), Mark::from_bytes([0; 12]));
    match table {
        Table::Token => {
            let scope = Scope::Dynamic { service: id(7), password };
            Token { id: id(1), consumer: id(200), scope, expires_at: at, created_at: at }.encode()
        }
        Table::Session => {
            let idle = Duration::from_secs(60);
            Session { id: id(1), consumer: id(200), created_at: at, expires_at: at, idle, password }.encode()
        }
        Table::Grant => GrantRecord { consumer: id(200), service: id(7), expires_at: at, password }.encode(),
        other => panic!("{other:?} holds nothing that is handed out"),
    }
}

#[tokio::test]
async fn a_store_that_cannot_lose_anything_is_given_nothing() {
    let bench = Bench::new();
    bench.write([put(&key(1, true, ""))]).await;
    let mut follower = bench.follower_with(|settings| settings.lossy = false);
    follower.beat().await.unwrap();
    bench.write([delete(1)]).await;
    follower.beat().await.unwrap();
    bench.wind_back(1);
    follower.beat().await.unwrap();
    assert_eq!((known(&follower, 1), follower.replica.went_back()), (Some(true), 1));
}

mod seen {
    use std::path::Path;

    use super::*;

    fn follower(bench: &Bench, file: &Path) -> Follower {
        bench.follower_with(|settings| settings.seen = Some(file.to_owned()))
    }

    #[tokio::test]
    async fn a_restarted_instance_notices_that_the_store_went_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("doorward.seen");
        #[track_caller]
        fn check(follower: &Follower, expected: Option<&str>) {
            let alarm = follower.replica.alarm();
            assert_eq!(alarm.is_some(), expected.is_some(), "{alarm:?}");
            assert!(expected.is_none_or(|expected| alarm.unwrap().contains(expected)));
        }
        let bench = Bench::new();
        let mut first = follower(&bench, &file);
        first.beat().await.unwrap();
        for number in 1..=3 {
            bench.write([put(&key(number, true, ""))]).await;
            first.beat().await.unwrap();
        }
        check(&first, None);
        drop(first);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.ends_with(" 1 3 0\n"), "what was seen last is written at the end: {text}");

        let mut same = follower(&bench, &file);
        same.beat().await.unwrap();
        check(&same, None);
        drop(same);
        bench.wind_back(2);
        let mut back = follower(&bench, &file);
        back.beat().await.unwrap();
        check(&back, Some("it stands at change 2 of term 1, and stood at 3 of term 1"));
        back.beat().await.unwrap();
        assert_eq!(back.replica.went_back(), 1, "told once");
        drop(back);
        bench.store.inner.store(Arc::new(Memory::new()));
        let mut other = follower(&bench, &file);
        other.beat().await.unwrap();
        check(&other, Some("another store"));
        drop(other);
        std::fs::write(&file, "what is this").unwrap();
        let mut unread = follower(&bench, &file);
        unread.beat().await.unwrap();
        check(&unread, None);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new();
        let mut follower = follower(&bench, &folder.path().join("nowhere").join("doorward.seen"));
        follower.beat().await.unwrap();
        assert!(trusted(&follower));
    }

    #[tokio::test]
    async fn the_file_follows_when_a_second_has_passed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("doorward.seen");
        let bench = Bench::new();
        let mut follower = follower(&bench, &file);
        let written = async |expected: &str| {
            while !std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with(expected)) {
                tokio::task::yield_now().await;
            }
        };
        follower.beat().await.unwrap();
        written(" 1 0 0\n").await;
        bench.write([put(&key(1, true, ""))]).await;
        bench.hand.advance(Duration::from_millis(900));
        follower.beat().await.unwrap();
        bench.write([put(&key(2, true, ""))]).await;
        bench.hand.advance(Duration::from_millis(100));
        follower.beat().await.unwrap();
        written(" 1 2 0\n").await;
    }
}

/// The staged key, the primary one and the others, each with when it came to where it stands.
fn signing(staged: (&str, i64), primary: (&str, i64), secondary: &[(&str, i64)]) -> SigningKeysRecord {
    let key = |(id, since): (&str, i64)| SigningKeyRecord {
        id: id.to_owned(),
        public_key: vec![4; 65],
        private_key: None,
        since: Timestamp::from_unix(since),
    };
    let secondary = secondary.iter().map(|it| key(*it)).collect();
    SigningKeysRecord { staged: key(staged), primary: key(primary), secondary }
}

#[tokio::test]
async fn a_signing_key_that_was_revoked_does_not_come_back_whatever_became_of_the_others_since() {
    let put = |keys: &SigningKeysRecord| {
        step(Table::SigningKeys, Name::of(&SIGNING_KEYS), Effect::Put(keys.encode()))
    };
    let before = signing(("c", 7), ("b", 7), &[("a", 5)]);
    let no_primary = signing(("d", 20), ("c", 20), &[("a", 5)]);
    let no_staged = signing(("d", 20), ("b", 7), &[("a", 5)]);
    let no_secondary = signing(("c", 7), ("b", 7), &[]);
    let tended = signing(("c", 7), ("b", 7), &[]);
    let rotated = signing(("e", 30), ("c", 30), &[("b", 30), ("a", 5)]);
    for (lost, since, expected) in [
        (&no_primary, None, no_primary.clone()),
        (&no_primary, Some(&tended), signing(("d", 20), ("c", 20), &[])),
        (&no_primary, Some(&rotated), signing(("e", 30), ("c", 30), &[("a", 5)])),
        (&no_staged, Some(&tended), signing(("d", 20), ("b", 7), &[])),
        (&no_secondary, Some(&rotated), signing(("e", 30), ("c", 30), &[("b", 30)])),
        (&before, Some(&rotated), rotated.clone()),
    ] {
        let bench = Bench::new();
        bench.write([put(&before)]).await;
        let mut follower = bench.follower();
        follower.beat().await.unwrap();
        let fork = bench.head().await.epoch.number;
        bench.write([put(lost)]).await;
        follower.beat().await.unwrap();
        bench.wind_back(fork);
        if let Some(keys) = since {
            bench.write([put(keys)]).await;
        }
        follower.beat().await.unwrap();
        follower.beat().await.unwrap();
        let stored = bench.store.read(Table::SigningKeys, &Name::of(&SIGNING_KEYS)).await.unwrap().unwrap();
        assert_eq!(SigningKeysRecord::decode(&stored.payload).unwrap(), expected);
        assert!(trusted(&follower));
    }
}
