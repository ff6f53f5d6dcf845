//! Mistakes by which somebody may pass who should not.

use super::super::finding::Harm::Unsafe;
use super::super::finding::Ill;

pub static NOT_ASKED: Ill = Ill {
    code: "not_asked",
    harm: Unsafe,
    why: "nobody is asked: every request passes",
    fix: "put the ext_authz filter before the router, as in envoy/hardened.yaml",
};
pub static OTHER_ASKED: Ill = Ill {
    code: "other_asked",
    harm: Unsafe,
    why: "somebody else is asked in place of Doorward",
    fix: "name the cluster that leads to Doorward, or leave the service of the route out",
};
pub static FAIL_OPEN: Ill = Ill {
    code: "fail_open",
    harm: Unsafe,
    why: "when Doorward does not answer, everybody passes, and with the identity headers that they sent",
    fix: "failure_mode_allow: false",
};
pub static NOT_EVERY_REQUEST: Ill = Ill {
    code: "not_every_request",
    harm: Unsafe,
    why: "requests pass about which nobody is asked",
    fix: "leave `disabled` and `filter_enabled` out, and switch it off for single routes",
};
pub static TOLD_ONLY: Ill = Ill {
    code: "told_only",
    harm: Unsafe,
    why: "a denial is counted, and the request passes",
    fix: "leave `shadow_mode` out; Doorward has `mode: shadow` for single deployments",
};
pub static UNSEEN: Ill = Ill {
    code: "unseen",
    harm: Unsafe,
    why: "settings, routes or listeners come from elsewhere, and are not in this file",
    fix: "give the doctor the answer of /config_dump at the admin address",
};
pub static HEADERS_HIDDEN: Ill = Ill {
    code: "headers_hidden",
    harm: Unsafe,
    why: "Doorward removes look-alikes of its headers only where it sees them, and may miss a credential",
    fix: "leave `allowed_headers` and `disallowed_headers` out",
};
pub static RAW_HEADERS: Ill = Ill {
    code: "raw_headers",
    harm: Unsafe,
    why: "repeated headers arrive glued together and odd bytes as `!`, so two credentials can pass for one",
    fix: "encode_raw_headers: true",
};
pub static VALIDATE_MUTATIONS: Ill = Ill {
    code: "validate_mutations",
    harm: Unsafe,
    why: "nothing looks twice at the headers that are set on requests and answers",
    fix: "validate_mutations: true",
};
pub static MUTATION_RULES: Ill = Ill {
    code: "mutation_rules",
    harm: Unsafe,
    why: "Envoy refuses what Doorward sets and removes, so a client's identity headers and credentials reach the upstream",
    fix: "leave `decoder_header_mutation_rules` out",
};
pub static UPSTREAM_HEADERS: Ill = Ill {
    code: "upstream_headers",
    harm: Unsafe,
    why: "of Doorward's answer Envoy takes over only what is listed: other identity headers stay as the client sent them",
    fix: "allowed_upstream_headers with all of them, as in envoy/http.yaml",
};
pub static ROUTE_CACHE: Ill = Ill {
    code: "route_cache",
    harm: Unsafe,
    why: "after the check a request may take another route than the one that was asked about",
    fix: "clear_route_cache: false",
};
pub static NORMALIZE_PATH: Ill = Ill {
    code: "normalize_path",
    harm: Unsafe,
    why: "`/public/../orders` reaches routes and upstream as it is, and each reads it in its own way",
    fix: "normalize_path: true",
};
pub static MERGE_SLASHES: Ill = Ill {
    code: "merge_slashes",
    harm: Unsafe,
    why: "`//orders` is another path than `/orders` for routes, and the same one for many an upstream",
    fix: "merge_slashes: true",
};
pub static ESCAPED_SLASHES: Ill = Ill {
    code: "escaped_slashes",
    harm: Unsafe,
    why: "`%2F` is a slash for some upstreams and a letter for others",
    fix: "path_with_escaped_slashes_action: REJECT_REQUEST",
};
pub static UNDERSCORES: Ill = Ill {
    code: "underscores",
    harm: Unsafe,
    why: "upstreams that read `_` as `-` take a client's x_consumer_id for Doorward's header",
    fix: "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}",
};
pub static REMOTE_ADDRESS: Ill = Ill {
    code: "remote_address",
    harm: Unsafe,
    why: "a client may send `x-envoy-*` and an X-Forwarded-For of its own making, as if it were a proxy of yours",
    fix: "use_remote_address: true, where clients connect to this Envoy",
};
pub static HOPS: Ill = Ill {
    code: "hops",
    harm: Unsafe,
    why: "Envoy is told of proxies in front of it, and Doorward of none: its lists of networks judge the proxy's address",
    fix: "client_address: {trusted_proxies: […]} in doorward.yaml, with the networks of those proxies",
};
pub static IDENTITY_HEADERS: Ill = Ill {
    code: "identity_headers",
    harm: Unsafe,
    why: "where Doorward is not asked, or does not answer, nobody removes them, and the upstream believes the client",
    fix: "early_header_mutation_extensions that remove them, as in envoy/hardened.yaml",
};
pub static ROUTE_HEADERS: Ill = Ill {
    code: "route_headers",
    harm: Unsafe,
    why: "the router acts after Doorward: what it removes is missing upstream, and what it adds stands beside a client's",
    fix: "leave Doorward's headers out of routes; to remove a client's, use early_header_mutation_extensions",
};
pub static ROUTE_FILTER_NAME: Ill = Ill {
    code: "route_filter_name",
    harm: Unsafe,
    why: "no filter of the chain has this name, so Envoy passes over the settings",
    fix: "use the name that the filter has in `http_filters`",
};
pub static UNVERIFIED: Ill = Ill {
    code: "unverified",
    harm: Unsafe,
    why: "whoever takes Doorward's address can answer in its place",
    fix: "validation_context with `trusted_ca` and `match_typed_subject_alt_names`",
};
pub static ADMIN_OPEN: Ill = Ill {
    code: "admin_open",
    harm: Unsafe,
    why: "whoever reaches the admin address can read the configuration and stop Envoy",
    fix: "admin: {address: {socket_address: {address: 127.0.0.1, …}}}",
};
