//! Passwords of consumers: set, and hashed on their way to the store.

use std::sync::Arc;

use super::basics::USERNAME;
use super::consumers::Owner;
use super::{By, Done, Issuer, Refusal};
use crate::domain::password::Account;
use crate::passwords::{Password, hash_refusal, rules};
use crate::store::record::BasicRecord;

impl Issuer {
    /// Gives a consumer a password: a name with a password that is the consumer's own name.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] where it is short or one that is guessed first, and where the consumer has no
    /// username; [`Refusal::OwnedByFile`]; [`Refusal::Taken`] where another's credential has the name.
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
        if self.catalog.load().account(&username).is_some() {
            return Err(Refusal::OwnedByFile { what: "the password of", name: username });
        }
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

    /// The PHC string of a password.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] where it is empty or too long, or a hash that we do not take;
    /// [`Refusal::Busy`].
    pub(super) async fn hashed(&self, password: Password) -> Result<String, Refusal> {
        let text = match password {
            Password::Hashed(phc) => {
                let invalid = |why| Err(Refusal::Invalid { field: "password_hash", why });
                return hash_refusal(&phc).map_or(Ok(phc), invalid);
            }
            Password::Text(text) => text,
        };
        let bytes = text.expose().len();
        if !(1..=rules::LONGEST).contains(&bytes) {
            let why = format!("has {bytes} bytes, expected 1 to {}", rules::LONGEST);
            return Err(Refusal::Invalid { field: "password", why });
        }
        self.passwords.hash(text).await.map_err(|_| Refusal::Busy)
    }

    /// The account of this name, by what this instance knows: the file's goes first.
    pub(super) fn account(&self, username: &str) -> Option<Arc<Account>> {
        let declared = self.catalog.load().account(username).map(Arc::clone);
        declared.or_else(|| self.replica.as_ref().and_then(|replica| replica.account(username)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use crate::issue::tests::issuer;
    use crate::issue::{By, NewBasic, NewConsumer, Password, Refusal};

    fn text(text: &str) -> Password {
        Password::Text(text.to_owned().into())
    }

    #[tokio::test]
    async fn a_password_is_set_and_set_again_under_the_consumers_name() {
        let issuer = issuer();
        let by = By::doorward();
        let named = |name: &str| NewConsumer { username: Some(name.into()), ..NewConsumer::default() };
        let alice = issuer.create_consumer(&by, named("alice")).await.unwrap().value.id;
        let first = issuer.set_password(&by, "alice", text("four words of mine")).await.unwrap().value;
        assert_eq!((first.consumer, &*first.username), (alice, "alice"));
        assert!(!first.password.contains("words"));
        let second = issuer.set_password(&by, "alice", text("four other words of mine")).await.unwrap().value;
        assert!(second.id == first.id && second.password != first.password);
        // As short as it may be elsewhere, here it is a person's.
        for bad in ["short", "alicealicealice", "passwordpassword"] {
            let refused = issuer.set_password(&by, "alice", text(bad)).await;
            assert!(matches!(refused, Err(Refusal::Invalid { field: "password", .. })), "{bad}");
        }
        // Somebody else has a credential of that name.
        issuer.create_consumer(&by, named("bob")).await.unwrap();
        let new = NewBasic { id: None, username: "bob".into(), password: text("x"), tags: Vec::new() };
        issuer.create_basic(&by, "alice", new).await.unwrap();
        let refused = issuer.set_password(&by, "bob", text("four words of mine")).await;
        assert!(matches!(refused, Err(Refusal::Taken { .. })));
        assert!(matches!(issuer.set_password(&by, "nobody", text("x")).await, Err(Refusal::NotFound { .. })));
    }
}
