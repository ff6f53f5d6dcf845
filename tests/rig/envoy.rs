//! A real Envoy.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::http1::{request, send};
use super::process::Process;
use super::wait::until;
use super::{Outcome, tools};

/// Running, with its listeners by name.
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
    listeners: HashMap<String, SocketAddr>,
}

impl Envoy {
    /// Starts Envoy with the text of a configuration, YAML or JSON, and waits until it is live: its
    /// clusters have been checked, its listeners are open. `folder` takes its files.
    ///
    /// # Errors
    ///
    /// Its last words.
    pub fn start(folder: &Path, config: &str, concurrency: u32) -> Outcome<Self> {
        let program = tools::program("envoy")?;
        let file = written(folder, config)?;
        let admin_file = folder.join("envoy.admin");
        let mut command = Command::new(program);
        command.arg("-c").arg(&file).arg("--admin-address-path").arg(&admin_file);
        command.args(["--disable-hot-restart", "--log-level", "warning", "--file-flush-interval-msec", "50"]);
        command.args(["--concurrency", &concurrency.to_string()]);
        let mut process = Process::start("Envoy", command, &folder.join("envoy.log"))?;
        let admin = until("Envoy is live", Duration::from_secs(20), || live(&mut process, &admin_file));
        let admin =
            admin.and_then(|live| live).map_err(|message| format!("{message}\n{}", process.tail()))?;
        let listeners = listeners(admin)?;
        Ok(Self { process, admin, listeners })
    }

    /// What `envoy --mode validate` says against a configuration.
    ///
    /// # Errors
    ///
    /// Envoy would not start with it.
    pub fn validate(folder: &Path, config: &str) -> Outcome<()> {
        let file = written(folder, config)?;
        let output = Command::new(tools::program("envoy")?)
            .args(["--mode", "validate", "--log-level", "warning", "-c"])
            .arg(&file)
            .output()
            .map_err(|e| e.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// # Panics
    ///
    /// The configuration names no such listener.
    pub fn listener(&self, name: &str) -> SocketAddr {
        self.listeners[name]
    }

    /// A counter or gauge; 0 where nothing has counted yet.
    pub fn stat(&self, name: &str) -> u64 {
        let target = format!("/stats?format=json&filter=^{}$", name.replace('.', "\\."));
        let stats = admin(self.admin, &target).unwrap_or(Value::Null);
        stats["stats"]
            .as_array()
            .and_then(|all| all.first())
            .and_then(|one| one["value"].as_u64())
            .unwrap_or(0)
    }

    /// How many hosts of a cluster are in use.
    pub fn healthy(&self, cluster: &str) -> u64 {
        self.stat(&format!("cluster.{cluster}.membership_healthy"))
    }

    /// All that it is configured with, as it says itself.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub fn config_dump(&self) -> Outcome<Value> {
        admin(self.admin, "/config_dump")
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// Envoy tells YAML from JSON by the file's name; JSON is YAML, so one name does.
fn written(folder: &Path, config: &str) -> Outcome<PathBuf> {
    let file = folder.join("envoy.yaml");
    std::fs::write(&file, config).map_err(|e| format!("{} cannot be written: {e}", file.display()))?;
    Ok(file)
}

/// An error once it has ended.
fn live(process: &mut Process, admin_file: &Path) -> Option<Outcome<SocketAddr>> {
    if let Some(status) = process.ended() {
        return Some(Err(format!("Envoy ended with {status}")));
    }
    let address: SocketAddr = std::fs::read_to_string(admin_file).ok()?.trim().parse().ok()?;
    let ready = send(address, &request("GET", "/ready", &[("Connection", "close")], b"")).ok()?;
    (ready.status == 200).then_some(Ok(address))
}

fn listeners(address: SocketAddr) -> Outcome<HashMap<String, SocketAddr>> {
    let all = admin(address, "/listeners?format=json")?;
    let one = |entry: &Value| {
        let socket = &entry["local_address"]["socket_address"];
        let text = format!("{}:{}", socket["address"].as_str()?, socket["port_value"]);
        Some((entry["name"].as_str()?.to_owned(), text.parse().ok()?))
    };
    Ok(all["listener_statuses"].as_array().into_iter().flatten().filter_map(one).collect())
}

fn admin(address: SocketAddr, target: &str) -> Outcome<Value> {
    Ok(send(address, &request("GET", target, &[("Connection", "close")], b""))?.json())
}
