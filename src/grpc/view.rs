//! `CheckRequest` walked in place: what a decision needs, borrowed from the bytes that arrived.
//!
//! The field numbers are those of `envoy/service/auth/v3/attribute_context.proto` and
//! `envoy/config/core/v3/{address,base}.proto`. Texts are taken as bytes: a proxy's parser refuses
//! what is not UTF-8, and whoever needs text here checks for himself.

use super::ONES;
pub use super::protobuf::Malformed;
use super::protobuf::{Fields, Value, two_texts};
use crate::domain::network;
use crate::domain::request::{Body, Header, HeaderValue, Request, is_grpc};

/// Reads a `CheckRequest` into `request`, which is still the default: it is more than a kilobyte, and stays
/// where it is.
///
/// Submessages that stand there twice are merged and of scalars the last counts, as the encoding
/// demands. What we have no use for is skipped unread. Header names are lower case in the result:
/// where a caller did not send them so (no proxy known to us), `scratch` takes a lowered copy of the
/// message and the request borrows from that.
///
/// # Errors
///
/// Where the bytes are no `CheckRequest`, where it has no HTTP part (which is also what Envoy's
/// network filter sends), and where headers stand in it in both forms, map and list.
pub fn read<'a>(
    message: &'a [u8],
    scratch: &'a mut Vec<u8>,
    request: &mut Request<'a>,
) -> Result<(), Malformed> {
    let mut view = View::of(request);
    view.check(message)?;
    if view.mixed_case {
        *scratch = lowered(message, &view.request.headers);
        *request = Request::default();
        view = View::of(request);
        view.check(scratch)?;
    }
    view.finish()
}

/// The same by value, for tests.
#[cfg(test)]
pub(super) fn seen<'a>(message: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Request<'a>, Malformed> {
    let mut request = Request::default();
    read(message, scratch, &mut request).map(|()| request)
}

/// What has been seen so far.
struct View<'a, 'r> {
    request: &'r mut Request<'a>,
    http: bool,
    /// The text of the socket address; `None` while the last address seen is of another kind.
    peer: Option<&'a [u8]>,
    size: i64,
    body: &'a [u8],
    raw_body: &'a [u8],
    /// Whether there was a header in the map, in the list, named `:path`, not in lower case.
    mapped: bool,
    listed: bool,
    path_shown: bool,
    mixed_case: bool,
}

impl<'a, 'r> View<'a, 'r> {
    fn of(request: &'r mut Request<'a>) -> Self {
        Self {
            request,
            http: false,
            peer: None,
            size: 0,
            body: &[],
            raw_body: &[],
            mapped: false,
            listed: false,
            path_shown: false,
            mixed_case: false,
        }
    }

    /// `CheckRequest`.
    fn check(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            if number == 1 {
                self.attributes(value.bytes()?)?;
            }
        }
        Ok(())
    }

    /// `AttributeContext`.
    fn attributes(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.source(value.bytes()?)?,
                4 => self.request(value.bytes()?)?,
                10 => self.extension(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// `AttributeContext.Peer`.
    fn source(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            if number == 1 {
                self.address(value.bytes()?)?;
            }
        }
        Ok(())
    }

    /// `Address`: a socket address (1), a pipe (2) or an address inside Envoy (3); the last counts.
    fn address(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.socket_address(value.bytes()?)?,
                2 | 3 => value.bytes().map(|_| self.peer = None)?,
                _ => continue,
            }
            self.request.unix = number == 2;
        }
        Ok(())
    }

    /// `SocketAddress`.
    fn socket_address(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                self.peer = Some(value.bytes()?);
            }
        }
        Ok(())
    }

    /// `AttributeContext.Request`.
    fn request(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            if number == 2 {
                self.http = true;
                self.http(value.bytes()?)?;
            }
        }
        Ok(())
    }

    /// `AttributeContext.HttpRequest`.
    fn http(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.request.id = value.bytes()?,
                2 => self.request.method = value.bytes()?,
                3 => {
                    let (name, value) = entry(value)?;
                    self.mapped = true;
                    self.header(name, value);
                }
                4 => self.request.target = value.bytes()?,
                5 => self.request.host = value.bytes()?,
                9 => self.size = value.varint()? as i64,
                11 => self.body = value.bytes()?,
                12 => self.raw_body = value.bytes()?,
                13 => self.header_map(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// `HeaderMap` of `HeaderValue`: Envoy's `encode_raw_headers`.
    fn header_map(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let mut lines = Fields::of(message);
        while let Some((number, line)) = lines.next()? {
            if number != 1 {
                continue;
            }
            let line = line.bytes()?;
            self.listed = true;
            if let Some(((1, name), (2 | 3, value))) = two_texts(line) {
                self.header(name, value);
                continue;
            }
            let (mut name, mut text, mut raw): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
            let mut fields = Fields::of(line);
            while let Some((number, value)) = fields.next()? {
                match number {
                    1 => name = value.bytes()?,
                    2 => text = value.bytes()?,
                    3 => raw = value.bytes()?,
                    _ => {}
                }
            }
            self.header(name, if raw.is_empty() { text } else { raw });
        }
        Ok(())
    }

    /// An entry of `context_extensions`.
    fn extension(&mut self, value: &'a [u8]) -> Result<(), Malformed> {
        let (name, value) = entry(Value::Bytes(value))?;
        match name {
            b"service" => self.request.route.service = Some(value),
            b"infrastructure" => self.request.route.infrastructure = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn header(&mut self, name: &'a [u8], value: &'a [u8]) {
        if name.first() == Some(&b':') {
            self.path_shown |= name == b":path";
            return;
        }
        self.mixed_case |= has_capital(name);
        self.request.headers.push(Header { name, value });
    }

    fn finish(self) -> Result<(), Malformed> {
        if !self.http {
            return Err(Malformed("it has no HTTP part"));
        }
        if self.mapped && self.listed {
            return Err(Malformed("it has headers both as a map and as a list"));
        }
        self.request.joined = self.mapped;
        // `allowed_headers` takes the pseudo headers out of the map along with all others.
        self.request.filtered = !self.path_shown && !self.request.target.is_empty();
        self.request.body = self.body();
        self.request.source = self.peer.and_then(network::address);
        self.request.grpc = self.request.header(b"content-type").one().is_some_and(is_grpc);
        Ok(())
    }

    /// `size` is the body's length where Envoy was told to send the body, and 0 otherwise.
    fn body(&self) -> Body<'a> {
        let sent = if self.raw_body.is_empty() { self.body } else { self.raw_body };
        let partial = self.request.header(b"x-envoy-auth-partial-body") == HeaderValue::One(b"true")
            || i64::try_from(sent.len()).is_ok_and(|length| self.size > length);
        match sent {
            [] => Body::Absent,
            _ if partial => Body::Partial,
            whole => Body::Whole(whole),
        }
    }
}

/// The key and value of a map's entry; either is empty where it is left out.
fn entry(value: Value<'_>) -> Result<(&[u8], &[u8]), Malformed> {
    let value = value.bytes()?;
    if let Some(((1, key), (2, content))) = two_texts(value) {
        return Ok((key, content));
    }
    let (mut key, mut content): (&[u8], &[u8]) = (&[], &[]);
    let mut fields = Fields::of(value);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => key = value.bytes()?,
            2 => content = value.bytes()?,
            _ => {}
        }
    }
    Ok((key, content))
}

/// Whether one of the bytes is `A` to `Z`: eight at a time, for there are hundreds.
fn has_capital(name: &[u8]) -> bool {
    let capitals_in = |word: u64| {
        let low = word & (0x7f * ONES);
        // The topmost bit of a byte is then set from `A` on, and from what follows `Z` on.
        let (from_a, after_z) = (low + (0x80 - 0x41) * ONES, low + (0x80 - 0x5b) * ONES);
        from_a & !after_z & !word & (0x80 * ONES)
    };
    let (words, rest) = name.as_chunks::<8>();
    let capitals = words.iter().fold(0, |found, word| found | capitals_in(u64::from_ne_bytes(*word)));
    // The last word again from the end, so that no byte is left over.
    let last = match name.last_chunk::<8>() {
        Some(last) => capitals_in(u64::from_ne_bytes(*last)) != 0,
        None => rest.iter().any(u8::is_ascii_uppercase),
    };
    capitals != 0 || last
}

/// The message with these headers' names, which point into it, in lower case.
fn lowered(message: &[u8], headers: &[Header<'_>]) -> Vec<u8> {
    let mut copy = message.to_vec();
    for header in headers.iter().filter(|header| header.name.iter().any(u8::is_ascii_uppercase)) {
        let start = header.name.as_ptr().addr() - message.as_ptr().addr();
        copy[start..start + header.name.len()].make_ascii_lowercase();
    }
    copy
}

#[cfg(test)]
mod differential;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use envoy_types::pb::envoy::config::core::v3 as core;
    use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request as Part};
    use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
    use prost::Message as _;

    use super::*;

    fn encoded(attributes: AttributeContext) -> Vec<u8> {
        CheckRequest { attributes: Some(attributes) }.encode_to_vec()
    }

    fn http(http: HttpRequest) -> Vec<u8> {
        encoded(AttributeContext {
            request: Some(Part { http: Some(http), time: None }),
            ..AttributeContext::default()
        })
    }

    fn mapped<const N: usize>(headers: [(&str, &str); N]) -> HttpRequest {
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        HttpRequest { path: "/".into(), headers: headers.into(), ..HttpRequest::default() }
    }

    fn listed(lines: &[(&str, &str, &str)]) -> HttpRequest {
        let headers = lines
            .iter()
            .map(|(key, value, raw)| core::HeaderValue {
                key: (*key).into(),
                value: (*value).into(),
                raw_value: raw.as_bytes().to_vec(),
            })
            .collect();
        HttpRequest {
            path: "/".into(),
            header_map: Some(core::HeaderMap { headers }),
            ..HttpRequest::default()
        }
    }

    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(
        message: Vec<u8>,
        told: impl FnOnce(&Request<'_>) -> T,
        expected: T,
    ) {
        let mut scratch = Vec::new();
        assert_eq!(told(&seen(&message, &mut scratch).unwrap()), expected);
    }

    #[track_caller]
    fn refused(message: &[u8], expected: &str) {
        let mut scratch = Vec::new();
        assert_eq!(seen(message, &mut scratch).unwrap_err().0, expected);
    }

    #[test]
    fn a_check_without_http_part_is_refused() {
        refused(b"", "it has no HTTP part");
        refused(&encoded(AttributeContext::default()), "it has no HTTP part");
        refused(
            &encoded(AttributeContext { request: Some(Part::default()), ..AttributeContext::default() }),
            "it has no HTTP part",
        );
    }

    #[test]
    fn headers_in_both_forms_are_refused() {
        let both = HttpRequest { headers: mapped([("a", "1")]).headers, ..listed(&[("b", "2", "")]) };
        refused(&http(both), "it has headers both as a map and as a list");
    }

    #[test]
    fn a_line_of_the_list_is_its_raw_value_where_there_is_one() {
        let lines = listed(&[("a", "text", "raw"), ("b", "text", ""), ("c", "", "raw"), ("d", "", "")]);
        check(
            http(lines),
            |request| {
                let value = |name: &str| request.header(name.as_bytes()).one().unwrap().to_vec();
                ["a", "b", "c", "d"].map(|name| String::from_utf8(value(name)).unwrap())
            },
            ["raw", "text", "raw", ""].map(String::from),
        );
    }

    #[test]
    fn only_the_map_joins_lines() {
        check(http(mapped([("a", "1")])), |request| request.joined, true);
        check(http(listed(&[("a", "1", "")])), |request| request.joined, false);
        check(http(listed(&[("a", "1", ""), ("a", "2", "")])), |r| r.header(b"a") == HeaderValue::Many, true);
    }

    #[test]
    fn a_view_without_path_header_is_filtered() {
        check(http(mapped([("authorization", "x")])), |request| request.filtered, true);
        check(http(mapped([(":path", "/"), ("authorization", "x")])), |request| request.filtered, false);
        check(http(listed(&[(":path", "", "/")])), |request| request.filtered, false);
        let connect = HttpRequest { path: String::new(), ..mapped([(":method", "CONNECT")]) };
        check(http(connect), |request| request.filtered, false);
    }

    #[test]
    fn pseudo_headers_decide_nothing() {
        let liar = HttpRequest {
            method: "GET".into(),
            path: "/real".into(),
            host: "real".into(),
            ..mapped([(":path", "/lie"), (":method", "PUT"), (":authority", "lie"), ("x", "1")])
        };
        check(
            http(liar),
            |r| (r.method == b"GET", r.target == b"/real", r.host == b"real", r.headers.len()),
            (true, true, true, 1),
        );
    }

    #[test]
    fn a_capital_is_seen_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for length in 1..20 {
                for at in 0..length {
                    let mut name = vec![b'-'; length];
                    name[at] = byte;
                    assert_eq!(has_capital(&name), byte.is_ascii_uppercase(), "{byte} at {at} of {length}");
                }
            }
        }
        assert!(!has_capital(b""));
    }

    #[test]
    fn names_are_lowered_and_values_left() {
        check(
            http(mapped([("X-API-Key", "Secret")])),
            |r| r.header(b"x-api-key").one() == Some(b"Secret"),
            true,
        );
        check(
            http(listed(&[("X-A", "", "B"), ("x-a", "", "C")])),
            |request| request.header(b"x-a") == HeaderValue::Many,
            true,
        );
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_body_is_whole_only_where_nothing_says_otherwise() {
        #[track_caller]
        fn body(text: &str, raw: &str, size: i64, header: &str, expected: Body<'static>) {
            let request = HttpRequest {
                body: text.into(),
                raw_body: raw.as_bytes().to_vec(),
                size,
                ..mapped([("x-envoy-auth-partial-body", header)])
            };
            check(http(request), |request| request.body == expected, true);
        }
        //   text   raw    size header    expected
        body("",    "",    0,   "",       Body::Absent);
        body("",    "",    -1,  "",       Body::Absent);
        body("",    "",    9,   "true",   Body::Absent);
        body("abc", "",    3,   "false",  Body::Whole(b"abc"));
        body("",    "abc", 3,   "false",  Body::Whole(b"abc"));
        body("abc", "",    0,   "",       Body::Whole(b"abc"));
        body("abc", "",    -1,  "",       Body::Whole(b"abc"));
        body("abc", "",    3,   "true",   Body::Partial);
        body("abc", "",    4,   "false",  Body::Partial);
        body("",    "abc", 30,  "",       Body::Partial);
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn the_source_is_an_address_or_nothing() {
        #[track_caller]
        fn source(text: &str, expected: Option<&str>) {
            let address = core::Address {
                address: Some(core::address::Address::SocketAddress(core::SocketAddress {
                    address: text.into(),
                    ..core::SocketAddress::default()
                })),
            };
            check_source(address, expected);
        }
        #[track_caller]
        fn check_source(address: core::Address, expected: Option<&str>) {
            let message = encoded(AttributeContext {
                source: Some(Peer { address: Some(address), ..Peer::default() }),
                request: Some(Part { http: Some(HttpRequest::default()), time: None }),
                ..AttributeContext::default()
            });
            check(message, |request| request.source, expected.map(|text| text.parse().unwrap()));
        }
        source("192.0.2.10",          Some("192.0.2.10"));
        source("2001:db8::1",         Some("2001:db8::1"));
        source("::ffff:192.0.2.10",   Some("192.0.2.10"));
        source("192.0.2.010",         None);
        source("192.0.2.10:80",       None);
        source("[2001:db8::1]",       None);
        source("fe80::1%eth0",        None);
        source(" 192.0.2.10",         None);
        source("",                    None);
        let pipe = core::address::Address::Pipe(core::Pipe { path: "/run/envoy".into(), mode: 0 });
        check_source(core::Address { address: Some(pipe) }, None);
        check_source(core::Address { address: None }, None);
    }

    #[test]
    fn only_a_pipe_is_a_unix_socket() {
        use core::address::Address::{EnvoyInternalAddress, Pipe, SocketAddress};
        #[track_caller]
        fn unix(address: core::address::Address, expected: bool) {
            let address = Some(core::Address { address: Some(address) });
            let message = encoded(AttributeContext {
                source: Some(Peer { address, ..Peer::default() }),
                request: Some(Part { http: Some(HttpRequest::default()), time: None }),
                ..AttributeContext::default()
            });
            check(message, |request| (request.unix, request.source), (expected, None));
        }
        unix(Pipe(core::Pipe { path: "/run/envoy".into(), mode: 0 }), true);
        unix(Pipe(core::Pipe::default()), true);
        unix(SocketAddress(core::SocketAddress::default()), false);
        unix(SocketAddress(core::SocketAddress { address: "nobody".into(), ..Default::default() }), false);
        unix(EnvoyInternalAddress(core::EnvoyInternalAddress::default()), false);
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn grpc_callers_are_told_by_their_content_type() {
        #[track_caller]
        fn grpc(content_type: &str, expected: bool) {
            check(http(mapped([("content-type", content_type)])), |request| request.grpc, expected);
        }
        grpc("application/grpc",                true);
        grpc("application/grpc+proto",          true);
        grpc("application/grpc+json; q=1",      true);
        grpc("application/grpc; charset=utf-8", true);
        grpc("application/grpc-web",            false);
        grpc("application/grpc-web+proto",      false);
        grpc("application/grpcx",               false);
        grpc("application/connect+proto",       false);
        grpc("text/plain",                      false);
        grpc("",                                false);
    }

    #[test]
    fn the_route_says_service_and_infrastructure() {
        let extensions = [("service", "orders"), ("infrastructure", "staging"), ("other", "x")];
        let message = encoded(AttributeContext {
            context_extensions: extensions.map(|(key, value)| (key.into(), value.into())).into(),
            request: Some(Part { http: Some(HttpRequest::default()), time: None }),
            ..AttributeContext::default()
        });
        check(
            message,
            |r| (r.route.service == Some(b"orders"), r.route.infrastructure == Some(b"staging")),
            (true, true),
        );
    }

    #[test]
    fn parts_that_stand_twice_are_merged() {
        let mut message = http(HttpRequest { method: "GET".into(), ..mapped([("a", "1")]) });
        message.extend(http(HttpRequest { method: "PUT".into(), host: "h".into(), ..mapped([("b", "2")]) }));
        check(message, |r| (r.method == b"PUT", r.host == b"h", r.headers.len()), (true, true, 2));
    }
}
