//! The environment that an agent gets: nothing that looks like a secret, placeholders where a tool insists on a value.
//!
//! Not a deny list alone: a variable passes when its name says nothing of secrets *and* its value is plainly harmless
//! (a path, a number, a short word), or when the user names it.

use marque_detect::pattern::Rules;

/// What became of the variables.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Scrubbed {
    /// Variables for the agent.
    pub(crate) pass: Vec<(String, String)>,
    /// Names that were taken away.
    pub(crate) withheld: Vec<String>,
}

/// Names that programs need and that hold no secret by their definition.
const ALWAYS: &[&str] = &[
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "LANG", "LANGUAGE", "TZ", "PWD", "OLDPWD", "TMPDIR",
    "TEMP", "TMP", "EDITOR", "VISUAL", "PAGER", "HOSTNAME", "SHLVL", "COLUMNS", "LINES", "DISPLAY", "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "NO_COLOR", "CI",
];

/// Sockets of agents that sign or decrypt for whoever reaches them, and what makes other programs load code.
const NEVER: &[&str] = &[
    "SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS", "DOCKER_HOST", "KUBECONFIG",
    "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "GOOGLE_APPLICATION_CREDENTIALS", "NETRC",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "MARQUE_DATA_DIR", "CREDENTIALS_DIRECTORY", "XAUTHORITY",
];

/// Parts of a name that say its value is a secret.
const SAYS_SECRET: &[&str] = &[
    "TOKEN", "SECRET", "PASSW", "PWD_", "_PWD", "KEY", "CREDENTIAL", "AUTH", "COOKIE", "DSN", "WEBHOOK", "PRIVATE",
    "SIGNATURE", "CERT", "DATABASE_URL", "CONNECTION", "BEARER", "SESSION", "PAT", "APIKEY", "LICENSE", "SALT",
];

/// Sorts `vars`; `pass_also` are names that the user or the task lets through.
pub(crate) fn scrub(
    vars: impl Iterator<Item = (String, String)>,
    rules: &Rules,
    pass_also: &[String],
    unset: &[String],
) -> Scrubbed {
    let mut out = Scrubbed::default();
    for (name, value) in vars {
        let named = pass_also.contains(&name);
        let keep = named || (!unset.contains(&name) && may_pass(&name, &value, rules));
        if keep {
            out.pass.push((name, value));
        } else {
            out.withheld.push(name);
        }
    }
    out.withheld.sort();
    out
}

fn may_pass(name: &str, value: &str, rules: &Rules) -> bool {
    if NEVER.contains(&name) || !rules.find(value.as_bytes()).is_empty() {
        return false;
    }
    if ALWAYS.contains(&name) || name.starts_with("LC_") {
        return true;
    }
    !says_secret(name) && is_harmless(value)
}

fn says_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SAYS_SECRET.iter().any(|part| match *part {
        // Short parts count as whole words only: PATH holds PAT.
        "PAT" | "KEY" | "SALT" | "CERT" => upper.split('_').any(|word| word == *part || word == format!("{part}S")),
        part => upper.contains(part),
    })
}

/// Paths, lists of paths, numbers, short words. A URL is not: it may carry a password or a signature.
fn is_harmless(value: &str) -> bool {
    let word = |w: &str| w.len() <= 32 && w.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_' | b'.' | b' '));
    let number = |w: &str| w.len() <= 16 && w.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let version = |w: &str| w.len() <= 16 && w.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    let path = |p: &str| p.starts_with('/') && !p.contains("://") && !p.contains('=') && p.split('/').all(|s| s.len() <= 40);
    value.is_empty() || word(value) || number(value) || version(value) || value.split(':').all(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_detect::pattern::builtin_rules;

    fn names(vars: &[(&str, &str)], pass: &[&str]) -> Scrubbed {
        let vars = vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let pass: Vec<String> = pass.iter().map(|p| (*p).to_owned()).collect();
        scrub(vars, &Rules::compile(&builtin_rules()).unwrap(), &pass, &["GH_TOKEN".to_owned()])
    }

    #[test]
    fn no_variable_that_says_or_looks_like_a_secret_reaches_the_agent() {
        let planted = [
            ("GH_TOKEN", "short"),
            ("MY_API_KEY", "abc"),
            ("DATABASE_URL", "x"),
            ("SLACK_WEBHOOK", "x"),
            ("PLAIN", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
            ("BASE_URL", "https://user:pw@db.test/x"),
            ("BLOB", "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA"),
            ("SSH_AUTH_SOCK", "/tmp/agent.sock"),
            ("HTTPS_PROXY", "http://corp:3128"),
        ];
        let out = names(&planted, &[]);
        assert!(out.pass.is_empty(), "{:?}", out.pass);
        assert_eq!(out.withheld.len(), planted.len());
    }

    #[test]
    fn what_tools_need_passes() {
        let plain = [
            ("PATH", "/usr/bin:/bin"),
            ("LC_ALL", "C.UTF-8"),
            ("JAVA_HOME", "/usr/lib/jvm/java-17"),
            ("VIRTUAL_ENV", "/home/u/venv"),
            ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
            ("NODE_ENV", "production"),
            ("JOBS", "8"),
        ];
        assert_eq!(names(&plain, &[]).withheld, Vec::<String>::new());
    }

    #[test]
    fn the_user_can_name_one() {
        assert_eq!(names(&[("ODD", "a=b c&d e:f g/h")], &[]).pass.len(), 0);
        assert_eq!(names(&[("ODD", "a=b c&d e:f g/h")], &["ODD"]).pass.len(), 1);
    }
}
