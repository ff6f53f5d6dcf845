//! Consumers: whom credentials belong to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::memberships::{Indexed, joined};
use super::{
    By, Done, Refusal, Registrar, Seen, Set, TRIES, check_label, check_tags, claim, delete, id_of, unique,
};
use crate::config::Kind;
use crate::domain::consumer::{Consumer, ConsumerId};
use crate::domain::headers::{LONGEST_VALUE, list_length};
use crate::domain::network::Networks;
use crate::domain::permission::PermissionId;
use crate::domain::role::RoleGrant;
use crate::store::record::{ConsumerRecord, Membership};
use crate::store::{Effect, Expect, Name, Step, StoreError, Table};

/// A consumer to be made. At least one of `username` and `custom_id` must be there.
#[derive(Clone, Debug, Default)]
pub struct NewConsumer {
    /// `None`: a random one.
    pub id: Option<Uuid>,
    pub username: Option<String>,
    pub custom_id: Option<String>,
    pub email: Option<String>,
    pub tags: Vec<String>,
    pub groups: Vec<String>,
    /// By id or name.
    pub permissions: Vec<String>,
    /// By project, which goes by id or name.
    pub roles: BTreeMap<String, Vec<String>>,
    /// From where its credentials may be used.
    pub networks: Networks,
    pub disabled: bool,
}

/// What becomes different about a consumer; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ConsumerChange {
    pub username: Set<String>,
    pub custom_id: Set<String>,
    pub email: Set<String>,
    pub tags: Option<Vec<String>>,
    pub groups: Option<Vec<String>>,
    pub permissions: Option<Vec<String>>,
    pub roles: Option<BTreeMap<String, Vec<String>>>,
    pub networks: Option<Networks>,
    pub enabled: Option<bool>,
}

/// Whose a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Stored(ConsumerId),
    Declared(ConsumerId),
}

impl Owner {
    pub fn id(self) -> ConsumerId {
        match self {
            Self::Stored(id) | Self::Declared(id) => id,
        }
    }
}

pub(super) const USERNAME: &str = "consumer.username";
pub(super) const CUSTOM_ID: &str = "consumer.custom_id";
pub(super) const EMAIL: &str = "consumer.email";

impl From<NewConsumer> for ConsumerChange {
    fn from(new: NewConsumer) -> Self {
        Self {
            username: Some(new.username),
            custom_id: Some(new.custom_id),
            email: Some(new.email),
            tags: Some(new.tags),
            groups: Some(new.groups),
            permissions: Some(new.permissions),
            roles: Some(new.roles),
            networks: Some(new.networks),
            enabled: Some(!new.disabled),
        }
    }
}

impl Registrar {
    /// # Errors
    ///
    /// [`Refusal::Taken`] where a name belongs to another, [`Refusal::IdTaken`] where the id does.
    pub async fn create_consumer(&self, by: &By, new: NewConsumer) -> Result<Done<ConsumerRecord>, Refusal> {
        by.expects_nothing()?;
        let chosen = new.id;
        let record = self.changed(self.blank(chosen), &new.into())?;
        if let Some(id) = chosen {
            self.end_what_is_left_of(by, &id).await?;
        }
        let steps = steps_to_make(&record);
        let blame = record.clone();
        self.write(by.makes("consumer.create", blame.id), steps, record).await.map_err(
            |refusal| match refusal {
                Refusal::Store(StoreError::Conflict { table: Table::Consumer, .. }) => {
                    Refusal::IdTaken { what: "consumer", id: blame.id }
                }
                other => taken(other, &blame),
            },
        )
    }

    /// Changes what is to be different.
    ///
    /// # Errors
    ///
    /// As for one that is made; [`Refusal::NotFound`].
    pub async fn change_consumer(
        &self,
        by: &By,
        named: &str,
        change: &ConsumerChange,
    ) -> Result<Done<ConsumerRecord>, Refusal> {
        self.alter_consumer((by, "consumer.change"), named, |registrar, before| {
            registrar.changed(before, change)
        })
        .await
    }

    /// Changes a consumer by what it is. Whoever is changed by others at the same moment is looked at
    /// again.
    pub(super) async fn alter_consumer(
        &self,
        (by, action): (&By, &'static str),
        named: &str,
        alter: impl Fn(&Self, ConsumerRecord) -> Result<ConsumerRecord, Refusal>,
    ) -> Result<Done<ConsumerRecord>, Refusal> {
        self.not_declared(named)?;
        for _ in 0..TRIES {
            let (before, revision) = self.consumer_and_revision(named).await?;
            let after = ConsumerRecord { updated_at: self.clock.now(), ..alter(self, before.clone())? };
            let mut steps = steps_to(Some((&before, revision)), &after);
            steps.extend(self.rename_password(&before, &after).await?);
            let blame = after.clone();
            match self.write(by.does(action, blame.id), steps, after).await {
                Err(Refusal::Store(StoreError::Conflict {
                    table: Table::Consumer | Table::Basic, ..
                })) => {}
                done => return done.map_err(|refusal| taken(refusal, &blame)),
            }
        }
        Err(Refusal::Raced)
    }

    /// Makes the consumer of this id or username as it is told, or puts it in the place of the one
    /// that is there: what `change` names is as it says, and `username`, `custom_id` and `tags`, which
    /// are all that Kong knows, are gone where it does not. What else there is stays, or a client of
    /// Kong's API would let in whom somebody has shut out.
    ///
    /// # Errors
    ///
    /// As for one that is made.
    pub async fn put_consumer(
        &self,
        by: &By,
        named: &str,
        mut change: ConsumerChange,
    ) -> Result<Done<ConsumerRecord>, Refusal> {
        let id = id_of(named);
        if id.is_none() {
            change.username = Some(Some(named.to_owned()));
        }
        change.username.get_or_insert_default();
        change.custom_id.get_or_insert_default();
        change.tags.get_or_insert_default();
        let now = self.clock.now();
        let put = |registrar: &Self, before| {
            Ok(ConsumerRecord { created_at: now, ..registrar.changed(before, &change)? })
        };
        match self.alter_consumer((by, "consumer.put"), named, put).await {
            Err(Refusal::NotFound { .. }) => self.create_consumer(by, change.into_new(id)).await,
            done => done,
        }
    }

    pub(super) fn blank(&self, id: Option<Uuid>) -> ConsumerRecord {
        let now = self.clock.now();
        ConsumerRecord {
            id: id.unwrap_or_else(Uuid::new_v4),
            username: None,
            custom_id: None,
            email: None,
            tags: Vec::new(),
            groups: Vec::new(),
            permissions: Vec::new(),
            roles: Vec::new(),
            networks: Networks::default(),
            enabled: true,
            created_at: now,
            updated_at: now,
        }
    }

    /// The consumer after the change, if it may be so.
    pub(super) fn changed(
        &self,
        mut it: ConsumerRecord,
        change: &ConsumerChange,
    ) -> Result<ConsumerRecord, Refusal> {
        let set = |place: &mut Option<String>, value: &Set<String>| {
            if let Some(value) = value {
                place.clone_from(value);
            }
        };
        set(&mut it.username, &change.username);
        set(&mut it.custom_id, &change.custom_id);
        set(&mut it.email, &change.email);
        if let Some(tags) = &change.tags {
            it.tags = check_tags(tags)?;
        }
        if let Some(groups) = &change.groups {
            it.groups = self.members(&it, groups)?;
        }
        if let Some(permissions) = &change.permissions {
            it.permissions = self.resolve_permissions(permissions)?;
        }
        if let Some(roles) = &change.roles {
            it.roles = self.resolve_roles(roles)?;
        }
        if let Some(networks) = &change.networks {
            it.networks = networks.clone();
        }
        it.enabled = change.enabled.unwrap_or(it.enabled);
        self.check_consumer(&it)?;
        Ok(it)
    }

    /// The memberships in these groups, those that are there as they are.
    fn members(&self, it: &ConsumerRecord, groups: &[String]) -> Result<Vec<Membership>, Refusal> {
        let mut members: Vec<Membership> = Vec::with_capacity(groups.len());
        for group in groups {
            let group = &self.named_group("groups", group)?;
            if members.iter().all(|member| member.group != *group) {
                let known = it.groups.iter().find(|member| member.group == *group).cloned();
                members.push(
                    known.unwrap_or_else(|| Membership::plain(&it.id, group.clone(), self.clock.now())),
                );
            }
        }
        Ok(members)
    }

    /// The name of a group that is named by it, or by its id. A group need not be declared.
    pub(super) fn named_group(&self, field: &'static str, named: &str) -> Result<String, Refusal> {
        check_label(field, named)?;
        let edition = self.compiler.edition();
        let known = edition.compiled().find(Kind::Group, named);
        let name = known.and_then(|id| edition.compiled().name(Kind::Group, &id).map(str::to_owned));
        Ok(name.unwrap_or_else(|| named.to_owned()))
    }

    pub(super) fn check_consumer(&self, it: &ConsumerRecord) -> Result<(), Refusal> {
        if it.username.is_none() && it.custom_id.is_none() {
            let why = "at least one of these fields must be non-empty: 'custom_id', 'username'".into();
            return Err(Refusal::Invalid { field: "@entity", why });
        }
        for (field, value) in [("username", &it.username), ("custom_id", &it.custom_id), ("email", &it.email)]
        {
            value.iter().try_for_each(|value| check_label(field, value))?;
        }
        if it.username.as_deref().is_some_and(|name| Uuid::parse_str(name).is_ok()) {
            // Nobody could say who is meant: everywhere an id serves as well as a name.
            let why = "looks like an id; choose another".into();
            return Err(Refusal::Invalid { field: "username", why });
        }
        let catalog = self.catalog.load();
        let same = |ours: &Option<String>, theirs: &Option<Box<str>>| {
            ours.is_some() && ours.as_deref() == theirs.as_deref()
        };
        let declared = catalog.consumers().values().find(|declared| {
            same(&it.username, &declared.username)
                || same(&it.custom_id, &declared.custom_id)
                || it.id == declared.id
        });
        if let Some(declared) = declared {
            let name = declared.username.as_deref().map_or_else(|| declared.id.to_string(), str::to_owned);
            return Err(Refusal::OwnedByFile { what: "consumer", name });
        }
        let groups = it.groups.iter().map(|membership| membership.group.as_str());
        fits("groups", list_length(groups))?;
        fits("permissions", list_length(it.permissions.iter().map(Uuid::to_string)))
    }

    pub(super) fn resolve_permissions(&self, named: &[String]) -> Result<Vec<PermissionId>, Refusal> {
        let catalog = self.catalog.load();
        named
            .iter()
            .map(|named| {
                let id = id_of(named);
                catalog
                    .permissions()
                    .iter()
                    .find(|permission| Some(permission.id) == id || permission.name == *named)
                    .map(|permission| permission.id)
                    .ok_or_else(|| Refusal::Invalid {
                        field: "permissions",
                        why: format!("there is no permission `{named}`"),
                    })
            })
            .collect()
    }

    fn resolve_roles(&self, named: &BTreeMap<String, Vec<String>>) -> Result<Vec<RoleGrant>, Refusal> {
        let catalog = self.catalog.load();
        let invalid = |why| Refusal::Invalid { field: "roles", why };
        let mut grants = Vec::new();
        for (project, roles) in named {
            let id = id_of(project);
            let known =
                catalog.projects().iter().find(|known| Some(known.id) == id || known.name == *project);
            let known = known.ok_or_else(|| invalid(format!("there is no project `{project}`")))?;
            for role in roles {
                if !catalog.roles().is_known(role) {
                    return Err(invalid(format!("there is no role `{role}`")));
                }
                let grant = RoleGrant { project: known.id, role: role.clone() };
                if !grants.contains(&grant) {
                    grants.push(grant);
                }
            }
        }
        Ok(grants)
    }

    /// The stored consumer of this id or username.
    pub async fn consumer(&self, named: &str) -> Result<Seen<ConsumerRecord>, Refusal> {
        Ok(self.consumer_and_revision(named).await?.into())
    }

    pub(super) async fn consumer_and_revision(&self, named: &str) -> Result<(ConsumerRecord, u64), Refusal> {
        let absent = || Refusal::NotFound { what: "consumer", name: named.to_owned() };
        let id = match id_of(named) {
            Some(id) => id,
            None => self.owner_of(USERNAME, named.as_bytes()).await?.ok_or_else(absent)?,
        };
        let record = self.store.read(Table::Consumer, &Name::of(&id)).await?.ok_or_else(absent)?;
        Ok((ConsumerRecord::decode(&record.payload)?, record.revision))
    }

    /// The stored consumer with this `custom_id`.
    pub async fn consumer_with_custom_id(&self, custom_id: &str) -> Result<Option<ConsumerRecord>, Refusal> {
        match self.owner_of(CUSTOM_ID, custom_id.as_bytes()).await? {
            Some(id) => Ok(Some(self.consumer(&id.to_string()).await?.value)),
            None => Ok(None),
        }
    }

    /// The consumer of this id or username that the file declares. The file wins on a name, so
    /// whoever looks for one looks here first.
    pub fn declared_consumer(&self, named: &str) -> Option<Arc<Consumer>> {
        let id = id_of(named);
        let catalog = self.catalog.load();
        let is = |it: &&Arc<Consumer>| it.username.as_deref() == Some(named) || Some(it.id) == id;
        catalog.consumers().values().find(is).cloned()
    }

    /// # Errors
    ///
    /// [`Refusal::OwnedByFile`] for one that the file declares. A stored one of the same name goes by
    /// its id.
    pub(super) fn not_declared(&self, named: &str) -> Result<(), Refusal> {
        match self.declared_consumer(named) {
            Some(_) => Err(Refusal::OwnedByFile { what: "consumer", name: named.to_owned() }),
            None => Ok(()),
        }
    }

    /// Whom a credential may be made for: a stored consumer, or one that the file declares.
    pub async fn owner(&self, named: &str) -> Result<Owner, Refusal> {
        match self.declared_consumer(named) {
            Some(consumer) => Ok(Owner::Declared(consumer.id)),
            None => Ok(Owner::Stored(self.consumer(named).await?.id)),
        }
    }

    /// The consumers that the configuration file declares, by username, each with its address.
    pub fn declared_consumers(&self) -> Vec<(Arc<Consumer>, Option<String>)> {
        let catalog = self.catalog.load();
        let emails: HashMap<_, _> = catalog.emails().map(|(email, of)| (of, email)).collect();
        let with_email = |it: &Arc<Consumer>| (Arc::clone(it), emails.get(&it.id).map(ToString::to_string));
        let mut declared: Vec<_> = catalog.consumers().values().map(with_email).collect();
        declared.sort_by(|(a, _), (b, _)| a.username.cmp(&b.username));
        declared
    }

    /// The address of one that the configuration file declares.
    pub fn declared_email(&self, consumer: ConsumerId) -> Option<String> {
        self.catalog.load().emails().find(|(_, of)| *of == consumer).map(|(email, _)| email.to_owned())
    }

    /// Stored consumers in order of their ids, after `after`.
    pub async fn consumers(&self, after: Option<Uuid>, size: usize) -> Result<Vec<ConsumerRecord>, Refusal> {
        let after = after.as_ref().map(Name::of);
        let records = self.store.scan(Table::Consumer, &[], after.as_ref(), size).await?;
        Ok(records.iter().map(|record| ConsumerRecord::decode(&record.payload)).collect::<Result<_, _>>()?)
    }
}

impl ConsumerChange {
    /// What makes a consumer of it where there is none.
    pub fn into_new(self, id: Option<Uuid>) -> NewConsumer {
        NewConsumer {
            id,
            username: self.username.flatten(),
            custom_id: self.custom_id.flatten(),
            email: self.email.flatten(),
            tags: self.tags.unwrap_or_default(),
            groups: self.groups.unwrap_or_default(),
            permissions: self.permissions.unwrap_or_default(),
            roles: self.roles.unwrap_or_default(),
            networks: self.networks.unwrap_or_default(),
            disabled: self.enabled == Some(false),
        }
    }
}

/// What makes a consumer. Whoever has this id from now on is not deleted.
pub(super) fn steps_to_make(it: &ConsumerRecord) -> Vec<Step> {
    let mut steps = steps_to(None, it);
    steps.push(delete(Table::Owned, Name::pair(&super::deletion::DELETED, &it.id)));
    steps
}

/// What brings a consumer from what it was, and the change that wrote that, to what it is to be.
fn steps_to(before: Option<(&ConsumerRecord, u64)>, after: &ConsumerRecord) -> Vec<Step> {
    let mut steps = vec![Step {
        table: Table::Consumer,
        name: Name::of(&after.id),
        expect: before.map_or(Expect::Absent, |(_, revision)| Expect::Revision(revision)),
        effect: Effect::Put(after.encode()),
    }];
    let before = before.map(|(record, _)| record);
    let had = before.map(claims).unwrap_or_default();
    let has = claims(after);
    steps.extend(
        had.iter()
            .filter(|it| !has.contains(it))
            .map(|(kind, text)| delete(Table::Unique, unique(kind, text.as_bytes()))),
    );
    steps.extend(
        has.iter().filter(|it| !had.contains(it)).map(|(kind, text)| claim(kind, text.as_bytes(), &after.id)),
    );
    let was_in = before.map(|before| &before.groups[..]).unwrap_or_default();
    steps.extend(joined(&after.id, was_in, &after.groups));
    steps
}

/// What nobody else may be called.
pub(super) fn claims(it: &ConsumerRecord) -> Vec<(&'static str, &str)> {
    let names = [(USERNAME, &it.username), (CUSTOM_ID, &it.custom_id), (EMAIL, &it.email)];
    names.into_iter().filter_map(|(kind, name)| Some((kind, name.as_deref()?))).collect()
}

/// Says which of a consumer's names is another's.
pub(super) fn taken(refusal: Refusal, it: &ConsumerRecord) -> Refusal {
    let Refusal::Store(StoreError::Conflict { name, .. }) = &refusal else { return refusal };
    let by_name = claims(it).into_iter().find(|(kind, text)| unique(kind, text.as_bytes()) == *name);
    match by_name {
        Some((kind, text)) => {
            Refusal::Taken { what: kind.trim_start_matches("consumer."), name: text.to_owned() }
        }
        None => match it.groups.iter().find(|member| Indexed::Membership.name(&member.id) == *name) {
            Some(member) => Refusal::IdTaken { what: "acl", id: member.id },
            None => Refusal::Raced,
        },
    }
}

/// Refuses a list of so many bytes where that is longer than a header that is vouched for may be:
/// every request of the consumer would be denied.
fn fits(field: &'static str, length: usize) -> Result<(), Refusal> {
    if length <= LONGEST_VALUE {
        return Ok(());
    }
    let why = format!("must fit into a header of {LONGEST_VALUE} bytes; these take {length}");
    Err(Refusal::Invalid { field, why })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;
    use std::sync::atomic::Ordering;

    use arc_swap::ArcSwap;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::catalog::{Catalog, Parts};
    use crate::issue::tests::failing::{Failing, TOGETHER};
    use crate::issue::{NewKey, Outcome, Run};
    use crate::store::memory::Memory;
    use crate::store::ring::Ring;
    use crate::store::{Batch, Store};

    fn by() -> By {
        By::doorward()
    }

    fn alice(id: Uuid) -> NewConsumer {
        NewConsumer { id: Some(id), username: Some("alice".into()), ..NewConsumer::default() }
    }

    fn registrar(store: Arc<dyn Store>) -> Registrar {
        let ring = Ring::parse(Path::new("ring"), format!("1 {}", "1f2e".repeat(16)).as_bytes()).unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        Registrar::new(store, Arc::new(ring), Clock::system(), catalog)
    }

    fn brought_along(number: usize) -> NewKey {
        let text = Some(format!("a-key-of-their-own-{number:04}").into());
        NewKey { text, ..NewKey::default() }
    }

    #[tokio::test]
    async fn a_deletion_that_is_cut_short_is_finished_at_the_next_start() {
        const KEYS: usize = 2 * TOGETHER + 7;
        for writes in 0..4 {
            let store = Arc::new(Failing::new());
            let registrar = registrar(store.clone());
            let id = Uuid::from_u128(7);
            registrar.create_consumer(&by(), alice(id)).await.unwrap();
            for number in 0..KEYS {
                registrar.create_key(&by(), "alice", brought_along(number)).await.unwrap();
            }
            store.left.store(writes, Ordering::SeqCst);
            assert_eq!(registrar.delete_consumer(&by(), "alice").await.is_ok(), writes == 3, "{writes}");
            store.left.store(usize::MAX, Ordering::SeqCst);

            registrar.finish_deletions().await.unwrap();
            let left = if writes == 0 { KEYS } else { 0 };
            assert_eq!(registrar.keys_of(&id, None, 2 * KEYS).await.unwrap().len(), left, "{writes}");
            if writes > 0 {
                let mut records = Vec::new();
                let tables = [Table::Consumer, Table::Key, Table::Unique, Table::Owned];
                store.snapshot(&tables, &mut |shown| records.push(shown.unwrap())).await.unwrap();
                assert_eq!(records, [], "{writes}");
                registrar.create_consumer(&by(), alice(Uuid::from_u128(8))).await.unwrap();
                registrar.create_key(&by(), "alice", brought_along(KEYS - 1)).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_consumer_made_or_imported_anew_is_not_taken_for_the_deleted_one() {
        for imported in [false, true] {
            let store = Arc::new(Failing::new());
            let registrar = registrar(store.clone());
            let id = Uuid::from_u128(7);
            registrar.create_consumer(&by(), alice(id)).await.unwrap();
            for number in 0..=TOGETHER {
                registrar.create_key(&by(), "alice", brought_along(number)).await.unwrap();
            }
            store.left.store(1, Ordering::SeqCst);
            assert!(registrar.delete_consumer(&by(), "alice").await.is_err());
            store.left.store(usize::MAX, Ordering::SeqCst);
            if imported {
                let all: Vec<_> = std::iter::once(alice(id)).chain((0..TOGETHER).map(other)).collect();
                assert!(all.len() * 4 > store.most_steps(), "more than one write takes");
                let outcomes = registrar.import_consumers(&by(), all, Run::Earnest).await.unwrap();
                assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Made)), "{outcomes:?}");
            } else {
                registrar.create_consumer(&by(), alice(id)).await.unwrap();
            }
            assert!(registrar.keys_of(&id, None, 10).await.unwrap().is_empty(), "the old keys are gone");
            let made = registrar.create_key(&by(), "alice", NewKey::default()).await.unwrap().value;
            registrar.finish_deletions().await.unwrap();
            assert!(registrar.key(made.text.expose()).await.is_ok(), "and the new one stays");
        }
    }

    fn other(number: usize) -> NewConsumer {
        NewConsumer {
            username: Some(format!("other-{number}")),
            custom_id: Some(format!("custom-{number}")),
            email: Some(format!("other-{number}@example.com")),
            ..NewConsumer::default()
        }
    }

    #[tokio::test]
    async fn of_two_that_are_imported_as_the_same_one_is_made_and_the_other_is_found() {
        let registrar = registrar(Arc::new(Memory::new()));
        let [one, other] =
            [1, 2].map(|id| NewConsumer { custom_id: Some(id.to_string()), ..alice(Uuid::from_u128(id)) });
        let other = NewConsumer { groups: vec!["gold".into()], ..other };
        let of_his_own = NewConsumer { username: Some("bob".into()), ..one.clone() };
        let of_his_own = NewConsumer { id: None, ..of_his_own };
        let all = vec![one, other, of_his_own];
        // Again, it comes to the same.
        for made in [true, false] {
            let outcomes = registrar.import_consumers(&by(), all.clone(), Run::Earnest).await.unwrap();
            let [first, second, Outcome::Refused(refused)] = &outcomes[..] else { panic!("{outcomes:?}") };
            assert_eq!(matches!(first, Outcome::Made), made, "{outcomes:?}");
            assert_eq!(matches!(second, Outcome::Added), made, "{outcomes:?}");
            assert_eq!(refused.to_string(), "custom_id `1` is taken");
        }
        assert_eq!(registrar.consumer("alice").await.unwrap().value.groups.len(), 1);
        let owner = Owner::Stored(Uuid::from_u128(1));
        let keys = vec![(owner, brought_along(1)), (owner, brought_along(1))];
        let outcomes = registrar.import_keys(&by(), keys, Run::Earnest).await.unwrap();
        assert!(matches!(outcomes[..], [Outcome::Made, Outcome::Unchanged]), "{outcomes:?}");
        let [key] = &registrar.keys_of(&owner.id(), None, 10).await.unwrap()[..] else { panic!("two keys") };
        registrar.revoke_key(&by(), &key.id.to_string()).await.unwrap();
        assert!(registrar.key("a-key-of-their-own-0001").await.is_err());
    }

    #[tokio::test]
    async fn lists_that_fit_in_no_header_are_refused_by_name() {
        let registrar = registrar(Arc::new(Memory::new()));
        let check = async |id: u128, groups: Vec<String>, fits: bool| {
            let new = NewConsumer { groups, username: Some(id.to_string()), ..NewConsumer::default() };
            match registrar.create_consumer(&by(), new).await {
                Ok(_) => assert!(fits, "{id}"),
                Err(refusal) => {
                    assert!(
                        !fits && matches!(refusal, Refusal::Invalid { field: "groups", .. }),
                        "{refusal}"
                    );
                }
            }
        };
        // Joined by two bytes: 3 × 254 + 256 + 3 × 2 = 1024.
        let four = |last: usize| vec!["a".repeat(254), "b".repeat(254), "c".repeat(254), "d".repeat(last)];
        check(1, four(256), true).await;
        check(2, [four(255), vec!["e".into()]].concat(), false).await;
        check(3, vec!["é".repeat(128), "ü".repeat(43)], false).await;
        check(4, vec!["é".repeat(128), "ü".repeat(42)], true).await;
        // Escaped too, so that no two groups become one.
        check(5, vec!["%".repeat(256), "%".repeat(86)], false).await;
    }

    #[tokio::test]
    async fn keys_left_by_a_deletion_that_was_cut_short_open_for_nobody_of_that_id() {
        let ring = Ring::parse(Path::new("ring"), format!("1 {}", "1f2e".repeat(16)).as_bytes()).unwrap();
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
        let store = Arc::new(Memory::new());
        let registrar = Registrar::new(store.clone(), Arc::new(ring), Clock::system(), catalog);
        let id = Uuid::from_u128(7);
        registrar.create_consumer(&by(), alice(id)).await.unwrap();
        let made = registrar.create_key(&by(), "alice", NewKey::default()).await.unwrap().value;

        // The first write of a deletion, and then the power goes.
        let steps =
            vec![delete(Table::Consumer, Name::of(&id)), delete(Table::Unique, unique(USERNAME, b"alice"))];
        store.write(Batch { operation: Uuid::new_v4(), steps }).await.unwrap();

        registrar.create_consumer(&by(), alice(id)).await.unwrap();
        assert!(registrar.key(made.text.expose()).await.is_err(), "a deleted consumer's key is back");
        assert!(registrar.keys_of(&id, None, 10).await.unwrap().is_empty());

        let made = registrar.create_key(&by(), "alice", NewKey::default()).await.unwrap().value;
        assert!(matches!(registrar.create_consumer(&by(), alice(id)).await, Err(Refusal::IdTaken { .. })));
        assert!(registrar.key(made.text.expose()).await.is_ok(), "a refused creation ends nobody's keys");
    }
}
