//! One gRPC message coming in: framing, size, load.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

use super::PREFIX;
use super::service::Limits;
use crate::domain::denial::Denial;

/// Why a message will not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Denied(Denial),
    /// It is compressed, which we said that we do not read: the one refusal that gRPC wants as an
    /// RPC error. No client of the proxy can bring it about.
    Compressed,
}

fn malformed(why: &'static str) -> Refusal {
    Refusal::Denied(Denial::MalformedRequest { why })
}

/// Checks and bytes under way, over all connections.
#[derive(Default)]
pub(super) struct Load {
    checks: AtomicUsize,
    bytes: AtomicUsize,
}

/// One check's part of the load, given back when dropped.
pub(super) struct Ticket<'l> {
    load: &'l Load,
    bytes: usize,
}

impl Load {
    /// `None` where there are as many checks under way as may be.
    pub(super) fn admit(&self, limits: &Limits) -> Option<Ticket<'_>> {
        let before = self.checks.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket { load: self, bytes: 0 };
        (before < limits.checks_in_flight).then_some(ticket)
    }
}

impl Ticket<'_> {
    /// False where no more bytes may be under way.
    fn charge(&mut self, bytes: usize, limits: &Limits) -> bool {
        let before = self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before.saturating_add(bytes) <= limits.bytes_in_flight
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.load.checks.fetch_sub(1, Ordering::Relaxed);
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Takes the one message of a call off its body; no copy where it came in one frame, else one.
///
/// The whole of its declared length is charged before any of it is kept.
pub(super) async fn message<B>(
    body: &mut B,
    ticket: &mut Ticket<'_>,
    limits: &Limits,
) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut frame = data(body).await?.ok_or_else(|| malformed("the call has no message"))?;
    while frame.len() < PREFIX {
        let more = data(body).await?.ok_or_else(|| malformed("the call ends within a prefix"))?;
        frame = [frame, more].concat().into();
    }
    let length = declared(&frame)?;
    if length > limits.check_bytes {
        return Err(Refusal::Denied(Denial::CheckTooLarge));
    }
    if !ticket.charge(length, limits) {
        return Err(Refusal::Denied(Denial::Overloaded));
    }
    if frame.len() < PREFIX + length {
        frame = joined(body, frame, PREFIX + length).await?;
    }
    let after = if frame.len() > PREFIX + length { true } else { data(body).await?.is_some() };
    if after {
        return Err(malformed("the call has more than one message"));
    }
    Ok(frame.slice(PREFIX..))
}

/// Reads to the end and keeps nothing. An answer that overtakes its question would reach some
/// callers as a reset, which is an RPC error and so, to an Envoy that fails open, an allow.
pub(super) async fn drain<B: Body<Data = Bytes> + Unpin>(body: &mut B) {
    while let Ok(Some(_)) = data(body).await {}
}

/// The length in the prefix.
fn declared(frame: &[u8]) -> Result<usize, Refusal> {
    match *frame {
        [0, a, b, c, d, ..] => Ok(u32::from_be_bytes([a, b, c, d]) as usize),
        [1, ..] => Err(Refusal::Compressed),
        _ => Err(malformed("an unknown flag before the message")),
    }
}

/// `length` bytes and what comes with the last of them. Copied, so that a message in tiny frames
/// does not hold on to the buffers in which they came.
async fn joined<B>(body: &mut B, first: Bytes, length: usize) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = BytesMut::with_capacity(length);
    whole.extend_from_slice(&first);
    while whole.len() < length {
        let more = data(body).await?.ok_or_else(|| malformed("the call ends within its message"))?;
        whole.extend_from_slice(&more);
    }
    Ok(whole.freeze())
}

/// The next bytes of the body; `None` at its end.
async fn data<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Result<Option<Bytes>, Refusal> {
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => return Err(malformed("the call broke off")),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Ok(Some(bytes)),
                Err(_trailers) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn small() -> Limits {
        Limits { check_bytes: 8, checks_in_flight: 1, bytes_in_flight: 9, ..Limits::default() }
    }

    async fn arrived(call: &[u8], piece: usize) -> Result<Bytes, Refusal> {
        let (load, limits) = (Load::default(), small());
        let mut ticket = load.admit(&limits).unwrap();
        let pieces = call.chunks(piece).map(Bytes::copy_from_slice).collect();
        message(&mut Pieces(pieces), &mut ticket, &limits).await
    }

    /// Cut into pieces of every size, the same.
    #[track_caller]
    fn check(case: &str, call: &[u8], expected: Result<&'static [u8], Refusal>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for piece in 1..=call.len().max(1) {
            let found = runtime.block_on(arrived(call, piece));
            assert_eq!(found, expected.clone().map(Bytes::from_static), "{case} in pieces of {piece}");
        }
    }

    #[test]
    fn a_call_holds_one_message_of_bounded_size() {
        check("a message", b"\0\0\0\0\x03abc", Ok(b"abc"));
        check("an empty one", b"\0\0\0\0\0", Ok(b""));
        check("the longest", b"\0\0\0\0\x08abcdefgh", Ok(b"abcdefgh"));
        check("too long", b"\0\0\0\0\x09abcdefghi", Err(Refusal::Denied(Denial::CheckTooLarge)));
        check("claims to be too long", b"\0\xff\xff\xff\xff", Err(Refusal::Denied(Denial::CheckTooLarge)));
        check("compressed", b"\x01\0\0\0\x03abc", Err(Refusal::Compressed));
        check("other flag", b"\x02\0\0\0\x03abc", Err(malformed("an unknown flag before the message")));
        check("none", b"", Err(malformed("the call has no message")));
        check("cut prefix", b"\0\0\0", Err(malformed("the call ends within a prefix")));
        check("cut message", b"\0\0\0\0\x03ab", Err(malformed("the call ends within its message")));
        check("two", b"\0\0\0\0\x01a\0\0\0\0\x01b", Err(malformed("the call has more than one message")));
        check("rest", b"\0\0\0\0\x01ab", Err(malformed("the call has more than one message")));
    }

    #[tokio::test]
    async fn checks_and_bytes_are_given_back() {
        let (load, limits) = (Load::default(), small());
        for _ in 0..3 {
            let mut ticket = load.admit(&limits).unwrap();
            assert!(load.admit(&limits).is_none(), "one at a time");
            assert!(ticket.charge(9, &limits));
            assert!(!ticket.charge(1, &limits), "nine bytes at a time");
        }
    }
}
