//! Cookies, bodies and `Authorization`: where a key may stand besides headers and the query.

#![no_main]

use doorward::domain::authorization::{self, Bearer};
use doorward::domain::cookie::Rest;
use doorward::domain::credential::Found;
use doorward::domain::request::{Header, Request};
use doorward::domain::{body, cookie};
use libfuzzer_sys::fuzz_target;

// The first byte says what the others are; line breaks part header lines, as on the wire.
fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    match choice % 6 {
        0 => cookies_hold(rest),
        1 => authorization_holds(rest),
        2 => body_holds(b"application/x-www-form-urlencoded", rest),
        3 => body_holds(b"application/json; charset=utf-8", rest),
        4 => body_holds(b"multipart/form-data; boundary=b", rest),
        _ => {
            // The content type is the client's too.
            let at = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            let (parameters, rest) = rest.split_at(at);
            body_holds(&[b"multipart/form-data", parameters].concat(), rest.get(1..).unwrap_or_default());
        }
    }
});

fn request<'a>(name: &'static [u8], lines: &[&'a [u8]]) -> Request<'a> {
    let line = |value: &&'a [u8]| Header { name, value };
    Request { headers: lines.iter().map(line).collect(), ..Request::default() }
}

fn cookies_hold(text: &[u8]) {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let joined = lines.join(&b","[..]);
    let (separate, joined) = (request(b"cookie", &lines), request(b"cookie", &[&joined]));
    for name in ["sid", "a"] {
        assert_eq!(cookie::find(&separate, name), cookie::find(&joined, name));
        let rest = cookie::without(&separate, &[name]);
        assert_eq!(rest, cookie::without(&joined, &[name]));
        match rest {
            Rest::Unchanged => assert_eq!(cookie::find(&separate, name), Found::Absent),
            Rest::Nothing => {}
            Rest::Left(text) => {
                assert!(!text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
                let after = request(b"cookie", &[text.as_bytes()]);
                assert_eq!(cookie::find(&after, name), Found::Absent);
                assert_eq!(cookie::without(&after, &[name]), Rest::Unchanged);
            }
        }
    }
}

fn authorization_holds(text: &[u8]) {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let found = authorization::find_bearer(&request(b"authorization", &lines));
    assert_eq!(found, authorization::bearer(&lines.join(&b","[..])));
    if let Bearer::Token(token) = found {
        assert!(!token.is_empty() && token.iter().all(|byte| byte.is_ascii_graphic() && *byte != b','));
        assert!(text.len() > token.len() && text[..6].eq_ignore_ascii_case(b"bearer"));
    }
}

fn body_holds(content_type: &[u8], text: &[u8]) {
    let found = body::find(content_type, text, "apikey");
    if let Found::Text(value) = found {
        assert!(value.len() <= text.len());
    }
}
