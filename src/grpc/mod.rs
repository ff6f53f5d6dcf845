//! Envoy's wire: `envoy.service.auth.v3.Authorization`, health and reflection.
//!
//! * [`view`] — a check's bytes as a request, borrowed; [`render`] — a decision as an answer's bytes.
//! * [`service`] — one HTTP/2 stream: what arrives, how long and how much of it, what is answered.
//! * [`health`] — `grpc.health.v1`; [`ask`] — the other end, for measuring.

mod arrival;
pub mod ask;
pub mod health;
mod protobuf;
pub mod render;
mod reply;
pub mod service;
pub mod view;

pub use health::Health;
pub use service::{Decide, Limits, Wire};

/// The only service that is judged here. There is no v2: Envoy removed it in 1.20.
pub const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";

/// Bytes before a message: the flag of compression, and the length in four of them, big-endian.
const PREFIX: usize = 5;

/// A one in each byte of a word, for whoever looks at eight bytes at a time.
const ONES: u64 = 0x0101_0101_0101_0101;
