//! Where the server listens: bound before it starts, and told in the log and in a file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::json;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::cli::Failure;
use crate::config::{self, Config, Endpoint};
use crate::domain::catalog::Catalog;
use crate::server::{Certificates, Guests, Listener};

/// Where we listen, before anybody is answered.
pub(super) struct Listeners {
    pub(super) grpc: Listener,
    pub(super) auth: Guests,
    pub(super) admin_socket: Listener,
    pub(super) admin: Guests,
    pub(super) status: Guests,
}

pub(super) async fn bind(
    config: &Config,
    certificates: &Certificates,
    catalog: &Arc<ArcSwap<Catalog>>,
) -> Result<Listeners, Failure> {
    let grpc = match &config.listen.grpc.value {
        Endpoint::Unix(path) => Listener::unix(&config.data_dir().join(path), CHECK_SOCKET_MODE).await,
        Endpoint::Tcp(address) => Listener::tcp(resolve(&address.to_string()).await?).await,
    };
    let guests = async |name: &str, address: &config::Address| {
        let listener = TcpListener::bind(address.to_string()).await.map_err(|error| {
            Failure::Unreachable(format!("cannot listen on {address}: {error}; see `listen.{name}`"))
        })?;
        Ok(Guests::new(listener, certificates.of(name), Arc::clone(catalog)))
    };
    Ok(Listeners {
        grpc: grpc.map_err(cannot_bind("listen.grpc"))?.with_tls(certificates.of("grpc")),
        admin_socket: Listener::unix(&config.admin_socket(), ADMIN_SOCKET_MODE)
            .await
            .map_err(cannot_bind("listen.admin_socket"))?,
        auth: guests("auth", &config.listen.auth.value)
            .await?
            .at_most(config.limits.auth_connections.value as usize)
            .and_always(config.forward_auth.peers().into_iter().map(|(_, peers)| peers).collect()),
        admin: guests("admin", &config.listen.admin.value).await?,
        status: guests("status", &config.listen.status.value).await?,
    })
}

/// Whoever may reach the file may ask; Envoy often runs as another user.
const CHECK_SOCKET_MODE: u32 = 0o666;

/// Whoever may open the file has full rights.
const ADMIN_SOCKET_MODE: u32 = 0o600;

async fn resolve(address: &str) -> Result<SocketAddr, Failure> {
    tokio::net::lookup_host(address)
        .await
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| Failure::Unreachable(format!("`{address}` (listen.grpc) has no address")))
}

/// The listener's own words, and the setting that says where it is to listen.
fn cannot_bind(setting: &'static str) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::Unreachable(format!("{error}; see `{setting}`"))
}

/// Says where we listen: in the log, and in a file for whoever chose port 0.
pub(super) fn announce(config: &Config, listeners: &Listeners) {
    let of = |guests: &Guests| guests.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let (status, auth, admin) = (of(&listeners.status), of(&listeners.auth), of(&listeners.admin));
    let (grpc, admin_socket) = (listeners.grpc.to_string(), listeners.admin_socket.to_string());
    info!(grpc, auth, status, admin, admin_socket, version = env!("CARGO_PKG_VERSION"), "listening");
    let addresses = json!({
        "grpc": grpc,
        "auth": auth,
        "status": status,
        "admin": admin,
        "admin_socket": admin_socket,
        "pid": std::process::id(),
    });
    let path = addresses_file(config);
    if let Err(error) = write_whole(&path, &addresses.to_string()) {
        warn!(%error, path = %path.display(), "the addresses could not be written down");
    }
}

/// Where a running server says which ports it has taken.
pub(in crate::cli) fn addresses_file(config: &Config) -> PathBuf {
    config.data_dir().join("doorward.addresses")
}

/// Whoever reads the file finds all of it or the one before.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("addresses.new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}
