//! Fields of a configuration by their names. Envoy takes each name in two spellings, `failure_mode_allow`
//! and `failureModeAllow`; the first is asked for here, and both are found.

use std::time::Duration;

use serde_json::Value;

/// What stands under names that are separated by dots; null where there is nothing.
pub(super) fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.')
        .fold(value, |value, name| value.get(name).or_else(|| value.get(camel(name))).unwrap_or(&Value::Null))
}

pub(super) fn text<'v>(value: &'v Value, path: &str) -> Option<&'v str> {
    at(value, path).as_str()
}

pub(super) fn number(value: &Value, path: &str) -> Option<u64> {
    match at(value, path) {
        // 64-bit numbers are texts in JSON that was made of protobuf.
        Value::String(digits) => digits.parse().ok(),
        other => other.as_f64().map(|number| number as u64),
    }
}

pub(super) fn is_true(value: &Value, path: &str) -> bool {
    at(value, path) == &Value::Bool(true)
}

pub(super) fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    at(value, path).as_array().map_or(&[], Vec::as_slice)
}

/// `0.5s`, as protobuf writes durations in JSON.
pub(super) fn duration(value: &Value, path: &str) -> Option<Duration> {
    let seconds: f64 = text(value, path)?.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whether `value` is of the type that `@type` ends with.
pub(super) fn is_a(value: &Value, kind: &str) -> bool {
    let name = value.get("@type").and_then(Value::as_str).unwrap_or_default();
    name.strip_suffix(kind).is_some_and(|before| before.ends_with('.'))
}

/// As it would be written: short, for people.
pub(super) fn shown(value: &Value, path: &str) -> String {
    let name = path.rsplit('.').next().unwrap_or(path);
    match at(value, path) {
        Value::Null => format!("no {name}"),
        Value::String(text) => format!("{name}: {text}"),
        other => format!("{name}: {other}"),
    }
}

/// The first value of a type, however deep it is wrapped.
pub(super) fn within<'v>(value: &'v Value, kind: &str) -> Option<&'v Value> {
    match value {
        value if is_a(value, kind) => Some(value),
        Value::Object(fields) => fields.values().find_map(|inner| within(inner, kind)),
        Value::Array(items) => items.iter().find_map(|inner| within(inner, kind)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Whether one of Envoy's string matchers takes a name of a header; none where it is an expression, which
/// is not read here.
pub(super) fn matches(matcher: &Value, header: &str) -> Option<bool> {
    let is = |name: &str, test: fn(&str, &str) -> bool| {
        text(matcher, name).is_some_and(|value| test(header, &value.to_ascii_lowercase()))
    };
    let known = is("exact", |header, name| header == name)
        || is("prefix", |header, start| header.starts_with(start))
        || is("suffix", |header, end| header.ends_with(end))
        || is("contains", |header, part| header.contains(part));
    (known || at(matcher, "safe_regex").is_null()).then_some(known)
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut whole, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        whole.push_str(&initial.to_ascii_uppercase());
        whole.push_str(rest);
        whole
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_found_in_both_spellings() {
        for value in [json!({"a_bc": {"d": 1}}), json!({"aBc": {"d": 1}})] {
            assert_eq!(at(&value, "a_bc.d"), &json!(1), "{value}");
        }
        assert_eq!(at(&json!({"a": 1}), "a.b.c"), &Value::Null);
    }

    #[test]
    fn durations_and_numbers_are_read_as_protobuf_writes_them() {
        let value = json!({"a": "0.250s", "b": "5", "c": 5, "d": "soon", "e": "-1s"});
        assert_eq!(duration(&value, "a"), Some(Duration::from_millis(250)));
        assert_eq!((duration(&value, "d"), duration(&value, "e"), duration(&value, "f")), (None, None, None));
        assert_eq!((number(&value, "b"), number(&value, "c")), (Some(5), Some(5)));
    }

    #[test]
    fn a_type_is_known_by_its_whole_last_words() {
        let value = json!({"@type": "type.googleapis.com/envoy.x.ext_authz.v3.ExtAuthz"});
        assert!(is_a(&value, "ext_authz.v3.ExtAuthz"));
        assert!(!is_a(&value, "authz.v3.ExtAuthz"));
        assert!(!is_a(&json!(null), "ExtAuthz"));
    }
}
