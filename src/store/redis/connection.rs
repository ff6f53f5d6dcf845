//! One connection to one server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, PushInfo, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::refusal::{self, Refusal};
use super::settings::{Address, Password, RedisSettings};
use super::tls;

/// Requests go out in order and are answered in order. Dropping it closes it.
pub(super) struct Connection {
    address: Address,
    requests: MultiplexedConnection,
    driver: AbortHandle,
    ended: Arc<AtomicBool>,
}

/// As whom to connect, and what for.
pub(super) struct Purpose<'a> {
    pub(super) settings: &'a RedisSettings,
    pub(super) username: Option<&'a str>,
    pub(super) password: Option<&'a Password>,
    pub(super) database: u32,
    /// What hears the messages of channels.
    pub(super) hears: Option<Arc<dyn Fn(PushInfo) + Send + Sync>>,
    /// Where the connection lives, whoever asks for it.
    pub(super) runtime: &'a Handle,
}

impl Connection {
    pub(super) async fn open(address: &Address, purpose: &Purpose<'_>) -> Result<Self, Refusal> {
        let timeouts = purpose.settings.timeouts;
        let connected = tokio::time::timeout(timeouts.connect, connect(address, purpose.settings)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(format!("Redis at {address} does not accept a connection in time")));
        let stream = stream.map_err(Refusal::Unreachable)?;
        let greeted = tokio::time::timeout(timeouts.response, greet(address, stream, purpose)).await;
        greeted.unwrap_or_else(|_| {
            Err(Refusal::Unreachable(format!("Redis at {address} does not greet in time")))
        })
    }

    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Asks, and gives the answer, which is no error.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, Refusal> {
        let answer = self.requests.clone().send_packed_command(command).await;
        self.judged(answer.map_err(|error| refusal::of(&self.address, &error))?)
    }

    /// Asks everything in order; each has its own answer, which may be an error.
    pub(super) async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Result<Value, Refusal>>, Refusal> {
        let count = commands.len();
        let answers = self.requests.clone().send_packed_commands(commands, 0, count).await;
        let answers = answers.map_err(|error| refusal::of(&self.address, &error))?;
        match answers.len() == count {
            true => Ok(answers.into_iter().map(|answer| self.judged(answer)).collect()),
            false => Err(Refusal::garbled("a pipeline")),
        }
    }

    fn judged(&self, answer: Value) -> Result<Value, Refusal> {
        match answer {
            Value::ServerError(error) => Err(refusal::of(&self.address, &error.into())),
            answer => Ok(answer),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What bytes go over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn connect(address: &Address, settings: &RedisSettings) -> Result<Box<dyn Stream>, String> {
    let failed = |error: std::io::Error| format!("Redis at {address} cannot be reached: {error}");
    let found = lookup_host((&address.host[..], address.port)).await.map_err(failed)?.collect::<Vec<_>>();
    let stream = first_of(&found, settings.timeouts.connect).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    match &settings.tls {
        None => Ok(Box::new(stream)),
        Some(tls) => Ok(Box::new(tls::shake(tls, address, stream).await?)),
    }
}

/// The first that accepts. Each has its share of the time, so that one that is silent leaves some to the next.
async fn first_of(addresses: &[SocketAddr], patience: Duration) -> io::Result<TcpStream> {
    let mut why = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    let share = patience / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = error,
            Err(_) => why = io::Error::new(io::ErrorKind::TimedOut, "it accepts no connection in time"),
        }
    }
    Err(why)
}

async fn greet(
    address: &Address,
    stream: Box<dyn Stream>,
    purpose: &Purpose<'_>,
) -> Result<Connection, Refusal> {
    let mut info = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(purpose.database.into())
        .set_skip_set_lib_name();
    if let Some(username) = purpose.username {
        info = info.set_username(username);
    }
    if let Some(password) = purpose.password {
        info = info.set_password(password.reveal());
    }
    let mut config =
        AsyncConnectionConfig::new().set_response_timeout(Some(purpose.settings.timeouts.response));
    if let Some(hears) = purpose.hears.clone() {
        config = config.set_push_sender(move |push| {
            hears(push);
            Ok::<_, std::convert::Infallible>(())
        });
    }
    let greeted = MultiplexedConnection::new_with_config(&info, stream, config).await;
    // Nothing was asked yet, so nothing can be open.
    let unreachable = |error| match refusal::of(address, &error) {
        Refusal::Lost { why, .. } => Refusal::Unreachable(why),
        other => other,
    };
    let (requests, driver) = greeted.map_err(unreachable)?;
    let ended = Arc::new(AtomicBool::new(false));
    let told = ended.clone();
    let driver = purpose.runtime.spawn(async move {
        driver.await;
        told.store(true, Ordering::Release);
    });
    Ok(Connection { address: address.clone(), requests, driver: driver.abort_handle(), ended })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn an_address_that_is_silent_leaves_time_for_the_next() {
        // Linux drops what comes once the queue of a listener that accepts nobody is full.
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = silent.listen(1).unwrap();
        let (mut waiting, address) = (Vec::new(), silent.local_addr().unwrap());
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            waiting.push(stream.unwrap());
        }
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let both = [address, good.local_addr().unwrap()];
        let patience = Duration::from_secs(4);
        let stream = tokio::time::timeout(patience, first_of(&both, patience)).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), both[1]);
        let error = first_of(&both[..1], Duration::from_millis(200)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
