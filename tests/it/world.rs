//! One Doorward, one Envoy, one upstream: what most tests need.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use doorward::cases::Suite;
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::doorward::{Doorward, Setup};
use crate::rig::echo::Echo;
use crate::rig::envoy::Envoy;
use crate::rig::http1::{Reply, request, send};
use crate::rig::sample::fill;
use crate::rig::wait::eventually;
use crate::rig::wiring::Wiring;

/// The services and consumers that most tests ask for; see the file for what each is.
pub(crate) const HOUSE: &str = include_str!("../cases/house.yaml");

pub(crate) const HARDENED: &str = include_str!("../../envoy/hardened.yaml");

/// Keys of the consumers in the file, handed in by the environment.
pub(crate) const ALICE: &str = "alice-0123456789-abcdef";
pub(crate) const BOB: &str = "bob-0123456789-abcdefgh";

/// Dropped from the top: Envoy first, the folder last.
pub(crate) struct World {
    pub(crate) envoy: Envoy,
    pub(crate) doorward: Doorward,
    pub(crate) echo: Echo,
    _folder: TempDir,
}

impl World {
    /// The house behind an Envoy that sends headers as a map.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::with(HOUSE, |_| {})
    }

    /// Any configuration behind an Envoy wired as `change` says.
    #[track_caller]
    pub(crate) fn with(config: &str, change: impl FnOnce(&mut Wiring)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let echo = Echo::start(0).unwrap();
        let doorward = start_doorward(&folder.path().join("doorward"), config);
        let mut wiring = Wiring::new(echo.address(), &[doorward.grpc()]);
        change(&mut wiring);
        let envoy = start_envoy(folder.path(), &wiring);
        Self { envoy, doorward, echo, _folder: folder }
    }

    /// The same with more variables of the environment.
    #[track_caller]
    pub(crate) fn with_environment(config: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let echo = Echo::start(0).unwrap();
        let mut setup = setup(&folder.path().join("doorward"));
        for (name, value) in variables {
            setup = setup.with(name, value);
        }
        setup.write(config).unwrap();
        let doorward = started(&setup);
        let envoy = start_envoy(folder.path(), &Wiring::new(echo.address(), &[doorward.grpc()]));
        Self { envoy, doorward, echo, _folder: folder }
    }

    /// The policy of a file of cases behind an Envoy wired as `change` says.
    #[track_caller]
    pub(crate) fn of(suite: &Suite, change: impl FnOnce(&mut Wiring)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let echo = Echo::start(0).unwrap();
        let mut setup = setup(&folder.path().join("doorward"))
            .with("DOORWARD_LISTEN__GRPC", "127.0.0.1:0")
            .with("DOORWARD_LISTEN__STATUS", "127.0.0.1:0");
        for (name, value) in suite.env() {
            setup = setup.with(name, value);
        }
        setup.write(suite.policy()).unwrap();
        let doorward = started(&setup);
        let mut wiring = Wiring::new(echo.address(), &[doorward.grpc()]);
        change(&mut wiring);
        let envoy = start_envoy(folder.path(), &wiring);
        Self { envoy, doorward, echo, _folder: folder }
    }

    /// A request with `Host: api.example`.
    #[track_caller]
    pub(crate) fn get(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(&request("GET", target, headers, b""))
    }

    #[track_caller]
    pub(crate) fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send(&request("POST", target, headers, body))
    }

    /// Any bytes, on a connection of their own.
    #[track_caller]
    pub(crate) fn send(&self, bytes: &[u8]) -> Reply {
        match send(self.envoy.listener("main"), bytes) {
            Ok(reply) => reply,
            Err(message) => {
                panic!("{message}; sent: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(400)]))
            }
        }
    }

    /// A command of Doorward that has to succeed.
    #[track_caller]
    pub(crate) fn command(&self, arguments: &[&str]) -> Value {
        command(&self.doorward, arguments)
    }

    /// Makes a key for a consumer; its text and its id.
    #[track_caller]
    pub(crate) fn key(&self, consumer: &str, options: &[&str]) -> (String, String) {
        key(&self.doorward, consumer, options)
    }
}

/// Doorward in a folder of its own, with the keys of the house.
#[track_caller]
pub(crate) fn start_doorward(folder: &Path, config: &str) -> Doorward {
    let setup = setup(folder);
    setup.write(config).unwrap();
    started(&setup)
}

#[track_caller]
pub(crate) fn started(setup: &Setup) -> Doorward {
    setup.start().unwrap_or_else(|message| panic!("{message}"))
}

pub(crate) fn setup(folder: &Path) -> Setup {
    std::fs::create_dir_all(folder).unwrap();
    Setup::new(Path::new(env!("CARGO_BIN_EXE_doorward")), folder)
        .with("ALICE_KEY", ALICE)
        .with("BOB_KEY", BOB)
}

#[track_caller]
pub(crate) fn start_envoy(folder: &Path, wiring: &Wiring) -> Envoy {
    // One worker: one connection to each Doorward, and the same order in every run.
    Envoy::start(folder, &wiring.config(), 1).unwrap_or_else(|message| panic!("{message}"))
}

/// `envoy/hardened.yaml` as it stands, but for addresses; Doorward is healthy in its eyes.
#[track_caller]
pub(crate) fn start_hardened(folder: &Path, doorward: &Doorward, upstream: SocketAddr) -> Envoy {
    start_hardened_for("https://app.example.com", folder, doorward, upstream)
}

/// The same for pages of this origin.
#[track_caller]
pub(crate) fn start_hardened_for(
    page: &str,
    folder: &Path,
    doorward: &Doorward,
    upstream: SocketAddr,
) -> Envoy {
    let local = "127.0.0.1".to_owned();
    let config = fill(
        HARDENED,
        &[
            ("admin", "0".to_owned()),
            ("page", page.to_owned()),
            ("listener_host", local.clone()),
            ("listener", "0".to_owned()),
            ("doorward_host", local.clone()),
            ("doorward", doorward.grpc().port().to_string()),
            ("auth", doorward.auth_address().port().to_string()),
            ("upstream_host", local),
            ("upstream", upstream.port().to_string()),
        ],
    );
    let envoy = Envoy::start(folder, &config.unwrap(), 1).unwrap_or_else(|message| panic!("{message}"));
    eventually("Doorward is healthy", || (envoy.healthy("doorward") == 1).then_some(()));
    envoy
}

#[track_caller]
pub(crate) fn command(doorward: &Doorward, arguments: &[&str]) -> Value {
    doorward.command(arguments).unwrap_or_else(|message| panic!("{message}"))
}

#[track_caller]
pub(crate) fn key(doorward: &Doorward, consumer: &str, options: &[&str]) -> (String, String) {
    let made = command(doorward, &[&["key", "create", consumer], options].concat());
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("no {name} in {made}")).to_owned();
    (text("key"), text("id"))
}

/// Both streams of a command.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
