//! What this process costs, under the names that every Prometheus client library uses.

use std::fs;

use prometheus::{Counter, IntGauge, Registry};

use super::metrics::{gauge, registered};
use crate::clock::Clock;

pub(super) struct Process {
    processor: Counter,
    resident: IntGauge,
    open_files: IntGauge,
    most_files: IntGauge,
}

impl Process {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            processor: registered(
                registry,
                Counter::new("process_cpu_seconds_total", "Processor time used, user and system, in seconds"),
            ),
            resident: gauge(registry, "process_resident_memory_bytes", "Resident memory in bytes"),
            open_files: gauge(registry, "process_open_fds", "File descriptors open"),
            most_files: gauge(
                registry,
                "process_max_fds",
                "File descriptors that may be open; 0: no limit known",
            ),
        }
    }

    pub(super) fn refresh(&self, clock: &Clock) {
        self.processor.inc_by((clock.processor_time().as_secs_f64() - self.processor.get()).max(0.0));
        let usage = Usage::read();
        self.resident.set(usage.resident_bytes.unwrap_or(0));
        self.open_files.set(usage.open_files.unwrap_or(0));
        self.most_files.set(usage.most_files.unwrap_or(0));
    }
}

/// From `/proc`; `None` where it cannot be read.
#[derive(Debug, Default)]
struct Usage {
    resident_bytes: Option<i64>,
    open_files: Option<i64>,
    /// The soft limit; `None` also where there is none.
    most_files: Option<i64>,
}

impl Usage {
    fn read() -> Self {
        Self {
            resident_bytes: fs::read_to_string("/proc/self/status").ok().and_then(|text| resident(&text)),
            open_files: open_files(),
            most_files: rustix::process::getrlimit(rustix::process::Resource::Nofile)
                .current
                .and_then(|limit| i64::try_from(limit).ok()),
        }
    }
}

/// The line `VmRSS:     1234 kB` (proc_pid_status(5); its kB are 1024 bytes).
fn resident(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// Less the one that reads the folder.
fn open_files() -> Option<i64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    i64::try_from(entries).ok().map(|count| count - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let check = |status: &str, expected: Option<i64>| assert_eq!(resident(status), expected, "{status}");
        check("Name:\tdoorward\nVmRSS:\t    1234 kB\nThreads:\t4\n", Some(1_263_616));
        check("Name:\tdoorward\n", None);
        check("VmRSS:\tmany kB\n", None);
        check("VmRSS:\t12\n", None);
    }

    #[test]
    fn this_process_can_be_measured() {
        let usage = Usage::read();
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
        assert!(usage.open_files.is_some_and(|count| count >= 3), "{usage:?}");
    }
}
