//! The tests' Envoy: one shape, with a switch for each setting that changes what Doorward sees.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

/// A listener `main` and whichever others are asked for, Doorward asked for every request, the echo
/// behind it.
#[derive(Clone)]
pub struct Wiring {
    pub upstream: SocketAddr,
    /// One endpoint of the authorisation cluster each.
    pub doorwards: Vec<SocketAddr>,
    /// Where its `listen.auth` is: the paths of logins and tokens go there, and nobody is asked.
    pub auth: Option<SocketAddr>,
    /// `encode_raw_headers`: a list of bytes instead of a map of text.
    pub raw_headers: bool,
    /// `allowed_headers`, exact; empty: all.
    pub allowed_headers: Vec<&'static str>,
    pub body: Option<Body>,
    /// `failure_mode_allow`: whatever goes wrong passes.
    pub fail_open: bool,
    pub validate_mutations: bool,
    pub paths: Paths,
    /// `context_extensions` for the routes below a prefix.
    pub contexts: Vec<(&'static str, Vec<(&'static str, &'static str)>)>,
    /// The same for requests whose header `x-route` has this value.
    pub routes: Vec<(String, Vec<(&'static str, String)>)>,
    /// `grpc_service.timeout`.
    pub timeout: &'static str,
    /// Ask the health service of each Doorward, every 100 ms.
    pub health_checks: bool,
    /// TLS to every Doorward.
    pub tls: Option<UpstreamTls>,
    /// One JSON line a request, with its header `x-case` and Doorward's dynamic metadata.
    pub access_log: Option<PathBuf>,
    /// Listeners beside `main`, which is an [`Edge`] as Envoy has it by default.
    pub edges: Vec<(String, Edge)>,
}

/// How a listener takes connections, and what Envoy makes of their addresses and paths.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    /// Instead of what holds for all listeners.
    pub paths: Option<Paths>,
    pub use_remote_address: bool,
    pub xff_num_trusted_hops: u32,
    pub skip_xff_append: bool,
    /// `internal_address_config` with loopback in it.
    pub internal_peers: bool,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// On a Unix socket instead of a port.
    pub socket: Option<PathBuf>,
}

/// `UpstreamTlsContext`; the files are PEM.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// The authority of Doorward's certificate.
    pub ca: PathBuf,
    /// The name that the certificate must have.
    pub name: &'static str,
    /// What Envoy shows: its certificate, and the key of that.
    pub pair: Option<(PathBuf, PathBuf)>,
}

/// `with_request_body`.
#[derive(Clone, Copy)]
pub struct Body {
    pub max_request_bytes: u32,
    pub allow_partial_message: bool,
    pub pack_as_bytes: bool,
}

/// What Envoy does to a path before it asks; each does what the one before it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Paths {
    Verbatim,
    Normalized,
    Merged,
    EscapesRejected,
    EscapesRedirected,
    EscapesForwarded,
}

impl Paths {
    pub const ALL: [Self; 6] = [
        Self::Verbatim,
        Self::Normalized,
        Self::Merged,
        Self::EscapesRejected,
        Self::EscapesRedirected,
        Self::EscapesForwarded,
    ];
}

impl Wiring {
    pub fn new(upstream: SocketAddr, doorwards: &[SocketAddr]) -> Self {
        Self {
            upstream,
            doorwards: doorwards.to_vec(),
            auth: None,
            raw_headers: false,
            allowed_headers: Vec::new(),
            body: None,
            fail_open: false,
            validate_mutations: false,
            paths: Paths::Verbatim,
            contexts: Vec::new(),
            routes: Vec::new(),
            timeout: "5s",
            health_checks: false,
            tls: None,
            access_log: None,
            edges: Vec::new(),
        }
    }

    /// Envoy's configuration.
    pub fn config(&self) -> String {
        let main = self.listener("main", &Edge::default());
        let others = self.edges.iter().map(|(name, edge)| self.listener(name, edge));
        let auth = self.auth.map(|address| cluster("auth", &[address]));
        let clusters: Vec<Value> = [self.doorward(), echo(self.upstream)].into_iter().chain(auth).collect();
        json!({
            "admin": {"address": any_port()},
            "static_resources": {
                "listeners": std::iter::once(main).chain(others).collect::<Vec<_>>(),
                "clusters": clusters,
            },
        })
        .to_string()
    }

    fn listener(&self, name: &str, edge: &Edge) -> Value {
        let address = edge.socket.as_ref().map_or_else(any_port, |path| json!({"pipe": {"path": path}}));
        let mut listener = json!({
            "name": name,
            "address": address,
            // Bodies up to 8 MiB must fit, or Envoy answers 413 without asking.
            "per_connection_buffer_limit_bytes": 16 << 20,
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": self.connection_manager(edge),
            }]}],
        });
        if edge.proxy_protocol {
            listener["listener_filters"] = json!([{"name": "proxy_protocol", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
            }}]);
        }
        listener
    }

    fn connection_manager(&self, edge: &Edge) -> Value {
        let mut manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "main",
            "generate_request_id": true,
            "upgrade_configs": [{"upgrade_type": "CONNECT"}, {"upgrade_type": "websocket"}],
            "http2_protocol_options": {"allow_connect": true},
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": self.routes()}]},
            "http_filters": [
                {"name": "doorward", "typed_config": self.ext_authz()},
                {"name": "router", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                }},
            ],
            "use_remote_address": edge.use_remote_address,
            "xff_num_trusted_hops": edge.xff_num_trusted_hops,
            "skip_xff_append": edge.skip_xff_append,
        });
        if edge.internal_peers {
            let loopback = json!({"address_prefix": "127.0.0.0", "prefix_len": 8});
            manager["internal_address_config"] = json!({"cidr_ranges": [loopback]});
        }
        let paths = edge.paths.unwrap_or(self.paths);
        if paths >= Paths::Normalized {
            manager["normalize_path"] = json!(true);
        }
        if paths >= Paths::Merged {
            manager["merge_slashes"] = json!(true);
        }
        let escaped = match paths {
            Paths::EscapesRejected => "REJECT_REQUEST",
            Paths::EscapesRedirected => "UNESCAPE_AND_REDIRECT",
            Paths::EscapesForwarded => "UNESCAPE_AND_FORWARD",
            Paths::Verbatim | Paths::Normalized | Paths::Merged => "KEEP_UNCHANGED",
        };
        manager["path_with_escaped_slashes_action"] = json!(escaped);
        if let Some(path) = &self.access_log {
            manager["access_log"] = json!([{"name": "file", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": path,
                "log_format": {"json_format": {
                    "path": "%REQ(:path)%",
                    "case": "%REQ(x-case)%",
                    "status": "%RESPONSE_CODE%",
                    "doorward": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%",
                }},
            }}]);
        }
        manager
    }

    fn routes(&self) -> Vec<Value> {
        let mut routes = vec![
            json!({"match": {"connect_matcher": {}}, "route": {
                "cluster": "echo",
                "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
            }}),
            // A gRPC upstream is at hand: Doorward's own health service.
            json!({"match": {"prefix": "/grpc.health.v1.Health/"}, "route": {"cluster": "doorward"}}),
        ];
        if self.auth.is_some() {
            routes.extend(AUTH.iter().map(|path| open_route(path)));
        }
        routes.extend(self.contexts.iter().map(|(prefix, context)| {
            let context = context.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
            route(json!({"prefix": prefix}), context.collect())
        }));
        routes.extend(self.routes.iter().map(|(word, context)| {
            let context = context.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
            let word = json!([{"name": "x-route", "string_match": {"exact": word}}]);
            route(json!({"prefix": "/", "headers": word}), context.collect())
        }));
        routes.push(json!({"match": {"prefix": "/"}, "route": {"cluster": "echo"}}));
        routes
    }

    fn ext_authz(&self) -> Value {
        let mut filter = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": "doorward"}, "timeout": self.timeout},
            "failure_mode_allow": self.fail_open,
            "status_on_error": {"code": 503},
            "validate_mutations": self.validate_mutations,
            "encode_raw_headers": self.raw_headers,
        });
        if !self.allowed_headers.is_empty() {
            let patterns: Vec<Value> =
                self.allowed_headers.iter().map(|name| json!({"exact": name})).collect();
            filter["allowed_headers"] = json!({"patterns": patterns});
        }
        if let Some(body) = self.body {
            filter["with_request_body"] = json!({
                "max_request_bytes": body.max_request_bytes,
                "allow_partial_message": body.allow_partial_message,
                "pack_as_bytes": body.pack_as_bytes,
            });
        }
        filter
    }

    fn doorward(&self) -> Value {
        let mut cluster = cluster("doorward", &self.doorwards);
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        });
        if let Some(tls) = &self.tls {
            cluster["transport_socket"] = tls.socket();
        }
        if self.health_checks {
            cluster["health_checks"] = json!([{
                "timeout": "1s",
                "interval": "0.1s",
                // 60 s otherwise: a drain would go unnoticed.
                "no_traffic_interval": "0.1s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "grpc_health_check": {"service_name": "envoy.service.auth.v3.Authorization"},
            }]);
            cluster["common_lb_config"] = json!({
                "healthy_panic_threshold": {"value": 0},
                // Otherwise a change that follows another within a second waits for its end.
                "update_merge_window": "0s",
            });
        }
        cluster
    }
}

impl UpstreamTls {
    fn socket(&self) -> Value {
        let file = |path: &PathBuf| json!({"filename": path});
        let pairs = self.pair.iter();
        let shown = pairs.map(
            |(certificate, key)| json!({"certificate_chain": file(certificate), "private_key": file(key)}),
        );
        json!({"name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": self.name,
            "common_tls_context": {
                "tls_certificates": shown.collect::<Vec<_>>(),
                "validation_context": {
                    "trusted_ca": file(&self.ca),
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": self.name}}],
                },
            },
        }})
    }
}

/// Those of `listen.auth`.
const AUTH: [&str; 5] = ["/api/auth", "/auth", "/identity", "/oauth2", "/.well-known"];

/// A route to `listen.auth`, for whoever has no credential yet.
fn open_route(path: &str) -> Value {
    json!({
        "match": {"path_separated_prefix": path},
        "route": {"cluster": "auth"},
        "typed_per_filter_config": {"doorward": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            "disabled": true,
        }},
    })
}

/// A route to the echo that tells Doorward something.
fn route(matched: Value, context: serde_json::Map<String, Value>) -> Value {
    json!({
        "match": matched,
        "route": {"cluster": "echo"},
        "typed_per_filter_config": {"doorward": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            "check_settings": {"context_extensions": context},
        }},
    })
}

fn echo(address: SocketAddr) -> Value {
    cluster("echo", &[address])
}

fn cluster(name: &str, endpoints: &[SocketAddr]) -> Value {
    let endpoints: Vec<Value> =
        endpoints.iter().map(|address| json!({"endpoint": {"address": socket(*address)}})).collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}

fn any_port() -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}})
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
