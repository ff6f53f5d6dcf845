//! Objects of the store beside the file: one catalog, and who is blamed for what.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::config::Kind;
use crate::domain::authentication::Authentication as Proof;

const FILE: &str = r#"permissions: [{name: read}]
groups: [{name: devs}]
infrastructures: [{name: production}]
services: [{name: own, hosts: [own.example], authentication: {any: [api_key]}, grants: {devs: [read]}}]
"#;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

struct Shelf {
    basis: Basis,
    objects: Vec<Arc<Object>>,
}

impl Shelf {
    fn new() -> Self {
        Self::beside(FILE)
    }

    fn beside(file: &str) -> Self {
        Self { basis: Basis::new(good(file), &peppers()).ok().unwrap(), objects: Vec::new() }
    }

    fn put(&mut self, number: u128, kind: Kind, json: Value) -> &mut Self {
        self.put_of(number, kind, None, json)
    }

    fn put_of(&mut self, number: u128, kind: Kind, service: Option<u128>, json: Value) -> &mut Self {
        let object = Object::read(kind, id(number), json).unwrap();
        self.objects.push(Arc::new(object.placed(service.map(id), number as u64)));
        self
    }

    /// The deployments that there are, and who is left out, as `number: path: why`.
    #[track_caller]
    fn check(&self, deployed: &[&str], refused: &[&str]) -> Catalog {
        let (catalog, compiled) = self.basis.compile(&self.objects);
        let names: Vec<String> = catalog.deployments().iter().map(|it| it.name()).collect();
        let mut told: Vec<String> = compiled
            .refused()
            .iter()
            .flat_map(|(id, wrong)| wrong.iter().map(|it| format!("{}: {it}", id.as_u128())))
            .collect();
        told.sort();
        assert_eq!(
            (names.iter().map(String::as_str).collect::<Vec<_>>(), told),
            (deployed.to_vec(), refused.iter().map(|it| (*it).to_owned()).collect())
        );
        catalog
    }
}

#[test]
fn stored_objects_and_the_files_are_one_policy() {
    let mut shelf = Shelf::new();
    shelf
        .put(1, Kind::Service, json!({"name": "orders", "authentication": {"any": ["api_key"]}, "rules": [{"permissions": ["read"]}]}))
        .check(&["own"], &[]);
    shelf.put(
        2,
        Kind::Deployment,
        json!({"service": id(1), "infrastructure": "production", "hosts": ["o.example"]}),
    );
    let catalog = shelf.check(&["own", "orders/production"], &[]);
    let [own, orders] = catalog.deployments() else { panic!("two deployments") };
    assert_eq!((orders.id, orders.service, own.stored, orders.stored), (id(2), id(1), false, true));
    assert_eq!(orders.policy.rules[0].permissions, [derived("permission", "read")]);
    // A service of the file where the store deploys it.
    shelf.put(
        3,
        Kind::Deployment,
        json!({"service": "own", "infrastructure": "production", "enabled": false, "hosts": ["x.example"]}),
    );
    let catalog = shelf.check(&["own", "orders/production", "own/production"], &[]);
    assert!(catalog.deployments()[2].stored && !catalog.deployments()[2].enabled);
}

#[test]
fn a_deployment_activates_the_latest_version_unless_it_says_otherwise() {
    let mut shelf = Shelf::new();
    shelf
        .put(1, Kind::Service, json!({"name": "orders", "authentication": {"any": ["api_key"]}, "networks": {"allow": ["192.0.2.1"]}}))
        .put(2, Kind::Deployment, json!({"service": id(1), "infrastructure": "production"}));
    let proof = |catalog: &Catalog| Proof::clone(&catalog.deployments()[1].policy.authentication);
    assert_ne!(proof(&shelf.check(&["own", "orders/production"], &[])), Proof::None);
    shelf.put_of(3, Kind::Version, Some(1), json!({"name": "v1", "policy": {"authentication": "none"}}));
    let catalog = shelf.check(&["own", "orders/production"], &[]);
    assert_eq!(proof(&catalog), Proof::None);
    assert!(catalog.deployments()[1].policy.networks.in_force(), "what a version does not name stays");
    shelf.put_of(4, Kind::Version, Some(1), json!({"name": "v2", "policy": {"networks": null}}));
    let catalog = shelf.check(&["own", "orders/production"], &[]);
    assert_ne!(proof(&catalog), Proof::None);
    assert!(!catalog.deployments()[1].policy.networks.in_force());
    shelf.objects.remove(1);
    shelf.put(
        5,
        Kind::Deployment,
        json!({"service": id(1), "infrastructure": "production", "version": "v1"}),
    );
    assert_eq!(proof(&shelf.check(&["own", "orders/production"], &[])), Proof::None);
    shelf.objects.pop();
    shelf.put(
        5,
        Kind::Deployment,
        json!({"service": id(1), "infrastructure": "production", "version": "v9"}),
    );
    shelf.check(
        &["own"],
        &["5: version: `orders` has no version `v9`, expected one of `v1`, `v2` or its id; did you mean `v1`?"],
    );
}

#[test]
fn what_is_wrong_is_left_out_with_all_that_needs_it_and_nothing_else() {
    let mut shelf = Shelf::new();
    let orders = json!({"name": "orders", "authentication": {"any": ["api_key"]}, "rules": [{"permissions": [id(7)]}]});
    shelf
        .put(1, Kind::Service, orders)
        .put(2, Kind::Deployment, json!({"service": id(1), "infrastructure": "production"}))
        .put(3, Kind::Service, json!({"name": "fine", "authentication": "none"}))
        .put(
            4,
            Kind::Deployment,
            json!({"service": id(3), "infrastructure": "production", "hosts": ["f.example"]}),
        );
    let unknown = "expected one of `read` or its id";
    shelf.check(
        &["own", "fine/production"],
        &[
            &format!("1: rules[0].permissions[0]: unknown permission `{}`, {unknown}", id(7)),
            &format!("2: service: unknown service `{}`, expected one of `fine`, `own` or its id", id(1)),
        ],
    );
    shelf.put(7, Kind::Permission, json!({"name": "write"}));
    shelf.check(&["own", "orders/production", "fine/production"], &[]);
}

#[test]
fn the_file_wins_and_of_two_that_are_stored_the_older() {
    let mut shelf = Shelf::new();
    let deployed = |service: u128| json!({"service": id(service), "infrastructure": "production", "hosts": ["own.example"]});
    shelf
        .put(1, Kind::Service, json!({"name": "own", "authentication": "none"}))
        .put(2, Kind::Service, json!({"name": "a", "authentication": "none"}))
        .put(3, Kind::Deployment, deployed(2));
    shelf.check(
        &["own"],
        &[
            "1: name: there are two services with the name `own`; the other is in line 4",
            "3: service: the services `own` (line 4) and `a/production` both answer to the host \
             `own.example` and the path `/`; give one of them other `hosts` or `paths`",
        ],
    );
    let mut shelf = Shelf::new();
    let here = |service: u128| json!({"service": id(service), "infrastructure": "production", "hosts": ["x.example"]});
    shelf
        .put(1, Kind::Service, json!({"name": "a", "authentication": "none"}))
        .put(2, Kind::Service, json!({"name": "b", "authentication": "none"}))
        .put(3, Kind::Deployment, here(2))
        .put(4, Kind::Deployment, here(1));
    let (catalog, compiled) = shelf.basis.compile(&shelf.objects);
    assert_eq!(catalog.deployments().last().map(|it| it.name()).as_deref(), Some("b/production"));
    assert_eq!(compiled.refused().keys().collect::<Vec<_>>(), [&id(4)]);
}

/// One that is broken here must not hand its deployments to the one before, which may ask for less.
#[test]
fn a_version_that_cannot_be_used_takes_its_service_along() {
    let mut shelf = Shelf::new();
    shelf
        .put(1, Kind::Service, json!({"name": "a", "authentication": "none"}))
        .put(2, Kind::Deployment, json!({"service": id(1), "infrastructure": "production"}))
        .put_of(
            3,
            Kind::Version,
            Some(1),
            json!({"name": "v1", "policy": {"rules": [{"permissions": ["gone"]}]}}),
        );
    shelf.check(
        &["own"],
        &[
            "1: its version `v1` cannot be used",
            "2: service: unknown service `00000000-0000-0000-0000-000000000001`, expected one of `own` or its id",
            "3: policy.rules[0].permissions[0]: unknown permission `gone`, expected one of `read` or its id",
        ],
    );
}

#[test]
fn an_object_that_is_not_one_is_told_by_path() {
    #[track_caller]
    fn check(kind: Kind, json: Value, expected: &str) {
        let said = Object::read(kind, id(1), json).err().map(|wrong| wrong.to_string()).unwrap_or_default();
        assert!(said.starts_with(expected), "{said}");
    }
    let service = |more: Value| {
        let mut service = json!({"name": "a", "authentication": {"any": ["api_key"]}});
        service.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        service
    };
    check(Kind::Service, json!({"name": "a"}), "`authentication` is missing: say what proves a caller");
    check(Kind::Service, service(json!({"hostz": ["x"]})), "hostz: unknown key `hostz`, expected one of");
    check(Kind::Service, service(json!({"hosts": [1]})), "hosts[0]: expected text");
    check(Kind::Service, service(json!({"hosts": "x"})), "hosts: expected a list");
    check(Kind::Service, service(json!({"mode": "off"})), "mode: unknown word `off`");
    check(Kind::Service, service(json!({"enabled": "yes"})), "enabled: expected `true` or `false`");
    check(Kind::Deployment, json!({"service": "a"}), "`infrastructure` is missing");
    check(Kind::Role, json!({"name": "a", "implies": [null]}), "implies[0]: expected text, found nothing");
    check(Kind::Permission, json!([]), "expected a map of");
}

#[test]
fn references_become_ids() {
    let mut shelf = Shelf::new();
    shelf
        .put(1, Kind::Role, json!({"name": "admin"}))
        .put(2, Kind::Project, json!({"name": "p"}))
        .put(3, Kind::Service, json!({"name": "a", "authentication": "none"}))
        .put_of(4, Kind::Version, Some(3), json!({"name": "v1", "policy": {}}));
    let (_, compiled) = shelf.basis.compile(&shelf.objects);
    let named = |kind, json| {
        let mut object = Object::read(kind, id(9), json).unwrap();
        compiled.refer_by_id(&mut object);
        object.settings()
    };
    let read = derived("permission", "read");
    let service = named(
        Kind::Service,
        json!({"name": "b", "authentication": "none", "rules": [{"permissions": ["read"], "roles": ["admin", "p/admin"]}],
               "grants": {"devs": ["admin"]}}),
    );
    assert_eq!(
        service["rules"],
        json!([{"permissions": [read], "roles": [id(1), format!("{}/{}", id(2), id(1))]}])
    );
    assert_eq!(service["grants"], json!({derived("group", "devs").to_string(): ["admin"]}));
    let deployment =
        named(Kind::Deployment, json!({"service": "a", "infrastructure": "production", "version": "v1"}));
    let production = derived("infrastructure", "production");
    assert_eq!(deployment, json!({"service": id(3), "infrastructure": production, "version": id(4)}));
    assert_eq!(named(Kind::Role, json!({"name": "b", "implies": ["admin"]}))["implies"], json!([id(1)]));
}

#[test]
fn a_header_that_the_file_takes_for_claims_costs_one_stored_object_and_no_other() {
    let file = format!(
        "{FILE}issuers:\n  a: {{issuer: b, audiences: [c], algorithms: [RS256], jwks_url: \"https://a.example/k\"}}\n"
    );
    let mut shelf = Shelf::beside(&format!("{file}headers: {{claims: [X-Thing]}}\n"));
    let service = |name: &str, method: Value| json!({"name": name, "authentication": {"any": [method]}});
    let key = |name: &str| json!({"api_key": {"names": [name], "in": ["header"]}});
    let jwt = |header: &str| json!({"jwt": {"issuer": "a", "claims": {"headers": {header: "t"}}}});
    shelf.put(1, Kind::Service, service("key", key("X_Thing")));
    shelf.put(2, Kind::Service, service("other-key", key("X-Other")));
    shelf.put(3, Kind::Service, service("claim", jwt("x-thing")));
    shelf.put(4, Kind::Service, service("other-claim", jwt("X-Other")));
    shelf.check(
        &["own"],
        &[
            "1: authentication.any[0].api_key.names[0]: the name `X_Thing` is, but for case and dashes, a header that tells the upstream who called; choose another",
            "4: authentication.any[0].jwt.claims.headers.X-Other: the header `X-Other` is not declared: claims are told under those of `headers.claims` in the file, which has `x-thing`",
        ],
    );
}

#[test]
fn a_group_that_is_named_by_its_id_is_the_one_of_that_name_too() {
    let mut shelf = Shelf::new();
    let devs = crate::config::derived("group", "devs");
    let service = json!({ "name": "shop", "paths": ["/shop"], "authentication": {"any": ["api_key"]},
        "groups": { "deny": [devs, "other"] }, "rules": [{ "groups": [devs] }] });
    shelf.put(1, Kind::Service, service);
    shelf.put(2, Kind::Deployment, json!({ "service": id(1), "infrastructure": "production" }));
    let catalog = shelf.check(&["own", "shop/production"], &[]);
    let policy = &catalog.deployments()[1].policy;
    assert_eq!(
        *policy.groups,
        crate::domain::deployment::Groups::Deny(vec![devs.to_string(), "other".into(), "devs".into()])
    );
    assert_eq!(policy.rules[0].groups, [devs.to_string(), "devs".into()], "a token may claim either");
}
