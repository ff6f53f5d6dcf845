//! What the upstream is told, and what nobody may tell it: gotchas 5 to 10 and 17 to 19.

use crate::rig::http1::{Reply, Seen, request};
use crate::rig::wiring::Wiring;
use crate::world::{ALICE, BOB, HOUSE, World};

/// Every name that Doorward stands for.
pub(crate) const OURS: [&str; 12] = [
    "x-consumer-id",
    "x-consumer-custom-id",
    "x-consumer-username",
    "x-consumer-groups",
    "x-credential-identifier",
    "x-anonymous-consumer",
    "x-permissions",
    "x-user-id",
    "x-user-name",
    "x-project-id",
    "x-project-name",
    "x-roles",
];

pub(crate) type Change = fn(&mut Wiring);

/// How Envoy may hand over headers and take ours.
pub(crate) fn wirings() -> [(&'static str, Change); 4] {
    [
        ("map", |_| {}),
        ("raw", |wiring| wiring.raw_headers = true),
        ("map, validated", |wiring| wiring.validate_mutations = true),
        ("some headers alone", |wiring| wiring.allowed_headers = vec!["apikey", "cookie", "authorization"]),
    ]
}

#[track_caller]
fn allowed(reply: &Reply) -> Seen {
    reply.seen().unwrap_or_else(|| panic!("not allowed: {}", reply.head))
}

#[test]
fn identity_headers_are_ours_or_absent_however_often_a_client_sends_them() {
    for (wiring, change) in wirings() {
        let world = World::with(HOUSE, change);
        for copies in 0..=2 {
            let forged: Vec<(&str, &str)> =
                OURS.iter().flat_map(|name| std::iter::repeat_n((*name, "evil"), copies)).collect();
            let case = format!("{wiring}, {copies} copies");

            let seen = allowed(&world.get("/orders", &[&forged[..], &[("apikey", ALICE)]].concat()));
            assert_eq!(seen.all("x-consumer-username"), ["alice"], "{case}");
            assert_eq!(seen.all("x-consumer-custom-id"), ["42"], "{case}");
            assert_eq!(seen.all("x-consumer-id").len(), 1, "{case}");
            assert_eq!(seen.all("x-credential-identifier").len(), 1, "{case}");
            assert_eq!(seen.all("x-anonymous-consumer"), [""; 0], "{case}");
            assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{case}: {:?}", seen.headers);

            // Bob has no custom id: the client's must not stand in for it.
            let seen = allowed(&world.get("/orders", &[&forged[..], &[("apikey", BOB)]].concat()));
            assert_eq!(seen.all("x-consumer-custom-id"), [""; 0], "{case}");
            assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{case}: {:?}", seen.headers);

            let seen = allowed(&world.get("/guests", &forged));
            assert_eq!(seen.all("x-anonymous-consumer"), ["true"], "{case}");
            assert_eq!(seen.all("x-consumer-username"), ["guest"], "{case}");
            assert_eq!(seen.all("x-credential-identifier"), [""; 0], "{case}");

            let seen = allowed(&world.get("/public", &forged));
            assert!(OURS.iter().all(|name| seen.all(name).is_empty()), "{case}: {:?}", seen.headers);
        }
    }
}

#[test]
fn look_alikes_of_identity_headers_never_reach_the_upstream() {
    // CGI, WSGI and PHP upstreams read `_`, `-` and `.` as one.
    let forged = [
        "x_consumer_id",
        "X-CONSUMER_ID",
        "x.consumer.id",
        "X_Consumer-Username",
        "x.consumer_username",
        "x_consumer.groups",
        "x-anonymous_consumer",
        "x_permissions",
        "x.credential.identifier",
        "X_ROLES",
    ];
    let headers: Vec<(&str, &str)> = forged.iter().map(|name| (*name, "evil")).collect();
    for raw in [false, true] {
        let world = World::with(HOUSE, |wiring| wiring.raw_headers = raw);
        for target in ["/orders", "/guests", "/public"] {
            let seen = allowed(&world.get(target, &[&headers[..], &[("apikey", ALICE)]].concat()));
            assert!(
                seen.headers.iter().all(|(_, value)| value != "evil"),
                "raw {raw}, {target}: {:?}",
                seen.headers
            );
        }
    }
}

#[test]
fn a_look_alike_in_a_request_of_which_only_some_headers_are_shown_does_not_pass() {
    // Envoy hides it from us, so we cannot name what has to go: the usual spellings go unseen.
    let world = World::with(HOUSE, |wiring| wiring.allowed_headers = vec!["apikey"]);
    for name in ["x_consumer_id", "x-consumer_id", "x_consumer-id", "x.consumer.id", "x_consumer_username"] {
        let seen = allowed(&world.get("/orders", &[(name, "evil"), ("apikey", ALICE)]));
        assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{name}: {:?}", seen.headers);
    }
}

#[test]
fn naming_an_identity_header_hop_by_hop_does_not_remove_it() {
    let world = World::new();
    let headers =
        [("Connection", "x-consumer-id, x-consumer-username"), ("x-consumer-id", "evil"), ("apikey", ALICE)];
    let seen = allowed(&world.get("/orders", &headers));
    assert_eq!(seen.all("x-consumer-username"), ["alice"]);
    assert!(seen.all("x-consumer-id").len() == 1 && seen.all("x-consumer-id") != ["evil"]);
}

#[test]
fn the_credential_is_kept_from_the_upstream_wherever_it_stood() {
    for raw in [false, true] {
        let world = World::with(HOUSE, |wiring| wiring.raw_headers = raw);
        let query = format!("/orders?a=1&apikey={ALICE}&b=2");
        let cookie = format!("a=1; sid={ALICE}; b=2");
        let bearer = format!("Bearer {ALICE}");
        let seen = [
            world.get("/orders", &[("apikey", ALICE)]),
            world.get("/orders", &[("X-API-Key", ALICE)]),
            world.get(&query, &[]),
            world.get("/cookies", &[("Cookie", &cookie)]),
            world.get("/bearer", &[("Authorization", &bearer)]),
            // Under another configured name than the one that decided.
            world.get(&format!("/orders?key={ALICE}"), &[("apikey", ALICE), ("X-API-Key", ALICE)]),
            // Where it failed, and the guest passes.
            world.get(&format!("/guests?key={ALICE}x"), &[("apikey", "wrong")]),
        ];
        for reply in &seen {
            let seen = allowed(reply);
            let whole = format!("{} {:?}", seen.target, seen.headers);
            assert!(!whole.contains(ALICE) && !whole.contains("wrong"), "raw {raw}: {whole}");
        }
        assert_eq!(allowed(&seen[2]).target, "/orders?a=1&b=2");
        assert_eq!(allowed(&seen[3]).all("cookie"), ["a=1; b=2"]);
        assert_eq!(allowed(&seen[4]).all("authorization"), [""; 0]);
    }
}

#[test]
fn a_service_may_leave_the_credential_to_the_upstream() {
    let world = World::new();
    let seen = allowed(&world.get("/keep", &[("apikey", ALICE)]));
    assert_eq!(seen.all("apikey"), [ALICE]);
    let target = format!("/keep?z=1&apikey={ALICE}&a=2");
    assert_eq!(allowed(&world.get(&target, &[])).target, target);
}

#[test]
fn a_query_without_a_credential_reaches_the_upstream_byte_for_byte() {
    // Gotcha 17: any change makes Envoy sort and write anew the whole query, which breaks signed URLs.
    let world = World::new();
    for target in [
        "/orders?z=1&y=2&b=3&a=4&z=0",
        "/orders?sig=a%2Fb%20c+d&&x=&y&=z",
        "/orders?x=%C3%A9&X-Amz-Signature=abc",
        "/orders?",
    ] {
        let seen = allowed(&world.get(target, &[("apikey", ALICE)]));
        assert_eq!(seen.target, target);
    }
}

#[test]
fn a_disguised_name_of_a_credential_is_refused() {
    // Gotcha 18: Envoy compares names byte by byte, so it would not take these out.
    let world = World::new();
    for name in ["api%6bey", "%61pikey", "%6Bey", "%6bey", "X%2dAPI-Key", "apike%79"] {
        for key in ["", ALICE] {
            let headers: Vec<(&str, &str)> = if key.is_empty() { vec![] } else { vec![("apikey", key)] };
            let before = world.echo.requests();
            let reply = world.get(&format!("/orders?{name}={ALICE}"), &headers);
            assert!((400..500).contains(&reply.status), "{name}: {}", reply.status);
            assert_eq!(world.echo.requests(), before, "{name} reached the upstream");
        }
    }
    // Where nothing is asked for, nothing is a credential.
    assert_eq!(world.get("/public?api%6bey=1", &[]).status, 200);
}

#[test]
fn cookies_joined_with_commas_smuggle_nothing() {
    // Gotcha 10: two lines over HTTP/1.1 reach us as `a=1,sid=…` in a map, as two in raw mode.
    for raw in [false, true] {
        let world = World::with(HOUSE, |wiring| wiring.raw_headers = raw);
        let sid = format!("sid={ALICE}");
        let joined = format!("a=1,{sid}");
        let two = world.get("/cookies", &[("Cookie", "a=1"), ("Cookie", &sid)]);
        let one = world.get("/cookies", &[("Cookie", &joined)]);
        assert_eq!((two.status, one.status), (401, 401), "raw {raw}: {} {}", two.code(), one.code());
        let turned = world.get("/cookies", &[("Cookie", &sid), ("Cookie", "a=1")]);
        assert_eq!(turned.status, 401, "raw {raw}: {}", turned.code());
    }
}

#[test]
fn nothing_that_could_split_a_header_is_ever_emitted() {
    // Gotcha 19, with Envoy's own guard off: what is not visible ASCII is percent-encoded, and what
    // could end a line cannot be stored.
    let world = World::new();
    for (case, name) in
        [("line feed", "eve\nx-admin: 1"), ("carriage return", "eve\rx"), ("null", "eve\u{1}")]
    {
        let made = world.doorward.command(&["consumer", "create", name]);
        assert!(made.is_err(), "{case} was accepted");
        let made = world.doorward.command(&["consumer", "create", "eve", "--custom-id", name]);
        assert!(made.is_err(), "{case} was accepted as custom id");
    }
    world.command(&["consumer", "create", "zoë", "--custom-id", "ü"]);
    let (text, _) = world.key("zoë", &[]);
    let seen = allowed(&world.get("/orders", &[("apikey", &text)]));
    assert_eq!(seen.all("x-consumer-username"), ["zo%C3%AB"]);
    assert_eq!(seen.all("x-consumer-custom-id"), ["%C3%BC"]);
}

#[test]
fn no_client_can_say_that_envoy_failed_open() {
    let world = World::new();
    let headers = [("x-envoy-auth-failure-mode-allowed", "true"), ("apikey", ALICE)];
    let seen = allowed(&world.get("/orders", &headers));
    assert_eq!(seen.all("x-envoy-auth-failure-mode-allowed"), [""; 0]);
}

#[test]
fn a_request_to_the_guests_behind_an_envoy_that_fails_open_still_loses_forged_headers() {
    let world = World::with(HOUSE, |wiring| wiring.fail_open = true);
    let headers = [("x-consumer-id", "evil"), ("x_consumer_id", "evil")];
    let seen = allowed(&world.send(&request("GET", "/guests", &headers, b"")));
    assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{:?}", seen.headers);
}
