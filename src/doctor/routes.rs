//! What routes make of a filter that stands in front of all of them.

use serde_json::Value;

use super::edge::unstripped;
use super::field::{at, is_a, is_true, list, text};
use super::finding::Findings;
use super::ills;
use super::ours::Ours;
use super::reading::{Asking, Envoy};

pub(super) fn examine(asking: &Asking<'_>, ours: &Ours, envoy: &Envoy, findings: &mut Findings) {
    let mut unasked = asking.may_pass_unasked();
    for part in envoy.routes(asking.manager).map(parts).unwrap_or_default() {
        unasked |= is_off(&part, asking) && !leads_to_doorward(&part, asking, envoy);
        headers(&part, ours, findings);
        names(&part, asking, findings);
    }
    let open = unstripped(asking, ours);
    if unasked && !open.is_empty() {
        let found = format!("a client's {}", open.join(", "));
        findings.add(format!("listener `{}`", asking.listener), &ills::IDENTITY_HEADERS, &found);
    }
}

/// A route, a virtual host or a whole table: each may have settings of filters.
struct Part<'e> {
    place: String,
    value: &'e Value,
}

fn parts(table: &Value) -> Vec<Part<'_>> {
    let mut parts = vec![Part { place: "the routes".into(), value: table }];
    for host in list(table, "virtual_hosts") {
        let name = text(host, "name").unwrap_or_default();
        parts.push(Part { place: format!("virtual host `{name}`"), value: host });
        for (index, route) in list(host, "routes").iter().enumerate() {
            let place = format!("route {} of virtual host `{name}`", index + 1);
            parts.push(Part { place, value: route });
        }
    }
    parts
}

/// Settings for filters, by the filter's name.
fn settings<'e>(part: &Part<'e>) -> impl Iterator<Item = (&'e str, &'e Value)> {
    let settings = at(part.value, "typed_per_filter_config").as_object().into_iter().flatten();
    settings.map(|(name, value)| {
        // Perhaps wrapped, with `is_optional` or `disabled` around it.
        let inner = at(value, "config");
        (name.as_str(), if inner.is_object() && !is_true(value, "disabled") { inner } else { value })
    })
}

fn is_off(part: &Part<'_>, asking: &Asking<'_>) -> bool {
    settings(part).any(|(name, value)| name == asking.name() && is_true(value, "disabled"))
}

/// Whether what comes of a route is Doorward's own: logins and tokens, which believe no identity header.
fn leads_to_doorward(part: &Part<'_>, asking: &Asking<'_>, envoy: &Envoy) -> bool {
    let hosts = |cluster: Option<&str>| cluster.map(|name| envoy.hosts(name)).unwrap_or_default();
    let (own, asked) = (hosts(text(part.value, "route.cluster")), hosts(asking.cluster()));
    !own.is_empty() && own.is_subset(&asked)
}

/// The router acts after Doorward: what it removes or adds is what the upstream sees.
fn headers(part: &Part<'_>, ours: &Ours, findings: &mut Findings) {
    let is_ours = |name: &str| ours.headers.iter().any(|header| header.eq_ignore_ascii_case(name));
    let removed = list(part.value, "request_headers_to_remove").iter().filter_map(Value::as_str);
    for name in removed.filter(|name| is_ours(name)) {
        findings.add(&part.place, &ills::ROUTE_HEADERS, &format!("request_headers_to_remove: {name}"));
    }
    let added =
        list(part.value, "request_headers_to_add").iter().filter_map(|entry| text(entry, "header.key"));
    for name in added.filter(|name| is_ours(name)) {
        findings.add(&part.place, &ills::ROUTE_HEADERS, &format!("request_headers_to_add: {name}"));
    }
}

fn names(part: &Part<'_>, asking: &Asking<'_>, findings: &mut Findings) {
    let known = |name: &str| asking.filters.iter().any(|filter| text(filter, "name") == Some(name));
    for (name, _) in settings(part).filter(|(name, value)| is_a(value, "ExtAuthzPerRoute") && !known(name)) {
        findings.add(&part.place, &ills::ROUTE_FILTER_NAME, &format!("settings for `{name}`"));
    }
}
