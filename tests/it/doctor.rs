//! `doorward doctor envoy` finds each mistake, in a file that is our hardened Envoy but for one change.

use std::collections::BTreeSet;
use std::path::Path;

use doorward::doctor::ILLS;
use serde_json::Value;

use crate::rig::envoy::Envoy;
use crate::rig::sample::fill;
use crate::world::{HARDENED, said, setup};

/// Of a sample's text: what stands there, and what stands there instead. `…` between two
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

    fn text(&self, sample: &str) -> String {
        let (start, end) = self.from.split_once('…').unwrap_or((self.from, ""));
        let at = sample.find(start).unwrap_or_else(|| panic!("{}: no {start:?}", self.code));
        let after = at + start.len();
        let until = sample[after..].find(end).unwrap_or_else(|| panic!("{}: no {end:?}", self.code));
        format!("{}{}{}", &sample[..at], self.to, &sample[after + until + end.len()..])
    }
}

const ASKING: &str = "failure_mode_allow: false";
const ROUTER: &str = "                  - name: router\n";
const OFF: &str = "typed_per_filter_config: {doorward: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}";
const OPEN_ROUTE: &str = "match: {prefix: /}\n                          route: {cluster: upstream}\n";

/// As Istio has it: a filter before it tries rules, and what comes of it says whether to ask.
const CHOSEN: &str = "- {name: envoy.filters.http.rbac, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, shadow_rules: {action: DENY}}}
                  - name: doorward #
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
                      filter_enabled_metadata: {filter: envoy.filters.http.rbac, path: [{key: id}], value: {string_match: {prefix: istio}}}\n";

const CHOSEN_IN: &str =
    "- name: doorward # Then who may pass; rate limits come after it and can use what it says.
                    typed_config:
                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz\n";

#[rustfmt::skip] // A table is read by its columns.
const MISTAKES: &[Mistake] = &[
    mistake("not_asked", "                  - name: doorward…stats: false # Denials are not errors of the upstream.\n", ""),
    mistake("fail_open", ASKING, "failure_mode_allow: true"),
    mistake("not_every_request", ASKING, "filter_enabled: {default_value: {numerator: 50}}"),
    mistake("not_every_request", OPEN_ROUTE, "match: {prefix: /}\n                          route: {cluster: upstream}\n                          typed_per_filter_config: {doorward: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}\n"),
    mistake("not_every_request", "cors: # The filter's name below.\n", "doorward: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}\n                        cors:\n"),
    mistake("not_every_request", "route_config:\n", "route_config:\n                  typed_per_filter_config: {doorward: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}\n"),
    mistake("not_every_request", OPEN_ROUTE, "match: {prefix: /}\n                          route: {weighted_clusters: {clusters: [{name: upstream, weight: 1, typed_per_filter_config: {doorward: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}}]}}\n"),
    mistake("not_every_request", "- name: doorward #", "- disabled: true\n                    name: doorward #"),
    mistake("not_every_request", ASKING, "filter_enabled_metadata: {filter: theirs, path: [{key: id}], value: {string_match: {prefix: asked}}}"),
    mistake("not_every_request", ASKING, "filter_enabled_metadata: {filter: envoy.filters.http.rbac, path: [{key: id}], value: {string_match: {prefix: istio}}}"),
    mistake("not_every_request", OPEN_ROUTE, "match: {prefix: /}\n                          route: {cluster_header: x-cluster}\n                          typed_per_filter_config: {doorward: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}\n"),
    mistake("not_every_request", OPEN_ROUTE, "match: {prefix: /}\n                          route: {cluster: upstream}\n                          typed_per_filter_config: {doorward: {\"@type\": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, value: {disabled: true}}}\n"),
    mistake("not_every_request", "stat_prefix: edge\n", "stat_prefix: edge\n                upgrade_configs: [{upgrade_type: websocket, filters: [{name: router, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}]\n"),
    mistake("unseen", "route_config:\n…\n\n                http_filters: #", "rds: {route_config_name: told, config_source: {ads: {}, resource_api_version: V3}}\n                http_filters: #").fatal(), // It has no name to ask by.
    mistake("other_asked", "context_extensions: {service: orders}", "grpc_service: {envoy_grpc: {cluster_name: upstream}}\n                                context_extensions: {service: orders}"),
    mistake("unseen", "typed_config:\n                      \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz\n…stats: false # Denials are not errors of the upstream.\n", "config_discovery: {config_source: {path_config_source: {path: /dev/null}}, type_urls: [type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz]}\n").fatal(), // Only without a name of its own.
    mistake("mutation_rules", ASKING, "decoder_header_mutation_rules: {disallow_all: true}"),
    mistake("mutation_rules", ASKING, "decoder_header_mutation_rules: {disallow_expression: {regex: \"x-consumer-.*\"}}"),
    mistake("mutation_rules", ASKING, "decoder_header_mutation_rules: {disallow_all: true, allow_expression: {regex: \"x-consumer-.*\"}}"),
    mistake("mutation_rules", ASKING, "decoder_header_mutation_rules: {disallow_all: true, allow_expression: {regex: \"x-.*\"}}"),
    mistake("mutation_rules", ASKING, "decoder_header_mutation_rules: {disallow_expression: {regex: \"theirs|x-consumer-.*\"}}"),
    mistake("mutation_rules", ASKING, "decoder_header_mutation_rules: {disallow_expression: {regex: \"x-consumer-idd?\"}}"),
    mistake("mutation_rules", ASKING, "decoder_header_mutation_rules: {disallow_expression: {regex: \"authorization\"}}"),
    mistake("mutation_rules", ASKING, "decoder_header_mutation_rules: {disallow_expression: {regex: \"apikey\"}}")
        .with("services: [{name: orders, authentication: {any: [api_key]}}]"),
    mistake("metadata", ASKING, "enable_dynamic_metadata_ingestion: false"),
    mistake("route_cache", ASKING, "clear_route_cache_headers: [x-tier]"),
    mistake("connections", "- name: envoy.filters.network.http_connection_manager", "- {name: first, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.ext_authz.v3.ExtAuthz, stat_prefix: first, transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: doorward}}}}\n            - name: envoy.filters.network.http_connection_manager"),
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
    mistake("identity_headers", OPEN_ROUTE, "match: {prefix: /}\n                          route: {cluster: elsewhere}\n                          typed_per_filter_config: {doorward: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true}}\n")
        .with("headers: {claims: [X-Organisation]}").fatal(),
    mistake("identity_headers", CHOSEN_IN, CHOSEN)
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
    mistake("rate_limit_early", "prefix: /}\n                          route: {cluster: upstream}\n\n                http_filters: # In this order.\n", "prefix: /}\n                          route: {cluster: upstream, rate_limits: [{actions: [{request_headers: {header_name: X-Consumer-ID, descriptor_key: who}}]}]}\n\n                http_filters:\n                  - {name: early, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit, domain: all, rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: doorward}}}}}\n"),
    mistake("no_cluster", "cluster_name: doorward}", "cluster_name: doorwards}"),
    mistake("http2", "{http2_protocol_options: {}}", "{http_protocol_options: {}}").fatal(),
    mistake("health_check", "grpc_health_check:…A name Doorward does not know fails.", "tcp_health_check: {}"),
    mistake("health_service", "service_name: envoy.service.auth.v3.Authorization", "service_name: doorward"),
    mistake("health_interval", "interval: 1s\n          no_traffic_interval: 1s", "interval: 3s\n          no_traffic_interval: 3s"),
    mistake("health_interval", "interval: 1s\n", "interval: 1s # \n").with("drain_delay: 1s"),
    mistake("health_idle", "no_traffic_interval: 1s", "no_traffic_interval: 60s"),
    mistake("panic", "healthy_panic_threshold: {value: 0}", "healthy_panic_threshold: {value: 50}"),
    mistake("outliers", "outlier_detection:…max_ejection_percent: 50", "# none"),
    mistake("breakers", "max_requests: 10000", "max_requests: 1024"),
    mistake("timeout_long", "timeout: 0.5s # For all", "timeout: 0s # For all"),
    mistake("google_grpc", "envoy_grpc: {cluster_name: doorward}", "google_grpc: {target_uri: \"doorward:50051\", stat_prefix: doorward}"),
    mistake("one_address", "type: STRICT_DNS", "type: LOGICAL_DNS"),
];

/// The same of the Envoy that asks over HTTP.
#[rustfmt::skip] // A table is read by its columns.
const OVER_HTTP: &[Mistake] = &[
    mistake("upstream_headers", "- {prefix: x-consumer-}\n", "\n"),
    mistake("upstream_headers", "authorization_response:…# Without the credential in it.", "# nothing"),
    mistake("upstream_headers", ASKING, "failure_mode_allow: false #").with("headers: {claims: [X-Organisation]}"),
    mistake("headers_missing", "- {exact: x-api-key}\n", "\n").with("services: [{name: orders, authentication: {any: [api_key]}}]"),
    mistake("headers_missing", "- {exact: x-forwarded-for}\n", "\n")
        .with("services: [{name: orders, authentication: none, networks: {deny: [203.0.113.0/24]}}]"),
    mistake("headers_missing", "- {exact: sec-fetch-site}\n", "\n").with("services: [{name: orders, authentication: {any: [cookie]}}]"),
    mistake("remote_address", "use_remote_address: true", "skip_xff_append: true\n                use_remote_address: true"),
    mistake("remote_address", "use_remote_address: true", "original_ip_detection_extensions: [{name: xff, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig, xff_num_trusted_hops: 1}}]"),
    mistake("connect_timeout", "connect_timeout: 0.25s", "connect_timeout: 1s"),
    mistake("timeout_long", "timeout: 0.5s", "timeout: 30s"),
    mistake("unverified", "      connect_timeout: 0.25s\n", "      connect_timeout: 0.25s\n      transport_socket: {name: tls, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}\n"),
];

const HTTP: &str = include_str!("../../envoy/http.yaml");

/// What the doctor says about `envoy`, and with which exit code.
fn diagnosis(folder: &Path, config: &str, envoy: &str) -> (BTreeSet<String>, i32) {
    let setup = setup(folder).with("DOORWARD_LISTEN__AUTH", "0.0.0.0:8002");
    setup.write(config).unwrap();
    let file = folder.join("asked.yaml");
    std::fs::write(&file, envoy).unwrap();
    let output = setup.run(&["doctor", "envoy", file.to_str().unwrap(), "--output", "json"]).unwrap();
    let found: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    let codes = found.as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap().to_owned());
    (codes.collect(), output.status.code().unwrap())
}

fn codes(codes: &[&str]) -> BTreeSet<String> {
    codes.iter().copied().map(str::to_owned).collect()
}

#[test]
fn nothing_is_found_about_the_hardened_envoy() {
    let folder = tempfile::tempdir().unwrap();
    for config in [
        "",
        "services: [{name: orders, authentication: none, networks: {deny: [203.0.113.0/24]}}]",
        "headers: {claims: [X-Organisation]}",
    ] {
        assert_eq!(diagnosis(folder.path(), config, HARDENED), (BTreeSet::new(), 0), "{config}");
    }
    for config in [
        "",
        "services: [{name: orders, authentication: {any: [api_key, jwt: {issuer: them}, cookie]}}]\nissuers: {them: {issuer: \"https://them.example\", audiences: [orders], algorithms: [EdDSA], jwks_url: \"https://them.example/keys\"}}",
    ] {
        assert_eq!(diagnosis(folder.path(), config, HTTP), (codes(&["over_http"]), 1), "{config}");
    }
}

#[test]
fn each_mistake_is_found_and_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    for mistake in MISTAKES {
        let found = diagnosis(folder.path(), mistake.config, &mistake.text(HARDENED));
        assert_eq!(found, (codes(&[mistake.code]), 1), "{} {}", mistake.from, mistake.to);
    }
    for mistake in OVER_HTTP {
        let found = diagnosis(folder.path(), mistake.config, &mistake.text(HTTP));
        assert_eq!(found, (codes(&[mistake.code, "over_http"]), 1), "{} {}", mistake.from, mistake.to);
    }
    let tried = MISTAKES.iter().chain(OVER_HTTP).map(|mistake| mistake.code).chain(["over_http"]);
    let known: BTreeSet<&str> = ILLS.iter().map(|ill| ill.code).collect();
    assert_eq!(tried.collect::<BTreeSet<&str>>(), known, "each with a file that has it");
}

#[test]
fn settings_that_do_no_harm_are_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let limit = "{name: early, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit}}";
    let on = "{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}";
    for (from, to, config) in [
        ("max_retries: 100", "retry_budget: {min_retry_concurrency: 100}", ""),
        ("- name: doorward #", &format!("- {limit}\n                  - name: doorward #"), ""),
        (
            "interval: 1s\n          no_traffic_interval: 1s",
            "interval: 3s\n          no_traffic_interval: 3s",
            "drain_delay: 30s",
        ),
        // As gateways do it: off, and switched on for the routes.
        (
            "                        - match: {prefix: /}\n                          route: {cluster: upstream}\n\n                http_filters: # In this order.\n                  - name: cors #",
            &format!(
                "                        - match: {{prefix: /}}\n                          route: {{cluster: upstream}}\n                          typed_per_filter_config: {{doorward: {on}}}\n                http_filters:\n                  - name: cors #"
            ),
            "",
        ),
        (CHOSEN_IN, CHOSEN, ""),
        (
            ASKING,
            "decoder_header_mutation_rules: {disallow_all: true, allow_expression: {regex: \".*\"}}",
            "",
        ),
        (
            ASKING,
            "decoder_header_mutation_rules: {disallow_expression: {regex: \"theirs-.*|x-forwarded-.*\"}}",
            "services: [{name: orders, authentication: {any: [api_key]}, networks: {deny: [203.0.113.0/24]}}]",
        ),
    ] {
        let text = HARDENED.replacen(from, to, 1);
        assert_ne!(text, HARDENED, "{from}");
        let text = if to.contains(on) {
            text.replace("- name: doorward #", "- disabled: true\n                    name: doorward #")
        } else {
            text
        };
        assert_eq!(diagnosis(folder.path(), config, &text), (BTreeSet::new(), 0), "{to}");
    }
}

#[test]
fn a_listener_beside_it_that_asks_nobody_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (start, end) = (HARDENED.find("    - name: main").unwrap(), HARDENED.find("  clusters:\n").unwrap());
    let asks = HARDENED.find("                  - name: doorward #").unwrap();
    let second = format!("{}{}", &HARDENED[start..asks], &HARDENED[HARDENED.find(ROUTER).unwrap()..end]);
    let second = second.replace("name: main", "name: side");
    let both = format!("{}{second}{}", &HARDENED[..end], &HARDENED[end..]);
    assert_eq!(diagnosis(folder.path(), "", &both), (codes(&["not_asked"]), 1));
    // To somebody about whom nobody is asked anywhere.
    let other = second.replace("cluster: upstream", "cluster: static");
    let both = format!("{}{other}{}", &HARDENED[..end], &HARDENED[end..]);
    assert_eq!(diagnosis(folder.path(), "", &both), (BTreeSet::new(), 0));
    // One that passes connections on asks about none of their requests.
    let passing = "    - name: raw\n      address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n      filter_chains: [{filters: [{name: tcp, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: raw, cluster: upstream}}]}]\n";
    let both = format!("{}{passing}{}", &HARDENED[..end], &HARDENED[end..]);
    assert_eq!(diagnosis(folder.path(), "", &both), (codes(&["not_asked"]), 1));
    // And others may be told of while it runs.
    let more = HARDENED.replace(
        "static_resources:\n",
        "dynamic_resources: {lds_config: {path_config_source: {path: more.yaml}}}\nstatic_resources:\n",
    );
    assert_eq!(diagnosis(folder.path(), "", &more), (codes(&["unseen"]), 1));
}

#[test]
fn routes_within_a_matcher_are_routes() {
    let folder = tempfile::tempdir().unwrap();
    let (start, rest) = HARDENED.split_once("                      routes:\n").unwrap();
    let rest = &rest[rest.find("                http_filters: #").unwrap()..];
    let matched = |settings: &str| {
        let route = format!(
            "{{\"@type\": type.googleapis.com/envoy.config.route.v3.Route, match: {{prefix: /}}, route: {{cluster: upstream}}{settings}}}"
        );
        let matcher = format!("matcher: {{on_no_match: {{action: {{name: route, typed_config: {route}}}}}}}");
        format!("{start}                      {matcher}\n{rest}")
    };
    assert_eq!(diagnosis(folder.path(), "", &matched("")), (BTreeSet::new(), 0));
    assert_eq!(diagnosis(folder.path(), "", &matched(&format!(", {OFF}"))), (codes(&["not_asked"]), 1));
}

#[test]
fn a_filter_is_examined_within_what_chooses_when_it_acts() {
    let folder = tempfile::tempdir().unwrap();
    let at = HARDENED.find("                  - name: doorward #").unwrap();
    let (filter, rest) = HARDENED[at..].split_at(HARDENED[at..].find(ROUTER).unwrap());
    let (head, settings) = filter.split_once("                    typed_config:\n").unwrap();
    let settings: String = settings.lines().map(|line| format!("    {line}\n")).collect();
    let wrapped = format!(
        "{}{head}                    typed_config:\n                      \"@type\": type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher\n                      extension_config:\n                        name: inner\n                        typed_config:\n{settings}{rest}",
        &HARDENED[..at]
    );
    assert_eq!(diagnosis(folder.path(), "", &wrapped), (BTreeSet::new(), 0));
    let open = wrapped.replace(ASKING, "failure_mode_allow: true");
    assert_eq!(diagnosis(folder.path(), "", &open), (codes(&["fail_open"]), 1));
    let skip = "xds_matcher: {on_no_match: {action: {name: skip, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter}}}}";
    let config = "                      extension_config:\n";
    let skipped = wrapped.replace(config, &format!("                      {skip}\n{config}"));
    assert_eq!(diagnosis(folder.path(), "", &skipped), (codes(&["not_every_request"]), 1));
}

/// Doorward and application beside each other, as in one pod.
#[test]
fn an_upstream_on_doorwards_own_address_is_not_taken_for_doorward() {
    let folder = tempfile::tempdir().unwrap();
    let local = HARDENED
        .replace("address: doorward #", "address: 127.0.0.1 #")
        .replace("address: upstream #", "address: 127.0.0.1 #");
    assert_eq!(diagnosis(folder.path(), "", &local), (BTreeSet::new(), 0));
    let route = "match: {prefix: /}\n                          route: {cluster: upstream}\n";
    let open = local.replace(route, &format!("{route}                          {OFF}\n"));
    let found = diagnosis(folder.path(), "headers: {claims: [X-Organisation]}", &open);
    assert_eq!(found, (codes(&["identity_headers", "not_every_request"]), 1));
}

#[test]
fn an_upstream_is_known_by_its_unix_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = |name: &str| {
        format!(
            "    - name: {name}\n      load_assignment:\n        cluster_name: {name}\n        endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{pipe: {{path: /run/orders.sock}}}}}}}}]}}]\n"
        )
    };
    let to = |prefix: &str, cluster: &str| {
        format!("match: {{prefix: {prefix}}}\n                          route: {{cluster: {cluster}}}\n")
    };
    let asked = HARDENED.replace(&to("/orders", "upstream"), &to("/orders", "here"));
    let open = format!("{}                          {OFF}\n", to("/", "there"));
    let both = asked.replace(&to("/", "upstream"), &open) + &cluster("here") + &cluster("there");
    assert_eq!(diagnosis(folder.path(), "", &both), (codes(&["not_every_request"]), 1));
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
    for (mistakes, sample) in [(MISTAKES, HARDENED), (OVER_HTTP, HTTP)] {
        for mistake in mistakes {
            let read = Envoy::validate(folder.path(), &mistake.text(sample));
            assert_eq!(read.is_ok(), mistake.starts, "{}: {}", mistake.code, read.err().unwrap_or_default());
        }
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
            ("page", "https://app.example.com".to_owned()),
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
