//! `doorward doctor envoy` finds each mistake, in a file that is our hardened Envoy but for one change.

use std::collections::BTreeSet;
use std::path::Path;

use doorward::doctor::ILLS;
use serde_json::Value;

use crate::rig::envoy::Envoy;
use crate::rig::sample::fill;
use crate::world::{HARDENED, said, setup};

/// Of the hardened Envoy's text: what stands there, and what stands there instead. `…` between two
/// pieces means them and all between.
struct Mistake {
    code: &'static str,
    from: &'static str,
    to: &'static str,
    /// Doorward's own settings.
    config: &'static str,
    /// Whether Envoy would start with it.
    starts: bool,
}

const fn mistake(code: &'static str, from: &'static str, to: &'static str) -> Mistake {
    Mistake { code, from, to, config: "", starts: true }
}

impl Mistake {
    const fn with(self, config: &'static str) -> Self {
        Self { config, ..self }
    }

    const fn fatal(self) -> Self {
        Self { starts: false, ..self }
    }

    fn text(&self) -> String {
        let (start, end) = self.from.split_once('…').unwrap_or((self.from, ""));
        let at = HARDENED.find(start).unwrap_or_else(|| panic!("{}: no {start:?}", self.code));
        let after = at + start.len();
        let until = HARDENED[after..].find(end).unwrap_or_else(|| panic!("{}: no {end:?}", self.code));
        format!("{}{}{}", &HARDENED[..at], self.to, &HARDENED[after + until + end.len()..])
    }
}

const ASKING: &str = "failure_mode_allow: false";
const ROUTER: &str = "                  - name: router\n";
const OPEN_ROUTE: &str = "match: {prefix: /}\n                          route: {cluster: upstream}\n";

#[rustfmt::skip] // A table is read by its columns.
const MISTAKES: [Mistake; 45] = [
    mistake("not_asked", "                  - name: doorward…stats: false # Denials are not errors of the upstream.\n", ""),
    mistake("fail_open", ASKING, "failure_mode_allow: true"),
    mistake("not_every_request", ASKING, "filter_enabled: {default_value: {numerator: 50}}"),
    mistake("told_only", ASKING, "shadow_mode: true"),
    mistake("headers_hidden", ASKING, "allowed_headers: {patterns: [{exact: apikey}]}"),
    mistake("raw_headers", "encode_raw_headers: true", "encode_raw_headers: false"),
    mistake("validate_mutations", "validate_mutations: true", "validate_mutations: false"),
    mistake("route_cache", "clear_route_cache: false", "clear_route_cache: true"),
    mistake("normalize_path", "normalize_path: true", "normalize_path: false"),
    mistake("merge_slashes", "merge_slashes: true", "merge_slashes: false"),
    mistake("escaped_slashes", "action: REJECT_REQUEST # `%2F`", "action: KEEP_UNCHANGED # `%2F`"),
    mistake("underscores", "headers_with_underscores_action: REJECT_REQUEST", "headers_with_underscores_action: ALLOW"),
    mistake("remote_address", "use_remote_address: true", "use_remote_address: false"),
    mistake("hops", "xff_num_trusted_hops: 0", "xff_num_trusted_hops: 1")
        .with("services: [{name: orders, authentication: none, networks: {deny: [203.0.113.0/24]}}]"),
    mistake("identity_headers", OPEN_ROUTE, "match: {prefix: /}\n                          route: {cluster: upstream}\n                          typed_per_filter_config: {doorward: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}\n")
        .with("headers: {claims: [X-Organisation]}"),
    mistake("route_headers", OPEN_ROUTE, "match: {prefix: /}\n                          route: {cluster: upstream}\n                          request_headers_to_remove: [X-Consumer-ID]\n"),
    mistake("route_filter_name", "doorward: # The filter's name below.", "envoy.filters.http.ext_authz:"),
    mistake("unverified", "      # transport_socket:\n", "      transport_socket: {name: tls, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}\n      # transport_socket:\n"),
    mistake("admin_open", "address: 127.0.0.1", "address: 0.0.0.0"),
    mistake("status_on_error", "status_on_error: {code: 503}", "status_on_error: {code: 403}"),
    mistake("api_version", "transport_api_version: V3", "transport_api_version: V2").fatal(),
    mistake("timeout_short", "timeout: 0.5s # For all", "timeout: 0.26s # For all"),
    mistake("connect_timeout", "connect_timeout: 0.25s", "connect_timeout: 1s"),
    mistake("no_retry", "retry_on: unavailable,connect-failure,reset", "retry_on: reset"),
    mistake("retry_same_host", "retry_host_predicate:…PreviousHostsPredicate\n", "\n"),
    mistake("retry_late", "base_interval: 0.01s", "base_interval: 0.5s"),
    mistake("retry_cuts", "max_interval: 0.5s", "max_interval: 0.05s"),
    mistake("no_body", "# In this order.", "# In this order, and the keys in bodies.")
        .with("services: [{name: orders, authentication: {any: [{api_key: {in: [body]}}]}}]"),
    mistake("body_too_large", ASKING, "with_request_body: {max_request_bytes: 600000}").with("limits: {check_bytes: 512KiB}"),
    mistake("body_buffer", ASKING, "with_request_body: {max_request_bytes: 2097152}"),
    mistake("cors_late", ROUTER, "                  - {name: late, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}\n                  - name: router\n"),
    mistake("rate_limit_early", "                  - name: doorward #", "                  - {name: early, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit, domain: all, rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: doorward}}}}}\n                  - name: doorward #"),
    mistake("no_cluster", "cluster_name: doorward}", "cluster_name: doorwards}"),
    mistake("http2", "{http2_protocol_options: {}}", "{http_protocol_options: {}}").fatal(),
    mistake("health_check", "grpc_health_check:…A name Doorward does not know fails.", "tcp_health_check: {}"),
    mistake("health_service", "service_name: envoy.service.auth.v3.Authorization", "service_name: doorward"),
    mistake("health_interval", "interval: 1s\n          no_traffic_interval: 1s", "interval: 3s\n          no_traffic_interval: 3s"),
    mistake("health_idle", "no_traffic_interval: 1s", "no_traffic_interval: 60s"),
    mistake("panic", "healthy_panic_threshold: {value: 0}", "healthy_panic_threshold: {value: 50}"),
    mistake("outliers", "outlier_detection:…max_ejection_percent: 50", "# none"),
    mistake("breakers", "max_requests: 10000", "max_requests: 1024"),
    mistake("timeout_long", "timeout: 0.5s # For all", "timeout: 0s # For all"),
    mistake("google_grpc", "envoy_grpc: {cluster_name: doorward}", "google_grpc: {target_uri: \"doorward:50051\", stat_prefix: doorward}"),
    mistake("over_http", "grpc_service:…for the time of one try.", "http_service: {server_uri: {uri: \"http://doorward:8002\", cluster: doorward, timeout: 0.5s}}"),
    mistake("one_address", "type: STRICT_DNS", "type: LOGICAL_DNS"),
];

/// What the doctor says about `envoy`, and with which exit code.
fn diagnosis(folder: &Path, config: &str, envoy: &str) -> (BTreeSet<String>, i32) {
    let setup = setup(folder);
    setup.write(config).unwrap();
    let file = folder.join("asked.yaml");
    std::fs::write(&file, envoy).unwrap();
    let output = setup.run(&["doctor", "envoy", file.to_str().unwrap(), "--output", "json"]).unwrap();
    let found: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    let codes = found.as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap().to_owned());
    (codes.collect(), output.status.code().unwrap())
}

#[test]
fn nothing_is_found_about_the_hardened_envoy() {
    let folder = tempfile::tempdir().unwrap();
    // Each of the configurations that bring a mistake to light, and no mistake.
    for config in MISTAKES.iter().map(|mistake| mistake.config).filter(|config| !config.contains("body")) {
        assert_eq!(diagnosis(folder.path(), config, HARDENED), (BTreeSet::new(), 0), "{config}");
    }
}

#[test]
fn each_mistake_is_found_and_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    for mistake in &MISTAKES {
        let found = diagnosis(folder.path(), mistake.config, &mistake.text());
        assert_eq!(found, (BTreeSet::from([mistake.code.to_owned()]), 1), "{}", mistake.code);
    }
    let tried: BTreeSet<&str> = MISTAKES.iter().map(|mistake| mistake.code).collect();
    let known: BTreeSet<&str> = ILLS.iter().map(|ill| ill.code).collect();
    assert_eq!(tried, known, "each with a file that has it");
}

#[test]
fn the_document_has_each_mistake_as_the_doctor_tells_it() {
    let document = include_str!("../../docs/envoy.md");
    for ill in ILLS {
        let line = format!("| `{}` | {} | {} | ", ill.code, ill.harm.name(), ill.why);
        let told = document.lines().find_map(|told| told.strip_prefix(&line));
        let told = told.unwrap_or_else(|| panic!("docs/envoy.md has no line {line:?}"));
        assert_eq!(told.replace('`', ""), format!("{} |", ill.fix.replace('`', "")), "{}", ill.code);
    }
}

#[test]
fn what_the_doctor_finds_is_what_envoy_reads() {
    let folder = tempfile::tempdir().unwrap();
    for mistake in &MISTAKES {
        let read = Envoy::validate(folder.path(), &mistake.text());
        assert_eq!(read.is_ok(), mistake.starts, "{}: {}", mistake.code, read.err().unwrap_or_default());
    }
}

#[test]
fn a_running_envoys_own_word_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let envoy = Envoy::start(folder.path(), &runnable(HARDENED), 1).unwrap();
    let dump = envoy.config_dump().unwrap().to_string();
    assert_eq!(diagnosis(folder.path(), "", &dump), (BTreeSet::new(), 0));
    drop(envoy);
    let open = HARDENED.replace(ASKING, "failure_mode_allow: true");
    let envoy = Envoy::start(folder.path(), &runnable(&open), 1).unwrap();
    let dump = envoy.config_dump().unwrap().to_string();
    assert_eq!(diagnosis(folder.path(), "", &dump), (BTreeSet::from(["fail_open".to_owned()]), 1));
}

#[test]
fn the_table_says_what_to_write_and_other_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    setup.write("").unwrap();
    let ask = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let output = setup.run(&["doctor", "envoy", file.to_str().unwrap()]).unwrap();
        (said(&output), output.status.code().unwrap())
    };
    let (words, code) = ask("open.yaml", &HARDENED.replace(ASKING, "failure_mode_allow: true"));
    assert_eq!(code, 1);
    for part in
        ["HARM", "unsafe", "fail_open", "filter `doorward` of listener `main`", "failure_mode_allow: false"]
    {
        assert!(words.contains(part), "no {part:?} in {words}");
    }
    assert!(ask("good.yaml", HARDENED).0.contains("nothing found"));
    for (name, text, expected) in [
        ("other.yaml", "services: []", "expected `static_resources`"),
        ("torn.yaml", "static_resources: {", "neither YAML nor JSON"),
        ("torn.json", "{\"configs\": [", "neither YAML nor JSON"),
        ("empty.yaml", "", "expected `static_resources`"),
    ] {
        let (words, code) = ask(name, text);
        assert!(code == 2 && words.contains(expected), "{name}: {code} {words}");
    }
    let output = setup.run(&["doctor", "envoy", "/nonexistent/envoy.yaml"]).unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// On ports that are free, with nobody behind.
fn runnable(sample: &str) -> String {
    let local = "127.0.0.1".to_owned();
    fill(
        sample,
        &[
            ("admin", "0".to_owned()),
            ("listener_host", local.clone()),
            ("listener", "0".to_owned()),
            ("doorward_host", local.clone()),
            ("doorward", "9".to_owned()),
            ("auth", "9".to_owned()),
            ("upstream_host", local),
            ("upstream", "9".to_owned()),
        ],
    )
    .unwrap()
}
