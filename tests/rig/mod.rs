//! What the tests and the demo stand on: a real Envoy, the real Doorward, an upstream that says what
//! it saw, and clients that can send any bytes. Everything listens on the loopback alone, on ports
//! that the system chooses unless told otherwise, and ends when its value is dropped.

pub mod doorward;
pub mod echo;
pub mod envoy;
pub mod http1;
pub mod port;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod sample;
pub mod tools;
pub mod wait;
pub mod wiring;

/// What went wrong, for people.
pub type Outcome<T> = Result<T, String>;
