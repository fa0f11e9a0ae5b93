//! What names and values say by their words.

/// Words that stand for a value that is not there yet.
const STAND_IN_WORDS: &[&str] = &[
    "example", "changeme", "placeholder", "dummy", "redacted", "todo", "fake", "sample", "your", "replace", "insert", "none",
    "null", "undefined", "unset", "secret", "password", "passw0rd", "hunter2",
];
/// The same, inside other words.
const STAND_IN_PARTS: &[&str] = &["example", "changeme", "change-me", "change_me", "placeholder", "xxxx", "****", "....", "1234567890abcdef"];
/// Fewest different bytes of a value: `aaaaaaaa` is none.
const DISTINCT_MIN: usize = 5;
/// Longest segment of a path; base64 has longer ones between its slashes.
const SEGMENT_BYTES_MAX: usize = 24;

/// Last words of names whose value says something *about* a secret.
const ABOUT: &[&str] = &[
    "id", "ids", "name", "names", "file", "path", "dir", "type", "ttl", "expiry", "expires", "expiration", "length", "count",
    "max", "min", "limit", "prefix", "header", "algorithm", "alg", "url", "uri", "endpoint", "public", "pub", "parallelism",
    "enabled", "version", "hash", "fingerprint", "at", "in", "regex", "pattern", "field", "store", "helper", "mode",
];

fn words(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut before = ' ';
    for c in text.chars() {
        let fresh = !c.is_alphanumeric() || (before.is_lowercase() && c.is_uppercase());
        if fresh && out.last().is_some_and(|w| !w.is_empty()) {
            out.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(last) = out.last_mut()
        {
            last.extend(c.to_lowercase());
        }
        before = c;
    }
    out.retain(|w| !w.is_empty());
    out
}

/// Whether a text speaks of production, and of nothing else.
pub(crate) fn says_production(text: &str) -> bool {
    // The top-level domain says nothing of an environment.
    let words = words(text.strip_suffix(".dev").unwrap_or(text));
    let any = |list: &[&str]| words.iter().any(|w| list.contains(&w.as_str()));
    any(&["prod", "production", "prd", "live"]) && !any(&["nonprod", "non", "staging", "stage", "dev", "test", "local", "localhost", "sandbox"])
}

/// Whether a name says that its value is a password.
pub(super) fn says_password(name: &str) -> bool {
    let words = words(name);
    let about = words.last().is_some_and(|w| ABOUT.contains(&w.as_str()));
    // `PWD` alone is a directory.
    let short = words.len() > 1 && words.iter().skip(1).any(|w| w == "pwd" || w == "pass");
    let long = |w: &String| matches!(w.as_str(), "password" | "passwd" | "passphrase" | "pgpassword" | "mysqlpwd" | "sshpass");
    !about && (short || words.iter().any(long))
}

/// Whether a name says that its value is a token or a key.
pub(super) fn says_secret(name: &str) -> bool {
    let words = words(name);
    if words.last().is_some_and(|w| ABOUT.contains(&w.as_str())) || words.iter().any(|w| w == "public") {
        return false;
    }
    let alone = |w: &String| {
        matches!(
            w.as_str(),
            "token" | "secret" | "secrets" | "apikey" | "credential" | "credentials" | "pat" | "bearer" | "webhook" | "auth" | "authtoken"
                | "oauth" | "cookie" | "accesstoken" | "refreshtoken" | "jwt" | "sig" | "signature"
        )
    };
    let key = |pair: &[String]| match pair {
        [before, key] => {
            (key == "key" || key == "keys")
                && matches!(
                    before.as_str(),
                    "api" | "access" | "secret" | "private" | "account" | "encryption" | "signing" | "service" | "master" | "app" | "storage"
                        | "shared" | "license" | "admin" | "client"
                )
        }
        _ => false,
    };
    words.iter().any(alone) || words.windows(2).any(key)
}

/// Whether a value only says where the real one is.
pub(crate) fn is_reference(value: &str) -> bool {
    let name = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let schemes = ["op://", "vault:", "ref+", "env:", "file:", "cmd:", "keyring:", "ssm:", "arn:", "sops:", "bw://", "secret://", "gcp-sm:"];
    value.contains("${")
        || value.contains("$(")
        || value.contains("{{")
        || value.starts_with('<')
        || value.starts_with("%(")
        || value.strip_prefix('$').is_some_and(name)
        || value.strip_prefix('%').and_then(|v| v.strip_suffix('%')).is_some_and(name)
        || schemes.iter().any(|s| value.starts_with(s))
}

/// Whether a value only shows what a real one would look like.
pub(crate) fn is_stand_in(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let word = |w: &str| STAND_IN_WORDS.contains(&w);
    let distinct: std::collections::BTreeSet<u8> = value.bytes().collect();
    distinct.len() < DISTINCT_MIN
        || STAND_IN_PARTS.iter().any(|part| lower.contains(part))
        || lower.split(|c: char| !c.is_ascii_alphanumeric()).any(word)
        || lower.starts_with("marque-placeholder-")
}

/// A number, a date, a switch.
pub(super) fn is_plain(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "false" | "yes" | "no" | "on" | "off")
        || value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b':' | b'-' | b'/' | b'+'))
}

/// A path in the file system.
pub(super) fn is_path(value: &str) -> bool {
    let rooted = ["/", "./", "../", "~/"].iter().any(|start| value.starts_with(start));
    rooted && value.split('/').all(|piece| piece.len() <= SEGMENT_BYTES_MAX)
}
