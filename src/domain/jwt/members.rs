//! The JSON objects of a token, read so that nobody else can read them otherwise.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The members of the one object that `json` is.
///
/// `None` where it is anything else, holds a member twice, more than [`MOST`] of them, nests deeper
/// than [`DEEPEST`], or goes on after the object. Names are compared unescaped.
pub(super) fn read(json: &[u8]) -> Option<Map<String, Value>> {
    // Before anything recurses.
    if depth(json) > DEEPEST {
        return None;
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let members = serde::Deserializer::deserialize_map(&mut reader, Members).ok()?;
    reader.end().ok()?;
    Some(members)
}

/// Members of an object of a token.
const MOST: usize = 64;
/// Objects and arrays within each other, the outermost included.
const DEEPEST: usize = 32;

/// How deep brackets nest, at most. What is no JSON has some depth too, and is refused later.
fn depth(json: &[u8]) -> usize {
    let (mut deepest, mut depth) = (0, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if members.len() == MOST {
                return Err(A::Error::custom("too many members"));
            }
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, taken: bool) {
        assert_eq!(read(json.as_bytes()).is_some(), taken, "{json}");
    }

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn one_object_and_nothing_else_is_taken() {
        check(r#"{}"#,                                  true);
        check(r#" {"a": [1, {"b": "}"}]} "#,            true);
        check(r#""#,                                    false);
        check(r#"null"#,                                false);
        check(r#"[{}]"#,                                false);
        check(r#"{} {}"#,                               false);
        check(r#"{},"#,                                 false);
        check(r#"{"a": 1,}"#,                           false);
        check("{\"a\": \"\u{0}\"}",                     false);
        check("\u{feff}{}",                             false);
        check(r#"{"exp": 1e999}"#,                      false);
        check(r#"{"a": NaN}"#,                          false);
    }

    #[test]
    fn a_member_twice_is_refused_however_it_is_spelled() {
        check(r#"{"exp": 1, "exp": 1}"#, false);
        check(r#"{"exp": 1, "\u0065xp": 2}"#, false);
        check(r#"{"exp": 1, "Exp": 2}"#, true);
    }

    #[test]
    fn what_is_too_deep_or_too_wide_is_refused() {
        let nested = |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        check(&nested(32), true);
        check(&nested(33), false);
        check(&format!("{{\"a\": {}", "[".repeat(100_000)), false);
        let wide = |members: usize| {
            let members: Vec<_> = (0..members).map(|number| format!("\"{number}\": 0")).collect();
            format!("{{{}}}", members.join(","))
        };
        check(&wide(64), true);
        check(&wide(65), false);
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        assert!(read(b"{\"a\": \"\xff\"}").is_none());
        assert!(read(b"{\"a\": \"\xed\xa0\x80\"}").is_none());
    }
}
