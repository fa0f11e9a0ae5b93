//! Checks: crate edges, banned dependencies, a reason for each dependency, lints, pages of error codes, backtracking
//! regex engines. No style police beyond that.

use crate::rules::{BANNED, HOUSE, House, NOT_OUTSIDE, OWN_LINTS, PARSERS, PURE_TEXT, Ring};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let findings = check(&root);
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} crates as they should be", HOUSE.len());
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn check(root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    let known: BTreeSet<&str> = HOUSE.iter().map(|h| h.dir).collect();
    let dirs = std::fs::read_dir(root.join("crates")).into_iter().flatten().flatten();
    for dir in dirs.filter(|d| d.path().join("Cargo.toml").exists()) {
        let name = format!("crates/{}", dir.file_name().to_string_lossy());
        if !known.contains(name.as_str()) {
            findings.push(format!("`{name}` is not in xtask/src/rules.rs: say which ring it is in and what it may use"));
        }
    }
    for house in HOUSE.iter().filter(|h| root.join(h.dir).exists()) {
        match std::fs::read_to_string(root.join(house.dir).join("Cargo.toml")) {
            Err(error) => findings.push(format!("{}: {error}", house.dir)),
            Ok(text) => {
                manifest(house, &text, &mut findings);
                if house.dir == OWN_LINTS.0 {
                    own_lints(root, &text, &mut findings);
                }
            }
        }
        if house.ring == Ring::Pure {
            sources(&root.join(house.dir).join("src"), house.dir, &mut findings);
        }
    }
    pages(root, &mut findings);
    fuzzed(root, &mut findings);
    crate::held_out::check(root, &mut findings);
    findings
}

/// Every target of `fuzz/src/lib.rs` has its row in `fuzz/README.md` and the other way round, and every function of the pure
/// ring that reads outside bytes under one of the usual names lies in a file that a target's crate is fed from.
fn fuzzed(root: &Path, findings: &mut Vec<String>) {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let (list, table) = (read("fuzz/src/lib.rs"), read("fuzz/README.md"));
    let targets: BTreeSet<&str> = list.lines().filter_map(|l| l.trim().strip_prefix('"')?.split_once("\" => ").map(|(name, _)| name)).collect();
    let rows: BTreeSet<&str> = table.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
    for name in targets.symmetric_difference(&rows) {
        findings.push(format!("fuzz: `{name}` is not in both fuzz/src/lib.rs and fuzz/README.md"));
    }
    if targets.is_empty() {
        findings.push("fuzz: no targets were found in fuzz/src/lib.rs".into());
    }
    for (parser, target) in PARSERS {
        let (file, text) = parser.split_once('#').unwrap_or((parser, ""));
        if !read(file).contains(text) {
            findings.push(format!("fuzz: `{text}` is no longer in `{file}`: say in xtask/src/rules.rs which parser took its place"));
        }
        if !targets.contains(target) {
            findings.push(format!("fuzz: `{text}` of `{file}` has no target `{target}`"));
        }
    }
    for file in parsing_files(root) {
        if !PARSERS.iter().any(|(parser, _)| parser.split('#').next() == Some(file.as_str())) && !NOT_OUTSIDE.contains(&file.as_str()) {
            findings.push(format!("fuzz: `{file}` reads bytes and is not in PARSERS of xtask/src/rules.rs"));
        }
    }
}

/// Files of the crates that read outside bytes and have a public function of a parser's name.
fn parsing_files(root: &Path) -> Vec<String> {
    let mut out = Vec::new();
    let mut next: Vec<PathBuf> = HOUSE.iter().filter(|h| h.ring == Ring::Pure || h.dir == "crates/store").map(|h| root.join(h.dir).join("src")).collect();
    while let Some(dir) = next.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                next.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let names = ["pub fn parse", "pub fn decode(", "pub fn from_text(", "pub fn read_unverified(", "impl FromStr for"];
            if path.extension().is_some_and(|e| e == "rs") && names.iter().any(|name| code.contains(name)) {
                out.push(path.strip_prefix(root).unwrap_or(&path).display().to_string());
            }
        }
    }
    out.sort();
    out
}

fn manifest(house: &House, text: &str, findings: &mut Vec<String>) {
    let Ok(toml) = text.parse::<toml::Table>() else {
        findings.push(format!("{}: its manifest cannot be read", house.dir));
        return;
    };
    if house.dir != OWN_LINTS.0 && toml.get("lints").and_then(|l| l.get("workspace")).and_then(toml::Value::as_bool) != Some(true) {
        findings.push(format!("{}: `[lints] workspace = true` is missing", house.dir));
    }
    for table in ["dependencies", "dev-dependencies"] {
        let Some(names) = toml.get(table).and_then(toml::Value::as_table) else { continue };
        for name in names.keys() {
            match name.strip_prefix("marque-") {
                Some(ours) if house.may_use.contains(&ours) || table == "dev-dependencies" => {}
                Some(ours) => findings.push(format!("{}: may not use `{ours}` (xtask/src/rules.rs)", house.dir)),
                None => outside(house, table, name, findings),
            }
        }
    }
    switches(house, &toml, findings);
    reasons(house, text, findings);
}

/// Lints of the crate that has its own: all of the workspace's, as strict, but for the one; and that one stays denied, so that
/// each file that needs it says so.
fn own_lints(root: &Path, text: &str, findings: &mut Vec<String>) {
    let table = |text: &str, path: &[&str]| {
        let toml = text.parse::<toml::Table>().ok()?;
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(toml.get(*first)?, |at, name| at.get(name)).cloned()
    };
    let workspace = std::fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    for tool in ["rust", "clippy"] {
        let wanted = table(&workspace, &["workspace", "lints", tool]);
        for (lint, level) in wanted.iter().filter_map(toml::Value::as_table).flatten() {
            let found = table(text, &["lints", tool, lint]);
            let level = if lint == OWN_LINTS.1 { toml::Value::from("deny") } else { level.clone() };
            if found != Some(level) && !lint.starts_with("allow-") {
                findings.push(format!("{}: the lint `{lint}` is not as the workspace has it", OWN_LINTS.0));
            }
        }
    }
}

/// The switches are in no default feature, and nothing but the second binary's feature turns them on.
fn switches(house: &House, toml: &toml::Table, findings: &mut Vec<String>) {
    for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let dependency = toml.get(table).and_then(|t| t.get("marque-switch"));
        if dependency.is_some_and(|d| d.as_table().is_none_or(|d| d.keys().any(|key| key != "path"))) {
            findings.push(format!("{}: `marque-switch` is taken by its path alone, without features", house.dir));
        }
    }
    let Some(features) = toml.get("features").and_then(toml::Value::as_table) else { return };
    for (name, value) in features {
        let has = |wanted: &str| value.as_array().is_some_and(|list| list.iter().any(|v| v.as_str() == Some(wanted)));
        let turns_on = ["switches", "on", "dep:rustix", "marque-switch/on"].into_iter().any(has);
        let known = matches!((house.dir, name.as_str()), ("crates/cli", "switches") | ("crates/switch", "on"));
        if turns_on && !known {
            findings.push(format!("{}: the feature `{name}` turns the switches on; the product must not have them", house.dir));
        }
    }
}

fn outside(house: &House, table: &str, name: &str, findings: &mut Vec<String>) {
    if matches!(name, "fancy-regex" | "pcre2" | "onig") {
        findings.push(format!("{}: `{name}` backtracks; only linear-time expressions are used", house.dir));
    }
    if table != "dependencies" {
        return;
    }
    for (ring, names, why) in BANNED {
        if *ring == house.ring && names.contains(&name) {
            findings.push(format!("{}: may not use `{name}`: {why}", house.dir));
        }
    }
}

/// Every line that names a dependency says why in a comment, on it or above it.
fn reasons(house: &House, text: &str, findings: &mut Vec<String>) {
    let mut within = false;
    let mut above = "";
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            within = line.ends_with("dependencies]");
        } else if within && line.contains('=') && !line.starts_with([' ', '#']) && !line.contains("# ") && !above.starts_with("# ") {
            findings.push(format!("{}/Cargo.toml:{}: no reason is given for this dependency", house.dir, index + 1));
        }
        above = line;
    }
}

fn sources(dir: &Path, name: &str, findings: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, name, findings);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            // Tests may touch files; they stand at the bottom.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for banned in PURE_TEXT.iter().filter(|banned| code.contains(**banned)) {
                findings.push(format!("{name}: `{banned}` in {}: the pure ring takes values", path.display()));
            }
        }
    }
}

fn pages(root: &Path, findings: &mut Vec<String>) {
    let text = std::fs::read_to_string(root.join("crates/api/src/code.rs")).unwrap_or_default();
    let mut codes = 0;
    for line in text.lines() {
        let Some(number) = line.split(" = ").nth(1).and_then(|rest| rest.split(',').next()) else { continue };
        if number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()) {
            codes += 1;
            if !root.join(format!("docs/errors/MQ-{number}.md")).exists() {
                findings.push(format!("docs/errors/MQ-{number}.md is missing"));
            }
        }
    }
    if codes == 0 {
        findings.push("no error codes were found in crates/api/src/code.rs".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_is_not_listed_is_found() {
        let chain = &HOUSE[0];
        let mut findings = Vec::new();
        let text = "[lints]\nworkspace = true\n[dependencies]\nmarque-store = { path = \"../store\" } # why\ntokio = \"1\" # why\nserde = \"1\"\n";
        manifest(chain, text, &mut findings);
        assert_eq!(findings.len(), 3, "{findings:?}");
    }

    #[test]
    fn a_default_feature_with_switches_is_found() {
        let cli = HOUSE.iter().find(|h| h.dir == "crates/cli").unwrap();
        let found = |text: &str| {
            let mut findings = Vec::new();
            switches(cli, &text.parse().unwrap(), &mut findings);
            findings.len()
        };
        assert_eq!(found("[features]\nswitches = [\"marque-switch/on\"]\n[dependencies]\nmarque-switch = { path = \"x\" }"), 0);
        assert_eq!(found("[features]\ndefault = [\"switches\"]\nswitches = [\"marque-switch/on\"]"), 1);
        assert_eq!(found("[features]\nother = [\"marque-switch/on\"]"), 1);
        assert_eq!(found("[dependencies]\nmarque-switch = { path = \"x\", features = [\"on\"] }"), 1);
    }

    #[test]
    fn the_house_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(check(root), Vec::<String>::new());
    }
}
