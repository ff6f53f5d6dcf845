//! Who is calling by a name and a password.

use std::sync::Arc;

use super::prove::{Proof, invalid};
use super::{Case, Refusal};
use crate::domain::denial::{Denial, Unproven};
use crate::domain::password::{Known, Login};
use crate::domain::principal::CredentialName;
use crate::domain::step::Witness;

impl<W: Witness> Case<'_, '_, '_, W> {
    /// Whoever shows a name that nobody has pays for a hash like everybody.
    pub(super) fn prove_basic(&mut self, text: &[u8]) -> Result<Proof, Refusal> {
        let from = self.trail.client.and_then(|client| client.address);
        let login = Login::read(text, from).ok_or(invalid(Unproven::Malformed))?;
        let account = self.world.directory.account(login.username)?;
        match self.world.directory.password(account.as_ref(), login) {
            Known::Right => {}
            Known::Wrong => return Err(invalid(Unproven::Unknown).into()),
            Known::Throttled(left) => {
                let left = u32::try_from(left.as_secs().max(1)).unwrap_or(u32::MAX);
                return Err(Denial::Throttled { left }.into());
            }
            Known::Unhashed => {
                return Err(Denial::Internal { why: "a password that was not hashed" }.into());
            }
        }
        let account = account.ok_or(invalid(Unproven::Unknown))?;
        let name = Arc::clone(&account.username);
        self.trail.credential = Some(CredentialName::Text(Arc::clone(&name)));
        let consumer = self.world.directory.consumer(account.consumer)?;
        let consumer = consumer.ok_or(invalid(Unproven::ConsumerUnknown))?;
        self.trail.consumer = Some(Arc::clone(&consumer));
        if !account.enabled {
            return Err(invalid(Unproven::Disabled).into());
        }
        if !consumer.enabled {
            return Err(invalid(Unproven::ConsumerDisabled).into());
        }
        Ok(Proof::by_text(consumer, name, Vec::new()))
    }
}
