//! Text of one file in, credentials out. Pure and total; a file that does not parse is searched for shapes.

mod lines;
mod tree;

use crate::judge::{Judge, Raw, account_of, says_production};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// `NAME=value`, with or without `export`.
    Env,
    /// A URL with a login on each line.
    Urls,
    /// git's settings: URLs of remotes, extra headers.
    GitConfig,
    /// `machine … login … password …`.
    Netrc,
    /// npm's settings.
    Npmrc,
    /// Sections and `key = value`.
    Ini,
    /// AWS profiles.
    Aws,
    /// `key: value`, read line by line.
    Yaml,
    /// Users of a cluster's settings.
    Kube,
    /// `host:port:database:user:password`.
    PgPass,
    /// A private key.
    Key,
    /// One token and nothing else.
    Token,
    /// Members whose names or values are those of a credential.
    Json,
    /// The same.
    Toml,
    /// Docker's logins.
    Docker,
    /// A JSON file that holds a login: its tokens are one credential.
    Login,
    /// Anything: shapes alone.
    Text,
}

/// What a file holds.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) raw: Vec<Raw>,
    /// What is to be said of it beside.
    pub(crate) notes: Vec<String>,
}

/// Set for every process of a session: what its other variables hold are placeholders.
pub(crate) const SESSION: &str = "MARQUE_SESSION";

/// Reads a file.
pub(crate) fn read(judge: &Judge, reader: Reader, label: &str, path: &Path, text: &str) -> Found {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let raw = match reader {
        Reader::Env => variables_of_lines(judge, text),
        Reader::Urls => lines::urls(judge, label, text),
        Reader::GitConfig => lines::git_config(judge, label, text),
        Reader::Netrc => lines::netrc(text),
        Reader::Npmrc => lines::npmrc(judge, text),
        Reader::Ini => lines::ini(judge, label, text),
        Reader::Aws => lines::aws(text),
        Reader::Yaml => lines::yaml(judge, label, text),
        Reader::Kube => lines::kube(text),
        Reader::PgPass => lines::pgpass(text),
        Reader::Key => return key(judge, label, &name, text),
        Reader::Token => token(judge, label, text),
        Reader::Json => tree::json(judge, label, text).unwrap_or_else(|| judge.text(label, text)),
        Reader::Toml => tree::toml(judge, label, text).unwrap_or_else(|| judge.text(label, text)),
        Reader::Docker => tree::docker(judge, text).unwrap_or_else(|| judge.text(label, text)),
        Reader::Login => tree::login(judge, label, text).unwrap_or_else(|| judge.text(label, text)),
        Reader::Text => judge.text(&name, text),
    };
    Found { raw, notes: Vec::new() }
}

/// Variables of one environment. The parts of an AWS key are one credential; a session's placeholders are none.
pub(crate) fn variables<'a>(judge: &Judge, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Raw> {
    let pairs: Vec<(&str, &str)> = pairs.collect();
    let by_name: HashMap<&str, &str> = pairs.iter().rev().copied().collect();
    let value = |name: &str| by_name.get(name).copied();
    let in_session = value(SESSION).is_some_and(|v| !v.is_empty());
    let mut out = Vec::new();
    for (name, text) in &pairs {
        let placeholder = in_session && (judge.is_of_service(name) || text.starts_with("http://marque:"));
        if placeholder || *name == "AWS_SESSION_TOKEN" {
            continue;
        }
        let Some(raw) = judge.variable(name, text) else { continue };
        out.push(match *name {
            "AWS_SECRET_ACCESS_KEY" => aws_detail(raw, value("AWS_ACCESS_KEY_ID"), value("AWS_SESSION_TOKEN").is_some()),
            _ => raw,
        });
    }
    out
}

/// Account and kind of an AWS key.
fn aws_detail(raw: Raw, id: Option<&str>, session: bool) -> Raw {
    let kind = if session || id.is_some_and(|id| id.trim().starts_with("ASIA")) { "temporary" } else { "static" };
    let detail = match id.and_then(|id| account_of(id.trim())) {
        Some(account) => format!("{account}, {kind}"),
        None => kind.to_owned(),
    };
    Raw { kind: "aws key".into(), exact: true, ..raw }.with_detail(detail)
}

fn variables_of_lines(judge: &Judge, text: &str) -> Vec<Raw> {
    let mut pairs: Vec<(usize, &str, &str)> = Vec::new();
    for (line, content) in numbered(text) {
        let content = content.trim();
        let content = content.strip_prefix("export ").or_else(|| content.strip_prefix("set -x ")).unwrap_or(content);
        if content.starts_with('#') {
            continue;
        }
        if let Some((name, value)) = content.split_once('=') {
            pairs.push((line, name.trim(), without_comment(value.trim())));
        }
    }
    let mut out = variables(judge, pairs.iter().map(|(_, name, value)| (*name, *value)));
    let lines: HashMap<&str, usize> = pairs.iter().rev().map(|(line, name, _)| (*name, *line)).collect();
    for raw in &mut out {
        raw.line = lines.get(raw.name.as_str()).copied();
    }
    // Keys of several lines, and whatever is no assignment.
    let taken = lines_of(&out);
    let more = judge.text("", text).into_iter().filter(|raw| !taken.contains(&raw.line));
    let more: Vec<Raw> = more.map(|raw| Raw { name: raw.kind.clone(), ..raw }).collect();
    out.extend(more);
    out
}

/// Lines on which something was found already.
fn lines_of(found: &[Raw]) -> HashSet<Option<usize>> {
    found.iter().map(|raw| raw.line).collect()
}

/// What follows a blank and a `#` is a comment, outside quotes.
fn without_comment(value: &str) -> &str {
    match value.strip_prefix(['"', '\'']) {
        Some(inner) => {
            let quote = if value.starts_with('"') { '"' } else { '\'' };
            inner.split(quote).next().unwrap_or(inner)
        }
        None => value.split(" #").next().unwrap_or(value).trim_end(),
    }
}

/// Lines with their numbers, from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// A private key. One that needs a passphrase is said and not counted.
fn key(judge: &Judge, label: &str, name: &str, text: &str) -> Found {
    let mut out = Found::default();
    for mut raw in judge.text(&format!("{label} {name}"), text) {
        if raw.kind == "private key" && raw.values.first().is_some_and(|v| is_protected(v.expose())) {
            out.notes.push("is a private key that needs a passphrase".into());
            continue;
        }
        raw.production |= says_production(name);
        out.raw.push(if raw.kind == "private key" { raw.with_detail("no passphrase") } else { raw });
    }
    out
}

/// PEM says it in a header or in its label; OpenSSH names the cipher at the start of the encoded part.
fn is_protected(key: &[u8]) -> bool {
    use base64::Engine as _;
    let text = String::from_utf8_lossy(key);
    if text.contains("ENCRYPTED") {
        return true;
    }
    let body: String = text.lines().skip(1).take_while(|l| !l.starts_with("-----")).flat_map(|l| l.trim().chars()).take(48).collect();
    let decoded = base64::engine::general_purpose::STANDARD.decode(body).unwrap_or_default();
    decoded.strip_prefix(b"openssh-key-v1\0").is_some_and(|rest| !rest.starts_with(b"\0\0\0\x04none"))
}

fn token(judge: &Judge, label: &str, text: &str) -> Vec<Raw> {
    let value = text.trim();
    if value.is_empty() || value.contains(char::is_whitespace) {
        return judge.text(label, text);
    }
    vec![Raw::declared(format!("{label} token"), format!("{label} token"), value)]
}
