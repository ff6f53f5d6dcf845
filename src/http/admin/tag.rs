//! The states of objects as HTTP names them: `ETag` says in which one it is, `If-Match` asks for it.

use http::header::IF_MATCH;
use http::{HeaderMap, HeaderValue, Method};

use crate::http::problem::Problem;
use crate::issue::Condition;

/// The number of the change that wrote the object.
pub(super) fn etag(revision: u64) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{revision}\"")).ok()
}

/// What a request asks of the object that it changes.
///
/// # Errors
///
/// It is neither `*` nor one tag.
pub(super) fn condition(method: &Method, headers: &HeaderMap) -> Result<Option<Condition>, Problem> {
    let mut values = headers.get_all(IF_MATCH).into_iter();
    let Some(value) = values.next().filter(|_| *method != Method::GET && *method != Method::POST) else {
        return Ok(None);
    };
    let value = value.to_str().ok().filter(|_| values.next().is_none()).map(str::trim);
    value.and_then(read).map(Some).ok_or_else(|| Problem::Field {
        field: "If-Match".into(),
        why: r#"expected `*` or the one `ETag` that was read, with its quotes, such as `"12"`"#.into(),
    })
}

fn read(value: &str) -> Option<Condition> {
    if value == "*" {
        return Some(Condition::Present);
    }
    let opaque = value.strip_prefix("W/").unwrap_or(value).strip_prefix('"')?.strip_suffix('"')?;
    if opaque.contains('"') {
        return None;
    }
    // One that we write, to the letter: a weak tag says too little (RFC 9110, 13.1.1), another is not ours.
    let ours = opaque.parse().ok().filter(|revision: &u64| format!("\"{revision}\"") == value);
    Some(ours.map_or(Condition::Never, Condition::Revision))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_taken_as_it_was_given_and_in_no_other_form() {
        for (given, read) in [
            ("*", Some(Condition::Present)),
            (r#""12""#, Some(Condition::Revision(12))),
            (r#" "12" "#, Some(Condition::Revision(12))),
            (r#"W/"12""#, Some(Condition::Never)),
            (r#""012""#, Some(Condition::Never)),
            (r#""+12""#, Some(Condition::Never)),
            (r#""another""#, Some(Condition::Never)),
            (r#""""#, Some(Condition::Never)),
            ("12", None),
            (r#""12"#, None),
            (r#""12", "13""#, None),
            (r#""12", *"#, None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static(given))]);
            let found = condition(&Method::PATCH, &headers);
            assert_eq!(found.ok(), read.map(Some), "{given}");
            assert_eq!(condition(&Method::POST, &headers).unwrap(), None, "{given}");
        }
    }

    #[test]
    fn two_headers_are_not_one_tag() {
        let mut headers = HeaderMap::new();
        headers.append(IF_MATCH, HeaderValue::from_static("*"));
        headers.append(IF_MATCH, HeaderValue::from_static("*"));
        assert!(condition(&Method::DELETE, &headers).is_err());
    }
}
