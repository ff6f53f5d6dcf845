//! `doorward key create|list|show|update|rotate|revoke`.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::door::Door;
use super::{Common, Failure, Networks, Output, cell, moment, read_secret, remark, segment, table};
use crate::config::Moment;
use crate::domain::time::Timestamp;

#[derive(Subcommand)]
pub enum Command {
    /// Make a key for a consumer; its text is shown this once
    #[command(after_help = "Example: doorward key create alice --ttl 86400 --service orders")]
    Create(Box<Create>),
    /// List keys, all or a consumer's
    #[command(after_help = "Example: doorward key list alice")]
    List { consumer: Option<String> },
    /// Show one key, without its text
    #[command(after_help = "Example: doorward key show dw_key_4fZk2Qp9LmXa")]
    Show {
        /// Its id, public name or text; `-` reads it from standard input, where no list of processes shows it
        key: String,
    },
    /// Change a key; what is not named stays as it is
    #[command(after_help = "Example: doorward key update dw_key_4fZk2Qp9LmXa --ttl 86400\n\
                            Example: doorward key update dw_key_4fZk2Qp9LmXa --disable")]
    Update(Box<Update>),
    /// Make a key with the settings of one that is there, which ends after a grace; its text is shown
    /// this once
    #[command(after_help = "Example: doorward key rotate dw_key_4fZk2Qp9LmXa --grace 86400\n\
                            `doorward key show` tells when the one before was last used.")]
    Rotate {
        /// Its id or public name
        key: String,
        /// Seconds for which the one before still opens; 0: it ends at once
        #[arg(long, value_name = "SECONDS", value_parser = seconds::<u32>)]
        grace: u32,
    },
    /// End a key for good
    #[command(after_help = "Example: doorward key revoke --everywhere dw_key_4fZk2Qp9LmXa\n\
                            Example: doorward key revoke - < leaked.txt")]
    Revoke {
        /// Its id, public name or text; `-` reads it from standard input, where no list of processes shows it
        key: String,
    },
}

#[derive(clap::Args)]
pub struct Create {
    /// Username or id
    consumer: String,
    /// A UUID of your choice [default: a random one]
    #[arg(long)]
    id: Option<uuid::Uuid>,
    /// A key that is in use elsewhere, to be taken over as it is; `-` reads it from standard input,
    /// where no list of processes shows it
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Take a key of fewer than 16 bytes (guessable: it is logged and counted)
    #[arg(long, requires = "key")]
    insecure_allow_weak: bool,
    #[command(flatten)]
    settings: Settings,
}

/// What a key is made with, and what of it can be changed.
#[derive(clap::Args)]
struct Settings {
    /// Seconds from now until it ends; 0: never
    #[arg(long, conflicts_with = "expires_at", allow_negative_numbers = true, value_parser = seconds::<i64>)]
    ttl: Option<i64>,
    /// When it begins: 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// When it ends: 2026-12-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// A service or deployment that it opens, by name or id; may be repeated [where none ever was named: all]
    #[arg(long = "service")]
    services: Vec<String>,
    /// A permission that it has at most, by name or id; may be repeated [where none ever was named: its
    /// consumer's]
    #[arg(long = "permission")]
    permissions: Vec<String>,
    #[command(flatten)]
    networks: Networks,
    /// May be repeated
    #[arg(long = "tag")]
    tags: Vec<String>,
}

#[derive(clap::Args)]
pub struct Update {
    /// Its id or public name
    key: String,
    #[command(flatten)]
    settings: Settings,
    /// It opens again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// It opens nothing until it is enabled
    #[arg(long)]
    disable: bool,
}

/// As `ttl` and `grace` are in the API.
fn seconds<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "expected a number of seconds, such as 86400 for a day".to_owned())
}

pub fn run(common: &Common, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(create) => make(common, *create),
        Command::List { consumer } => {
            let mut door = Door::open(common)?;
            let path = match consumer {
                Some(consumer) => format!("/consumers/{}/key-auth", segment(&consumer)?),
                None => "/key-auths".to_owned(),
            };
            let rows = Value::Array(door.list(&path)?);
            common.print(&rows, |rows| keys(rows.as_array().map_or(&[], Vec::as_slice)))
        }
        Command::Show { key } => {
            let key = read_secret(&key, "the key")?;
            let found = Door::open(common)?.get(&format!("/key-auths/{}", segment(&key)?))?;
            common.print(&found, |found| keys(std::slice::from_ref(found)))
        }
        Command::Update(update) => {
            let path = format!("/key-auths/{}", segment(&update.key)?);
            let (mut door, ends) = (Door::open(common)?, update.disable);
            let changed = door.patch(&path, &update.body()?)?;
            remark_if_ended(&changed);
            common.print(&changed, |changed| keys(std::slice::from_ref(changed)))?;
            if ends { door.has_ended() } else { Ok(()) }
        }
        Command::Rotate { key, grace } => {
            let path = format!("/key-auths/{}/rotate", segment(&key)?);
            let mut door = Door::open(common)?;
            let made = door.post(&path, &json!({ "grace": grace }))?;
            shown_once(common, &made)?;
            if grace == 0 { door.has_ended() } else { Ok(()) }
        }
        Command::Revoke { key } => {
            let key = read_secret(&key, "the key")?;
            let mut door = Door::open(common)?;
            let path = format!("/key-auths/{}", segment(&key)?);
            let found = door.get(&path)?;
            door.delete(&path)?;
            common.print(&json!({ "revoked": found["id"] }), |revoked| {
                format!("revoked key {}\n", cell(&revoked["revoked"]))
            })
        }
    }
}

fn make(common: &Common, create: Create) -> Result<(), Failure> {
    let consumer = segment(&create.consumer)?;
    let body = create.body()?;
    let made = Door::open_or_make(common)?.post(&format!("/consumers/{consumer}/key-auth"), &body)?;
    shown_once(common, &made)
}

fn shown_once(common: &Common, made: &Value) -> Result<(), Failure> {
    if common.output == Output::Text {
        // On stderr, so that `$(doorward key create …)` holds the key and nothing else.
        remark(&format!("made key {}; its text is shown this once:", cell(&made["id"])));
    }
    remark_if_ended(made);
    common.print(made, |made| format!("{}\n", cell(&made["key"])))
}

/// The API takes a past end, as whoever brings keys along has them; by hand it is a slip.
fn remark_if_ended(key: &Value) {
    if key["ttl"] == 0 {
        remark("this key has ended already, so it opens nothing; `doorward key update` sets another end");
    }
}

impl Settings {
    /// Only what was asked for: what is left out has the API's own meaning.
    fn body(self) -> Result<Map<String, Value>, Failure> {
        let list = |list: Vec<String>| (!list.is_empty()).then(|| json!(list));
        let time = |time: Option<String>| time.as_deref().map(moment).transpose();
        let named = [
            ("ttl", self.ttl.map(|ttl| json!(ttl))),
            ("not_before", time(self.not_before)?.map(|at| json!(at))),
            ("expires_at", time(self.expires_at)?.map(|at| json!(at))),
            ("services", list(self.services)),
            ("permissions", list(self.permissions)),
            ("networks", self.networks.are_given().then(|| self.networks.body())),
            ("tags", list(self.tags)),
        ];
        Ok(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }
}

impl Update {
    fn body(self) -> Result<Value, Failure> {
        let mut body = self.settings.body()?;
        if self.enable || self.disable {
            body.insert("enabled".to_owned(), json!(self.enable));
        }
        if body.is_empty() {
            return Err(Failure::Usage("nothing is named that is to be different; see --help".into()));
        }
        Ok(Value::Object(body))
    }
}

impl Create {
    fn body(self) -> Result<Value, Failure> {
        let mut body = self.settings.body()?;
        let key = self.key.as_deref().map(|key| read_secret(key, "the key")).transpose()?;
        let named = [
            ("id", self.id.map(|id| json!(id))),
            ("key", key.map(|key| json!(key))),
            ("insecure_allow_weak", self.insecure_allow_weak.then_some(Value::Bool(true))),
        ];
        body.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Ok(Value::Object(body))
    }
}

fn keys(rows: &[Value]) -> String {
    let columns = [
        "id",
        "key",
        "consumer",
        "ttl",
        "services",
        "permissions",
        "tags",
        "enabled",
        "uses",
        "last_used_at",
    ];
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .map(|column| match *column {
                    "consumer" => cell(&row["consumer"]["id"]),
                    "last_used_at" => row[*column]
                        .as_i64()
                        .map_or("-".into(), |at| Moment(Timestamp::from_unix(at)).to_string()),
                    column => cell(&row[column]),
                })
                .collect()
        })
        .collect();
    table(&columns, &rows)
}
