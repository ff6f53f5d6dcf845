//! Reading the audit log, newest entries first.

use uuid::Uuid;

use crate::domain::time::Timestamp;
use crate::issue::{Refusal, Registrar};
use crate::store::record::{AuditEntry, AuditHead};
use crate::store::{Name, Store, Table};

/// Which entries are asked for. An empty one is all of them.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// A kind of caller, or the id of one.
    pub actor: Option<String>,
    /// Whole, or the part before the dot.
    pub action: Option<String>,
    pub object: Option<Uuid>,
    /// Of a write that its caller has named.
    pub operation: Option<Uuid>,
}

/// Some entries, and where the next ones begin.
#[derive(Debug, Default)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    pub next: Option<Offset>,
}

/// The entry after which a page begins: the last one of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    pub at: Timestamp,
    pub chain: Uuid,
    pub number: u64,
}

impl Registrar {
    /// A page of entries, the newest first. Looks at no more than [`MOST_SEEN`] of them, so that a page
    /// may be short, or empty, though there are more.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn audit(
        &self,
        filter: &AuditFilter,
        after: Option<Offset>,
        size: usize,
    ) -> Result<AuditPage, Refusal> {
        let mut chains = Vec::new();
        for (id, head) in self.audit_chains().await? {
            if filter.since.is_none_or(|since| head.at >= since) {
                chains.push(Backwards::from(id, head, after));
            }
        }
        let mut page = AuditPage::default();
        for _ in 0..MOST_SEEN {
            // A handful of chains, so that no heap is needed.
            let mut newest: Option<usize> = None;
            for index in 0..chains.len() {
                chains[index].load(&*self.store).await?;
                let newer = match (chains[index].peek(), newest.and_then(|newest| chains[newest].peek())) {
                    (Some(entry), Some(best)) => order(entry) > order(best),
                    (Some(_), None) => true,
                    (None, _) => false,
                };
                if newer {
                    newest = Some(index);
                }
            }
            let Some(entry) = newest.and_then(|newest| chains[newest].waiting.pop()) else {
                page.next = None;
                return Ok(page);
            };
            if filter.since.is_some_and(|since| entry.at < since) {
                page.next = None;
                return Ok(page);
            }
            page.next = Some(Offset { at: entry.at, chain: entry.chain, number: entry.number });
            if filter.takes(&entry) {
                page.entries.push(entry);
                if page.entries.len() == size {
                    break;
                }
            }
        }
        Ok(page)
    }

    /// Every chain and where it stands.
    pub(super) async fn audit_chains(&self) -> Result<Vec<(Uuid, AuditHead)>, Refusal> {
        let mut chains = Vec::new();
        let mut after: Option<Name> = None;
        // The head's name comes before those of its entries: from head to head.
        while let Some(record) =
            self.store.scan(Table::Audit, &[], after.as_ref(), 1).await?.into_iter().next()
        {
            // Damage is for the verification to tell; here what stands behind it is listed.
            let id = record.name.0.get(..16).and_then(|id| Uuid::from_slice(id).ok()).unwrap_or_default();
            if record.name.0.len() == 16 {
                chains.push((id, AuditHead::decode(&record.payload)?));
            }
            after = Some(AuditEntry::name(&id, u64::MAX));
        }
        Ok(chains)
    }
}

impl AuditFilter {
    fn takes(&self, entry: &AuditEntry) -> bool {
        let actor = self.actor.as_ref().is_none_or(|actor| {
            *actor == entry.caller || entry.caller_id.is_some_and(|id| *actor == id.to_string())
        });
        let action = self
            .action
            .as_ref()
            .is_none_or(|action| *action == entry.action || entry.action.split('.').next() == Some(action));
        actor
            && action
            && self.until.is_none_or(|until| entry.at <= until)
            && self.object.is_none_or(|object| entry.object == Some(object))
            && self.operation.is_none_or(|operation| entry.operation == Some(operation))
    }
}

/// Newer is greater.
fn order(entry: &AuditEntry) -> (Timestamp, Uuid, u64) {
    (entry.at, entry.chain, entry.number)
}

/// One chain, read from its end.
struct Backwards {
    chain: Uuid,
    /// The numbers that were not read yet.
    first: u64,
    last: u64,
    after: Option<Offset>,
    /// The newest at the end.
    waiting: Vec<AuditEntry>,
}

impl Backwards {
    fn from(chain: Uuid, head: AuditHead, after: Option<Offset>) -> Self {
        let last = match after {
            Some(after) if after.chain == chain => head.number.min(after.number.saturating_sub(1)),
            _ => head.number,
        };
        Self { chain, first: head.first, last, after, waiting: Vec::new() }
    }

    fn peek(&self) -> Option<&AuditEntry> {
        self.waiting.last()
    }

    /// Reads on where nothing waits.
    async fn load(&mut self, store: &dyn Store) -> Result<(), Refusal> {
        while self.waiting.is_empty() && self.first <= self.last {
            let from = self.last.saturating_sub(RUN).max(self.first - 1);
            let before = AuditEntry::name(&self.chain, from);
            let count = (self.last - from) as usize;
            let records = store.scan(Table::Audit, self.chain.as_bytes(), Some(&before), count).await?;
            for record in records {
                let entry = AuditEntry::decode(&record.payload)?;
                // Of another chain's time, the page before may have been ahead.
                let seen = |after: Offset| order(&entry) >= (after.at, after.chain, after.number);
                if entry.number <= self.last && !self.after.is_some_and(seen) {
                    self.waiting.push(entry);
                }
            }
            self.last = from;
        }
        Ok(())
    }
}

/// Entries that one page looks at.
const MOST_SEEN: usize = 10_000;
/// Entries read at once.
const RUN: u64 = 256;
