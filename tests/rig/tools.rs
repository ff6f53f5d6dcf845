//! The programs that tests and the demo drive, found or installed by `tests/tools.sh`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where `envoy`, `redis` or `schemathesis` is.
///
/// # Errors
///
/// There is none and it cannot be installed; the script has said why on stderr.
pub fn program(tool: &str) -> Result<PathBuf, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools.sh");
    let output = Command::new(script).arg(tool).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{script} cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().into()),
        false => Err(format!("there is no {tool}, and none can be installed")),
    }
}
