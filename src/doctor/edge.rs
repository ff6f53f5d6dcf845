//! The connection manager: how a request is read before anybody is asked about it.

use serde_json::Value;

use super::asking::Asking;
use super::field::{at, is_a, is_true, list, matches, number, shown, text};
use super::finding::Findings;
use super::ills;
use super::ours::Ours;

pub(super) fn examine(asking: &Asking<'_, '_>, ours: &Ours, findings: &mut Findings) {
    let (place, manager) = (asking.manager.place(), asking.manager.settings);
    let mut add = |ill, found: &str| findings.add(&place, ill, found);
    if !is_true(manager, "normalize_path") {
        add(&ills::NORMALIZE_PATH, &shown(manager, "normalize_path"));
    }
    if !is_true(manager, "merge_slashes") {
        add(&ills::MERGE_SLASHES, &shown(manager, "merge_slashes"));
    }
    let escaped = text(manager, "path_with_escaped_slashes_action");
    if !matches!(escaped, Some("REJECT_REQUEST" | "UNESCAPE_AND_REDIRECT")) {
        add(&ills::ESCAPED_SLASHES, &shown(manager, "path_with_escaped_slashes_action"));
    }
    let underscores = "common_http_protocol_options.headers_with_underscores_action";
    if !matches!(text(manager, underscores), Some("REJECT_REQUEST" | "DROP_HEADER")) {
        add(&ills::UNDERSCORES, &shown(manager, underscores));
    }
    let detected = !list(manager, "original_ip_detection_extensions").is_empty();
    // Over HTTP, X-Forwarded-For is all that tells Doorward who connected.
    if !is_true(manager, "use_remote_address") && (asking.over_http() || !detected) {
        add(&ills::REMOTE_ADDRESS, &shown(manager, "use_remote_address"));
    }
    if asking.over_http() && is_true(manager, "skip_xff_append") {
        add(&ills::REMOTE_ADDRESS, "skip_xff_append: true");
    }
    // Envoy never tells whom it holds for the client: Doorward finds it by a list of its own.
    let behind = number(manager, "xff_num_trusted_hops").is_some_and(|hops| hops > 0) || detected;
    if ours.networks && behind && !ours.proxies {
        add(&ills::HOPS, &shown(manager, "xff_num_trusted_hops"));
    }
}

/// The headers of ours that reach the upstream as a client sent them, where Doorward does not see to it.
pub(super) fn unstripped<'o>(asking: &Asking<'_, '_>, ours: &'o Ours) -> Vec<&'o str> {
    let early = list(asking.manager.settings, "early_header_mutation_extensions").iter();
    let before = asking.manager.filters[..asking.index].iter();
    let mutations: Vec<&Value> = early
        .chain(before)
        .map(|extension| at(extension, "typed_config"))
        .flat_map(|settings| {
            match is_a(settings, "early_header_mutation.header_mutation.v3.HeaderMutation") {
                true => list(settings, "mutations"),
                false => list(settings, "mutations.request_mutations"),
            }
        })
        .collect();
    let headers = ours.headers.iter().map(String::as_str);
    headers.filter(|header| !mutations.iter().any(|mutation| removes(mutation, header))).collect()
}

fn removes(mutation: &Value, header: &str) -> bool {
    let named = text(mutation, "remove").is_some_and(|name| name.eq_ignore_ascii_case(header));
    named || matches(at(mutation, "remove_on_match.key_matcher"), header) == Some(true)
}
