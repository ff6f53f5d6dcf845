//! `doorward doctor envoy FILE`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{Common, Failure, read_file, table};
use crate::doctor::{Envoy, Finding, Ours, examine};

#[derive(Subcommand)]
pub enum Command {
    /// Read an Envoy's configuration, or its config dump, and say what of it is unsafe, broken or slow
    #[command(after_help = "Exit code: 0 where nothing was found, 1 where something was.\n\
                            Example: doorward doctor envoy /etc/envoy/envoy.yaml\n\
                            Example: doorward doctor envoy config_dump.json --output json")]
    Envoy {
        /// What Envoy starts with, or the answer of `/config_dump` at its admin address; `-` reads it from
        /// standard input
        file: PathBuf,
    },
}

pub fn run(common: &Common, command: &Command) -> Result<ExitCode, Failure> {
    let Command::Envoy { file } = command;
    // With the settings that Doorward has here, if it has any.
    let config = common.load()?;
    let findings = examine(&read(file)?, &Ours::from(&config));
    let list: Vec<_> = findings.iter().map(object).collect();
    common.print(&json!(list), |_| text(&findings))?;
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
}

fn read(file: &Path) -> Result<Envoy, Failure> {
    let wrong = |why: String| Failure::Usage(format!("{} {why}", file.display()));
    let contents = read_file(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    Envoy::parse(&contents).map_err(|error| wrong(error.to_string()))
}

fn object(finding: &Finding) -> serde_json::Value {
    let Finding { ill, place, found } = finding;
    json!({
        "code": ill.code, "harm": ill.harm.name(), "place": place, "found": found, "why": ill.why, "fix": ill.fix,
    })
}

fn text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing found: this Envoy asks as it should\n".into();
    }
    let row = |finding: &Finding| {
        [finding.ill.harm.name(), finding.ill.code, &finding.place, &finding.found]
            .map(str::to_owned)
            .to_vec()
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    let mut text = table(&["harm", "code", "place", "found"], &rows);
    let mut told = BTreeSet::new();
    for ill in findings.iter().map(|finding| finding.ill).filter(|ill| told.insert(ill.code)) {
        text.push_str(&format!("\n{}: {}\n  {}\n", ill.code, ill.why, ill.fix));
    }
    text
}
