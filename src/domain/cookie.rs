//! The Cookie header, read by bytes.
//!
//! Nothing is trimmed, unquoted or decoded: a lenient reader can be shown a cookie that a strict
//! one does not see. Envoy's map of headers joins the Cookie lines of HTTP/1 with commas, which
//! are also allowed inside of values; several lines are therefore read as if so joined, and where
//! a comma leaves it open whether our cookie is there, it counts as duplicate.

use std::borrow::Cow;

use super::credential::Found;
use super::request::Request;

/// What is left of the Cookie header when some cookies are taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// None of them was there: the header stays as it is.
    Unchanged,
    /// Nothing is left: the header is to be removed.
    Nothing,
    /// The header is to be overwritten with this: visible ASCII and blanks, never empty.
    Left(String),
}

/// What stands under the cookie `name`, compared by case.
///
/// [`Found::Many`] also where the value holds a comma, or where `name=` follows a comma in any
/// cookie: such bytes may be two header lines.
pub fn find<'a>(request: &Request<'a>, name: &str) -> Found<'a> {
    match header(request) {
        None => Found::Absent,
        Some(Cow::Borrowed(header)) => find_in(header, name.as_bytes()),
        Some(Cow::Owned(header)) => match find_in(&header, name.as_bytes()) {
            Found::Text(value) => Found::Text(Cow::Owned(value.into_owned())),
            Found::Absent => Found::Absent,
            Found::Unusable => Found::Unusable,
            Found::Many => Found::Many,
        },
    }
}

/// Whatever stands under the cookie `name`, however often, in order: for whoever takes a session away, which may
/// be any of them. What a lenient reader would take for it is among them.
pub fn every<'a>(request: &Request<'a>, name: &str) -> Vec<&'a [u8]> {
    let lines = request.headers.named(b"cookie");
    let parts = lines.flat_map(|line| line.split(|byte| matches!(byte, b';' | b',')));
    let ours = parts.filter(|part| name_of(part).is_some_and(|it| it.trim_ascii() == name.as_bytes()));
    ours.filter_map(|part| part.splitn(2, |&byte| byte == b'=').nth(1)).map(<[u8]>::trim_ascii).collect()
}

/// The Cookie header without the cookies `names`, for the upstream.
///
/// More is taken out than [`find`] would find, because the upstream may read cookies leniently:
/// also names with blanks around them, and what follows a comma. A cookie that could not be put
/// into a header of ours (bytes outside visible ASCII and blank) goes with them.
pub fn without(request: &Request<'_>, names: &[&str]) -> Rest {
    // As it nearly always is: nothing is copied for it, however many lines there are.
    let holds = |line: &[u8]| names.iter().any(|name| memchr::memmem::find(line, name.as_bytes()).is_some());
    if !request.headers.named(b"cookie").any(holds) {
        return Rest::Unchanged;
    }
    let Some(header) = header(request) else { return Rest::Unchanged };
    let pairs = || header.split(|&byte| byte == b';');
    if pairs().all(|pair| before_ours(pair, names).len() == pair.len()) {
        return Rest::Unchanged;
    }
    let mut left = String::with_capacity(header.len());
    for pair in pairs() {
        if let Some(kept) = sendable(before_ours(pair, names)) {
            if !left.is_empty() {
                left.push_str("; ");
            }
            left.push_str(kept);
        }
    }
    if left.is_empty() { Rest::Nothing } else { Rest::Left(left) }
}

/// The Cookie lines as one. Copies only where there are several.
fn header<'a>(request: &Request<'a>) -> Option<Cow<'a, [u8]>> {
    let mut lines = request.headers.named(b"cookie");
    let mut joined = Cow::Borrowed(lines.next()?);
    for line in lines {
        let all = joined.to_mut();
        all.push(b',');
        all.extend_from_slice(line);
    }
    Some(joined)
}

fn find_in<'a>(header: &'a [u8], name: &[u8]) -> Found<'a> {
    let mut found = Found::Absent;
    for pair in header.split(|&byte| byte == b';') {
        let mut parts = pair.split(|&byte| byte == b',');
        let first = parts.next().unwrap_or_default();
        if parts.any(|part| name_of(part.trim_ascii_start()) == Some(name)) {
            return Found::Many;
        }
        let first = first.strip_prefix(b" ").unwrap_or(first);
        if name_of(first) == Some(name) {
            let holds_comma = memchr::memchr(b',', pair).is_some();
            let value = Found::Text(Cow::Borrowed(&first[name.len() + 1..]));
            found = found.and(if holds_comma { Found::Many } else { value });
        }
    }
    found
}

/// A pair up to the first of its comma-parts that is one of ours: what follows that one may be the
/// rest of its value.
fn before_ours<'a>(pair: &'a [u8], names: &[&str]) -> &'a [u8] {
    let is_ours = |part: &[u8]| {
        name_of(part).is_some_and(|name| names.iter().any(|ours| ours.as_bytes() == name.trim_ascii()))
    };
    let mut start = 0_usize;
    for part in pair.split(|&byte| byte == b',') {
        if is_ours(part) {
            // Without the comma before it.
            return &pair[..start.saturating_sub(1)];
        }
        start += part.len() + 1;
    }
    pair
}

/// A pair as a header of ours can carry it.
fn sendable(pair: &[u8]) -> Option<&str> {
    let pair = pair.trim_ascii();
    let fits = !pair.is_empty() && pair.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if fits { str::from_utf8(pair).ok() } else { None }
}

/// What stands before the first `=`; a cookie without one has no name (RFC 6265 section 5.2).
fn name_of(pair: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'=', pair).map(|at| &pair[..at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::request::Header;

    fn request<'a>(lines: &[&'a str]) -> Request<'a> {
        let line = |line: &&'a str| Header { name: b"cookie", value: line.as_bytes() };
        Request { headers: lines.iter().map(line).collect(), ..Request::default() }
    }

    fn text(bytes: &[u8]) -> Found<'_> {
        Found::Text(Cow::Borrowed(bytes))
    }

    /// The same verdict for separate lines and for lines joined as Envoy's map has them.
    #[track_caller]
    fn check(lines: &[&str], expected: Found<'_>) {
        assert_eq!(find(&request(lines), "sid"), expected, "{lines:?}");
        let joined = lines.join(",");
        let joined = if lines.is_empty() { vec![] } else { vec![joined.as_str()] };
        assert_eq!(find(&request(&joined), "sid"), expected, "joined: {joined:?}");
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_cookie_is_found_by_its_bytes() {
        //     lines                          found
        check(&[],                            Found::Absent);
        check(&[""],                          Found::Absent);
        check(&["a=1"],                       Found::Absent);
        check(&["sid=V"],                     text(b"V"));
        check(&["a=1; sid=V; b=2"],           text(b"V"));
        check(&["a=1;sid=V"],                 text(b"V"));
        check(&[" sid=V"],                    text(b"V"));
        check(&["sid="],                      text(b""));
        check(&["sid=a=b=="],                 text(b"a=b=="));
        check(&["sid=\"V\""],                 text(b"\"V\""));
        check(&["sid= V "],                   text(b" V "));
        check(&["sid=%41+"],                  text(b"%41+"));
        check(&["sid"],                       Found::Absent);
        check(&["Sid=V"],                     Found::Absent);
        check(&["a=1;  sid=V"],               Found::Absent);
        check(&["a=1;\tsid=V"],               Found::Absent);
        check(&["sid =V"],                    Found::Absent);
        check(&["a=sid=V"],                   Found::Absent);
        check(&["\"sid\"=V"],                 Found::Absent);
        check(&["a=\"x; sid=V\""],            text(b"V\""));
    }

    #[test]
    #[rustfmt::skip]
    fn a_second_one_is_one_too_many() {
        check(&["sid=V; sid=V"],              Found::Many);
        check(&["sid=V; sid=W"],              Found::Many);
        check(&["sid=V; a=1; sid="],          Found::Many);
        check(&["sid=V; a=1", "b=2; sid=V"],  Found::Many);
    }

    #[test]
    #[rustfmt::skip]
    fn a_comma_smuggles_nothing() {
        check(&["a=1", "sid=V"],              Found::Many);
        check(&["a=1,sid=V"],                 Found::Many);
        check(&["a=1, sid=V"],                Found::Many);
        check(&["a=1,\tsid=V; b=2"],          Found::Many);
        check(&["a,sid=V"],                   Found::Many);
        check(&["sid=V", "a=1"],              Found::Many);
        check(&["sid=V", "sid=V"],            Found::Many);
        check(&["sid=V,W"],                   Found::Many);
        check(&["sid=V,"],                    Found::Many);
        check(&["sid=V; a=1,sid=W"],          Found::Many);
        // Lines and commas that do not touch ours harm nothing.
        check(&["a=1,2; sid=V; b=3,4"],       text(b"V"));
        check(&["a=1; sid=V; b=2", "c=3"],    text(b"V"));
        check(&["a=1", "b=2; sid=V"],         text(b"V"));
        check(&["a=1", "b=2,c=3"],            Found::Absent);
        check(&["a=1,sid"],                   Found::Absent);
    }

    #[test]
    #[rustfmt::skip]
    fn whoever_takes_sessions_away_sees_every_one() {
        let check = |lines: &[&str], expected: &[&str]| {
            let request = request(lines);
            let every: Vec<_> = every(&request, "sid").into_iter().map(String::from_utf8_lossy).collect();
            assert_eq!(every, expected, "{lines:?}");
        };
        //    lines                             every
        check(&[],                              &[]);
        check(&["a=1; sidx=V; sid"],            &[]);
        check(&["sid=V"],                       &["V"]);
        check(&["sid=V; a=1; sid=W; sid="],     &["V", "W", ""]);
        check(&["sid=V; a=1", "b=2; sid=W"],    &["V", "W"]);
        check(&["a=1,sid=V,sid=W,2"],           &["V", "W"]);
        check(&["a=1;\t sid = a=b= "],          &["a=b="]);
    }

    #[track_caller]
    fn check_rest(lines: &[&str], expected: Rest) {
        assert_eq!(without(&request(lines), &["sid", "key"]), expected, "{lines:?}");
    }

    #[test]
    #[rustfmt::skip]
    fn what_is_ours_is_taken_out_and_the_rest_stays() {
        let left = |text: &str| Rest::Left(text.to_owned());
        //          lines                             rest
        check_rest(&[],                               Rest::Unchanged);
        check_rest(&["a=1; b=2,3;c"],                 Rest::Unchanged);
        check_rest(&["Sid=V"],                        Rest::Unchanged);
        check_rest(&["a=caf\u{e9}"],                  Rest::Unchanged);
        check_rest(&["a=1", "b=2"],                   Rest::Unchanged);
        check_rest(&["sid=V"],                        Rest::Nothing);
        check_rest(&["sid=V; key=W;"],                Rest::Nothing);
        check_rest(&["sid=V; sid=W"],                 Rest::Nothing);
        check_rest(&["a=1; sid=V; b=2"],              left("a=1; b=2"));
        check_rest(&["sid=V;a=1;b"],                  left("a=1; b"));
        check_rest(&["a=1,2; sid=V; b=3,"],           left("a=1,2; b=3,"));
        // Spellings that a lenient upstream reads as ours.
        check_rest(&["a=1;  sid =V"],                 left("a=1"));
        check_rest(&["a=1,sid=V; b=2"],               left("a=1; b=2"));
        check_rest(&["a=1, sid=V, b=2"],              left("a=1"));
        check_rest(&["sid=V,W; b=2"],                 left("b=2"));
        check_rest(&["a=1", "sid=V; b=2"],            left("a=1; b=2"));
        // What no header of ours may carry.
        check_rest(&["a=caf\u{e9}; sid=V; b=2\t3"],   Rest::Nothing);
    }

    fn lines() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("((sid|key|a|sid )?=?[V,; =]{0,3}){0,4}", 0..4)
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(value in any::<Vec<u8>>()) {
            let headers = [Header { name: b"cookie", value: &value }].into_iter().collect();
            let request = Request { headers, ..Request::default() };
            let _ = (find(&request, "sid"), every(&request, "sid"), without(&request, &["sid"]));
        }

        #[test]
        fn separate_and_joined_lines_agree(lines in lines()) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let joined = lines.join(",");
            let joined = if lines.is_empty() { vec![] } else { vec![joined.as_str()] };
            let (separate, joined) = (request(&lines), request(&joined));
            prop_assert_eq!(find(&separate, "sid"), find(&joined, "sid"));
            prop_assert_eq!(without(&separate, &["sid"]), without(&joined, &["sid"]));
        }

        #[test]
        fn what_is_found_is_taken_out_for_good(lines in lines()) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let before = request(&lines);
            match without(&before, &["sid"]) {
                Rest::Unchanged => {
                    prop_assert_eq!(find(&before, "sid"), Found::Absent);
                    prop_assert!(every(&before, "sid").is_empty());
                }
                Rest::Nothing => {}
                Rest::Left(text) => {
                    prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.is_empty());
                    let after = request(&[text.as_str()]);
                    prop_assert_eq!(find(&after, "sid"), Found::Absent);
                    prop_assert_eq!(without(&after, &["sid"]), Rest::Unchanged);
                }
            }
        }
    }
}
