//! What one import says twice. A dry run writes nothing, so the server cannot know of the first of two.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::issue::Refusal;

/// What the import would have made by now.
#[derive(Default)]
pub(super) struct Twins {
    /// Which consumer each name is of that one would have: id, username or custom id.
    consumers: HashMap<String, usize>,
    made: usize,
    /// Whose each text is that one alone may have, by its kind.
    texts: HashMap<(&'static str, String), Whose>,
    /// The settings of each plugin, by service and name.
    policies: HashMap<(String, String), String>,
}

/// One that would be made goes by its number, for it has several names; any other by its name.
#[derive(PartialEq)]
enum Whose {
    Made(usize),
    Known(Option<String>),
}

impl Twins {
    pub(super) fn would_make(&self, consumer: &str) -> bool {
        self.consumers.contains_key(consumer)
    }

    pub(super) fn consumer(
        &mut self,
        id: Option<&str>,
        username: Option<&str>,
        custom_id: Option<&str>,
    ) -> Value {
        if [id, username].into_iter().flatten().any(|name| self.would_make(name)) {
            return UNCHANGED.into();
        }
        match custom_id.filter(|custom_id| self.would_make(custom_id)) {
            Some(custom_id) if username.is_some() => {
                return refused(&Refusal::Taken { what: "custom_id", name: custom_id.to_owned() });
            }
            Some(_) => return UNCHANGED.into(),
            None => {}
        }
        self.made += 1;
        let names = [id, username, custom_id].into_iter().flatten();
        self.consumers.extend(names.map(|name| (name.to_owned(), self.made)));
        MADE.into()
    }

    /// One that goes by a text that nobody else may have. `taken` is what is said of another's.
    pub(super) fn credential(
        &mut self,
        (kind, text): (&'static str, &str),
        owner: Option<String>,
        taken: Refusal,
    ) -> Value {
        let whose = self.whose(owner);
        let place = (kind, text.to_owned());
        match self.texts.get(&place) {
            Some(theirs) if *theirs == whose => UNCHANGED.into(),
            Some(_) => refused(&taken),
            None => {
                self.texts.insert(place, whose);
                MADE.into()
            }
        }
    }

    /// Everybody may be in a group, once.
    pub(super) fn membership(&mut self, group: &str, owner: Option<String>) -> Value {
        let member = match self.whose(owner) {
            Whose::Made(number) => format!("{number} {group}"),
            Whose::Known(name) => format!("{} {group}", json!(name)),
        };
        self.credential(("acl", &member), None, Refusal::Hidden)
    }

    pub(super) fn policy(
        &mut self,
        (service, plugin): (&str, &str),
        settings: String,
        taken: Refusal,
    ) -> Value {
        let place = (service.to_owned(), plugin.to_owned());
        match self.policies.get(&place) {
            Some(there) if *there == settings => UNCHANGED.into(),
            Some(_) => refused(&taken),
            None => {
                self.policies.insert(place, settings);
                MADE.into()
            }
        }
    }

    fn whose(&self, owner: Option<String>) -> Whose {
        let number = owner.as_ref().and_then(|name| self.consumers.get(name));
        number.map_or_else(|| Whose::Known(owner.clone()), |number| Whose::Made(*number))
    }
}

const MADE: &str = "made";
const UNCHANGED: &str = "unchanged";

/// As the server tells a refusal.
fn refused(refusal: &Refusal) -> Value {
    json!({ "refused": refusal.to_string() })
}
