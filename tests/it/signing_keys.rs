//! What Doorward's own JWTs are signed with, as operators rotate and revoke it, and as the key set shows it.

use serde_json::Value;

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
    let unknown = world.doorward.command(&["signing-key", "revoke", &second[1].1]).unwrap_err();
    assert!(unknown.contains("exit status: 1") && unknown.contains("there is no signing key"), "{unknown}");
}
