//! Real clients (git, gh, Python's) against the servers.

use std::{fs, path::Path, process::Command};

use marque_testkit::{
    Options,
    error::Result,
    pki::Ca,
    proc::{Child, Exit, program},
    tools::Tools,
    upstream::{ConnectProxy, Echo, GitHttp, GithubShape, plain_git},
};
use tempfile::TempDir;

use super::LONG;

fn git(folder: &Path, args: &[&str]) -> Exit {
    Child::run(plain_git(folder).args(args), LONG).unwrap()
}

#[test]
fn git_clones_and_pushes_with_the_token_and_not_without() {
    let (ca, folder) = (Ca::new().unwrap(), TempDir::new().unwrap());
    let ca_file = folder.path().join("ca.pem");
    ca.write_pem(&ca_file).unwrap();
    let tls = Options::tls(ca.issue(&["127.0.0.1"]).unwrap().server_config().unwrap());
    for options in [Options::plain(), tls] {
        let server = GitHttp::start(options, "mq-git-token").unwrap();
        server.add_repository("acme/site").unwrap();
        let url = server.clone_url("acme/site");
        let with = url.replace("://", &format!("://x-access-token:{}@", server.token()));
        let ca_option = format!("http.sslCAInfo={}", ca_file.display());
        let work = TempDir::new().unwrap();
        assert!(
            !git(work.path(), &["-c", &ca_option, "clone", &url, "site"])
                .status
                .success()
        );
        assert!(
            !git(
                work.path(),
                &[
                    "-c",
                    &ca_option,
                    "clone",
                    &with.replace("git-token", "wrong"),
                    "site"
                ]
            )
            .status
            .success()
        );
        let exit = git(work.path(), &["-c", &ca_option, "clone", &with, "site"]);
        assert!(exit.status.success(), "{}", exit.stderr);
        let site = work.path().join("site");
        fs::write(site.join("new"), "x".repeat(3_000_000)).unwrap();
        for args in [
            &["add", "new"][..],
            &["commit", "-qm", "second"],
            &["-c", &ca_option, "push", "origin", "HEAD:topic"],
        ] {
            let exit = git(&site, args);
            assert!(exit.status.success(), "{}", exit.stderr);
        }
        let local = git(&site, &["rev-parse", "HEAD"]).stdout.trim().to_owned();
        assert_eq!(
            server.revision("acme/site", "refs/heads/topic").unwrap(),
            local
        );
        assert!(server.log().count_saw("mq-git-token") >= 4);
    }
}

/// gh speaks only https, to port 443 of `api.github.com` or of `GH_HOST`; a proxy leads that name here.
fn gh(
    server: &GithubShape,
    ca: &Path,
    home: &Path,
    args: &[&str],
    env: &[(&str, &str)],
) -> Result<(Exit, Vec<String>)> {
    let routes =
        ["api.github.com:443", "git.example.test:443"].map(|name| (name.to_owned(), server.addr()));
    let proxy = ConnectProxy::start(routes)?;
    let mut command = Command::new(program("gh", "install Debian's `gh`")?);
    command
        .env_clear()
        .env("HOME", home)
        .env("GH_CONFIG_DIR", home.join("gh"))
        .env("SSL_CERT_FILE", ca);
    command
        .env("HTTPS_PROXY", proxy.url())
        .env("GH_NO_UPDATE_NOTIFIER", "1")
        .env("GH_PROMPT_DISABLED", "1");
    command
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(env.iter().copied())
        .args(args);
    Ok((Child::run(command.current_dir(home), LONG)?, proxy.heads()))
}

#[test]
fn gh_works_against_the_shape_server_through_a_proxy() {
    let (ca, home) = (Ca::new().unwrap(), TempDir::new().unwrap());
    let ca_file = home.path().join("ca.pem");
    ca.write_pem(&ca_file).unwrap();
    let names = ["api.github.com", "git.example.test"];
    let options = Options::tls(ca.issue(&names).unwrap().server_config().unwrap());
    let server = GithubShape::start(options, &GithubShape::fresh_token()).unwrap();
    let token = server.token().to_owned();
    let run = |args: &[&str], env: &[(&str, &str)]| {
        gh(&server, &ca_file, home.path(), args, env).unwrap()
    };
    let good = [("GH_TOKEN", token.as_str())];
    let (exit, heads) = run(&["api", "user", "--jq", ".login"], &good);
    assert_eq!(exit.stdout.trim(), "octocat", "{}", exit.stderr);
    assert!(
        heads[0].starts_with("CONNECT api.github.com:443 "),
        "{heads:?}"
    );
    let enterprise = [
        ("GH_ENTERPRISE_TOKEN", token.as_str()),
        ("GH_HOST", "git.example.test"),
    ];
    let (exit, heads) = run(&["api", "user", "--jq", ".login"], &enterprise);
    assert_eq!(exit.stdout.trim(), "octocat", "{}", exit.stderr);
    assert!(
        heads[0].starts_with("CONNECT git.example.test:443 "),
        "{heads:?}"
    );
    let (exit, _) = run(&["api", "user"], &[("GH_TOKEN", "ghp_wrong")]);
    assert!(
        !exit.status.success() && exit.stderr.contains("Bad credentials"),
        "{}",
        exit.stderr
    );
    for (args, wanted) in [
        (
            &[
                "api",
                "graphql",
                "-f",
                "query={viewer{login}}",
                "--jq",
                ".data.viewer.login",
            ][..],
            "octocat",
        ),
        (&["auth", "status"], "Logged in to github.com as octocat"),
        (&["pr", "list", "-R", "acme/site"], "Amazing new feature"),
        (&["issue", "list", "-R", "acme/site"], "Found a bug"),
        (
            &["repo", "view", "acme/site", "--json", "nameWithOwner"],
            "acme/site",
        ),
        (
            &[
                "api",
                "repos/acme/site/issues",
                "-f",
                "title=broken",
                "--jq",
                ".number",
            ],
            "1348",
        ),
        (
            &[
                "api",
                "repos/acme/site/pulls",
                "-f",
                "head=a",
                "-f",
                "base=main",
                "--jq",
                ".number",
            ],
            "1347",
        ),
        (
            &[
                "api",
                "-X",
                "DELETE",
                "repos/acme/site/git/refs/heads/old",
                "--silent",
            ],
            "",
        ),
        (
            &[
                "api",
                "repos/acme/site/keys",
                "-f",
                "key=ssh-ed25519 AAAA",
                "--jq",
                ".id",
            ],
            "8",
        ),
    ] {
        let (exit, _) = run(args, &good);
        assert!(
            exit.status.success() && (exit.stdout + &exit.stderr).contains(wanted),
            "{args:?}"
        );
    }
    let acts: Vec<String> = server.acts().into_iter().map(|act| act.what).collect();
    let wanted = [
        "POST /repos/acme/site/issues",
        "POST /repos/acme/site/pulls",
        "DELETE /repos/acme/site/git/refs/heads/old",
        "POST /repos/acme/site/keys",
    ];
    assert_eq!(acts, wanted);
}

#[test]
fn python_clients_honour_their_ca_variables() {
    let (ca, folder) = (Ca::new().unwrap(), TempDir::new().unwrap());
    let ca_file = folder.path().join("ca.pem");
    ca.write_pem(&ca_file).unwrap();
    let options = Options::tls(ca.issue(&["localhost"]).unwrap().server_config().unwrap());
    let server = Echo::start(options).unwrap();
    let url = server.url_for("localhost", "/echo");
    let python = Tools::find().python().unwrap();
    for (variable, code) in [
        (
            "REQUESTS_CA_BUNDLE",
            "import requests,sys; print(requests.get(sys.argv[1]).json()['ok'])",
        ),
        (
            "SSL_CERT_FILE",
            "import httpx,sys; print(httpx.get(sys.argv[1]).json()['ok'])",
        ),
        (
            "SSL_CERT_FILE",
            "import urllib.request,sys; print(b'true' in urllib.request.urlopen(sys.argv[1]).read() or '')",
        ),
    ] {
        let run = |set: bool| {
            let mut command = Command::new(&python);
            command.env_clear().args(["-c", code, &url]);
            if set {
                command.env(variable, &ca_file);
            }
            Child::run(&mut command, LONG).unwrap()
        };
        assert!(
            !run(false).status.success(),
            "the throw-away CA is not trusted without {variable}"
        );
        let exit = run(true);
        assert_eq!(exit.stdout.trim(), "True", "{variable}: {}", exit.stderr);
    }
}
