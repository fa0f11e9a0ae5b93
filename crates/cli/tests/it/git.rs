use crate::house::{House, LONG};
use marque_testkit::proc::Child;
use marque_testkit::upstream::{GitHttp, GithubShape};
use marque_testkit::Options;
use std::process::Command;

#[test]
fn git_pushes_to_a_granted_branch_and_to_no_other() {
    let house = House::new();
    let token = GithubShape::fresh_token();
    let cert = house.ca.issue(&["github.test", "api.github.test"]).unwrap();
    let git = GitHttp::start(Options::tls(cert.server_config().unwrap()), &token).unwrap();
    git.add_repository("acme/web").unwrap();
    let api = GithubShape::start(Options::tls(cert.server_config().unwrap()), &token).unwrap();
    let (gp, ap) = (git.port(), api.port());
    let hosts = [format!("git=https://github.test:{gp}"), format!("api=https://api.github.test:{ap}")];
    let pins = [format!("github.test:{gp}=127.0.0.1"), format!("api.github.test:{ap}=127.0.0.1")];
    let mut args = vec!["--service", "github"];
    for (host, pin) in hosts.iter().zip(&pins) {
        args.extend(["--host", host, "--pin", pin]);
    }
    house.add_credential("github", &token, &args);
    let work = house.dir.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let url = format!("https://github.test:{gp}/acme/web.git");
    let script = format!(
        "set -x; cd {w} && git clone -q {url} web && cd web && git config user.email a@b && git config user.name a \
         && git checkout -q -b agent/fix && echo 1 >> f && git add f && git commit -q -m one \
         && git push origin agent/fix; echo push-agent=$?; git push origin agent/fix:main; echo push-main=$?",
        w = work.display()
    );
    let exit = house.run_owner(&[
        "run", "--purpose", "fix the flaky test", "--env", "staging", "--accept-risk", "uncontained",
        "--grant", "github repo.read on acme/web",
        "--grant", "github git.push on acme/web@agent/**",
        "--", "/bin/sh", "-c", &script,
    ]);
    assert!(exit.stdout.contains("push-agent=0"), "{exit:?}");
    assert!(!exit.stdout.contains("push-main=0"), "{exit:?}");
    assert!(exit.stderr.contains("MQ-2104") && exit.stderr.contains("purpose"), "git shows why: {}", exit.stderr);
    assert!(git.revision("acme/web", "agent/fix").is_ok());
    let main = git.revision("acme/web", "main").unwrap();
    let pushed = git.revision("acme/web", "agent/fix").unwrap();
    assert_ne!(main, pushed);
    assert!(!exit.stdout.contains(&token) && !exit.stderr.contains(&token));
    let head = Child::run(Command::new("git").arg("-C").arg(work.join("web")).args(["config", "--list"]), LONG).unwrap();
    assert!(!head.stdout.contains(&token));
}
