//! Through a real Envoy: what asking adds to it, and how much of that is the server's.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::call::{HEADERS, TARGET};
use crate::child::{Core, Server, pin, spent};
use crate::house::{self, HOST, Services};
use crate::rig::Outcome;
use crate::rig::envoy::Envoy;
use crate::rounds::{Aim, interleaved, median, table};

/// HTTP/1.1, a request under way on each.
const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_millis(300);
const MILLION: u64 = 1_000_000;

/// One way of answering, as a listener of the one Envoy.
struct Way {
    name: &'static str,
    server: Option<Server>,
    /// Among so many keys each request picks one.
    keys: u64,
    /// Before the router.
    filter: Option<Value>,
}

/// µs a request.
struct Cost {
    envoy: f64,
    server: f64,
    rate: f64,
}

pub(crate) fn run(rounds: usize, time: Duration) -> Outcome<(String, Vec<Aim>)> {
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    let beside = |arguments: &[&str]| Server::own(Core::Caller, arguments);
    let ways = [
        Way { name: "no authoriser", server: None, keys: 1, filter: None },
        Way { name: "Envoy's api_key_auth, 1 key", server: None, keys: 1, filter: Some(api_key_auth(1)) },
        Way {
            name: "Envoy's api_key_auth, 10,000 keys",
            server: None,
            keys: 10_000,
            filter: Some(api_key_auth(10_000)),
        },
        Way {
            name: NOOP,
            server: Some(Server::peer(Core::Caller, &["noop"])?),
            keys: MILLION,
            filter: Some(ext_authz("noop")),
        },
        Way {
            name: DOORWARD,
            server: Some(beside(&["doorward", &MILLION.to_string(), &Services::Whole.name()])?),
            keys: MILLION,
            filter: Some(ext_authz("doorward")),
        },
    ];
    let config = config(&ways).to_string();
    pin(Core::Server);
    let envoy = Envoy::start(folder.path(), &config, 1);
    pin(Core::Caller);
    let envoy = envoy?;
    let measured = interleaved(rounds, &ways, |way| {
        measured(way, &envoy, time).map_err(|why| format!("{}: {why}", way.name))
    })?;
    Ok(told(&ways, &measured))
}

const NOOP: &str = "ext_authz: no-op, tonic and envoy-types";
const DOORWARD: &str = "ext_authz: Doorward, 1,000,000 keys";

fn measured(way: &Way, envoy: &Envoy, time: Duration) -> Outcome<Cost> {
    let meter = || {
        let server = way.server.as_ref().map_or(Ok(Duration::ZERO), |server| spent(server.id()))?;
        Ok::<_, String>((spent(envoy.process().id())?, server, Instant::now()))
    };
    let (ended, before, after) = load(envoy.listener(way.name), way.keys, (WARM_UP, time), meter)?;
    let (before, after) = (before?, after?);
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / ended as f64;
    Ok(Cost {
        envoy: each(after.0 - before.0),
        server: each(after.1 - before.1),
        rate: ended as f64 / (after.2 - before.2).as_secs_f64(),
    })
}

fn told(ways: &[Way], measured: &[Vec<Cost>]) -> (String, Vec<Aim>) {
    let of = |at: usize, part: fn(&Cost) -> f64| median(measured[at].iter().map(part));
    let alone = of(0, |cost| cost.envoy);
    let mut aims = Vec::new();
    let rows: Vec<Vec<String>> = ways
        .iter()
        .enumerate()
        .map(|(at, way)| {
            let (envoy, server) = (of(at, |cost| cost.envoy), of(at, |cost| cost.server));
            let share = server / (envoy - alone + server);
            if way.name == DOORWARD {
                aims.push(Aim {
                    what: "Doorward's share of the CPU that asking adds".into(),
                    most: 0.20,
                    found: share,
                });
            }
            let server = way.server.as_ref().map_or(String::new(), |_| format!("{server:.1}"));
            let share = way.server.as_ref().map_or(String::new(), |_| format!("{:.0} %", share * 100.0));
            let rate = format!("{:.0}", of(at, |cost| cost.rate));
            vec![
                way.name.into(),
                format!("{envoy:.1}"),
                format!("{:+.1}", envoy - alone),
                server,
                share,
                rate,
            ]
        })
        .collect();
    let headings = [
        "before the router",
        "Envoy µs a request",
        "added",
        "server µs",
        "server's share of what is added",
        "requests a second",
    ];
    (table(&headings, &rows), aims)
}

/// A closed loop; as `load::saturate`.
fn load<M>(
    address: SocketAddr,
    keys: u64,
    (warm_up, time): (Duration, Duration),
    meter: impl Fn() -> M,
) -> Outcome<(u64, M, M)> {
    let phases = Barrier::new(CONNECTIONS + 1);
    thread::scope(|scope| {
        let lines: Vec<_> = (0..CONNECTIONS as u64)
            .map(|number| {
                let phases = &phases;
                scope.spawn(move || {
                    let mut line = Line::open(address, keys, number);
                    phases.wait();
                    let warm = line.as_mut().map_or(Ok(0), |line| line.run(Instant::now() + warm_up));
                    phases.wait();
                    let ended = line.as_mut().map_or(Ok(0), |line| line.run(Instant::now() + time));
                    phases.wait();
                    line.map(drop).and(warm).and(ended)
                })
            })
            .collect();
        phases.wait();
        phases.wait();
        let before = meter();
        phases.wait();
        let after = meter();
        let mut all = 0;
        for line in lines {
            all += line.join().map_err(|_| "a thread of the load died")??;
        }
        Ok((all, before, after))
    })
}

struct Line {
    socket: TcpStream,
    request: Vec<u8>,
    /// Where the key stands in it.
    key: usize,
    keys: u64,
    random: u64,
}

impl Line {
    fn open(address: SocketAddr, keys: u64, number: u64) -> Outcome<Self> {
        let socket = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        let mut request = format!("GET {} HTTP/1.1\r\nhost: {HOST}\r\n", TARGET);
        for (name, value) in HEADERS {
            request += &format!("{name}: {value}\r\n");
        }
        request += "apikey: ";
        let key = request.len();
        request += &format!("{}\r\n\r\n", house::text(0).expose());
        Ok(Self { socket, request: request.into_bytes(), key, keys, random: number })
    }

    fn run(&mut self, end: Instant) -> Outcome<u64> {
        let mut ended = 0;
        let mut answer = [0; 4096];
        while Instant::now() < end {
            self.random = house::mixed(self.random);
            let key = house::text((self.random >> 8) % self.keys);
            self.request[self.key..][..key.expose().len()].copy_from_slice(key.expose().as_bytes());
            self.socket.write_all(&self.request).map_err(|error| error.to_string())?;
            let mut read = 0;
            while !answer[..read].ends_with(END) {
                let more = self.socket.read(&mut answer[read..]).map_err(|error| error.to_string())?;
                if more == 0 {
                    let said = String::from_utf8_lossy(&answer[..read]);
                    return Err(format!("expected an answer that ends in `let in`, found `{said}`"));
                }
                read += more;
            }
            ended += 1;
        }
        Ok(ended)
    }
}

/// Of an answer from behind the filters.
const END: &[u8] = b"\r\n\r\nlet in";

fn config(ways: &[Way]) -> Value {
    let clusters = ways.iter().zip(["", "", "", "noop", "doorward"]);
    let clusters = clusters.filter_map(|(way, name)| Some(cluster(name, way.server.as_ref()?.address)));
    json!({
        "admin": {"address": socket(0)},
        "static_resources": {
            "listeners": ways.iter().map(listener).collect::<Vec<_>>(),
            "clusters": clusters.collect::<Vec<_>>(),
        },
    })
}

fn listener(way: &Way) -> Value {
    let router = json!({"name": "router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    }});
    let filters: Vec<Value> = way.filter.iter().cloned().chain([router]).collect();
    json!({"name": way.name, "address": socket(0), "filter_chains": [{"filters": [{
        "name": "http",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "bench",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{
                "match": {"prefix": "/"},
                "direct_response": {"status": 200, "body": {"inline_string": "let in"}},
            }]}]},
            "http_filters": filters,
        },
    }]}]})
}

fn api_key_auth(keys: u64) -> Value {
    let credential =
        |number| json!({"key": house::text(number).expose(), "client": format!("client-{number}")});
    json!({"name": "keys", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
        "credentials": (0..keys).map(credential).collect::<Vec<_>>(),
        "key_sources": [{"header": "apikey"}],
    }})
}

fn ext_authz(cluster: &str) -> Value {
    json!({"name": "asked", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": cluster}, "timeout": "5s"},
    }})
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": socket(address.port())}},
        ]}]},
    })
}

fn socket(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}
