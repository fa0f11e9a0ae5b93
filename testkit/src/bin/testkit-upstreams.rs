//! `testkit-upstreams --dir DIR [--name HOST]... SERVER...`: upstreams for shell scripts.
//!
//! SERVER is `echo`, `echo-tls`, `github`, `github-tls`, `git` or `git-tls`, each optionally with `=CREDENTIAL` (the token
//! it wants; made up without one). DIR gets `ca.pem` and one access log `<server>.jsonl` each. Prints one line of JSON
//! with port, URL, nonce and token of each, serves until standard input closes, then prints the number of requests each saw.
//! TLS certificates are for `localhost`, `127.0.0.1` and each `--name`.

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    path::PathBuf,
};

use marque_testkit::{
    Error, Options, Result, Server, canary,
    error::Doing as _,
    pki::{Ca, ServerCert},
    upstream::{Echo, GitHttp, GithubShape},
};
use serde_json::{Map, Value, json};

const USAGE: &str = "usage: testkit-upstreams --dir DIR [--name HOST]... \
                     {echo|echo-tls|github|github-tls|git|git-tls}[=CREDENTIAL]...";
/// The repository that every git server holds.
const REPOSITORY: &str = "acme/site";

enum Running {
    Plain(Server),
    Github(GithubShape),
    Git(GitHttp),
}

fn main() -> Result<()> {
    let (mut dir, mut names, mut wanted) = (
        None,
        vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        Vec::new(),
    );
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--dir" => dir = Some(PathBuf::from(args.next().ok_or_else(usage)?)),
            "--name" => names.push(args.next().ok_or_else(usage)?),
            _ => wanted.push(arg),
        }
    }
    let dir = dir.filter(|_| !wanted.is_empty()).ok_or_else(usage)?;
    fs::create_dir_all(&dir).doing(format!("make `{}`", dir.display()))?;
    let ca = Ca::new()?;
    ca.write_pem(&dir.join("ca.pem"))?;
    ca.write_bundle(&dir.join("ca-bundle.pem"))?;
    let cert = ca.issue(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let (mut running, mut ready) = (Vec::new(), Map::new());
    for wish in &wanted {
        let (name, token) = wish
            .split_once('=')
            .map_or((wish.as_str(), None), |(name, token)| (name, Some(token)));
        let (server, about) = start(name, token, &dir, &cert)?;
        ready.insert(name.to_owned(), about);
        running.push((name.to_owned(), server));
    }
    print_line(
        &json!({ "ca": dir.join("ca.pem"), "ca_bundle": dir.join("ca-bundle.pem"), "servers": ready }),
    )?;
    io::stdin()
        .read_to_end(&mut Vec::new())
        .doing("wait for the end of standard input")?;
    let seen: Map<String, Value> = running
        .iter()
        .map(|(name, server)| (name.clone(), json!(server.server().log().records().len())))
        .collect();
    print_line(&json!({ "requests": seen }))
}

fn start(
    name: &str,
    token: Option<&str>,
    dir: &std::path::Path,
    cert: &ServerCert,
) -> Result<(Running, Value)> {
    let (kind, tls) = name
        .strip_suffix("-tls")
        .map_or((name, false), |kind| (kind, true));
    let options = if tls {
        Options::tls(cert.server_config()?)
    } else {
        Options::plain()
    };
    let options = options.with_jsonl(dir.join(format!("{name}.jsonl")));
    let token = |made: fn() -> String| token.map_or_else(made, ToOwned::to_owned);
    let (running, token) = match kind {
        "echo" => (Running::Plain(Echo::start(options)?), Value::Null),
        "github" => {
            let server = GithubShape::start(options, &token(GithubShape::fresh_token))?;
            let token = json!(server.token());
            (Running::Github(server), token)
        }
        "git" => {
            let server = GitHttp::start(options, &token(|| canary("git")))?;
            server.add_repository(REPOSITORY)?;
            let token = json!(server.token());
            (Running::Git(server), token)
        }
        _ => return Err(usage()),
    };
    let server = running.server();
    let about = json!({ "port": server.port(), "url": server.url(""), "nonce": server.nonce(), "token": token,
        "log": dir.join(format!("{name}.jsonl")) });
    Ok((running, about))
}

impl Running {
    fn server(&self) -> &Server {
        match self {
            Self::Plain(server) => server,
            Self::Github(server) => server,
            Self::Git(server) => server,
        }
    }
}

fn print_line(value: &Value) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{value}")
        .and_then(|()| stdout.flush())
        .doing("write to standard output")
}

fn usage() -> Error {
    Error::Unexpected(USAGE.to_owned())
}
