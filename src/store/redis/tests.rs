//! What the store in Redis promises beyond the contract, against real servers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod server;

use std::path::Path;
use std::sync::Arc;

pub(crate) use self::server::Server;
use super::{RedisSettings, RedisStore, Target};
use crate::store::ring::Ring;

/// A key ring of one key.
pub(super) fn ring(number: u8) -> Arc<Ring> {
    let ring = Ring::parse(Path::new("test.secret"), format!("1 {:064x}", u32::from(number) + 1).as_bytes());
    Arc::new(ring.unwrap_or_else(|error| panic!("{error}")))
}

/// A store of its own on a server of its own, under the least rights, whose log keeps so many changes.
pub(crate) fn open_keeping(kept: u64) -> (RedisStore, Server) {
    let server = Server::start(&[]);
    server.limit_user();
    (RedisStore::keeping(server.settings(), ring(1), kept), server)
}
