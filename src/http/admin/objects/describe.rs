//! What the routes of objects say of themselves in `/openapi.json`.

use axum::routing::MethodRouter;
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::path::{HttpMethod, Operation, PathItem, Paths};
use utoipa_axum::router::UtoipaMethodRouter;

use super::plugins::PluginBody;
use crate::config::{Kind, ObjectSchemas, object_schemas};
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
    Effective { path: String },
    ProjectRole { path: String },
    Plugins { path: String },
    Plugin { path: String },
}

/// Something that can be described: its path and its operations.
pub(in crate::http::admin) trait Describe {
    fn path(&self) -> &str;
    fn operations(&self) -> Vec<(HttpMethod, Value)>;
}

/// The handlers with their description.
pub(in crate::http::admin) fn described(
    what: &impl Describe,
    handlers: MethodRouter<Admin>,
) -> UtoipaMethodRouter<Admin> {
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
        let operation: Operation =
            serde_json::from_value(operation).expect("an operation as the crate writes one");
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
        let mut list = operation(
            self.kind,
            "list",
            &format!("{kind}s, page by page"),
            &[(200, page(reference(self.kind, Said::Shown)))],
        );
        list["parameters"] = paging();
        let mut make = operation(
            self.kind,
            "create",
            &format!("Makes a {kind}."),
            &[(201, reference(self.kind, Said::Shown))],
        );
        make["requestBody"] = body(reference(self.kind, Said::Written));
        vec![(HttpMethod::Get, list), (HttpMethod::Post, make)]
    }
}

impl Describe for One {
    fn path(&self) -> &str {
        &self.path
    }

    fn operations(&self) -> Vec<(HttpMethod, Value)> {
        let name = self.kind.name();
        let show = operation(
            self.kind,
            "show",
            &format!("One {name}, by id or name."),
            &[(200, reference(self.kind, Said::Shown))],
        );
        let end = operation(
            self.kind,
            "delete",
            &format!("Ends a {name} that nothing needs."),
            &[(204, Value::Null)],
        );
        let mut all = vec![(HttpMethod::Get, show), (HttpMethod::Delete, end)];
        if self.replaced {
            let said = format!("Replaces a {name}, or makes it.");
            let mut replace =
                operation(self.kind, "replace", &said, &[(200, reference(self.kind, Said::Shown))]);
            replace["requestBody"] = body(reference(self.kind, Said::Replaced));
            let said = format!("Changes settings of a {name}; null takes one away.");
            let mut change =
                operation(self.kind, "change", &said, &[(200, reference(self.kind, Said::Shown))]);
            change["requestBody"] = body(reference(self.kind, Said::Changed));
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
            | Self::Effective { path }
            | Self::ProjectRole { path }
            | Self::Plugins { path }
            | Self::Plugin { path } => path,
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
                let mut list =
                    of("list", "The keys that name it, without their texts.", (200, page(key_row())));
                list["parameters"] = paging();
                vec![(HttpMethod::Get, list)]
            }
            Self::Plugins { .. } => {
                let mut list =
                    of("list", "What of Kong's plugins its policy has.", (200, page(plugin_row())));
                list["parameters"] = paging();
                let mut make = of("create", "Makes a plugin part of the policy.", (201, plugin_row()));
                make["requestBody"] = body(schema_of::<PluginBody>());
                vec![(HttpMethod::Get, list), (HttpMethod::Post, make)]
            }
            Self::Plugin { .. } => {
                let named = |verb: &str, said: &str, answer: (u16, Value)| {
                    let mut operation = of(verb, said, answer);
                    operation["operationId"] = json!(format!("{verb}_one_of_{about}"));
                    operation
                };
                let written = |verb: &str, said: &str| {
                    let mut operation = named(verb, said, (200, plugin_row()));
                    operation["requestBody"] = body(schema_of::<PluginBody>());
                    operation
                };
                vec![
                    (HttpMethod::Get, named("show", "A plugin, by id or name.", (200, plugin_row()))),
                    (HttpMethod::Put, written("replace", "Replaces a plugin, or makes it.")),
                    (HttpMethod::Patch, written("change", "Changes what is sent of a plugin.")),
                    (
                        HttpMethod::Delete,
                        named("delete", "Takes a plugin out of the policy.", (204, Value::Null)),
                    ),
                ]
            }
            Self::Sample { .. } => {
                let sample = json!({
                    "type": "object",
                    "properties": { "curl": { "type": "string" } },
                    "required": ["curl"],
                });
                vec![(HttpMethod::Get, of("show", "A line for curl that calls it.", (200, sample)))]
            }
            Self::Effective { .. } => {
                let effective = json!({
                    "type": "object",
                    "properties": {
                        "deployment": { "type": "string" },
                        "policy": { "type": "object", "description": "What each key comes to" },
                        "origins": { "type": "object", "description": "Who says so; absent: the default" },
                    },
                    "required": ["deployment", "policy", "origins"],
                });
                vec![(HttpMethod::Get, of("show", "The policy that results there.", (200, effective)))]
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

pub(in crate::http::admin) fn plain(said: &str, answers: &[(u16, Value)]) -> Value {
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

pub(in crate::http::admin) fn body(schema: Value) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

pub(in crate::http::admin) fn paging() -> Value {
    json!([
        { "name": "size", "in": "query", "required": false, "schema": { "type": "integer", "minimum": 1, "maximum": 1000 } },
        { "name": "offset", "in": "query", "required": false, "schema": { "type": "string", "format": "uuid" } },
        { "name": "tags", "in": "query", "required": false, "schema": { "type": "string" } },
    ])
}

/// Of a type that refers to no other.
pub(in crate::http::admin) fn schema_of<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap_or_default()
}

fn plugin_row() -> Value {
    let reference = json!({ "type": ["object", "null"], "properties": { "id": { "type": "string" } } });
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "name": { "type": "string" },
            "config": { "type": "object" },
            "enabled": { "type": "boolean" },
            "protocols": { "type": "array", "items": { "type": "string" } },
            "service": reference,
            "route": reference,
            "created_at": { "type": ["integer", "null"] },
            "updated_at": { "type": ["integer", "null"] },
        },
        "required": ["id", "name", "config", "enabled", "protocols", "service", "route"],
    })
}

fn key_row() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "key": { "type": ["string", "null"], "description": "Its public name; null of a key from elsewhere" },
            "consumer": {
                "type": "object",
                "properties": { "id": { "type": "string", "format": "uuid" } },
                "required": ["id"],
            },
            "enabled": { "type": "boolean" },
        },
        "required": ["id", "key", "consumer", "enabled"],
    })
}

pub(in crate::http::admin) fn page(row: Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "data": { "type": "array", "items": row },
            "next": { "type": ["string", "null"] },
            "offset": { "type": "string", "format": "uuid" },
        },
        "required": ["data", "next"],
    })
}

/// An object in a body.
#[derive(Clone, Copy)]
enum Said {
    Shown,
    /// To make one.
    Written,
    /// By a `PUT`: what was read may be sent back.
    Replaced,
    Changed,
}

fn reference(kind: Kind, said: Said) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", schema_name(kind, said)) })
}

fn schema_name(kind: Kind, said: Said) -> String {
    let name = match kind {
        Kind::Permission => "Permission",
        Kind::Role => "Role",
        Kind::Project => "Project",
        Kind::Group => "Group",
        Kind::Infrastructure => "Infrastructure",
        Kind::Service => "Service",
        Kind::Version => "Version",
        Kind::Deployment => "Deployment",
    };
    match said {
        Said::Shown => format!("{name}Shown"),
        Said::Written => format!("{name}Written"),
        Said::Replaced => format!("{name}Replaced"),
        Said::Changed => format!("{name}Changed"),
    }
}

/// The schemas that operations refer to, from the same source as `doorward config schema`. utoipa's types
/// have no room for some of it, so they are put into the document when it is text.
pub(in crate::http::admin) fn schemas() -> Map<String, Value> {
    let ObjectSchemas { kinds, definitions } = object_schemas("/components/schemas");
    let mut all = definitions;
    for (kind, settings) in kinds {
        for said in [Said::Shown, Said::Written, Said::Replaced, Said::Changed] {
            all.insert(schema_name(kind, said), schema(kind, said, settings.clone()));
        }
    }
    all
}

/// The settings, and what stands beside them.
fn schema(kind: Kind, said: Said, mut schema: Value) -> Value {
    let mut properties = schema["properties"].as_object().cloned().unwrap_or_default();
    // Versions are objects of their own.
    properties.remove("versions");
    properties.insert("id".to_owned(), json!({ "type": "string", "format": "uuid" }));
    properties.insert("tags".to_owned(), json!({ "type": "array", "items": { "type": "string" } }));
    let mut required = schema["required"].as_array().cloned().unwrap_or_default();
    match said {
        Said::Shown => {
            let added = added(kind);
            // Where the file lists no deployments, a service is one as it is.
            required.retain(|name| name != "infrastructure");
            required.extend(["id", "tags"].map(Value::from));
            required.extend(added.keys().cloned().map(Value::from));
            properties.extend(added);
        }
        Said::Written => {}
        Said::Replaced => {
            // The path names it.
            required.retain(|name| name != "name");
            properties.extend(added(kind));
        }
        Said::Changed => {
            required.clear();
            properties.remove("id");
            for property in properties.values_mut() {
                *property = json!({ "anyOf": [property.take(), { "type": "null" }] });
            }
        }
    }
    schema["properties"] = Value::Object(properties);
    schema["required"] = Value::Array(required);
    schema
}

/// What an answer has besides the settings.
fn added(kind: Kind) -> Map<String, Value> {
    let moment = json!({ "type": ["integer", "null"], "description": "Seconds since the Unix epoch" });
    let wrong = json!({
        "type": "object",
        "properties": { "path": { "type": "string" }, "why": { "type": "string" } },
        "required": ["path", "why"],
    });
    let mut added = json!({
        "owner": { "type": ["string", "null"], "format": "uuid", "description": "The consumer who made it" },
        "created_at": moment,
        "updated_at": moment,
        "declared_in_file": { "type": "boolean", "description": "Changed in the configuration file alone" },
        "refused": {
            "type": ["array", "null"],
            "items": wrong,
            "description": "Why it is left out, so that nobody passes by it; null where it is not",
        },
    });
    match kind {
        Kind::Deployment => {
            added["name"] = json!({ "type": "string", "description": "`<service>/<infrastructure>`" });
        }
        Kind::Version => added["service"] = json!({ "type": ["string", "null"], "format": "uuid" }),
        Kind::Permission
        | Kind::Role
        | Kind::Project
        | Kind::Group
        | Kind::Infrastructure
        | Kind::Service => {}
    }
    let mut added = added.as_object().cloned().unwrap_or_default();
    added.values_mut().for_each(|property| property["readOnly"] = json!(true));
    added
}
