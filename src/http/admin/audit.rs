//! `/audit`: who changed what.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Admin;
use super::answer::written;
use super::page::{LONGEST_PAGE, PAGE};
use crate::domain::time::Timestamp;
use crate::http::problem::Problem;
use crate::issue::{AuditFilter, By, ChainStanding, Finding, Offset};
use crate::store::record::AuditEntry;
use crate::telemetry::log::Hex;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Not before this: seconds since the Unix epoch.
    since: Option<i64>,
    /// Not after this: seconds since the Unix epoch.
    until: Option<i64>,
    /// `socket`, `admin_key`, `consumer`, `doorward`, `unknown`, or the id of a caller.
    actor: Option<String>,
    /// `consumer.create`, or `consumer` for all that was done to consumers.
    action: Option<String>,
    /// The id of what was changed.
    object: Option<Uuid>,
    /// Rows on a page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    size: Option<usize>,
    /// The `offset` of the page before.
    offset: Option<String>,
}

/// Entries, the newest first. A page may hold fewer rows than it could although there are more.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditPage {
    data: Vec<AuditRow>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    offset: Option<String>,
    /// The next page; null on the last one.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct AuditRow {
    /// Of the chain, which is an instance's.
    chain: Uuid,
    /// Its place in the chain.
    number: u64,
    /// Seconds since the Unix epoch.
    at: i64,
    actor: Actor,
    /// `<kind of object>.<verb>`.
    action: String,
    /// The id of what was changed.
    object: Option<Uuid>,
    request_id: String,
    /// How many of the same were put together.
    count: u64,
    /// Some of the addresses that failed attempts came from.
    addresses: Vec<String>,
    /// SHA-256 of the entry before it, in hexadecimal digits.
    previous: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Actor {
    kind: String,
    id: Option<Uuid>,
}

/// Who changed what, the newest first.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Asked), responses((status = 200, body = AuditPage)))]
pub(super) async fn list_audit(
    State(admin): State<Admin>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<axum::Json<AuditPage>, Problem> {
    let Query(asked) = asked?;
    let size = asked.size.unwrap_or(PAGE);
    if !(1..=LONGEST_PAGE).contains(&size) {
        return Err(Problem::InvalidSize("size must be an integer between 1 and 1000"));
    }
    let filter = AuditFilter {
        since: asked.since.map(Timestamp::from_unix),
        until: asked.until.map(Timestamp::from_unix),
        actor: asked.actor,
        action: asked.action,
        object: asked.object,
        operation: None,
    };
    let after = asked.offset.as_deref().map(offset).transpose()?;
    let page = admin.registrar.audit(&filter, after, size).await?;
    let offset = page.next.map(|next| format!("{}.{}.{}", next.at.unix(), next.chain, next.number));
    let next = offset.as_ref().map(|offset| next(&filter, offset, size));
    let data = page.entries.into_iter().map(row).collect();
    Ok(axum::Json(AuditPage { data, offset, next }))
}

/// What a verification of the audit log comes to.
#[derive(Serialize, ToSchema)]
pub(super) struct Verified {
    whole: bool,
    chains: usize,
    entries: u64,
    findings: Vec<FindingRow>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct FindingRow {
    chain: Uuid,
    /// The entry; 0 where it is the chain as a whole.
    number: u64,
    why: String,
}

/// Looks for entries that were removed, changed or moved.
#[utoipa::path(get, path = "/audit/verify", tag = "audit", responses((status = 200, body = Verified)))]
pub(super) async fn verify_audit(State(admin): State<Admin>) -> Result<axum::Json<Verified>, Problem> {
    let verdict = admin.registrar.verify_audit().await?;
    let finding = |Finding { chain, number, why }| FindingRow { chain, number, why };
    Ok(axum::Json(Verified {
        whole: verdict.findings.is_empty(),
        chains: verdict.chains,
        entries: verdict.entries,
        findings: verdict.findings.into_iter().map(finding).collect(),
    }))
}

/// A chain of entries that one instance writes.
#[derive(Serialize, ToSchema)]
pub(super) struct ChainRow {
    id: Uuid,
    /// Whether this instance writes to it.
    own: bool,
    /// The oldest entry that is kept, and the newest.
    first: u64,
    last: u64,
    /// When the newest entry was written, in seconds since the Unix epoch.
    at: i64,
}

/// Every chain of the audit log.
#[derive(Serialize, ToSchema)]
pub(super) struct ChainRows {
    data: Vec<ChainRow>,
    next: Option<String>,
}

/// The chains, one or two of each instance that ever wrote.
#[utoipa::path(get, path = "/audit/chains", tag = "audit", responses((status = 200, body = ChainRows)))]
pub(super) async fn list_chains(State(admin): State<Admin>) -> Result<axum::Json<ChainRows>, Problem> {
    let row = |ChainStanding { id, own, first, last, at }| ChainRow { id, own, first, last, at: at.unix() };
    let data = admin.registrar.chains().await?.into_iter().map(row).collect();
    Ok(axum::Json(ChainRows { data, next: None }))
}

/// Ends the chain of an instance that is gone.
#[utoipa::path(delete, path = "/audit/chains/{chain}", tag = "audit", params(("chain" = Uuid, Path)), responses((status = 204)))]
pub(super) async fn retire_chain(
    State(admin): State<Admin>,
    by: By,
    Path(chain): Path<String>,
) -> Result<Response, Problem> {
    let chain = Uuid::try_parse(&chain).map_err(|_| Problem::NotFound)?;
    let done = admin.registrar.retire_chain(&by, chain).await?;
    Ok(written(StatusCode::NO_CONTENT, &done, None))
}

fn offset(text: &str) -> Result<Offset, Problem> {
    let read = || {
        let mut parts = text.splitn(3, '.');
        Some(Offset {
            at: Timestamp::from_unix(parts.next()?.parse().ok()?),
            chain: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        })
    };
    read().ok_or_else(|| Problem::Query("`offset` is none that a page of this list had".into()))
}

fn next(filter: &AuditFilter, offset: &str, size: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    };
    put("since", filter.since.map(|since| since.unix().to_string()));
    put("until", filter.until.map(|until| until.unix().to_string()));
    put("actor", filter.actor.clone());
    put("action", filter.action.clone());
    put("object", filter.object.map(|object| object.to_string()));
    put("size", Some(size.to_string()));
    put("offset", Some(offset.to_owned()));
    format!("/audit?{}", query.finish())
}

fn row(entry: AuditEntry) -> AuditRow {
    AuditRow {
        chain: entry.chain,
        number: entry.number,
        at: entry.at.unix(),
        actor: Actor { kind: entry.caller, id: entry.caller_id },
        action: entry.action,
        object: entry.object,
        request_id: entry.request_id,
        count: entry.count,
        addresses: entry.addresses,
        previous: Hex(&entry.previous).to_string(),
    }
}
