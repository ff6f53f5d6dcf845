//! Credentials among the members of a JSON object.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::domain::credential::Found;

/// Deeper nesting than this is no request that carries a key; it bounds our use of the stack.
const MAX_DEPTH: u8 = 64;

/// What the top-level member `name` holds. The whole body is read, and none of it kept.
pub(super) fn find<'a>(body: &'a [u8], name: &str) -> Found<'a> {
    let mut json = serde_json::Deserializer::from_slice(body);
    json.deserialize_any(Members { name })
        .and_then(|found| json.end().map(|()| found))
        .unwrap_or(Found::Absent)
}

/// The outermost value: an object, or nothing to find.
struct Members<'n> {
    name: &'n str,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found::Absent;
        while let Some(is_ours) = members.next_key_seed(NameIs(self.name))? {
            let value = members.next_value_seed(Value { depth: 1 })?;
            if is_ours {
                found = found.and(value);
            }
        }
        Ok(found)
    }
}

/// Whether a member's name is the one looked for, escapes decoded.
struct NameIs<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for NameIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<bool, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for NameIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Any value, as a credential: a text is one, a list or an object are many, others are unusable.
#[derive(Clone, Copy)]
struct Value {
    depth: u8,
}

impl Value {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Found<'de>, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Found<'de>, E> {
        Ok(Found::Text(Cow::Borrowed(text.as_bytes())))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Found<'de>, E> {
        Ok(Found::Text(Cow::Owned(text.as_bytes().to_vec())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Found<'de>, A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(Found::Many)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Found<'de>, A::Error> {
        let inner = self.deeper()?;
        while members.next_key::<IgnoredAny>()?.is_some() {
            members.next_value_seed(inner)?;
        }
        Ok(Found::Many)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Found<'de>, E> {
        Ok(Found::Unusable)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Found<'de>, E> {
        Ok(Found::Unusable)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Found<'de>, E> {
        Ok(Found::Unusable)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Found<'de>, E> {
        Ok(Found::Unusable)
    }

    fn visit_unit<E: Error>(self) -> Result<Found<'de>, E> {
        Ok(Found::Unusable)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Found<'_>) {
        assert_eq!(find(body.as_bytes(), "apikey"), expected, "{body}");
    }

    fn text(text: &str) -> Found<'_> {
        Found::Text(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_key_is_a_top_level_text() {
        //    body                                found
        check(r#"{"apikey":"S"}"#,                text("S"));
        check(r#" {"x":[1,{"y":null}],"apikey":"S","z":{}} "#, text("S"));
        check(r#"{"apikey":"a\u0041\n\"é"}"#,     text("aA\n\"é"));
        check(r#"{"api\u006bey":"S"}"#,           text("S"));
        check(r#"{"apikey":""}"#,                 text(""));
        check(r#"{"ApiKey":"S"}"#,                Found::Absent);
        check(r#"{"x":{"apikey":"S"}}"#,          Found::Absent);
        check(r#"["apikey","S"]"#,                Found::Absent);
        check(r#""apikey""#,                      Found::Absent);
        check("{}",                               Found::Absent);
        for value in ["1", "-1", "1.5", "1e400", "true", "false", "null"] {
            let expected = if value == "1e400" { Found::Absent } else { Found::Unusable };
            check(&format!(r#"{{"apikey":{value}}}"#), expected);
        }
    }

    #[test]
    #[rustfmt::skip]
    fn lists_objects_and_repeated_members_are_many() {
        check(r#"{"apikey":["S"]}"#,              Found::Many);
        check(r#"{"apikey":[]}"#,                 Found::Many);
        check(r#"{"apikey":{}}"#,                 Found::Many);
        check(r#"{"apikey":"S","apikey":"S"}"#,   Found::Many);
        check(r#"{"apikey":1,"x":2,"api\u006bey":"S"}"#, Found::Many);
    }

    #[test]
    #[rustfmt::skip]
    fn broken_json_holds_nothing() {
        for body in [
            "", "{", r#"{"apikey":"S""#, r#"{"apikey":"S"} x"#, r#"{"apikey":"S"}{}"#, r#"{"apikey":"S",}"#,
            r#"{apikey:"S"}"#, r#"{'apikey':'S'}"#, r#"{"apikey":"S","x":tru}"#, "{\"apikey\":\"S\n\"}",
            r#"{"apikey":"\ud800"}"#, "\u{feff}{\"apikey\":\"S\"}", r#"{"apikey":"S"/**/}"#, r#"{"apikey":"S","x":NaN}"#,
        ] {
            check(body, Found::Absent);
        }
        assert_eq!(find(b"{\"apikey\":\"S\",\"x\":\"\xff\"}", "apikey"), Found::Absent);
        assert_eq!(find(b"{\"apikey\":\"S\",\"\xff\":1}", "apikey"), Found::Absent);
    }

    #[test]
    fn depth_ends_at_the_limit() {
        let nested = |open: &str, close: &str, levels: usize| {
            format!(r#"{{"apikey":"S","x":{}1{}}}"#, open.repeat(levels), close.repeat(levels))
        };
        // The object around everything is the first level.
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            check(&nested(open, close, 63), text("S"));
            check(&nested(open, close, 64), Found::Absent);
            check(&nested(open, close, 100_000), Found::Absent);
        }
    }

    proptest! {
        #[test]
        fn every_text_is_read_back(key in any::<String>()) {
            let body = serde_json::json!({"x": 1, "apikey": key}).to_string();
            prop_assert_eq!(find(body.as_bytes(), "apikey"), text(&key));
        }

        #[test]
        fn a_body_cut_short_holds_nothing(key in any::<String>(), cut in any::<prop::sample::Index>()) {
            let body = serde_json::json!({"apikey": key, "x": [1, {"y": "z"}]}).to_string();
            prop_assert_eq!(find(&body.as_bytes()[..cut.index(body.len())], "apikey"), Found::Absent);
        }
    }
}
