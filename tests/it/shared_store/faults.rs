//! What fails, and what has to hold then: no false allow, no check that waits, and a recovery by itself.

use std::time::Duration;

use serde_json::json;

use crate::fleet::{Answer, BEYOND, BOUND, Fleet, Instance};
use crate::rig::process::Signal;
use crate::rig::proxy::Weather;
use crate::rig::wait::eventually;
use crate::world::ALICE;

const UNKNOWN: &str = "unknown-0123456789-abcdef";

/// What has to hold of an instance that lost its store just now, and then finds it again.
#[track_caller]
fn outage(fleet: &mut Fleet, fail: impl FnOnce(&mut Fleet), mend: impl FnOnce(&mut Fleet)) {
    let (text, id) = fleet.key("carol");
    let (other, _) = fleet.instances[0].key("carol");
    let mut health = fleet.instances[0].watch_health();
    assert!(health.next());
    fail(fleet);
    let instance = &fleet.instances[0];
    // Within the lease all goes on.
    instance.stays(&[Answer::Allow], &text, BOUND / 3);
    assert_eq!(instance.ask(UNKNOWN), Answer::Deny(401));
    let refused = instance.admin("DELETE", &format!("/key-auths/{id}"), &serde_json::Value::Null);
    assert_eq!(refused.status, 503, "{}", refused.text());
    // Beyond it nothing that the store would know does.
    instance.becomes(Answer::Fault, &text, BEYOND);
    instance.stays(&[Answer::Fault], &text, BOUND / 2);
    assert_eq!(instance.ask(UNKNOWN), Answer::Fault);
    assert_eq!(instance.ask_for("/public", ""), Answer::Allow);
    assert_eq!(instance.ask(ALICE), Answer::Allow, "the file needs no store");
    assert!(!instance.is_ready());
    assert!(!health.next(), "Envoy is told");
    assert!(!instance.is_serving());
    mend(fleet);
    let instance = &fleet.instances[0];
    instance.becomes(Answer::Allow, &other, Duration::from_secs(5));
    instance.becomes_ready();
    assert!(health.next(), "and told again");
    assert!(instance.is_serving());
    assert_eq!(instance.ask(UNKNOWN), Answer::Deny(401));
    instance.revoke(&id);
    assert_eq!(instance.ask(&text), Answer::Deny(401));
}

/// How many lines of the log have these words.
fn told(instance: &Instance, words: &str) -> usize {
    instance.doorward.output().lines().filter(|line| line.contains(words)).count()
}

#[test]
fn each_reason_is_told_as_it_comes_and_the_leases_end_and_return_once() {
    let fleet = Fleet::new(1);
    let instance = &fleet.instances[0];
    instance.proxy.set(Weather::Cut);
    eventually("the first reason is told", || {
        (told(instance, "the store cannot be followed; checks go on within the lease") > 0).then_some(())
    });
    // It comes back with a password that nobody gave us.
    let mut line = fleet.redis.connection().unwrap();
    let mut tell = |words: &[&str]| {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query::<()>(&mut line).unwrap();
    };
    tell(&["CONFIG", "SET", "requirepass", "another"]);
    instance.proxy.set(Weather::Fair);
    eventually("the second one too", || (told(instance, "NOAUTH") > 0).then_some(()));
    eventually("and to who asks", || {
        let page = instance.doorward.status("/readyz").unwrap();
        (page.status == 503 && page.text().contains("NOAUTH")).then_some(())
    });
    eventually("its end is told", || (told(instance, "the lease is over") == 1).then_some(()));
    tell(&["CONFIG", "SET", "requirepass", ""]);
    instance.becomes_ready();
    eventually("its return is told", || (told(instance, "the lease holds again") == 1).then_some(()));
    assert_eq!(told(instance, "the lease is over"), 1);
    assert_eq!(instance.doorward.status("/readyz").unwrap().text(), "ok\n");
}

#[test]
fn a_log_that_somebody_cut_is_an_alarm_and_no_outage() {
    let fleet = Fleet::new(2);
    let [one, other] = &fleet.instances[..] else { panic!("two") };
    let (text, id) = fleet.key("carol");
    let (kept, _) = one.key("carol");
    let cut = || fleet.redis.ask::<u64>(&["XTRIM", "doorward:{doorward}:log", "MAXLEN", "0"]).unwrap();
    assert!(cut() > 0);
    for instance in [one, other] {
        instance.stays(&[Answer::Allow], &text, 2 * BOUND);
        assert!(instance.is_ready());
    }
    // Whoever lags behind the cut.
    other.proxy.set(Weather::Hanging);
    one.revoke(&id);
    one.key("carol");
    assert!(cut() > 0);
    other.proxy.set(Weather::Fair);
    other.becomes(Answer::Deny(401), &text, Duration::from_secs(30));
    other.becomes_ready();
    assert_eq!(
        (one.ask(&text), one.ask(&kept), other.ask(&kept)),
        (Answer::Deny(401), Answer::Allow, Answer::Allow)
    );
    assert!(other.metric("doorward_store_went_back_total") >= 1.0);
    let cut = "its log was cut or damaged";
    assert_eq!(other.doorward.logged(cut).matches(cut).count(), 1, "{}", other.doorward.output());
}

#[test]
fn a_killed_redis_ends_the_lease_and_its_return_renews_it() {
    let mut fleet = Fleet::new(1);
    outage(&mut fleet, |fleet| fleet.redis.kill(), |fleet| fleet.redis.resume().unwrap());
}

#[test]
fn r33_a_redis_that_hangs_ends_the_lease_and_its_return_renews_it() {
    let mut fleet = Fleet::new(1);
    outage(
        &mut fleet,
        |fleet| fleet.redis.signal(Signal::STOP).unwrap(),
        |fleet| fleet.redis.signal(Signal::CONT).unwrap(),
    );
}

#[test]
fn a_line_that_swallows_everything_ends_the_lease() {
    let mut fleet = Fleet::new(1);
    let set = |weather| move |fleet: &mut Fleet| fleet.instances[0].proxy.set(weather);
    outage(&mut fleet, set(Weather::Hanging), set(Weather::Fair));
}

#[test]
fn a_line_that_is_cut_ends_the_lease() {
    let mut fleet = Fleet::new(1);
    let set = |weather| move |fleet: &mut Fleet| fleet.instances[0].proxy.set(weather);
    outage(&mut fleet, set(Weather::Cut), set(Weather::Fair));
}

#[test]
fn r21_answers_that_are_no_protocol_end_the_lease_and_panic_nobody() {
    let mut fleet = Fleet::new(1);
    let set = |weather| move |fleet: &mut Fleet| fleet.instances[0].proxy.set(weather);
    outage(&mut fleet, set(Weather::Garbage), set(Weather::Fair));
    assert!(
        !fleet.instances[0].doorward.output().contains("panic"),
        "{}",
        fleet.instances[0].doorward.output()
    );
}

#[test]
fn a_slow_redis_slows_no_check() {
    let fleet = Fleet::new(2);
    let (text, id) = fleet.key("carol");
    for delay in [50, 150] {
        let instance = &fleet.instances[0];
        instance.proxy.set(Weather::Slow(Duration::from_millis(delay)));
        instance.stays(&[Answer::Allow, Answer::Fault], &text, BOUND);
        let began = std::time::Instant::now();
        for _ in 0..100 {
            instance.ask(&text);
        }
        assert!(began.elapsed() < Duration::from_secs(2), "100 checks took {:?}", began.elapsed());
    }
    fleet.instances[1].revoke(&id);
    let acknowledged = std::time::Instant::now();
    while fleet.instances[0].ask(&text) == Answer::Allow {
        assert!(acknowledged.elapsed() < BEYOND, "allowed beyond the bound");
    }
    fleet.instances[0].stays(&[Answer::Deny(401), Answer::Fault], &text, BOUND);
    fleet.instances[0].proxy.set(Weather::Fair);
    fleet.instances[0].becomes(Answer::Deny(401), &text, Duration::from_secs(5));
}

#[test]
fn an_emptied_redis_denies_everybody_and_goes_on() {
    let fleet = Fleet::new(2);
    let (text, _) = fleet.key("carol");
    fleet.redis.ask::<()>(&["FLUSHALL"]).unwrap();
    for instance in &fleet.instances {
        instance.comes_to_deny(&text, BEYOND);
        instance.becomes_ready();
        assert!(instance.metric("doorward_store_went_back_total") >= 1.0);
        instance.doorward.logged("\"level\":\"error\"");
    }
    let (new, _) = fleet.key("dave");
    for instance in &fleet.instances {
        assert_eq!(instance.ask(&new), Answer::Allow);
        assert_eq!(instance.ask(&text), Answer::Deny(401));
    }
}

#[test]
fn a_redis_without_memory_refuses_what_makes_something_and_says_so_and_stops_no_check() {
    let fleet = Fleet::new(1);
    let instance = &fleet.instances[0];
    let (text, id) = fleet.key("carol");
    fleet.redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1mb"]).unwrap();
    let made = instance.admin("POST", "/consumers/carol/key-auth", &json!({}));
    assert_eq!(made.status, 503, "{}", made.text());
    instance.stays(&[Answer::Allow], &text, 2 * BOUND);
    assert_eq!(instance.metric("doorward_store_writable"), 0.0);
    let full = "the store refuses writes";
    assert_eq!(instance.doorward.logged(full).matches(full).count(), 1, "{}", instance.doorward.output());
    // To lock somebody out is the last thing that fails.
    instance.revoke(&id);
    assert_eq!(instance.ask(&text), Answer::Deny(401));
    fleet.redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    eventually("writes are known to be taken", || {
        (instance.metric("doorward_store_writable") == 1.0).then_some(())
    });
    instance.key("carol");
}

#[test]
fn at_the_default_pace_the_bound_is_ten_seconds() {
    let mut fleet = Fleet::new(0);
    let (setup, proxy) = fleet.plan("");
    let paced = std::fs::read_to_string(setup.file()).unwrap();
    let plain: String =
        paced.lines().filter(|line| !line.starts_with("revocation")).map(|it| format!("{it}\n")).collect();
    assert_ne!(plain, paced);
    setup.write(&plain).unwrap();
    let doorward = setup.start().unwrap_or_else(|message| panic!("{message}"));
    let number = fleet.join(doorward, proxy);
    let (text, _) = fleet.key("carol");
    fleet.redis.kill();
    let instance = &fleet.instances[number];
    instance.stays(&[Answer::Allow], &text, Duration::from_secs(8));
    instance.becomes(Answer::Fault, &text, Duration::from_secs(3));
    fleet.redis.resume().unwrap();
    fleet.instances[number].becomes(Answer::Allow, &text, Duration::from_secs(5));
}
