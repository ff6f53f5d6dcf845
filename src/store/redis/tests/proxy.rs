//! A TCP proxy before Redis, which loses or holds back what it is told to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::RedisSettings;
use super::server::{Server, as_user};
use crate::store::redis::{Address, Target};

pub(super) struct Proxy {
    port: u16,
    fault: Arc<Fault>,
    _tasks: JoinSet<()>,
}

/// What happens to the next bytes that come, and on that connection from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Goes on.
    Whole,
    /// Requests do not arrive.
    RequestLost,
    /// Requests arrive, answers do not.
    AnswerLost,
    /// Requests arrive when [`Proxy::release`] says so.
    RequestHeld,
    /// Answers are something else.
    AnswerGarbled,
}

struct Fault {
    next: Mutex<Next>,
    struck: Notify,
    release: Notify,
    answered: Notify,
}

impl Proxy {
    pub(super) async fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Arc::new(Fault {
            next: Mutex::new(Next::Whole),
            struck: Notify::new(),
            release: Notify::new(),
            answered: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        let (upstream, shared) = (server.port, fault.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let released = Arc::new(AtomicBool::new(false));
                let (there, back) = (Way::There(released.clone()), Way::Back(released));
                connections.spawn(forward(shared.clone(), from_client, to_server, there));
                connections.spawn(forward(shared.clone(), from_server, to_client, back));
            }
        });
        Self { port, fault, _tasks: tasks }
    }

    pub(super) fn settings(&self) -> RedisSettings {
        as_user(Target::Single(Address { host: "127.0.0.1".into(), port: self.port }))
    }

    pub(super) fn strike(&self, next: Next) {
        *self.fault.next.lock().unwrap() = next;
    }

    /// Until it has happened.
    pub(super) async fn struck(&self) {
        self.fault.struck.notified().await;
    }

    /// Lets what is held back go, until Redis has answered it.
    pub(super) async fn release(&self) {
        self.fault.release.notify_one();
        self.fault.answered.notified().await;
    }
}

/// Which way bytes go, and whether a request of this connection was held back and released.
enum Way {
    There(Arc<AtomicBool>),
    Back(Arc<AtomicBool>),
}

async fn forward(fault: Arc<Fault>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if let Way::Back(released) = &way
            && released.load(Ordering::Acquire)
        {
            fault.answered.notify_one();
        }
        match fault.strikes(matches!(way, Way::There(_))) {
            // Whoever asked may be gone.
            Next::Whole if to.write_all(&bytes[..read]).await.is_err() => return,
            Next::Whole => {}
            Next::RequestHeld => {
                fault.release.notified().await;
                if let Way::There(released) = &way {
                    released.store(true, Ordering::Release);
                }
                to.write_all(&bytes[..read]).await.unwrap();
            }
            Next::AnswerGarbled => to.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap(),
            Next::RequestLost | Next::AnswerLost => std::future::pending().await,
        }
    }
}

impl Fault {
    fn strikes(&self, is_request: bool) -> Next {
        let mut next = self.next.lock().unwrap();
        match *next {
            Next::RequestLost | Next::RequestHeld if !is_request => Next::Whole,
            Next::AnswerLost | Next::AnswerGarbled if is_request => Next::Whole,
            Next::Whole => Next::Whole,
            _ => {
                self.struck.notify_one();
                std::mem::replace(&mut *next, Next::Whole)
            }
        }
    }
}
