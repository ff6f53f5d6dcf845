//! Mistakes by which somebody does not pass who should, or by which answers are late.

use super::super::finding::Harm::{Broken, Slow};
use super::super::finding::Ill;

pub static STATUS_ON_ERROR: Ill = Ill {
    code: "status_on_error",
    harm: Broken,
    why: "an outage answers 403, as if the caller were not allowed",
    fix: "status_on_error: {code: 503}",
};
pub static API_VERSION: Ill = Ill {
    code: "api_version",
    harm: Broken,
    why: "Envoy asks by an older interface, or does not start",
    fix: "transport_api_version: V3",
};
pub static CONNECTIONS: Ill = Ill {
    code: "connections",
    harm: Broken,
    why: "it asks about connections, and Doorward denies what is no request",
    fix: "the filter envoy.filters.http.ext_authz, in `http_filters`",
};
pub static TIMEOUT_SHORT: Ill = Ill {
    code: "timeout_short",
    harm: Broken,
    why: "a pause of Doorward's or a second try does not fit into it; Envoy's default is 0.2 s",
    fix: "grpc_service: {timeout: 0.5s}",
};
pub static CONNECT_TIMEOUT: Ill = Ill {
    code: "connect_timeout",
    harm: Broken,
    why: "connecting to one replica takes all the time there is, so no other is tried; Envoy's default is 5 s",
    fix: "connect_timeout: 0.25s",
};
pub static NO_RETRY: Ill = Ill {
    code: "no_retry",
    harm: Broken,
    why: "a replica that goes away costs the requests that were with it",
    fix: "grpc_service: {retry_policy: {retry_on: \"unavailable,connect-failure,reset\", num_retries: 1}}",
};
pub static RETRY_SAME_HOST: Ill = Ill {
    code: "retry_same_host",
    harm: Broken,
    why: "the second try may go to the replica that failed",
    fix: "retry_host_predicate with envoy.retry_host_predicates.previous_hosts",
};
pub static RETRY_LATE: Ill = Ill {
    code: "retry_late",
    harm: Broken,
    why: "the second try comes after the timeout; Envoy's default waits up to 1 s",
    fix: "retry_back_off: {base_interval: 0.01s}",
};
pub static RETRY_CUTS: Ill = Ill {
    code: "retry_cuts",
    harm: Broken,
    why: "Envoy 1.40 takes it for the time of one try",
    fix: "retry_back_off: {max_interval: …}, not below the timeout",
};
pub static NO_BODY: Ill = Ill {
    code: "no_body",
    harm: Broken,
    why: "keys are read from bodies, and Envoy sends none",
    fix: "with_request_body: {max_request_bytes: 262144, allow_partial_message: true, pack_as_bytes: true}",
};
pub static HEADERS_MISSING: Ill = Ill {
    code: "headers_missing",
    harm: Broken,
    why: "over HTTP Envoy shows only what is listed, so what stands in other headers is not found",
    fix: "allowed_headers with all that Doorward reads, as in envoy/http.yaml",
};
pub static BODY_TOO_LARGE: Ill = Ill {
    code: "body_too_large",
    harm: Broken,
    why: "Doorward denies a check of that size (`check_too_large`)",
    fix: "a smaller max_request_bytes, or a larger `limits.check_bytes`",
};
pub static BODY_BUFFER: Ill = Ill {
    code: "body_buffer",
    harm: Broken,
    why: "a listener keeps 1 MiB of a request, so a larger body is a 413 before anybody is asked",
    fix: "a smaller max_request_bytes, or a larger per_connection_buffer_limit_bytes",
};
pub static CORS_LATE: Ill = Ill {
    code: "cors_late",
    harm: Broken,
    why: "a browser's preflight carries no credential, and is denied",
    fix: "put the cors filter before it",
};
pub static RATE_LIMIT_EARLY: Ill = Ill {
    code: "rate_limit_early",
    harm: Broken,
    why: "limits cannot count by consumer, because nobody knows yet who calls",
    fix: "put the rate limit after it",
};
pub static METADATA: Ill = Ill {
    code: "metadata",
    harm: Broken,
    why: "rate limits and access logs are not told who called",
    fix: "leave `enable_dynamic_metadata_ingestion` out",
};
pub static NO_CLUSTER: Ill = Ill {
    code: "no_cluster",
    harm: Broken,
    why: "every check fails",
    fix: "name the cluster that leads to Doorward",
};
pub static HTTP2: Ill = Ill {
    code: "http2",
    harm: Broken,
    why: "gRPC is HTTP/2: every check fails",
    fix: "explicit_http_config: {http2_protocol_options: {}}",
};
pub static HEALTH_CHECK: Ill = Ill {
    code: "health_check",
    harm: Broken,
    why: "a replica that hangs keeps its share of requests, and one that drains is asked until its connections end",
    fix: "health_checks with grpc_health_check, as in envoy/hardened.yaml",
};
pub static HEALTH_SERVICE: Ill = Ill {
    code: "health_service",
    harm: Broken,
    why: "it asks whether Doorward is alive, not whether it is ready; a name that Doorward does not know never is",
    fix: "service_name: envoy.service.auth.v3.Authorization",
};
pub static HEALTH_INTERVAL: Ill = Ill {
    code: "health_interval",
    harm: Broken,
    why: "a replica that drains has closed its connections (after `drain_delay`) before Envoy notices",
    fix: "interval: 1s, unhealthy_threshold: 2",
};
pub static HEALTH_IDLE: Ill = Ill {
    code: "health_idle",
    harm: Broken,
    why: "without traffic so far, Envoy asks only so often, 60 s by default, and misses a drain",
    fix: "no_traffic_interval, as `interval`",
};
pub static PANIC: Ill = Ill {
    code: "panic",
    harm: Broken,
    why: "when half of the replicas are out, Envoy asks all of them again, also those that said they cannot answer",
    fix: "common_lb_config: {healthy_panic_threshold: {value: 0}}",
};
pub static OUTLIERS: Ill = Ill {
    code: "outliers",
    harm: Broken,
    why: "between two health checks a replica that fails goes on being asked",
    fix: "outlier_detection, as in envoy/hardened.yaml",
};
pub static BREAKERS: Ill = Ill {
    code: "breakers",
    harm: Broken,
    why: "more checks at once than that are refused by Envoy itself, with 403",
    fix: "circuit_breakers: {thresholds: [{max_requests: 10000, max_pending_requests: 10000, max_retries: 100}]}",
};
pub static TIMEOUT_LONG: Ill = Ill {
    code: "timeout_long",
    harm: Slow,
    why: "a Doorward that hangs holds each request for so long; 0s is for ever",
    fix: "grpc_service: {timeout: 0.5s}",
};
pub static GOOGLE_GRPC: Ill = Ill {
    code: "google_grpc",
    harm: Slow,
    why: "the other client of Envoy takes two to three times as long, and knows none of the cluster's settings",
    fix: "envoy_grpc: {cluster_name: doorward}",
};
pub static OVER_HTTP: Ill = Ill {
    code: "over_http",
    harm: Slow,
    why: "over HTTP a check costs more, a route cannot name its service, and a 5xx is an error to Envoy",
    fix: "grpc_service, as in envoy/hardened.yaml",
};
pub static ONE_ADDRESS: Ill = Ill {
    code: "one_address",
    harm: Slow,
    why: "one address at a time: other replicas are idle",
    fix: "type: STRICT_DNS",
};
