//! Published agents, run headless and unmodified against a [`ScriptedModel`]. Each command starts from an empty environment
//! and its own home, so that nothing of the developer's reaches it; `README.md` says what each variable is for.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{error::Result, model::ScriptedModel, tools::Tools};

/// Which of the model vendors' APIs an agent is told to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelApi {
    /// Anthropic Messages.
    Messages,
    /// OpenAI Chat Completions.
    Chat,
    /// OpenAI Responses.
    Responses,
}

/// A published agent's command line with its environment, for tests that wrap it (`marque run -- …`).
#[derive(Clone, Debug)]
pub struct Agent {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Every variable it needs; nothing else should be set but what is under test.
    pub env: Vec<(String, String)>,
    /// Its working folder.
    pub work: PathBuf,
}

impl Agent {
    /// mini-swe-agent on `task`, with tool calls over the Chat Completions API. `home` and `work` are folders of the test.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn mini(
        tools: &Tools,
        model: &ScriptedModel,
        task: &str,
        home: &Path,
        work: &Path,
    ) -> Result<Self> {
        Self::mini_with(tools, &model.url("/v1"), model.key(), task, home, work)
    }

    /// [`Agent::mini`] with another base URL or key, as when the product stands between it and the model.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn mini_with(
        tools: &Tools,
        base: &str,
        key: &str,
        task: &str,
        home: &Path,
        work: &Path,
    ) -> Result<Self> {
        let trajectory = home.join("trajectory.json").into_os_string();
        let mut args: Vec<OsString> = ["-m", "openai/scripted", "-y", "--exit-immediately"]
            .map(OsString::from)
            .into();
        args.extend(["-t".into(), task.into(), "-o".into(), trajectory]);
        let mut env = basics(home);
        let configuration = home.join("mswea").display().to_string();
        env.extend(
            [
                ("OPENAI_API_BASE", base),
                ("OPENAI_API_KEY", key),
                ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
                ("MSWEA_CONFIGURED", "true"),
                ("MSWEA_COST_TRACKING", "ignore_errors"),
                ("MSWEA_GLOBAL_CONFIG_DIR", &configuration),
                ("MSWEA_SILENT_STARTUP", "1"),
                ("MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        Ok(Self {
            program: tools.mini()?,
            args,
            env,
            work: work.to_owned(),
        })
    }

    /// opencode on `task`.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn opencode(
        tools: &Tools,
        model: &ScriptedModel,
        api: ModelApi,
        task: &str,
        home: &Path,
        work: &Path,
    ) -> Result<Self> {
        Self::opencode_with(tools, &model.url("/v1"), model.key(), api, task, home, work)
    }

    /// [`Agent::opencode`] with another base URL or key.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn opencode_with(
        tools: &Tools,
        base: &str,
        key: &str,
        api: ModelApi,
        task: &str,
        home: &Path,
        work: &Path,
    ) -> Result<Self> {
        let args = ["run", "-m", "scripted/scripted", task]
            .map(OsString::from)
            .into();
        let mut env = basics(home);
        let switches = [
            "OPENCODE_DISABLE_AUTOUPDATE",
            "OPENCODE_DISABLE_DEFAULT_PLUGINS",
            "OPENCODE_DISABLE_LSP_DOWNLOAD",
            "OPENCODE_DISABLE_MODELS_FETCH",
            "OPENCODE_DISABLE_SHARE",
        ];
        env.extend(switches.map(|name| (name.to_owned(), "1".to_owned())));
        // It would fetch a plugin package that nobody pinned; offline npm makes that a harmless failure.
        env.push(("npm_config_offline".to_owned(), "true".to_owned()));
        env.push((
            "OPENCODE_CONFIG_CONTENT".to_owned(),
            opencode_configuration(base, key, api).to_string(),
        ));
        Ok(Self {
            program: tools.opencode()?,
            args,
            env,
            work: work.to_owned(),
        })
    }

    /// Adds or replaces a variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command to start it directly.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.apply(&mut command);
        command
    }

    /// The command to start it under `wrapper` (its arguments so far, then the agent's own).
    #[must_use]
    pub fn under(&self, mut wrapper: Command) -> Command {
        wrapper.arg(&self.program);
        self.apply(&mut wrapper);
        wrapper
    }

    fn apply(&self, command: &mut Command) {
        command.args(&self.args).env_clear().current_dir(&self.work);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
    }
}

fn basics(home: &Path) -> Vec<(String, String)> {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
    vec![
        ("PATH".to_owned(), path),
        ("HOME".to_owned(), home.display().to_string()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ]
}

fn opencode_configuration(base: &str, key: &str, api: ModelApi) -> Value {
    let package = match api {
        ModelApi::Messages => "@ai-sdk/anthropic",
        ModelApi::Chat => "@ai-sdk/openai-compatible",
        ModelApi::Responses => "@ai-sdk/openai",
    };
    let model = json!({ "name": "Scripted", "tool_call": true, "limit": { "context": 100_000, "output": 4_000 } });
    json!({
        "model": "scripted/scripted", "small_model": "scripted/scripted", "share": "disabled", "autoupdate": false,
        "permission": { "*": "allow" },
        "provider": { "scripted": { "npm": package, "name": "Scripted", "models": { "scripted": model },
            "options": { "baseURL": base, "apiKey": key } } },
    })
}
