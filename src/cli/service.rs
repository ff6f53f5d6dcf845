//! `doorward service`: APIs that Doorward protects, their versions, and what groups may do with them.

use clap::Subcommand;
use serde_json::{Value, json};

use super::door::Door;
use super::object::{SERVICE, Settings, Verb, create, look, some, update, value};
use super::{Common, Failure, cell, segment, table};

#[derive(Subcommand)]
pub enum Command {
    /// Make a service; requests reach it once it is deployed
    #[command(
        after_help = "Example: doorward service create orders --path /orders --authentication '{any: [api_key]}'"
    )]
    Create {
        name: String,
        /// A host that it answers to; may be repeated [default: any]
        #[arg(long = "host")]
        hosts: Vec<String>,
        /// A prefix of its paths; may be repeated [default: every path]
        #[arg(long = "path")]
        paths: Vec<String>,
        /// How callers prove who they are, in YAML: `none`, or `{any: [api_key]}`
        #[arg(long, value_name = "YAML")]
        authentication: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all services
    #[command(after_help = "Example: doorward service list --output json")]
    List,
    /// Show one service
    #[command(after_help = "Example: doorward service show orders")]
    Show { service: String },
    /// Change settings of a service
    #[command(after_help = "Example: doorward service update orders --set mode=shadow")]
    Update {
        service: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete a service with its versions; not while it is deployed
    #[command(after_help = "Example: doorward service delete orders")]
    Delete { service: String },
    /// List the versions of a service
    #[command(after_help = "Example: doorward service versions orders")]
    Versions { service: String },
    /// Upload a version: a policy that deployments activate
    #[command(
        after_help = "Example: doorward service upload orders v2 --set 'authentication={any: [api_key]}'"
    )]
    Upload {
        service: String,
        version: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Remove a version
    #[command(after_help = "Example: doorward service remove orders v1")]
    Remove { service: String, version: String },
    /// Grant a group privileges on a service, instead of those that it had
    #[command(after_help = "Example: doorward service grant orders devs read deploy")]
    Grant {
        service: String,
        group: String,
        /// read, write, deploy, admin
        #[arg(required = true)]
        privileges: Vec<String>,
    },
    /// Take back what a group was granted
    #[command(after_help = "Example: doorward service revoke orders devs")]
    Revoke { service: String, group: String },
    /// List the keys that name a service, without their texts
    #[command(after_help = "Example: doorward service keys orders")]
    Keys { service: String },
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { name, hosts, paths, authentication, settings } => {
            let authentication = value(authentication.as_deref(), "--authentication")?;
            let body = settings.with(&[
                ("name", json!(name)),
                ("hosts", some(&hosts)),
                ("paths", some(&paths)),
                ("authentication", authentication),
            ])?;
            create(common, &SERVICE, body)
        }
        Command::List => look(common, &SERVICE, Verb::List),
        Command::Show { service } => look(common, &SERVICE, Verb::Show(service)),
        Command::Update { service, settings } => update(common, &SERVICE, &service, settings.with(&[])?),
        Command::Delete { service } => look(common, &SERVICE, Verb::Delete(service)),
        Command::Versions { service } => {
            let path = format!("/services/{}/versions", segment(&service)?);
            let rows = Value::Array(Door::open(common)?.list(&path)?);
            common.print(&rows, |rows| {
                let row = |row: &Value| {
                    ["id", "name", "created_at"].iter().map(|column| cell(&row[*column])).collect()
                };
                let rows: Vec<Vec<String>> = rows.as_array().into_iter().flatten().map(row).collect();
                table(&["id", "name", "created_at"], &rows)
            })
        }
        Command::Upload { service, version, settings } => {
            let policy = settings.with(&[])?;
            let path = format!("/services/{}/versions", segment(&service)?);
            let body = json!({ "name": version, "policy": policy });
            let made = Door::open(common)?.post(&path, &body)?;
            common.print(&made, |made| format!("uploaded version {} ({})\n", version, cell(&made["id"])))
        }
        Command::Remove { service, version } => {
            let path = format!("/services/{}/versions/{}", segment(&service)?, segment(&version)?);
            Door::open(common)?.delete(&path)?;
            common.print(&json!({ "deleted": version }), |_| format!("removed version {version}\n"))
        }
        Command::Grant { service, group, privileges } => {
            let path = format!("/services/{}/grants/{}", segment(&service)?, segment(&group)?);
            let granted = Door::open(common)?.put(&path, &json!({ "privileges": privileges }))?;
            common.print(&granted, |granted| format!("{group} has {}\n", cell(&granted["privileges"])))
        }
        Command::Revoke { service, group } => {
            let path = format!("/services/{}/grants/{}", segment(&service)?, segment(&group)?);
            Door::open(common)?.delete(&path)?;
            common.print(&json!({ "revoked": group }), |_| format!("{group} has nothing any more\n"))
        }
        Command::Keys { service } => keys(common, &format!("/services/{}/keys", segment(&service)?)),
    }
}

/// The keys that name something.
pub(super) fn keys(common: &Common, path: &str) -> Result<(), Failure> {
    let rows = Value::Array(Door::open(common)?.list(path)?);
    common.print(&rows, |rows| {
        let row = |row: &Value| {
            vec![cell(&row["id"]), cell(&row["key"]), cell(&row["consumer"]["id"]), cell(&row["enabled"])]
        };
        let rows: Vec<Vec<String>> = rows.as_array().into_iter().flatten().map(row).collect();
        table(&["id", "key", "consumer", "enabled"], &rows)
    })
}
