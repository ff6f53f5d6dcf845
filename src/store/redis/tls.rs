//! TLS to Redis. The server's certificate must be of an authority that we trust and have the name that we
//! connect to; there is no switch to turn that off.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::settings::{Address, Tls};
use crate::trust;

/// Shakes hands over a connection to `address`.
///
/// # Errors
///
/// What failed, and the way out.
pub(super) async fn shake(
    tls: &Tls,
    address: &Address,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let host = tls.server_name.as_ref().unwrap_or(&address.host);
    let name = ServerName::try_from(host.clone()).map_err(|_| {
        format!("`{host}` is neither a DNS name nor an address that a certificate could have")
    })?;
    let settings = tls.clone();
    // Files are read, and those of the system may be many.
    let config = tokio::task::spawn_blocking(move || {
        let own = settings.client.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        trust::client(settings.ca_file.as_deref(), own)
    });
    let config = config.await.map_err(|error| format!("TLS could not be set up: {error}"))??;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
        format!(
            "TLS with Redis at {address} failed ({error}); its certificate must be valid, of an authority in the \
             ca_file, and have the name `{host}`"
        )
    })
}
