//! `doorward deployment`: services where they are deployed.

use clap::Subcommand;
use serde_json::{Value, json};

use super::door::Door;
use super::object::{DEPLOYMENT, Settings, Verb, create, look, some, update};
use super::service::keys;
use super::{Common, Failure, cell, segment};

#[derive(Subcommand)]
pub enum Command {
    /// Deploy a service on an infrastructure
    #[command(after_help = "Example: doorward deployment create orders production --host api.example.com")]
    Create {
        service: String,
        infrastructure: String,
        /// The version of the service that is active here [default: the latest]
        #[arg(long)]
        version: Option<String>,
        /// A host instead of the service's; may be repeated
        #[arg(long = "host")]
        hosts: Vec<String>,
        /// A prefix of paths instead of the service's; may be repeated
        #[arg(long = "path")]
        paths: Vec<String>,
        /// Have it deny everybody for now
        #[arg(long)]
        disabled: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// List all deployments
    #[command(after_help = "Example: doorward deployment list")]
    List,
    /// Show one deployment
    #[command(after_help = "Example: doorward deployment show orders/production")]
    Show { deployment: String },
    /// Change settings of a deployment
    #[command(after_help = "Example: doorward deployment update orders/production --disable")]
    Update {
        deployment: String,
        /// The version of the service that is active here
        #[arg(long)]
        version: Option<String>,
        /// Let requests pass again
        #[arg(long, conflicts_with = "disable")]
        enable: bool,
        /// Have it deny everybody
        #[arg(long)]
        disable: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// End a deployment
    #[command(after_help = "Example: doorward deployment delete orders/production")]
    Delete { deployment: String },
    /// Print a line for curl that calls it
    #[command(after_help = "Example: doorward deployment sample orders/production")]
    Sample { deployment: String },
    /// List the keys that name it or its service, without their texts
    #[command(after_help = "Example: doorward deployment keys orders/production")]
    Keys { deployment: String },
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { service, infrastructure, version, hosts, paths, disabled, settings } => {
            let body = settings.with(&[
                ("service", json!(service)),
                ("infrastructure", json!(infrastructure)),
                ("version", json!(version)),
                ("hosts", some(&hosts)),
                ("paths", some(&paths)),
                ("enabled", if disabled { json!(false) } else { Value::Null }),
            ])?;
            create(common, &DEPLOYMENT, body)
        }
        Command::List => look(common, &DEPLOYMENT, Verb::List),
        Command::Show { deployment } => look(common, &DEPLOYMENT, Verb::Show(deployment)),
        Command::Update { deployment, version, enable, disable, settings } => {
            let enabled = if enable || disable { json!(enable) } else { Value::Null };
            let body = settings.with(&[("version", json!(version)), ("enabled", enabled)])?;
            update(common, &DEPLOYMENT, &deployment, body)
        }
        Command::Delete { deployment } => look(common, &DEPLOYMENT, Verb::Delete(deployment)),
        Command::Sample { deployment } => {
            let path = format!("/deployments/{}/sample", segment(&deployment)?);
            let sample = Door::open(common)?.get(&path)?;
            common.print(&sample, |sample| format!("{}\n", cell(&sample["curl"])))
        }
        Command::Keys { deployment } => keys(common, &format!("/deployments/{}/keys", segment(&deployment)?)),
    }
}
