//! How an object is written: judged beside all others as they are, and written if they still are.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::timeout;
use uuid::Uuid;

use super::{ObjectLimits, access, check_free};
use crate::compile::Edition;
use crate::config::Wrong;
use crate::domain::consumer::Consumer;
use crate::domain::rights::Caller;
use crate::issue::{By, Done, OWN_APPLIER, Refusal, Registrar};
use crate::replica::Stored;
use crate::store::record::{ConsumerRecord, GuardRecord, ObjectRecord};
use crate::store::{Effect, Expect, Name, Step, StoreError, Table};

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// Whom the write is about.
    pub(super) subject: Uuid,
    pub(super) put: Vec<ObjectRecord>,
    pub(super) gone: Vec<Uuid>,
    /// What no consumer may have.
    pub(super) unless_used: Vec<Use>,
}

/// Makes a plan for how everything is at the moment; asked again where that changed meanwhile.
pub(super) type Planner = Arc<dyn Fn(&Edition) -> Result<Plan, Refusal> + Send + Sync>;

/// What consumers have of objects.
#[derive(Clone, Debug)]
pub(super) enum Use {
    Permission(Uuid),
    Project(Uuid),
    Role(String),
}

/// A plan that is good, and what comes of it.
pub(super) struct Judged {
    pub(super) subject: Uuid,
    pub(super) edition: Edition,
}

/// A plan that can be written as it is, if nothing else is written before.
pub(super) struct Ready {
    steps: Vec<Step>,
    judged: Judged,
    /// Comes last.
    guard: Step,
}

/// How often a write is tried while others write too.
const TRIES: usize = 8;

/// Records read at once.
const RUN: usize = 1000;

impl Registrar {
    /// Writes what is planned, where its caller may and it is good beside everything else.
    pub(super) async fn write_policy(
        &self,
        by: &By,
        action: &'static str,
        planner: Planner,
    ) -> Result<Done<Judged>, Refusal> {
        self.write_plan(by, action, planner).await.map_err(|refusal| refusal.told_to(&by.caller))
    }

    async fn write_plan(
        &self,
        by: &By,
        action: &'static str,
        planner: Planner,
    ) -> Result<Done<Judged>, Refusal> {
        for _ in 0..TRIES {
            let Some(Ready { mut steps, judged, guard }) = self.judge_policy(by, &planner).await? else {
                continue;
            };
            steps.push(guard);
            let act = by.does(action, judged.subject);
            match self.write(act, steps, judged).await {
                Err(Refusal::Store(StoreError::Conflict { table: Table::Object, .. })) => {}
                written => {
                    if self.replica.is_none() {
                        self.read_objects().await?;
                    }
                    return written;
                }
            }
        }
        Err(Refusal::Raced)
    }

    /// Plans, and sees what comes of it. `None` where everything changed while we looked.
    pub(super) async fn judge_policy(&self, by: &By, planner: &Planner) -> Result<Option<Ready>, Refusal> {
        let Some((edition, expect)) = self.edition_to_change().await? else { return Ok(None) };
        let (planner, limits) = (Arc::clone(planner), self.object_limits);
        let (before, caller) = (Arc::clone(&edition), by.caller.clone());
        // Not where others wait.
        let (plan, before) = aside(move || {
            let plan = planner(&before)?;
            access::check(&caller, &before, &plan)?;
            Ok((plan, before))
        })
        .await?;
        self.check_condition(by, &plan).await?;
        let caller = by.caller.clone();
        let (plan, judged) = aside(move || {
            plan.put.iter().try_for_each(|record| check_free(&before, record))?;
            // A catalog is made to see what comes of it.
            let judged = judge(&before, &plan, (limits, &caller))?;
            Ok((plan, judged))
        })
        .await?;
        for used in &plan.unless_used {
            self.check_unused(used).await?;
        }
        let (steps, guard) = (steps(&edition, &plan), next_guard(&edition, expect));
        Ok(Some(Ready { steps, judged, guard }))
    }

    /// Whoever has not seen what is there is told that first, whatever else is wrong; the write itself holds
    /// against the condition once more.
    async fn check_condition(&self, by: &By, plan: &Plan) -> Result<(), Refusal> {
        if by.condition.is_none() {
            return Ok(());
        }
        match self.store.read(Table::Object, &Name::of(&plan.subject)).await? {
            Some(stored) => by.still_takes(stored.revision),
            None => by.expects_nothing(),
        }
    }

    /// All of policy as the store has it, and what must still hold when a change of it is written. `None`
    /// where it changed while we looked.
    pub(super) async fn edition_to_change(&self) -> Result<Option<(Arc<Edition>, Expect)>, Refusal> {
        if self.replica.is_none() {
            let expect = self.read_objects().await?;
            return Ok(Some((self.compiler.edition(), expect)));
        }
        let (expect, guard) = self.read_guard().await?;
        let writes = guard.map_or(0, |guard| guard.writes);
        let mut editions = self.compiler.editions();
        let arrived = editions.wait_for(|it| it.guard().map_or(0, |guard| guard.writes) >= writes);
        let edition = match timeout(OWN_APPLIER, arrived).await {
            Ok(Ok(edition)) => Arc::clone(&edition),
            Ok(Err(_)) | Err(_) => return Ok(None),
        };
        Ok((edition.guard() == guard).then_some((edition, expect)))
    }

    async fn read_guard(&self) -> Result<(Expect, Option<GuardRecord>), Refusal> {
        let stored = self.store.read(Table::Object, &GuardRecord::name()).await?;
        let expect = stored.as_ref().map_or(Expect::Absent, |record| Expect::Revision(record.revision));
        let guard = stored.map(|record| GuardRecord::decode(&record.payload)).transpose()?;
        Ok((expect, guard))
    }

    /// Reads every object, for whoever follows no store. What must still hold for a change of them.
    pub(in crate::issue) async fn read_objects(&self) -> Result<Expect, Refusal> {
        let (expect, guard) = self.read_guard().await?;
        let known = self.compiler.edition();
        if guard.is_some() && known.guard() == guard {
            return Ok(expect);
        }
        let mut objects = BTreeMap::new();
        let mut after: Option<Name> = None;
        loop {
            let run = self.store.scan(Table::Object, &[], after.as_ref(), RUN).await?;
            let Some(last) = run.last() else { break };
            after = Some(last.name.clone());
            for record in run.iter().filter(|record| record.name != GuardRecord::name()) {
                match ObjectRecord::decode(&record.payload) {
                    Ok(object) => drop(objects.insert(object.id, Arc::new(object))),
                    Err(error) => tracing::error!(%error, "a stored object is left out"),
                }
            }
        }
        let compiler = Arc::clone(&self.compiler);
        let stored = Stored { guard, objects, ..Stored::default() };
        let taken = tokio::task::spawn_blocking(move || compiler.take(stored)).await;
        taken.map_err(|_| Refusal::Store(StoreError::Unavailable("reading the objects broke off".into())))?;
        Ok(expect)
    }

    async fn check_unused(&self, used: &Use) -> Result<(), Refusal> {
        let has = |consumer: &Consumer| match used {
            Use::Permission(id) => consumer.given.permissions.contains(id),
            Use::Project(id) => consumer.given.roles.iter().any(|grant| grant.project == *id),
            Use::Role(name) => consumer.given.roles.iter().any(|grant| grant.role == *name),
        };
        let found = match &self.replica {
            Some(replica) => replica.find_consumer(has).map(|it| (it.id, it.username.clone())),
            None => self.find_stored_consumer(has).await?,
        };
        let Some((id, username)) = found else { return Ok(()) };
        let by = format!("consumer `{}`", username.map_or_else(|| id.to_string(), String::from));
        Err(Refusal::InUse { by, why: "has it".to_owned() })
    }

    async fn find_stored_consumer(
        &self,
        has: impl Fn(&Consumer) -> bool,
    ) -> Result<Option<(Uuid, Option<Box<str>>)>, Refusal> {
        let mut after: Option<Name> = None;
        loop {
            let run = self.store.scan(Table::Consumer, &[], after.as_ref(), RUN).await?;
            let Some(last) = run.last() else { return Ok(None) };
            after = Some(last.name.clone());
            for record in &run {
                let consumer = Consumer::from(ConsumerRecord::decode(&record.payload)?);
                if has(&consumer) {
                    return Ok(Some((consumer.id, consumer.username)));
                }
            }
        }
    }
}

/// On a thread that nobody waits for but who asks.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let died = |_| Refusal::Store(StoreError::Unavailable("judging a change broke off".into()));
    tokio::task::spawn_blocking(work).await.map_err(died)?
}

fn steps(edition: &Edition, plan: &Plan) -> Vec<Step> {
    let step = |id: &Uuid, effect: Effect| {
        let expect = if edition.stored(id).is_some() { Expect::Present } else { Expect::Absent };
        Step { table: Table::Object, name: Name::of(id), expect, effect }
    };
    let put = plan.put.iter().map(|record| step(&record.id, Effect::Put(record.encode())));
    put.chain(plan.gone.iter().map(|id| step(id, Effect::Delete))).collect()
}

/// Comes last in a batch: whoever has applied it has applied the objects.
pub(super) fn next_guard(edition: &Edition, expect: Expect) -> Step {
    let writes = edition.guard().map_or(0, |guard| guard.writes) + 1;
    let guard = GuardRecord { token: Uuid::new_v4(), writes };
    Step { table: Table::Object, name: GuardRecord::name(), expect, effect: Effect::Put(guard.encode()) }
}

/// What comes of a plan, if it is good.
fn judge(
    before: &Edition,
    plan: &Plan,
    (limits, caller): (ObjectLimits, &Caller),
) -> Result<Judged, Refusal> {
    for record in &plan.put {
        if record.settings.len() > limits.bytes {
            let why = format!(
                "it has {} bytes, at most {} are allowed (`limits.object_bytes`)",
                record.settings.len(),
                limits.bytes
            );
            return Err(Refusal::Faulty(vec![Wrong::of_whole(why)]));
        }
    }
    let after = before.with(&plan.put, &plan.gone);
    let (count, was) = (after.objects().len(), before.objects().len());
    if count > was && count > limits.count {
        return Err(Refusal::Full { what: "objects", most: limits.count, limit: "limits.objects" });
    }
    if let Some(wrong) = after.refused().get(&plan.subject) {
        return Err(Refusal::Faulty(wrong.clone()));
    }
    // The oldest of them: what needs it came after it, so this one refers to what is changed.
    let lost = after.refused().iter().filter(|(id, _)| !before.refused().contains_key(*id));
    let age = |id: &Uuid| before.stored(id).map(|stored| stored.record.sequence);
    if let Some((id, wrong)) = lost.min_by_key(|(id, _)| (age(id), **id)) {
        if !access::sees(caller, before, id) {
            let by = "something that you may not see".to_owned();
            return Err(Refusal::InUse { by, why: "ask who administers it".to_owned() });
        }
        let (kind, name) = before.describe(id);
        let why = match plan.gone.is_empty() {
            true => wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            // What it would lack is what was to go.
            false => "end or change that first".to_owned(),
        };
        return Err(Refusal::InUse { by: format!("{kind} `{name}`"), why });
    }
    access::check_places(caller, before, &after)?;
    Ok(Judged { subject: plan.subject, edition: after })
}
