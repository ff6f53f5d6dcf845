//! Taking away what has ended by itself. Every check judges that anew; this only frees the room.

use super::owned::ending;
use super::{By, Issuer, Refusal};
use crate::domain::time::Timestamp;
use crate::store::StoreError;

/// Seconds after its end: an instance whose clock is ahead ends nothing too early for the others.
const GRACE: i64 = 60;

/// Tokens that are taken away with one write, each a record and its place among its owner's.
const AT_ONCE: usize = 500;

impl Issuer {
    /// Takes away what has ended, if it is so by the clocks of all instances.
    ///
    /// # Errors
    ///
    /// The store's; what is left then is for the next time.
    pub async fn sweep(&self) -> Result<(), Refusal> {
        let Some(replica) = &self.replica else { return Ok(()) };
        let by = By::doorward();
        loop {
            let now = Timestamp::from_unix(self.clock.now().unix().saturating_sub(GRACE));
            let spent = replica.spent_tokens(now, AT_ONCE);
            let Some(first) = spent.first().map(|token| token.id) else { return Ok(()) };
            let steps = spent.iter().flat_map(|token| ending(&**token)).collect();
            let done = self.write_to(&self.handed_out, by.does("token.expire", first), steps, ()).await;
            match done {
                Ok(done) if done.applied => {}
                // Another instance does the same, or this one has yet to hear of it.
                Ok(_) | Err(Refusal::Store(StoreError::Conflict { .. })) => return Ok(()),
                Err(refusal) => return Err(refusal),
            }
        }
    }
}
