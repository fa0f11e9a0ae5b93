//! A real git server: `git http-backend` behind a small CGI front (RFC 3875), over smart HTTP.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::{
    error::{Doing, Result, unexpected},
    proc::{Child, program},
    serve::{Call, Options, Reply, Server, handler, reply, reply_stream, set_header},
};

const HELP: &str = "install Debian's `git`";
/// The user name that GitHub documents for tokens over HTTPS; this server wants exactly it.
const USER: &str = "x-access-token";

/// A git server over repositories in a temporary folder.
pub struct GitHttp {
    server: Server,
    root: TempDir,
    token: String,
}

struct Backend {
    git: PathBuf,
    root: PathBuf,
    expected: String,
}

impl GitHttp {
    /// Starts a server without repositories that wants Basic `x-access-token:<token>`.
    ///
    /// # Errors
    /// When git is missing or the port cannot be had.
    pub fn start(options: Options, token: &str) -> Result<Self> {
        let root = TempDir::new().doing("make a folder for repositories")?;
        let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{token}")));
        let backend = Backend {
            git: program("git", HELP)?,
            root: root.path().to_owned(),
            expected,
        };
        let backend = Arc::new(backend);
        let server = Server::start(
            options,
            handler(move |call| serve(call, Arc::clone(&backend))),
        )?;
        Ok(Self {
            server,
            root,
            token: token.to_owned(),
        })
    }

    /// The token it wants.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Makes a bare repository `owner/name` whose `main` has one commit, and returns its folder.
    ///
    /// # Errors
    /// When git fails.
    pub fn add_repository(&self, name: &str) -> Result<PathBuf> {
        let bare = self.folder(name);
        let work = TempDir::new().doing("make a work tree")?;
        std::fs::write(work.path().join("README.md"), format!("# {name}\n"))
            .doing("write a file")?;
        git(work.path(), &["init", "--quiet", "--initial-branch=main"])?;
        git(work.path(), &["add", "README.md"])?;
        git(work.path(), &["commit", "--quiet", "--message=first"])?;
        let target = bare.display().to_string();
        git(work.path(), &["clone", "--quiet", "--bare", ".", &target])?;
        git(&bare, &["config", "http.receivepack", "true"])?;
        Ok(bare)
    }

    /// The clone URL of a repository, without credential.
    #[must_use]
    pub fn clone_url(&self, name: &str) -> String {
        self.server.url(&format!("/{name}.git"))
    }

    /// What a revision of a repository is at the server now.
    ///
    /// # Errors
    /// When there is no such revision.
    pub fn revision(&self, name: &str, revision: &str) -> Result<String> {
        git(&self.folder(name), &["rev-parse", "--verify", revision])
    }

    /// A repository's folder.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("{name}.git"))
    }
}

impl Deref for GitHttp {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// A git command without the user's or the system's configuration.
#[must_use]
pub fn plain_git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env_remove("GIT_SSL_CAINFO")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    command
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "testkit")
            .env(format!("GIT_{who}_EMAIL"), "testkit@example.test");
    }
    command
}

/// Runs git to its end and returns its trimmed output.
fn git(folder: &Path, args: &[&str]) -> Result<String> {
    let exit = Child::run(plain_git(folder).args(args), Duration::from_secs(60))?;
    if exit.status.success() {
        Ok(exit.stdout.trim().to_owned())
    } else {
        Err(unexpected(format!(
            "`git {}` failed: {}",
            args.join(" "),
            exit.stderr.trim()
        )))
    }
}

async fn serve(mut call: Call, backend: Arc<Backend>) -> Reply {
    if call.header("authorization") != Some(&backend.expected) {
        let mut answer = reply(401, "text/plain", "authentication needed\n");
        set_header(&mut answer, "www-authenticate", "Basic realm=\"git\"");
        return answer;
    }
    match run_backend(&mut call, &backend).await {
        Ok(answer) => answer,
        Err(error) => reply(500, "text/plain", error.to_string()),
    }
}

fn cgi(call: &Call, backend: &Backend) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(&backend.git);
    command
        .arg("http-backend")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .kill_on_drop(true);
    command
        .env("GIT_PROJECT_ROOT", &backend.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", USER);
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("REMOTE_ADDR", "127.0.0.1");
    command
        .env("REQUEST_METHOD", call.request.method().as_str())
        .env("PATH_INFO", with_suffix(call.path()));
    command.env(
        "QUERY_STRING",
        call.request.uri().query().unwrap_or_default(),
    );
    let passed = [
        ("content-type", "CONTENT_TYPE"),
        ("content-length", "CONTENT_LENGTH"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ];
    for (header, variable) in passed {
        if let Some(value) = call.header(header) {
            command.env(variable, value);
        }
    }
    command
}

/// `/owner/name/info/refs` works as well as `/owner/name.git/info/refs`, as at GitHub.
fn with_suffix(path: &str) -> String {
    let parts: Vec<&str> = path.splitn(4, '/').collect();
    match parts.as_slice() {
        [_, owner, name, rest] if !name.ends_with(".git") => format!("/{owner}/{name}.git/{rest}"),
        _ => path.to_owned(),
    }
}

async fn run_backend(call: &mut Call, backend: &Backend) -> std::io::Result<Reply> {
    let broken = || std::io::Error::other("`git http-backend` has no pipe");
    let mut child = cgi(call, backend).spawn()?;
    let mut stdin = child.stdin.take().ok_or_else(broken)?;
    let mut stdout = BufReader::new(child.stdout.take().ok_or_else(broken)?);
    // The backend answers after it has read a push; it never writes much before that, so one after the other is safe.
    while let Some(Ok(frame)) = call.request.body_mut().frame().await {
        if let Some(data) = frame.data_ref()
            && stdin.write_all(data).await.is_err()
        {
            break;
        }
    }
    drop(stdin);
    let mut status = 200;
    let mut headers = Vec::new();
    let mut line = String::new();
    while stdout.read_line(&mut line).await? > 0 && !line.trim().is_empty() {
        match line.trim().split_once(": ") {
            Some(("Status", value)) => {
                status = value
                    .split(' ')
                    .next()
                    .and_then(|code| code.parse().ok())
                    .unwrap_or(500)
            }
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => {}
        }
        line.clear();
    }
    let (mut sender, mut answer) = reply_stream(status, "application/octet-stream");
    for (name, value) in headers {
        set_header(&mut answer, &name, &value);
    }
    tokio::spawn(async move {
        let mut buffer = vec![0_u8; 64 * 1024];
        while let Ok(count) = stdout.read(&mut buffer).await {
            let piece = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            if count == 0 || sender.send_data(piece).await.is_err() {
                break;
            }
        }
        // The child is reaped here, not left behind.
        let _ = child.wait().await;
    });
    Ok(answer)
}
