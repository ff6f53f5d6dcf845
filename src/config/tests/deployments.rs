//! Services where they are deployed, and the policy that results.

use uuid::Uuid;

use super::policy::warnings;
use super::*;
use crate::domain::authentication::Authentication as Proof;
use crate::domain::deployment::{self, Groups, Rule};
use crate::domain::role::{RoleDemand, RoleGrant};

const POLICY: &str = r#"permissions: [{name: read}]
roles: [{name: admin, implies: [member]}, {name: member}]
projects: [{name: p, id: ca7f6c731a004091a32d4eb97ec17271, domain_id: 327373ec52974577a79a5e26b26c27e9}]
infrastructures: [{name: production}, {name: staging, id: 01968c91-8789-7288-a337-f0e398711aac}]
client_address: {trusted_proxies: [10.0.0.0/8, unix]}
services:
  - name: orders
    hosts: [api.example.com]
    authentication:
      any:
        - api_key
        - static_token
    networks: {allow: [198.51.100.0/24]}
    groups: {allow: [gold]}
    rules:
      - methods: [POST]
        paths: [/orders/admin]
        permissions: [read]
        roles: [admin, p/member]
    mode: shadow
    path: resolve
  - {name: open, authentication: none, enabled: false}
deployments:
  - {service: orders, infrastructure: production}
  - service: orders
    infrastructure: 01968c91-8789-7288-a337-f0e398711aac
    enabled: false
    hosts: [staging.example.com]
    override:
      authentication: none
      networks:
        deny:
          - 203.0.113.0/24
          - 203.0.113.9-203.0.113.77
      groups: null
      rules: null
      mode: null
  - {service: open, infrastructure: staging, enabled: true, paths: [/open]}
consumers:
  - username: alice
    roles: {p: [admin]}
    networks: {deny: [192.0.2.1]}
    keys:
      - {from_file: bob.key, services: [orders/production, open], networks: {allow: ["2001:db8::/32"]}}
"#;

fn catalog() -> Catalog {
    good(POLICY).catalog(&peppers()).ok().unwrap()
}

#[test]
fn a_deployment_has_its_services_policy_but_for_what_is_overridden() {
    let catalog = catalog();
    let [production, staging, open] = catalog.deployments() else { panic!("three deployments") };
    assert_eq!(
        [production, staging, open].map(|it| it.name()),
        ["orders/production", "orders/staging", "open/staging"]
    );
    assert_eq!(
        [production, staging, open].map(|it| it.enabled),
        [true, false, false],
        "what is off stays off"
    );
    assert_eq!(
        (production.hosts.as_slice(), staging.hosts.as_slice()),
        (&["api.example.com".to_owned()][..], &["staging.example.com".to_owned()][..])
    );
    assert_eq!(open.paths, ["/open"]);
    assert_eq!(staging.reading, deployment::Reading::Resolve);

    let policy = &production.policy;
    assert!(matches!(&*policy.authentication, Proof::Required { methods, .. } if methods.len() == 2));
    assert!(
        policy.networks.admits("198.51.100.7".parse().ok()).is_ok() && policy.networks.admits(None).is_err()
    );
    assert_eq!(
        (Groups::clone(&policy.groups), policy.mode),
        (Groups::Allow(vec!["gold".to_owned()]), deployment::Mode::Shadow)
    );
    let project = catalog.projects()[0].id;
    let role = |role: &str, project| RoleDemand { role: role.to_owned(), project };
    assert_eq!(
        policy.rules,
        [Rule {
            methods: vec!["POST".to_owned()],
            paths: vec!["/orders/admin".to_owned()],
            permissions: vec![derived("permission", "read")],
            groups: Vec::new(),
            roles: vec![role("admin", None), role("member", Some(project))],
        }]
    );

    let policy = &staging.policy;
    assert_eq!(*policy.authentication, Proof::None);
    assert_eq!(policy.networks.deny.len(), 1, "ranges that touch are one");
    assert!(policy.networks.allow.is_none(), "a part is replaced as a whole");
    assert_eq!((Groups::clone(&policy.groups), policy.mode), (Groups::Any, deployment::Mode::Enforce));
    assert!(policy.rules.is_empty());
}

#[test]
fn who_has_what_is_in_the_catalog() {
    let catalog = catalog();
    let project = &catalog.projects()[0];
    assert_eq!(project.domain_id.unwrap().simple().to_string(), "327373ec52974577a79a5e26b26c27e9");
    let alice = &catalog.consumers()[&derived("consumer", "alice")];
    assert_eq!(alice.given.roles, [RoleGrant { project: project.id, role: "admin".to_owned() }]);
    assert!(
        catalog.roles().satisfy(&alice.given.roles, &RoleDemand { role: "member".to_owned(), project: None })
    );
    assert!(alice.given.networks.admits("192.0.2.1".parse().ok()).is_err());
    assert!(catalog.trusted().unix() && catalog.trusted().networks().len() == 1);
    let key = catalog.keys().next().unwrap();
    assert!(key.networks.as_ref().unwrap().admits("192.0.2.1".parse().ok()).is_err());
    let opens = |index: usize| {
        key.opens.as_ref().unwrap().iter().any(|it| it.includes(&catalog.deployments()[index]))
    };
    assert_eq!([opens(0), opens(1), opens(2)], [true, false, true]);
}

/// interface.md 3: everything has an id, given or derived from its name, and either is a reference.
#[test]
fn everything_has_an_id_and_may_be_referred_to_by_it() {
    let given = |n: u128| Uuid::from_u128(0x0196_8c91_8789_7288_a337_0000_0000_0000 + n);
    let kinds = [
        "permission",
        "role",
        "role",
        "project",
        "infrastructure",
        "service",
        "deployment",
        "consumer",
        "key",
    ];
    let yaml = r#"
permissions: [{name: read ID0}]
roles: [{name: admin ID1, implies: ["REF2"]}, {name: member ID2}]
projects: [{name: p ID3}]
infrastructures: [{name: production ID4}]
services:
  - {name: orders ID5, authentication: {any: [api_key], anonymous: "REF7"}, rules: [{permissions: ["REF0"], roles: ["REF1", "REF3/REF2"]}]}
deployments: [{service: "REF5", infrastructure: "REF4" ID6}]
consumers:
  - {username: guest ID7}
  - {username: alice, permissions: ["REF0"], roles: {"REF3": ["REF1"]}, keys: [{from_file: bob.key, services: ["REF6"] ID8}]}
"#;
    let names = ["read", "admin", "member", "p", "production", "orders", "orders/production", "guest", ""];
    for (with_ids, by_id) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut text = yaml.to_owned();
        for (at, name) in names.iter().enumerate() {
            let kind = kinds[at];
            let id = if with_ids { given(at as u128) } else { derived(kind, name) };
            let setting = if with_ids { format!(", id: {id}") } else { String::new() };
            let reference = if by_id { id.to_string() } else { (*name).to_owned() };
            text = text.replace(&format!(" ID{at}"), &setting).replace(&format!("REF{at}"), &reference);
        }
        let catalog = good(&text).catalog(&peppers()).ok().unwrap();
        let [orders] = catalog.deployments() else { panic!("one deployment") };
        let key = catalog.keys().next().unwrap();
        let alice = &catalog.consumers()[&derived("consumer", "alice")];
        let id = |at: usize| if with_ids { given(at as u128) } else { derived(kinds[at], names[at]) };
        assert_eq!((orders.id, orders.service), (id(6), id(5)), "{text}");
        assert_eq!(orders.infrastructure, Some((id(4), "production".to_owned())));
        assert_eq!((catalog.permissions()[0].id, catalog.projects()[0].id), (id(0), id(3)));
        let demand = |role: &str, project| RoleDemand { role: role.to_owned(), project };
        let asked = [demand("admin", None), demand("member", Some(id(3)))];
        assert_eq!(
            (&orders.policy.rules[0].roles[..], &orders.policy.rules[0].permissions),
            (&asked[..], &vec![id(0)])
        );
        assert_eq!(alice.given.roles, [RoleGrant { project: id(3), role: "admin".to_owned() }]);
        assert!(catalog.roles().satisfy(&alice.given.roles, &asked[1]), "a role that is implied by its id");
        let opens = key.opens.as_deref().unwrap();
        assert!(matches!(opens, [it] if it.infrastructure == Some(id(4)) && it.includes(orders)));
        assert_eq!(with_ids, key.id == given(8));
        let desk = Desk::with(&text);
        let shown = effective(&desk.load(&[], &[]).ok().unwrap(), &id(6).to_string()).ok().unwrap().to_json();
        assert_eq!(shown["deployment"], "orders/production");
    }
}

#[test]
fn without_deployments_each_service_is_deployed_as_it_is() {
    let config =
        good("services: [{name: a, paths: [/a], authentication: none}, {name: b, authentication: none}]\n");
    assert_eq!(config.deployed(), ["a", "b"]);
    assert!(
        config.catalog(&peppers()).ok().unwrap().deployments().iter().all(|it| it.infrastructure.is_none())
    );
}

#[test]
fn with_deployments_a_service_that_is_not_listed_is_not_there() {
    let yaml = "infrastructures: [{name: x}]\nservices:\n- {name: a, authentication: {any: [api_key]}}\n\
                - {name: b, authentication: {any: [api_key]}}\ndeployments: [{service: b, infrastructure: x}]\n";
    assert_eq!(good(yaml).catalog(&peppers()).ok().unwrap().deployments().len(), 1);
    warnings(yaml, &["3: service `a` is not deployed: `deployments` lists others, and not this one"]);
}

#[test]
fn sessions_that_nobody_can_have_are_a_warning() {
    let one =
        "services:\n  - {name: a, hosts: [a.example.com], paths: [/a], authentication: {any: [cookie]}}\n";
    let two = "  - {name: b, hosts: [b.example.org], authentication: {any: [cookie]}}\n";
    warnings(one, &[]);
    warnings(&format!("cookie: {{domain: example.com}}\n{one}"), &[]);
    warnings(
        &format!("{one}{two}"),
        &[
            "3: `a` takes sessions on `a.example.com` and `b` on `b.example.org`: without `cookie.domain` each host \
           has its own, so callers log in at each",
        ],
    );
    warnings(
        &format!("cookie: {{domain: example.com}}\n{one}{two}"),
        &["4: nobody can log in at `b` on `b.example.org`: no browser takes or sends a cookie there whose \
           `cookie.domain` is `example.com`"],
    );
    let listed = "https://app.example.com, \"http://localhost:3000\", \"http://app.example.com\"";
    warnings(
        &format!("cookie: {{origins: [{listed}]}}\n{one}"),
        &[
            "1: `http://app.example.com` is without TLS: whoever is on the way between it and its visitors can write \
           its pages, and so use their sessions",
        ],
    );
    let loose = one.replace("cookie", "{cookie: {csrf: false}}");
    warnings(
        &loose,
        &[
            "2: `csrf` is off: every page on the web can have its visitors' browsers send requests with their \
           sessions",
        ],
    );
}

#[test]
fn what_opens_or_shuts_a_deployment_for_all_is_a_warning() {
    warnings(
        POLICY,
        &[
            "20: `orders/production` is in shadow: what it would deny is logged, and passes",
            "22: service `open` is public: `authentication` is `none`",
            "30: deployment `orders/staging` is public: `authentication` is `none`",
        ],
    );
    // By the letter of interface.md 3 only `unknown_service` and `malformed_request` are always enforced.
    warnings(
        "services: [{name: a, authentication: {any: [api_key]}, enabled: false, mode: shadow}]\n",
        &["1: `a` is in shadow: although it is switched off, every request passes, and is logged as denied"],
    );
    warnings(
        "services: [{name: a, authentication: {all: [static_token]}}]\n",
        &[
            "1: `a` takes a `static_token` from any address: whoever comes upon the token can use it; name the \
           callers' `networks`",
        ],
    );
    warnings(
        "services: [{name: a, authentication: {all: [static_token]}, networks: {allow: [192.0.2.1]}}]\n",
        &[],
    );
    let tokens = "projects: [{name: p}]\nservices: [{name: a, authentication: {any: [token]}}]\n";
    warnings(
        tokens,
        &[
            "2: without `public_url` there is nothing at `/identity/v3` and `/auth/access-keys`, which answer 404: \
           operators make the access keys, and `/oauth2/token` is where they buy tokens",
        ],
    );
    warnings(&format!("public_url: https://a.example\n{tokens}"), &[]);
    warnings(&tokens.replace("token]", "token: {kinds: [dynamic]}]"), &[]);
    warnings(
        "services: [{name: a, authentication: {any: [api_key]}, networks: {allow: []}}]\n",
        &["1: `allow` is empty: no address may pass"],
    );
    warnings(
        "services: [{name: a, authentication: none, groups: {deny: [g]}, rules: [{groups: [g]}]}]\n",
        &[
            "1: service `a` is public: `authentication` is `none`",
            "1: `a` asks nobody for proof, and has `groups`: it denies everybody with `missing_credential`",
        ],
    );
    warnings(
        "services: [{name: a, authentication: none, rules: [{groups: [g]}]}]\n",
        &[
            "1: service `a` is public: `authentication` is `none`",
            "1: `a` asks nobody for proof, and has `rules`: what they cover is denied to everybody with \
             `missing_credential`",
        ],
    );
    warnings(
        "services:\n- name: a\n  paths: [/a, /b/c]\n  authentication: {any: [api_key]}\n  rules:\n\
         \x20 - {paths: [/x, /ab], groups: [g]}\n  - {paths: [/x, /a/b], groups: [g]}\n  - {paths: [/b], groups: [g]}\n  - {groups: [g]}\n",
        &[
            "6: the `paths` of this rule are outside of those of `a`: it holds only where a route names the deployment",
        ],
    );
    warnings(
        "client_address: {trusted_proxies: [0.0.0.0/0]}\nservices: []\n",
        &[
            "1: `trusted_proxies` has `0.0.0.0/0`, all addresses of IPv4: every client may claim to have another one",
        ],
    );
    warnings(
        "client_address:\n  trusted_proxies: [unix, 0.0.0.0/1,\n    128.0.0.0/1, '::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff']\nservices: []\n",
        &[
            "2: `trusted_proxies` has all addresses of IPv4: every client may claim to have another one",
            "3: `trusted_proxies` has `::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff`, all addresses of IPv6: every \
             client may claim to have another one",
        ],
    );
}

#[track_caller]
fn shown(name: &str, expected: &str) {
    let desk = Desk::with(POLICY);
    let loaded = desk.load(&[], &[]).ok().unwrap();
    match effective(&loaded, name) {
        Ok(effective) => assert_eq!(desk.told(effective.to_yaml()), expected),
        Err(message) => assert_eq!(message, expected),
    }
}

#[test]
fn the_policy_that_results_is_shown_with_the_origin_of_each_line() {
    shown(
        "orders/production",
        r#"# orders/production
service: "orders"  # service, doorward.yaml:7
infrastructure: "production"  # deployment, doorward.yaml:24
enabled: true  # default
hosts: ["api.example.com"]  # service, doorward.yaml:8
paths: null  # default
path: "resolve"  # service, doorward.yaml:21
authentication:  # service, doorward.yaml:9
  any:  # service, doorward.yaml:10
    - api_key:  # service, doorward.yaml:11
        bearer: false  # default
        hide: true  # default
        in: ["header","query"]  # default
        names:  # default
          - "apikey"  # default
          - "X-API-Key"  # default
          - in: ["query"]  # default
            name: "key"  # default
        preflight: true  # default
    - static_token:  # service, doorward.yaml:12
        headers: ["Authorization","X-Auth-Token"]  # default
networks:  # service, doorward.yaml:13
  allow: ["198.51.100.0/24"]  # service, doorward.yaml:13
groups:  # service, doorward.yaml:14
  allow: ["gold"]  # service, doorward.yaml:14
rules:  # service, doorward.yaml:15
  - methods: ["POST"]  # service, doorward.yaml:16
    paths: ["/orders/admin"]  # service, doorward.yaml:17
    permissions: ["read"]  # service, doorward.yaml:18
    roles: ["admin","p/member"]  # service, doorward.yaml:19
mode: "shadow"  # service, doorward.yaml:20
"#,
    );
    shown(
        "orders/staging",
        r#"# orders/staging
service: "orders"  # service, doorward.yaml:7
infrastructure: "staging"  # deployment, doorward.yaml:26
enabled: false  # deployment, doorward.yaml:27
hosts: ["staging.example.com"]  # deployment, doorward.yaml:28
paths: null  # default
path: "resolve"  # service, doorward.yaml:21
authentication: "none"  # override, doorward.yaml:30
networks:  # override, doorward.yaml:31
  deny:  # override, doorward.yaml:32
    - "203.0.113.0/24"  # override, doorward.yaml:33
    - "203.0.113.9-203.0.113.77"  # override, doorward.yaml:34
groups: null  # override, doorward.yaml:35
rules: []  # override, doorward.yaml:36
mode: "enforce"  # override, doorward.yaml:37
"#,
    );
    shown(
        "open/staging",
        r#"# open/staging
service: "open"  # service, doorward.yaml:22
infrastructure: "staging"  # deployment, doorward.yaml:38
enabled: false  # service, doorward.yaml:22
hosts: null  # default
paths: ["/open"]  # deployment, doorward.yaml:38
path: "strict"  # default
authentication: "none"  # service, doorward.yaml:22
networks: null  # default
groups: null  # default
rules: []  # default
mode: "enforce"  # default
"#,
    );
}

#[test]
fn a_deployment_that_is_not_there_is_told_with_those_that_are() {
    shown(
        "orders/produktion",
        "unknown deployment `orders/produktion`, expected one of `open/staging`, `orders/production`, \
         `orders/staging` or its id; did you mean `orders/production`?",
    );
}

#[test]
fn the_policy_that_results_is_shown_as_json_too() {
    let desk = Desk::with(POLICY);
    let loaded = desk.load(&[], &[]).ok().unwrap();
    let shown = effective(&loaded, "orders/staging").ok().unwrap().to_json();
    assert_eq!(shown["deployment"], "orders/staging");
    assert_eq!(shown["policy"]["authentication"], "none");
    assert_eq!(shown["policy"]["mode"], "enforce");
    assert_eq!(shown["policy"]["groups"], Value::Null);
    assert_eq!(desk.told(shown["origins"]["networks.deny"].as_str().unwrap()), "override, doorward.yaml:32");
    assert_eq!(desk.told(shown["origins"]["path"].as_str().unwrap()), "service, doorward.yaml:21");
    assert_eq!(shown["origins"].get("paths"), None);
}
