//! The real Doorward: the binary, a folder, a configuration.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Outcome;
use super::http1::{Reply, request, send};
use super::process::{Process, Signal};
use super::wait::until;

/// What can be started, more than once on the same folder.
#[derive(Clone)]
pub struct Setup {
    pub binary: PathBuf,
    /// Holds `doorward.yaml` and, after the start, what Doorward keeps.
    pub folder: PathBuf,
    pub environment: Vec<(String, String)>,
    /// Options for `doorward health`, where the status listener asks for more than a question.
    pub probe: Vec<String>,
    /// Run in the folder, where the file has its usual name, instead of naming it.
    pub at_home: bool,
}

impl Setup {
    pub fn new(binary: &Path, folder: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            environment: Vec::new(),
            probe: Vec::new(),
            at_home: false,
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn file(&self) -> PathBuf {
        self.folder.join("doorward.yaml")
    }

    /// Replaces the configuration in one step, as editors and config maps do.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn write(&self, config: &str) -> Outcome<()> {
        let next = self.folder.join("doorward.yaml.next");
        std::fs::write(&next, config)
            .and_then(|()| std::fs::rename(&next, self.file()))
            .map_err(|e| format!("{} cannot be written: {e}", self.file().display()))
    }

    /// Starts `doorward serve` and waits until it listens and is ready.
    ///
    /// # Errors
    ///
    /// Its last words.
    pub fn start(&self) -> Outcome<Doorward> {
        self.start_until("/readyz")
    }

    /// Starts `doorward serve` and waits until it listens, ready or not.
    ///
    /// # Errors
    ///
    /// Its last words.
    pub fn launch(&self) -> Outcome<Doorward> {
        self.start_until("/livez")
    }

    /// Starts it and waits until this path of the status listener answers 200.
    fn start_until(&self, path: &str) -> Outcome<Doorward> {
        let addresses = self.folder.join("doorward.addresses");
        // Left by the last one: it would be taken for the new one's.
        let _ = std::fs::remove_file(&addresses);
        let mut process =
            Process::start("Doorward", self.command(&["serve"]), &self.folder.join("doorward.log"))?;
        let found = until(&format!("Doorward's {path} is good"), Duration::from_secs(30), || {
            if let Some(status) = process.ended() {
                return Some(Err(format!("Doorward ended with {status}")));
            }
            let found = Addresses::read(&addresses)?;
            self.answers(path, &found).then_some(Ok(found))
        });
        match found.and_then(|ready| ready) {
            Ok(addresses) => Ok(Doorward { process, setup: self.clone(), addresses }),
            Err(message) => Err(format!("{message}\n{}", process.tail())),
        }
    }

    /// A status listener that does not speak plain text is asked by Doorward's own command.
    fn answers(&self, path: &str, found: &Addresses) -> bool {
        match send(found.status, &request("GET", path, &[("Connection", "close")], b"")) {
            Ok(page) => page.status == 200,
            Err(_) => {
                let arguments: Vec<&str> =
                    std::iter::once("health").chain(self.probe.iter().map(String::as_str)).collect();
                self.run(&arguments).is_ok_and(|health| health.status.success())
            }
        }
    }

    /// Runs a command of Doorward to its end.
    ///
    /// # Errors
    ///
    /// The binary cannot be run; a refusal is in the output.
    pub fn run(&self, arguments: &[&str]) -> Outcome<Output> {
        self.command(arguments).output().map_err(|e| format!("{} cannot be run: {e}", self.binary.display()))
    }

    /// A command of Doorward that is yet to be run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        match self.at_home {
            true => command.current_dir(&self.folder),
            false => command.arg("--config").arg(self.file()),
        };
        // The tests decide what is configured, not whoever runs them.
        for (name, _) in std::env::vars_os() {
            if ["DOORWARD_", "OTEL_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
                command.env_remove(name);
            }
        }
        // Tests run side by side; a free port for each.
        command.env("DOORWARD_LISTEN__ADMIN", "127.0.0.1:0").env("DOORWARD_LISTEN__AUTH", "127.0.0.1:0");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Running.
pub struct Doorward {
    process: Process,
    setup: Setup,
    addresses: Addresses,
}

/// Where it listens, as it says itself.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// `127.0.0.1:50051` or `unix:/path`.
    pub grpc: String,
    pub status: SocketAddr,
    /// Logins and tokens.
    pub auth: SocketAddr,
    /// The admin API over TCP.
    pub admin: SocketAddr,
}

impl Addresses {
    fn read(file: &Path) -> Option<Self> {
        let json: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        let address = |name: &str| json[name].as_str()?.parse().ok();
        Some(Self {
            grpc: json["grpc"].as_str()?.to_owned(),
            status: address("status")?,
            auth: address("auth")?,
            admin: address("admin")?,
        })
    }
}

impl Doorward {
    /// # Panics
    ///
    /// It listens on a Unix socket.
    pub fn grpc(&self) -> SocketAddr {
        self.addresses.grpc.parse().unwrap_or_else(|_| panic!("no TCP address: {}", self.addresses.grpc))
    }

    pub fn status_address(&self) -> SocketAddr {
        self.addresses.status
    }

    pub fn auth_address(&self) -> SocketAddr {
        self.addresses.auth
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.addresses.admin
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// All that it has logged.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// All that it has logged, once that has `words`: a line comes a moment after what it tells of.
    #[track_caller]
    pub fn logged(&self, words: &str) -> String {
        let with_words = || Some(self.output()).filter(|output| output.contains(words));
        until(&format!("the log says `{words}`"), Duration::from_secs(10), with_words)
            .unwrap_or_else(|message| panic!("{message}\n{}", self.output()))
    }

    /// # Errors
    ///
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Outcome<()> {
        self.process.signal(signal)
    }

    /// A page of the status listener.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub fn status(&self, path: &str) -> Outcome<Reply> {
        send(self.addresses.status, &request("GET", path, &[("Connection", "close")], b""))
    }

    /// `password set`, as somebody types it.
    ///
    /// # Errors
    ///
    /// What it said instead.
    pub fn set_password(&self, consumer: &str, password: &str) -> Outcome<()> {
        let mut command = self.setup.command(&["password", "set", consumer]);
        let problem = |error: std::io::Error| format!("`doorward password set` cannot be run: {error}");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut set = piped.spawn().map_err(problem)?;
        if let Some(mut typed) = set.stdin.take() {
            typed.write_all(format!("{password}\n").as_bytes()).map_err(problem)?;
        }
        let output = set.wait_with_output().map_err(problem)?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// A command that has to succeed, and the JSON that it printed.
    ///
    /// # Errors
    ///
    /// What it said instead.
    pub fn command(&self, arguments: &[&str]) -> Outcome<Value> {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        let output = self.setup.run(&all)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`doorward {}` ended with {}: {said}", arguments.join(" "), output.status));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text)
            .map_err(|e| format!("`doorward {}` printed no JSON: {e}: {text}", arguments.join(" ")))
    }
}
