//! `doorward explain`: decides one described request and prints every step; or prints those of a decision
//! that was made.

use serde_json::{Value, json};

use super::described::Described;
use super::door::Door;
use super::{Common, Failure, cell, segment};
use crate::telemetry::log::{as_one_word, on_one_line};

#[derive(clap::Args)]
pub struct Arguments {
    /// Show what the running server has decided a moment ago: by `request_id` of the answer or the log line
    #[arg(long, value_name = "ID", conflicts_with = "Described")]
    request_id: Option<String>,
    #[command(flatten)]
    described: Described,
}

pub fn run(common: &Common, arguments: Arguments) -> Result<(), Failure> {
    match arguments.request_id {
        Some(request_id) => recent(common, &request_id),
        None => {
            let description = arguments.described.description()?;
            let account = Door::open_to_decide(common)?.post("/explain", &json!(description))?;
            common.print(&account, text)
        }
    }
}

/// The newest first; mostly there is one.
fn recent(common: &Common, request_id: &str) -> Result<(), Failure> {
    if request_id.is_empty() {
        return Err(Failure::Usage("`--request-id` is empty; it stands in the answer and in the log".into()));
    }
    let page = Door::open_to_server(common)?.get(&format!("/decisions/{}", segment(request_id)?))?;
    common.print(&page["data"], |accounts| {
        let accounts = accounts.as_array().map_or(&[][..], Vec::as_slice);
        let told: Vec<String> = accounts.iter().map(|account| about(account) + &text(account)).collect();
        told.join("\n")
    })
}

/// Which request it was.
fn about(account: &Value) -> String {
    let field = |name: &str| cell(&account["request"][name]);
    format!(
        "{}  {} {}  {} µs\n",
        cell(&account["timestamp"]),
        as_one_word(&field("method")),
        as_one_word(&format!("{}{}", field("host"), field("path"))),
        cell(&account["duration_us"])
    )
}

/// The steps by number, the verdict, and what it means for both sides.
fn text(account: &Value) -> String {
    let mut text = String::new();
    let steps = account["steps"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, step) in steps.iter().enumerate() {
        // Where there are too many of them, the last says how many are missing.
        let said = if step.is_string() { cell(step) } else { cell(&step["said"]) };
        text += &format!("{:>3}. {}\n", index + 1, on_one_line(&said));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_writes_nothing_of_its_own_into_the_line_about_its_request() {
        let account = |host: &str, path: &str| {
            let request = json!({ "method": "GET", "host": host, "path": path });
            json!({ "timestamp": "2026-01-02T03:04:05.678Z", "request": request, "duration_us": 7 })
        };
        let line = |host, path| about(&account(host, path));
        assert_eq!(
            line("api.example", "/orders"),
            "2026-01-02T03:04:05.678Z  GET api.example/orders  7 µs\n"
        );
        assert_eq!(
            line("api.example", "/x  1 µs\nverdict   allow\u{200b}"),
            "2026-01-02T03:04:05.678Z  GET \"api.example/x  1 µs\\nverdict   allow\\u200b\"  7 µs\n"
        );
    }
}
