//! What the documents show can be done: each command in them is run. The README's start, as one script,
//! is in `readme.rs`; sample files are in `samples.rs`.

mod reference;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::world::{key, setup, started};

const DOCUMENTS: [&str; 41] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/README.md",
    "docs/admin.md",
    "docs/codes.md",
    "docs/containers.md",
    "docs/contour.md",
    "docs/cookies.md",
    "docs/envoy-gateway.md",
    "docs/envoy.md",
    "docs/istio.md",
    "docs/forward-auth.md",
    "docs/guides/addresses.md",
    "docs/guides/api-keys.md",
    "docs/guides/backup.md",
    "docs/guides/cookies.md",
    "docs/guides/from-kong.md",
    "docs/guides/keycloak.md",
    "docs/guides/rotate-secrets.md",
    "docs/guides/several-instances.md",
    "docs/guides/trouble.md",
    "docs/guides/upgrade.md",
    "docs/jwt.md",
    "docs/kong.md",
    "docs/kubernetes.md",
    "docs/login.md",
    "docs/monitoring.md",
    "docs/oauth.md",
    "docs/redis.md",
    "docs/systemd.md",
    "docs/tokens.md",
    "doorward.yaml",
    "examples/cases.yaml",
    "examples/demo/doorward.yaml",
    "envoy/demo.yaml",
    "envoy/hardened.yaml",
    "envoy/traced.yaml",
    "fuzz/README.md",
];

/// What stands between backticks and begins with `program`: the rest of it, in words.
fn shown(program: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for name in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        // A span may go on in the next line, of a comment too.
        let text = match name.starts_with("docs/guides/") {
            true => without_scripts(&text),
            false => text.replace("\n#", "\n"),
        };
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

/// The scripts of guides are run as a whole, in `guides.rs`.
fn without_scripts(guide: &str) -> String {
    let pieces = guide.split("\n```");
    pieces.filter(|piece| !piece.starts_with("sh\n")).collect::<Vec<_>>().join("\n")
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
const IN_PASSING: [&str; 23] = [
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
    "password set",
    "service grant",
    "signing-key rotate",
    "store backup",
    "tail",
    "test",
];

#[test]
fn r31_every_command_in_the_documents_runs() {
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
fn r27_the_rights_of_the_redis_user_stand_in_its_page_as_they_are() {
    let page = std::fs::read_to_string(root().join("docs/redis.md")).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("ACL SETUSER doorward on >PASSWORD "));
    assert_eq!(line, Some(doorward::store::redis::acl::RULES));
    for name in doorward::store::redis::FINDINGS {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
}

/// The first cell of each line of a table, as code, and the others.
fn rows(page: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        Some((cells.next()?.trim_end_matches('`'), cells.collect()))
    })
}

/// What stands between quotes in a piece of source, from one line of it to another.
fn texts<'a>(source: &'a str, from: &str, to: &str) -> BTreeSet<&'a str> {
    let piece = source.split_once(from).unwrap_or_else(|| panic!("no {from}")).1;
    let piece = piece.split_once(to).unwrap_or_else(|| panic!("no {to}")).0;
    piece.split('"').skip(1).step_by(2).collect()
}

#[test]
fn every_code_stands_in_the_catalogue_with_its_statuses() {
    let page = std::fs::read_to_string(root().join("docs/codes.md")).unwrap();
    let (checks, others) = page.split_once("## Of the admin API").unwrap();
    let denial = include_str!("../../src/domain/denial.rs");
    // The one table of denials: `Self::X { .. } => (400, "code", "message"),`.
    let table = denial.lines().filter_map(|line| {
        let (status, rest) = line.split_once("=> (")?.1.split_once(", \"")?;
        let code = rest.split_once('"')?.0;
        status.trim().parse::<u16>().ok().map(|status| (code, status))
    });
    let mut told: BTreeSet<(&str, u16)> = table.collect();
    assert!(told.len() >= 17, "the table of denials was not found: {told:?}");
    let fault = doorward::domain::verdict::Fault::NotLoaded.notice();
    told.insert((fault.code, fault.status));
    let grpc = |status: u16| match status {
        400 => "3",
        401 => "16",
        403 => "7",
        404 => "5",
        413 | 429 => "8",
        500 => "13",
        503 => "14",
        other => panic!("a denial with {other}"),
    };
    let shown: BTreeSet<(&str, u16)> =
        rows(checks).map(|(code, cells)| (code, cells[0].parse().unwrap())).collect();
    assert_eq!(shown, told);
    for (code, cells) in rows(checks) {
        assert_eq!(cells[1], grpc(cells[0].parse().unwrap()), "{code}");
    }

    let problem = include_str!("../../src/http/problem.rs");
    let codes = texts(problem, "fn code(&self)", "\nfn refused(");
    assert!(codes.len() > 20, "{codes:?}");
    let shown: BTreeSet<&str> = rows(&page).map(|(code, _)| code).collect();
    assert_eq!(codes.difference(&shown).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in docs/codes.md");
    let unknown: Vec<&str> =
        rows(others).map(|(code, _)| code).filter(|code| !codes.contains(code)).collect();
    assert!(unknown.is_empty(), "docs/codes.md has what nobody says: {unknown:?}");
}

#[test]
fn every_reason_of_an_invalid_credential_stands_in_the_catalogue() {
    let page = std::fs::read_to_string(root().join("docs/codes.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with("| `invalid_credential` |")).unwrap();
    let denial = include_str!("../../src/domain/denial.rs");
    for why in texts(denial, "impl Unproven {", "\n}") {
        assert!(line.contains(&format!("`{why}`")), "{why}");
    }
}

#[test]
fn every_document_is_in_the_index() {
    let index = std::fs::read_to_string(root().join("docs/README.md")).unwrap();
    for folder in ["", "guides/", "reference/"] {
        for entry in std::fs::read_dir(root().join("docs").join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let there = index.contains(&format!("]({folder}{name})"));
            assert!(!name.ends_with(".md") || name == "README.md" || there, "docs/README.md lacks {name}");
        }
    }
}
