//! Chains of instances that are gone: they stay, and stay verifiable, until somebody ends them.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::time::Timestamp;
use crate::issue::{By, Done, Refusal, Registrar, delete};
use crate::store::record::{AuditEntry, AuditHead};
use crate::store::{Effect, Expect, Name, Step, StoreError, Table};

/// Where a chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainStanding {
    pub id: Uuid,
    /// Whether this instance writes to it.
    pub own: bool,
    /// The oldest entry that is kept, and the newest.
    pub first: u64,
    pub last: u64,
    /// When the newest entry was written.
    pub at: Timestamp,
}

/// For so long nobody may have written to a chain that is ended. An instance that lives and was silent
/// begins anew with its next entry.
const SILENT: Duration = Duration::from_secs(24 * 60 * 60);

/// Entries that go with one write.
const RUN: u64 = 500;

impl Registrar {
    /// Every chain, in order of ids.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn chains(&self) -> Result<Vec<ChainStanding>, Refusal> {
        let standing = |(id, head): (Uuid, AuditHead)| ChainStanding {
            id,
            own: self.is_own(&id),
            first: head.first,
            last: head.number,
            at: head.at,
        };
        Ok(self.audit_chains().await?.into_iter().map(standing).collect())
    }

    fn is_own(&self, chain: &Uuid) -> bool {
        [&self.changes, &self.attempts, &self.handed_out].iter().any(|own| own.id == *chain)
    }

    /// Ends the chains that nobody has written to for so long: every new container begins new ones, and they
    /// would fill the store. One that is not whole stays, and so do this instance's own.
    ///
    /// # Errors
    ///
    /// The store's; what is left then is for the next time.
    pub async fn retire_silent_chains(&self, silence: Duration) -> Result<(), Refusal> {
        if !self.clock_agrees() {
            return Ok(());
        }
        for chain in self.chains().await? {
            if chain.own || self.silence_since(chain.at) < silence {
                continue;
            }
            match self.retire_chain(&By::doorward(), chain.id).await {
                // What is gone, another instance has ended.
                Ok(_) | Err(Refusal::InUse { .. } | Refusal::NotFound { .. }) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(())
    }

    fn silence_since(&self, at: Timestamp) -> Duration {
        Duration::from_secs(u64::try_from(self.clock.now().unix().saturating_sub(at.unix())).unwrap_or(0))
    }

    /// Ends a chain that is whole and that nobody has written to for a day. Its oldest entries go first, so
    /// that at each moment what is left is whole.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`]; [`Refusal::InUse`] says why it stays.
    pub async fn retire_chain(&self, by: &By, chain: Uuid) -> Result<Done<Uuid>, Refusal> {
        let in_use = |by: &str, why: &str| Err(Refusal::InUse { by: by.to_owned(), why: why.to_owned() });
        if self.is_own(&chain) {
            return in_use("this instance", "it writes to this chain");
        }
        let mut is_whole = false;
        loop {
            let record = self.store.read(Table::Audit, &Name::of(&chain)).await?;
            let absent = || Refusal::NotFound { what: "audit chain", name: chain.to_string() };
            let record = record.ok_or_else(absent)?;
            let head = AuditHead::decode(&record.payload)?;
            if self.silence_since(head.at) < SILENT {
                return in_use("its instance", "something was written to it within the last day");
            }
            if !is_whole && let Some(finding) = self.flaw(chain, head).await? {
                let why = format!("entry {}: {}; it is kept as it is", finding.number, finding.why);
                return in_use("whoever looks into what was done to it", &why);
            }
            is_whole = true;
            let next = head.number.min(head.first + RUN - 1) + 1;
            let is_last = next > head.number;
            let left = AuditHead { first: next, ..head };
            let effect = if is_last { Effect::Delete } else { Effect::Put(left.encode()) };
            let expect = Expect::Revision(record.revision);
            let mut steps = vec![Step { table: Table::Audit, name: Name::of(&chain), expect, effect }];
            steps.extend(
                (head.first..next).map(|number| delete(Table::Audit, AuditEntry::name(&chain, number))),
            );
            match self.write(by.does("audit.retire", chain), steps, chain).await {
                Ok(done) if is_last => return Ok(done),
                Ok(_) => {}
                // Another instance does the same, or the chain's own has written: look again.
                Err(Refusal::Store(StoreError::Conflict { .. })) => {}
                Err(refusal) => return Err(refusal),
            }
        }
    }
}
