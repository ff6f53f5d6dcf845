//! Ports for those who have to be told one before they listen.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};

/// A port that is kept from everybody who asks for any, for a minute.
///
/// A port that was merely free a moment ago goes to somebody else's connection now and then. One that
/// has the end of a connection in TIME_WAIT (60 s on Linux) is neither given to a listener on port 0
/// nor to a connection, and still taken by a server that binds it by number with `SO_REUSEADDR`, as
/// all of the tests' do.
///
/// # Errors
///
/// There is none, or the loopback is down.
pub fn free_port() -> Result<u16, String> {
    let reserve = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut client = TcpStream::connect(address)?;
        let (server, _) = listener.accept()?;
        // Whoever ends first has the wait, and it is the port's own end that has to.
        drop(server);
        client.read_to_end(&mut Vec::new())?;
        Ok::<u16, std::io::Error>(address.port())
    };
    reserve().map_err(|error| format!("no free port: {error}"))
}
