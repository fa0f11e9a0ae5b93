use super::*;
use crate::limits::FINDING_TAIL_MAX_BYTES;

fn found(input: &[u8]) -> Vec<(String, String)> {
    let rules = Rules::compile(&builtin_rules()).unwrap();
    let name = |finding: &Finding| {
        (
            finding.rule.to_string(),
            String::from_utf8_lossy(&input[finding.range.clone()]).into_owned(),
        )
    };
    rules.find(input).iter().map(name).collect()
}

fn repeat(pattern: &str, len: usize) -> String {
    pattern.chars().cycle().take(len).collect()
}

#[test]
fn each_builtin_rule_finds_its_secret_and_nothing_around_it() {
    let word = |len| repeat("aB3dE5fG7hJ9", len);
    for (rule, before, secret, after) in [
        (
            "aws-access-key-id",
            "id=",
            "AKIAIOSFODNN7EXAMPLE".to_owned(),
            "\n",
        ),
        (
            "aws-secret-access-key",
            "aws_secret_access_key = ",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            "\n",
        ),
        (
            "github-token",
            "https://",
            format!("ghp_{}", word(36)),
            "@github.com",
        ),
        ("github-token", "", format!("gho_{}", word(36)), ""),
        ("github-token", "\"", format!("ghs_{}", word(36)), "\""),
        (
            "github-fine-grained-token",
            " ",
            format!("github_pat_{}_{}", word(22), word(59)),
            " ",
        ),
        (
            "slack-token",
            "'",
            format!("xoxb-{}-{}", repeat("1234567890", 12), word(24)),
            "'",
        ),
        (
            "slack-webhook",
            "https://hooks.slack.com/services/",
            format!("T{}/B{}/{}", word(8), word(8), word(24)),
            "\n",
        ),
        (
            "anthropic-api-key",
            "",
            format!("sk-ant-api03-{}AA", word(93)),
            "\n",
        ),
        ("openai-api-key", "", format!("sk-proj-{}", word(100)), "\n"),
        ("openai-api-key", "", format!("sk-{}", word(48)), "\n"),
        (
            "stripe-secret-key",
            "",
            format!("sk_live_{}", word(24)),
            "\n",
        ),
        (
            "npm-token",
            "//registry.npmjs.org/:_authToken=",
            format!("npm_{}", word(36)),
            "\n",
        ),
        (
            "pypi-token",
            "",
            format!("pypi-AgEIcHlwaS5vcmc{}", word(400)),
            "\n",
        ),
        (
            "private-key",
            "",
            format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END", word(1600)),
            " RSA PRIVATE KEY-----\n",
        ),
        (
            "private-key",
            "",
            format!(
                "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END",
                word(300)
            ),
            "-----\n",
        ),
        (
            "private-key",
            "",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----".to_owned(),
            "\ncut off",
        ),
        (
            "postgres-url-password",
            "postgres://app:",
            "s3cr3t!pw".to_owned(),
            "@db.example:5432/app",
        ),
        (
            "postgres-url-password",
            "DATABASE_URL=postgresql://app:",
            "x".to_owned(),
            "@db/app",
        ),
        (
            "jwt",
            "Bearer ",
            format!("eyJ{}.eyJ{}.{}", word(33), word(900), word(86)),
            "\r\n",
        ),
        (
            "password-assignment",
            "\"password\": \"",
            "hunter2hunter2".to_owned(),
            "\",",
        ),
        (
            "password-assignment",
            "API_KEY=",
            "abcdef123456".to_owned(),
            "\n",
        ),
    ] {
        let input = format!("{before}{secret}{after}");
        assert_eq!(
            found(input.as_bytes()),
            [(rule.to_owned(), secret)],
            "in `{input}`"
        );
    }
}

#[test]
fn ordinary_text_is_left_alone() {
    let sha = repeat("0123456789abcdef", 40);
    for text in [
        "the password is kept elsewhere".to_owned(),
        format!("commit {sha}"),
        format!("integrity sha1 {sha} of the archive"),
        "postgres://app@db.example/app".to_owned(),
        "AKIA is the prefix of an access key id".to_owned(),
        "task-proj-managers-and-their-risk-assessments-for-all-of-the-following-years".to_owned(),
        "eyJ.eyJ".to_owned(),
        "password=${DB_PASSWORD}".to_owned(),
        "-----BEGIN PUBLIC KEY-----".to_owned(),
    ] {
        assert_eq!(found(text.as_bytes()), [], "in `{text}`");
    }
}

#[test]
fn a_precise_finding_hides_a_vague_one() {
    let token = format!("ghp_{}", repeat("aB3dE5fG7hJ9", 36));
    let input = format!("token = {token}\nsecret = somethingelse");
    let vague = ("password-assignment".to_owned(), "somethingelse".to_owned());
    assert_eq!(
        found(input.as_bytes()),
        [("github-token".to_owned(), token), vague]
    );
}

#[test]
fn a_keyword_must_be_within_reach() {
    let rules = Rules::compile(&[Rule::new("x", "[0-9]{10}", 10).near(&["Account"])]).unwrap();
    let at = |distance: usize| {
        rules
            .find(format!("ACCOUNT{}0123456789", " ".repeat(distance)).as_bytes())
            .len()
    };
    assert_eq!(at(0), 1);
    let reach = KEYWORD_REACH_BYTES - "ACCOUNT".len();
    assert_eq!(at(reach), 1);
    assert_eq!(at(reach + 1), 0);
    assert_eq!(
        rules.find(b"0123456789 account").len(),
        0,
        "a keyword after the match does not count"
    );
}

#[test]
fn keywords_that_begin_alike_or_overlap_hide_no_rule() {
    let rule = |id: &str, keyword: &str| Rule::new(id, "[0-9]{4}", 4).near(&[keyword]).low();
    let rules = [
        rule("short", "aws"),
        rule("long", "aws_secret"),
        rule("inner", "secret"),
        rule("other", "absent"),
    ];
    for one in &rules {
        let alone = Rules::compile(std::slice::from_ref(one))
            .unwrap()
            .find(b"AWS_SECRET 1234")
            .len();
        assert_eq!(alone, usize::from(one.id != "other"), "{}", one.id);
    }
    let together = Rules::compile(&rules).unwrap();
    let places = together
        .keywords
        .as_ref()
        .unwrap()
        .places(b"AWS_SECRET 1234", 4);
    assert_eq!(places, [vec![0], vec![0], vec![4], vec![]]);
}

#[test]
fn matches_side_by_side_are_all_found() {
    let one = format!("AKIA{}", repeat("ABCDEFGH", 16));
    let input = [one.as_str(); 5].join(" ");
    assert_eq!(found(input.as_bytes()).len(), 5);
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    assert_eq!(
        found(format!("aws: {secret} {secret}").as_bytes()).len(),
        2,
        "they share their delimiter"
    );
}

#[test]
fn the_bounds_of_rules_are_exact() {
    let one = |rule: Rule| Rules::compile(&[rule]).map(|_| ());
    let of_len = |len: usize| Rule::new("x", &format!("a{{{len}}}"), RULE_MATCH_MAX_BYTES + 1);
    assert_eq!(one(of_len(RULE_MATCH_MAX_BYTES)), Ok(()));
    let unbounded = Err(RuleError::Unbounded {
        id: "x".to_owned(),
        max: RULE_MATCH_MAX_BYTES,
    });
    assert_eq!(one(of_len(RULE_MATCH_MAX_BYTES + 1)), unbounded);
    assert_eq!(one(Rule::new("x", "a+", RULE_MATCH_MAX_BYTES)), unbounded);
    assert_eq!(
        one(Rule::new("x", "a{0,3}", RULE_MATCH_MAX_BYTES)),
        unbounded
    );
    assert_eq!(one(Rule::new("x", "a{5}", 5)), Ok(()));
    assert_eq!(
        one(Rule::new("x", "a{6}", 5)),
        Err(RuleError::Unbounded {
            id: "x".to_owned(),
            max: 5
        })
    );

    let text = |len: usize| Rule::new("x", &"a".repeat(len), RULE_MATCH_MAX_BYTES);
    assert_eq!(one(text(RULE_REGEX_MAX_BYTES)), Ok(()));
    assert_eq!(
        one(text(RULE_REGEX_MAX_BYTES + 1)),
        Err(RuleError::TooLong { id: "x".to_owned() })
    );
    assert_eq!(one(text(5).near(&["k"; RULE_KEYWORDS_MAX])), Ok(()));
    assert_eq!(
        one(text(5).near(&["k"; RULE_KEYWORDS_MAX + 1])),
        Err(RuleError::TooLong { id: "x".to_owned() })
    );
    assert_eq!(
        one(text(5).near(&[""])),
        Err(RuleError::TooLong { id: "x".to_owned() })
    );
    assert_eq!(
        one(Rule::new("x", "(", 5)),
        Err(RuleError::Syntax { id: "x".to_owned() })
    );

    let many = |count| Rules::compile(&vec![text(3); count]).map(|_| ());
    assert_eq!(many(RULES_MAX), Ok(()));
    assert_eq!(
        many(RULES_MAX + 1),
        Err(RuleError::TooMany { max: RULES_MAX })
    );

    let nested = |depth: usize| {
        Rule::new(
            "x",
            &format!("{}a{}", "(".repeat(depth), ")".repeat(depth)),
            5,
        )
    };
    assert_eq!(one(nested(NEST_MAX as usize)), Ok(()));
    assert_eq!(
        one(nested(NEST_MAX as usize + 1)),
        Err(RuleError::Syntax { id: "x".to_owned() })
    );
    let states = (0..RULES_MAX)
        .map(|_| Rule::new("x", "[^a]{300}(?:[b-y]{1,200}|[c-z]{1,211})", 511))
        .collect::<Vec<_>>();
    assert_eq!(
        Rules::compile(&states).err(),
        Some(RuleError::TooBig {
            max: RULES_MEMORY_MAX_BYTES
        })
    );
}

#[test]
fn a_tail_ends_at_its_limit() {
    let body = |len: usize| {
        format!(
            "-----BEGIN PRIVATE KEY-----{}-----END",
            "A".repeat(len - "-----END".len())
        )
    };
    let head = "-----BEGIN PRIVATE KEY-----".len();
    assert_eq!(
        found(body(FINDING_TAIL_MAX_BYTES).as_bytes())[0].1.len(),
        head + FINDING_TAIL_MAX_BYTES
    );
    assert_eq!(
        found(body(FINDING_TAIL_MAX_BYTES + 1).as_bytes())[0]
            .1
            .len(),
        head
    );
}

#[test]
fn markers_without_an_end_are_read_in_linear_time() {
    let markers = "-----BEGIN PRIVATE KEY-----".repeat(20_000);
    let rules = Rules::compile(&builtin_rules()).unwrap();
    let mut next = NextText::default();
    assert_eq!(next.from(markers.as_bytes(), 27, b"-----END"), None);
    assert_eq!(next.searched, markers.len(), "nothing is read twice");
    assert_eq!(rules.find(markers.as_bytes()).len(), 20_000);
}

#[test]
fn keywords_far_apart_are_each_searched_around() {
    let rules = Rules::compile(&[Rule::new("x", "[0-9]{10}", 10).near(&["key"])]).unwrap();
    let gap = "0123456789 ".repeat(200);
    let input = format!("{gap}key=0123456789 {gap}0123456789 {gap}Key:0123456789");
    let near_first = 1 + (KEYWORD_REACH_BYTES - "key=0123456789 ".len()) / 11;
    assert_eq!(rules.find(input.as_bytes()).len(), near_first + 1 + 1);
}

#[test]
fn a_group_that_took_part_with_nothing_is_no_finding() {
    let rules = Rules::compile(&[Rule::new("own", "key=([a-z]{0,9})", 64)]).unwrap();
    let ranges = |input: &[u8]| rules.find(input).into_iter().map(|f| f.range).collect::<Vec<_>>();
    assert_eq!(ranges(b"key= key=abc key="), [9..12]);
}

#[test]
fn a_password_in_a_statement_is_found_however_it_is_quoted() {
    for (rule, text, secret) in [
        ("sql-password", "ALTER ROLE app PASSWORD 'hunter2'", "hunter2"),
        ("sql-password", "create user app with encrypted password 'it''s' valid until '2027-01-01'", "it''s"),
        ("sql-password", "ALTER ROLE app PASSWORD E'a\\'b'", "a\\'b"),
        ("sql-password", "ALTER USER 'app'@'%' IDENTIFIED BY 'hunter2'", "hunter2"),
        ("sql-password", "CREATE USER app IDENTIFIED WITH caching_sha2_password BY 'hunter2'", "hunter2"),
        ("sql-password", "SET PASSWORD FOR 'app'@'localhost' = 'hunter2'", "hunter2"),
        ("sql-password", "SET PASSWORD = PASSWORD('hunter2')", "hunter2"),
        ("sql-password", "CREATE LOGIN app WITH PASSWORD = N'hunter2'", "hunter2"),
        ("sql-password", "psql -c 'ALTER ROLE app PASSWORD '\\''hunter2'\\'''", "hunter2"),
        ("sql-password", "psql -c \"ALTER ROLE app\n  PASSWORD 'hunter2'\"", "hunter2"),
        ("sql-password-in-double-quotes", "CREATE USER app IDENTIFIED BY \"hunter2\"", "hunter2"),
        ("sql-password-in-double-quotes", "{\"query\":\"CREATE USER app IDENTIFIED BY \\\"hunter2\\\"\"}", "hunter2"),
        ("sql-password-in-dollars", "ALTER ROLE app PASSWORD $x$hunter2$x$", "hunter2"),
        ("sql-password-in-an-address", "/q?sql=ALTER%20ROLE%20app%20PASSWORD%20%27hun%20ter2%27&n=1", "hun%20ter2"),
        ("sql-password-in-an-address", "/q?sql=ALTER+ROLE+app+PASSWORD+%27it%27%27s%27", "it%27%27s"),
        ("sql-password-in-an-address", "/q?sql=ALTER%20ROLE%20app%20PASSWORD%20'hunter2'", "hunter2"),
        ("sql-password-in-an-address", "/q?sql=alter+user+app+identified+by+%27hunter2%27", "hunter2"),
    ] {
        let mut found = found(text.as_bytes());
        found.retain(|(rule, _)| rule != "password-assignment");
        assert_eq!(found, [(rule.to_owned(), secret.to_owned())], "{text}");
    }
}

#[test]
fn statements_and_sentences_without_a_password_are_left_alone() {
    for text in [
        "ALTER ROLE app PASSWORD NULL",
        "ALTER USER app PASSWORD EXPIRE",
        "SET password_encryption = 'scram-sha-256'",
        "ALTER ROLE app VALID UNTIL '2027-01-01'",
        "CREATE USER app IDENTIFIED EXTERNALLY AS 'CN=app'",
        "the cause was identified as 'a race'",
        "the password is 'unset'",
        "SELECT password FROM users WHERE name = 'app'",
        "/q?sql=ALTER%20ROLE%20app%20PASSWORD%20NULL&name=%27app%27",
    ] {
        assert_eq!(found(text.as_bytes()), [], "{text}");
    }
}
