//! A new catalog and new certificates while the server runs: on SIGHUP, and when a file changes.
//!
//! A bad file changes nothing but a gauge and the log.

mod watched;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

pub use self::watched::Watched;
use crate::clock::Clock;
use crate::compile::Compiler;
use crate::config::{Basis, Config, Faults, Loaded, Remark, SETTLED};
use crate::domain::issuer::algorithms;
use crate::domain::verifier::Peppers;
use crate::issue::self_test;
use crate::issuers::Issuers;
use crate::server::Certificates;
use crate::telemetry::Telemetry;
use crate::telemetry::log::{LevelHandle, Levels};

/// Reads the configuration anew and swaps what may be swapped.
pub struct Reloader {
    /// Loads as it was loaded at the start: the same file, environment and flags.
    pub load: Box<dyn Fn() -> Result<Loaded, Faults> + Send>,
    /// What the server was started with: what of it changes takes a restart.
    pub started: Config,
    pub file: Option<PathBuf>,
    pub compiler: Arc<Compiler>,
    pub issuers: Arc<Issuers>,
    /// The weak keys that the file declares.
    pub weak_keys: Arc<AtomicUsize>,
    pub certificates: Certificates,
    pub peppers: Peppers,
    pub telemetry: Arc<Telemetry>,
    pub levels: LevelHandle,
    pub clock: Clock,
}

/// Between two looks at the files, and so for how long they have to rest. A look costs a system call each.
const LOOK: Duration = Duration::from_secs(1);

impl Reloader {
    /// Reloads whenever asked to or a file changes, for as long as the process lives.
    pub async fn run(mut self, mut hangups: Signal) {
        let mut looks = tokio::time::interval(LOOK);
        let mut watched = Watched::new(self.files(&self.started));
        let mut good = Good { configuration: true, certificates: true };
        loop {
            tokio::select! {
                Some(()) = hangups.recv() => {
                    // Whoever asks says that they are whole.
                    watched.are_read();
                    good = Good {
                        configuration: self.reload("SIGHUP", &mut watched),
                        certificates: self.renew("SIGHUP"),
                    };
                }
                _ = looks.tick() => {
                    let changed = watched.have_changed();
                    let renewed = self.certificates.have_changed();
                    if !changed && !renewed {
                        continue;
                    }
                    if changed {
                        good.configuration = self.reload("the file changed", &mut watched);
                    }
                    if renewed {
                        good.certificates = self.renew("a file of listen.tls changed");
                    }
                }
            }
            self.telemetry.config_read(good.configuration && good.certificates, self.clock.now());
        }
    }

    /// What a configuration is made of: its file, and those of the keys that it names.
    fn files(&self, config: &Config) -> Vec<PathBuf> {
        self.file.iter().cloned().chain(config.key_files()).collect()
    }

    /// Whether the configuration could be taken.
    fn reload(&self, cause: &'static str, watched: &mut Watched) -> bool {
        match self.read() {
            Ok(basis) => {
                let config = basis.config();
                watched.turn_to(self.files(config));
                let waiting = self.started.unlike(config);
                for setting in &waiting {
                    warn!(setting, "this setting has changed; it takes effect at the next start");
                }
                for setting in SETTLED {
                    self.telemetry.set_restart_pending(setting, waiting.contains(&setting));
                }
                self.levels.set(&levels(config));
                self.telemetry.set_sampling(config.log.allows.value, config.log.refusals_per_second.value);
                self.weak_keys.store(config.weak_keys(), Ordering::Relaxed);
                // All that the catalog before or the new one may ask for, and then what the new one does.
                let before = self.compiler.edition().catalog();
                self.issuers.follow(basis.issuers().iter().chain(before.issuers()));
                self.compiler.take_file(basis);
                self.issuers.follow(self.compiler.edition().catalog().issuers());
                info!(cause, "the configuration has been reloaded");
                true
            }
            Err(faults) => {
                for fault in faults {
                    error!(cause, fault, "the configuration is not taken");
                }
                error!(cause, "the configuration before stays in force");
                false
            }
        }
    }

    /// Whether the certificates, as they were named at the start, could be taken.
    fn renew(&mut self, cause: &'static str) -> bool {
        if !self.certificates.are_in_use() {
            return true;
        }
        match self.certificates.renew(&self.started, &self.telemetry, self.clock.now()) {
            Ok(()) => {
                info!(cause, "the certificates have been read anew");
                true
            }
            Err(faults) => {
                for fault in faults {
                    error!(cause, fault, "the certificates are not taken");
                }
                error!(cause, "the certificates before stay in force for the listeners of these files");
                false
            }
        }
    }

    fn read(&self) -> Result<Basis, Vec<String>> {
        let lines = |faults: Faults| faults.remarks().iter().map(Remark::line).collect::<Vec<_>>();
        let loaded = (self.load)().map_err(lines)?;
        if loaded.has_lost_services() && !self.compiler.edition().basis().config().services.is_empty() {
            return Err(vec![NO_SERVICES.to_owned()]);
        }
        for warning in &loaded.warnings {
            warn!(warning = %warning.line(), "the configuration is taken with a warning");
        }
        let basis = Basis::new(loaded.config, &self.peppers).map_err(lines)?;
        // Those in use have been tested before.
        let known = self.compiler.edition().catalog().algorithms();
        let new = algorithms(&basis.issuers()).difference(&known).copied().collect::<Vec<_>>();
        self_test(new).map_err(|broken| vec![broken.to_string()])?;
        Ok(basis)
    }
}

/// A file that lost its end, or that a full disk emptied, may be good by itself.
const NO_SERVICES: &str = "the file declares no service any more; to protect nothing, write `services: []`";

/// The log's levels as configured. Every configurable level has a name that can be read.
pub fn levels(config: &Config) -> Levels {
    config.log.level.name().parse().unwrap_or_default()
}

/// What was read without a fault when it was last read.
struct Good {
    configuration: bool,
    certificates: bool,
}
