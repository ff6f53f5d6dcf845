//! A check built of words, so that what is tried is not only the encoding:
//!
//! ```text
//! GET orders /orders?apikey=x     method, host or service, target
//! cookie: a=b                     header lines, to the first empty line
//!
//! {"apikey": "x"}                 the body
//! ```

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use prost::Message;

/// Bits of the choice.
pub const BUILT: u8 = 1;
const LISTED: u8 = 2;
const ROUTED: u8 = 4;
const FILTERED: u8 = 8;
const PARTIAL: u8 = 16;
const RAW_BODY: u8 = 32;

pub fn message(choice: u8, words: &[u8]) -> Vec<u8> {
    let is = |bit: u8| choice & bit != 0;
    let (line, mut rest) = first_line(words);
    let mut parts = line.splitn(3, |byte| *byte == b' ').map(text);
    let mut part = || parts.next().unwrap_or_default();
    let (method, host, path) = (part(), part(), part());
    let mut lines = Vec::new();
    if !is(FILTERED) {
        lines.push((b":path".to_vec(), path.clone().into_bytes()));
    }
    while !rest.is_empty() {
        let (line, after) = first_line(rest);
        rest = after;
        if line.is_empty() {
            break;
        }
        let at = line.iter().skip(1).position(|byte| *byte == b':').map_or(line.len(), |at| at + 1);
        let value = line.get(at + 1..).unwrap_or_default();
        lines.push((line[..at].to_vec(), value.strip_prefix(b" ").unwrap_or(value).to_vec()));
    }
    let mut http = HttpRequest {
        id: "7".into(),
        method,
        path,
        host: host.clone(),
        size: if is(PARTIAL) { rest.len() as i64 + 1 } else { rest.len() as i64 },
        ..HttpRequest::default()
    };
    if is(LISTED) {
        let line = |(name, value): (Vec<u8>, Vec<u8>)| core::HeaderValue {
            key: text(&name),
            raw_value: value,
            ..core::HeaderValue::default()
        };
        http.header_map = Some(core::HeaderMap { headers: lines.into_iter().map(line).collect() });
    } else {
        for (name, value) in lines {
            // As Envoy joins what comes twice.
            let joint = if name == b"cookie" { "; " } else { "," };
            let joined = http.headers.entry(text(&name)).or_default();
            if !joined.is_empty() {
                joined.push_str(joint);
            }
            joined.push_str(&text(&value));
        }
    }
    if is(RAW_BODY) {
        http.raw_body = rest.to_vec();
    } else {
        http.body = text(rest);
    }
    let routed = is(ROUTED).then(|| ("service".to_owned(), host));
    let address = core::SocketAddress { address: "192.0.2.1".into(), ..core::SocketAddress::default() };
    let address = core::Address { address: Some(core::address::Address::SocketAddress(address)) };
    let attributes = AttributeContext {
        source: Some(Peer { address: Some(address), ..Peer::default() }),
        request: Some(Request { http: Some(http), time: None }),
        context_extensions: routed.into_iter().collect(),
        ..AttributeContext::default()
    };
    CheckRequest { attributes: Some(attributes) }.encode_to_vec()
}

fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
