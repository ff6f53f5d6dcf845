//! What the catalog is made of.

use super::*;
use crate::domain::authentication::{self, Combine};

const POLICY: &str = r#"
permissions: [{name: read}, {name: write, id: 01968c91-8789-7288-a337-f0e398711aac}]
services:
  - name: orders
    hosts: [API.example.com, "*.Example.com"]
    paths: [/orders/]
    authentication: {all: [api_key: {names: [X-Key, {name: k, in: [body, cookie]}], hide: false, bearer: true}]}
  - name: open
    authentication: none
  - name: mixed
    paths: [/mixed]
    authentication: {any: [api_key], anonymous: guest}
consumers:
  - username: alice
    groups: [gold]
    permissions: [read, 01968c91-8789-7288-a337-f0e398711aac]
    keys:
      - {from_env: ALICE_KEY, services: [orders], permissions: [read], expires_at: 2030-01-01T00:00:00Z}
      - {from_file: bob.key, enabled: false}
  - {username: guest, enabled: false}
  - {custom_id: "42"}
"#;

const ENV: [(&str, &str); 1] = [("ALICE_KEY", "alices-key-is-a-long-one\n")];

#[test]
fn names_become_ids() {
    let catalog = good_with(POLICY, &ENV).catalog(&peppers()).ok().unwrap();
    let [orders, open, mixed] = catalog.deployments() else { panic!("three services") };
    assert_eq!(orders.service, derived("service", "orders"));
    assert_eq!(orders.hosts, ["api.example.com", "*.example.com"]);
    assert_eq!(orders.paths, ["/orders"]);
    assert_eq!(*open.policy.authentication, authentication::Authentication::None);
    let alice = &catalog.consumers()[&derived("consumer", "alice")];
    assert_eq!(alice.given.permissions, catalog.permissions().iter().map(|it| it.id).collect::<Vec<_>>());
    assert!(catalog.consumers().contains_key(&derived("consumer-custom-id", "42")));
    let authentication::Authentication::Required { anonymous, .. } = &*mixed.policy.authentication else {
        panic!("not public")
    };
    assert_eq!(*anonymous, Some(derived("consumer", "guest")));
}

#[test]
fn places_stand_in_the_written_order() {
    use authentication::Place::{Body, Cookie, Header, Query};
    let catalog = good_with(POLICY, &ENV).catalog(&peppers()).ok().unwrap();
    let authentication::Authentication::Required { combine, methods, .. } =
        &*catalog.deployments()[0].policy.authentication
    else {
        panic!("not public")
    };
    let authentication::Method::ApiKey(method) = &methods[0] else { panic!("an api_key") };
    assert_eq!(*combine, Combine::All);
    assert_eq!((method.names[0].name.as_str(), method.names[0].header.as_str()), ("X-Key", "x-key"));
    assert_eq!(method.names[0].places, [Header, Query]);
    assert_eq!(method.names[1].places, [Body, Cookie]);
    assert!(method.bearer && method.preflight && !method.hide);
}

#[test]
fn keys_are_known_by_their_verifiers() {
    let catalog = good_with(POLICY, &ENV).catalog(&peppers()).ok().unwrap();
    let find = |text: &str| catalog.key(&peppers().verifiers(text.as_bytes()).next().unwrap());
    let alice = find("alices-key-is-a-long-one").unwrap();
    assert_eq!(alice.consumer, derived("consumer", "alice"));
    assert_eq!(alice.id, derived("key", &format!("{}/env:ALICE_KEY", alice.consumer)));
    assert_eq!(alice.opens.as_ref().unwrap()[0].service, derived("service", "orders"));
    assert_eq!(alice.permissions.as_deref(), Some(&[derived("permission", "read")][..]));
    assert_eq!(alice.expires_at.unwrap().unix(), 1_893_456_000);
    let second = find("bobs-key-is-a-long-one").unwrap();
    assert!(!second.enabled && second.opens.is_none());
    assert!(find("nobodys-key-is-a-long-one").is_none());
}

#[test]
fn a_key_needs_a_ring() {
    let Err(faults) = good_with(POLICY, &ENV).catalog(&Peppers::new(Vec::new())) else { panic!("no pepper") };
    assert!(faults.to_string().ends_with("`secret_file` holds no key"), "{faults}");
}

#[test]
fn a_key_in_the_form_of_ours_is_good() {
    good("consumers: [{username: a, keys: [{from_file: ours.key}]}]\n");
}

#[test]
fn the_digest_is_of_the_policy_and_not_of_its_wording() {
    let digest = |yaml: &str, env: &[(&str, &str)]| good_with(yaml, env).digest(&peppers());
    let one = digest(POLICY, &ENV);
    let reworded = POLICY
        .replace(
            "{name: read}, {name: write, id: 01968c91-8789-7288-a337-f0e398711aac}",
            "{\"name\":   read}, {id: 01968c9187897288a337f0e398711aac, name: write}",
        )
        .replace("{all: [api_key", "\n     all:\n     - {api_key")
        .replace("bearer: true}]}", "bearer: true}}")
        .replace("authentication: none", "authentication: none\n    mode: enforce # as ever")
        .replace("\nservices:", "\nworkers: 2\nlog: {level: debug}\nservices:");
    assert_ne!(reworded, POLICY);
    assert_eq!(digest(&reworded, &ENV), one);
    for (from, to) in [
        ("/orders/]", "/order]"),
        ("{all: [api_key", "{any: [api_key"),
        ("hide: false", "hide: true"),
        ("in: [body, cookie]", "in: [cookie, body]"),
        ("groups: [gold]", "groups: [silver]"),
        ("permissions: [read],", ""),
        ("services: [orders],", "services: [open],"),
        ("2030", "2031"),
        ("enabled: false}\n", "enabled: true}\n"),
        ("authentication: none", "authentication: {any: [api_key]}"),
        ("anonymous: guest", "anonymous: alice"),
        ("\nservices:", "\nheaders: {user_id: x-uid}\nservices:"),
        ("\nservices:", "\nclient_address: {trusted_proxies: [unix]}\nservices:"),
        ("\nservices:", "\nroles: [{name: admin}]\nservices:"),
        ("none\n", "none\n    mode: shadow\n"),
        ("none\n", "none\n    path: resolve\n"),
        ("none\n", "none\n    networks: {deny: [192.0.2.1]}\n"),
        ("none\n", "none\n    rules: [{groups: [gold]}]\n"),
        ("{username: guest,", "{username: guest, networks: {deny: [192.0.2.1]},"),
    ] {
        assert!(POLICY.contains(from), "{from}");
        assert_ne!(digest(&POLICY.replacen(from, to, 1), &ENV), one, "{from}");
    }
    assert_ne!(digest(POLICY, &[("ALICE_KEY", "another-key-that-is-long")]), one);
}

#[track_caller]
pub(super) fn warnings(yaml: &str, expected: &[&str]) {
    let desk = Desk::with(yaml);
    let loaded = match desk.load(&[], &[]) {
        Ok(loaded) => loaded,
        Err(faults) => panic!("{faults}"),
    };
    let told: Vec<String> =
        loaded.warnings.iter().map(|it| format!("{}: {}", it.line.unwrap_or_default(), it.message)).collect();
    assert_eq!(told, expected);
}

#[test]
fn what_is_accepted_but_dangerous_is_a_warning() {
    for empty in ["", "# services:\n", "consumers: [{username: a}]\n"] {
        warnings(
            empty,
            &[
                "0: no service is declared: every check is `unknown_service`, but for the services that the store holds; \
               `services: []` says that this is meant",
            ],
        );
    }
    warnings("services: []\n", &[]);
    warnings(
        "services: [{name: a, authentication: none}]\n",
        &["1: service `a` is public: `authentication` is `none`"],
    );
    warnings(
        "services:\n- name: a\n  authentication:\n    any:\n    - api_key: {in: [header, body]}\n",
        &[
            "5: a key in a body reaches the upstream in spite of `hide: true`: Envoy's external authorization \
           cannot rewrite bodies; `hide: false` says so",
        ],
    );
    warnings("services: [{name: a, authentication: {any: [api_key: {in: [body], hide: false}]}}]\n", &[]);
    warnings(
        "keys: {insecure_allow_weak: true}\nconsumers: [{username: a, keys: [{from_file: short.key}]}]\nservices: []\n",
        &["1: `keys.insecure_allow_weak` lets short keys pass; 1 are in use"],
    );
    warnings(
        "services: [{name: a, authentication: {any: [api_key], anonymous: 01968c91-8789-7288-a337-f0e398711aac}}]\n",
        &[
            "1: the anonymous consumer `01968c91-8789-7288-a337-f0e398711aac` is not in this file; where the store \
           does not have it either, requests without proof are denied with `internal`",
        ],
    );
    let many: Vec<String> = (0..200).map(|number| format!("group-{number}")).collect();
    warnings(
        &format!("services: []\nconsumers: [{{username: a, groups: [{}]}}]\n", many.join(", ")),
        &[
            "2: the `groups` of this consumer do not fit in a header of 1024 bytes: its requests are denied with \
           `internal`",
        ],
    );
}
