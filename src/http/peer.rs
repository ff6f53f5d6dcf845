//! Who is at the other end of a connection to a TCP listener.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone)]
pub struct Peer {
    pub address: IpAddr,
    /// Set with each request for which the connection may stay, and taken away as its time goes on.
    pub admitted: Arc<AtomicBool>,
}

impl Peer {
    pub(super) fn may_stay(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }
}
