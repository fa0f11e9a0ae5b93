//! The Chat Completions API.

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
    let answers = list("messages")
        .filter(|message| message.get("role").is_some_and(|role| role == "assistant"))
        .count();
    let tool = |tool: &Value| {
        let function = tool.get("function")?;
        Some((
            function.get("name")?.as_str()?.to_owned(),
            function.get("parameters").cloned().unwrap_or_default(),
        ))
    };
    Asked {
        answers,
        tools: list("tools").filter_map(tool).collect(),
        request: request.clone(),
    }
}

pub(super) fn whole(said: &Said, request: &Value) -> Value {
    let calls: Vec<Value> = said
        .calls
        .iter()
        .map(|call| {
            let function = json!({ "name": call.name, "arguments": call.args.to_string() });
            json!({ "id": format!("call_{}", call.id), "type": "function", "function": function })
        })
        .collect();
    let mut message = json!({ "role": "assistant", "content": said.text, "refusal": null });
    if let Some(fields) = message.as_object_mut().filter(|_| !calls.is_empty()) {
        fields.insert("tool_calls".to_owned(), json!(calls));
    }
    let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(said) });
    let mut whole = envelope("chat.completion", request, &canary("chatcmpl"));
    if let Some(fields) = whole.as_object_mut() {
        fields.insert("choices".to_owned(), json!([choice]));
        fields.insert("usage".to_owned(), usage(said, request));
    }
    whole
}

pub(super) fn events(said: &Said, request: &Value) -> Vec<Event> {
    let id = canary("chatcmpl");
    let mut all = Vec::new();
    let mut push = |choices: Value, usage: Value| {
        let mut chunk = envelope("chat.completion.chunk", request, &id);
        if let Some(fields) = chunk.as_object_mut() {
            fields.insert("choices".to_owned(), choices);
            fields.insert("usage".to_owned(), usage);
        }
        all.push((None, chunk.to_string()));
    };
    let choice = |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    push(
        choice(json!({ "role": "assistant", "content": "" }), Value::Null),
        Value::Null,
    );
    for piece in pieces(&said.text) {
        push(
            choice(json!({ "content": piece }), Value::Null),
            Value::Null,
        );
    }
    for (index, call) in said.calls.iter().enumerate() {
        let start = json!({ "index": index, "id": format!("call_{}", call.id), "type": "function",
            "function": { "name": call.name, "arguments": "" } });
        push(
            choice(json!({ "tool_calls": [start] }), Value::Null),
            Value::Null,
        );
        for piece in pieces(&call.args.to_string()) {
            let more = json!({ "index": index, "function": { "arguments": piece } });
            push(
                choice(json!({ "tool_calls": [more] }), Value::Null),
                Value::Null,
            );
        }
    }
    push(choice(json!({}), json!(finish_reason(said))), Value::Null);
    if request
        .pointer("/stream_options/include_usage")
        .and_then(Value::as_bool)
        == Some(true)
    {
        push(json!([]), usage(said, request));
    }
    all.push((None, "[DONE]".to_owned()));
    all
}

fn envelope(object: &str, request: &Value, id: &str) -> Value {
    let model = request
        .get("model")
        .cloned()
        .unwrap_or_else(|| json!("scripted"));
    json!({ "id": id, "object": object, "created": now_ms() / 1000, "model": model })
}

fn usage(said: &Said, request: &Value) -> Value {
    let (input, output) = (Asked::tokens(request), said.tokens());
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output })
}

fn finish_reason(said: &Said) -> &'static str {
    if said.calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    }
}
