//! A server in a process of its own, on a core of its own, and what it has used of it.

use crate::rig::Outcome;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// Where servers run, and where whoever calls them.
#[derive(Clone, Copy)]
pub(crate) enum Core {
    Server,
    Caller,
    /// Where more run than there are cores.
    Any,
}

impl Core {
    /// As taskset(1) takes it.
    pub(crate) fn list(self) -> &'static str {
        match self {
            Self::Server => "0",
            Self::Caller => "1",
            Self::Any => "0,1",
        }
    }
}

impl Server {
    /// Starts this program again, as `server …`.
    pub(crate) fn own(core: Core, arguments: &[&str]) -> Outcome<Self> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        Self::start(core, &own, &[&["server"], arguments].concat())
    }

    /// Starts a peer.
    pub(crate) fn peer(core: Core, arguments: &[&str]) -> Outcome<Self> {
        Self::start(core, &peer()?, arguments)
    }

    fn start(core: Core, program: &Path, arguments: &[&str]) -> Outcome<Self> {
        // It becomes the program: the process is the server's own.
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", core.list()]).arg(program).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?} cannot be started: {error}"))?;
        let stdout = child.stdout.take().ok_or("no output of a server")?;
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let address = line.trim().parse();
        match (read, address) {
            (Ok(_), Ok(address)) => Ok(Self { child, address }),
            _ => {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("{command:?} did not say where it listens"))
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both only fail where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Beside this program, where `make bench` has built it.
fn peer() -> Outcome<PathBuf> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let built = own.ancestors().nth(2).map(|folder| folder.join("examples/peer"));
    built.filter(|path| path.exists()).ok_or_else(|| "the peers are not built; run `make bench`".to_owned())
}

/// Has this process, its main thread and those it starts from now on, run on that core.
pub(crate) fn pin(core: Core) {
    let pinned = Command::new("taskset")
        .args(["--pid", "--cpu-list", core.list(), &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status();
    if !pinned.is_ok_and(|status| status.success()) {
        eprintln!(
            "bench: no `taskset`, or no core {}: servers and load get in each other's way",
            core.list()
        );
    }
}

/// What a process has spent on cores since it began, in the kernel too: all its threads, to the
/// nanosecond (proc(5), `schedstat`).
pub(crate) fn spent(process: u32) -> Outcome<Duration> {
    let tasks = Path::new("/proc").join(process.to_string()).join("task");
    let problem = |error: std::io::Error| format!("{} cannot be read: {error}", tasks.display());
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(&tasks).map_err(problem)? {
        // A thread that has ended meanwhile is not counted.
        let Ok(text) = std::fs::read_to_string(task.map_err(problem)?.path().join("schedstat")) else {
            continue;
        };
        nanoseconds += text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Its resident memory in bytes (proc(5), `statm`).
pub(crate) fn resident(process: u32) -> Outcome<u64> {
    let file = Path::new("/proc").join(process.to_string()).join("statm");
    let statm = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let pages: u64 =
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).ok_or("statm has no number")?;
    Ok(pages * 4096)
}
