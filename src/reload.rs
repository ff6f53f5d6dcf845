//! A new catalog and new certificates while the server runs: on SIGHUP, and when a file changes.
//!
//! A bad file changes nothing but a gauge and the log.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::compile::Compiler;
use crate::config::{Basis, Config, Faults, Loaded, Remark};
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

/// Between two looks at the file. A look costs one system call.
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
                    watched.have_changed();
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

    /// What a configuration is made of: its file, and those of the keys that it declares.
    fn files(&self, config: &Config) -> Vec<PathBuf> {
        self.file.iter().cloned().chain(config.key_files()).collect()
    }

    /// Whether the configuration could be taken.
    fn reload(&self, cause: &'static str, watched: &mut Watched) -> bool {
        match self.read() {
            Ok(basis) => {
                let config = basis.config();
                watched.turn_to(self.files(config));
                for setting in self.started.unlike(config) {
                    warn!(setting, "this setting has changed; it takes effect at the next start");
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
                error!(cause, "the certificates before stay in force");
                false
            }
        }
    }

    fn read(&self) -> Result<Basis, Vec<String>> {
        let lines = |faults: Faults| faults.remarks().iter().map(Remark::line).collect::<Vec<_>>();
        let loaded = (self.load)().map_err(lines)?;
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

/// The log's levels as configured. Every configurable level has a name that can be read.
pub fn levels(config: &Config) -> Levels {
    config.log.level.name().parse().unwrap_or_default()
}

/// What was read without a fault when it was last read.
struct Good {
    configuration: bool,
    certificates: bool,
}

/// Files, each as it was last seen; `None` where it was away.
struct Watched(Vec<(PathBuf, Option<Stamp>)>);

impl Watched {
    fn new(files: Vec<PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file.clone(), stamp(&file))).collect())
    }

    /// Whether one of them has changed since this was asked last. A file that is away for a moment is
    /// being replaced; it is looked at when it is back, be it the same.
    fn have_changed(&mut self) -> bool {
        let mut changed = false;
        for (file, seen) in &mut self.0 {
            let now = stamp(file);
            changed |= now.is_some() && now != *seen;
            *seen = now;
        }
        changed
    }

    /// Watches these instead; what was seen of those that stay counts.
    fn turn_to(&mut self, files: Vec<PathBuf>) {
        let before = std::mem::replace(self, Self::new(files));
        for (file, seen) in &mut self.0 {
            if let Some((_, earlier)) = before.0.iter().find(|(other, _)| other == file) {
                *seen = *earlier;
            }
        }
    }
}

/// Inode, length and time.
pub type Stamp = (u64, u64, i64, i64);

/// Tells two states of a file apart, also where it was replaced by one of the same length and time.
pub fn stamp(file: &Path) -> Option<Stamp> {
    let metadata: Metadata = std::fs::metadata(file).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}
