//! `doorward validate`: whether a configuration could be used, and what to think twice about.

use std::process::ExitCode;

use serde_json::json;

use super::backing::wrong_with_secret;
use super::{Failure, remark, say};
use crate::clock::Clock;
use crate::config::{Faults, Loaded};

/// The same configuration, where the files of `listen.tls` can be used too.
pub fn with_certificates(mut loaded: Loaded) -> Result<Loaded, Faults> {
    let read = loaded.config.read_tls()?;
    loaded.warnings.extend(loaded.config.expired(&read, Clock::system().now()));
    Ok(loaded)
}

/// The same, where the key ring can be used that the store needs.
pub fn with_secret(loaded: Loaded) -> Result<Loaded, Faults> {
    let wrong = wrong_with_secret(&loaded.config).and_then(|why| loaded.config.wrong_secret(why));
    wrong.map_or(Ok(loaded), Err)
}

/// Errors go to stderr, warnings too; stdout gets one line of what there is.
pub fn run(loaded: &Result<Loaded, Faults>, as_json: bool) -> Result<ExitCode, Failure> {
    if as_json {
        let (errors, warnings) = match loaded {
            Ok(loaded) => (&[][..], loaded.warnings.as_slice()),
            Err(faults) => (faults.remarks(), &[][..]),
        };
        say(&format!("{}\n", json!({ "errors": errors, "warnings": warnings })))?;
    }
    match loaded {
        Ok(loaded) => {
            if !as_json {
                for warning in &loaded.warnings {
                    remark(&format!("warning: {warning}"));
                }
                say(&format!("{}\n", summary(loaded)))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            if !as_json {
                remark(&faults.to_string());
            }
            Ok(ExitCode::from(2))
        }
    }
}

/// `doorward.yaml is good: 2 services, 3 deployments, 1 consumer, 1 key, 0 permissions; 1 warning`.
fn summary(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let keys = config.consumers.iter().map(|consumer| consumer.keys.len()).sum();
    let file = match &loaded.file {
        Some(file) => format!("{} is good", file.display()),
        None => "no file, the defaults hold".to_owned(),
    };
    format!(
        "{file}: {}, {}, {}, {}, {}; {}",
        count(config.services.len(), "service"),
        count(config.deployed().len(), "deployment"),
        count(config.consumers.len(), "consumer"),
        count(keys, "key"),
        count(config.permissions.len(), "permission"),
        count(loaded.warnings.len(), "warning"),
    )
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_what_there_is() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let file = folder.path().join("doorward.yaml");
        std::fs::write(&file, "services: [{name: a, authentication: none}]\n").expect("the folder is ours");
        let Ok(loaded) = crate::config::load(Some(&file), std::iter::empty(), &[]) else {
            panic!("the file is good")
        };
        let summary = summary(&loaded).replace(&format!("{}/", folder.path().display()), "");
        assert_eq!(
            summary,
            "doorward.yaml is good: 1 service, 1 deployment, 0 consumers, 0 keys, 0 permissions; 1 warning"
        );
    }
}
