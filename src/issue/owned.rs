//! Credentials that a consumer owns: how they are written, found and ended, whatever they are.

use uuid::Uuid;

use super::audit::Chain;
use super::consumers::Owner;
use super::{By, Done, Refusal, Registrar, Seen, TRIES, claim, delete, id_of, unique};
use crate::domain::consumer::ConsumerId;
use crate::domain::session::Session;
use crate::domain::token::{AccessKey, Token};
use crate::store::record::{BasicRecord, JwtRecord, KeyRecord, OwnerRecord};
use crate::store::{Effect, Expect, Name, Record, Step, StoreError, Table};

/// The kinds of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owned {
    Key,
    Basic,
    Jwt,
    AccessKey,
    Token,
    Session,
}

/// A text that nobody else may have: what kind it is of, and its bytes.
pub type Claim = (&'static str, Vec<u8>);

/// A credential as it is stored.
pub trait Credential: Clone + Send + Sync + 'static {
    const KIND: Owned;
    /// As errors call it.
    const WHAT: &'static str;
    /// As the audit log calls what is done with it.
    const CREATE: &'static str;
    const CHANGE: &'static str;
    const END: &'static str;

    fn id(&self) -> Uuid;
    fn consumer(&self) -> ConsumerId;
    /// What no other may have; nothing but its id where that is all that it is known by.
    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }
    /// What is said where one of the claims, or the id, is another's.
    fn taken(&self) -> Refusal {
        Refusal::IdTaken { what: Self::WHAT, id: self.id() }
    }
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8]) -> Result<Self, StoreError>;
}

/// One that goes by a text of its own as well as by its id.
pub trait NamedCredential: Credential {
    /// Of which kind that text is.
    const NAME: &'static str;
}

impl Owned {
    pub(super) const ALL: [Self; 6] =
        [Self::Key, Self::Basic, Self::Jwt, Self::AccessKey, Self::Token, Self::Session];

    pub(super) fn table(self) -> Table {
        match self {
            Self::Key => Table::Key,
            Self::Basic => Table::Basic,
            Self::Jwt => Table::Jwt,
            Self::AccessKey => Table::AccessKey,
            Self::Token => Table::Token,
            Self::Session => Table::Session,
        }
    }

    /// Under what a consumer's are listed in [`Table::Owned`]. Stored: never change it.
    fn owner(self, consumer: &ConsumerId) -> Uuid {
        match self {
            Self::Key => *consumer,
            Self::Basic => Uuid::new_v5(consumer, b"basic"),
            Self::Jwt => Uuid::new_v5(consumer, b"jwt"),
            Self::AccessKey => Uuid::new_v5(consumer, b"access_key"),
            Self::Token => Uuid::new_v5(consumer, b"token"),
            Self::Session => Uuid::new_v5(consumer, b"session"),
        }
    }

    pub(super) fn prefix(self, consumer: &ConsumerId) -> [u8; 16] {
        self.owner(consumer).into_bytes()
    }

    pub(super) fn name(self, consumer: &ConsumerId, id: &Uuid) -> Name {
        Name::pair(&self.owner(consumer), id)
    }

    /// What ends a stored one.
    pub(super) fn ending(self, stored: &Record) -> Result<Vec<Step>, StoreError> {
        let Record { payload, revision, .. } = stored;
        Ok(match self {
            Self::Key => ending(&KeyRecord::decode(payload)?, Some(*revision)),
            Self::Basic => ending(&BasicRecord::decode(payload)?, Some(*revision)),
            Self::Jwt => ending(&JwtRecord::decode(payload)?, Some(*revision)),
            Self::AccessKey => ending(&AccessKey::decode(payload)?, Some(*revision)),
            Self::Token => ending(&Token::decode(payload)?, Some(*revision)),
            Self::Session => ending(&Session::decode(payload)?, Some(*revision)),
        })
    }
}

/// Whose credential it is that a record of [`Table::Owned`] lists: the second half of its name.
pub(super) fn owned_id(name: &Name) -> Uuid {
    Uuid::from_slice(name.0.get(16..).unwrap_or_default()).unwrap_or_default()
}

/// What makes a credential.
pub(super) fn making<C: Credential>(it: &C) -> Vec<Step> {
    let (id, consumer) = (it.id(), it.consumer());
    let put =
        |table, name, payload| Step { table, name, expect: Expect::Absent, effect: Effect::Put(payload) };
    let mut steps = vec![
        put(C::KIND.table(), Name::of(&id), it.encode()),
        put(Table::Owned, C::KIND.name(&consumer, &id), Vec::new()),
    ];
    steps.extend(it.claims().iter().map(|(kind, text)| claim(kind, text, &id)));
    steps
}

/// What makes one of it that was written by the change of this number into another one.
pub(super) fn changing<C: Credential>(before: &C, revision: u64, after: &C) -> Vec<Step> {
    let mut steps = vec![Step {
        table: C::KIND.table(),
        name: Name::of(&after.id()),
        expect: Expect::Revision(revision),
        effect: Effect::Put(after.encode()),
    }];
    let (had, has) = (before.claims(), after.claims());
    let gone = had.iter().filter(|it| !has.contains(it));
    steps.extend(gone.map(|(kind, text)| delete(Table::Unique, unique(kind, text))));
    let new = has.iter().filter(|it| !had.contains(it));
    steps.extend(new.map(|(kind, text)| claim(kind, text, &after.id())));
    steps
}

/// What ends a credential, as the change of this number has left it, and all that points to it. `None`: of
/// one that claims nothing, or never changes what it claims.
pub(super) fn ending<C: Credential>(it: &C, revision: Option<u64>) -> Vec<Step> {
    // Once, and only what was read: what it no longer claims may be another's by now.
    let expect = revision.map_or(Expect::Present, Expect::Revision);
    let mut steps = vec![
        Step { table: C::KIND.table(), name: Name::of(&it.id()), expect, effect: Effect::Delete },
        delete(Table::Owned, C::KIND.name(&it.consumer(), &it.id())),
    ];
    steps.extend(it.claims().iter().map(|(kind, text)| delete(Table::Unique, unique(kind, text))));
    steps
}

/// What ends one and makes another in its place, which may claim what the first one did.
pub(super) fn replacing<C: Credential>(before: &C, after: &C) -> Vec<Step> {
    let (had, has) = (before.claims(), after.claims());
    let handed_on = has.iter().filter(|it| had.contains(it)).map(|(kind, text)| unique(kind, text));
    let handed_on: Vec<Name> = handed_on.collect();
    let is_apart = |step: &Step| step.table != Table::Unique || !handed_on.contains(&step.name);
    let mut steps: Vec<Step> =
        ending(before, None).into_iter().chain(making(after)).filter(is_apart).collect();
    steps.extend(handed_on.into_iter().map(|name| Step {
        table: Table::Unique,
        name,
        expect: Expect::Present,
        effect: Effect::Put(OwnerRecord { id: after.id() }.encode()),
    }));
    steps
}

/// That the consumer is there, who may be deleted at this moment.
pub(super) fn not_without(owner: Owner) -> Option<Step> {
    match owner {
        Owner::Declared(_) => None,
        Owner::Stored(id) => Some(Step {
            table: Table::Consumer,
            name: Name::of(&id),
            expect: Expect::Present,
            effect: Effect::Keep,
        }),
    }
}

/// Says what stands in the way of a credential that was to be made.
pub(super) fn unmade<C: Credential>(refusal: Refusal, it: &C) -> Refusal {
    match refusal {
        Refusal::Store(StoreError::Conflict { table: Table::Consumer, .. }) => Refusal::Raced,
        Refusal::Store(StoreError::Conflict { table, .. }) if table == C::KIND.table() => {
            Refusal::IdTaken { what: C::WHAT, id: it.id() }
        }
        Refusal::Store(StoreError::Conflict { .. }) => it.taken(),
        other => other,
    }
}

impl Registrar {
    pub(super) async fn credential<C: Credential>(&self, id: &Uuid) -> Result<Option<(C, u64)>, Refusal> {
        let stored = self.store.read(C::KIND.table(), &Name::of(id)).await?;
        Ok(stored
            .map(|stored| Ok::<_, StoreError>((C::decode(&stored.payload)?, stored.revision)))
            .transpose()?)
    }

    /// The one of this id or name.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`].
    pub async fn named_credential<C: NamedCredential>(&self, named: &str) -> Result<Seen<C>, Refusal> {
        let absent = || Refusal::NotFound { what: C::WHAT, name: named.to_owned() };
        let id = match id_of(named) {
            Some(id) => id,
            None => self.owner_of(C::NAME, named.as_bytes()).await?.ok_or_else(absent)?,
        };
        Ok(self.credential(&id).await?.ok_or_else(absent)?.into())
    }

    /// In order of their ids, after `after`.
    pub async fn credentials<C: Credential>(
        &self,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Vec<C>, Refusal> {
        let after = after.as_ref().map(Name::of);
        let records = self.store.scan(C::KIND.table(), &[], after.as_ref(), size).await?;
        Ok(records.iter().map(|record| C::decode(&record.payload)).collect::<Result<_, _>>()?)
    }

    /// The same for one consumer.
    pub async fn credentials_of<C: Credential>(
        &self,
        consumer: &ConsumerId,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Vec<C>, Refusal> {
        let after = after.map(|after| C::KIND.name(consumer, &after));
        let owned = self.store.scan(Table::Owned, &C::KIND.prefix(consumer), after.as_ref(), size).await?;
        self.credentials_named(owned.iter().map(|owned| Name::of(&owned_id(&owned.name))).collect()).await
    }

    /// Those of these that there are.
    pub(super) async fn credentials_named<C: Credential>(&self, names: Vec<Name>) -> Result<Vec<C>, Refusal> {
        let records = self.store.read_many(C::KIND.table(), names).await?;
        Ok(records.iter().map(|record| C::decode(&record.payload)).collect::<Result<_, _>>()?)
    }

    pub(super) async fn make_credential<C: Credential>(
        &self,
        by: &By,
        owner: Owner,
        it: C,
    ) -> Result<Done<C>, Refusal> {
        let mut steps = making(&it);
        steps.extend(not_without(owner));
        let blame = it.clone();
        self.write(by.makes(C::CREATE, blame.id()), steps, it)
            .await
            .map_err(|refusal| unmade(refusal, &blame))
    }

    /// Changes a credential by what it is. One that others change at the same moment is looked at again.
    pub(super) async fn alter_credential<C: Credential>(
        &self,
        by: &By,
        id: &Uuid,
        alter: impl Fn(C) -> Result<C, Refusal>,
    ) -> Result<Done<C>, Refusal> {
        for _ in 0..TRIES {
            let found = self.credential::<C>(id).await?;
            let absent = || Refusal::NotFound { what: C::WHAT, name: id.to_string() };
            let (before, revision) = found.ok_or_else(absent)?;
            by.still_takes(revision)?;
            let after = alter(before.clone())?;
            let steps = changing(&before, revision, &after);
            let blame = after.clone();
            match self.write(by.does(C::CHANGE, *id), steps, after).await {
                Err(Refusal::Store(StoreError::Conflict { table, .. })) if table == C::KIND.table() => {}
                done => return done.map_err(|refusal| unmade(refusal, &blame)),
            }
        }
        Err(Refusal::Raced)
    }

    /// Ends a credential, also one that others change at the same moment. When this returns, no check of this instance takes it any more (or
    /// [`Done::applied`] is false), and it will not come back.
    pub async fn end_credential<C: Credential>(&self, by: &By, it: C) -> Result<Done<C>, Refusal> {
        self.end_credential_in(&self.changes, by, it).await
    }

    /// The same, with the entry in this chain of the log.
    pub(super) async fn end_credential_in<C: Credential>(
        &self,
        chain: &Chain,
        by: &By,
        it: C,
    ) -> Result<Done<C>, Refusal> {
        let id = it.id();
        let absent = || Refusal::NotFound { what: C::WHAT, name: id.to_string() };
        for _ in 0..TRIES {
            let found = self.credential::<C>(&id).await?;
            let Some((now, revision)) = found.filter(|(now, _)| now.consumer() == it.consumer()) else {
                by.expects_nothing()?;
                return Err(absent());
            };
            by.still_takes(revision)?;
            let steps = ending(&now, Some(revision));
            match self.write_to(chain, by.does(C::END, id), steps, now).await {
                Err(Refusal::Store(StoreError::Conflict { table, .. })) if table == C::KIND.table() => {}
                done => return done,
            }
        }
        Err(Refusal::Raced)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::issue::tests::registrar;

    fn account(number: u128, username: &str) -> BasicRecord {
        BasicRecord {
            id: Uuid::from_u128(number),
            consumer: Uuid::from_u128(100 + number),
            username: username.into(),
            password: "$argon2id$v=19$m=8,t=1,p=1$YWFhYWFhYWE$YWFhYWFhYWFhYWFhYWFhYQ".into(),
            tags: Vec::new(),
            enabled: true,
            created_at: Timestamp::from_unix(0),
        }
    }

    #[tokio::test]
    async fn who_ends_what_was_changed_meanwhile_takes_nobody_elses_name_away() {
        let (registrar, by) = (registrar(), By::doorward());
        let (first, second) = (account(1, "alice"), account(2, "alice"));
        let make = async |it: &BasicRecord| {
            registrar.make_credential(&by, Owner::Declared(it.consumer), it.clone()).await.unwrap();
        };
        make(&first).await;
        let read = registrar.store.read(Table::Basic, &Name::of(&first.id)).await.unwrap().unwrap();
        let renamed = |it| Ok(BasicRecord { username: "bob".into(), ..it });
        registrar.alter_credential(&by, &first.id, renamed).await.unwrap();
        make(&second).await;
        // With its consumer, by what was read before.
        let steps = Owned::Basic.ending(&read).unwrap();
        let refused = registrar.write(by.does("consumer.delete", first.consumer), steps, ()).await;
        assert!(matches!(refused, Err(Refusal::Store(StoreError::Conflict { .. }))));
        // By itself it is looked at again.
        registrar.end_credential(&by, first.clone()).await.unwrap();
        let (kind, _) = first.claims().remove(0);
        assert_eq!(registrar.owner_of(kind, b"alice").await.unwrap(), Some(second.id));
        assert_eq!(registrar.owner_of(kind, b"bob").await.unwrap(), None);
        let again = registrar.end_credential(&by, first).await;
        assert!(matches!(again, Err(Refusal::NotFound { .. })));
    }
}
