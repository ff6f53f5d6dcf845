//! The signals that end the server.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and Ctrl-C, heard from the moment that this is made: before that one of them ends the
/// process without a word, so it is made before anybody can know that there is a server.
pub(super) struct Ends {
    terms: Signal,
    interrupts: Signal,
}

impl Ends {
    pub(super) fn listen() -> io::Result<Self> {
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
