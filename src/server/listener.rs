//! Where connections come from: a TCP port or a Unix socket.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::Tls;

/// A bound listener.
pub struct Listener(Kind);

enum Kind {
    Tcp(TcpListener, SocketAddr, Option<Tls>),
    Unix(UnixListener, File),
}

/// An accepted connection, not yet tied to any runtime.
pub(super) enum Socket {
    /// With the TLS that its port asks for.
    Tcp(std::net::TcpStream, Option<Tls>),
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// `None` on a Unix socket, and of one that has gone already.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream, _) => stream.peer_addr().ok().map(|address| address.ip()),
            Self::Unix(_) => None,
        }
    }
}

impl Listener {
    /// Binds a TCP port; 0 takes a free one.
    ///
    /// # Errors
    ///
    /// Those of `bind`, with the address in front.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        let named = |error| context(error, &address);
        let listener = TcpListener::bind(address).await.map_err(named)?;
        let address = listener.local_addr().map_err(named)?;
        Ok(Self(Kind::Tcp(listener, address, None)))
    }

    /// Asks for TLS on a TCP port; a Unix socket has none.
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        match self.0 {
            Kind::Tcp(listener, address, _) => Self(Kind::Tcp(listener, address, tls)),
            Kind::Unix(..) => self,
        }
    }

    /// Binds a Unix socket whose file has this `mode` from the start, and which goes when the
    /// listener is dropped. A file that a dead process left behind is replaced.
    ///
    /// The process's umask is changed for a moment, so bind before other threads make files.
    ///
    /// # Errors
    ///
    /// Where somebody listens there, where the file is no socket, where the path is longer than
    /// about 100 bytes; the path stands in front.
    pub async fn unix(path: &Path, mode: u32) -> io::Result<Self> {
        let named = |error| context(error, &format_args!("unix:{}", path.display()));
        unlink_stale(path).await.map_err(named)?;
        let before = rustix::process::umask(Mode::from_raw_mode(!mode & 0o777));
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        let listener = bound.map_err(named)?;
        Ok(Self(Kind::Unix(listener, File::of(path).map_err(named)?)))
    }

    /// The port that was bound; `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(_, address, _) => Some(*address),
            Kind::Unix(..) => None,
        }
    }

    /// The next connection of a Unix socket, on the runtime that asks.
    ///
    /// # Errors
    ///
    /// Those of `accept`; `Unsupported` on a TCP port.
    pub(super) async fn accept_unix(&self) -> io::Result<UnixStream> {
        match &self.0 {
            Kind::Tcp(..) => Err(io::ErrorKind::Unsupported.into()),
            Kind::Unix(listener, _) => Ok(listener.accept().await?.0),
        }
    }

    /// The next connection. An error of one connection alone has kind `ConnectionAborted` or
    /// `ConnectionReset`.
    pub(super) async fn accept(&self) -> io::Result<Socket> {
        match &self.0 {
            Kind::Tcp(listener, _, tls) => {
                let (stream, _) = listener.accept().await?;
                // Without it answers wait for acknowledgements: a quarter of the throughput.
                let stream = stream.into_std()?;
                stream
                    .set_nodelay(true)
                    .map_err(|error| io::Error::new(io::ErrorKind::ConnectionReset, error))?;
                Ok(Socket::Tcp(stream, tls.clone()))
            }
            Kind::Unix(listener, _) => Ok(Socket::Unix(listener.accept().await?.0.into_std()?)),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Tcp(_, address, _) => address.fmt(formatter),
            Kind::Unix(_, file) => write!(formatter, "unix:{}", file.path.display()),
        }
    }
}

/// The file of a socket, as we made it.
struct File {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl File {
    fn of(path: &Path) -> io::Result<Self> {
        let made = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: made.dev(), inode: made.ino() })
    }
}

impl Drop for File {
    /// Leaves alone what a successor has put there meanwhile.
    fn drop(&mut self) {
        let found = std::fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode)) {
            // Should it fail, the next holder replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on.
async fn unlink_stale(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
    }
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(error) => Err(error),
    }
}

fn context(error: io::Error, place: &dyn fmt::Display) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {place}: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = Listener::unix(&path, 0o660).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let live = Listener::unix(&path, 0o600).await.unwrap();
        let error = Listener::unix(&path, 0o600).await.err().unwrap().to_string();
        assert!(error.ends_with("another process listens there"), "{error}");
        drop(live);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        std::fs::write(&path, "precious").unwrap();
        assert!(Listener::unix(&path, 0o600).await.is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_successors_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let ours = Listener::unix(&path, 0o600).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let theirs = Listener::unix(&path, 0o600).await.unwrap();
        drop(ours);
        assert!(path.exists());
        drop(theirs);
    }
}
