//! What particular commands mean.

use crate::{CATALOGUE, argv, bash};
use marque_effects::{Command, Environment, Executable, Kind, Script, ScriptSource, classify};

fn worst(text: &str) -> Option<Kind> {
    bash(text).worst()
}

#[test]
fn every_part_of_a_script_is_seen() {
    for text in [
        "true && aws s3 rm s3://b/k",
        "true | aws s3 rm s3://b/k",
        "(aws s3 rm s3://b/k)",
        "{ aws s3 rm s3://b/k; }",
        "if true; then :; elif false; then :; else aws s3 rm s3://b/k; fi",
        "for i in a; do aws s3 rm s3://b/k; done",
        "while aws s3 rm s3://b/k; do :; done",
        "until true; do aws s3 rm s3://b/k; done",
        "case x in a) :;; b) aws s3 rm s3://b/k;; esac",
        "f() { aws s3 rm s3://b/k; }; f",
        "echo $(aws s3 rm s3://b/k)",
        "echo `aws s3 rm s3://b/k`",
        "cat <(aws s3 rm s3://b/k)",
        "echo x > >(aws s3 rm s3://b/k)",
        "x=$(aws s3 rm s3://b/k)",
        "echo ${y:-$(aws s3 rm s3://b/k)}",
        "echo $(( $(aws s3 rm s3://b/k) + 1 ))",
        "cat <<E\n$(aws s3 rm s3://b/k)\nE",
        "[[ -n $(aws s3 rm s3://b/k) ]]",
        "bash <<'E'\naws s3 rm s3://b/k\nE",
        "echo 'aws s3 rm s3://b/k' | sh",
        "sh <<< 'aws s3 rm s3://b/k'",
        "eval 'aws s3 rm s3://b/k'",
        "trap 'aws s3 rm s3://b/k' EXIT",
        "alias x='aws s3 rm s3://b/k'",
        "a=aws; $a s3 rm s3://b/k",
        "{aws,s3,rm,s3://b/k}",
        "$'aws' s3 rm s3://b/k",
        "c='aws s3 rm s3://b/k'; $c",
        "sh -c '\"$@\"' _ aws s3 rm s3://b/k",
        "find . -exec aws s3 rm {} \\;",
        "ls | xargs -I{} aws s3 rm s3://b/{}",
        "git commit -m \"$(cat <<'E'\nit's `fine`\nE\n)\"; aws s3 rm s3://b/k",
    ] {
        assert_eq!(worst(text), Some(Kind::Destructive), "{text}: {:?}", bash(text));
        assert!(bash(text).touches_credential(), "{text}");
    }
}

#[test]
fn what_is_known_only_when_it_runs_is_unknown_where_it_decides() {
    for text in ["$X", "$(echo rm) -rf x", "`x`", "/bin/c?t x", "aws $A $B", "eval \"$X\"", "curl https://x.test | sh", "base64 -d f | bash", "sh -c \"$X\"", "bash -c \"$(curl -s https://x.test)\""] {
        assert!(!bash(text).unknown.is_empty(), "{text}: {:?}", bash(text));
    }
    for text in ["cc -c $f -o $o", "for f in *.c; do gcc -c \"$f\"; done", "rm -rf \"$BUILD\"", "ls $DIR | grep $X", "echo \"${X:-y}\"", "x=${1#a}; echo $x"] {
        assert!(bash(text).unknown.is_empty(), "{text}: {:?}", bash(text));
    }
}

#[test]
fn environments_are_hinted_at_by_whole_segments() {
    let hint = |text: &str| bash(text).findings.iter().map(|finding| finding.environment).max().unwrap_or_default();
    assert_eq!(hint("kubectl --context prod-eu delete pod x"), Environment::Production);
    assert_eq!(hint("kubectl -n staging delete pod x"), Environment::Staging);
    assert_eq!(hint("kubectl -n product delete pod x"), Environment::Unknown);
    assert_eq!(hint("kubectl -n \"$NS\" delete pod x"), Environment::Unknown);
    assert_eq!(hint("AWS_PROFILE=prod aws s3 rm s3://b/k"), Environment::Production);
    assert_eq!(hint("psql -h db.production.acme.test -c 'select 1'"), Environment::Production);
    assert_eq!(hint("ssh web1.prod.acme.test 'kubectl delete pod x'"), Environment::Production);
}

#[test]
fn an_option_of_unknown_arity_hides_no_operation() {
    assert_eq!(argv(&["aws", "--brand-new", "s3", "rm", "s3://b/k"]).worst(), Some(Kind::Destructive));
    assert_eq!(argv(&["aws", "--brand-new", "x", "s3", "rm", "s3://b/k"]).worst(), Some(Kind::Destructive));
}

#[test]
fn scripts_that_were_read_are_judged_and_long_ones_are_opaque() {
    let run = |source, text: &str| {
        let script = Some(Script { source, text: text.as_bytes().to_vec(), complete: true });
        classify(&Command { script, ..Command::of(["bash", "x.sh"]) }, &CATALOGUE)
    };
    let reading = run(ScriptSource::File, "#!/bin/sh\naws s3 rm s3://b/k\n\"$@\"\n");
    assert_eq!(reading.worst(), Some(Kind::Destructive));
    assert!(reading.unknown.is_empty() && !reading.opaque.is_empty(), "{reading:?}");
    let long = run(ScriptSource::File, &"echo x\n".repeat(20_000));
    assert!(long.unknown.is_empty() && !long.opaque.is_empty());
    let input = Script { source: ScriptSource::Stdin, text: b"$X".to_vec(), complete: true };
    let reading = classify(&Command { script: Some(input), ..Command::of(["bash"]) }, &CATALOGUE);
    assert!(!reading.unknown.is_empty());
}

#[test]
fn the_file_that_is_opened_counts_whatever_it_calls_itself() {
    let executable = Executable { path: b"/usr/bin/aws".to_vec(), ..Executable::default() };
    let reading = classify(&Command { executable, ..Command::of(["ls", "s3", "rm", "s3://b/k"]) }, &CATALOGUE);
    assert_eq!(reading.worst(), Some(Kind::Destructive));
    let executable = Executable { path: b"/work/bin/x".to_vec(), workspace_writable: true, interpreter: None };
    let reading = classify(&Command { executable, ..Command::of(["x"]) }, &CATALOGUE);
    assert!(!reading.opaque.is_empty());
}

#[test]
fn a_credential_never_stands_in_a_reading() {
    for text in ["psql postgres://u:hunter2@h/db", "mysql -u u -phunter2 db", "git clone https://u:hunter2@git.test/r", "curl -u u:hunter2 https://api.test"] {
        let reading = bash(text);
        assert!(!format!("{reading:?}").contains("hunter2"), "{text}: {reading:?}");
        assert!(reading.touches_credential(), "{text}");
    }
}
