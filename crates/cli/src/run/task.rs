//! What a run is for: from a task file, from flags, or both; flags may only narrow what a file says.

use crate::args::RunArgs;
use crate::out::Failure;
use marque_api::control::TaskFile;
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest task file, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Seconds of a session where nobody said more.
const TTL_S: u64 = marque_model::limits::SESSION_MS_DEFAULT / 1000;

/// Everything that a session is opened with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) purpose: String,
    pub(crate) refs: Vec<String>,
    pub(crate) agent: String,
    pub(crate) environment: String,
    pub(crate) mode: String,
    pub(crate) grants: Vec<Value>,
    pub(crate) ttl_s: u64,
    pub(crate) accept: Vec<String>,
    pub(crate) egress: Vec<String>,
    pub(crate) pins: Vec<String>,
    pub(crate) pass: Vec<String>,
    pub(crate) set: Vec<(String, String)>,
    pub(crate) require: Option<String>,
    /// The file that it came from, as it was read.
    pub(crate) file: Option<TaskFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    task: u32,
    purpose: String,
    env: String,
    #[serde(default)]
    ttl: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    require: Option<String>,
    #[serde(default)]
    agents: Vec<String>,
    #[serde(default)]
    pass: Vec<String>,
    #[serde(default, rename = "grant")]
    grants: Vec<FileGrant>,
    #[serde(default)]
    egress: Egress,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Egress {
    #[serde(default)]
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGrant {
    service: String,
    allow: Vec<String>,
    on: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    limit: Option<Value>,
}

fn bad(what: impl Into<String>) -> Failure {
    Failure::usage(what, "see `marque explain MQ-1201`")
}

/// Reads flags and, where there is one, the task file.
pub(crate) fn plan(args: &RunArgs) -> Result<Plan, Failure> {
    let (file, source) = match &args.task {
        None => (File::default(), None),
        Some(path) => {
            let source = read(path)?;
            (parse(&source.text, &path.display().to_string())?, Some(source))
        }
    };
    let program = args.command.first().map(String::as_str).unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or(program);
    let agent = args.agent.clone().unwrap_or_else(|| program.to_owned());
    if !file.agents.is_empty() && !file.agents.contains(&agent) {
        return Err(bad(format!("the task is for {}, not for `{agent}`", file.agents.join(", "))));
    }
    let environment = match (&args.env, file.env.as_str()) {
        (Some(env), of) if !of.is_empty() && env != of => {
            return Err(bad(format!("the task is for `{of}`, not for `{env}`")));
        }
        (Some(env), _) => env.clone(),
        (None, of) => of.to_owned(),
    };
    let mut grants = Vec::new();
    for grant in &file.grants {
        grants.push(file_grant(grant, &environment));
    }
    if file.task != 0 && !args.grants.is_empty() {
        return Err(bad("a task's grants are in its file, where they are reviewed"));
    }
    if file.task != 0 {
        let widens = [
            (!args.egress.is_empty()).then_some("--egress"),
            args.purpose.is_some().then_some("--purpose"),
            (args.mode.as_deref() == Some("observe") && file.mode.as_deref() != Some("observe")).then_some("--mode observe"),
        ];
        if let Some(flag) = widens.into_iter().flatten().next() {
            return Err(bad(format!("a task's hosts, purpose and mode are in its file, where they are reviewed: leave out `{flag}`")));
        }
    }
    for text in &args.grants {
        grants.push(flag_grant(text, &environment)?);
    }
    let file_ttl = file.ttl.as_deref().map(seconds).transpose()?;
    let ttl_s = match (args.ttl.as_deref().map(seconds).transpose()?, file_ttl) {
        (Some(flag), Some(most)) => flag.min(most),
        (flag, most) => flag.or(most).unwrap_or(TTL_S),
    };
    let mode = args.mode.clone().or(file.mode).unwrap_or_else(|| "enforce".to_owned());
    let mut set = Vec::new();
    for text in &args.set {
        let pair = text.split_once('=').ok_or_else(|| Failure::usage(format!("`{text}` sets nothing"), "write NAME=value"))?;
        set.push((pair.0.to_owned(), pair.1.to_owned()));
    }
    Ok(Plan {
        purpose: args.purpose.clone().unwrap_or(file.purpose),
        refs: args.refs.clone(),
        agent,
        environment,
        mode,
        grants,
        ttl_s,
        accept: args.accept.clone(),
        egress: file.egress.allow.into_iter().chain(args.egress.iter().cloned()).collect(),
        pins: args.pins.clone(),
        pass: file.pass.into_iter().chain(args.pass.iter().cloned()).collect(),
        set,
        require: args.require.clone().or(file.require),
        file: source,
    })
}

/// The file's text, the path that names it, and the one that its links lead to.
pub(crate) fn read(path: &std::path::Path) -> Result<TaskFile, Failure> {
    let unreadable = |e: std::io::Error| bad(format!("`{}`: {e}", path.display()));
    let text = crate::files::read_text(path, FILE_BYTES_MAX).map_err(unreadable)?;
    let real = std::fs::canonicalize(path).map_err(unreadable)?;
    let named = without_dots(&std::path::absolute(path).map_err(unreadable)?);
    let text_of = |path: &std::path::Path| path.to_string_lossy().into_owned();
    Ok(TaskFile { path: text_of(&named), real: text_of(&real), text })
}

/// A name for a path, links as they stand: `a/../b` is `b`.
fn without_dots(path: &std::path::Path) -> std::path::PathBuf {
    use std::path::Component;
    let mut out = std::path::PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

fn parse(text: &str, name: &str) -> Result<File, Failure> {
    let file: File = toml::from_str(text).map_err(|e| bad(format!("`{name}`: {}", e.message())))?;
    if file.task != 1 {
        return Err(bad(format!("`{name}` is of version {}, and this program reads version 1", file.task)));
    }
    Ok(file)
}

/// Environment, grants and open hosts of a task's text, as a run reads them.
pub(crate) fn read_text(text: &str) -> Result<(String, Vec<Value>, Vec<String>), Failure> {
    let file = parse(text, "the task")?;
    let grants = file.grants.iter().map(|grant| file_grant(grant, &file.env)).collect();
    Ok((file.env, grants, file.egress.allow))
}

fn file_grant(grant: &FileGrant, environment: &str) -> Value {
    let mut out = match grant.service.as_str() {
        "http" => json!({
            "type": "http", "environment": environment, "locations": grant.on, "actions": grant.allow,
            "paths": if grant.paths.is_empty() { vec!["/**".to_owned()] } else { grant.paths.clone() },
        }),
        service => json!({
            "type": "service", "service": service, "environment": environment, "actions": grant.allow,
            "resources": grant.on,
        }),
    };
    if let (Some(limit), Some(object)) = (&grant.limit, out.as_object_mut()) {
        object.insert("limits".into(), limit.clone());
    }
    out
}

/// `github repo.read,pr.* on acme/*`, `http GET,HEAD on https://api.test/v1/**`, or JSON.
fn flag_grant(text: &str, environment: &str) -> Result<Value, Failure> {
    let help = "write `github repo.read,pr.* on acme/*`, `http GET on https://api.example.com/v1/**`, or RFC 9396 JSON";
    let unreadable = |why: &str| Failure::usage(format!("`{text}` is no grant: {why}"), help);
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|e| unreadable(&e.to_string()));
    }
    let (head, on) = text.split_once(" on ").ok_or_else(|| unreadable("it has no ` on `"))?;
    let (service, actions) = head.trim().split_once(' ').ok_or_else(|| unreadable("it names no operation"))?;
    let list = |text: &str| text.split(',').map(|w| w.trim().to_owned()).collect::<Vec<_>>();
    if service != "http" {
        return Ok(json!({
            "type": "service", "service": service, "environment": environment, "actions": list(actions),
            "resources": list(on),
        }));
    }
    let url = on.trim();
    let origin = url.find("://").map(|i| i + 3).ok_or_else(|| unreadable("it has no origin"))?;
    let end = url.get(origin..).and_then(|rest| rest.find('/')).map_or(url.len(), |i| origin + i);
    let (origin, path) = url.split_at_checked(end).ok_or_else(|| unreadable("it has no origin"))?;
    let explicit = marque_authority::origin(origin).map_err(|e| unreadable(&e.to_string()))?;
    let path = if path.is_empty() { "/**" } else { path };
    Ok(json!({
        "type": "http", "environment": environment, "locations": [explicit], "actions": list(actions), "paths": [path],
    }))
}

/// `90s`, `30m`, `2h`.
pub(crate) fn seconds(text: &str) -> Result<u64, Failure> {
    let wrong = || Failure::usage(format!("`{text}` is no length of time"), "write it like `90s`, `30m` or `2h`");
    let (number, factor) = match text.char_indices().last() {
        Some((at, 's')) => (text.get(..at), 1),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 'h')) => (text.get(..at), 3600),
        _ => (None, 0),
    };
    let number: u64 = number.and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(factor).filter(|s| *s > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_grant_is_its_json() {
        let found = flag_grant("github repo.read,pr.* on acme/*", "staging").ok();
        let wanted = json!({"type":"service","service":"github","environment":"staging","actions":["repo.read","pr.*"],"resources":["acme/*"]});
        assert_eq!(found, Some(wanted));
        let found = flag_grant("http GET on https://api.test/v1/**", "dev").ok();
        let wanted = json!({"type":"http","environment":"dev","locations":["https://api.test:443"],"actions":["GET"],"paths":["/v1/**"]});
        assert_eq!(found, Some(wanted));
        assert!(flag_grant("github", "dev").is_err());
        assert!(flag_grant("http GET on nowhere", "dev").is_err());
    }

    #[test]
    fn lengths_of_time_have_a_unit() {
        assert_eq!(seconds("90s").ok(), Some(90));
        assert_eq!(seconds("2h").ok(), Some(7200));
        for bad in ["", "s", "0s", "5", "-1s", "1d", "99999999999999999999h"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
