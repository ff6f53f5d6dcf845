#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use arc_swap::ArcSwap;

use super::*;
use crate::clock::{Clock, Hand};
use crate::domain::catalog::{Catalog, Parts};
use crate::domain::network::Networks;
use crate::domain::time::Timestamp;
use crate::issue::{AuditFilter, By, NewBasic, NewConsumer, Password};
use crate::passwords::Passwords;
use crate::replica::Replica;
use crate::store::Store;
use crate::store::memory::Memory;
use crate::store::record::BasicRecord;
use crate::store::ring::Ring;

/// Of a password that is hashed at no cost: the cost is the hash's own.
const SECRET: &str = "secret";

struct House {
    store: Arc<Memory>,
    clock: Clock,
    hand: Hand,
    attempts: Attempts,
    tries: Tries,
}

impl House {
    /// Alice with a password, and Mallory, who has one as well and is switched off.
    async fn new(tries: Tries) -> Self {
        let (clock, hand) = Clock::stopped(Timestamp::from_unix(1_800_000_000));
        let house =
            Self { store: Arc::new(Memory::new()), clock, hand, attempts: Attempts::default(), tries };
        let registrar = house.registrar(None);
        let by = By::doorward();
        for (name, disabled) in [("alice", false), ("mallory", true)] {
            let email = Some(format!("{name}@example.com"));
            let new = NewConsumer { username: Some(name.into()), email, disabled, ..NewConsumer::default() };
            registrar.create_consumer(&by, new).await.unwrap();
            let password = Password::Text(SECRET.to_owned().into());
            let new = NewBasic { id: None, username: name.into(), password, tags: Vec::new() };
            registrar.create_basic(&by, name, new).await.unwrap();
        }
        house
    }

    fn registrar(&self, replica: Option<Replica>) -> Registrar {
        self.registrar_with(&format!("1 {:064x}", 1), replica)
    }

    fn registrar_with(&self, ring: &str, replica: Option<Replica>) -> Registrar {
        let ring = Ring::parse(Path::new("s"), ring.as_bytes()).unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        let store: Arc<dyn Store> = self.store.clone();
        let registrar = Registrar::new(store, Arc::new(ring), self.clock.clone(), catalog)
            .with_public_url(Some("https://auth.example.com".into()))
            .with_passwords(Arc::new(Passwords::default()), self.tries);
        match replica {
            Some(replica) => registrar.with_replica(Arc::new(replica)),
            None => registrar,
        }
    }

    /// One of several instances.
    async fn instance(&self) -> Registrar {
        self.registrar(Some(Replica::load(&*self.store, &self.clock).await.unwrap()))
    }

    async fn log_in(&self, at: &Registrar, name: LoginName<'_>, password: &str, from: &str) -> &'static str {
        let password = Secret::from(password.to_owned());
        let login = Login { name, password, from: from.parse().unwrap(), request_id: "abc-1" };
        match at.log_in(login, &self.attempts).await {
            Ok(_) => "in",
            Err(Declined::Wrong) => "wrong",
            Err(Declined::Throttled(_)) => "throttled",
            Err(Declined::Busy) => "busy",
            Err(Declined::Unknown(_) | Declined::Store(_)) => "unknown",
        }
    }
}

use LoginName::{Email, Username};

const HOME: &str = "192.0.2.1";

#[tokio::test]
async fn a_name_and_its_password_log_in_and_nothing_else_does() {
    let house = House::new(Tries::default()).await;
    let here = house.instance().await;
    let account = here.account("alice").unwrap();
    let (alice, mark) = (account.consumer, account.hash.mark());
    for (name, password, expected) in [
        (Username("alice"), SECRET, "in"),
        (Email("alice@example.com"), SECRET, "in"),
        (LoginName::Again(alice, mark), SECRET, "in"),
        (Username("alice"), "Secret", "wrong"),
        (Username("alice@example.com"), SECRET, "wrong"),
        (Email("alice"), SECRET, "wrong"),
        (Username("nobody"), SECRET, "wrong"),
        (LoginName::Again(alice, mark), "Secret", "wrong"),
        (LoginName::Again(Uuid::from_u128(1), mark), SECRET, "wrong"),
        (Username("mallory"), SECRET, "wrong"),
        (Username(""), "", "wrong"),
    ] {
        assert_eq!(house.log_in(&here, name, password, HOME).await, expected);
    }
    // Each of them is in the log, with whom it was about.
    let page = here.audit(&AuditFilter::default(), None, 100).await.unwrap();
    let logins: Vec<_> = page.entries.iter().filter(|entry| entry.action.starts_with("login.")).collect();
    assert_eq!(logins.len(), 11);
    let granted = logins.iter().filter(|entry| entry.action == "login.granted");
    assert_eq!(granted.filter(|entry| entry.caller_id == Some(alice)).count(), 3);
    assert!(logins.iter().all(|entry| entry.addresses == [HOME] && entry.request_id == "abc-1"));
}

#[tokio::test]
async fn attempts_are_counted_by_name_and_address_for_all_instances_together() {
    let tries = Tries { of_account: 3, of_account_a_day: 5, of_address: 6 };
    let house = House::new(tries).await;
    let (one, two) = (house.instance().await, house.instance().await);
    for at in [&one, &two, &one] {
        assert_eq!(house.log_in(at, Username("alice"), "wrong", HOME).await, "wrong");
    }
    for at in [&one, &two] {
        // From wherever, with whatever password.
        assert_eq!(house.log_in(at, Username("alice"), SECRET, "198.51.100.1").await, "throttled");
    }
    assert_eq!(house.log_in(&two, Username("bob"), "x", "198.51.100.1").await, "wrong", "nobody else is");
    // Those that were turned away count for nothing; those that were looked at, for a day.
    house.hand.advance(Duration::from_secs(900));
    for _ in 0..2 {
        assert_eq!(house.log_in(&one, Username("alice"), "wrong", HOME).await, "wrong");
    }
    assert_eq!(house.log_in(&two, Username("alice"), SECRET, HOME).await, "throttled");
    house.hand.advance(Duration::from_secs(86_400));
    let fresh = house.instance().await;
    assert_eq!(house.log_in(&fresh, Username("alice"), SECRET, HOME).await, "in");
    // The right one ends what was counted before it.
    for _ in 0..2 {
        assert_eq!(house.log_in(&fresh, Username("alice"), "wrong", "198.51.100.2").await, "wrong");
        assert_eq!(house.log_in(&fresh, Username("alice"), SECRET, "198.51.100.2").await, "in");
    }
}

#[tokio::test]
async fn one_address_cannot_try_many_names_and_its_own_account_does_not_help_it() {
    let tries = Tries { of_account: 100, of_account_a_day: 100, of_address: 4 };
    let house = House::new(tries).await;
    let here = house.instance().await;
    for guess in 0..4 {
        let from = format!("2001:db8::{guess}");
        assert_eq!(house.log_in(&here, Username(&format!("n{guess}")), "x", &from).await, "wrong");
        // It has an account, and uses it after every guess but the last.
        if guess < 3 {
            assert_eq!(house.log_in(&here, Username("alice"), SECRET, &from).await, "in");
        }
    }
    assert_eq!(house.log_in(&here, Username("alice"), SECRET, "2001:db8::ffff").await, "throttled");
    assert_eq!(house.log_in(&here, Username("alice"), SECRET, "2001:db8:0:1::1").await, "in");
}

#[tokio::test]
async fn a_consumer_logs_in_from_its_networks_alone() {
    let house = House::new(Tries::default()).await;
    let registrar = house.registrar(None);
    let networks = Networks::parse(Some(&["192.0.2.0/24".into()]), &[]).unwrap();
    let change = crate::issue::ConsumerChange { networks: Some(networks), ..Default::default() };
    registrar.change_consumer(&By::doorward(), "alice", &change).await.unwrap();
    let here = house.instance().await;
    assert_eq!(house.log_in(&here, Username("alice"), SECRET, "198.51.100.1").await, "wrong");
    assert_eq!(house.log_in(&here, Username("alice"), SECRET, HOME).await, "in");
}

#[tokio::test]
async fn whoever_makes_keys_has_a_limit() {
    let house = House::new(Tries::default()).await;
    let here = house.instance().await;
    let alice = here.account("alice").unwrap().consumer;
    let most = crate::issue::Most { own_keys: 2, access_keys: 0, tokens: 0 };
    let registrar = house.registrar(None).with_lifetimes(crate::issue::Lifetimes::default(), most);
    let make = async || {
        let made = registrar.create_own_key(&By::doorward(), alice, crate::issue::NewKey::default()).await;
        made.map(|done| done.value.record.id.to_string()).map_err(|refusal| refusal.to_string())
    };
    let first = make().await.unwrap();
    make().await.unwrap();
    let refused = make().await.unwrap_err();
    assert_eq!(refused, "there are 2 keys of yours already, which is all that `limits.own_keys` allows");
    registrar.revoke_key(&By::doorward(), &first).await.unwrap();
    make().await.unwrap();
}

#[tokio::test]
async fn a_token_of_a_login_is_over_with_its_password() {
    let house = House::new(Tries::default()).await;
    house.registrar(None).tend_signing_keys().await.unwrap();
    let here = house.instance().await;
    let password = Secret::from(SECRET.to_owned());
    let from: IpAddr = HOME.parse().unwrap();
    let login = Login { name: Username("alice"), password, from, request_id: "r" };
    let login = here.log_in(login, &house.attempts).await.unwrap();
    let audience = [crate::domain::jwt::EVERY_SERVICE.to_owned()];
    let lifetime = Duration::from_secs(600);
    let token = here.mint_at_login(&login, &audience, lifetime).await.unwrap().token;
    assert_eq!(here.user(token.as_bytes(), from).await.unwrap().id, login.consumer.id);
    let networks = Networks::parse(Some(&["198.51.100.0/24".into()]), &[]).unwrap();
    let moved = crate::issue::ConsumerChange { networks: Some(networks), ..Default::default() };
    house.registrar(None).change_consumer(&By::doorward(), "alice", &moved).await.unwrap();
    let there = house.instance().await;
    assert!(there.user(token.as_bytes(), from).await.is_err(), "not from where she may not be");
    assert!(there.user(token.as_bytes(), "198.51.100.1".parse().unwrap()).await.is_ok());
    // One that no login made says nothing of who is there.
    let other = here.mint(login.consumer.id, &audience, lifetime).await.unwrap().token;
    assert!(here.user(other.as_bytes(), from).await.is_err());
    assert!(here.whose(other.as_bytes(), &audience[0]).await.is_ok());
    // The same password, set anew.
    let password = Some(Password::Text(SECRET.to_owned().into()));
    let change = crate::issue::BasicChange { password, ..Default::default() };
    house.registrar(None).change_basic(&By::doorward(), &login.account.id, change).await.unwrap();
    let after = house.instance().await;
    assert!(after.user(token.as_bytes(), from).await.is_err());
    assert!(after.whose(token.as_bytes(), &audience[0]).await.is_err());
}

#[tokio::test]
async fn whoever_logged_in_by_another_name_is_asked_for_that_password_again() {
    let house = House::new(Tries::default()).await;
    let (registrar, by) = (house.registrar(None), By::doorward());
    registrar.tend_signing_keys().await.unwrap();
    let password = Password::Text("her other one".to_owned().into());
    let new = NewBasic { id: None, username: "ally".into(), password, tags: Vec::new() };
    registrar.create_basic(&by, "alice", new).await.unwrap();
    let renamed =
        crate::issue::ConsumerChange { username: Some(Some("alicia".into())), ..Default::default() };
    registrar.change_consumer(&by, "alice", &renamed).await.unwrap();
    let here = house.instance().await;
    for (name, password) in [("ally", "her other one"), ("alicia", SECRET)] {
        let from: IpAddr = HOME.parse().unwrap();
        let asked =
            Login { name: Username(name), password: password.to_owned().into(), from, request_id: "r" };
        let login = here.log_in(asked, &house.attempts).await.unwrap();
        let audience = [crate::domain::jwt::EVERY_SERVICE.to_owned()];
        let token = here.mint_at_login(&login, &audience, Duration::from_secs(600)).await.unwrap().token;
        let (user, mark) = here.user_and_password(token.as_bytes(), from).await.unwrap();
        let again = LoginName::Again(user.id, mark);
        assert_eq!(house.log_in(&here, again, password, HOME).await, "in", "{name}");
        let other = if name == "ally" { SECRET } else { "her other one" };
        assert_eq!(house.log_in(&here, again, other, HOME).await, "wrong", "{name}");
    }
    assert_eq!(house.log_in(&here, Username("alice"), SECRET, HOME).await, "wrong", "as she was called");
}

#[tokio::test]
async fn tokens_of_a_consumer_end_with_any_password_that_lets_it_in() {
    let house = House::new(Tries::default()).await;
    let (registrar, by) = (house.registrar(None), By::doorward());
    let new = NewConsumer { custom_id: Some("machine".into()), ..NewConsumer::default() };
    let machine = registrar.create_consumer(&by, new).await.unwrap().value.id;
    let stored = async || {
        let here = house.instance().await;
        let mut marks = here.passwords_of(&here.known(machine).unwrap()).await.unwrap();
        marks.sort_by_key(|mark| *mark.as_bytes());
        marks
    };
    assert_eq!(stored().await, []);
    let mut marks = Vec::new();
    for username in ["first", "second"] {
        let password = Password::Text(SECRET.to_owned().into());
        let new = NewBasic { id: None, username: username.into(), password, tags: Vec::new() };
        registrar.create_basic(&by, &machine.to_string(), new).await.unwrap();
        marks.push(house.instance().await.account(username).unwrap().hash.mark());
        marks.sort_by_key(|mark| *mark.as_bytes());
        assert_eq!(stored().await, marks);
    }
    let first = registrar.named_credential::<BasicRecord>("first").await.unwrap().value;
    let off = crate::issue::BasicChange { enabled: Some(false), ..Default::default() };
    registrar.change_basic(&by, &first.id, off).await.unwrap();
    assert_eq!(stored().await.len(), 1, "what lets nobody in ends nothing");
    // Made elsewhere, more than are read in one go.
    for number in 0..101 {
        let phc = format!("$argon2id$v=19$m=19456,t=2,p=1${number:021}A${}", "A".repeat(43));
        let new = NewBasic {
            id: None,
            username: format!("n{number}"),
            password: Password::Hashed(phc),
            tags: Vec::new(),
        };
        registrar.create_basic(&by, &machine.to_string(), new).await.unwrap();
    }
    assert_eq!(stored().await.len(), 102);
    for number in 0..101 {
        let one = registrar.named_credential::<BasicRecord>(&format!("n{number}")).await.unwrap().value;
        registrar.end_credential(&by, one).await.unwrap();
    }
    let here = house.instance().await;
    // Which of the two marks comes first is the salts' chance.
    let second = here.account("second").unwrap().hash.mark();
    assert_eq!(stored().await, [second]);
    assert!(here.account_by_mark(machine, second).is_some());
}

#[tokio::test]
async fn how_often_a_name_may_be_tried_does_not_tell_whether_somebody_has_it() {
    let tries = Tries { of_account: 3, of_account_a_day: 100, of_address: 100 };
    // A text is tried as one kind of name, and then as the other; those below are a pair of names.
    for (first, second) in [
        (Username("alice"), Username("alice")),
        (Username("nobody"), Username("nobody")),
        (Username("alice"), Email("alice")),
        (Email("alice"), Username("alice")),
        (Username("nobody"), Email("nobody")),
        (Email("alice@example.com"), Username("alice@example.com")),
        (Email("nobody@example.com"), Username("nobody@example.com")),
    ] {
        let house = House::new(tries).await;
        let here = house.instance().await;
        for _ in 0..3 {
            assert_eq!(house.log_in(&here, first, "wrong", HOME).await, "wrong");
        }
        assert_eq!(house.log_in(&here, second, "wrong", HOME).await, "throttled");
    }
    for (username, email) in [("alice", "alice@example.com"), ("nobody", "nobody@example.com")] {
        let house = House::new(tries).await;
        let here = house.instance().await;
        for _ in 0..3 {
            assert_eq!(house.log_in(&here, Username(username), "wrong", HOME).await, "wrong");
        }
        for _ in 0..3 {
            // The right one is a guess like any other by then.
            assert_eq!(house.log_in(&here, Email(email), SECRET, HOME).await, "wrong");
        }
        assert_eq!(house.log_in(&here, Email(email), SECRET, HOME).await, "throttled");
        house.hand.advance(WINDOW);
        let expected = if username == "alice" { "in" } else { "wrong" };
        assert_eq!(house.log_in(&house.instance().await, Email(email), SECRET, HOME).await, expected);
    }
}

#[tokio::test]
async fn whoever_is_asked_again_is_told_that_it_was_too_often() {
    let house = House::new(Tries { of_account: 3, ..Tries::default() }).await;
    let here = house.instance().await;
    let account = here.account("alice").unwrap();
    let again = LoginName::Again(account.consumer, account.hash.mark());
    for name in [again, Username("alice"), again] {
        assert_eq!(house.log_in(&here, name, "wrong", HOME).await, "wrong");
    }
    assert_eq!(house.log_in(&here, again, SECRET, HOME).await, "throttled");
}

#[tokio::test]
async fn guesses_are_counted_on_while_the_ring_is_rotated() {
    let house = House::new(Tries { of_account: 3, ..Tries::default() }).await;
    let [old, new] = [format!("1 {:064x}", 1), format!("2 {:064x}", 2)];
    let turned = format!("{new}\n{old}");
    let rings = [&old, &format!("{old}\n{new}"), &turned, &turned];
    for (guess, ring) in rings.into_iter().enumerate() {
        let registrar =
            house.registrar_with(ring, Some(Replica::load(&*house.store, &house.clock).await.unwrap()));
        let expected = if guess < 3 { "wrong" } else { "throttled" };
        assert_eq!(house.log_in(&registrar, Username("alice"), "wrong", HOME).await, expected, "{guess}");
    }
}

#[tokio::test]
async fn names_share_their_counters() {
    let house = House::new(Tries::default()).await;
    let here = house.instance().await;
    let names = |name: &str| {
        let login = Login {
            name: Username(name),
            password: SECRET.to_owned().into(),
            from: HOME.parse().unwrap(),
            request_id: "r",
        };
        here.as_sent(&login).iter().map(|counter| counter.count.name).collect::<Vec<_>>()
    };
    let found: std::collections::HashSet<_> =
        (0..200_000_u32).map(|number| names(&format!("n{number}"))[1]).collect();
    assert!((100_000..=150_000).contains(&found.len()), "{}", found.len());
    assert_eq!(names("nobody"), names("nobody"));
    assert_ne!(names("nobody")[0], names("nobody")[1]);
}

#[tokio::test]
async fn refused_logins_displace_none_that_were_granted() {
    let house = House::new(Tries { of_account: 100, ..Tries::default() }).await;
    let here = house.instance().await.with_audit(Uuid::from_u128(5), 3);
    assert_eq!(house.log_in(&here, Username("alice"), SECRET, HOME).await, "in");
    for _ in 0..10 {
        assert_eq!(house.log_in(&here, Username("nobody"), SECRET, HOME).await, "wrong");
    }
    let page = here.audit(&AuditFilter::default(), None, 100).await.unwrap();
    let count = |action: &str| page.entries.iter().filter(|entry| entry.action == action).count();
    assert_eq!(count("login.granted"), 1);
    assert!(count("login.refused") < 10);
}

#[tokio::test]
async fn a_login_that_finds_no_place_is_told_so_and_counted_nowhere() {
    let house = House::new(Tries { of_account: 1, ..Tries::default() }).await;
    let here = house.instance().await;
    let full = Arc::new(Passwords::new(1, 1, Default::default(), house.clock.clone()));
    let place = full.place().unwrap();
    let here = here.with_passwords(full, house.tries);
    for _ in 0..5 {
        assert_eq!(house.log_in(&here, Username("alice"), "wrong", HOME).await, "busy");
    }
    let page = here.audit(&AuditFilter::default(), None, 100).await.unwrap();
    assert!(page.entries.iter().all(|entry| !entry.action.starts_with("login.")));
    drop(place);
    assert_eq!(house.log_in(&here, Username("alice"), SECRET, HOME).await, "in");
}
