//! Scripts, and what a script's turn becomes for the agent that asks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::canary;

/// What the model says when it is its turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Words alone.
    Text(String),
    /// A shell command, in the form that the asking agent understands: a call of its shell tool, or a fenced block.
    Bash(String),
    /// A call of a named tool.
    Tool {
        /// The tool's name.
        name: String,
        /// Its arguments.
        args: Value,
    },
    /// Several calls at once.
    Parallel(Vec<Turn>),
    /// The end of the work, in the form that the asking agent understands.
    Finish(String),
}

/// A list of turns, for the requests that contain `when`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Script {
    /// Text that must occur in the request (in the task given to a sub-agent, say); any request without it.
    #[serde(default)]
    pub when: Option<String>,
    /// The turns, first to last; after them every answer is a finish.
    pub turns: Vec<Turn>,
}

/// What a request says, in whichever API.
pub(super) struct Asked {
    /// The model's earlier answers in this conversation.
    pub(super) answers: usize,
    /// The tools offered: name and JSON schema of the arguments.
    pub(super) tools: Vec<(String, Value)>,
    /// The request itself.
    pub(super) request: Value,
}

/// What the model says.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    /// How many answers there are, this one included.
    pub(super) answers: usize,
}

pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) args: Value,
}

/// The command that ends mini-swe-agent's work; its prompts name it.
const MINI_END: &str = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT";
/// The fence of mini-swe-agent 2's text prompts; version 1 and others use `bash`.
const MINI_FENCE: &str = "mswea_bash_command";
/// Names of shell tools in published agents.
const SHELLS: [&str; 8] = [
    "bash",
    "shell",
    "Bash",
    "local_shell",
    "shell_command",
    "exec_command",
    "run_shell_command",
    "terminal",
];

/// The answer to a request, and which turn of its script that was.
pub(super) fn speak(scripts: &[Script], asked: &Asked) -> (Option<usize>, Said) {
    let mut said = Said {
        text: String::new(),
        calls: Vec::new(),
        answers: asked.answers + 1,
    };
    if asked.tools.is_empty() && fence(asked).is_none() {
        // Neither tools nor a fenced form: the agent wants a title or a summary.
        "a scripted session".clone_into(&mut said.text);
        return (None, said);
    }
    let fits = |script: &&Script| {
        script
            .when
            .as_ref()
            .is_none_or(|when| mentions(&asked.request, when))
    };
    let turn = scripts
        .iter()
        .find(fits)
        .and_then(|script| script.turns.get(asked.answers));
    match turn {
        Some(turn) => say(turn, asked, &mut said),
        None => say(&Turn::Finish("done".to_owned()), asked, &mut said),
    }
    (turn.map(|_| asked.answers), said)
}

fn say(turn: &Turn, asked: &Asked, said: &mut Said) {
    match turn {
        Turn::Text(text) => said.text.push_str(text),
        Turn::Bash(command) => bash(command, asked, said),
        Turn::Tool { name, args } => said.call(name, args.clone()),
        Turn::Parallel(turns) => turns.iter().for_each(|turn| say(turn, asked, said)),
        Turn::Finish(_) if mentions(&asked.request, MINI_END) => {
            bash(&format!("echo {MINI_END}"), asked, said)
        }
        Turn::Finish(text) => said.text.push_str(text),
    }
}

fn bash(command: &str, asked: &Asked, said: &mut Said) {
    let known = |(name, _): &&(String, Value)| SHELLS.contains(&name.as_str());
    if let Some((name, schema)) = asked.tools.iter().find(known) {
        return said.call(name, shell_args(command, schema));
    }
    let fence = fence(asked).unwrap_or("bash");
    said.text
        .push_str(&format!("I run a command.\n\n```{fence}\n{command}\n```\n"));
}

/// Arguments that satisfy a shell tool's schema: the command where it belongs, something harmless in what else is required.
fn shell_args(command: &str, schema: &Value) -> Value {
    let property = |name: &str| schema.pointer(&format!("/properties/{name}"));
    let field = ["command", "cmd", "script"]
        .into_iter()
        .find(|name| property(name).is_some())
        .unwrap_or("command");
    let is_list = property(field)
        .and_then(|property| property.get("type"))
        .is_some_and(|kind| kind == "array");
    let mut args = Map::new();
    args.insert(
        field.to_owned(),
        if is_list {
            json!(["bash", "-c", command])
        } else {
            json!(command)
        },
    );
    let required = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    for name in required.filter(|name| *name != field) {
        let kind = property(name)
            .and_then(|property| property.get("type"))
            .and_then(Value::as_str);
        let value = match kind {
            Some("number" | "integer") => json!(60_000),
            Some("boolean") => json!(false),
            Some("array") => json!([]),
            Some("object") => json!({}),
            _ => json!("a scripted command"),
        };
        args.insert(name.to_owned(), value);
    }
    Value::Object(args)
}

fn fence(asked: &Asked) -> Option<&'static str> {
    if mentions(&asked.request, MINI_FENCE) {
        return Some(MINI_FENCE);
    }
    mentions(&asked.request, "```bash").then_some("bash")
}

fn mentions(request: &Value, text: &str) -> bool {
    any_text(request, &|found| found.contains(text))
}

/// Whether any string in `value` satisfies `wanted`; depth is bounded by the JSON parser's own limit.
pub(super) fn any_text(value: &Value, wanted: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => wanted(text),
        Value::Array(items) => items.iter().any(|item| any_text(item, wanted)),
        Value::Object(fields) => fields.values().any(|field| any_text(field, wanted)),
        _ => false,
    }
}

impl Said {
    fn call(&mut self, name: &str, args: Value) {
        let id = canary("")
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(24)
            .collect();
        self.calls.push(ToolCall {
            id,
            name: name.to_owned(),
            args,
        });
    }

    /// A rough count of tokens, four bytes each.
    pub(super) fn tokens(&self) -> usize {
        let args: usize = self
            .calls
            .iter()
            .map(|call| call.args.to_string().len())
            .sum();
        (self.text.len() + args) / 4 + 1
    }
}

impl Asked {
    /// A rough count of tokens, four bytes each.
    pub(super) fn tokens(request: &Value) -> usize {
        request.to_string().len() / 4 + 1
    }
}
