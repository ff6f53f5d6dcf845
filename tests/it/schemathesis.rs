//! The admin API does what it says of itself: schemathesis makes requests of its description, good ones
//! and bad ones, and finds no 5xx, no status that is not described and no answer of another form.

use std::process::Command;

use serde_json::Value;

use crate::admin::{admin_key, ask};
use crate::rig::tools;
use crate::world::{HOUSE, start_doorward};

const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[test]
fn the_admin_api_is_as_it_is_described_with_and_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start_doorward(&folder.path().join("doorward"), HOUSE);
    let (key, _) = admin_key(&doorward);
    let mut described = ask(doorward.admin_address(), &key, "GET", "/openapi.json", b"").json();
    assert_eq!(described["info"]["title"], "Doorward admin API");
    // Else it makes keys up, whose refusals are slow on purpose.
    described["security"] = Value::Array(Vec::new());
    described["components"].as_object_mut().unwrap().remove("securitySchemes");
    // It learns from the list which key it comes with, and would end it.
    described["paths"]["/admin-keys/{key}"].as_object_mut().unwrap().remove("delete").unwrap();
    // An answer that goes on until the server ends.
    described["paths"].as_object_mut().unwrap().remove("/decisions").unwrap();
    let description = folder.path().join("openapi.json");
    std::fs::write(&description, described.to_string()).unwrap();

    let program = tools::program("schemathesis").unwrap_or_else(|message| panic!("{message}"));
    let url = format!("http://{}", doorward.admin_address());
    let bearer = format!("Authorization: Bearer {key}");
    for header in [Some(&bearer), None] {
        let mut command = Command::new(&program);
        command.arg("run").arg(&description).args(["--url", &url, "--seed", "42", "--checks", CHECKS]);
        // Bounded: the same requests each time, less than a minute of them.
        command.args(["--phases", "coverage,fuzzing", "--max-examples", "10", "--no-color"]);
        if let Some(header) = header {
            command.args(["-H", header]);
        }
        let ran = command.current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "with a key: {}\n{said}", header.is_some());
        assert!(said.contains(" passed"), "{said}");
    }
    let last = ask(doorward.admin_address(), &key, "GET", "/admin-keys", b"");
    assert_eq!(last.status, 200, "the key opened to the end");
}
