//! Laws over any command.

use crate::bash;
use proptest::prelude::*;

/// Parts that mean something, of each sort.
const PARTS: &[&str] = &[
    "ls -la", "true", "cat README.md", "cat ~/.aws/credentials", "aws s3 ls", "aws s3 rm s3://b/k", "kubectl -n prod delete pod x", "git push --force",
    "psql -c 'drop table t'", "curl https://api.test", "curl -H 'Authorization: Bearer x' https://api.test", "$X y", "echo $GITHUB_TOKEN", "ssh host.test uptime",
    "npm publish", "python3 -c 'print(1)'", "find . -delete", "PAGER='sh -c id' git log", "rm -rf /", "env", "make", "vault kv get secret/x", "cat < .env",
];

/// What stands before a command and runs it.
const LAUNCHERS: &[&str] = &[
    "env A=b", "env -i", "nohup", "nice -n 5", "timeout 5", "setsid", "stdbuf -oL", "sudo", "sudo -u root", "command", "exec", "xargs", "time", "busybox",
    "strace -f", "flock /tmp/l", "ionice -c 3", "chroot /x", "/lib64/ld-linux-x86-64.so.2", "docker exec c", "kubectl exec pod --", "ssh host.test",
];

fn part() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(PARTS)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_part_that_is_added_never_lowers_a_reading(a in part(), b in part(), how in 0usize..9) {
        let joined = match how {
            0 => format!("{a}; {b}"),
            1 => format!("{b} && {a}"),
            2 => format!("{a} || {b}"),
            3 => format!("({b}); {{ {a}; }}"),
            4 => format!("if {b}; then {a}; fi"),
            5 => format!("for i in 1 2; do {a}; done; {b}"),
            6 => format!("f() {{ {a}; }}; {b}"),
            7 => format!("echo \"$({a})\" `{b}`"),
            _ => format!("{b} > >({a})"),
        };
        let (whole, one) = (bash(&joined), bash(a));
        prop_assert!(whole.covers(&one), "{joined}\n{whole:?}\n{one:?}");
        let shell = bash(&format!("sh -c '{}'", joined.replace('\'', r"'\''")));
        prop_assert!(shell.covers(&one), "{joined}\n{shell:?}\n{one:?}");
    }

    #[test]
    fn quoting_a_literal_in_another_way_changes_nothing(words in proptest::collection::vec("[a-z./:_-]{1,12}", 1..5), how in 0usize..5) {
        let verb = ["aws", "kubectl", "git", "cat", "ssh"][how];
        let plain: Vec<&str> = words.iter().map(String::as_str).collect();
        let line = |quote: &dyn Fn(&str) -> String| format!("{} {}", quote(verb), plain.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" "));
        let want = bash(&line(&|w| format!("'{w}'")));
        prop_assert_eq!(&bash(&line(&|w| format!("\"{w}\""))), &want);
        prop_assert_eq!(&bash(&line(&|w| format!("$'{w}'"))), &want);
        prop_assert_eq!(&bash(&line(&|w| w.chars().map(|c| format!("\\{c}")).collect())), &want);
        prop_assert_eq!(&bash(&line(&|w| format!("{}''", w.chars().map(|c| format!("\"{c}\"")).collect::<String>()))), &want);
    }

    #[test]
    fn a_launcher_never_lowers_what_it_launches(launcher in proptest::sample::select(LAUNCHERS), a in part()) {
        // Words that only a shell gives meaning to are not what a launcher starts.
        prop_assume!(!a.contains(['<', '>', '$', '=', ';']));
        let (whole, one) = (bash(&format!("{launcher} {a}")), bash(a));
        prop_assert!(whole.covers(&one), "{launcher} {a}\n{whole:?}\n{one:?}");
    }

    #[test]
    fn any_text_has_a_reading(text in "\\PC{0,200}") {
        bash(&text);
    }

    #[test]
    fn any_text_of_shell_characters_has_a_reading(text in "[ a-z$(){}\\[\\]`'\"<>|&;=~*?!#\\\\\n0-9]{0,120}") {
        bash(&text);
    }
}
