//! Where in a service's settings a plugin stands: a method of `authentication`, `groups` or `networks`.
//!
//! Kong's plugins all have to be satisfied, unless they share an anonymous consumer: then one is enough.
//! That is `all`, and `any` with `anonymous`. Whatever else settings may say is left alone: it is
//! shown as far as Kong has words for it, and a plugin that would make something else of it is refused.

use serde_json::{Map, Value, json};

use super::Plugin;
use super::words::Config;
use crate::issue::Refusal;

type Settings = Map<String, Value>;

/// What is there of this plugin.
#[derive(Debug, PartialEq)]
pub(super) enum There {
    Nothing,
    /// In Kong's words, which say all of it.
    Said(Config),
    /// In Kong's words, which do not.
    Hinted(Config),
}

impl There {
    pub(super) fn config(&self) -> Option<&Config> {
        match self {
            Self::Nothing => None,
            Self::Said(config) | Self::Hinted(config) => Some(config),
        }
    }
}

pub(super) fn find(settings: &Settings, plugin: Plugin) -> There {
    let (found, anonymous) = match plugin.method() {
        None => (settings.get(plugin.key()).into_iter().collect(), None),
        Some(method) => {
            let authentication = Authentication::of(settings);
            let own = authentication.methods.iter().filter_map(|it| options(it, method));
            (own.collect::<Vec<&Value>>(), authentication.anonymous)
        }
    };
    let Some(first) = found.first() else { return There::Nothing };
    let config = plugin.config(first, anonymous);
    let said_again = plugin.settings(config.clone()).is_ok_and(|settings| settings == **first);
    match said_again && found.len() == 1 {
        true => There::Said(config),
        false => There::Hinted(config),
    }
}

/// Puts a plugin into the settings, in the place of the one that is there.
pub(super) fn put(settings: &mut Settings, plugin: Plugin, config: Config) -> Result<(), Refusal> {
    let before = find(settings, plugin);
    if let There::Hinted(_) = before {
        let why = format!(
            "the service's `{}` is more than `{}` can say; change it at `/services`",
            plugin.key(),
            plugin.name()
        );
        return Err(Refusal::Contradiction(why));
    }
    let anonymous = config.get("anonymous").and_then(Value::as_str).map(str::to_owned);
    let own = plugin.settings(config)?;
    let Some(method) = plugin.method() else {
        settings.insert(plugin.key().to_owned(), own);
        return Ok(());
    };
    let authentication = Authentication::of(settings);
    let is_new = before == There::Nothing;
    let others = authentication.methods.iter().filter(|it| options(it, method).is_none()).count();
    if others > 0 && authentication.anonymous != anonymous.as_deref() {
        let why = "must be that of the service's other plugins: one consumer stands for whoever proves \
                   nothing to any of them";
        return Err(Refusal::Invalid { field: "config.anonymous", why: why.to_owned() });
    }
    let enough = if anonymous.is_some() { "any" } else { "all" };
    if is_new && others > 1 && authentication.enough != enough {
        let why = format!(
            "the service's `authentication` has `{}` of its methods, which Kong's plugins cannot say; \
             change it at `/services`",
            authentication.enough
        );
        return Err(Refusal::Contradiction(why));
    }
    let enough = if is_new || others == 0 { enough } else { authentication.enough };
    let mut methods: Vec<Value> =
        authentication.methods.iter().filter(|it| options(it, method).is_none()).cloned().collect();
    methods.push(json!({ (method): own }));
    methods.sort_by_key(turn);
    let mut next = json!({ (enough): methods });
    if let Some(anonymous) = anonymous {
        next["anonymous"] = json!(anonymous);
    }
    settings.insert(AUTHENTICATION.to_owned(), next);
    Ok(())
}

/// Takes a plugin out of the settings.
pub(super) fn take(settings: &mut Settings, plugin: Plugin) -> Result<(), Refusal> {
    let Some(method) = plugin.method() else {
        settings.remove(plugin.key());
        return Ok(());
    };
    let Authentication { enough, methods, anonymous } = Authentication::of(settings);
    let left: Vec<&Value> = methods.iter().filter(|it| options(it, method).is_none()).collect();
    if left.is_empty() {
        let why = format!(
            "without `{}` the service would be open to everybody; where that is meant, write \
             `authentication: none` at `/services`",
            plugin.name()
        );
        return Err(Refusal::Contradiction(why));
    }
    let mut next = json!({ (enough): left });
    if let Some(anonymous) = anonymous {
        next["anonymous"] = json!(anonymous);
    }
    settings.insert(AUTHENTICATION.to_owned(), next);
    Ok(())
}

pub(super) const AUTHENTICATION: &str = "authentication";

/// A service's `authentication`, as it was written.
struct Authentication<'s> {
    /// `any` or `all`.
    enough: &'static str,
    methods: &'s [Value],
    anonymous: Option<&'s str>,
}

impl<'s> Authentication<'s> {
    fn of(settings: &'s Settings) -> Self {
        let written = settings.get(AUTHENTICATION).unwrap_or(&Value::Null);
        let methods = |word: &str| written.get(word).and_then(Value::as_array);
        let (enough, methods) = match (methods("any"), methods("all")) {
            (Some(any), _) => ("any", &any[..]),
            (None, Some(all)) => ("all", &all[..]),
            (None, None) => ("all", &[][..]),
        };
        Self { enough, methods, anonymous: written.get("anonymous").and_then(Value::as_str) }
    }
}

/// Kong asks its plugins in this order, ours first: of `any` the first that proves counts, of `all` the last.
fn turn(method: &Value) -> usize {
    let order = [Plugin::Jwt, Plugin::KeyAuth, Plugin::BasicAuth];
    let place =
        order.iter().position(|plugin| plugin.method().is_some_and(|it| options(method, it).is_some()));
    place.map_or(0, |place| place + 1)
}

/// What a method of this name is written with; a bare word is one without options.
fn options<'v>(method: &'v Value, name: &str) -> Option<&'v Value> {
    if method.as_str() == Some(name) { Some(&Value::Null) } else { method.get(name) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn settings(authentication: Value) -> Settings {
        let Value::Object(settings) = json!({ "name": "s", "authentication": authentication }) else {
            unreachable!()
        };
        settings
    }

    fn with(plugin: Plugin, changes: Value) -> Config {
        let mut config = plugin.defaults();
        config.extend(changes.as_object().unwrap().clone());
        config
    }

    fn key_auth() -> Value {
        json!({ "api_key": {
            "names": ["apikey"], "in": ["header", "query"], "hide": false, "preflight": true, "bearer": false,
        }})
    }

    fn jwt() -> Value {
        json!({ "jwt": { "issuer": "accounts", "bearer": true, "hide": false, "query": ["jwt"] }})
    }

    #[test]
    fn what_is_put_is_found_again_and_says_all() {
        for (plugin, changes) in [
            (Plugin::KeyAuth, json!({})),
            (Plugin::KeyAuth, json!({ "anonymous": "guest", "realm": "r", "key_in_body": true })),
            (Plugin::KeyAuth, json!({ "key_names": ["a", "b"], "key_in_query": false })),
            (Plugin::Jwt, json!({})),
            (Plugin::Jwt, json!({ "issuer": "accounts" })),
            (Plugin::Jwt, json!({ "issuer": "a", "cookie_names": ["c"], "header_names": [] })),
            (Plugin::BasicAuth, json!({})),
            (Plugin::BasicAuth, json!({ "realm": "r", "hide_credentials": true, "anonymous": "guest" })),
            (Plugin::Acl, json!({ "allow": ["gold"] })),
            (Plugin::Acl, json!({ "deny": ["gold", "silver"] })),
            (Plugin::IpRestriction, json!({ "allow": ["192.0.2.0/24"], "deny": ["192.0.2.1"] })),
        ] {
            let mut settings = settings(json!("none"));
            let config = with(plugin, changes);
            put(&mut settings, plugin, config.clone()).unwrap();
            assert_eq!(find(&settings, plugin), There::Said(config));
        }
    }

    #[test]
    fn plugins_all_count_unless_they_share_an_anonymous_consumer() {
        let mut both = settings(json!("none"));
        put(&mut both, Plugin::KeyAuth, Plugin::KeyAuth.defaults()).unwrap();
        put(&mut both, Plugin::Jwt, with(Plugin::Jwt, json!({ "issuer": "accounts" }))).unwrap();
        assert_eq!(both[AUTHENTICATION], json!({ "all": [jwt(), key_auth()] }));

        let mut either = settings(json!("none"));
        put(&mut either, Plugin::KeyAuth, with(Plugin::KeyAuth, json!({ "anonymous": "guest" }))).unwrap();
        let shared = with(Plugin::Jwt, json!({ "issuer": "accounts", "anonymous": "guest" }));
        put(&mut either, Plugin::Jwt, shared).unwrap();
        assert_eq!(either[AUTHENTICATION], json!({ "any": [jwt(), key_auth()], "anonymous": "guest" }));

        let other = with(Plugin::Jwt, json!({ "issuer": "accounts" }));
        let refused = put(&mut either, Plugin::Jwt, other);
        assert!(matches!(refused, Err(Refusal::Invalid { field: "config.anonymous", .. })), "{refused:?}");
    }

    #[test]
    fn a_plugin_does_not_turn_either_into_both() {
        let either = json!({ "any": [{ "cookie": {} }, { "static_token": {} }] });
        let mut settings = settings(either);
        let refused = put(&mut settings, Plugin::KeyAuth, Plugin::KeyAuth.defaults());
        assert!(matches!(refused, Err(Refusal::Contradiction(_))), "{refused:?}");
    }

    #[test]
    fn what_kong_cannot_say_is_shown_and_not_overwritten() {
        for (method, plugin) in [
            (
                json!({ "api_key": { "names": ["k"], "in": ["cookie"], "hide": false, "preflight": true, "bearer": false } }),
                Plugin::KeyAuth,
            ),
            (
                json!({ "api_key": { "names": ["k"], "in": ["query", "header"], "hide": false, "preflight": true, "bearer": false } }),
                Plugin::KeyAuth,
            ),
            (
                json!({ "api_key": { "names": ["k"], "in": ["header"], "hide": false, "preflight": true, "bearer": true } }),
                Plugin::KeyAuth,
            ),
            (json!({ "jwt": { "issuer": "a", "bearer": true, "hide": true } }), Plugin::Jwt),
        ] {
            let before = settings(json!({ "any": [method] }));
            assert!(matches!(find(&before, plugin), There::Hinted(_)), "{before:?}");
            let mut after = before.clone();
            let config =
                with(plugin, if plugin == Plugin::Jwt { json!({ "issuer": "a" }) } else { json!({}) });
            assert!(matches!(put(&mut after, plugin, config), Err(Refusal::Contradiction(_))));
            assert_eq!(after, before);
        }
        for written in [json!("basic"), json!({ "basic": {} })] {
            let bare = settings(json!({ "any": [written] }));
            let There::Hinted(shown) = find(&bare, Plugin::BasicAuth) else { panic!("{bare:?}") };
            assert_eq!((&shown["realm"], &shown["hide_credentials"]), (&json!("doorward"), &json!(true)));
        }
        let twice = settings(json!({ "any": [key_auth(), key_auth()] }));
        assert!(matches!(find(&twice, Plugin::KeyAuth), There::Hinted(_)));
    }

    #[test]
    fn the_last_method_cannot_be_taken_away() {
        let mut settings = settings(json!({ "all": [jwt(), key_auth()] }));
        take(&mut settings, Plugin::Jwt).unwrap();
        assert_eq!(settings[AUTHENTICATION], json!({ "all": [key_auth()] }));
        let before = settings.clone();
        assert!(matches!(take(&mut settings, Plugin::KeyAuth), Err(Refusal::Contradiction(_))));
        assert_eq!(settings, before);
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused_by_its_field() {
        for (plugin, changes, expected) in [
            (
                Plugin::KeyAuth,
                json!({ "key_in_header": false, "key_in_query": false }),
                "config.key_in_header",
            ),
            (Plugin::Acl, json!({}), "config.allow"),
            (Plugin::Acl, json!({ "allow": [] }), "config.allow"),
            (Plugin::Acl, json!({ "allow": ["a"], "deny": ["b"] }), "config.allow"),
            (Plugin::Acl, json!({ "allow": ["a"], "hide_groups_header": true }), "config.hide_groups_header"),
            (Plugin::IpRestriction, json!({}), "config.allow"),
            (Plugin::IpRestriction, json!({ "allow": ["192.0.2.1"], "status": 404 }), "config.status"),
            (Plugin::IpRestriction, json!({ "allow": ["192.0.2.1"], "message": "no" }), "config.message"),
            (Plugin::Jwt, json!({ "issuer": "a", "maximum_expiration": 60 }), "config.maximum_expiration"),
            (Plugin::Jwt, json!({ "issuer": "a", "claims_to_verify": ["aud"] }), "config.claims_to_verify"),
            (Plugin::Jwt, json!({ "issuer": "a", "header_names": ["x-token"] }), "config.header_names"),
        ] {
            let refused = put(&mut settings(json!("none")), plugin, with(plugin, changes));
            assert!(
                matches!(&refused, Err(Refusal::Invalid { field, .. }) if *field == expected),
                "{expected}: {refused:?}"
            );
        }
    }
}
