//! The way to the admin API: over the running server's socket, or in process on the store itself
//! where none runs. Either way the same routes answer.

mod lines;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use super::backing::{Backing, Closed, Make};
use super::remote::Remote;
use super::{Common, Failure, remark};
use crate::check::Checker;
use crate::clock::Clock;
use crate::compile::Compiler;
use crate::config::{Basis, Config, StoreUrl};
use crate::domain::verifier::{Pepper, Peppers};
use crate::http::admin::{self, Admin, Desk};
use crate::http::explain;
use crate::issue::{KeyLives, Lifetimes, Most, ObjectLimits, Reach, Registrar};
use crate::replica::Replica;
use crate::telemetry::{Readiness, Telemetry};

/// Whoever answers the admin API's routes.
pub struct Door {
    runtime: Runtime,
    way: Way,
    /// Whether every write waits for all instances that live.
    everywhere: bool,
    /// Whether one was answered before those who decide knew of it.
    is_late: bool,
}

enum Way {
    Socket(PathBuf),
    Remote(Remote),
    InProcess(Router),
}

/// A command that finds neither server nor free store tries again for this long: the server may be
/// on its way up or down.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// A server that has a call answers within this, but for a copy of the whole store.
const ANSWER: Duration = Duration::from_secs(30);

impl Door {
    /// To what there is.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] where no server answers, and there is no store or another process
    /// holds it.
    pub fn open(common: &Common) -> Result<Self, Failure> {
        if let Some(url) = &common.url {
            return Self::remote(common, url);
        }
        Self::open_with(common, |config, clock, runtime| in_process(config, clock, runtime, Make::Never))
    }

    /// The same for a command that makes something: where there is no store, it makes one.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] where no server answers and another process holds the store.
    pub fn open_or_make(common: &Common) -> Result<Self, Failure> {
        if let Some(url) = &common.url {
            return Self::remote(common, url);
        }
        Self::open_with(common, |config, clock, runtime| in_process(config, clock, runtime, Make::IfMissing))
    }

    /// The same for the question what it would make: where there is no store, to an empty one that is gone
    /// with the command.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_or_pretend(common: &Common) -> Result<Self, Failure> {
        if let Some(url) = &common.url {
            return Self::remote(common, url);
        }
        Self::open_with(common, |config, clock, runtime| {
            match in_process(config, clock, runtime, Make::Never) {
                Err(Closed::Missing(_)) => on(config, clock, runtime, &Backing::pretended()?),
                opened => opened,
            }
        })
    }

    /// A door that `POST /explain` goes through. Without a server that takes the keys that the file
    /// declares, and all that the store holds, where there is one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Failure::Usage`] where no server runs and a key cannot be read.
    pub fn open_to_decide(common: &Common) -> Result<Self, Failure> {
        if let Some(url) = &common.url {
            return Self::remote(common, url);
        }
        Self::open_with(common, |_, clock, runtime| {
            let whole = common.read(&[]).map_err(|faults| Failure::Usage(faults.to_string()));
            deciding(&whole.map_err(Closed::Failed)?.config, clock, runtime)
        })
    }

    /// To a running server, for what only that one knows.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreachable`] where none answers.
    pub fn open_to_server(common: &Common) -> Result<Self, Failure> {
        if let Some(url) = &common.url {
            return Self::remote(common, url);
        }
        let socket = common.load()?.admin_socket();
        let runtime = super::runtime()?;
        match runtime.block_on(UnixStream::connect(&socket)) {
            Ok(_) => Ok(Self::new(runtime, Way::Socket(socket), common)),
            Err(error) => Err(Failure::Unreachable(format!(
                "no server answers at {} ({error}), and only a running one knows; name its file with `--config`, or \
                 its admin listener with `--url`",
                socket.display()
            ))),
        }
    }

    fn remote(common: &Common, url: &str) -> Result<Self, Failure> {
        let way = Way::Remote(Remote::new(url, common.ca.as_deref(), common.identity.as_deref())?);
        Ok(Self::new(super::runtime()?, way, common))
    }

    fn new(runtime: Runtime, way: Way, common: &Common) -> Self {
        // A command that has the store to itself decides nothing: what counts is what the others know.
        let everywhere = common.everywhere || matches!(way, Way::InProcess(_));
        Self { runtime, way, everywhere, is_late: false }
    }

    fn open_with(
        common: &Common,
        open: impl Fn(&Config, &Clock, &Runtime) -> Result<Router, Closed>,
    ) -> Result<Self, Failure> {
        let config = &common.load()?;
        let runtime = super::runtime()?;
        let socket = config.admin_socket();
        let clock = Clock::system();
        let started = clock.monotonic();
        loop {
            if runtime.block_on(UnixStream::connect(&socket)).is_ok() {
                return Ok(Self::new(runtime, Way::Socket(socket), common));
            }
            match open(config, &clock, &runtime) {
                Ok(router) => return Ok(Self::new(runtime, Way::InProcess(router), common)),
                Err(Closed::InUse(_)) if clock.monotonic() - started < PATIENCE => {
                    runtime.block_on(async { tokio::time::sleep(PAUSE).await });
                }
                Err(Closed::InUse(error)) => return Err(unanswered(&error, &socket, "")),
                Err(Closed::Missing(error)) => {
                    let way_out = "; name the server's file with `--config`, or start one";
                    return Err(unanswered(&error, &socket, way_out));
                }
                Err(Closed::Broken(error)) => return Err(Failure::Unreachable(error.to_string())),
                Err(Closed::Failed(failure)) => return Err(failure),
            }
        }
    }

    pub fn get(&mut self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None, Some(ANSWER))
    }

    pub fn post(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.write(Method::POST, path, Some(body.to_string()), Some(ANSWER))
    }

    /// The same for what takes as long as the store is big, or as there is much of it.
    pub fn post_patiently(&mut self, path: &str, body: String) -> Result<Value, Failure> {
        self.write(Method::POST, path, Some(body), None)
    }

    pub fn put(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.write(Method::PUT, path, Some(body.to_string()), Some(ANSWER))
    }

    pub fn patch(&mut self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.write(Method::PATCH, path, Some(body.to_string()), Some(ANSWER))
    }

    pub fn delete(&mut self, path: &str) -> Result<(), Failure> {
        self.write(Method::DELETE, path, None, Some(ANSWER))?;
        self.has_ended()
    }

    /// The same for what takes as long as it has credentials.
    pub fn delete_patiently(&mut self, path: &str) -> Result<(), Failure> {
        self.write(Method::DELETE, path, None, None)?;
        self.has_ended()
    }

    /// For what ends something: whether it has ended, for those who decide.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] where they do not know of it yet.
    pub fn has_ended(&self) -> Result<(), Failure> {
        match self.is_late {
            true => Err(Failure::Refused("it is written, and may open something until then".into())),
            false => Ok(()),
        }
    }

    /// With `everywhere`, waits until every instance has applied it.
    fn write(
        &mut self,
        method: Method,
        path: &str,
        body: Option<String>,
        limit: Option<Duration>,
    ) -> Result<Value, Failure> {
        if !self.everywhere {
            return self.call(method, path, body, limit);
        }
        let mark = if path.contains('?') { '&' } else { '?' };
        // The server bounds it, by its own `revocation.bound`.
        self.call(method, &format!("{path}{mark}wait=all"), body, None)
    }

    /// Every row of a list.
    pub fn list(&mut self, path: &str) -> Result<Vec<Value>, Failure> {
        self.first_rows(&format!("{path}?size=1000"), usize::MAX)
    }

    /// The first rows of a list, page by page; `path` has a query.
    pub fn first_rows(&mut self, path: &str, limit: usize) -> Result<Vec<Value>, Failure> {
        let mut rows = Vec::new();
        let mut next = path.to_owned();
        while rows.len() < limit {
            let mut page = self.get(&next)?;
            if let Value::Array(data) = page["data"].take() {
                rows.extend(data);
            }
            match page["next"].as_str() {
                Some(path) => next = path.to_owned(),
                None => break,
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }

    fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<String>,
        limit: Option<Duration>,
    ) -> Result<Value, Failure> {
        let request = self.request(method, path, body)?;
        let (status, bytes) = match &self.way {
            Way::Socket(socket) => self.runtime.block_on(async {
                match limit {
                    Some(limit) => within(limit, socket, over_socket(socket, request)).await,
                    None => over_socket(socket, request).await,
                }
            }),
            Way::Remote(remote) => self.runtime.block_on(async {
                let answer = remote.exchange(request);
                match limit {
                    Some(limit) => within(limit, Path::new(&remote.authority()), answer).await,
                    None => answer.await,
                }
            }),
            Way::InProcess(router) => self.runtime.block_on(in_memory(router.clone(), request)),
        }?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status == StatusCode::ACCEPTED {
            self.is_late = true;
            remark(if self.everywhere { LATE_SOMEWHERE } else { LATE_HERE });
        }
        if status.is_success() { Ok(answer) } else { Err(refused(status, &answer)) }
    }

    fn request(&self, method: Method, path: &str, body: Option<String>) -> Result<Request<Body>, Failure> {
        let request =
            Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        let request = match &self.way {
            Way::Remote(remote) => request
                .header(header::HOST, remote.authority())
                .header(header::AUTHORIZATION, remote.bearer()),
            Way::Socket(_) | Way::InProcess(_) => request.header(header::HOST, "doorward"),
        };
        request.body(Body::from(body.unwrap_or_default())).map_err(|error| Failure::Usage(error.to_string()))
    }
}

/// What an answer of 202 means.
const LATE_HERE: &str = "written, but the checks of this server do not know of it yet: within `revocation.bound` \
                         they do, or allow nothing; `doorward status` shows where each instance stands";
const LATE_SOMEWHERE: &str = "written, but not every instance has applied it yet: within `revocation.bound` each \
                              has, or allows nothing; `doorward status` shows where each stands";

fn refused(status: StatusCode, answer: &Value) -> Failure {
    let message = answer["message"].as_str().unwrap_or_else(|| status.as_str()).to_owned();
    match status {
        // It is done, so whoever repeats it is told that there is nothing, or makes a second one.
        StatusCode::SERVICE_UNAVAILABLE if answer["code"] == "unconfirmed" => {
            Failure::Refused(format!("{message}; do not repeat it, look whether it is there"))
        }
        StatusCode::SERVICE_UNAVAILABLE => Failure::Unreachable(message),
        _ => Failure::Refused(message),
    }
}

fn unanswered(error: &dyn std::fmt::Display, socket: &Path, way_out: &str) -> Failure {
    Failure::Unreachable(format!("{error}, and no server answers at {}{way_out}", socket.display()))
}

async fn within<T>(
    limit: Duration,
    socket: &Path,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_| {
        let socket = socket.display();
        Failure::Unreachable(format!(
            "no answer from the server at {socket} within {limit:?}; what was asked may be done all the same"
        ))
    };
    tokio::time::timeout(limit, answer).await.map_err(late)?
}

async fn over_socket(
    socket: &PathBuf,
    request: Request<Body>,
) -> Result<(StatusCode, bytes::Bytes), Failure> {
    let lost = |error: &dyn std::fmt::Display| {
        Failure::Unreachable(format!("no answer from the server at {}: {error}", socket.display()))
    };
    let stream = UnixStream::connect(socket).await.map_err(|error| lost(&error))?;
    exchange(stream, request, &lost).await
}

/// One request on a connection of its own. `lost` says of whom there is no answer.
pub(super) async fn exchange<S>(
    stream: S,
    request: Request<Body>,
    lost: &dyn Fn(&dyn std::fmt::Display) -> Failure,
) -> Result<(StatusCode, bytes::Bytes), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
    };
    tokio::select! {
        answer = exchange => answer.map_err(|error| lost(&error)),
        ended = connection => {
            Err(lost(&ended.err().map_or("the connection was closed".to_owned(), |error| error.to_string())))
        }
    }
}

async fn in_memory(router: Router, request: Request<Body>) -> Result<(StatusCode, bytes::Bytes), Failure> {
    let Ok(response) = router.oneshot(request).await;
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| Failure::Unreachable(error.to_string()))?;
    Ok((status, body.to_bytes()))
}

/// The admin API on a store that no server of ours has open.
fn in_process(config: &Config, clock: &Clock, runtime: &Runtime, make: Make) -> Result<Router, Closed> {
    let made = match &config.store.url.value {
        StoreUrl::Redb(path) if make == Make::IfMissing => {
            Some(config.resolved(path)).filter(|path| !path.exists())
        }
        _ => None,
    };
    let backing = Backing::open(config, runtime, make)?;
    if let Some(path) = made {
        remark(&format!("no server runs here, and there was no store: made one at {}", path.display()));
    }
    on(config, clock, runtime, &backing)
}

fn on(config: &Config, clock: &Clock, runtime: &Runtime, backing: &Backing) -> Result<Router, Closed> {
    let compiler = compiler(config, &backing.ring.peppers())?;
    let registrar = Arc::new(registrar(config, clock, backing, compiler));
    // What the store holds of policy is named in requests.
    let read = runtime.block_on(registrar.edition());
    read.map_err(|refusal| Closed::Failed(Failure::Unreachable(refusal.to_string())))?;
    Ok(admin(config, clock, backing, registrar))
}

/// Decisions by what the file declares and, where there is a store, what it holds at this moment.
fn deciding(config: &Config, clock: &Clock, runtime: &Runtime) -> Result<Router, Closed> {
    let (peppers, replica) = match Backing::open(config, runtime, Make::Never) {
        Ok(backing) => {
            let replica = runtime.block_on(Replica::load(&*backing.store(), clock));
            (backing.ring.peppers(), replica.map(|replica| replica.with_ring(Arc::clone(&backing.ring))))
        }
        // No store is made for a question: the file alone decides, and any pepper serves.
        Err(Closed::Missing(_)) => {
            (Peppers::new(vec![Pepper::new(&[0; 32])]), Ok(Replica::of_no_store(clock)))
        }
        Err(closed) => return Err(closed),
    };
    let replica = replica.map_err(|error| Closed::Failed(Failure::Unreachable(error.to_string())))?;
    let compiler = compiler(config, &peppers)?;
    compiler.take(replica.begin_compilation().0);
    let telemetry = Arc::new(Telemetry::new(clock.clone(), Arc::new(Readiness::new())));
    let checker = Checker::new(compiler.catalog(), peppers, Arc::new(replica), clock.clone(), telemetry)
        .with_on_fault(config.on_fault.into());
    Ok(explain::router(Arc::new(checker), config.limits.admin_body_bytes.value.bytes()))
}

fn compiler(config: &Config, peppers: &Peppers) -> Result<Arc<Compiler>, Closed> {
    let basis = Basis::new(config.clone(), peppers);
    let basis = basis.map_err(|faults| Closed::Failed(Failure::Usage(faults.to_string())))?;
    Ok(Arc::new(Compiler::new(basis)))
}

fn registrar(config: &Config, clock: &Clock, backing: &Backing, compiler: Arc<Compiler>) -> Registrar {
    Registrar::new(backing.store(), Arc::clone(&backing.ring), clock.clone(), compiler.catalog())
        .with_compiler(compiler, object_limits(config))
        .with_reach(reach(config))
        .with_audit(backing.instance(), config.limits.audit_entries.value.into())
        .with_weak_keys_allowed(config.keys.insecure_allow_weak.value)
        .with_key_lives(key_lives(config))
}

fn admin(config: &Config, clock: &Clock, backing: &Backing, registrar: Arc<Registrar>) -> Router {
    let admin = Admin {
        registrar,
        clock: clock.clone(),
        backup: backing.backup(),
        body_limit: config.limits.admin_body_bytes.value.bytes(),
    };
    admin::socket(admin::router(admin, Desk::new()))
}

/// For how long signing keys are put to what.
pub(super) fn key_lives(config: &Config) -> KeyLives {
    KeyLives { signs: config.lifetimes.signing_key.value.0, tokens: config.lifetimes.jwt.value.0 }
}

/// How many objects of policy there may be, and how large.
pub(super) fn object_limits(config: &Config) -> ObjectLimits {
    let limits = &config.limits;
    ObjectLimits { count: limits.objects.value as usize, bytes: limits.object_bytes.value.bytes() }
}

/// How long what is handed out lives.
pub(super) fn lifetimes(config: &Config) -> Lifetimes {
    let lives = &config.lifetimes;
    Lifetimes {
        grant: lives.grant.value.0,
        dynamic: lives.dynamic.value.0,
        subject: lives.subject.value.0,
        session_idle: lives.session_idle.value.0,
        session: lives.session.value.0,
    }
}

/// How much of it a consumer may have.
pub(super) fn most(config: &Config) -> Most {
    let limits = &config.limits;
    Most {
        own_keys: limits.own_keys.value as usize,
        access_keys: limits.access_keys.value as usize,
        tokens: limits.tokens.value as usize,
    }
}

/// How fast instances hear of a write, and when one counts as stopped.
pub(super) fn reach(config: &Config) -> Reach {
    Reach { bound: config.revocation.bound.value.0, heartbeat: config.revocation.heartbeat.value.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a store of its own, whose writes nobody's checks hear of.
    fn door(folder: &Path, everywhere: bool) -> Door {
        let file = folder.join("doorward.yaml");
        std::fs::write(&file, "services: []\n").expect("the folder is ours");
        let loaded = crate::config::load(Some(&file), std::iter::empty(), &[]);
        let Ok(loaded) = loaded else { panic!("the file is good") };
        let runtime = super::super::runtime().expect("a runtime");
        let Ok(router) = in_process(&loaded.config, &Clock::system(), &runtime, Make::IfMissing) else {
            panic!("a store is made")
        };
        Door { runtime, way: Way::InProcess(router), everywhere, is_late: false }
    }

    #[test]
    fn what_is_not_known_to_those_who_decide_has_not_ended() {
        for (everywhere, ended) in [(false, false), (true, true)] {
            let folder = tempfile::tempdir().expect("a folder for the test");
            let mut door = door(folder.path(), everywhere);
            for name in ["alice", "bob"] {
                let made = door.post("/consumers", &serde_json::json!({ "username": name }));
                assert!(made.is_ok_and(|made| made["id"].is_string()), "what is made is told either way");
            }
            assert_eq!(door.delete("/consumers/alice").is_ok(), ended);
            assert_eq!(door.delete_patiently("/consumers/bob").is_ok(), ended);
            assert_eq!(door.has_ended().is_ok(), ended);
            assert_eq!(door.list("/consumers").expect("a list").len(), 0, "it is written");
        }
    }

    #[test]
    fn what_was_written_and_not_confirmed_is_no_missing_server() {
        let answer = serde_json::json!({ "code": "unconfirmed", "message": "written", "epoch": "1-7" });
        let failure = refused(StatusCode::SERVICE_UNAVAILABLE, &answer);
        assert!(matches!(failure, Failure::Refused(why) if why.contains("do not repeat it")));
        let answer = serde_json::json!({ "code": "unavailable", "message": "no store" });
        assert!(matches!(refused(StatusCode::SERVICE_UNAVAILABLE, &answer), Failure::Unreachable(_)));
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_not_waited_for_longer_than_the_limit() {
        let never = std::future::pending::<Result<(), Failure>>();
        let failure = within(Duration::from_millis(20), Path::new("the.sock"), never).await;
        assert!(matches!(failure, Err(Failure::Unreachable(why)) if why.contains("the.sock within 20ms")));
    }
}
