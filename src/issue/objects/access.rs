//! Which right it takes to do something with an object: the one place that says so. Handlers ask it before
//! they tell anything, and every write asks it again of the state that it is written upon.

use std::collections::HashMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::write::Plan;
use super::{Sides, creators};
use crate::compile::{Edition, Shown};
use crate::config::Kind;
use crate::domain::deployment::{Deployment, longest_cover, meet, names_beside, takes};
use crate::domain::rights::{Access, Asked, Caller, InfrastructurePrivilege, ServicePrivilege, decide};
use crate::issue::Refusal;
use crate::store::record::ObjectRecord;

/// What somebody wants with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    See,
    Change,
    End,
}

/// Whether a caller may do that with an object that is there.
pub fn access(caller: &Caller, edition: &Edition, shown: &Shown, need: Need) -> Access {
    match shown.kind {
        Kind::Permission | Kind::Role | Kind::Project | Kind::Group => decide(caller, Asked::Everything),
        Kind::Service | Kind::Version => {
            let privilege = match (shown.kind, need) {
                (_, Need::See) => ServicePrivilege::Read,
                (Kind::Version, Need::Change | Need::End) => ServicePrivilege::Write,
                (_, Need::Change | Need::End) => ServicePrivilege::Admin,
            };
            on_service(caller, edition, &shown.service.unwrap_or(shown.id), privilege)
        }
        Kind::Infrastructure => {
            let sides = Sides::of(edition, None, Some(&shown.id));
            let privilege = match need {
                Need::See => InfrastructurePrivilege::View,
                Need::Change | Need::End => InfrastructurePrivilege::Admin,
            };
            let asked = decide(caller, Asked::Infrastructure(privilege, sides.on_infrastructure()));
            match (need, asked) {
                // They are made by admin keys alone, and so they are ended.
                (Need::End, Access::Allowed) => decide(caller, Asked::Everything),
                (_, asked) => asked,
            }
        }
        Kind::Deployment => {
            let (service, infrastructure) = edition.sides(shown);
            let sides = Sides::of(edition, service.as_ref(), infrastructure.as_ref());
            let (service, infrastructure) = (sides.on_service(), sides.on_infrastructure());
            decide(
                caller,
                match need {
                    Need::See => Asked::ReadDeployment(service, infrastructure),
                    Need::Change | Need::End => Asked::Deploy(service, infrastructure),
                },
            )
        }
    }
}

/// Whether a caller may make an object of this kind with these settings; `service` is whose version it is.
pub fn access_to_make(
    caller: &Caller,
    edition: &Edition,
    (kind, service): (Kind, Option<&Uuid>),
    settings: &Map<String, Value>,
) -> Access {
    match kind {
        Kind::Permission | Kind::Role | Kind::Project | Kind::Group | Kind::Infrastructure => {
            decide(caller, Asked::Everything)
        }
        Kind::Version => {
            on_service(caller, edition, service.unwrap_or(&Uuid::nil()), ServicePrivilege::Write)
        }
        Kind::Service => decide(caller, Asked::CreateService { groups: &creators(edition) }),
        Kind::Deployment => on_sides(caller, edition, settings),
    }
}

fn on_service(caller: &Caller, edition: &Edition, id: &Uuid, privilege: ServicePrivilege) -> Access {
    let sides = Sides::of(edition, Some(id), None);
    decide(caller, Asked::Service(privilege, sides.on_service()))
}

/// Whether a caller may deploy the service that these settings name on the infrastructure that they name.
/// What they name and is not there may be used by nobody.
fn on_sides(caller: &Caller, edition: &Edition, settings: &Map<String, Value>) -> Access {
    let side =
        |key: &str, kind: Kind| edition.compiled().find(kind, settings.get(key).and_then(Value::as_str)?);
    let (service, infrastructure) =
        (side("service", Kind::Service), side("infrastructure", Kind::Infrastructure));
    let sides = Sides::of(edition, service.as_ref(), infrastructure.as_ref());
    decide(caller, Asked::Deploy(sides.on_service(), sides.on_infrastructure()))
}

/// Whether a caller may do all that a plan does, as everything is when it is done.
///
/// # Errors
///
/// [`Refusal::Hidden`], [`Refusal::Forbidden`].
pub(super) fn check(caller: &Caller, before: &Edition, plan: &Plan) -> Result<(), Refusal> {
    plan.put.iter().try_for_each(|record| check_put(caller, before, record))?;
    // A service takes its versions along: what the write is about is what has to be allowed.
    let ended = plan.gone.first().and_then(|id| shown(before, id));
    ended.map_or(Ok(()), |ended| allowed(access(caller, before, &ended, Need::End)))
}

fn check_put(caller: &Caller, before: &Edition, record: &ObjectRecord) -> Result<(), Refusal> {
    let Some(kind) = Kind::of(&record.kind) else { return allowed(decide(caller, Asked::Everything)) };
    let settings: Value = serde_json::from_str(&record.settings).unwrap_or_default();
    let none = Map::new();
    let settings = settings.as_object().unwrap_or(&none);
    match before.show(kind, &record.id) {
        None => allowed(access_to_make(caller, before, (kind, record.service.as_ref()), settings)),
        Some(shown) => {
            allowed(access(caller, before, &shown, Need::Change))?;
            match kind {
                // It may go elsewhere by the change, which takes the right to deploy there.
                Kind::Deployment => allowed(on_sides(caller, before, settings)),
                Kind::Service => check_inherited(caller, before, &shown, settings),
                Kind::Permission
                | Kind::Role
                | Kind::Project
                | Kind::Group
                | Kind::Infrastructure
                | Kind::Version => Ok(()),
            }
        }
    }
}

/// What a service says is inherited wherever it is deployed: to change it takes the right to deploy there.
fn check_inherited(
    caller: &Caller,
    before: &Edition,
    service: &Shown,
    settings: &Map<String, Value>,
) -> Result<(), Refusal> {
    let inherited = |settings: &Map<String, Value>| {
        let mut settings = settings.clone();
        settings.remove("grants");
        settings
    };
    if inherited(&service.settings) == inherited(settings) {
        return Ok(());
    }
    let deployments = before.list(Kind::Deployment).into_iter();
    let mut here = deployments.filter(|deployment| before.sides(deployment).0 == Some(service.id));
    let kept = here.find(|it| access(caller, before, it, Need::Change) != Access::Allowed);
    kept.map_or(Ok(()), |it| {
        let name = match access(caller, before, &it, Need::See) {
            Access::Allowed => format!("`{}`", it.name),
            Access::Hidden | Access::Forbidden => "a deployment that you may not see".to_owned(),
        };
        let why = format!(
            "{name} inherits from it, and you may not deploy there; only `grants` and `tags` can be changed \
             without `deploy` on every infrastructure where it is deployed"
        );
        Err(Refusal::Exceeds { field: "deployments", why })
    })
}

/// Whether a caller may have deployments be where a change puts them, and ask for what it has them ask for,
/// be it a change of theirs, of their service or of one of its versions.
///
/// Within a place of another service, or around it, they take requests from that one. Of deployments of one
/// service, who may deploy it has the word, but for what another one of them names or is asked for now: a host
/// may be named where that one takes any, and be asked for the same there.
///
/// # Errors
///
/// [`Refusal::Exceeds`].
pub(super) fn check_places(caller: &Caller, before: &Edition, after: &Edition) -> Result<(), Refusal> {
    if decide(caller, Asked::Everything) == Access::Allowed {
        return Ok(());
    }
    let (was, is) = (before.catalog(), after.catalog());
    let stood: HashMap<Uuid, &Deployment> = was.deployments().iter().map(|it| (it.id, it)).collect();
    for changed in is.deployments() {
        let earlier = stood.get(&changed.id);
        let stays = earlier.is_some_and(|it| {
            (it.service, &it.hosts, &it.paths) == (changed.service, &changed.hosts, &changed.paths)
        });
        if stays && earlier.is_some_and(|it| asks_the_same(it, changed)) {
            continue;
        }
        let here = (&changed.hosts[..], &changed.paths[..]);
        let meets =
            |hosts: &[String], paths: &[String]| meet(here, (hosts, paths)) || takes(here, (hosts, paths));
        let beside = |other: &Deployment| {
            other.service == changed.service && names_beside(&changed.hosts, &other.hosts)
        };
        let takes_from = |other: &&Deployment| match other.service == changed.service {
            _ if beside(other) => !(asks_the_same(changed, other) && (stays || answers_for(changed, other))),
            true => !stays && takes(here, (&other.hosts, &other.paths)),
            false => !stays && meets(&other.hosts, &other.paths),
        };
        let mut taken = is.deployments().iter().filter(|other| other.id != changed.id).filter(takes_from);
        let kept = taken.find(|other| of_deployment(caller, before, other, Need::Change) != Access::Allowed);
        let left_out = !stays && is.shut().iter().any(|shut| meets(&shut.hosts, &shut.paths));
        if kept.is_none() && !left_out {
            continue;
        }
        let name = changed.name();
        let whose =
            match kept.filter(|other| of_deployment(caller, before, other, Need::See) == Access::Allowed) {
                Some(other) => format!("`{}`", other.name()),
                None => "something that you may not see".to_owned(),
            };
        if kept.is_some_and(beside) {
            let why = format!(
                "`{name}` names a host where {whose} takes any, so it is enabled, has that one's paths and asks \
                 for the same; leave its policy as it is there, or have `deploy` granted on that infrastructure"
            );
            return Err(Refusal::Exceeds { field: "hosts", why });
        }
        let why = format!(
            "`{name}` would be within a place of {whose}, or around it; take other `hosts` or `paths`, or have \
             `deploy` granted on that service and its infrastructure"
        );
        return Err(Refusal::Exceeds { field: "paths", why });
    }
    Ok(())
}

/// Whether whoever may pass one of them may pass the other, but for keys that name one of them.
fn asks_the_same(one: &Deployment, other: &Deployment) -> bool {
    (&one.policy, one.reading) == (&other.policy, other.reading)
}

/// Whether one that names a host has an answer to all that the other one had there: hosts go whole.
fn answers_for(one: &Deployment, other: &Deployment) -> bool {
    let has = |path: &String| longest_cover(&one.paths, path.as_bytes()).is_some();
    let all = if other.paths.is_empty() { one.paths.is_empty() } else { other.paths.iter().all(has) };
    all && (one.enabled || !other.enabled)
}

/// What a caller may do with a deployment that is in use, be it the file's or the store's.
fn of_deployment(caller: &Caller, edition: &Edition, it: &Deployment, need: Need) -> Access {
    let infrastructure = it.infrastructure.as_ref().map(|(id, _)| id);
    let sides = Sides::of(edition, Some(&it.service), infrastructure);
    let (service, on) = (sides.on_service(), sides.on_infrastructure());
    decide(
        caller,
        match (infrastructure, need) {
            (Some(_), Need::See) => Asked::ReadDeployment(service, on),
            (Some(_), Need::Change | Need::End) => Asked::Deploy(service, on),
            // A service of the file, as it is.
            (None, Need::See) => Asked::Service(ServicePrivilege::Read, service),
            (None, Need::Change | Need::End) => Asked::Service(ServicePrivilege::Deploy, service),
        },
    )
}

fn shown(edition: &Edition, id: &Uuid) -> Option<Shown> {
    edition.show(Kind::of(&edition.stored(id)?.record.kind)?, id)
}

/// Whether a caller may know of this object.
pub(super) fn sees(caller: &Caller, edition: &Edition, id: &Uuid) -> bool {
    shown(edition, id).is_some_and(|it| access(caller, edition, &it, Need::See) == Access::Allowed)
}

fn allowed(access: Access) -> Result<(), Refusal> {
    match access {
        Access::Allowed => Ok(()),
        Access::Hidden => Err(Refusal::Hidden),
        Access::Forbidden => Err(Refusal::Forbidden),
    }
}
