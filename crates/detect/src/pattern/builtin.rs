//! The rules for credentials met everywhere. Services bring their own with their profiles.

use super::{Rule, Tail};
use crate::limits::RULE_MATCH_MAX_BYTES;

/// The generic rules, exact ones first. Shapes are those the vendors document or generate.
#[must_use]
pub fn builtin_rules() -> Vec<Rule> {
    let mut rules = vendor_tokens();
    rules.extend(structures());
    rules.extend(statements());
    rules
}

fn vendor_tokens() -> Vec<Rule> {
    vec![
        // AWS IAM identifiers reference: long-term and temporary access key ids.
        Rule::new("aws-access-key-id", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", 20),
        Rule::new(
            "aws-secret-access-key",
            r"(?:^|[^A-Za-z0-9/+=])([A-Za-z0-9/+]{40})(?:$|[^A-Za-z0-9/+=])",
            42,
        )
        .near(&[
            "aws",
            "secret_access_key",
            "secretaccesskey",
            "secret access key",
        ]),
        // GitHub docs, token formats.
        Rule::new("github-token", r"\bgh[oprsu]_[A-Za-z0-9]{36,255}\b", 259),
        Rule::new(
            "github-fine-grained-token",
            r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
            93,
        ),
        // Slack docs, token types and incoming webhooks: the secret of a webhook is its path.
        Rule::new("slack-token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}", 255),
        Rule::new(
            "slack-webhook",
            r"\bhooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{20,200})",
            232,
        ),
        Rule::new(
            "anthropic-api-key",
            r"\bsk-ant-[a-z]{2,8}[0-9]{2}-[A-Za-z0-9_-]{40,200}",
            220,
        ),
        Rule::new(
            "openai-api-key",
            r"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,300}|[A-Za-z0-9]{48}\b)",
            320,
        ),
        // Stripe docs, API keys: secret and restricted, live and test.
        Rule::new(
            "stripe-secret-key",
            r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,247}\b",
            256,
        ),
        Rule::new("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b", 40),
        // A macaroon of pypi.org or test.pypi.org: the prefix is its version and location.
        Rule::new("pypi-token", r"\bpypi-AgE[A-Za-z0-9_-]{50,300}", 320).with_tail(Tail::Token),
    ]
}

fn structures() -> Vec<Rule> {
    vec![
        // RFC 7468, OpenSSH and OpenPGP armour.
        Rule::new("private-key", r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----", 96)
            .with_tail(Tail::Through("-----END".to_owned())),
        Rule::new("postgres-url-password", r"\bpostgres(?:ql)?://[^\s:/@'\x22]{1,64}:([^\s@/'\x22]{1,128})@", 224),
        // RFC 7519: two base64url JSON objects, `{"` at the start of each.
        Rule::new("jwt", r"\beyJ[A-Za-z0-9_-]{8,240}\.eyJ[A-Za-z0-9_-]{8,240}", 512).with_tail(Tail::Token),
        Rule::new(
            "password-assignment",
            r"(?i)(?:passw(?:or)?d|pwd|passphrase|secret|token|api[_-]?key)['\x22]?\s{0,4}(?:=>|:=|[:=])\s{0,4}['\x22]?([^\s'\x22,;&<>(){}\[\]]{8,128})",
            200,
        )
        .low(),
    ]
}

/// Passwords in statements: `ALTER ROLE r PASSWORD 'x'`, `IDENTIFIED BY "x"`, `SET PASSWORD FOR u = 'x'`, as they are written and
/// as they stand in an address. Sources: PostgreSQL's CREATE ROLE, MySQL's CREATE USER and SET PASSWORD, Oracle's CREATE USER, SQL
/// Server's CREATE LOGIN. Each is searched on its own, near a keyword: an assignment that begins before it hides none of them.
fn statements() -> Vec<Rule> {
    // `gap` is what stands between two words, `sign` what may stand there too, `whose` what names the user.
    let lead = |start: &str, gap: &str, sign: &str, whose: &str| {
        let password = format!(r"password{whose}(?:{gap}|{sign}){{1,8}}");
        let identified = format!(r"identified{gap}{{1,8}}(?:by|with{gap}{{1,8}}\S{{1,40}}?{gap}{{1,8}}(?:by|as|using)){gap}{{1,8}}");
        format!(r"(?i){start}(?:{password}|{identified})(?:[en]|u&)?")
    };
    let plain = lead(r"\b", r"\s", "[=(]", r"(?:\s{1,8}for\b[^;'\x22]{1,20}(?:'[^']{0,64}'@?){1,2})?");
    let encoded = lead(r"(?:\b|%[0-9a-f]{2})", r"(?:\+|%20|%0[9ad])", "=|%3d|%28", "");
    [
        // As SQL quotes it, and inside a quoted argument of a shell.
        ("sql-password", &plain, r"(?:'\\''|'\x22'\x22'|')((?:[^'\\]|''|\\.){1,150})"),
        ("sql-password-in-double-quotes", &plain, r#"\\{0,2}"([^"\\]{1,150})"#),
        ("sql-password-in-dollars", &plain, r"\$[a-z0-9_]{0,16}\$([^$]{1,150})"),
        ("sql-password-in-an-address", &encoded, r"(?:%27|')((?:[^'&\s%]|%27%27|%[013-9a-f].|%2[0-689a-f]){1,50})"),
    ]
    .map(|(id, lead, rest)| Rule::new(id, &format!("{lead}{rest}"), RULE_MATCH_MAX_BYTES).near(&["password", "identified"]).low())
    .into()
}
