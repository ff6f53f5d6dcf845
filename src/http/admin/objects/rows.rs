//! Objects as they are written and shown in bodies.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::compile::Shown;
use crate::config::{Kind, Wrong};
use crate::http::admin::page::Row;
use crate::http::problem::Problem;
use crate::issue::{Refusal, Written};

/// An object before a caller.
pub(super) struct Seen<'s> {
    pub(super) shown: &'s Shown,
    /// Whether it is told what groups may do with it.
    pub(super) grants: bool,
    /// Whether the caller may know what else there is.
    pub(super) all: bool,
}

/// What an answer has besides the settings; nobody writes it.
const ADDED: [&str; 5] = ["owner", "created_at", "updated_at", "declared_in_file", "refused"];

pub(super) fn row(Seen { shown, grants, all }: &Seen<'_>) -> Value {
    let mut row = shown.settings.clone();
    if !grants {
        row.remove("grants");
    }
    row.insert("id".to_owned(), json!(shown.id));
    match shown.kind {
        Kind::Deployment => {
            row.insert("name".to_owned(), json!(shown.name));
            // The file says so only of those that are not.
            row.entry("enabled").or_insert(json!(true));
        }
        Kind::Version => _ = row.insert("service".to_owned(), json!(shown.service)),
        Kind::Permission
        | Kind::Role
        | Kind::Project
        | Kind::Group
        | Kind::Infrastructure
        | Kind::Service => {}
    }
    let wrong: Vec<Value> = shown.refused.iter().map(|wrong| refused(wrong, *all)).collect();
    let record = shown.record.as_ref();
    row.insert("tags".to_owned(), json!(record.map_or(&[][..], |record| &record.tags)));
    row.insert("owner".to_owned(), json!(record.and_then(|record| record.owner)));
    row.insert("created_at".to_owned(), json!(record.map(|record| record.created_at.unix())));
    row.insert("updated_at".to_owned(), json!(record.map(|record| record.updated_at.unix())));
    row.insert("declared_in_file".to_owned(), json!(record.is_none()));
    row.insert("refused".to_owned(), if wrong.is_empty() { Value::Null } else { Value::Array(wrong) });
    Value::Object(row)
}

fn refused(wrong: &Wrong, all: bool) -> Value {
    let why = wrong.brief.as_ref().filter(|_| !all).unwrap_or(&wrong.why);
    json!({ "path": wrong.path, "why": why })
}

/// What somebody wrote of an object.
pub(super) fn written_by(mut body: Map<String, Value>) -> Result<Written, Problem> {
    let id = match body.remove("id") {
        None | Some(Value::Null) => None,
        Some(id) => Some(serde_json::from_value::<Uuid>(id).map_err(|_| invalid("id", "expected a UUID"))?),
    };
    let tags = tags(&mut body)?;
    Ok(Written { id, tags, settings: body })
}

/// Takes the tags out.
pub(super) fn tags(body: &mut Map<String, Value>) -> Result<Vec<String>, Problem> {
    match body.remove("tags") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(tags) => {
            let mut tags: Vec<String> =
                serde_json::from_value(tags).map_err(|_| invalid("tags", "expected a list of texts"))?;
            tags.sort();
            tags.dedup();
            Ok(tags)
        }
    }
}

/// So that what was read can be written back.
pub(super) fn without_what_we_add(kind: Kind, body: &mut Map<String, Value>) {
    ADDED.iter().for_each(|added| drop(body.remove(*added)));
    match kind {
        Kind::Deployment => drop(body.remove("name")),
        Kind::Version => drop(body.remove("service")),
        Kind::Permission
        | Kind::Role
        | Kind::Project
        | Kind::Group
        | Kind::Infrastructure
        | Kind::Service => {}
    }
}

fn invalid(field: &'static str, why: &str) -> Problem {
    Refusal::Invalid { field, why: why.to_owned() }.into()
}

impl Row for Shown {
    fn id(&self) -> Uuid {
        self.id
    }

    fn tags(&self) -> &[String] {
        self.record.as_ref().map_or(&[][..], |record| &record.tags)
    }
}
