#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::domain::time::Timestamp;

/// A hash that costs nothing: the cost is the hash's own.
fn cheap(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(password.as_bytes()).unwrap().to_string()
}

fn account(phc: &str) -> Arc<Account> {
    let hash = Hash::new(phc);
    let id = Uuid::from_u128(1);
    Arc::new(Account { id, consumer: id, username: "alice".into(), hash, enabled: true })
}

fn login<'a>(username: &'a str, password: &'a str) -> Login<'a> {
    Login { username, password, from: None }
}

/// Holds the one thread until it is dropped.
fn hold(passwords: &Passwords) -> std::sync::mpsc::Sender<()> {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let holding = Box::new(move |_: &mut Memory| {
        begun.send(()).unwrap();
        let _ = held.recv();
    });
    passwords.pool.submit(holding).unwrap();
    has_begun.recv().unwrap();
    hold
}

#[tokio::test]
async fn a_password_is_hashed_so_that_it_verifies_and_never_twice_the_same() {
    let passwords = Passwords::default();
    let hash = async || passwords.hash("a password".to_owned().into()).await.unwrap();
    let (first, second) = (hash().await, hash().await);
    assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
    assert_ne!(first, second);
    assert_eq!(hash_refusal(&first), None);
    let verify = async |account: Option<Arc<Account>>, text: &str| {
        passwords.verify(passwords.place().unwrap(), account, text.to_owned().into()).await.unwrap()
    };
    assert!(verify(Some(account(&first)), "a password").await);
    assert!(verify(Some(account(&second)), "a password").await);
    assert!(!verify(Some(account(&first)), "another").await);
    assert!(!verify(None, "a password").await);
}

#[test]
fn nobody_is_held_against_a_hash_that_costs_as_much_as_ours() {
    assert_eq!(hash_refusal(DECOY), None);
    let (memory, passes, lanes) = COST;
    let params = Params::try_from(&PasswordHash::new(DECOY).unwrap()).unwrap();
    assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (memory, passes, lanes));
}

#[test]
fn hashes_that_are_too_cheap_too_dear_or_something_else_are_refused_without_being_repeated() {
    let salted = "c29tZXNhbHQ$aGVyZWlzYWhhc2hvZjE2Ynl0ZXM";
    for phc in [
        "secret",
        &format!("$argon2i$v=19$m=19456,t=2,p=1${salted}"),
        &format!("$argon2id$v=16$m=19456,t=2,p=1${salted}"),
        &format!("$argon2id$v=19$m=64,t=2,p=1${salted}"),
        &format!("$argon2id$v=19$m=4194304,t=2,p=1${salted}"),
        &format!("$argon2id$v=19$m=19456,t=99,p=1${salted}"),
        "$argon2id$v=19$m=19456,t=2,p=1",
    ] {
        let why = hash_refusal(phc).unwrap();
        assert!(!why.contains("secret") && !why.contains("c29tZXNhbHQ"), "{why}");
    }
    assert_eq!(hash_refusal(&format!("$argon2id$v=19$m=19456,t=2,p=1${salted}")), None);
}

#[test]
fn a_check_pays_once_for_a_password_and_again_when_it_was_changed() {
    let (clock, hand) = Clock::stopped(Timestamp::from_unix(0));
    let passwords = Passwords::new(1, 8, Tries::default(), clock);
    let (before, after) = (account(&cheap("secret")), account(&cheap("secret")));
    let ask = |account: Option<&Arc<Account>>, password| passwords.ask(account, login("alice", password), []);
    let Err(work) = ask(Some(&before), "secret") else { panic!("nobody has hashed it") };
    let done = passwords.run(&work, &mut Memory::default());
    assert_eq!(passwords.ask(Some(&before), login("alice", "secret"), [&done]).ok(), Some(Known::Right));
    assert_eq!(ask(Some(&before), "secret").ok(), Some(Known::Right), "it is remembered");
    assert!(ask(Some(&before), "Secret").is_err(), "and no other");
    assert!(ask(None, "secret").is_err(), "an account that is gone");
    assert!(ask(Some(&after), "secret").is_err(), "the same password, set anew");
    let Err(work) = ask(Some(&after), "secret") else { panic!("nobody has hashed it") };
    passwords.run(&work, &mut Memory::default());
    hand.advance(Duration::from_secs(299));
    assert_eq!(ask(Some(&after), "secret").ok(), Some(Known::Right));
    hand.advance(Duration::from_secs(1));
    assert!(ask(Some(&after), "secret").is_err(), "not for ever");
}

#[tokio::test]
async fn wrong_passwords_of_checks_are_counted_before_they_are_hashed() {
    let (clock, hand) = Clock::stopped(Timestamp::from_unix(0));
    let tries = Tries { of_account: 2, ..Tries::default() };
    let passwords = Arc::new(Passwords::new(1, 8, tries, clock));
    let alice = account(&cheap("secret"));
    for _ in 0..2 {
        let Err(work) = passwords.ask(Some(&alice), login("alice", "wrong"), []) else { panic!("at once") };
        let done = passwords.work(work).unwrap().await.unwrap();
        let known = passwords.ask(Some(&alice), login("alice", "wrong"), [&done]);
        assert_eq!(known.ok(), Some(Known::Wrong));
    }
    let known = |password| passwords.ask(Some(&alice), login("alice", password), []).ok();
    let shut = Some(Known::Throttled(WINDOW));
    assert_eq!((known("wrong"), known("secret")), (shut, shut));
    hand.advance(WINDOW);
    let Err(work) = passwords.ask(Some(&alice), login("alice", "secret"), []) else { panic!("at once") };
    let done = passwords.work(work).unwrap().await.unwrap();
    assert_eq!(passwords.ask(Some(&alice), login("alice", "secret"), [&done]).ok(), Some(Known::Right));
    // Whoever was right is let in by what is remembered, whatever others guess at his name.
    for _ in 0..2 {
        let Err(work) = passwords.ask(Some(&alice), login("alice", "wrong"), []) else { panic!("at once") };
        passwords.work(work).unwrap().await.unwrap();
    }
    assert_eq!((known("wrong"), known("secret")), (shut, Some(Known::Right)));
}

#[tokio::test]
async fn a_guess_that_nobody_looked_at_is_none_and_a_changed_password_is_not_the_one_that_was_hashed() {
    let (clock, _hand) = Clock::stopped(Timestamp::from_unix(0));
    let tries = Tries { of_account: 1, ..Tries::default() };
    let passwords = Arc::new(Passwords::new(1, 1, tries, clock));
    let (before, after) = (account(&cheap("secret")), account(&cheap("secret")));
    let ask = |account| passwords.ask(Some(account), login("alice", "secret"), []);
    // The one thread is held, and one more waits.
    let hold = hold(&passwords);
    let gone = passwords.work(ask(&before).err().unwrap()).unwrap();
    let another = || passwords.ask(Some(&before), login("alice", "Secret"), []);
    assert!(matches!(another(), Ok(Known::Throttled(_))), "it is counted while it waits");
    drop(gone);
    let bob = || passwords.ask(None, login("bob", "x"), []);
    assert!(passwords.work(bob().err().unwrap()).is_err(), "no more than one may wait");
    assert!(bob().is_err(), "and it does not count");
    drop(hold);
    // What nobody waits for any more is put away, and its guess with it.
    while matches!(another(), Ok(Known::Throttled(_))) {
        tokio::task::yield_now().await;
    }
    let done = passwords.work(ask(&before).err().unwrap()).unwrap().await.unwrap();
    let known = |account| passwords.ask(Some(account), login("alice", "secret"), [&done]).ok();
    assert_eq!((known(&before), known(&after)), (Some(Known::Right), Some(Known::Wrong)));
}

#[tokio::test]
async fn whoever_shows_one_password_a_hundred_times_at_once_has_guessed_once() {
    let (clock, _hand) = Clock::stopped(Timestamp::from_unix(0));
    let tries = Tries { of_account: 2, of_address: 2, ..Tries::default() };
    let passwords = Arc::new(Passwords::new(1, 4, tries, clock));
    let alice = account(&cheap("secret"));
    let shown = Login { username: "alice", password: "secret", from: Some([192, 0, 2, 1].into()) };
    let ask = || passwords.ask(Some(&alice), shown, []);
    let hold = hold(&passwords);
    // Asked before any of them waits, and when some wait already.
    let early: Vec<_> = (0..50).map(|_| ask().err().unwrap()).collect();
    let early = early.into_iter().map(|work| passwords.work(work).unwrap()).collect::<Vec<_>>();
    let late: Vec<_> = (0..50).map(|_| passwords.work(ask().err().unwrap()).unwrap()).collect();
    // Another password of the same name is another guess, and one more is too much.
    let bad = Login { password: "Secret", ..shown };
    let wrong = passwords.work(passwords.ask(Some(&alice), bad, []).err().unwrap()).unwrap();
    let third = passwords.ask(Some(&alice), Login { password: "third", ..shown }, []);
    assert!(matches!(third, Ok(Known::Throttled(_))));
    drop(hold);
    for waiting in early.into_iter().chain(late) {
        let done = waiting.await.unwrap();
        assert_eq!(passwords.ask(Some(&alice), shown, [&done]).ok(), Some(Known::Right));
    }
    assert!(wrong.await.unwrap().of.is_none());
    assert_eq!(ask().ok(), Some(Known::Right));
}

#[tokio::test]
async fn strangers_who_guess_at_a_name_shut_nobody_out_whose_password_was_right_here() {
    let (clock, hand) = Clock::stopped(Timestamp::from_unix(0));
    let tries = Tries { of_account: 2, ..Tries::default() };
    let passwords = Arc::new(Passwords::new(1, 8, tries, clock));
    let (alice, changed) = (account(&cheap("secret")), account(&cheap("secret")));
    let ask = |account, password| passwords.ask(Some(account), login("alice", password), []);
    let hash = async |password| {
        passwords.work(ask(&alice, password).err().unwrap()).unwrap().await.unwrap();
    };
    hash("secret").await;
    // Hours later it is to be hashed again, which is no guess.
    hand.advance(Duration::from_secs(80_000));
    hash("wrong").await;
    hash("wrong").await;
    assert_eq!(ask(&alice, "another").ok(), Some(Known::Throttled(WINDOW)));
    hash("secret").await;
    assert_eq!(ask(&alice, "secret").ok(), Some(Known::Right));
    assert_eq!(ask(&alice, "another").ok(), Some(Known::Throttled(WINDOW)), "and no guess is forgiven");
    assert_eq!(ask(&changed, "secret").ok(), Some(Known::Throttled(WINDOW)), "not for another hash");
    hand.advance(Duration::from_secs(86_400));
    hash("wrong").await;
    hash("wrong").await;
    assert_eq!(ask(&alice, "secret").ok(), Some(Known::Throttled(WINDOW)), "not for ever");
}

#[test]
fn what_is_only_described_is_neither_a_guess_nor_remembered() {
    let (clock, _hand) = Clock::stopped(Timestamp::from_unix(0));
    let passwords = Passwords::new(1, 8, Tries { of_account: 1, ..Tries::default() }, clock);
    let alice = account(&cheap("secret"));
    let ask = || passwords.ask(Some(&alice), login("alice", "secret"), []);
    let work = ask().err().unwrap();
    passwords.throttle.count(&work.name, None, Duration::ZERO);
    assert!(passwords.described(&work).of.is_some());
    assert!(matches!(ask(), Ok(Known::Throttled(_))));
}

#[tokio::test]
async fn who_is_not_waited_for_any_more_keeps_nobody_out() {
    let (clock, hand) = Clock::stopped(Timestamp::from_unix(0));
    let passwords = Passwords::new(1, 1, Tries::default(), clock);
    let release = hold(&passwords);
    let waiting = passwords.place().unwrap();
    let alice = account(&cheap("secret"));
    let mut verified = Box::pin(passwords.verify(waiting, Some(alice), "secret".to_owned().into()));
    let at_once =
        std::future::poll_fn(|context| std::task::Poll::Ready(verified.as_mut().poll(context))).await;
    assert!(at_once.is_pending(), "it waits");
    assert!(passwords.place().is_err(), "one waits already");
    hand.advance(Duration::from_millis(1001));
    assert!(passwords.place().is_ok(), "the time of the one is over");
    assert_eq!(verified.await, Err(Busy), "and it is told so though the thread is still held");
    drop(release);
}
