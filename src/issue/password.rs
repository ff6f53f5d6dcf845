//! Passwords of consumers: set, and hashed on their way to the store.

use std::sync::Arc;

use super::basics::USERNAME;
use super::consumers::Owner;
use super::owned::{changing, ending};
use super::{By, Done, Refusal, Registrar};
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::password::{Account, Hash, Mark};
use crate::passwords::{Password, hash_refusal, rules};
use crate::store::Step;
use crate::store::record::{BasicRecord, ConsumerRecord};

/// Names with passwords of one consumer that are read in one go.
const PAGE: usize = 100;

impl Registrar {
    /// Gives a consumer a password: a name with a password that is the consumer's own name.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] where it is short or one that is guessed first, and where the consumer has no
    /// username, or one with a colon; [`Refusal::OwnedByFile`]; [`Refusal::Taken`] where another's credential has the name.
    pub async fn set_password(
        &self,
        by: &By,
        consumer: &str,
        password: Password,
    ) -> Result<Done<BasicRecord>, Refusal> {
        let owner = self.owner(consumer).await?;
        let username = match owner {
            Owner::Declared(_) => {
                self.declared_consumer(consumer).and_then(|it| it.username.as_deref().map(str::to_owned))
            }
            Owner::Stored(_) => self.consumer(consumer).await?.username.clone(),
        };
        let nameless = || Refusal::Invalid {
            field: "username",
            why: "is what one logs in with, and this consumer has none; give it one".into(),
        };
        let username = username.ok_or_else(nameless)?;
        self.may_be_a_username(&username)?;
        if let Password::Text(text) = &password
            && let Some(why) = rules::refusal(text.expose(), &username)
        {
            return Err(Refusal::Invalid { field: "password", why });
        }
        let hash = self.hashed(password).await?;
        let known = self.owner_of(USERNAME, username.as_bytes()).await?;
        let Some(id) = known else {
            return self
                .make_credential(by, owner, BasicRecord::new(owner.id(), username, hash, self.clock.now()))
                .await;
        };
        self.alter_credential(by, &id, |it: BasicRecord| {
            if it.consumer != owner.id() {
                return Err(Refusal::Taken { what: "username", name: it.username });
            }
            Ok(BasicRecord { password: hash.clone(), enabled: true, ..it })
        })
        .await
    }

    /// What a consumer's new name does to its password, which is under the old one: it goes along. Without a
    /// new name, or where the consumer has a password of that name already, it ends: the old name may be
    /// somebody else's tomorrow, and logs nobody in.
    pub(super) async fn rename_password(
        &self,
        before: &ConsumerRecord,
        after: &ConsumerRecord,
    ) -> Result<Vec<Step>, Refusal> {
        let (Some(old), new) = (before.username.as_deref(), after.username.as_deref()) else {
            return Ok(Vec::new());
        };
        if new == Some(old) {
            return Ok(Vec::new());
        }
        let known = match self.owner_of(USERNAME, old.as_bytes()).await? {
            Some(id) => self.credential::<BasicRecord>(&id).await?,
            None => None,
        };
        let Some((it, revision)) = known.filter(|(it, _)| it.consumer == before.id) else {
            return Ok(Vec::new());
        };
        let Some(new) = new else { return Ok(ending(&it, Some(revision))) };
        self.may_be_a_username(new)?;
        match self.owner_of(USERNAME, new.as_bytes()).await? {
            None => {
                let moved = BasicRecord { username: new.to_owned(), ..it.clone() };
                Ok(changing(&it, revision, &moved))
            }
            Some(id) => match self.credential::<BasicRecord>(&id).await? {
                Some((other, _)) if other.consumer == before.id => Ok(ending(&it, Some(revision))),
                Some(_) | None => Err(Refusal::Taken { what: "username", name: new.to_owned() }),
            },
        }
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    ///
    /// As [`check_password`]; [`Refusal::Busy`].
    pub(super) async fn hashed(&self, password: Password) -> Result<String, Refusal> {
        check_password(&password)?;
        match password {
            Password::Hashed(phc) => Ok(phc),
            Password::Text(text) => self.passwords.hash(text).await.map_err(|_| Refusal::Busy),
        }
    }

    /// The account of this consumer whose password has this mark, by what this instance knows.
    pub(super) fn account_by_mark(&self, consumer: ConsumerId, mark: Mark) -> Option<Arc<Account>> {
        let catalog = self.catalog.load();
        match &self.replica {
            Some(replica) => replica.account_by_mark(&catalog, consumer, mark),
            None => catalog.account_by_mark(consumer, mark).map(Arc::clone),
        }
    }

    /// The passwords that a consumer's programs end with, if one of them does: all that let it in, by whatever
    /// name.
    pub(super) async fn passwords_of(&self, consumer: &Consumer) -> Result<Vec<Mark>, Refusal> {
        let declared = {
            let catalog = self.catalog.load();
            let own = consumer.username.as_deref().and_then(|name| catalog.account(name));
            own.filter(|own| own.consumer == consumer.id && own.enabled).map(|own| own.hash.mark())
        };
        let mut all: Vec<Mark> = declared.into_iter().collect();
        let mut after = None;
        loop {
            let page = self.credentials_of::<BasicRecord>(&consumer.id, after, PAGE).await?;
            let catalog = self.catalog.load();
            let counts = |it: &&BasicRecord| it.enabled && catalog.account(&it.username).is_none();
            all.extend(page.iter().filter(counts).map(|it| Hash::new(&it.password).mark()));
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.id),
                Some(_) | None => return Ok(all),
            }
        }
    }

    /// The account of this name, by what this instance knows: the file's goes first.
    pub(super) fn account(&self, username: &str) -> Option<Arc<Account>> {
        let declared = self.catalog.load().account(username).map(Arc::clone);
        declared.or_else(|| self.replica.as_ref().and_then(|replica| replica.account(username)))
    }
}

/// # Errors
///
/// [`Refusal::Invalid`] where it is empty or too long, or a hash that we do not take.
pub(super) fn check_password(password: &Password) -> Result<(), Refusal> {
    let invalid = |field, why| Err(Refusal::Invalid { field, why });
    match password {
        Password::Hashed(phc) => hash_refusal(phc).map_or(Ok(()), |why| invalid("password_hash", why)),
        Password::Text(text) => match text.expose().len() {
            1..=rules::LONGEST => Ok(()),
            bytes => invalid("password", format!("has {bytes} bytes, expected 1 to {}", rules::LONGEST)),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashMap;

    use uuid::Uuid;

    use super::*;
    use crate::domain::catalog::{Catalog, Parts};
    use crate::issue::tests::registrar;
    use crate::issue::{BasicChange, By, ConsumerChange, NewBasic, NewConsumer, Password, Refusal};

    fn text(text: &str) -> Password {
        Password::Text(text.to_owned().into())
    }

    #[tokio::test]
    async fn a_password_is_set_and_set_again_under_the_consumers_name() {
        let registrar = registrar();
        let by = By::doorward();
        let named = |name: &str| NewConsumer { username: Some(name.into()), ..NewConsumer::default() };
        let alice = registrar.create_consumer(&by, named("alice")).await.unwrap().value.id;
        let first = registrar.set_password(&by, "alice", text("four words of mine")).await.unwrap().value;
        assert_eq!((first.consumer, &*first.username), (alice, "alice"));
        assert!(!first.password.contains("words"));
        let second =
            registrar.set_password(&by, "alice", text("four other words of mine")).await.unwrap().value;
        assert!(second.id == first.id && second.password != first.password);
        // As short as it may be elsewhere, here it is a person's.
        for bad in ["short", "alicealicealice", "passwordpassword"] {
            let refused = registrar.set_password(&by, "alice", text(bad)).await;
            assert!(matches!(refused, Err(Refusal::Invalid { field: "password", .. })), "{bad}");
        }
        // Somebody else has a credential of that name.
        registrar.create_consumer(&by, named("bob")).await.unwrap();
        let new = NewBasic { id: None, username: "bob".into(), password: text("x"), tags: Vec::new() };
        registrar.create_basic(&by, "alice", new).await.unwrap();
        let refused = registrar.set_password(&by, "bob", text("four words of mine")).await;
        assert!(matches!(refused, Err(Refusal::Taken { .. })));
        assert!(matches!(
            registrar.set_password(&by, "nobody", text("x")).await,
            Err(Refusal::NotFound { .. })
        ));
    }

    #[tokio::test]
    async fn a_consumer_that_is_renamed_takes_its_password_along_and_the_old_name_has_none() {
        let registrar = registrar();
        let by = By::doorward();
        let named = |name: &str| NewConsumer { username: Some(name.into()), ..NewConsumer::default() };
        let renamed = |name: Option<&str>| ConsumerChange {
            username: Some(name.map(str::to_owned)),
            custom_id: Some(Some("someone".into())),
            ..ConsumerChange::default()
        };
        registrar.create_consumer(&by, named("alice")).await.unwrap();
        let first = registrar.set_password(&by, "alice", text("four words of mine")).await.unwrap().value;
        registrar.change_consumer(&by, "alice", &renamed(Some("alicia"))).await.unwrap();
        assert!(registrar.named_credential::<BasicRecord>("alice").await.is_err());
        let moved = registrar.named_credential::<BasicRecord>("alicia").await.unwrap().value;
        assert!(moved.id == first.id && moved.password == first.password);
        // The next one takes its place, and the old name is free for somebody else.
        let second = registrar.set_password(&by, "alicia", text("four other words of mine")).await.unwrap();
        assert_eq!(second.value.id, first.id);
        registrar.create_consumer(&by, named("alice")).await.unwrap();
        registrar.set_password(&by, "alice", text("four words of hers")).await.unwrap();
        // A name that another's password has is no name for this one, and nothing was done.
        let basic =
            |name: &str| NewBasic { id: None, username: name.into(), password: text("x"), tags: Vec::new() };
        registrar.create_basic(&by, "alice", basic("bob")).await.unwrap();
        let refused = registrar.change_consumer(&by, "alicia", &renamed(Some("bob"))).await;
        assert!(matches!(refused, Err(Refusal::Taken { what: "username", .. })));
        assert_eq!(registrar.named_credential::<BasicRecord>("alicia").await.unwrap().value.id, first.id);
        // One that it has itself stays, and is the only one.
        let own = registrar.create_basic(&by, "alicia", basic("al")).await.unwrap().value.id;
        registrar.change_consumer(&by, "alicia", &renamed(Some("al"))).await.unwrap();
        assert!(registrar.named_credential::<BasicRecord>("alicia").await.is_err());
        assert_eq!(registrar.named_credential::<BasicRecord>("al").await.unwrap().value.id, own);
        // Nor does it stay where there is no name at all.
        registrar.change_consumer(&by, "al", &renamed(None)).await.unwrap();
        assert!(registrar.named_credential::<BasicRecord>("al").await.is_err());
    }

    #[tokio::test]
    async fn a_name_with_a_colon_has_no_password() {
        let registrar = registrar();
        let by = By::doorward();
        let new = NewConsumer { username: Some("a:b".into()), ..NewConsumer::default() };
        registrar.create_consumer(&by, new).await.unwrap();
        let refused = registrar.set_password(&by, "a:b", text("four words of mine")).await;
        assert!(matches!(refused, Err(Refusal::Invalid { field: "username", .. })));
    }

    #[tokio::test]
    async fn a_name_whose_password_the_file_has_gets_no_other() {
        let hash = Hash::new("$argon2id$of-the-file");
        let (id, username) = (Uuid::from_u128(7), "filed".to_owned());
        let filed = Arc::new(Account { id, consumer: id, username: username.into(), hash, enabled: true });
        let parts = Parts { accounts: HashMap::from([("filed".to_owned(), filed)]), ..Parts::default() };
        let registrar = registrar();
        registrar.catalog.store(Arc::new(Catalog::new(parts).unwrap()));
        let by = By::doorward();
        let new = NewConsumer { username: Some("alice".into()), ..NewConsumer::default() };
        registrar.create_consumer(&by, new).await.unwrap();
        let basic =
            |name: &str| NewBasic { id: None, username: name.into(), password: text("x"), tags: Vec::new() };
        let made = registrar.create_basic(&by, "alice", basic("filed")).await;
        assert!(matches!(made, Err(Refusal::OwnedByFile { .. })));
        let own = registrar.create_basic(&by, "alice", basic("free")).await.unwrap().value.id;
        let change = BasicChange { username: Some("filed".into()), ..BasicChange::default() };
        assert!(matches!(registrar.change_basic(&by, &own, change).await, Err(Refusal::OwnedByFile { .. })));
        assert!(registrar.named_credential::<BasicRecord>("free").await.is_ok());
    }
}
