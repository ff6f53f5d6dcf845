//! Whose address a request comes from, whatever Envoy makes of it: the T-IP table of the contract
//! with Envoy (`source.address` against `x-forwarded-for`), and lists of networks that rest on it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde_json::Value;

use crate::rig::http1::{Reply, request, send, send_to_socket};
use crate::rig::wait::eventually;
use crate::rig::wiring::{Edge, Wiring};
use crate::world::World;

/// One address alone, all but some, and everybody.
const DOORS: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
log: {allows: 1}
client_address: {trusted_proxies: [TRUSTED]}
services:
  - {name: one, paths: [/one], authentication: none, networks: {allow: [203.0.113.9]}}
  - {name: others, paths: [/others], authentication: none, networks: {deny: [203.0.113.0/24, "2001:db8::/32"]}}
  - {name: anywhere, paths: [/anywhere], authentication: none}
"#;

const LOOPBACK: &str = "127.0.0.0/8";

fn doors(trusted: &[&str]) -> String {
    let quoted: Vec<String> = trusted.iter().map(|entry| format!("\"{entry}\"")).collect();
    DOORS.replace("TRUSTED", &quoted.join(", "))
}

/// Every setting of Envoy that is about a client's address, under the name of its listener.
fn edges() -> Vec<(String, Edge)> {
    let mut edges = Vec::new();
    for use_remote_address in [false, true] {
        for xff_num_trusted_hops in 0..=2 {
            let edge = Edge { use_remote_address, xff_num_trusted_hops, ..Edge::default() };
            edges.push((format!("remote {use_remote_address}, {xff_num_trusted_hops} hops"), edge));
        }
    }
    let remote = Edge { use_remote_address: true, ..Edge::default() };
    edges.push(("nothing appended".to_owned(), Edge { skip_xff_append: true, ..remote.clone() }));
    edges.push(("internal peers".to_owned(), Edge { internal_peers: true, ..remote }));
    edges
}

fn appends(edge: &Edge) -> bool {
    edge.use_remote_address && !edge.skip_xff_append
}

/// What Envoy appends for a client on loopback: an address of its machine.
fn own_address() -> String {
    let world = World::with(&doors(&[]), |wiring| wiring.edges = edges());
    let reply = send(world.envoy.listener("remote true, 0 hops"), &request("GET", "/anywhere", &[], b""));
    let seen = reply.unwrap().seen().expect("the upstream's answer");
    seen.header("x-forwarded-for").expect("Envoy appends an address").to_owned()
}

/// A request's way in, so that a table can ask at every door.
type Way<'a> = &'a dyn Fn(&str) -> Reply;

/// Asks at each door; `client` is the address that must have been judged, if any was to be known.
#[track_caller]
fn check(world: &World, case: &str, way: Way<'_>, client: Option<&str>) {
    let client: Option<IpAddr> = client.map(|text| text.parse().unwrap());
    let listed = match client {
        Some(IpAddr::V4(address)) => address.octets()[..3] == [203, 0, 113],
        Some(IpAddr::V6(address)) => address.segments()[..2] == [0x2001, 0xdb8],
        None => false,
    };
    for (door, open) in [
        ("one", client == Some("203.0.113.9".parse().unwrap())),
        ("others", client.is_some() && !listed),
        ("anywhere", true),
    ] {
        let before = world.echo.requests();
        let reply = way(&format!("/{door}"));
        let expected = if open { (200, String::new()) } else { (403, "network_denied".to_owned()) };
        assert_eq!((reply.status, reply.code()), expected, "{case}: /{door}, judged {client:?}");
        assert_eq!(world.echo.requests() - before, usize::from(open), "{case}: /{door}");
    }
}

/// Over TCP at a listener, after `preamble`, with lines of `x-forwarded-for`.
fn over(listener: SocketAddr, preamble: &[u8], lines: &[&str], target: &str) -> Reply {
    let headers: Vec<(&str, &str)> = lines.iter().map(|line| ("X-Forwarded-For", *line)).collect();
    let bytes = [preamble, &request("GET", target, &headers, b"")].concat();
    send(listener, &bytes).unwrap()
}

#[track_caller]
fn check_forwarded(world: &World, listener: &str, lines: &[&str], client: Option<&str>) {
    let address = world.envoy.listener(listener);
    check(world, &format!("{listener}: {lines:?}"), &|target| over(address, b"", lines, target), client);
}

#[test]
#[rustfmt::skip] // A table is read by its columns.
fn a_trusted_envoy_vouches_for_the_entry_next_to_its_own_under_every_setting() {
    let own = own_address();
    for raw in [false, true] {
        let world = World::with(&doors(&[LOOPBACK, &own]), |wiring| {
            wiring.edges = edges();
            wiring.raw_headers = raw;
        });
        for (name, edge) in &edges() {
            let row = |lines: &[&str], client| check_forwarded(&world, name, lines, client);
            //   x-forwarded-for                          client
            row(&["203.0.113.9"],                         Some("203.0.113.9"));
            row(&["1.1.1.1, 203.0.113.9"],                Some("203.0.113.9"));
            row(&["1.1.1.1, 203.0.113.77"],               Some("203.0.113.77"));
            // Forged: further left than anybody whom we trust has written.
            row(&["203.0.113.9, 198.51.100.7"],           Some("198.51.100.7"));
            row(&["203.0.113.9,203.0.113.9,198.51.100.7"], Some("198.51.100.7"));
            row(&["198.51.100.7, 203.0.113.77"],          Some("203.0.113.77"));
            row(&["127.0.0.1, 203.0.113.77"],             Some("203.0.113.77"));
            row(&["203.0.113.9, 198.51.100.7, 127.0.0.1"], Some("198.51.100.7"));
            // Two lines are one list.
            row(&["1.1.1.1", "203.0.113.9"],              Some("203.0.113.9"));
            row(&["203.0.113.9", "198.51.100.7"],         Some("198.51.100.7"));
            row(&["203.0.113.9", "evil"],                 None);
            // What is no address hides who stands there; what is left of it is anybody's word.
            row(&["evil"],                                None);
            row(&["203.0.113.9:444"],                     None);
            row(&["203.0.113.9, evil"],                   None);
            row(&["203.0.113.9, 198.51.100.7:444"],       None);
            row(&["203.0.113.9,"],                        None);
            row(&["203.0.113.009"],                       None);
            row(&["[2001:db8::9]"],                       None);
            row(&["unknown"],                             None);
            row(&["evil, 203.0.113.9"],                   Some("203.0.113.9"));
            row(&["203.0.113.9:444, 198.51.100.7"],       Some("198.51.100.7"));
            // IPv6, and IPv4 in its clothes
            row(&["2001:db8::9"],                         Some("2001:db8::9"));
            row(&["203.0.113.9, 2001:DB8:0:0::9"],        Some("2001:db8::9"));
            row(&["2001:db8::9, 2a00::1"],                Some("2a00::1"));
            row(&["::ffff:203.0.113.9"],                  Some("203.0.113.9"));
            row(&["::ffff:cb00:714d"],                    Some("203.0.113.77"));
            row(&["203.0.113.9, ::ffff:198.51.100.7"],    Some("198.51.100.7"));
            // Nobody but those whom we trust: the last of them.
            row(&["127.0.0.2"],                           Some("127.0.0.2"));
            row(&[],                                      Some(if appends(edge) { &own } else { "127.0.0.1" }));
        }
    }
}

#[test]
fn a_second_trusted_proxy_vouches_for_one_more_entry() {
    let own = own_address();
    let trusted = [LOOPBACK, &own, "203.0.113.9"];
    let world = World::with(&doors(&trusted), |wiring| wiring.edges = edges());
    for (name, _) in &edges() {
        let row = |lines: &[&str], client| check_forwarded(&world, name, lines, client);
        row(&["198.51.100.7, 203.0.113.9"], Some("198.51.100.7"));
        row(&["203.0.113.77, 203.0.113.9"], Some("203.0.113.77"));
        row(&["203.0.113.9, 198.51.100.7, 203.0.113.9"], Some("198.51.100.7"));
        row(&["evil, 203.0.113.9"], None);
        row(&["203.0.113.9"], Some("203.0.113.9"));
    }
}

#[test]
fn where_nobody_is_trusted_no_header_moves_the_client() {
    let world = World::with(&doors(&[]), |wiring| wiring.edges = edges());
    let names = [
        "X-Forwarded-For",
        "X-Real-IP",
        "X-Envoy-External-Address",
        "X_Forwarded_For",
        "X.Forwarded.For",
        "X-Client-IP",
        "True-Client-IP",
        "X-Original-Forwarded-For",
        "CF-Connecting-IP",
    ];
    let mut claims: Vec<(&str, &str)> = names.iter().map(|name| (*name, "203.0.113.9")).collect();
    claims.push(("Forwarded", "for=203.0.113.9"));
    for (name, _) in &edges() {
        let address = world.envoy.listener(name);
        let way = |target: &str| send(address, &request("GET", target, &claims, b"")).unwrap();
        check(&world, name, &way, Some("127.0.0.1"));
    }
}

#[test]
fn behind_a_trusted_envoy_no_other_header_names_the_client() {
    let own = own_address();
    let world = World::with(&doors(&[LOOPBACK, &own]), |wiring| wiring.edges = edges());
    let claims = [
        ("X-Real-IP", "203.0.113.9"),
        ("Forwarded", "for=203.0.113.9"),
        ("X-Envoy-External-Address", "203.0.113.9"),
        ("X_Forwarded_For", "203.0.113.9"),
        ("X-Forwarded-For", "198.51.100.7"),
    ];
    for (name, _) in &edges() {
        let address = world.envoy.listener(name);
        let way = |target: &str| send(address, &request("GET", target, &claims, b"")).unwrap();
        check(&world, name, &way, Some("198.51.100.7"));
    }
}

#[test]
fn a_client_that_envoy_does_not_show_is_unknown_and_so_denied() {
    let own = own_address();
    let trusted = [LOOPBACK, &own];
    for (shown, client) in [(vec!["apikey"], None), (vec!["x-forwarded-for"], Some("203.0.113.9"))] {
        let world = World::with(&doors(&trusted), |wiring| {
            wiring.edges = edges();
            wiring.allowed_headers = shown.clone();
        });
        for (name, _) in &edges() {
            check_forwarded(&world, name, &["203.0.113.9"], client);
        }
    }
    // The other end of the connection is seen whatever is hidden.
    let world = World::with(&doors(&["10.0.0.0/8"]), |wiring| wiring.allowed_headers = vec!["apikey"]);
    check_forwarded(&world, "main", &["203.0.113.9"], Some("127.0.0.1"));
}

/// A header of the PROXY protocol, version 2.
fn version_2(source: &str) -> Vec<u8> {
    let (family, mut addresses) = match source.parse().unwrap() {
        IpAddr::V4(address) => (0x11, [address.octets(), [127, 0, 0, 1]].concat()),
        IpAddr::V6(address) => (0x21, [address.octets(), std::net::Ipv6Addr::LOCALHOST.octets()].concat()),
    };
    addresses.extend([0xc0, 0x00, 0x01, 0xbb]);
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x21, family]);
    header.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
    [header, addresses].concat()
}

fn proxied(wiring: &mut Wiring) {
    for use_remote_address in [false, true] {
        let edge = Edge { use_remote_address, proxy_protocol: true, ..Edge::default() };
        wiring.edges.push((format!("proxied {use_remote_address}"), edge));
    }
}

const PROXIED: [&str; 2] = ["proxied false", "proxied true"];

#[test]
fn the_proxy_protocol_names_the_client_and_no_header_does() {
    let world = World::with(&doors(&[]), proxied);
    let version_1 = |text: &str| format!("PROXY {text}\r\n").into_bytes();
    for listener in PROXIED {
        let address = world.envoy.listener(listener);
        for (preamble, client) in [
            (version_1("TCP4 203.0.113.9 192.0.2.1 49152 443"), "203.0.113.9"),
            (version_1("TCP4 198.51.100.7 192.0.2.1 49152 443"), "198.51.100.7"),
            (version_1("TCP6 2001:db8::9 2001:db8::1 49152 443"), "2001:db8::9"),
            (version_1("UNKNOWN"), "127.0.0.1"),
            (version_2("203.0.113.9"), "203.0.113.9"),
            (version_2("203.0.113.77"), "203.0.113.77"),
            (version_2("2001:db8::9"), "2001:db8::9"),
            (version_2("::ffff:203.0.113.9"), "203.0.113.9"),
        ] {
            for lines in [&[][..], &["203.0.113.9"], &["198.51.100.7"], &["evil"]] {
                let case = format!("{listener}: {client}, {lines:?}");
                check(&world, &case, &|target| over(address, &preamble, lines, target), Some(client));
            }
        }
        let before = world.echo.requests();
        assert!(send(address, &request("GET", "/anywhere", &[], b"")).is_err(), "{listener}: no preamble");
        assert_eq!(world.echo.requests(), before);
    }
}

#[test]
fn a_proxy_named_by_the_proxy_protocol_vouches_only_where_it_is_trusted() {
    let world = World::with(&doors(&["198.51.100.7"]), proxied);
    for listener in PROXIED {
        let address = world.envoy.listener(listener);
        for (source, lines, client) in [
            ("198.51.100.7", &["1.1.1.1, 203.0.113.9"][..], Some("203.0.113.9")),
            ("198.51.100.7", &["203.0.113.9, 1.1.1.1"], Some("1.1.1.1")),
            ("198.51.100.7", &["evil"], None),
            ("198.51.100.8", &["203.0.113.9"], Some("198.51.100.8")),
            ("203.0.113.77", &["1.1.1.1"], Some("203.0.113.77")),
        ] {
            let case = format!("{listener}: {source}, {lines:?}");
            check(&world, &case, &|target| over(address, &version_2(source), lines, target), client);
        }
    }
}

#[test]
fn over_a_unix_socket_a_client_is_known_only_where_unix_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let sockets: Vec<_> = ["plain", "remote"].map(|name| folder.path().join(name)).into();
    let over_socket = |path: &Path, lines: &[&str], target: &str| {
        let headers: Vec<(&str, &str)> = lines.iter().map(|line| ("X-Forwarded-For", *line)).collect();
        send_to_socket(path, &request("GET", target, &headers, b"")).unwrap()
    };
    for (trusted, client) in
        [(&["unix"][..], Some("203.0.113.9")), (&[LOOPBACK, "0.0.0.0/0"], None), (&[], None)]
    {
        let world = World::with(&doors(trusted), |wiring| {
            for (socket, use_remote_address) in sockets.iter().zip([false, true]) {
                let edge = Edge { use_remote_address, socket: Some(socket.clone()), ..Edge::default() };
                wiring.edges.push((socket.display().to_string(), edge));
            }
        });
        let plain = |lines: &'static [&str]| {
            let path = sockets[0].clone();
            move |target: &str| over_socket(&path, lines, target)
        };
        let case = format!("trusted: {trusted:?}");
        check(&world, &case, &plain(&["198.51.100.7, 203.0.113.9"]), client);
        check(&world, &case, &plain(&["203.0.113.9, evil"]), None);
        check(&world, &case, &plain(&[]), None);
        // An Envoy that appends has no address to append.
        let remote = |target: &str| over_socket(&sockets[1], &["203.0.113.9, evil"], target);
        check(&world, &format!("{case}, remote address"), &remote, None);
    }
}

#[test]
fn log_and_metadata_say_whose_address_was_judged_and_which_hop_named_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let world = World::with(&doors(&["10.0.0.0/8"]), |wiring| {
        proxied(wiring);
        wiring.access_log = Some(log.clone());
    });
    let address = world.envoy.listener("proxied false");
    let (connection, last) = ("connection", "x-forwarded-for[-1]");
    #[rustfmt::skip] // A table is read by its columns.
    let table = [
        // target           source          x-forwarded-for               client                hop
        ("/one/in",         "203.0.113.9",  &[][..],                      Some("203.0.113.9"),  connection),
        ("/one/out",        "2001:db8::7",  &["203.0.113.9"],             Some("2001:db8::7"),  connection),
        ("/one/proxy",      "10.0.0.1",     &[],                          Some("10.0.0.1"),     connection),
        ("/one/next",       "10.0.0.1",     &["203.0.113.9"],             Some("203.0.113.9"),  last),
        ("/one/further",    "10.0.0.1",     &["203.0.113.9, 10.0.0.2"],   Some("203.0.113.9"),  "x-forwarded-for[-2]"),
        ("/one/lines",      "10.0.0.1",     &["203.0.113.9", "10.0.0.2"], Some("203.0.113.9"),  "x-forwarded-for[-2]"),
        // A client that is not known is nobody, and least of all the proxy.
        ("/one/lost",       "10.0.0.1",     &["203.0.113.9, evil"],       None,                 last),
        ("/anywhere/lost",  "10.0.0.1",     &["203.0.113.9:1, 10.0.0.2"], None,                 "x-forwarded-for[-2]"),
        // Refused before anybody asks from where.
        ("/nowhere",        "10.0.0.1",     &["198.51.100.7"],            Some("198.51.100.7"), last),
        ("/one/%zz",        "10.0.0.1",     &["evil"],                    None,                 last),
    ];
    for (target, source, lines, client, hop) in table {
        over(address, &version_2(source), lines, target);
        let own = eventually(&format!("the log has {target}"), || {
            let output = world.doorward.output();
            output
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .find(|line: &Value| line["path"] == target)
        });
        let envoys = crate::metadata::line(&log, target);
        for told in [&own, &envoys["doorward"]] {
            assert_eq!(told["client"].as_str(), client, "{target}: {told}");
            assert_eq!(told["client_from"], hop, "{target}: {told}");
        }
    }
}

/// `security-rules.md` 3.3 I6.
#[test]
fn i6_one_bad_entry_at_a_reload_refuses_the_whole_list_and_the_old_one_stays() {
    let world = World::with(&doors(&[LOOPBACK]), |_| {});
    let from = |client: &str, target: &str| {
        let reply = over(world.envoy.listener("main"), b"", &[client], target);
        if reply.status == 200 { "allow".to_owned() } else { reply.code() }
    };
    let reload = |list: &str| {
        let file = doors(&[LOOPBACK]).replace("networks: {allow: [203.0.113.9]}", list);
        world.doorward.setup().write(&file).unwrap();
    };
    let failed = |yes: &str| {
        eventually(&format!("the gauge says {yes}"), || {
            let metrics = world.doorward.status("/metrics").unwrap().text();
            metrics.contains(&format!("doorward_config_last_reload_successful {yes}\n")).then_some(())
        });
    };
    for bad in ["203.0.113.009", "10.0.0.1/8", "198.51.100.9-198.51.100.1", "198.51.100"] {
        reload(&format!("networks: {{allow: [198.51.100.7, \"{bad}\"]}}"));
        failed("0");
        let named = |line: &str| line.contains("doorward.yaml:6:87: ") && line.contains(bad);
        eventually("the log names it", || world.doorward.output().lines().any(named).then_some(()));
        // Neither the good half of the new list, nor no list.
        assert_eq!(from("203.0.113.9", "/one"), "allow", "{bad}");
        assert_eq!(from("198.51.100.7", "/one"), "network_denied", "{bad}");
        reload("networks: {allow: [203.0.113.9]}");
        failed("1");
    }
    reload("networks: {allow: [198.51.100.7]}");
    eventually("the mended list is in force", || (from("198.51.100.7", "/one") == "allow").then_some(()));
}

/// Kuroco's document, literally: a block in CIDR, and a range with `-`.
const KUROCO: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - name: blocked
    paths: [/blocked]
    authentication: none
    networks: {deny: ["203.0.113.0/24", "192.0.2.1-192.0.2.2"]}
  - name: allowed
    paths: [/allowed]
    authentication: none
    networks: {allow: ["203.0.113.0/24", "192.0.2.1-192.0.2.2"]}
  - name: both
    paths: [/both]
    authentication: none
    networks: {allow: ["203.0.113.0/24"], deny: ["203.0.113.64/26", "203.0.113.7-203.0.113.9", "203.0.113.1"]}
"#;

#[test]
fn kurocos_blocks_and_ranges_hold_to_the_last_address() {
    let world = World::with(KUROCO, proxied);
    let address = world.envoy.listener("proxied false");
    let code = |source: &str, target: &str| over(address, &version_2(source), &[], target).code();
    for (source, listed) in [
        ("203.0.112.255", false),
        ("203.0.113.0", true),
        ("203.0.113.255", true),
        ("203.0.114.0", false),
        ("192.0.2.0", false),
        ("192.0.2.1", true),
        ("192.0.2.2", true),
        ("192.0.2.3", false),
        ("::ffff:192.0.2.2", true),
        ("::c000:202", false),
        ("2001:db8::1", false),
    ] {
        let (blocked, allowed) = if listed { ("network_denied", "") } else { ("", "network_denied") };
        assert_eq!(code(source, "/blocked"), blocked, "{source}");
        assert_eq!(code(source, "/allowed"), allowed, "{source}");
    }
    // What is denied is denied, whoever allows it.
    for (source, expected) in [
        ("203.0.113.2", ""),
        ("203.0.113.1", "network_denied"),
        ("203.0.113.6", ""),
        ("203.0.113.7", "network_denied"),
        ("203.0.113.9", "network_denied"),
        ("203.0.113.10", ""),
        ("203.0.113.63", ""),
        ("203.0.113.64", "network_denied"),
        ("203.0.113.127", "network_denied"),
        ("203.0.113.128", ""),
        ("198.51.100.1", "network_denied"),
    ] {
        assert_eq!(code(source, "/both"), expected, "{source}");
    }
}

/// Nothing about addresses but what consumers and keys bring along.
const KEYED: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0"}
services:
  - {name: keyed, paths: [/keyed], authentication: {any: [{api_key: {}}]}}
  - {name: office, paths: [/office], authentication: {any: [{api_key: {}}]}, networks: {deny: [203.0.113.66]}}
  - {name: guests, paths: [/guests], authentication: {any: [{api_key: {}}], anonymous: guest}}
consumers:
  - {username: guest, networks: {allow: [203.0.113.0/24]}}
"#;

#[test]
fn a_consumers_and_a_keys_networks_hold_together_with_the_services() {
    let world = World::with(KEYED, proxied);
    let address = world.envoy.listener("proxied false");
    world.command(&["consumer", "create", "office", "--allow-network", "203.0.113.0/24"]);
    world.command(&["consumer", "create", "nomad"]);
    world.command(&["consumer", "create", "banned", "--deny-network", "203.0.113.5-203.0.113.6"]);
    let key = |consumer: &str, options: &[&str]| world.key(consumer, options).0;
    let plain = key("office", &[]);
    let desk = key("office", &["--allow-network", "203.0.113.9", "--allow-network", "198.51.100.7"]);
    let lost = key("nomad", &["--deny-network", "198.51.100.7", "--allow-network", "198.51.100.0/24"]);
    let banned = key("banned", &[]);
    let code = |source: &str, target: &str, key: &str| {
        let bytes = [version_2(source), request("GET", target, &[("apikey", key)], b"")].concat();
        send(address, &bytes).unwrap().code()
    };
    for (source, target, key, expected) in [
        ("203.0.113.1", "/keyed", &plain, ""),
        ("198.51.100.7", "/keyed", &plain, "network_denied"),
        ("2001:db8::1", "/keyed", &plain, "network_denied"),
        ("203.0.113.66", "/keyed", &plain, ""),
        ("203.0.113.66", "/office", &plain, "network_denied"),
        ("203.0.113.9", "/keyed", &desk, ""),
        ("203.0.113.1", "/keyed", &desk, "network_denied"),
        // In the key's list, not in its consumer's.
        ("198.51.100.7", "/keyed", &desk, "network_denied"),
        ("198.51.100.8", "/keyed", &lost, ""),
        ("198.51.100.7", "/keyed", &lost, "network_denied"),
        ("203.0.113.1", "/keyed", &lost, "network_denied"),
        ("203.0.113.4", "/keyed", &banned, ""),
        ("203.0.113.5", "/keyed", &banned, "network_denied"),
        ("203.0.113.6", "/keyed", &banned, "network_denied"),
    ] {
        assert_eq!(code(source, target, key), expected, "{source} {target}");
    }
    // The guest's networks hold for whoever proves nothing; a good key is its own consumer's.
    assert_eq!(code("203.0.113.1", "/guests", "wrong-0123456789-abcdef"), "");
    assert_eq!(code("198.51.100.8", "/guests", "wrong-0123456789-abcdef"), "network_denied");
    assert_eq!(code("198.51.100.8", "/guests", &lost), "");
    // A good key in the wrong place does not become a guest.
    assert_eq!(code("203.0.113.1", "/guests", &lost), "network_denied");
}

#[test]
fn a_network_that_is_none_is_refused_with_the_one_that_may_be_meant() {
    let world = World::with(KEYED, |_| {});
    world.command(&["consumer", "create", "eve"]);
    for (network, said) in [
        ("203.0.113.9/24", "203.0.113.0/24"),
        ("203.0.113.009", "203.0.113.009"),
        ("203.0.113.9-203.0.113.1", "203.0.113.9"),
        ("10.0/8", "10.0/8"),
        ("evil", "evil"),
    ] {
        for command in [["consumer", "create", "mallory"], ["key", "create", "eve"]] {
            for option in ["--allow-network", "--deny-network"] {
                let arguments = [&command[..], &[option, "198.51.100.1", option, network]].concat();
                let refused = world.doorward.command(&arguments).expect_err(network);
                assert!(refused.contains(said), "{option} {network}: {refused}");
            }
        }
    }
    let keys = world.command(&["key", "list", "eve"]);
    assert_eq!(keys.as_array().map(Vec::len), Some(0), "half a list was taken: {keys}");
}
