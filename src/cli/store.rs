//! `doorward store backup|restore|check`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::backing::{Backing, Closed, Make, REDIS_HAS_ITS_OWN};
use super::door::Door;
use super::{Common, Failure};
use crate::clock::Clock;
use crate::config::{Config, StoreUrl};
use crate::store::redb::{self as embedded, FileError, Report};
use crate::store::{Needed, NeededKeys, Record, StoreError, Table};

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
    /// Verify the store or a backup, and tell which lines of secret_file it needs
    #[command(after_help = "Example: doorward store check doorward-monday.redb")]
    Check {
        /// [default: the configured store]
        file: Option<PathBuf>,
    },
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let config = common.load()?;
    let secret = config.secret_file();
    let StoreUrl::Redb(store) = &config.store.url.value else {
        return check_shared(common, &config, command);
    };
    let store = config.resolved(store);
    match command {
        Command::Backup { file } => {
            let file = absolute(&file)?;
            Door::open(common)?.post_patiently("/store/backup", json!({ "path": file }).to_string())?;
            common.print(&json!({ "backup": file }), |_| format!("wrote {}\n", file.display()))
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
            })
        }
        Command::Check { file } => {
            let file = file.unwrap_or(store);
            let (checked, needed) = embedded::check(&file, &secret).map_err(|error| match error {
                FileError::Missing { .. } => Failure::Unreachable(error.to_string()),
                other => failure(other),
            })?;
            let mut printed = report(&checked);
            printed["secret_file"] = needed_keys(&needed);
            common.print(&printed, |_| {
                let whole = format!("{} is whole: {}\n", file.display(), summary(&checked));
                whole + &needed.0.iter().map(line_of_secret_file).collect::<String>()
            })
        }
    }
}

/// Redis has its own tools for its own files; what only we can tell is whether each record is ours.
fn check_shared(common: &Common, config: &Config, command: Command) -> Result<(), Failure> {
    if !matches!(command, Command::Check { file: None }) {
        return Err(Failure::Refused(REDIS_HAS_ITS_OWN.into()));
    }
    let runtime = super::runtime()?;
    let backing = match Backing::open(config, &runtime, Make::Never) {
        Ok(backing) => backing,
        Err(Closed::Failed(failure)) => return Err(failure),
        Err(Closed::InUse(error) | Closed::Missing(error) | Closed::Broken(error)) => {
            return Err(Failure::Unreachable(error.to_string()));
        }
    };
    let (mut counts, mut damaged) = (BTreeMap::new(), Vec::new());
    let mut each = |shown: Result<Record, StoreError>| match shown {
        Ok(record) => *counts.entry(format!("{:?}", record.table).to_lowercase()).or_insert(0_u64) += 1,
        Err(error) => damaged.push(error.to_string()),
    };
    let head =
        runtime.block_on(backing.store().snapshot(&Table::ALL, &mut each)).map_err(|error| match error {
            StoreError::Damaged { .. } => Failure::Refused(error.to_string()),
            other => Failure::Unreachable(other.to_string()),
        })?;
    if !damaged.is_empty() {
        return Err(Failure::Refused(format!(
            "{}\nput a backup in its place; or disable whose they are, stop every instance, take each out with `HDEL` and what \
             is named, `DEL doorward:{{doorward}}:pack`, and start again: a running instance hears nothing of `HDEL`",
            damaged.join("\n")
        )));
    }
    let epoch = head.epoch;
    let printed = json!({
        "epoch": { "store": epoch.store, "term": epoch.term, "number": epoch.number },
        "records": counts,
    });
    common.print(&printed, |_| {
        let records: Vec<String> = counts.iter().map(|(table, count)| format!("{count} {table}")).collect();
        format!(
            "{} is whole: {}; epoch {}-{}\n",
            config.store.url.value,
            records.join(", "),
            epoch.term,
            epoch.number
        )
    })
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

fn needed_keys(needed: &NeededKeys) -> serde_json::Value {
    let key = |(id, needed): (&u32, &Needed)| {
        let verified: BTreeMap<String, u64> = needed
            .verified
            .iter()
            .map(|(table, count)| (format!("{table:?}").to_lowercase(), *count))
            .collect();
        json!({ "key": id, "sealed": needed.sealed, "changes": needed.changes, "verified": verified })
    };
    needed.0.iter().map(key).collect()
}

/// What a line of the file is needed for, where it is not all there is.
fn line_of_secret_file((id, needed): (&u32, &Needed)) -> String {
    if needed.is_nothing() {
        return format!("secret_file: key {id} is needed for nothing; its line may go\n");
    }
    let sealed = (needed.sealed > 0).then(|| format!("{} sealed", needed.sealed));
    let changes = (needed.changes > 0).then(|| format!("{} of the log", needed.changes));
    let verified = needed.verified.iter();
    let verified = verified.map(|(table, count)| format!("{count} {}", format!("{table:?}").to_lowercase()));
    let all: Vec<String> = sealed.into_iter().chain(changes).chain(verified).collect();
    format!("secret_file: key {id} is needed for {}\n", all.join(", "))
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
