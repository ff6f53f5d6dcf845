//! Objects as they are written and shown in bodies, and lists of them.

use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::compile::Shown;
use crate::config::{Kind, Wrong};
use crate::http::admin::answer::{LONGEST_PAGE, PAGE};
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
        Kind::Deployment => _ = row.insert("name".to_owned(), json!(shown.name)),
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

/// Which part of a list is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    size: Option<usize>,
    offset: Option<Uuid>,
    tags: Option<String>,
}

pub(super) type Listing = Result<axum::extract::Query<Query>, QueryRejection>;

/// A page, of rows with these tags.
pub(super) struct Listed {
    after: Option<Uuid>,
    size: usize,
    filter: Filter,
}

impl Listed {
    pub(super) fn of(listing: Listing) -> Result<Self, Problem> {
        let axum::extract::Query(Query { size, offset, tags }) = listing?;
        let size = size.unwrap_or(PAGE);
        if !(1..=LONGEST_PAGE).contains(&size) {
            return Err(Problem::InvalidSize("size must be an integer between 1 and 1000"));
        }
        Ok(Self { after: offset, size, filter: Filter::of(tags)? })
    }

    pub(super) fn takes(&self, shown: &Shown) -> bool {
        self.filter.takes(shown)
    }

    /// The page of these, which are in order of ids.
    pub(super) fn page(&self, path: &str, all: &[Shown], row: impl Fn(&Shown) -> Value) -> Response {
        let begin = self.after.map_or(0, |after| all.partition_point(|shown| shown.id <= after));
        let page: Vec<&Shown> = all.iter().skip(begin).take(self.size).collect();
        let rows: Vec<Value> = page.iter().map(|shown| row(shown)).collect();
        let more = begin + page.len() < all.len();
        let mut body = json!({ "data": rows, "next": null });
        if let Some(last) = page.last().filter(|_| more) {
            let mut next = format!("{path}?offset={}&size={}", last.id, self.size);
            if let Some(tags) = &self.filter.text {
                next += &format!("&tags={}", utf8_percent_encode(tags, NON_ALPHANUMERIC));
            }
            body["next"] = json!(next);
            body["offset"] = json!(last.id);
        }
        axum::Json(body).into_response()
    }
}

/// `a,b`: all of them; `a/b`: any.
struct Filter {
    text: Option<String>,
    all: Vec<String>,
    any: Vec<String>,
}

/// Tags that can be asked for at once, as Kong has it.
const MOST_TAGS: usize = 5;

impl Filter {
    fn of(tags: Option<String>) -> Result<Self, Problem> {
        let Some(text) = tags else { return Ok(Self { text: None, all: Vec::new(), any: Vec::new() }) };
        let words = |by: char| text.split(by).map(str::to_owned).collect::<Vec<_>>();
        let (all, any) = match (text.contains(','), text.contains('/')) {
            (true, true) => return Err(invalid("tags", "`,` and `/` cannot be mixed")),
            (_, false) => (words(','), Vec::new()),
            (_, true) => (Vec::new(), words('/')),
        };
        if all.iter().chain(&any).any(String::is_empty) || all.len() + any.len() > MOST_TAGS {
            return Err(invalid(
                "tags",
                "expected one to five tags with `,` (all) or `/` (any) between them",
            ));
        }
        Ok(Self { text: Some(text), all, any })
    }

    fn takes(&self, shown: &Shown) -> bool {
        let tags = shown.record.as_ref().map_or(&[][..], |record| &record.tags);
        self.all.iter().all(|tag| tags.contains(tag))
            && (self.any.is_empty() || self.any.iter().any(|tag| tags.contains(tag)))
    }
}
