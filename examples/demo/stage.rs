//! The three that play: an upstream, Doorward, Envoy.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::rig::Outcome;
use crate::rig::doorward::{Doorward, Setup};
use crate::rig::echo::Echo;
use crate::rig::envoy::Envoy;
use crate::rig::sample::fill;

const ENVOY: &str = include_str!("../../envoy/demo.yaml");
const DOORWARD: &str = include_str!("doorward.yaml");

/// Where everybody listens; 0: wherever it is free.
pub(crate) struct Ports {
    envoy: u16,
    envoy_admin: u16,
    doorward: u16,
    status: u16,
    upstream: u16,
}

impl Ports {
    /// Those that the files name.
    pub(crate) fn fixed() -> Self {
        Self { envoy: 8000, envoy_admin: 9901, doorward: 50051, status: 8100, upstream: 9000 }
    }

    pub(crate) fn free() -> Self {
        Self { envoy: 0, envoy_admin: 0, doorward: 0, status: 0, upstream: 0 }
    }

    /// A taken port is said by its number before anything starts.
    fn check(&self) -> Outcome<()> {
        for port in [self.envoy, self.envoy_admin, self.doorward, self.status, self.upstream] {
            TcpListener::bind(("127.0.0.1", port)).map_err(|e| {
                format!("port {port} cannot be used: {e}. Stop what listens there, or run `make demo ARGS=\"--ports free\"`")
            })?;
        }
        Ok(())
    }
}

/// Dropped from the top: Envoy first, the folder last.
pub(crate) struct Stage {
    envoy: Envoy,
    doorward: Doorward,
    echo: Echo,
    folder: Folder,
}

impl Stage {
    /// Starts all three, and waits until each is ready.
    pub(crate) fn set(ports: &Ports) -> Outcome<Self> {
        ports.check()?;
        let folder = Folder::new(ports.envoy == 0)?;
        let echo = Echo::start(ports.upstream)?;

        let setup = Setup::new(&binary()?, &folder.path);
        let local = |port: u16| format!("127.0.0.1:{port}");
        setup.write(&fill(DOORWARD, &[("grpc", local(ports.doorward)), ("status", local(ports.status))])?)?;
        let doorward = setup.start()?;

        let config = fill(
            ENVOY,
            &[
                ("admin", ports.envoy_admin.to_string()),
                ("listener", ports.envoy.to_string()),
                ("doorward", doorward.grpc().port().to_string()),
                ("auth", doorward.auth_address().port().to_string()),
                ("upstream", echo.address().port().to_string()),
            ],
        )?;
        let envoy = Envoy::start(&folder.path, &config, 1)?;
        Ok(Self { envoy, doorward, echo, folder })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.envoy.listener("main")
    }

    pub(crate) fn doorward(&self) -> &Doorward {
        &self.doorward
    }

    pub(crate) fn map(&self) -> String {
        format!(
            "\nDoorward, between a real Envoy and an upstream that says what it saw\n\n  \
             curl -> Envoy {} -> upstream {}\n              \\-> Doorward {} (\"may this pass?\")\n",
            self.address(),
            self.echo.address(),
            self.doorward.grpc(),
        )
    }

    pub(crate) fn hints(&self) -> String {
        let config = self.folder.path.join("doorward.yaml");
        let binary = self.doorward.setup().binary.display();
        format!(
            "\nAll three stay up until Ctrl-C. In another terminal:\n\n  \
             {binary} key create alice --config {config}\n  \
             curl -i http://{address}/orders -H 'apikey: <the key>'\n  \
             curl -i http://{address}/catalogue\n  \
             $EDITOR {config}        # saved changes count at once\n  \
             tail -f {log}\n",
            config = config.display(),
            address = self.address(),
            log = self.folder.path.join("doorward.log").display(),
        )
    }
}

/// `target/demo`, new at every start; with free ports a folder of its own, gone at the end.
struct Folder {
    path: PathBuf,
    passing: bool,
}

impl Folder {
    fn new(passing: bool) -> Outcome<Self> {
        let target = binary()?.parent().and_then(Path::parent).unwrap_or(Path::new("target")).to_owned();
        let name = if passing { format!("demo-{}", std::process::id()) } else { "demo".to_owned() };
        let path = target.join(name);
        // Absent at the first start.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).map_err(|e| format!("{} cannot be made: {e}", path.display()))?;
        Ok(Self { path, passing })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.passing {
            // What is left in `target` harms nobody.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// `doorward` beside this example's folder: `target/debug/doorward`.
fn binary() -> Outcome<PathBuf> {
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    let found = this.parent().and_then(Path::parent).map(|folder| folder.join("doorward"));
    found
        .filter(|path| path.exists())
        .ok_or_else(|| format!("no `doorward` beside {}: `make demo` builds both", this.display()))
}
