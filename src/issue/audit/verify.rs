//! Whether the audit log is whole.

use uuid::Uuid;

use crate::issue::{Refusal, Registrar};
use crate::store::record::{AuditEntry, AuditHead};
use crate::store::{Name, StoreError, Table};

/// What a verification comes to.
#[derive(Debug, Default)]
pub struct Verdict {
    pub chains: usize,
    pub entries: u64,
    /// None: whole.
    pub findings: Vec<Finding>,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub chain: Uuid,
    /// The entry; 0: the chain as a whole.
    pub number: u64,
    pub why: String,
}

impl Registrar {
    /// Reads every chain from its oldest entry on.
    ///
    /// # Errors
    ///
    /// The store's, but for a record that cannot be trusted: that is a finding.
    pub async fn verify_audit(&self) -> Result<Verdict, Refusal> {
        let mut verdict = Verdict::default();
        let mut after: Option<Name> = None;
        loop {
            let next = match self.store.scan(Table::Audit, &[], after.as_ref(), 1).await {
                Ok(next) => next.into_iter().next(),
                Err(StoreError::Damaged { why, .. }) => {
                    verdict.find(Uuid::nil(), 0, why);
                    return Ok(verdict);
                }
                Err(error) => return Err(error.into()),
            };
            let Some(record) = next else { return Ok(verdict) };
            let chain = record.name.0.get(..16).and_then(|id| Uuid::from_slice(id).ok()).unwrap_or_default();
            verdict.chains += 1;
            match AuditHead::decode(&record.payload) {
                Ok(head) if record.name.0.len() == 16 => self.verify_chain(chain, head, &mut verdict).await?,
                Ok(_) | Err(_) => verdict.find(chain, 0, "its head is missing".into()),
            }
            after = Some(AuditEntry::name(&chain, u64::MAX));
        }
    }

    /// What is wrong with a chain first.
    pub(super) async fn flaw(&self, chain: Uuid, head: AuditHead) -> Result<Option<Finding>, Refusal> {
        let mut verdict = Verdict::default();
        self.verify_chain(chain, head, &mut verdict).await?;
        Ok(verdict.findings.into_iter().next())
    }

    async fn verify_chain(&self, chain: Uuid, head: AuditHead, verdict: &mut Verdict) -> Result<(), Refusal> {
        let mut expected = head.first;
        let mut previous = None;
        let mut after = Name::of(&chain);
        loop {
            let records = match self.store.scan(Table::Audit, chain.as_bytes(), Some(&after), RUN).await {
                Ok(records) => records,
                Err(StoreError::Damaged { why, .. }) => {
                    verdict.find(chain, expected, format!("an entry from here on: {why}"));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let Some(last) = records.last() else { break };
            after = last.name.clone();
            for record in records {
                verdict.entries += 1;
                let entry = match AuditEntry::decode(&record.payload) {
                    Ok(entry) => entry,
                    Err(error) => {
                        verdict.find(chain, expected, error.to_string());
                        return Ok(());
                    }
                };
                if record.name != AuditEntry::name(&entry.chain, entry.number) || entry.chain != chain {
                    verdict.find(chain, entry.number, "it does not stand in its place".into());
                }
                if entry.number != expected {
                    let why = format!("before it {}", missing(expected, entry.number));
                    verdict.find(chain, entry.number, why);
                } else if previous.is_some_and(|previous| previous != entry.previous) {
                    verdict.find(chain, entry.number, "the one before it was changed".into());
                }
                previous = Some(AuditEntry::hash(&record.payload));
                expected = entry.number + 1;
            }
        }
        if expected != head.number + 1 {
            let why = format!("at the end {}", missing(expected, head.number + 1));
            verdict.find(chain, head.number, why);
        } else if previous.is_some_and(|newest| newest != head.hash) {
            verdict.find(chain, head.number, "it is not the one that was written".into());
        }
        Ok(())
    }
}

impl Verdict {
    fn find(&mut self, chain: Uuid, number: u64, why: String) {
        self.findings.push(Finding { chain, number, why });
    }
}

/// The numbers from `from` on, before `to`.
fn missing(from: u64, to: u64) -> String {
    match to.saturating_sub(from) {
        0 | 1 => format!("entry {from} is missing"),
        _ => format!("entries {from} to {} are missing", to - 1),
    }
}

/// Entries read at once.
const RUN: usize = 256;
