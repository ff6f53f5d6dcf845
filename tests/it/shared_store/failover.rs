//! Another Redis takes over, with all that the first one had or without the last of it.

use std::time::{Duration, Instant};

use crate::fleet::{Answer, BEYOND, BOUND, Fleet, Instance};
use crate::rig::proxy::Proxy;
use crate::rig::redis::{Redis, Sentinel};
use crate::rig::wait::{eventually, until};

#[test]
fn a_revocation_that_a_failover_lost_is_made_again_by_who_remembers_it() {
    let mut fleet = Fleet::new(0);
    let mut replica = Redis::replica(&fleet.folder.path().join("replica"), &fleet.redis).unwrap();
    let unguarded = "  accept: [no_replica_guard]\n";
    fleet.add(unguarded);
    fleet.add(unguarded);
    let (kept, _) = fleet.key("carol");
    let (revoked, id) = fleet.instances[0].key("carol");
    replica.has_all_of(&fleet.redis).unwrap();
    // From here on the replica misses everything.
    replica.ask::<()>(&["REPLICAOF", "NO", "ONE"]).unwrap();
    fleet.instances[0].revoke(&id);
    fleet.instances[1].comes_to_deny(&revoked, BOUND);
    let (lost, _) = fleet.instances[0].key("carol");

    fleet.redis.kill();
    for instance in &fleet.instances {
        instance.proxy.redirect(replica.address());
    }
    for instance in &fleet.instances {
        eventually("the store is known to have gone back", || {
            assert_ne!(instance.ask(&revoked), Answer::Allow);
            (instance.metric("doorward_store_went_back_total") >= 1.0).then_some(())
        });
        instance.becomes_ready();
        instance.becomes(Answer::Allow, &kept, Duration::from_secs(5));
        // Never allowed.
        instance.stays(&[Answer::Deny(401), Answer::Fault], &revoked, BOUND);
        instance.comes_to_deny(&revoked, BEYOND);
        // What was made and lost is gone, and said to be.
        instance.comes_to_deny(&lost, BEYOND);
        instance.doorward.logged("\"level\":\"error\"");
    }
    // Whoever starts now reads it in the store.
    std::mem::swap(&mut fleet.redis, &mut replica);
    fleet.add(unguarded);
    assert_eq!(fleet.instances[2].ask(&revoked), Answer::Deny(401));
    assert_eq!(fleet.instances[2].ask(&kept), Answer::Allow);
    // And the numbers go on.
    let (new, _) = fleet.instances[2].key("carol");
    assert!(fleet.instances.iter().all(|instance| instance.ask(&new) == Answer::Allow));
}

#[test]
fn an_old_primary_behind_a_partition_keeps_nobody_allowed_beyond_the_bound() {
    let mut fleet = Fleet::new(0);
    let guard = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"];
    fleet.redis = Redis::start(&fleet.folder.path().join("guarded"), &guard).unwrap();
    let replica = Redis::replica(&fleet.folder.path().join("replica"), &fleet.redis).unwrap();
    let left = fleet.add("");
    let right = fleet.add("");
    let (text, id) = fleet.key("carol");
    replica.has_all_of(&fleet.redis).unwrap();
    // The partition: the replica becomes a primary for the right side, the left side keeps the old
    // one, which does not know.
    replica.ask::<()>(&["REPLICAOF", "NO", "ONE"]).unwrap();
    fleet.instances[right].proxy.redirect(replica.address());
    fleet.instances[right].becomes_ready();
    let revoked = Instant::now();
    let reply = until("the right side takes the revocation", Duration::from_secs(5), || {
        let path = format!("/key-auths/{id}");
        let reply = fleet.instances[right].admin("DELETE", &path, &serde_json::Value::Null);
        (reply.status == 204).then_some(())
    });
    reply.unwrap();
    assert_eq!(fleet.instances[right].ask(&text), Answer::Deny(401));
    // The lag of replicas is counted in whole seconds, so the guard of 1 s acts after 2 at most.
    let left = &fleet.instances[left];
    let faulted = left.becomes(Answer::Fault, &text, Duration::from_secs(2) + BEYOND);
    println!("the cut-off side stopped {faulted:?} after the revocation at {:?}", revoked.elapsed());
    left.stays(&[Answer::Fault], &text, BOUND);
    // The partition heals: the old primary is brought back as a replica of the new one.
    left.proxy.redirect(replica.address());
    left.becomes(Answer::Deny(401), &text, Duration::from_secs(5));
    left.becomes_ready();
}

#[test]
fn sentinel_hands_over_and_nothing_that_was_confirmed_is_lost() {
    let mut fleet = Fleet::new(0);
    let replica = Redis::replica(&fleet.folder.path().join("replica"), &fleet.redis).unwrap();
    let sentinel = Sentinel::start(&fleet.folder.path().join("sentinel"), &fleet.redis).unwrap();
    let url = format!("redis-sentinel://{}/primary", sentinel.address());
    let confirmed = "  replicas: 1\n  accept: [no_replica_guard]\n";
    for _ in 0..2 {
        let setup = fleet.plan_for(&url, confirmed);
        let doorward = setup.start().unwrap_or_else(|message| panic!("{message}"));
        // No line of its own: Sentinel names addresses.
        let unused = Proxy::start(fleet.redis.address()).unwrap();
        fleet.instances.push(Instance::new(doorward, unused));
    }
    let (kept, _) = fleet.key("carol");
    let (revoked, id) = fleet.instances[0].key("carol");
    fleet.instances[0].revoke(&id);
    fleet.redis.kill();
    let began = Instant::now();
    for instance in &fleet.instances {
        eventually("the new primary is known", || {
            assert_ne!(instance.ask(&revoked), Answer::Allow);
            let noticed = instance.doorward.output().contains("the store answers again");
            noticed.then_some(())
        });
        instance.becomes(Answer::Allow, &kept, Duration::from_secs(30));
        assert_eq!(instance.ask(&revoked), Answer::Deny(401));
        assert_eq!(instance.metric("doorward_store_went_back_total"), 0.0);
    }
    println!("Sentinel handed over within {:?}", began.elapsed());
    // With its only replica gone a write is made and cannot be confirmed.
    let reply = fleet.instances[0].admin("POST", "/consumers/carol/key-auth", &serde_json::json!({}));
    assert_eq!((reply.status, reply.json()["code"].as_str()), (503, Some("unconfirmed")), "{}", reply.text());
    assert!(reply.json()["epoch"].is_string());
    drop(replica);
}

#[test]
fn with_the_guard_and_two_replicas_either_a_replica_or_the_primary_may_be_lost() {
    let mut fleet = Fleet::new(0);
    let mut replicas = [1, 2].map(|number| {
        let folder = fleet.folder.path().join(format!("replica-{number}"));
        Redis::replica(&folder, &fleet.redis).unwrap()
    });
    for redis in replicas.iter().chain([&fleet.redis]) {
        redis.ask::<()>(&["CONFIG", "SET", "min-replicas-max-lag", "3"]).unwrap();
        redis.ask::<()>(&["CONFIG", "SET", "min-replicas-to-write", "1"]).unwrap();
    }
    let sentinel = Sentinel::start(&fleet.folder.path().join("sentinel"), &fleet.redis).unwrap();
    let setup = fleet.plan_for(&format!("redis-sentinel://{}/primary", sentinel.address()), "");
    let doorward = setup.start().unwrap_or_else(|message| panic!("{message}"));
    let unused = Proxy::start(fleet.redis.address()).unwrap();
    fleet.join(doorward, unused);
    let (kept, _) = fleet.key("carol");
    let (revoked, id) = fleet.instances[0].key("carol");
    fleet.instances[0].revoke(&id);

    let good = |count: usize| {
        eventually("the guard knows of them", || {
            let info: String = fleet.redis.ask(&["INFO", "replication"]).unwrap();
            info.contains(&format!("min_slaves_good_slaves:{count}")).then_some(())
        });
    };
    good(2);
    replicas[0].kill();
    good(1);
    let instance = &fleet.instances[0];
    instance.stays(&[Answer::Allow], &kept, 3 * BOUND);
    assert!(instance.is_ready());

    replicas[0].resume().unwrap();
    replicas[0].in_step().unwrap();
    for replica in &replicas {
        replica.has_all_of(&fleet.redis).unwrap();
    }
    fleet.redis.kill();
    let instance = &fleet.instances[0];
    eventually("the new primary is known", || {
        assert_ne!(instance.ask(&revoked), Answer::Allow);
        instance.doorward.output().contains("the store answers again").then_some(())
    });
    instance.becomes(Answer::Allow, &kept, Duration::from_secs(30));
    instance.becomes_ready();
    assert_eq!(instance.ask(&revoked), Answer::Deny(401));
    let (made, _) = instance.key("carol");
    assert_eq!(instance.ask(&made), Answer::Allow, "and it takes writes");
}
