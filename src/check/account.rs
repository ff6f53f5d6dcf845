//! What was decided, step by step, and what it means for the caller and the upstream.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Decision, Outcome};
use crate::domain::denial::Notice;
use crate::domain::headers::Value;
use crate::domain::step::Step;
use crate::telemetry::DecisionLine;

/// A decision in full. Holds no credential, only its id.
#[derive(Debug, Serialize)]
pub struct Account {
    /// `allow`, `deny` or `fault`. In shadow mode a request passes whatever this says.
    pub verdict: &'static str,
    /// The code of a denial or fault.
    pub code: Option<&'static str>,
    /// What the caller gets; 200 where the request goes on to the upstream.
    pub status: u16,
    /// What only the log is told.
    pub why: Option<&'static str>,
    /// `enforce` or `shadow`.
    pub mode: &'static str,
    pub service: Option<String>,
    pub infrastructure: Option<String>,
    /// The client's address, as far as it is known.
    pub client: Option<String>,
    /// The hop that named it, or the one at which it was lost: `connection`, `x-forwarded-for[-2]`.
    pub client_from: Option<String>,
    /// The method that presented the credential that decided.
    pub method: Option<&'static str>,
    /// The id of the consumer.
    pub consumer: Option<String>,
    pub username: Option<String>,
    /// The id of the credential.
    pub credential: Option<String>,
    pub steps: Vec<Told>,
    /// Null where the request passes.
    pub answer: Option<Answer>,
    /// Null where it does not.
    pub upstream: Option<Upstream>,
}

/// A step, and the line that says it to people.
#[derive(Debug, Serialize)]
pub struct Told {
    #[serde(flatten)]
    pub step: Step,
    pub said: String,
}

/// What the caller sees.
#[derive(Debug, Serialize)]
pub struct Answer {
    pub status: u16,
    pub code: &'static str,
    pub title: &'static str,
    pub message: &'static str,
    /// `WWW-Authenticate`, a value each.
    pub challenges: Vec<String>,
    /// Whether it is Envoy's `error_response`, so that `failure_mode_allow` decides.
    pub error_response: bool,
    /// Seconds.
    pub retry_after: Option<u32>,
}

/// What is changed about the request on its way to the upstream.
#[derive(Debug, Serialize)]
pub struct Upstream {
    pub set: BTreeMap<String, String>,
    /// Headers.
    pub remove: Vec<String>,
    /// Query parameters.
    pub remove_query: Vec<String>,
}

impl Account {
    /// All but the steps, and what is told by them alone. `write` puts into words what the upstream is told.
    pub fn of(decision: &Decision<'_>, line: &DecisionLine<'_>, write: fn(&Value<'_>) -> String) -> Self {
        let metadata = &decision.metadata;
        let (answer, upstream) = match &decision.outcome {
            Outcome::Allow(mutations) => {
                let set = mutations.set.iter().map(|(name, value)| ((*name).to_owned(), write(value)));
                let upstream = Upstream {
                    set: set.collect(),
                    remove: mutations.remove.iter().map(ToString::to_string).collect(),
                    remove_query: mutations.remove_query.iter().map(ToString::to_string).collect(),
                };
                (None, Some(upstream))
            }
            Outcome::Deny(notice, challenges) => {
                let challenges = challenges.iter().map(ToString::to_string).collect();
                (Some(Answer { challenges, ..Answer::of(notice) }), None)
            }
            Outcome::Fault(notice) => (Some(Answer { error_response: true, ..Answer::of(notice) }), None),
        };
        Self {
            verdict: metadata.verdict,
            code: metadata.code,
            status: answer.as_ref().map_or(200, |answer| answer.status),
            why: line.why,
            mode: metadata.mode,
            service: metadata.service.map(str::to_owned),
            infrastructure: metadata.infrastructure.map(str::to_owned),
            client: line.client.and_then(|client| client.address).map(|address| address.to_string()),
            client_from: line.client.map(|client| client.hop.word().to_string()),
            method: metadata.method,
            consumer: metadata.consumer.map(|consumer| consumer.to_string()),
            username: metadata.username.map(str::to_owned),
            credential: metadata.credential.map(ToString::to_string),
            steps: Vec::new(),
            answer,
            upstream,
        }
    }

    #[must_use]
    pub fn with_steps(self, steps: Vec<Step>) -> Self {
        Self { steps: steps.into_iter().map(Told::from).collect(), ..self }
    }

    /// Whether the request goes on to the upstream.
    pub fn passes(&self) -> bool {
        self.upstream.is_some()
    }
}

impl Answer {
    fn of(notice: &Notice) -> Self {
        let Notice { status, code, title, message, retry_after, .. } = *notice;
        let (challenges, error_response) = (Vec::new(), false);
        Self { status, code, title, message, challenges, error_response, retry_after }
    }
}

impl From<Step> for Told {
    fn from(step: Step) -> Self {
        Self { said: step.to_string(), step }
    }
}
