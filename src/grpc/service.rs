//! One call: Check is answered here, everything else by tonic's services on the same connection.
//!
//! Whatever goes wrong with a check is a denial inside a *successful* call. To Envoy an RPC error is
//! no denial, and with `failure_mode_allow` it lets the request pass.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, header};
use hyper::body::Incoming;
use tonic::service::Routes;
use tower::Service as _;

use super::arrival::{self, Load, Refusal, Ticket};
use super::health::Health;
use super::render::{last_resort, render};
use super::reply::Reply;
use super::view;
use crate::check::{Checker, Decision, Done, MOST_WORK, Waiting, Work};
use crate::domain::denial::Denial;
use crate::domain::request;
use crate::domain::traced::{Door, Traced};
use crate::telemetry::Traces;

/// Who decides: the [`Checker`], or what a test puts in its place.
pub trait Decide: Send + Sync + 'static {
    /// See [`Checker::check`].
    fn check<T>(&self, request: &request::Request<'_>, render: impl FnOnce(&Decision<'_>) -> T) -> T;

    /// See [`Checker::attempt`]. Whoever verifies no signatures decides at once.
    fn attempt<T>(
        &self,
        request: &request::Request<'_>,
        _done: &[Done],
        render: impl FnOnce(&Decision<'_>) -> T,
    ) -> Result<T, Work> {
        Ok(self.check(request, render))
    }

    /// See [`Checker::verify`].
    fn verify(&self, work: Work) -> Option<Waiting> {
        let _ = work;
        None
    }

    /// See [`Checker::refuse`].
    fn refuse<T>(
        &self,
        denial: Denial,
        traced: Option<&Traced>,
        render: impl FnOnce(&Decision<'_>) -> T,
    ) -> T;
}

/// One checker, shared with the other wires.
impl<D: Decide> Decide for Arc<D> {
    fn check<T>(&self, request: &request::Request<'_>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
        D::check(self, request, render)
    }

    fn attempt<T>(
        &self,
        request: &request::Request<'_>,
        done: &[Done],
        render: impl FnOnce(&Decision<'_>) -> T,
    ) -> Result<T, Work> {
        D::attempt(self, request, done, render)
    }

    fn verify(&self, work: Work) -> Option<Waiting> {
        D::verify(self, work)
    }

    fn refuse<T>(
        &self,
        denial: Denial,
        traced: Option<&Traced>,
        render: impl FnOnce(&Decision<'_>) -> T,
    ) -> T {
        D::refuse(self, denial, traced, render)
    }
}

impl Decide for Checker {
    fn check<T>(&self, request: &request::Request<'_>, render: impl FnOnce(&Decision<'_>) -> T) -> T {
        Self::check(self, request, render)
    }

    fn attempt<T>(
        &self,
        request: &request::Request<'_>,
        done: &[Done],
        render: impl FnOnce(&Decision<'_>) -> T,
    ) -> Result<T, Work> {
        Self::attempt(self, request, done, render)
    }

    fn verify(&self, work: Work) -> Option<Waiting> {
        Self::verify(self, work)
    }

    fn refuse<T>(
        &self,
        denial: Denial,
        traced: Option<&Traced>,
        render: impl FnOnce(&Decision<'_>) -> T,
    ) -> T {
        Self::refuse(self, denial, traced, render)
    }
}

/// What checks may take up.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest check in bytes; 9 MiB. Above what Envoy may be told to send as a body, since a
    /// larger one is denied.
    pub check_bytes: usize,
    /// Checks under way at once, over all connections; 16,384. More are `overloaded`.
    pub checks_in_flight: usize,
    /// Bytes of checks under way at once, over all connections; 256 MiB. More are `overloaded`.
    pub bytes_in_flight: usize,
    /// How long a check may take to arrive whole, where its `grpc-timeout` allows more or there is
    /// none; 10 s.
    pub arrival: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            check_bytes: 9 << 20,
            checks_in_flight: 16_384,
            bytes_in_flight: 256 << 20,
            arrival: Duration::from_secs(10),
        }
    }
}

/// What answers calls. One for all connections, behind an `Arc`.
pub struct Wire<D> {
    decide: D,
    limits: Limits,
    load: Load,
    health: Health,
    services: Routes,
    /// `None` where nobody asks for traces.
    traces: Option<Arc<Traces>>,
}

/// One check that has arrived.
#[derive(Clone, Copy)]
struct Call<'c> {
    message: &'c [u8],
    traced: Option<&'c Traced>,
}

impl<D: Decide> Wire<D> {
    pub fn new(decide: D, limits: Limits, health: Health) -> Self {
        let services = Routes::new(health.service()).prepare();
        Self { decide, limits, load: Load::default(), health, services, traces: None }
    }

    /// Has each check be a span, as far as it is wanted.
    pub fn with_traces(self, traces: Option<Arc<Traces>>) -> Self {
        Self { traces, ..self }
    }

    /// Serves reflection (v1) too, which tells whoever can reach the port what is served there.
    pub fn with_reflection(self) -> Self {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(AUTHORIZATION_DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("descriptors made by compilers");
        Self { services: self.services.add_service(reflection).prepare(), ..self }
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Answers one call of a connection, which has the wire in a count of its own: one that all
    /// threads share would be changed by each of them for each call.
    #[allow(clippy::redundant_allocation, reason = "the inner count is the one that threads share")]
    pub(crate) async fn answer(
        wire: Rc<Arc<Self>>,
        call: Request<Incoming>,
    ) -> Result<Response<Reply>, Infallible> {
        if call.method() != Method::POST || call.uri().path() != CHECK {
            // Boxed, so that the future of a check stays small.
            return Ok(Box::pin(wire.services(call)).await);
        }
        if !is_grpc(call.headers()) {
            return Ok(Reply::unsupported_media_type());
        }
        let allowed =
            timeout(call.headers()).map_or(wire.limits.arrival, |asked| asked.min(wire.limits.arrival));
        let traced = wire.traces.as_ref().and_then(|traces| traces.begin(DOOR, call.headers()));
        let traced = traced.as_deref();
        Ok(match wire.arrival(call.into_body(), allowed).await {
            // Its place is taken until it is answered, also where that takes a signature.
            Ok((message, _place)) => {
                let call = Call { message: &message, traced };
                match wire.decide(call, &[]) {
                    Ok(answer) => Reply::message(answer),
                    // Boxed, so that the future of a check stays small.
                    Err(work) => Reply::message(Box::pin(wire.decide_verified(call, work, allowed)).await),
                }
            }
            Err(Refusal::Denied(denial)) => Reply::message(wire.refuse(denial, traced)),
            Err(Refusal::Compressed) => Reply::compressed(),
        })
    }

    /// Waits for the message, and where it is refused for its end, all within the time `allowed`.
    async fn arrival(&self, mut body: Incoming, allowed: Duration) -> Result<(Bytes, Ticket<'_>), Refusal> {
        // Outlives the wait: what was found wrong stays so when the rest does not come in time.
        let refused = Cell::new(None);
        let arriving = async {
            let found = match self.load.admit(&self.limits) {
                Some(mut ticket) => {
                    let message = arrival::message(&mut body, &mut ticket, &self.limits).await;
                    message.map(|message| (message, ticket))
                }
                None => Err(Refusal::Denied(Denial::Overloaded)),
            };
            match found {
                Ok(message) => Some(message),
                Err(refusal) => {
                    refused.set(Some(refusal));
                    arrival::drain(&mut body).await;
                    None
                }
            }
        };
        let mut arriving = pin!(arriving);
        // Mostly it is all there, and then no clock needs to be set.
        let at_once = poll_fn(|context| Poll::Ready(arriving.as_mut().poll(context))).await;
        let arrived = match at_once {
            Poll::Ready(arrived) => arrived,
            Poll::Pending => tokio::time::timeout(allowed, arriving).await.ok().flatten(),
        };
        arrived.ok_or_else(|| refused.take().unwrap_or(Refusal::Denied(Denial::Deadline)))
    }

    /// The answer to a message that has arrived. A panic on the way is the denial `internal`.
    ///
    /// # Errors
    ///
    /// A signature that has to be verified first.
    fn decide(&self, Call { message, traced }: Call<'_>, done: &[Done]) -> Result<Bytes, Work> {
        let deciding = AssertUnwindSafe(|| {
            let (mut scratch, mut request) = (Vec::new(), request::Request::default());
            match view::read(message, &mut scratch, &mut request) {
                Ok(()) => {
                    request.traced = traced;
                    self.decide.attempt(&request, done, render)
                }
                Err(view::Malformed(why)) => {
                    Ok(self.decide.refuse(Denial::MalformedRequest { why }, traced, render))
                }
            }
        });
        catch_unwind(deciding).unwrap_or_else(|_| {
            tracing::error!("a panic while deciding a check, which was denied");
            Ok(self.refuse(Denial::Internal { why: "a panic" }, traced))
        })
    }

    /// The same where a signature or a password has to be verified: waits for it, and decides anew. The only thing
    /// besides its own message that a check waits for, and whatever goes wrong with it is a denial.
    async fn decide_verified(&self, call: Call<'_>, work: Work, allowed: Duration) -> Bytes {
        let mut done = Vec::new();
        let deciding = async {
            let mut work = work;
            loop {
                let waiting = self.decide.verify(work).ok_or(Denial::Overloaded)?;
                // Nothing comes of it after a panic, or where it was not its turn in time.
                done.push(waiting.done().await.ok_or(Denial::Overloaded)?);
                work = match self.decide(call, &done) {
                    Ok(answer) => return Ok(answer),
                    Err(_) if done.len() >= MOST_WORK => {
                        return Err(Denial::Internal { why: "a check that asks for too much work" });
                    }
                    Err(more) => more,
                };
            }
        };
        match tokio::time::timeout(allowed, deciding).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(denial)) => self.give_up(call, denial, done),
            Err(_) => self.give_up(call, Denial::Deadline, done),
        }
    }

    /// Decides without what could not be verified: the deployment may only be watched, and the log says
    /// which one it is.
    fn give_up(&self, call: Call<'_>, denial: Denial, mut done: Vec<Done>) -> Bytes {
        done.push(Done::GivenUp(denial.clone()));
        self.decide(call, &done).unwrap_or_else(|_| self.refuse(denial, call.traced))
    }

    fn refuse(&self, denial: Denial, traced: Option<&Traced>) -> Bytes {
        let refusing = AssertUnwindSafe(|| self.decide.refuse(denial, traced, render));
        catch_unwind(refusing).unwrap_or_else(|_| {
            tracing::error!("a panic while refusing a check, which was denied");
            last_resort()
        })
    }

    /// Health and reflection; UNIMPLEMENTED for what we do not know.
    async fn services(&self, call: Request<Incoming>) -> Response<Reply> {
        match self.services.clone().call(call).await {
            Ok(response) => response.map(Reply::Tonic),
            Err(never) => match never {},
        }
    }
}

const AUTHORIZATION_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/external_auth.bin"));
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(super) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const DOOR: Door = Door::Grpc("envoy.service.auth.v3.Authorization/Check");

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let rest = content_type.strip_prefix(b"application/grpc");
    let rest = rest.map(|rest| rest.strip_prefix(b"+proto").unwrap_or(rest));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b';')))
}

/// `grpc-timeout`: up to eight digits and a unit. What is written otherwise is taken for absent.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get(GRPC_TIMEOUT)?.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount: u32 = digits.iter().fold(0, |sum, digit| 10 * sum + u32::from(digit - b'0'));
    let unit = match unit {
        b'H' => Duration::from_secs(3600),
        b'M' => Duration::from_secs(60),
        b'S' => Duration::from_secs(1),
        b'm' => Duration::from_millis(1),
        b'u' => Duration::from_micros(1),
        b'n' => Duration::from_nanos(1),
        _ => return None,
    };
    Some(unit * amount)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[track_caller]
    fn check(text: &'static str, expected: Option<Duration>) {
        let headers = HeaderMap::from_iter([(
            header::HeaderName::from_static("grpc-timeout"),
            header::HeaderValue::from_static(text),
        )]);
        assert_eq!(timeout(&headers), expected, "{text}");
    }

    #[test]
    fn a_deadline_is_digits_and_a_unit() {
        check("1000m", Some(Duration::from_secs(1)));
        check("2H", Some(Duration::from_secs(7200)));
        check("3M", Some(Duration::from_secs(180)));
        check("4S", Some(Duration::from_secs(4)));
        check("5u", Some(Duration::from_micros(5)));
        check("6n", Some(Duration::from_nanos(6)));
        check("0m", Some(Duration::ZERO));
        check("99999999H", Some(Duration::from_secs(99_999_999 * 3600)));
        for text in ["", "m", "1", "123456789m", "-1m", "1.5S", "1s", "+1S"] {
            check(text, None);
        }
    }
}
