//! The bytes of a call, as Envoy sends them for a browser's request of 20 headers.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use prost::Message as _;

use crate::house::{self, HOST, Services};

/// Calls that differ in their key or JWT and, where there are many, in their service.
pub(crate) struct Calls {
    /// A gRPC frame, in which what differs stands at known places.
    frame: Vec<u8>,
    /// Of the key, or the JWT.
    credential: usize,
    tokens: Vec<String>,
    /// Wherever the service's path stands.
    places: Vec<usize>,
    pick: Pick,
    /// The state of a random sequence.
    random: u64,
}

/// Which calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pick {
    /// A random one of so many; 0: a well-formed key that nobody has.
    pub(crate) keys: u64,
    pub(crate) services: Services,
}

impl Calls {
    /// Those of one connection, by its number.
    pub(crate) fn new(pick: Pick, connection: u32) -> Self {
        let path = match pick.services {
            Services::Whole | Services::Tokens => house::WHOLE.to_owned(),
            Services::Spread(_) => house::place(0),
        };
        let target = format!("{path}/20261129?page=2&sort=-created");
        let tokens: Vec<String> = match pick.services {
            Services::Whole | Services::Spread(_) => Vec::new(),
            Services::Tokens => {
                (0..house::TOKENS).map(|number| house::token(number).expect("a signature")).collect()
            }
        };
        let (credential, frame) = match tokens.first() {
            Some(token) => (token.clone(), framed(&target, ("authorization", &format!("Bearer {token}")))),
            None => {
                let key = house::text(0).expose().to_owned();
                let frame = frame(&target, &key);
                (key, frame)
            }
        };
        let find = |text: &str| -> Vec<usize> {
            frame
                .windows(text.len())
                .enumerate()
                .filter(|(_, at)| *at == text.as_bytes())
                .map(|it| it.0)
                .collect()
        };
        let (credentials, places) = (find(&credential), find(&path));
        assert_eq!((credentials.len(), places.len()), (1, 2), "a credential, and a path in two places");
        Self { credential: credentials[0], tokens, places, frame, pick, random: connection.into() }
    }

    /// The next call: a whole gRPC frame.
    pub(crate) fn next(&mut self) -> &[u8] {
        self.random = house::mixed(self.random);
        let mut show =
            |text: &str| self.frame[self.credential..][..text.len()].copy_from_slice(text.as_bytes());
        match (self.pick.services, self.pick.keys) {
            (Services::Tokens, _) => show(&self.tokens[((self.random >> 8) % house::TOKENS) as usize]),
            (Services::Whole | Services::Spread(_), 0) => show(house::unknown(self.random >> 8).expose()),
            (Services::Whole | Services::Spread(_), keys) => {
                show(house::text((self.random >> 8) % keys).expose());
            }
        }
        if let Services::Spread(services) = self.pick.services {
            let place = house::place((self.random >> 40) as u32 % services);
            for at in &self.places {
                self.frame[*at..][..place.len()].copy_from_slice(place.as_bytes());
            }
        }
        &self.frame
    }
}

/// The gRPC frame of one call with a key.
pub(crate) fn frame(target: &str, key: &str) -> Vec<u8> {
    framed(target, ("apikey", key))
}

fn framed(target: &str, credential: (&str, &str)) -> Vec<u8> {
    let message = check(target, credential).encode_to_vec();
    let length = u32::try_from(message.len()).expect("a small message");
    [&[0], &length.to_be_bytes()[..], &message].concat()
}

/// What a browser's request has beside its key and the four pseudo-headers.
pub(crate) const HEADERS: [(&str, &str); 15] = [
    ("accept", "application/json, text/plain, */*"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("cache-control", "no-cache"),
    ("referer", "https://app.example.com/overview"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-site"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("x-envoy-attempt-count", "1"),
    ("x-forwarded-for", "203.0.113.77"),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "5f2b8a9e-0c1d-4e7f-9a3b-6c5d4e3f2a1b"),
];

/// A path that the service which asks for everything has.
pub(crate) const TARGET: &str = "/orders/20261129?page=2&sort=-created";

/// A check with twenty headers, the four pseudo-headers among them; about 1.2 KB.
fn check(target: &str, credential: (&str, &str)) -> CheckRequest {
    let own = [(":authority", HOST), (":method", "GET"), (":path", target), (":scheme", "https"), credential];
    let headers = own.into_iter().chain(HEADERS).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: HashMap<_, _> = headers.collect();
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(peer("10.1.2.3", 40_312)),
            destination: Some(peer("10.1.2.4", 8443)),
            request: Some(Request {
                time: Some(envoy_types::pb::google::protobuf::Timestamp {
                    seconds: 1_796_000_000,
                    nanos: 123_456_000,
                }),
                http: Some(HttpRequest {
                    id: "1234567890123456789".into(),
                    method: "GET".into(),
                    headers,
                    path: target.into(),
                    host: HOST.into(),
                    scheme: "https".into(),
                    protocol: "HTTP/2".into(),
                    ..HttpRequest::default()
                }),
            }),
            metadata_context: Some(core::Metadata::default()),
            route_metadata_context: Some(core::Metadata::default()),
            ..AttributeContext::default()
        }),
    }
}

fn peer(address: &str, port: u32) -> Peer {
    let port = core::socket_address::PortSpecifier::PortValue(port);
    let socket = core::SocketAddress {
        address: address.into(),
        port_specifier: Some(port),
        ..core::SocketAddress::default()
    };
    let address = core::address::Address::SocketAddress(socket);
    Peer { address: Some(core::Address { address: Some(address) }), ..Peer::default() }
}
