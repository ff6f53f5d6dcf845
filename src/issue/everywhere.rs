//! Waiting until every instance knows of a write, not only this one.

use std::time::Duration;

use tokio::time::sleep;

use super::{Refusal, Registrar};
use crate::store::{Epoch, Instance};

/// By when every instance either says that it has applied a change, or counts as stopped.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// An instance that is silent for longer decides nothing any more (`revocation.bound`).
    pub bound: Duration,
    /// Between two looks (`revocation.heartbeat`).
    pub heartbeat: Duration,
}

impl Registrar {
    /// Waits until every live instance has applied the change at `epoch`, or has been silent for
    /// the bound. `false` where one still lives and lags after twice the bound.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub async fn everywhere(&self, epoch: Epoch) -> Result<bool, Refusal> {
        let Reach { bound, heartbeat } = self.reach;
        let looks = (2 * bound).as_nanos() / heartbeat.as_nanos().max(1);
        for _ in 0..=looks {
            let instances = self.store.instances().await?;
            if instances.iter().all(|instance| knows(instance, epoch, bound)) {
                return Ok(true);
            }
            sleep(heartbeat).await;
        }
        Ok(false)
    }
}

fn knows(instance: &Instance, epoch: Epoch, bound: Duration) -> bool {
    instance.silent > bound || instance.beat.applied.is_some_and(|applied| applied.reaches(epoch))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::Beat;

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_silent_instance_counts_as_stopped_and_a_late_one_does_not() {
        let epoch = |term, number| Epoch { store: Uuid::nil(), term, number };
        let check = |applied, silent, expected| {
            let beat = Beat { instance: Uuid::nil(), applied, catalog: 0 };
            let instance = Instance { beat, silent: Duration::from_millis(silent) };
            assert_eq!(knows(&instance, epoch(1, 7), Duration::from_secs(10)), expected, "{instance:?}");
        };
        //    applied            silent  known
        check(Some(epoch(1, 7)), 0,      true);
        check(Some(epoch(1, 8)), 0,      true);
        check(Some(epoch(1, 6)), 0,      false);
        check(Some(epoch(1, 6)), 10_000, false);
        check(Some(epoch(1, 6)), 10_001, true);
        check(Some(epoch(2, 9)), 0,      false);
        check(None,              0,      false);
    }
}
