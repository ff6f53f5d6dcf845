//! Which of file, environment and flag holds, and how settings are shown.

use std::path::Path;
use std::time::Duration;

use super::*;

#[test]
fn an_empty_file_means_defaults_and_no_service() {
    for yaml in ["", "# nothing\n", "---\n", "\u{feff}# a byte order mark\n", "limits:\n  # streams: 5\n"] {
        let config = good(yaml);
        assert!(config.services.is_empty());
        assert_eq!(config.catalog(&peppers()).ok().unwrap().deployments().len(), 0);
    }
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let Err(faults) = load(Some(Path::new("/nonexistent/doorward.yaml")), std::iter::empty(), &[]) else {
        panic!("loaded nothing")
    };
    let expected = "/nonexistent/doorward.yaml: cannot be read: No such file or directory (os error 2)";
    assert_eq!(faults.to_string(), expected);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let desk = Desk::with("log: {level: warn, format: text}\nlisten:\n  grpc: 127.0.0.1:1\n");
    let env = [
        ("DOORWARD_LOG__LEVEL", "error"),
        ("DOORWARD_LISTEN__GRPC", "unix:/run/doorward.sock"),
        ("DOORWARD_WORKERS", "3"),
        ("DOORWARD_LOG__ALLOWS", "1"),
        ("DOORWARD_REFLECTION", "true"),
        ("DOORWARD_LIMITS__CHECK_BYTES", "1MiB"),
        ("DOORWARD_REVOCATION__HEARTBEAT", "25ms"),
        ("DOORWARD_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    let loaded = desk.load(&env, &[Overlay::flag("--log-level", "log.level", "debug")]).ok().unwrap();
    let config = &loaded.config;
    assert_eq!((config.log.level, config.log.format), (LogLevel::Debug, LogFormat::Text));
    assert_eq!(config.listen.grpc.value, Endpoint::Unix("/run/doorward.sock".into()));
    assert_eq!(config.workers.as_ref().map(|workers| workers.value), Some(3));
    assert!(config.reflection && *config.log.allows == 1.0);
    assert_eq!(config.limits.check_bytes.value, Size::mib(1));
    assert_eq!(config.revocation.heartbeat.0, Duration::from_millis(25));
    let origin = |setting: &str| loaded.origins.get(setting).map(|origin| desk.told(origin));
    assert_eq!(origin("log.level").as_deref(), Some("--log-level"));
    assert_eq!(origin("log.format").as_deref(), Some("doorward.yaml:1"));
    assert_eq!(origin("workers").as_deref(), Some("DOORWARD_WORKERS"));
    assert_eq!(origin("listen.status"), None);
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn a_bad_variable_is_blamed_by_name() {
    let check = |name: &str, value: &str, expected: &str| {
        let desk = Desk::with("listen: {grpc: 127.0.0.1:1}\nservices: [{name: a, authentication: none}]\n");
        let Err(faults) = desk.load(&[(name, value)], &[]) else { panic!("{name} was accepted") };
        assert_eq!(faults.to_string(), format!("{name}: {expected}"));
    };
    check("DOORWARD_LOG__LEVEL",    "loud", "unknown word `loud`, expected one of `error`, `warn`, `info`, `debug`, `trace`");
    check("DOORWARD_WORKERS",       "many", "expected a whole number from 0 to 65535, found `many`");
    check("DOORWARD_WORKERS",       "0",    "`workers` is 0, expected 1 to 1024");
    check("DOORWARD_REFLECTION",    "yes",  "expected `true` or `false`, found `yes`");
    check("DOORWARD_DRAIN_DELAY",   "5",    "expected a span of time such as `250ms`, `10s`, `5m` or `1h`, found `5`");
    check("DOORWARD_LOG__LEVL",     "info", "unknown key `levl`, expected one of `format`, `level`, `allows`, `refusals_per_second`; did you mean `DOORWARD_LOG__LEVEL`?");
    check("DOORWARD_LISTN__GRPC",   "x",    "unknown key `listn`, expected one of `listen`, `store`, `secret_file`, `data_dir`, `public_url`, `lifetimes`, `cookie`, `revocation`, `on_fault`, `drain_delay`, `workers`, `reflection`, `log`, `limits`, `headers`, `client_address`, `forward_auth`, `permissions`, `roles`, `projects`, `issuers`, `groups`, `infrastructures`, `services`, `deployments`, `keys`, `consumers`; did you mean `DOORWARD_LISTEN__GRPC`?");
    check("DOORWARD_LISTEN",        "x",    "expected a map of `grpc`, `status`, `auth`, `admin`, `admin_socket`, `tls`, found text; it is set in the file, or part by part");
    check("DOORWARD_SERVICES",      "a",    "expected a list, found text; lists are set in the file");
    check("DOORWARD_CLIENT_ADDRESS__TRUSTED_PROXIES", "10.0.0.0/8", "expected a list, found text; lists are set in the file");
    check("DOORWARD_SERVICES__0",   "a",    "settings inside lists are set in the file");
    check("DOORWARD_A__B__C__D__E__F__G__H__I", "a", "no setting lies more than 8 levels deep");
}

#[test]
fn a_variable_that_a_key_is_read_from_is_no_setting() {
    let yaml = "consumers: [{username: a, keys: [{from_env: DOORWARD_TEST_KEY}]}]\n";
    good_with(yaml, &[("DOORWARD_TEST_KEY", "a-key-that-is-long-enough")]);
}

#[test]
fn relative_paths_begin_at_the_files_folder_or_at_data_dir() {
    let desk = Desk::with("secret_file: own.secret\n");
    let config = desk.load(&[], &[]).ok().unwrap().config;
    assert_eq!(config.data_dir(), desk.0.path());
    assert_eq!(config.secret_file(), desk.0.path().join("own.secret"));
    assert_eq!(store_file(&config), desk.0.path().join("doorward.redb"));
    assert_eq!(config.admin_socket(), desk.0.path().join("doorward.sock"));
    let config = desk.load(&[("DOORWARD_DATA_DIR", "below")], &[]).ok().unwrap().config;
    assert_eq!(store_file(&config), desk.0.path().join("below/doorward.redb"));
    let config = good("data_dir: /var/lib/doorward\nstore: {url: \"redb:/srv/x.redb\"}\n");
    assert_eq!(config.secret_file(), Path::new("/var/lib/doorward/doorward.secret"));
    assert_eq!(store_file(&config), Path::new("/srv/x.redb"));
}

#[test]
fn what_is_shown_can_be_loaded_again_and_holds_no_key() {
    let yaml = format!("{SAMPLE}    keys: [{{from_env: ALICE_KEY, not_before: 2026-01-01T00:00:00Z}}]\n");
    let env = [("ALICE_KEY", "alices-key-is-a-long-one"), ("DOORWARD_WORKERS", "7")];
    let loaded = Desk::with(yaml).load(&env, &[]).ok().unwrap();
    let shown = show_yaml(&loaded);
    assert!(shown.contains("workers: 7  # DOORWARD_WORKERS\n"), "{shown}");
    assert!(shown.contains("from_env"), "{shown}");
    assert!(!shown.contains("alices-key"), "{shown}");
    assert!(!show_json(&loaded).to_string().contains("alices-key"));
    let again = Desk::with(&shown).load(&env[..1], &[]).ok().unwrap();
    assert_eq!(show_json(&again)["settings"], show_json(&loaded)["settings"]);
    assert_eq!(again.config.digest(&peppers()), loaded.config.digest(&peppers()));
}

fn store_file(config: &Config) -> std::path::PathBuf {
    let StoreUrl::Redb(path) = &config.store.url.value else { panic!("{}", config.store.url.value) };
    config.resolved(path)
}

#[test]
fn the_settings_that_take_a_restart_stand_where_containers_are_described() {
    let page = include_str!("../../../docs/kubernetes.md");
    let told = page
        .split("**What takes a restart.**")
        .nth(1)
        .and_then(|rest| rest.split("take a restart").next())
        .unwrap();
    for setting in SETTLED {
        assert!(told.contains(&format!("`{setting}`")), "{setting}");
    }
}
