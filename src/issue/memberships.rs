//! Who is in which group: Kong's ACL credentials. They stand in their consumers; an index leads there.

use uuid::Uuid;

use super::{By, Done, Refusal, Registrar, Seen, check_label, check_tags, id_of};
use crate::domain::consumer::ConsumerId;
use crate::store::record::{ConsumerRecord, Membership, OwnerRecord};
use crate::store::{Effect, Expect, Name, Step, Table};

/// A membership to be made.
#[derive(Clone, Debug, Default)]
pub struct NewMembership {
    /// `None`: that of the consumer and the group.
    pub id: Option<Uuid>,
    pub group: String,
    pub tags: Vec<String>,
}

/// What becomes different about a membership; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct MembershipChange {
    pub group: Option<String>,
    pub tags: Option<Vec<String>>,
}

/// A membership and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub consumer: ConsumerId,
    pub membership: Membership,
}

/// What is found by its own id although it stands in another record.
#[derive(Clone, Copy)]
pub(super) enum Indexed {
    Membership,
}

impl Indexed {
    pub(super) fn name(self, id: &Uuid) -> Name {
        match self {
            Self::Membership => Name::pair(&MEMBERSHIPS, id),
        }
    }
}

/// Owns the ids of all memberships. No consumer's id: made once, by chance. Never change it.
const MEMBERSHIPS: Uuid = Uuid::from_u128(0x3b0e_5c19_97d2_4f6a_8c41_d7a9_0e62_b8f3);

/// The index after a consumer's groups have changed.
pub(super) fn joined(consumer: &ConsumerId, before: &[Membership], after: &[Membership]) -> Vec<Step> {
    let not_in = |all: &[Membership], it: &Membership| all.iter().all(|other| other.id != it.id);
    let step = |it: &Membership, expect, effect| Step {
        table: Table::Owned,
        name: Indexed::Membership.name(&it.id),
        expect,
        effect,
    };
    let left = before.iter().filter(|it| not_in(after, it));
    let came = after.iter().filter(|it| not_in(before, it));
    let owner = OwnerRecord { id: *consumer }.encode();
    left.map(|it| step(it, Expect::Anything, Effect::Delete))
        .chain(came.map(|it| step(it, Expect::Absent, Effect::Put(owner.clone()))))
        .collect()
}

impl Registrar {
    /// # Errors
    ///
    /// [`Refusal::Taken`] where the consumer is in the group already.
    pub async fn join_group(
        &self,
        by: &By,
        consumer: &str,
        new: NewMembership,
    ) -> Result<Done<Member>, Refusal> {
        by.expects_nothing()?;
        let tags = check_membership(&new)?;
        let group = self.named_group("group", &new.group)?;
        let done = self.alter_consumer((by, "acl.create"), consumer, |registrar, mut it| {
            if it.groups.iter().any(|member| member.group == group) {
                return Err(Refusal::Taken { what: "group", name: group.clone() });
            }
            let plain = Membership::plain(&it.id, group.clone(), registrar.clock.now());
            let id = new.id.unwrap_or(plain.id);
            it.groups.push(Membership { id, tags: tags.clone(), ..plain });
            registrar.check_consumer(&it)?;
            Ok(it)
        });
        Ok(done.await?.map(|it| member_in(it, &group)))
    }

    /// The membership of this id. Its state is its consumer's, in whose record it stands.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`].
    pub async fn membership(&self, id: &Uuid) -> Result<Seen<Member>, Refusal> {
        let absent = || Refusal::NotFound { what: "acl", name: id.to_string() };
        let index = self.store.read(Table::Owned, &Indexed::Membership.name(id)).await?.ok_or_else(absent)?;
        let owner = OwnerRecord::decode(Table::Owned, &index.payload)?;
        let consumer = self.consumer(&owner.id.to_string()).await?;
        seen_in(consumer, &id.to_string()).ok_or_else(absent)
    }

    /// The consumer's membership of this id or group.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`].
    pub async fn membership_of(&self, consumer: &str, named: &str) -> Result<Seen<Member>, Refusal> {
        let absent = || Refusal::NotFound { what: "acl", name: named.to_owned() };
        seen_in(self.consumer(consumer).await?, named).ok_or_else(absent)
    }

    /// Memberships in order of their ids, after `after`.
    pub async fn memberships(&self, after: Option<Uuid>, size: usize) -> Result<Vec<Member>, Refusal> {
        let after = after.map(|after| Indexed::Membership.name(&after));
        let found = self.store.scan(Table::Owned, MEMBERSHIPS.as_bytes(), after.as_ref(), size).await?;
        let mut members = Vec::with_capacity(found.len());
        for index in found {
            let owner = OwnerRecord::decode(Table::Owned, &index.payload)?;
            let id = Uuid::from_slice(index.name.0.get(16..).unwrap_or_default()).unwrap_or_default();
            let consumer = self.store.read(Table::Consumer, &Name::of(&owner.id)).await?;
            let consumer = consumer.map(|found| ConsumerRecord::decode(&found.payload)).transpose()?;
            members.extend(consumer.and_then(|consumer| consumer_s(consumer, &id.to_string())));
        }
        Ok(members)
    }

    /// The consumer's, in order of their ids, after `after`.
    pub async fn memberships_of(
        &self,
        consumer: &str,
        after: Option<Uuid>,
        size: usize,
    ) -> Result<Vec<Member>, Refusal> {
        let consumer = self.consumer(consumer).await?.value;
        let mut members: Vec<Member> = consumer
            .groups
            .into_iter()
            .filter(|it| after.is_none_or(|after| it.id > after))
            .map(|membership| Member { consumer: consumer.id, membership })
            .collect();
        members.sort_by_key(|member| member.membership.id);
        members.truncate(size);
        Ok(members)
    }

    /// Changes a membership of a consumer.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`]; [`Refusal::Taken`] where the consumer is in the other group already.
    pub async fn change_membership(
        &self,
        by: &By,
        member: &Member,
        change: &MembershipChange,
    ) -> Result<Done<Member>, Refusal> {
        let id = member.membership.id;
        let group = change.group.as_deref().map(|group| self.named_group("group", group)).transpose()?;
        let tags = change.tags.as_deref().map(check_tags).transpose()?;
        let consumer = member.consumer.to_string();
        let done = self.alter_consumer((by, "acl.change"), &consumer, |registrar, mut it| {
            if let Some(group) = &group
                && it.groups.iter().any(|other| other.group == *group && other.id != id)
            {
                return Err(Refusal::Taken { what: "group", name: group.clone() });
            }
            let found = it.groups.iter_mut().find(|other| other.id == id);
            let found = found.ok_or_else(|| Refusal::NotFound { what: "acl", name: id.to_string() })?;
            if let Some(group) = &group {
                found.group.clone_from(group);
            }
            if let Some(tags) = &tags {
                found.tags.clone_from(tags);
            }
            registrar.check_consumer(&it)?;
            Ok(it)
        });
        let absent = || Refusal::NotFound { what: "acl", name: id.to_string() };
        let Done { value, epoch, applied } = done.await?;
        Ok(Done { value: consumer_s(value, &id.to_string()).ok_or_else(absent)?, epoch, applied })
    }

    /// Takes the consumer out of the group.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`].
    pub async fn leave_group(&self, by: &By, member: &Member) -> Result<Done<()>, Refusal> {
        let id = member.membership.id;
        let consumer = member.consumer.to_string();
        let done = self.alter_consumer((by, "acl.delete"), &consumer, |_, mut it| {
            let before = it.groups.len();
            it.groups.retain(|other| other.id != id);
            match it.groups.len() == before {
                true => Err(Refusal::NotFound { what: "acl", name: id.to_string() }),
                false => Ok(it),
            }
        });
        Ok(done.await?.map(|_| ()))
    }
}

/// What a membership must be, whoever's it is; its tags, each once.
pub(super) fn check_membership(new: &NewMembership) -> Result<Vec<String>, Refusal> {
    check_label("group", &new.group)?;
    check_tags(&new.tags)
}

fn seen_in(consumer: Seen<ConsumerRecord>, named: &str) -> Option<Seen<Member>> {
    let Seen { value, revision } = consumer;
    Some(Seen { value: consumer_s(value, named)?, revision })
}

/// The consumer's membership of this id or group.
fn consumer_s(consumer: ConsumerRecord, named: &str) -> Option<Member> {
    let id = id_of(named);
    let is = |it: &Membership| id.map_or(it.group == named, |id| it.id == id);
    let membership = consumer.groups.into_iter().find(is)?;
    Some(Member { consumer: consumer.id, membership })
}

fn member_in(consumer: ConsumerRecord, group: &str) -> Member {
    let membership = consumer.groups.into_iter().find(|it| it.group == group);
    Member { consumer: consumer.id, membership: membership.expect("a consumer that has just joined it") }
}
