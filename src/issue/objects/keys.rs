//! Which keys were made for a service or a deployment.

use uuid::Uuid;

use crate::domain::deployment::{InfrastructureId, Opens, ServiceId};
use crate::domain::key::KeyId;
use crate::issue::{Refusal, Registrar};
use crate::store::record::KeyRecord;
use crate::store::{Name, Table};

/// A key that names what it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    pub id: KeyId,
    /// `dw_key_<12>`; `None` for one that was brought along, and for the file's.
    pub public: Option<String>,
    pub consumer: Uuid,
    pub enabled: bool,
}

/// Records read at once.
const RUN: usize = 1000;

impl Registrar {
    /// The keys that name this service, or of its deployments the one on that infrastructure, in order of
    /// ids after `after`. Keys that open everything name nothing.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn keys_naming(
        &self,
        service: ServiceId,
        on: Option<InfrastructureId>,
        (after, size): (Option<Uuid>, usize),
    ) -> Result<Vec<Naming>, Refusal> {
        let names = |opens: &Opens| {
            opens.service == service && (on.is_none() || opens.infrastructure.is_none_or(|it| Some(it) == on))
        };
        let mut all: Vec<Naming> = self
            .compiler
            .edition()
            .catalog()
            .keys()
            .filter(|key| key.opens.as_ref().is_some_and(|opens| opens.iter().any(names)))
            .map(|key| Naming { id: key.id, public: None, consumer: key.consumer, enabled: key.enabled })
            .filter(|key| after.is_none_or(|after| key.id > after))
            .collect();
        match &self.replica {
            Some(replica) => {
                let mut ids = replica.keys_that_open(names);
                ids.retain(|id| after.is_none_or(|after| *id > after));
                ids.sort_unstable();
                for id in ids.into_iter().take(size) {
                    let Some(stored) = self.store.read(Table::Key, &Name::of(&id)).await? else { continue };
                    all.push(naming(KeyRecord::decode(&stored.payload)?));
                }
            }
            None => all.extend(self.stored_keys_naming(names, (after, size)).await?),
        }
        all.sort_by_key(|key| key.id);
        all.truncate(size);
        Ok(all)
    }

    async fn stored_keys_naming(
        &self,
        names: impl Fn(&Opens) -> bool,
        (after, size): (Option<Uuid>, usize),
    ) -> Result<Vec<Naming>, Refusal> {
        let mut found = Vec::new();
        let mut after = after.as_ref().map(Name::of);
        while found.len() < size {
            let run = self.store.scan(Table::Key, &[], after.as_ref(), RUN).await?;
            let Some(last) = run.last() else { break };
            after = Some(last.name.clone());
            for record in &run {
                let key = KeyRecord::decode(&record.payload)?;
                if key.opens.as_ref().is_some_and(|opens| opens.iter().any(&names)) {
                    found.push(naming(key));
                }
            }
        }
        Ok(found)
    }
}

fn naming(record: KeyRecord) -> Naming {
    Naming {
        id: record.id,
        public: record.handle.map(|handle| format!("dw_key_{handle}")),
        consumer: record.consumer,
        enabled: record.enabled,
    }
}
