//! What a proxy says about the request that it holds. Each kind has its own words for method, target,
//! host and client, set by the operator's configuration or by the proxy itself; one that is missing or
//! there twice refuses the request.

use std::net::IpAddr;

use http::HeaderMap;
use http::request::Parts;

use super::kind::Kind;
use crate::domain::catalog::Catalog;
use crate::domain::network::address;
use crate::domain::request::{Header, Headers, Request, Route};

/// Where a kind says what.
struct Words {
    method: &'static str,
    target: &'static str,
    host: &'static str,
}

/// nginx says nothing by itself: the operator sets these, and so replaces a client's.
const ORIGINAL: Words =
    Words { method: "x-original-method", target: "x-original-uri", host: "x-original-host" };

/// Caddy and Traefik set these, and replace a client's.
const FORWARDED: Words =
    Words { method: "x-forwarded-method", target: "x-forwarded-uri", host: "x-forwarded-host" };

const FORWARDED_FOR: &str = "x-forwarded-for";
const REAL_IP: &str = "x-real-ip";

/// The request as it is decided about.
pub(super) fn asked<'a>(kind: Kind, head: &'a Parts) -> Result<Request<'a>, &'static str> {
    let path = head.uri.path_and_query().map_or("", |target| target.as_str());
    let below = path.strip_prefix("/check/").and_then(|path| path.strip_prefix(kind.name()));
    let below = below.ok_or("a check of another kind")?;
    match kind {
        Kind::Nginx => described(head, &ORIGINAL, route(below), Source::RealIp),
        Kind::Caddy | Kind::Traefik => described(head, &FORWARDED, route(below), Source::Forwarded),
        Kind::Envoy => envoy(head, below),
    }
}

/// Whether a header of the request looks like one of ours to some upstreams.
pub(super) fn impersonates(request: &Request<'_>, catalog: &Catalog) -> bool {
    request.headers.iter().any(|header| catalog.impersonates(header.name))
}

#[derive(Clone, Copy)]
enum Source {
    /// In a header that the operator sets to the connection's other end.
    RealIp,
    /// The last of `x-forwarded-for`, which the proxy adds.
    Forwarded,
}

fn described<'a>(
    head: &'a Parts,
    words: &Words,
    route: Route<'a>,
    source: Source,
) -> Result<Request<'a>, &'static str> {
    let headers = &head.headers;
    let said = |name| one(headers, name);
    let missing = "the proxy does not say the method, target or host of the request, or says it twice";
    let (Some(method), Some(target), Some(host)) = (said(words.method), said(words.target), said(words.host))
    else {
        return Err(missing);
    };
    let own = [words.method, words.target, words.host, REAL_IP];
    let (source, hops_hidden) = match source {
        Source::RealIp => (said(REAL_IP).and_then(address), false),
        // They drop what their peer said before it, unless they are told to trust that one.
        Source::Forwarded => (last_hop(headers), hops(headers) <= 1),
    };
    let headers = shown(headers, &own);
    Ok(Request { method, target, host, headers, source, hops_hidden, route, ..Request::default() })
}

/// Envoy asks with the request's own method and target, behind the prefix that the operator set. Which
/// headers it shows is the operator's choice, and it joins those of one name.
fn envoy<'a>(head: &'a Parts, below: &'a str) -> Result<Request<'a>, &'static str> {
    Ok(Request {
        method: head.method.as_str().as_bytes(),
        target: below.as_bytes(),
        host: one(&head.headers, "host").ok_or("the proxy does not say the host, or says it twice")?,
        headers: shown(&head.headers, &[]),
        joined: true,
        filtered: true,
        source: last_hop(&head.headers),
        ..Request::default()
    })
}

/// `/orders/production`, as the operator wrote it behind the kind: no client can change it.
fn route(below: &str) -> Route<'_> {
    let path = below.split('?').next().unwrap_or_default();
    let mut words = path.split('/').skip(1).filter(|word| !word.is_empty()).map(str::as_bytes);
    Route { service: words.next(), infrastructure: words.next() }
}

fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).iter();
    let only = lines.next().map(http::HeaderValue::as_bytes)?;
    (lines.next().is_none() && !only.is_empty()).then_some(only)
}

fn hops(headers: &HeaderMap) -> usize {
    let lines = headers.get_all(FORWARDED_FOR).iter();
    lines.map(|line| line.as_bytes().split(|byte| *byte == b',').count()).sum()
}

/// Whom the proxy is connected to.
fn last_hop(headers: &HeaderMap) -> Option<IpAddr> {
    let line = headers.get_all(FORWARDED_FOR).iter().next_back()?;
    address(line.as_bytes().rsplit(|byte| *byte == b',').next()?.trim_ascii())
}

/// The client's headers: not those between the proxy and us.
fn shown<'a>(headers: &'a HeaderMap, own: &[&str]) -> Headers<'a> {
    let between = ["host", "connection", "content-length", "transfer-encoding"];
    let theirs = headers.iter().filter(|(name, _)| {
        let name = name.as_str();
        !between.contains(&name) && !own.contains(&name)
    });
    theirs.map(|(name, value)| Header { name: name.as_str().as_bytes(), value: value.as_bytes() }).collect()
}
