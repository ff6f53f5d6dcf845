//! The filter that asks.

use std::time::Duration;

use serde_json::Value;

use super::field::{at, duration, is_a, is_true, list, number, shown, text};
use super::finding::{Findings, Ill};
use super::ills;
use super::ours::Ours;
use super::reading::Asking;

/// Less leaves no room for a second try, and none for a signature that is verified for the first time.
const SHORT: Duration = Duration::from_millis(300);

/// More, and a Doorward that hangs holds requests for longer than their callers wait.
const LONG: Duration = Duration::from_secs(5);

/// Envoy's, where none is written.
const BASE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn examine(asking: &Asking<'_>, ours: &Ours, findings: &mut Findings) {
    let (place, authz) = (asking.place(), asking.authz);
    let mut add = |ill, found: &str| findings.add(&place, ill, found);
    if is_true(authz, "failure_mode_allow") {
        add(&ills::FAIL_OPEN, "failure_mode_allow: true");
    }
    if is_true(&asking.filters[asking.index], "disabled") {
        add(&ills::NOT_EVERY_REQUEST, "disabled: true");
    }
    if let Some(share) = share(at(authz, "filter_enabled.default_value")) {
        add(&ills::NOT_EVERY_REQUEST, &format!("filter_enabled: {share} %"));
    }
    if is_true(authz, "shadow_mode") {
        add(&ills::TOLD_ONLY, "shadow_mode: true");
    }
    for hiding in ["allowed_headers", "disallowed_headers"] {
        if !at(authz, hiding).is_null() {
            add(&ills::HEADERS_HIDDEN, hiding);
        }
    }
    if !is_true(authz, "encode_raw_headers") {
        add(&ills::RAW_HEADERS, &shown(authz, "encode_raw_headers"));
    }
    if !is_true(authz, "validate_mutations") {
        add(&ills::VALIDATE_MUTATIONS, &shown(authz, "validate_mutations"));
    }
    if is_true(authz, "clear_route_cache") {
        add(&ills::ROUTE_CACHE, "clear_route_cache: true");
    }
    // Named or numbered; without one Envoy says 403.
    let status = at(authz, "status_on_error.code");
    let named = |name: &str| name.starts_with("Service") || name.starts_with("Internal");
    if !(status.as_u64().is_some_and(|code| code >= 500) || status.as_str().is_some_and(named)) {
        add(&ills::STATUS_ON_ERROR, &shown(authz, "status_on_error.code"));
    }
    if text(authz, "transport_api_version") != Some("V3") {
        add(&ills::API_VERSION, &shown(authz, "transport_api_version"));
    }
    if !at(authz, "http_service").is_null() {
        add(&ills::OVER_HTTP, "http_service");
    } else {
        grpc(asking, &mut add);
    }
    bodies(asking, ours, &mut add);
    order(asking, &mut add);
}

/// The share of requests that are asked about, in percent; none where it is all of them.
fn share(fraction: &Value) -> Option<f64> {
    let parts = match text(fraction, "denominator") {
        Some("TEN_THOUSAND") => 10_000.0,
        Some("MILLION") => 1_000_000.0,
        _ => 100.0,
    };
    let numerator = at(fraction, "numerator").as_f64().or(fraction.is_object().then_some(0.0))?;
    let percent = numerator / parts * 100.0;
    (percent < 100.0).then_some(percent)
}

fn grpc(asking: &Asking<'_>, add: &mut impl FnMut(&'static Ill, &str)) {
    let service = at(asking.authz, "grpc_service");
    if !at(service, "google_grpc").is_null() {
        add(&ills::GOOGLE_GRPC, "google_grpc");
    }
    match asking.timeout() {
        Some(timeout) if timeout < SHORT => add(&ills::TIMEOUT_SHORT, &shown(service, "timeout")),
        Some(timeout) if timeout > LONG => add(&ills::TIMEOUT_LONG, &shown(service, "timeout")),
        Some(_) => {}
        None => add(&ills::TIMEOUT_LONG, "timeout: 0s"),
    }
    retry(at(service, "retry_policy"), asking.timeout(), add);
}

fn retry(policy: &Value, timeout: Option<Duration>, add: &mut impl FnMut(&'static Ill, &str)) {
    let reasons = text(policy, "retry_on").unwrap_or_default();
    if !reasons.contains("unavailable") || number(policy, "num_retries") == Some(0) {
        add(&ills::NO_RETRY, &shown(policy, "retry_on"));
        return;
    }
    let previous = |predicate: &Value| is_a(at(predicate, "typed_config"), "PreviousHostsPredicate");
    if !list(policy, "retry_host_predicate").iter().any(previous) {
        add(&ills::RETRY_SAME_HOST, &shown(policy, "retry_host_predicate"));
    }
    let Some(timeout) = timeout else { return };
    if duration(policy, "retry_back_off.base_interval").unwrap_or(BASE_INTERVAL) >= timeout {
        add(&ills::RETRY_LATE, &shown(policy, "retry_back_off.base_interval"));
    }
    if duration(policy, "retry_back_off.max_interval").is_some_and(|longest| longest < timeout) {
        add(&ills::RETRY_CUTS, &shown(policy, "retry_back_off.max_interval"));
    }
}

fn bodies(asking: &Asking<'_>, ours: &Ours, add: &mut impl FnMut(&'static Ill, &str)) {
    let body = at(asking.authz, "with_request_body");
    if body.is_null() {
        if ours.bodies {
            add(&ills::NO_BODY, "no with_request_body");
        }
        return;
    }
    let most = number(body, "max_request_bytes").unwrap_or_default();
    let found = shown(body, "max_request_bytes");
    if most >= ours.check_bytes {
        add(&ills::BODY_TOO_LARGE, &format!("{found}; limits.check_bytes: {}", ours.check_bytes));
    }
    if most > asking.buffer_bytes {
        add(
            &ills::BODY_BUFFER,
            &format!("{found}; per_connection_buffer_limit_bytes: {}", asking.buffer_bytes),
        );
    }
}

fn order(asking: &Asking<'_>, add: &mut impl FnMut(&'static Ill, &str)) {
    for (index, filter) in asking.filters.iter().enumerate() {
        let settings = at(filter, "typed_config");
        let name = text(filter, "name").unwrap_or_default();
        if index > asking.index && is_a(settings, "Cors") {
            add(&ills::CORS_LATE, &format!("`{name}` comes after it"));
        }
        if index < asking.index && is_a(settings, "RateLimit") {
            add(&ills::RATE_LIMIT_EARLY, &format!("`{name}` comes before it"));
        }
        if index < asking.index && is_a(settings, "Router") {
            add(&ills::NOT_EVERY_REQUEST, &format!("`{name}` comes before it"));
        }
    }
}
