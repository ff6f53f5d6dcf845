//! Who is at the other end of a connection to a TCP listener.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// From the head of any request on: 10 s for its body, and for the answer what that takes.
const FOR_A_REQUEST: Duration = Duration::from_secs(30);
/// For whom we know: longer than any call takes, and between two of them.
const FOR_WHOM_WE_KNOW: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub struct Peer {
    pub address: IpAddr,
    /// Whether it is one of `client_address.trusted_proxies`.
    pub trusted: bool,
    /// Whether its place is one of those that are kept for whoever asks about requests (`forward_auth`).
    pub kept: bool,
    /// In seconds: what is taken away as the connection's time is over.
    more: Arc<AtomicU64>,
}

impl Peer {
    pub fn new(address: IpAddr, trusted: bool) -> Self {
        Self { address, trusted, kept: false, more: Arc::default() }
    }

    /// The same with a place that is kept for it.
    #[must_use]
    pub fn kept(self, kept: bool) -> Self {
        Self { kept, ..self }
    }

    /// The head of a request is there.
    pub fn asks(&self) {
        self.may_stay(FOR_A_REQUEST);
    }

    /// With that request came what says whose it is.
    pub(super) fn is_known(&self) {
        self.may_stay(FOR_WHOM_WE_KNOW);
    }

    fn may_stay(&self, more: Duration) {
        self.more.fetch_max(more.as_secs(), Ordering::Relaxed);
    }

    /// For how much longer its connection may be there once the time that it had is over.
    pub fn takes_more(&self) -> Option<Duration> {
        let more = self.more.swap(0, Ordering::Relaxed);
        (more > 0).then(|| Duration::from_secs(more))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_request_gives_a_connection_more_time_once() {
        let peer = Peer::new(Ipv4Addr::LOCALHOST.into(), false);
        assert_eq!(peer.takes_more(), None, "who says nothing leaves");
        peer.asks();
        peer.asks();
        assert_eq!(peer.takes_more(), Some(FOR_A_REQUEST));
        assert_eq!(peer.takes_more(), None);
        peer.asks();
        peer.is_known();
        peer.asks();
        assert_eq!(peer.takes_more(), Some(FOR_WHOM_WE_KNOW));
        assert_eq!(peer.takes_more(), None);
    }
}
