//! What the documents show can be done: each command in them is run. The README's start, as one script,
//! is in `readme.rs`; sample files are in `samples.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::world::{key, setup, started};

const DOCUMENTS: [&str; 27] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/admin.md",
    "docs/containers.md",
    "docs/contour.md",
    "docs/envoy-gateway.md",
    "docs/envoy.md",
    "docs/istio.md",
    "docs/forward-auth.md",
    "docs/jwt.md",
    "docs/kong.md",
    "docs/kubernetes.md",
    "docs/login.md",
    "docs/monitoring.md",
    "docs/oauth.md",
    "docs/redis.md",
    "docs/tokens.md",
    "doorward.yaml",
    "examples/cases.yaml",
    "examples/demo/doorward.yaml",
    "deploy/compose/doorward.yaml",
    "envoy/demo.yaml",
    "envoy/hardened.yaml",
    "fuzz/README.md",
];

/// What stands between backticks and begins with `program`: the rest of it, in words.
fn shown(program: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for name in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        // A span may go on in the next line, of a comment too.
        let text = text.replace("\n#", "\n");
        let spans = text.split('`').skip(1).step_by(2).chain(text.lines().map(str::trim));
        for span in spans {
            let mut words = span.split_whitespace().map(str::to_owned);
            if words.next().as_deref() == Some(program) && !span.contains(['>', '$', '|']) {
                found.insert(words.collect());
            }
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The policy that the README shows.
fn policy() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let policy = readme.split("\n```").find_map(|block| block.strip_prefix("yaml\n")).unwrap();
    format!("listen: {{grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}}\n{policy}")
}

/// Named in passing, without what they need: their help is there.
const IN_PASSING: [&str; 20] = [
    "audit retire",
    "bench",
    "completions",
    "consumer create",
    "consumer update",
    "consumer",
    "doctor envoy",
    "explain",
    "import kong",
    "infrastructure grant",
    "key create",
    "key revoke",
    "key rotate",
    "key update",
    "key",
    "password hash",
    "password set alice",
    "service grant",
    "store backup",
    "test",
];

#[test]
fn every_command_in_the_documents_runs() {
    let commands = shown("doorward");
    assert!(commands.len() >= 15, "documents lost their commands: {commands:?}");
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    setup.write(&policy()).unwrap();
    let mut doorward = started(&setup);
    let run = |words: &[String]| {
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = setup.run(&arguments).unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "`doorward {}`: {said}", arguments.join(" "));
        said
    };
    run(&["consumer", "create", "alice"].map(str::to_owned));
    let backup = folder.path().join("backup").display().to_string();
    let mut afterwards = Vec::new();
    for command in commands {
        let words: Vec<String> = command
            .iter()
            .map(|word| match word.as_str() {
                "ID" => key(&doorward, "alice", &[]).1,
                "CONSUMER" => "alice".to_owned(),
                "SERVICE/INFRASTRUCTURE" => "users/staging".to_owned(),
                "FILE" => backup.clone(),
                "examples/cases.yaml" | "envoy/hardened.yaml" => root().join(word).display().to_string(),
                word => word.to_owned(),
            })
            .collect();
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] | ["serve"] => {}
            // With a server nobody else may have the store.
            ["store", "restore" | "check", ..] => afterwards.push(words),
            // The start's own, in its order.
            ["consumer", "create", "alice", ..] => {}
            named if IN_PASSING.contains(&named.join(" ").as_str()) => {
                run(&[words, vec!["--help".to_owned()]].concat());
            }
            // An option, named without its value.
            [command @ .., option] if option.starts_with("--") => {
                let command: Vec<String> =
                    command.iter().chain(&["--help"]).map(ToString::to_string).collect();
                assert!(run(&command).contains(option), "`{words:?}`: there is no such option");
            }
            _ => drop(run(&words)),
        }
    }
    doorward.process().kill();
    afterwards.iter().filter(|words| words[1] == "check").for_each(|words| drop(run(words)));
    std::fs::remove_file(folder.path().join("doorward.redb")).unwrap();
    afterwards.iter().filter(|words| words[1] == "restore").for_each(|words| drop(run(words)));
    assert_eq!(afterwards.len(), 2, "{afterwards:?}");
}

#[test]
fn every_target_of_make_in_the_documents_is_there() {
    let targets = shown("make");
    assert!(targets.len() >= 3, "documents lost their targets: {targets:?}");
    for words in targets {
        // Of `make demo     a real Envoy…` the first word is the target.
        let words: Vec<&String> = words.iter().take_while(|word| !word.starts_with(['a', 'e'])).collect();
        let output = Command::new("make").arg("--dry-run").args(&words).current_dir(root()).output().unwrap();
        assert!(output.status.success(), "make {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// `security-rules.md` 3.2 A14, for operators; what the tests run is no older.
#[test]
fn a14_the_oldest_envoys_that_should_be_run_are_named() {
    let security = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let line = security.lines().find(|line| line.contains("Envoy 1.")).expect("SECURITY.md names Envoys");
    let version = |text: &str| -> Vec<u32> { text.split('.').filter_map(|part| part.parse().ok()).collect() };
    let named: Vec<Vec<u32>> = line.split([' ', ',', ';']).map(version).filter(|it| it.len() == 3).collect();
    let tools = std::fs::read_to_string(root().join("tests/tools.sh")).unwrap();
    let ours = tools.lines().find_map(|line| line.strip_prefix("readonly ENVOY_VERSION=")).unwrap();
    assert_eq!(named.len(), 2, "{line}");
    assert!(named.iter().all(|it| *it <= version(ours)), "{line}; the tests run {ours}");
}

#[test]
fn the_rights_of_the_redis_user_stand_in_its_page_as_they_are() {
    let page = std::fs::read_to_string(root().join("docs/redis.md")).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("ACL SETUSER doorward on >PASSWORD "));
    assert_eq!(line, Some(doorward::store::redis::acl::RULES));
    for name in doorward::store::redis::FINDINGS {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
}
