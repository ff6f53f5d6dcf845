//! `doorward audit list|verify`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::door::Door;
use super::{Common, Failure, cell, table};
use crate::config::Moment;
use crate::domain::time::Timestamp;

#[derive(Subcommand)]
pub enum Command {
    /// List what was changed and by whom, the newest first
    #[command(after_help = "Example: doorward audit list --since 2026-01-31T00:00:00Z --action consumer")]
    List(List),
    /// Look for entries that were removed, changed or moved
    #[command(after_help = "Example: doorward audit verify")]
    Verify,
    /// List the chains of entries: each instance that ever wrote has its own
    #[command(after_help = "Example: doorward audit chains")]
    Chains,
    /// End the chain of an instance that is gone: one that is whole, and was not written to for a day
    #[command(after_help = "Example: doorward audit retire 0196a1f0-0000-7000-8000-000000000001")]
    Retire { chain: uuid::Uuid },
}

#[derive(clap::Args)]
pub struct List {
    /// Not before this: 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after this: 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// `socket`, `admin_key`, `consumer`, `doorward`, `unknown`, or the id of a caller
    #[arg(long)]
    actor: Option<String>,
    /// `consumer.create`, or `consumer` for all that was done to consumers
    #[arg(long)]
    action: Option<String>,
    /// The id of what was changed
    #[arg(long)]
    object: Option<uuid::Uuid>,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(asked) => list(common, &asked),
        Command::Verify => verify(common),
        Command::Chains => chains(common),
        Command::Retire { chain } => retire(common, chain),
    }
}

fn list(common: &Common, asked: &List) -> Result<(), Failure> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    };
    let moment = |text: &Option<String>| text.as_deref().map(super::moment).transpose();
    put("since", moment(&asked.since)?.map(|since| since.to_string()));
    put("until", moment(&asked.until)?.map(|until| until.to_string()));
    put("actor", asked.actor.clone());
    put("action", asked.action.clone());
    put("object", asked.object.map(|object| object.to_string()));
    put("size", Some(asked.limit.clamp(1, 1000).to_string()));
    let path = format!("/audit?{}", query.finish());
    let rows = Value::Array(Door::open(common)?.first_rows(&path, asked.limit)?);
    common.print(&rows, |rows| entries(rows.as_array().map_or(&[], Vec::as_slice)))
}

fn entries(rows: &[Value]) -> String {
    let columns = ["time", "actor", "action", "object", "count", "request_id"];
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .map(|column| match *column {
                    "time" => {
                        Moment(Timestamp::from_unix(row["at"].as_i64().unwrap_or_default())).to_string()
                    }
                    "actor" if row["actor"]["id"].is_null() => cell(&row["actor"]["kind"]),
                    "actor" => format!("{} {}", cell(&row["actor"]["kind"]), cell(&row["actor"]["id"])),
                    column => cell(&row[column]),
                })
                .collect()
        })
        .collect();
    table(&columns, &rows)
}

fn chains(common: &Common) -> Result<(), Failure> {
    let found = Door::open(common)?.get("/audit/chains")?;
    common.print(&found["data"], |rows| {
        let columns = ["id", "own", "first", "last", "newest"];
        let row = |row: &Value| {
            let newest = Moment(Timestamp::from_unix(row["at"].as_i64().unwrap_or_default())).to_string();
            vec![cell(&row["id"]), cell(&row["own"]), cell(&row["first"]), cell(&row["last"]), newest]
        };
        let rows: Vec<_> = rows.as_array().into_iter().flatten().map(row).collect();
        table(&columns, &rows)
    })
}

fn retire(common: &Common, chain: uuid::Uuid) -> Result<(), Failure> {
    Door::open(common)?.delete(&format!("/audit/chains/{chain}"))?;
    common.print(&json!({ "retired": chain }), |_| format!("the chain {chain} is ended\n"))
}

fn verify(common: &Common) -> Result<(), Failure> {
    let found = Door::open(common)?.get("/audit/verify")?;
    let whole = found["whole"] == true;
    common.print(&found, |found| {
        let findings = found["findings"].as_array().map_or(&[][..], Vec::as_slice);
        let told: String = findings
            .iter()
            .map(|it| format!("chain {} entry {}: {}\n", cell(&it["chain"]), it["number"], cell(&it["why"])))
            .collect();
        let is = if whole { "is whole" } else { "is not whole" };
        format!("{told}the audit log {is}: {} entries in {} chains\n", found["entries"], found["chains"])
    })?;
    match whole {
        true => Ok(()),
        false => Err(Failure::Refused("the audit log was changed by somebody else than Doorward".into())),
    }
}
