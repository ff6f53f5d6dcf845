//! Bodies of requests, JSON or form, read so that what is unclear is refused and nothing is guessed.
//!
//! One extractor for every route. It refuses, and names the field: what is not UTF-8, members that
//! come twice, control characters, nesting without end, unknown fields, wrong types.

mod form;
mod json;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;

/// A body of this form. An empty one is read as an object without members.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (encoding, bytes) = arrived(request, state).await?;
        read(encoding, &bytes).map(Self).map_err(Wrong::into)
    }
}

/// The same where passwords are sent: of what came not even the name of an unknown field is repeated, for a
/// body that is sent as something else may stand in it whole.
pub struct Unrepeated<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Unrepeated<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (encoding, bytes) = arrived(request, state).await?;
        read_unrepeated(encoding, &bytes).map(Self).map_err(Wrong::into)
    }
}

async fn arrived<S: Send + Sync>(request: Request, state: &S) -> Result<(Encoding, Bytes), Problem> {
    let encoding = Encoding::of(request.headers())?;
    // The limit is the router's.
    let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
        let message = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than `limits.admin_body_bytes`",
            _ => "the body did not arrive whole",
        };
        Problem::Body(rejection.status(), message.to_owned())
    })?;
    Ok((encoding, bytes))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Json,
    Form,
}

impl Encoding {
    /// By `Content-Type`; without one, JSON.
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let unknown = || {
            let message = "the body must be `application/json` or `application/x-www-form-urlencoded`";
            Problem::Body(StatusCode::UNSUPPORTED_MEDIA_TYPE, message.to_owned())
        };
        let mut types = headers.get_all(header::CONTENT_TYPE).into_iter();
        let Some(first) = types.next() else { return Ok(Self::Json) };
        let text = first.to_str().ok().filter(|_| types.next().is_none()).ok_or_else(unknown)?;
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &essence[..] {
            "application/json" => Ok(Self::Json),
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            _ => Err(unknown()),
        }
    }
}

/// What is wrong with a body, and where.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    /// As `networks.allow[0]`; empty: the body as a whole.
    field: String,
    /// Never repeats a value: it may be a secret of the wrong type.
    why: String,
}

fn read<T: DeserializeOwned>(encoding: Encoding, bytes: &[u8]) -> Result<T, Wrong> {
    understood(encoding, parsed(encoding, bytes)?)
}

fn read_unrepeated<T: DeserializeOwned>(encoding: Encoding, bytes: &[u8]) -> Result<T, Wrong> {
    // Before a body is understood any name in it may be anything.
    let value = parsed(encoding, bytes).map_err(|wrong| match wrong.field.is_empty() {
        true => wrong,
        false => Wrong { field: WHOLE.into(), ..wrong },
    })?;
    understood(encoding, value).map_err(|wrong| match &wrong.why[..] {
        UNKNOWN => Wrong { field: WHOLE.into(), why: "there is a field in it that is not known here".into() },
        _ => wrong,
    })
}

fn parsed(encoding: Encoding, bytes: &[u8]) -> Result<Value, Wrong> {
    let text = std::str::from_utf8(bytes).map_err(|error| Wrong {
        field: String::new(),
        why: format!("the body is not UTF-8 (byte {})", error.valid_up_to() + 1),
    })?;
    match encoding {
        Encoding::Json if text.trim_ascii().is_empty() => Ok(Value::Object(Default::default())),
        Encoding::Json => json::parse(text),
        // As curl sends it that is told nothing else.
        Encoding::Form if text.trim_ascii_start().starts_with(['{', '[']) => {
            let why =
                "the body is JSON, and its content type is a form's; send `Content-Type: application/json`";
            Err(Wrong { field: String::new(), why: why.into() })
        }
        Encoding::Form => form::parse(text),
    }
}

fn understood<T: DeserializeOwned>(encoding: Encoding, value: Value) -> Result<T, Wrong> {
    match encoding {
        Encoding::Json => from(value),
        Encoding::Form => {
            let mut track = serde_path_to_error::Track::new();
            let loose = serde_path_to_error::Deserializer::new(form::Loose(value), &mut track);
            T::deserialize(loose).map_err(|error| wrong(&track.path().to_string(), &error.to_string()))
        }
    }
}

fn from<T: DeserializeOwned>(value: Value) -> Result<T, Wrong> {
    if !value.is_object() {
        return Err(Wrong { field: String::new(), why: "the body must be a JSON object".into() });
    }
    serde_path_to_error::deserialize(value)
        .map_err(|error| wrong(&error.path().to_string(), &error.inner().to_string()))
}

/// serde's error, with the name of the field and without the value that was found.
fn wrong(path: &str, text: &str) -> Wrong {
    let path = if path == "." { "" } else { path };
    for (what, why) in [("unknown field `", UNKNOWN), ("missing field `", "required field missing")] {
        if let Some(rest) = text.strip_prefix(what) {
            let name: String = rest.chars().take_while(|letter| *letter != '`').collect();
            // Where a field is unknown the path already ends with it.
            let field = match path {
                "" => name,
                path if why == UNKNOWN => path.to_owned(),
                path => format!("{path}.{name}"),
            };
            return Wrong { field, why: why.to_owned() };
        }
    }
    Wrong { field: path.to_owned(), why: without_values(text) }
}

const UNKNOWN: &str = "unknown field";

/// What a field is called that is not named.
const WHOLE: &str = "@entity";

/// serde's text without the value that was found: it may be a secret of the wrong type.
/// ``invalid type: integer `42`, expected a string`` becomes `invalid type: integer, expected a string`.
fn without_values(text: &str) -> String {
    for what in ["invalid type: ", "invalid value: "] {
        // What is expected is ours and comes last; what was found may hold anything.
        let (Some(start), Some(end)) = (text.find(what), text.rfind(", expected ")) else { continue };
        if let Some(found) = text.get(start + what.len()..end) {
            let kind = found.split(['`', '"']).next().unwrap_or_default().trim_end();
            return format!("{}{kind}{}", &text[..start + what.len()], &text[end..]);
        }
    }
    // ``unknown variant `x`, expected …``, and whatever else quotes what it found.
    if let (Some(start), Some(end)) = (text.find('`'), text.rfind(", expected "))
        && start < end
    {
        return format!("{}{}", text[..start].trim_end(), &text[end..]);
    }
    match text.contains(['`', '"']) {
        true => "not of the form that is expected here".to_owned(),
        false => text.to_owned(),
    }
}

impl From<Wrong> for Problem {
    fn from(wrong: Wrong) -> Self {
        match wrong.field.is_empty() {
            true => Self::Body(StatusCode::BAD_REQUEST, wrong.why),
            false => Self::Field { field: wrong.field, why: wrong.why },
        }
    }
}

/// Levels of arrays and objects in a body: what we take has four.
const DEEPEST: usize = 16;

/// Why a text that stands in a body is refused: a control character could split a header, a log line
/// or a terminal's. Line ends and tabs stand in keys in PEM; where they may not stand, labels are checked.
fn refused_text(text: &str) -> Option<&'static str> {
    let mut controls = text.chars().filter(|letter| letter.is_control());
    if text.contains('\0') {
        return Some("must not hold a NUL");
    }
    controls.any(|letter| !matches!(letter, '\n' | '\r' | '\t')).then_some("must not hold control characters")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        key: Option<String>,
        #[serde(default)]
        tags: Vec<String>,
        ttl: Option<u32>,
        #[serde(default)]
        on: bool,
        inner: Option<Inner>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        allow: Vec<String>,
    }

    fn fault(encoding: Encoding, body: &[u8]) -> String {
        let Wrong { field, why } = read::<Thing>(encoding, body).unwrap_err();
        format!("{field}: {why}")
    }

    #[test]
    fn what_is_wrong_with_a_body_is_told_by_its_field_and_never_by_its_value() {
        let deep = format!("{{\"key\":{}{}}}", "[".repeat(40), "]".repeat(40));
        let longest = format!("{{\"inner\":{}", "{\"a\":".repeat(100_000));
        for (body, expected) in [
            (&br#"{"key":4242}"#[..], "key: invalid type: integer, expected a string"),
            (br#"{"key":-42.4242}"#, "key: invalid type: floating point, expected a string"),
            (br#"{"key":["secret"]}"#, "key: invalid type: sequence, expected a string"),
            (br#"{"tags":"secret"}"#, "tags: invalid type: string, expected a sequence"),
            (br#"{"tags":["a",4242]}"#, "tags[1]: invalid type: integer, expected a string"),
            (br#"{"ttl":-4242}"#, "ttl: invalid value: integer, expected u32"),
            (br#"{"ttl":1e400}"#, "ttl: a number out of range"),
            (br#"{"ttl":"4242"}"#, "ttl: invalid type: string, expected u32"),
            (br#"{"on":"secret"}"#, "on: invalid type: string, expected a boolean"),
            (br#"{"secret":1}"#, "secret: unknown field"),
            (br#"{"inner":{"deny":[]}}"#, "inner.deny: unknown field"),
            (br#"{"inner":{}}"#, "inner.allow: required field missing"),
            (br#"{"key":"a","key":"b"}"#, "key: it is there twice"),
            (br#"{"inner":{"allow":[],"allow":[]}}"#, "inner.allow: it is there twice"),
            (br#"{"key":"a\u0000b"}"#, "key: must not hold a NUL"),
            (br#"{"tags":["a","\u001b[31m"]}"#, "tags[1]: must not hold control characters"),
            (br#"{"a\u0000b":1}"#, ": a member's name must not hold control characters"),
            (deep.as_bytes(), ": it is nested more than 16 levels deep"),
            (longest.as_bytes(), ": it is nested more than 16 levels deep"),
            (b"\xff", ": the body is not UTF-8 (byte 1)"),
            (b"{\"key\":\"\xc3\x28\"}", ": the body is not UTF-8 (byte 9)"),
            (b"[]", ": the body must be a JSON object"),
            (b"null", ": the body must be a JSON object"),
        ] {
            let said = fault(Encoding::Json, body);
            assert_eq!(said, expected);
            assert!(!said.contains("4242") || expected.contains("4242"), "{said}");
        }
        for body in [&b"{"[..], b"{\"key\"}", b"{} {}", b"{\"key\":\"a}", b"{'key':1}", b"\x01"] {
            assert!(fault(Encoding::Json, body).starts_with(": the body is not JSON"), "{body:?}");
        }
    }

    #[test]
    fn of_a_login_nothing_is_repeated() {
        let check = |encoding: Encoding, body: &str, expected: &str| {
            let Wrong { field, why } = read_unrepeated::<Thing>(encoding, body.as_bytes()).unwrap_err();
            assert_eq!(format!("{field}: {why}"), expected, "{body}");
        };
        let unknown = "@entity: there is a field in it that is not known here";
        let as_form =
            ": the body is JSON, and its content type is a form's; send `Content-Type: application/json`";
        check(Encoding::Form, r#"{"key":"hunter2"}"#, as_form);
        check(Encoding::Form, "hunter2", unknown);
        check(Encoding::Form, "hunter2=%00", "@entity: must not hold a NUL");
        check(Encoding::Json, r#"{"hunter2":1}"#, unknown);
        check(Encoding::Json, r#"{"inner":{"hunter2":1}}"#, unknown);
        check(Encoding::Json, r#"{"hunter2":1,"hunter2":1}"#, "@entity: it is there twice");
        check(Encoding::Json, r#"{"key":42}"#, "key: invalid type: integer, expected a string");
        let Wrong { field, why } = read::<Thing>(Encoding::Form, br#"{"key":"hunter2"}"#).unwrap_err();
        assert_eq!(format!("{field}: {why}"), as_form);
    }

    #[test]
    fn forms_say_the_same_as_json() {
        let check = |form: &str, json: &str| {
            let form = read::<Thing>(Encoding::Form, form.as_bytes()).unwrap();
            assert_eq!(form, read::<Thing>(Encoding::Json, json.as_bytes()).unwrap());
        };
        check("", "{}");
        check("", "");
        check("key=a+b%2C&ttl=60&on=true", r#"{"key":"a b,","ttl":60,"on":true}"#);
        check("tags[]=a&tags[]=b", r#"{"tags":["a","b"]}"#);
        check("tags=a&tags=b", r#"{"tags":["a","b"]}"#);
        check("tags[1]=a&tags[2]=b", r#"{"tags":["a","b"]}"#);
        check("tags=a", r#"{"tags":["a"]}"#);
        check("inner.allow=a", r#"{"inner":{"allow":["a"]}}"#);
        check("inner.allow[]=a&inner.allow[]=b", r#"{"inner":{"allow":["a","b"]}}"#);
        check("inner[allow]=a", r#"{"inner":{"allow":["a"]}}"#);
    }

    #[test]
    fn what_is_wrong_with_a_form_is_told_by_its_field() {
        for (body, expected) in [
            ("ttl=secret", "ttl: invalid type: string, expected u32"),
            ("ttl=-1", "ttl: invalid value: integer, expected u32"),
            ("on=secret", "on: invalid type: string, expected a boolean"),
            ("secret=1", "secret: unknown field"),
            ("inner.deny=1", "inner.deny: unknown field"),
            ("key=a&key=b", "key: invalid type: sequence, expected a string"),
            ("key=a&key.b=c", "key.b: it is there twice"),
            ("key=a%00", "key: must not hold a NUL"),
            ("key=%ff", "key: it is not UTF-8"),
            ("=a", ": a field has no name"),
            (&format!("a{}=1", ".a".repeat(50)), ": a field's name is nested more than 16 levels deep"),
        ] {
            assert_eq!(fault(Encoding::Form, body.as_bytes()), expected, "{body}");
        }
    }
}
