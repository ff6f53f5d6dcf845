//! What the store in Redis promises beyond the contract, against real servers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod contention;
mod failover;
mod loss;
mod packs;
mod proxy;
mod refusals;
mod reports;
mod scale;
mod server;
mod tampering;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::server::Server;
use super::{RedisSettings, RedisStore, Target, Timeouts};
use crate::store::ring::Ring;

/// A key ring of one key.
pub(super) fn ring(number: u8) -> Arc<Ring> {
    let ring = Ring::parse(Path::new("test.secret"), format!("1 {:064x}", u32::from(number) + 1).as_bytes());
    Arc::new(ring.unwrap_or_else(|error| panic!("{error}")))
}

/// A store of its own on a server of its own, under the least rights, whose log keeps so many changes.
pub(crate) fn open_keeping(kept: u64) -> (RedisStore, Server) {
    let server = Server::start(&[]);
    (RedisStore::keeping(server.settings(), ring(1), kept), server)
}

/// Another instance with the same ring.
fn open(server: &Server) -> RedisStore {
    RedisStore::new(server.settings(), ring(1))
}

/// Soon over, so that tests of what does not answer are short; and not so soon that a busy machine's
/// answer is taken for none.
fn impatient(settings: RedisSettings) -> RedisSettings {
    let timeouts = Timeouts {
        connect: Duration::from_millis(1500),
        response: Duration::from_millis(1500),
        write: Duration::from_secs(20),
        confirm: Duration::from_millis(200),
        pause: Duration::from_millis(50),
    };
    RedisSettings { timeouts, ..settings }
}

/// Asks again until it succeeds, as an instance does with its heartbeats; at most 40 s.
async fn until<T, E: std::fmt::Debug>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let started = tokio::time::Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(40), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
