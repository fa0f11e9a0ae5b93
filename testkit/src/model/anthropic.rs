//! The Messages API.

use serde_json::{Value, json};

use super::{
    Event, pieces,
    script::{Asked, Said},
};
use crate::canary;

pub(super) fn ask(request: &Value) -> Asked {
    let list = |name: &str| {
        request
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let answers = list("messages")
        .filter(|message| message.get("role").is_some_and(|role| role == "assistant"))
        .count();
    let tool = |tool: &Value| {
        let schema = tool.get("input_schema").cloned().unwrap_or_default();
        Some((tool.get("name")?.as_str()?.to_owned(), schema))
    };
    Asked {
        answers,
        tools: list("tools").filter_map(tool).collect(),
        request: request.clone(),
    }
}

pub(super) fn whole(said: &Said, request: &Value) -> Value {
    let mut content = Vec::new();
    if !said.text.is_empty() {
        content.push(json!({ "type": "text", "text": said.text }));
    }
    for call in &said.calls {
        content.push(json!({ "type": "tool_use", "id": tool_id(&call.id), "name": call.name, "input": call.args }));
    }
    message(
        request,
        &json!(content),
        Some(stop_reason(said)),
        said.tokens(),
    )
}

pub(super) fn events(said: &Said, request: &Value) -> Vec<Event> {
    let mut all = Vec::new();
    let mut push = |name: &'static str, mut value: Value| {
        if let Some(fields) = value.as_object_mut() {
            fields.insert("type".to_owned(), json!(name));
        }
        all.push((Some(name), value.to_string()));
    };
    push(
        "message_start",
        json!({ "message": message(request, &json!([]), None, 1) }),
    );
    push("ping", json!({}));
    let mut index = 0;
    if !said.text.is_empty() {
        push(
            "content_block_start",
            json!({ "index": index, "content_block": { "type": "text", "text": "" } }),
        );
        for piece in pieces(&said.text) {
            push(
                "content_block_delta",
                json!({ "index": index, "delta": { "type": "text_delta", "text": piece } }),
            );
        }
        push("content_block_stop", json!({ "index": index }));
        index += 1;
    }
    for call in &said.calls {
        let block =
            json!({ "type": "tool_use", "id": tool_id(&call.id), "name": call.name, "input": {} });
        push(
            "content_block_start",
            json!({ "index": index, "content_block": block }),
        );
        for piece in pieces(&call.args.to_string()) {
            let delta = json!({ "type": "input_json_delta", "partial_json": piece });
            push(
                "content_block_delta",
                json!({ "index": index, "delta": delta }),
            );
        }
        push("content_block_stop", json!({ "index": index }));
        index += 1;
    }
    let delta = json!({ "stop_reason": stop_reason(said), "stop_sequence": null });
    push(
        "message_delta",
        json!({ "delta": delta, "usage": { "output_tokens": said.tokens() } }),
    );
    push("message_stop", json!({}));
    all
}

fn message(request: &Value, content: &Value, stop: Option<&str>, output_tokens: usize) -> Value {
    json!({
        "id": canary("msg"), "type": "message", "role": "assistant",
        "model": request.get("model").cloned().unwrap_or_else(|| json!("scripted")),
        "content": content, "stop_reason": stop, "stop_sequence": null,
        "usage": { "input_tokens": Asked::tokens(request), "output_tokens": output_tokens,
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0 },
    })
}

fn stop_reason(said: &Said) -> &'static str {
    if said.calls.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    }
}

fn tool_id(id: &str) -> String {
    format!("toolu_{id}")
}
