//! `doorward test`: decision cases of a user's own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Common, Failure};
use crate::cases::{Suite, Tried};

/// Every file is read before any is run: half a test is none.
pub fn run(common: &Common, files: &[PathBuf]) -> Result<ExitCode, Failure> {
    let mut suites = Vec::new();
    let mut unreadable = Vec::new();
    for file in files {
        match Suite::read(file) {
            Ok(suite) => suites.push((file, suite)),
            Err(faults) => unreadable.push(faults.to_string()),
        }
    }
    if !unreadable.is_empty() {
        return Err(Failure::Usage(unreadable.join("\n")));
    }
    let tried: Vec<(&Path, Vec<Tried<'_>>)> =
        suites.iter().map(|(file, suite)| (file.as_path(), suite.run())).collect();
    let all = || tried.iter().flat_map(|(_, tried)| tried);
    let (cases, failed) = (all().count(), all().filter(|tried| !tried.differences.is_empty()).count());
    let report = json!({
        "passed": cases - failed,
        "failed": failed,
        "files": tried.iter().map(|(file, tried)| as_json(file, tried)).collect::<Vec<_>>(),
    });
    common.print(&report, |_| {
        let lines: String = tried.iter().flat_map(|(_, tried)| tried.iter().map(line)).collect();
        let plural = if cases == 1 { "" } else { "s" };
        format!("{lines}{cases} case{plural}, {failed} failed\n")
    })?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// One line, and where it failed, the steps.
fn line(tried: &Tried<'_>) -> String {
    let name = &tried.case.name;
    if tried.differences.is_empty() {
        return format!("ok      {name}\n");
    }
    let mut text = format!("FAILED  {name}: {}\n", tried.differences.join("; "));
    for (index, step) in tried.account.steps.iter().enumerate() {
        text += &format!("        {:>2}. {}\n", index + 1, step.said);
    }
    let account = &tried.account;
    let code = account.code.map_or(String::new(), |code| format!(" {code}"));
    let why = account.why.map_or(String::new(), |why| format!(" ({why})"));
    text += &format!("        verdict: {}{code}{why}\n", account.verdict);
    text
}

fn as_json(file: &Path, tried: &[Tried<'_>]) -> Value {
    let cases: Vec<Value> = tried
        .iter()
        .map(|tried| {
            json!({
                "case": tried.case.name,
                "passed": tried.differences.is_empty(),
                "differences": tried.differences,
                "account": tried.account,
            })
        })
        .collect();
    json!({ "file": file, "cases": cases })
}
