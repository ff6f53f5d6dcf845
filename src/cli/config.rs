//! `doorward config schema` and `doorward config show`.

use std::io::Write as _;
use std::process::ExitCode;

use crate::config::{self, Faults, Loaded};

/// Prints the JSON Schema of the configuration.
pub fn schema() -> ExitCode {
    say(&format!("{:#}\n", config::schema()));
    ExitCode::SUCCESS
}

/// Prints the effective settings without secrets, each with where it came from: as YAML that can be
/// loaded again, or as one JSON object `{"file", "settings", "origins"}`.
pub fn show(loaded: &Result<Loaded, Faults>, as_json: bool) -> ExitCode {
    match loaded {
        Ok(loaded) if as_json => say(&format!("{:#}\n", config::show_json(loaded))),
        Ok(loaded) => say(&config::show_yaml(loaded)),
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// A pipe that was closed (`| head`) is nobody's failure; `print!` would panic.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
