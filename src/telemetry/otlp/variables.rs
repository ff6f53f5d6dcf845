//! What the standard variables `OTEL_…` say about traces and logs. Stricter than the standard, which has what cannot
//! be read ignored: whoever sets a variable means something by it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use super::settings::{Batching, Protocol, Receiver, Settings, Wrong, before_query};
use crate::telemetry::traces::sampling::{Root, Sampling};

/// What is sent, as variables name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Traces,
    Logs,
}

/// The variables, and what was found wrong with them.
pub(super) struct Given {
    sent: Sent,
    variables: Vec<(String, String)>,
    wrong: Vec<Wrong>,
}

/// So many of them fill about a gigabyte.
const LONGEST_QUEUE: usize = 1_000_000;

impl Given {
    pub(super) fn read(
        sent: Sent,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<Settings>, Vec<Wrong>> {
        let set =
            variables.into_iter().filter(|(name, value)| name.starts_with("OTEL_") && !value.is_empty());
        let mut given = Self { sent, variables: set.collect(), wrong: Vec::new() };
        let settings = given.settings();
        if given.wrong.is_empty() { Ok(settings) } else { Err(given.wrong) }
    }

    fn settings(&mut self) -> Option<Settings> {
        let disabled = self.choice("OTEL_SDK_DISABLED", &[("true", true), ("false", false)]);
        let exporter = format!("OTEL_{}_EXPORTER", self.sent.name());
        let exporter = self.choice(&exporter, &[("otlp", true), ("none", false)]);
        let named = match self.sent {
            Sent::Traces => ["TRACES_ENDPOINT", "ENDPOINT"].iter().any(|name| self.has(&otlp(name))),
            // Not every receiver of traces takes logs.
            Sent::Logs => self.has(&otlp("LOGS_ENDPOINT")),
        };
        if disabled == Some(true) || exporter == Some(false) || (exporter.is_none() && !named) {
            return None;
        }
        let (receiver, batching) = (self.receiver(), self.batching());
        let sampling = match self.sent {
            Sent::Traces => self.sampling(),
            Sent::Logs => Sampling { as_the_asker: false, root: Root::All },
        };
        let resource = self.resource();
        Some(Settings { receiver: receiver?, sampling, batching, resource })
    }

    fn has(&self, name: &str) -> bool {
        self.variables.iter().any(|(found, _)| found == name)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.variables.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }

    /// The variable of what is sent, else the one of everything, with its name.
    fn signal(&self, name: &str) -> Option<(String, String)> {
        let names = [otlp(&format!("{}_{name}", self.sent.name())), otlp(name)];
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
        let common = name == otlp("ENDPOINT");
        // That one names the root of all.
        if protocol == Protocol::Http && common {
            let end = self.sent.name().to_ascii_lowercase();
            address = format!("{}/v1/{end}", address.trim_end_matches('/'));
        }
        let uri = Uri::from_str(&address).ok().filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && !value.contains('#')
                // What is added to the common root is a path.
                && (uri.query().is_none() || !common)
        });
        if uri.is_none() {
            let example = usual.replace("localhost", "collector");
            // Whoever wrote a password or a key into it does not want it told.
            let told = before_query(&value);
            let found = match &value[told.len()..] {
                _ if value.contains('@') => "a user in it".to_owned(),
                "" => shown(told),
                rest if rest.starts_with('?') => format!("{} with a query", shown(told)),
                _ => format!("{} with a fragment", shown(told)),
            };
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
        let (of, usual_delay) = match self.sent {
            Sent::Traces => ("OTEL_BSP", 5_000),
            Sent::Logs => ("OTEL_BLRP", 1_000),
        };
        let mut duration = |name: &str, usual| {
            let value = self.text(name);
            let given = value.and_then(|value| self.duration(name, &value));
            given.unwrap_or(Duration::from_millis(usual))
        };
        let delay = duration(&format!("{of}_SCHEDULE_DELAY"), usual_delay);
        let timeout = duration(&format!("{of}_EXPORT_TIMEOUT"), 30_000);
        let queue = self.count(&format!("{of}_MAX_QUEUE_SIZE"), LONGEST_QUEUE).unwrap_or(2048);
        let batch = self.count(&format!("{of}_MAX_EXPORT_BATCH_SIZE"), queue).unwrap_or(queue.min(512));
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

impl Sent {
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Logs => "LOGS",
        }
    }
}

/// The variable of the exporter that ends like this.
pub(super) fn otlp(end: &str) -> String {
    format!("OTEL_EXPORTER_OTLP_{end}")
}

/// A value for the middle of a message: on one line, and not too long.
fn shown(value: &str) -> String {
    let start: String = value.chars().take(60).flat_map(char::escape_default).collect();
    let more = if value.chars().nth(60).is_some() { "…" } else { "" };
    format!("`{start}{more}`")
}
