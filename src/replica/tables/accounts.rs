//! Names with passwords.

use std::sync::Arc;

use dashmap::DashMap;
use uuid::Uuid;

use crate::domain::consumer::ConsumerId;
use crate::domain::password::{Account, Mark};

#[derive(Default)]
pub(super) struct Accounts {
    by_id: DashMap<Uuid, Arc<Account>>,
    by_username: DashMap<Box<str>, Arc<Account>>,
    /// Whose the passwords are that let somebody in at this moment.
    standing: DashMap<Mark, (Uuid, ConsumerId)>,
}

impl Accounts {
    pub(super) fn get(&self, username: &str) -> Option<Arc<Account>> {
        self.by_username.get(username).map(|account| Arc::clone(&account))
    }

    /// Whose password this is.
    pub(super) fn by_mark(&self, consumer: ConsumerId, mark: Mark) -> Option<Arc<Account>> {
        let standing = *self.standing.get(&mark)?;
        let account = self.by_id.get(&standing.0).map(|account| Arc::clone(&account))?;
        (standing.1 == consumer && account.hash.mark() == mark).then_some(account)
    }

    pub(super) fn stands(&self, consumer: ConsumerId, mark: Mark) -> bool {
        self.standing.get(&mark).is_some_and(|standing| standing.1 == consumer)
    }

    /// The password before is worth nothing before the new one is there.
    pub(super) fn put(&self, account: Account) {
        let account = Arc::new(account);
        let before = self.by_id.insert(account.id, Arc::clone(&account));
        if let Some(before) = before {
            self.forget_mark(&before);
            if before.username != account.username {
                self.forget_name(&before);
            }
        }
        if account.enabled {
            self.standing.insert(account.hash.mark(), (account.id, account.consumer));
        }
        self.by_username.insert(account.username.as_str().into(), account);
    }

    pub(super) fn remove(&self, id: &Uuid) {
        if let Some((_, account)) = self.by_id.remove(id) {
            self.forget_mark(&account);
            self.forget_name(&account);
        }
    }

    pub(super) fn for_each(&self, mut each: impl FnMut(&Account)) {
        self.by_id.iter().for_each(|account| each(&account));
    }

    /// Leaves alone what another account has taken since.
    fn forget_name(&self, account: &Account) {
        self.by_username.remove_if(account.username.as_str(), |_, known| known.id == account.id);
    }

    fn forget_mark(&self, account: &Account) {
        self.standing.remove_if(&account.hash.mark(), |_, known| known.0 == account.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::domain::password::Hash;

    const ALICE: Uuid = Uuid::from_u128(9);

    fn account(id: u128, username: &str, phc: &str, enabled: bool) -> Account {
        let (id, username, hash) = (Uuid::from_u128(id), username.to_owned(), Hash::new(phc));
        Account { id, consumer: ALICE, username, hash, enabled }
    }

    #[test]
    fn a_password_that_is_changed_or_gone_stands_no_more() {
        let accounts = Accounts::default();
        let (one, two) = (Hash::new("one").mark(), Hash::new("two").mark());
        let by_mark = |mark| accounts.by_mark(ALICE, mark).map(|it| it.username.clone());
        let stand = || (accounts.stands(ALICE, one), accounts.stands(ALICE, two));
        accounts.put(account(1, "alice", "one", true));
        assert_eq!(stand(), (true, false));
        assert!(!accounts.stands(Uuid::from_u128(8), one), "nobody else's");
        assert_eq!(by_mark(one).as_deref(), Some("alice"));
        assert!(accounts.by_mark(Uuid::from_u128(8), one).is_none());
        accounts.put(account(1, "alice", "two", true));
        assert_eq!((by_mark(one), by_mark(two).as_deref()), (None, Some("alice")));
        assert_eq!(stand(), (false, true));
        accounts.put(account(1, "bob", "two", false));
        assert_eq!(stand(), (false, false));
        assert!(accounts.get("alice").is_none() && !accounts.get("bob").unwrap().enabled);
        // Another one has taken the name meanwhile.
        accounts.put(account(2, "bob", "one", true));
        accounts.remove(&Uuid::from_u128(1));
        assert_eq!((stand(), accounts.get("bob").unwrap().id), ((true, false), Uuid::from_u128(2)));
        accounts.remove(&Uuid::from_u128(2));
        assert!(accounts.get("bob").is_none() && stand() == (false, false));
    }
}
