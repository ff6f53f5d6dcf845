//! `doorward admin-key create|list|delete`, and `apinode-admin`'s spellings of the same.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::door::Door;
use super::{Common, Failure, Output, cell, segment, table};

#[derive(Subcommand)]
pub enum Command {
    /// Make an admin key; its text is shown this once
    #[command(after_help = "Example: doorward admin-key create --name deploy-pipeline")]
    Create(Create),
    /// List admin keys, without their texts
    #[command(after_help = "Example: doorward admin-key list")]
    List,
    /// End an admin key for good
    #[command(after_help = "Example: doorward admin-key delete dw_admin_4fZk2Qp9LmXa")]
    Delete(Delete),
}

#[derive(clap::Args)]
pub struct Create {
    /// What it is for, for whoever lists them
    #[arg(long)]
    name: Option<String>,
}

#[derive(clap::Args)]
pub struct Delete {
    /// Its id, public name or text; `-` reads it from standard input, where no list of processes shows it
    key: String,
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => make(common, create),
        Command::List => list(common),
        Command::Delete(delete) => end(common, &delete),
    }
}

fn make(common: &Common, create: Create) -> Result<(), Failure> {
    let mut body = Map::new();
    body.extend(create.name.map(|name| ("name".to_owned(), Value::String(name))));
    let made = Door::open_or_make(common)?.post("/admin-keys", &Value::Object(body))?;
    if common.output == Output::Text {
        // On stderr, so that `$(doorward admin-key create)` holds the key and nothing else.
        eprintln!("made admin key {}; its text is shown this once:", cell(&made["id"]));
    }
    common.print(&made, |made| format!("{}\n", cell(&made["key"])))
}

fn list(common: &Common) -> Result<(), Failure> {
    let rows = Value::Array(Door::open(common)?.list("/admin-keys")?);
    common.print(&rows, |rows| {
        let columns = ["id", "key", "name", "created_at"];
        let row = |row: &Value| columns.map(|column| cell(&row[column])).to_vec();
        let rows: Vec<_> = rows.as_array().map_or(&[][..], Vec::as_slice).iter().map(row).collect();
        table(&columns, &rows)
    })
}

fn end(common: &Common, delete: &Delete) -> Result<(), Failure> {
    let key = super::read_secret(&delete.key, "the key")?;
    let mut door = Door::open(common)?;
    let path = format!("/admin-keys/{}", segment(&key)?);
    let found = door.get(&path)?;
    door.delete(&path)?;
    common.print(&json!({ "deleted": found["id"] }), |deleted| {
        format!("deleted admin key {}\n", cell(&deleted["deleted"]))
    })
}
