//! Held against prost: whatever the bytes, the walk reads what prost reads, or refuses.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request as Part};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use proptest::prelude::*;
use prost::Message;

use super::*;

/// The part of a check that is read here, texts as bytes: so prost accepts exactly what we should.
mod mirror {
    use prost::{Message, Oneof};

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Check {
        #[prost(message, optional, tag = "1")]
        pub(super) attributes: Option<Attributes>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Attributes {
        #[prost(message, optional, tag = "1")]
        pub(super) source: Option<Peer>,
        #[prost(message, optional, tag = "4")]
        pub(super) request: Option<Part>,
        #[prost(message, repeated, tag = "10")]
        pub(super) extensions: Vec<Entry>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Peer {
        #[prost(message, optional, tag = "1")]
        pub(super) address: Option<Address>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Address {
        #[prost(oneof = "Kind", tags = "1, 2, 3")]
        pub(super) kind: Option<Kind>,
    }

    #[derive(Clone, PartialEq, Oneof)]
    pub(super) enum Kind {
        #[prost(message, tag = "1")]
        Socket(Socket),
        #[prost(bytes, tag = "2")]
        Pipe(Vec<u8>),
        #[prost(bytes, tag = "3")]
        Internal(Vec<u8>),
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Socket {
        #[prost(bytes = "vec", tag = "2")]
        pub(super) address: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Part {
        #[prost(message, optional, tag = "2")]
        pub(super) http: Option<Http>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Http {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) method: Vec<u8>,
        #[prost(message, repeated, tag = "3")]
        pub(super) headers: Vec<Entry>,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) path: Vec<u8>,
        #[prost(bytes = "vec", tag = "5")]
        pub(super) host: Vec<u8>,
        #[prost(int64, tag = "9")]
        pub(super) size: i64,
        #[prost(bytes = "vec", tag = "11")]
        pub(super) body: Vec<u8>,
        #[prost(bytes = "vec", tag = "12")]
        pub(super) raw_body: Vec<u8>,
        #[prost(message, optional, tag = "13")]
        pub(super) header_map: Option<Lines>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Lines {
        #[prost(message, repeated, tag = "1")]
        pub(super) lines: Vec<Line>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Line {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) key: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) value: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        pub(super) raw: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Entry {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) key: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) value: Vec<u8>,
    }
}

/// What prost read, compared field by field. `extensions` apart, order is kept.
fn agrees(request: &Request<'_>, check: &mirror::Check) -> Result<(), TestCaseError> {
    let attributes = check.attributes.clone().unwrap_or_default();
    let http = attributes.request.and_then(|part| part.http);
    prop_assert!(http.is_some(), "a request was made of no HTTP part");
    let http = http.unwrap();

    prop_assert_eq!(request.id, &http.id);
    prop_assert_eq!(request.method, &http.method);
    prop_assert_eq!(request.target, &http.path);
    prop_assert_eq!(request.host, &http.host);

    let lines = http.header_map.unwrap_or_default().lines;
    prop_assert_eq!(request.joined, !http.headers.is_empty());
    let all: Vec<(Vec<u8>, Vec<u8>)> = http
        .headers
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .chain(lines.into_iter().map(|l| (l.key, if l.raw.is_empty() { l.value } else { l.raw })))
        .collect();
    let filtered = !http.path.is_empty() && all.iter().all(|(name, _)| name != b":path");
    prop_assert_eq!(request.filtered, filtered);
    let expected: Vec<_> = all
        .into_iter()
        .filter(|(name, _)| !name.starts_with(b":"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let found: Vec<_> = request.headers.iter().map(|h| (h.name.to_vec(), h.value.to_vec())).collect();
    prop_assert_eq!(&found, &expected);

    let sent = if http.raw_body.is_empty() { http.body } else { http.raw_body };
    match request.body {
        Body::Absent => prop_assert!(sent.is_empty()),
        Body::Whole(body) => prop_assert!(body == sent && http.size <= body.len() as i64),
        Body::Partial => prop_assert!(!sent.is_empty()),
    }

    let peer = attributes.source.and_then(|peer| peer.address).and_then(|address| address.kind);
    prop_assert_eq!(request.unix, matches!(peer, Some(mirror::Kind::Pipe(_))));
    let source = match peer {
        Some(mirror::Kind::Socket(socket)) => String::from_utf8(socket.address)
            .ok()
            .and_then(|text| text.parse().ok())
            .map(|address: IpAddr| address.to_canonical()),
        _ => None,
    };
    prop_assert_eq!(request.source, source);

    let extension = |name: &[u8]| {
        attributes.extensions.iter().rfind(|entry| entry.key == name).map(|entry| entry.value.clone())
    };
    prop_assert_eq!(request.route.service.map(<[u8]>::to_vec), extension(b"service"));
    prop_assert_eq!(request.route.infrastructure.map(<[u8]>::to_vec), extension(b"infrastructure"));
    Ok(())
}

/// We read exactly what prost reads, but for groups, no HTTP part and headers in both forms.
fn compare(message: &[u8]) -> Result<(), TestCaseError> {
    let mut scratch = Vec::new();
    match (seen(message, &mut scratch), mirror::Check::decode(message)) {
        (Ok(request), Ok(check)) => agrees(&request, &check),
        (Ok(_), Err(error)) => Err(TestCaseError::fail(format!("prost refuses: {error}"))),
        (Err(_), Err(_)) => Ok(()),
        (Err(Malformed("a group")), Ok(_)) => Ok(()),
        (Err(Malformed("it has no HTTP part")), Ok(check)) => {
            prop_assert!(check.attributes.and_then(|a| a.request).and_then(|p| p.http).is_none());
            Ok(())
        }
        (Err(Malformed("it has headers both as a map and as a list")), Ok(check)) => {
            let http = check.attributes.and_then(|a| a.request).and_then(|p| p.http).unwrap();
            prop_assert!(!http.headers.is_empty() && !http.header_map.unwrap().lines.is_empty());
            Ok(())
        }
        (Err(Malformed(why)), Ok(_)) => Err(TestCaseError::fail(format!("refused alone: {why}"))),
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z-]{1,12}", "[A-Za-z-]{1,12}", Just(":path".to_owned()), ":[a-z]{1,8}", ".{0,4}"]
}

fn headers() -> impl Strategy<Value = (HashMap<String, String>, Option<core::HeaderMap>)> {
    let line = (name(), ".{0,8}", prop::collection::vec(any::<u8>(), 0..8))
        .prop_map(|(key, value, raw_value)| core::HeaderValue { key, value, raw_value });
    prop_oneof![
        prop::collection::hash_map(name(), ".{0,40}", 0..50).prop_map(|map| (map, None)),
        prop::collection::vec(line, 0..50)
            .prop_map(|headers| (HashMap::new(), Some(core::HeaderMap { headers }))),
    ]
}

prop_compose! {
    fn http_request()(
        (headers, header_map) in headers(),
        (id, method, path, host, scheme) in ("[0-9]{0,20}", "[A-Z]{0,8}", ".{0,60}", ".{0,20}", "[a-z]{0,5}"),
        (size, protocol) in (any::<i64>(), "[A-Z/0-9.]{0,8}"),
        body in ".{0,300}",
        raw_body in prop::collection::vec(any::<u8>(), 0..300),
    ) -> HttpRequest {
        HttpRequest {
            id, method, headers, header_map, path, host, scheme, size, protocol, body, raw_body,
            ..HttpRequest::default()
        }
    }
}

prop_compose! {
    fn check_request()(
        http in prop::option::weighted(0.95, http_request()),
        address in prop_oneof![
            any::<IpAddr>().prop_map(|address| address.to_string()), "[0-9a-f.:%]{0,20}", ".{0,9}"
        ],
        pipe in prop::bool::weighted(0.1),
        principal in ".{0,30}",
        context_extensions in
            prop::collection::hash_map(prop_oneof!["service", "infrastructure", ".{0,9}"], ".{0,9}", 0..5),
    ) -> CheckRequest {
        let address = if pipe {
            core::address::Address::Pipe(core::Pipe { path: address, mode: 0 })
        } else {
            core::address::Address::SocketAddress(core::SocketAddress { address, ..Default::default() })
        };
        let peer = Peer { address: Some(core::Address { address: Some(address) }), principal, ..Peer::default() };
        CheckRequest { attributes: Some(AttributeContext {
            source: Some(peer.clone()),
            destination: Some(peer),
            request: Some(Part { http, time: None }),
            context_extensions,
            ..AttributeContext::default()
        }) }
    }
}

/// Bytes that look like a check for a while: an honest one, cut, patched and spliced.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let patches = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (check_request(), check_request(), any::<prop::sample::Index>(), patches).prop_map(
        |(first, second, cut, patches)| {
            let mut bytes = first.encode_to_vec();
            bytes.truncate(cut.index(bytes.len() + 1));
            bytes.extend(second.encode_to_vec());
            for (at, byte) in patches {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            bytes
        },
    )
}

/// Messages made of the numbers and wire types that we read, in any nesting and order.
fn contrived() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop::collection::vec(any::<u8>(), 0..6).boxed();
    let mut inner = leaf;
    for _ in 0..5 {
        let field = (prop::sample::select(vec![1_u8, 2, 3, 4, 5, 9, 10, 11, 12, 13]), inner, any::<u64>());
        inner = prop::collection::vec(field, 0..5)
            .prop_map(|fields| {
                let mut bytes = Vec::new();
                let mut writer = crate::grpc::protobuf::Writer::on(&mut bytes);
                for (number, content, value) in fields {
                    match value % 16 {
                        0 => writer.number(number, value),
                        _ => writer.text(number, content),
                    }
                }
                bytes
            })
            .boxed();
    }
    inner
}

proptest! {
    #[test]
    fn every_field_of_an_honest_check_is_read_as_prost_reads_it(check in check_request()) {
        let message = check.encode_to_vec();
        let mut scratch = Vec::new();
        match seen(&message, &mut scratch) {
            Ok(request) => agrees(&request, &mirror::Check::decode(&message[..]).unwrap())?,
            Err(Malformed(why)) => {
                prop_assert_eq!(why, "it has no HTTP part");
                prop_assert!(check.attributes.unwrap().request.unwrap().http.is_none());
            }
        }
    }

    #[test]
    fn damaged_checks_are_read_as_prost_reads_them_or_refused(message in damaged()) {
        compare(&message)?;
    }

    #[test]
    fn contrived_checks_are_read_as_prost_reads_them_or_refused(message in contrived()) {
        compare(&message)?;
    }

    #[test]
    fn arbitrary_bytes_are_read_as_prost_reads_them_or_refused(
        message in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        compare(&message)?;
    }

    /// What Envoy's own types cannot read in a field that we read, they may still refuse for a
    /// text that is not UTF-8; what they read, we read alike.
    #[test]
    fn what_envoys_types_read_we_read_alike(message in damaged()) {
        if let Ok(check) = CheckRequest::decode(&message[..]) {
            let http = check.attributes.and_then(|a| a.request).and_then(|r| r.http);
            let mut scratch = Vec::new();
            if let (Ok(request), Some(http)) = (seen(&message, &mut scratch), http) {
                prop_assert_eq!(request.method, http.method.as_bytes());
                prop_assert_eq!(request.target, http.path.as_bytes());
                prop_assert_eq!(request.host, http.host.as_bytes());
            }
        }
    }
}
