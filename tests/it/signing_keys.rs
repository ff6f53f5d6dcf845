//! What Doorward's own JWTs are signed with, as operators rotate and revoke it, and as the key set shows it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use doorward::clock::Clock;
use doorward::domain::catalog::{Catalog, Parts};
use doorward::domain::rights::Caller;
use doorward::issue::{By, Registrar};
use doorward::store::memory::Memory;
use doorward::store::ring::Ring;
use serde_json::Value;
use uuid::Uuid;

use crate::oauth::python;
use crate::rig::http1::{request, send};
use crate::rig::wait::eventually;
use crate::world::World;

const CONFIG: &str = r#"
listen: {grpc: "127.0.0.1:0", status: "127.0.0.1:0", auth: "127.0.0.1:0"}
public_url: https://auth.example.com
"#;

fn ids(rows: &Value) -> Vec<(String, String)> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(|row| (text(row, "state"), text(row, "id"))).collect()
}

fn states(rows: &[(String, String)]) -> Vec<&str> {
    rows.iter().map(|(state, _)| state.as_str()).collect()
}

#[test]
fn signing_keys_are_rotated_and_revoked_by_hand_and_the_key_set_follows() {
    let world = World::with(CONFIG, |_| {});
    let list = || ids(&world.command(&["signing-key", "list"]));
    let first = eventually("the first keys were made", || Some(list()).filter(|keys| !keys.is_empty()));
    assert_eq!(states(&first), ["staged", "primary"]);
    let published = || -> Vec<String> {
        let bytes = request("GET", "/.well-known/jwks.json", &[("Connection", "close")], b"");
        let set = send(world.doorward.auth_address(), &bytes).unwrap().json();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let of = |keys: &[(String, String)]| keys.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>();
    assert_eq!(published(), of(&first));

    // Others may not know the staged key yet.
    let early = world.doorward.command(&["signing-key", "rotate"]).unwrap_err();
    assert!(
        early.contains("exit status: 1") && early.contains("whoever fetched the key set before"),
        "{early}"
    );
    let second = ids(&world.command(&["signing-key", "rotate", "--now"]));
    assert_eq!(states(&second), ["staged", "primary", "secondary"]);
    assert_eq!((&second[1].1, &second[2].1), (&first[0].1, &first[1].1));
    assert_eq!((list(), published()), (second.clone(), of(&second)));

    world.command(&["signing-key", "revoke", &second[1].1]);
    let third = list();
    assert_eq!((states(&third), &third[1].1), (vec!["staged", "primary", "secondary"], &second[0].1));
    assert_eq!(third[2], second[2]);
    assert_eq!(published(), of(&third));
    // One id in 64 begins as an option does.
    for id in [&second[1].1, "-02kdHTEh8MzLJDAPzULisO-5FPPgWPZRvyr7lNJzsA"] {
        let unknown = world.doorward.command(&["signing-key", "revoke", id]).unwrap_err();
        assert!(
            unknown.contains("exit status: 1") && unknown.contains("there is no signing key"),
            "{unknown}"
        );
    }
}

/// What joserfc says of a token, by this key set.
fn joserfc(key_set: &Path, token: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oauth/client.py");
    let arguments = ["-", "-", "-", "-", "jwt"];
    Command::new(python()).arg(script).args(arguments).arg(key_set).arg(token).output().unwrap()
}

#[test]
fn our_tokens_are_verified_by_a_library_that_others_wrote_before_and_after_a_rotation() {
    let ring = Ring::parse(Path::new("ring"), format!("1 {}", "1f2e".repeat(16)).as_bytes()).unwrap();
    let catalog = Arc::new(ArcSwap::from_pointee(Catalog::new(Parts::default()).unwrap()));
    let registrar = Registrar::new(Arc::new(Memory::new()), Arc::new(ring), Clock::system(), catalog)
        .with_public_url(Some("https://auth.example.com".into()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let everything = ["all".to_owned()];
    let mint = || {
        let minted = registrar.mint(Uuid::from_u128(7), &everything, Duration::from_secs(600));
        runtime.block_on(minted).unwrap().token
    };
    runtime.block_on(registrar.tend_signing_keys()).unwrap();
    let before = mint();
    runtime.block_on(registrar.rotate_signing_keys(&By::new(Caller::Socket, None), true)).unwrap();
    let after = mint();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, runtime.block_on(registrar.key_set()).unwrap().to_string()).unwrap();
    for token in [&before, &after] {
        let verified = joserfc(&file, token);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
        let claims: Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!((&claims["iss"], &claims["aud"][0]), (&"https://auth.example.com".into(), &"all".into()));
        assert_eq!(claims["sub"], Uuid::from_u128(7).to_string());
    }
    // The signature of the one under the words of the other.
    let signature = before.rsplit_once('.').unwrap().1;
    let mixed = format!("{}.{signature}", after.rsplit_once('.').unwrap().0);
    let refused = joserfc(&file, &mixed);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("BadSignatureError"), "{refused:?}");
}
