//! Every mistake that is looked for, the worst first.

use super::finding::Harm::{Broken, Slow, Unsafe};
use super::finding::Ill;

/// All of them.
pub static ILLS: [&Ill; 45] = [
    &NOT_ASKED,
    &FAIL_OPEN,
    &NOT_EVERY_REQUEST,
    &TOLD_ONLY,
    &HEADERS_HIDDEN,
    &RAW_HEADERS,
    &VALIDATE_MUTATIONS,
    &ROUTE_CACHE,
    &NORMALIZE_PATH,
    &MERGE_SLASHES,
    &ESCAPED_SLASHES,
    &UNDERSCORES,
    &REMOTE_ADDRESS,
    &HOPS,
    &IDENTITY_HEADERS,
    &ROUTE_HEADERS,
    &ROUTE_FILTER_NAME,
    &UNVERIFIED,
    &ADMIN_OPEN,
    &STATUS_ON_ERROR,
    &API_VERSION,
    &TIMEOUT_SHORT,
    &CONNECT_TIMEOUT,
    &NO_RETRY,
    &RETRY_SAME_HOST,
    &RETRY_LATE,
    &RETRY_CUTS,
    &NO_BODY,
    &BODY_TOO_LARGE,
    &BODY_BUFFER,
    &CORS_LATE,
    &RATE_LIMIT_EARLY,
    &NO_CLUSTER,
    &HTTP2,
    &HEALTH_CHECK,
    &HEALTH_SERVICE,
    &HEALTH_INTERVAL,
    &HEALTH_IDLE,
    &PANIC,
    &OUTLIERS,
    &BREAKERS,
    &TIMEOUT_LONG,
    &GOOGLE_GRPC,
    &OVER_HTTP,
    &ONE_ADDRESS,
];

pub(super) static NOT_ASKED: Ill = Ill {
    code: "not_asked",
    harm: Unsafe,
    why: "nobody is asked: every request passes",
    fix: "put the ext_authz filter before the router, as in envoy/hardened.yaml",
};
pub(super) static FAIL_OPEN: Ill = Ill {
    code: "fail_open",
    harm: Unsafe,
    why: "when Doorward does not answer, everybody passes, and with the identity headers that they sent",
    fix: "failure_mode_allow: false",
};
pub(super) static NOT_EVERY_REQUEST: Ill = Ill {
    code: "not_every_request",
    harm: Unsafe,
    why: "requests pass about which nobody is asked",
    fix: "leave `disabled` and `filter_enabled` out, and switch it off for single routes",
};
pub(super) static TOLD_ONLY: Ill = Ill {
    code: "told_only",
    harm: Unsafe,
    why: "a denial is counted, and the request passes",
    fix: "leave `shadow_mode` out; Doorward has `mode: shadow` for single deployments",
};
pub(super) static HEADERS_HIDDEN: Ill = Ill {
    code: "headers_hidden",
    harm: Unsafe,
    why: "Doorward removes look-alikes of its headers only where it sees them, and may miss a credential",
    fix: "leave `allowed_headers` and `disallowed_headers` out",
};
pub(super) static RAW_HEADERS: Ill = Ill {
    code: "raw_headers",
    harm: Unsafe,
    why: "repeated headers arrive glued together and odd bytes as `!`, so two credentials can pass for one",
    fix: "encode_raw_headers: true",
};
pub(super) static VALIDATE_MUTATIONS: Ill = Ill {
    code: "validate_mutations",
    harm: Unsafe,
    why: "nothing looks twice at the headers that are set on requests and answers",
    fix: "validate_mutations: true",
};
pub(super) static ROUTE_CACHE: Ill = Ill {
    code: "route_cache",
    harm: Unsafe,
    why: "after the check a request may take another route than the one that was asked about",
    fix: "clear_route_cache: false",
};
pub(super) static NORMALIZE_PATH: Ill = Ill {
    code: "normalize_path",
    harm: Unsafe,
    why: "`/public/../orders` reaches routes and upstream as it is, and each reads it in its own way",
    fix: "normalize_path: true",
};
pub(super) static MERGE_SLASHES: Ill = Ill {
    code: "merge_slashes",
    harm: Unsafe,
    why: "`//orders` is another path than `/orders` for routes, and the same one for many an upstream",
    fix: "merge_slashes: true",
};
pub(super) static ESCAPED_SLASHES: Ill = Ill {
    code: "escaped_slashes",
    harm: Unsafe,
    why: "`%2F` is a slash for some upstreams and a letter for others",
    fix: "path_with_escaped_slashes_action: REJECT_REQUEST",
};
pub(super) static UNDERSCORES: Ill = Ill {
    code: "underscores",
    harm: Unsafe,
    why: "upstreams that read `_` as `-` take a client's x_consumer_id for Doorward's header",
    fix: "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}",
};
pub(super) static REMOTE_ADDRESS: Ill = Ill {
    code: "remote_address",
    harm: Unsafe,
    why: "a client may send `x-envoy-*` and an X-Forwarded-For of its own making, as if it were a proxy of yours",
    fix: "use_remote_address: true, where clients connect to this Envoy",
};
pub(super) static HOPS: Ill = Ill {
    code: "hops",
    harm: Unsafe,
    why: "Envoy is told of proxies in front of it, and Doorward of none: its lists of networks judge the proxy's address",
    fix: "client_address: {trusted_proxies: […]} in doorward.yaml, with the networks of those proxies",
};
pub(super) static IDENTITY_HEADERS: Ill = Ill {
    code: "identity_headers",
    harm: Unsafe,
    why: "where Doorward is not asked, or does not answer, nobody removes them, and the upstream believes the client",
    fix: "early_header_mutation_extensions that remove them, as in envoy/hardened.yaml",
};
pub(super) static ROUTE_HEADERS: Ill = Ill {
    code: "route_headers",
    harm: Unsafe,
    why: "the router acts after Doorward: what it removes is missing upstream, and what it adds stands beside a client's",
    fix: "leave Doorward's headers out of routes; to remove a client's, use early_header_mutation_extensions",
};
pub(super) static ROUTE_FILTER_NAME: Ill = Ill {
    code: "route_filter_name",
    harm: Unsafe,
    why: "no filter of the chain has this name, so Envoy passes over the settings",
    fix: "use the name that the filter has in `http_filters`",
};
pub(super) static UNVERIFIED: Ill = Ill {
    code: "unverified",
    harm: Unsafe,
    why: "whoever takes Doorward's address can answer in its place",
    fix: "validation_context with `trusted_ca` and `match_typed_subject_alt_names`",
};
pub(super) static ADMIN_OPEN: Ill = Ill {
    code: "admin_open",
    harm: Unsafe,
    why: "whoever reaches the admin address can read the configuration and stop Envoy",
    fix: "admin: {address: {socket_address: {address: 127.0.0.1, …}}}",
};
pub(super) static STATUS_ON_ERROR: Ill = Ill {
    code: "status_on_error",
    harm: Broken,
    why: "an outage answers 403, as if the caller were not allowed",
    fix: "status_on_error: {code: 503}",
};
pub(super) static API_VERSION: Ill = Ill {
    code: "api_version",
    harm: Broken,
    why: "Envoy asks by an older interface, or does not start",
    fix: "transport_api_version: V3",
};
pub(super) static TIMEOUT_SHORT: Ill = Ill {
    code: "timeout_short",
    harm: Broken,
    why: "a pause of Doorward's or a second try does not fit into it; Envoy's default is 0.2 s",
    fix: "grpc_service: {timeout: 0.5s}",
};
pub(super) static CONNECT_TIMEOUT: Ill = Ill {
    code: "connect_timeout",
    harm: Broken,
    why: "connecting to one replica takes all the time there is, so no other is tried; Envoy's default is 5 s",
    fix: "connect_timeout: 0.25s",
};
pub(super) static NO_RETRY: Ill = Ill {
    code: "no_retry",
    harm: Broken,
    why: "a replica that goes away costs the requests that were with it",
    fix: "grpc_service: {retry_policy: {retry_on: \"unavailable,connect-failure,reset\", num_retries: 1}}",
};
pub(super) static RETRY_SAME_HOST: Ill = Ill {
    code: "retry_same_host",
    harm: Broken,
    why: "the second try may go to the replica that failed",
    fix: "retry_host_predicate with envoy.retry_host_predicates.previous_hosts",
};
pub(super) static RETRY_LATE: Ill = Ill {
    code: "retry_late",
    harm: Broken,
    why: "the second try comes after the timeout; Envoy's default waits up to 1 s",
    fix: "retry_back_off: {base_interval: 0.01s}",
};
pub(super) static RETRY_CUTS: Ill = Ill {
    code: "retry_cuts",
    harm: Broken,
    why: "Envoy 1.40 takes it for the time of one try",
    fix: "retry_back_off: {max_interval: …}, not below the timeout",
};
pub(super) static NO_BODY: Ill = Ill {
    code: "no_body",
    harm: Broken,
    why: "keys are read from bodies, and Envoy sends none",
    fix: "with_request_body: {max_request_bytes: 262144, allow_partial_message: true, pack_as_bytes: true}",
};
pub(super) static BODY_TOO_LARGE: Ill = Ill {
    code: "body_too_large",
    harm: Broken,
    why: "Doorward denies a check of that size (`check_too_large`)",
    fix: "a smaller max_request_bytes, or a larger `limits.check_bytes`",
};
pub(super) static BODY_BUFFER: Ill = Ill {
    code: "body_buffer",
    harm: Broken,
    why: "a listener keeps 1 MiB of a request, so a larger body is a 413 before anybody is asked",
    fix: "a smaller max_request_bytes, or a larger per_connection_buffer_limit_bytes",
};
pub(super) static CORS_LATE: Ill = Ill {
    code: "cors_late",
    harm: Broken,
    why: "a browser's preflight carries no credential, and is denied",
    fix: "put the cors filter before it",
};
pub(super) static RATE_LIMIT_EARLY: Ill = Ill {
    code: "rate_limit_early",
    harm: Broken,
    why: "limits cannot count by consumer, because nobody knows yet who calls",
    fix: "put the rate limit after it",
};
pub(super) static NO_CLUSTER: Ill = Ill {
    code: "no_cluster",
    harm: Broken,
    why: "every check fails",
    fix: "name the cluster that leads to Doorward",
};
pub(super) static HTTP2: Ill = Ill {
    code: "http2",
    harm: Broken,
    why: "gRPC is HTTP/2: every check fails",
    fix: "explicit_http_config: {http2_protocol_options: {}}",
};
pub(super) static HEALTH_CHECK: Ill = Ill {
    code: "health_check",
    harm: Broken,
    why: "a replica that hangs keeps its share of requests, and one that drains is asked until its connections end",
    fix: "health_checks with grpc_health_check, as in envoy/hardened.yaml",
};
pub(super) static HEALTH_SERVICE: Ill = Ill {
    code: "health_service",
    harm: Broken,
    why: "it asks whether Doorward is alive, not whether it is ready; a name that Doorward does not know never is",
    fix: "service_name: envoy.service.auth.v3.Authorization",
};
pub(super) static HEALTH_INTERVAL: Ill = Ill {
    code: "health_interval",
    harm: Broken,
    why: "a replica that drains has closed its connections (after `drain_delay`, 5 s) before Envoy notices",
    fix: "interval: 1s, unhealthy_threshold: 2",
};
pub(super) static HEALTH_IDLE: Ill = Ill {
    code: "health_idle",
    harm: Broken,
    why: "without traffic so far, Envoy asks only so often, 60 s by default, and misses a drain",
    fix: "no_traffic_interval, as `interval`",
};
pub(super) static PANIC: Ill = Ill {
    code: "panic",
    harm: Broken,
    why: "when half of the replicas are out, Envoy asks all of them again, also those that said they cannot answer",
    fix: "common_lb_config: {healthy_panic_threshold: {value: 0}}",
};
pub(super) static OUTLIERS: Ill = Ill {
    code: "outliers",
    harm: Broken,
    why: "between two health checks a replica that fails goes on being asked",
    fix: "outlier_detection, as in envoy/hardened.yaml",
};
pub(super) static BREAKERS: Ill = Ill {
    code: "breakers",
    harm: Broken,
    why: "more checks at once than that are refused by Envoy itself, with 403",
    fix: "circuit_breakers: {thresholds: [{max_requests: 10000, max_pending_requests: 10000, max_retries: 100}]}",
};
pub(super) static TIMEOUT_LONG: Ill = Ill {
    code: "timeout_long",
    harm: Slow,
    why: "a Doorward that hangs holds each request for so long; 0s is for ever",
    fix: "grpc_service: {timeout: 0.5s}",
};
pub(super) static GOOGLE_GRPC: Ill = Ill {
    code: "google_grpc",
    harm: Slow,
    why: "the other client of Envoy takes two to three times as long, and knows none of the cluster's settings",
    fix: "envoy_grpc: {cluster_name: doorward}",
};
pub(super) static OVER_HTTP: Ill = Ill {
    code: "over_http",
    harm: Slow,
    why: "over HTTP a check costs more, a route cannot name its service, and a 5xx is an error to Envoy",
    fix: "grpc_service, as in envoy/hardened.yaml",
};
pub(super) static ONE_ADDRESS: Ill = Ill {
    code: "one_address",
    harm: Slow,
    why: "one address at a time: other replicas are idle",
    fix: "type: STRICT_DNS",
};
