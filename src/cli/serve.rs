//! `doorward serve`: puts the parts together, and takes them apart in order.

mod listeners;
mod process;
mod signals;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

pub(super) use self::listeners::addresses_file;
use self::listeners::{Listeners, announce, bind};
use self::process::{keep_memory_private, raise_file_limit, start_log};
use self::signals::Ends;
use self::watch::{
    Ready, count_instances, finish_deletions, hear_of_sessions, sweep, tell_uses, tend_signing_keys,
    test_signatures, told_or_broken, watch_replica,
};
use super::backing::{Backing, Closed, Make, Refused};
use super::door::{PATIENCE, PAUSE, key_lives, lifetimes, most, object_limits, reach};
use super::otlp::{self, Sending};
use super::{Common, Failure};
use crate::check::Checker;
use crate::clock::Clock;
use crate::compile::Compiler;
use crate::config::{self, Basis, Config, Loaded};
use crate::grpc::{Health, Limits, Wire};
use crate::http::admin::{self, Admin, Doorkeeper};
use crate::http::auth::{self, Auth};
use crate::http::forward::{self, Askers, Forward};
use crate::http::{decisions, explain, status};
use crate::issue::{Attempts, Issuer, Tries, self_test};
use crate::issuers::{Issuers, Pool};
use crate::passwords::{self, Passwords};
use crate::priority::Behind;
use crate::reload::Reloader;
use crate::replica::{self, Follower, Pace, Replica, SnapshotFile, Usage};
use crate::server::{Certificates, OwnersOnly, Settings, serve, serve_http};
use crate::telemetry::log::Log;
use crate::telemetry::{Readiness, Telemetry};

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
    let backing = open_store(&loaded.config, &clock, &runtime)?;
    let parts = Parts { loaded, backing, clock, sent, log: &log };
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
    let Parts { loaded, backing, clock, sent, log } = parts;
    let Loaded { config, file, .. } = loaded;
    let store = backing.store();
    let ring = Arc::clone(&backing.ring);
    let examined = examine_once(runtime, &backing, &config)?;
    let basis =
        Basis::new(config.clone(), &ring.peppers()).map_err(|faults| Failure::Usage(faults.to_string()))?;
    let compiler = Arc::new(Compiler::new(basis));

    let weak_in_file = Arc::new(AtomicUsize::new(config.weak_keys()));

    let readiness = Arc::new(Readiness::new());
    let telemetry = Arc::new(Telemetry::new(clock.clone(), Arc::clone(&readiness)));
    telemetry.watch_log(log.dropped_lines());
    telemetry.set_sampling(config.log.allows.value, config.log.refusals_per_second.value);
    telemetry.set_recent(config.limits.recent_decisions.value.bytes());
    telemetry.set_followers(config.limits.followers.value as usize);
    telemetry.set_revocation_bound(config.revocation.bound.value.0);
    telemetry.config_read(true, clock.now());
    if config.keys.insecure_allow_weak.value {
        telemetry.set_insecure(&["keys.insecure_allow_weak"]);
    }

    let sending = Sending::start(&sent, &telemetry, runtime)?;
    let traces = sending.traces.clone();

    let replica = Replica::new(config.revocation.bound.value.0).with_ring(Arc::clone(&ring));
    let replica = Arc::new(replica);
    let objects_changed = replica.attach_compiler();
    let follower = Follower::new(
        Arc::clone(&replica),
        Arc::clone(&store),
        clock.clone(),
        replica::Settings {
            pace: Pace {
                heartbeat: config.revocation.heartbeat.value.0,
                patience: config.revocation.bound.value.0 / 2,
            },
            catalog: {
                let compiler = Arc::clone(&compiler);
                Box::new(move || compiler.edition().digest())
            },
            lossy: backing.can_go_back(),
            seen: backing.can_go_back().then(|| config.data_dir().join("doorward.seen")),
            packs: backing.can_go_back(),
            snapshot: config.store.snapshot.as_ref().map(|snapshot| SnapshotFile {
                path: config.resolved(&snapshot.file),
                max_age: snapshot.max_age.value.0,
                ring: Arc::clone(&ring),
            }),
        },
    );
    let usage = Arc::new(Usage::default());
    let checker = Checker::new(
        compiler.catalog(),
        ring.peppers(),
        Arc::clone(&replica),
        clock.clone(),
        Arc::clone(&telemetry),
    )
    .with_on_fault(config.on_fault.into())
    .with_usage(Arc::clone(&usage));
    let issuers = Arc::new(Issuers::new(
        clock.clone(),
        Arc::clone(&telemetry),
        Some(runtime.handle().clone()),
        config.limits.jwt_memory.value.bytes(),
    ));
    issuers.follow(compiler.edition().catalog().issuers());
    let tested = compiler.edition().catalog().algorithms();
    let pool = signature_threads(&compiler.edition().catalog(), &config, &telemetry)?;
    let passwords = passwords(&config, &clock);
    let checker = checker.with_issuers(Arc::clone(&issuers), pool).with_passwords(Arc::clone(&passwords));
    let checker = Arc::new(checker);
    let health = Health::default();
    let wire = Wire::new(Arc::clone(&checker), limits(&config), health.clone()).with_traces(traces.clone());
    let wire = Arc::new(if config.reflection { wire.with_reflection() } else { wire });
    let issuer = Issuer::new(Arc::clone(&store), Arc::clone(&ring), clock.clone(), compiler.catalog())
        .with_compiler(Arc::clone(&compiler), object_limits(&config))
        .with_replica(Arc::clone(&replica))
        .with_reach(reach(&config))
        .with_lifetimes(lifetimes(&config), most(&config))
        .with_audit(backing.instance(), config.limits.audit_entries.value.into())
        .with_weak_keys_allowed(config.keys.insecure_allow_weak.value)
        .with_public_url(config.public_url.as_ref().map(|url| url.value.clone()))
        .with_key_lives(key_lives(&config))
        .with_passwords(passwords, tries(&config));
    let issuer = Arc::new(issuer);
    let attempts = Arc::new(Attempts::new(telemetry.logins()));
    let admin = Admin {
        issuer: Arc::clone(&issuer),
        clock: clock.clone(),
        backup: backing.backup(),
        body_limit: config.limits.admin_body_bytes.value.bytes(),
    };
    let forward = forward::router(Forward {
        checker: Arc::clone(&checker),
        catalog: compiler.catalog(),
        askers: Arc::new(Askers::new(config.forward_auth.peers())),
        traces,
    });
    let decisions = decisions::desk(Arc::clone(&telemetry), compiler.catalog(), Arc::clone(&issuer));
    let admin = admin::router(admin, explain::desk(checker).merge(decisions));
    let auth = auth::router(Auth {
        issuer: Arc::clone(&issuer),
        catalog: compiler.catalog(),
        clock: clock.clone(),
        attempts: Arc::clone(&attempts),
        jwt_lives: config.lifetimes.jwt.value.0,
        body_limit: config.limits.auth_body_bytes.value.bytes(),
    })
    .merge(forward);
    let doorkeeper = Doorkeeper::new(Arc::clone(&issuer), Arc::clone(&attempts));

    runtime.block_on(async {
        let certificates = Certificates::read(&config, &telemetry, clock.now())
            .map_err(|faults| Failure::Usage(faults.to_string()))?;
        let ends = Ends::listen().map_err(cannot_listen)?;
        let hangups = signal(SignalKind::hangup()).map_err(cannot_listen)?;
        let listeners = bind(&config, &certificates, &compiler.catalog()).await?;
        // A file at the limit of its size (RLIMIT_FSIZE) is then an error like a full disk's; nobody
        // handling the signal, it would end the process.
        let _beyond_size = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
        let mut tasks = JoinSet::new();
        let stop = Sender::new(false);
        let stopping = stop.subscribe();
        let began = clock.now();
        tasks.spawn(follower.run());
        tasks.spawn(Arc::clone(&compiler).run(Arc::clone(&replica), objects_changed));
        tasks.spawn(watch_replica(
            Arc::clone(&replica),
            Arc::clone(&telemetry),
            Ready {
                readiness: Arc::clone(&readiness),
                health,
                clock: clock.clone(),
                weak_in_file: Arc::clone(&weak_in_file),
                writable: backing.writable(),
                compiler: Arc::clone(&compiler),
            },
        ));
        let lately = config.lifetimes.session_idle.value.0 / 8;
        tasks.spawn(tell_uses(Arc::clone(&usage), Arc::clone(&store), lately.min(replica::PERIOD)));
        let period = lately.min(SESSIONS_HEARD_OF);
        tasks.spawn(hear_of_sessions(Arc::clone(&replica), Arc::clone(&store), clock.clone(), period));
        tasks.spawn(count_instances(Arc::clone(&store), Arc::clone(&telemetry), reach(&config)));
        if config.public_url.is_some() {
            tasks.spawn(tend_signing_keys(Arc::clone(&issuer), Arc::clone(&replica), clock.clone()));
        }
        tasks.spawn(test_signatures(Arc::clone(&compiler), tested));
        tasks.spawn(sweep(Arc::clone(&issuer), Arc::clone(&replica), clock.clone()));
        tasks.spawn({
            let issuer = Arc::clone(&issuer);
            async move { issuer.keep_attempts(&attempts).await }
        });
        tokio::spawn(finish_deletions(issuer, Arc::clone(&replica), clock.clone()));
        let reloader = Reloader {
            load: {
                // The usual file is asked for by name from here on: where it is gone, that is a
                // fault, and not the defaults under which every service is unknown.
                let common = Common { config: file.clone(), ..common.clone() };
                Box::new(move || common.read(&overlays))
            },
            started: config.clone(),
            file,
            compiler,
            issuers,
            weak_keys: weak_in_file,
            certificates,
            peppers: ring.peppers(),
            telemetry: Arc::clone(&telemetry),
            levels: log.levels().clone(),
            clock,
        };
        tasks.spawn(reloader.run(hangups));
        announce(&config, &listeners);
        let Listeners {
            grpc,
            auth: auth_listener,
            admin_socket,
            admin: admin_listener,
            status: status_listener,
        } = listeners;
        let settings = settings(&config);
        telemetry.watch_connections(Arc::clone(&settings.open));
        let mut http = JoinSet::new();
        let socket = admin::socket(admin.clone());
        http.spawn(serve_http(OwnersOnly(admin_socket), socket, stopping.clone()));
        http.spawn(serve_http(admin_listener, admin::tcp(admin, doorkeeper), stopping.clone()));
        http.spawn(serve_http(auth_listener, auth, stopping.clone()));
        let status = status::router(Arc::clone(&telemetry), Arc::clone(&readiness));
        http.spawn(serve_http(status_listener, status, stopping));

        // Objects of the store may be stricter than what the file alone would say: it is given a moment.
        let ready = async {
            let _ = replica.decided().wait_for(Option::is_some).await;
            // A session that was in use before the start has not been idle.
            let _ = replica::hear_of_sessions(&replica, &*store, began).await;
        };
        let _ = tokio::time::timeout(FIRST_EDITION, ready).await;
        let mut broken = None;
        let served = serve(vec![grpc], wire, settings, async {
            let refused = examine_until_reached(&backing, &config, examined);
            broken = tokio::select! {
                broken = told_or_broken(ends.come(), &mut tasks) => broken,
                refused = refused => Some(refused),
            };
            readiness.set_draining();
        })
        .await;
        telemetry.end_followers();
        stop.send_replace(true);
        // What they were answering is finished; an idle connection does not hold the end up.
        let _ = tokio::time::timeout(GOODBYE, http.join_all()).await;
        tasks.shutdown().await;
        sending.finish(GOODBYE).await;
        // Of the last seconds.
        let _ = tokio::time::timeout(GOODBYE, usage.tell(&*store)).await;
        // Nobody listens there any more. What a kill leaves, the next start overwrites.
        let _ = std::fs::remove_file(addresses_file(&config));
        served.map_err(|error| Failure::Unreachable(error.to_string()))?;
        broken.map_or(Ok(()), Err)
    })?;
    info!("the server has ended");
    Ok(())
}

/// Who verifies signatures, once it is known that each kind in use is verified as it should be.
fn signature_threads(
    catalog: &crate::domain::catalog::Catalog,
    config: &Config,
    telemetry: &Arc<Telemetry>,
) -> Result<Pool, Failure> {
    self_test(catalog.algorithms()).map_err(|broken| Failure::Unreachable(broken.to_string()))?;
    // Half of the processors: forged tokens cannot take the other half from the checks.
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    let waiting = config.limits.signatures_waiting.value as usize;
    Pool::start(threads, waiting, Arc::clone(telemetry))
        .map_err(|error| Failure::Unreachable(format!("no thread for signatures can be started: {error}")))
}

/// Who hashes passwords: half of the processors, which checks can have whenever they want them.
fn passwords(config: &Config, clock: &Clock) -> Arc<Passwords> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let limits = &config.limits;
    let tries = passwords::Tries {
        of_account: limits.login_failures.value,
        of_account_a_day: limits.login_failures_a_day.value,
        of_address: limits.login_failures_of_address.value,
    };
    Arc::new(Passwords::new(
        (cores / 2).max(1),
        limits.passwords_waiting.value as usize,
        tries,
        clock.clone(),
    ))
}

fn tries(config: &Config) -> Tries {
    Tries {
        of_account: config.limits.login_failures.value.into(),
        of_account_a_day: config.limits.login_failures_a_day.value.into(),
        of_address: config.limits.login_failures_of_address.value.into(),
    }
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

/// At most so long an instance takes what others have told of the use of sessions to be all of it.
const SESSIONS_HEARD_OF: std::time::Duration = std::time::Duration::from_secs(60);

/// How long checks wait at the start for what the store holds. After that the file alone decides, and keys
/// of the store are not known until it answers.
const FIRST_EDITION: std::time::Duration = std::time::Duration::from_secs(2);

/// For answers of the admin and status listeners that are still under way at the end.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(2);

fn cannot_listen(error: std::io::Error) -> Failure {
    Failure::Unreachable(error.to_string())
}

fn limits(config: &Config) -> Limits {
    Limits {
        check_bytes: config.limits.check_bytes.value.bytes(),
        checks_in_flight: config.limits.checks_in_flight.value as usize,
        bytes_in_flight: config.limits.bytes_in_flight.value.bytes(),
        ..Limits::default()
    }
}

fn settings(config: &Config) -> Settings {
    let defaults = Settings::default();
    Settings {
        workers: config.workers.as_ref().map_or(defaults.workers, |workers| workers.value.into()),
        connections: config.limits.connections.value as usize,
        streams: config.limits.streams.value,
        header_bytes: u32::try_from(config.limits.header_bytes.value.0).unwrap_or(defaults.header_bytes),
        drain_delay: config.drain_delay.value.0,
        ..defaults
    }
}
