//! Which right it takes to do something with an object: the one place that says so. Handlers ask it before
//! they tell anything, and every write asks it again of the state that it is written upon.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::write::Plan;
use super::{Sides, creators};
use crate::compile::{Edition, Shown};
use crate::config::Kind;
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
                Kind::Permission
                | Kind::Role
                | Kind::Project
                | Kind::Group
                | Kind::Infrastructure
                | Kind::Service
                | Kind::Version => Ok(()),
            }
        }
    }
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
