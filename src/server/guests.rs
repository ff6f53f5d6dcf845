//! The connections of the HTTP listeners: whoever reaches the port may open them, so they are few and
//! short. What they hold, descriptors above all, checks need too.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};

use super::http1::Entrance;
use super::places::{Place, Places};
use super::tls::{Stream, Tls};
use crate::domain::catalog::Catalog;
use crate::domain::network::NetworkSet;
use crate::http::Peer;

/// Accepts so many connections at once, each for so long; one more is closed at once.
pub struct Guests {
    listener: TcpListener,
    tls: Option<Tls>,
    /// Says who is a proxy that many others stand behind.
    catalog: Arc<ArcSwap<Catalog>>,
    places: Arc<Places>,
    /// Whose places nobody else takes, and as many as there are of the others.
    kept_for: Vec<NetworkSet>,
    kept: Arc<Places>,
    stay: Duration,
}

/// Of the status and the admin listener: probes and scrapers are a handful.
const PLACES: usize = 64;
/// For the head of the first request, a handshake included; whoever asks has more ([`Peer`]).
const STAY: Duration = Duration::from_secs(15);
/// For what we say to arrive, in milliseconds. Whoever is gone without a word, a machine that sleeps, would
/// else keep a place until TCP gives up, which takes a quarter of an hour.
const UNHEARD_MS: u32 = 60_000;
/// After an `accept` that failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

impl Guests {
    /// With TLS where there is some.
    pub fn new(listener: TcpListener, tls: Option<Tls>, catalog: Arc<ArcSwap<Catalog>>) -> Self {
        Self {
            listener,
            tls,
            catalog,
            places: places(PLACES),
            kept_for: Vec::new(),
            kept: places(PLACES),
            stay: STAY,
        }
    }

    /// So many of them at once.
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        Self { places: places(most), kept: places(most), ..self }
    }

    /// Beside all others, and as many again: strangers who take every place take none of theirs.
    #[must_use]
    pub fn and_always(self, kept_for: Vec<NetworkSet>) -> Self {
        Self { kept_for, ..self }
    }

    #[cfg(test)]
    pub(super) fn for_at_most(self, stay: Duration) -> Self {
        Self { stay, ..self }
    }

    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.listener.accept().await?;
        set_tcp_user_timeout(&stream, UNHEARD_MS)?;
        Ok((stream, address))
    }

    /// A trusted proxy may have every place: many others stand behind it.
    fn admit(&self, address: IpAddr) -> Option<Guest> {
        let address = address.to_canonical();
        let trusted = self.catalog.load().trusted().networks().contains(address);
        let kept = self.kept_for.iter().any(|networks| networks.contains(address));
        let place = if kept {
            Places::take(&self.kept, None)
        } else {
            Places::take(&self.places, (!trusted).then_some(address))
        };
        let place = place.ok()?;
        Some(Guest { peer: Peer::new(address, trusted).kept(kept), stay: self.stay, _place: place })
    }
}

impl Entrance for Guests {
    type Stream = Stream;

    async fn next(&mut self) -> (Stream, Option<Guest>) {
        loop {
            match self.accept().await {
                Ok((stream, address)) => {
                    if let Some(guest) = self.admit(address.ip()) {
                        return (Stream::new(stream, self.tls.as_ref()), Some(guest));
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection to an HTTP listener failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Somebody who has a place for a time.
pub struct Guest {
    pub(super) peer: Peer,
    stay: Duration,
    _place: Place,
}

impl Guest {
    /// Ready when the time is over.
    pub(super) async fn leaves(&self) {
        tokio::time::sleep(self.stay).await;
        while let Some(more) = self.peer.takes_more() {
            tokio::time::sleep(more).await;
        }
    }
}

/// A quarter of them at most for one stranger.
fn places(all: usize) -> Arc<Places> {
    Arc::new(Places::new(all, all.div_ceil(4)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rustix::net::sockopt::tcp_user_timeout;

    use super::*;
    use crate::domain::catalog::Parts;

    #[tokio::test]
    async fn what_nobody_hears_is_not_repeated_for_a_quarter_of_an_hour() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        let guests = Guests::new(listener, None, catalog);
        let _client = TcpStream::connect(guests.local_addr().unwrap()).await.unwrap();
        let (stream, _) = guests.accept().await.unwrap();
        assert_eq!(tcp_user_timeout(&stream).unwrap(), UNHEARD_MS);
    }
}
