//! `doorward config schema` and `doorward config show`.

use std::process::ExitCode;

use serde_json::Value;

use super::door::Door;
use super::{Common, Failure, cell, remark, say, segment};
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
    common: &Common,
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
        Some(name) => match config::effective(loaded, name) {
            Ok(effective) => {
                say(&if as_json { format!("{:#}\n", effective.to_json()) } else { effective.to_yaml() })?;
            }
            Err(unknown) => {
                let effective = stored(common, name, unknown)?;
                common.print(&effective, yaml)?;
            }
        },
        None if as_json => say(&format!("{:#}\n", config::show_json(loaded)))?,
        None => say(&config::show_yaml(loaded))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Of a deployment that the file does not know: the store's, where there is a server or a store to ask.
fn stored(common: &Common, name: &str, unknown: String) -> Result<Value, Failure> {
    let path = format!("/deployments/{}/effective", segment(name)?);
    let found = Door::open(common).and_then(|mut door| door.get(&path));
    found.map_err(|failure| match failure {
        // What the file knows is the better answer to a word that was mistyped.
        Failure::Refused(why) => Failure::Refused(format!("{unknown}; nor does the store have it: {why}")),
        Failure::Unreachable(why) => {
            Failure::Refused(format!("{unknown}; whether the store has it cannot be told: {why}"))
        }
        Failure::Usage(why) => Failure::Usage(why),
    })
}

/// A line for each key, with who says so.
fn yaml(effective: &Value) -> String {
    let mut out = format!("# {}\n", cell(&effective["deployment"]));
    for (key, value) in effective["policy"].as_object().into_iter().flatten() {
        let origin = effective["origins"][key].as_str().unwrap_or("default");
        out.push_str(&format!("{key}: {}  # {origin}\n", config::flow(value)));
    }
    out
}
