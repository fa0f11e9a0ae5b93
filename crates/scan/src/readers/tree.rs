//! Formats of trees: JSON and TOML.

use crate::judge::{Judge, Raw, says_production};
use crate::limits::NEST_MAX;
use serde_json::Value;
use std::collections::BTreeMap;

/// One string of a tree.
struct Leaf<'a> {
    /// Names of the members above, outermost first.
    above: Vec<&'a str>,
    name: &'a str,
    value: &'a str,
}

fn walk<'a>(value: &'a Value, above: &mut Vec<&'a str>, each: &mut impl FnMut(Leaf<'a>)) {
    if above.len() > NEST_MAX {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                above.push(name);
                walk(value, above, each);
                above.pop();
            }
        }
        Value::Array(items) => {
            for item in items {
                above.push("");
                walk(item, above, each);
                above.pop();
            }
        }
        Value::String(text) => {
            if let Some((name, rest)) = above.split_last() {
                each(Leaf { above: rest.to_vec(), name, value: text });
            }
        }
        _ => {}
    }
}

pub(super) fn json(judge: &Judge, label: &str, text: &str) -> Option<Vec<Raw>> {
    // serde_json refuses nesting over 128 by itself.
    Some(members(judge, label, &serde_json::from_str(text).ok()?))
}

pub(super) fn toml(judge: &Judge, label: &str, text: &str) -> Option<Vec<Raw>> {
    let table: ::toml::Table = text.parse().ok()?;
    Some(members(judge, label, &serde_json::to_value(table).ok()?))
}

fn members(judge: &Judge, label: &str, tree: &Value) -> Vec<Raw> {
    let mut out = Vec::new();
    walk(tree, &mut Vec::new(), &mut |leaf| {
        // An argument of a command: `--token=…`, `NAME=value`, or a value by itself.
        let found = match leaf.name {
            "" => match leaf.value.split_once('=').filter(|(_, v)| !v.is_empty()) {
                Some((name, value)) => judge.variable(name.trim_start_matches('-'), value),
                None => judge.variable("argument", leaf.value),
            },
            name => judge.variable(name, leaf.value),
        };
        let Some(raw) = found else { return };
        let named = leaf.above.iter().rev().find(|n| !n.is_empty() && !matches!(**n, "env" | "headers" | "args" | "environment"));
        let raw = Raw { production: raw.production || leaf.above.iter().any(|n| says_production(n)), ..raw };
        let raw = match named {
            Some(owner) if raw.detail.is_none() => raw.with_detail(format!("{label} {owner}")),
            _ => raw,
        };
        out.push(raw);
    });
    out
}

/// A file that a tool keeps its login in: everything that is a secret there is one credential per member of the top.
pub(super) fn login(judge: &Judge, label: &str, text: &str) -> Option<Vec<Raw>> {
    let tree: Value = serde_json::from_str(text).ok()?;
    let mut by_owner: BTreeMap<String, Raw> = BTreeMap::new();
    walk(&tree, &mut Vec::new(), &mut |leaf| {
        let says = ["token", "key", "secret", "access", "refresh"].iter().any(|w| leaf.name.to_ascii_lowercase().contains(w));
        let known = judge.variable(leaf.name, leaf.value);
        if !says || known.is_none() && !is_opaque(leaf.value) || leaf.name.eq_ignore_ascii_case("id_token") {
            return;
        }
        let owner = leaf.above.first().copied().unwrap_or("").to_owned();
        let raw = Raw::declared(format!("{label} login"), format!("{label} login"), leaf.value);
        match by_owner.get_mut(&owner) {
            Some(login) => login.values.extend(raw.values),
            None => drop(by_owner.insert(owner, raw)),
        }
    });
    Some(by_owner.into_iter().map(|(owner, raw)| if owner.is_empty() { raw } else { raw.with_detail(owner) }).collect())
}

/// Long and without blanks: a token of whatever make.
fn is_opaque(value: &str) -> bool {
    value.len() >= 20 && !value.contains(char::is_whitespace) && !value.contains("://") && !crate::judge::is_stand_in(value)
}

pub(super) fn docker(judge: &Judge, text: &str) -> Option<Vec<Raw>> {
    use base64::Engine as _;
    let tree: Value = serde_json::from_str(text).ok()?;
    let mut out = Vec::new();
    for (host, login) in tree.get("auths").and_then(Value::as_object).into_iter().flatten() {
        let member = |name: &str| login.get(name).and_then(Value::as_str).filter(|v| !v.is_empty());
        let decoded = member("auth").and_then(|auth| base64::engine::general_purpose::STANDARD.decode(auth).ok());
        let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let password = pair.as_deref().and_then(|p| p.split_once(':')).map(|(_, password)| password.trim_end_matches('\0'));
        let value = member("identitytoken").or_else(|| password.filter(|p| !p.is_empty()));
        if let Some(value) = value.filter(|v| !crate::judge::is_stand_in(v) && !crate::judge::is_reference(v)) {
            out.push(Raw::declared(format!("docker {host}"), "registry login", value).with_detail(host.clone()));
        }
    }
    out.extend(judge.variable("proxy", tree.pointer("/proxies/default/httpsProxy").and_then(Value::as_str).unwrap_or("")));
    Some(out)
}
