//! The documents that Doorward implements, run as they print it: a script each, in `tests/documents/`, against
//! a fresh instance behind a real Envoy.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::wiring::Body;
use crate::world::World;

/// Nothing but what the scripts make.
const FRESH: &str = "listen: {grpc: \"127.0.0.1:0\", status: \"127.0.0.1:0\"}\n";

fn fresh() -> World {
    World::with(FRESH, |wiring| {
        wiring.body =
            Some(Body { max_request_bytes: 8192, allow_partial_message: false, pack_as_bytes: true });
    })
}

/// Runs a script to its end; what came back is in the folder.
#[track_caller]
fn run(world: &World, script: &str, more: &[(&str, &Path)]) -> TempDir {
    let admin_key = world.command(&["admin-key", "create"])["key"].as_str().unwrap().to_owned();
    let answers = tempfile::tempdir().unwrap();
    let ran = Command::new("sh")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/documents").join(script))
        .env("ADMIN", world.doorward.admin_address().to_string())
        .env("PROXY", world.envoy.listener("main").to_string())
        .env("ADMIN_KEY", &admin_key)
        .env("ANSWERS", answers.path())
        .envs(more.iter().copied())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
    answers
}

#[test]
fn the_document_of_kong_runs_as_printed() {
    let world = fresh();
    let answers = run(&world, "kong-key-auth.sh", &[]);
    let answer = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(answers.path().join(name)).unwrap()).unwrap()
    };
    // Every member that the document prints, of the type that it prints.
    let keys = answer("keys");
    assert!(keys["data"].as_array().unwrap().len() == 2 && keys["next"].is_null(), "{keys}");
    for row in answer("keys-of")["data"].as_array().unwrap() {
        assert!(
            row["id"].is_string() && row["created_at"].is_u64() && row["consumer"]["id"].is_string(),
            "{row}"
        );
        assert!(row["key"].is_string() || row["key"].is_null(), "{row}");
    }
    let owner = answer("owner-by-key");
    assert_eq!(owner, answer("owner-by-id"));
    assert!(owner["username"] == "foo" && owner["created_at"].is_u64() && owner["id"].is_string(), "{owner}");
    let (made, seen) = (answer("consumer"), answer("in-header"));
    let header = |name: &str| {
        let headers = seen["headers"].as_array().unwrap();
        headers
            .iter()
            .find(|header| header[0].as_str().is_some_and(|it| it.eq_ignore_ascii_case(name)))
            .map(|it| it[1].clone())
    };
    assert_eq!(header("x-consumer-id"), Some(made["id"].clone()));
    assert_eq!(header("x-consumer-username"), Some(json!("foo")));
    assert_eq!(header("x-consumer-custom-id"), Some(json!("c-1")));
    assert_eq!(header("x-credential-identifier"), Some(answer("key")["id"].clone()));
    assert_eq!(header("x-anonymous-consumer"), None);
}

#[test]
fn the_document_of_dataiku_runs_as_printed() {
    let world = fresh();
    let bin = world.doorward.setup().folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_doorward"), bin.join("apinode-admin")).unwrap();
    run(&world, "dataiku-api-node-security.sh", &[("BIN", &bin), ("CONFIG", &world.doorward.setup().file())]);
}

#[test]
fn the_document_of_kakaocloud_has_its_projects_and_roles() {
    let world = fresh();
    let answers = run(&world, "kakaocloud-api-preparations.sh", &[]);
    let user: Value = serde_json::from_slice(&std::fs::read(answers.path().join("user")).unwrap()).unwrap();
    assert_eq!(user["id"], "f61e7df2-a1d3-49e7-b35d-62ef9c615853");
    assert!(user["roles"].is_null() || user["roles"] == json!({}) || user["roles"] == json!([]), "{user}");
}
