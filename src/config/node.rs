//! A YAML document as a tree with places, before anybody asks what it means.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, MessageFormatter, Spanned, UserMessageFormatter};

use super::fault::{Fault, quoted};
use super::place::Place;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// No value is written.
    Nothing,
    /// The word `null`, or `~`.
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    /// Text from outside the file, where there are no types: `true`, `4` and `0.5` are read as
    /// what is expected of them.
    Given(String),
    List(Vec<Node>),
    /// In the written order; keys are unique.
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub place: Place,
    pub key: String,
    pub value: Node,
}

/// What a file may ask of us while it is read. Files are the operator's, but may be made by
/// machines, and a reload must not take the instance down.
pub(super) struct Bounds;

impl Bounds {
    /// 16 MiB: some 100,000 consumers.
    pub(super) const FILE_BYTES: u64 = 16 << 20;
    /// Ours needs nine levels.
    const DEPTH: usize = 32;
    /// Values, keys, lists and maps.
    const NODES: usize = 1_000_000;
    /// Values that come from an anchor of the file a second time.
    const REPLAYED: usize = 100_000;
    const ALIASES: usize = 10_000;

    fn options() -> serde_saphyr::Options {
        serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: Self::DEPTH,
                flow_nesting_limit: Self::DEPTH,
                max_nodes: Self::NODES,
                max_events: 2 * Self::NODES,
                max_aliases: Self::ALIASES,
                max_anchors: Self::ALIASES,
                max_merge_keys: Self::ALIASES,
                max_recorded_anchor_events: Self::REPLAYED,
                max_recorded_anchor_bytes: 1 << 20,
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: Self::REPLAYED,
                max_replay_stack_depth: 8,
            },
            emit_comments: false,
            // `no` is text, `0123` and `1_000` are: nothing is taken for what it may not mean.
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            reject_unsupported_tags: true,
            with_snippet: false,
        }
    }
}

impl Node {
    /// An empty document is an empty tree.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let options = Bounds::options();
        let spanned: Spanned<Value> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| fault(&error))?;
        let mut tree = Self { place: place(spanned.referenced), value: spanned.value };
        if tree.has_nothing() {
            tree.tell_null_from_nothing(&text.lines().collect::<Vec<_>>());
        }
        Ok(tree)
    }

    /// An object that the store holds. Its values are numbered as they come, a key with its value.
    pub(super) fn of_json(json: &serde_json::Value, serial: u32) -> Self {
        let mut count = 0;
        numbered(json, serial, &mut count)
    }

    fn has_nothing(&self) -> bool {
        match &self.value {
            Value::Nothing => true,
            Value::List(items) => items.iter().any(Self::has_nothing),
            Value::Map(entries) => entries.iter().any(|entry| entry.value.has_nothing()),
            _ => false,
        }
    }

    /// YAML has one value for both; here a word that somebody wrote is not a line that lost its end.
    fn tell_null_from_nothing(&mut self, lines: &[&str]) {
        match &mut self.value {
            Value::Nothing if says_null(self.place, lines) => self.value = Value::Null,
            Value::List(items) => items.iter_mut().for_each(|item| item.tell_null_from_nothing(lines)),
            Value::Map(entries) => {
                entries.iter_mut().for_each(|entry| entry.value.tell_null_from_nothing(lines));
            }
            _ => {}
        }
    }

    /// What a map has under that key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key)
    }

    /// An item of a list, counted from 0.
    pub(super) fn item(&self, at: usize) -> Option<&Self> {
        let Value::List(items) = &self.value else { return None };
        items.get(at)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.value, Value::Text(text) if text == word)
    }

    /// Every text under a key of that name, however deep.
    pub(super) fn texts_under<'a>(&'a self, key: &str, found: &mut Vec<&'a str>) {
        match &self.value {
            Value::List(items) => items.iter().for_each(|item| item.texts_under(key, found)),
            Value::Map(entries) => {
                for entry in entries {
                    match &entry.value.value {
                        Value::Text(text) if entry.key == key => found.push(text),
                        _ => entry.value.texts_under(key, found),
                    }
                }
            }
            _ => {}
        }
    }
}

fn numbered(json: &serde_json::Value, serial: u32, count: &mut u32) -> Node {
    let place = Place::Object { serial, value: *count };
    *count += 1;
    let value = match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Value::Unsigned(number),
            (None, Some(number)) => Value::Signed(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => {
            Value::List(items.iter().map(|item| numbered(item, serial, count)).collect())
        }
        serde_json::Value::Object(map) => {
            let entry = |(key, value): (&String, &serde_json::Value)| {
                let value = numbered(value, serial, count);
                Entry { place: value.place, key: key.clone(), value }
            };
            Value::Map(map.iter().map(entry).collect())
        }
    };
    Node { place, value }
}

/// Where the value of that number is, as one writes it: `rules[0].paths`. Empty for the whole.
pub(super) fn path_of(json: &serde_json::Value, number: u32) -> String {
    let mut path = String::new();
    walk(json, &mut number.clone(), &mut path);
    path
}

/// Whether the value was found; `path` leads to it then, and is as it was otherwise.
fn walk(json: &serde_json::Value, left: &mut u32, path: &mut String) -> bool {
    let Some(rest) = left.checked_sub(1) else { return true };
    *left = rest;
    let before = path.len();
    let mut enter = |step: String, value: &serde_json::Value, path: &mut String| {
        path.push_str(&step);
        let found = walk(value, left, path);
        if !found {
            path.truncate(before);
        }
        found
    };
    match json {
        serde_json::Value::Array(items) => {
            items.iter().enumerate().any(|(at, item)| enter(format!("[{at}]"), item, path))
        }
        serde_json::Value::Object(map) => map.iter().any(|(key, value)| {
            let dot = if before == 0 { "" } else { "." };
            enter(format!("{dot}{key}"), value, path)
        }),
        _ => false,
    }
}

fn says_null(place: Place, lines: &[&str]) -> bool {
    let Place::File { line, column } = place else { return false };
    let (above, before) = (line.saturating_sub(1) as usize, column.saturating_sub(1) as usize);
    let Some(rest) =
        lines.get(above).and_then(|line| line.char_indices().nth(before).map(|at| &line[at.0..]))
    else {
        return false;
    };
    ["null", "Null", "NULL", "~"].iter().any(|word| rest.starts_with(word))
}

fn place(location: Location) -> Place {
    match (u32::try_from(location.line()), u32::try_from(location.column())) {
        (Ok(line @ 1..), Ok(column)) => Place::File { line, column: column.max(1) },
        _ => Place::Default,
    }
}

fn fault(error: &serde_saphyr::Error) -> Fault {
    let place = error.location().map_or(Place::Default, place);
    let mut cause = error;
    while let serde_saphyr::Error::AliasError { error, .. } | serde_saphyr::Error::WithSnippet { error, .. } =
        cause
    {
        cause = error;
    }
    let message = match cause {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("duplicate key {}: a key stands once in a map", quoted(key))
        }
        serde_saphyr::Error::Budget { .. }
        | serde_saphyr::Error::AliasReplayLimitExceeded { .. }
        | serde_saphyr::Error::AliasReplayStackDepthExceeded { .. } => {
            "too large, too deep, or with too many aliases for a configuration".to_owned()
        }
        serde_saphyr::Error::MultipleDocuments { .. } => {
            "a second document begins here, expected one; use a file for each".to_owned()
        }
        other => format!("not readable as YAML: {}", UserMessageFormatter.format_message(other)),
    };
    Fault::new(place, message)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(Node { place: place(item.referenced), value: item.value });
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let value = entries.next_value::<Spanned<Value>>()?;
            map.push(Entry {
                place: place(key.referenced),
                key: key.value,
                value: Node { place: place(value.referenced), value: value.value },
            });
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_of_an_object_is_found_by_its_number() {
        let json = json!({"a": [1, {"b": null}], "c": {"d": "x"}, "e": true});
        let paths: Vec<String> = (0..8).map(|number| path_of(&json, number)).collect();
        assert_eq!(paths, ["", "a", "a[0]", "a[1]", "a[1].b", "c", "c.d", "e"]);
        let tree = Node::of_json(&json, 7);
        let inner = tree.get("c").and_then(|entry| entry.value.get("d")).map(|entry| entry.place);
        assert_eq!(inner, Some(Place::Object { serial: 7, value: 6 }));
    }
}
