//! A decision that is kept for whoever asks about it afterwards (`doorward explain --request-id`).
//!
//! Only one that has a line in the log, and so a few of them in a second: for its steps it is decided once
//! more, with a witness, by what it was decided by. What is kept is what `explain` tells, and no more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde_json::{Value, json};

use super::account::{Account, Told};
use super::{Checker, Decision, Inquiry, PANICKED, Pinned, panicked};
use crate::domain::decide::{Decided, World, decide};
use crate::domain::request::{Body, Request};
use crate::domain::step::Step;
use crate::domain::verdict::{Fault, Verdict};
use crate::telemetry::log::{Moment, on_one_line};
use crate::telemetry::{DecisionLine, Whose};

/// An account with what it is about.
#[derive(Serialize)]
struct Kept<'a> {
    timestamp: String,
    request_id: &'a str,
    request: Asked<'a>,
    duration_us: u64,
    #[serde(flatten)]
    account: Account,
}

#[derive(Serialize)]
struct Asked<'a> {
    method: &'a str,
    host: &'a str,
    path: &'a str,
}

impl Checker {
    /// Keeps a decision that was just made, where there is room for it. Never waits.
    #[cold]
    pub(super) fn keep(
        &self,
        (request, inquiry): (&Request<'_>, Inquiry<'_>),
        (decision, line): (&Decision<'_>, &DecisionLine<'_>),
        pinned: Pinned<'_>,
    ) {
        let recent = self.telemetry.recent();
        let is_known = line.consumer.is_some() || line.credential.is_some();
        let whose = if is_known { Whose::Somebodys } else { Whose::Strangers };
        if !recent.wants(whose, line.request_id, pinned.began.now) {
            return;
        }
        let [method, host, path] = line.asked();
        let kept = Kept {
            timestamp: Moment(self.clock.unix_millis()).to_string(),
            request_id: line.request_id,
            request: Asked { method: &method, host: &host, path: &path },
            duration_us: line.microseconds(),
            account: Account::of(decision, line, |value| value.counted()),
        };
        // Its members are texts, numbers and lists of them, which become JSON without fail.
        let mut kept = serde_json::to_value(kept).unwrap_or_default();
        kept["steps"] = match self.steps(request, inquiry, pinned, line) {
            Ok(steps) => json!(steps.into_iter().map(Told::from).collect::<Vec<_>>()),
            Err(why) => json!([why]),
        };
        bound(&mut kept);
        recent.keep(whose, line.request_id, &kept.to_string());
    }

    /// The steps of a decision; of one that has panicked those before the panic. Or why there are none: what
    /// contradicts the answer would mislead.
    fn steps(
        &self,
        request: &Request<'_>,
        inquiry: Inquiry<'_>,
        pinned: Pinned<'_>,
        line: &DecisionLine<'_>,
    ) -> Result<Vec<Step>, &'static str> {
        if size(request) > LARGE {
            return Err(TOO_LARGE);
        }
        let known = self.known(pinned, inquiry);
        let Pinned { began, catalog } = pinned;
        let world = World { catalog, peppers: &self.peppers, directory: &known, now: began.now };
        let mut steps = Vec::new();
        let decided = catch_unwind(AssertUnwindSafe(|| decide(world, request, &mut steps)))
            .unwrap_or_else(|_| panicked());
        let settled = known.settle(decided, request);
        let came_to_it = settled.is_ok_and(|Decided { verdict, .. }| is_told(&verdict, line));
        if came_to_it { Ok(steps) } else { Err(OTHERWISE) }
    }
}

/// Bytes of a request that are looked at once more for its steps.
const LARGE: usize = 16 << 10;
const TOO_LARGE: &str = "no steps are kept of a request whose path and body are longer than 16 KiB";

/// A change of the store has arrived in the microsecond between, or what was remembered has gone.
const OTHERWISE: &str = "no steps are kept: decided once more for them, the request came out otherwise";

fn size(request: &Request<'_>) -> usize {
    let body = match request.body {
        Body::Whole(body) => body.len(),
        Body::Absent | Body::Partial => 0,
    };
    request.target.len() + body
}

/// Whether a verdict is the one that was told.
fn is_told(verdict: &Result<Verdict<'_>, Fault>, line: &DecisionLine<'_>) -> bool {
    let told = (line.code, line.why);
    match verdict {
        // What comes after the steps may fail too.
        Ok(Verdict::Allow(_)) => line.code.is_none_or(|code| code == PANICKED.notice().code),
        Ok(Verdict::Deny(denial)) => told == (Some(denial.notice().code), denial.why()),
        Err(fault) => told == (Some(fault.notice().code), Some(fault.why())),
    }
}

/// Longest text that is kept, in characters, and most members of a list: whoever asks says how long they are.
const LONGEST: usize = 512;
const MOST: usize = 64;

/// Cuts what is long, and writes by its number what nobody would see: hosts and paths are the client's.
fn bound(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(LONGEST) {
                text.truncate(end);
                text.push('…');
            }
            let plain = on_one_line(text);
            if plain != text.as_str() {
                *text = plain.into_owned();
            }
        }
        Value::Array(members) => {
            let more = members.len().saturating_sub(MOST);
            members.truncate(MOST);
            members.iter_mut().for_each(bound);
            if more > 0 {
                members.push(json!(format!("… and {more} more")));
            }
        }
        Value::Object(members) => members.values_mut().for_each(bound),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_makes_long_or_moving_is_cut_and_plain() {
        let mut value = json!({ "a": ["é".repeat(600), "b\u{1b}[2J\u{9b}"], "c": vec!["d"; 100] });
        bound(&mut value);
        assert_eq!(value["a"][0], format!("{}…", "é".repeat(512)));
        assert_eq!(value["a"][1], "b\\u001b[2J\\u009b");
        assert_eq!(value["c"].as_array().map(Vec::len), Some(65));
        assert_eq!(value["c"][64], "… and 36 more");
    }
}
