//! A request as the proxy describes it, borrowed from the bytes it arrived in.

use std::net::IpAddr;
use std::ops::Deref;

use smallvec::SmallVec;

use super::traced::Traced;

/// One header line. Names are lower case, because every asker sends them so or is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

/// Most requests have fewer headers than this; more of them spill to the heap.
const INLINE_HEADERS: usize = 40;

/// The header lines of a request, in order.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    lines: SmallVec<[Header<'a>; INLINE_HEADERS]>,
    glance: Glance,
}

impl<'a> Headers<'a> {
    pub fn push(&mut self, header: Header<'a>) {
        self.glance.note(header.name);
        self.lines.push(header);
    }

    /// The lines under `name`, which must be lower case.
    pub fn named(&self, name: &[u8]) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let lines = if self.glance.may_have(name) { &self.lines[..] } else { &[] };
        lines.iter().filter(move |header| header.name == name).map(|header| header.value)
    }
}

impl<'a> Deref for Headers<'a> {
    type Target = [Header<'a>];

    fn deref(&self) -> &[Header<'a>] {
        &self.lines
    }
}

impl<'a> FromIterator<Header<'a>> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = Header<'a>>>(headers: I) -> Self {
        let mut all = Self::default();
        headers.into_iter().for_each(|header| all.push(header));
        all
    }
}

impl<'h, 'a> IntoIterator for &'h Headers<'a> {
    type Item = &'h Header<'a>;
    type IntoIter = std::slice::Iter<'h, Header<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A bit for each name that was seen, by its length and last byte: most names that are asked for
/// are not there, and then nothing has to be walked through to know it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Glance(u64);

impl Glance {
    pub(super) fn note(&mut self, name: &[u8]) {
        self.0 |= Self::bit(name);
    }

    /// False only where it was never noted.
    pub(super) fn may_have(self, name: &[u8]) -> bool {
        self.0 & Self::bit(name) != 0
    }

    fn bit(name: &[u8]) -> u64 {
        let last = name.last().map_or(0, |last| usize::from(*last));
        1 << ((name.len().wrapping_mul(11) ^ last) & 63)
    }
}

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
    pub headers: Headers<'a>,
    /// Whether header lines of one name may already have been joined with commas by the asker
    /// (Envoy without `encode_raw_headers`), and bytes that are not UTF-8 been replaced by `!`.
    pub joined: bool,
    /// Whether the asker showed us only some of the headers (Envoy's `allowed_headers`), so that
    /// a look-alike of an identity header may pass unseen.
    pub filtered: bool,
    /// Whether `x-forwarded-for` names the other end of the connection alone, and the asker may have
    /// left out what a proxy there said before it.
    pub hops_hidden: bool,
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
    /// The span that the check is, where it is recorded. Nothing is decided by it.
    pub traced: Option<&'a Traced>,
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
        let mut lines = self.headers.named(name);
        match (lines.next(), lines.next()) {
            (None, _) => HeaderValue::Absent,
            (Some(only), None) => HeaderValue::One(only),
            (Some(_), Some(_)) => HeaderValue::Many,
        }
    }
}

/// The id of a request, where it is fit for logs: visible ASCII, and no longer than `LONGEST_ID`.
pub fn id_for_logs(id: &[u8]) -> Option<&str> {
    // Looks at every byte, which is quicker than to stop at the first that is wrong: none is.
    let plain = (1..=LONGEST_ID).contains(&id.len())
        && id.iter().fold(true, |all, byte| all & byte.is_ascii_graphic());
    plain.then(|| std::str::from_utf8(id).ok()).flatten()
}

/// Characters. What a longer id is not believed to be.
const LONGEST_ID: usize = 128;

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
