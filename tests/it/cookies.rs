//! Sessions in cookies: got at a login, used at every service that takes them, and lost.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::fleet::{SECRET, secret};
use crate::guides::blocks;
use crate::login::{Both, Place, hashed};
use crate::rig::echo::Echo;
use crate::rig::http1::{Reply, request, send};
use crate::rig::process::Signal;
use crate::rig::redis::Redis;
use crate::rig::tools::program;
use crate::rig::wait::eventually;
use crate::rig::wiring::Wiring;
use crate::world::{command, setup, start_doorward, start_envoy, start_hardened_for, started};

const SERVICES: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: entrance, paths: [/entrance], authentication: none}
  - {name: shop, paths: [/shop], authentication: {any: [cookie]}}
  - {name: files, paths: [/files], authentication: {any: [cookie, api_key: {}]}}
  - {name: loose, paths: [/loose], authentication: {any: [{cookie: {csrf: false}}]}}
  - {name: both, paths: [/both], authentication: {any: [token, cookie]}}
"#;

const NAME: &str = "__Host-doorward_session";
const PASSWORD: &str = "four words of her own";
const OTHER: &str = "four other words of hers";

/// Logs alice in at a service, with these headers besides.
#[track_caller]
fn log_in(at: &Place, service: &str, headers: &[(&str, &str)], password: &str) -> Reply {
    let body = json!({"username": "alice", "password": password});
    at.post(&format!("/auth/{service}/login"), headers, &body)
}

/// What stands in the cookie that a login sets.
#[track_caller]
fn session(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let set = reply.header("set-cookie").expect("a cookie");
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let text = pair.strip_prefix("__Host-doorward_session=").unwrap();
    assert!(text.starts_with("dw_session_"), "{text}");
    text.to_owned()
}

fn cookie(text: &str) -> String {
    format!("{NAME}={text}")
}

/// `allowed`, or the code of the denial, for a request that changes something.
#[track_caller]
fn changing(at: &Place, path: &str, headers: &[(&str, &str)]) -> String {
    let reply = send(at.envoy.listener("main"), &request("POST", path, headers, b"x")).unwrap();
    if reply.status == 200 { "allowed".to_owned() } else { reply.code() }
}

/// Logs in, uses the session at every service, and loses it in every way.
fn walk(both: &Both<'_>) {
    let Both { here, there } = both;
    command(&here.doorward, &["consumer", "create", "alice"]);
    here.doorward.set_password("alice", PASSWORD).unwrap();
    both.answer("/shop", &[], "missing_credential");
    let reply = log_in(here, "shop", &[], PASSWORD);
    assert_eq!(reply.json(), json!({"expires_in": 12 * 3_600}));
    let first = cookie(&session(&reply));
    for path in ["/shop", "/files", "/loose", "/both"] {
        both.comes_to(path, &[("Cookie", &first)], "allowed");
    }
    // The upstream hears who it is, and has no part in the session.
    let mixed = format!("a=1; {first}; b=2");
    let asked = request("GET", "/shop", &[("Cookie", &mixed), ("X-Consumer-Username", "bob")], b"");
    let seen = send(here.envoy.listener("main"), &asked).unwrap().seen().unwrap();
    assert_eq!(seen.all("cookie"), ["a=1; b=2"]);
    assert_eq!(seen.all("x-consumer-username"), ["alice"]);
    // Nor has any other upstream of the host, which the browser sends it to as well.
    let asked = request("GET", "/entrance", &[("Cookie", &mixed)], b"");
    let other = send(here.envoy.listener("main"), &asked).unwrap().seen().unwrap();
    assert_eq!(other.all("cookie"), ["a=1; b=2"]);
    let sessions = command(&here.doorward, &["audit", "list", "--action", "session.open", "--limit", "10"]);
    assert_eq!(seen.all("x-credential-identifier"), [sessions[0]["object"].as_str().unwrap()]);

    // A new login has a new id, and the one that the browser had is over.
    let second = cookie(&session(&log_in(there, "files", &[("Cookie", &first)], PASSWORD)));
    assert_ne!(second, first);
    both.comes_to("/shop", &[("Cookie", &first)], "invalid_credential");
    both.comes_to("/shop", &[("Cookie", &second)], "allowed");
    // A service that takes both gives both.
    let reply = log_in(here, "both", &[], PASSWORD);
    assert!(reply.json()["grant_token"].is_string(), "{}", reply.text());
    let third = cookie(&session(&reply));
    let token = here.post("/auth/both/token", &[], &json!({"grant_token": reply.json()["grant_token"]}));
    let token = token.json()["access_token"]["value"].as_str().unwrap().to_owned();
    both.comes_to("/both", &[("X-Auth-Token", &token)], "allowed");

    // Logged out at one service, it is over at all; the other browser's is not.
    let left = here.post("/auth/files/logout", &[("Cookie", &second)], &json!({}));
    assert_eq!(left.status, 204, "{}", left.text());
    let gone = format!("{NAME}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    assert_eq!(left.header("set-cookie"), Some(gone.as_str()));
    both.comes_to("/shop", &[("Cookie", &second)], "invalid_credential");
    both.comes_to("/shop", &[("Cookie", &third)], "allowed");
    // Logged out everywhere, all is over that her logins have given.
    let once = log_in(here, "both", &[], PASSWORD).json()["grant_token"].clone();
    let fourth = cookie(&session(&log_in(there, "shop", &[], PASSWORD)));
    let left = there.post("/auth/shop/logout", &[("Cookie", &fourth)], &json!({"everywhere": true}));
    assert_eq!(left.status, 204, "{}", left.text());
    for over in [&third, &fourth] {
        both.comes_to("/shop", &[("Cookie", over)], "invalid_credential");
    }
    both.comes_to("/both", &[("X-Auth-Token", &token)], "invalid_credential");
    let late = here.post("/auth/both/token", &[], &json!({"grant_token": once}));
    assert_eq!((late.status, late.code().as_str()), (401, "invalid_credential"), "{}", late.text());

    // So is it with another password, and with who is switched off.
    let fifth = cookie(&session(&log_in(here, "shop", &[], PASSWORD)));
    here.doorward.set_password("alice", OTHER).unwrap();
    both.answer("/shop", &[("Cookie", &fifth)], "invalid_credential");
    let sixth = cookie(&session(&log_in(here, "shop", &[], OTHER)));
    both.answer("/shop", &[("Cookie", &sixth)], "allowed");
    command(&here.doorward, &["consumer", "update", "alice", "--disable"]);
    both.answer("/shop", &[("Cookie", &sixth)], "invalid_credential");
    assert_eq!(log_in(here, "shop", &[], OTHER).status, 401);
    command(&here.doorward, &["consumer", "delete", "alice"]);
}

#[test]
fn sessions_are_got_used_and_lost() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let place = Place::new(start_doorward(&folder.path().join("doorward"), SERVICES), &echo);
    walk(&Both { here: &place, there: &place });
}

#[test]
fn sessions_are_got_used_and_lost_over_two_instances() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let redis = Redis::start(&folder.path().join("redis"), &[]).unwrap();
    let [here, there] = ["here", "there"].map(|name| {
        let setup = setup(&folder.path().join(name));
        setup.write(&format!("{SERVICES}store: {{url: \"{}\"}}\n", redis.url())).unwrap();
        secret(&setup, SECRET);
        Place::new(started(&setup), &echo)
    });
    walk(&Both { here: &here, there: &there });
}

#[test]
fn a_session_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(&folder.path().join("doorward"));
    setup.write(SERVICES).unwrap();
    let echo = Echo::start(0).unwrap();
    let place = Place::new(started(&setup), &echo);
    command(&place.doorward, &["consumer", "create", "alice"]);
    place.doorward.set_password("alice", PASSWORD).unwrap();
    let first = cookie(&session(&log_in(&place, "shop", &[], PASSWORD)));
    drop(place);
    let place = Place::new(started(&setup), &echo);
    assert_eq!(place.answer("/shop", &[("Cookie", &first)]), "allowed");
}

#[test]
fn a_password_of_the_file_ends_what_was_given_for_the_stored_one_of_that_name() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(&folder.path().join("doorward")).with("ALICE_PHC", &hashed(folder.path(), OTHER));
    let config = |password: &str| format!("{SERVICES}consumers:\n  - {{username: alice{password}}}\n");
    setup.write(&config("")).unwrap();
    let echo = Echo::start(0).unwrap();
    let place = Place::new(started(&setup), &echo);
    place.doorward.set_password("alice", PASSWORD).unwrap();
    let before = cookie(&session(&log_in(&place, "shop", &[], PASSWORD)));
    assert_eq!(place.answer("/shop", &[("Cookie", &before)]), "allowed");
    drop(place);
    setup.write(&config(", password_from_env: ALICE_PHC")).unwrap();
    let place = Place::new(started(&setup), &echo);
    assert_eq!(log_in(&place, "shop", &[], PASSWORD).status, 401);
    let after = cookie(&session(&log_in(&place, "shop", &[], OTHER)));
    assert_eq!(place.answer("/shop", &[("Cookie", &after)]), "allowed");
    assert_eq!(place.answer("/shop", &[("Cookie", &before)]), "invalid_credential");
}

/// What a browser may be made to send, and what of it passes.
#[test]
#[rustfmt::skip] // A table is read by its columns.
fn every_rule_about_cookies_has_its_hostile_cases() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let config = format!("{SERVICES}cookie: {{origins: [\"https://app.example\"]}}\n");
    let place = Place::new(start_doorward(&folder.path().join("doorward"), &config), &echo);
    command(&place.doorward, &["consumer", "create", "alice"]);
    place.doorward.set_password("alice", PASSWORD).unwrap();
    let text = session(&log_in(&place, "shop", &[], PASSWORD));
    let other = session(&log_in(&place, "shop", &[], PASSWORD));
    let good = cookie(&text);
    // C1, C2: what is read as the cookie, byte by byte.
    for (line, expected) in [
        (good.clone(),                                  "allowed"),
        (format!("a=1; {good}; b=\"2\""),               "allowed"),
        (format!("a=1;{good}"),                         "allowed"),
        (format!("{good}; {good}"),                     "duplicate_credential"),
        (format!("{good}; {}", cookie(&other)),         "duplicate_credential"),
        (format!("{good}; {NAME}="),                    "duplicate_credential"),
        (format!("a=1,{good}"),                         "duplicate_credential"),
        (format!("{good},a=1"),                         "duplicate_credential"),
        (format!("{NAME}=\"{text}\""),                  "invalid_credential"),
        (format!("{NAME}= {text}"),                     "invalid_credential"),
        (format!("{NAME}={text}x"),                     "invalid_credential"),
        (format!("{NAME}={}", text.replace('_', "%5F")), "invalid_credential"),
        (format!("{NAME}={}", text.to_uppercase()),     "invalid_credential"),
        (format!("{NAME}="),                            "missing_credential"),
        (format!("doorward_session={text}"),            "missing_credential"),
        (format!("__host-doorward_session={text}"),     "missing_credential"),
        (format!("__Secure-doorward_session={text}"),   "missing_credential"),
        (format!("\u{2000}{NAME}={text}"),              "missing_credential"),
        (format!("$Version=1; ${NAME}={text}"),         "missing_credential"),
        (format!("a=1;\t{good}"),                       "missing_credential"),
        (format!("{NAME} ={text}"),                     "missing_credential"),
        (text.clone(),                                  "missing_credential"),
    ] {
        assert_eq!(place.answer("/shop", &[("Cookie", &line)]), expected, "{line}");
    }
    // It is no key and no token, and no key or token is one.
    assert_ne!(place.answer("/both", &[("X-Auth-Token", &text)]), "allowed");
    assert_ne!(place.answer("/files", &[("X-API-Key", &text)]), "allowed");
    // C5: where a request comes from.
    let origin = |origin| vec![("Origin", origin)];
    let site = |site| vec![("Sec-Fetch-Site", site)];
    for (path, headers, expected) in [
        ("/shop",  vec![],                                  "origin_denied"),
        ("/shop",  site("same-origin"),                     "allowed"),
        ("/shop",  site("same-site"),                       "origin_denied"),
        ("/shop",  site("cross-site"),                      "origin_denied"),
        ("/shop",  site("none"),                            "origin_denied"),
        ("/shop",  origin("https://api.example"),           "allowed"),
        ("/shop",  origin("https://app.example"),           "allowed"),
        ("/shop",  origin("http://api.example"),            "origin_denied"),
        ("/shop",  origin("https://api.example.evil"),      "origin_denied"),
        ("/shop",  origin("https://evil.example"),          "origin_denied"),
        ("/shop",  origin("null"),                          "origin_denied"),
        ("/shop",  [origin("null"), site("same-origin")].concat(), "allowed"),
        ("/shop",  [origin("null"), site("same-site")].concat(), "origin_denied"),
        ("/shop",  [origin("https://evil.example"), site("same-origin")].concat(), "origin_denied"),
        ("/loose", vec![],                                  "allowed"),
        ("/loose", origin("https://evil.example"),          "allowed"),
    ] {
        let headers = [headers, vec![("Cookie", good.as_str())]].concat();
        assert_eq!(changing(&place, path, &headers), expected, "{path} {headers:?}");
    }
    assert_eq!(place.answer("/shop", &[("Cookie", &good), ("Origin", "https://evil.example")]), "origin_denied");
    // Nobody's page logs visitors in as somebody else, or out.
    for (headers, expected) in [
        (vec![],                                   200),
        (site("same-origin"),                      200),
        (origin("https://api.example"),            200),
        (origin("https://app.example"),            200),
        (origin("https://evil.example"),           403),
        (origin("null"),                           403),
        (site("cross-site"),                       403),
        (site("same-site"),                        403),
    ] {
        let reply = log_in(&place, "shop", &headers, PASSWORD);
        assert_eq!(reply.status, expected, "{headers:?}");
        assert_eq!(reply.header("set-cookie").is_some(), expected == 200, "{headers:?}");
        let headers = [headers, vec![("Cookie", good.as_str())]].concat();
        if expected == 403 {
            assert_eq!(place.post("/auth/shop/logout", &headers, &json!({})).code(), "origin_denied");
        }
    }
    assert_eq!(place.answer("/shop", &[("Cookie", &good)]), "allowed", "nobody has logged out");
    assert_eq!(place.post("/auth/shop/logout", &[], &json!({})).code(), "missing_credential");
}

/// What a host below `cookie.domain` can put into a browser beside the session, for `/auth` alone.
#[test]
fn whoever_has_the_cookie_twice_logs_in_and_out_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let place = Place::new(start_doorward(&folder.path().join("doorward"), SERVICES), &echo);
    command(&place.doorward, &["consumer", "create", "alice"]);
    place.doorward.set_password("alice", PASSWORD).unwrap();
    let new = || cookie(&session(&log_in(&place, "shop", &[], PASSWORD)));
    let gone = format!("{NAME}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    let other = new();
    let beside: [&dyn Fn(&str) -> String; 6] = [
        &|good| format!("{good}; {NAME}=x"),
        &|good| format!("{NAME}=; {good}"),
        &|good| format!("{NAME}={}; {good}", "x".repeat(4_000)),
        &|good| format!("a=1,{good}"),
        &|good| format!("{good}; {good}"),
        &|good| format!("{other}; {good}"),
    ];
    for with in beside {
        let good = new();
        let left = place.post("/auth/shop/logout", &[("Cookie", &with(&good))], &json!({}));
        assert_eq!((left.status, left.header("set-cookie")), (204, Some(gone.as_str())), "{}", with(&good));
        assert_eq!(place.answer("/shop", &[("Cookie", &good)]), "invalid_credential", "{}", with(&good));
        let good = new();
        let next = cookie(&session(&log_in(&place, "shop", &[("Cookie", &with(&good))], PASSWORD)));
        assert_eq!(place.answer("/shop", &[("Cookie", &good)]), "invalid_credential", "{}", with(&good));
        assert_eq!(place.answer("/shop", &[("Cookie", &next)]), "allowed");
    }
    assert_eq!(place.answer("/shop", &[("Cookie", &other)]), "invalid_credential", "each that is shown");
    // Whatever it is that the browser has, it is rid of it.
    for line in [format!("{NAME}="), format!("{NAME}=x"), other] {
        let left = place.post("/auth/shop/logout", &[("Cookie", &line)], &json!({}));
        assert_eq!((left.status, left.header("set-cookie")), (204, Some(gone.as_str())), "{line}");
    }
}

#[test]
fn a_service_that_is_switched_off_gives_nothing_and_is_logged_out_of() {
    let folder = tempfile::tempdir().unwrap();
    let deployed = |enabled: bool| {
        format!(
            "{SERVICES}infrastructures: [{{name: here}}]\ndeployments:\n  - {{service: shop, infrastructure: here}}\n  \
             - {{service: both, infrastructure: here, enabled: {enabled}}}\n"
        )
    };
    let echo = Echo::start(0).unwrap();
    let setup = setup(&folder.path().join("doorward"));
    setup.write(&deployed(true)).unwrap();
    let place = Place::new(started(&setup), &echo);
    command(&place.doorward, &["consumer", "create", "alice"]);
    place.doorward.set_password("alice", PASSWORD).unwrap();
    let good = cookie(&session(&log_in(&place, "both", &[], PASSWORD)));
    setup.write(&deployed(false)).unwrap();
    place.doorward.signal(Signal::HUP).unwrap();
    eventually("it is off", || {
        (place.answer("/both", &[("Cookie", &good)]) == "deployment_disabled").then_some(())
    });
    assert_eq!(log_in(&place, "both", &[], PASSWORD).status, 404);
    assert_eq!(place.answer("/shop", &[("Cookie", &good)]), "allowed");
    let left = place.post("/auth/both/logout", &[("Cookie", &good)], &json!({}));
    assert_eq!(left.status, 204, "{}", left.text());
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(place.answer("/shop", &[("Cookie", &good)]), "invalid_credential");
}

#[test]
fn what_is_over_logs_nobody_out_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let place = Place::new(start_doorward(&folder.path().join("doorward"), SERVICES), &echo);
    command(&place.doorward, &["consumer", "create", "alice"]);
    place.doorward.set_password("alice", PASSWORD).unwrap();
    let old = cookie(&session(&log_in(&place, "shop", &[], PASSWORD)));
    let token = log_in(&place, "both", &[], PASSWORD).json()["grant_token"].clone();
    let token = place.post("/auth/both/token", &[], &json!({"grant_token": token})).json();
    let token = token["access_token"]["value"].as_str().unwrap().to_owned();
    // Whoever had her password no longer has it, but what he got by it.
    place.doorward.set_password("alice", OTHER).unwrap();
    let new = cookie(&session(&log_in(&place, "shop", &[], OTHER)));
    for shown in [("Cookie", old.as_str()), ("X-Auth-Token", &token)] {
        let left = place.post("/auth/both/logout", &[shown], &json!({"everywhere": true}));
        assert_eq!((left.status, left.code().as_str()), (401, "invalid_credential"), "{}", left.text());
        assert!(
            left.header("set-cookie").unwrap().contains("Max-Age=0"),
            "the browser forgets it all the same"
        );
        assert_eq!(place.answer("/shop", &[("Cookie", &new)]), "allowed");
        assert_eq!(place.post("/auth/both/logout", &[shown], &json!({})).status, 204);
    }
    let left = place.post("/auth/shop/logout", &[("Cookie", &new)], &json!({"everywhere": true}));
    assert_eq!(left.status, 204);
    assert_eq!(place.answer("/shop", &[("Cookie", &new)]), "invalid_credential");
}

#[test]
fn a_domain_shares_its_sessions_among_its_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let config = format!("{SERVICES}cookie: {{name: sid, domain: example.com}}\n");
    let place = Place::new(start_doorward(&folder.path().join("doorward"), &config), &echo);
    command(&place.doorward, &["consumer", "create", "alice"]);
    place.doorward.set_password("alice", PASSWORD).unwrap();
    let reply = log_in(&place, "shop", &[], PASSWORD);
    let set = reply.header("set-cookie").unwrap().to_owned();
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax; Domain=example.com");
    assert!(pair.starts_with("__Secure-sid=dw_session_"), "{pair}");
    assert_eq!(place.answer("/shop", &[("Cookie", pair)]), "allowed");
    assert_eq!(place.answer("/shop", &[("Cookie", &pair.replace("__Secure-", ""))]), "missing_credential");
}

/// A browser in one of the plays of `tests/browser`: what it says, and a way to tell it something.
struct Browser {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Browser {
    fn start(play: &str) -> Self {
        let script = program("browser").unwrap_or_else(|message| panic!("{message}"));
        let mut command = Command::new(script);
        command.arg(play).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    #[track_caller]
    fn says(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the browser has ended: {line:?}"))
    }

    /// Tells it one line, and hears what it then came upon.
    #[track_caller]
    fn plays(mut self, line: &str) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        let found = self.says();
        self.child.wait().unwrap();
        found
    }
}

fn local(port: &Value) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port.as_u64().unwrap().try_into().unwrap()))
}

#[test]
fn a_browser_logs_in_stays_so_at_all_services_and_is_not_made_to_by_strangers() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = Browser::start("one_host");
    let upstream = local(&browser.says()["upstream"]);
    let doorward = start_doorward(&folder.path().join("doorward"), SERVICES);
    command(&doorward, &["consumer", "create", "alice"]);
    doorward.set_password("alice", PASSWORD).unwrap();
    let wiring = Wiring { auth: Some(doorward.auth_address()), ..Wiring::new(upstream, &[doorward.grpc()]) };
    let envoy = start_envoy(folder.path(), &wiring);
    let found = browser.plays(&format!("http://localhost:{}", envoy.listener("main").port()));

    assert_eq!(found["before"], 401, "{found}");
    assert_eq!(found["who"], "alice", "{found}");
    let kept = &found["cookies"][0];
    assert_eq!(found["cookies"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!((kept["name"].as_str(), kept["domain"].as_str()), (Some(NAME), Some("localhost")), "{found}");
    assert_eq!((&kept["httpOnly"], &kept["secure"]), (&json!(true), &json!(true)), "{found}");
    assert_eq!((&kept["sameSite"], &kept["path"]), (&json!("Lax"), &json!("/")), "{found}");
    assert_eq!(kept["expires"], -1, "it goes with the browser: {found}");
    assert_eq!(found["script"], "", "no script reads it: {found}");
    assert_eq!((&found["other"], &found["own"]), (&json!(200), &json!(200)), "{found}");
    let foreign = json!({"status": 403, "code": "origin_denied", "origin": "null"});
    assert_eq!(found["foreign"], foreign, "{found}");
    assert_eq!((&found["still"], &found["same"]), (&json!(200), &json!(true)), "{found}");
    assert_eq!(found["form"], json!({"status": 200, "origin": "null"}), "the shop's own: {found}");
    assert_eq!(found["posts"], 2, "the page's own: {found}");
    assert_eq!(found["upstream_saw"], json!([null]), "no cookie of ours: {found}");
    assert_eq!((&found["left"], &found["after"]), (&json!("?204"), &json!(401)), "{found}");
    assert_eq!(found["cookies_after"], json!([]), "{found}");
}

/// The script is the guide's, and Envoy the hardened one as it stands.
#[test]
fn a_page_on_another_host_that_is_listed_uses_a_session_and_no_other_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = Browser::start("other_host");
    let started = browser.says();
    let app = started["app"].as_str().unwrap();
    let config = format!("{SERVICES}cookie: {{origins: [\"{app}\"]}}\n");
    let doorward = start_doorward(&folder.path().join("doorward"), &config);
    command(&doorward, &["consumer", "create", "alice"]);
    doorward.set_password("alice", PASSWORD).unwrap();
    let envoy = start_hardened_for(app, folder.path(), &doorward, local(&started["upstream"]));
    let shop = format!("http://shop.example.localhost:{}", envoy.listener("main").port());
    let guide = include_str!("../../docs/guides/cookies.md");
    let [script] = blocks(guide, "js")[..] else { panic!("the guide has another script") };
    let script = script.replace("https://shop.example.com", &shop);
    let found = browser.plays(&json!({"shop": shop, "script": script}).to_string());

    let all = |answer: Value| json!({"read": answer, "change": answer, "replace": answer, "unasked": answer});
    let allowed = json!({"read": 200, "change": 200, "replace": 200, "unasked": 401});
    assert_eq!(found["before"], all(json!(401)), "it reads why: {found}");
    assert_eq!(found["wrong"], json!({"status": 401, "code": "invalid_credential", "id": true}), "{found}");
    assert_eq!(
        (&found["login"], &found["logout"]),
        (&json!({"login": 200}), &json!({"logout": 204})),
        "{found}"
    );
    assert_eq!(found["cookies"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["cookies"][0]["domain"], "shop.example.localhost", "the shop's own: {found}");
    assert_eq!((&found["app"], &found["who"]), (&allowed, &json!("alice")), "{found}");
    for page in ["other", "elsewhere"] {
        let mut refused = all(json!("refused"));
        (refused["login"], refused["logout"]) = (json!("refused"), json!("refused"));
        // Of one site the browser sends the cookie, and what changes nothing passes; from elsewhere none.
        refused["blind"] = match page {
            "other" => json!({"read": 200, "change": 403, "logout": 403}),
            _ => json!({"read": 401, "change": 401, "logout": 401}),
        };
        assert_eq!(found[page], refused, "{page}: {found}");
    }
    assert_eq!(found["origins"], json!([app]), "nothing of the others comes to the upstream: {found}");
    assert_eq!((&found["still"], &found["same"]), (&allowed, &json!(true)), "{found}");
    assert_eq!((&found["cookies_after"], &found["after"]), (&json!([]), &all(json!(401))), "{found}");
    assert_eq!(found["preflights"], 0, "Envoy answers them: {found}");
}
