//! Every bound at n and at n+1.

use crate::{CATALOGUE, bash};
use marque_effects::{Command, EnvChange, classify, limits};

fn doubted(text: &str, why: &str) -> bool {
    bash(text).unknown.iter().any(|reason| reason.contains(why))
}

#[test]
fn words_bytes_and_changes_are_bounded() {
    let words = |n: usize| classify(&Command::of(vec!["true"; n]), &CATALOGUE);
    assert!(words(limits::ARGV_WORDS_MAX).unknown.is_empty());
    assert!(!words(limits::ARGV_WORDS_MAX + 1).unknown.is_empty());
    let bytes = |n: usize| classify(&Command::of(["true", "x".repeat(n - 4).as_str()]), &CATALOGUE);
    assert!(bytes(limits::COMMAND_BYTES_MAX).unknown.is_empty());
    assert!(!bytes(limits::COMMAND_BYTES_MAX + 1).unknown.is_empty());
    let changes = |n: usize| {
        let env = (0..n).map(|i| EnvChange { name: format!("V{i}").into_bytes(), value: None }).collect();
        classify(&Command { env, ..Command::of(["true"]) }, &CATALOGUE)
    };
    assert!(changes(limits::ENV_CHANGES_MAX).unknown.is_empty());
    assert!(!changes(limits::ENV_CHANGES_MAX + 1).unknown.is_empty());
}

#[test]
fn shell_text_is_bounded() {
    let long = |n: usize| format!(": {}", "x".repeat(n - 2));
    assert!(!doubted(&long(limits::SHELL_BYTES_MAX), "too long"));
    assert!(doubted(&long(limits::SHELL_BYTES_MAX + 1), "too long"));
    let tokens = |n: usize| format!(":{}", " x".repeat(n - 1));
    assert!(!doubted(&tokens(limits::SHELL_TOKENS_MAX), "too many words"));
    assert!(doubted(&tokens(limits::SHELL_TOKENS_MAX + 1), "too many words"));
    let openings = |n: usize| format!(":{}", " ${x}".repeat(n));
    assert!(!doubted(&openings(limits::SHELL_OPENINGS_MAX), "substitutions"));
    assert!(doubted(&openings(limits::SHELL_OPENINGS_MAX + 1), "substitutions"));
    let braces = |n: usize| format!("{}:{}", "{ ".repeat(n), "; }".repeat(n));
    assert!(!doubted(&braces(limits::COMPOUND_DEPTH_MAX), "nested too deeply"));
    assert!(doubted(&braces(limits::COMPOUND_DEPTH_MAX + 1), "nested too deeply"));
    let parens = |n: usize| format!("{}:{}", "( ".repeat(n), " )".repeat(n));
    assert!(!doubted(&parens(limits::PAREN_DEPTH_MAX), "nested too deeply"));
    assert!(doubted(&parens(limits::PAREN_DEPTH_MAX + 1), "nested too deeply"));
    let cases = |n: usize| format!("{}:{}", "case x in a) ".repeat(n), " ;; esac".repeat(n));
    assert!(!doubted(&cases(limits::CASE_DEPTH_MAX), "nested too deeply"));
    assert!(doubted(&cases(limits::CASE_DEPTH_MAX + 1), "nested too deeply"));
    let subscripts = |n: usize| format!("echo a{}{}", "[b".repeat(n), "]".repeat(n));
    assert!(!doubted(&subscripts(limits::SUBSCRIPTS_MAX), "subscript"));
    assert!(doubted(&subscripts(limits::SUBSCRIPTS_MAX + 1), "subscript"));
}

#[test]
fn commands_and_nesting_are_bounded() {
    let many = |n: usize| "true; ".repeat(n);
    // The shell and its text are two of them.
    assert!(!doubted(&many(limits::COMMANDS_MAX - 2), "too many commands"));
    assert!(doubted(&many(limits::COMMANDS_MAX - 1), "too many commands"));
    let nested = |n: usize| format!("{}true", "nohup ".repeat(n));
    assert!(!doubted(&nested(limits::NESTING_MAX - 1), "nested too deeply"));
    assert!(doubted(&nested(limits::NESTING_MAX), "nested too deeply"));
    let parsed = "x".repeat(limits::SHELL_BYTES_MAX - 100);
    let again = |n: usize| format!(": $(: {parsed}{})", "x".repeat(n));
    assert!(!doubted(&again(1), "too much shell text"));
}

#[test]
fn a_reading_is_bounded_and_keeps_what_asks_for_most_care() {
    let mut text = String::new();
    for i in 0..limits::FINDINGS_MAX + 40 {
        text.push_str(&format!("aws s3 ls s3://b{i};"));
    }
    let reading = bash(&(text + "rm -rf /"));
    assert!(reading.findings.len() <= limits::FINDINGS_MAX);
    assert!(reading.findings.iter().any(|finding| finding.tool == "rm" && finding.severe));
    assert!(!reading.unknown.is_empty());
}

#[test]
fn what_a_text_keeps_is_bounded_and_more_is_unknown() {
    let dirs = |n: usize| (0..n).map(|i| format!("cd ~/.ssh/d{i}; ")).collect::<String>();
    assert!(!doubted(&dirs(limits::DIRS_MAX), "directories with credentials"));
    assert!(doubted(&dirs(limits::DIRS_MAX + 1), "directories with credentials"));
    let copies = |n: usize| (0..n).map(|i| format!("cp /usr/bin/gh ./p{i}; ")).collect::<String>();
    let last = |n: usize| bash(&format!("{}./p{} auth token", copies(n), n - 1));
    assert!(last(limits::RENAMED_MAX).touches_credential());
    assert!(!last(limits::RENAMED_MAX + 1).unknown.is_empty());
    let fetched = |n: usize| format!("{}./other", (0..n).map(|i| format!("curl -o f{i} https://x.test; ")).collect::<String>());
    assert!(!doubted(&fetched(limits::KEPT_MAX - 1), "fetched"));
    assert!(doubted(&fetched(limits::KEPT_MAX), "fetched"));
}
