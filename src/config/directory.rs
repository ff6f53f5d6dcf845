//! What the file declares of one kind: found by name or by id.

use std::collections::HashMap;

use uuid::Uuid;

use super::fault::{Fault, listed, quoted};
use super::place::{At, Place};

/// The longest name, in bytes: percent-encoded it still fits in a header of 1 KiB.
const LONGEST_NAME: usize = 256;

/// Names and ids of one kind of thing.
#[derive(Debug)]
pub(super) struct Directory {
    /// In the singular: `service`.
    kind: &'static str,
    /// Where such things are declared: `services`.
    list: &'static str,
    names: HashMap<String, (Uuid, Place)>,
    ids: HashMap<Uuid, (Option<String>, Place)>,
}

impl Directory {
    pub(super) fn new(kind: &'static str, list: &'static str) -> Self {
        Self { kind, list, names: HashMap::new(), ids: HashMap::new() }
    }

    /// Names and ids stand for one thing each.
    pub(super) fn declare(&mut self, name: Option<&At<String>>, id: At<Uuid>, faults: &mut Vec<Fault>) {
        if let Some(name) = name {
            check_name(self.kind, name, faults);
            if Uuid::try_parse(name).is_ok_and(|other| other != id.value) {
                let message = format!("the name {} looks like an id; choose another", quoted(name));
                faults.push(Fault::new(name.place, message));
            }
            if let Some((_, first)) = self.names.insert(name.value.clone(), (id.value, name.place)) {
                let message = format!(
                    "there are two {}s with the name {}; the other is in {}",
                    self.kind,
                    quoted(name),
                    first.describe()
                );
                faults.push(Fault::new(name.place, message));
                return;
            }
        }
        let known = (name.map(|name| name.value.clone()), id.place);
        if let Some((_, first)) = self.ids.insert(id.value, known) {
            let message = format!(
                "there are two {}s with the id `{}`; the other is in {}",
                self.kind,
                id.value,
                first.describe()
            );
            faults.push(Fault::new(id.place, message));
        }
    }

    /// What a reference by name or id stands for; a dangling one is a fault.
    pub(super) fn find(&self, reference: &At<String>, faults: &mut Vec<Fault>) -> Option<Uuid> {
        let found = self.lookup(reference);
        if found.is_none() {
            faults.push(self.dangling(reference));
        }
        found
    }

    pub(super) fn lookup(&self, reference: &str) -> Option<Uuid> {
        let by_id = || Uuid::try_parse(reference).ok().filter(|id| self.ids.contains_key(id));
        self.names.get(reference).map(|(id, _)| *id).or_else(by_id)
    }

    /// The name of what a reference stands for.
    pub(super) fn name_of(&self, reference: &str) -> Option<&str> {
        self.lookup(reference).and_then(|id| self.ids.get(&id)?.0.as_deref())
    }

    pub(super) fn name_of_id(&self, id: &Uuid) -> Option<&str> {
        self.ids.get(id)?.0.as_deref()
    }

    pub(super) fn dangling(&self, reference: &At<String>) -> Fault {
        let mut names: Vec<&str> = self.names.keys().map(String::as_str).collect();
        names.sort_unstable();
        let expected = match names.len() {
            0 => format!("but `{}` declares none", self.list),
            1..=8 => format!("expected one of {} or its id", listed(&names)),
            _ => format!("expected a name or id from `{}`", self.list),
        };
        let message = format!("unknown {} {}, {expected}", self.kind, quoted(reference));
        let brief = format!("unknown {} {}", self.kind, quoted(reference));
        Fault::new(reference.place, message).briefly(brief).hint(reference, names)
    }
}

/// A name goes into headers, logs and URLs.
pub(super) fn check_name(kind: &str, name: &At<String>, faults: &mut Vec<Fault>) {
    let mut complain = |why: &str| {
        faults.push(Fault::new(name.place, format!("the {kind} name {} {why}", quoted(name))));
    };
    if name.is_empty() {
        complain("is empty");
    } else if name.len() > LONGEST_NAME {
        complain(&format!("has {} bytes, at most {LONGEST_NAME} are allowed", name.len()));
    } else if name.chars().any(char::is_control) {
        complain("has a control character");
    } else if name.trim() != name.value {
        complain("begins or ends with a blank");
    }
}
