//! Where credentials are kept: one table. A place that is not in it is not looked at.

use crate::beneath::{Beneath, Opened};
use crate::collect::{Collector, Place};
use crate::judge::{Judge, Raw};
use crate::limits::{SSH_FILES_MAX, VARIABLES_MAX};
use crate::readers::{Reader, SESSION, read, variables};
use crate::Options;
use std::path::{Path, PathBuf};

/// Files below the home directory: path, what they belong to, how they are read.
const HOME: &[(&str, &str, Reader)] = &[
    // git and code hosts
    (".git-credentials", "git", Reader::Urls),
    (".config/git/credentials", "git", Reader::Urls),
    (".gitconfig", "git", Reader::GitConfig),
    (".config/gh/hosts.yml", "gh", Reader::Yaml),
    (".config/hub", "hub", Reader::Yaml),
    (".config/glab-cli/config.yml", "glab", Reader::Yaml),
    (".netrc", "netrc", Reader::Netrc),
    // package registries
    (".npmrc", "npm", Reader::Npmrc),
    (".yarnrc.yml", "yarn", Reader::Yaml),
    (".pypirc", "pypi", Reader::Ini),
    (".config/pip/pip.conf", "pip", Reader::Ini),
    (".cargo/credentials.toml", "cargo", Reader::Toml),
    (".cargo/credentials", "cargo", Reader::Toml),
    (".gem/credentials", "gem", Reader::Yaml),
    (".composer/auth.json", "composer", Reader::Json),
    (".gradle/gradle.properties", "gradle", Reader::Env),
    (".docker/config.json", "docker", Reader::Docker),
    (".config/containers/auth.json", "docker", Reader::Docker),
    // clouds and infrastructure
    (".aws/credentials", "aws", Reader::Aws),
    (".aws/config", "aws", Reader::Aws),
    (".config/gcloud/application_default_credentials.json", "gcloud", Reader::Login),
    (".azure/msal_token_cache.json", "azure", Reader::Json),
    (".kube/config", "kube", Reader::Kube),
    (".terraform.d/credentials.tfrc.json", "terraform", Reader::Json),
    (".vault-token", "vault", Reader::Token),
    (".config/doctl/config.yaml", "doctl", Reader::Yaml),
    (".config/stripe/config.toml", "stripe", Reader::Toml),
    (".databrickscfg", "databricks", Reader::Ini),
    (".cache/huggingface/token", "hugging face", Reader::Token),
    (".kaggle/kaggle.json", "kaggle", Reader::Json),
    // databases
    (".pgpass", "postgres", Reader::PgPass),
    (".my.cnf", "mysql", Reader::Ini),
    // shells
    (".env", "env", Reader::Env),
    (".profile", "shell", Reader::Env),
    (".bash_profile", "shell", Reader::Env),
    (".bashrc", "shell", Reader::Env),
    (".zshenv", "shell", Reader::Env),
    (".zprofile", "shell", Reader::Env),
    (".zshrc", "shell", Reader::Env),
    // agents
    (".claude.json", "claude", Reader::Json),
    (".claude/.credentials.json", "claude", Reader::Login),
    (".claude/settings.json", "claude", Reader::Json),
    (".claude/settings.local.json", "claude", Reader::Json),
    (".config/Claude/claude_desktop_config.json", "claude desktop", Reader::Json),
    (".codex/auth.json", "codex", Reader::Login),
    (".codex/config.toml", "codex", Reader::Toml),
    (".local/share/opencode/auth.json", "opencode", Reader::Login),
    (".config/opencode/opencode.json", "opencode", Reader::Json),
    (".cursor/mcp.json", "cursor", Reader::Json),
    (".codeium/windsurf/mcp_config.json", "windsurf", Reader::Json),
    (".gemini/oauth_creds.json", "gemini", Reader::Login),
    (".gemini/settings.json", "gemini", Reader::Json),
    (".gemini/.env", "gemini", Reader::Env),
    (".config/github-copilot/hosts.json", "copilot", Reader::Json),
    (".config/github-copilot/apps.json", "copilot", Reader::Json),
    (".aider.conf.yml", "aider", Reader::Yaml),
    (".continue/config.json", "continue", Reader::Json),
    (".config/goose/config.yaml", "goose", Reader::Yaml),
    (".config/zed/settings.json", "zed", Reader::Json),
];

/// Variables that name a file of credentials.
const NAMED: &[(&str, &str, Reader)] = &[
    ("AWS_SHARED_CREDENTIALS_FILE", "aws", Reader::Aws),
    ("AWS_CONFIG_FILE", "aws", Reader::Aws),
    ("GOOGLE_APPLICATION_CREDENTIALS", "gcloud", Reader::Login),
    ("KUBECONFIG", "kube", Reader::Kube),
    ("NETRC", "netrc", Reader::Netrc),
    ("PGPASSFILE", "postgres", Reader::PgPass),
    ("NPM_CONFIG_USERCONFIG", "npm", Reader::Npmrc),
];

/// Files of a project by the end of their path.
const PROJECT: &[(&str, &str, Reader)] = &[
    (".envrc", "env", Reader::Env),
    (".dev.vars", "env", Reader::Env),
    (".npmrc", "npm", Reader::Npmrc),
    (".pypirc", "pypi", Reader::Ini),
    (".netrc", "netrc", Reader::Netrc),
    (".pgpass", "postgres", Reader::PgPass),
    (".git-credentials", "git", Reader::Urls),
    (".git/config", "git", Reader::GitConfig),
    (".mcp.json", "mcp", Reader::Json),
    (".cursor/mcp.json", "cursor", Reader::Json),
    (".vscode/mcp.json", "vs code", Reader::Json),
    (".claude/settings.json", "claude", Reader::Json),
    (".claude/settings.local.json", "claude", Reader::Json),
    (".codex/config.toml", "codex", Reader::Toml),
    (".aws/credentials", "aws", Reader::Aws),
    (".docker/config.json", "docker", Reader::Docker),
    (".kube/config", "kube", Reader::Kube),
    ("kubeconfig", "kube", Reader::Kube),
    ("opencode.json", "opencode", Reader::Json),
    ("terraform.tfvars", "terraform", Reader::Env),
    ("secrets.toml", "secrets", Reader::Toml),
    ("secrets.yml", "secrets", Reader::Yaml),
    ("secrets.yaml", "secrets", Reader::Yaml),
    ("docker-compose.yml", "compose", Reader::Yaml),
    ("docker-compose.yaml", "compose", Reader::Yaml),
    ("compose.yml", "compose", Reader::Yaml),
    ("compose.yaml", "compose", Reader::Yaml),
    ("id_rsa", "ssh", Reader::Key),
    ("id_ecdsa", "ssh", Reader::Key),
    ("id_ed25519", "ssh", Reader::Key),
];

/// How a file of a project is read, if it is one that is looked at.
pub(crate) fn of_project(path: &Path) -> Option<(&'static str, Reader)> {
    let name = path.file_name()?.to_str()?;
    if name == ".env" || name.starts_with(".env.") || name.ends_with(".env") || name.ends_with(".auto.tfvars") {
        return Some(("env", Reader::Env));
    }
    if name.ends_with(".pem") || name.ends_with(".key") {
        return Some(("key", Reader::Key));
    }
    PROJECT.iter().find(|(end, _, _)| path.ends_with(end)).map(|(_, label, reader)| (*label, *reader))
}

/// How a file of that name is read wherever it is.
pub(crate) fn of_name(path: &Path) -> (&'static str, Reader) {
    let dotfile = || HOME.iter().find(|(end, _, _)| path.ends_with(end)).map(|(_, label, reader)| (*label, *reader));
    of_project(path).or_else(dotfile).unwrap_or(("text", Reader::Text))
}

/// This shell: its variables, and the socket of an agent that signs for whoever reaches it.
pub(crate) fn shell(judge: &Judge, options: &Options, into: &mut Collector<'_>) {
    let env = options.env.get(..VARIABLES_MAX).unwrap_or(&options.env);
    into.looked().variables = env.len();
    if env.len() < options.env.len() {
        into.note(format!("only the first {VARIABLES_MAX} variables of this shell were looked at"));
    }
    if env.iter().any(|(name, value)| name == SESSION && !value.is_empty()) {
        into.note("this shell is inside a session: variables of known services hold placeholders and are not counted".into());
    }
    let place = Place { shown: "this shell", written_s: None };
    into.add(&place, variables(judge, env.iter().map(|(n, v)| (n.as_str(), v.as_str()))));
    let socket = env.iter().find(|(name, _)| name == "SSH_AUTH_SOCK").map(|(_, path)| Path::new(path));
    if let Some(path) = socket.filter(|p| is_socket(p)) {
        let agent = Raw::declared("SSH_AUTH_SOCK", "ssh agent", &path.to_string_lossy());
        into.add(&place, vec![agent.with_detail("signs for whoever reaches it")]);
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

/// Dotfiles of the home directory and configs of agents.
pub(crate) fn home(judge: &Judge, home: &Path, env: &[(String, String)], into: &mut Collector<'_>) {
    let beneath = match Beneath::new(home) {
        Ok(beneath) => beneath,
        Err(error) => return into.note(format!("`{}` cannot be read: {error}", home.display())),
    };
    let config = moved_config(home, env);
    for (path, label, reader) in HOME {
        match path.strip_prefix(".config/").zip(config.as_ref()) {
            Some((rest, dir)) => {
                if let Ok(moved) = Beneath::new(dir) {
                    let shown = dir.join(rest).display().to_string();
                    file(judge, &moved, Path::new(rest), &shown, (label, *reader), into);
                }
            }
            None => file(judge, &beneath, Path::new(path), &format!("~/{path}"), (label, *reader), into),
        }
    }
    ssh(judge, &beneath, into);
}

/// `$XDG_CONFIG_HOME`, where it is not `~/.config`.
fn moved_config(home: &Path, env: &[(String, String)]) -> Option<PathBuf> {
    let dir = env.iter().find(|(name, _)| name == "XDG_CONFIG_HOME").map(|(_, dir)| PathBuf::from(dir))?;
    (dir.is_absolute() && dir != home.join(".config")).then_some(dir)
}

fn ssh(judge: &Judge, beneath: &Beneath, into: &mut Collector<'_>) {
    let Ok(dir) = beneath.dir(Path::new(".ssh")) else { return };
    let Ok(entries) = rustix::fs::Dir::new(dir) else { return };
    let names = entries.flatten().filter_map(|e| e.file_name().to_str().ok().map(str::to_owned));
    let mut names: Vec<String> = names.filter(|n| n != "." && n != "..").collect();
    names.sort();
    if names.len() > SSH_FILES_MAX {
        into.note(format!("only the first {SSH_FILES_MAX} files of ~/.ssh were looked at"));
    }
    for name in names.iter().take(SSH_FILES_MAX) {
        let path = Path::new(".ssh").join(name);
        file(judge, beneath, &path, &format!("~/.ssh/{name}"), ("ssh", Reader::Key), into);
    }
}

/// Files that a variable of this shell names.
pub(crate) fn named(judge: &Judge, env: &[(String, String)], into: &mut Collector<'_>) {
    for (variable, label, reader) in NAMED {
        let Some((_, value)) = env.iter().find(|(name, _)| name == variable) else { continue };
        for path in std::env::split_paths(value).filter(|p| p.is_absolute()) {
            if let (Some(dir), Some(name)) = (path.parent(), path.file_name())
                && let Ok(beneath) = Beneath::new(dir)
            {
                file(judge, &beneath, Path::new(name), &path.display().to_string(), (label, *reader), into);
            }
        }
    }
}

/// Reads one file and takes what is in it.
pub(crate) fn file(
    judge: &Judge,
    beneath: &Beneath,
    path: &Path,
    shown: &str,
    (label, reader): (&str, Reader),
    into: &mut Collector<'_>,
) {
    match beneath.read(path) {
        Opened::Nothing => {}
        Opened::Binary => into.looked().binary += 1,
        Opened::Left(why) => into.note(format!("`{shown}` {why}")),
        Opened::Text(text, written_s) => {
            into.looked().files += 1;
            let found = read(judge, reader, label, path, &text);
            for note in found.notes {
                into.note(format!("`{shown}` {note}"));
            }
            into.add(&Place { shown, written_s }, found.raw);
        }
    }
}
