//! What Envoy's own types read of a check, we read alike.

use std::collections::BTreeSet;

use doorward::domain::request::{Body, Request};
use doorward::grpc::view::Malformed;
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use prost::Message;

/// Nothing is said where they refuse: of fields that we skip they want the texts to be UTF-8.
pub fn holds(message: &[u8], read: &Result<Request<'_>, Malformed>) {
    let Ok(check) = CheckRequest::decode(message) else { return };
    let attributes = check.attributes.unwrap_or_default();
    let http = attributes.request.and_then(|request| request.http);
    let (request, http) = match (read, http) {
        (Ok(request), Some(http)) => (request, http),
        (Ok(_), None) => panic!("a request was made of no HTTP part"),
        (Err(_), None) => return,
        (Err(Malformed(why)), Some(_)) => {
            let alone = [
                "a group",
                "it has headers both as a map and as a list",
                // prost reads the entries of a map without a look at their wire type.
                "a text or message field of another wire type",
            ];
            assert!(alone.contains(why), "refused alone: {why}");
            return;
        }
    };
    assert_eq!(request.id, http.id.as_bytes());
    assert_eq!(request.method, http.method.as_bytes());
    assert_eq!(request.target, http.path.as_bytes());
    assert_eq!(request.host, http.host.as_bytes());
    let extension = |name: &str| attributes.context_extensions.get(name).map(String::as_bytes);
    assert_eq!(request.route.service, extension("service"));
    assert_eq!(request.route.infrastructure, extension("infrastructure"));

    // The map of theirs has lost what came twice, which to us is a duplicate.
    let theirs = http.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let theirs: BTreeSet<(Vec<u8>, &[u8])> = theirs.filter_map(shown).collect();
    let lines = http.header_map.unwrap_or_default().headers;
    let lines = lines.iter().map(|line| {
        (line.key.as_str(), if line.raw_value.is_empty() { line.value.as_bytes() } else { &line.raw_value })
    });
    let lines: Vec<(Vec<u8>, &[u8])> = lines.filter_map(shown).collect();
    let ours: Vec<(Vec<u8>, &[u8])> =
        request.headers.iter().map(|header| (header.name.to_vec(), header.value)).collect();
    if request.joined {
        assert!(theirs.iter().all(|header| ours.contains(header)));
        assert!(ours.iter().all(|(name, _)| theirs.iter().any(|(known, _)| known == name)));
    } else {
        assert_eq!(ours, lines);
    }

    let sent = if http.raw_body.is_empty() { http.body.as_bytes() } else { &http.raw_body };
    match request.body {
        Body::Absent => assert!(sent.is_empty()),
        Body::Partial => assert!(!sent.is_empty()),
        Body::Whole(body) => assert!(body == sent && http.size <= body.len() as i64),
    }
}

/// Pseudo headers repeat what stands elsewhere.
fn shown<'a>((name, value): (&str, &'a [u8])) -> Option<(Vec<u8>, &'a [u8])> {
    (!name.starts_with(':')).then(|| (name.to_ascii_lowercase().into_bytes(), value))
}
