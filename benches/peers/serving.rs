//! A tonic server on a free port of the loopback, for as long as whoever started it lives.

use std::error::Error;

use envoy_types::ext_authz::v3::pb::{Authorization, AuthorizationServer};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Says where it listens, and serves until standard input ends.
pub(crate) async fn serve(service: impl Authorization) -> Result<(), Box<dyn Error>> {
    end_with_parent();
    // `serve` alone sets it otherwise, and tonic's answers wait for acknowledgements without.
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
    println!("{}", incoming.local_addr()?);
    Server::builder().add_service(AuthorizationServer::new(service)).serve_with_incoming(incoming).await?;
    Ok(())
}

/// Ends this process when its standard input does: nobody is there any more.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}
