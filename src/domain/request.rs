//! A request as the proxy describes it, borrowed from the bytes it arrived in.

use std::net::IpAddr;

use smallvec::SmallVec;

/// One header line. Names are lower case, because every asker sends them so or is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

/// Most requests have fewer headers than this; more of them spill to the heap.
pub const INLINE_HEADERS: usize = 40;

/// What is to be decided about. All bytes are the client's unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// `GET`, verbatim. Empty where there was none.
    pub method: &'a [u8],
    /// The request target with its query, undecoded: `/orders?key=1`. Empty for CONNECT.
    pub target: &'a [u8],
    /// `:authority` verbatim: case and port as sent.
    pub host: &'a [u8],
    /// Every header the asker showed us, pseudo headers left out.
    pub headers: SmallVec<[Header<'a>; INLINE_HEADERS]>,
    /// Whether header lines of one name may already have been joined with commas by the asker
    /// (Envoy without `encode_raw_headers`), and bytes that are not UTF-8 been replaced by `!`.
    pub joined: bool,
    /// Whether the asker showed us only some of the headers (Envoy's `allowed_headers`), so that
    /// a look-alike of an identity header may pass unseen.
    pub filtered: bool,
    pub body: Body<'a>,
    /// Who holds the other end of the connection to the asker, or whom the PROXY protocol names in
    /// his place: not the client where a proxy is in front; `client::client` finds that one. Never
    /// IPv4-mapped. `None` for a Unix socket, and where the asker did not say or said no address.
    pub source: Option<IpAddr>,
    /// Whether the other end is a Unix socket: then `source` is `None`, but somebody is there.
    pub unix: bool,
    /// The operator's words about the route; no client can set them.
    pub route: Route<'a>,
    /// Envoy's own id of the request, not `x-request-id`.
    pub id: &'a [u8],
    /// Whether the caller speaks gRPC and so reads `grpc-status` instead of a body.
    pub grpc: bool,
}

/// What the route's `context_extensions` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route<'a> {
    pub service: Option<&'a [u8]>,
    pub infrastructure: Option<&'a [u8]>,
}

/// The request's body, as far as the asker was told to send it along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body<'a> {
    /// None was sent to us.
    #[default]
    Absent,
    /// Its beginning only (`allow_partial_message`); no credential is read from it.
    Partial,
    Whole(&'a [u8]),
}

/// What was found under one header name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    Absent,
    One(&'a [u8]),
    /// More than one line; whoever needs a single value refuses.
    Many,
}

impl<'a> Request<'a> {
    /// The value under `name`, which must be lower case.
    pub fn header(&self, name: &[u8]) -> HeaderValue<'a> {
        let mut found = HeaderValue::Absent;
        for header in &self.headers {
            if header.name == name {
                found = match found {
                    HeaderValue::Absent => HeaderValue::One(header.value),
                    _ => return HeaderValue::Many,
                };
            }
        }
        found
    }
}

/// Whether Envoy takes a caller with this content type for one that speaks gRPC: not gRPC-Web.
pub fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

impl<'a> HeaderValue<'a> {
    /// The single value, where there is exactly one line.
    pub fn one(self) -> Option<&'a [u8]> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Many => None,
        }
    }
}
