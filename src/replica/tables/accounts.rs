//! Names with passwords.

use std::sync::Arc;

use dashmap::DashMap;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::domain::consumer::ConsumerId;
use crate::domain::password::{Account, Mark};

#[derive(Default)]
pub(super) struct Accounts {
    by_id: DashMap<Uuid, Arc<Account>>,
    by_username: DashMap<Box<str>, Arc<Account>>,
    /// Which accounts have the passwords that let somebody in at this moment: mostly one each. A hash that was
    /// made elsewhere may have been given to several.
    standing: DashMap<Mark, SmallVec<[Uuid; 1]>>,
}

impl Accounts {
    pub(super) fn get(&self, username: &str) -> Option<Arc<Account>> {
        self.by_username.get(username).map(|account| Arc::clone(&account))
    }

    /// The consumer's account that has this password, of those that count.
    pub(super) fn by_mark(
        &self,
        consumer: ConsumerId,
        mark: Mark,
        counts: impl Fn(&Account) -> bool,
    ) -> Option<Arc<Account>> {
        let ids = self.standing.get(&mark)?.clone();
        let mut accounts = ids.iter().filter_map(|id| self.by_id.get(id).map(|account| Arc::clone(&account)));
        accounts.find(|it| it.consumer == consumer && it.hash.mark() == mark && counts(it))
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
            self.standing.entry(account.hash.mark()).or_default().push(account.id);
        }
        self.by_username.insert((&*account.username).into(), account);
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
        self.by_username.remove_if(&*account.username, |_, known| known.id == account.id);
    }

    fn forget_mark(&self, account: &Account) {
        let mark = account.hash.mark();
        if let Some(mut ids) = self.standing.get_mut(&mark) {
            ids.retain(|id| *id != account.id);
        }
        self.standing.remove_if(&mark, |_, ids| ids.is_empty());
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
        Account { id, consumer: ALICE, username: username.into(), hash, enabled }
    }

    #[test]
    fn a_password_that_is_changed_or_gone_stands_no_more() {
        let accounts = Accounts::default();
        let (one, two) = (Hash::new("one").mark(), Hash::new("two").mark());
        let by_mark = |mark| accounts.by_mark(ALICE, mark, |_| true).map(|it| it.username.clone());
        let stand = || (by_mark(one).is_some(), by_mark(two).is_some());
        accounts.put(account(1, "alice", "one", true));
        assert_eq!(stand(), (true, false));
        assert_eq!(by_mark(one).as_deref(), Some("alice"));
        assert!(accounts.by_mark(Uuid::from_u128(8), one, |_| true).is_none(), "nobody else's");
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

    #[test]
    fn a_hash_that_several_have_stands_for_each_of_them() {
        let accounts = Accounts::default();
        let (mark, bob) = (Hash::new("one").mark(), Uuid::from_u128(8));
        let by_mark = |consumer, counts: fn(&Account) -> bool| {
            accounts.by_mark(consumer, mark, counts).map(|it| it.username.clone())
        };
        accounts.put(account(1, "alice", "one", true));
        accounts.put(account(2, "alice-too", "one", true));
        accounts.put(Account { consumer: bob, ..account(3, "bob", "one", true) });
        assert_eq!(by_mark(ALICE, |_| true).as_deref(), Some("alice"));
        assert_eq!(by_mark(ALICE, |it| &*it.username != "alice").as_deref(), Some("alice-too"));
        assert_eq!(by_mark(bob, |_| true).as_deref(), Some("bob"));
        accounts.put(account(1, "alice", "two", true));
        assert_eq!(by_mark(ALICE, |_| true).as_deref(), Some("alice-too"));
        accounts.remove(&Uuid::from_u128(3));
        assert!(by_mark(bob, |_| true).is_none());
        accounts.remove(&Uuid::from_u128(2));
        assert!(by_mark(ALICE, |_| true).is_none() && accounts.standing.len() == 1);
    }
}
