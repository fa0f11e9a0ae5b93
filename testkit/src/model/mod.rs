//! A scripted model server: a published agent runs against it unmodified and does what the script says.
//!
//! A SHAPE SERVER for the model vendors' APIs, written from their documentation:
//! * Messages: <https://docs.anthropic.com/en/api/messages>, streaming: <https://docs.anthropic.com/en/api/messages-streaming>
//! * Chat Completions: <https://platform.openai.com/docs/api-reference/chat>, and its streaming
//! * Responses: <https://platform.openai.com/docs/api-reference/responses>, and its streaming
//!
//! Which turn a request gets is read off the request (how many answers of the model it already holds), so a retried or
//! concurrent request gets the right one, and a side request (an agent asking for a title) takes no turn.

mod anthropic;
mod openai;
mod responses;
mod script;

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

pub use script::{Script, Turn};

use crate::{
    error::Result,
    serve::{Call, Options, Reply, Server, handler, reply_json, reply_stream, set_header},
};
use script::{Asked, Said};

/// A running scripted model server.
pub struct ScriptedModel {
    server: Server,
    key: String,
    exchanges: Exchanges,
}

/// One request to the model and what it was answered: the model server's own log.
#[derive(Clone, Debug, Serialize)]
pub struct Exchange {
    /// `messages`, `chat` or `responses`.
    pub api: &'static str,
    /// The API key that came.
    pub key: String,
    /// Whether a stream was wanted.
    pub streamed: bool,
    /// Which turn of the script answered; none for a side request or after the script's end.
    pub turn: Option<usize>,
    /// The request's body.
    pub request: Value,
    /// The text answered.
    pub text: String,
    /// The tool calls answered: name and arguments.
    pub calls: Vec<(String, Value)>,
}

/// An event of a stream: its name, if the API names events, and its data.
type Event = (Option<&'static str>, String);
type Exchanges = Arc<Mutex<Vec<Exchange>>>;

struct Shared {
    key: String,
    scripts: Vec<Script>,
    exchanges: Exchanges,
}

/// A vendor's API in what differs between them.
struct Dialect {
    name: &'static str,
    ask: fn(&Value) -> Asked,
    whole: fn(&Said, &Value) -> Value,
    events: fn(&Said, &Value) -> Vec<Event>,
}

const MESSAGES: Dialect = Dialect {
    name: "messages",
    ask: anthropic::ask,
    whole: anthropic::whole,
    events: anthropic::events,
};
const CHAT: Dialect = Dialect {
    name: "chat",
    ask: openai::ask,
    whole: openai::whole,
    events: openai::events,
};
const RESPONSES: Dialect = Dialect {
    name: "responses",
    ask: responses::ask,
    whole: responses::whole,
    events: responses::events,
};

impl ScriptedModel {
    /// Starts a server that wants `key` (as `x-api-key` or bearer) and follows one script.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start(options: Options, key: &str, turns: Vec<Turn>) -> Result<Self> {
        Self::start_with(options, key, vec![Script { when: None, turns }])
    }

    /// Starts a server with several scripts; a request gets the first whose `when` occurs in it.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start_with(options: Options, key: &str, scripts: Vec<Script>) -> Result<Self> {
        let exchanges = Exchanges::default();
        let shared = Arc::new(Shared {
            key: key.to_owned(),
            scripts,
            exchanges: Arc::clone(&exchanges),
        });
        let server = Server::start(
            options,
            handler(move |call| route(call, Arc::clone(&shared))),
        )?;
        Ok(Self {
            server,
            key: key.to_owned(),
            exchanges,
        })
    }

    /// The API key it wants.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Everything it was asked and answered.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.exchanges).clone()
    }

    /// Whether any request contained `text`: what the agent told the model, tool results included.
    #[must_use]
    pub fn was_told(&self, text: &str) -> bool {
        lock(&self.exchanges)
            .iter()
            .any(|exchange| script::any_text(&exchange.request, &|found| found.contains(text)))
    }
}

impl Deref for ScriptedModel {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

async fn route(mut call: Call, shared: Arc<Shared>) -> Reply {
    let body = call.body().await;
    let Some(key) = call
        .credentials
        .first()
        .filter(|seen| seen.value == shared.key)
    else {
        return refused(&call);
    };
    let key = key.value.clone();
    let path = call
        .path()
        .strip_prefix("/v1")
        .unwrap_or(call.path())
        .to_owned();
    let request: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    match path.as_str() {
        "/models" => models(),
        "/messages/count_tokens" => reply_json(200, &json!({ "input_tokens": body.len() / 4 })),
        "/messages" => answer(&MESSAGES, &shared, key, request),
        "/chat/completions" => answer(&CHAT, &shared, key, request),
        "/responses" => answer(&RESPONSES, &shared, key, request),
        _ => reply_json(
            404,
            &json!({ "error": { "type": "not_found_error", "message": "no such route" } }),
        ),
    }
}

fn refused(call: &Call) -> Reply {
    if call.path().contains("/messages") {
        let error = json!({ "type": "authentication_error", "message": "invalid x-api-key" });
        return reply_json(401, &json!({ "type": "error", "error": error }));
    }
    let error = json!({ "message": "Incorrect API key provided", "type": "invalid_request_error", "code": "invalid_api_key" });
    reply_json(401, &json!({ "error": error }))
}

fn models() -> Reply {
    let model = json!({ "id": "scripted", "object": "model", "type": "model", "created": 1_767_225_600, "owned_by": "testkit",
        "display_name": "scripted", "created_at": "2026-01-01T00:00:00Z" });
    reply_json(
        200,
        &json!({ "object": "list", "data": [model], "has_more": false }),
    )
}

fn answer(dialect: &Dialect, shared: &Shared, key: String, request: Value) -> Reply {
    let asked = (dialect.ask)(&request);
    let (turn, said) = script::speak(&shared.scripts, &asked);
    let streamed = request
        .get("stream")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    lock(&shared.exchanges).push(Exchange {
        api: dialect.name,
        key,
        streamed,
        turn,
        request: request.clone(),
        text: said.text.clone(),
        calls: said
            .calls
            .iter()
            .map(|call| (call.name.clone(), call.args.clone()))
            .collect(),
    });
    if streamed {
        stream((dialect.events)(&said, &request))
    } else {
        reply_json(200, &(dialect.whole)(&said, &request))
    }
}

fn stream(events: Vec<Event>) -> Reply {
    let (mut sender, mut answer) = reply_stream(200, "text/event-stream");
    set_header(&mut answer, "cache-control", "no-cache");
    tokio::spawn(async move {
        for (name, data) in events {
            let name = name
                .map(|name| format!("event: {name}\n"))
                .unwrap_or_default();
            if sender
                .send_data(Bytes::from(format!("{name}data: {data}\n\n")))
                .await
                .is_err()
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    });
    answer
}

/// Cuts a text into pieces as a model streams it.
fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(16)
        .map(|piece| piece.iter().collect())
        .collect()
}

fn lock(exchanges: &Exchanges) -> MutexGuard<'_, Vec<Exchange>> {
    exchanges.lock().unwrap_or_else(PoisonError::into_inner)
}
