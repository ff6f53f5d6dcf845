//! Credentials among the parts of a `multipart/form-data` body (RFC 7578, RFC 2046 section 5.1).
//!
//! Read as clients write it and no wider: no preamble, no epilogue, no blanks after a boundary, no
//! folded header lines. Where two readers could part the body differently, it holds nothing.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use crate::domain::credential::Found;

/// RFC 2046 section 5.1.1.
const MAX_BOUNDARY: usize = 70;

/// What the part `name` holds. `parameters` are those of the content type, from their first `;` on.
///
/// A file is no key: alone it is unusable, and beside another part of that name it is one too many.
pub(super) fn find<'a>(parameters: &[u8], body: &'a [u8], name: &str) -> Found<'a> {
    boundary(parameters).and_then(|boundary| in_parts(boundary, body, name)).unwrap_or(Found::Absent)
}

/// `None` for a body that is not whole and well-formed.
fn in_parts<'a>(boundary: &[u8], body: &'a [u8], name: &str) -> Option<Found<'a>> {
    let delimiter = [b"\r\n--", boundary].concat();
    let delimiters = memmem::Finder::new(&delimiter);
    // The first delimiter alone has no line break before it.
    let mut rest = body.strip_prefix(&delimiter[2..])?;
    let mut found = Found::Absent;
    loop {
        if let Some(end) = rest.strip_prefix(b"--") {
            return matches!(end, b"" | b"\r\n").then_some(found);
        }
        let part = rest.strip_prefix(b"\r\n")?;
        let end = delimiters.find(part)?;
        rest = &part[end + delimiter.len()..];
        let part = Part::parse(&part[..end])?;
        if part.name == name.as_bytes() {
            let value = Found::Text(Cow::Borrowed(part.content));
            found = found.and(if part.is_file { Found::Unusable } else { value });
        }
    }
}

struct Part<'a> {
    name: &'a [u8],
    is_file: bool,
    content: &'a [u8],
}

impl<'a> Part<'a> {
    fn parse(part: &'a [u8]) -> Option<Self> {
        let mut rest = part;
        let mut disposition = None;
        loop {
            let end = memmem::find(rest, b"\r\n")?;
            let line = &rest[..end];
            rest = &rest[end + 2..];
            if line.is_empty() {
                break;
            }
            let (name, value) = header(line)?;
            if name.eq_ignore_ascii_case(b"content-disposition") && disposition.replace(value).is_some() {
                return None;
            }
        }
        let disposition = disposition?;
        let (kind, parameters) = disposition.split_at(memchr(b';', disposition)?);
        if !kind.trim_ascii().eq_ignore_ascii_case(b"form-data") {
            return None;
        }
        let (mut name, mut is_file) = (None, false);
        for parameter in Parameters(parameters) {
            let (attribute, value) = parameter?;
            if attribute.eq_ignore_ascii_case(b"name") {
                if name.replace(value).is_some() {
                    return None;
                }
            } else if attribute.eq_ignore_ascii_case(b"filename")
                || attribute.eq_ignore_ascii_case(b"filename*")
            {
                is_file = true;
            } else if attribute.eq_ignore_ascii_case(b"name*") {
                // RFC 7578 section 4.2 forbids it; who reads it sees another name than we do.
                return None;
            }
        }
        Some(Self { name: name?, is_file, content: rest })
    }
}

/// One header line of a part. A folded line has no name and ends the reading.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at(memchr(b':', line)?);
    let is_plain = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic) && value.iter().all(is_plain))
        .then_some((name, &value[1..]))
}

/// The boundary of a content type: given once, and of the characters that RFC 2046 allows.
fn boundary(parameters: &[u8]) -> Option<&[u8]> {
    let mut boundary = None;
    for parameter in Parameters(parameters) {
        let (attribute, value) = parameter?;
        if attribute.eq_ignore_ascii_case(b"boundary") && boundary.replace(value).is_some() {
            return None;
        }
    }
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    boundary.filter(|boundary| {
        boundary.len() <= MAX_BOUNDARY
            && boundary.iter().all(is_allowed)
            && boundary.last().is_some_and(|last| *last != b' ')
    })
}

/// `; attribute=value` and `; attribute="value"` (RFC 9110 section 5.6.6), one after the other;
/// `None` for what is neither, after which nothing more comes.
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.trim_ascii().is_empty() {
            return None;
        }
        let parameter = self.parameter();
        if parameter.is_none() {
            self.0 = b"";
        }
        Some(parameter)
    }
}

impl<'a> Parameters<'a> {
    fn parameter(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let text = self.0.trim_ascii_start().strip_prefix(b";")?.trim_ascii_start();
        let (attribute, value) = text.split_at(memchr(b'=', text)?);
        let (value, rest) = match &value[1..] {
            [b'"', quoted @ ..] => {
                let (value, rest) = quoted.split_at(memchr(b'"', quoted)?);
                // To some readers `\"` ends the text, to others it does not.
                (!value.contains(&b'\\')).then_some((value, &rest[1..]))?
            }
            bare => {
                let (value, rest) = bare.split_at(memchr(b';', bare).unwrap_or(bare.len()));
                let value = value.trim_ascii_end();
                let is_whole = value.iter().all(|byte| is_bare(*byte) || *byte == b'=');
                (is_whole && !value.is_empty()).then_some((value, rest))?
            }
        };
        self.0 = rest;
        let is_token = !attribute.is_empty() && attribute.iter().all(|byte| is_bare(*byte));
        is_token.then_some((attribute, value))
    }
}

/// What stands outside of quotes. Wider than RFC 9110's token, as boundaries are sent.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\";=\\".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &[u8] = b"; boundary=b";

    fn text(text: &str) -> Found<'_> {
        Found::Text(Cow::Borrowed(text.as_bytes()))
    }

    #[track_caller]
    fn check(body: &str, expected: Found<'_>) {
        assert_eq!(find(TYPE, body.as_bytes(), "apikey"), expected, "{body:?}");
    }

    /// A body of parts, each a `Content-Disposition` and a content.
    fn body(parts: &[(&str, &str)]) -> String {
        let part = |(disposition, content): &(&str, &str)| {
            format!(
                "--b\r\nContent-Disposition: {disposition}\r\nContent-Type: text/plain\r\n\r\n{content}\r\n"
            )
        };
        parts.iter().map(part).chain(["--b--\r\n".to_owned()]).collect()
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_key_is_a_part_of_that_name() {
        let check = |disposition: &str, expected| check(&body(&[("form-data; name=\"x\"", "1"), (disposition, "S")]), expected);
        //    disposition                                       found
        check("form-data; name=\"apikey\"",                     text("S"));
        check("Form-Data;NAME=apikey",                          text("S"));
        check("form-data; x=\"a;b\"; name=\"apikey\" ",         text("S"));
        check("form-data; name=\"ApiKey\"",                     Found::Absent);
        check("form-data; name=\"apikey[]\"",                   Found::Absent);
        check("form-data; name=\"apikey\"; filename=\"f\"",     Found::Unusable);
        check("form-data; filename*=utf-8''f; name=\"apikey\"", Found::Unusable);
        check("form-data; name=\"y\"; filename=\"é.png\"",      Found::Absent);
        // What no two readers need agree about.
        check("attachment; name=\"apikey\"",                    Found::Absent);
        check("form-data",                                      Found::Absent);
        check("form-data; filename=\"f\"",                      Found::Absent);
        check("form-data; name=\"apikey\"; name=\"apikey\"",    Found::Absent);
        check("form-data; name=\"apikey\"; name*=utf-8''y",     Found::Absent);
        check("form-data; x=\"\\\"; name=\"apikey\"",           Found::Absent);
        check("form-data; name=\"apikey",                       Found::Absent);
        check("form-data; name=apikey;",                        Found::Absent);
        check("form-data; name=apikey; x",                      Found::Absent);
        check("form-data; name=\"apikey\"x",                    Found::Absent);
        check("form-data; name=api key",                        Found::Absent);
        check("form-data, name=apikey",                         Found::Absent);
    }

    #[test]
    fn a_second_part_is_one_too_many() {
        let ours = ("form-data; name=\"apikey\"", "S");
        check(&body(&[ours, ("form-data; name=\"x\"", "1"), ours]), Found::Many);
        check(&body(&[ours, ("form-data; name=\"apikey\"; filename=\"f\"", "S")]), Found::Many);
    }

    #[test]
    fn the_content_is_taken_as_it_is() {
        for content in ["", "S", "\r\n", " S\r\n\r\nT ", "\r\n--", "--", "\n--b", "%41+", "\r\n--c--\r\n"] {
            check(&body(&[("form-data; name=\"apikey\"", content)]), text(content));
        }
    }

    #[test]
    fn a_malformed_body_holds_nothing() {
        const PART: &str = "Content-Disposition: form-data; name=apikey\r\n\r\nS";
        check(&format!("--b\r\n{PART}\r\n--b--"), text("S"));
        for body in [
            String::new(),
            "--b--".to_owned(),
            format!("\r\n--b\r\n{PART}\r\n--b--"),
            format!("preamble\r\n--b\r\n{PART}\r\n--b--"),
            format!("--b\r\n{PART}\r\n--b--\r\nepilogue"),
            format!("--b\r\n{PART}\r\n--b--\r\n--b--"),
            format!("--b\r\n{PART}\r\n--b"),
            format!("--b\r\n{PART}\r\n--b\r\n"),
            format!("--b\r\n{PART}\r\n"),
            format!("--b\r\n{PART}\r\n--bb--"),
            format!("--b\r\n{PART}\r\n--bc\r\n--b--"),
            format!("--b \r\n{PART}\r\n--b--"),
            format!("--b\n{PART}\n--b--"),
            format!("--c\r\n{PART}\r\n--c--"),
            format!("--b\r\n{PART}\r\n--b\r\n\r\nT\r\n--b--"),
            format!("--b\r\n folded: 1\r\n{PART}\r\n--b--"),
            format!("--b\r\nx: 1\r\n folded\r\n{PART}\r\n--b--"),
            format!("--b\r\nx: 1\rContent-Type: y\r\n{PART}\r\n--b--"),
            format!("--b\r\nContent-Disposition: form-data; name=x\r\n{PART}\r\n--b--"),
            "--b\r\nContent-Disposition: form-data; name=apikey\r\n--b--".to_owned(),
            "--b\r\nContent-Disposition: form-data; name=apikey\r\n\r\n--b--".to_owned(),
        ] {
            check(&body, Found::Absent);
        }
    }

    #[test]
    #[rustfmt::skip]
    fn a_boundary_is_given_once_and_well_formed() {
        let check = |parameters: &str, boundary: &str, expected| {
            let body = format!("--{boundary}\r\nContent-Disposition: form-data; name=apikey\r\n\r\nS\r\n--{boundary}--\r\n");
            assert_eq!(find(parameters.as_bytes(), body.as_bytes(), "apikey"), expected, "{parameters}");
        };
        let long = "b".repeat(70);
        //    parameters                      boundary          found
        check("; boundary=b",                 "b",              text("S"));
        check(" ;charset=utf-8;BOUNDARY=\"b\"", "b",            text("S"));
        check("; boundary=\"a b;c\"",         "a b;c",          Found::Absent);
        check("; boundary=\"a b:c\"",         "a b:c",          text("S"));
        check("; boundary=----=_Part_1",      "----=_Part_1",   text("S"));
        check(&format!("; boundary={long}"),  &long,            text("S"));
        check(&format!("; boundary={long}b"), &format!("{long}b"), Found::Absent);
        check("; boundary=\"b \"",            "b ",             Found::Absent);
        check("; boundary=",                  "",               Found::Absent);
        check("; boundary=\"\"",              "",               Found::Absent);
        check("; boundary=b; boundary=b",     "b",              Found::Absent);
        check("; boundary=b,multipart/form-data; boundary=b", "b", Found::Absent);
        check("",                             "b",              Found::Absent);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(parameters in any::<Vec<u8>>(), rest in any::<Vec<u8>>()) {
            let _ = find(&parameters, &rest, "apikey");
            let _ = find(TYPE, &[b"--b\r\n", &rest[..]].concat(), "apikey");
        }

        #[test]
        fn no_arrangement_of_pieces_is_too_odd(body in "(--b|\r\n|\r\n\r\n|--|Content-Disposition: form-data|; name=|apikey|\"|;|S){0,20}") {
            let _ = find(TYPE, body.as_bytes(), "apikey");
        }

        #[test]
        fn a_body_cut_short_holds_nothing(cut in any::<prop::sample::Index>()) {
            let whole = body(&[("form-data; name=apikey", "S"), ("form-data; name=x", "1")]);
            // The line break after the last delimiter may be missing.
            let cut = cut.index(whole.len() - 2);
            prop_assert_eq!(find(TYPE, &whole.as_bytes()[..cut], "apikey"), Found::Absent);
        }
    }
}
