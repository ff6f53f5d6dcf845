//! The files that people copy are valid, and do what they say.

use std::path::Path;

use crate::guides::blocks;
use crate::rig::echo::Echo;
use crate::rig::envoy::Envoy;
use crate::rig::http1::{request, send};
use crate::rig::sample::fill;
use crate::world::{ALICE, HARDENED, HOUSE, setup, start_doorward, start_hardened};

const DEMO: &str = include_str!("../../envoy/demo.yaml");
const HTTP: &str = include_str!("../../envoy/http.yaml");
pub(crate) const TRACED: &str = include_str!("../../envoy/traced.yaml");

#[test]
fn the_sample_envoys_are_valid_as_they_stand() {
    let samples =
        [("demo.yaml", DEMO), ("hardened.yaml", HARDENED), ("http.yaml", HTTP), ("traced.yaml", TRACED)];
    for (name, text) in samples {
        let folder = tempfile::tempdir().unwrap();
        Envoy::validate(folder.path(), text).unwrap_or_else(|message| panic!("envoy/{name}: {message}"));
    }
}

#[test]
fn the_demos_envoy_asks_doorward() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let doorward = start_doorward(&folder.path().join("doorward"), HOUSE);
    let config = fill(
        DEMO,
        &[
            ("admin", "0".to_owned()),
            ("listener", "0".to_owned()),
            ("doorward", doorward.grpc().port().to_string()),
            ("auth", doorward.auth_address().port().to_string()),
            ("upstream", echo.address().port().to_string()),
        ],
    );
    let envoy = Envoy::start(folder.path(), &config.unwrap(), 1).unwrap();
    let status = |target: &str, headers: &[(&str, &str)]| {
        send(envoy.listener("main"), &request("GET", target, headers, b"")).unwrap().status
    };
    assert_eq!(status("/orders", &[("apikey", ALICE)]), 200);
    assert_eq!(status("/orders", &[]), 401);
    // Whoever has no credential yet gets to the login, and to no more.
    let login = request("POST", "/api/auth/access-token", &[], br#"{"username": "nobody", "password": "x"}"#);
    let refused = send(envoy.listener("main"), &login).unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (401, "invalid_credential"));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"doorward\""));
    assert_eq!(status("/api/authority", &[]), 404, "no service there, and nothing of Doorward's");
    drop(doorward);
    assert_eq!(status("/orders", &[("apikey", ALICE)]), 503);
}

#[test]
fn r17_the_hardened_envoy_refuses_what_it_says_it_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let doorward = start_doorward(&folder.path().join("doorward"), HOUSE);
    let envoy = start_hardened(folder.path(), &doorward, echo.address());
    let get = |target: &str, headers: &[(&str, &str)]| {
        send(envoy.listener("main"), &request("GET", target, headers, b"")).unwrap()
    };
    let seen = get("/orders/1", &[("apikey", ALICE), ("x-consumer-id", "evil")]).seen().expect("allowed");
    assert_eq!(seen.all("x-consumer-username"), ["alice"]);
    assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{:?}", seen.headers);
    let seen = get("/public", &[("X-Tenant", "evil")]).seen().expect("public");
    assert!(seen.all("x-tenant").is_empty(), "nobody asked to have it removed but Envoy");
    assert_eq!(get("/orders", &[]).status, 401);
    assert_eq!(get("/public", &[("x_consumer_id", "evil")]).status, 400, "underscores");
    assert_eq!(get("/public/..%2forders", &[]).status, 400, "escaped slashes");
    assert_eq!(get("/public/../orders", &[]).status, 401, "resolved before it is checked");
    let seen = get("/public", &[("x-envoy-auth-failure-mode-allowed", "true")]).seen().expect("public");
    assert!(seen.all("x-envoy-auth-failure-mode-allowed").is_empty());
    drop(doorward);
    assert_eq!(get("/orders/1", &[("apikey", ALICE)]).status, 503, "an outage is no denial");
}

#[test]
fn a_listed_page_of_another_host_is_told_that_it_may_ask_and_no_other_is() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let doorward = start_doorward(&folder.path().join("doorward"), HOUSE);
    let envoy = start_hardened(folder.path(), &doorward, echo.address());
    let listed = "https://app.example.com";
    for (method, target, origin, expected) in [
        ("OPTIONS", "/orders", listed, 200),
        ("OPTIONS", "/auth/orders/login", listed, 200),
        ("GET", "/orders", listed, 401),
        ("POST", "/auth/nothing/login", listed, 400),
        ("OPTIONS", "/orders", "https://app.example.com.evil.example", 401),
        ("OPTIONS", "/auth/orders/login", "https://evil.example", 405),
        ("GET", "/orders", "https://evil.example", 401),
        ("OPTIONS", "/orders", "null", 401),
        ("OPTIONS", "/orders", "http://app.example.com", 401),
    ] {
        let mut headers = vec![("Origin", origin)];
        if method == "OPTIONS" {
            headers.extend([
                ("Access-Control-Request-Method", "POST"),
                ("Access-Control-Request-Headers", "content-type"),
            ]);
        }
        let reply = send(envoy.listener("main"), &request(method, target, &headers, b"")).unwrap();
        let may = (origin == listed).then_some(origin);
        assert_eq!(reply.status, expected, "{method} {target} of {origin}");
        assert_eq!(reply.header("access-control-allow-origin"), may, "{method} {target} of {origin}");
        let with_cookies = reply.header("access-control-allow-credentials");
        assert_eq!(with_cookies, may.map(|_| "true"), "{method} {target} of {origin}");
        let methods = reply.header("access-control-allow-methods").is_some();
        assert_eq!(methods, may.is_some() && method == "OPTIONS", "{method} {target} of {origin}");
    }
}

#[test]
fn a_cache_is_told_that_answers_are_for_one_origin_each() {
    let folder = tempfile::tempdir().unwrap();
    let echo = Echo::start(0).unwrap();
    let doorward = start_doorward(&folder.path().join("doorward"), HOUSE);
    let envoy = start_hardened(folder.path(), &doorward, echo.address());
    for headers in [&[][..], &[("Origin", "https://app.example.com")], &[("Origin", "https://evil.example")]]
    {
        for (method, target, status) in
            [("GET", "/public", 200), ("GET", "/orders", 401), ("POST", "/auth/nothing/login", 400)]
        {
            let reply = send(envoy.listener("main"), &request(method, target, headers, b"")).unwrap();
            let found = (reply.status, reply.header("vary"));
            assert_eq!(found, (status, Some("Origin")), "{method} {target} {headers:?}");
        }
    }
}

const PREFIXES: [&str; 5] = ["/api/auth", "/auth", "/identity", "/oauth2", "/.well-known"];

/// `interface.md` has five, and whoever asks there has no credential yet.
#[test]
fn every_sample_leads_all_logins_to_doorward_and_asks_nobody_about_them() {
    for sample in [DEMO, HARDENED, HTTP, TRACED] {
        let folder = tempfile::tempdir().unwrap();
        let echo = Echo::start(0).unwrap();
        let doorward = start_doorward(&folder.path().join("doorward"), HOUSE);
        let (local, auth) = ("127.0.0.1".to_owned(), doorward.auth_address());
        let asked = if sample == HTTP { auth.port() } else { doorward.grpc().port() };
        let all = [
            ("admin", "0".to_owned()),
            ("listener", "0".to_owned()),
            ("listener_host", local.clone()),
            ("doorward", asked.to_string()),
            ("doorward_host", local.clone()),
            ("auth", auth.port().to_string()),
            ("auth_host", local.clone()),
            ("upstream", echo.address().port().to_string()),
            ("upstream_host", local),
            ("page", "https://app.example.com".to_owned()),
            ("share", "0".to_owned()),
            ("collector", "1".to_owned()),
        ];
        let marks = sample.lines().filter(|line| !line.trim_start().starts_with('#'));
        let marks: Vec<&str> =
            marks.filter_map(|line| line.split_once("# set:")?.1.split_whitespace().next()).collect();
        let marked: Vec<_> = all.into_iter().filter(|(name, _)| marks.contains(name)).collect();
        let envoy = Envoy::start(folder.path(), &fill(sample, &marked).unwrap(), 1).unwrap();
        for prefix in PREFIXES {
            let bytes = request("GET", &format!("{prefix}/nothing"), &[], b"");
            let direct = send(auth, &bytes).unwrap();
            let through = send(envoy.listener("main"), &bytes).unwrap();
            assert_eq!(through.status, direct.status, "{prefix}");
            assert_ne!(through.code(), "unknown_service", "{prefix}: a check was asked");
        }
    }
}

#[test]
fn the_kubernetes_samples_lead_all_logins_to_doorward() {
    for sample in ["istio", "envoy-gateway", "contour"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("envoy/{sample}.yaml"));
        let text = std::fs::read_to_string(path).unwrap();
        for prefix in PREFIXES {
            let forms = [format!("prefix: {prefix}/}}"), format!("value: {prefix}}}")]
                .map(|form| text.matches(&form).count());
            assert_eq!(forms.iter().sum::<usize>(), 1, "{sample}: {prefix}");
        }
    }
}

#[test]
fn the_guide_shows_the_policy_that_the_hardened_envoy_has() {
    let guide = include_str!("../../docs/guides/cookies.md");
    let plain = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.split(" # ").next().unwrap().trim().to_owned());
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    };
    let [shown] = blocks(guide, "yaml")[..] else { panic!("the guide has another sample") };
    let (shown, all) = (plain(shown), plain(HARDENED));
    assert!(all.windows(shown.len()).any(|lines| lines == shown), "{shown:?}");
}

#[test]
fn the_sample_configurations_are_valid() {
    for name in ["doorward.yaml", "examples/demo/doorward.yaml", "tests/cases/house.yaml"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let folder = tempfile::tempdir().unwrap();
        let setup = setup(folder.path()).with("DEMO_KEY", "demo-0123456789-abcdef");
        setup.write(&text).unwrap();
        let output = setup.run(&["validate"]).unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
