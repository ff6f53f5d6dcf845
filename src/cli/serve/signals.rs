//! The signals that end the server, and the one that has it read its configuration again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

/// What the process is told from the moment that this is made, within a runtime: before anything that may take its
/// time. Unheard, SIGHUP ends a process, and SIGTERM ends none that is the first of its container (kill(2)).
pub(super) struct Signals {
    ends: Ends,
    hangups: Signal,
    starting: JoinHandle<()>,
}

impl Signals {
    /// Until [`Signals::started`] there is nothing to take apart, and the first of [`Ends`] ends the process at once.
    pub(super) fn listen() -> io::Result<Self> {
        let (ends, mut first) = (Ends::listen()?, Ends::listen()?);
        let starting = tokio::spawn(async move {
            first.next().await;
            std::process::exit(0);
        });
        Ok(Self { ends, hangups: signal(SignalKind::hangup())?, starting })
    }

    pub(super) fn started(self) -> (Ends, Signal) {
        self.starting.abort();
        (self.ends, self.hangups)
    }
}

/// SIGTERM and Ctrl-C.
pub(super) struct Ends {
    terms: Signal,
    interrupts: Signal,
}

impl Ends {
    fn listen() -> io::Result<Self> {
        Ok(Self { terms: signal(SignalKind::terminate())?, interrupts: signal(SignalKind::interrupt())? })
    }

    /// Returns with the first one. The second ends the process at once.
    pub(super) async fn come(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(1);
        });
    }

    async fn next(&mut self) {
        tokio::select! { _ = self.terms.recv() => {}, _ = self.interrupts.recv() => {} }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_before_anybody_waits_for_it_is_not_lost() {
        let ends = Ends::listen().unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(30), ends.come()).await.unwrap();
    }
}
