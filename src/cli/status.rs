//! `doorward status`: where the instances stand.

use serde_json::Value;

use super::door::Door;
use super::{Common, Failure, cell, table};

pub fn run(common: &Common) -> Result<(), Failure> {
    let status = Door::open_to_server(common)?.get("/status")?;
    common.print(&status, text)
}

fn text(status: &Value) -> String {
    let objects = &status["objects"];
    let mut text = format!(
        "epoch {}, lag {}, lease {}, alarm {}, catalogs agree: {}\n{} stored objects, {} refused\n",
        cell(&status["epoch"]),
        cell(&status["lag"]),
        cell(&status["lease"]),
        cell(&status["alarm"]),
        cell(&status["catalogs_agree"]),
        cell(&objects["stored"]),
        cell(&objects["refused"]),
    );
    for refused in list(&objects["why"]) {
        for wrong in list(&refused["wrong"]) {
            let [kind, name] = ["kind", "name"].map(|field| cell(&refused[field]));
            text += &format!("  {kind} {name}: {} {}\n", cell(&wrong["path"]), cell(&wrong["why"]));
        }
    }
    let row = |instance: &Value| {
        ["id", "epoch", "catalog", "silent", "live"].map(|column| cell(&instance[column])).to_vec()
    };
    let rows: Vec<_> = list(&status["instances"]).iter().map(row).collect();
    text + &table(&["instance", "epoch", "catalog", "silent ms", "live"], &rows)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
