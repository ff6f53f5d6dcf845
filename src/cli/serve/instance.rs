//! The parts of a running server, put together: nothing of them runs yet.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::runtime::Runtime;

use crate::check::Checker;
use crate::cli::Failure;
use crate::cli::backing::Backing;
use crate::cli::door::{key_lives, lifetimes, most, object_limits, reach};
use crate::clock::Clock;
use crate::compile::Compiler;
use crate::config::{Basis, Config, Faults, Loaded, SETTLED};
use crate::domain::catalog::{Catalog, OfStore};
use crate::grpc::{Health, Limits, Wire};
use crate::issue::{Attempts, Registrar, self_test};
use crate::issuers::{Issuers, Pool};
use crate::passwords::{Passwords, Tries};
use crate::reload::Reloader;
use crate::replica::{self, Follower, Pace, Replica, SnapshotFile, Usage};
use crate::server::Certificates;
use crate::store::Store;
use crate::telemetry::log::{LevelHandle, Log};
use crate::telemetry::{Readiness, Telemetry, Traces};

pub(super) struct Instance {
    pub(super) config: Config,
    pub(super) clock: Clock,
    pub(super) backing: Backing,
    pub(super) store: Arc<dyn Store>,
    pub(super) compiler: Arc<Compiler>,
    /// Weak keys that the file declares.
    pub(super) weak_in_file: Arc<AtomicUsize>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) replica: Arc<Replica>,
    pub(super) usage: Arc<Usage>,
    pub(super) issuers: Arc<Issuers>,
    pub(super) checker: Arc<Checker>,
    pub(super) registrar: Arc<Registrar>,
    pub(super) attempts: Arc<Attempts>,
}

/// How the configuration is read again.
pub(super) struct Again {
    pub(super) load: Box<dyn Fn() -> Result<Loaded, Faults> + Send>,
    pub(super) file: Option<PathBuf>,
    pub(super) levels: LevelHandle,
}

impl Instance {
    /// # Errors
    ///
    /// What of the configuration cannot be used after all, and signatures that are not verified as they
    /// should be here.
    pub(super) fn new(
        config: Config,
        backing: Backing,
        clock: Clock,
        (runtime, log): (&Runtime, &Log),
    ) -> Result<Self, Failure> {
        let (store, ring) = (backing.store(), &backing.ring);
        let basis = Basis::new(config.clone(), &ring.peppers())
            .map_err(|faults| Failure::Usage(faults.to_string()))?;
        // A store of our own comes soon, whatever it holds; one that may stay away is waited for where it
        // is known to have had deployments.
        let of_store = match seen_file(&config, &backing) {
            Some(seen) if !replica::was_deployed(&seen) => OfStore::None,
            Some(_) | None => OfStore::Some,
        };
        let compiler = Arc::new(Compiler::beside(of_store, basis));
        let readiness = Arc::new(Readiness::new());
        let telemetry = Arc::new(telemetry(&config, &clock, (&readiness, log)));
        let replica = Replica::new(config.revocation.bound.value.0).with_ring(Arc::clone(ring));
        let (replica, usage) = (Arc::new(replica), Arc::<Usage>::default());
        let issuers = Arc::new(Issuers::new(
            clock.clone(),
            Arc::clone(&telemetry),
            Some(runtime.handle().clone()),
            config.limits.jwt_memory.value.bytes(),
        ));
        issuers.follow(compiler.edition().catalog().issuers());
        let pool = signature_threads(&compiler.edition().catalog(), &config, &telemetry)?;
        let passwords = passwords(&config, &clock);
        let checker = Checker::new(
            compiler.catalog(),
            ring.peppers(),
            Arc::clone(&replica),
            clock.clone(),
            Arc::clone(&telemetry),
        )
        .with_on_fault(config.on_fault.into())
        .with_usage(Arc::clone(&usage))
        .with_issuers(Arc::clone(&issuers), pool)
        .with_passwords(Arc::clone(&passwords));
        let registrar =
            Registrar::new(Arc::clone(&store), Arc::clone(ring), clock.clone(), compiler.catalog())
                .with_compiler(Arc::clone(&compiler), object_limits(&config))
                .with_replica(Arc::clone(&replica))
                .with_reach(reach(&config))
                .with_lifetimes(lifetimes(&config), most(&config))
                .with_audit(backing.instance(), config.limits.audit_entries.value.into())
                .with_weak_keys_allowed(config.keys.insecure_allow_weak.value)
                .with_public_url(config.public_url.as_ref().map(|url| url.value.clone()))
                .with_key_lives(key_lives(&config))
                .with_passwords(passwords, tries(&config));
        Ok(Self {
            weak_in_file: Arc::new(AtomicUsize::new(config.weak_keys())),
            checker: Arc::new(checker),
            registrar: Arc::new(registrar),
            attempts: Arc::new(Attempts::new(telemetry.logins())),
            config,
            clock,
            backing,
            store,
            compiler,
            readiness,
            telemetry,
            replica,
            usage,
            issuers,
        })
    }

    /// Who keeps the replica true to the store.
    pub(super) fn follower(&self) -> Follower {
        let Self { config, backing, .. } = self;
        let (compiler, ring) = (Arc::clone(&self.compiler), &backing.ring);
        let settings = replica::Settings {
            pace: Pace {
                heartbeat: config.revocation.heartbeat.value.0,
                patience: config.revocation.bound.value.0 / 2,
            },
            catalog: Box::new(move || compiler.edition().digest()),
            lossy: backing.can_go_back(),
            seen: seen_file(config, backing),
            packs: backing.can_go_back(),
            snapshot: config.store.snapshot.as_ref().map(|snapshot| SnapshotFile {
                path: config.resolved(&snapshot.file),
                max_age: snapshot.max_age.value.0,
                ring: Arc::clone(ring),
            }),
        };
        Follower::new(Arc::clone(&self.replica), Arc::clone(&self.store), self.clock.clone(), settings)
    }

    /// What answers checks.
    pub(super) fn wire(&self, health: Health, traces: Option<Arc<Traces>>) -> Arc<Wire<Arc<Checker>>> {
        let wire = Wire::new(Arc::clone(&self.checker), limits(&self.config), health).with_traces(traces);
        Arc::new(if self.config.reflection { wire.with_reflection() } else { wire })
    }

    /// Who reads the configuration and the certificates anew.
    pub(super) fn reloader(
        &self,
        Again { load, file, levels }: Again,
        certificates: Certificates,
    ) -> Reloader {
        Reloader {
            load,
            started: self.config.clone(),
            file,
            compiler: Arc::clone(&self.compiler),
            issuers: Arc::clone(&self.issuers),
            weak_keys: Arc::clone(&self.weak_in_file),
            certificates,
            peppers: self.backing.ring.peppers(),
            telemetry: Arc::clone(&self.telemetry),
            levels,
            clock: self.clock.clone(),
        }
    }
}

/// Where it is kept how far a store was seen that may go back.
fn seen_file(config: &Config, backing: &Backing) -> Option<PathBuf> {
    backing.can_go_back().then(|| config.data_dir().join("doorward.seen"))
}

fn telemetry(config: &Config, clock: &Clock, (readiness, log): (&Arc<Readiness>, &Log)) -> Telemetry {
    let telemetry = Telemetry::new(clock.clone(), Arc::clone(readiness));
    telemetry.watch_log(log.dropped_lines());
    telemetry.set_sampling(config.log.allows.value, config.log.refusals_per_second.value);
    telemetry.set_recent(config.limits.recent_decisions.value.bytes());
    telemetry.set_followers(config.limits.followers.value as usize);
    telemetry.set_revocation_bound(config.revocation.bound.value.0);
    telemetry.config_read(true, clock.now());
    for setting in SETTLED {
        telemetry.set_restart_pending(setting, false);
    }
    telemetry
}

/// Who verifies signatures, once it is known that each kind in use is verified as it should be.
fn signature_threads(
    catalog: &Catalog,
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
    let waiting = config.limits.passwords_waiting.value as usize;
    Arc::new(Passwords::new((cores / 2).max(1), waiting, tries(config), clock.clone()))
}

/// What is allowed to whoever guesses passwords, by logins and by checks alike.
fn tries(config: &Config) -> Tries {
    Tries {
        of_account: config.limits.login_failures.value,
        of_account_a_day: config.limits.login_failures_a_day.value,
        of_address: config.limits.login_failures_of_address.value,
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        check_bytes: config.limits.check_bytes.value.bytes(),
        checks_in_flight: config.limits.checks_in_flight.value as usize,
        bytes_in_flight: config.limits.bytes_in_flight.value.bytes(),
        ..Limits::default()
    }
}
