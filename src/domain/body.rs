//! Credentials in a request's body: a form, JSON or multipart.
//!
//! A body in which anything is odd holds no credential: never an error, because the body is the
//! upstream's to judge. Everything here takes time linear in the body's length, once for each name
//! that is looked for: hence [`LONGEST`].

mod json;
mod multipart;

use super::credential::Found;
use super::query::{decode, parameters};

/// A longer body, in bytes, holds no credential. Reading is done by the thread that decides, and a
/// message may be 9 MiB: the worst body of this length takes some 6 ms there (measured). Kong looks
/// at no body that it did not keep in memory, which by default is 8 KiB.
pub const LONGEST: usize = 256 * 1024;

/// What stands under `name`, compared by case, in a whole body of the given content type.
///
/// Media types compare as RFC 9110 section 8.3.1 has it, so `application/json-patch+json` is no
/// JSON to us (Kong 2.4 takes any type that begins so).
pub fn find<'a>(content_type: &[u8], body: &'a [u8], name: &str) -> Found<'a> {
    if body.len() > LONGEST {
        return Found::Absent;
    }
    let (media_type, parameters) = match memchr::memchr(b';', content_type) {
        Some(at) => content_type.split_at(at),
        None => (content_type, &b""[..]),
    };
    let media_type = media_type.trim_ascii();
    if media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        in_form(body, name)
    } else if media_type.eq_ignore_ascii_case(b"application/json") {
        json::find(body, name)
    } else if media_type.eq_ignore_ascii_case(b"multipart/form-data") {
        multipart::find(parameters, body, name)
    } else {
        Found::Absent
    }
}

/// Encoded names count like plain ones: no body can be rewritten through ext_authz, so there is
/// nothing that an encoded name could hide from.
fn in_form<'a>(form: &'a [u8], name: &str) -> Found<'a> {
    parameters(form)
        // Decoding makes nothing longer.
        .filter(|(raw_name, _)| raw_name.len() >= name.len() && *decode(raw_name) == *name.as_bytes())
        .map(|(_, value)| value.map_or(Found::Unusable, |value| Found::Text(decode(value))))
        .fold(Found::Absent, Found::and)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(content_type: &str, body: &str, expected: Found<'_>) {
        assert_eq!(
            find(content_type.as_bytes(), body.as_bytes(), "apikey"),
            expected,
            "{content_type}: {body}"
        );
    }

    fn text(text: &str) -> Found<'_> {
        Found::Text(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn the_content_type_says_how_a_body_is_read() {
        const FORM: &str = "apikey=S";
        const JSON: &str = r#"{"apikey":"S"}"#;
        const PARTS: &str = "--b\r\ncontent-disposition: form-data; name=apikey\r\n\r\nS\r\n--b--";
        //    content type                                        body   found
        check("application/x-www-form-urlencoded",                FORM,  text("S"));
        check("Application/X-WWW-Form-URLencoded ; charset=utf-8", FORM, text("S"));
        check("application/x-www-form-urlencoded",                JSON,  Found::Absent);
        check("application/json",                                 JSON,  text("S"));
        check("APPLICATION/JSON;charset=utf-8",                   JSON,  text("S"));
        check("application/json-patch+json",                      JSON,  Found::Absent);
        check("application/json,application/json",                JSON,  Found::Absent);
        check("application/json",                                 FORM,  Found::Absent);
        check("multipart/form-data; boundary=b",                  PARTS, text("S"));
        check("multipart/mixed; boundary=b",                      PARTS, Found::Absent);
        check("text/plain",                                       FORM,  Found::Absent);
        check("",                                                 FORM,  Found::Absent);
    }

    #[test]
    #[rustfmt::skip]
    fn a_form_is_read_like_a_query_but_for_encoded_names() {
        let check = |form, expected| check("application/x-www-form-urlencoded", form, expected);
        check("",                     Found::Absent);
        check("x=1&apikey=%41+b",     text("A b"));
        check("api%6bey=S",           text("S"));
        check("api%6bey=S&apikey=S",  Found::Many);
        check("apikey=S&apikey",      Found::Many);
        check("apikey",               Found::Unusable);
        check("apikey=",              text(""));
        check("apikey[]=S&ApiKey=S",  Found::Absent);
        check("apikey=S\r\n",         text("S\r\n"));
    }

    #[test]
    fn a_body_beyond_the_limit_holds_nothing() {
        let check = |content_type: &str, start: &str, end: &str| {
            for (length, expected) in [(LONGEST, text("S")), (LONGEST + 1, Found::Absent)] {
                let filler = "x".repeat(length - start.len() - end.len());
                check(content_type, &format!("{start}{filler}{end}"), expected);
            }
        };
        check("application/x-www-form-urlencoded", "apikey=S&", "");
        check("application/json", r#"{"apikey":"S","x":""#, r#""}"#);
        let part = "--b\r\ncontent-disposition: form-data; name=";
        let start = format!("{part}apikey\r\n\r\nS\r\n{part}x\r\n\r\n");
        check("multipart/form-data; boundary=b", &start, "\r\n--b--");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(content_type in any::<Vec<u8>>(), body in any::<Vec<u8>>()) {
            let _ = find(&content_type, &body, "apikey");
            for content_type in ["application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=b"] {
                let _ = find(content_type.as_bytes(), &body, "apikey");
            }
        }
    }
}
