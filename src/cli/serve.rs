//! `doorward serve`: puts the parts together, and takes them apart in order.

mod doors;
mod instance;
mod listeners;
mod process;
mod signals;
mod tasks;
mod watch;

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch::Sender;
use tracing::{error, info, warn};

use self::doors::Doors;
use self::instance::{Again, Instance};
pub(super) use self::listeners::addresses_file;
use self::listeners::{announce, bind};
use self::process::{keep_memory_private, raise_file_limit, start_log};
use self::signals::Signals;
use self::watch::told_or_broken;
use super::backing::{Backing, Closed, Make, Refused};
use super::door::{PATIENCE, PAUSE};
use super::otlp::{self, Sending};
use super::{Common, Failure};
use crate::clock::Clock;
use crate::config::{self, Config, Loaded};
use crate::domain::time::Timestamp;
use crate::grpc::Health;
use crate::priority::Behind;
use crate::replica;
use crate::server::{Certificates, Settings, serve};
use crate::telemetry::log::Log;

#[derive(clap::Args, Default)]
pub struct Arguments {
    /// Where Envoy asks: `host:port` or `unix:/path`
    #[arg(long, value_name = "ADDRESS")]
    listen_grpc: Option<String>,
    /// Where the admin API is, for admin keys
    #[arg(long, value_name = "ADDRESS")]
    listen_admin: Option<String>,
    /// Where logins and tokens are
    #[arg(long, value_name = "ADDRESS")]
    listen_auth: Option<String>,
    /// Where `/livez`, `/readyz` and `/metrics` are
    #[arg(long, value_name = "ADDRESS")]
    listen_status: Option<String>,
    /// `error`, `warn`, `info`, `debug` or `trace`
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// `json` or `text`
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Arguments {
    fn overlays(&self) -> Vec<config::Overlay> {
        [
            ("--listen-grpc", "listen.grpc", &self.listen_grpc),
            ("--listen-admin", "listen.admin", &self.listen_admin),
            ("--listen-auth", "listen.auth", &self.listen_auth),
            ("--listen-status", "listen.status", &self.listen_status),
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
        ]
        .into_iter()
        .filter_map(|(flag, path, value)| {
            value.as_ref().map(|value| config::Overlay::flag(flag, path, value.clone()))
        })
        .collect()
    }
}

/// Threads for everything that is not a check: the store, the admin API, status, reloads.
const OTHER_THREADS: usize = 2;

pub fn run(common: &Common, arguments: &Arguments) -> Result<(), Failure> {
    let kept_private = keep_memory_private();
    let clock = Clock::system();
    let overlays = arguments.overlays();
    let unusable = |faults: config::Faults| Failure::Usage(faults.to_string());
    let loaded = common.read(&overlays).map_err(unusable)?;
    let sent = otlp::settings().map_err(unusable)?;
    let log = start_log(&loaded.config, &clock)?;
    for warning in &loaded.warnings {
        warn!(warning = %warning.line(), "the configuration is taken with a warning");
    }
    if let Err(error) = kept_private {
        warn!(%error, "a crash may write this process' memory, and the keys in it, to a file");
    }
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(OTHER_THREADS)
        .thread_name("other")
        .on_thread_start(|| Behind::Store.checks())
        .enable_all()
        .build()
        .map_err(|error| Failure::Unreachable(format!("no runtime: {error}")))?;
    let signals = runtime.block_on(async { Signals::listen() }).map_err(cannot_listen)?;
    let backing = open_store(&loaded.config, &clock, &runtime)?;
    let parts = Parts { loaded, backing, clock, sent, log: &log, signals };
    let served = serve_until_told(&runtime, common, overlays, parts);
    if let Err(failure) = &served {
        error!(error = %failure, "the server ends");
    }
    served
}

/// What is there before the runtime.
struct Parts<'l> {
    loaded: Loaded,
    backing: Backing,
    clock: Clock,
    sent: otlp::Asked,
    log: &'l Log,
    signals: Signals,
}

fn open_store(config: &Config, clock: &Clock, runtime: &Runtime) -> Result<Backing, Failure> {
    let data_dir = config.data_dir();
    std::fs::create_dir_all(&data_dir)
        .map_err(|error| Failure::Usage(format!("cannot make data_dir {}: {error}", data_dir.display())))?;
    let started = clock.monotonic();
    loop {
        match Backing::open(config, runtime, Make::IfMissing) {
            Ok(backing) => return Ok(backing),
            // Perhaps a command that works on the store while no server runs: it is soon done.
            Err(Closed::InUse(_)) if clock.monotonic() - started < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            Err(Closed::InUse(error)) => return Err(Failure::Unreachable(error.to_string())),
            Err(Closed::Missing(error) | Closed::Broken(error)) => {
                return Err(Failure::Usage(error.to_string()));
            }
            Err(Closed::Failed(failure)) => return Err(failure),
        }
    }
}

fn serve_until_told(
    runtime: &Runtime,
    common: &Common,
    overlays: Vec<config::Overlay>,
    parts: Parts<'_>,
) -> Result<(), Failure> {
    let Parts { loaded: Loaded { config, file, .. }, backing, clock, sent, log, signals } = parts;
    let examined = examine_once(runtime, &backing, &config)?;
    let instance = Instance::new(config, backing, clock, (runtime, log))?;
    let sending = Sending::start(&sent, &instance.telemetry, runtime)?;
    let read = {
        // The usual file is asked for by name from here on: where it is gone, that is a fault, and not the
        // defaults under which every service is unknown.
        let common = Common { config: file.clone(), ..common.clone() };
        move || common.read(&overlays)
    };
    let again = Again { load: Box::new(read), file, levels: log.levels().clone() };
    runtime.block_on(answer(&instance, again, sending, (examined, signals)))?;
    info!("the server has ended");
    Ok(())
}

/// Answers until it is told to end, and ends in order. `examined`: whether the store was.
async fn answer(
    instance: &Instance,
    again: Again,
    sending: Sending,
    (examined, signals): (bool, Signals),
) -> Result<(), Failure> {
    let Instance { config, clock, telemetry, readiness, .. } = instance;
    let certificates = Certificates::read(config, telemetry, clock.now())
        .map_err(|faults| Failure::Usage(faults.to_string()))?;
    let (ends, hangups) = signals.started();
    let listeners = bind(config, &certificates, &instance.compiler.catalog()).await?;
    // A file at the limit of its size (RLIMIT_FSIZE) is then an error like a full disk's; nobody
    // handling the signal, it would end the process.
    let _beyond_size = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
    let (began, health) = (clock.now(), Health::default());
    let mut tasks = tasks::start(instance, &health);
    tasks.spawn(instance.reloader(again, certificates).run(hangups));
    announce(config, &listeners);
    let settings = settings(config);
    telemetry.watch_connections(Arc::clone(&settings.open));
    let traces = sending.traces.clone();
    let wire = instance.wire(health, traces.clone());
    let stop = Sender::new(false);
    let (http, grpc) = Doors::of(instance, traces).open(listeners, &stop.subscribe());
    first_edition(instance, began).await;
    let mut broken = None;
    let served = serve(vec![grpc], wire, settings, async {
        broken = tokio::select! {
            broken = told_or_broken(ends.come(), &mut tasks) => broken,
            refused = examine_until_reached(&instance.backing, config, examined) => Some(refused),
        };
        readiness.set_draining();
    })
    .await;
    telemetry.end_followers();
    stop.send_replace(true);
    // What they were answering is finished; an idle connection does not hold the end up.
    let _ = tokio::time::timeout(GOODBYE, otlp::ended(http)).await;
    tasks.shutdown().await;
    sending.finish(GOODBYE).await;
    // Of the last seconds.
    let _ = tokio::time::timeout(GOODBYE, instance.usage.tell(&*instance.store)).await;
    // Nobody listens there any more. What a kill leaves, the next start overwrites.
    let _ = std::fs::remove_file(addresses_file(config));
    served.map_err(|error| Failure::Unreachable(error.to_string()))?;
    broken.map_or(Ok(()), Err)
}

/// Objects of the store may be stricter than what the file alone would say: it is given a moment.
async fn first_edition(instance: &Instance, began: Timestamp) {
    let ready = async {
        let _ = instance.replica.decided().wait_for(Option::is_some).await;
        // A session that was in use before the start has not been idle.
        let _ = replica::hear_of_sessions(&instance.replica, &*instance.store, began).await;
    };
    let _ = tokio::time::timeout(FIRST_EDITION, ready).await;
}

/// Whether a shared store answered and keeps what we promise. One that does not answer is no reason
/// not to start: it may come.
fn examine_once(runtime: &Runtime, backing: &Backing, config: &Config) -> Result<bool, Failure> {
    match runtime.block_on(backing.examine(&config.store.accept)) {
        Ok(()) => Ok(true),
        Err(Refused::Unreachable(why)) => {
            warn!(%why, "the store is out of reach; until it was seen nobody is let in by what it holds");
            Ok(false)
        }
        Err(refused) => Err(Failure::Usage(refused.to_string())),
    }
}

/// The same for one that did not answer at the start; ends only where it is not to be worked with.
async fn examine_until_reached(backing: &Backing, config: &Config, examined: bool) -> Failure {
    if examined {
        return std::future::pending().await;
    }
    loop {
        match backing.examine(&config.store.accept).await {
            Ok(()) => return std::future::pending().await,
            Err(Refused::Unreachable(_)) => tokio::time::sleep(config.revocation.heartbeat.value.0).await,
            Err(refused) => {
                error!(%refused, "the server has to end");
                return Failure::Usage(refused.to_string());
            }
        }
    }
}

/// How long checks wait at the start for what the store holds. After that the file alone decides, and keys
/// of the store are not known until it answers.
const FIRST_EDITION: std::time::Duration = std::time::Duration::from_secs(2);

/// For answers of the admin and status listeners that are still under way at the end.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(2);

fn cannot_listen(error: std::io::Error) -> Failure {
    Failure::Unreachable(error.to_string())
}

fn settings(config: &Config) -> Settings {
    let defaults = Settings::default();
    Settings {
        workers: config.workers.as_ref().map_or(defaults.workers, |workers| workers.value.into()),
        connections: config.limits.connections.value as usize,
        connections_of_peer: config.limits.connections_of_peer.value as usize,
        connection_age: config.limits.connection_age.value.0,
        streams: config.limits.streams.value,
        header_bytes: u32::try_from(config.limits.header_bytes.value.0).unwrap_or(defaults.header_bytes),
        drain_delay: config.drain_delay.value.0,
        ..defaults
    }
}
