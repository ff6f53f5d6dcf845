//! Where this instance stands, and all others.

use super::{Refusal, Registrar};
use crate::store::{Epoch, Instance};

/// Where this instance stands, as of its last heartbeat.
#[derive(Debug)]
pub struct Standing {
    /// How far changes are applied here; `None` before the first snapshot, and where nothing follows the
    /// store.
    pub epoch: Option<Epoch>,
    /// Changes that were still to be applied.
    pub lag: u64,
    /// Whether what is known here may be believed.
    pub trusted: bool,
    /// What was found when the store went back in time, if it ever did.
    pub alarm: Option<String>,
    /// Every instance that was heard of in the last hour, and whether it lives.
    pub instances: Vec<(Instance, bool)>,
}

impl Registrar {
    /// # Errors
    ///
    /// The store does not answer.
    pub async fn standing(&self) -> Result<Standing, Refusal> {
        let instances = self.store.instances().await?;
        let bound = self.reach.bound;
        let instances = instances.into_iter().map(|it| (it, it.silent <= bound)).collect();
        let replica = self.replica.as_ref();
        Ok(Standing {
            epoch: replica.and_then(|replica| *replica.applied().borrow()),
            lag: replica.map_or(0, |replica| replica.lag()),
            trusted: replica.is_some_and(|replica| replica.trust(self.clock.boottime()).is_ok()),
            alarm: replica.and_then(|replica| replica.alarm()).map(|alarm| alarm.to_string()),
            instances,
        })
    }
}
