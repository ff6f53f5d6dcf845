//! Commands: exit codes, the socket, and the store when no server runs.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::kong::Api;
use crate::rig::port::free_port;
use crate::rig::process::Signal;
use crate::rig::wait::eventually;
use crate::world::{BOB, HOUSE, command, key, said, setup, start_doorward, started};

#[test]
fn exit_codes_tell_refused_from_misused_from_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let code = |arguments: &[&str]| doorward.setup().run(arguments).unwrap().status.code();
    for (case, arguments, expected) in [
        ("done", &["consumer", "create", "carol"][..], 0),
        ("taken", &["consumer", "create", "carol"], 1),
        ("no such consumer", &["key", "create", "nobody"], 1),
        ("no such key", &["key", "revoke", "01968c91-8789-7288-a337-f0e398711aac"], 1),
        ("the file's own", &["consumer", "delete", "alice"], 1),
        ("no such command", &["kei", "create"], 2),
        ("no such option", &["key", "create", "carol", "--nonsense"], 2),
        ("a bad date", &["key", "create", "carol", "--expires-at", "tomorrow"], 2),
        (
            "a ttl and a date",
            &["key", "create", "carol", "--ttl", "5", "--expires-at", "2099-01-01T00:00:00Z"],
            2,
        ),
    ] {
        assert_eq!(code(arguments), Some(expected), "{case}");
    }
    let elsewhere = setup(&folder.path().join("elsewhere"));
    assert_eq!(elsewhere.run(&["validate"]).unwrap().status.code(), Some(2), "no file");
}

#[test]
fn what_the_file_declares_is_shown_and_no_command_pretends_to_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut doorward = start_doorward(folder.path(), HOUSE);
    // The same answers from the server and, when it is gone, without one.
    for server in ["running", "gone"] {
        let listed = command(&doorward, &["key", "list", "bob"]);
        let key = &listed[0];
        assert_eq!(
            (&key["declared_in_file"], &key["key"]),
            (&true.into(), &().into()),
            "{server}: {listed:#}"
        );
        assert_eq!(key["services"].as_array().map(Vec::len), Some(1), "{server}: {listed:#}");
        let all = command(&doorward, &["key", "list"]);
        let of_the_file = |row: &&serde_json::Value| row["declared_in_file"] == true;
        assert_eq!(all.as_array().unwrap().iter().filter(of_the_file).count(), 2, "{server}: {all:#}");
        let id = key["id"].as_str().unwrap();
        assert_eq!(&command(&doorward, &["key", "show", id]), key, "{server}");
        for arguments in [&["key", "revoke", id][..], &["consumer", "delete", "bob"]] {
            let output = doorward.setup().run(arguments).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{server}: {arguments:?}: {said}");
            assert!(said.contains("is declared in the configuration file"), "{server}: {said}");
        }
        let said = doorward.setup().run(&["key", "revoke", BOB]).unwrap();
        assert_eq!(said.status.code(), Some(1), "{server}");
        assert!(!String::from_utf8_lossy(&said.stderr).contains(BOB), "{server}: a key is repeated");
        if server == "running" {
            doorward.process().kill();
        }
    }
}

#[test]
fn the_file_wins_on_a_name_that_the_store_has_too() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let stored = command(&doorward, &["consumer", "create", "carol", "--group", "stored"]);
    let declared = "consumers:\n  - username: carol\n";
    doorward.setup().write(&HOUSE.replace("consumers:\n", declared)).unwrap();
    doorward.signal(Signal::HUP).unwrap();
    let shown = eventually("the file's carol is shown", || {
        let shown = command(&doorward, &["consumer", "show", "carol"]);
        (shown["declared_in_file"] == true).then_some(shown)
    });
    assert_ne!(shown["id"], stored["id"]);
    let refused = doorward.setup().run(&["consumer", "delete", "carol"]).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    // The one in the store goes by its id.
    command(&doorward, &["consumer", "delete", stored["id"].as_str().unwrap()]);
    assert_eq!(command(&doorward, &["consumer", "show", "carol"])["id"], shown["id"]);
}

#[test]
fn a_username_that_looks_like_an_id_is_refused_as_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let made = command(&doorward, &["consumer", "create", "carol"]);
    // Also one that is nobody's, and without dashes: an id serves wherever a name does.
    for name in [made["id"].as_str().unwrap(), "01968c9187897288a337f0e398711aac"] {
        let output = doorward.setup().run(&["consumer", "create", name]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("username: looks like an id; choose another"), "{said}");
    }
}

#[test]
fn a_lifetime_out_of_range_is_refused_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    for ttl in ["-1", "100000001", "9223372036854775807"] {
        let output = doorward.setup().run(&["key", "create", "alice", "--ttl", ttl]).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{ttl}: {said}");
        assert!(said.contains("ttl: must be an integer between 0 and 100000000"), "{ttl}: {said}");
    }
}

#[test]
fn a_key_that_is_made_with_a_past_end_is_remarked_on_and_its_text_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let run = |arguments: &[&str]| {
        let output = doorward.setup().run(arguments).unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {err}");
        (out, err)
    };
    let (past, future) = ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
    let remark = "this key has ended already";
    let (text, said) = run(&["key", "create", "alice", "--expires-at", past]);
    assert!(said.contains(remark) && !text.contains(remark), "{said}");
    let (_, id) = said.split_once("made key ").unwrap();
    let (id, _) = id.split_once(';').unwrap();
    assert!(!run(&["key", "update", id, "--expires-at", future]).1.contains(remark));
    assert!(run(&["key", "update", id, "--expires-at", past]).1.contains(remark));
    for living in [&["key", "create", "alice"][..], &["key", "create", "alice", "--expires-at", future]] {
        let (_, said) = run(living);
        assert!(!said.contains(remark), "{said}");
    }
}

#[test]
fn a_key_that_could_not_be_shown_is_told_and_an_answer_that_nobody_reads_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let run = |arguments: &[&str], stdout: Stdio| {
        let output = doorward.setup().command(arguments).stdout(stdout).stderr(Stdio::piped()).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let (code, said) = run(&["key", "create", "alice"], full());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("made key") && said.contains("cannot be written to stdout"), "{said}");
    for arguments in [&["validate", "--output", "json"][..], &["config", "show"]] {
        let (code, said) = run(arguments, full());
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot be written to stdout"), "{arguments:?}: {said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, said) = run(arguments, writer.into());
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
    }
}

#[test]
fn a_command_whose_store_does_not_answer_says_which_and_why_once() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let redis = format!("127.0.0.1:{}", free_port().unwrap());
    setup.write(&format!("store: {{url: \"redis://{redis}\"}}\n{HOUSE}")).unwrap();
    let secret = setup.folder.join("doorward.secret");
    std::fs::write(&secret, format!("1 {}\n", "1f2e".repeat(16))).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    for arguments in [&["key", "list"][..], &["key", "create", "carol"], &["store", "check"]] {
        let output = setup.run(arguments).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        let expected = format!("the store is unavailable: Redis at {redis} cannot be reached: ");
        assert_eq!(said.matches("unavailable").count(), 1, "{arguments:?}: {said}");
        assert!(said.contains(&expected), "{arguments:?}: {said}");
    }
}

#[test]
fn validate_tells_its_warnings_and_takes_the_file_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let run = |policy: &str, more: &[&str]| {
        setup.write(policy).unwrap();
        let output = setup.run(&[&["validate"], more].concat()).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let open = "services:\n- {name: a, paths: [/a], authentication: none}\n\
                - {name: b, authentication: {any: [static_token]}}\n";
    let (code, said, warned) = run(open, &[]);
    assert_eq!(code, Some(0), "{said}{warned}");
    assert!(said.ends_with("; 2 warnings\n"), "{said}");
    for expected in [
        "doorward.yaml:2:42: service `a` is public: `authentication` is `none`",
        "doorward.yaml:3:36: `b` takes a `static_token` from any address",
    ] {
        let line = warned.lines().find(|line| line.contains(expected));
        assert!(line.is_some_and(|line| line.starts_with("warning: ")), "no `{expected}` in {warned}");
    }
    let (code, said, _) = run(open, &["--output", "json"]);
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, told["errors"].as_array().unwrap().len()), (Some(0), 0));
    assert_eq!((&told["warnings"][0]["line"], told["warnings"].as_array().unwrap().len()), (&2.into(), 2));

    let closed =
        "services:\n- {name: b, authentication: {any: [static_token]}, networks: {allow: [192.0.2.1]}}\n";
    let (code, said, warned) = run(closed, &[]);
    assert_eq!((code, warned.as_str()), (Some(0), ""), "{said}");
    let (code, said, complained) = run("services:\n- {name: a}\n", &[]);
    assert_eq!((code, said.as_str()), (Some(2), ""), "{complained}");
    assert!(complained.contains("`authentication` is missing"), "{complained}");
}

#[test]
fn validate_refuses_what_serve_refuses_for_want_of_the_secret_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let secret = folder.path().join("doorward.secret");
    let told = |expected: Option<&str>| {
        let output = setup.run(&["validate"]).unwrap();
        assert_eq!(output.status.code(), Some(if expected.is_some() { 2 } else { 0 }), "{}", said(&output));
        assert!(said(&output).contains(expected.unwrap_or("is good")), "{}", said(&output));
        assert!(!secret.exists(), "{expected:?}");
    };
    setup.write("store: {url: \"redis://127.0.0.1:1\"}\n").unwrap();
    told(Some("every instance needs the same one"));
    setup.write("{}").unwrap();
    told(None);
    std::fs::write(folder.path().join("doorward.redb"), "").unwrap();
    told(Some("is missing beside an existing store"));
}

#[test]
fn only_the_owner_may_talk_over_the_socket_and_read_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    for name in ["doorward.sock", "doorward.secret"] {
        let path = doorward.setup().folder.join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}: {mode:o}", path.display());
    }
}

#[test]
fn without_a_server_commands_open_the_store_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let mut doorward = start_doorward(folder.path(), HOUSE);
    command(&doorward, &["consumer", "create", "carol"]);
    doorward.process().kill();
    let (text, _) = key(&doorward, "carol", &[]);
    let doorward = started(&doorward.setup().clone());
    let listed = command(&doorward, &["key", "list"]).to_string();
    let (public, _secret) = text.rsplit_once('_').unwrap();
    assert!(listed.contains(public), "{listed}");
    assert!(!listed.contains(&text), "shown once only: {listed}");
}

#[test]
fn without_server_and_store_only_what_makes_something_makes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    setup.write(HOUSE).unwrap();
    let store = folder.path().join("doorward.redb");
    let secret = folder.path().join("doorward.secret");
    let id = "01968c91-8789-7288-a337-f0e398711aac";
    let copy = folder.path().join("copy.redb");
    for arguments in [
        &["key", "list"][..],
        &["key", "show", id],
        &["key", "revoke", id],
        &["consumer", "list"],
        &["consumer", "show", "carol"],
        &["consumer", "delete", "carol"],
        &["store", "backup", copy.to_str().unwrap()],
        &["store", "check"],
    ] {
        let output = setup.run(arguments).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(said.contains(&format!("there is no store at {}", store.display())), "{said}");
        assert_eq!(said.contains("no server answers at"), arguments != ["store", "check"], "{said}");
        assert_eq!(said.contains("with `--config`, or start one"), arguments != ["store", "check"], "{said}");
        assert!(!store.exists() && !secret.exists(), "{arguments:?}");
    }
    let kong = folder.path().join("kong.yaml");
    std::fs::write(&kong, "consumers: [{username: carol}]\n").unwrap();
    let foretold = setup.run(&["import", "kong", "--dry-run", kong.to_str().unwrap()]).unwrap();
    assert_eq!(foretold.status.code(), Some(0), "{}", said(&foretold));
    assert!(said(&foretold).ends_with("consumers: 1 made\n"), "{}", said(&foretold));
    assert!(!store.exists() && !secret.exists());
    let made = setup.run(&["consumer", "create", "carol"]).unwrap();
    assert!(made.status.success());
    let told = format!("there was no store: made one at {}", store.display());
    assert!(String::from_utf8_lossy(&made.stderr).contains(&told), "{}", said(&made));
    assert!(store.exists() && secret.exists());
    assert!(setup.run(&["key", "list"]).unwrap().status.success());
}

#[test]
fn a_command_waits_for_a_store_that_is_held_and_then_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let (socket, away) = (folder.path().join("doorward.sock"), folder.path().join("away.sock"));
    std::fs::rename(&socket, &away).unwrap();
    let listing = || {
        let mut command = doorward.setup().command(&["consumer", "list"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let held = listing().wait_with_output().unwrap();
    assert_eq!(held.status.code(), Some(3), "{}", said(&held));
    assert!(said(&held).contains("no server answers at"), "{}", said(&held));
    let mut waiting = listing();
    std::thread::sleep(Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none(), "it waits");
    std::fs::rename(&away, &socket).unwrap();
    let answered = waiting.wait_with_output().unwrap();
    assert_eq!(answered.status.code(), Some(0), "{}", said(&answered));
}

#[test]
fn an_empty_name_is_wrong_usage_and_never_the_whole_list() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    for arguments in [
        &["key", "show", ""][..],
        // As it stands in a file that is empty: there is nothing on standard input.
        &["key", "show", "-"],
        &["key", "revoke", ""],
        &["key", "list", ""],
        &["key", "create", ""],
        &["consumer", "show", ""],
        &["consumer", "delete", ""],
        &["service", "show", ""],
        &["service", "remove", "orders", ""],
        &["deployment", "show", ""],
        &["role", "delete", ""],
        &["project", "take-role", "shop", "", "admin"],
        &["infrastructure", "revoke", "production", ""],
        &["admin-key", "delete", ""],
        &["admin-key", "delete", "-"],
        &["signing-key", "revoke", ""],
    ] {
        let output = doorward.setup().command(arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains("a name is empty; expected"), "{arguments:?}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn what_is_not_found_is_said_with_its_kind_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    for (arguments, expected) in [
        (&["service", "show", "nowhere"][..], "service `nowhere`"),
        (&["service", "update", "nowhere", "--tag", "a"], "service `nowhere`"),
        (&["service", "keys", "nowhere"], "service `nowhere`"),
        (&["service", "remove", "orders", "v9"], "version `v9`"),
        (&["deployment", "sample", "a/b"], "deployment `a/b`"),
        (&["role", "delete", "nobodys"], "role `nobodys`"),
        (&["infrastructure", "revoke", "moon", "gold"], "infrastructure `moon`"),
    ] {
        let output = doorward.setup().run(arguments).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        let expected = format!("there is no {expected} that you may see");
        assert!(said(&output).contains(&expected), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn a_file_with_nothing_to_import_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let import = |text: &str| {
        let mut command = doorward.setup().command(&["import", "kong", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), said(&output))
    };
    for text in ["", "_format_version: '3.0'\n", "consumers: []\n", "services: [{name: orders}]\n"] {
        let (code, said) = import(text);
        assert_eq!(code, Some(2), "{text}: {said}");
        assert!(said.contains("- has no consumers, credentials or plugins; is it Kong's"), "{text}: {said}");
    }
    let (code, said) = import("consumers: [{username: carol}]\n");
    assert_eq!((code, &said[..]), (Some(0), "consumers: 1 made\n"));
}

#[test]
fn what_is_wrong_with_a_small_thing_is_said_in_the_words_of_whoever_asked() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    for (arguments, expected) in [
        (&["admin-key", "delete", "nope"][..], "its public name `dw_admin_…`"),
        (&["key", "show", "nope"], "its public name `dw_key_…`"),
        (&["key", "create", "alice", "--ttl", "1d"], "expected a number of seconds, such as 86400"),
        (&["key", "rotate", "dw_key_x", "--grace", "1h"], "expected a number of seconds, such as 86400"),
    ] {
        let output = doorward.setup().run(arguments).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
    }
    let api = Api::of(&doorward);
    for (path, expected) in [
        ("/services?foo=1", "there is no parameter `foo` here, expected one of `size`, `offset`"),
        ("/audit?foo=1", "there is no parameter `foo` here, expected one of `since`, `until`"),
    ] {
        let said = api.expect(400, "GET", path, json!(null));
        assert!(said["message"].as_str().unwrap().starts_with(expected), "{path}: {said}");
    }
}

#[test]
fn the_file_of_addresses_is_there_as_long_as_somebody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let mut doorward = start_doorward(folder.path(), HOUSE);
    let addresses = folder.path().join("doorward.addresses");
    assert!(addresses.exists());
    doorward.signal(Signal::TERM).unwrap();
    assert!(doorward.process().wait(Duration::from_secs(20)).unwrap().success());
    assert!(!addresses.exists());
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let output = doorward.setup().run(&["serve"]).unwrap();
    assert_ne!(output.status.code(), Some(0));
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&*doorward.setup().folder.to_string_lossy()), "{said}");
    assert_eq!(doorward.status("/readyz").unwrap().status, 200, "the first one goes on");
}

#[test]
fn the_health_command_tells_a_running_server_from_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut doorward = start_doorward(folder.path(), HOUSE);
    let config =
        HOUSE.replace("status: \"127.0.0.1:0\"", &format!("status: \"{}\"", doorward.status_address()));
    doorward.setup().write(&config).unwrap();
    assert!(doorward.setup().run(&["health"]).unwrap().status.success());
    doorward.process().kill();
    assert!(!doorward.setup().run(&["health"]).unwrap().status.success());
}

#[test]
fn an_issuer_whose_keys_are_in_a_file_keeps_no_command_from_its_work() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = r#"
issuers:
  a: {issuer: "https://a.example", audiences: [b], algorithms: [HS256], jwks_file: keys.jwks}
services:
  - {name: tokens, paths: [/tokens], authentication: {any: [jwt: {issuer: a}]}}
"#;
    let set = json!({ "keys": [{ "kty": "oct", "k": "A".repeat(43) }] });
    std::fs::write(folder.path().join("keys.jwks"), set.to_string()).unwrap();
    let mut doorward = start_doorward(folder.path(), &HOUSE.replace("\nservices:\n", issuer));
    let made = key(&doorward, "alice", &[]);
    for server in ["running", "gone"] {
        // Where a server runs, who asks need not be able to read the file.
        if server == "running" {
            std::fs::rename(folder.path().join("keys.jwks"), folder.path().join("kept")).unwrap();
        }
        command(&doorward, &["key", "show", &made.1]);
        command(&doorward, &["key", "list"]);
        command(&doorward, &["consumer", "list"]);
        command(&doorward, &["service", "list"]);
        command(&doorward, &["admin-key", "list"]);
        command(&doorward, &["audit", "list"]);
        if server == "running" {
            command(&doorward, &["explain", "https://api.example/public"]);
            assert!(doorward.setup().run(&["health"]).unwrap().status.success());
            doorward.process().kill();
        }
    }
    command(&doorward, &["key", "revoke", &made.1]);
    std::fs::rename(folder.path().join("kept"), folder.path().join("keys.jwks")).unwrap();
    command(&doorward, &["explain", "https://api.example/public"]);
}

#[test]
fn a_key_is_revoked_everywhere_by_its_text_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    command(&doorward, &["consumer", "create", "carol"]);
    let foreign = "a-foreign-key-0123456789";
    command(&doorward, &["key", "create", "carol", "--key", foreign]);
    let with_text = |arguments: &[&str]| {
        let mut command = doorward.setup().command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{foreign}\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!said(&output).contains(foreign), "{}", said(&output));
        (output.status.code(), said(&output))
    };
    let (code, shown) = with_text(&["key", "show", "-"]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("true"), "{shown}");
    let (code, revoked) = with_text(&["key", "revoke", "--everywhere", "-"]);
    assert_eq!(code, Some(0), "{revoked}");
    assert!(revoked.starts_with("revoked key "), "{revoked}");
    assert_eq!(with_text(&["key", "revoke", "-"]).0, Some(1), "once only");

    let status = command(&doorward, &["status"]);
    assert!(status["lease"] == true && status["instances"].is_array(), "{status}");
    let shown = doorward.setup().run(&["status"]).unwrap();
    assert_eq!(shown.status.code(), Some(0));
    assert!(
        said(&shown).starts_with(&format!("epoch {}, lag 0, lease true", status["epoch"].as_str().unwrap())),
        "{}",
        said(&shown)
    );
}
