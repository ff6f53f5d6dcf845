//! A request in options of the command line: for every command that takes one.

use std::path::PathBuf;

use super::Failure;
use crate::explain::Description;

#[derive(clap::Args)]
pub struct Described {
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

impl Described {
    /// # Errors
    ///
    /// [`Failure::Usage`]: a mistake, or a file that cannot be read.
    pub fn description(self) -> Result<Description, Failure> {
        let (host, target) = match &self.url {
            Some(url) => parted(url)?,
            None => (None, self.path),
        };
        let mut headers = Vec::new();
        let mut host_header = None;
        for line in lines(&self.headers)? {
            let (name, value) = header(&line)?;
            if name.eq_ignore_ascii_case("host") {
                host_header = Some(value);
            } else {
                headers.push((name, value));
            }
        }
        let body = match (&self.data, &self.data_file) {
            (Some(text), _) => Some(text.clone()),
            (None, Some(file)) => Some(read(file)?),
            (None, None) => None,
        };
        let method = self.method.or_else(|| body.as_ref().map(|_| "POST".to_owned()));
        let description = Description {
            method,
            target,
            host: self.host.or(host_header).or(host),
            headers: (!headers.is_empty()).then_some(headers),
            body,
            source: self.source,
            service: self.service,
            infrastructure: self.infrastructure,
            joined: self.joined.then_some(true),
            allowed_headers: None,
        };
        // Refused here, a mistake is one of usage.
        description.understood().map_err(|wrong| Failure::Usage(wrong.to_string()))?;
        Ok(description)
    }
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
        let arguments = Described {
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
        let described = arguments.description().unwrap();
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
