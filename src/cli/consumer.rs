//! `doorward consumer create|list|show|update|delete`.

use clap::Subcommand;
use serde_json::{Map, Value, json};

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
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// List all consumers
    #[command(after_help = "Example: doorward consumer list --output json")]
    List,
    /// Show one consumer
    #[command(after_help = "Example: doorward consumer show alice")]
    Show { consumer: String },
    /// Change a consumer; what is not named stays as it is
    #[command(after_help = "Example: doorward consumer update alice --group gold --group staff\n\
                            Example: doorward consumer update alice --disable")]
    Update(Box<Update>),
    /// Delete a consumer and all that it owns
    #[command(after_help = "Example: doorward consumer delete alice")]
    Delete { consumer: String },
}

/// What `create` and `update` set. A list that is named is set whole.
#[derive(clap::Args)]
pub struct Settings {
    /// A login may name it instead of the username
    #[arg(long)]
    email: Option<String>,
    /// A group that it is in; may be repeated
    #[arg(long = "group")]
    groups: Vec<String>,
    /// A permission that it has, by name or id; may be repeated
    #[arg(long = "permission")]
    permissions: Vec<String>,
    /// A role that it has in a project, as `PROJECT=ROLE`; may be repeated
    #[arg(long = "role", value_name = "PROJECT=ROLE")]
    roles: Vec<String>,
    #[command(flatten)]
    networks: Networks,
    /// May be repeated
    #[arg(long = "tag")]
    tags: Vec<String>,
}

#[derive(clap::Args)]
pub struct Update {
    /// Username or id
    consumer: String,
    /// Another username; an empty one takes it away
    #[arg(long)]
    username: Option<String>,
    /// The consumer's name in another system; an empty one takes it away
    #[arg(long)]
    custom_id: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// Something that it is to have none of any more; may be repeated
    #[arg(long = "no", value_name = "WHAT")]
    none: Vec<Clearable>,
    /// Its credentials open again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// No credential of it opens
    #[arg(long)]
    disable: bool,
}

/// What can be taken away whole.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Clearable {
    Email,
    Groups,
    Permissions,
    Roles,
    Networks,
    Tags,
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    let mut door = match &command {
        Command::Create { .. } => Door::open_or_make(common)?,
        _ => Door::open(common)?,
    };
    match command {
        Command::Create { username, id, custom_id, settings } => {
            let mut body = settings.body()?;
            body.insert("username".into(), json!(username));
            body.extend(id.map(|id| ("id".into(), json!(id))));
            body.extend(custom_id.map(|custom_id| ("custom_id".into(), json!(custom_id))));
            let made = door.post("/consumers", &Value::Object(body))?;
            common.print(&made, |made| {
                format!("made consumer {} ({})\n", cell(&made["username"]), cell(&made["id"]))
            })
        }
        Command::List => {
            let rows = Value::Array(door.list("/consumers")?);
            common.print(&rows, |rows| consumers(rows.as_array().map_or(&[], Vec::as_slice)))
        }
        Command::Show { consumer } => {
            let found = door.get(&format!("/consumers/{}", segment(&consumer)?))?;
            common.print(&found, |found| consumers(std::slice::from_ref(found)))
        }
        Command::Update(update) => {
            let path = format!("/consumers/{}", segment(&update.consumer)?);
            let body = update.body()?;
            let ends = body.get("enabled") == Some(&json!(false));
            let changed = door.patch(&path, &Value::Object(body))?;
            common.print(&changed, |changed| {
                format!("changed consumer {} ({})\n", cell(&changed["username"]), cell(&changed["id"]))
            })?;
            if ends { door.has_ended() } else { Ok(()) }
        }
        Command::Delete { consumer } => {
            door.delete_patiently(&format!("/consumers/{}", segment(&consumer)?))?;
            common.print(&json!({ "deleted": consumer }), |_| format!("deleted consumer {consumer}\n"))
        }
    }
}

impl Settings {
    /// Only what was named.
    fn body(self) -> Result<Map<String, Value>, Failure> {
        let mut roles: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
        for role in &self.roles {
            let (project, role) = role.split_once('=').ok_or_else(|| {
                Failure::Usage(format!("`{role}` is no role, expected the form `PROJECT=ROLE`"))
            })?;
            roles.entry(project).or_default().push(role);
        }
        let list = |list: &[String]| (!list.is_empty()).then(|| json!(list));
        let named = [
            ("email", self.email.as_ref().map(|email| json!(email))),
            ("groups", list(&self.groups)),
            ("permissions", list(&self.permissions)),
            ("roles", (!roles.is_empty()).then(|| json!(roles))),
            ("networks", self.networks.are_given().then(|| self.networks.body())),
            ("tags", list(&self.tags)),
        ];
        Ok(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }
}

impl Update {
    fn body(self) -> Result<Map<String, Value>, Failure> {
        let mut body = self.settings.body()?;
        for (name, text) in [("username", self.username), ("custom_id", self.custom_id)] {
            body.extend(text.map(|text| (name.to_owned(), json!((!text.is_empty()).then_some(text)))));
        }
        for none in self.none {
            let name = match none {
                Clearable::Email => "email",
                Clearable::Groups => "groups",
                Clearable::Permissions => "permissions",
                Clearable::Roles => "roles",
                Clearable::Networks => "networks",
                Clearable::Tags => "tags",
            };
            if body.insert(name.into(), Value::Null).is_some() {
                return Err(Failure::Usage(format!("`{name}` cannot be both set and taken away")));
            }
        }
        if self.enable || self.disable {
            body.insert("enabled".into(), json!(self.enable));
        }
        if body.is_empty() {
            return Err(Failure::Usage("nothing is named that is to be different; see --help".into()));
        }
        Ok(body)
    }
}

fn consumers(rows: &[Value]) -> String {
    let columns = ["id", "username", "custom_id", "groups", "permissions", "enabled"];
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(&row[*column])).collect()).collect();
    table(&columns, &rows)
}
