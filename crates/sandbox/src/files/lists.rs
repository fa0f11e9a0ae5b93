//! Lists of paths, as data.

use crate::plan::Protected;
use std::path::PathBuf;

/// Paths of a home that hold credentials or reach somebody who does. A private home has none of them; where a home is shown
/// after all, they are hidden.
pub const CREDENTIALS_IN_HOME: &[&str] = &[
    ".aws", ".azure", ".bash_history", ".cache/keyring", ".cargo/credentials", ".cargo/credentials.toml", ".config/1Password",
    ".config/BraveSoftware", ".config/Bitwarden CLI", ".config/chromium", ".config/configstore", ".config/containers/auth.json",
    ".config/doctl", ".config/firebase", ".config/flyctl", ".config/gcloud", ".config/gh", ".config/glab-cli",
    ".config/google-chrome", ".config/helm", ".config/hub", ".config/microsoft-edge", ".config/netlify", ".config/op",
    ".config/pip", ".config/rclone", ".config/sops", ".config/stripe", ".config/systemd/user", ".config/uv", ".databrickscfg",
    ".docker", ".dbus", ".fly", ".gem/credentials", ".git-credentials", ".config/git/credentials", ".gnupg", ".helm",
    ".heroku", ".kube", ".kaggle", ".local/share/keyrings", ".local/share/marque", ".local/share/kwalletd", ".m2/settings.xml",
    ".mozilla", ".my.cnf", ".mylogin.cnf", ".mysql_history", ".netrc", ".node_repl_history", ".npmrc", ".oci", ".password-store",
    ".pgpass", ".pki", ".psql_history", ".pulumi", ".pypirc", ".python_history", ".rediscli_history", ".snowsql", ".ssh",
    ".sqlite_history", ".terraform.d", ".terraformrc", ".thunderbird", ".vault-token", ".vercel", ".wget-hsts", ".yarnrc.yml",
    ".zsh_history", ".local/share/fish/fish_history", ".Xauthority", ".ICEauthority",
    ".claude/.credentials.json", ".codex/auth.json", ".gemini/oauth_creds.json", ".local/share/opencode/auth.json",
    ".local/share/uv/credentials", ".npm-global/etc",
];

/// Paths of a home that hold tools and no credential, shown read-only. Settings of tools are not among them: `.gitconfig` may
/// hold a token in a rewritten address. Nor are caches, which tools must write.
pub const TOOLS_IN_HOME: &[&str] = &[
    ".asdf", ".bun/bin", ".cargo/bin", ".deno/bin", ".fnm", ".local/bin", ".local/lib", ".local/pipx", ".local/share/claude",
    ".local/share/fnm", ".local/share/mise", ".local/share/pipx", ".local/share/pnpm", ".local/share/uv", ".npm-global", ".nvm",
    ".opencode/bin", ".pyenv", ".rbenv", ".rustup", ".rye", ".sdkman", ".volta", "go/bin",
];

/// Files with the roots that programs trust, of the common distributions.
pub const TRUST_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/lib/python3/dist-packages/certifi/cacert.pem",
];

/// Directories and files of a workspace that run on the host, or tell an agent's next start what to run, and that hardly an
/// agent has to change. What it often has to change (`.git/config`, build scripts) is reported instead.
#[must_use]
pub fn protected_by_default() -> Vec<Protected> {
    let made = [
        ".claude/settings.json", ".claude/settings.local.json", ".codex/config.toml", ".cursor/hooks.json", ".cursor/mcp.json",
        ".envrc", ".gemini/settings.json", ".mcp.json", ".vscode/settings.json", ".vscode/tasks.json",
    ];
    let hooks = Protected { path: PathBuf::from(".git/hooks"), directory: true, make: true };
    let made = made.map(|path| Protected { path: path.into(), directory: false, make: true });
    std::iter::once(hooks).chain(made).collect()
}
