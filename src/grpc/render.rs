//! A decision as the bytes of a `CheckResponse`, written straight into the gRPC frame.
//!
//! Envoy reads a missing status, and so an empty answer, as *allow*. Hence: `status` stands in every
//! answer, its code is 0 for [`Outcome::Allow`] alone, and what may not be sent becomes a denial here,
//! at the last door.

use std::cell::Cell;
use std::fmt::Display;
use std::io::Write as _;
use std::net::IpAddr;

use bytes::Bytes;

use super::protobuf::Writer;
use super::{ONES, PREFIX};
use crate::check::{Decision, Metadata, Outcome, Problem};
use crate::domain::client::Client;
use crate::domain::credential::Challenge;
use crate::domain::denial::{Denial, Notice};
use crate::domain::headers::{Mutations, Shapes, Value, write_id};

/// The gRPC message frame of the answer: flag, length, `CheckResponse`.
pub fn render(decision: &Decision<'_>) -> Bytes {
    let Decision { metadata, request_id, grpc, .. } = decision;
    let face = |notice, challenges| Face { notice, challenges, request_id, grpc: *grpc };
    match &decision.outcome {
        Outcome::Allow(mutations) => allow(mutations, metadata).unwrap_or_else(|Unsendable(why)| {
            tracing::error!(why, request_id, "an allow could not be sent and was made a denial");
            let denial = Denial::Internal { why };
            deny(&face(denial.notice(), &[]), &corrected(metadata, &denial))
        }),
        Outcome::Deny(notice, challenges) => deny(&face(*notice, challenges), metadata),
        Outcome::Fault(notice) => framed(|answer| {
            let face = face(*notice, &[]);
            answer.message(field::STATUS, |status| status.number(1, face.grpc_status()));
            answer.message(field::ERROR_RESPONSE, |response| face.write(response));
            dynamic_metadata(answer, metadata);
        }),
    }
}

/// The answer where not even a refusal could be made: the denial `internal`, without request id.
pub fn last_resort() -> Bytes {
    let notice = Denial::Internal { why: "" }.notice();
    let face = Face { notice, challenges: &[], request_id: "", grpc: false };
    deny(&face, &Metadata::default())
}

/// Fields of `CheckResponse`. Envoy knows `error_response` since 1.37 and older ones deny without it.
mod field {
    pub(super) const STATUS: u8 = 1;
    pub(super) const DENIED_RESPONSE: u8 = 2;
    pub(super) const OK_RESPONSE: u8 = 3;
    pub(super) const DYNAMIC_METADATA: u8 = 4;
    pub(super) const ERROR_RESPONSE: u8 = 5;
}

/// Why mutations may not be sent.
struct Unsendable(&'static str);

fn allow(mutations: &Mutations<'_>, metadata: &Metadata<'_>) -> Result<Bytes, Unsendable> {
    let set = Shapes::of(mutations.set.iter().map(|(name, _)| *name));
    let is_set = |removed: &str| mutations.set.iter().any(|(name, _)| removed.eq_ignore_ascii_case(name));
    // Askers differ in which of the two they do first.
    if mutations.remove.iter().any(|removed| set.may_have(removed.as_bytes()) && is_set(removed)) {
        return Err(Unsendable("a header both set and removed"));
    }
    let mut vouched = Ok(());
    let frame = framed(|answer| {
        // Code 0, and *present*: its absence would mean the same to Envoy, and must not to us.
        answer.message(field::STATUS, |_| ());
        answer.message(field::OK_RESPONSE, |response| {
            for (name, value) in &mutations.set {
                response.message(2, |option| {
                    if let Err(why) = vouch(option, name, value) {
                        vouched = Err(why);
                    }
                });
            }
            for name in &mutations.remove {
                response.text(5, name.as_bytes());
            }
            for name in &mutations.remove_query {
                response.text(8, name);
            }
        });
        dynamic_metadata(answer, metadata);
    });
    vouched.map(|()| frame)
}

/// A header that Doorward vouches for: whatever the client sent under that name is gone.
///
/// `append: false` is for Envoys that read nothing else (to 1.36, and 1.38 to 1.40);
/// OVERWRITE_IF_EXISTS_OR_ADD for 1.37.0, where the absence of both meant appending.
///
/// # Errors
///
/// A value with CR or LF would split a header, and an empty one is dropped by Envoys after 1.40 (the
/// client's own then stays).
fn vouch(option: &mut Writer<'_>, name: &str, value: &Value<'_>) -> Result<(), Unsendable> {
    if name.is_empty() || !all(name.as_bytes(), is_of_name) {
        return Err(Unsendable("a header name that is no name"));
    }
    let sendable = Cell::new(true);
    option.pair(1, name, &[2], &|bytes| {
        let start = bytes.len();
        value.write(bytes);
        sendable.set(bytes.len() > start && visible(&bytes[start..]));
    });
    // `append`: false; `append_action`.
    option.raw(&[2 << 3 | 2, 0, 3 << 3, 2]);
    if sendable.get() { Ok(()) } else { Err(Unsendable("a header value that is empty or not visible ASCII")) }
}

fn is_of_name(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')
}

/// Visible ASCII and blanks: eight bytes at a time, for there are hundreds.
fn visible(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let unfit = words.iter().fold(0, |unfit, word| {
        let word = u64::from_ne_bytes(*word);
        let low = word & (0x7f * ONES);
        // The topmost bit of a byte is then set where it is from 0x7f on, and where it is below 0x20.
        unfit | (low + ONES) | word | !(low + (0x80 - 0x20) * ONES)
    });
    unfit & (0x80 * ONES) == 0 && all(rest, |byte| matches!(byte, 0x20..=0x7e))
}

/// Looks at every byte, which is quicker than to stop at the first that is wrong: none is.
fn all(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is(*byte))
}

fn header(option: &mut Writer<'_>, name: &str, value: impl Display) {
    option.message(1, |header| {
        header.text(1, name);
        header.shown(2, value);
    });
}

fn deny(face: &Face<'_>, metadata: &Metadata<'_>) -> Bytes {
    framed(|answer| {
        answer.message(field::STATUS, |status| status.number(1, face.grpc_status()));
        answer.message(field::DENIED_RESPONSE, |response| face.write(response));
        dynamic_metadata(answer, metadata);
    })
}

/// What the client gets to see: `DeniedHttpResponse`.
struct Face<'a> {
    notice: Notice,
    challenges: &'a [Challenge<'a>],
    request_id: &'a str,
    grpc: bool,
}

impl Face<'_> {
    /// Never 0, which would allow.
    fn grpc_status(&self) -> u64 {
        const INTERNAL: u8 = 13;
        u64::from(if self.notice.grpc_status == 0 { INTERNAL } else { self.notice.grpc_status })
    }

    /// Envoy sends any number as it is, so one that is no refusal becomes 500.
    fn http_status(&self) -> u16 {
        if matches!(self.notice.status, 400..=599) { self.notice.status } else { 500 }
    }

    /// The headers' `append` is left out: Envoy then sends each of them on a line of its own.
    fn write(&self, response: &mut Writer<'_>) {
        response.message(1, |status| status.number(1, self.http_status().into()));
        let mut line = |name, value: &dyn Display| response.message(2, |option| header(option, name, value));
        for challenge in self.challenges {
            if challenge.realm.is_none_or(|realm| visible(realm.as_bytes())) {
                line("www-authenticate", challenge);
            }
        }
        if let Some(seconds) = &self.notice.retry_after {
            line("retry-after", seconds);
        }
        line("cache-control", &"no-store");
        if self.grpc {
            // Envoy makes the body `grpc-message`, and of the HTTP status a code of its own choice.
            line("grpc-status", &self.grpc_status());
            response.text(3, self.notice.message);
        } else {
            line("content-type", &"application/problem+json");
            response.nested(3, |body| self.problem(body));
        }
    }

    fn problem(&self, body: &mut Vec<u8>) {
        let problem = Problem::new(&self.notice, self.http_status(), self.request_id);
        serde_json::to_writer(body, &problem).expect("texts and a number into memory");
    }
}

/// `google.protobuf.Struct`: texts, and the groups as a list.
fn dynamic_metadata(answer: &mut Writer<'_>, metadata: &Metadata<'_>) {
    let said = |text: &'static str| Some(text).filter(|text| !text.is_empty());
    answer.message(field::DYNAMIC_METADATA, |fields| {
        let mut text = |key, text: Option<&str>| {
            if let Some(text) = text {
                entry(fields, key, &|value| value.extend_from_slice(text.as_bytes()));
            }
        };
        text("service", metadata.service);
        text("infrastructure", metadata.infrastructure);
        text("mode", said(metadata.mode));
        text("username", metadata.username);
        text("method", metadata.method);
        text("verdict", said(metadata.verdict));
        text("code", metadata.code);
        if let Some(consumer) = &metadata.consumer {
            entry(fields, "consumer", &|value| write_id(consumer, value));
        }
        if let Some(credential) = metadata.credential {
            let credential = Value::from(credential);
            entry(fields, "credential", &|value| credential.write(value));
        }
        if let Some(Client { address, hop }) = metadata.client {
            if let Some(address) = address {
                entry(fields, "client", &|value| client(value, address));
            }
            entry(fields, "client_from", &|value| show(value, hop.word()));
        }
        if !metadata.groups.is_empty() {
            fields.pair(1, "groups", &[2, 6], &|list| groups(&mut Writer::on(list), metadata.groups));
        }
    });
}

/// An entry of the map, whose `Value` is a text.
fn entry(fields: &mut Writer<'_>, key: &str, text: &dyn Fn(&mut Vec<u8>)) {
    fields.pair(1, key, &[2, 3], text);
}

fn show(bytes: &mut Vec<u8>, text: impl Display) {
    write!(bytes, "{text}").expect("a Vec takes whatever is written");
}

fn client(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        // As it is shown, for a tenth of the price.
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            decimal(bytes, first);
            for octet in rest {
                bytes.push(b'.');
                decimal(bytes, octet);
            }
        }
        address @ IpAddr::V6(_) => show(bytes, address),
    }
}

fn decimal(bytes: &mut Vec<u8>, number: u8) {
    if number >= 100 {
        bytes.push(b'0' + number / 100);
    }
    if number >= 10 {
        bytes.push(b'0' + number / 10 % 10);
    }
    bytes.push(b'0' + number % 10);
}

fn groups(list: &mut Writer<'_>, groups: &[String]) {
    for group in groups {
        list.message(1, |value| value.text(3, group));
    }
}

/// What the metadata of an allow become once it was made a denial.
fn corrected<'a>(metadata: &Metadata<'a>, denial: &Denial) -> Metadata<'a> {
    Metadata {
        service: metadata.service,
        infrastructure: metadata.infrastructure,
        mode: metadata.mode,
        client: metadata.client,
        verdict: "deny",
        code: Some(denial.notice().code),
        ..Metadata::default()
    }
}

thread_local! {
    /// Where answers are put together: what is handed out is then of the right size at once.
    static DESK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn framed(write: impl FnOnce(&mut Writer<'_>)) -> Bytes {
    let mut frame = DESK.take();
    frame.clear();
    frame.resize(PREFIX, 0); // Byte 0: not compressed.
    write(&mut Writer::on(&mut frame));
    let length = u32::try_from(frame.len() - PREFIX).expect("an answer is kilobytes");
    frame[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    let answer = Bytes::copy_from_slice(&frame);
    DESK.set(frame);
    answer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;

    use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
    use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
    use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
    use envoy_types::pb::google::protobuf::{BoolValue, value::Kind};
    use proptest::prelude::*;
    use prost::Message as _;
    use smallvec::smallvec;
    use uuid::Uuid;

    use super::*;
    use crate::domain::client::Hop;
    use crate::domain::denial::Unproven;
    use crate::domain::principal::CredentialName;

    fn decoded(frame: &[u8]) -> CheckResponse {
        let (prefix, message) = frame.split_at(5);
        assert_eq!(prefix[0], 0, "not compressed");
        assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, message.len());
        CheckResponse::decode(message).unwrap()
    }

    fn answer(outcome: Outcome<'_>) -> CheckResponse {
        decoded(&render(&decision(outcome)))
    }

    fn decision(outcome: Outcome<'_>) -> Decision<'_> {
        let metadata = Metadata { mode: "enforce", verdict: "x", ..Metadata::default() };
        Decision { outcome, metadata, request_id: "r-1", grpc: false }
    }

    fn denied(response: CheckResponse) -> (i32, DeniedHttpResponse) {
        match response.http_response {
            Some(HttpResponse::DeniedResponse(denied)) => (response.status.unwrap().code, denied),
            other => panic!("not a denial: {other:?}"),
        }
    }

    fn lines(headers: &[HeaderValueOption]) -> Vec<(&str, &str)> {
        headers.iter().map(|option| option.header.as_ref().unwrap()).map(|h| (&*h.key, &*h.value)).collect()
    }

    fn ok(response: CheckResponse) -> OkHttpResponse {
        assert_eq!(response.status.unwrap().code, 0);
        match response.http_response {
            Some(HttpResponse::OkResponse(ok)) => ok,
            other => panic!("not an allow: {other:?}"),
        }
    }

    #[test]
    fn an_allow_overwrites_and_removes() {
        let ok = ok(answer(Outcome::Allow(Mutations {
            set: smallvec![("x-consumer-id", "c 1".into()), ("x-permissions", "p, q".into())],
            remove: smallvec!["x-consumer-username".into(), "x_consumer_id".into()],
            remove_query: smallvec!["apikey"],
        })));
        assert_eq!(lines(&ok.headers), [("x-consumer-id", "c 1"), ("x-permissions", "p, q")]);
        for option in &ok.headers {
            #[expect(deprecated, reason = "most Envoys obey only `append`")]
            let append = option.append;
            assert_eq!(append, Some(BoolValue { value: false }));
            assert_eq!(option.append_action().as_str_name(), "OVERWRITE_IF_EXISTS_OR_ADD");
            assert!(option.header.as_ref().unwrap().raw_value.is_empty(), "Envoy ignores it");
        }
        assert_eq!(ok.headers_to_remove, ["x-consumer-username", "x_consumer_id"]);
        assert_eq!(ok.query_parameters_to_remove, ["apikey"]);
        assert!(ok.query_parameters_to_set.is_empty() && ok.response_headers_to_add.is_empty());
    }

    #[test]
    fn an_allow_that_sets_and_removes_one_name_is_a_denial() {
        for removed in ["x-tenant", "X-Tenant"] {
            let (code, denied) = denied(answer(Outcome::Allow(Mutations {
                set: smallvec![("x-other", "o".into()), ("x-tenant", "t".into())],
                remove: smallvec!["x_tenant".into(), removed.into()],
                ..Mutations::default()
            })));
            assert_eq!((code, denied.status.unwrap().code), (13, 500), "{removed}");
        }
    }

    #[test]
    fn the_status_of_an_allow_is_written_and_not_left_out() {
        let frame = render(&decision(Outcome::Allow(Mutations::default())));
        assert_eq!(frame[5..7], [0x0a, 0x00]);
        assert_eq!(ok(decoded(&frame)), OkHttpResponse::default());
    }

    #[test]
    fn a_denial_has_status_headers_and_problem() {
        let notice = Denial::InvalidCredential { why: Unproven::Expired }.notice();
        let challenge = |scheme, realm, error| Challenge { scheme, realm: Some(realm), error };
        let challenges =
            smallvec![challenge("Key", "a", None), challenge("Bearer", "b", Some("invalid_token"))];
        let (code, denied) = denied(answer(Outcome::Deny(notice, challenges)));
        assert_eq!(code, 16);
        assert_eq!(denied.status.unwrap().code, 401);
        assert_eq!(
            lines(&denied.headers),
            [
                ("www-authenticate", "Key realm=\"a\""),
                ("www-authenticate", "Bearer realm=\"b\", error=\"invalid_token\""),
                ("cache-control", "no-store"),
                ("content-type", "application/problem+json"),
            ]
        );
        assert_eq!(
            denied.body,
            r#"{"type":"urn:doorward:code:invalid_credential","title":"Unauthorized","status":401,"code":"invalid_credential","message":"Unauthorized","request_id":"r-1"}"#
        );
    }

    #[test]
    fn a_fault_is_a_typed_error_and_no_denial() {
        let notice = Notice { code: "unavailable", retry_after: Some(7), ..Denial::Overloaded.notice() };
        let response = answer(Outcome::Fault(notice));
        assert_eq!(response.status.unwrap().code, 14, "an old Envoy denies");
        let Some(HttpResponse::ErrorResponse(error)) = response.http_response else { panic!("no error") };
        assert_eq!(error.status.unwrap().code, 503);
        assert!(lines(&error.headers).contains(&("retry-after", "7")));
        assert!(error.body.contains(r#""code":"unavailable""#));
    }

    #[test]
    fn whoever_has_guessed_too_often_hears_when_to_come_back() {
        let outcome = Outcome::Deny(Denial::Throttled { left: 600 }.notice(), smallvec![]);
        let (code, denied) = denied(answer(outcome));
        assert_eq!((code, denied.status.unwrap().code), (8, 429));
        assert!(lines(&denied.headers).contains(&("retry-after", "600")));
    }

    #[test]
    fn a_grpc_caller_gets_its_status_and_the_plain_message() {
        let notice = Denial::ServiceDenied.notice();
        let outcome = Outcome::Deny(notice, smallvec![]);
        let (code, denied) = denied(decoded(&render(&Decision { grpc: true, ..decision(outcome) })));
        assert_eq!(code, 7);
        assert_eq!(denied.body, notice.message);
        assert_eq!(lines(&denied.headers), [("cache-control", "no-store"), ("grpc-status", "7")]);
    }

    #[test]
    fn metadata_are_texts_and_a_list() {
        let id = Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8);
        let metadata = Metadata {
            service: Some("orders"),
            infrastructure: None,
            mode: "enforce",
            consumer: Some(id),
            username: Some("alice"),
            groups: &["gold".into(), "staff".into()],
            credential: Some(&CredentialName::Id(id)),
            client: Some(Client {
                address: Some("2001:db8::1".parse().unwrap()),
                hop: Hop::Forwarded { from_right: 1 },
            }),
            method: Some("api_key"),
            verdict: "allow",
            code: None,
        };
        let outcome = Outcome::Allow(Mutations::default());
        let response = decoded(&render(&Decision { metadata, ..decision(outcome) }));
        let found: BTreeMap<String, String> = response
            .dynamic_metadata
            .unwrap()
            .fields
            .into_iter()
            .map(|(key, value)| match value.kind.unwrap() {
                Kind::StringValue(text) => (key, text),
                Kind::ListValue(list) => (key, format!("{} items", list.values.len())),
                other => panic!("{key}: {other:?}"),
            })
            .collect();
        let expected = [
            ("client", "2001:db8::1"),
            ("client_from", "x-forwarded-for[-2]"),
            ("consumer", "67e55044-10b1-426f-9247-bb680e5fe0c8"),
            ("credential", "67e55044-10b1-426f-9247-bb680e5fe0c8"),
            ("groups", "2 items"),
            ("method", "api_key"),
            ("mode", "enforce"),
            ("service", "orders"),
            ("username", "alice"),
            ("verdict", "allow"),
        ];
        assert_eq!(found, expected.map(|(key, value)| (key.into(), value.into())).into());
    }

    #[test]
    fn a_byte_that_is_not_visible_is_seen_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for length in 1..20 {
                for at in 0..length {
                    let mut text = vec![b' '; length];
                    text[at] = byte;
                    assert_eq!(visible(&text), (0x20..=0x7e).contains(&byte), "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_client_is_written_as_it_is_shown() {
        for octet in 0..=u8::MAX {
            let address = IpAddr::from([octet, octet.wrapping_mul(7), 0, 255 - octet]);
            let mut bytes = Vec::new();
            client(&mut bytes, address);
            assert_eq!(bytes, address.to_string().as_bytes());
        }
    }

    #[track_caller]
    fn made_internal(case: &str, set: &[(&'static str, &'static str)], remove: &[&'static str]) {
        let mutations = Mutations {
            set: set.iter().map(|(name, value)| (*name, (*value).into())).collect(),
            remove: remove.iter().map(|name| (*name).into()).collect(),
            remove_query: smallvec![],
        };
        let (code, denied) = denied(answer(Outcome::Allow(mutations)));
        assert_eq!((code, denied.status.unwrap().code), (13, 500), "{case}");
        assert!(denied.body.contains(r#""code":"internal""#), "{case}");
    }

    #[test]
    fn what_could_split_a_header_is_denied() {
        made_internal("line feed", &[("x-a", "1\nx-b: 2")], &[]);
        made_internal("carriage return", &[("x-a", "1\r")], &[]);
        made_internal("nul", &[("x-a", "\0")], &[]);
        made_internal("tab", &[("x-a", "a\tb")], &[]);
        made_internal("not ASCII", &[("x-a", "é")], &[]);
        made_internal("delete", &[("x-a", "\x7f")], &[]);
        made_internal("empty value", &[("x-a", "")], &[]);
        made_internal("empty name", &[("", "1")], &[]);
        made_internal("pseudo header", &[(":path", "/")], &[]);
        made_internal("blank in name", &[("x a", "1")], &[]);
        made_internal("upper case", &[("X-A", "1")], &[]);
        made_internal("second of two", &[("x-a", "1"), ("x-b", "\n")], &[]);
        made_internal("set and removed", &[("x-a", "1")], &["X-A"]);
    }

    #[test]
    fn a_challenge_that_could_split_a_header_is_left_out() {
        let notice = Denial::MissingCredential.notice();
        let challenge = Challenge { scheme: "Key", realm: Some("\r\nx: y"), error: None };
        let (_, denied) = denied(answer(Outcome::Deny(notice, smallvec![challenge])));
        assert!(lines(&denied.headers).iter().all(|(name, _)| *name != "www-authenticate"));
    }

    #[test]
    fn the_last_resort_denies() {
        let (code, denied) = denied(decoded(&last_resort()));
        assert_eq!((code, denied.status.unwrap().code), (13, 500));
    }

    fn outcomes() -> impl Strategy<Value = (u8, String, String, u16, u8)> {
        (0..3_u8, ".{0,12}", prop_oneof![".{0,12}", "[ -~]{1,12}"], any::<u16>(), any::<u8>())
    }

    proptest! {
        /// `security-rules.md` 3.2 A1.
        #[test]
        fn a1_code_0_means_allow_and_nothing_else(
            (kind, name, value, status, grpc_status) in outcomes(), grpc: bool, request_id in ".{0,40}",
        ) {
            let notice = Notice { status, code: "c", title: "t", message: "m", grpc_status, retry_after: None };
            let outcome = match kind {
                0 => Outcome::Allow(Mutations {
                    set: smallvec![(&*name, (&*value).into())], ..Mutations::default()
                }),
                1 => Outcome::Deny(notice, smallvec![Challenge { scheme: "Key", realm: Some(&*value), error: None }]),
                _ => Outcome::Fault(notice),
            };
            let frame = render(&Decision { grpc, request_id: &request_id, ..decision(outcome) });
            let response = decoded(&frame);
            let code = response.status.unwrap().code;
            match response.http_response.unwrap() {
                HttpResponse::OkResponse(ok) => {
                    prop_assert!(kind == 0 && code == 0);
                    let sent = ok.headers[0].header.clone().unwrap();
                    prop_assert!(sent.value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
                }
                HttpResponse::DeniedResponse(denied) => {
                    prop_assert!(kind != 2 && code != 0);
                    prop_assert!((400..=599).contains(&denied.status.unwrap().code));
                    if !grpc {
                        let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
                        prop_assert_eq!(body["request_id"].as_str(), Some(&*request_id));
                    }
                }
                HttpResponse::ErrorResponse(_) => prop_assert!(kind == 2 && code != 0),
            }
        }
    }
}
