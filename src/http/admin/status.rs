//! `/status`: where this instance stands, and all others.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Admin;
use crate::compile::Edition;
use crate::http::problem::Problem;
use crate::store::{Epoch, Instance};

#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// `<term>-<number>` of the last change that is applied here; null before the first snapshot.
    epoch: Option<String>,
    /// Changes that were still to be applied at the last heartbeat.
    lag: u64,
    /// Whether what is known here may be believed: a lease is in force.
    lease: bool,
    /// What was found when the store was seen to have gone back in time; null where that never was.
    alarm: Option<String>,
    /// Whether all instances that live decide with the same catalog.
    catalogs_agree: bool,
    instances: Vec<InstanceRow>,
    /// Objects of policy that the store holds.
    objects: ObjectsRow,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ObjectsRow {
    stored: usize,
    /// How many of them are left out, so that whatever they would allow is denied.
    refused: usize,
    /// What is wrong with the first hundred of those.
    why: Vec<RefusedRow>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RefusedRow {
    id: Uuid,
    /// `service` and so on.
    kind: String,
    name: String,
    wrong: Vec<WrongRow>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct WrongRow {
    /// Which of its settings: `rules[0].paths`; empty for the whole.
    path: String,
    why: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct InstanceRow {
    id: Uuid,
    /// `<term>-<number>` of the last change that it has applied.
    epoch: Option<String>,
    /// A digest of the catalog that it decides with.
    catalog: String,
    /// Milliseconds since its last heartbeat.
    silent: u64,
    /// Whether it was heard of within `revocation.bound`.
    live: bool,
}

/// Where this instance stands, and all others.
#[utoipa::path(get, path = "/status", tag = "status", responses((status = 200, body = Status)))]
pub(super) async fn status(State(admin): State<Admin>) -> Result<axum::Json<Status>, Problem> {
    let standing = admin.registrar.standing().await?;
    let mut live = standing.instances.iter().filter(|(_, live)| *live).map(|(it, _)| it.beat.catalog);
    let first = live.next();
    let objects = objects(&*admin.registrar.edition().await?);
    let catalogs_agree = live.all(|catalog| Some(catalog) == first);
    Ok(axum::Json(Status {
        epoch: standing.epoch.map(told),
        lag: standing.lag,
        lease: standing.trusted,
        alarm: standing.alarm,
        catalogs_agree,
        instances: standing.instances.into_iter().map(row).collect(),
        objects,
    }))
}

/// Told at once: nobody reads more.
const MOST_TOLD: usize = 100;

fn objects(edition: &Edition) -> ObjectsRow {
    let refused = edition.refused();
    let mut ids: Vec<&Uuid> = refused.keys().collect();
    ids.sort_unstable();
    let told = |id: &Uuid| {
        let (kind, name) = edition.describe(id);
        let wrong = refused[id].iter().map(|it| WrongRow { path: it.path.clone(), why: it.why.clone() });
        RefusedRow { id: *id, kind: kind.to_owned(), name, wrong: wrong.collect() }
    };
    ObjectsRow {
        stored: edition.objects().len(),
        refused: refused.len(),
        why: ids.into_iter().take(MOST_TOLD).map(told).collect(),
    }
}

fn row((Instance { beat, silent }, live): (Instance, bool)) -> InstanceRow {
    InstanceRow {
        id: beat.instance,
        epoch: beat.applied.map(told),
        catalog: format!("{:016x}", beat.catalog),
        silent: u64::try_from(silent.as_millis()).unwrap_or(u64::MAX),
        live,
    }
}

fn told(epoch: Epoch) -> String {
    format!("{}-{}", epoch.term, epoch.number)
}
