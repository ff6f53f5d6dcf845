//! Traces, and decision lines as log records, as far as the environment asks for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::{Failure, environment};
use crate::config::{Faults, Loaded, Remark};
use crate::telemetry::otlp::{Settings, Wrong};
use crate::telemetry::{Telemetry, Traces};

/// What the environment asks for; `None` what it does not.
pub(super) struct Asked {
    traces: Option<Settings>,
    logs: Option<Settings>,
}

pub(super) fn settings() -> Result<Asked, Faults> {
    let variables = || environment(std::env::vars_os());
    match (Settings::of_traces(variables()), Settings::of_logs(variables())) {
        (Ok(traces), Ok(logs)) => Ok(Asked { traces, logs }),
        (traces, logs) => {
            let mut wrong = traces.err().unwrap_or_default();
            // Most variables are of both.
            wrong.extend(logs.err().unwrap_or_default());
            let mut told: Vec<Wrong> = Vec::new();
            for wrong in wrong {
                if !told.contains(&wrong) {
                    told.push(wrong);
                }
            }
            Err(Faults::of_variables(told.into_iter().map(remark).collect()))
        }
    }
}

/// The same configuration, where what the environment says can be used too.
pub(super) fn with_receivers(mut loaded: Loaded) -> Result<Loaded, Faults> {
    let Asked { traces, logs } = settings()?;
    for settings in traces.iter().chain(&logs) {
        settings.usable().map_err(|wrong| Faults::of_variables(vec![remark(wrong)]))?;
        let doubt = settings.doubt().map(remark);
        loaded.warnings.extend(doubt.filter(|doubt| !loaded.warnings.contains(doubt)));
    }
    Ok(loaded)
}

fn remark(Wrong { variable, message }: Wrong) -> Remark {
    Remark::of_variable(variable, message)
}

/// The tasks that send.
pub(super) struct Sending {
    /// For the doors.
    pub(super) traces: Option<Arc<Traces>>,
    tasks: JoinSet<()>,
    ending: Sender<bool>,
}

impl Sending {
    pub(super) fn start(asked: &Asked, telemetry: &Telemetry, runtime: &Runtime) -> Result<Self, Failure> {
        let _within = runtime.enter();
        let mut sending = Self { traces: None, tasks: JoinSet::new(), ending: Sender::new(false) };
        let unusable = |what: &str, why: String| Failure::Usage(format!("{what} cannot be exported: {why}"));
        if let Some(settings) = &asked.traces {
            let (traces, exporter) = telemetry.trace(settings).map_err(|why| unusable("traces", why))?;
            sending.traces = Some(traces);
            sending.tasks.spawn(exporter.run(sending.ending.subscribe()));
            tell(settings, "checks are traced");
        }
        if let Some(settings) = &asked.logs {
            let exporter = telemetry.export_log(settings).map_err(|why| unusable("log records", why))?;
            sending.tasks.spawn(exporter.run(sending.ending.subscribe()));
            tell(settings, "decision lines are exported as log records");
        }
        Ok(sending)
    }

    /// Sends what still waits, for so long.
    pub(super) async fn finish(self, limit: Duration) {
        self.ending.send_replace(true);
        if tokio::time::timeout(limit, ended(self.tasks)).await.is_err() {
            warn!("the last spans or log records are lost: the receiver did not take them in time");
        }
    }
}

/// When all have, be it by a panic: whoever waits has an order to end in, and goes on with it.
pub(super) async fn ended(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

fn tell(settings: &Settings, what: &str) {
    if let Some(Wrong { variable, message }) = settings.doubt() {
        warn!(variable, message, "the environment is taken with a warning");
    }
    info!(receiver = settings.receiver(), "{what}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_that_panics_does_not_cut_the_end_short() {
        let mut sending = Sending { traces: None, tasks: JoinSet::new(), ending: Sender::new(false) };
        let sent = Arc::new(AtomicBool::new(false));
        let (mut stop, last) = (sending.ending.subscribe(), Arc::clone(&sent));
        sending.tasks.spawn(async { panic!("an exporter's") });
        sending.tasks.spawn(async move {
            stop.wait_for(|stop| *stop).await.unwrap();
            // After the other one.
            tokio::task::yield_now().await;
            last.store(true, Ordering::Relaxed);
        });
        sending.finish(Duration::from_secs(30)).await;
        assert!(sent.load(Ordering::Relaxed), "what waited was sent");
    }
}
