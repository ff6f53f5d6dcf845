//! `doorward.yaml` at the root is the documentation of the defaults.

use serde_json::Value;

use super::*;

/// The sample, with what it shows in comments brought to life.
fn whole() -> String {
    let shown = [
        "# tls:",
        "# public_url:",
        "# forward_auth:",
        "# workers:",
        "# realm:",
        "# keys:",
        "# claims:",
        "# privileges:",
        "# grants:",
        "# versions:",
        "# version:",
        "#   ",
    ];
    let alive = |line: &str| match shown.iter().any(|start| line.trim_start().starts_with(start)) {
        true => line.replacen("# ", "", 1) + "\n",
        false => line.to_owned() + "\n",
    };
    SAMPLE.lines().map(alive).collect()
}

#[test]
fn the_sample_is_good_and_its_settings_are_the_defaults() {
    let mut sample = good(SAMPLE);
    assert_eq!((sample.services.len(), sample.consumers.len(), sample.permissions.len()), (1, 1, 2));
    let Authentication::Required(required) = &sample.services[0].authentication.value else {
        panic!("the sample's service is not public")
    };
    let methods: Vec<&Method> =
        required.any.iter().flat_map(|methods| &methods.value).map(|it| &it.value).collect();
    let defaults = [Method::ApiKey(ApiKey::default()), Method::StaticToken(StaticToken::default())];
    assert_eq!(methods[..2], defaults.iter().collect::<Vec<_>>());
    let values = |config: &Config| serde_json::to_value(config).unwrap();
    // Whoever writes what has no default has the rest by default.
    let bare = good(
        "issuers:\n  accounts: {issuer: \"https://accounts.example.com\", audiences: [orders], algorithms: [RS256, ES256], \
         discovery: true}\nservices: [{name: a, authentication: {any: [jwt: {issuer: accounts}]}}]\n",
    );
    let method = |config: &Config, at: usize| {
        values(config)["services"][0]["authentication"]["any"][at]["jwt"].clone()
    };
    assert_eq!(method(&sample, 2), method(&bare, 0));
    assert_eq!(methods[4], &Method::Token(Token::default()));
    assert_eq!(values(&sample)["issuers"], values(&bare)["issuers"]);
    let service = &sample.services[0];
    assert_eq!((service.mode.value, service.path.value), (Mode::default(), PathReading::default()));
    sample.services.clear();
    sample.consumers.clear();
    sample.permissions.clear();
    sample.roles.clear();
    sample.projects.clear();
    sample.infrastructures.clear();
    sample.issuers.clear();
    sample.groups.clear();
    sample.deployments = None;
    assert_eq!(values(&sample), values(&Config::default()));
}

/// The settings that the description of the interface prints; with the address that it leaves out, and the
/// guest whom it names.
#[test]
fn the_settings_of_the_interface_load_as_they_are_printed() {
    let printed = include_str!("../../../tests/documents/interface.yaml");
    let phc = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$L2hhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNo";
    let env = [("ALICE_KEY", "alice-key-0123456789"), ("ALICE_PASSWORD_PHC", phc)];
    let config = good_with(printed, &env);
    assert!(config.cookie.domain.is_none(), "`null` says what leaving it out says");
    let deployments = config.deployments.as_ref().map(|all| all.value.len());
    let counted = (config.permissions.len(), config.roles.len(), config.services.len(), deployments);
    assert_eq!(counted, (2, 3, 1, Some(2)));
    let broken = printed.replace("domain: null", "domain: example");
    assert!(Desk::with(broken).load(&env, &[]).is_err(), "it is read");
}

#[test]
fn every_setting_stands_in_the_sample() {
    let written = Desk::with(SAMPLE).load(&[], &[]).ok().unwrap().origins;
    let Value::Object(sections) = serde_json::to_value(Config::default()).unwrap() else { panic!("a map") };
    for (section, value) in sections {
        match value {
            Value::Object(settings) => settings.keys().for_each(|setting| {
                assert!(written.contains_key(&format!("{section}.{setting}")), "{section}.{setting}");
            }),
            _ => assert!(written.contains_key(&section), "{section}"),
        }
    }
    for optional in ["data_dir", "public_url", "workers", "forward_auth"] {
        assert!(SAMPLE.contains(&format!("\n# {optional}: ")), "{optional}");
    }
    assert!(SAMPLE.contains("\n  # tls:"));
}

#[test]
fn what_the_sample_shows_in_comments_is_good_too() {
    let config = good_with(&whole(), &[("ALICE_KEY", "alices-key-is-a-long-one")]);
    assert_eq!(config.workers.as_ref().map(|workers| workers.value), Some(2));
    assert!(config.listen.tls.grpc.as_ref().is_some_and(|tls| tls.client_ca.is_some()));
    assert!(config.listen.tls.status.is_some());
    let key = &config.consumers[0].keys[0];
    assert!(key.from_env.is_some() && key.services.is_some() && key.expires_at.is_some());
    let catalog = config.catalog(&peppers()).ok().unwrap();
    assert_eq!(catalog.keys().count(), 1);
}

#[test]
fn the_schema_knows_every_key_of_the_sample() {
    let schema = schema();
    let sample: Value = serde_saphyr::from_str(&whole()).unwrap();
    assert_eq!(misfit(&sample, &schema, &schema), None);
    for (wrong, expected) in [
        ("nonsense: 1", "/nonsense"),
        ("log: {levle: info}", "/log/levle"),
        ("log: {level: loud}", "/log/level"),
        ("listen: {tls: {admin_socket: {certificate: a, key: b}}}", "/listen/tls/admin_socket"),
        ("listen: {tls: {grpc: {certificate: a}}}", "/listen/tls/grpc"),
        ("services: [{name: a}]", "/services/0"),
        ("services: [{name: a, authentication: {any: [basik]}}]", "/services/0/authentication"),
        ("services: [{name: a, authentication: {any: [], all: []}}]", "/services/0/authentication"),
        (
            "services: [{name: a, authentication: {any: [static_token, static_tokn]}}]",
            "/services/0/authentication",
        ),
        ("services: [{name: a, authentication: none, rules: [{method: GET}]}]", "/services/0/rules/0/method"),
        ("services: [{name: a, authentication: none, networks: null}]", "/services/0/networks"),
        (
            "deployments: [{service: a, infrastructure: b, override: {authentication: null}}]",
            "/deployments/0/override",
        ),
        ("deployments: [{service: a, infrastructure: b, override: {mode: 1}}]", "/deployments/0/override"),
        (
            "deployments: [{service: a, infrastructure: b, override: {path: strict}}]",
            "/deployments/0/override",
        ),
        ("deployments: [{service: a}]", "/deployments/0"),
        ("consumers: [{username: a, roles: {p: admin}}]", "/consumers/0/roles/p"),
        ("data_dir: null", "/data_dir"),
        ("workers: lots", "/workers"),
    ] {
        let wrong: Value = serde_saphyr::from_str(wrong).unwrap();
        assert_eq!(misfit(&wrong, &schema, &schema).as_deref(), Some(expected));
    }
}

/// Where `value` does not fit `schema`: as much of JSON Schema as ours uses, but for patterns.
fn misfit(value: &Value, schema: &Value, root: &Value) -> Option<String> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return misfit(value, root.pointer(reference.trim_start_matches('#')).unwrap(), root);
    }
    let here = || Some(String::new());
    let fits = |schema: &&Value| misfit(value, schema, root).is_none();
    let list = |word: &str| schema.get(word).and_then(Value::as_array);
    let wrong_choice = list("oneOf").is_some_and(|choices| choices.iter().filter(fits).count() != 1)
        || list("anyOf").is_some_and(|choices| !choices.iter().any(|choice| fits(&choice)))
        || list("enum").is_some_and(|words| !words.contains(value))
        || schema.get("const").is_some_and(|word| word != value)
        || list("required")
            .is_some_and(|keys| keys.iter().any(|key| value.get(key.as_str().unwrap()).is_none()));
    let wrong_type = schema.get("type").and_then(Value::as_str).is_some_and(|kind| match kind {
        "object" => !value.is_object(),
        "array" => !value.is_array(),
        "string" => !value.is_string(),
        "boolean" => !value.is_boolean(),
        "integer" => !value.is_u64(),
        "number" => !value.is_number(),
        other => panic!("our schema uses no `{other}`"),
    });
    if wrong_choice || wrong_type {
        return here();
    }
    if let Some(parts) = list("allOf") {
        return parts.iter().find_map(|part| misfit(value, part, root));
    }
    let below = |key: &str, value, schema| misfit(value, schema, root).map(|path| format!("/{key}{path}"));
    if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
        return values.iter().enumerate().find_map(|(at, value)| below(&at.to_string(), value, items));
    }
    if let (Some(Value::Object(known)), Value::Object(values)) = (schema.get("properties"), value) {
        assert_eq!(schema["additionalProperties"], false, "unknown keys are errors everywhere");
        return values.iter().find_map(|(key, value)| match known.get(key) {
            Some(schema) => below(key, value, schema),
            None => Some(format!("/{key}")),
        });
    }
    if let (Some(schema @ Value::Object(_)), Value::Object(values)) =
        (schema.get("additionalProperties"), value)
    {
        return values.iter().find_map(|(key, value)| below(key, value, schema));
    }
    None
}
