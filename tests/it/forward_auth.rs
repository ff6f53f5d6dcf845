//! `/check`: the same decisions for nginx, Caddy, Traefik and Envoy over HTTP, each as our sample has it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use doorward::domain::jwt::Algorithm;

use crate::jwt::{bearer, claims, jwks, key};
use crate::rig::doorward::Doorward;
use crate::rig::echo::Echo;
use crate::rig::envoy::Envoy;
use crate::rig::http1::{Reply, request, send};
use crate::rig::port::free_port;
use crate::rig::process::Process;
use crate::rig::sample::fill;
use crate::rig::wait::until;
use crate::rig::{Outcome, tools};
use crate::world::{ALICE, setup, started};

const HOUSE: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
forward_auth:
  nginx: {peers: [127.0.0.1]}
  caddy: {peers: ["127.0.0.0/8"]}
  traefik: {peers: [127.0.0.1]}
  envoy: {peers: [127.0.0.1]}
issuers:
  accounts: {issuer: "https://accounts.example", audiences: [orders], algorithms: [EdDSA], jwks_file: keys.json}
services:
  - {name: orders, paths: [/orders], authentication: {any: [api_key]}}
  - {name: open, paths: [/open], authentication: none}
  - {name: open-host, hosts: [open.example], paths: [/hosts], authentication: none}
  - {name: closed-host, hosts: [closed.example], paths: [/hosts], authentication: {any: [api_key]}}
  - {name: jar, paths: [/jar], authentication: {any: [api_key: {in: [cookie], bearer: true}]}}
  - {name: near, paths: [/near], authentication: none, networks: {allow: [127.0.0.1]}}
  - {name: not-far, paths: [/not-far], authentication: none, networks: {deny: [203.0.113.0/24]}}
  - {name: far, paths: [/far], authentication: none, networks: {allow: [203.0.113.0/24]}}
  - {name: off, paths: [/off], authentication: none, enabled: false}
  - {name: tokens, paths: [/tokens], authentication: {any: [jwt: {issuer: accounts}]}}
consumers:
  - {username: alice, keys: [{from_env: ALICE_KEY}]}
"#;

/// A Doorward, and what its issuer signs with.
fn house(folder: &Path, config: &str) -> (Doorward, doorward::issue::SigningKey) {
    let setup = setup(folder);
    let signing = key("1", Algorithm::EdDsa);
    std::fs::write(folder.join("keys.json"), jwks(&[&signing])).unwrap();
    setup.write(config).unwrap();
    (started(&setup), signing)
}

/// A proxy in front of an upstream that says what it saw.
struct Asking {
    proxy: SocketAddr,
    doorward: Option<Doorward>,
    echo: Echo,
    _running: Running,
    _folder: tempfile::TempDir,
}

#[allow(dead_code, reason = "held until the end")]
enum Running {
    Process(Process),
    Envoy(Envoy),
}

fn free() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port().unwrap()).into()
}

fn sample(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

impl Asking {
    fn new(start: impl Fn(&Path, SocketAddr, SocketAddr) -> Outcome<(Running, SocketAddr)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let echo = Echo::start(0).unwrap();
        let (doorward, _) = house(&folder.path().join("doorward"), HOUSE);
        // A port that was free may be another test's by the time a proxy binds it.
        let start = || start(folder.path(), doorward.auth_address(), echo.address());
        let (running, proxy) = start().or_else(|_| start()).or_else(|_| start()).unwrap();
        Self { proxy, doorward: Some(doorward), echo, _running: running, _folder: folder }
    }

    #[track_caller]
    fn get(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        send(self.proxy, &request("GET", target, headers, b"")).unwrap()
    }

    /// What each kind of proxy must make of it. `unknown` is what a caller gets where there is no service;
    /// `look_alike` what comes of a header that only looks like one of ours, 200 without it or a refusal.
    fn holds(&mut self, unknown: u16, look_alike: &[u16], outage: &[u16]) {
        let reply = self.get("/orders", &[]);
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Key")), "no key");
        assert_eq!(self.get("/orders", &[("apikey", "wrong-0123456789-abc")]).status, 401);

        let spoofed = [
            ("apikey", ALICE),
            ("X-Consumer-ID", "evil"),
            ("X-Consumer-Custom-ID", "evil"),
            ("X-Roles", "evil"),
        ];
        let seen = self.get("/orders/1?a=b", &spoofed).seen().expect("alice's key opens");
        assert_eq!(seen.all("x-consumer-username"), ["alice"]);
        assert_eq!(seen.all("x-consumer-id").len(), 1);
        assert!(
            seen.headers.iter().all(|(_, value)| value != "evil" && value != ALICE),
            "{:?}",
            seen.headers
        );
        assert_eq!(seen.target, "/orders/1?a=b");

        let seen = self
            .get("/open", &[("X-Consumer-Username", "evil"), ("X-Permissions", "evil")])
            .seen()
            .expect("open");
        assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{:?}", seen.headers);

        let reply = self.get("/open", &[("x_consumer_id", "evil")]);
        assert!(look_alike.contains(&reply.status), "{}", reply.status);
        if reply.status == 200 {
            let seen = reply.seen().expect("open");
            assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{:?}", seen.headers);
        }

        self.keeps_credentials_back();
        // Upstreams see who called, whatever the client would have taken away between two hops.
        for named in ["close, X-Consumer-ID, X-Consumer-Username", "X-Consumer-Username"] {
            let seen =
                self.get("/orders", &[("apikey", ALICE), ("Connection", named)]).seen().expect("alice");
            assert_eq!(seen.all("x-consumer-username"), ["alice"], "Connection: {named}");
            assert_eq!(seen.all("x-consumer-id").len(), 1, "Connection: {named}");
        }

        let claim = [("X-Forwarded-For", "203.0.113.9"), ("X-Real-IP", "203.0.113.9")];
        for claim in [&[][..], &claim] {
            assert_eq!(self.get("/not-far", claim).status, 200, "an address that is not kept out");
        }
        assert_eq!(self.get("/far", &[]).status, 403, "an address that is not let in");
        for claim in ["X-Forwarded-For", "X-Real-IP"] {
            assert_eq!(self.get("/far", &[(claim, "203.0.113.9")]).status, 403, "claimed by {claim}");
        }
        // No client says what it asks for but by asking for it.
        for (name, value) in [
            ("X-Original-URI", "/open"),
            ("X-Forwarded-Uri", "/open"),
            ("X-Original-Method", "OPTIONS"),
            ("X-Envoy-Original-Path", "/open"),
        ] {
            assert_eq!(self.get("/orders", &[(name, value)]).status, 401, "claimed by {name}");
        }
        assert_eq!(self.get("/orders?service=open", &[]).status, 401);
        assert_eq!(self.get("/nowhere", &[]).status, unknown);

        let reached = self.echo.requests();
        drop(self.doorward.take());
        let status = self.get("/orders", &[("apikey", ALICE)]).status;
        assert!(outage.contains(&status), "an outage: {status}");
        assert_eq!(self.echo.requests(), reached, "nobody passes unasked");
    }
}

impl Asking {
    /// The upstream gets what a client sent, but for what opened the door.
    fn keeps_credentials_back(&self) {
        let seen = |path: &str, headers: &[(&str, &str)]| {
            let seen = self.get(path, headers).seen().unwrap_or_else(|| panic!("{path} {headers:?}"));
            ["cookie", "authorization"].map(|name| seen.all(name).join("|"))
        };
        let (key, bearer) = (format!("apikey={ALICE}"), format!("Bearer {ALICE}"));
        let mixed = format!("a=1; {key}; b=2");
        let basic = ("Authorization", "Basic eDp5");
        assert_eq!(seen("/jar", &[("Cookie", &mixed), basic]), ["a=1; b=2", basic.1]);
        assert_eq!(seen("/jar", &[("Cookie", &key)]), ["", ""]);
        assert_eq!(seen("/jar", &[("Authorization", &bearer), ("Cookie", "a=1")]), ["a=1", ""]);
        let long = format!("a={}", "x".repeat(6_000));
        assert_eq!(seen("/open", &[("Cookie", &long), basic]), [long.as_str(), basic.1]);
        assert_eq!(seen("/open", &[]), ["", ""]);
    }
}

/// Starts a proxy and waits until it listens at `address`.
fn run(name: &str, command: Command, folder: &Path, address: SocketAddr) -> Outcome<Running> {
    let mut process = Process::start(name, command, &folder.join("proxy.log"))?;
    let listens = until(&format!("{name} listens"), Duration::from_secs(30), || match process.ended() {
        Some(status) => Some(Err(format!("{name} ended with {status}"))),
        None => TcpStream::connect(address).is_ok().then_some(Ok(())),
    });
    match listens.and_then(|listens| listens) {
        Ok(()) => Ok(Running::Process(process)),
        Err(message) => Err(format!("{message}\n{}", process.tail())),
    }
}

/// nginx with a site that is made of our sample.
fn nginx(site: impl Fn(&str) -> String) -> Asking {
    Asking::new(|folder, doorward, upstream| {
        let listen = free();
        let values = [
            ("doorward", format!("{doorward};")),
            ("upstream", format!("{upstream};")),
            ("listen", format!("{listen};")),
        ];
        let site = site(&fill(&sample("deploy/nginx/doorward.conf"), &values).unwrap());
        let at = |name: &str| folder.join(name).display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", at(kind)))
            .concat();
        let whole = format!(
            "daemon off;\nmaster_process off;\npid {};\nerror_log stderr warn;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{site}}}\n",
            at("nginx.pid")
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, whole).unwrap();
        let mut command = Command::new(tools::program("nginx").unwrap());
        command.arg("-p").arg(folder).arg("-c").arg(&file).args(["-e", "stderr"]);
        Ok((run("nginx", command, folder, listen)?, listen))
    })
}

#[test]
fn nginx_asks_by_auth_request() {
    let mut asking = nginx(str::to_owned);
    assert_eq!(asking.get("/near", &[]).status, 200);
    asking.holds(403, &[200], &[500]);
}

/// The host of an absolute target is the one that nginx goes by, and not the `Host` beside it.
#[test]
fn the_host_that_nginx_chooses_a_server_by_is_the_one_that_is_decided_about() {
    let asking = nginx(|site| {
        let server = site.find("server {\n    listen").unwrap();
        let named = |name: &str| site[server..].replacen("{", &format!("{{\n    server_name {name};"), 1);
        format!("{}{}{}", &site[..server], named("open.example"), named("closed.example"))
    });
    let get = |target: &str, host: &str| asking.get(target, &[("Host", host)]);
    assert_eq!(get("/hosts", "open.example").status, 200);
    assert_eq!(get("/hosts", "closed.example").status, 401);
    let reached = asking.echo.requests();
    assert_eq!(get("http://closed.example/hosts", "open.example").status, 401);
    assert_eq!(asking.echo.requests(), reached, "the upstream");
    let seen = get("http://open.example/hosts", "closed.example").seen().expect("open");
    assert_eq!(seen.all("host"), ["open.example"]);
}

#[test]
fn a_location_that_is_added_to_nginx_asks_as_well() {
    let asking = nginx(|site| {
        site.replacen(
            "    location / {",
            "    location /orders/static/ { proxy_pass http://orders; }\n    location / {",
            1,
        )
    });
    assert_eq!(asking.get("/orders/static/a", &[]).status, 401);
    let headers = [("apikey", ALICE), ("X-Consumer-Groups", "evil")];
    let seen = asking.get("/orders/static/a", &headers).seen().expect("alice");
    assert_eq!(seen.all("x-consumer-username"), ["alice"]);
    assert!(seen.headers.iter().all(|(_, value)| value != "evil" && value != ALICE), "{:?}", seen.headers);
}

#[test]
fn caddy_asks_by_forward_auth() {
    let mut asking = Asking::new(|folder, doorward, upstream| {
        let listen = free();
        let file = folder.join("Caddyfile");
        let mut text = sample("deploy/caddy/Caddyfile");
        for (from, to) in [
            ("http://:8000", format!("http://127.0.0.1:{}", listen.port())),
            ("doorward:8002", doorward.to_string()),
            ("upstream:9000", upstream.to_string()),
        ] {
            assert!(text.contains(from), "{from}");
            // Any host: requests of the tests have another.
            text = text.replace(from, &to);
        }
        let text = text.replace("http://127.0.0.1:", "http://:");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(tools::program("caddy").unwrap());
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
        Ok((run("Caddy", command, folder, listen)?, listen))
    });
    // What else a client's Connection says is passed on.
    let upgrade = [("apikey", ALICE), ("Connection", "X-Consumer-ID, Upgrade"), ("Upgrade", "websocket")];
    let seen = asking.get("/orders", &upgrade).seen().expect("alice");
    assert_eq!((seen.all("connection"), seen.all("upgrade")), (vec!["Upgrade"], vec!["websocket"]));
    assert_eq!(seen.all("x-consumer-id").len(), 1);
    assert_eq!(asking.get("/near", &[]).status, 200);
    asking.holds(404, &[200, 400], &[502, 503, 504]);
}

#[test]
fn traefik_asks_by_forward_auth() {
    let mut asking = Asking::new(|folder, doorward, upstream| {
        let listen = free();
        let routes = folder.join("routes.yaml");
        let values = [
            ("doorward", format!("http://{doorward}/check/traefik")),
            ("upstream", format!("http://{upstream}")),
        ];
        std::fs::write(&routes, fill(&sample("deploy/traefik/routes.yaml"), &values).unwrap()).unwrap();
        let file = folder.join("traefik.yaml");
        let values = [("listen", format!("\"{listen}\"")), ("routes", routes.display().to_string())];
        std::fs::write(&file, fill(&sample("deploy/traefik/traefik.yaml"), &values).unwrap()).unwrap();
        let mut command = Command::new(tools::program("traefik").unwrap());
        command.arg(format!("--configfile={}", file.display()));
        let running = run("Traefik", command, folder, listen)?;
        // It listens before it has read its routes.
        let ready = || {
            let reply = send(listen, &request("GET", "/open", &[], b"")).ok()?;
            (reply.status == 200).then_some(())
        };
        until("Traefik has its routes", Duration::from_secs(30), ready)?;
        Ok((running, listen))
    });
    assert_eq!(asking.get("/near", &[]).status, 200);
    asking.holds(404, &[400], &[500, 502, 503]);
}

/// Envoy with a configuration that is made of our sample.
fn envoy(config: impl Fn(String) -> String) -> Asking {
    Asking::new(|folder, doorward, upstream| {
        let local = "127.0.0.1".to_owned();
        let values = [
            ("admin", "0".to_owned()),
            ("listener_host", local.clone()),
            ("listener", "0".to_owned()),
            ("doorward_host", local.clone()),
            ("doorward", doorward.port().to_string()),
            ("upstream_host", local),
            ("upstream", upstream.port().to_string()),
        ];
        let config = config(fill(&sample("envoy/http.yaml"), &values).unwrap());
        let envoy = Envoy::start(folder, &config, 1).unwrap();
        let listener = envoy.listener("main");
        Ok((Running::Envoy(envoy), listener))
    })
}

/// Envoy takes over what is listed, and what it does not take over it does not remove either.
#[test]
fn what_envoy_does_not_take_over_is_not_the_clients_word() {
    let asking = envoy(|config| {
        let start = config.find("authorization_response:").unwrap();
        let end = start + config[start..].find("allowed_headers:").unwrap();
        format!("{}\n                      {}", config[..start].trim_end(), &config[end..])
    });
    let spoofed = [("apikey", ALICE), ("X-Consumer-Username", "evil"), ("X-Consumer-Groups", "evil")];
    let seen = asking.get("/orders", &spoofed).seen().expect("alice");
    assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{:?}", seen.headers);
}

#[test]
fn envoy_asks_over_http() {
    let mut asking = envoy(std::convert::identity);
    assert_eq!(asking.get("/off", &[]).status, 403, "a denial, and no error that may be let pass");
    assert_eq!(asking.get("/", &[]).status, 404);
    asking.holds(404, &[400], &[503]);
}

/// Doorward asked by hand, as `nginx` asks.
fn ask(doorward: &Doorward, path: &str, headers: &[(&str, &str)]) -> Reply {
    send(doorward.auth_address(), &request("GET", path, headers, b"")).unwrap()
}

const ABOUT: [(&str, &str); 4] = [
    ("X-Original-Method", "GET"),
    ("X-Original-URI", "/orders"),
    ("X-Original-Host", "api.example"),
    ("X-Real-IP", "198.51.100.7"),
];

#[test]
fn whoever_is_no_peer_may_not_ask() {
    let folder = tempfile::tempdir().unwrap();
    let strangers = "\
        listen: {grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}\n\
        forward_auth: {nginx: {peers: [203.0.113.1]}}\n\
        services: [{name: open, authentication: none}]\n";
    let (doorward, _) = house(folder.path(), strangers);
    let reply = ask(&doorward, "/check/nginx", &ABOUT);
    assert_eq!(reply.status, 403);
    assert!(String::from_utf8_lossy(&reply.body).contains("forward_auth.nginx.peers"));
    for path in ["/check/caddy", "/check/squid", "/check", "/check/"] {
        assert_eq!(ask(&doorward, path, &ABOUT).status, 404, "{path}");
    }
}

/// Caddy and Traefik tell of their peer alone, unless they are told to believe what it says.
#[test]
fn a_trusted_proxy_that_caddy_or_traefik_names_alone_is_not_taken_for_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let settings = HOUSE
        .replace("issuers:", "client_address: {trusted_proxies: [10.0.0.0/8]}\nissuers:")
        .replace("allow: [127.0.0.1]", "allow: [10.0.0.0/8, 203.0.113.9]");
    let (doorward, _) = house(folder.path(), &settings);
    for kind in ["caddy", "traefik"] {
        for (forwarded, expected) in [
            ("10.0.0.1", 403),
            ("203.0.113.9, 10.0.0.1", 200),
            ("203.0.113.8, 10.0.0.1", 403),
            ("203.0.113.9", 200),
            // Both are the operator's, and the first is told of.
            ("10.0.0.2, 10.0.0.1", 200),
        ] {
            let about = [
                ("X-Forwarded-Method", "GET"),
                ("X-Forwarded-Uri", "/near"),
                ("X-Forwarded-Host", "api.example"),
                ("X-Forwarded-For", forwarded),
            ];
            let reply = ask(&doorward, &format!("/check/{kind}"), &about);
            assert_eq!(reply.status, expected, "{kind} {forwarded}");
        }
    }
}

#[test]
fn a_proxy_that_does_not_say_what_it_is_about_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (doorward, _) = house(folder.path(), HOUSE);
    let about = |target: &'static str| {
        let mut about = ABOUT;
        about[1].1 = target;
        about
    };
    assert_eq!(ask(&doorward, "/check/nginx", &about("/open")).status, 200);
    for missing in 0..3 {
        let mut less = about("/open").to_vec();
        let gone = less.remove(missing);
        assert_eq!(ask(&doorward, "/check/nginx", &less).status, 403, "without {gone:?}");
        let mut twice = about("/open").to_vec();
        twice.push(gone);
        assert_eq!(ask(&doorward, "/check/nginx", &twice).status, 403, "twice {gone:?}");
    }
    // Nobody says who the client is: no list lets it in.
    assert_eq!(ask(&doorward, "/check/nginx", &about("/far")[..3]).status, 403);
    let mut near = about("/far");
    near[3].1 = "203.0.113.9";
    assert_eq!(ask(&doorward, "/check/nginx", &near).status, 200);
    near[3].1 = "203.0.113.09";
    assert_eq!(ask(&doorward, "/check/nginx", &near).status, 403, "no address");
    assert_eq!(ask(&doorward, "/check/nginx", &about("/../open")).status, 403, "ambiguous");
    assert_eq!(ask(&doorward, "/check/nginx", &about("/off")).status, 503, "an error to nginx, and closed");
    for path in ["/check/envoy/%ff", "/check/envoy//open", "/check/envoy/open/../orders"] {
        assert_eq!(ask(&doorward, path, &[]).status, 400, "{path}");
    }
    assert_eq!(ask(&doorward, "/check/envoy/open?a=%ff", &[]).status, 200);
}

#[test]
fn the_operator_may_name_the_service_and_no_client_can() {
    let folder = tempfile::tempdir().unwrap();
    let (doorward, _) = house(folder.path(), HOUSE);
    assert_eq!(ask(&doorward, "/check/nginx/open", &ABOUT).status, 200);
    assert_eq!(ask(&doorward, "/check/nginx/open?service=orders", &ABOUT).status, 200);
    assert_eq!(ask(&doorward, "/check/nginx?service=open", &ABOUT).status, 401);
    assert_eq!(ask(&doorward, "/check/nginx/nobody", &ABOUT).status, 403);
    assert_eq!(ask(&doorward, "/check/nginx/open/production", &ABOUT).status, 403, "not deployed there");
}

#[test]
fn a_token_that_was_never_seen_is_verified_here_too() {
    let folder = tempfile::tempdir().unwrap();
    let (doorward, signing) = house(folder.path(), HOUSE);
    let mut about = ABOUT.to_vec();
    about[1].1 = "/tokens";
    let token = bearer(&signing.sign(&claims("https://accounts.example")).unwrap());
    let with =
        |token: &str| ask(&doorward, "/check/nginx", &[&about[..], &[("Authorization", token)]].concat());
    assert_eq!(with(&token).status, 200);
    assert_eq!(with(&token).status, 200, "remembered");
    let forged = token.replace(&token[token.len() - 6..], "AAAAAA");
    let reply = with(&forged);
    assert_eq!(reply.status, 401);
    assert!(reply.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")));
}

#[test]
fn peers_that_are_everybody_or_nobody_are_a_fault_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    for (peers, expected) in [
        ("[]", "so nobody may ask; leave `nginx` out"),
        ("[0.0.0.0/0]", "has `0.0.0.0/0`, all addresses of IPv4"),
        ("[0.0.0.0-255.255.255.255]", "has `0.0.0.0-255.255.255.255`, all addresses of IPv4"),
        ("[10.0.0.1, 0.0.0.0/1, 128.0.0.0/1]", "has all addresses of IPv4"),
        ("['::/1', '8000::/1']", "has all addresses of IPv6"),
        ("[10.0.0.300]", "10.0.0.300"),
    ] {
        setup.write(&format!("forward_auth: {{nginx: {{peers: {peers}}}}}\n")).unwrap();
        let output = setup.run(&["validate"]).unwrap();
        let said = crate::world::said(&output);
        assert!(!output.status.success() && said.contains(expected), "{peers}: {said}");
    }
}
