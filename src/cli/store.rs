//! `doorward store backup|restore|check`: the embedded store's file.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::door::Door;
use super::{Common, Failure};
use crate::clock::Clock;
use crate::store::redb::{self as embedded, FileError, Report};

#[derive(Subcommand)]
pub enum Command {
    /// Write a consistent copy of the store, whether a server is running or not
    #[command(after_help = "Example: doorward store backup doorward-monday.redb")]
    Backup {
        /// Where to; must not exist yet
        file: PathBuf,
    },
    /// Put a backup in the store's place; the server must not be running
    #[command(after_help = "Example: doorward store restore doorward-monday.redb")]
    Restore { file: PathBuf },
    /// Verify every record of the store, or of a backup
    #[command(after_help = "Example: doorward store check doorward-monday.redb")]
    Check {
        /// [default: the configured store]
        file: Option<PathBuf>,
    },
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let config = common.load()?;
    let (store, secret) = (config.store_file(), config.secret_file());
    match command {
        Command::Backup { file } => {
            let file = absolute(&file)?;
            Door::open(common)?.post_patiently("/store/backup", &json!({ "path": file }))?;
            common.print(&json!({ "backup": file }), |_| format!("wrote {}\n", file.display()));
        }
        Command::Restore { file } => {
            let (restored, replaced) =
                embedded::restore(&file, &store, &secret, Clock::system().now()).map_err(failure)?;
            let mut printed = report(&restored);
            printed["replaced"] = json!(replaced);
            common.print(&printed, |_| {
                let kept =
                    replaced.map_or(String::new(), |old| format!("the old one is {}\n", old.display()));
                format!("restored {}: {}\n{kept}", store.display(), summary(&restored))
            });
        }
        Command::Check { file } => {
            let file = file.unwrap_or(store);
            let checked = embedded::check(&file, &secret).map_err(|error| match error {
                FileError::Missing { .. } => Failure::Unreachable(error.to_string()),
                other => failure(other),
            })?;
            common.print(&report(&checked), |_| {
                format!("{} is whole: {}\n", file.display(), summary(&checked))
            });
        }
    }
    Ok(())
}

fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(file).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
}

fn failure(error: FileError) -> Failure {
    match error {
        FileError::InUse { .. } => Failure::Unreachable(error.to_string()),
        other => Failure::Refused(other.to_string()),
    }
}

fn report(report: &Report) -> serde_json::Value {
    let records: serde_json::Map<String, serde_json::Value> = report
        .records
        .iter()
        .map(|(table, count)| (format!("{table:?}").to_lowercase(), json!(count)))
        .collect();
    json!({
        "epoch": { "store": report.epoch.store, "term": report.epoch.term, "number": report.epoch.number },
        "records": records,
        "changes": report.changes,
        "bytes": report.size,
    })
}

fn summary(report: &Report) -> String {
    let records: Vec<String> = report
        .records
        .iter()
        .map(|(table, count)| format!("{count} {}", format!("{table:?}").to_lowercase()))
        .collect();
    format!("{}; epoch {}-{}", records.join(", "), report.epoch.term, report.epoch.number)
}
