use crate::home::{Home, one};
use base64::Engine as _;
use marque_testkit::canary;
use marque_testkit::encode::{find_any, needles};

/// A value that no rule knows by its shape and whose name makes it a credential.
fn token() -> String {
    canary("x")
}

/// A value in the shape of GitHub's classic tokens.
fn classic() -> String {
    format!("ghp_{}", canary("").chars().filter(char::is_ascii_alphanumeric).take(36).collect::<String>())
}

fn b64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A private key as OpenSSH writes it, with that cipher.
fn openssh(cipher: &str) -> String {
    let mut bytes = b"openssh-key-v1\0".to_vec();
    bytes.extend(u32::try_from(cipher.len()).unwrap().to_be_bytes());
    bytes.extend(cipher.bytes());
    bytes.extend(token().bytes().cycle().take(120));
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// Plants one credential in every place of the table; returns all values, and the name each goes by.
fn plant(home: &mut Home) -> (Vec<String>, Vec<&'static str>) {
    let mut values = Vec::new();
    let mut value = || {
        let fresh = token();
        values.push(fresh.clone());
        fresh
    };
    let v: Vec<String> = (0..40).map(|_| value()).collect();
    home.env("ACME_API_TOKEN", &v[0]);
    home.env("DATABASE_URL", &format!("postgres://app:{}@db.prod.acme.dev/shop", v[1]));
    home.write(".git-credentials", &format!("https://me:{}@git.acme.dev\n", v[2]), 1);
    home.write(".netrc", &format!("machine ftp.acme.dev\n  login me\n  password {}\nmachine b.acme.dev login x password {}\n", v[3], v[4]), 2);
    home.write(".npmrc", &format!("registry=https://registry.npmjs.org/\n//npm.acme.dev/:_authToken={}\n", v[5]), 3);
    home.write(".pypirc", &format!("[pypi]\nusername = __token__\npassword = {}\n", v[6]), 4);
    home.write(".aws/credentials", &format!("[prod]\naws_access_key_id = AKIASP2TPHJSQH3FJRUX\naws_secret_access_key = {}\n", v[7]), 97);
    home.write(".config/gh/hosts.yml", &format!("github.com:\n    user: me\n    oauth_token: {}\n    git_protocol: https\n", v[8]), 5);
    home.write(".docker/config.json", &format!("{{\"auths\":{{\"r.acme.dev\":{{\"auth\":\"{}\"}}}}}}", b64(&format!("me:{}", v[9]))), 6);
    home.write(".kube/config", &format!("users:\n- name: admin\n  user:\n    token: {}\nclusters:\n- name: c\n", v[10]), 7);
    home.write(".pgpass", &format!("# comment\ndb.acme.dev:5432:shop:app:{}\n", v[11]), 8);
    home.write(".claude.json", &format!("{{\"mcpServers\":{{\"tickets\":{{\"env\":{{\"TICKETS_API_KEY\":\"{}\"}}}}}}}}", v[12]), 9);
    let login = format!("{{\"claudeAiOauth\":{{\"accessToken\":\"{}\",\"refreshToken\":\"{}\",\"expiresAt\":1}}}}", v[13], v[14]);
    home.write(".claude/.credentials.json", &login, 10);
    home.write(".codex/config.toml", &format!("[mcp_servers.x.env]\nX_SECRET = \"{}\"\n", v[15]), 11);
    home.write(".cursor/mcp.json", &format!("{{\"mcpServers\":{{\"y\":{{\"args\":[\"--token={}\"],\"env\":{{}}}}}}}}", v[16]), 12);
    home.write(".local/share/opencode/auth.json", &format!("{{\"acme\":{{\"type\":\"api\",\"key\":\"{}\"}}}}", v[17]), 13);
    home.write(".vault-token", &v[18], 14);
    home.write(".bashrc", &format!("alias ll='ls -l'\nexport SHOP_SECRET_KEY=\"{}\" # for the shop\n", v[19]), 15);
    let env = home.write("web/.env", &format!("PORT=8080\nSHOP_PASSWORD='{}'\n", v[20]), 16);
    home.write("web/.env.production", &format!("LIVE_TOKEN={}\n", v[21]), 17);
    home.write("web/sub/.mcp.json", &format!("{{\"mcpServers\":{{\"z\":{{\"headers\":{{\"Authorization\":\"Bearer {}\"}},\"env\":{{\"Z_TOKEN\":\"{}\"}}}}}}}}", v[22], v[23]), 18);
    home.write("web/.git/config", &format!("[remote \"origin\"]\n\turl = https://x:{}@git2.acme.dev/web.git\n", v[24]), 19);
    home.look_at(env.parent().unwrap());
    home.process(4121, "claude", &format!("PATH=/bin\0HELD_API_KEY={}\0ACME_API_TOKEN={}\0", v[25], v[0]));
    values.truncate(26);
    let names = vec![
        "ACME_API_TOKEN", "DATABASE_URL", "git git.acme.dev", "netrc ftp.acme.dev", "netrc b.acme.dev", "npm npm.acme.dev", "pypi pypi",
        "aws profile prod", "gh github.com", "docker r.acme.dev", "kube user admin", "postgres app", "TICKETS_API_KEY", "claude login",
        "X_SECRET", "token", "opencode login", "vault token", "SHOP_SECRET_KEY", "SHOP_PASSWORD", "LIVE_TOKEN", "Z_TOKEN", "git git2.acme.dev",
        "HELD_API_KEY",
    ];
    (values, names)
}

#[test]
fn every_planted_credential_is_found_and_no_value_is_in_the_report() {
    let mut home = Home::new();
    let (values, names) = plant(&mut home);
    let key = openssh("none");
    home.write(".ssh/id_ed25519", &key, 20);
    let report = home.scan();
    for name in names {
        one(&report, name);
    }
    one(&report, "ssh id_ed25519");
    let text = format!("{}{:?}", serde_json::to_string(&report).unwrap(), report);
    for value in &values {
        assert!(find_any(text.as_bytes(), &needles(value.as_bytes())).is_none(), "{text}");
    }
    let body: String = key.lines().nth(1).unwrap().chars().take(24).collect();
    assert!(!text.contains(&body));
    // The control: the search does find a value in such a text.
    assert!(find_any(format!("{text}{}", values[3]).as_bytes(), &needles(values[3].as_bytes())).is_some());
}

#[test]
fn kind_place_age_and_guess_are_said() {
    let mut home = Home::new();
    plant(&mut home);
    let report = home.scan();
    let aws = one(&report, "aws profile prod");
    assert_eq!((aws.kind.as_str(), aws.place.as_str(), aws.age_days), ("aws key", "~/.aws/credentials", Some(97)));
    assert_eq!(aws.detail.as_deref(), Some("171436882533, static"));
    assert!(aws.production);
    let url = one(&report, "DATABASE_URL");
    assert_eq!((url.kind.as_str(), url.place.as_str(), url.age_days), ("postgres login", "this shell", None));
    assert_eq!(url.detail.as_deref(), Some("db.prod.acme.dev"));
    assert!(url.production);
    assert_eq!(one(&report, "claude login").kind, "claude login");
    assert!(one(&report, "LIVE_TOKEN").production, "its file says so");
    assert!(!one(&report, "SHOP_PASSWORD").production);
    assert_eq!(one(&report, "SHOP_PASSWORD").line, Some(2));
    // What looks like production comes first.
    let last_production = report.findings.iter().rposition(|f| f.production).unwrap();
    assert!(report.findings.iter().take(last_production + 1).all(|f| f.production));
}

#[test]
fn one_value_in_several_places_is_one_finding_that_names_them_and_who_holds_it() {
    let mut home = Home::new();
    let secret = classic();
    home.env("GITHUB_TOKEN", &secret);
    home.write(".npmrc", &format!("//npm.pkg.github.com/:_authToken={secret}\n"), 412);
    home.process(77, "zsh", &format!("GITHUB_TOKEN={secret}\0"));
    let report = home.scan();
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    let found = &report.findings[0];
    assert_eq!((found.name.as_str(), found.place.as_str(), found.kind.as_str()), ("GITHUB_TOKEN", "this shell", "github token"));
    assert_eq!(found.shared, ["~/.npmrc"]);
    assert_eq!(found.age_days, Some(412), "the oldest place");
    assert_eq!(found.held_by.iter().map(|h| (h.name.as_str(), h.pid)).collect::<Vec<_>>(), [("zsh", 77)]);
    // A URL holds the same value in another spelling.
    home.env("REMOTE", &format!("https://me:{secret}@github.com/x"));
    assert_eq!(home.scan().findings.len(), 1);
}

#[test]
fn decoys_are_not_reported() {
    let mut home = Home::new();
    for (name, value) in [
        ("PATH", "/usr/bin:/bin"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("API_TOKEN", "${FROM_ELSEWHERE}"),
        ("AWS_ACCESS_KEY_ID", "AKIASP2TPHJSQH3FJRUX"),
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("SSH_AUTH_SOCK", "/nowhere/agent.sock"),
        ("GIT_COMMIT", "6dcb09b5b57875f334f61aebed695e2e4193db5e"),
    ] {
        home.env(name, value);
    }
    home.write(".npmrc", "//npm.acme.dev/:_authToken=${NPM_TOKEN}\nsave-exact=true\n", 1);
    home.write(".netrc", "machine a.test login me password changeme\n", 1);
    home.write(".aws/config", "[profile dev]\nregion = eu-west-1\nsso_account_id = 111122223333\n", 1);
    home.write(".docker/config.json", "{\"auths\":{\"r.test\":{}},\"credsStore\":\"pass\"}", 1);
    home.write(".ssh/id_ed25519.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8v9Kq2LmZ7vTn4RbW8sYc1DfHj6GpUaEo3QiXx9Kq2 me\n", 1);
    home.write(".ssh/known_hosts", "github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n", 1);
    home.write(".kube/config", "users:\n- name: sso\n  user:\n    exec:\n      command: aws\n      args: [eks, get-token]\n", 1);
    home.write(".claude.json", "{\"numStartups\":12,\"mcpServers\":{\"x\":{\"env\":{\"KEY_FILE\":\"/run/x\",\"X_TOKEN\":\"$X_TOKEN\"}}},\"userID\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}", 1);
    let example = home.write("web/.env.example", "API_TOKEN=your-token-here\nDB_PASSWORD=changeme\nDATABASE_URL=postgres://postgres:postgres@localhost/dev\n", 1);
    home.write("web/node_modules/x/.env", &format!("HIDDEN_TOKEN={}\n", token()), 1);
    home.look_at(example.parent().unwrap());
    home.process(9, "agent", "MARQUE_SESSION=s-1\0GH_TOKEN=ghp_0123456789abcdefghijABCDEFGHIJ012345\0HTTPS_PROXY=http://marque:9f3a7c1e5b8d26049f3a7c1e5b8d2604@127.0.0.1:9\0");
    let report = home.scan();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

#[test]
fn a_key_that_needs_a_passphrase_is_said_and_not_counted() {
    let home = Home::new();
    home.write(".ssh/id_rsa", &openssh("aes256-ctr"), 1);
    home.write(".ssh/old.pem", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE\n-----END RSA PRIVATE KEY-----\n", 1);
    let report = home.scan();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.notes.iter().filter(|n| n.contains("needs a passphrase")).count(), 2, "{:?}", report.notes);
}

#[test]
fn a_file_that_is_no_settings_file_is_searched_for_shapes() {
    let mut home = Home::new();
    let secret = classic();
    let notes = home.write("notes.txt", &format!("remember:\n  {secret}\n"), 1);
    home.write(".claude.json", &format!("{{ not json {secret}"), 1);
    home.look_at(&notes);
    let report = home.scan();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].shared.len(), 1);
    assert_eq!(report.findings[0].line, Some(1), "the dotfile was looked at first");
}

#[test]
fn a_secret_in_a_name_is_not_shown() {
    let mut home = Home::new();
    let (secret, other) = (classic(), classic());
    home.write(".netrc", &format!("machine {secret} login x password {secret}\n"), 1);
    let file = home.write(&format!("{other}/.env"), &format!("A_TOKEN={}\n", token()), 1);
    home.look_at(file.parent().unwrap());
    let text = serde_json::to_string(&home.scan()).unwrap();
    assert!(!text.contains(&secret) && !text.contains(&other), "{text}");
    assert!(text.contains("(hidden)"));
}
