//! What a start finds out about Redis, and which of it breaks a promise.

use std::collections::HashMap;
use std::fmt;

use ::redis::Pipeline;

use super::settings::{RedisSettings, Target};
use super::{RedisStore, reply};
use crate::store::StoreError;

/// How Redis is set up. What its user may not see is `unknown`.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was found, by name, for the log and for people.
    pub facts: Vec<(&'static str, String)>,
    /// What an operator should know, though no promise is broken by it.
    pub warnings: Vec<String>,
    /// What breaks a promise. A start refuses each that `store.accept` does not name.
    pub findings: Vec<Finding>,
}

/// A setting that breaks a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// One of [`FINDINGS`].
    pub name: &'static str,
    pub found: String,
    /// The promise that it breaks.
    pub breaks: &'static str,
    pub way_out: &'static str,
}

/// Every finding there is; `store.accept` may name them.
pub const FINDINGS: [&str; 5] =
    ["no_persistence", "fsync_not_always", "eviction", "no_replica_guard", "old_version"];

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}; {}", self.name, self.found, self.breaks, self.way_out)
    }
}

impl RedisStore {
    /// Asks Redis how it is set up.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`], [`StoreError::Foreign`].
    pub async fn report(&self) -> Result<Report, StoreError> {
        let mut known = Known::default();
        if let Ok(text) = self.reads.ask(&::redis::cmd("INFO")).await {
            known.info(&reply::text(text).unwrap_or_default());
        }
        let mut commands = Pipeline::new();
        for setting in SETTINGS {
            commands.cmd("CONFIG").arg("GET").arg(setting);
        }
        let live = self.reads.live().await?;
        for answer in live.connection.ask_all(&commands).await? {
            // Where it is denied, it is unknown.
            let Ok(pairs) = answer.and_then(reply::map) else { continue };
            for (name, value) in pairs {
                if let (Ok(name), Ok(value)) = (reply::text(name), reply::text(value)) {
                    known.0.insert(name, value);
                }
            }
        }
        Ok(known.report(&self.settings))
    }
}

/// What Redis says of itself: fields of `INFO` and settings, whose names do not meet.
#[derive(Default)]
struct Known(HashMap<String, String>);

impl Known {
    fn info(&mut self, text: &str) {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        self.0.extend(fields.map(|(name, value)| (name.to_owned(), value.trim_end().to_owned())));
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    fn shown(&self, name: &str) -> String {
        match self.get(name) {
            None => "unknown".into(),
            Some("") => "none".into(),
            Some(value) => value.chars().filter(|letter| !letter.is_control()).take(100).collect(),
        }
    }

    fn report(&self, settings: &RedisSettings) -> Report {
        let fact = |(name, field): &(&'static str, &str)| (*name, self.shown(field));
        let found = [
            self.old_version(),
            self.no_persistence(),
            self.fsync_not_always(settings.replicas),
            self.eviction(),
            self.no_replica_guard(&settings.target),
        ];
        let warnings = [self.no_replica_to_spare(), self.unmended_version()];
        Report {
            facts: FACTS.iter().map(fact).collect(),
            warnings: warnings.into_iter().flatten().collect(),
            findings: found.into_iter().flatten().collect(),
        }
    }

    fn old_version(&self) -> Option<Finding> {
        let version = self.get("redis_version")?;
        let major: u32 = version.split('.').next()?.parse().ok()?;
        (major < OLDEST).then(|| Finding {
            name: "old_version",
            found: format!("Redis {version}"),
            breaks: "nobody has tried whether the promises hold with a Redis before 7",
            way_out: "run Redis 7.2.11, 7.4.6, 8.0.4, 8.2.2 or a later one of these lines",
        })
    }

    /// Others than Redis say which of its versions they speak like, not which mistakes of it they have mended.
    fn unmended_version(&self) -> Option<String> {
        let version = self.get("redis_version").filter(|_| self.get("valkey_version").is_none())?;
        let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
        let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
        let line = MENDED.iter().find(|mended| (mended[0], mended[1]) == (major, minor));
        let mended = match line {
            Some(mended) => patch >= mended[2],
            None => (major, minor) > (MENDED[3][0], MENDED[3][1]),
        };
        (major >= OLDEST && !mended).then(|| {
            format!(
                "Redis {version}: whoever may run a script there may run any program (CVE-2025-49844), unless your \
                 distribution has mended that by itself; run 7.2.11, 7.4.6, 8.0.4, 8.2.2 or a later one of these lines"
            )
        })
    }

    fn no_replica_to_spare(&self) -> Option<String> {
        let least = self.number("min-replicas-to-write").filter(|least| *least > 0)?;
        let have = self.number("connected_slaves")?;
        (have <= least).then(|| {
            format!(
                "min-replicas-to-write {least}, and Redis has {have} replicas: without one of them it refuses \
                 heartbeats too, and beyond revocation.bound nothing that it holds is decided; have a replica to spare"
            )
        })
    }

    fn no_persistence(&self) -> Option<Finding> {
        let off = match self.get("appendonly") {
            Some(setting) => setting == "no",
            None => self.get("aof_enabled")? == "0",
        };
        off.then(|| Finding {
            name: "no_persistence",
            found: format!("appendonly no, save {}", self.shown("save")),
            breaks: "a restart of Redis forgets acknowledged writes, revocations too",
            way_out: "set `appendonly yes`",
        })
    }

    /// With replicas that confirm, a write survives the loss of the primary's machine.
    fn fsync_not_always(&self, replicas: u32) -> Option<Finding> {
        let often = self.get("appendfsync").filter(|often| *often != "always")?;
        (replicas == 0 && self.no_persistence().is_none()).then(|| Finding {
            name: "fsync_not_always",
            found: format!("appendfsync {often}"),
            breaks: "a crash of Redis's machine forgets the last acknowledged writes, revocations too",
            way_out: "set `appendfsync always`, or `store.replicas` to at least 1",
        })
    }

    fn eviction(&self) -> Option<Finding> {
        let policy = self.get("maxmemory-policy").or_else(|| self.get("maxmemory_policy"))?;
        let limited = self.number("maxmemory") != Some(0);
        (limited && policy != "noeviction").then(|| Finding {
            name: "eviction",
            found: format!("maxmemory {}, maxmemory-policy {policy}", self.shown("maxmemory")),
            breaks: "Redis deletes records when its memory is full",
            way_out: "set `maxmemory-policy noeviction`",
        })
    }

    fn no_replica_guard(&self, target: &Target) -> Option<Finding> {
        if self.number("connected_slaves").unwrap_or(0) == 0 {
            return None;
        }
        let least = self.number("min-replicas-to-write");
        let lag = self.number("min-replicas-max-lag");
        let timeout =
            self.number("cluster-node-timeout").filter(|_| matches!(target, Target::Cluster { .. }));
        let guarded = least.is_none_or(|least| least > 0)
            && lag.is_none_or(|lag| (1..=LONGEST_LAG).contains(&lag))
            && timeout.is_none_or(|timeout| timeout <= LONGEST_NODE_TIMEOUT);
        let node = timeout.map(|timeout| format!(", cluster-node-timeout {timeout}")).unwrap_or_default();
        (!guarded).then(|| Finding {
            name: "no_replica_guard",
            found: format!(
                "min-replicas-to-write {}, min-replicas-max-lag {}{node}",
                self.shown("min-replicas-to-write"),
                self.shown("min-replicas-max-lag"),
            ),
            breaks: "a primary that was cut off from its replicas goes on taking writes and renewing leases, so that \
                     a revocation may be missed for longer than the bound",
            way_out: "set `min-replicas-to-write 1` and `min-replicas-max-lag 3` on each server, of which there must be \
                      three, so that one may be missing, and in a cluster `cluster-node-timeout 5000`",
        })
    }
}

const OLDEST: u32 = 7;
/// The first of each line whose scripts cannot break out.
const MENDED: [[u32; 3]; 4] = [[7, 2, 11], [7, 4, 6], [8, 0, 4], [8, 2, 2]];
/// Seconds; part of the bound that the documentation states.
const LONGEST_LAG: u64 = 3;
/// Milliseconds.
const LONGEST_NODE_TIMEOUT: u64 = 5_000;

const SETTINGS: [&str; 8] = [
    "appendonly",
    "appendfsync",
    "save",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "cluster-node-timeout",
];

/// Facts, and the field that each is.
const FACTS: [(&str, &str); 9] = [
    ("version", "redis_version"),
    ("append_only", "appendonly"),
    ("append_fsync", "appendfsync"),
    ("save", "save"),
    ("max_memory", "maxmemory"),
    ("eviction", "maxmemory-policy"),
    ("connected_replicas", "connected_slaves"),
    ("least_replicas", "min-replicas-to-write"),
    ("longest_lag", "min-replicas-max-lag"),
];

#[cfg(test)]
mod tests {
    use super::super::settings::Address;
    use super::*;

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn each_setting_that_breaks_a_promise_is_found_by_name() {
        const SAFE: &str = "redis_version:7.2.4\nappendonly:yes\nappendfsync:always\nmaxmemory:0\nmaxmemory-policy:allkeys-lru\nconnected_slaves:0";
        const PAIR: &str = "connected_slaves:1\nmin-replicas-to-write:1\nmin-replicas-max-lag:3\ncluster-node-timeout:15000";
        //    where       replicas  changed from SAFE                                 found
        check(ONE,        0, "",                                                      &[]);
        check(ONE,        0, "redis_version:6.2.14",                                  &["old_version"]);
        check(ONE,        0, "redis_version:8.0.1",                                   &[]);
        check(ONE,        0, "appendonly:no\nsave:3600 1",                            &["no_persistence"]);
        check(ONE,        1, "appendonly:no",                                         &["no_persistence"]);
        check(ONE,        0, "appendfsync:everysec",                                  &["fsync_not_always"]);
        check(ONE,        1, "appendfsync:everysec",                                  &[]);
        check(ONE,        0, "maxmemory:1000",                                        &["eviction"]);
        check(ONE,        0, "maxmemory:1000\nmaxmemory-policy:noeviction",           &[]);
        check(ONE,        0, "connected_slaves:1\nmin-replicas-to-write:0\nmin-replicas-max-lag:10", &["no_replica_guard"]);
        check(ONE,        0, "connected_slaves:1\nmin-replicas-to-write:1\nmin-replicas-max-lag:10", &["no_replica_guard"]);
        check(ONE,        0, "connected_slaves:1\nmin-replicas-to-write:1\nmin-replicas-max-lag:0",  &["no_replica_guard"]);
        check(ONE,        0, PAIR,                                                    &[]);
        check(CLUSTER,    0, PAIR,                                                    &["no_replica_guard"]);

        const ONE: fn() -> Target = || Target::Single(Address { host: "h".into(), port: 1 });
        const CLUSTER: fn() -> Target = || Target::Cluster { nodes: Vec::new() };
        #[track_caller]
        fn check(target: fn() -> Target, replicas: u32, changed: &str, expected: &[&str]) {
            let mut known = Known::default();
            known.info(SAFE);
            known.info(changed);
            let settings = RedisSettings { replicas, ..RedisSettings::new(target()) };
            let report = known.report(&settings);
            let names: Vec<_> = report.findings.iter().map(|finding| finding.name).collect();
            assert_eq!(names, expected, "{changed}");
            assert!(names.iter().all(|name| FINDINGS.contains(name)));
        }
    }

    #[test]
    fn what_an_operator_should_know_is_told() {
        #[track_caller]
        fn check(known: &str, expected: &[&str]) {
            let (text, target) = (known, Target::Single(Address { host: "h".into(), port: 1 }));
            let mut known = Known::default();
            known.info(text);
            let warnings = known.report(&RedisSettings::new(target)).warnings;
            assert_eq!(warnings.len(), expected.len(), "{text}: {warnings:?}");
            assert!(warnings.iter().zip(expected).all(|(it, words)| it.contains(words)), "{warnings:?}");
        }
        for mended in
            ["7.2.11", "7.4.6", "7.4.12", "8.0.4", "8.2.2", "8.4.0", "9.0.0", "8.2.2\nvalkey_version:8.0.1"]
        {
            check(&format!("redis_version:{mended}"), &[]);
        }
        for old in ["7.0.15", "7.2.10", "7.4.5", "8.0.3", "8.1.9", "8.2.1"] {
            check(&format!("redis_version:{old}"), &["CVE-2025-49844"]);
        }
        check("redis_version:7.2.4\nvalkey_version:8.0.1", &[]);
        let guarded = |replicas| format!("min-replicas-to-write:1\nconnected_slaves:{replicas}");
        check(&guarded(1), &["have a replica to spare"]);
        check(&guarded(0), &["Redis has 0 replicas"]);
        check(&guarded(2), &[]);
        check("min-replicas-to-write:0\nconnected_slaves:1", &[]);
    }

    #[test]
    fn what_may_not_be_seen_is_unknown_and_no_finding() {
        let target = Target::Single(Address { host: "h".into(), port: 1 });
        let report = Known::default().report(&RedisSettings::new(target));
        assert_eq!(report.findings, []);
        assert!(report.facts.iter().all(|(_, value)| value == "unknown"), "{report:?}");
    }
}
