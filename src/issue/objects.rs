//! Objects of policy: made, changed and ended. Each write is judged together with all that there is, so
//! that no two that contradict each other are ever both written.

mod access;
mod grants;
mod keys;
mod project_roles;
mod write;

use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

pub use self::access::{Need, access, access_to_make};
pub use self::grants::Sides;
use self::grants::creators;
pub use self::keys::Naming;
pub use self::project_roles::InProject;
use self::write::{Judged, Plan, Planner, Use};
use super::{By, Done, Refusal, Registrar, check_tags};
use crate::compile::{Edition, Shown};
use crate::config::{Kind, Object, Wrong};
use crate::domain::rights::Caller;
use crate::domain::time::Timestamp;
use crate::store::record::ObjectRecord;
use crate::store::{Name, Table};

/// How many objects there may be, and how large.
#[derive(Clone, Copy, Debug)]
pub struct ObjectLimits {
    pub count: usize,
    /// Bytes of the settings as JSON.
    pub bytes: usize,
}

/// Where an object is, or is to be.
#[derive(Clone, Debug)]
pub struct Named {
    pub kind: Kind,
    /// Whose version it is.
    pub service: Option<Uuid>,
    /// By id or name.
    pub name: String,
}

/// What somebody wrote of an object.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// `None`: a random one.
    pub id: Option<Uuid>,
    /// As in the file.
    pub settings: Map<String, Value>,
    pub tags: Vec<String>,
}

impl Default for ObjectLimits {
    fn default() -> Self {
        Self { count: 20_000, bytes: 64 << 10 }
    }
}

impl Registrar {
    /// All of policy as this instance decides by it.
    ///
    /// # Errors
    ///
    /// Whoever has a store to itself reads it for this.
    pub async fn edition(&self) -> Result<Arc<Edition>, Refusal> {
        if self.replica.is_none() {
            self.read_objects().await?;
        }
        Ok(self.compiler.edition())
    }

    /// The number of the change that wrote an object as it is shown here; `None` where the file declares
    /// it, and where it is another one by now or the store does not say.
    pub async fn revision_of(&self, shown: &Shown) -> Option<u64> {
        let record = shown.record.as_ref()?;
        let stored = self.store.read(Table::Object, &Name::of(&shown.id)).await.ok()??;
        let same = ObjectRecord::decode(&stored.payload).is_ok_and(|read| read == **record);
        same.then_some(stored.revision)
    }

    /// Makes an object. `owner` is the consumer who does, where one does.
    ///
    /// # Errors
    ///
    /// [`Refusal::Faulty`] where it is not as it would have to be in the file, or not beside what there is.
    pub async fn create_object(
        &self,
        by: &By,
        kind: Kind,
        service: Option<Uuid>,
        mut written: Written,
    ) -> Result<Done<Shown>, Refusal> {
        self.settle_anonymous(&mut written.settings).await?;
        let new = New { kind, service, id: new_id(written.id)?, owner: owner(by), now: self.clock.now() };
        let plan = move |edition: &Edition| {
            let record = new.record(edition, &written)?;
            Ok(Plan { subject: new.id, put: vec![record], ..Plan::default() })
        };
        let done = self.write_policy(by, action(kind, Verb::Create), Arc::new(plan)).await?;
        show(kind, done)
    }

    /// Replaces an object, or makes it where there is none.
    ///
    /// # Errors
    ///
    /// As [`create_object`](Self::create_object).
    pub async fn replace_object(
        &self,
        by: &By,
        named: Named,
        mut written: Written,
    ) -> Result<Done<Shown>, Refusal> {
        self.settle_anonymous(&mut written.settings).await?;
        let Named { kind, service, name } = named;
        let by_id = Uuid::try_parse(&name).ok();
        if written.id.is_some_and(|id| by_id.is_some_and(|other| other != id)) {
            return Err(Refusal::Invalid { field: "id", why: "is not the one in the path".into() });
        }
        let random = new_id(by_id.or(written.id))?;
        if by_id.is_none() && kind != Kind::Deployment {
            written.settings.entry("name").or_insert_with(|| Value::String(name.clone()));
        }
        let new = New { kind, service, id: random, owner: owner(by), now: self.clock.now() };
        let plan = move |edition: &Edition| {
            let record = match edition.find(kind, service.as_ref(), &name) {
                None => {
                    let record = new.record(edition, &written)?;
                    called_by_path(edition, &record, &name)?;
                    record
                }
                Some(found) => {
                    let before = stored(&found)?;
                    let tags = check_tags(&written.tags)?;
                    let next = changed(edition, &before, written.settings.clone())?;
                    ObjectRecord { tags, updated_at: new.now, ..next }
                }
            };
            let unless_used = renamed_role(edition, &record);
            Ok(Plan { subject: record.id, put: vec![record], unless_used, ..Plan::default() })
        };
        let done = self.write_policy(by, action(kind, Verb::Change), Arc::new(plan)).await?;
        show(kind, done)
    }

    /// Changes top-level settings of an object: those in `patch`; null takes one away.
    ///
    /// # Errors
    ///
    /// As [`create_object`](Self::create_object); [`Refusal::NotFound`].
    pub async fn patch_object(
        &self,
        by: &By,
        named: Named,
        mut patch: Map<String, Value>,
        tags: Option<Vec<String>>,
    ) -> Result<Done<Shown>, Refusal> {
        self.settle_anonymous(&mut patch).await?;
        self.change_object(by, named, move |settings, own_tags| {
            for (key, value) in patch.clone() {
                if value.is_null() {
                    settings.remove(&key);
                } else {
                    settings.insert(key, value);
                }
            }
            if let Some(tags) = &tags {
                own_tags.clone_from(tags);
            }
            Ok(())
        })
        .await
    }

    /// Changes an object that is stored, as `change` has it, which may be asked more than once.
    ///
    /// # Errors
    ///
    /// What `change` says; else as [`create_object`](Self::create_object).
    pub async fn change_object(
        &self,
        by: &By,
        named: Named,
        change: impl Change,
    ) -> Result<Done<Shown>, Refusal> {
        let kind = named.kind;
        let plan = changing(named, change, self.clock.now());
        let done = self.write_policy(by, action(kind, Verb::Change), plan).await?;
        show(kind, done)
    }

    /// What [`change_object`](Self::change_object) would say; nothing is written.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn try_object(&self, by: &By, named: Named, change: impl Change) -> Result<(), Refusal> {
        let plan = changing(named, change, self.clock.now());
        self.judge_policy(by, &plan).await.map(drop).map_err(|refusal| refusal.told_to(&by.caller))
    }

    /// Ends an object; a service with its versions. Whatever else is referred to stays.
    ///
    /// # Errors
    ///
    /// [`Refusal::InUse`] says by what it is needed.
    pub async fn delete_object(&self, by: &By, named: Named) -> Result<Done<Uuid>, Refusal> {
        let kind = named.kind;
        let plan = move |edition: &Edition| {
            let found = find(edition, &named)?;
            stored(&found)?;
            grants::check_ungranted(edition, &found)?;
            grants::check_unnamed(edition, &found)?;
            let mut gone = vec![found.id];
            gone.extend(
                edition.objects().filter(|it| it.record.service == Some(found.id)).map(|it| it.record.id),
            );
            let unless_used = match kind {
                Kind::Permission => vec![Use::Permission(found.id)],
                Kind::Project => vec![Use::Project(found.id)],
                Kind::Role => vec![Use::Role(found.name.clone())],
                Kind::Group | Kind::Infrastructure | Kind::Service | Kind::Version | Kind::Deployment => {
                    Vec::new()
                }
            };
            Ok(Plan { subject: found.id, gone, unless_used, ..Plan::default() })
        };
        let done = self.write_policy(by, action(kind, Verb::Delete), Arc::new(plan)).await?;
        Ok(done.map(|judged| judged.subject))
    }

    /// Names the anonymous consumer by id: the store knows it by that alone.
    async fn settle_anonymous(&self, settings: &mut Map<String, Value>) -> Result<(), Refusal> {
        for part in [&[][..], &["override"], &["policy"]] {
            let mut map = Some(&mut *settings);
            for key in part.iter().chain(&["authentication"]) {
                map = map.and_then(|map| map.get_mut(*key)?.as_object_mut());
            }
            let Some(Value::String(name)) = map.and_then(|map| map.get_mut("anonymous")) else { continue };
            if self.compiler.edition().compiled().declared_consumer(name).is_some() {
                continue;
            }
            let path = [part, &["authentication", "anonymous"]].concat().join(".");
            *name = match self.consumer(name).await {
                Ok(record) => record.id.to_string(),
                Err(Refusal::NotFound { .. }) => {
                    let why = "there is no consumer of this name or id";
                    return Err(Refusal::Faulty(vec![Wrong::at(path, why)]));
                }
                Err(refusal) => return Err(refusal),
            };
        }
        Ok(())
    }
}

/// What becomes of an object's settings and tags.
pub trait Change:
    Fn(&mut Map<String, Value>, &mut Vec<String>) -> Result<(), Refusal> + Send + Sync + 'static
{
}

impl<F> Change for F where
    F: Fn(&mut Map<String, Value>, &mut Vec<String>) -> Result<(), Refusal> + Send + Sync + 'static
{
}

fn changing(named: Named, change: impl Change, now: Timestamp) -> Planner {
    Arc::new(move |edition: &Edition| {
        let found = find(edition, &named)?;
        let before = stored(&found)?;
        let (mut settings, mut tags) = (found.settings.clone(), before.tags.clone());
        change(&mut settings, &mut tags)?;
        let tags = check_tags(&tags)?;
        let record = ObjectRecord { tags, updated_at: now, ..changed(edition, &before, settings)? };
        let unless_used = renamed_role(edition, &record);
        Ok(Plan { subject: record.id, put: vec![record], unless_used, ..Plan::default() })
    })
}

/// What an object that is made has besides its settings.
#[derive(Clone, Copy)]
struct New {
    kind: Kind,
    service: Option<Uuid>,
    id: Uuid,
    owner: Option<Uuid>,
    now: Timestamp,
}

impl New {
    fn record(&self, edition: &Edition, written: &Written) -> Result<ObjectRecord, Refusal> {
        let tags = check_tags(&written.tags)?;
        let Self { kind, service, id, owner, now } = *self;
        if let Some(service) = &service {
            let found = edition.show(Kind::Service, service);
            stored(&found.ok_or_else(|| absent(Kind::Service, &service.to_string()))?)?;
        }
        let taken = |id: &Uuid| {
            edition.stored(id).is_some() || Kind::ALL.iter().any(|kind| edition.show(*kind, id).is_some())
        };
        if taken(&id) {
            return Err(Refusal::Taken { what: "id", name: id.to_string() });
        }
        let settings = understood(edition, kind, id, written.settings.clone())?;
        Ok(ObjectRecord {
            id,
            kind: kind.name().to_owned(),
            settings: settings.to_string(),
            service,
            owner,
            tags,
            created_at: now,
            updated_at: now,
            sequence: edition.guard().map_or(1, |guard| guard.writes + 1),
        })
    }
}

/// A deployment is called by what it is made of: the path names it, or its id.
fn called_by_path(edition: &Edition, record: &ObjectRecord, path: &str) -> Result<(), Refusal> {
    let name = edition.name_of(record);
    if record.kind == Kind::Deployment.name() && Uuid::try_parse(path).is_err() && name != path {
        let why = format!("the path calls it `{path}`, its service and infrastructure make it `{name}`");
        return Err(Refusal::Faulty(vec![Wrong::of_whole(why)]));
    }
    Ok(())
}

/// The same record with other settings.
fn changed(
    edition: &Edition,
    before: &ObjectRecord,
    settings: Map<String, Value>,
) -> Result<ObjectRecord, Refusal> {
    let kind = Kind::of(&before.kind).ok_or_else(|| absent(Kind::Service, &before.id.to_string()))?;
    let settings = understood(edition, kind, before.id, settings)?.to_string();
    let after = ObjectRecord { settings, ..before.clone() };
    if let Some(shown) = edition.show(Kind::Group, &before.id)
        && shown.name != edition.name_of(&after)
    {
        grants::check_unnamed(edition, &shown)?;
    }
    Ok(after)
}

/// What was written, understood, with ids for all that it refers to.
fn understood(
    edition: &Edition,
    kind: Kind,
    id: Uuid,
    mut settings: Map<String, Value>,
) -> Result<Value, Refusal> {
    let faulty = |path: &str, why: &str| Refusal::Faulty(vec![Wrong::at(path, why)]);
    // What the whole object is called by is not written in it.
    if settings.contains_key("id") {
        return Err(faulty("id", "cannot be changed"));
    }
    if settings.contains_key("versions") {
        return Err(faulty(
            "versions",
            "versions are uploaded one by one, at `/services/{service}/versions`",
        ));
    }
    // Unset, as Kong has it; inside of an override the word removes.
    settings.retain(|_, value| !value.is_null());
    let mut object =
        Object::read(kind, id, Value::Object(settings)).map_err(|wrong| Refusal::Faulty(vec![wrong]))?;
    edition.compiled().refer_by_id(&mut object);
    let settings = object.settings();
    grants::check_known(edition, &settings)?;
    Ok(settings)
}

/// Refuses a name that another object has.
fn check_free(edition: &Edition, record: &ObjectRecord) -> Result<(), Refusal> {
    let kind = Kind::of(&record.kind).unwrap_or(Kind::Service);
    let name = edition.name_of(record);
    match edition.find(kind, record.service.as_ref(), &name).filter(|found| found.id != record.id) {
        None => Ok(()),
        Some(Shown { record: None, .. }) => Err(Refusal::OwnedByFile { what: kind.name(), name }),
        Some(_) => Err(Refusal::Taken { what: kind.name(), name }),
    }
}

/// Consumers have roles by name: one that somebody has keeps its name.
fn renamed_role(edition: &Edition, record: &ObjectRecord) -> Vec<Use> {
    let before = edition.show(Kind::Role, &record.id).map(|shown| shown.name);
    before.filter(|before| *before != edition.name_of(record)).map(Use::Role).into_iter().collect()
}

/// What the store holds; what the file declares is changed there.
fn stored(found: &Shown) -> Result<Arc<ObjectRecord>, Refusal> {
    let owned = || Refusal::OwnedByFile { what: found.kind.name(), name: found.name.clone() };
    found.record.clone().ok_or_else(owned)
}

fn find(edition: &Edition, Named { kind, service, name }: &Named) -> Result<Shown, Refusal> {
    edition.find(*kind, service.as_ref(), name).ok_or_else(|| absent(*kind, name))
}

fn absent(kind: Kind, name: &str) -> Refusal {
    Refusal::NotFound { what: kind.name(), name: name.to_owned() }
}

fn show(kind: Kind, done: Done<Judged>) -> Result<Done<Shown>, Refusal> {
    let Judged { subject, edition } = &done.value;
    let shown = edition.show(kind, subject).ok_or_else(|| absent(kind, &subject.to_string()))?;
    Ok(done.map(|_| shown))
}

/// Ids that derive from names are the file's: nobody makes an object that a later file would take for
/// one of its own.
fn new_id(chosen: Option<Uuid>) -> Result<Uuid, Refusal> {
    match chosen {
        Some(id) if id.get_version_num() == 5 || id.is_nil() => {
            let why = "must not be nil, nor a UUID of version 5, which stand for what the file declares";
            Err(Refusal::Invalid { field: "id", why: why.into() })
        }
        Some(id) => Ok(id),
        None => Ok(Uuid::new_v4()),
    }
}

fn owner(by: &By) -> Option<Uuid> {
    match &by.caller {
        Caller::Consumer { id, .. } => Some(*id),
        Caller::Socket | Caller::AdminKey(_) | Caller::Doorward => None,
    }
}

enum Verb {
    Create,
    Change,
    Delete,
}

/// As the audit log has it.
fn action(kind: Kind, verb: Verb) -> &'static str {
    let [create, change, delete] = match kind {
        Kind::Permission => ["permission.create", "permission.change", "permission.delete"],
        Kind::Role => ["role.create", "role.change", "role.delete"],
        Kind::Project => ["project.create", "project.change", "project.delete"],
        Kind::Group => ["group.create", "group.change", "group.delete"],
        Kind::Infrastructure => ["infrastructure.create", "infrastructure.change", "infrastructure.delete"],
        Kind::Service => ["service.create", "service.change", "service.delete"],
        Kind::Version => ["version.create", "version.change", "version.delete"],
        Kind::Deployment => ["deployment.create", "deployment.change", "deployment.delete"],
    };
    match verb {
        Verb::Create => create,
        Verb::Change => change,
        Verb::Delete => delete,
    }
}
