//! `doorward config schema` and `doorward config show`.

use std::process::ExitCode;

use super::{Failure, remark, say};
use crate::config::{self, Faults, Loaded};

/// Prints the JSON Schema of the configuration.
pub fn schema() -> Result<(), Failure> {
    say(&format!("{:#}\n", config::schema()))
}

/// Prints the effective settings without secrets, each with where it came from: as YAML that can be
/// loaded again, or as one JSON object `{"file", "settings", "origins"}`.
///
/// Of one deployment, where it is named: the policy that results there, as YAML or as one JSON
/// object `{"deployment", "policy", "origins"}`.
///
/// # Errors
///
/// There is no such deployment.
pub fn show(
    loaded: &Result<Loaded, Faults>,
    deployment: Option<&str>,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(faults) => {
            remark(&faults.to_string());
            return Ok(ExitCode::from(2));
        }
    };
    match deployment {
        Some(name) => {
            let effective = config::effective(loaded, name).map_err(Failure::Refused)?;
            say(&if as_json { format!("{:#}\n", effective.to_json()) } else { effective.to_yaml() })?;
        }
        None if as_json => say(&format!("{:#}\n", config::show_json(loaded)))?,
        None => say(&config::show_yaml(loaded))?,
    }
    Ok(ExitCode::SUCCESS)
}
