//! The connection manager: how a request is read before anybody is asked about it.

use serde_json::Value;

use super::field::{at, is_a, is_true, list, number, shown, text};
use super::finding::Findings;
use super::ills;
use super::ours::Ours;
use super::reading::Asking;

pub(super) fn examine(asking: &Asking<'_>, ours: &Ours, findings: &mut Findings) {
    let manager = asking.manager;
    let place = format!("listener `{}`", asking.listener);
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
    if !is_true(manager, "use_remote_address") && list(manager, "original_ip_detection_extensions").is_empty()
    {
        add(&ills::REMOTE_ADDRESS, &shown(manager, "use_remote_address"));
    }
    // Envoy never tells whom it holds for the client: Doorward finds it by a list of its own.
    let behind = number(manager, "xff_num_trusted_hops").is_some_and(|hops| hops > 0)
        || !list(manager, "original_ip_detection_extensions").is_empty();
    if ours.networks && behind && !ours.proxies {
        add(&ills::HOPS, &shown(manager, "xff_num_trusted_hops"));
    }
}

/// The headers of ours that reach the upstream as a client sent them, where Doorward does not see to it.
pub(super) fn unstripped<'o>(asking: &Asking<'_>, ours: &'o Ours) -> Vec<&'o str> {
    let early = list(asking.manager, "early_header_mutation_extensions").iter();
    let before = asking.filters[..asking.index].iter();
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
    let matcher = at(mutation, "remove_on_match.key_matcher");
    let is = |value: Option<&str>, test: fn(&str, &str) -> bool| {
        value.is_some_and(|value| test(header, &value.to_ascii_lowercase()))
    };
    is(text(mutation, "remove"), |header, name| header == name)
        || is(text(matcher, "exact"), |header, name| header == name)
        || is(text(matcher, "prefix"), |header, start| header.starts_with(start))
        || is(text(matcher, "suffix"), |header, end| header.ends_with(end))
        || is(text(matcher, "contains"), |header, part| header.contains(part))
}
