//! The line that says what was decided: every refusal up to a rate, a share of what passed.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tracing::Level;
use uuid::Uuid;

use super::log::{Bytes, Hex, Moment, Object};
use crate::domain::client::Client;
use crate::domain::principal::CredentialName;
use crate::domain::time::Timestamp;
use crate::domain::traced::Traced;

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictLabel {
    Allow,
    Deny,
    Fault,
}

impl VerdictLabel {
    pub const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::Fault];

    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Fault => "fault",
        }
    }
}

/// One decision, as it is counted and logged.
///
/// There is no field for headers, query, body or credential: what is not here cannot leak.
#[derive(Clone, Copy, Debug)]
pub struct DecisionLine<'a> {
    pub request_id: &'a str,
    pub verdict: VerdictLabel,
    /// `enforce` or `shadow`.
    pub mode: &'static str,
    /// The span that this check is, where it is recorded.
    pub traced: Option<&'a Traced>,
    /// Whether it is the operator's or ours to mend, and so an error in the log.
    pub mistake: bool,
    /// The code of a denial or fault.
    pub code: Option<&'static str>,
    /// What the caller is not told.
    pub why: Option<&'static str>,
    pub service: Option<&'a str>,
    pub infrastructure: Option<&'a str>,
    /// The client's bytes.
    pub method: &'a [u8],
    /// Canonical where there is such a form; a query or fragment is cut off here in any case.
    pub path: &'a [u8],
    /// The client's bytes.
    pub host: &'a [u8],
    /// Written as `client`, the address where it is known, and `client_from`, the hop that named it.
    pub client: Option<Client>,
    /// The method by which something was presented: `api_key` and so on.
    pub presented: Option<&'static str>,
    /// What names the credential without proving it.
    pub credential: Option<&'a CredentialName>,
    pub consumer: Option<Uuid>,
    pub username: Option<&'a str>,
    /// From the whole check's arrival to its decision.
    pub duration: Duration,
}

/// Longest path and host that are written, in bytes; the rest is cut off.
const PATH_BYTES: usize = 256;

/// Longest method that is written, in bytes. The longest registered one has 17.
const METHOD_BYTES: usize = 32;

impl DecisionLine<'_> {
    /// A decision is an event of its own for whoever filters: `doorward::check=warn` silences
    /// what passed and what callers caused, and leaves what is ours to mend.
    pub(super) fn write(&self) {
        let [method, host, path] = self.parts();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "doorward::check",
                    request_id = self.request_id,
                    trace_id = self.traced.map(|traced| tracing::field::display(Hex(&traced.trace))),
                    span_id = self.traced.map(|traced| tracing::field::display(Hex(&traced.span))),
                    verdict = self.verdict.name(),
                    mode = self.mode,
                    code = self.code,
                    why = self.why,
                    service = self.service,
                    infrastructure = self.infrastructure,
                    method = %Bytes(method),
                    path = %Bytes(path),
                    host = %Bytes(host),
                    client = self.client.and_then(|client| client.address).map(tracing::field::display),
                    client_from = self.client.map(|client| tracing::field::display(client.hop.word())),
                    credential = self.credential.map(tracing::field::display),
                    consumer = self.consumer.map(tracing::field::display),
                    username = self.username,
                    duration_us = self.microseconds(),
                    "check"
                )
            };
        }
        if self.mistake {
            line!(error);
        } else {
            line!(info);
        }
    }

    /// The line as the log has it in JSON, for whoever follows; a test holds that it is the same.
    pub(super) fn json(&self, moment: &Moment) -> String {
        let [method, host, path] = self.asked();
        let level = if self.mistake { Level::ERROR } else { Level::INFO };
        Object::begin(moment, &level, TARGET, "check")
            .text("request_id", self.request_id)
            .shown("trace_id", self.traced.map(|traced| Hex(&traced.trace)))
            .shown("span_id", self.traced.map(|traced| Hex(&traced.span)))
            .text("verdict", self.verdict.name())
            .text("mode", self.mode)
            .text("code", self.code)
            .text("why", self.why)
            .text("service", self.service)
            .text("infrastructure", self.infrastructure)
            .text("method", &*method)
            .text("path", &*path)
            .text("host", &*host)
            .shown("client", self.client.and_then(|client| client.address))
            .shown("client_from", self.client.map(|client| client.hop.word()))
            .shown("credential", self.credential)
            .shown("consumer", self.consumer)
            .text("username", self.username)
            .number("duration_us", self.microseconds())
            .end()
    }

    /// Method, host and path, as far as they are told.
    pub fn asked(&self) -> [Cow<'_, str>; 3] {
        self.parts().map(String::from_utf8_lossy)
    }

    fn parts(&self) -> [&[u8]; 3] {
        [
            cut(self.method, METHOD_BYTES),
            cut(self.host, PATH_BYTES),
            cut(without_query(self.path), PATH_BYTES),
        ]
    }

    pub fn microseconds(&self) -> u64 {
        u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX)
    }
}

/// What a decision is called for whoever filters; a macro below asks for it in letters.
const TARGET: &str = "doorward::check";

fn without_query(path: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'?', b'#', path).unwrap_or(path.len());
    &path[..end]
}

fn cut(bytes: &[u8], limit: usize) -> &[u8] {
    &bytes[..bytes.len().min(limit)]
}

/// Which decisions are written. Asked on every check, so: no lock, and for what passes no memory
/// that other threads write to.
#[derive(Debug)]
pub(super) struct Sampler {
    /// An allow is written where its place in the sequence is below this; `u64::MAX`: all.
    share: AtomicU64,
    refusals: Rate,
}

/// So many in a second, over all threads.
#[derive(Debug)]
pub(super) struct Rate {
    most: AtomicU32,
    /// The second in the upper half, how many it has had so far in the lower.
    window: AtomicU64,
}

thread_local! {
    static PLACE: Cell<u64> = const { Cell::new(0) };
}

/// 2^64 divided by the golden ratio: its multiples spread evenly, whatever pattern requests have.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

impl Sampler {
    pub(super) fn new() -> Self {
        Self { share: AtomicU64::new(0), refusals: Rate::new(1000) }
    }

    pub(super) fn set(&self, share: f64, refusals: u32) {
        // A cast from f64 saturates, and makes zero of what is no number.
        let below = (share * 2f64.powi(64)) as u64;
        self.share.store(below, Ordering::Relaxed);
        self.refusals.most.store(refusals, Ordering::Relaxed);
    }

    pub(super) fn wants_allow(&self) -> bool {
        match self.share.load(Ordering::Relaxed) {
            0 => false,
            u64::MAX => true,
            below => PLACE.with(|place| {
                let next = place.get().wrapping_add(STRIDE);
                place.set(next);
                next < below
            }),
        }
    }

    /// Whether one more refusal may be written in the second `now`.
    pub(super) fn wants_refusal(&self, now: Timestamp) -> bool {
        self.refusals.has_room(now)
    }
}

impl Rate {
    pub(super) fn new(most: u32) -> Self {
        Self { most: AtomicU32::new(most), window: AtomicU64::new(0) }
    }

    /// Whether there is room for one more in the second `now`, which is then taken.
    pub(super) fn has_room(&self, now: Timestamp) -> bool {
        // Only whether it is the same second matters, so its lower half is enough.
        let second = (now.unix() as u64) << 32;
        let most = u64::from(self.most.load(Ordering::Relaxed));
        self.window
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |window| {
                let (began, count) = (window & !0xffff_ffff, window & 0xffff_ffff);
                let count = if began == second { count } else { 0 };
                (count < most).then_some(second | (count + 1))
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_are_written_in_the_share_that_was_asked_for() {
        let check = |share: f64, expected: std::ops::RangeInclusive<usize>| {
            let sampler = Sampler::new();
            sampler.set(share, 0);
            let written = (0..10_000).filter(|_| sampler.wants_allow()).count();
            assert!(expected.contains(&written), "{share}: {written}");
        };
        check(0.0, 0..=0);
        check(0.01, 95..=105);
        check(0.5, 4_990..=5_010);
        check(1.0, 10_000..=10_000);
        check(-1.0, 0..=0);
        check(f64::NAN, 0..=0);
        check(7.0, 10_000..=10_000);
    }

    #[test]
    fn refusals_are_written_up_to_the_limit_of_each_second() {
        let sampler = Sampler::new();
        sampler.set(0.0, 3);
        let written =
            |second| (0..10).filter(|_| sampler.wants_refusal(Timestamp::from_unix(second))).count();
        assert_eq!([written(100), written(100), written(101), written(100)], [3, 0, 3, 3]);
        sampler.set(0.0, 0);
        assert_eq!(written(102), 0);
    }

    #[test]
    fn neither_query_nor_fragment_is_part_of_a_path() {
        for target in ["/orders?key=1", "/orders#key=1", "/orders"] {
            assert_eq!(without_query(target.as_bytes()), b"/orders");
        }
    }
}
