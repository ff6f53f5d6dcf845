//! Keys in bodies, and bodies of every size: gotchas 3, 13 and 21.

use crate::rig::http1::{Reply, request};
use crate::rig::wiring::{Body, Wiring};
use crate::world::{ALICE, HOUSE, World};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn with_bodies(max_request_bytes: u32, partial: bool, bytes: bool) -> World {
    World::with(HOUSE, |wiring: &mut Wiring| {
        wiring.body = Some(Body { max_request_bytes, allow_partial_message: partial, pack_as_bytes: bytes });
    })
}

#[track_caller]
fn check(case: &str, reply: &Reply, expected: &str) {
    let found = if reply.status == 200 { "allow".to_owned() } else { reply.code() };
    assert_eq!(found, expected, "{case}: {} {}", reply.status, reply.text());
}

#[test]
fn keys_are_read_from_forms_json_and_multipart() {
    for bytes in [false, true] {
        let world = with_bodies(64 * 1024, false, bytes);
        let form = format!("a=1&apikey={ALICE}&b=2");
        let json = format!("{{\"a\": {{\"apikey\": \"no\"}}, \"apikey\": \"{ALICE}\"}}");
        let parts = format!(
            "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name=\"apikey\"\r\n\r\n{ALICE}\r\n--b--\r\n"
        );
        let multipart = ("Content-Type", "multipart/form-data; boundary=b");
        let post = |kind, body: &str| world.post("/bodies", &[kind], body.as_bytes());
        check("form", &post(FORM, &form), "allow");
        check("json", &post(JSON, &json), "allow");
        check("multipart", &post(multipart, &parts), "allow");
        check("form, type with parameters", &post(("Content-Type", "Application/JSON; charset=utf-8"), &json), "allow");
        check("wrong", &post(FORM, "apikey=wrong-0123456789-abcdef"), "invalid_credential");
        check("twice", &post(FORM, &format!("apikey={ALICE}&apikey={ALICE}")), "duplicate_credential");
        check("twice in JSON", &post(JSON, &format!("{{\"apikey\":\"{ALICE}\",\"apikey\":\"{ALICE}\"}}")), "duplicate_credential");
        check("a list", &post(JSON, &format!("{{\"apikey\":[\"{ALICE}\"]}}")), "duplicate_credential");
        check("a number", &post(JSON, "{\"apikey\":12345678901234567890}"), "missing_credential");
        check("deeper", &post(JSON, &format!("{{\"a\":{{\"apikey\":\"{ALICE}\"}}}}")), "missing_credential");
        check("broken JSON", &post(JSON, &format!("{{\"apikey\":\"{ALICE}\"")), "missing_credential");
        check("no such name", &post(FORM, &format!("ApiKey={ALICE}")), "missing_credential");
        check("another type", &post(("Content-Type", "text/plain"), &form), "missing_credential");
        check("no type", &world.post("/bodies", &[], form.as_bytes()), "missing_credential");
        check("no body", &world.get("/bodies", &[FORM]), "missing_credential");
        // ext_authz cannot change a body: the upstream gets it as it was.
        assert_eq!(post(FORM, &form).seen().unwrap().body, form);
    }
}

#[test]
fn a_chunked_body_is_read_whole() {
    let world = with_bodies(64 * 1024, false, true);
    let body = format!("apikey={ALICE}");
    let chunks = format!("{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", 5, &body[..5], body.len() - 5, &body[5..]);
    let reply = world.post("/bodies", &[FORM, ("Transfer-Encoding", "chunked")], chunks.as_bytes());
    check("chunked", &reply, "allow");
}

#[test]
fn no_key_is_read_from_the_beginning_of_a_body() {
    // Half a body can be read in another way than the whole: a second key may stand in the rest.
    let world = with_bodies(64, true, true);
    let body = format!("apikey={ALICE}&pad={}", "x".repeat(200));
    check("partial", &world.post("/bodies", &[FORM], body.as_bytes()), "missing_credential");
    let whole = format!("apikey={ALICE}");
    check("whole", &world.post("/bodies", &[FORM], whole.as_bytes()), "allow");
    // A client cannot make a whole body of a part.
    let headers = [FORM, ("x-envoy-auth-partial-body", "false")];
    check("forged", &world.post("/bodies", &headers, body.as_bytes()), "missing_credential");
}

#[test]
fn without_bodies_in_checks_no_key_is_found_in_one() {
    let world = World::new();
    check("absent", &world.post("/bodies", &[FORM], format!("apikey={ALICE}").as_bytes()), "missing_credential");
    check("elsewhere", &world.post("/orders", &[("apikey", ALICE)], b"hello"), "allow");
}

#[test]
fn a_body_of_five_mebibytes_is_decided_about_and_never_let_through_by_its_size() {
    // Gotcha 21: over tonic's 4 MiB a check is an RPC error, which a failing-open Envoy allows.
    for fail_open in [false, true] {
        let world = World::with(HOUSE, |wiring| {
            wiring.fail_open = fail_open;
            wiring.body = Some(Body { max_request_bytes: 8 << 20, allow_partial_message: false, pack_as_bytes: true });
        });
        let body = vec![b'x'; 5 << 20];
        let reply = world.send(&request("POST", "/orders", &[FORM], &body));
        check("no key", &reply, "missing_credential");
        let reply = world.send(&request("POST", "/orders", &[FORM, ("apikey", ALICE)], &body));
        check("a key", &reply, "allow");
        assert_eq!(reply.seen().unwrap().body.len(), body.len());
        assert_eq!(world.envoy.stat("http.main.ext_authz.error"), 0);
    }
}

#[test]
fn a_check_over_the_limit_is_a_plain_denial() {
    let config = format!("limits: {{check_bytes: 64KiB}}\n{HOUSE}");
    let world = World::with(&config, |wiring| {
        wiring.fail_open = true;
        wiring.body = Some(Body { max_request_bytes: 1 << 20, allow_partial_message: false, pack_as_bytes: true });
    });
    for (case, size) in [("just over", 66 << 10), ("far over", 900 << 10)] {
        let reply = world.send(&request("POST", "/public", &[FORM], &vec![b'x'; size]));
        assert_eq!((reply.status, reply.code().as_str()), (413, "check_too_large"), "{case}");
    }
    assert_eq!(world.echo.requests(), 0);
    assert_eq!(world.envoy.stat("http.main.ext_authz.failure_mode_allowed"), 0);
}
