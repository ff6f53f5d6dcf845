//! The asking side of a check: what Envoy would send of a request, and what it would read in the
//! answer. For whoever measures a running server.

use super::PREFIX;
use super::protobuf::{Fields, Malformed, Writer};
use crate::domain::request::{Body, Request};

/// What an answer means to Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answered {
    Allow,
    /// With the HTTP status that the caller gets.
    Deny(u16),
    /// An `error_response`, with the HTTP status that it names.
    Fault(u16),
}

/// The call's path.
pub const CHECK: &str = super::service::CHECK;

/// A `CheckRequest` as a gRPC frame.
pub fn question(request: &Request<'_>) -> Vec<u8> {
    let mut frame = vec![0; PREFIX];
    Writer::on(&mut frame).message(1, |attributes| {
        attributes.message(1, |source| source.message(1, |address| peer(address, request)));
        attributes.message(4, |part| part.message(2, |part| http(part, request)));
        let route = [("service", request.route.service), ("infrastructure", request.route.infrastructure)];
        for (name, value) in route {
            if let Some(value) = value {
                attributes.message(10, |entry| pair(entry, name.as_bytes(), value));
            }
        }
    });
    let length = u32::try_from(frame.len() - PREFIX).unwrap_or(u32::MAX);
    frame[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    frame
}

/// `Address`.
fn peer(address: &mut Writer<'_>, request: &Request<'_>) {
    if let Some(source) = request.source {
        address.message(1, |socket| socket.text(2, source.to_string()));
    } else if request.unix {
        address.message(2, |pipe| pipe.text(1, "doorward-bench"));
    }
}

/// `AttributeContext.HttpRequest`.
fn http(part: &mut Writer<'_>, request: &Request<'_>) {
    part.text(2, request.method);
    let pseudo = [(":path", request.target), (":method", request.method), (":authority", request.host)];
    let pseudo = pseudo.into_iter().filter(|_| !request.filtered);
    let pseudo = pseudo.map(|(name, value)| (name.as_bytes(), value));
    let headers: Vec<(&[u8], &[u8])> =
        pseudo.chain(request.headers.iter().map(|header| (header.name, header.value))).collect();
    if request.joined {
        headers.iter().for_each(|(name, value)| part.message(3, |entry| pair(entry, name, value)));
    }
    part.text(4, request.target);
    part.text(5, request.host);
    if let Body::Whole(body) = request.body {
        part.number(9, body.len() as u64);
        part.text(12, body);
    }
    if !request.joined {
        part.message(13, |list| {
            for (name, value) in &headers {
                list.message(1, |line| {
                    line.text(1, name);
                    line.text(3, value);
                });
            }
        });
    }
}

/// An entry of a map.
fn pair(entry: &mut Writer<'_>, name: &[u8], value: &[u8]) {
    entry.text(1, name);
    entry.text(2, value);
}

/// Reads a `CheckResponse`, without the frame around it.
///
/// # Errors
///
/// It is none.
pub fn answer(message: &[u8]) -> Result<Answered, Malformed> {
    let (mut code, mut denied, mut fault) = (0, None, None);
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => code = number_in(value.bytes()?, 1)?,
            2 => denied = Some(status(value.bytes()?)?),
            5 => fault = Some(status(value.bytes()?)?),
            _ => {}
        }
    }
    Ok(match (fault, code) {
        (Some(status), _) => Answered::Fault(status),
        // Envoy's own status, where the answer names none.
        (None, 1..) => Answered::Deny(denied.filter(|status| *status != 0).unwrap_or(403)),
        (None, 0) => Answered::Allow,
    })
}

/// The HTTP status of a `DeniedHttpResponse`.
fn status(message: &[u8]) -> Result<u16, Malformed> {
    let mut fields = Fields::of(message);
    let mut code = 0;
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            code = number_in(value.bytes()?, 1)?;
        }
    }
    u16::try_from(code).map_err(|_| Malformed("an HTTP status out of range"))
}

fn number_in(message: &[u8], field: u32) -> Result<u64, Malformed> {
    let mut fields = Fields::of(message);
    let mut found = 0;
    while let Some((number, value)) = fields.next()? {
        if number == field {
            found = value.varint()?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::check::{Decision, Metadata, Outcome};
    use crate::domain::denial::Denial;
    use crate::domain::headers::Mutations;
    use crate::domain::request::{Header, Route};
    use crate::grpc::{render::render, view};

    #[test]
    fn what_is_asked_is_what_is_read() {
        let headers = [("apikey", "secret"), ("x", "")];
        let headers = headers.map(|(name, value)| Header { name: name.as_bytes(), value: value.as_bytes() });
        let whole = Request {
            method: b"POST",
            target: b"/orders?a=b",
            host: b"api.example.com:8443",
            headers: headers.into_iter().collect(),
            body: Body::Whole(b"{}"),
            source: Some([198, 51, 100, 7].into()),
            route: Route { service: Some(b"orders"), infrastructure: Some(b"production") },
            ..Request::default()
        };
        let unix = Request { unix: true, source: None, ..whole.clone() };
        for request in [
            Request { target: b"/", ..Request::default() },
            Request { joined: true, ..unix.clone() },
            Request { filtered: true, ..whole.clone() },
            unix,
            whole,
        ] {
            let frame = question(&request);
            let message = frame.get(5..).unwrap();
            assert_eq!(frame[..5], [&[0][..], &(message.len() as u32).to_be_bytes()].concat());
            let mut scratch = Vec::new();
            let read = view::seen(message, &mut scratch).unwrap();
            assert_eq!(format!("{read:?}"), format!("{request:?}"));
        }
    }

    #[test]
    fn what_is_answered_is_what_was_decided() {
        let notice = Denial::MissingCredential.notice();
        for (outcome, expected) in [
            (Outcome::Allow(Mutations::default()), Answered::Allow),
            (Outcome::Deny(notice, Default::default()), Answered::Deny(401)),
            (Outcome::Fault(Denial::Overloaded.notice()), Answered::Fault(503)),
        ] {
            let metadata = Metadata::default();
            let frame = render(&Decision { outcome, metadata, request_id: "", grpc: false });
            assert_eq!(answer(&frame[5..]).unwrap(), expected);
        }
        assert!(answer(b"\x0a\x05x").is_err());
    }
}
