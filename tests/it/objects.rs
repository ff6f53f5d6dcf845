//! Services, deployments and the rest over the API and by command, asked through a real Envoy.

use serde_json::{Value, json};

use crate::fleet::{Answer, Fleet};
use crate::rig::doorward::Doorward;
use crate::rig::http1::{Reply, request, send_to_socket};
use crate::rig::process::Signal;
use crate::rig::wait::eventually;
use crate::world::{HOUSE, World};

/// A call over the socket.
#[track_caller]
fn admin(doorward: &Doorward, method: &str, path: &str, body: Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("Content-Type", "application/json"), ("Connection", "close")];
    let socket = doorward.setup().folder.join("doorward.sock");
    send_to_socket(&socket, &request(method, path, &headers, body.as_bytes()))
        .unwrap_or_else(|message| panic!("{message}"))
}

/// One that has to be answered like this.
#[track_caller]
fn call(world: &World, method: &str, path: &str, body: Value, status: u16) -> Value {
    let reply = admin(&world.doorward, method, path, body);
    assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
}

fn metric(world: &World, name: &str) -> Option<String> {
    let metrics = world.doorward.status("/metrics").unwrap().text();
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
}

#[test]
fn a_deployment_made_by_command_is_asked_through_envoy_until_it_is_switched_off() {
    let world = World::with("listen: {grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}\n", |_| {});
    assert_eq!(world.get("/shop/1", &[]).status, 404);
    world.command(&["infrastructure", "create", "production"]);
    world.command(&["service", "create", "shop", "--path", "/shop", "--authentication", "{any: [api_key]}"]);
    assert_eq!(world.get("/shop/1", &[]).status, 404, "nobody has deployed it");
    let made = world.command(&["deployment", "create", "shop", "production"]);
    assert_eq!(made["name"], "shop/production");
    world.command(&["consumer", "create", "carol"]);
    let (key, id) = world.key("carol", &["--service", "shop/production"]);

    assert_eq!(world.get("/shop/1", &[("apikey", &key)]).status, 200);
    assert_eq!(world.get("/shop/1", &[("apikey", "nobodys-key-0123456789")]).status, 401);
    assert_eq!(world.get("/shop/1", &[]).status, 401);

    world.command(&["deployment", "update", "shop/production", "--disable"]);
    let denied = world.get("/shop/1", &[("apikey", &key)]);
    assert_eq!((denied.status, &denied.json()["code"]), (503, &json!("deployment_disabled")));
    world.command(&["deployment", "update", "shop/production", "--enable"]);
    assert_eq!(world.get("/shop/1", &[("apikey", &key)]).status, 200);

    let keys = world.command(&["deployment", "keys", "shop/production"]);
    assert_eq!((keys[0]["id"].as_str(), keys.as_array().map(Vec::len)), (Some(&id[..]), Some(1)));
    let public = keys[0]["key"].as_str().unwrap();
    assert!(public.starts_with("dw_key_") && key.starts_with(public) && key != public, "{public}");
    let sample = world.command(&["deployment", "sample", "shop/production"]);
    assert_eq!(
        sample["curl"],
        format!(
            "curl -X POST --header 'apikey: {public}' --header 'Content-Type: application/json' \
             'https://HOST/shop' --data '{{\"key\": \"value\"}}'"
        )
    );
    // What is explained is what is decided.
    let told = world.command(&["explain", "https://api.example/shop/1", "-H", &format!("apikey: {key}")]);
    assert_eq!((&told["verdict"], &told["service"]), (&json!("allow"), &json!("shop")));

    world.command(&["deployment", "delete", "shop/production"]);
    assert_eq!(world.get("/shop/1", &[("apikey", &key)]).status, 404);
    world.command(&["service", "delete", "shop"]);
}

#[test]
fn a_version_is_active_from_its_upload_unless_a_deployment_says_otherwise() {
    let world = World::new();
    call(&world, "POST", "/infrastructures", json!({"name": "production"}), 201);
    let shop = json!({"name": "shop", "paths": ["/shop"], "authentication": {"any": ["api_key"]}});
    call(&world, "POST", "/services", shop, 201);
    let deployment = json!({"service": "shop", "infrastructure": "production"});
    call(&world, "POST", "/deployments", deployment, 201);
    let gets = |expected: u16| assert_eq!(world.get("/shop", &[]).status, expected);
    gets(401);
    call(
        &world,
        "POST",
        "/services/shop/versions",
        json!({"name": "open", "policy": {"authentication": "none"}}),
        201,
    );
    gets(200);
    call(
        &world,
        "POST",
        "/services/shop/versions",
        json!({"name": "shut", "policy": {"groups": {"allow": ["gold"]}}}),
        201,
    );
    gets(401);
    call(&world, "PATCH", "/deployments/shop%2Fproduction", json!({"version": "open"}), 200);
    gets(200);
    let refused = call(&world, "DELETE", "/services/shop/versions/open", Value::Null, 409);
    assert_eq!(refused["code"], "in_use", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("deployment `shop/production`"), "{refused}");
    call(&world, "PATCH", "/deployments/shop%2Fproduction", json!({"version": null}), 200);
    gets(401);
    // An override is the deployment's own, whatever the version says.
    let own = json!({"override": {"authentication": "none", "groups": null}});
    call(&world, "PATCH", "/deployments/shop%2Fproduction", own, 200);
    gets(200);
    call(&world, "DELETE", "/services/shop/versions/open", Value::Null, 204);
    let left = call(&world, "GET", "/services/shop/versions", Value::Null, 200);
    assert_eq!(left["data"].as_array().unwrap().iter().map(|it| &it["name"]).collect::<Vec<_>>(), ["shut"]);
}

#[test]
fn what_is_written_wrong_is_told_by_path_and_nothing_is_stored() {
    let world = World::new();
    let service = |more: Value| {
        let mut service = json!({"name": "shop", "authentication": {"any": ["api_key"]}});
        service.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        service
    };
    #[rustfmt::skip] // A table is read by its columns.
    let cases = [
        ("/services",     json!({"name": "shop"}),                                    "@entity",                  "`authentication` is missing"),
        ("/services",     service(json!({"hostz": ["a"]})),                           "hostz",                    "unknown key `hostz`"),
        ("/services",     service(json!({"hosts": ["a b"]})),                         "hosts[0]",                 "`a b` is no host"),
        ("/services",     service(json!({"hosts": []})),                              "hosts",                    "`hosts` is empty"),
        ("/services",     service(json!({"paths": ["/a/../b"]})),                     "paths[0]",                 "is no path"),
        ("/services",     service(json!({"networks": {"allow": ["192.0.2.010"]}})),   "networks.allow[0]",        "192.0.2.010"),
        ("/services",     service(json!({"rules": [{"permissions": ["gone"]}]})),     "rules[0].permissions[0]",  "unknown permission `gone`"),
        ("/services",     service(json!({"rules": [{}]})),                            "rules[0]",                 "a rule asks for nothing"),
        ("/services",     service(json!({"grants": {"gone": ["read"]}})),             "grants.gone",              "unknown group `gone`"),
        ("/services",     service(json!({"name": "a/b"})),                            "name",                     "other characters"),
        ("/services",     service(json!({"versions": []})),                           "versions",                 "uploaded one by one"),
        ("/services",     service(json!({"id": "x"})),                                "id",                       "expected a UUID"),
        ("/services",     service(json!({"id": "58e97452-d670-5d90-a9da-3d731490e12c"})), "id",                   "version 5"),
        ("/services",     service(json!({"tags": "a"})),                              "tags",                     "expected a list"),
        ("/services",     json!({"name": "shop", "authentication": {"any": ["api_key"], "anonymous": "gone"}}), "authentication.anonymous", "no consumer"),
        ("/deployments",  json!({"service": "gone", "infrastructure": "production"}), "infrastructure",           "unknown infrastructure"),
        ("/roles",        json!({"name": "admin", "implies": ["gone"]}),              "implies[0]",               "unknown role `gone`"),
        ("/groups",       json!({"name": "devs", "privileges": ["fly"]}),             "privileges[0]",            "unknown word `fly`"),
        ("/projects",     json!({"name": "p", "domain_id": 1}),                       "domain_id",                "expected"),
        ("/permissions",  json!({"name": ""}),                                        "name",                     "is empty"),
    ];
    for (path, body, field, why) in cases {
        let refused = call(&world, "POST", path, body.clone(), 400);
        let told =
            refused["fields"][field].as_str().unwrap_or_else(|| panic!("{field} of {body}: {refused}"));
        assert!(told.contains(why), "{body}: {told}");
    }
    for (list, known) in
        [("services", 13), ("deployments", 13), ("roles", 0), ("groups", 0), ("permissions", 2)]
    {
        let all = call(&world, "GET", &format!("/{list}"), Value::Null, 200);
        let all = all["data"].as_array().unwrap();
        assert_eq!(all.len(), known, "{list}");
        assert!(all.iter().all(|it| it["declared_in_file"] == true), "{list}");
        if ["services", "deployments"].contains(&list) {
            assert!(all.iter().all(|it| it["enabled"] == true), "{list}: {all:?}");
        }
    }
    assert_eq!(metric(&world, "doorward_objects").as_deref(), Some("0"));
}

#[test]
fn what_the_file_owns_is_409_and_what_is_needed_stays() {
    let world = World::new();
    let owned = |method: &str, path: &str, body: Value| {
        assert_eq!(call(&world, method, path, body, 409)["code"], "owned_by_file", "{method} {path}");
    };
    owned("POST", "/services", json!({"name": "orders", "authentication": "none"}));
    owned("PUT", "/services/orders", json!({"name": "orders", "authentication": "none"}));
    owned("PATCH", "/services/orders", json!({"mode": "shadow"}));
    owned("DELETE", "/services/orders", Value::Null);
    owned("PATCH", "/permissions/user-management", json!({"description": "x"}));
    owned("POST", "/services/orders/versions", json!({"name": "v1", "policy": {}}));
    owned("PATCH", "/deployments/orders", json!({"enabled": false}));
    assert_eq!(call(&world, "GET", "/services/orders", Value::Null, 200)["declared_in_file"], true);

    let needed = |path: &str, by: &str| {
        let refused = call(&world, "DELETE", path, Value::Null, 409);
        let message = refused["message"].as_str().unwrap();
        assert!(refused["code"] == "in_use" && message.contains(by), "{path}: {refused}");
    };
    call(&world, "POST", "/infrastructures", json!({"name": "production"}), 201);
    call(&world, "POST", "/groups", json!({"name": "devs"}), 201);
    call(&world, "POST", "/permissions", json!({"name": "buy"}), 201);
    call(&world, "POST", "/roles", json!({"name": "admin"}), 201);
    call(&world, "POST", "/projects", json!({"name": "p"}), 201);
    let rules = json!([{"permissions": ["buy"], "roles": ["p/admin"]}]);
    let shop =
        json!({"name": "shop", "paths": ["/shop"], "authentication": {"any": ["api_key"]}, "rules": rules});
    call(&world, "POST", "/services", shop.clone(), 201);
    call(&world, "POST", "/services", shop.clone(), 409);
    call(&world, "POST", "/deployments", json!({"service": "shop", "infrastructure": "production"}), 201);
    let again =
        call(&world, "POST", "/deployments", json!({"service": "shop", "infrastructure": "production"}), 409);
    assert_eq!(again["code"], "taken");
    call(&world, "PUT", "/services/shop/grants/devs", json!({"privileges": ["read", "deploy"]}), 200);
    needed("/services/shop", "deployment `shop/production`: end or change that first");
    needed("/infrastructures/production", "deployment `shop/production`: end or change that first");
    needed("/permissions/buy", "service `shop`: end or change that first");
    needed("/roles/admin", "service `shop`");
    needed("/projects/p", "service `shop`");
    needed("/groups/devs", "service `shop`");
    // Where it would take the place of another.
    let elsewhere = json!({"name": "shop2", "paths": ["/orders"], "authentication": "none"});
    call(&world, "POST", "/services", elsewhere, 201);
    let clash = call(
        &world,
        "POST",
        "/deployments",
        json!({"service": "shop2", "infrastructure": "production"}),
        400,
    );
    assert!(clash["message"].as_str().unwrap().contains("both answer to"), "{clash}");

    call(&world, "PUT", "/projects/p/users/alice/roles/admin", Value::Null, 409);
    call(&world, "POST", "/consumers", json!({"username": "carol", "permissions": ["buy"]}), 201);
    call(&world, "PUT", "/projects/p/users/carol/roles/admin", Value::Null, 204);
    let (key, _) = world.key("carol", &[]);
    assert_eq!(world.get("/shop", &[("apikey", &key)]).status, 200, "carol has the permission and the role");
    call(&world, "PATCH", "/services/shop", json!({"rules": null}), 200);
    needed("/permissions/buy", "consumer `carol`");
    needed("/roles/admin", "consumer `carol`");
    needed("/projects/p", "consumer `carol`");
    let renamed = call(&world, "PATCH", "/roles/admin", json!({"name": "boss"}), 409);
    assert_eq!(renamed["code"], "in_use");
    call(&world, "DELETE", "/projects/p/users/carol/roles/admin", Value::Null, 204);
    call(&world, "DELETE", "/projects/p/users/carol/roles/admin", Value::Null, 404);
    for path in ["/roles/admin", "/projects/p"] {
        call(&world, "DELETE", path, Value::Null, 204);
    }
    call(&world, "DELETE", "/services/shop/grants/devs", Value::Null, 204);
    call(&world, "DELETE", "/services/shop/grants/devs", Value::Null, 404);
    // Whom a policy means that names a group by its id is known by the group's name.
    let devs = call(&world, "GET", "/groups/devs", Value::Null, 200)["id"].clone();
    let spelled = devs.as_str().unwrap().to_uppercase();
    for (setting, value) in [
        ("groups", json!({"deny": [spelled]})),
        ("groups", json!({"allow": [devs]})),
        ("groups", json!({"deny": ["others", devs]})),
        ("rules", json!([{"paths": ["/admin"], "groups": [devs]}])),
    ] {
        call(&world, "PATCH", "/services/shop", json!({setting: value}), 200);
        needed("/groups/devs", "service `shop`");
        for (method, settings) in [("PATCH", json!({"name": "ops"})), ("PUT", json!({"name": "ops"}))] {
            let path = format!("/groups/{}", devs.as_str().unwrap());
            assert_eq!(call(&world, method, &path, settings, 409)["code"], "in_use", "{method} {setting}");
        }
        call(&world, "PATCH", "/groups/devs", json!({"privileges": ["create_service"]}), 200);
        call(&world, "PATCH", "/services/shop", json!({setting: null}), 200);
    }
    call(&world, "DELETE", "/groups/devs", Value::Null, 204);
    call(&world, "DELETE", "/groups/devs", Value::Null, 404);
}

#[test]
fn objects_are_listed_page_by_page_and_read_back_as_they_were_written() {
    let world = World::new();
    for number in 0..7 {
        let tags = if number % 2 == 0 { json!(["even", "all"]) } else { json!(["all"]) };
        call(&world, "POST", "/permissions", json!({"name": format!("p{number}"), "tags": tags}), 201);
    }
    let walk = |mut path: String| {
        let mut names = Vec::new();
        loop {
            let page = call(&world, "GET", &path, Value::Null, 200);
            let rows = page["data"].as_array().unwrap();
            assert!(rows.len() <= 2);
            names.extend(rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => path = next.to_owned(),
                None => break,
            }
        }
        names.sort();
        names
    };
    assert_eq!(walk("/permissions?size=2".to_owned()).len(), 9, "the file's two as well");
    assert_eq!(walk("/permissions?size=2&tags=all,even".to_owned()), ["p0", "p2", "p4", "p6"]);
    assert_eq!(walk("/permissions?size=2&tags=even%2Fnone".to_owned()), ["p0", "p2", "p4", "p6"]);
    call(&world, "GET", "/permissions?tags=a,b%2Fc", Value::Null, 400);
    call(&world, "GET", "/permissions?size=0", Value::Null, 400);

    call(&world, "POST", "/infrastructures", json!({"name": "production"}), 201);
    let shop = json!({
        "name": "shop", "hosts": ["Shop.Example"], "authentication": {"all": [{"api_key": {"names": ["k"]}}]},
        "groups": {"deny": ["bad"]}, "mode": "shadow", "tags": ["x"],
    });
    let made = call(&world, "POST", "/services", shop, 201);
    let read = call(&world, "GET", "/services/shop", Value::Null, 200);
    assert_eq!(made, read);
    let written =
        call(&world, "PUT", &format!("/services/{}", read["id"].as_str().unwrap()), read.clone(), 200);
    let but_time = |mut row: Value| {
        row.as_object_mut().unwrap().remove("updated_at");
        row
    };
    assert_eq!(but_time(written), but_time(read));
    call(&world, "PUT", "/services/shop", json!({"authentication": "none"}), 200);
    let replaced = call(&world, "GET", "/services/shop", Value::Null, 200);
    assert_eq!((&replaced["hosts"], &replaced["tags"]), (&Value::Null, &json!([])));
    call(&world, "PUT", "/services/other", json!({"authentication": "none"}), 200);
    call(&world, "DELETE", "/services/other", Value::Null, 204);
    call(&world, "GET", "/services/other", Value::Null, 404);
}

#[test]
fn a_file_that_takes_a_stored_objects_place_shuts_that_one_alone_and_says_so() {
    // Beneath a public one of the file that takes every path.
    let house = HOUSE.replace("services:\n", "services:\n  - {name: site, authentication: none}\n");
    let world = World::with(&house, |_| {});
    call(&world, "POST", "/infrastructures", json!({"name": "production"}), 201);
    for name in ["one", "two"] {
        let service = json!({"name": name, "paths": [format!("/{name}")], "authentication": "none"});
        call(&world, "POST", "/services", service, 201);
        call(&world, "POST", "/deployments", json!({"service": name, "infrastructure": "production"}), 201);
        assert_eq!(world.get(&format!("/{name}"), &[]).status, 200);
    }
    // The file has a service of that name now, elsewhere.
    let file = house
        .replace("services:\n", "services:\n  - {name: one, paths: [/elsewhere], authentication: none}\n");
    world.doorward.setup().write(&file).unwrap();
    world.doorward.signal(Signal::HUP).unwrap();
    eventually("the file is read", || (world.get("/one", &[]).status != 200).then_some(()));
    assert_eq!(world.get("/one", &[]).status, 404, "neither the file's nor anybody's");
    for path in ["/two", "/elsewhere", "/three"] {
        assert_eq!(world.get(path, &[]).status, 200, "{path}");
    }
    eventually("it is counted", || {
        (metric(&world, "doorward_objects_refused").as_deref() == Some("2")).then_some(())
    });
    world.doorward.logged("a stored object is left out");
    let objects = call(&world, "GET", "/status", Value::Null, 200)["objects"].clone();
    assert_eq!((&objects["stored"], &objects["refused"]), (&json!(5), &json!(2)), "{objects}");
    let why = objects["why"].as_array().unwrap();
    let service = why.iter().find(|row| row["kind"] == "service").unwrap();
    assert!(
        service["name"] == "one" && service["wrong"][0]["why"].as_str().unwrap().contains("two services"),
        "{objects}"
    );
    world.doorward.setup().write(&house).unwrap();
    world.doorward.signal(Signal::HUP).unwrap();
    eventually("it is back", || (world.get("/one", &[]).status == 200).then_some(()));
}

#[test]
fn the_policy_that_results_is_shown_wherever_its_parts_are() {
    let world = World::new();
    call(&world, "POST", "/infrastructures", json!({"name": "production"}), 201);
    call(&world, "POST", "/groups", json!({"name": "gold"}), 201);
    let shop = json!({"name": "shop", "paths": ["/shop"], "authentication": {"any": ["api_key"]}, "mode": "shadow",
        "groups": {"allow": ["gold"]}});
    call(&world, "POST", "/services", shop, 201);
    for (name, mode) in [("v1", "enforce"), ("v2", "shadow")] {
        let policy = json!({"mode": mode, "networks": {"deny": ["192.0.2.1"]}});
        call(&world, "POST", "/services/shop/versions", json!({"name": name, "policy": policy}), 201);
    }
    let deployment = json!({"service": "shop", "infrastructure": "production", "version": "v1", "hosts": ["a.example"],
        "override": {"groups": null}});
    call(&world, "POST", "/deployments", deployment, 201);
    let told = world.command(&["config", "show", "--effective", "shop/production"]);
    let policy = &told["policy"];
    let origin = |key: &str| told["origins"][key].as_str();
    assert_eq!(told["deployment"], "shop/production");
    assert_eq!((&policy["service"], &policy["infrastructure"]), (&json!("shop"), &json!("production")));
    assert_eq!(
        (&policy["hosts"], origin("hosts")),
        (&json!(["a.example"]), Some("deployment shop/production, in the store"))
    );
    assert_eq!((&policy["paths"], origin("paths")), (&json!(["/shop"]), Some("service shop, in the store")));
    assert_eq!((&policy["mode"], origin("mode")), (&json!("enforce"), Some("version v1, in the store")));
    assert_eq!(
        (&policy["groups"], origin("groups")),
        (&Value::Null, Some("override of shop/production, in the store"))
    );
    assert_eq!((&policy["rules"], &policy["path"]), (&json!([]), &json!("strict")));
    // The latest version, where none is named.
    call(&world, "PATCH", "/deployments/shop%2Fproduction", json!({"version": null}), 200);
    let told = world.command(&["config", "show", "--effective", "shop/production"]);
    assert_eq!(
        (&told["policy"]["mode"], &told["origins"]["mode"]),
        (&json!("shadow"), &json!("version v2, in the store"))
    );
    // What the file declares is told from the file, with its lines.
    let told = world.command(&["config", "show", "--effective", "orders"]);
    assert!(told["origins"]["paths"].as_str().unwrap().starts_with("service, "), "{told}");
    let unknown =
        world.doorward.command(&["config", "show", "--effective", "nowhere/production"]).unwrap_err();
    assert!(unknown.contains("nowhere/production"), "{unknown}");
}

#[test]
fn what_is_stored_is_there_after_a_restart() {
    let mut world = World::new();
    call(&world, "POST", "/infrastructures", json!({"name": "production"}), 201);
    call(
        &world,
        "POST",
        "/services",
        json!({"name": "one", "paths": ["/one"], "authentication": "none"}),
        201,
    );
    call(&world, "POST", "/deployments", json!({"service": "one", "infrastructure": "production"}), 201);
    let setup =
        world.doorward.setup().clone().with("DOORWARD_LISTEN__GRPC", &world.doorward.grpc().to_string());
    world.doorward.process().kill();
    // Commands work on the store meanwhile, and see the same.
    let output = setup.run(&["deployment", "list", "--output", "json"]).unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("one/production"), "{output:?}");
    let output = setup.run(&["service", "update", "one", "--set", "paths=[/uno]"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    world.doorward = setup.start().unwrap();
    eventually("Envoy is back", || (world.get("/uno", &[]).status == 200).then_some(()));
    assert_eq!(world.get("/one", &[]).status, 404);
}

#[test]
fn two_instances_decide_by_the_same_objects() {
    let fleet = Fleet::new(2);
    let [first, second] = &fleet.instances[..] else { panic!("two") };
    let post = |path: &str, body: Value| {
        let reply = first.admin("POST", &format!("{path}?wait=all"), &body);
        assert_eq!(reply.status, 201, "{path}: {}", reply.text());
    };
    post("/infrastructures", json!({"name": "production"}));
    post("/services", json!({"name": "shop", "paths": ["/shop"], "authentication": {"any": ["api_key"]}}));
    post("/deployments", json!({"service": "shop", "infrastructure": "production"}));
    let (key, _) = fleet.key("carol");
    for instance in [first, second] {
        assert_eq!(instance.ask_for("/shop", &key), Answer::Allow);
    }
    let off = json!({"enabled": false});
    let reply = second.admin("PATCH", "/deployments/shop%2Fproduction?wait=all", &off);
    assert_eq!(reply.status, 200, "{}", reply.text());
    for instance in [first, second] {
        assert_eq!(instance.ask_for("/shop", &key), Answer::Deny(503));
    }
    eventually("both have one catalog", || (first.metric("doorward_catalogs") == 1.0).then_some(()));
}

/// Two that are each good and contradict each other: whoever comes second is refused.
#[test]
fn of_two_instances_that_write_at_once_one_is_refused() {
    let fleet = Fleet::new(2);
    let reply = fleet.instances[0].admin("POST", "/infrastructures?wait=all", &json!({"name": "production"}));
    assert_eq!(reply.status, 201);
    let made: Vec<bool> = std::thread::scope(|scope| {
        let writers: Vec<_> = fleet
            .instances
            .iter()
            .enumerate()
            .map(|(number, instance)| {
                scope.spawn(move || {
                    (0..6)
                        .map(|turn| {
                            let name = format!("s{number}-{turn}");
                            let service = json!({"name": name, "paths": [format!("/race-{turn}")], "authentication": "none"});
                            let made = instance.admin("POST", "/services", &service);
                            assert!([201, 202].contains(&made.status), "{}", made.text());
                            let deployment = json!({"service": name, "infrastructure": "production"});
                            let deployed = instance.admin("POST", "/deployments", &deployment);
                            assert!([201, 202, 400].contains(&deployed.status), "{}", deployed.text());
                            deployed.status != 400
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|made| **made).count(), 6, "of two for one path, one");
    for instance in &fleet.instances {
        assert_eq!(instance.metric("doorward_objects_refused"), 0.0);
    }
}

#[test]
fn past_the_lease_a_stored_deployment_is_a_fault_and_the_files_is_none_where_the_route_names_it() {
    let mut fleet = Fleet::new(1);
    let first = &fleet.instances[0];
    let made = |path: &str, body: Value| assert_eq!(first.admin("POST", path, &body).status, 201, "{path}");
    made("/infrastructures", json!({"name": "production"}));
    made("/services", json!({"name": "shop", "paths": ["/shop"], "authentication": "none"}));
    made("/deployments", json!({"service": "shop", "infrastructure": "production"}));
    assert_eq!(first.ask_for("/shop", "x"), Answer::Allow);
    fleet.redis.kill();
    let first = &fleet.instances[0];
    eventually("the lease is over", || (first.ask_for("/shop", "x") == Answer::Fault).then_some(()));
    assert_eq!(first.ask_named("public", "/public"), Answer::Allow);
    assert_eq!(first.ask_for("/public", "x"), Answer::Fault, "the store may have something there by now");
    assert_eq!(first.ask_named("shop", "/shop"), Answer::Fault);
}
