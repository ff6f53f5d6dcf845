//! What must hold of every answer, whatever was asked.

use doorward::domain::headers::IdentityHeaders;
use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, OkHttpResponse};
use envoy_types::pb::google::protobuf::value::Kind;
use prost::Message;

pub enum Answer {
    Allowed(Allowed),
    Denied,
}

pub struct Allowed {
    ok: OkHttpResponse,
    service: String,
}

pub fn read(frame: &[u8]) -> Answer {
    let (prefix, message) = frame.split_at(5);
    assert_eq!(prefix[0], 0, "not compressed");
    assert_eq!(prefix[1..], u32::try_from(message.len()).expect("kilobytes").to_be_bytes());
    let answer = CheckResponse::decode(message).expect("Envoy can read the answer");
    let code = answer.status.expect("an answer without status is an allow").code;
    match answer.http_response.expect("an answer says what it is") {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(code, 0);
            let metadata = answer.dynamic_metadata.expect("metadata");
            let service = match metadata.fields.get("service").and_then(|value| value.kind.as_ref()) {
                Some(Kind::StringValue(service)) => service.clone(),
                other => panic!("an allow for no service: {other:?}"),
            };
            let allowed = Allowed { ok, service };
            allowed.holds();
            Answer::Allowed(allowed)
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_ne!(code, 0, "a denial that is an allow");
            let status = denied.status.expect("a denial has a status").code;
            assert!((400..600).contains(&status), "{status}");
            assert_ne!(status, 500, "a mistake of ours");
            pairs(&denied.headers).for_each(|(name, value)| sendable(name, value));
            Answer::Denied
        }
        HttpResponse::ErrorResponse(_) => panic!("the store answers, so nobody can cause a fault"),
    }
}

impl Allowed {
    fn holds(&self) {
        let identity = IdentityHeaders::default();
        let names: Vec<&str> = pairs(&self.ok.headers).map(|(name, _)| name).collect();
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name} is set twice");
            assert!(!self.removes(name.as_bytes()), "{name} is set and removed");
            assert!(
                identity.names().any(|ours| ours == *name) || *name == "cookie",
                "{name} is not ours to set"
            );
        }
        pairs(&self.ok.headers).for_each(|(name, value)| sendable(name, value));
        for name in identity.names() {
            assert!(names.contains(&name) || self.removes(name.as_bytes()), "{name} is left to the client");
        }
        for name in &self.ok.headers_to_remove {
            assert!(!name.starts_with(':') && !name.eq_ignore_ascii_case("host"), "{name}");
        }
        for option in &self.ok.headers {
            assert_eq!(option.append_action().as_str_name(), "OVERWRITE_IF_EXISTS_OR_ADD");
        }
        assert!(self.ok.query_parameters_to_set.is_empty() && self.ok.response_headers_to_add.is_empty());
    }

    pub fn service(&self) -> &str {
        &self.service
    }

    pub fn username(&self) -> Option<&str> {
        pairs(&self.ok.headers).find(|(name, _)| *name == "x-consumer-username").map(|(_, value)| value)
    }

    pub fn set(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        pairs(&self.ok.headers).map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }

    pub fn sets(&self, name: &[u8]) -> bool {
        self.set().any(|(set, _)| set == name)
    }

    pub fn removes(&self, name: &[u8]) -> bool {
        self.ok.headers_to_remove.iter().any(|removed| removed.as_bytes().eq_ignore_ascii_case(name))
    }

    pub fn removes_parameter(&self, name: &[u8]) -> bool {
        self.ok.query_parameters_to_remove.iter().any(|removed| removed.as_bytes() == name)
    }
}

fn pairs(options: &[HeaderValueOption]) -> impl Iterator<Item = (&str, &str)> {
    let header = |option: &HeaderValueOption| option.header.is_some();
    assert!(options.iter().all(header), "an option without header");
    options.iter().filter_map(|option| option.header.as_ref()).map(|header| (&*header.key, &*header.value))
}

fn sendable(name: &str, value: &str) {
    let is_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    assert!(!name.is_empty() && name.bytes().all(is_name), "{name:?}");
    assert!(!value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{name}: {value:?}");
}
