//! `make demo` is the first thing that anybody runs.

use std::path::Path;
use std::process::Command;

#[test]
fn the_demo_keeps_its_promises_on_free_ports() {
    let doorward = Path::new(env!("CARGO_BIN_EXE_doorward"));
    let demo = doorward.with_file_name("examples").join("demo");
    assert!(demo.exists(), "{} is missing: `cargo build --example demo` makes it", demo.display());
    let output = Command::new(&demo).args(["--exit", "--ports", "free"]).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for word in [
        "curl",
        "X-Consumer-Username: alice",
        "401",
        "revoked",
        "network_denied",
        "permission_denied",
        "/api/auth/access-token",
        "Bearer $TOKEN",
        "Bearer $DYNAMIC",
        "Set-Cookie: __Host-doorward_session=$SESSION; Path=/; Secure; HttpOnly; SameSite=Lax",
        "origin_denied",
        "Host: staging.example.com",
        "mode shadow, verdict deny",
    ] {
        assert!(said.contains(word), "the demo does not show {word:?}:\n{said}");
    }
}
