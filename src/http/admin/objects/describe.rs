//! What the routes of objects say of themselves in `/openapi.json`.

use axum::routing::MethodRouter;
use serde_json::{Map, Value, json};
use utoipa::openapi::path::{HttpMethod, Operation, PathItem, Paths};
use utoipa::openapi::{RefOr, Schema};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::config::{Kind, object_schema};
use crate::http::admin::Admin;

/// A list of objects: `GET` and `POST`.
pub(super) struct Collection {
    pub(super) kind: Kind,
    pub(super) path: String,
}

/// An object: `GET`, `DELETE`, and where it can be replaced `PUT` and `PATCH`.
pub(super) struct One {
    pub(super) kind: Kind,
    pub(super) path: String,
    pub(super) replaced: bool,
}

/// Everything else.
pub(super) enum Route {
    Grant { path: String },
    Keys { path: String },
    Sample { path: String },
    ProjectRole { path: String },
}

/// Something that can be described: its path and its operations.
pub(super) trait Describe {
    fn path(&self) -> &str;
    fn operations(&self) -> Vec<(HttpMethod, Value)>;
}

/// The handlers with their description.
pub(super) fn described(what: &impl Describe, handlers: MethodRouter<Admin>) -> UtoipaMethodRouter<Admin> {
    let mut paths = Paths::new();
    for (method, mut operation) in what.operations() {
        let parameters: Vec<Value> = what
            .path()
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        if let Some(all) = operation["parameters"].as_array_mut() {
            all.extend(parameters);
        }
        // Ours, and read by what wrote it: a test walks all of them.
        let operation: Operation = serde_json::from_value(operation).unwrap_or_default();
        let item = PathItem::new(method, operation);
        match paths.paths.get_mut(what.path()) {
            Some(known) => known.merge_operations(item),
            None => _ = paths.paths.insert(what.path().to_owned(), item),
        }
    }
    (Vec::new(), paths, handlers)
}

impl Describe for Collection {
    fn path(&self) -> &str {
        &self.path
    }

    fn operations(&self) -> Vec<(HttpMethod, Value)> {
        let kind = self.kind.name();
        let mut list = operation(self.kind, "list", &format!("{kind}s, page by page"), &[(200, page())]);
        list["parameters"] = json!([
            { "name": "size", "in": "query", "required": false, "schema": { "type": "integer", "minimum": 1, "maximum": 1000 } },
            { "name": "offset", "in": "query", "required": false, "schema": { "type": "string", "format": "uuid" } },
            { "name": "tags", "in": "query", "required": false, "schema": { "type": "string" } },
        ]);
        let mut make = operation(self.kind, "create", &format!("Makes a {kind}."), &[(201, any_object())]);
        make["requestBody"] = body(written(self.kind, true));
        vec![(HttpMethod::Get, list), (HttpMethod::Post, make)]
    }
}

impl Describe for One {
    fn path(&self) -> &str {
        &self.path
    }

    fn operations(&self) -> Vec<(HttpMethod, Value)> {
        let name = self.kind.name();
        let show =
            operation(self.kind, "show", &format!("One {name}, by id or name."), &[(200, any_object())]);
        let end = operation(
            self.kind,
            "delete",
            &format!("Ends a {name} that nothing needs."),
            &[(204, Value::Null)],
        );
        let mut all = vec![(HttpMethod::Get, show), (HttpMethod::Delete, end)];
        if self.replaced {
            let said = format!("Replaces a {name}, or makes it.");
            let mut replace = operation(self.kind, "replace", &said, &[(200, any_object())]);
            replace["requestBody"] = body(written(self.kind, false));
            let said = format!("Changes settings of a {name}; null takes one away.");
            let mut change = operation(self.kind, "change", &said, &[(200, any_object())]);
            change["requestBody"] = body(any_object());
            all.extend([(HttpMethod::Put, replace), (HttpMethod::Patch, change)]);
        }
        all
    }
}

impl Describe for Route {
    fn path(&self) -> &str {
        match self {
            Self::Grant { path }
            | Self::Keys { path }
            | Self::Sample { path }
            | Self::ProjectRole { path } => path,
        }
    }

    fn operations(&self) -> Vec<(HttpMethod, Value)> {
        let words: Vec<&str> = self.path().split('/').filter(|word| !word.starts_with('{')).collect();
        let about = words.join("_").trim_matches('_').to_owned();
        let of = |verb: &str, said: &str, answer: (u16, Value)| {
            let mut operation = plain(said, &[answer]);
            operation["operationId"] = json!(format!("{verb}_{about}"));
            operation["tags"] = json!([words.get(1).copied().unwrap_or_default()]);
            operation
        };
        match self {
            Self::Grant { .. } => {
                let privileges = json!({
                    "type": "object",
                    "properties": { "privileges": { "type": "array", "items": { "type": "string" } } },
                    "required": ["privileges"],
                    "additionalProperties": false,
                });
                let mut put =
                    of("grant", "Grants a group these privileges, and no others.", (200, privileges.clone()));
                put["requestBody"] = body(privileges.clone());
                vec![
                    (HttpMethod::Get, of("show", "What a group was granted.", (200, privileges))),
                    (HttpMethod::Put, put),
                    (
                        HttpMethod::Delete,
                        of("revoke", "Takes back what a group was granted.", (204, Value::Null)),
                    ),
                ]
            }
            Self::Keys { .. } => {
                let mut list = of("list", "The keys that name it, without their texts.", (200, page()));
                list["parameters"] = json!([
                    { "name": "size", "in": "query", "required": false, "schema": { "type": "integer", "minimum": 1, "maximum": 1000 } },
                    { "name": "offset", "in": "query", "required": false, "schema": { "type": "string", "format": "uuid" } },
                ]);
                vec![(HttpMethod::Get, list)]
            }
            Self::Sample { .. } => {
                vec![(HttpMethod::Get, of("show", "A line for curl that calls it.", (200, any_object())))]
            }
            Self::ProjectRole { .. } => vec![
                (HttpMethod::Put, of("give", "Gives a consumer a role in a project.", (204, Value::Null))),
                (
                    HttpMethod::Delete,
                    of("take", "Takes a role in a project from a consumer.", (204, Value::Null)),
                ),
            ],
        }
    }
}

fn operation(kind: Kind, verb: &str, said: &str, answers: &[(u16, Value)]) -> Value {
    let mut operation = plain(said, answers);
    operation["operationId"] = json!(format!("{verb}_{}", kind.name()));
    operation["tags"] = json!([format!("{}s", kind.name())]);
    operation
}

fn plain(said: &str, answers: &[(u16, Value)]) -> Value {
    let answer = |(status, schema): &(u16, Value)| {
        let mut answer = json!({ "description": "" });
        if !schema.is_null() {
            answer["content"] = json!({ "application/json": { "schema": schema } });
        }
        (status.to_string(), answer)
    };
    let responses: Map<String, Value> = answers.iter().map(answer).collect();
    json!({ "summary": said, "parameters": [], "responses": responses })
}

/// A schema that utoipa's types have no room for is given as any object, rather than nothing of the
/// operation at all.
fn body(schema: Value) -> Value {
    let known = serde_json::from_value::<RefOr<Schema>>(schema.clone()).is_ok();
    let schema = if known { schema } else { any_object() };
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

fn page() -> Value {
    json!({
        "type": "object",
        "properties": {
            "data": { "type": "array", "items": { "type": "object" } },
            "next": { "type": ["string", "null"] },
            "offset": { "type": "string" },
        },
        "required": ["data", "next"],
    })
}

fn any_object() -> Value {
    json!({ "type": "object" })
}

/// What is written of an object, as far as a schema without references can say it.
fn written(kind: Kind, with_id: bool) -> Value {
    let mut schema = object_schema(kind);
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.insert("tags".to_owned(), json!({ "type": "array", "items": { "type": "string" } }));
        if with_id {
            properties.insert("id".to_owned(), json!({ "type": "string", "format": "uuid" }));
        }
    }
    schema
}
