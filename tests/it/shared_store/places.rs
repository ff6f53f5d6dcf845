//! Beneath a service of the file that takes every host and path stands a stored one: whatever becomes of
//! the store, its requests never fall to the wider one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::{Answer, BEYOND, BOUND, Fleet, Instance};
use crate::rig::doorward::Setup;
use crate::rig::process::Signal;
use crate::rig::proxy::{Proxy, Weather};
use crate::rig::wait::{eventually, until};
use crate::world::ALICE;

/// Of the file, and public.
const WIDER: &str = "/elsewhere";
/// Of the store, and for keys.
const STORED: &str = "/admin";

#[track_caller]
fn plan(fleet: &Fleet) -> (Setup, Proxy) {
    let (setup, proxy) = fleet.plan("");
    let file = setup.folder.join("doorward.yaml");
    let house = std::fs::read_to_string(file).unwrap();
    // In shadow mode nothing is refused; but which one it is has to be known for that.
    let site = "services:\n  - {name: site, authentication: none, mode: shadow}\n";
    setup.write(&house.replace("services:\n", site)).unwrap();
    (setup, proxy)
}

#[track_caller]
fn start(fleet: &mut Fleet) -> usize {
    let (setup, proxy) = plan(fleet);
    let doorward = setup.start().unwrap_or_else(|message| panic!("{message}"));
    fleet.join(doorward, proxy)
}

#[track_caller]
fn deploy(instance: &Instance) {
    let service = json!({ "name": "admin", "paths": [STORED], "authentication": { "any": ["api_key"] } });
    let deployment = json!({ "service": "admin", "infrastructure": "production" });
    for (path, body) in [
        ("/infrastructures", json!({ "name": "production" })),
        ("/services", service),
        ("/deployments?wait=all", deployment),
    ] {
        let made = instance.admin("POST", path, &body);
        assert_eq!(made.status, 201, "{path}: {}", made.text());
    }
    assert_eq!(
        (instance.ask_for(STORED, ""), instance.ask_for(WIDER, "")),
        (Answer::Deny(401), Answer::Allow)
    );
}

/// Asks for the stored one until the wider one has this answer.
#[track_caller]
fn until_wider(instance: &Instance, answer: Answer, within: Duration) {
    let reached = until("the wider one's answer", within, || {
        assert_ne!(instance.ask_for(STORED, ""), Answer::Allow);
        (instance.ask_for(WIDER, "") == answer).then_some(())
    });
    reached.unwrap_or_else(|message| panic!("{message}\n{}", instance.doorward.output()));
    assert_ne!(instance.ask_for(STORED, ""), Answer::Allow);
}

/// Ends an instance in order, and starts another in its folder.
#[track_caller]
fn restart(fleet: &mut Fleet, meanwhile: impl FnOnce(&mut Fleet)) {
    let mut ended = fleet.instances.pop().unwrap();
    ended.doorward.signal(Signal::TERM).unwrap();
    ended.doorward.process().wait(Duration::from_secs(30)).unwrap();
    meanwhile(fleet);
    let setup = ended.doorward.setup().clone();
    let doorward = setup.launch().unwrap_or_else(|message| panic!("{message}"));
    fleet.join(doorward, ended.proxy);
}

#[test]
fn past_the_lease_and_at_a_start_without_redis_a_host_and_path_is_nobodys() {
    let mut fleet = Fleet::new(0);
    start(&mut fleet);
    deploy(&fleet.instances[0]);
    fleet.instances[0].proxy.set(Weather::Cut);
    until_wider(&fleet.instances[0], Answer::Fault, BEYOND + BOUND);
    fleet.instances[0].proxy.set(Weather::Fair);
    until_wider(&fleet.instances[0], Answer::Allow, Duration::from_secs(30));
    restart(&mut fleet, |fleet| fleet.redis.kill());
    let (instance, began) = (&fleet.instances[0], Instant::now());
    while began.elapsed() < BOUND {
        assert_eq!(
            (instance.ask_for(STORED, ""), instance.ask_for(WIDER, "")),
            (Answer::Fault, Answer::Fault)
        );
    }
    fleet.redis.resume().unwrap();
    until_wider(&fleet.instances[0], Answer::Allow, Duration::from_secs(30));
    assert_eq!(fleet.instances[0].ask_for(STORED, ""), Answer::Deny(401));
}

#[test]
fn in_an_emptied_redis_deployments_are_lost_until_there_are_some_again() {
    let mut fleet = Fleet::new(0);
    start(&mut fleet);
    deploy(&fleet.instances[0]);
    fleet.redis.ask::<()>(&["FLUSHALL"]).unwrap();
    until_wider(&fleet.instances[0], Answer::Deny(404), Duration::from_secs(30));
    fleet.instances[0].doorward.logged("gone without having been ended");
    restart(&mut fleet, |_| {});
    fleet.instances[0].becomes_ready();
    until_wider(&fleet.instances[0], Answer::Deny(404), Duration::from_secs(30));
    deploy(&fleet.instances[0]);
    let admin = |path: &str| fleet.instances[0].admin("DELETE", path, &Value::Null);
    assert_eq!(admin("/deployments/admin%2Fproduction").status, 204);
    // Whoever ends them says so: the file is all there is again, with Redis and without.
    eventually("the file alone decides", || {
        (fleet.instances[0].ask_for(STORED, "") == Answer::Allow).then_some(())
    });
    let seen = fleet.instances[0].doorward.setup().folder.join("doorward.seen");
    eventually("that is remembered", || {
        std::fs::read_to_string(&seen).unwrap().ends_with(" 0\n").then_some(())
    });
    restart(&mut fleet, |fleet| fleet.redis.kill());
    assert_eq!(fleet.instances[0].ask_for(WIDER, ""), Answer::Allow);
    assert_eq!(fleet.instances[0].ask(ALICE), Answer::Allow);
}
