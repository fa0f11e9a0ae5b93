//! The scripted model's three dialects, streamed and whole.

use marque_testkit::{
    Options,
    http::{self, Answer, Route},
    model::{ScriptedModel, Turn},
};
use serde_json::{Value, json};

fn start() -> ScriptedModel {
    let both = vec![
        Turn::Bash("one".to_owned()),
        Turn::Tool {
            name: "read".to_owned(),
            args: json!({ "path": "x" }),
        },
    ];
    let turns = vec![Turn::Parallel(both), Turn::Text("between".to_owned())];
    ScriptedModel::start(Options::plain(), "the-key", turns).unwrap()
}

fn ask(model: &ScriptedModel, path: &str, body: &Value) -> Answer {
    http::send(
        &Route::default(),
        "POST",
        &model.url(path),
        &[("x-api-key", "the-key")],
        body.to_string().as_bytes(),
    )
    .unwrap()
}

/// The `data:` lines of an event stream, parsed.
fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]");
    lines
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn joined(events: &[Value], pointer: &str) -> String {
    events
        .iter()
        .filter_map(|event| event.pointer(pointer)?.as_str())
        .collect()
}

#[test]
fn messages_streamed_and_whole_say_the_same() {
    let model = start();
    let tools = json!([{ "name": "bash", "input_schema": { "properties": { "command": { "type": "string" } } } }]);
    let mut body =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "go" }], "tools": tools });
    let whole = ask(&model, "/v1/messages", &body).json().unwrap();
    assert_eq!(whole["content"][0]["input"], json!({ "command": "one" }));
    assert_eq!(
        (&whole["content"][1]["name"], &whole["stop_reason"]),
        (&json!("read"), &json!("tool_use"))
    );
    body["stream"] = json!(true);
    let events = events(&ask(&model, "/v1/messages", &body));
    assert_eq!(
        joined(&events, "/delta/partial_json"),
        r#"{"command":"one"}{"path":"x"}"#
    );
    assert_eq!(events.last().unwrap()["type"], "message_stop");
}

#[test]
fn chat_streamed_and_whole_say_the_same() {
    let model = start();
    let function = json!({ "name": "shell", "parameters": { "properties": { "command": { "type": "array" } } } });
    let tools = json!([{ "type": "function", "function": function }]);
    let mut body =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "go" }], "tools": tools });
    let whole = ask(&model, "/v1/chat/completions", &body).json().unwrap();
    let calls = &whole["choices"][0]["message"]["tool_calls"];
    assert_eq!(
        calls[0]["function"]["arguments"],
        r#"{"command":["bash","-c","one"]}"#
    );
    assert_eq!(calls[1]["function"]["name"], "read");
    body["stream"] = json!(true);
    let events = events(&ask(&model, "/v1/chat/completions", &body));
    let args = joined(&events, "/choices/0/delta/tool_calls/0/function/arguments");
    assert_eq!(args, r#"{"command":["bash","-c","one"]}{"path":"x"}"#);
}

#[test]
fn responses_streamed_and_whole_say_the_same() {
    let model = start();
    let tools = json!([{ "type": "function", "name": "bash", "parameters": { "properties": { "command": { "type": "string" } } } }]);
    let mut body = json!({ "model": "m", "input": "go", "tools": tools });
    let whole = ask(&model, "/v1/responses", &body).json().unwrap();
    assert_eq!(whole["output"][0]["arguments"], r#"{"command":"one"}"#);
    body["stream"] = json!(true);
    let events = events(&ask(&model, "/v1/responses", &body));
    assert_eq!(
        events.last().unwrap()["response"]["output"][1]["name"],
        "read"
    );
    body["stream"] = json!(false);
    body["previous_response_id"] = whole["id"].clone();
    assert_eq!(
        ask(&model, "/v1/responses", &body).json().unwrap()["output"][0]["content"][0]["text"],
        "between"
    );
}

#[test]
fn a_request_without_tools_takes_no_turn_and_a_wrong_key_is_refused() {
    let model = start();
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "make a title" }] });
    assert_eq!(ask(&model, "/v1/chat/completions", &body).status, 200);
    assert_eq!(model.exchanges()[0].turn, None);
    let answer = http::get(
        &Route::default(),
        &model.url("/v1/models"),
        &[("authorization", "Bearer wrong")],
    )
    .unwrap();
    assert_eq!(answer.status, 401);
    let answer = http::get(
        &Route::default(),
        &model.url("/v1/models"),
        &[("authorization", "Bearer the-key")],
    )
    .unwrap();
    assert_eq!(answer.json().unwrap()["data"][0]["id"], "scripted");
}
