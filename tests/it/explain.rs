//! `doorward explain` and `doorward test`, as they are typed.

use serde_json::Value;

use crate::rig::doorward::Setup;
use crate::rig::wait::eventually;
use crate::world::{ALICE, HOUSE, World, said, setup};

fn lines(account: &Value) -> Vec<String> {
    let steps = account["steps"].as_array().unwrap_or_else(|| panic!("no steps in {account}"));
    steps.iter().map(|step| step["said"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_explained_is_what_is_decided_with_a_server_and_without() {
    let mut world = World::new();
    world.command(&["consumer", "create", "carol"]);
    let (text, id) = world.key("carol", &["--service", "orders"]);
    let requests = [
        (HEADER, "/orders"),
        (HEADER, "/bearer"),
        ("apikey: wrong-0123456789", "/orders"),
        ("x: y", "/orders"),
        ("x: y", "/public/x"),
    ];
    let explain = |setup: &Setup, header: &str, target: &str| -> Value {
        let line = header.replace("KEY", &text);
        let output = setup
            .run(&["explain", target, "-H", &line, "--host", "api.example", "--output", "json"])
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let served: Vec<Value> =
        requests.iter().map(|(header, target)| explain(world.doorward.setup(), header, target)).collect();
    for ((header, target), account) in requests.iter().zip(&served) {
        let (name, value) = header.split_once(": ").unwrap();
        let reply = world.get(target, &[(name, &value.replace("KEY", &text))]);
        assert_eq!(account["status"], reply.status, "{header} {target}: {account}");
        assert_eq!(account["code"].as_str().unwrap_or_default(), reply.code(), "{header} {target}");
        assert!(!account.to_string().contains(&text), "the key is told: {account}");
    }
    assert_eq!(served[0]["credential"], id.as_str());
    assert_eq!(served[0]["upstream"]["set"]["x-consumer-username"], "carol");
    assert!(lines(&served[1]).last().unwrap().contains("SHUT: service_denied"), "{:?}", lines(&served[1]));
    assert_eq!(served[3]["answer"]["challenges"], serde_json::json!(["Key"]));

    // The same from the store itself.
    world.doorward.process().kill();
    for ((header, target), account) in requests.iter().zip(&served) {
        assert_eq!(&explain(world.doorward.setup(), header, target), account, "{header} {target}");
    }
}

/// A header with the key that the test makes.
const HEADER: &str = "apikey: KEY";

/// The id that Envoy gave a request, by the log line about its path.
fn id_of(world: &World, path: &str) -> String {
    eventually(&format!("{path} is in the log"), || {
        let output = world.doorward.output();
        let mut lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line["path"] == path)?;
        line["request_id"].as_str().map(str::to_owned)
    })
}

#[test]
fn what_was_decided_is_told_step_by_step_as_it_is_explained() {
    let world = World::with(&format!("log: {{allows: 1}}\n{HOUSE}"), |_| {});
    for (target, header) in [
        ("/orders/1?x=1", ("apikey", ALICE)),
        ("/orders/2", ("apikey", "wrong-0123456789")),
        ("/bearer/3", ("authorization", "Bearer nobodys-0123456789")),
        ("/orders/4", ("x", "y")),
        ("/elsewhere/5", ("apikey", ALICE)),
    ] {
        let reply = world.get(target, &[header]);
        let path = target.split('?').next().unwrap();
        let id = id_of(&world, path);
        let line = format!("{}: {}", header.0, header.1);
        let explained = world.command(&[
            "explain",
            target,
            "-H",
            &line,
            "--host",
            "api.example",
            "--source",
            "127.0.0.1",
        ]);
        let kept = world.command(&["explain", "--request-id", &id]);
        let kept = kept.as_array().unwrap();
        assert_eq!(kept.len(), 1, "{kept:?}");
        for (name, value) in explained.as_object().unwrap() {
            // The real request has more headers that tell of other people.
            if name != "upstream" {
                assert_eq!(&kept[0][name], value, "{name} of {target}");
            }
        }
        assert_eq!((&kept[0]["status"], &kept[0]["request"]["path"]), (&reply.status.into(), &path.into()));
        if reply.status != 200 {
            assert_eq!(reply.json()["request_id"], id.as_str(), "what the caller can tell us is its name");
        }
        let text = said(&world.doorward.setup().run(&["explain", "--request-id", &id]).unwrap());
        let asked = format!("  GET api.example{path}  ");
        for part in [&asked[..], "  1. ", "\nverdict   "] {
            assert!(text.contains(part), "no `{part}` in:\n{text}");
        }
    }
}

#[test]
fn what_is_not_kept_is_said_with_the_reasons_and_the_ways_out() {
    let world =
        World::with(&format!("log: {{allows: 0}}\nlimits: {{recent_decisions: 16KiB}}\n{HOUSE}"), |_| {});
    let explained = |id: &str| world.doorward.setup().run(&["explain", "--request-id", id]).unwrap();
    let not_kept = |id: &str| {
        let output = explained(id);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let text = said(&output);
        for part in [
            "no decision about a request of that id",
            "`log.allows: 1`",
            "`limits.recent_decisions`",
            "other instances",
        ] {
            assert!(text.contains(part), "no `{part}` in: {text}");
        }
    };
    not_kept("0190b3f2-7c1e-7c9a-9a52-0123456789ab");
    not_kept("a/b?c");
    let allowed = world.get("/orders/0", &[("apikey", ALICE)]).seen().unwrap();
    not_kept(allowed.header("x-request-id").unwrap());
    let id = world.get("/orders/1", &[("apikey", "wrong-0123456789")]).json()["request_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(explained(&id).status.success());
    for _ in 0..50 {
        world.get("/orders/2", &[("apikey", "wrong-0123456789")]);
    }
    not_kept(&id);

    for arguments in [&["explain", "--request-id", ""][..], &["explain", "--request-id", "x", "/orders"]] {
        let output = world.doorward.setup().run(arguments).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    }
    let World { mut doorward, .. } = world;
    doorward.process().kill();
    let output = doorward.setup().run(&["explain", "--request-id", &id]).unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("only a running one knows"), "{}", said(&output));
}

#[test]
fn an_explanation_can_be_read_and_takes_a_key_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    setup.write(HOUSE).unwrap();
    let file = folder.path().join("headers");
    std::fs::write(&file, format!("apikey: {ALICE}\n")).unwrap();
    let line = format!("@{}", file.display());
    let output = setup.run(&["explain", "https://api.example/orders?x=1", "-H", &line]).unwrap();
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for part in [
        "1. path `/orders`\n",
        "deployment orders, found by its path, on any host\n",
        "client unknown: nobody named an address\n",
        "looked for `apikey` in the header: present\n",
        " of alice (",
        "verdict   allow\n",
        "set     x-consumer-username: alice\n",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    assert!(!text.contains(ALICE), "{text}");
}

#[test]
fn a_route_that_names_the_infrastructure_alone_can_be_explained() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    setup
        .write(
            "infrastructures: [{name: production}, {name: staging}]\n\
             services: [{name: orders, authentication: none}]\n\
             deployments:\n\
             - {service: orders, infrastructure: production}\n\
             - {service: orders, infrastructure: staging, hosts: [staging.example]}\n",
        )
        .unwrap();
    for (host, infrastructure, verdict, told) in [
        ("a.example", "production", "verdict   allow\n", "deployment orders/production, found by its path"),
        (
            "a.example",
            "staging",
            "verdict   deny unknown_service",
            "no deployment on `staging`, which the route",
        ),
        ("staging.example", "production", "verdict   deny unknown_service", "no deployment on `production`"),
    ] {
        let arguments = ["explain", "/x", "--host", host, "--infrastructure", infrastructure];
        let text = said(&setup.run(&arguments).unwrap());
        assert!(text.contains(verdict) && text.contains(told), "{host} on {infrastructure}:\n{text}");
    }
}

#[test]
fn a_request_that_cannot_be_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    setup.write(HOUSE).unwrap();
    for arguments in [
        &["explain", "/orders", "--source", "somewhere"][..],
        &["explain", "/orders", "-H", "no-colon"],
        &["explain", "/orders", "-H", "@/nonexistent"],
        &["explain", "api.example"],
    ] {
        let output = setup.run(arguments).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn the_sample_cases_hold_and_their_exit_codes_say_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let run = |file: &str| setup.run(&["test", file]).unwrap();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cases.yaml");
    let good = run(sample);
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert!(said(&good).ends_with(" 0 failed\n"), "{}", said(&good));

    let write = |text: &str| {
        let file = folder.path().join("cases.yaml");
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    };
    let policy = "policy: 'services: [{name: orders, authentication: none}]'\n";
    let wrong =
        run(&write(&format!("{policy}cases:\n  - {{case: shut, request: {{host: a}}, expect: deny}}\n")));
    assert_eq!(wrong.status.code(), Some(1), "{}", said(&wrong));
    assert!(said(&wrong).starts_with("FAILED  shut: passes: expected false, found true"), "{}", said(&wrong));
    let unreadable = run(&write(&format!("{policy}cases:\n  - {{case: a, expekt: deny}}\n")));
    assert_eq!(unreadable.status.code(), Some(2));
    assert!(said(&unreadable).contains("cases.yaml:3:15: unknown key `expekt`"), "{}", said(&unreadable));
}
