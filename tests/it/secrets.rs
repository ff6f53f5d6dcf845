//! Nobody reads a secret in what Doorward writes.

use crate::world::{ALICE, BOB, HOUSE, World, start_doorward};

#[test]
fn no_secret_is_logged_or_counted_at_any_level() {
    let world = World::with(&format!("log: {{level: trace}}\n{HOUSE}"), |wiring| wiring.raw_headers = true);
    world.command(&["consumer", "create", "carol"]);
    let (made, id) = world.key("carol", &[]);
    let (foreign, _) = world.key("carol", &["--key", "62eb165c070a41d5c1b58d9d3d725ca1"]);
    let wrong = "wrong-0123456789-abcdef";
    for key in [ALICE, BOB, &made, &foreign, wrong] {
        world.get("/orders", &[("apikey", key)]);
        world.get("/orders", &[("apikey", key), ("apikey", key)]);
        world.get(&format!("/orders?key={key}&x=1"), &[]);
        world.get(&format!("/orders?api%6bey={key}"), &[]);
        world.get("/cookies", &[("Cookie", &format!("sid={key}"))]);
        world.get("/bearer", &[("Authorization", &format!("Bearer {key}"))]);
        world.get(&format!("/orders/../x?key={key}"), &[("apikey", key)]);
    }
    world.command(&["key", "revoke", &id]);
    world.get("/orders", &[("apikey", &made)]);

    let log = world.doorward.output();
    assert!(log.lines().count() > 10, "at trace level there is more to say:\n{log}");
    let metrics = world.doorward.status("/metrics").unwrap().text();
    let shown = world.doorward.setup().run(&["config", "show"]).unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    // The handle of a key of ours may be shown; what follows it may not.
    let secret = made.rsplit('_').next().unwrap();
    for (where_, text) in [("log", &log), ("metrics", &metrics), ("config show", &shown)] {
        for key in [ALICE, BOB, secret, &foreign, wrong] {
            assert!(!text.contains(key), "{key} stands in the {where_}");
        }
    }
}

#[test]
fn what_a_client_writes_cannot_forge_a_line_of_the_log() {
    let world = World::new();
    world.get("/orders/%0a%0dlevel=ERROR", &[("user-agent", "x\tforged")]);
    world.send(b"GET /orders HTTP/1.1\r\nHost: api.example\r\nx-request-id: a\x09b\r\n\r\n");
    for line in world.doorward.output().lines() {
        assert!(!line.starts_with("level=ERROR") && !line.contains('\r'), "{line:?}");
    }
}

#[test]
fn neither_the_store_nor_its_folder_holds_a_key_in_clear() {
    let world = World::new();
    world.command(&["consumer", "create", "carol"]);
    let (made, _) = world.key("carol", &[]);
    let (foreign, _) = world.key("carol", &["--key", "62eb165c070a41d5c1b58d9d3d725ca1"]);
    let secret = made.rsplit('_').next().unwrap();
    for entry in std::fs::read_dir(&world.doorward.setup().folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for key in [secret, &foreign] {
            assert!(
                memchr::memmem::find(&bytes, key.as_bytes()).is_none(),
                "{key} stands in {}",
                path.display()
            );
        }
    }
}

#[test]
fn no_crash_writes_the_memory_of_a_server_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut doorward = start_doorward(folder.path(), HOUSE);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", doorward.process().id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let words: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{core}");
}

#[test]
fn a_key_that_the_file_declares_cannot_be_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let made = doorward.setup().run(&["key", "create", "alice", "--key", BOB]).unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert_eq!(made.status.code(), Some(1), "{said}");
    assert!(said.contains("in use already") && !said.contains(BOB), "{said}");
}
