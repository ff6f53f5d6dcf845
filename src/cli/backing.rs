//! The store that the configuration names, open: the one place that knows which kinds there are.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tracing::{info, warn};
use uuid::Uuid;

use super::Failure;
use crate::config::{self, Config, StoreUrl, Weakness};
use crate::http::admin::NotCopied;
use crate::store::memory::Memory;
use crate::store::redb::{FileError, RedbStore};
use crate::store::redis::{Address, Finding, Password, RedisSettings, RedisStore, Target, Timeouts, Tls};
use crate::store::ring::{Ring, RingError};
use crate::store::{Store, StoreError};

/// An open store and the ring that its records are read with.
pub(super) struct Backing {
    pub(super) ring: Arc<Ring>,
    kind: Kind,
    instance: Uuid,
}

enum Kind {
    Embedded(Arc<RedbStore>),
    Shared(Arc<RedisStore>),
    /// None: what is in it is gone with the process.
    Pretended(Arc<Memory>),
}

/// Why there is no store.
pub(super) enum Closed {
    /// Somebody else holds its file: perhaps a server that is only just starting or ending.
    InUse(FileError),
    Missing(FileError),
    /// It is there and cannot be opened as it is.
    Broken(FileError),
    Failed(Failure),
}

/// Whether a store that is not there is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    Never,
    IfMissing,
}

impl Backing {
    /// Opens the embedded store, which blocks; a shared one is reached for when it is first asked.
    ///
    /// # Errors
    ///
    /// Where the store's file, the key ring or the password cannot be read.
    pub(super) fn open(config: &Config, runtime: &Runtime, make: Make) -> Result<Self, Closed> {
        let secret_file = config.secret_file();
        if let StoreUrl::Redb(path) = &config.store.url.value {
            let path = config.resolved(path);
            let store = match make {
                Make::IfMissing => RedbStore::open(&path, &secret_file),
                Make::Never => RedbStore::open_existing(&path, &secret_file),
            }?;
            let ring = Arc::clone(store.ring());
            return Ok(Self { ring, kind: Kind::Embedded(Arc::new(store)), instance: Uuid::nil() });
        }
        let ring = Ring::load(&secret_file).map_err(|error| Closed::Failed(no_ring(&error)))?;
        let ring = Arc::new(ring);
        let settings = redis_settings(config).map_err(Closed::Failed)?;
        let instance = instance(&config.data_dir()).map_err(Closed::Failed)?;
        let _inside = runtime.enter();
        let store = RedisStore::new(settings, Arc::clone(&ring));
        Ok(Self { ring, kind: Kind::Shared(Arc::new(store)), instance })
    }

    /// An empty one, for the question what would become of one that is not there yet.
    pub(super) fn pretended() -> Result<Self, Closed> {
        let key = format!("1 {}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let ring = Ring::parse(Path::new("nowhere"), key.as_bytes());
        let ring = ring.map_err(|error| Closed::Failed(Failure::Unreachable(error.to_string())))?;
        Ok(Self { ring: Arc::new(ring), kind: Kind::Pretended(Arc::default()), instance: Uuid::nil() })
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        match &self.kind {
            Kind::Embedded(store) => store.clone(),
            Kind::Shared(store) => store.clone(),
            Kind::Pretended(store) => store.clone(),
        }
    }

    /// Whose chains of the audit log this process writes: the embedded store has one writer at a time,
    /// a shared one has many.
    pub(super) fn instance(&self) -> Uuid {
        self.instance
    }

    /// Whether the store takes writes, as far as is known.
    pub(super) fn writable(&self) -> watch::Receiver<bool> {
        match &self.kind {
            Kind::Embedded(store) => store.writable(),
            Kind::Shared(store) => store.writable(),
            Kind::Pretended(_) => watch::channel(true).1,
        }
    }

    /// Whether changes can be lost behind our back: not of a file that is ours as long as it is open.
    pub(super) fn can_go_back(&self) -> bool {
        matches!(self.kind, Kind::Shared(_))
    }

    /// Writes a consistent copy of the embedded store to a path.
    ///
    /// # Errors
    ///
    /// Says why there is none.
    pub(super) fn backup(&self) -> Arc<dyn Fn(PathBuf) -> Result<(), NotCopied> + Send + Sync> {
        match &self.kind {
            Kind::Embedded(store) => {
                let store = Arc::clone(store);
                Arc::new(move |to| store.backup(&to).map(drop).map_err(not_copied))
            }
            Kind::Pretended(_) => Arc::new(|_| Err(NotCopied::Refused("there is no store".into()))),
            Kind::Shared(_) => Arc::new(|_| Err(NotCopied::Refused(REDIS_HAS_ITS_OWN.into()))),
        }
    }

    /// Asks a shared store how it keeps what it is given, and holds that against what we promise.
    ///
    /// # Errors
    ///
    /// [`Refused::Weak`] names what `store.accept` does not; `Unreachable` is worth another try.
    pub(super) async fn examine(&self, accept: &[Weakness]) -> Result<(), Refused> {
        let Kind::Shared(store) = &self.kind else { return Ok(()) };
        let report = match store.report().await {
            Ok(report) => report,
            Err(StoreError::Foreign(why)) => return Err(Refused::Foreign(why)),
            Err(error) => return Err(Refused::Unreachable(error.to_string())),
        };
        let facts: Vec<String> = report.facts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        info!(facts = facts.join(" "), "how the store is set up");
        report.warnings.iter().for_each(|warning| warn!("{warning}"));
        let (accepted, refused): (Vec<_>, Vec<_>) = report
            .findings
            .into_iter()
            .partition(|finding| accept.iter().any(|it| it.name() == finding.name));
        for finding in &accepted {
            warn!(finding = finding.name, found = %finding.found, "the store is taken as it is: {}", finding.breaks);
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(Refused::Weak(refused.iter().map(told).collect::<Vec<_>>().join("\n")))
    }
}

/// Why a shared store is not worked with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Foreign(String),
    #[error("the store does not keep what Doorward promises:\n{0}")]
    Weak(String),
}

fn not_copied(error: FileError) -> NotCopied {
    use std::io::ErrorKind::{
        InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
    };
    let why = error.to_string();
    let of_the_path =
        [NotFound, NotADirectory, IsADirectory, PermissionDenied, InvalidInput, InvalidFilename];
    match error {
        FileError::Exists { .. } => NotCopied::Refused(why),
        FileError::Io { error, .. } if of_the_path.contains(&error.kind()) => NotCopied::Refused(why),
        _ => NotCopied::Failed(why),
    }
}

fn told(finding: &Finding) -> String {
    let Finding { name, found, breaks, way_out } = finding;
    format!("  {name}: {found}; {breaks}. {way_out}, or accept it: `store.accept: [{name}]`")
}

/// What `store backup` and `store restore` say of Redis.
pub(super) const REDIS_HAS_ITS_OWN: &str =
    "the store is a Redis, which has backups of its own; copy its append-only file or a snapshot (BGSAVE)";

/// By what an instance on a shared store is known from one start to the next: a file in its data
/// directory, made with the first one.
fn instance(data_dir: &Path) -> Result<Uuid, Failure> {
    let path = data_dir.join("doorward.instance");
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Usage(format!("{} (this instance's id) cannot be used: {error}", path.display()))
    };
    let written = std::fs::create_dir_all(data_dir).and_then(|()| std::fs::File::create_new(&path));
    let made = match written {
        Ok(mut file) => {
            let id = Uuid::new_v4();
            file.write_all(format!("{id}\n").as_bytes()).and_then(|()| file.sync_all()).map(|()| Some(id))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    };
    if let Some(id) = made.map_err(|error| failed(&error))? {
        return Ok(id);
    }
    let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
    Uuid::parse_str(text.trim()).map_err(|error| failed(&error))
}

fn no_ring(error: &RingError) -> Failure {
    Failure::Usage(why_no_ring(error))
}

fn why_no_ring(error: &RingError) -> String {
    match error {
        RingError::Missing { .. } => format!(
            "{error}; with Redis as the store it is never made, because every instance needs the same one"
        ),
        error => error.to_string(),
    }
}

/// What would keep a start from having the key ring; makes nothing. Where there is neither store nor
/// ring, a start makes both.
pub(super) fn wrong_with_secret(config: &Config) -> Option<String> {
    let secret = config.secret_file();
    let error = Ring::load(&secret).err()?;
    match (&config.store.url.value, error) {
        (StoreUrl::Redb(path), RingError::Missing { .. }) => {
            let path = config.resolved(path);
            path.exists().then(|| FileError::SecretMissing { path, secret }.to_string())
        }
        (StoreUrl::Redb(_), error) => Some(error.to_string()),
        (_, error) => Some(why_no_ring(&error)),
    }
}

fn redis_settings(config: &Config) -> Result<RedisSettings, Failure> {
    let store = &config.store;
    let address = |node: &config::Address| Address { host: node.host.clone(), port: node.port };
    let addresses = |nodes: &[config::Address]| nodes.iter().map(address).collect();
    let (target, database, speaks_tls) = match &store.url.value {
        StoreUrl::Redb(_) => unreachable!("the embedded store is opened by its file"),
        StoreUrl::Redis { tls, node, database } => (Target::Single(address(node)), *database, *tls),
        StoreUrl::Sentinel { nodes, name } => {
            let own = store.sentinel.as_ref();
            let username = own.and_then(|own| own.username.as_ref()).map(|name| name.value.clone());
            let password = own.and_then(|own| own.password.as_ref());
            let password = password
                .map(|password| read_password(config, "store.sentinel.password", password))
                .transpose()?;
            let target = Target::Sentinel { nodes: addresses(nodes), name: name.clone(), username, password };
            (target, 0, store.tls.is_some())
        }
        StoreUrl::Cluster { nodes } => (Target::Cluster { nodes: addresses(nodes) }, 0, store.tls.is_some()),
    };
    let password = store.password.as_ref();
    let password = password.map(|password| read_password(config, "store.password", password)).transpose()?;
    Ok(RedisSettings {
        target,
        username: store.username.as_ref().map(|name| name.value.clone()),
        password,
        tls: speaks_tls.then(|| tls(config)),
        database: database.into(),
        replicas: store.replicas.value.into(),
        timeouts: timeouts(config.revocation.bound.value.0),
    })
}

/// A heartbeat must be able to fail, and to come through at the next try, before the lease ends.
fn timeouts(bound: Duration) -> Timeouts {
    let defaults = Timeouts::default();
    Timeouts {
        connect: defaults.connect.min(bound / 4),
        response: defaults.response.min(bound / 4),
        confirm: defaults.confirm.min(bound / 8),
        pause: defaults.pause.min(bound / 8),
        ..defaults
    }
}

fn tls(config: &Config) -> Tls {
    let Some(tls) = &config.store.tls else { return Tls::default() };
    let client = tls.certificate.as_ref().zip(tls.key.as_ref());
    Tls {
        ca_file: tls.ca_file.as_ref().map(|path| config.resolved(path)),
        client: client.map(|(certificate, key)| (config.resolved(certificate), config.resolved(key))),
        server_name: tls.server_name.as_ref().map(|name| name.value.clone()),
    }
}

/// `setting` is where it is named, for the error.
fn read_password(
    config: &Config,
    setting: &str,
    password: &config::At<config::Password>,
) -> Result<Password, Failure> {
    if let Some(name) = &password.from_env {
        let text = std::env::var(&name.value).map_err(|_| {
            Failure::Usage(format!("{setting}: the variable `{}` is not set, or is no text", name.value))
        })?;
        return Ok(Password::new(text));
    }
    // The configuration was refused where it has neither.
    let path = password.from_file.as_ref().map_or(Path::new(""), |path| path);
    let path = config.resolved(path);
    let mut text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::Usage(format!("{setting}: {} cannot be read: {error}", path.display())))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(Password::new(text))
}

impl From<FileError> for Closed {
    fn from(error: FileError) -> Self {
        match error {
            FileError::InUse { .. } => Self::InUse(error),
            FileError::Missing { .. } => Self::Missing(error),
            other => Self::Broken(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::FINDINGS;

    #[test]
    fn a_full_disk_is_no_mistake_of_whoever_asks_for_a_copy() {
        let of = |kind: std::io::ErrorKind| {
            not_copied(FileError::Io { path: "a".into(), doing: "written", error: kind.into() })
        };
        assert!(matches!(of(std::io::ErrorKind::StorageFull), NotCopied::Failed(_)));
        assert!(matches!(of(std::io::ErrorKind::NotFound), NotCopied::Refused(_)));
        assert!(matches!(not_copied(FileError::Exists { path: "a".into() }), NotCopied::Refused(_)));
    }

    #[test]
    fn whatever_a_store_may_lack_can_be_accepted_by_the_same_name() {
        assert_eq!(Weakness::ALL.map(Weakness::name), FINDINGS);
    }
}
