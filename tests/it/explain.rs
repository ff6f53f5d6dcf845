//! `doorward explain` and `doorward test`, as they are typed.

use serde_json::Value;

use crate::rig::doorward::Setup;
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
