//! What an operator may say of issuers, and what is wrong with the rest.

use super::*;

/// One issuer, as it is written, and what is said of it.
#[track_caller]
fn check(issuer: &str, expected: &[&str]) {
    let desk = Desk::with(format!("issuers:\n  a: {{{issuer}}}\n"));
    let short = format!("{{\"keys\": [{{\"kty\": \"oct\", \"k\": \"{}\"}}]}}", "A".repeat(42));
    let long = format!("{{\"keys\": [{{\"kty\": \"oct\", \"k\": \"{}\"}}]}}", "A".repeat(43));
    desk.write("short.jwks", &short);
    desk.write("long.jwks", &long);
    desk.write("html.jwks", "<html>");
    match desk.load(&[], &[]) {
        Ok(_) => assert_eq!(expected, [""; 0], "{issuer}"),
        Err(faults) => {
            let told: Vec<_> = faults.remarks().iter().map(|fault| fault.message.clone()).collect();
            assert_eq!(told.len(), expected.len(), "{issuer}: {told:?}");
            for (told, expected) in told.iter().zip(expected) {
                assert!(told.contains(expected), "{issuer}: {told}");
            }
        }
    }
}

const BASE: &str = "issuer: \"https://a.example\", audiences: [b], algorithms: [RS256]";

#[test]
fn keys_come_from_exactly_one_place() {
    check(&format!("{BASE}, discovery: true"), &[]);
    check(&format!("{BASE}, jwks_url: \"https://a.example/jwks\""), &[]);
    check(BASE, &["exactly one of `jwks_url`, `jwks_file` and `discovery: true`"]);
    check(&format!("{BASE}, discovery: true, jwks_file: x"), &["exactly one of"]);
    check(&format!("{BASE}, jwks_url: \"https://a.example/jwks\", jwks_file: x"), &["exactly one of"]);
}

#[test]
fn an_address_is_encrypted_or_on_this_machine() {
    let at = |url: &str| format!("{BASE}, jwks_url: \"{url}\"");
    for good in [
        "https://a.example",
        "https://a.example:8443/x?y=z",
        "http://127.0.0.1:8080/jwks",
        "http://[::1]/jwks",
    ] {
        check(&at(good), &[]);
    }
    let wrong = ["is no address to fetch keys from, expected `https://` and a host"];
    for bad in [
        "http://a.example/jwks",
        "http://localhost/jwks",
        "http://10.0.0.1/jwks",
        "ftp://a.example",
        "file:///jwks",
        "a.example/jwks",
        "/jwks",
        "https://",
        "https://me:secret@a.example/jwks",
        "https://a.example/jwks#x",
        "",
    ] {
        check(&at(bad), &wrong);
    }
    check(&format!("{}, insecure_plain_http: true", at("http://a.example/jwks")), &[]);
}

#[test]
fn secrets_and_key_pairs_do_not_go_together_and_secrets_are_not_published() {
    let with = |algorithms: &str, rest: &str| {
        format!("issuer: \"https://a.example\", audiences: [b], algorithms: [{algorithms}], {rest}")
    };
    check(&with("RS256, PS512, ES384, EdDSA", "discovery: true"), &[]);
    check(&with("HS256", "jwks_file: long.jwks"), &[]);
    check(
        &with("HS256, RS256", "jwks_file: long.jwks"),
        &["some with a secret (`HS…`) and some with a key pair"],
    );
    check(&with("HS256", "discovery: true"), &["which is not for publishing; expected `jwks_file`"]);
    check(&with("HS256", "jwks_file: short.jwks"), &["none of its 1 keys can be used"]);
    check(&with("HS384", "jwks_file: long.jwks"), &["none of its 1 keys can be used"]);
    check(&with("RS256", "jwks_file: long.jwks"), &["none of its 1 keys can be used"]);
    check(&with("RS256", "jwks_file: html.jwks"), &["it is not a JSON object with a list of `keys`"]);
    check(&with("RS256", "jwks_file: nowhere.jwks"), &["cannot be read"]);
    check(&with("none", "discovery: true"), &["expected a signature algorithm"]);
    check(&with("", "discovery: true"), &["`algorithms` is empty"]);
}

/// What is said of the headers that claims are told under.
#[track_caller]
fn check_headers(headers: &str, expected: &[&str]) {
    let desk = Desk::with(format!(
        "headers: {{claims: [X-Tenant, X-Org]}}\nissuers:\n  a: {{{BASE}, discovery: true}}\nservices:\n  - name: one\n    paths: [/one]\n    \
         authentication: {{any: [jwt: {{issuer: a, claims: {{headers: {headers}}}}}]}}\n  - name: two\n    \
         paths: [/two]\n    authentication: {{any: [api_key: {{names: [X-Key], in: [header]}}]}}\n"
    ));
    let told = desk.remarks(desk.load(&[], &[]));
    assert_eq!(told.len(), expected.len(), "{headers}: {told:?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with("7:") && told.contains(expected), "{headers}: {told}");
    }
}

#[test]
fn claims_are_told_under_names_that_the_file_declares() {
    check_headers("{X-Tenant: tenant, x-org: [org, id]}", &[]);
    check_headers("{X-Tenant: []}", &["a list of names that lead into objects"]);
    let undeclared = "is not declared: claims are told under those of `headers.claims` in the file, which has `x-tenant`, `x-org`";
    for other in ["Cookie", "X-Other", "x_tenant", "x-consumer-id", "X Tenant"] {
        check_headers(&format!("{{{other}: t}}"), &[undeclared]);
    }
    check_headers("{X-Tenant: t, x-tenant: u}", &["the header `x-tenant` stands in `headers` twice"]);
}

#[test]
fn what_opens_has_no_default_and_limits_have_bounds() {
    check("issuer: \"https://a.example\", algorithms: [RS256], discovery: true", &["`audiences` is missing"]);
    check("issuer: \"https://a.example\", audiences: [b], discovery: true", &["`algorithms` is missing"]);
    check("audiences: [b], algorithms: [RS256], discovery: true", &["`issuer` is missing"]);
    let also = |rest: &str| format!("{BASE}, discovery: true, {rest}");
    check(&also("leeway: 61s"), &["`leeway` is 61s, expected 0s to 1m"]);
    check(&also("refresh: 29s"), &["`refresh` is 29s"]);
    check(&also("refresh: 1h, max_stale: 30m"), &["`max_stale` is 30m, expected 1h to 30d"]);
    check(&also("longest_life: 0s"), &["`longest_life` is 0s"]);
    check(&also("keys: x"), &["unknown key `keys`"]);
    let desk = Desk::with(format!("issuers:\n  doorward: {{{BASE}, discovery: true}}\n"));
    assert!(desk.remarks(desk.load(&[], &[]))[0].contains("stands for Doorward's own tokens"));
    let desk = Desk::with(format!("issuers:\n  consumers: {{{BASE}, discovery: true}}\n"));
    assert!(desk.remarks(desk.load(&[], &[]))[0].contains("stands for the tokens that consumers sign"));
    let with = |claims: &str| {
        let jwt = format!("jwt: {{issuer: consumers{claims}}}");
        let desk = Desk::with(format!("services:\n  - {{name: a, authentication: {{any: [{jwt}]}}}}\n"));
        desk.remarks(desk.load(&[], &[]))
    };
    assert_eq!(with(""), [""; 0]);
    assert!(with(", claims: {groups: groups}")[0].contains("they would give rights to themselves"));
}
