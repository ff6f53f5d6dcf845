//! Traces, as far as the environment asks for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch::Sender;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::{Failure, environment};
use crate::config::{Faults, Loaded, Remark};
use crate::telemetry::traces::{Settings, Wrong};
use crate::telemetry::{Telemetry, Traces};

/// `None`: nobody asks for them.
pub(super) fn settings() -> Result<Option<Settings>, Faults> {
    Settings::read(environment(std::env::vars_os()))
        .map_err(|wrong| Faults::of_variables(wrong.into_iter().map(remark).collect()))
}

/// The same configuration, where what the environment says of traces can be used too.
pub(super) fn with_traces(mut loaded: Loaded) -> Result<Loaded, Faults> {
    if let Some(settings) = settings()? {
        settings.usable().map_err(|wrong| Faults::of_variables(vec![remark(wrong)]))?;
        loaded.warnings.extend(settings.doubt().map(remark));
    }
    Ok(loaded)
}

fn remark(Wrong { variable, message }: Wrong) -> Remark {
    Remark::of_variable(variable, message)
}

/// Traces that are recorded, and the task that sends them.
pub(super) struct Tracing {
    /// For the doors.
    pub(super) traces: Arc<Traces>,
    sending: JoinHandle<()>,
    ending: Sender<bool>,
}

impl Tracing {
    pub(super) fn start(
        settings: &Settings,
        telemetry: &Telemetry,
        runtime: &Runtime,
    ) -> Result<Self, Failure> {
        let _within = runtime.enter();
        let (traces, exporter) = telemetry
            .trace(settings)
            .map_err(|why| Failure::Usage(format!("traces cannot be exported: {why}")))?;
        if let Some(Wrong { variable, message }) = settings.doubt() {
            warn!(variable, message, "the environment is taken with a warning");
        }
        info!(receiver = settings.receiver(), "checks are traced");
        let ending = Sender::new(false);
        let sending = tokio::spawn(exporter.run(ending.subscribe()));
        Ok(Self { traces, sending, ending })
    }

    /// Sends what still waits, for so long.
    pub(super) async fn finish(mut self, limit: Duration) {
        self.ending.send_replace(true);
        if tokio::time::timeout(limit, &mut self.sending).await.is_err() {
            warn!("the last spans are lost: the receiver did not take them in time");
        }
    }
}
