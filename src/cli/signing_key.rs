//! `doorward signing-key list|rotate|revoke`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::door::Door;
use super::{Common, Failure, cell, segment, table};

#[derive(Subcommand)]
pub enum Command {
    /// List what Doorward's own JWTs are signed with
    #[command(after_help = "Example: doorward signing-key list")]
    List,
    /// Have the staged key sign from now on, and stage a new one; every token stays good
    #[command(after_help = "Example: doorward signing-key rotate")]
    Rotate(Rotate),
    /// Take away a key that somebody else has: every token of it ends
    #[command(
        after_help = "Example: doorward signing-key revoke oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
    )]
    Revoke(Revoke),
}

#[derive(clap::Args)]
pub struct Rotate {
    /// Although others may not know the staged key yet: it was published less than ten minutes ago
    #[arg(long)]
    now: bool,
}

#[derive(clap::Args)]
pub struct Revoke {
    /// Its id, which is the `kid` of its tokens
    // One in 64 begins with `-`: it is base64url (RFC 7638).
    #[arg(allow_hyphen_values = true, value_parser = id)]
    id: String,
}

/// Base64url of 32 bytes has 43 letters; a shorter text after a dash is an option that there is not.
fn id(text: &str) -> Result<String, String> {
    let is_id = !text.starts_with('-') || text.len() == 43;
    is_id.then(|| text.to_owned()).ok_or_else(|| "expected the id of a signing key, of 43 letters".to_owned())
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => {
            let rows = Value::Array(Door::open(common)?.list("/signing-keys")?);
            common.print(&rows, shown)
        }
        Command::Rotate(Rotate { now }) => {
            let keys = Door::open(common)?.post("/signing-keys/rotate", &json!({ "now": now }))?;
            common.print(&keys["data"], shown)
        }
        Command::Revoke(Revoke { id }) => {
            Door::open(common)?.delete(&format!("/signing-keys/{}", segment(&id)?))?;
            common.print(&json!({ "revoked": id }), |revoked| {
                format!("revoked signing key {}\n", cell(&revoked["revoked"]))
            })
        }
    }
}

fn shown(rows: &Value) -> String {
    let columns = ["id", "state", "algorithm", "since"];
    let row = |row: &Value| columns.map(|column| cell(&row[column])).to_vec();
    let rows: Vec<_> = rows.as_array().map_or(&[][..], Vec::as_slice).iter().map(row).collect();
    table(&columns, &rows)
}
