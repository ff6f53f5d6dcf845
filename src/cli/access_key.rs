//! `doorward access-key create|list|delete`.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::door::Door;
use super::{Common, Failure, Output, cell, moment, segment, table};

#[derive(Subcommand)]
pub enum Command {
    /// Make an access key, which buys tokens for a project; its secret is shown this once
    #[command(
        after_help = "Example: doorward access-key create alice --project kakaocloud-project --name ci"
    )]
    Create(Create),
    /// List access keys, without their secrets
    #[command(after_help = "Example: doorward access-key list")]
    List,
    /// End an access key and every token that it bought
    #[command(after_help = "Example: doorward access-key delete 0198a4c1-6a0e-7c55-b6f1-3f0d5a2c9e77")]
    Delete { id: uuid::Uuid },
}

#[derive(clap::Args)]
pub struct Create {
    /// Whose it is: username or id
    consumer: String,
    /// The project that its tokens are good in, by name or id
    #[arg(long)]
    project: String,
    /// No other access key of this consumer is called so
    #[arg(long)]
    name: String,
    /// A role that its tokens have, of those that the consumer has; may be repeated [default: all of them]
    #[arg(long = "role")]
    roles: Vec<String>,
    /// When it ends, as 2026-12-31T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => make(common, create),
        Command::List => list(common),
        Command::Delete { id } => end(common, &id.to_string()),
    }
}

fn make(common: &Common, create: Create) -> Result<(), Failure> {
    let mut body = Map::new();
    body.insert("consumer".into(), json!(create.consumer));
    body.insert("project_id".into(), json!(create.project));
    body.insert("name".into(), json!(create.name));
    if !create.roles.is_empty() {
        body.insert("roles".into(), json!(create.roles));
    }
    if let Some(until) = &create.expires_at {
        body.insert("expires_at".into(), json!(moment(until)?));
    }
    let made = Door::open_or_make(common)?.post("/access-keys", &Value::Object(body))?;
    if common.output == Output::Text {
        // On stderr, so that `$(doorward access-key create …)` holds the secret and nothing else.
        eprintln!("made access key {}; its secret is shown this once:", cell(&made["id"]));
    }
    common.print(&made, |made| format!("{}\n", cell(&made["secret"])))
}

fn list(common: &Common) -> Result<(), Failure> {
    let rows = Value::Array(Door::open(common)?.list("/access-keys")?);
    common.print(&rows, |rows| {
        let columns = ["id", "name", "consumer", "project_id", "roles", "expires_at"];
        let row = |row: &Value| columns.map(|column| cell(&row[column])).to_vec();
        let rows: Vec<_> = rows.as_array().map_or(&[][..], Vec::as_slice).iter().map(row).collect();
        table(&columns, &rows)
    })
}

fn end(common: &Common, id: &str) -> Result<(), Failure> {
    Door::open(common)?.delete(&format!("/access-keys/{}", segment(id)?))?;
    common.print(&json!({ "deleted": id }), |_| format!("deleted access key {id}\n"))
}
