//! `doorward explain`: decides one described request and prints every step.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::door::Door;
use super::{Common, Failure, cell};
use crate::explain::Description;

#[derive(clap::Args)]
pub struct Arguments {
    /// `https://api.example.com/orders?x=1`, or a path with its query
    #[arg(id = "request_url", value_name = "URL")]
    url: Option<String>,
    /// [default: GET, or POST where there is a body]
    #[arg(long, short = 'X', value_name = "METHOD")]
    method: Option<String>,
    /// [default: the URL's]
    #[arg(long)]
    host: Option<String>,
    /// Path and query, as they stand in the request
    #[arg(long, value_name = "TARGET", conflicts_with = "request_url")]
    path: Option<String>,
    /// `name: value`; may be repeated. `@FILE` reads lines from a file, `@-` from standard input:
    /// what stands on a command line is in every list of processes
    #[arg(short = 'H', long = "header", value_name = "LINE")]
    headers: Vec<String>,
    /// The body
    #[arg(long, value_name = "TEXT", conflicts_with = "data_file")]
    data: Option<String>,
    /// A file that holds the body; `-`: standard input
    #[arg(long, value_name = "FILE")]
    data_file: Option<PathBuf>,
    /// Who holds the other end of the connection to Envoy: an address, or `unix`
    #[arg(long, value_name = "ADDRESS")]
    source: Option<String>,
    /// The service that the route names in its context extensions
    #[arg(long)]
    service: Option<String>,
    /// The infrastructure that the route names, with the service or alone
    #[arg(long)]
    infrastructure: Option<String>,
    /// Join header lines of one name, as Envoy does without `encode_raw_headers`
    #[arg(long)]
    joined: bool,
}

pub fn run(common: &Common, arguments: Arguments) -> Result<(), Failure> {
    let description = describe(arguments)?;
    // Refused here, a mistake is one of usage.
    description.understood().map_err(|wrong| Failure::Usage(wrong.to_string()))?;
    let account = Door::open_to_decide(common)?.post("/explain", &json!(description))?;
    common.print(&account, text)
}

fn describe(arguments: Arguments) -> Result<Description, Failure> {
    let (host, target) = match &arguments.url {
        Some(url) => parted(url)?,
        None => (None, arguments.path),
    };
    let mut headers = Vec::new();
    let mut host_header = None;
    for line in lines(&arguments.headers)? {
        let (name, value) = header(&line)?;
        if name.eq_ignore_ascii_case("host") {
            host_header = Some(value);
        } else {
            headers.push((name, value));
        }
    }
    let body = match (&arguments.data, &arguments.data_file) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(file)) => Some(read(file)?),
        (None, None) => None,
    };
    let method = arguments.method.or_else(|| body.as_ref().map(|_| "POST".to_owned()));
    Ok(Description {
        method,
        target,
        host: arguments.host.or(host_header).or(host),
        headers: (!headers.is_empty()).then_some(headers),
        body,
        source: arguments.source,
        service: arguments.service,
        infrastructure: arguments.infrastructure,
        joined: arguments.joined.then_some(true),
        allowed_headers: None,
    })
}

/// Host and target of a URL, byte for byte: whatever tidies one up would explain another request.
fn parted(url: &str) -> Result<(Option<String>, Option<String>), Failure> {
    // No client sends what follows a `#`.
    let sent = url.split('#').next().unwrap_or_default();
    let Some((_, rest)) = sent.split_once("://").filter(|_| !sent.starts_with('/')) else {
        return match sent.starts_with('/') {
            true => Ok((None, Some(sent.to_owned()))),
            false => Err(Failure::Usage(format!(
                "`{url}` is no URL, expected a form such as `https://api.example.com/orders` or `/orders`"
            ))),
        };
    };
    let (host, target) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if host.contains('@') {
        let message = "the URL has a user before its host, which clients send as `Authorization`; use -H";
        return Err(Failure::Usage(message.to_owned()));
    }
    let slash = if target.starts_with('?') { "/" } else { "" };
    Ok((Some(host.to_owned()), Some(format!("{slash}{target}"))))
}

/// Each line as it is, or those of the file that it names.
fn lines(arguments: &[String]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for argument in arguments {
        match argument.strip_prefix('@') {
            Some(file) => {
                let text = read(file.as_ref())?;
                all.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
            }
            None => all.push(argument.clone()),
        }
    }
    Ok(all)
}

fn header(line: &str) -> Result<(String, String), Failure> {
    let (name, value) = line.split_once(':').ok_or_else(|| {
        // Not shown: it may be a key.
        Failure::Usage("a header is written `name: value`; one of them has no colon".to_owned())
    })?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn read(file: &std::path::Path) -> Result<String, Failure> {
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    text.map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))
}

/// The steps by number, the verdict, and what it means for both sides.
fn text(account: &Value) -> String {
    let mut text = String::new();
    let steps = account["steps"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, step) in steps.iter().enumerate() {
        text += &format!("{:>3}. {}\n", index + 1, cell(&step["said"]));
    }
    let part = |name: &str| match &account[name] {
        Value::Null => String::new(),
        value => format!(" {}", cell(value)),
    };
    let why = account["why"].as_str().map_or(String::new(), |why| format!(" ({why})"));
    text += &format!("\nverdict   {}{}{why}\n", cell(&account["verdict"]), part("code"));
    if account["mode"] == "shadow" && account["verdict"] != "allow" && account["answer"].is_null() {
        text += "          passes all the same: the deployment is in shadow mode\n";
    }
    text += &answer(&account["answer"]);
    text += &upstream(&account["upstream"]);
    text
}

fn answer(answer: &Value) -> String {
    if answer.is_null() {
        return "caller    gets the upstream's answer\n".to_owned();
    }
    let field = |name: &str| cell(&answer[name]);
    let mut text = format!("caller    gets {} {}: {}\n", field("status"), field("code"), field("message"));
    for challenge in answer["challenges"].as_array().into_iter().flatten() {
        text += &format!("          www-authenticate: {}\n", cell(challenge));
    }
    if answer["error_response"] == true {
        text += "          as an error of ours: Envoy's `failure_mode_allow` decides\n";
    }
    text
}

fn upstream(upstream: &Value) -> String {
    if upstream.is_null() {
        return "upstream  sees nothing\n".to_owned();
    }
    let mut text = "upstream  sees the request, but for\n".to_owned();
    for (name, value) in upstream["set"].as_object().into_iter().flatten() {
        text += &format!("          set     {name}: {}\n", cell(value));
    }
    let gone = |name: &str| upstream[name].as_array().filter(|gone| !gone.is_empty());
    for (word, list) in [("removed", "remove"), ("query without", "remove_query")] {
        if let Some(gone) = gone(list) {
            let gone: Vec<String> = gone.iter().map(cell).collect();
            text += &format!("          {word} {}\n", gone.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    #[rustfmt::skip] // A table is read by its columns.
    fn a_url_is_parted_byte_for_byte() {
        let parts = |url| parted(url).ok().map(|(host, target)| (host.unwrap_or_default(), target.unwrap()));
        let both = |host: &str, target: &str| Some((host.to_owned(), target.to_owned()));
        assert_eq!(parts("https://api.example.com/orders?x=1"),  both("api.example.com", "/orders?x=1"));
        assert_eq!(parts("http://API.example:80"),               both("API.example:80", "/"));
        assert_eq!(parts("https://a.example?x=/y"),              both("a.example", "/?x=/y"));
        assert_eq!(parts("https://a.example/a/../%2e//b#c"),     both("a.example", "/a/../%2e//b"));
        assert_eq!(parts("https://a.example/?to=http://b/"),     both("a.example", "/?to=http://b/"));
        assert_eq!(parts("/orders?to=http://b"),                 both("", "/orders?to=http://b"));
        assert_eq!(parts("//x"),                                 both("", "//x"));
        for url in ["orders", "api.example.com/orders", "https://user:secret@a.example/", ""] {
            assert_eq!(parts(url), None, "{url}");
        }
    }

    #[test]
    fn header_lines_are_read_from_files_and_host_is_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("headers");
        std::fs::write(&file, "apikey: from-a-file\n\nhost: b.example\n").unwrap();
        let arguments = Arguments {
            url: Some("https://a.example/".into()),
            method: None,
            host: None,
            path: None,
            headers: vec!["x: 1".into(), format!("@{}", file.display())],
            data: Some("{}".into()),
            data_file: None,
            source: None,
            service: None,
            infrastructure: None,
            joined: false,
        };
        let described = describe(arguments).unwrap();
        assert_eq!(described.host.as_deref(), Some("b.example"));
        assert_eq!(described.method.as_deref(), Some("POST"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(described.headers, Some(vec![pair("x", "1"), pair("apikey", "from-a-file")]));
    }

    #[test]
    fn a_line_without_a_colon_is_not_shown() {
        let Err(Failure::Usage(message)) = header("alice-0123456789") else { panic!("it was taken") };
        assert!(!message.contains("alice"), "{message}");
    }
}
