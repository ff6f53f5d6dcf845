//! What routes make of a filter that stands in front of all of them.

use serde_json::Value;

use super::asking::{Asking, asked_cluster};
use super::cluster;
use super::edge::unstripped;
use super::field::{at, is_a, list, text};
use super::finding::Findings;
use super::ills;
use super::ours::Ours;
use super::reading::Envoy;
use super::ways::{Part, Ways, parts, settings};

pub(super) fn examine(
    asking: &Asking<'_, '_>,
    ours: &Ours,
    (envoy, ways): (&Envoy, &Ways<'_>),
    findings: &mut Findings,
) {
    for part in envoy.routes(asking.manager.settings).map(parts).unwrap_or_default() {
        headers(&part, ours, findings);
        names(&part, asking, findings);
        for (_, own) in settings(&part).filter(|(name, _)| *name == asking.name()) {
            let place = (part.place.as_str(), asking);
            elsewhere(place, at(own, "check_settings"), (envoy, ours), findings);
        }
    }
    let open = unstripped(asking, ours);
    let unasked = asking.may_pass_unasked() || !ways.open(asking.manager, ours).is_empty();
    if unasked && !open.is_empty() {
        let found = format!("a client's {}", open.join(", "));
        findings.add(asking.manager.place(), &ills::IDENTITY_HEADERS, &found);
    }
}

/// A route may ask another one than the filter does.
fn elsewhere(
    (place, asking): (&str, &Asking<'_, '_>),
    own: &Value,
    (envoy, ours): (&Envoy, &Ours),
    findings: &mut Findings,
) {
    let Some(name) = asked_cluster(own).filter(|name| Some(*name) != asking.cluster()) else { return };
    let (theirs, asked) = (envoy.endpoints(name), asking.cluster().map(|name| envoy.endpoints(name)));
    let other = asked.is_some_and(|asked| !theirs.is_empty() && theirs.is_disjoint(&asked));
    if other && !envoy.leads_to_doorward(name, ours) {
        findings.add(place, &ills::OTHER_ASKED, &format!("`{name}`"));
    } else {
        cluster::examine(envoy, name, (asking, ours), findings);
    }
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

fn names(part: &Part<'_>, asking: &Asking<'_, '_>, findings: &mut Findings) {
    let known = |name: &str| asking.manager.filters.iter().any(|filter| text(filter, "name") == Some(name));
    for (name, _) in settings(part).filter(|(name, value)| is_a(value, "ExtAuthzPerRoute") && !known(name)) {
        findings.add(&part.place, &ills::ROUTE_FILTER_NAME, &format!("settings for `{name}`"));
    }
}
