//! What is written about decisions, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::limits::within;
use super::place::At;

/// What is written about decisions, and how. Every refusal is written, up to a rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `json` for machines, `text` for people. Default: `json`.
    pub format: LogFormat,
    /// The least important lines that are written. Default: `info`.
    pub level: LogLevel,
    /// The share of allowed requests that get a line: 0 none, 1 all. Default: 0.01.
    pub allows: At<f64>,
    /// Refusals beyond this many in a second get no line, and are counted instead. Default: 1000.
    pub refusals_per_second: At<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// As `tracing` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            level: LogLevel::default(),
            allows: At::assumed(0.01),
            refusals_per_second: At::assumed(1000),
        }
    }
}

impl Log {
    pub(super) fn check(&self, faults: &mut Vec<Fault>) {
        within("log.allows", &self.allows, 0.0..=1.0, faults);
        within("log.refusals_per_second", &self.refusals_per_second, 0..=1_000_000, faults);
    }
}
