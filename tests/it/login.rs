//! Logins and tokens at `listen.auth`.

use std::net::SocketAddr;

use serde_json::Value;

use crate::rig::http1::{Reply, request, send};
use crate::rig::wait::eventually;
use crate::world::{HOUSE, start_doorward};

#[track_caller]
fn get(address: SocketAddr, path: &str) -> Reply {
    send(address, &request("GET", path, &[("Connection", "close")], b"")).unwrap()
}

#[test]
fn the_key_set_is_published_by_the_server_to_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("public_url: https://auth.example.com\n{HOUSE}");
    let doorward = start_doorward(folder.path(), &config);
    let set = eventually("there are keys", || {
        let reply = get(doorward.auth_address(), "/.well-known/jwks.json");
        (reply.status == 200).then(|| serde_json::from_str::<Value>(&reply.text()).unwrap())
    });
    assert_eq!(set["keys"].as_array().unwrap().len(), 2, "{set}");
    for elsewhere in [doorward.status_address(), doorward.admin_address()] {
        assert_ne!(get(elsewhere, "/.well-known/jwks.json").status, 200);
    }
    assert_eq!(get(doorward.auth_address(), "/metrics").status, 404);
    assert_eq!(get(doorward.auth_address(), "/consumers").status, 404);
}
