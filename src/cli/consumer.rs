//! `doorward consumer create|list|show|delete`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::door::Door;
use super::{Common, Failure, Networks, cell, segment, table};

#[derive(Subcommand)]
pub enum Command {
    /// Make a consumer: whom keys belong to
    #[command(after_help = "Example: doorward consumer create alice --custom-id 42 --group gold")]
    Create {
        username: String,
        /// A UUID of your choice [default: a random one]
        #[arg(long)]
        id: Option<uuid::Uuid>,
        /// The consumer's name in another system
        #[arg(long)]
        custom_id: Option<String>,
        /// A group that it is in; may be repeated
        #[arg(long = "group")]
        groups: Vec<String>,
        /// A permission that it has, by name or id; may be repeated
        #[arg(long = "permission")]
        permissions: Vec<String>,
        #[command(flatten)]
        networks: Networks,
        /// May be repeated
        #[arg(long = "tag")]
        tags: Vec<String>,
    },
    /// List all consumers
    #[command(after_help = "Example: doorward consumer list --output json")]
    List,
    /// Show one consumer
    #[command(after_help = "Example: doorward consumer show alice")]
    Show { consumer: String },
    /// Delete a consumer and all that it owns
    #[command(after_help = "Example: doorward consumer delete alice")]
    Delete { consumer: String },
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let mut door = match &command {
        Command::Create { .. } => Door::open_or_make(common)?,
        _ => Door::open(common)?,
    };
    match command {
        Command::Create { username, id, custom_id, groups, permissions, networks, tags } => {
            let mut body = json!({
                "id": id, "username": username, "custom_id": custom_id,
                "groups": groups, "permissions": permissions, "tags": tags,
            });
            if networks.are_given() {
                body["networks"] = networks.body();
            }
            let made = door.post("/consumers", &body)?;
            common.print(&made, |made| {
                format!("made consumer {} ({})\n", cell(&made["username"]), cell(&made["id"]))
            })
        }
        Command::List => {
            let rows = Value::Array(door.list("/consumers")?);
            common.print(&rows, |rows| consumers(rows.as_array().map_or(&[], Vec::as_slice)))
        }
        Command::Show { consumer } => {
            let found = door.get(&format!("/consumers/{}", segment(&consumer)))?;
            common.print(&found, |found| consumers(std::slice::from_ref(found)))
        }
        Command::Delete { consumer } => {
            door.delete(&format!("/consumers/{}", segment(&consumer)))?;
            common.print(&json!({ "deleted": consumer }), |_| format!("deleted consumer {consumer}\n"))
        }
    }
}

fn consumers(rows: &[Value]) -> String {
    let columns = ["id", "username", "custom_id", "groups", "permissions", "enabled"];
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(&row[*column])).collect()).collect();
    table(&columns, &rows)
}
