//! A new configuration without a restart; a bad one changes nothing.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};

use crate::rig::doorward::Doorward;
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

fn shows(doorward: &Doorward, line: &str) -> Option<()> {
    doorward.status("/metrics").unwrap().text().lines().any(|found| found == line).then_some(())
}

/// As a full disk leaves it, or a copy that has just begun.
#[test]
fn a_file_without_services_is_not_taken_unless_it_says_so() {
    let world = World::new();
    for (case, lost) in [("emptied", ""), ("cut off", HOUSE.split("\nservices:").next().unwrap())] {
        world.doorward.setup().write(lost).unwrap();
        world.doorward.signal(Signal::HUP).unwrap();
        eventually(&format!("{case}: the gauge is raised"), || reload_failed(&world).then_some(()));
        assert_eq!(world.get("/orders", &[("apikey", ALICE)]).status, 200, "{case}");
        world.doorward.logged("to protect nothing, write `services: []`");
        world.doorward.setup().write(HOUSE).unwrap();
        world.doorward.signal(Signal::HUP).unwrap();
        eventually(&format!("{case}: mended"), || (!reload_failed(&world)).then_some(()));
    }
    assert!(shows(&world.doorward, "doorward_deployments 0").is_none());
    world.doorward.setup().write("services: []\n").unwrap();
    eventually("what is said is done", || shows(&world.doorward, "doorward_deployments 0"));
    assert_eq!(world.get("/orders", &[("apikey", ALICE)]).code(), "unknown_service");
}

#[test]
fn r30_what_weakens_a_promise_and_what_waits_for_a_restart_is_shown_after_a_reload_too() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    setup.write(HOUSE).unwrap();
    let doorward = started(&setup);
    let options = [
        "issuers.elsewhere.insecure_plain_http",
        "keys.insecure_allow_weak",
        "services.sessions.cookie.csrf",
    ]
    .map(|option| format!("doorward_insecure{{option=\"{option}\"}} 1"));
    let pending = ["drain_delay", "keys"]
        .map(|name| format!("doorward_config_restart_pending{{setting=\"{name}\"}} 1"));
    let all = options.iter().chain(&pending);
    assert!(all.clone().all(|line| shows(&doorward, line).is_none()));
    let weak = with_service("marker").replace(
        "services:\n",
        "keys: {insecure_allow_weak: true}\ndrain_delay: 7s\nissuers: {elsewhere: {issuer: a, audiences: [b], algorithms: [RS256], \
         jwks_url: \"http://127.0.0.1:1/\", insecure_plain_http: true}}\nservices:\n  - {name: sessions, paths: [/sessions], \
         authentication: {any: [cookie: {csrf: false}]}}\n",
    );
    setup.write(&weak).unwrap();
    for line in all.clone() {
        eventually(line, || shows(&doorward, line));
    }
    setup.write(HOUSE).unwrap();
    for line in all {
        eventually(&format!("no more: {line}"), || shows(&doorward, line).is_none().then_some(()));
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
fn an_issuers_key_that_leaves_its_file_opens_nothing_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let secret = |kid: &str| format!("{kid}-of-the-issuer-with-32-bytes-at-least");
    let publish = |kids: &[&str]| {
        let jwk = |kid: &&str| serde_json::json!({"kty": "oct", "kid": kid, "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(secret(kid))});
        let keys: Vec<_> = kids.iter().map(jwk).collect();
        std::fs::write(folder.path().join("keys.json"), serde_json::json!({ "keys": keys }).to_string())
            .unwrap();
    };
    publish(&["leaked", "good"]);
    let issuer = "issuers: {accounts: {issuer: accounts, audiences: [orders], algorithms: [HS256], jwks_file: keys.json}}\n\
                  services:\n  - {name: signed, paths: [/signed], authentication: {any: [jwt: {issuer: accounts}]}}\n";
    setup.write(&HOUSE.replace("services:\n", issuer)).unwrap();
    let doorward = started(&setup);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let verdict = |kid: &str| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
        let claims =
            serde_json::json!({"iss": "accounts", "sub": "a", "aud": "orders", "iat": now, "exp": now + 600});
        let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret(kid).as_bytes()))
            .unwrap();
        let header = format!("Authorization: Bearer {token}");
        command(&doorward, &["explain", "http://api.example/signed", "-H", &header])["verdict"].clone()
    };
    assert_eq!((verdict("leaked"), verdict("good")), ("allow".into(), "allow".into()));
    publish(&["good"]);
    eventually("the key that was taken out is known no more", || (verdict("leaked") == "deny").then_some(()));
    assert_eq!(verdict("good"), "allow");
    // A broken file ends nobody's access.
    std::fs::write(folder.path().join("keys.json"), "{").unwrap();
    eventually("it is told", || shows(&doorward, "doorward_config_last_reload_successful 0"));
    assert_eq!(verdict("good"), "allow");
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
