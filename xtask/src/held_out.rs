//! No rule is made from a command that is held out: none of `conformance/commands/held-out-*.jsonl` is an example of a rule in
//! `services/commands`.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(crate) fn check(root: &Path, findings: &mut Vec<String>) {
    let held: BTreeSet<String> = files(&root.join("conformance/commands"), "held-out-", ".jsonl").iter().flat_map(|path| commands(path)).collect();
    if held.is_empty() {
        findings.push("conformance/commands has no held-out commands".into());
    }
    for path in files(&root.join("services/commands"), "", ".toml") {
        for example in examples(&path).into_iter().filter(|example| held.contains(&plain(example))) {
            findings.push(format!("{}: `{example}` is a held-out command; find another example", path.display()));
        }
    }
}

fn files(dir: &Path, start: &str, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut out: Vec<PathBuf> = entries.filter(|e| e.file_name().to_str().is_some_and(|n| n.starts_with(start) && n.ends_with(end))).map(|e| e.path()).collect();
    out.sort();
    out
}

/// The commands of one file, as text.
fn commands(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let values = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    values
        .filter_map(|value| match (value.get("sh").and_then(Value::as_str), value.get("argv").and_then(Value::as_array)) {
            (Some(text), _) => Some(plain(text)),
            (None, Some(words)) => Some(plain(&words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))),
            _ => None,
        })
        .collect()
}

/// Every `yes` and `no` of the rules of one file.
fn examples(path: &Path) -> Vec<String> {
    let table = std::fs::read_to_string(path).unwrap_or_default().parse::<toml::Table>().unwrap_or_default();
    let rules = table.get("rule").and_then(toml::Value::as_array).into_iter().flatten();
    let lists = rules.flat_map(|rule| ["yes", "no"].into_iter().filter_map(|name| rule.get(name)?.as_array()));
    lists.flatten().filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

/// Quotes and blanks make no other command.
fn plain(text: &str) -> String {
    text.replace(['\'', '"', '\\'], "").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_out_command_among_the_examples_is_found() {
        let dir = std::env::temp_dir().join(format!("marque-held-out-{}", std::process::id()));
        let (held, rules) = (dir.join("conformance/commands"), dir.join("services/commands"));
        std::fs::create_dir_all(&held).unwrap();
        std::fs::create_dir_all(&rules).unwrap();
        std::fs::write(held.join("held-out-x.jsonl"), "{\"argv\":[\"a\",\"b c\"]}\n{\"sh\":\"d  'e'\"}\n").unwrap();
        std::fs::write(rules.join("x.toml"), "[[rule]]\nyes = [\"a 'b c'\", \"a b\"]\nno = [\"d e\"]\n").unwrap();
        let mut findings = Vec::new();
        check(&dir, &mut findings);
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(findings.len(), 2, "{findings:?}");
    }
}
