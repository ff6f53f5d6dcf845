//! Starting beside a Redis that is not there, not ours, or not as it has to be.

use std::time::{Duration, Instant};

use crate::authority::{Authority, NAME};
use crate::fleet::{Answer, BEYOND, BOUND, Fleet, Instance, secret};
use crate::rig::port::free_port;
use crate::rig::proxy::Proxy;
use crate::rig::redis::Redis;
use crate::rig::wait::until;
use crate::world::ALICE;

const STORED: &str = "stored-0123456789-abcdef";

#[test]
fn without_redis_an_instance_is_up_and_not_ready_and_serves_soon_after_it_came() {
    let mut fleet = Fleet::new(0);
    fleet.redis.kill();
    let (setup, proxy) = fleet.plan("");
    let doorward = setup.launch().unwrap_or_else(|message| panic!("{message}"));
    let number = fleet.join(doorward, proxy);
    let instance = &fleet.instances[number];
    assert!(!instance.is_ready());
    assert_eq!(instance.ask(STORED), Answer::Fault, "who knows");
    assert_eq!(instance.ask(ALICE), Answer::Allow, "the file is there");
    instance.stays(&[Answer::Fault], STORED, Duration::from_millis(300));
    fleet.redis.resume().unwrap();
    let came = Instant::now();
    fleet.instances[number].becomes_ready();
    assert!(came.elapsed() < Duration::from_secs(5), "ready after {:?}", came.elapsed());
    assert_eq!(fleet.instances[number].ask(STORED), Answer::Deny(401));
}

/// What a start that has to fail says.
#[track_caller]
fn refused(fleet: &Fleet, store: &str) -> String {
    let (setup, _proxy) = fleet.plan(store);
    refused_as(&setup)
}

#[track_caller]
fn refused_as(setup: &crate::rig::doorward::Setup) -> String {
    let output = setup.run(&["serve"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

#[test]
fn two_instances_with_different_secrets_refuse_each_other() {
    let fleet = Fleet::new(1);
    let (setup, _proxy) = fleet.plan("");
    secret(&setup, "1 ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n");
    let said = refused_as(&setup);
    assert!(said.contains("secret_file"), "{said}");
    assert!(fleet.instances[0].is_ready());
    let (text, _) = fleet.key("carol");
    assert_eq!(fleet.instances[0].ask(&text), Answer::Allow);
}

#[test]
fn with_redis_the_secret_is_never_made() {
    let fleet = Fleet::new(0);
    let (setup, _proxy) = fleet.plan("");
    std::fs::remove_file(setup.folder.join("doorward.secret")).unwrap();
    let said = refused_as(&setup);
    assert!(said.contains("every instance needs the same one"), "{said}");
    assert!(!setup.folder.join("doorward.secret").exists());
}

#[test]
fn what_breaks_a_promise_is_refused_unless_it_is_accepted_by_name() {
    let mut fleet = Fleet::new(0);
    let loose = ["--appendonly", "no", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    fleet.redis = Redis::start(&fleet.folder.path().join("loose"), &loose).unwrap();
    let said = refused(&fleet, "");
    for name in ["no_persistence", "eviction"] {
        assert!(said.contains(&format!("store.accept: [{name}]")), "{said}");
    }
    let said = refused(&fleet, "  accept: [no_persistence]\n");
    assert!(!said.contains("no_persistence") && said.contains("eviction"), "{said}");
    let number = fleet.add("  accept: [no_persistence, eviction]\n");
    assert!(fleet.instances[number].is_ready());
}

#[test]
fn a_wrong_password_is_told_without_it_and_over_once_it_is_right() {
    let mut fleet = Fleet::new(0);
    fleet
        .redis
        .ask::<()>(&["ACL", "SETUSER", "doorward", "on", ">right-sesame", "~*", "&*", "+@all"])
        .unwrap();
    let (setup, proxy) = fleet.plan("  username: doorward\n  password: {from_env: REDIS_PASSWORD}\n");
    let setup = setup.with("REDIS_PASSWORD", "wrong-sesame");
    let doorward = setup.launch().unwrap_or_else(|message| panic!("{message}"));
    fleet.instances.push(Instance::new(doorward, proxy));
    let instance = &fleet.instances[0];
    instance.doorward.logged("WRONGPASS");
    assert!(!instance.is_ready());
    assert_eq!(instance.ask(STORED), Answer::Fault);
    fleet.redis.ask::<()>(&["ACL", "SETUSER", "doorward", ">wrong-sesame"]).unwrap();
    instance.becomes_ready();
    assert!(!instance.doorward.output().contains("sesame"), "{}", instance.doorward.output());
}

#[test]
fn a_flood_of_unknown_keys_leaves_no_memory_behind() {
    let fleet = Fleet::new(1);
    let instance = &fleet.instances[0];
    let flood = |from: u32| {
        for number in from..from + 20_000 {
            assert_eq!(instance.ask(&format!("unknown-0123456789-{number}")), Answer::Deny(401));
        }
    };
    // What grows to its size, as buffers and the decisions that are kept do, has it after a few; what an unknown key left
    // would be left by every flood, 50 bytes for each.
    let mut resident = instance.metric("process_resident_memory_bytes");
    let mut grown = Vec::new();
    for round in 0..6 {
        flood(round * 20_000);
        let now = instance.metric("process_resident_memory_bytes");
        grown.push(now - resident);
        resident = now;
        if grown.last().is_some_and(|grown| *grown < 1e6) {
            return;
        }
    }
    panic!("each flood of 20,000 unknown keys left more than a megabyte: {grown:?}");
}

#[test]
fn over_tls_the_name_has_to_be_the_right_one() {
    let mut fleet = Fleet::new(0);
    let certificates = fleet.folder.path().join("certificates");
    std::fs::create_dir_all(&certificates).unwrap();
    let authority = Authority::new(&certificates);
    let pair = authority.issue("redis");
    let port = free_port().unwrap().to_string();
    let path = |path: &std::path::Path| path.display().to_string();
    let (certificate, key, ca) = (path(&pair.certificate), path(&pair.key), path(&authority.ca()));
    let options = [
        ["--tls-port", &port],
        ["--tls-cert-file", &certificate],
        ["--tls-key-file", &key],
        ["--tls-ca-cert-file", &ca],
        ["--tls-auth-clients", "no"],
    ];
    fleet.redis = Redis::start(&fleet.folder.path().join("tls"), &options.concat()).unwrap();
    let url = format!("rediss://127.0.0.1:{port}/0");
    let start = |name: &str| {
        let setup = fleet.plan_for(&url, &format!("  tls: {{ca_file: {ca}, server_name: {name}}}\n"));
        let doorward = setup.launch().unwrap_or_else(|message| panic!("{message}"));
        Instance::new(doorward, Proxy::start(fleet.redis.address()).unwrap())
    };
    let right = start(NAME);
    right.becomes_ready();
    let (wrong, began) = (start("other.example"), Instant::now());
    wrong.doorward.logged("certificate");
    while began.elapsed() < 2 * BOUND {
        assert!(!wrong.is_ready());
        assert_eq!(wrong.ask(STORED), Answer::Fault);
    }
}

#[test]
fn with_a_snapshot_an_instance_starts_while_redis_is_away() {
    let mut fleet = Fleet::new(0);
    let store = "  snapshot: {file: doorward.snapshot, max_age: 1m}\n";
    let number = fleet.add(store);
    let (text, id) = fleet.key("carol");
    let (revoked, gone) = fleet.instances[number].key("carol");
    fleet.instances[number].revoke(&gone);
    let setup = fleet.instances[number].doorward.setup().clone();
    // What changed is written after a quarter of the age at most.
    let file = setup.folder.join("doorward.snapshot");
    let written = || std::fs::metadata(&file).and_then(|about| about.modified()).ok();
    let before = written();
    until("the snapshot knows of it", Duration::from_secs(30), || (written() > before).then_some(()))
        .unwrap();
    let mut ended = fleet.instances.remove(number);
    ended.doorward.signal(crate::rig::process::Signal::TERM).unwrap();
    ended.doorward.process().wait(Duration::from_secs(10)).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(5).any(|word| word == b"carol"), "encrypted");
    fleet.redis.kill();
    let doorward = setup.start().unwrap_or_else(|message| panic!("{message}"));
    let restarted = Instance::new(doorward, ended.proxy);
    assert_eq!(restarted.ask(&text), Answer::Allow);
    assert_eq!(restarted.ask(&revoked), Answer::Deny(401));
    assert_eq!(restarted.ask(STORED), Answer::Deny(401));
    assert_eq!(restarted.metric("doorward_from_snapshot"), 1.0);
    // Beyond the bound too: it is the stated age that counts.
    restarted.stays(&[Answer::Allow], &text, 2 * BOUND);
    fleet.redis.resume().unwrap();
    let seen = || (restarted.metric("doorward_from_snapshot") == 0.0).then_some(());
    until("the store is seen", Duration::from_secs(30), seen).unwrap();
    restarted.revoke(&id);
    assert_eq!(restarted.ask(&text), Answer::Deny(401));
    // From now on the lease counts again.
    fleet.redis.kill();
    restarted.becomes(Answer::Fault, &text, BEYOND);
}

#[test]
fn a_damaged_record_is_left_out_and_named_and_keeps_nobody_from_starting() {
    let mut fleet = Fleet::new(1);
    let keys: Vec<_> = (0..4).map(|_| fleet.key("carol")).collect();
    let mut line = fleet.redis.connection().unwrap();
    for (_, id) in &keys[..2] {
        let id: uuid::Uuid = id.parse().unwrap();
        let [.., high, low] = *id.as_bytes();
        let bucket = u16::from_be_bytes([high, low]) % 4_096;
        let bucket = format!("doorward:{{doorward}}:r:key:{bucket:03x}");
        let hash = |command: &str| redis::cmd(command).arg(&bucket).arg(id.as_bytes()).to_owned();
        let mut value: Vec<u8> = hash("HGET").query(&mut line).unwrap();
        *value.last_mut().unwrap() ^= 1;
        hash("HSET").arg(value).query::<()>(&mut line).unwrap();
    }
    let number = fleet.add("");
    let instance = &fleet.instances[number];
    for (index, (text, _)) in keys.iter().enumerate() {
        let expected = if index < 2 { Answer::Deny(401) } else { Answer::Allow };
        assert_eq!(instance.ask(text), expected, "{index}");
    }
    assert!(instance.metric("doorward_store_went_back_total") >= 1.0);
    let output = instance.doorward.setup().run(&["store", "check"]).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for (_, id) in &keys[..2] {
        assert!(said.contains(id) && said.contains("HDEL"), "{said}");
        instance.doorward.logged(id);
    }
}
