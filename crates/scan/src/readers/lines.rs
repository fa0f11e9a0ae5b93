//! Formats of lines.

use super::{aws_detail, lines_of, numbered};
use crate::judge::{Judge, Raw, is_reference, is_stand_in, unquoted};
use std::collections::HashMap;

/// A value that is there: no reference and no stand-in.
fn real(value: &str) -> Option<&str> {
    let value = unquoted(value.trim());
    (!value.is_empty() && !is_reference(value) && !is_stand_in(value)).then_some(value)
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    rest.split('/').next().unwrap_or(rest)
}

pub(super) fn urls(judge: &Judge, label: &str, text: &str) -> Vec<Raw> {
    let of = |(line, url): (usize, &str)| Some(judge.variable(&format!("{label} {}", host_of(url)), url)?.at_line(line));
    numbered(text).filter_map(of).collect()
}

pub(super) fn git_config(judge: &Judge, label: &str, text: &str) -> Vec<Raw> {
    let mut out = Vec::new();
    for (line, content) in numbered(text) {
        // `[url "https://user:token@host/"]` carries one too.
        let value = match content.split_once('=') {
            Some((_, value)) => value.trim(),
            None => content.split('"').nth(1).unwrap_or(""),
        };
        let header = value.split_once(':').filter(|(name, _)| name.trim().eq_ignore_ascii_case("authorization"));
        if let Some((_, credential)) = header {
            let credential = credential.trim().rsplit(' ').next().unwrap_or("");
            if real(credential).is_some() {
                out.push(Raw::declared(format!("{label} extra header"), "authorization header", credential).at_line(line));
            }
        } else if let Some(raw) = judge.variable(&format!("{label} {}", host_of(value)), value) {
            out.push(raw.at_line(line));
        }
    }
    out
}

/// Words of the whole file: an entry may stand on one line or on several (the GNU inetutils manual, `.netrc`).
pub(super) fn netrc(text: &str) -> Vec<Raw> {
    let mut out = Vec::new();
    let mut machine = String::from("default");
    let words = numbered(text).flat_map(|(line, content)| {
        let content = if content.trim_start().starts_with('#') { "" } else { content };
        content.split_whitespace().map(move |word| (line, word))
    });
    let mut words = words.peekable();
    while let Some((_, word)) = words.next() {
        match word {
            "machine" => machine = words.next().map_or_else(String::new, |(_, name)| name.to_owned()),
            "default" => machine = "default".into(),
            "password" => {
                if let Some((line, value)) = words.next()
                    && let Some(value) = real(value)
                {
                    out.push(Raw::declared(format!("netrc {machine}"), "password", value).with_detail(machine.clone()).at_line(line));
                }
            }
            "login" | "account" => drop(words.next()),
            _ => {}
        }
    }
    out
}

pub(super) fn npmrc(judge: &Judge, text: &str) -> Vec<Raw> {
    let mut out = Vec::new();
    for (line, content) in numbered(text) {
        let content = content.trim();
        let Some((key, value)) = content.split_once('=').filter(|_| !content.starts_with(['#', ';'])) else { continue };
        let key = key.trim();
        let (host, field) = key.rsplit_once(':').unwrap_or(("", key));
        let host = host.trim_start_matches('/').split('/').next().unwrap_or("");
        let declared = matches!(field, "_authToken" | "_auth" | "_password");
        let name = if host.is_empty() { "npm".to_owned() } else { format!("npm {host}") };
        match real(value) {
            Some(value) if declared => {
                let raw = Raw::declared(name, "npm token", value);
                out.push(if host.is_empty() { raw } else { raw.with_detail(host) }.at_line(line));
            }
            Some(value) => out.extend(judge.variable(&name, value).map(|raw| raw.at_line(line))),
            None => {}
        }
    }
    out
}

/// Sections with `key = value` or `key: value`.
fn sections<'a>(text: &'a str, mut each: impl FnMut(usize, &'a str, &'a str, &'a str)) {
    let mut section = "";
    for (line, content) in numbered(text) {
        let content = content.trim();
        if let Some(name) = content.strip_prefix('[').and_then(|c| c.strip_suffix(']')) {
            section = name.trim();
        } else if !content.starts_with(['#', ';'])
            && let Some((key, value)) = content.split_once(['=', ':'])
        {
            each(line, section, key.trim(), value.trim());
        }
    }
}

pub(super) fn ini(judge: &Judge, label: &str, text: &str) -> Vec<Raw> {
    let mut out = Vec::new();
    sections(text, |line, section, key, value| {
        if let Some(raw) = judge.variable(key, value) {
            let name = format!("{label} {section}");
            let production = raw.production || crate::judge::says_production(section);
            out.push(Raw { name: name.trim_end().to_owned(), production, ..raw }.at_line(line));
        }
    });
    out
}

pub(super) fn aws(text: &str) -> Vec<Raw> {
    struct Profile<'a> {
        name: &'a str,
        id: Option<&'a str>,
        secret: Option<(usize, &'a str)>,
        session: bool,
    }
    let mut profiles: Vec<Profile<'_>> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    sections(text, |line, section, key, value| {
        let name = section.strip_prefix("profile ").unwrap_or(section);
        let at = *known.entry(name).or_insert_with(|| {
            profiles.push(Profile { name, id: None, secret: None, session: false });
            profiles.len() - 1
        });
        let Some(profile) = profiles.get_mut(at) else { return };
        match key.to_ascii_lowercase().as_str() {
            "aws_access_key_id" => profile.id = Some(value),
            "aws_secret_access_key" => profile.secret = real(value).map(|v| (line, v)),
            "aws_session_token" => profile.session = true,
            _ => {}
        }
    });
    let of = |p: Profile<'_>| {
        let (line, secret) = p.secret?;
        Some(aws_detail(Raw::declared(format!("aws profile {}", p.name), "aws key", secret), p.id, p.session).at_line(line))
    };
    profiles.into_iter().filter_map(of).collect()
}

/// `key: value` and `- key: value` with their indentation. Not a reader of YAML: what is written otherwise is searched for
/// shapes.
fn pairs(text: &str) -> impl Iterator<Item = (usize, usize, &str, &str)> {
    numbered(text).filter_map(|(line, content)| {
        let indent = content.len() - content.trim_start().len();
        let content = content.trim_start().trim_start_matches("- ").trim();
        let (key, value) = content.split_once(": ").or_else(|| Some((content.strip_suffix(':')?, "")))?;
        (!content.starts_with('#')).then_some((line, indent, unquoted(key.trim()), value.trim()))
    })
}

pub(super) fn yaml(judge: &Judge, label: &str, text: &str) -> Vec<Raw> {
    let mut out = Vec::new();
    let mut top = "";
    for (line, indent, key, value) in pairs(text) {
        if indent == 0 {
            top = if value.is_empty() { key } else { "" };
        }
        let value = value.split(" #").next().unwrap_or(value).trim();
        // Lists of variables: `- NAME=value`.
        let found = match key.split_once('=') {
            Some((name, rest)) => judge.variable(name, rest),
            None => judge.variable(key, value),
        };
        if let Some(raw) = found {
            let named = if top.contains('.') { format!("{label} {top}") } else { key.to_owned() };
            let raw = Raw { name: named, ..raw };
            out.push(if top.contains('.') { raw.with_detail(top) } else { raw }.at_line(line));
        }
    }
    let lists = numbered(text).filter_map(|(line, content)| {
        let (name, value) = content.trim_start().strip_prefix("- ")?.split_once('=')?;
        Some(judge.variable(unquoted(name.trim()).trim_matches('"'), value.trim_end_matches(['"', '\'']))?.at_line(line))
    });
    out.extend(lists);
    let taken = lines_of(&out);
    let more: Vec<Raw> = judge.text(label, text).into_iter().filter(|raw| !taken.contains(&raw.line)).collect();
    out.extend(more);
    out
}

pub(super) fn kube(text: &str) -> Vec<Raw> {
    let mut out: Vec<Raw> = Vec::new();
    let (mut users, mut name) = (false, String::from("?"));
    for (line, indent, key, value) in pairs(text) {
        match key {
            _ if indent == 0 && key != "name" && key != "user" => users = key == "users",
            "name" if users => name = unquoted(value).to_owned(),
            "token" | "password" | "client-key-data" | "id-token" | "refresh-token" | "access-token" if users => {
                if let Some(value) = real(value) {
                    out.push(Raw::declared(format!("kube user {name}"), format!("kube {}", key.replace('-', " ")), value).at_line(line));
                }
            }
            _ => {}
        }
    }
    out
}

/// PostgreSQL manual, "The Password File": fields divided by colons, a backslash takes the next character as it is.
pub(super) fn pgpass(text: &str) -> Vec<Raw> {
    let mut out = Vec::new();
    for (line, content) in numbered(text).filter(|(_, c)| !c.starts_with('#')) {
        let mut fields = vec![String::new()];
        let mut chars = content.chars();
        while let Some(c) = chars.next() {
            match (c, fields.len() < 5) {
                (':', true) => fields.push(String::new()),
                ('\\', _) => fields.last_mut().into_iter().for_each(|f| f.extend(chars.next())),
                _ => fields.last_mut().into_iter().for_each(|f| f.push(c)),
            }
        }
        if let [host, _, database, user, password] = fields.as_slice()
            && let Some(password) = real(password)
        {
            let raw = Raw::declared(format!("postgres {user}"), "postgres login", password);
            out.push(raw.with_detail(format!("{host}/{database}")).at_line(line));
        }
    }
    out
}
