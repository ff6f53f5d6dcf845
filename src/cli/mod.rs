//! The command line: one file a command.

mod config;
mod consumer;
mod door;
mod health;
mod key;
mod serve;
mod store;
mod validate;
mod version;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::Value;

/// How a command ended, as its exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// 1: refused, or not found.
    #[error("{0}")]
    Refused(String),
    /// 2: wrong usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// 3: no server and no store to talk to.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        })
    }
}

#[derive(Parser)]
#[command(name = "doorward", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Args, Clone)]
pub struct Common {
    /// The configuration file [default: ./doorward.yaml where there is one]
    #[arg(long, short, global = true, env = "DOORWARD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How answers are printed
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Made to be read
    Text,
    /// Made to be parsed: one object or one list
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve(serve::Arguments),
    /// Check the configuration file and say what is wrong with it
    Validate,
    /// Print the configuration's schema, or what is in force
    #[command(subcommand)]
    Config(config::Command),
    /// Make, list and delete consumers
    #[command(subcommand)]
    Consumer(consumer::Command),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(key::Command),
    /// Back up, restore or check the embedded store
    #[command(subcommand)]
    Store(store::Command),
    /// Ask a running server whether it is ready
    Health(health::Arguments),
    /// Print the version
    Version,
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    let outcome = match command.unwrap_or(Command::Serve(serve::Arguments::default())) {
        Command::Serve(arguments) => serve::run(&common, &arguments),
        Command::Validate => validate::run(&common),
        Command::Config(command) => config::run(&common, &command),
        Command::Consumer(command) => consumer::run(&common, command),
        Command::Key(command) => key::run(&common, command),
        Command::Store(command) => store::run(&common, command),
        Command::Health(arguments) => health::run(&common, &arguments),
        Command::Version => version::run(&common),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "doorward: {failure}");
            failure.exit_code()
        }
    }
}

impl Common {
    /// Prints an answer; a pipe that was closed is nobody's failure.
    fn print(&self, value: &Value, text: impl FnOnce(&Value) -> String) {
        let printed = match self.output {
            Output::Json => format!("{value:#}\n"),
            Output::Text => text(value),
        };
        let _ = std::io::stdout().write_all(printed.as_bytes());
    }
}

/// Rows under headings, each column as wide as its widest cell.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(heading.len())
        })
        .collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let headings: Vec<String> = headings.iter().map(|heading| heading.to_uppercase()).collect();
    std::iter::once(line(&headings)).chain(rows.iter().map(|row| line(row))).collect()
}

/// A JSON value as a table's cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".into(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A path segment, percent-encoded.
fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
