//! The admin socket: a file that only its owner opens, and a second look at who did.

use std::io;
use std::time::Duration;

use tokio::net::UnixStream;

use super::Listener;
use super::guests::Guest;
use super::http1::Entrance;

/// Accepts connections of processes that run as our own user, or as root.
pub struct OwnersOnly(pub Listener);

/// After an `accept` that failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

impl Entrance for OwnersOnly {
    type Stream = UnixStream;

    /// An owner may stay.
    async fn next(&mut self) -> (UnixStream, Option<Guest>) {
        loop {
            match self.0.accept_unix().await.and_then(of_owner) {
                Ok(Some(stream)) => return (stream, None),
                Ok(None) => tracing::warn!("another user's process was turned away from the admin socket"),
                Err(error) => {
                    tracing::warn!(%error, "a connection to the admin socket failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// The file's mode (0600) says the same; a mode can be changed by mistake.
fn of_owner(stream: UnixStream) -> io::Result<Option<UnixStream>> {
    let uid = stream.peer_cred()?.uid();
    Ok((uid == 0 || uid == rustix::process::geteuid().as_raw()).then_some(stream))
}
