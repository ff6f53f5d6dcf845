//! What the process is given before it does anything: its limits, its secrets kept to itself, its log.

use tracing::{error, warn};

use crate::cli::Failure;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::reload::levels;
use crate::telemetry::log::{self, Format, Log};

/// Has no crash write our memory to a file (core(5)), and no other process of the same user read it
/// (ptrace(2), `/proc/<pid>/mem`): there are secrets in it.
pub(super) fn keep_memory_private() -> rustix::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Allows ourselves as many descriptors as we may: the soft limit is mostly 1024, for programs that
/// use select(2), and `limits.connections` is ten times that.
pub(super) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, soft = limit.current, "the limit of open files could not be raised");
    }
}

pub(super) fn start_log(config: &Config, clock: &Clock) -> Result<Log, Failure> {
    let format = match config.log.format {
        config::LogFormat::Json => Format::Json,
        config::LogFormat::Text => {
            Format::Text { colours: std::io::IsTerminal::is_terminal(&std::io::stdout()) }
        }
    };
    let log = log::init(format, &levels(config), clock.clone(), std::io::stdout())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    // The default hook prints to stderr as it pleases; this line is escaped like any other.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "a panic; what it interrupted is refused");
    }));
    Ok(log)
}
