//! One HTTP/2 connection that makes gRPC calls, with as little work as can be: what is measured is the
//! server. It reads frames and leaves headers compressed (RFC 9113, RFC 7541).

use crate::rig::Outcome;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The half that makes calls.
pub(crate) struct Sender {
    wire: Arc<Wire>,
    /// Of the next call.
    stream: u32,
    /// The header block of the next call: the first one tells the server what to remember.
    headers: Vec<u8>,
    outgoing: Vec<u8>,
}

/// The half that hears what came of them.
pub(crate) struct Receiver {
    wire: Arc<Wire>,
    /// What was read, of which so many bytes are the beginning of a frame.
    incoming: Box<[u8]>,
    held: usize,
    /// Bytes received that the server has not been told to send again.
    owed: u32,
    /// What calls under way were answered, by their stream.
    codes: Vec<Option<u8>>,
}

struct Wire {
    socket: TcpStream,
    /// Held while whole frames are written.
    writing: Mutex<()>,
    /// Bytes that may be sent.
    window: AtomicI64,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) stream: u32,
    /// `status.code` of the CheckResponse; `None` where none came.
    pub(crate) code: Option<u8>,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// Of both sides, until SETTINGS say otherwise; nobody's say so for the connection.
const USUAL_WINDOW: i64 = 65_535;
/// More than calls are ever under way.
pub(super) const CODES: usize = 4096;
const OUR_WINDOW: u32 = 16 << 20;
/// Bytes read at once, at most; more than a frame has, unless SETTINGS allow larger ones (RFC 9113 section 4.2).
const INCOMING: usize = 64 << 10;

/// Beyond the pseudo-headers, what Envoy sends with a check.
const NAMED: [(&str, &str); 5] = [
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("grpc-timeout", "5000m"),
    ("x-envoy-internal", "true"),
    ("x-forwarded-for", "10.1.2.4"),
];
const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Longer without any answer, and something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that has said hello, and nothing more.
pub(crate) fn greeted(address: SocketAddr) -> Outcome<TcpStream> {
    let mut greeting = PREFACE.to_vec();
    frame(&mut greeting, SETTINGS, (0, 0), &[]);
    frame(&mut greeting, WINDOW_UPDATE, (0, 0), &(OUR_WINDOW - USUAL_WINDOW as u32).to_be_bytes());
    let connected = || {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        (&socket).write_all(&greeting)?;
        Ok(socket)
    };
    connected().map_err(|error: std::io::Error| format!("{address} cannot be reached: {error}"))
}

pub(crate) fn open(address: SocketAddr) -> Outcome<(Sender, Receiver)> {
    let socket = greeted(address)?;
    let wire = Arc::new(Wire { socket, writing: Mutex::default(), window: AtomicI64::new(USUAL_WINDOW) });
    let sender = Sender { wire: Arc::clone(&wire), stream: 1, headers: introduced(), outgoing: Vec::new() };
    let incoming = vec![0; INCOMING].into_boxed_slice();
    let receiver = Receiver { wire, incoming, held: 0, owed: 0, codes: vec![None; CODES] };
    Ok((sender, receiver))
}

impl Wire {
    fn write(&self, frames: &[u8]) -> Outcome<()> {
        let _whole = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        (&self.socket).write_all(frames).map_err(|error| format!("the server does not listen: {error}"))
    }
}

impl Sender {
    /// Puts a call among what is to be sent; `message` is a gRPC frame of at most 16 KiB. False where
    /// the server takes no more bytes now.
    pub(crate) fn call(&mut self, message: &[u8]) -> bool {
        let bytes = message.len() as i64;
        // Nobody else takes from it.
        if self.wire.window.load(Ordering::Relaxed) < bytes {
            return false;
        }
        self.wire.window.fetch_sub(bytes, Ordering::Relaxed);
        frame(&mut self.outgoing, HEADERS, (END_HEADERS, self.stream), &self.headers);
        frame(&mut self.outgoing, DATA, (END_STREAM, self.stream), message);
        if self.stream == 1 {
            self.headers = remembered();
        }
        self.stream += 2;
        true
    }

    pub(crate) fn send(&mut self) -> Outcome<()> {
        let sent = self.wire.write(&self.outgoing);
        self.outgoing.clear();
        sent
    }
}

impl Receiver {
    /// Waits for something to come, and shows `each` every call that has ended.
    pub(crate) fn receive(&mut self, each: &mut impl FnMut(Answer)) -> Outcome<()> {
        let read = (&self.wire.socket).read(&mut self.incoming[self.held..]);
        let filled = match read {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(read) => self.held + read,
            Err(error) => return Err(format!("the server does not answer: {error}")),
        };
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut rest = &incoming[..filled];
        while let [a, b, c, kind, flags, stream @ ..] = rest {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            let Some((stream, after)) = stream.split_first_chunk() else { break };
            let Some((payload, after)) = after.split_at_checked(length) else { break };
            self.take(*kind, (*flags, u32::from_be_bytes(*stream)), payload, each)?;
            rest = after;
        }
        self.held = rest.len();
        incoming.copy_within(filled - self.held..filled, 0);
        self.incoming = incoming;
        Ok(())
    }

    fn take(
        &mut self,
        kind: u8,
        (flags, stream): (u8, u32),
        payload: &[u8],
        each: &mut impl FnMut(Answer),
    ) -> Outcome<()> {
        match kind {
            DATA => {
                self.owed += payload.len() as u32;
                if self.owed > OUR_WINDOW / 2 {
                    let owed = std::mem::take(&mut self.owed);
                    self.say(WINDOW_UPDATE, 0, &owed.to_be_bytes())?;
                }
                // The verdict is told here; that the call ends well, by the frame of its trailers.
                self.codes[(stream / 2) as usize % CODES] = code(payload);
            }
            HEADERS if flags & END_STREAM != 0 => {
                each(Answer { stream, code: self.codes[(stream / 2) as usize % CODES].take() });
            }
            RST_STREAM => each(Answer { stream, code: None }),
            SETTINGS if flags & ACK == 0 => self.say(SETTINGS, ACK, &[])?,
            PING if flags & ACK == 0 => self.say(PING, ACK, payload)?,
            WINDOW_UPDATE if stream == 0 => {
                let more = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                self.wire.window.fetch_add(i64::from(more), Ordering::Relaxed);
            }
            GOAWAY => return Err("the server sends us away".into()),
            _ => {}
        }
        Ok(())
    }

    /// About the connection.
    fn say(&self, kind: u8, flags: u8, payload: &[u8]) -> Outcome<()> {
        let mut bytes = Vec::new();
        frame(&mut bytes, kind, (flags, 0), payload);
        self.wire.write(&bytes)
    }
}

fn frame(into: &mut Vec<u8>, kind: u8, (flags, stream): (u8, u32), payload: &[u8]) {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    into.extend_from_slice(&length);
    into.extend_from_slice(&[kind, flags]);
    into.extend_from_slice(&stream.to_be_bytes());
    into.extend_from_slice(payload);
}

/// A first header block: POST and http by their numbers, the rest to be remembered.
fn introduced() -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let mut block = vec![0x83, 0x86];
    block.extend([&[0x44][..], &text(PATH), &[0x41], &text("doorward")].concat());
    for (name, value) in NAMED {
        block.extend([&[0x40][..], &text(name), &text(value)].concat());
    }
    block
}

/// The same, by the numbers under which it is remembered: what came last has 62, and the path, which
/// has to come first as all pseudo-headers do, the highest.
fn remembered() -> Vec<u8> {
    let own = 62..=62 + NAMED.len() as u8 + 1;
    [0x83, 0x86].into_iter().chain(own.rev().map(|number| 0x80 | number)).collect()
}

/// `status.code` of a CheckResponse in a gRPC frame: 0 where it is left out, `None` where the message
/// has no status, which Envoy takes for an allow and a bench for a failure.
fn code(frame: &[u8]) -> Option<u8> {
    match frame.get(5..)? {
        [0x0a, _, 0x08, code, ..] => Some(*code),
        [0x0a, ..] => Some(0),
        _ => None,
    }
}
