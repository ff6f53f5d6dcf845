//! Which span of which trace a check is, where somebody records it.

use std::time::SystemTime;

/// The span of one check (W3C Trace Context): begun when it arrived, recorded once it is decided.
///
/// The ids are those of the wire. It says nothing about the request and no rule reads it.
#[derive(Clone, Debug)]
pub struct Traced {
    pub door: Door,
    pub trace: [u8; 16],
    pub span: [u8; 8],
    /// The asker's span; `None`: the trace begins here.
    pub parent: Option<[u8; 8]>,
    /// `tracestate`, at most 512 characters of ASCII that nobody has read yet.
    pub state: String,
    pub began: SystemTime,
}

/// Where a check came in. The words are constants: a span's name has few values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The method that was called, with its service.
    Grpc(&'static str),
    /// The path below which proxies ask.
    Http(&'static str),
}
