//! A real Redis, on a port that stays its own while it is killed and started again.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redis::{Connection, FromRedisValue};

use super::port::free_port;
use super::process::{Process, Signal};
use super::wait::until;
use super::{Outcome, tools};

/// Ended when dropped, however it was left.
pub struct Redis {
    folder: PathBuf,
    port: u16,
    options: Vec<String>,
    process: Option<Process>,
}

/// As the documents tell operators to run it: nothing acknowledged is lost with the power.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

impl Redis {
    /// Starts one in `folder` with `options` beside those that make it durable.
    ///
    /// # Errors
    ///
    /// Its last words.
    pub fn start(folder: &Path, options: &[&str]) -> Outcome<Self> {
        let mut redis = Self::reserve(folder, options)?;
        redis.resume()?;
        Ok(redis)
    }

    /// One that has a port and does not run yet.
    ///
    /// # Errors
    ///
    /// No port, no folder.
    pub fn reserve(folder: &Path, options: &[&str]) -> Outcome<Self> {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Ok(Self { folder: folder.to_owned(), port: free_port()?, options, process: None })
    }

    /// A replica of another one, in step with it.
    ///
    /// # Errors
    ///
    /// Its last words.
    pub fn replica(folder: &Path, of: &Self) -> Outcome<Self> {
        let port = of.port.to_string();
        // Without the delay of 5 s in which a primary gathers replicas before it feeds them.
        let redis = Self::start(folder, &["--replicaof", "127.0.0.1", &port])?;
        redis.in_step()?;
        Ok(redis)
    }

    /// Waits until a replica has all that its primary has.
    ///
    /// # Errors
    ///
    /// It has not after 20 seconds.
    pub fn in_step(&self) -> Outcome<()> {
        until("the replica is in step", Duration::from_secs(20), || {
            let info: String = self.ask(&["INFO", "replication"]).ok()?;
            info.contains("master_link_status:up").then_some(())
        })
    }

    /// Waits until a replica has all that its primary has at this moment.
    ///
    /// # Errors
    ///
    /// It has not after 20 seconds.
    pub fn has_all_of(&self, primary: &Self) -> Outcome<()> {
        let offset = |redis: &Self, field: &str| -> Option<u64> {
            let info: String = redis.ask(&["INFO", "replication"]).ok()?;
            info.lines().find_map(|line| line.strip_prefix(field)?.trim().parse().ok())
        };
        let wanted = offset(primary, "master_repl_offset:").ok_or("the primary does not answer")?;
        until("the replica has all of it", Duration::from_secs(20), || {
            (offset(self, "slave_repl_offset:")? >= wanted).then_some(())
        })
    }

    /// Starts it, again perhaps, and waits until it answers.
    ///
    /// # Errors
    ///
    /// Its last words.
    pub fn resume(&mut self) -> Outcome<()> {
        let mut command = Command::new(tools::program("redis")?);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
        command.arg(&self.folder).args(DURABLE).args(&self.options);
        let mut process = Process::start("Redis", command, &self.folder.join("redis.log"))?;
        let address = self.address();
        let listens = until("Redis listens", Duration::from_secs(20), || match process.ended() {
            Some(status) => Some(Err(format!("Redis ended with {status}"))),
            None => TcpStream::connect(address).is_ok().then_some(Ok(())),
        });
        match listens.and_then(|listens| listens) {
            Ok(()) => self.process = Some(process),
            Err(message) => return Err(format!("{message}\n{}", process.tail())),
        }
        Ok(())
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// For `store.url`.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    /// As a power cut would, but for what is in the kernel.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP and SIGCONT: a machine that hangs.
    ///
    /// # Errors
    ///
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Outcome<()> {
        self.process.as_ref().ok_or("Redis does not run")?.signal(signal)
    }

    /// # Errors
    ///
    /// It does not answer.
    pub fn connection(&self) -> Outcome<Connection> {
        let client = redis::Client::open(self.url()).map_err(|e| e.to_string())?;
        client.get_connection_with_timeout(Duration::from_secs(5)).map_err(|e| e.to_string())
    }

    /// Asks it something, as an operator with `redis-cli` would.
    ///
    /// # Errors
    ///
    /// What Redis says.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> Outcome<T> {
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut self.connection()?).map_err(|e| format!("{words:?}: {e}"))
    }
}

/// A Sentinel that watches one primary under the name `primary`, and decides alone.
pub struct Sentinel {
    _process: Process,
    address: SocketAddr,
}

impl Sentinel {
    /// Starts one that knows the primary and its replica.
    ///
    /// # Errors
    ///
    /// Its last words.
    pub fn start(folder: &Path, of: &Redis) -> Outcome<Self> {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let port = free_port()?;
        let file = folder.join("sentinel.conf");
        let config = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor primary 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds primary 500\nsentinel failover-timeout primary 3000\n",
            of.port
        );
        std::fs::write(&file, config).map_err(|e| format!("{}: {e}", file.display()))?;
        let mut command = Command::new(tools::program("redis")?);
        command.arg(&file).arg("--sentinel");
        let process = Process::start("Sentinel", command, &folder.join("sentinel.log"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let knows = until("Sentinel knows the replica", Duration::from_secs(30), || {
            let client = redis::Client::open(format!("redis://{address}")).ok()?;
            let mut connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok()?;
            let replicas: Vec<redis::Value> =
                redis::cmd("SENTINEL").arg("replicas").arg("primary").query(&mut connection).ok()?;
            (!replicas.is_empty()).then_some(())
        });
        match knows {
            Ok(()) => Ok(Self { _process: process, address }),
            Err(message) => Err(format!("{message}\n{}", process.tail())),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
