//! What the standard variables `OTEL_…` say about traces. Stricter than the standard, which has what cannot
//! be read ignored: whoever sets a variable means something by it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use super::sampling::{Root, Sampling};

/// Where spans go, and which.
pub struct Settings {
    pub(super) receiver: Receiver,
    pub(super) sampling: Sampling,
    pub(super) batching: Batching,
    /// `OTEL_RESOURCE_ATTRIBUTES`, and the name of the service.
    pub(super) resource: Vec<(String, String)>,
}

/// The other end. Has no `Debug`: headers prove who we are.
pub(super) struct Receiver {
    pub(super) protocol: Protocol,
    /// With its path, where there is one.
    pub(super) endpoint: Uri,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
    pub(super) ca_file: Option<PathBuf>,
    /// Our certificate and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

/// How spans are gathered before they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batching {
    pub(super) delay: Duration,
    pub(super) timeout: Duration,
    /// Spans that wait; more are dropped and counted.
    pub(super) queue: usize,
    pub(super) batch: usize,
}

/// A variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {message}")]
pub struct Wrong {
    pub variable: String,
    pub message: String,
}

/// So many spans fill about a gigabyte.
const LONGEST_QUEUE: usize = 1_000_000;

impl Settings {
    /// What the environment says; `None` where it asks for no traces. A variable that is empty is not set.
    ///
    /// # Errors
    ///
    /// Every variable that cannot be used.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Option<Self>, Vec<Wrong>> {
        let set =
            variables.into_iter().filter(|(name, value)| name.starts_with("OTEL_") && !value.is_empty());
        let mut given = Given { variables: set.collect(), wrong: Vec::new() };
        let settings = given.settings();
        if given.wrong.is_empty() { Ok(settings) } else { Err(given.wrong) }
    }

    /// Whether the files that are named can be used too.
    ///
    /// # Errors
    ///
    /// One that cannot.
    pub fn usable(&self) -> Result<(), Wrong> {
        let unusable = |message| Wrong { variable: otlp("*"), message };
        super::export::connector(&self.receiver).map(drop).map_err(unusable)
    }

    /// Where spans go, for the log.
    pub fn receiver(&self) -> String {
        self.receiver.endpoint.to_string()
    }

    /// What looks like a mistake and may be none.
    pub fn doubt(&self) -> Option<Wrong> {
        let (other, word) = match (self.receiver.protocol, self.receiver.endpoint.port_u16()) {
            (Protocol::Http, Some(4317)) => ("gRPC", "grpc"),
            (Protocol::Grpc, Some(4318)) => ("HTTP", "http/protobuf"),
            (Protocol::Http | Protocol::Grpc, _) => return None,
        };
        let message =
            format!("the port of the receiver is the usual one for {other}; for that, set `{word}`");
        Some(Wrong { variable: otlp("PROTOCOL"), message })
    }
}

/// The variables, and what was found wrong with them.
struct Given {
    variables: Vec<(String, String)>,
    wrong: Vec<Wrong>,
}

impl Given {
    fn settings(&mut self) -> Option<Settings> {
        let disabled = self.choice("OTEL_SDK_DISABLED", &[("true", true), ("false", false)]);
        let exporter = self.choice("OTEL_TRACES_EXPORTER", &[("otlp", true), ("none", false)]);
        let named = ["TRACES_ENDPOINT", "ENDPOINT"].iter().any(|name| self.has(&otlp(name)));
        if disabled == Some(true) || exporter == Some(false) || (exporter.is_none() && !named) {
            return None;
        }
        let (receiver, sampling, batching) = (self.receiver(), self.sampling(), self.batching());
        let resource = self.resource();
        Some(Settings { receiver: receiver?, sampling, batching, resource })
    }

    fn has(&self, name: &str) -> bool {
        self.variables.iter().any(|(found, _)| found == name)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.variables.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }

    /// The variable of traces, else the one of every signal, with its name.
    fn signal(&self, name: &str) -> Option<(String, String)> {
        let names = [otlp(&format!("TRACES_{name}")), otlp(name)];
        names.into_iter().find_map(|name| self.text(&name).map(|value| (name, value)))
    }

    fn refuse(&mut self, variable: &str, message: impl Into<String>) {
        self.wrong.push(Wrong { variable: variable.to_owned(), message: message.into() });
    }

    fn choice<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.text(name)?;
        self.chosen(name, &value, words)
    }

    fn chosen<T: Copy>(&mut self, name: &str, value: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value));
        if found.is_none() {
            let expected: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.refuse(name, format!("found {}, expected one of {}", shown(value), expected.join(", ")));
        }
        found.map(|(_, meant)| *meant)
    }

    fn number(&mut self, name: &str, value: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let found = u64::from_str(value).ok().filter(|number| range.contains(number));
        if found.is_none() {
            let (least, most) = (range.start(), range.end());
            self.refuse(
                name,
                format!("found {}, expected a whole number from {least} to {most}", shown(value)),
            );
        }
        found
    }

    fn count(&mut self, name: &str, most: usize) -> Option<usize> {
        let value = self.text(name)?;
        self.number(name, &value, 1..=most as u64).and_then(|number| usize::try_from(number).ok())
    }

    /// Milliseconds, at most an hour.
    fn duration(&mut self, name: &str, value: &str) -> Option<Duration> {
        self.number(name, value, 1..=3_600_000).map(Duration::from_millis)
    }

    fn receiver(&mut self) -> Option<Receiver> {
        let protocol = match self.signal("PROTOCOL") {
            None => Protocol::Http,
            Some((name, value)) => {
                let words = [("grpc", Protocol::Grpc), ("http/protobuf", Protocol::Http)];
                self.chosen(&name, &value, &words)?
            }
        };
        let timeout = self.signal("TIMEOUT").and_then(|(name, value)| self.duration(&name, &value));
        let gzip = self
            .signal("COMPRESSION")
            .and_then(|(name, value)| self.chosen(&name, &value, &[("gzip", true), ("none", false)]));
        let headers = self.headers();
        let ca_file = self.signal("CERTIFICATE").map(|(_, path)| path.into());
        let own = self.own();
        let endpoint = self.endpoint(protocol)?;
        let timeout = timeout.unwrap_or(Duration::from_secs(10));
        let gzip = gzip.unwrap_or(false);
        Some(Receiver { protocol, endpoint, headers, timeout, gzip, ca_file, own })
    }

    fn own(&mut self) -> Option<(PathBuf, PathBuf)> {
        match (self.signal("CLIENT_CERTIFICATE"), self.signal("CLIENT_KEY")) {
            (Some((_, certificate)), Some((_, key))) => Some((certificate.into(), key.into())),
            (None, None) => None,
            (Some((name, _)), None) | (None, Some((name, _))) => {
                self.refuse(&name, "a certificate and its key go together; set the other one too");
                None
            }
        }
    }

    fn endpoint(&mut self, protocol: Protocol) -> Option<Uri> {
        let insecure = self
            .signal("INSECURE")
            .and_then(|(name, value)| self.chosen(&name, &value, &[("true", true), ("false", false)]));
        let usual = match protocol {
            Protocol::Grpc => "http://localhost:4317",
            Protocol::Http => "http://localhost:4318",
        };
        let given = self.signal("ENDPOINT");
        let (name, value) = given.unwrap_or_else(|| (otlp("ENDPOINT"), usual.to_owned()));
        let mut address = value.clone();
        if protocol == Protocol::Grpc && !address.contains("://") {
            let scheme = if insecure == Some(true) { "http" } else { "https" };
            address = format!("{scheme}://{address}");
        }
        // The one of every signal names their common root.
        if protocol == Protocol::Http && !name.contains("TRACES") {
            address = format!("{}/v1/traces", address.trim_end_matches('/'));
        }
        let uri = Uri::from_str(&address).ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && !value.contains('#')
                // What is added to the common root is a path.
                && (uri.query().is_none() || name.contains("TRACES"))
        });
        if uri.is_none() {
            let example = usual.replace("localhost", "collector");
            // Whoever wrote a password into it does not want it told.
            let found = if value.contains('@') { "a user in it".to_owned() } else { shown(&value) };
            self.refuse(&name, format!("found {found}, expected an address such as `{example}`"));
        }
        uri
    }

    /// `name=value,name=value`, the values percent-encoded. Values are never told: they may be secrets.
    fn headers(&mut self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some((name, value)) = self.signal("HEADERS") else { return headers };
        for (place, pair) in (1..).zip(value.split(',')) {
            let header = pair.split_once('=').and_then(|(key, value)| {
                let key = HeaderName::from_str(key.trim()).ok()?;
                let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
                let mut value = HeaderValue::from_str(&value).ok()?;
                value.set_sensitive(true);
                Some((key, value))
            });
            match header {
                Some((key, value)) => drop(headers.insert(key, value)),
                None => self.refuse(
                    &name,
                    format!(
                        "the header at place {place} cannot be read, expected `name=value`, percent-encoded"
                    ),
                ),
            }
        }
        headers
    }

    fn sampling(&mut self) -> Sampling {
        let asked = self.choice(
            "OTEL_TRACES_SAMPLER",
            &[
                ("always_on", (false, Root::All)),
                ("always_off", (false, Root::None)),
                ("traceidratio", (false, Root::Share(1.0))),
                ("parentbased_always_on", (true, Root::All)),
                ("parentbased_always_off", (true, Root::None)),
                ("parentbased_traceidratio", (true, Root::Share(1.0))),
            ],
        );
        let (as_the_asker, mut root) = asked.unwrap_or((true, Root::All));
        if let Root::Share(share) = &mut root
            && let Some(value) = self.text("OTEL_TRACES_SAMPLER_ARG")
        {
            match f64::from_str(&value).ok().filter(|number| (0.0..=1.0).contains(number)) {
                Some(number) => *share = number,
                None => self.refuse(
                    "OTEL_TRACES_SAMPLER_ARG",
                    format!("found {}, expected a share from 0 to 1", shown(&value)),
                ),
            }
        }
        Sampling { as_the_asker, root }
    }

    fn batching(&mut self) -> Batching {
        let mut duration = |name: &str, usual| {
            let value = self.text(name);
            let given = value.and_then(|value| self.duration(name, &value));
            given.unwrap_or(Duration::from_millis(usual))
        };
        let delay = duration("OTEL_BSP_SCHEDULE_DELAY", 5_000);
        let timeout = duration("OTEL_BSP_EXPORT_TIMEOUT", 30_000);
        let queue = self.count("OTEL_BSP_MAX_QUEUE_SIZE", LONGEST_QUEUE).unwrap_or(2048);
        let batch = self.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", queue).unwrap_or(queue.min(512));
        Batching { delay, timeout, queue, batch }
    }

    /// `name=value,name=value`, the values percent-encoded.
    fn resource(&mut self) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        for pair in self.text(name).iter().flat_map(|value| value.split(',')) {
            let attribute = pair.split_once('=').and_then(|(key, value)| {
                let decode =
                    |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(String::from);
                Some((decode(key).filter(|key| !key.is_empty())?, decode(value)?))
            });
            match attribute {
                Some(attribute) => attributes.push(attribute),
                None => self
                    .refuse(name, format!("found {}, expected `name=value`, percent-encoded", shown(pair))),
            }
        }
        attributes.extend(self.text("OTEL_SERVICE_NAME").map(|value| ("service.name".to_owned(), value)));
        attributes
    }
}

/// The variable of the exporter that ends like this.
fn otlp(end: &str) -> String {
    format!("OTEL_EXPORTER_OTLP_{end}")
}

/// A value for the middle of a message: on one line, and not too long.
fn shown(value: &str) -> String {
    let start: String = value.chars().take(60).flat_map(char::escape_default).collect();
    let more = if value.chars().nth(60).is_some() { "…" } else { "" };
    format!("`{start}{more}`")
}
