//! The Responses API.

use serde_json::{Value, json};

use super::{
    Event, pieces,
    script::{Asked, Said},
};
use crate::{canary, log::now_ms};

pub(super) fn ask(request: &Value) -> Asked {
    let list = |name: &str| {
        request
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    // One answer of the model is a run of output items (reasoning, message, calls) between two inputs.
    let (mut answers, mut inside) = (0, false);
    for item in list("input") {
        let output = is_output(item);
        answers += usize::from(output && !inside);
        inside = output;
    }
    // A client that lets the server remember names the last answer, whose id says how many there were.
    let before = request
        .get("previous_response_id")
        .and_then(Value::as_str)
        .and_then(|id| id.split('_').nth(1));
    answers += before
        .and_then(|count| count.parse::<usize>().ok())
        .unwrap_or(0);
    let tool = |tool: &Value| {
        let schema = tool.get("parameters").cloned().unwrap_or_default();
        let name = tool.get("name").or_else(|| tool.get("type"))?;
        Some((name.as_str()?.to_owned(), schema))
    };
    Asked {
        answers,
        tools: list("tools").filter_map(tool).collect(),
        request: request.clone(),
    }
}

pub(super) fn whole(said: &Said, request: &Value) -> Value {
    let items = items(said);
    response(said, request, &items, "completed")
}

pub(super) fn events(said: &Said, request: &Value) -> Vec<Event> {
    let items = items(said);
    let mut all = Vec::new();
    let mut push = |name: &'static str, mut value: Value| {
        let number = all.len();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("type".to_owned(), json!(name));
            fields.insert("sequence_number".to_owned(), json!(number));
        }
        all.push((Some(name), value.to_string()));
    };
    let done = response(said, request, &items, "completed");
    let mut begun = done.clone();
    if let Some(fields) = begun.as_object_mut() {
        fields.insert("status".to_owned(), json!("in_progress"));
        fields.insert("output".to_owned(), json!([]));
        fields.insert("usage".to_owned(), Value::Null);
    }
    push("response.created", json!({ "response": begun }));
    push("response.in_progress", json!({ "response": begun }));
    for (index, item) in items.iter().enumerate() {
        let id = item.get("id").cloned().unwrap_or_default();
        let at = |more: Value| {
            let mut value = json!({ "output_index": index, "item_id": id });
            if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) {
                fields.extend(more);
            }
            value
        };
        push(
            "response.output_item.added",
            json!({ "output_index": index, "item": started(item) }),
        );
        if let Some(args) = item.get("arguments").and_then(Value::as_str) {
            for piece in pieces(args) {
                push(
                    "response.function_call_arguments.delta",
                    at(json!({ "delta": piece })),
                );
            }
            push(
                "response.function_call_arguments.done",
                at(json!({ "arguments": args })),
            );
        } else {
            let part =
                |text: &str| json!({ "type": "output_text", "text": text, "annotations": [] });
            push(
                "response.content_part.added",
                at(json!({ "content_index": 0, "part": part("") })),
            );
            for piece in pieces(&said.text) {
                push(
                    "response.output_text.delta",
                    at(json!({ "content_index": 0, "delta": piece })),
                );
            }
            push(
                "response.output_text.done",
                at(json!({ "content_index": 0, "text": said.text })),
            );
            push(
                "response.content_part.done",
                at(json!({ "content_index": 0, "part": part(&said.text) })),
            );
        }
        push(
            "response.output_item.done",
            json!({ "output_index": index, "item": item }),
        );
    }
    push("response.completed", json!({ "response": done }));
    all
}

fn is_output(item: &Value) -> bool {
    match item.get("type").and_then(Value::as_str) {
        Some("function_call" | "reasoning" | "local_shell_call" | "custom_tool_call") => true,
        Some("message") | None => item.get("role").is_some_and(|role| role == "assistant"),
        _ => false,
    }
}

fn items(said: &Said) -> Vec<Value> {
    let mut items = Vec::new();
    if !said.text.is_empty() {
        let part = json!({ "type": "output_text", "text": said.text, "annotations": [] });
        items.push(json!({ "id": canary("msg"), "type": "message", "status": "completed", "role": "assistant", "content": [part] }));
    }
    for call in &said.calls {
        items.push(json!({ "id": format!("fc_{}", call.id), "type": "function_call", "status": "completed",
            "call_id": format!("call_{}", call.id), "name": call.name, "arguments": call.args.to_string() }));
    }
    items
}

/// An item as it is announced, before its content.
fn started(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(fields) = item.as_object_mut() {
        fields.insert("status".to_owned(), json!("in_progress"));
        if fields.contains_key("arguments") {
            fields.insert("arguments".to_owned(), json!(""));
        } else {
            fields.insert("content".to_owned(), json!([]));
        }
    }
    item
}

fn response(said: &Said, request: &Value, items: &[Value], status: &str) -> Value {
    let (input, output) = (Asked::tokens(request), said.tokens());
    json!({
        "id": format!("resp_{}_{}", said.answers, canary("")), "object": "response", "created_at": now_ms() / 1000,
        "status": status, "error": null, "incomplete_details": null, "instructions": null, "metadata": {},
        "model": request.get("model").cloned().unwrap_or_else(|| json!("scripted")),
        "output": items, "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "usage": { "input_tokens": input, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": output,
            "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": input + output },
    })
}
