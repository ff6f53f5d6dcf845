//! The canonical form of a request target, or why it has none.
//!
//! The upstream gets the target as the client wrote it, so a target that two readers may read
//! differently has no canonical form and is refused; what is left is spelled in one way, so that
//! rules can be compared byte by byte. `interface.md` 4 names the two refusals.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use super::denial::Denial;

/// A request target, parted and read the one way in which it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Begins with `/`; visible ASCII; no empty (but the last), `.` or `..` segment, no `;`, `\`.
    ///
    /// Escapes of visible ASCII are decoded, reserved characters too: an upstream decodes `%3A`
    /// before it looks for a handler. What is left of escapes is `%20` and valid UTF-8 beyond
    /// ASCII, in capitals (`%C3%A9`).
    pub path: Cow<'a, [u8]>,
    /// What follows the first `?`, undecoded: visible ASCII without `#`.
    pub query: Option<&'a [u8]>,
}

/// Reads a request target in origin form (RFC 9112 section 3.2.1).
///
/// A target that is both malformed and ambiguous is malformed, wherever in it either stands:
/// shadow mode lets the ambiguous ones pass. Allocates only for a path with escapes.
///
/// # Errors
///
/// [`Denial::MalformedRequest`] or [`Denial::AmbiguousPath`], with the reason for the log.
pub fn parse(target: &[u8]) -> Result<Target<'_>, Denial> {
    plain(target).map_or_else(|| judge(target), Ok)
}

/// In one walk, a target in which there is nothing to be judged: nearly every one.
fn plain(target: &[u8]) -> Option<Target<'_>> {
    let mut rest = target.strip_prefix(b"/")?.iter();
    let mut before = b'/';
    let mut query = None;
    for &byte in rest.by_ref() {
        match byte {
            b'?' => {
                query = Some(rest.as_slice());
                break;
            }
            b'%' | b';' | b'\\' | b'#' | 0..=0x20 | 0x7f.. => return None,
            b'/' | b'.' if before == b'/' => return None,
            _ => before = byte,
        }
    }
    let fits = |query: &[u8]| query.iter().fold(true, |fits, byte| fits & unfit(*byte).is_none());
    if !query.is_none_or(fits) {
        return None;
    }
    let path = &target[..target.len() - query.map_or(0, |query: &[u8]| query.len() + 1)];
    Some(Target { path: Cow::Borrowed(path), query })
}

fn judge(target: &[u8]) -> Result<Target<'_>, Denial> {
    match target.first() {
        Some(b'/') => {}
        Some(_) => return Err(malformed("the target does not begin with `/`")),
        None => return Err(malformed("the target is empty")),
    }
    if let Some(why) = target.iter().find_map(|&byte| unfit(byte)) {
        return Err(malformed(why));
    }
    let (path, query) = match memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    let path = match memchr(b'%', path) {
        Some(_) => Cow::Owned(decode(path)?),
        None => Cow::Borrowed(path),
    };
    match ambiguity(&path) {
        Some(why) => Err(ambiguous(why)),
        None => Ok(Target { path, query }),
    }
}

/// The readings of a path that has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readings<'a> {
    /// Byte for byte as it came: what an upstream sees that resolves nothing.
    pub written: &'a [u8],
    /// Escapes of separators decoded, `\\` taken for `/`, parameters (`;…`) dropped, empty and dot
    /// segments resolved: what an upstream sees that resolves all it can.
    pub resolved: Vec<u8>,
    /// What is seen by upstreams that do some of that, in whatever order, once or again:
    /// `/pub/../admin/..;/pub` is the public path both as it is written and when all is resolved,
    /// and `/admin/..;/pub` for one that takes `..;` for a name.
    pub between: Vec<Vec<u8>>,
    pub query: Option<&'a [u8]>,
}

/// Of one path. Each kind of doubt in it doubles them.
const MOST_READINGS: usize = 64;

/// Of all readings of one path together: a long path with many would keep a worker for long.
const MOST_BYTES: usize = 64 * 1024;

/// Reads a target that [`parse`] found ambiguous, for a service that has such paths resolved.
///
/// # Errors
///
/// [`Denial::MalformedRequest`] as [`parse`]; [`Denial::AmbiguousPath`] for `%25`, `%3f` and `%23`,
/// whose meaning depends on how often somebody decodes, and for what has too many readings.
pub fn resolve(target: &[u8]) -> Result<Readings<'_>, Denial> {
    match parse(target) {
        Ok(_) | Err(Denial::AmbiguousPath { .. }) => {}
        Err(denial) => return Err(denial),
    }
    let (written, query) = match memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    };
    let resolved = merged(dots_resolved(merged(without_parameters(turned(unescaped(written, |_| true)?)))));
    let mut between = all_readings(written)?;
    between.retain(|reading| reading != written && *reading != resolved);
    Ok(Readings { written, resolved, between, query })
}

/// Everything that the habits of upstreams make of a path, one after the other in any order.
fn all_readings(written: &[u8]) -> Result<Vec<Vec<u8>>, Denial> {
    let mut readings = vec![written.to_vec()];
    let mut next = 0;
    while let Some(reading) = readings.get(next).cloned() {
        next += 1;
        for seen in [
            unescaped(&reading, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))?,
            unescaped(&reading, |_| true)?,
            turned(reading.clone()),
            without_parameters(reading.clone()),
            merged(reading.clone()),
            dots_resolved(reading),
        ] {
            if !readings.contains(&seen) {
                readings.push(seen);
            }
        }
        if readings.len() > MOST_READINGS || readings.len() * written.len() > MOST_BYTES {
            return Err(ambiguous("the path has too many readings"));
        }
    }
    Ok(readings)
}

/// Escapes of `which` bytes decoded. A blank and what is not ASCII stay escaped, in capitals, as in a
/// canonical path.
fn unescaped(path: &[u8], which: impl Fn(u8) -> bool) -> Result<Vec<u8>, Denial> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let byte = escaped(after).ok_or(malformed("the path holds a `%` without two digits"))?;
        if matches!(byte, b'%' | b'?' | b'#') {
            return Err(ambiguous("an escape in the path is one of `% ? #`"));
        }
        rest = &after[2..];
        if byte == b' ' || byte >= 0x80 || !which(byte) {
            decoded.push(b'%');
            decoded.extend(after[..2].iter().map(u8::to_ascii_uppercase));
        } else {
            decoded.push(byte);
        }
    }
    Ok(decoded)
}

/// With `/` for each `\`.
fn turned(mut path: Vec<u8>) -> Vec<u8> {
    path.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    path
}

/// Without what follows a `;` in each segment.
fn without_parameters(path: Vec<u8>) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let names: Vec<&[u8]> =
        segments.map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default()).collect();
    names.join(&b'/')
}

/// Without empty segments, but for a last one.
fn merged(mut path: Vec<u8>) -> Vec<u8> {
    path.dedup_by(|byte, before| *byte == b'/' && *before == b'/');
    path
}

/// Without `.` and `..` segments, as RFC 3986 section 5.2.4 has it: an empty segment is one to go
/// back over.
fn dots_resolved(path: Vec<u8>) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut open = false;
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        open = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => drop(kept.pop()),
            name => kept.push(name),
        }
    }
    if open || kept.is_empty() {
        kept.push(b"");
    }
    [b"/".as_slice(), &kept.join(&b'/')].concat()
}

/// The byte that two hexadecimal digits at the start of `digits` stand for (RFC 3986 section 2.1);
/// what follows them is not looked at.
pub(super) fn escaped(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(nibble(*high)? << 4 | nibble(*low)?)
}

/// Why a byte may stand nowhere in a target. Envoy refuses most of them itself; other askers do not.
fn unfit(byte: u8) -> Option<&'static str> {
    match byte {
        b'#' => Some("the target holds a `#`"),
        b' ' => Some("the target holds a blank"),
        0x21..=0x7e => None,
        0x80.. => Some("the target holds a byte that is not ASCII"),
        _ => Some("the target holds a control byte"),
    }
}

/// The canonical spelling of a path with escapes.
fn decode(path: &[u8]) -> Result<Vec<u8>, Denial> {
    let mut canonical = Vec::with_capacity(path.len());
    let mut doubt = None;
    let mut rest = path;
    while let Some(at) = memchr(b'%', rest) {
        canonical.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let byte = escaped(&rest[1..]).ok_or(malformed("the path holds a `%` without two digits"))?;
        match byte {
            0x80.. => {
                rest = keep_beyond_ascii(rest, &mut canonical)?;
                continue;
            }
            0x00..=0x1f | 0x7f => return Err(malformed("an escape in the path is a control byte")),
            b'.' | b'/' | b'\\' | b';' | b'%' | b'?' | b'#' => {
                doubt = Some("an escape in the path is one of `. / \\ ; % ? #`");
            }
            b' ' => canonical.extend_from_slice(b"%20"),
            visible => canonical.push(visible),
        }
        rest = &rest[3..];
    }
    canonical.extend_from_slice(rest);
    doubt.map_or(Ok(canonical), |why| Err(ambiguous(why)))
}

/// Copies the escaped characters beyond ASCII that `path` begins with, and gives what follows them.
fn keep_beyond_ascii<'a>(path: &'a [u8], canonical: &mut Vec<u8>) -> Result<&'a [u8], Denial> {
    // UTF-8 has no character of more than four bytes; each escape has three.
    let mut bytes = [0; 4];
    let mut rest = path;
    for len in 1..=bytes.len() {
        let [b'%', digits @ ..] = rest else { break };
        let Some(byte @ 0x80..) = escaped(digits) else { break };
        bytes[len - 1] = byte;
        rest = &rest[3..];
        if let Ok(text) = str::from_utf8(&bytes[..len]) {
            if text.chars().any(char::is_control) {
                return Err(malformed("an escape in the path is a control character"));
            }
            canonical.extend(path[..3 * len].iter().map(u8::to_ascii_uppercase));
            return Ok(rest);
        }
    }
    Err(malformed("the escapes in the path are not UTF-8"))
}

/// Why a path, escapes decoded, can be read in two ways.
fn ambiguity(path: &[u8]) -> Option<&'static str> {
    if memchr(b';', path).is_some() {
        return Some("the path holds a `;`");
    }
    if memchr(b'\\', path).is_some() {
        return Some("the path holds a `\\`");
    }
    if memmem::find(path, b"//").is_some() {
        return Some("the path holds an empty segment");
    }
    path.split(|&byte| byte == b'/')
        .any(|segment| matches!(segment, b"." | b".."))
        .then_some("the path holds a `.` or `..` segment")
}

fn malformed(why: &'static str) -> Denial {
    Denial::MalformedRequest { why }
}

fn ambiguous(why: &'static str) -> Denial {
    Denial::AmbiguousPath { why }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    #[track_caller]
    fn check_resolved(target: &str, expected: Option<&str>) {
        let found =
            resolve(target.as_bytes()).ok().map(|readings| String::from_utf8(readings.resolved).unwrap());
        assert_eq!(found.as_deref(), expected, "{target}");
    }

    /// Every chain of upstreams is one that somebody runs: a proxy that resolves what it sees, before
    /// an application that decodes.
    #[test]
    fn a_path_is_read_in_every_way_in_which_a_chain_of_upstreams_may() {
        let check = |target: &str, expected: &str| {
            let readings = resolve(target.as_bytes()).unwrap();
            let between: Vec<&str> =
                readings.between.iter().map(|reading| str::from_utf8(reading).unwrap()).collect();
            assert!(between.contains(&expected), "{target}: {between:?}");
        };
        check("/pub/../admin/..;/pub", "/admin/..;/pub");
        check("/pub/../admin/..%2fpub", "/admin/..%2fpub");
        check("/pub/../admin/..\\pub", "/admin/..\\pub");
        check("/pub/%2e%2e/admin/..%2fpub", "/admin/..%2Fpub");
        check("/pub/q%2fz/../..%2fadmin", "/admin");
        check("/pub/..//admin//../pub", "/admin/pub");
        check("/%61dmin/../pub", "/admin/../pub");
        let plain = resolve(b"/pub/../admin").unwrap();
        assert_eq!(
            (plain.written, plain.resolved, plain.between),
            (&b"/pub/../admin"[..], b"/admin".to_vec(), vec![])
        );
    }

    #[test]
    fn a_path_of_too_many_readings_is_refused() {
        let long = format!("/{}/../x", "a".repeat(MOST_BYTES));
        check_resolved(&long, None);
        check_resolved("/a/../b", Some("/b"));
    }

    #[test]
    fn a_path_resolves_as_the_most_eager_upstream_would() {
        check_resolved("/pub/../admin", Some("/admin"));
        check_resolved("/pub/%2e%2E/admin", Some("/admin"));
        check_resolved("/pub/..%2fadmin", Some("/admin"));
        check_resolved("/pub/..%5Cadmin", Some("/admin"));
        check_resolved("/pub/..;a=b/admin", Some("/admin"));
        check_resolved("//admin;x=1/", Some("/admin/"));
        check_resolved("/../..", Some("/"));
        check_resolved("/a/./b", Some("/a/b"));
        check_resolved("/a/b/..", Some("/a/"));
        check_resolved("/caf%c3%a9/..//x", Some("/x"));
        check_resolved("/a%252e", None);
        check_resolved("/a%3fb", None);
        check_resolved("/a%00", None);
        check_resolved("/a%zz", None);
    }

    use proptest::prelude::*;

    use super::*;

    /// `expected` is the canonical path, with its query if it has one, or the code of the denial.
    #[track_caller]
    fn check(target: &str, expected: &str) {
        check_bytes(target.as_bytes(), expected);
    }

    #[track_caller]
    fn check_bytes(target: &[u8], expected: &str) {
        let answer = match parse(target) {
            Ok(Target { path, query }) => {
                let query = query.map(|query| [b"?", query].concat()).unwrap_or_default();
                String::from_utf8([path.into_owned(), query].concat()).unwrap()
            }
            Err(denial) => denial.notice().code.to_owned(),
        };
        assert_eq!(answer, expected, "{}", target.escape_ascii());
    }

    const MALFORMED: &str = "malformed_request";
    const AMBIGUOUS: &str = "ambiguous_path";

    /// The targets of `envoy-contract.md` 3.2, as an Envoy without `normalize_path` shows them:
    /// `security-rules.md` 3.2 A2, `peers.md` R7 and R9.
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a2_r7_r9_what_envoy_lets_through_is_read_in_one_way_or_refused() {
        for target in [
            "/pub/../admin", "/./admin", "/../../admin", "/pub/%2e%2e/admin", "/a/%2E/admin",
            "//admin", "/pub//admin", "/a/b/../..//admin", "/pub/..%2fadmin", "/pub%2f..%2fadmin",
            "/admin%2Fx", "/admin%5Cx", "/admin%5cx", "/admin\\x", "/pub/..;/admin",
            "/pub/..;a=b/admin", "/admin/..;/", "/admin;x=1", "/a;p=1/admin", "/admin%3Bx",
            "/admin%252e", "/a%3fadmin", "/a%23admin", "/admin/.", "/admin/..", "/x//y/../admin", "/re/../x",
            "//", "/a//", "/.", "/..", "/a%2eb",
        ] {
            check(target, AMBIGUOUS);
        }
        for target in [
            "", "*", "admin", "?x", "http://evil:99/abs?q", "a:443", "/a%zz", "/a%", "/a%4", "/a%4g", "/a%+1",
            "/admin%00", "/a%0d%0a", "/a%1f", "/a%7F", "/a#f", "/a?b#f", "/a b", "/a?b c", "/a\tb",
            "/a\0b", "/a?\r\n", "/a\x7f", "/é", "/a?é",
            // Not UTF-8: cut short, overlong, a surrogate, a lone continuation, parted by ASCII.
            "/%C3", "/%C3x", "/%C3/%A9", "/%C0%AF", "/%ED%A0%80", "/%A9", "/%FF", "/%F0%9F%98", "/%C3%41", "/%C3%zz",
            // U+0085, a line break to some.
            "/%C2%85",
        ] {
            check(target, MALFORMED);
        }
        check_bytes(b"/caf\xe9", MALFORMED);
        //    target              canonical
        check("/",                "/");
        check("/admin",           "/admin");
        check("/admin/",          "/admin/");
        check("/ADMIN",           "/ADMIN");
        check("/admin..",         "/admin..");
        check("/...",             "/...");
        check("/.well-known/x",   "/.well-known/x");
        check("/%61dmin",         "/admin");
        check("/%41dmin",         "/Admin");
        check("/admin%20",        "/admin%20");
        check("/a%3Ab%3ab:b",     "/a:b:b:b");
        check("/a%2bb+b",         "/a+b+b");
        check("/%7Euser/%2d%5f",  "/~user/-_");
        check("/%21%22%24%26%27", "/!\"$&'");
        check("/caf%c3%a9%C3%A9", "/caf%C3%A9%C3%A9");
        check("/%f0%9f%98%80/a",  "/%F0%9F%98%80/a");
        check("/a?x=../y//;%2f",  "/a?x=../y//;%2f");
        check("/?b?c",            "/?b?c");
        check("/a?",              "/a?");
        check("/a?%zz%00%",       "/a?%zz%00%");
    }

    /// `peers.md` R12: CONNECT's authority, OPTIONS' asterisk, a proxy's absolute form.
    #[test]
    fn r12_no_form_but_the_origins_is_read() {
        for target in [
            "*",
            "evil.example:443",
            "[::1]:443",
            "http://evil.example/orders",
            "HTTP://evil.example",
            "https:/orders",
            "orders",
            "mailto:x",
            "\\\\evil\\orders",
            "",
        ] {
            check(target, MALFORMED);
        }
        // It begins as one that it is not: without a scheme two slashes are an empty segment.
        check("//evil.example/orders", AMBIGUOUS);
    }

    #[test]
    fn malformed_beats_ambiguous_wherever_it_stands() {
        check("/a/../b#f", MALFORMED);
        check("/a%2f%zz", MALFORMED);
        check("/a;b?\x7f", MALFORMED);
        check("/a//%00", MALFORMED);
    }

    #[test]
    fn a_path_without_escapes_is_not_copied() {
        assert!(matches!(parse(b"/orders/1?key=%41").unwrap().path, Cow::Borrowed(b"/orders/1")));
    }

    proptest! {
        #[test]
        fn a_plain_target_is_read_as_by_judging_it(target in "/?([a./?=&-]|%2e|[;\\\\#é ])*") {
            if let Some(found) = plain(target.as_bytes()) {
                prop_assert_eq!(judge(target.as_bytes()), Ok(found));
            }
        }

        #[test]
        fn no_bytes_are_too_odd(target in any::<Vec<u8>>()) {
            let _ = parse(&target);
        }

        #[test]
        fn what_is_read_is_canonical(target in "/([a.;%/?#\\\\ é]|%[0-9a-fA-F]{2}|%2[0-9a-fA-F]|%c3%a9){0,12}") {
            let Ok(first) = parse(target.as_bytes()) else { return Ok(()) };
            prop_assert!(first.path.iter().all(u8::is_ascii_graphic));
            prop_assert_eq!(&parse(&first.path).unwrap().path, &first.path);
            for part in [&b"//"[..], b";", b"\\", b"?", b"#", b"/./", b"/../", b"%2E", b"%2F", b"%5C", b"%3B", b"%25"] {
                prop_assert!(memmem::find(&first.path, part).is_none());
            }
        }

        #[test]
        fn spelling_an_unreserved_character_as_an_escape_changes_nothing(path in "(/[a-zA-Z0-9_~:@!$&'()*+,=-]{1,6}){1,4}") {
            let spelled: String = path
                .bytes()
                .map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02x}") })
                .collect();
            prop_assert_eq!(&*parse(spelled.as_bytes()).unwrap().path, path.as_bytes());
        }
    }
}
