//! A TCP proxy that can be slow, silent, deaf, broken or talk nonsense: the network between
//! Doorward and its store.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Outcome;

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Each piece is held back for so long, both ways.
    Slow(Duration),
    /// Connections stay open and nothing passes; what was sent passes when the weather changes.
    Hanging,
    /// What the server answers is lost, what it is asked arrives.
    AnswersLost,
    /// Connections are closed, new ones too.
    Cut,
    /// The server's answers are replaced by bytes that are no protocol.
    Garbage,
}

/// Listens until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    weather: Weather,
    to: SocketAddr,
    open: Vec<TcpStream>,
    ended: bool,
}

impl Proxy {
    /// # Errors
    ///
    /// No port.
    pub fn start(to: SocketAddr) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| format!("no free port: {e}"))?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let state = State { weather: Weather::Fair, to, open: Vec::new(), ended: false };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || accept(&listener, &shared));
        Ok(Self { address, state })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For connections that are open as well.
    pub fn set(&self, weather: Weather) {
        let mut state = lock(&self.state);
        state.weather = weather;
        if weather == Weather::Cut {
            state.cut();
        }
    }

    /// New connections go there, open ones are closed.
    pub fn redirect(&self, to: SocketAddr) {
        let mut state = lock(&self.state);
        state.to = to;
        state.cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.ended = true;
        state.cut();
        drop(state);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn cut(&mut self) {
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, state: &Arc<Mutex<State>>) {
    for client in listener.incoming().flatten() {
        let to = {
            let state = lock(state);
            if state.ended {
                return;
            }
            if state.weather == Weather::Cut {
                continue;
            }
            state.to
        };
        let Ok(server) = TcpStream::connect_timeout(&to, Duration::from_secs(1)) else { continue };
        let pairs = (client.try_clone(), server.try_clone());
        let (Ok(client_twin), Ok(server_twin)) = pairs else { continue };
        lock(state).open.extend([client_twin, server_twin]);
        for (from, to, answers) in [(&client, &server, false), (&server, &client, true)] {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
            let state = Arc::clone(state);
            thread::spawn(move || {
                let _ = pump(from, to, &state, answers);
            });
        }
    }
}

/// How long a hanging line is looked at again: the resolution of every change of weather.
const LOOK: Duration = Duration::from_millis(2);

fn pump(mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>, answers: bool) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let count = from.read(&mut bytes)?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        loop {
            let weather = lock(state).weather;
            match weather {
                Weather::Fair | Weather::Cut => to.write_all(&bytes[..count])?,
                Weather::Slow(by) => {
                    thread::sleep(by);
                    to.write_all(&bytes[..count])?;
                }
                Weather::Hanging => {
                    thread::sleep(LOOK);
                    continue;
                }
                Weather::AnswersLost if answers => {}
                Weather::AnswersLost => to.write_all(&bytes[..count])?,
                Weather::Garbage if answers => to.write_all(b"\x00\xffHTTP/1.1 200 OK\r\n\r\n$9\r\n")?,
                Weather::Garbage => to.write_all(&bytes[..count])?,
            }
            break;
        }
    }
}
