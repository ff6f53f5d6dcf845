//! Whether a page may have had a browser send a request with the session that it holds for us.
//!
//! A browser sends a cookie with every request to its host, whoever's page made it do so; what page
//! that was it tells in `Origin` and `Sec-Fetch-Site`, which no page can set.

use super::request::{HeaderValue, Request};

/// Methods that change nothing, RFC 9110 section 9.2.1.
const SAFE: [&[u8]; 4] = [b"GET", b"HEAD", b"OPTIONS", b"TRACE"];

/// # Errors
///
/// Why the request is refused: its origin is neither the service's own nor one of `others`, nor kept to
/// itself (`null`) by a page of the same origin; or it would change something and says nothing of where it
/// comes from.
pub fn judge(request: &Request<'_>, others: &[String]) -> Result<(), &'static str> {
    let site = request.header(b"sec-fetch-site");
    match request.header(b"origin") {
        HeaderValue::One(origin) if is_own(origin, request.host) || is_listed(origin, others) => Ok(()),
        // Forms of a page with `Referrer-Policy: no-referrer`, which keeps it to itself that it is our own.
        HeaderValue::One(b"null") if site == HeaderValue::One(b"same-origin") => Ok(()),
        HeaderValue::One(_) | HeaderValue::Many => Err("the page's origin is another one"),
        HeaderValue::Absent if SAFE.contains(&request.method) => Ok(()),
        HeaderValue::Absent => match site {
            HeaderValue::One(b"same-origin") => Ok(()),
            HeaderValue::One(_) | HeaderValue::Many => Err("the browser was made to send it by another site"),
            HeaderValue::Absent => Err("neither `Origin` nor `Sec-Fetch-Site` says where it comes from"),
        },
    }
}

/// The same for a login, which no session is asked for: whoever says nothing of where it comes from is no
/// browser that a page has made send it.
///
/// # Errors
///
/// As [`judge`].
pub fn judge_login(request: &Request<'_>, others: &[String]) -> Result<(), &'static str> {
    let says = |name: &[u8]| request.header(name) != HeaderValue::Absent;
    if says(b"origin") || says(b"sec-fetch-site") { judge(request, others) } else { Ok(()) }
}

fn is_listed(origin: &[u8], others: &[String]) -> bool {
    others.iter().any(|other| origin.eq_ignore_ascii_case(other.as_bytes()))
}

/// Whether the page is the very host's that the request is for. The cookie goes over TLS alone, so a
/// page that did not come that way is another's, but on this machine, where browsers allow it.
fn is_own(origin: &[u8], host: &[u8]) -> bool {
    if let Some(theirs) = origin.strip_prefix(b"https://") {
        return same_host(theirs, host, b":443");
    }
    let Some(theirs) = origin.strip_prefix(b"http://") else { return false };
    is_on_this_machine(theirs) && same_host(theirs, host, b":80")
}

fn same_host(one: &[u8], other: &[u8], default_port: &[u8]) -> bool {
    let bare = |host: &mut &[u8]| {
        *host = host.strip_suffix(default_port).unwrap_or(host);
    };
    let (mut one, mut other) = (one, other);
    bare(&mut one);
    bare(&mut other);
    !one.is_empty() && one.eq_ignore_ascii_case(other)
}

/// Of a host with or without its port, whether no other machine can answer under it.
pub fn is_on_this_machine(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    match name.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::Header;

    #[track_caller]
    fn check(method: &str, host: &str, headers: &[(&str, &str)], expected: bool) {
        let line = |(name, value): &(&'static str, &'static str)| Header {
            name: name.as_bytes(),
            value: value.as_bytes(),
        };
        let headers: Vec<(&'static str, &'static str)> =
            headers.iter().map(|(name, value)| (leak(name), leak(value))).collect();
        let request = Request {
            method: method.as_bytes(),
            host: host.as_bytes(),
            headers: headers.iter().map(line).collect(),
            ..Request::default()
        };
        let judged = judge(&request, &["https://app.example".to_owned()]);
        assert_eq!(judged.is_ok(), expected, "{method} {host} {headers:?}: {judged:?}");
        let login = judge_login(&request, &["https://app.example".to_owned()]);
        assert_eq!(login.is_ok(), expected || headers.is_empty(), "{method} {host} {headers:?}: {login:?}");
    }

    fn leak(text: &str) -> &'static str {
        Box::leak(text.to_owned().into_boxed_str())
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn only_pages_of_the_service_and_listed_ones_may_use_a_session() {
        let origin = |origin| [("origin", origin)];
        let site = |site| [("sec-fetch-site", site)];
        //    method    host                  headers                            passes
        check("GET",    "api.example",        &[],                               true);
        check("HEAD",   "api.example",        &site("cross-site"),               true);
        check("POST",   "api.example",        &[],                               false);
        check("get",    "api.example",        &[],                               false);
        check("QUERY",  "api.example",        &[],                               false);
        check("POST",   "api.example",        &site("same-origin"),              true);
        check("POST",   "api.example",        &site("same-site"),                false);
        check("POST",   "api.example",        &site("cross-site"),               false);
        check("POST",   "api.example",        &site("none"),                     false);
        check("POST",   "api.example",        &site("Same-Origin"),              false);
        check("POST",   "api.example",        &origin("https://api.example"),    true);
        check("POST",   "API.example:443",    &origin("https://api.example"),    true);
        check("POST",   "api.example",        &origin("https://api.example:443"), true);
        check("POST",   "api.example:8443",   &origin("https://api.example"),    false);
        check("POST",   "api.example",        &origin("http://api.example"),     false);
        check("POST",   "localhost:8000",     &origin("http://localhost:8000"),  true);
        check("POST",   "127.0.0.1:8000",     &origin("http://127.0.0.1:8000"),  true);
        check("POST",   "[::1]:8000",         &origin("http://[::1]:8000"),      true);
        check("POST",   "localhost:8000",     &origin("http://localhost:9000"),  false);
        check("POST",   "a.localhost",        &origin("http://a.localhost"),     true);
        check("POST",   "localhost.example",  &origin("http://localhost.example"), false);
        check("POST",   "api.example",        &origin("https://app.example"),    true);
        check("POST",   "api.example",        &origin("https://app.example.evil"), false);
        check("POST",   "api.example",        &origin("https://api.example.evil"), false);
        check("POST",   "api.example",        &origin("https://evil@api.example"), false);
        check("POST",   "api.example",        &origin("null"),                   false);
        check("POST",   "api.example",        &origin(""),                       false);
        check("POST",   "",                   &origin("https://"),               false);
        check("GET",    "api.example",        &origin("https://evil.example"),   false);
        check("GET",    "api.example",        &origin("null"),                   false);
        let both = |origin, site| [("origin", origin), ("sec-fetch-site", site)];
        check("POST",   "api.example",        &both("https://evil.example", "same-origin"), false);
        check("POST",   "api.example",        &both("null", "same-origin"),      true);
        check("GET",    "api.example",        &both("null", "same-origin"),      true);
        check("POST",   "api.example",        &both("null", "same-site"),        false);
        check("POST",   "api.example",        &both("null", "cross-site"),       false);
        check("GET",    "api.example",        &both("null", "cross-site"),       false);
        check("POST",   "api.example",        &both("null", "none"),             false);
        let two = [("origin", "https://api.example"), ("origin", "https://evil.example")];
        check("POST",   "api.example",        &two,                              false);
    }
}
