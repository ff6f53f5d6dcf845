//! The command line: one file a command.

mod access_key;
mod admin_key;
mod audit;
mod backing;
mod bench;
mod config;
mod consumer;
mod deployment;
mod described;
mod doctor;
mod door;
mod explain;
mod health;
mod import;
mod key;
mod named;
mod object;
mod otlp;
mod password;
mod remote;
mod serve;
mod service;
mod signing_key;
mod status;
mod store;
mod tail;
mod test;
mod validate;
mod version;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::{self as settings, Faults, Loaded, Overlay};
use crate::http::admin;
use crate::telemetry::log::on_one_line;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// How a command ended, as its exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// 1: refused, or not found.
    #[error("{0}")]
    Refused(String),
    /// 2: wrong usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// 3: no server and no store to talk to.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        })
    }
}

#[derive(Parser)]
#[command(
    name = "doorward",
    version,
    about,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done, 1 refused or not found, 2 wrong usage or configuration, 3 no server or store to \
                  talk to.\nExample: doorward --config doorward.yaml"
)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Args, Clone)]
pub struct Common {
    /// The configuration file [default: ./doorward.yaml where there is one]
    #[arg(long, short, global = true, env = "DOORWARD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The server to talk to, `http://host:port` of its `listen.admin` or `https`, with the admin key in
    /// DOORWARD_ADMIN_KEY [default: the one whose socket is in the data directory]
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// Authorities, in PEM, one of which must have signed the certificate of an `https` server
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A certificate and its key, in PEM, for an `https` server that asks for one
    #[arg(long, global = true, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Of a command that changes something: wait until every instance that lives has applied it
    #[arg(long, global = true)]
    pub everywhere: bool,
    /// How answers are printed
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Made to be read
    Text,
    /// Made to be parsed: one object or one list
    Json,
}

/// From where a credential may be used.
#[derive(Args)]
pub struct Networks {
    /// An address, CIDR or range `a-b` from where it may be used; may be repeated [default: anywhere]
    #[arg(long = "allow-network", value_name = "NETWORK")]
    allow: Vec<String>,
    /// An address, CIDR or range `a-b` from where it may not; may be repeated
    #[arg(long = "deny-network", value_name = "NETWORK")]
    deny: Vec<String>,
}

impl Networks {
    fn are_given(&self) -> bool {
        !self.allow.is_empty() || !self.deny.is_empty()
    }

    /// As the admin API takes them; null where none is given.
    fn body(&self) -> Value {
        let allow = (!self.allow.is_empty()).then_some(&self.allow);
        self.are_given().then(|| json!({ "allow": allow, "deny": self.deny })).into()
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default)
    #[command(after_help = "Example: doorward serve --config /etc/doorward/doorward.yaml")]
    Serve(serve::Arguments),
    /// Check the configuration file and say what is wrong with it
    #[command(after_help = "Example: doorward validate --config doorward.yaml")]
    Validate,
    /// Print the configuration's schema, or what is in force
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Decide one described request and print every step, or those of a decision that was made
    #[command(
        after_help = "Example: doorward explain https://api.example.com/orders -H @key.header --source 198.51.100.7\n         \
                      doorward explain --request-id 0190b3f2-7c1e-7c9a-9a52-0123456789ab"
    )]
    Explain(Box<explain::Arguments>),
    /// Follow the decisions of the running server, a line each
    #[command(after_help = "Example: doorward tail --refusals --service orders")]
    Tail(tail::Arguments),
    /// Ask a running instance about one described request at a fixed rate, and print how long it takes
    #[command(
        after_help = "Example: doorward bench https://api.example.com/orders -H @key.header --source 198.51.100.7 \
                      --target 127.0.0.1:50051 --rate 6000 --duration 10s"
    )]
    Bench(Box<bench::Arguments>),
    /// Hold decision cases against their policy, without a server or a store
    #[command(after_help = "Example: doorward test cases.yaml")]
    Test {
        /// Cases, each with a request and what is expected of it
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Make, change and delete services, their versions, and what groups may do with them
    #[command(subcommand)]
    Service(Box<service::Command>),
    /// Deploy services, change, enable, disable and end deployments
    #[command(subcommand)]
    Deployment(Box<deployment::Command>),
    /// Make, change and delete what services are deployed on
    #[command(subcommand)]
    Infrastructure(named::Infrastructure),
    /// Make, change and delete groups that privileges are granted to
    #[command(subcommand)]
    Group(named::Group),
    /// Make, change and delete projects, and who has which role in them
    #[command(subcommand)]
    Project(named::Project),
    /// Make, change and delete roles
    #[command(subcommand)]
    Role(named::Role),
    /// Make, change and delete permissions
    #[command(subcommand)]
    Permission(named::Permission),
    /// Make, list and delete consumers
    #[command(subcommand)]
    Consumer(consumer::Command),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(key::Command),
    /// Set the passwords that consumers log in with
    #[command(subcommand)]
    Password(password::Command),
    /// Make, list and delete access keys, which buy tokens for a project
    #[command(subcommand)]
    AccessKey(access_key::Command),
    /// Make, list and delete the keys of the admin API
    #[command(subcommand)]
    AdminKey(admin_key::Command),
    /// As `admin-key create`
    #[command(hide = true, after_help = "Example: doorward admin-key-create")]
    AdminKeyCreate(admin_key::Create),
    /// As `admin-key list`
    #[command(hide = true, after_help = "Example: doorward admin-keys-list")]
    AdminKeysList,
    /// As `admin-key delete`
    #[command(hide = true, after_help = "Example: doorward admin-key-delete dw_admin_0123456789ab")]
    AdminKeyDelete(admin_key::Delete),
    /// List, rotate and revoke what Doorward's own JWTs are signed with
    #[command(subcommand)]
    SigningKey(signing_key::Command),
    /// List what was changed and by whom, and see whether that log is whole
    #[command(subcommand)]
    Audit(audit::Command),
    /// Take over what another gateway knows
    #[command(subcommand)]
    Import(import::Command),
    /// Back up, restore or check the embedded store
    #[command(subcommand)]
    Store(store::Command),
    /// Look for mistakes around Doorward
    #[command(subcommand)]
    Doctor(doctor::Command),
    /// Print where the running instances stand, and what of the stored policy cannot be used
    #[command(after_help = "Example: doorward status")]
    Status,
    /// Ask a running server whether it is ready
    #[command(after_help = "Example: doorward health --url http://127.0.0.1:8100")]
    Health(health::Arguments),
    /// Print completions for a shell
    #[command(after_help = "Example: doorward completions bash > /etc/bash_completion.d/doorward")]
    Completions { shell: clap_complete::Shell },
    /// Print the version
    #[command(after_help = "Example: doorward version")]
    Version,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// The JSON Schema of the configuration file
    #[command(after_help = "Example: doorward config schema > doorward.schema.json")]
    Schema,
    /// The settings in force, without secrets, and where each comes from
    #[command(after_help = "Example: doorward config show --effective orders/production")]
    Show {
        /// Show the policy that results for this deployment instead
        #[arg(long, value_name = "DEPLOYMENT")]
        effective: Option<String>,
    },
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    match dispatch(&common, command.unwrap_or(Command::Serve(serve::Arguments::default()))) {
        Ok(code) => code,
        Err(failure) => {
            remark(&format!("doorward: {failure}"));
            failure.exit_code()
        }
    }
}

fn dispatch(common: &Common, command: Command) -> Result<ExitCode, Failure> {
    let as_json = common.output == Output::Json;
    match command {
        Command::Serve(arguments) => serve::run(common, &arguments)?,
        Command::Validate => {
            let read = common.read(&[]).and_then(validate::with_certificates).and_then(otlp::with_receivers);
            let read = read.and_then(validate::with_secret);
            return validate::run(&read, as_json);
        }
        Command::Config(ConfigCommand::Schema) => config::schema()?,
        Command::Config(ConfigCommand::Show { effective }) => {
            return config::show(common, &common.read(&[]), effective.as_deref(), as_json);
        }
        Command::Explain(arguments) => explain::run(common, *arguments)?,
        Command::Tail(arguments) => tail::run(common, &arguments)?,
        Command::Bench(arguments) => bench::run(common, *arguments)?,
        Command::Test { files } => return test::run(common, &files),
        Command::Service(command) => service::run(common, *command)?,
        Command::Deployment(command) => deployment::run(common, *command)?,
        Command::Infrastructure(command) => named::infrastructure(common, command)?,
        Command::Group(command) => named::group(common, command)?,
        Command::Project(command) => named::project(common, command)?,
        Command::Role(command) => named::role(common, command)?,
        Command::Permission(command) => named::permission(common, command)?,
        Command::Consumer(command) => consumer::run(common, command)?,
        Command::Key(command) => key::run(common, command)?,
        Command::Password(command) => password::run(common, command)?,
        Command::AccessKey(command) => access_key::run(common, command)?,
        Command::AdminKey(command) => admin_key::run(common, command)?,
        Command::AdminKeyCreate(create) => admin_key::run(common, admin_key::Command::Create(create))?,
        Command::AdminKeysList => admin_key::run(common, admin_key::Command::List)?,
        Command::AdminKeyDelete(delete) => admin_key::run(common, admin_key::Command::Delete(delete))?,
        Command::SigningKey(command) => signing_key::run(common, command)?,
        Command::Audit(command) => audit::run(common, command)?,
        Command::Import(command) => import::run(common, command)?,
        Command::Store(command) => store::run(common, command)?,
        Command::Doctor(command) => return doctor::run(common, &command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "doorward", &mut script);
            say(&String::from_utf8_lossy(&script))?;
        }
        Command::Status => status::run(common)?,
        Command::Health(arguments) => return ask_health(common, &arguments),
        Command::Version => {
            common.print(&json!(version::VERSION), |_| format!("{}\n", version::VERSION))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn ask_health(common: &Common, arguments: &health::Arguments) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => {
            let config = common.load()?;
            let status = address(&config, "status", &config.listen.status.value);
            let found =
                runtime.block_on(tokio::net::lookup_host(&status)).ok().and_then(|mut found| found.next());
            let address = found.ok_or_else(|| Failure::Unreachable(format!("`{status}` has no address")))?;
            health::url(address, config.listen.tls.status.is_some())
        }
    };
    let tls = arguments.tls()?;
    let health = runtime.block_on(health::health(&url, &tls, arguments.probe()));
    common.print(
        &json!({ "healthy": health == health::Health::Good, "message": health.to_string() }),
        |_| format!("{health}\n"),
    )?;
    Ok(ExitCode::from(health.exit_code()))
}

/// Where a listener is. With port 0 only the running server knows, and has written it down.
fn address(config: &settings::Config, listener: &str, configured: &settings::Address) -> String {
    let written = || {
        let text = std::fs::read_to_string(serve::addresses_file(config)).ok()?;
        let addresses: Value = serde_json::from_str(&text).ok()?;
        addresses[listener].as_str().map(str::to_owned)
    };
    (configured.port == 0).then(written).flatten().unwrap_or_else(|| configured.to_string())
}

/// A runtime for a command: it does one thing at a time.
fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Unreachable(format!("no runtime: {error}")))
}

impl Common {
    /// The configuration, whole: file, environment, flags.
    fn read(&self, flags: &[Overlay]) -> Result<Loaded, Faults> {
        settings::load(self.config.as_deref(), environment(std::env::vars_os()), flags)
    }

    /// What a command needs of it: where things are. The keys that the file declares are not read,
    /// for whoever runs a command need not have them.
    fn load(&self) -> Result<settings::Config, Failure> {
        settings::load_places(self.config.as_deref(), environment(std::env::vars_os()))
            .map(|loaded| loaded.config)
            .map_err(|faults| Failure::Usage(faults.to_string()))
    }

    /// Prints an answer.
    fn print(&self, value: &Value, text: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        say(&match self.output {
            Output::Json => format!("{value:#}\n"),
            Output::Text => text(value),
        })
    }
}

/// Writes an answer to stdout. A pipe that was closed (`| head`) is nobody's failure, and a full disk
/// is one: who asked has nothing, and a key is shown once.
fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Refused(format!("done, but the answer cannot be written to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line to stderr. A closed one leaves nobody to tell.
fn remark(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The environment as text. `std::env::vars` panics over any variable that is not UTF-8, meant for us
/// or not, and shows it; here such bytes become `�`, which no setting and no key takes.
fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    variables.map(move |(name, value)| (text(name), text(value)))
}

/// Rows under headings, each column as wide as its widest cell. Names are their owners' choice.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let plain = |row: &Vec<String>| row.iter().map(|cell| on_one_line(cell).into_owned()).collect();
    let rows: &[Vec<String>] = &rows.iter().map(plain).collect::<Vec<_>>();
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(heading.len())
        })
        .collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let headings: Vec<String> = headings.iter().map(|heading| heading.to_uppercase()).collect();
    std::iter::once(line(&headings)).chain(rows.iter().map(|row| line(row))).collect()
}

/// A secret given as an argument; `-` reads it from standard input, where no list of processes shows it.
fn read_secret(text: &str, what: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    std::io::read_to_string(std::io::stdin())
        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        .map_err(|error| Failure::Usage(format!("cannot read {what} from standard input: {error}")))
}

/// A name or an id as a part of a path. An empty one would leave the path of the whole list.
fn segment(name: &str) -> Result<String, Failure> {
    match name {
        "" => Err(Failure::Usage("a name is empty; expected the name or the id of what is meant".into())),
        name => Ok(admin::segment(name)),
    }
}

/// A whole file; `-` is standard input.
fn read_file(file: &Path) -> std::io::Result<String> {
    match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    }
}

/// A moment in seconds since the Unix epoch.
fn moment(text: &str) -> Result<i64, Failure> {
    settings::Moment::parse(text).map(|moment| moment.0.unix()).ok_or_else(|| {
        Failure::Usage(format!("`{text}` is no time; expected the form 2026-12-31T00:00:00Z (RFC 3339)"))
    })
}

/// A JSON value as a table's cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".into(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    /// Every command that does something, by the words that lead to it.
    fn leaves(command: &clap::Command, path: &[String]) -> Vec<(Vec<String>, clap::Command)> {
        let path: Vec<String> = path.iter().cloned().chain([command.get_name().to_owned()]).collect();
        let below = command.get_subcommands().flat_map(|below| leaves(below, &path));
        let below: Vec<_> = below.collect();
        if below.is_empty() { vec![(path, command.clone())] } else { below }
    }

    #[test]
    fn a_name_in_a_table_is_on_its_line_and_seen_for_what_it_is() {
        let rows = [["1".to_owned(), "ci\u{202e}\nadmin".to_owned()].to_vec()];
        assert_eq!(table(&["id", "name"], &rows), "ID  NAME\n1   ci\\u202e\\u000aadmin\n");
    }

    /// As a shell splits a line, up to where it sends the output elsewhere.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for letter in line.chars().chain([' ']) {
            match (letter, quote) {
                (_, Some(open)) if letter == open => quote = None,
                (_, None) if letter == '\'' || letter == '"' => quote = Some(letter),
                (' ' | '\n', None) if !word.is_empty() => words.push(std::mem::take(&mut word)),
                (' ' | '\n', None) => {}
                ('>' | '<' | '|', None) => break,
                _ => word.push(letter),
            }
        }
        words
    }

    #[test]
    fn every_command_has_an_example_and_each_is_one_of_that_command() {
        let all = leaves(&Arguments::command(), &[]);
        assert!(all.len() >= 60, "{}", all.len());
        for (path, command) in all {
            let name = path.join(" ");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.split_once("Example: ").map_or("", |(_, examples)| examples);
            let lines = examples.lines().map(|line| line.trim().trim_start_matches("Example: "));
            let examples: Vec<&str> = lines.filter(|line| line.starts_with("doorward ")).collect();
            assert!(!examples.is_empty(), "`{name} --help` has no example");
            assert!(command.get_about().is_some(), "`{name}` says nothing of itself");
            for example in examples {
                let parsed = Arguments::command().try_get_matches_from(words(example));
                let parsed = parsed.unwrap_or_else(|error| panic!("{name}: {example}\n{error}"));
                let (mut found, mut at) = (vec!["doorward".to_owned()], &parsed);
                while let Some((below, matches)) = at.subcommand() {
                    found.push(below.to_owned());
                    at = matches;
                }
                assert_eq!(found, path, "{example}");
            }
        }
    }

    #[test]
    fn what_clap_is_told_of_commands_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_variable_that_is_no_text_stops_nobody() {
        let strange = |name: &str| (OsString::from(name), OsString::from_vec(vec![b'a', 0xff]));
        let read: Vec<_> = environment([strange("LS_COLORS")].into_iter()).collect();
        assert_eq!(read, [("LS_COLORS".to_owned(), "a\u{fffd}".to_owned())]);
    }
}
