//! What happens when something fails, and that a caller cannot make it happen: gotcha 3.

use std::net::{Ipv4Addr, SocketAddr};

use crate::rig::echo::Echo;
use crate::rig::http1::{request, send};
use crate::rig::port::free_port;
use crate::rig::wait::eventually;
use crate::rig::wiring::Wiring;
use crate::world::{ALICE, HOUSE, World, start_envoy, started};

/// `security-rules.md` 3.2 A1.
#[test]
fn a1_an_envoy_that_fails_open_lets_nobody_past_a_denial() {
    let world = World::with(HOUSE, |wiring| wiring.fail_open = true);
    for (case, target, headers, status) in [
        ("missing", "/orders", vec![], 401),
        ("wrong", "/orders", vec![("apikey", "wrong-0123456789-abcdef")], 401),
        ("twice", "/orders", vec![("apikey", ALICE), ("apikey", ALICE)], 401),
        ("no service", "/nowhere", vec![("apikey", ALICE)], 404),
        ("ambiguous", "/public/../orders", vec![], 400),
        ("malformed", "/public/%zz", vec![], 400),
    ] {
        assert_eq!(world.get(target, &headers).status, status, "{case}");
    }
    assert_eq!(world.echo.requests(), 0, "the upstream was reached");
    assert_eq!(world.envoy.stat("http.main.ext_authz.failure_mode_allowed"), 0);
    assert_eq!(world.envoy.stat("http.main.ext_authz.error"), 0);
}

#[test]
fn an_envoy_that_fails_open_lets_all_pass_where_nobody_answers() {
    // The other side of the tests here: without it they would prove nothing.
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
    let wiring = Wiring { fail_open: true, ..Wiring::new(echo.address(), &[nobody]) };
    let envoy = start_envoy(folder.path(), &wiring);
    let headers = [("x-dup", "a"), ("X-Dup", "b"), ("x-consumer-id", "evil")];
    let seen = send(envoy.listener("main"), &request("GET", "/orders?b=1&a=2", &headers, b""))
        .unwrap()
        .seen()
        .unwrap();
    assert_eq!(seen.all("x-dup"), ["a", "b"]);
    assert_eq!((seen.target.as_str(), seen.all("x-consumer-id")), ("/orders?b=1&a=2", vec!["evil"]));
    assert_eq!(envoy.stat("http.main.ext_authz.failure_mode_allowed"), 1);
}

#[test]
fn many_headers_and_long_ones_are_decided_about() {
    let world = World::with(HOUSE, |wiring| wiring.fail_open = true);
    let names: Vec<String> = (0..80).map(|n| format!("x-filler-{n}")).collect();
    let value = "v".repeat(600);
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    assert_eq!(world.get("/orders", &headers).code(), "missing_credential");
    assert_eq!(world.get("/orders", &[&headers[..], &[("apikey", ALICE)]].concat()).status, 200);
    let names: Vec<String> =
        (0..90).map(|n| format!("x_consumer_id{}", "_".repeat(n % 2) + &n.to_string())).collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "evil")).collect();
    assert_eq!(world.get("/orders", &headers).code(), "missing_credential");
    assert_eq!(world.envoy.stat("http.main.ext_authz.error"), 0);
}

#[test]
fn without_doorward_nothing_passes_and_afterwards_all_is_as_before() {
    let mut world = World::new();
    world.command(&["consumer", "create", "carol"]);
    let (text, _) = world.key("carol", &[]);
    assert_eq!(world.get("/orders", &[("apikey", &text)]).status, 200);

    let setup = world.doorward.setup().clone();
    let address = world.doorward.grpc();
    world.doorward.process().kill();
    // `status_on_error`: an outage does not look like a denial.
    assert_eq!(world.get("/orders", &[("apikey", &text)]).status, 503);
    let reached = world.echo.requests();
    assert_eq!(world.get("/public", &[]).status, 503);
    assert_eq!(world.echo.requests(), reached);

    let config = HOUSE.replacen("127.0.0.1:0", &address.to_string(), 1);
    setup.write(&config).unwrap();
    world.doorward = started(&setup);
    // Envoy waits a moment before it connects anew.
    eventually("Envoy is connected again", || {
        (world.get("/orders", &[("apikey", &text)]).status == 200).then_some(())
    });
}
