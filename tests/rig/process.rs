//! A child process whose output goes to a file, and which never outlives its value.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, kill_process, prlimit};

pub use rustix::process::Signal;

use super::Outcome;
use super::wait::until;

/// Ended by SIGKILL when dropped. Its last output is printed when that happens in a panic.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; both its streams go to the file `log`.
    ///
    /// # Errors
    ///
    /// The program or the file cannot be opened.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Outcome<Self> {
        let problem = |e: std::io::Error| format!("{name} cannot be started: {e}");
        let file = File::options().create(true).append(true).open(log).map_err(problem)?;
        let twin = file.try_clone().map_err(problem)?;
        command.stdin(Stdio::null()).stdout(file).stderr(twin);
        let child = command.spawn().map_err(|e| format!("{name} cannot be started: {e} ({command:?})"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// # Errors
    ///
    /// It is gone already.
    pub fn signal(&self, signal: Signal) -> Outcome<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|e| format!("{} cannot be signalled: {e}", self.name))
    }

    /// Lets no file of it grow beyond so many bytes, as a full disk would; `None`: without a limit.
    ///
    /// # Errors
    ///
    /// It is gone, or another user's.
    pub fn limit_files(&self, bytes: Option<u64>) -> Outcome<()> {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit)
            .map(drop)
            .map_err(|e| format!("the files of {} cannot be limited: {e}", self.name))
    }

    /// Kills it as a power cut would: no handler runs.
    pub fn kill(&mut self) {
        // Both only fail where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its exit status, where it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// # Errors
    ///
    /// It still runs after `within`.
    pub fn wait(&mut self, within: Duration) -> Outcome<ExitStatus> {
        let name = self.name.clone();
        until(&format!("{name} ended"), within, || self.ended())
    }

    /// All that it has written so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its last lines, for messages.
    pub fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let from = lines.len().saturating_sub(15);
        format!("--- the last of {} ---\n{}\n---", self.name, lines[from..].join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
    }
}
