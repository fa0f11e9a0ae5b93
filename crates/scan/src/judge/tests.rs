use super::*;

fn judge() -> Judge {
    let service = Service { name: "github".into(), env: vec!["GH_TOKEN".into()], looks: Some("gh[pousr]_[A-Za-z0-9]{36}".into()) };
    Judge::new(&[service]).unwrap()
}

#[test]
fn what_an_agent_could_use_is_a_credential() {
    let judge = judge();
    for (name, value, kind) in [
        ("ODD", "ghp_x9Kq2LmZ7vTn4RbW8sYc1DfHj6GpUaEo3QiX", "github token"),
        ("GH_TOKEN", "0f9c2b7d5e8a41639bd1", "github"),
        ("API_TOKEN", "mqapi_3f9a7c1e5b8d26049f3a7c1e5b8d2604aaaa", "token or key"),
        ("db_password", "Winter24!x", "password"),
        ("DATABASE_URL", "postgres://app:x9Kq2LmZ@db.prod.acme.dev:5432/shop", "postgres login"),
        ("JDBC", "jdbc:postgresql://db.acme.dev/shop?user=app&password=x9Kq2LmZ", "postgres login"),
        ("REMOTE", "https://x9Kq2LmZ7vTn4RbW8sYc@git.acme.dev/web", "http login"),
        ("Q", "https://api.acme.dev/v1?access_token=x9Kq2LmZ7vTn4RbW8sYc", "http login"),
        ("apiKey", "'9f86d081884c7d659a2feaa0c55ad015'", "token or key"),
    ] {
        let raw = judge.variable(name, value).unwrap_or_else(|| panic!("{name}={value}"));
        assert_eq!(raw.kind, kind, "{name}={value}");
    }
}

#[test]
fn what_is_none_is_not_reported() {
    let judge = judge();
    for (name, value) in [
        ("TOKENIZERS_PARALLELISM", "true"),
        ("MAX_TOKENS", "4096"),
        ("PWD", "/home/u/work"),
        ("SECRET_NAME", "prod-database-login-credentials"),
        ("TOKEN_FILE", "/run/secrets/token"),
        ("API_TOKEN", "${API_TOKEN}"),
        ("API_TOKEN", "$API_TOKEN"),
        ("API_TOKEN", "op://vault/item/field"),
        ("API_TOKEN", "<your token here>"),
        ("API_TOKEN", "your-api-token-goes-here"),
        ("API_TOKEN", "xxxxxxxxxxxxxxxxxxxxxxxx"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("DATABASE_URL", "postgres://postgres:postgres@localhost:5432/dev"),
        ("DATABASE_URL", "postgres://db.acme.dev/shop"),
        ("DATABASE_URL", "postgres://app:${PASSWORD}@db.acme.dev/shop"),
        ("KEYBOARD", "us"),
        ("SSH_KEY_PATH", "/home/u/.ssh/id_ed25519"),
        ("AWS_ACCESS_KEY_ID", "AKIASP2TPHJSQH3FJRUX"),
        ("PASSWORD_STORE_DIR", "/home/u/.password-store"),
        ("PUBLIC_KEY", "9f86d081884c7d659a2feaa0c55ad015"),
        ("GIT_SHA", "9f86d081884c7d659a2feaa0c55ad0159f86d081"),
        ("PASSWORD", ""),
    ] {
        assert!(judge.variable(name, value).is_none(), "{name}={value}");
    }
}

#[test]
fn production_is_guessed_from_whole_words() {
    for yes in ["db.prod.acme.dev", "aws profile prod", "API_KEY_PRODUCTION", ".env.production", "liveKey"] {
        assert!(says_production(yes), "{yes}");
    }
    for no in ["product-api", "reproduce", "prod-test", "staging", "nonprod", "delivery", ""] {
        assert!(!says_production(no), "{no}");
    }
}

#[test]
fn a_value_is_judged_up_to_its_limit() {
    let judge = judge();
    let secret = "ghp_x9Kq2LmZ7vTn4RbW8sYc1DfHj6GpUaEo3QiX";
    let within = format!("{} {secret}", "a b".repeat((VALUE_BYTES_MAX - secret.len() - 1) / 3));
    assert!(within.len() <= VALUE_BYTES_MAX);
    assert!(judge.variable("X", &within).is_some());
    let beyond = format!("{} {secret}", "ab ".repeat(VALUE_BYTES_MAX / 3));
    assert!(judge.variable("X", &beyond).is_none());
}

#[test]
fn a_shape_is_found_in_text_with_its_line() {
    let judge = judge();
    let text = "one\ntwo ghp_x9Kq2LmZ7vTn4RbW8sYc1DfHj6GpUaEo3QiX\nthree\nAKIASP2TPHJSQH3FJRUX\nsk_live_x9Kq2LmZ7vTn4RbW8sYc\n";
    let lines: Vec<_> = judge.text("f", text).iter().map(|r| r.line.unwrap()).collect();
    assert_eq!(lines, [2, 5]);
    assert!(!judge.has_secret("AKIASP2TPHJSQH3FJRUX"));
}
