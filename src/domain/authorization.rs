//! The Authorization header, RFC 9110 section 11.6.2 and RFC 6750 section 2.1.

use memchr::memchr;

use super::request::Request;

/// Credentials that consist of a single token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// `Bearer`, in the case it was sent in: compare without.
    pub scheme: &'a [u8],
    /// Never empty; RFC 9110's `token68`.
    pub token: &'a [u8],
}

/// What a request presents as `Authorization: Bearer`; or as `Basic`, for whoever asks for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// No such header, or one of another scheme: nothing was presented to whom asks for a bearer.
    Absent,
    /// The scheme without a token, or with what is no token: proves nothing.
    Malformed,
    Token(&'a [u8]),
    /// One beside other credentials, in lines of their own or joined by a comma, as Envoy
    /// joins them. No token holds a comma.
    Duplicate,
}

/// `scheme 1*SP token68`, and nothing around it. `None` for everything else, such as credentials
/// with parameters (`Digest`), a tab, or a character beyond ASCII.
pub fn parse(value: &[u8]) -> Option<Credentials<'_>> {
    let (scheme, rest) = split_scheme(value);
    let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = &rest[blanks..];
    (!scheme.is_empty() && blanks > 0 && is_token68(token)).then_some(Credentials { scheme, token })
}

/// The bearer token in the value of one header line.
pub fn bearer(value: &[u8]) -> Bearer<'_> {
    of_scheme(value, BEARER)
}

/// The bearer token of a request, whether its header lines are separate or joined.
pub fn find_bearer<'a>(request: &Request<'a>) -> Bearer<'a> {
    find(request, BEARER)
}

/// The name and password of RFC 7617, still encoded, by the same rules.
pub fn find_basic<'a>(request: &Request<'a>) -> Bearer<'a> {
    find(request, BASIC)
}

const BEARER: &[u8] = b"bearer";
const BASIC: &[u8] = b"basic";

fn of_scheme<'a>(value: &'a [u8], scheme: &[u8]) -> Bearer<'a> {
    if memchr(b',', value).is_some() {
        let one_is_ours = value.split(|&byte| byte == b',').any(|one| names(one, scheme));
        return if one_is_ours { Bearer::Duplicate } else { Bearer::Absent };
    }
    if !names(value, scheme) {
        return Bearer::Absent;
    }
    parse(value).map_or(Bearer::Malformed, |credentials| Bearer::Token(credentials.token))
}

fn find<'a>(request: &Request<'a>, scheme: &[u8]) -> Bearer<'a> {
    let mut lines = request.headers.named(b"authorization").map(|line| of_scheme(line, scheme));
    let Some(first) = lines.next() else { return Bearer::Absent };
    let mut others = lines.peekable();
    if others.peek().is_none() {
        return first;
    }
    let one_is_ours = first != Bearer::Absent || others.any(|other| other != Bearer::Absent);
    if one_is_ours { Bearer::Duplicate } else { Bearer::Absent }
}

fn names(value: &[u8], scheme: &[u8]) -> bool {
    split_scheme(value.trim_ascii_start()).0.eq_ignore_ascii_case(scheme)
}

fn split_scheme(value: &[u8]) -> (&[u8], &[u8]) {
    value.split_at(value.iter().position(|&byte| !is_tchar(byte)).unwrap_or(value.len()))
}

/// A character of a token, RFC 9110 section 5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110 section 11.2.
fn is_token68(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = &token[..token.len() - padding];
    // Every byte is looked up, which is quicker than to stop at the first that is wrong: none is, and a JWT
    // has hundreds.
    !digits.is_empty() && digits.iter().fold(true, |all, byte| all & TOKEN68[usize::from(*byte)])
}

/// RFC 9110 section 11.2.
const TOKEN68: [bool; 256] = {
    let (mut may_stand, mut byte) = ([false; 256], 0);
    while byte < 256 {
        may_stand[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        byte += 1;
    }
    may_stand
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::request::Header;

    fn request<'a>(lines: &[&'a str]) -> Request<'a> {
        let line = |line: &&'a str| Header { name: b"authorization", value: line.as_bytes() };
        Request { headers: lines.iter().map(line).collect(), ..Request::default() }
    }

    #[test]
    fn every_byte_is_one_of_a_token_or_not() {
        // RFC 9110 section 11.2, as it is written there.
        let marks = b"-._~+/";
        for byte in 0..=u8::MAX {
            let may_stand = byte.is_ascii_alphabetic() || byte.is_ascii_digit() || marks.contains(&byte);
            assert_eq!(is_token68(&[b'a', byte, b'a']), may_stand, "{byte}");
        }
        assert!(is_token68(b"a==") && !is_token68(b"==") && !is_token68(b"a=a") && !is_token68(b""));
    }

    /// The same verdict for separate lines and for lines joined as Envoy joins them.
    #[track_caller]
    fn check(lines: &[&str], expected: Bearer<'_>) {
        assert_eq!(find_bearer(&request(lines)), expected, "{lines:?}");
        if !lines.is_empty() {
            assert_eq!(bearer(lines.join(",").as_bytes()), expected, "joined: {lines:?}");
        }
    }

    /// `security-rules.md` 3.2 A12.
    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a12_a_bearer_is_one_token_after_blanks() {
        //     lines                            bearer
        check(&[],                              Bearer::Absent);
        check(&[""],                            Bearer::Absent);
        check(&["Bearer abc"],                  Bearer::Token(b"abc"));
        check(&["bEARER abc"],                  Bearer::Token(b"abc"));
        check(&["Bearer   a.b-c_d~e+f/g=="],    Bearer::Token(b"a.b-c_d~e+f/g=="));
        check(&["Bearer"],                      Bearer::Malformed);
        check(&["Bearer "],                     Bearer::Malformed);
        check(&["Bearer\tabc"],                 Bearer::Malformed);
        check(&["Bearer\u{a0}abc"],             Bearer::Malformed);
        check(&["Bearer abc\u{a0}"],            Bearer::Malformed);
        check(&["Bearer abc "],                 Bearer::Malformed);
        check(&["Bearer a b"],                  Bearer::Malformed);
        check(&["Bearer a\tb"],                 Bearer::Malformed);
        check(&["Bearer a=b"],                  Bearer::Malformed);
        check(&["Bearer =="],                   Bearer::Malformed);
        check(&["Bearer \"abc\""],              Bearer::Malformed);
        check(&["Bearer=abc"],                  Bearer::Malformed);
        check(&[" Bearer abc"],                 Bearer::Malformed);
        check(&["Bearer:abc"],                  Bearer::Malformed);
        check(&["Bearerabc"],                   Bearer::Absent);
        check(&["Basic YTpi"],                  Bearer::Absent);
        check(&["x Bearer abc"],                Bearer::Absent);
        check(&["\u{a0}Bearer abc"],            Bearer::Absent);
        check(&["Digest a=\"1\", b=\"2\""],     Bearer::Absent);
    }

    /// `security-rules.md` 3.2 A9, `peers.md` R13.
    #[test]
    #[rustfmt::skip]
    fn a9_r13_a_bearer_beside_others_is_a_duplicate() {
        check(&["Bearer 1", "Bearer 2"],        Bearer::Duplicate);
        check(&["Bearer 1", "Bearer 1"],        Bearer::Duplicate);
        check(&["Basic YTpi", "Bearer 1"],      Bearer::Duplicate);
        check(&["Bearer 1", "Basic YTpi"],      Bearer::Duplicate);
        check(&["Bearer", ""],                  Bearer::Duplicate);
        check(&["Bearer 1,"],                   Bearer::Duplicate);
        check(&["Basic YTpi,\tbearer 1"],       Bearer::Duplicate);
        check(&["Basic YTpi", "Digest a=1"],    Bearer::Absent);
    }

    #[test]
    fn a_name_with_a_password_is_read_by_the_same_rules() {
        let check = |lines: &[&str], expected| assert_eq!(find_basic(&request(lines)), expected, "{lines:?}");
        check(&["Basic YTpi"], Bearer::Token(b"YTpi"));
        check(&["bASIC YTpi"], Bearer::Token(b"YTpi"));
        check(&["Basic"], Bearer::Malformed);
        check(&["Bearer YTpi"], Bearer::Absent);
        check(&["Basic YTpi", "Basic YTpi"], Bearer::Duplicate);
        check(&["Basic YTpi,Bearer x"], Bearer::Duplicate);
    }

    #[test]
    fn other_schemes_are_read_too() {
        assert_eq!(parse(b"Basic YTpi"), Some(Credentials { scheme: b"Basic", token: b"YTpi" }));
        assert_eq!(parse(b"Digest a=1, b=2"), None);
        assert_eq!(parse(b" YTpi"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(value in any::<Vec<u8>>()) {
            let _ = (parse(&value), bearer(&value));
        }

        #[test]
        fn separate_and_joined_lines_agree(
            lines in proptest::collection::vec("(Bearer|basic|x)?[ \t,=]{0,2}[ab=]{0,3}", 0..4)
        ) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let joined = lines.join(",");
            prop_assert_eq!(find_bearer(&request(&lines)), bearer(joined.as_bytes()));
        }

        #[test]
        fn every_token_is_read_back(token in "[A-Za-z0-9._~+/-]{1,40}={0,2}", blanks in " {1,3}") {
            let value = format!("Bearer{blanks}{token}");
            prop_assert_eq!(bearer(value.as_bytes()), Bearer::Token(token.as_bytes()));
        }
    }
}
