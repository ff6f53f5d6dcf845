//! A new configuration without a restart; a bad one changes nothing.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use crate::rig::process::Signal;
use crate::rig::wait::eventually;
use crate::world::{ALICE, HOUSE, World, command, setup, started};

/// The house with one more public service.
fn with_service(name: &str) -> String {
    HOUSE.replace(
        "services:\n",
        &format!("services:\n  - {{name: {name}, paths: [/{name}], authentication: none}}\n"),
    )
}

fn reload_failed(world: &World) -> bool {
    let metrics = world.doorward.status("/metrics").unwrap().text();
    metrics.lines().any(|line| line == "doorward_config_last_reload_successful 0")
}

#[test]
fn a_changed_file_and_a_signal_both_bring_the_new_catalog() {
    let world = World::new();
    assert_eq!(world.get("/watched", &[]).status, 404);
    world.doorward.setup().write(&with_service("watched")).unwrap();
    eventually("the changed file is read", || (world.get("/watched", &[]).status == 200).then_some(()));
    assert_eq!(world.get("/orders", &[("apikey", ALICE)]).status, 200);

    world.doorward.setup().write(&with_service("signalled")).unwrap();
    world.doorward.signal(Signal::HUP).unwrap();
    eventually("the signal is heeded", || (world.get("/signalled", &[]).status == 200).then_some(()));
    assert_eq!(world.get("/watched", &[]).status, 404, "swapped whole");
    assert!(!reload_failed(&world));
}

#[test]
fn a_bad_file_keeps_the_old_catalog_and_raises_a_gauge_until_it_is_mended() {
    let world = World::new();
    for (case, bad) in [
        ("no YAML", "services: [".to_owned()),
        ("an unknown key", format!("{HOUSE}\nsurprise: 1\n")),
        ("a service open by default", with_service("open").replace(", authentication: none", "")),
    ] {
        let before = world.doorward.output();
        world.doorward.setup().write(&bad).unwrap();
        world.doorward.signal(Signal::HUP).unwrap();
        eventually(&format!("{case}: the gauge is raised"), || reload_failed(&world).then_some(()));
        assert_eq!(world.get("/orders", &[("apikey", ALICE)]).status, 200, "{case}");
        assert_eq!(world.get("/orders", &[]).status, 401, "{case}");
        eventually(&format!("{case}: the log says so"), || {
            (world.doorward.output().len() > before.len()).then_some(())
        });
        world.doorward.setup().write(HOUSE).unwrap();
        world.doorward.signal(Signal::HUP).unwrap();
        eventually(&format!("{case}: mended"), || (!reload_failed(&world)).then_some(()));
    }
}

#[test]
fn a_file_that_is_gone_keeps_the_old_catalog_even_where_nobody_named_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut setup = setup(folder.path());
    setup.at_home = true;
    setup.write(HOUSE).unwrap();
    let doorward = started(&setup);
    let reloaded = |good: u8| {
        let metrics = doorward.status("/metrics").unwrap().text();
        metrics.contains(&format!("\ndoorward_config_last_reload_successful {good}\n")).then_some(())
    };
    let aside = folder.path().join("aside.yaml");
    std::fs::rename(setup.file(), &aside).unwrap();
    doorward.signal(Signal::HUP).unwrap();
    eventually("the gauge is raised", || reloaded(0));
    // A command would read the file that is not there: the server itself is asked.
    let mut client = UnixStream::connect(folder.path().join("doorward.sock")).unwrap();
    let body = r#"{"target":"/public","host":"api.example"}"#;
    let length = body.len();
    write!(
        client,
        "POST /explain HTTP/1.1\r\nHost: doorward\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut account = String::new();
    client.read_to_string(&mut account).unwrap();
    assert!(account.contains(r#""verdict":"allow""#), "{account}");
    // The very same file, of the same time and length.
    std::fs::rename(&aside, setup.file()).unwrap();
    eventually("the file is back", || reloaded(1));
}

#[test]
fn a_key_that_changes_in_its_own_file_is_read_without_being_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let text = |text: &str| std::fs::write(folder.path().join("carol.key"), text).unwrap();
    text("carol-0123456789-one");
    let carol = "consumers:\n  - {username: carol, keys: [{from_file: carol.key}]}\n";
    setup.write(&HOUSE.replace("consumers:\n", carol)).unwrap();
    let doorward = started(&setup);
    let verdict = |key: &str| {
        let header = format!("apikey: {key}");
        command(&doorward, &["explain", "http://api.example/orders", "-H", &header])["verdict"].clone()
    };
    assert_eq!(verdict("carol-0123456789-one"), "allow");
    text("carol-0123456789-two");
    eventually("the new key opens", || (verdict("carol-0123456789-two") == "allow").then_some(()));
    assert_eq!(verdict("carol-0123456789-one"), "deny");
    // A bad one ends nobody's access, and the next good one is noticed.
    text("short");
    eventually("it is told", || {
        let metrics = doorward.status("/metrics").unwrap().text();
        metrics.contains("\ndoorward_config_last_reload_successful 0\n").then_some(())
    });
    assert_eq!(verdict("carol-0123456789-two"), "allow");
    text("carol-0123456789-three");
    eventually("the last key opens", || (verdict("carol-0123456789-three") == "allow").then_some(()));
}

#[test]
fn keys_of_the_store_outlive_a_reload_and_keys_of_the_file_go_with_it() {
    let world = World::new();
    world.command(&["consumer", "create", "carol"]);
    let (text, _) = world.key("carol", &[]);
    let without = with_service("marker").replace("keys: [{from_env: ALICE_KEY}]", "keys: []");
    world.doorward.setup().write(&without).unwrap();
    world.doorward.signal(Signal::HUP).unwrap();
    eventually("the new file is read", || (world.get("/marker", &[]).status == 200).then_some(()));
    assert_eq!(world.get("/orders", &[("apikey", ALICE)]).code(), "invalid_credential");
    assert_eq!(world.get("/orders", &[("apikey", &text)]).status, 200);
}

#[test]
fn weak_keys_of_the_file_are_counted_anew() {
    let config = |names: &[&str]| {
        let keys: String = names.iter().map(|name| format!("{{from_env: {name}}}, ")).collect();
        let weak = format!("  - {{username: weak, keys: [{keys}]}}");
        format!(
            "keys: {{insecure_allow_weak: true}}\n{}",
            HOUSE.replace("consumers:\n", &format!("consumers:\n{weak}\n"))
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path()).with("WEAK_ONE", "one").with("WEAK_TWO", "two");
    setup.write(&config(&["WEAK_ONE"])).unwrap();
    let doorward = started(&setup);
    let counted = |count: usize| {
        let line = format!("doorward_weak_keys {count}");
        eventually(&line, || {
            let metrics = doorward.status("/metrics").unwrap().text();
            metrics.lines().any(|found| found == line).then_some(())
        });
    };
    counted(1);
    setup.write(&config(&["WEAK_ONE", "WEAK_TWO"])).unwrap();
    counted(2);
    setup.write(&config(&[])).unwrap();
    counted(0);
}
