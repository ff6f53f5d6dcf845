//! An HTTP/1.1 client that sends exactly the bytes it is given: duplicate headers, odd targets, and
//! what no well-behaved client would send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::Outcome;

/// Longer than any answer takes, short enough for a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// In order, with duplicates; names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it stood on the wire, up to and with the empty line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// `code` of a problem document.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The request as the upstream saw it, where the answer is the echo's.
    pub fn seen(&self) -> Option<Seen> {
        Seen::of(&self.json())
    }
}

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    /// In order, with duplicates; bytes as Latin-1.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    fn of(json: &Value) -> Option<Self> {
        let pair = |entry: &Value| Some((entry[0].as_str()?.to_lowercase(), entry[1].as_str()?.to_owned()));
        Some(Self {
            method: json["method"].as_str()?.to_owned(),
            target: json["target"].as_str()?.to_owned(),
            headers: json["headers"].as_array()?.iter().filter_map(pair).collect(),
            body: json["body"].as_str()?.to_owned(),
        })
    }

    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

/// Writes a request: `Host: api.example`, the headers as given, a length where there is a body.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        bytes.extend_from_slice(b"Host: api.example\r\n");
    }
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let chunked = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
    if !body.is_empty() && !chunked {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// One request on a connection of its own.
///
/// # Errors
///
/// No connection, or no answer that is HTTP.
pub fn send(to: SocketAddr, bytes: &[u8]) -> Outcome<Reply> {
    Connection::open(to)?.exchange(bytes)
}

/// The same over a Unix socket.
///
/// # Errors
///
/// As [`send`].
pub fn send_to_socket(path: &Path, bytes: &[u8]) -> Outcome<Reply> {
    let stream =
        UnixStream::connect(path).map_err(|e| format!("no connection to {}: {e}", path.display()))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    Connection { stream: Box::new(stream), rest: Vec::new() }.exchange(bytes)
}

/// A connection that is used again, as clients under load do.
pub struct Connection {
    stream: Box<dyn Stream>,
    rest: Vec<u8>,
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl Connection {
    /// # Errors
    ///
    /// Nobody listens.
    pub fn open(to: SocketAddr) -> Outcome<Self> {
        let stream =
            TcpStream::connect_timeout(&to, PATIENCE).map_err(|e| format!("no connection to {to}: {e}"))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        Ok(Self { stream: Box::new(stream), rest: Vec::new() })
    }

    /// # Errors
    ///
    /// The connection broke, or the answer is not HTTP.
    pub fn exchange(&mut self, bytes: &[u8]) -> Outcome<Reply> {
        // A server that answers before it has read all resets the rest: its answer is what counts.
        let written = self.stream.write_all(bytes);
        let head = self.head().map_err(|e| match &written {
            Err(broken) => format!("{e}; the request could not be sent either: {broken}"),
            Ok(()) => e,
        })?;
        let mut reply = parse_head(&head)?;
        reply.body = self.body(&reply, bytes)?;
        Ok(reply)
    }

    fn head(&mut self) -> Outcome<String> {
        loop {
            if let Some(end) = find(&self.rest, b"\r\n\r\n") {
                let head: Vec<u8> = self.rest.drain(..end + 4).collect();
                let text: String = head.iter().map(|byte| char::from(*byte)).collect();
                if text.starts_with("HTTP/1.1 100 ") {
                    continue;
                }
                return Ok(text);
            }
            if self.more()? == 0 {
                return Err("the connection was closed before an answer".to_owned());
            }
        }
    }

    fn body(&mut self, reply: &Reply, request: &[u8]) -> Outcome<Vec<u8>> {
        let request = match request.starts_with(b"PROXY ") {
            true => find(request, b"\r\n").map_or(request, |end| &request[end + 2..]),
            false => request,
        };
        let connected = request.starts_with(b"CONNECT ") && reply.status == 200;
        if request.starts_with(b"HEAD ") || connected || matches!(reply.status, 204 | 304) {
            return Ok(Vec::new());
        }
        if reply.header("transfer-encoding") == Some("chunked") {
            return self.chunks();
        }
        match reply.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => self.take(length),
            None => {
                while self.more()? > 0 {}
                Ok(std::mem::take(&mut self.rest))
            }
        }
    }

    fn chunks(&mut self) -> Outcome<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let length =
                usize::from_str_radix(line.trim(), 16).map_err(|_| format!("no chunk length: {line:?}"))?;
            body.extend(self.take(length)?);
            self.take(2)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self) -> Outcome<String> {
        loop {
            if let Some(end) = find(&self.rest, b"\r\n") {
                let line: Vec<u8> = self.rest.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.more()? == 0 {
                return Err("the connection was closed within a chunk".to_owned());
            }
        }
    }

    fn take(&mut self, length: usize) -> Outcome<Vec<u8>> {
        while self.rest.len() < length {
            if self.more()? == 0 {
                return Err(format!("the connection was closed {} bytes into {length}", self.rest.len()));
            }
        }
        Ok(self.rest.drain(..length).collect())
    }

    fn more(&mut self) -> Outcome<usize> {
        let mut buffer = [0_u8; 16 * 1024];
        let count = self.stream.read(&mut buffer).map_err(|e| format!("the connection broke: {e}"))?;
        self.rest.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

fn parse_head(head: &str) -> Outcome<Reply> {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| format!("no status line: {first:?}"))?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Reply { status, headers, head: head.to_owned(), body: Vec::new() })
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay, needle)
}
