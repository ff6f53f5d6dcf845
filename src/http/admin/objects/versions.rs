//! `/services/{service}/versions`: policies that come with a service's versions.

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde_json::{Map, Value};

use super::describe::{Collection, One, described};
use super::rows::{row, written_by};
use super::{found, granted, named, seen};
use crate::compile::{Edition, Shown};
use crate::config::Kind;
use crate::http::admin::answer::{tagged, written};
use crate::http::admin::page::{Page, Paging};
use crate::http::admin::{Admin, Desk, Right, Rights};
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::issue::{By, Named, Need, access_to_make};

pub(super) fn desk() -> Desk<Admin> {
    let kind = Kind::Version;
    let all = get(list).post(upload);
    let one = get(show).delete(delete);
    Desk::new()
        .route(
            Right::ByObject,
            described(&Collection { kind, path: "/services/{service}/versions".to_owned() }, all),
        )
        .route(
            Right::ByObject,
            described(
                &One { kind, path: "/services/{service}/versions/{version}".to_owned(), replaced: false },
                one,
            ),
        )
}

/// The service, where the caller may read it.
fn service(rights: &Rights, edition: &Edition, name: String) -> Result<Shown, Problem> {
    found(rights, edition, &named(Kind::Service, name), Need::See)
}

async fn list(
    State(admin): State<Admin>,
    rights: Rights,
    Path(name): Path<String>,
    asked: Paging,
) -> Result<Response, Problem> {
    let page = Page::of(&asked?.0)?;
    let edition = admin.registrar.edition().await?;
    let service = service(&rights, &edition, name)?;
    let mut all = edition.list(Kind::Version);
    all.retain(|version| version.service == Some(service.id));
    let path = format!("/services/{}/versions", service.id);
    let (some, last) = page.cut(&all);
    let rows = some.into_iter().map(|shown| row(&seen(&rights, &edition, shown))).collect();
    Ok(page.answer(&path, rows, last))
}

async fn upload(
    State(admin): State<Admin>,
    rights: Rights,
    by: By,
    Path(name): Path<String>,
    Body(body): Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    let service = service(&rights, &edition, name)?;
    let of_it = (Kind::Version, Some(&service.id));
    granted(access_to_make(rights.asking(), &edition, of_it, &body))?;
    let version = written_by(body)?;
    let done = admin.registrar.create_object(&by, Kind::Version, Some(service.id), version).await?;
    let row = row(&seen(&rights, &edition, &done.value));
    Ok(written(StatusCode::CREATED, &done, Some(row)))
}

async fn show(
    State(admin): State<Admin>,
    rights: Rights,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    let service = service(&rights, &edition, name)?;
    let named = Named { kind: Kind::Version, service: Some(service.id), name: version };
    let shown = found(&rights, &edition, &named, Need::See)?;
    let revision = admin.registrar.revision_of(&shown).await;
    Ok(tagged(revision, row(&seen(&rights, &edition, &shown))))
}

async fn delete(
    State(admin): State<Admin>,
    rights: Rights,
    by: By,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let edition = admin.registrar.edition().await?;
    let service = service(&rights, &edition, name)?;
    let named = Named { kind: Kind::Version, service: Some(service.id), name: version };
    found(&rights, &edition, &named, Need::End)?;
    let done = admin.registrar.delete_object(&by, named).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}
