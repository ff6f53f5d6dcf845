//! The cluster that is asked: the way to Doorward's replicas.

use std::time::Duration;

use serde_json::Value;

use super::asking::Asking;
use super::field::{at, duration, is_a, list, number, shown, text};
use super::finding::{Findings, Ill};
use super::ills;
use super::ours::Ours;
use super::reading::Envoy;

/// Envoy's, where none is written.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const NO_TRAFFIC_INTERVAL: Duration = Duration::from_secs(60);

/// Ready to decide, and not merely alive.
const SERVICE: &str = "envoy.service.auth.v3.Authorization";

pub(super) fn examine(
    envoy: &Envoy,
    name: &str,
    (asking, ours): (&Asking<'_, '_>, &Ours),
    findings: &mut Findings,
) {
    let place = format!("cluster `{name}`");
    let cluster = match envoy.cluster(name) {
        Ok(cluster) => cluster,
        Err(true) => return findings.add(place, &ills::NO_CLUSTER, "there is none of this name"),
        Err(false) => return,
    };
    let mut add = |ill, found: &str| findings.add(&place, ill, found);
    if !asking.over_http() && !speaks_http2(cluster) {
        add(&ills::HTTP2, "no http2_protocol_options");
    }
    if text(cluster, "type") == Some("LOGICAL_DNS") {
        add(&ills::ONE_ADDRESS, "type: LOGICAL_DNS");
    }
    let connect = duration(cluster, "connect_timeout").unwrap_or(CONNECT_TIMEOUT);
    if asking.timeout().is_some_and(|timeout| connect >= timeout) {
        add(&ills::CONNECT_TIMEOUT, &shown(cluster, "connect_timeout"));
    }
    // Whoever tells Envoy about endpoints tells it about their health, too. At `/check` there is no word of health.
    if !asking.over_http() && text(cluster, "type") != Some("EDS") {
        health(cluster, ours, &mut add);
    }
    if at(cluster, "outlier_detection").is_null() {
        add(&ills::OUTLIERS, "no outlier_detection");
    }
    breakers(cluster, &mut add);
    tls(at(cluster, "transport_socket.typed_config"), &mut add);
}

fn speaks_http2(cluster: &Value) -> bool {
    let options = at(cluster, "typed_extension_protocol_options")
        .get("envoy.extensions.upstreams.http.v3.HttpProtocolOptions")
        .unwrap_or(&Value::Null);
    !at(cluster, "http2_protocol_options").is_null()
        || !at(options, "explicit_http_config.http2_protocol_options").is_null()
        // As TLS agrees, to which h2 is offered.
        || at(options, "auto_config").is_object()
            && is_a(at(cluster, "transport_socket.typed_config"), "UpstreamTlsContext")
}

fn health(cluster: &Value, ours: &Ours, add: &mut impl FnMut(&'static Ill, &str)) {
    let checks = list(cluster, "health_checks");
    let Some(check) = checks.iter().find(|check| !at(check, "grpc_health_check").is_null()) else {
        let found = if checks.is_empty() { "no health_checks" } else { "none by grpc_health_check" };
        return add(&ills::HEALTH_CHECK, found);
    };
    let service = "grpc_health_check.service_name";
    if text(check, service) != Some(SERVICE) {
        add(&ills::HEALTH_SERVICE, &shown(check, service));
    }
    let interval = duration(check, "interval").unwrap_or_default();
    let failures = u32::try_from(number(check, "unhealthy_threshold").unwrap_or(1)).unwrap_or(u32::MAX);
    if interval.saturating_mul(failures) >= ours.drain_delay {
        add(&ills::HEALTH_INTERVAL, &format!("{}, {failures} times", shown(check, "interval")));
    }
    if duration(check, "no_traffic_interval").unwrap_or(NO_TRAFFIC_INTERVAL) > interval {
        add(&ills::HEALTH_IDLE, &shown(check, "no_traffic_interval"));
    }
    let threshold = at(cluster, "common_lb_config.healthy_panic_threshold");
    // A dump leaves out what is zero.
    if !threshold.is_object() || at(threshold, "value").as_f64().unwrap_or_default() != 0.0 {
        add(&ills::PANIC, &shown(cluster, "common_lb_config.healthy_panic_threshold"));
    }
}

fn breakers(cluster: &Value, add: &mut impl FnMut(&'static Ill, &str)) {
    let thresholds = list(cluster, "circuit_breakers.thresholds");
    let usual = |entry: &&Value| !matches!(text(entry, "priority"), Some("HIGH"));
    let entry = thresholds.iter().find(usual).unwrap_or(&Value::Null);
    // Each with the default that stands where nothing is written.
    for (name, default) in [("max_requests", 1024), ("max_pending_requests", 1024), ("max_retries", 3)] {
        // With a budget Envoy passes over `max_retries`.
        if name == "max_retries" && !at(entry, "retry_budget").is_null() {
            continue;
        }
        if number(entry, name).unwrap_or(default) <= default {
            add(&ills::BREAKERS, &shown(entry, name));
        }
    }
}

fn tls(socket: &Value, add: &mut impl FnMut(&'static Ill, &str)) {
    if !is_a(socket, "UpstreamTlsContext") {
        return;
    }
    let common = at(socket, "common_tls_context");
    let context = match at(common, "combined_validation_context.default_validation_context") {
        Value::Null => at(common, "validation_context"),
        combined => combined,
    };
    // From elsewhere: not to be seen here.
    let elsewhere = !at(common, "validation_context_sds_secret_config").is_null();
    let named = ["match_typed_subject_alt_names", "match_subject_alt_names"]
        .iter()
        .any(|names| !list(context, names).is_empty())
        || at(socket, "auto_sni_san_validation") == &Value::Bool(true);
    let trusted = !at(context, "trusted_ca").is_null()
        || !at(context, "system_root_certs").is_null()
        || !at(common, "combined_validation_context.validation_context_sds_secret_config").is_null();
    if !(elsewhere || named && trusted) {
        let found = if trusted { "no match_typed_subject_alt_names" } else { "no trusted_ca" };
        add(&ills::UNVERIFIED, found);
    }
}
