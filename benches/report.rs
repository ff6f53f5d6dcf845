//! docs/benchmarks.md: what was measured, where and when.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::rig::Outcome;
use crate::rounds::{self, Aim};

pub(crate) struct Report {
    head: String,
    body: String,
    aims: Vec<Aim>,
}

const LOCK: &str = include_str!("../Cargo.lock");

impl Report {
    pub(crate) fn begin(rounds: usize) -> Outcome<Self> {
        let date = said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])?;
        let processor = line("/proc/cpuinfo", "model name").unwrap_or_default();
        let memory = line("/proc/meminfo", "MemTotal").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let busy = busy.split(' ').next().unwrap_or("?").to_owned();
        let kernel = said("uname", &["-sr"])?;
        let versions: Vec<String> =
            ["tonic", "envoy-types", "prost", "hyper", "h2"].iter().map(|name| version(name)).collect();
        let head = format!(
            "# Benchmarks\n\nWritten by `make bench`; every figure is the median of {rounds} interleaved rounds, all \
             in one run.\n\n\
             | | |\n|---|---|\n\
             | date | {date} |\n\
             | machine | {cores} cores of {processor}, {memory} of memory, {kernel} |\n\
             | load average at the start | {busy} |\n\
             | versions | Doorward {}, {}, {} |\n\n\
             Figures in microseconds are this machine's, at that moment; the ratios are what is meant to be kept. \
             Servers run on one core, whoever asks on another. CPU is the server's whole process, in the kernel \
             too. A check has 20 headers and 1.2 KB; a full one looks at a thousand networks, a key, its \
             consumer's groups and a permission, and tells the upstream five headers, with metrics and logs on.\n",
            env!("CARGO_PKG_VERSION"),
            env!("BUILT_BY_RUSTC"),
            versions.join(", "),
        );
        Ok(Self { head, body: String::new(), aims: Vec::new() })
    }

    /// Prints a part at once, and keeps it.
    pub(crate) fn add(&mut self, title: &str, (text, aims): (String, Vec<Aim>)) {
        println!("{title}\n\n{text}");
        let _ = write!(self.body, "\n## {title}\n\n{text}");
        self.aims.extend(aims);
    }

    pub(crate) fn write(self) -> Outcome<()> {
        let aims = rounds::aims(&self.aims);
        println!("{aims}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
        let text = format!("{}\n## What is aimed at\n\n{aims}{}", self.head, self.body);
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// What a program prints.
fn said(program: &str, arguments: &[&str]) -> Outcome<String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The value of a line of /proc.
fn line(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// As it is locked.
fn version(name: &str) -> String {
    let mut lines = LOCK.lines();
    lines.find(|line| *line == format!("name = \"{name}\""));
    let version = lines.next().and_then(|line| line.split('"').nth(1)).unwrap_or("?");
    format!("{name} {version}")
}
