//! `doorward explain`: decides one described request and prints every step.

use serde_json::{Value, json};

use super::described::Described;
use super::door::Door;
use super::{Common, Failure, cell};

pub fn run(common: &Common, described: Described) -> Result<(), Failure> {
    let description = described.description()?;
    let account = Door::open_to_decide(common)?.post("/explain", &json!(description))?;
    common.print(&account, text)
}

/// The steps by number, the verdict, and what it means for both sides.
fn text(account: &Value) -> String {
    let mut text = String::new();
    let steps = account["steps"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, step) in steps.iter().enumerate() {
        text += &format!("{:>3}. {}\n", index + 1, cell(&step["said"]));
    }
    let part = |name: &str| match &account[name] {
        Value::Null => String::new(),
        value => format!(" {}", cell(value)),
    };
    let why = account["why"].as_str().map_or(String::new(), |why| format!(" ({why})"));
    text += &format!("\nverdict   {}{}{why}\n", cell(&account["verdict"]), part("code"));
    if account["mode"] == "shadow" && account["verdict"] != "allow" && account["answer"].is_null() {
        text += "          passes all the same: the deployment is in shadow mode\n";
    }
    text += &answer(&account["answer"]);
    text += &upstream(&account["upstream"]);
    text
}

fn answer(answer: &Value) -> String {
    if answer.is_null() {
        return "caller    gets the upstream's answer\n".to_owned();
    }
    let field = |name: &str| cell(&answer[name]);
    let mut text = format!("caller    gets {} {}: {}\n", field("status"), field("code"), field("message"));
    for challenge in answer["challenges"].as_array().into_iter().flatten() {
        text += &format!("          www-authenticate: {}\n", cell(challenge));
    }
    if answer["error_response"] == true {
        text += "          as an error of ours: Envoy's `failure_mode_allow` decides\n";
    }
    text
}

fn upstream(upstream: &Value) -> String {
    if upstream.is_null() {
        return "upstream  sees nothing\n".to_owned();
    }
    let mut text = "upstream  sees the request, but for\n".to_owned();
    for (name, value) in upstream["set"].as_object().into_iter().flatten() {
        text += &format!("          set     {name}: {}\n", cell(value));
    }
    let gone = |name: &str| upstream[name].as_array().filter(|gone| !gone.is_empty());
    for (word, list) in [("removed", "remove"), ("query without", "remove_query")] {
        if let Some(gone) = gone(list) {
            let gone: Vec<String> = gone.iter().map(cell).collect();
            text += &format!("          {word} {}\n", gone.join(", "));
        }
    }
    text
}
