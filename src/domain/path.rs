//! The canonical form of a request target, or why it has none.

use std::borrow::Cow;

use super::denial::Denial;

/// A request target, parted and read the one way in which it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Begins with `/`; unreserved escapes decoded; no empty, `.` or `..` segment.
    pub path: Cow<'a, [u8]>,
    /// What follows the first `?`, undecoded.
    pub query: Option<&'a [u8]>,
}

pub fn parse(_target: &[u8]) -> Result<Target<'_>, Denial> {
    Err(Denial::MalformedRequest { why: "not built yet" })
}
