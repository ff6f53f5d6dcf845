//! The filter that asks.

use std::time::Duration;

use serde_json::Value;

use super::asking::Asking;
use super::field::{at, duration, is_a, is_true, list, matches, number, shown, text};
use super::finding::{Findings, Ill};
use super::ills;
use super::ours::Ours;
use super::reading::Envoy;

/// Less leaves no room for a second try, and none for a signature that is verified for the first time.
const SHORT: Duration = Duration::from_millis(300);

/// More, and a Doorward that hangs holds requests for longer than their callers wait.
const LONG: Duration = Duration::from_secs(5);

/// Whose word Istio has Envoy ask by.
const RBAC: &str = "envoy.filters.http.rbac";

/// Envoy's, where none is written.
const BASE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn examine(asking: &Asking<'_, '_>, ours: &Ours, envoy: &Envoy, findings: &mut Findings) {
    let place = asking.place();
    let mut add = |ill, found: &str| findings.add(&place, ill, found);
    order(asking, ours, envoy, &mut add);
    if asking.authz.is_null() {
        return add(&ills::UNSEEN, "config_discovery");
    }
    passing(asking, &mut add);
    telling(asking.authz, ours, &mut add);
    if asking.over_http() {
        add(&ills::OVER_HTTP, "http_service");
        over_http(asking.authz, ours, &mut add);
    } else {
        grpc(asking, &mut add);
    }
    timeout(asking, &mut add);
    bodies(asking, ours, &mut add);
}

/// What lets requests pass.
fn passing(asking: &Asking<'_, '_>, add: &mut impl FnMut(&'static Ill, &str)) {
    let authz = asking.authz;
    if is_true(authz, "failure_mode_allow") {
        add(&ills::FAIL_OPEN, "failure_mode_allow: true");
    }
    if let Some(share) = share(at(authz, "filter_enabled.default_value")) {
        add(&ills::NOT_EVERY_REQUEST, &format!("filter_enabled: {share} %"));
    }
    // Istio has its own filter choose, by the rules of a policy.
    let chooser = "filter_enabled_metadata.filter";
    if !at(authz, "filter_enabled_metadata").is_null() {
        let found = format!("filter_enabled_metadata: {}", shown(authz, chooser));
        match text(authz, chooser) {
            Some(RBAC) if chosen_before(asking) => {}
            Some(RBAC) => add(&ills::NOT_EVERY_REQUEST, &format!("{found}, and no such filter before it")),
            _ => add(&ills::NOT_EVERY_REQUEST, &found),
        }
    }
    for matcher in ["xds_matcher", "matcher"] {
        if !at(asking.filter(), "typed_config").get(matcher).is_none_or(Value::is_null) {
            add(&ills::NOT_EVERY_REQUEST, matcher);
        }
    }
    if is_true(authz, "shadow_mode") {
        add(&ills::TOLD_ONLY, "shadow_mode: true");
    }
    if is_true(authz, "clear_route_cache") {
        add(&ills::ROUTE_CACHE, "clear_route_cache: true");
    }
    if !list(authz, "clear_route_cache_headers").is_empty() {
        add(&ills::ROUTE_CACHE, "clear_route_cache_headers");
    }
}

/// Whether a filter before this one says which requests are asked about: one that tries rules, and tells.
fn chosen_before(asking: &Asking<'_, '_>) -> bool {
    let before = asking.manager.filters[..asking.index].iter().map(|filter| at(filter, "typed_config"));
    let tells =
        |rbac: &Value| ["shadow_rules", "shadow_matcher"].iter().any(|name| !at(rbac, name).is_null());
    before.into_iter().any(|settings| is_a(settings, "rbac.v3.RBAC") && tells(settings))
}

/// What Doorward is told, and what it tells.
fn telling(authz: &Value, ours: &Ours, add: &mut impl FnMut(&'static Ill, &str)) {
    if !is_true(authz, "encode_raw_headers") {
        add(&ills::RAW_HEADERS, &shown(authz, "encode_raw_headers"));
    }
    if !is_true(authz, "validate_mutations") {
        add(&ills::VALIDATE_MUTATIONS, &shown(authz, "validate_mutations"));
    }
    if let Some(rule) = refuses(at(authz, "decoder_header_mutation_rules"), ours) {
        add(&ills::MUTATION_RULES, &rule);
    }
    if at(authz, "enable_dynamic_metadata_ingestion") == &Value::Bool(false) {
        add(&ills::METADATA, "enable_dynamic_metadata_ingestion: false");
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
}

/// The rule by which Envoy would not set or remove a header of ours.
fn refuses(rules: &Value, ours: &Ours) -> Option<String> {
    // Services in the store have headers of their own: no list is known to have all of them.
    if is_true(rules, "disallow_all") && text(rules, "allow_expression.regex") != Some(".*") {
        return Some("disallow_all: true".into());
    }
    let expression = text(rules, "disallow_expression.regex")?;
    let hit = ours.changed().any(|header| may_match(expression, header));
    hit.then(|| format!("disallow_expression: {expression}"))
}

/// Whether a header may match an expression, judged by what each of its alternatives begins with.
fn may_match(expression: &str, header: &str) -> bool {
    let literal = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    expression.split('|').any(|alternative| {
        let alternative = alternative.trim_start_matches('^');
        let end = alternative.find(|letter| !literal(letter)).unwrap_or(alternative.len());
        let (start, rest) = alternative.split_at(end);
        let needed = if rest.starts_with(['?', '*', '{']) { end.saturating_sub(1) } else { end };
        header.starts_with(&start[..needed])
    })
}

/// Which headers pass between the two, where each has a list.
fn over_http(authz: &Value, ours: &Ours, add: &mut impl FnMut(&'static Ill, &str)) {
    let listed = |lists: &[Value], name: &str| lists.iter().any(|one| matches(one, name) != Some(false));
    let taken = list(authz, "http_service.authorization_response.allowed_upstream_headers.patterns");
    let left: Vec<&str> =
        ours.headers.iter().map(String::as_str).filter(|name| !listed(taken, name)).collect();
    if !left.is_empty() {
        add(&ills::UPSTREAM_HEADERS, &format!("allowed_upstream_headers without {}", left.join(", ")));
    }
    let (shown, kept) = (list(authz, "allowed_headers.patterns"), list(authz, "disallowed_headers.patterns"));
    // Envoy sends this one by itself.
    let seen = |name: &str| (name == "authorization" || listed(shown, name)) && !listed(kept, name);
    let missing: Vec<&str> = ours.reads.iter().map(String::as_str).filter(|name| !seen(name)).collect();
    if !missing.is_empty() {
        add(&ills::HEADERS_MISSING, &format!("allowed_headers without {}", missing.join(", ")));
    }
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

fn grpc(asking: &Asking<'_, '_>, add: &mut impl FnMut(&'static Ill, &str)) {
    let service = at(asking.authz, "grpc_service");
    for hiding in ["allowed_headers", "disallowed_headers"] {
        if !at(asking.authz, hiding).is_null() {
            add(&ills::HEADERS_HIDDEN, hiding);
        }
    }
    if !at(service, "google_grpc").is_null() {
        add(&ills::GOOGLE_GRPC, "google_grpc");
    }
    retry(at(service, "retry_policy"), asking.timeout(), add);
}

fn timeout(asking: &Asking<'_, '_>, add: &mut impl FnMut(&'static Ill, &str)) {
    let service = ["grpc_service", "http_service.server_uri"].map(|name| at(asking.authz, name));
    let found = shown(service[usize::from(asking.over_http())], "timeout");
    match asking.timeout() {
        Some(timeout) if timeout < SHORT => add(&ills::TIMEOUT_SHORT, &found),
        Some(timeout) if timeout > LONG => add(&ills::TIMEOUT_LONG, &found),
        Some(_) => {}
        None => add(&ills::TIMEOUT_LONG, "timeout: 0s"),
    }
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

fn bodies(asking: &Asking<'_, '_>, ours: &Ours, add: &mut impl FnMut(&'static Ill, &str)) {
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
    if most > asking.manager.buffer_bytes {
        add(
            &ills::BODY_BUFFER,
            &format!("{found}; per_connection_buffer_limit_bytes: {}", asking.manager.buffer_bytes),
        );
    }
}

fn order(asking: &Asking<'_, '_>, ours: &Ours, envoy: &Envoy, add: &mut impl FnMut(&'static Ill, &str)) {
    for (index, filter) in asking.manager.filters.iter().enumerate() {
        let settings = at(filter, "typed_config");
        let name = text(filter, "name").unwrap_or_default();
        if index > asking.index && is_a(settings, "Cors") {
            add(&ills::CORS_LATE, &format!("`{name}` comes after it"));
        }
        let limits = || envoy.routes(asking.manager.settings).is_some_and(|table| by_caller(table, ours));
        if index < asking.index && is_a(settings, "RateLimit") && (by_caller(settings, ours) || limits()) {
            add(&ills::RATE_LIMIT_EARLY, &format!("`{name}` comes before it"));
        }
        if index < asking.index && is_a(settings, "Router") {
            add(&ills::NOT_EVERY_REQUEST, &format!("`{name}` comes before it"));
        }
    }
}

/// Whether rate limits below count by who calls: by what Doorward sets, as header or as metadata.
fn by_caller(value: &Value, ours: &Ours) -> bool {
    let limits = list(value, "rate_limits").iter().flat_map(|limit| list(limit, "actions"));
    let header = |action: &Value| text(action, "request_headers.header_name").map(str::to_ascii_lowercase);
    let told = |action: &Value| {
        !at(action, "metadata").is_null()
            || !at(action, "dynamic_metadata").is_null()
            || header(action).is_some_and(|name| ours.headers.contains(&name))
    };
    let inside = |inner: &Value| by_caller(inner, ours);
    limits.into_iter().any(told)
        || value.as_object().is_some_and(|fields| fields.values().any(inside))
        || value.as_array().is_some_and(|items| items.iter().any(inside))
}
