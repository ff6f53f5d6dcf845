//! `doorward service`, `deployment`, `infrastructure`, `group`, `project`, `role` and `permission`: objects
//! of policy, each in the words of the configuration file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::door::Door;
use super::{Common, Failure, cell, read_file, segment, table};

/// A kind of object, as the admin API and people know it.
pub struct Kind {
    name: &'static str,
    list: &'static str,
    columns: &'static [&'static str],
}

pub const SERVICE: Kind =
    Kind { name: "service", list: "services", columns: &["id", "name", "hosts", "paths", "mode", "enabled"] };
pub const DEPLOYMENT: Kind =
    Kind { name: "deployment", list: "deployments", columns: &["id", "name", "version", "hosts", "enabled"] };
pub const INFRASTRUCTURE: Kind =
    Kind { name: "infrastructure", list: "infrastructures", columns: &["id", "name"] };
pub const GROUP: Kind =
    Kind { name: "group", list: "groups", columns: &["id", "name", "privileges", "description"] };
pub const PROJECT: Kind =
    Kind { name: "project", list: "projects", columns: &["id", "name", "domain_id", "description"] };
pub const ROLE: Kind = Kind { name: "role", list: "roles", columns: &["id", "name", "implies"] };
pub const PERMISSION: Kind =
    Kind { name: "permission", list: "permissions", columns: &["id", "name", "description"] };

/// What every object may be given, beside what is its own.
#[derive(Args, Default)]
pub struct Settings {
    /// Settings as in the configuration file, in YAML or JSON; `-` reads them from standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A setting as in the configuration file, `NAME=VALUE` with a value in YAML; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// May be repeated
    #[arg(long = "tag")]
    tags: Vec<String>,
}

impl Settings {
    /// From the file, and over it one by one.
    fn body(self) -> Result<Map<String, Value>, Failure> {
        let mut body = match &self.file {
            Some(file) => read(file)?,
            None => Map::new(),
        };
        for setting in &self.set {
            let (name, value) = setting.split_once('=').ok_or_else(|| {
                Failure::Usage(format!("`--set {setting}`: expected a setting such as `mode=shadow`"))
            })?;
            body.insert(name.to_owned(), yaml(value, &format!("--set {name}"))?);
        }
        if !self.tags.is_empty() {
            body.insert("tags".to_owned(), json!(self.tags));
        }
        Ok(body)
    }
}

fn read(file: &Path) -> Result<Map<String, Value>, Failure> {
    let shown = file.display();
    let text = read_file(file).map_err(|error| Failure::Usage(format!("{shown} cannot be read: {error}")))?;
    match yaml(&text, &shown.to_string())? {
        Value::Object(settings) => Ok(settings),
        _ => Err(Failure::Usage(format!("{shown}: expected a map of settings"))),
    }
}

fn yaml(text: &str, place: &str) -> Result<Value, Failure> {
    serde_saphyr::from_str(text).map_err(|error| Failure::Usage(format!("{place}: {error}")))
}

/// Lists, shows and ends.
pub enum Verb {
    List,
    Show(String),
    Delete(String),
}

pub fn look(common: &Common, kind: &Kind, verb: Verb) -> Result<(), Failure> {
    let mut door = Door::open(common)?;
    let path = |name: &str| Ok::<_, Failure>(format!("/{}/{}", kind.list, segment(name)?));
    match verb {
        Verb::List => {
            let rows = Value::Array(door.list(&format!("/{}", kind.list))?);
            common.print(&rows, |rows| rows_of(kind, rows.as_array().map_or(&[], Vec::as_slice)))
        }
        Verb::Show(name) => {
            let found = door.get(&path(&name)?)?;
            common.print(&found, |found| format!("{found:#}\n"))
        }
        Verb::Delete(name) => {
            door.delete(&path(&name)?)?;
            common.print(&json!({ "deleted": name }), |_| format!("deleted {} {name}\n", kind.name))
        }
    }
}

/// Makes an object of these settings.
pub fn create(common: &Common, kind: &Kind, body: Map<String, Value>) -> Result<(), Failure> {
    let made = Door::open_or_make(common)?.post(&format!("/{}", kind.list), &Value::Object(body))?;
    common
        .print(&made, |made| format!("made {} {} ({})\n", kind.name, cell(&made["name"]), cell(&made["id"])))
}

/// Changes these settings of an object.
pub fn update(common: &Common, kind: &Kind, name: &str, body: Map<String, Value>) -> Result<(), Failure> {
    if body.is_empty() {
        return Err(Failure::Usage("nothing to change; name a setting".to_owned()));
    }
    let path = format!("/{}/{}", kind.list, segment(name)?);
    let (mut door, ends) = (Door::open(common)?, body.get("enabled") == Some(&Value::Bool(false)));
    let changed = door.patch(&path, &Value::Object(body))?;
    common.print(&changed, |changed| format!("changed {} {}\n", kind.name, cell(&changed["name"])))?;
    if ends { door.has_ended() } else { Ok(()) }
}

fn rows_of(kind: &Kind, rows: &[Value]) -> String {
    let mut columns = kind.columns.to_vec();
    // Rare, and no request is decided by such an object.
    if rows.iter().any(|row| !row["refused"].is_null()) {
        columns.push("refused");
    }
    let cell = |row: &Value, column| match column {
        "refused" => refused(&row["refused"]),
        column => cell(&row[column]),
    };
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(row, *column)).collect()).collect();
    table(&columns, &rows)
}

/// Why an object is left out: `service: unknown service …`.
fn refused(wrong: &Value) -> String {
    let Some(wrong) = wrong.as_array() else { return cell(wrong) };
    let told = |one: &Value| match one["path"].as_str() {
        None | Some("") => cell(&one["why"]),
        Some(path) => format!("{path}: {}", cell(&one["why"])),
    };
    wrong.iter().map(told).collect::<Vec<_>>().join("; ")
}

/// Puts what was given on the command line into the settings.
pub fn with(mut body: Map<String, Value>, more: &[(&str, Value)]) -> Map<String, Value> {
    for (name, value) in more {
        if !value.is_null() {
            body.insert((*name).to_owned(), value.clone());
        }
    }
    body
}

/// Null where there is none.
pub fn some<T: serde::Serialize>(values: &[T]) -> Value {
    if values.is_empty() { Value::Null } else { json!(values) }
}

impl Settings {
    /// The settings with these over them.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn with(self, more: &[(&str, Value)]) -> Result<Map<String, Value>, Failure> {
        Ok(with(self.body()?, more))
    }
}

/// A value in YAML from the command line.
///
/// # Errors
///
/// It is none.
pub fn value(text: Option<&str>, option: &str) -> Result<Value, Failure> {
    text.map_or(Ok(Value::Null), |text| yaml(text, option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_why_an_object_is_left_out() {
        let whole = json!({ "id": 1, "name": "admin", "implies": [], "refused": null });
        assert_eq!(rows_of(&ROLE, std::slice::from_ref(&whole)), "ID  NAME   IMPLIES\n1   admin  -\n");
        let wrong =
            json!([{ "path": "implies", "why": "unknown role `x`" }, { "path": "", "why": "and more" }]);
        let left_out = json!({ "id": 2, "name": "b", "implies": ["x"], "refused": wrong });
        let table = rows_of(&ROLE, &[whole, left_out]);
        assert_eq!(
            table,
            "ID  NAME   IMPLIES  REFUSED\n1   admin  -        -\n2   b      x        implies: unknown role `x`; and more\n"
        );
    }
}
