//! The HTTP listeners, and whoever reaches them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::rig::http1::{Connection, request, send};
use crate::rig::wait::eventually;
use crate::world::{HOUSE, start_doorward};

/// What comes back until the connection is closed.
fn said(mut stream: impl Read + Write, bytes: &[u8]) -> String {
    // Who is refused before he has said all is not heard to the end.
    let _ = stream.write_all(bytes);
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("not closed: {said:?}"),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

#[test]
fn no_http_listener_speaks_http2_or_reads_a_head_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), HOUSE);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let line = format!("cookie: {}\r\n", "x".repeat(2000));
    let endless = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", line.repeat(50));
    let check = |listener: &str, ask: &dyn Fn(&[u8]) -> String| {
        let answer = ask(preface);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{listener}: {answer:?}");
        let answer = ask(endless.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 431 "), "{listener}: {answer:?}");
        let answer = ask(b"GET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 4"), "{listener}: {answer:?}");
    };
    for (listener, address) in [
        ("auth", doorward.auth_address()),
        ("admin", doorward.admin_address()),
        ("status", doorward.status_address()),
    ] {
        check(listener, &|bytes| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(PATIENCE).unwrap();
            said(stream, bytes)
        });
    }
    check("admin_socket", &|bytes| {
        let stream = UnixStream::connect(folder.path().join("doorward.sock")).unwrap();
        stream.set_read_timeout(PATIENCE).unwrap();
        said(stream, bytes)
    });
}

#[test]
fn the_auth_listener_has_as_many_connections_as_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), &format!("limits: {{auth_connections: 1}}\n{HOUSE}"));
    let auth = doorward.auth_address();
    let mut first = Connection::open(auth).unwrap();
    assert_eq!(first.exchange(&request("GET", "/", &[], b"")).unwrap().status, 404);
    let ask = || send(auth, &request("GET", "/", &[("Connection", "close")], b""));
    assert!(ask().is_err(), "one more is closed at once");
    drop(first);
    eventually("there is a place again", || ask().ok().filter(|reply| reply.status == 404));
}

fn connect_from(address: Ipv4Addr, to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((address, 0))).unwrap();
    connect(&socket, &to).unwrap();
    socket.into()
}

/// Whoever fills the listener up takes no place of a proxy that asks about requests.
#[test]
fn strangers_who_take_every_connection_keep_no_peer_of_forward_auth_out() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "limits: {auth_connections: 1}\nforward_auth: {nginx: {peers: [127.0.0.2]}}\n";
    let doorward = start_doorward(folder.path(), &format!("{settings}{HOUSE}"));
    let auth = doorward.auth_address();
    let mut stranger = Connection::open(auth).unwrap();
    assert_eq!(stranger.exchange(&request("GET", "/", &[], b"")).unwrap().status, 404);
    let another = send(auth, &request("GET", "/", &[("Connection", "close")], b""));
    assert!(another.is_err(), "no stranger finds a place");
    let peer = || {
        let mut stream = connect_from(Ipv4Addr::new(127, 0, 0, 2), auth);
        stream.set_read_timeout(PATIENCE).unwrap();
        stream.write_all(b"GET /check/nginx HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let mut beginning = [0; 12];
        stream.read_exact(&mut beginning).map(|()| (stream, beginning))
    };
    // Refused, for it says nothing of a request; but heard.
    let (_asking, answer) = peer().expect("a peer is answered");
    assert_eq!(&answer, b"HTTP/1.1 403");
    assert!(peer().is_err(), "and peers have a limit too");
}

/// A proxy that asks about requests may pass logins on by the same connections.
#[test]
fn strangers_who_come_through_a_peer_of_forward_auth_leave_it_places_to_ask_with() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "limits: {auth_connections: 2}\nforward_auth: {nginx: {peers: [127.0.0.2]}}\n";
    let doorward = start_doorward(folder.path(), &format!("{settings}{HOUSE}"));
    let ask = |bytes: &[u8]| {
        let mut stream = connect_from(Ipv4Addr::new(127, 0, 0, 2), doorward.auth_address());
        stream.set_read_timeout(PATIENCE).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let beginning = |mut stream: TcpStream| {
        let mut beginning = [0; 12];
        stream.read_exact(&mut beginning).map(|()| beginning)
    };
    let slow =
        b"POST /auth/orders/login HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n{";
    let mut first = ask(slow);
    // It is waited for once it is told to go on.
    first.read_exact(&mut [0; 25]).unwrap();
    assert_eq!(&beginning(ask(slow)).expect("a second one is answered"), b"HTTP/1.1 503");
    let asked =
        eventually("a place", || beginning(ask(b"GET /check/nginx HTTP/1.1\r\nhost: a\r\n\r\n")).ok());
    assert_eq!(&asked, b"HTTP/1.1 403");
}

#[test]
fn a10_no_peer_of_the_check_listener_has_more_connections_than_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(folder.path(), &format!("limits: {{connections_of_peer: 2}}\n{HOUSE}"));
    let open = || {
        let stream = TcpStream::connect(doorward.grpc()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream
    };
    // What is served greets with SETTINGS, what is not is closed.
    let is_served = |mut stream: &TcpStream| {
        let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
        matches!(stream.read(&mut [0; 9]), Ok(9))
    };
    let two = [open(), open()];
    assert!(two.iter().all(is_served));
    assert!(!is_served(&open()));
    doorward.logged("limits.connections_of_peer is reached");
    drop(two);
    eventually("the places are free again", || is_served(&open()).then_some(()));
}
