//! Query parameters, as credentials are read from them.
//!
//! Parameters are parted by `&` alone and compared by case, which is how Envoy finds the one that
//! it is told to remove. Envoy does not decode names, so one that is spelled with escapes
//! [disguises] another: it could be read by the upstream, but not be removed.

use std::borrow::Cow;

use super::credential::Found;
use super::path::escaped;
use super::request::Glance;

/// What stands under `name` in a query (without its `?`).
///
/// The value is form-decoded: `%41` is `A`, `+` a blank. A `%` without two digits after it stays as
/// it is; the text is then a wrong key, and no error a client could make use of.
pub fn find<'a>(query: &'a [u8], name: &str) -> Found<'a> {
    let mut found = Found::Absent;
    for (raw_name, value) in parameters(query) {
        if raw_name == name.as_bytes() {
            found = found.and(value.map_or(Found::Unusable, |value| Found::Text(decode(value))));
        }
    }
    found
}

/// Whether an upstream that decodes would find `name` where Envoy does not: spelled with escapes.
pub fn disguises(query: &[u8], name: &str) -> bool {
    parameters(query).any(|(raw_name, _)| is_encoded(raw_name) && decoded(raw_name).eq(name.bytes()))
}

/// Which names a query may hold, so that most of those that are looked for need no second walk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names(Glance);

impl Names {
    pub fn of(query: &[u8]) -> Self {
        let mut names = Self::default();
        parameters(query).for_each(|(name, _)| names.0.note(name));
        names
    }

    /// False only where neither [`find`] nor [`has`] would find anything.
    pub fn may_have(self, name: &str) -> bool {
        self.0.may_have(name.as_bytes())
    }
}

/// Whether Envoy would find something to remove under `name`: a parameter with exactly these bytes
/// for its name, with a value or without.
pub fn has(query: &[u8], name: &str) -> bool {
    parameters(query).any(|(raw_name, _)| raw_name == name.as_bytes())
}

/// The pairs of a query or a form, undecoded; `None` where there is no `=`.
pub(super) fn parameters(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    text.split(|&byte| byte == b'&').map(|pair| match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], Some(&pair[at + 1..])),
        None => (pair, None),
    })
}

/// The text of a name or value of a query or a form.
pub(super) fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if is_encoded(text) { Cow::Owned(decoded(text).collect()) } else { Cow::Borrowed(text) }
}

/// Whether decoding changes anything: [`disguises`] is false of a query where it does not.
pub(super) fn is_encoded(text: &[u8]) -> bool {
    memchr::memchr2(b'%', b'+', text).is_some()
}

/// The bytes of a form-encoded text, one by one.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        rest = after;
        Some(match first {
            b'+' => b' ',
            b'%' => match escaped(after) {
                Some(byte) => {
                    rest = &after[2..];
                    byte
                }
                None => b'%',
            },
            plain => plain,
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8]) -> Found<'_> {
        Found::Text(Cow::Borrowed(bytes))
    }

    #[track_caller]
    fn check(query: &str, expected: Found<'_>) {
        assert_eq!(find(query.as_bytes(), "apikey"), expected, "{query}");
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_key_is_found_under_its_exact_name_alone() {
        //    query                       found
        check("",                         Found::Absent);
        check("x=1",                      Found::Absent);
        check("apikey=S",                 text(b"S"));
        check("x=1&apikey=S&y",           text(b"S"));
        check("&&apikey=S&",              text(b"S"));
        check("apikey=",                  text(b""));
        check("apikey=a=b",               text(b"a=b"));
        check("apikey=a?b;c",             text(b"a?b;c"));
        check("ApiKey=S",                 Found::Absent);
        check("apikey[]=S",               Found::Absent);
        check("?apikey=S",                Found::Absent);
        check("x=1;apikey=S",             Found::Absent);
        check(" apikey=S",                Found::Absent);
    }

    #[test]
    #[rustfmt::skip]
    fn a_value_is_decoded_and_bad_escapes_stay() {
        check("apikey=%41%62+c%2b",       text(b"Ab c+"));
        check("apikey=%00%ff",            text(b"\0\xff"));
        check("apikey=%zz%4%",            text(b"%zz%4%"));
        check("apikey=%%41",              text(b"%A"));
        check("apikey=%2541",             text(b"%41"));
    }

    #[test]
    #[rustfmt::skip]
    fn a_bare_name_is_no_key_and_a_second_one_is_one_too_many() {
        check("apikey",                   Found::Unusable);
        check("x&apikey&y",               Found::Unusable);
        check("apikey=S&apikey=S",        Found::Many);
        check("apikey=S&apikey=T",        Found::Many);
        check("apikey&apikey=S",          Found::Many);
        check("apikey=S&x=1&apikey",      Found::Many);
    }

    #[test]
    #[rustfmt::skip]
    fn a_name_that_reads_otherwise_when_decoded_is_a_disguise() {
        let check = |query: &str, expected: bool| {
            assert_eq!(disguises(query.as_bytes(), "apikey"), expected, "{query}");
            assert!(!expected || is_encoded(query.as_bytes()), "{query}");
        };
        check("api%6bey=S",               true);
        check("api%6Bey",                 true);
        check("%61%70%69%6b%65%79=S",     true);
        check("apikey=S&api%6bey=S",      true);
        check("x=%41&apikey=S&apikey=S&api%6bey", true);
        check("apikey=S",                 false);
        check("apikey=%41",               false);
        check("x=api%6bey",               false);
        check("api%256bey=S",             false);
        check("api%6Key=S",               false);
        check("api+key=S",                false);
        assert!(disguises(b"api+key", "api key"));
    }

    #[test]
    fn only_what_envoy_can_remove_is_there_to_be_removed() {
        let has = |query: &str| has(query.as_bytes(), "apikey");
        assert!(has("apikey=S") && has("x&apikey") && has("x=1&apikey=&y"));
        assert!(
            !has("") && !has("ApiKey=S") && !has("api%6bey=S") && !has("x=1;apikey=S") && !has("x=apikey")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(query in any::<Vec<u8>>(), name in "[a-z]{1,3}") {
            let _ = (find(&query, &name), has(&query, &name), disguises(&query, &name));
        }

        #[test]
        fn every_key_can_be_sent_encoded(key in any::<Vec<u8>>(), before in "(x=[a-z%+]{0,4}&){0,3}") {
            let spelled: String = key.iter().map(|byte| format!("%{byte:02X}")).collect();
            let query = format!("{before}apikey={spelled}");
            prop_assert_eq!(find(query.as_bytes(), "apikey"), text(&key));
        }

        #[test]
        fn what_decodes_to_a_name_is_found_and_can_be_removed_or_is_a_disguise(query in "((k|%6b|%6B|K|x)(=[a%4+]{0,2})?[&;]){0,5}") {
            let query = query.as_bytes();
            prop_assert_eq!(has(query, "k"), find(query, "k") != Found::Absent);
            let readable = parameters(query).any(|(name, _)| *decode(name) == *b"k");
            prop_assert_eq!(readable, has(query, "k") || disguises(query, "k"));
            prop_assert!(Names::of(query).may_have("k") || !has(query, "k"));
        }
    }
}
