//! Files of a workspace that are known to run on the host: by a build, an editor, a shell, git, or the next agent.

use super::digest::state;
use super::walk::{Found, open_root, walk};
use super::{Changes, State, compare};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// By whole name, at any depth.
const BY_NAME: &[(&str, &str)] = &[
    (".bash_profile", "read by a shell"), (".bashrc", "read by a shell"), (".dir-locals.el", "run by emacs"),
    (".editorconfig", "read by editors"),
    (".envrc", "run by direnv"), (".exrc", "run by vim"), (".nvim.lua", "run by neovim"), (".vimrc", "run by vim"), (".gitlab-ci.yml", "run by CI"), (".gitmodules", "leads git elsewhere"), (".mcp.json", "starts programs of agents"),
    (".npmrc", "read by npm"), (".pre-commit-config.yaml", "run by pre-commit"), (".profile", "read by a shell"),
    (".tool-versions", "read by asdf and mise"), (".yarnrc.yml", "read by yarn"), (".zprofile", "read by a shell"), (".zshenv", "read by a shell"),
    (".zshrc", "read by a shell"), ("AGENTS.md", "read by agents"), ("CLAUDE.md", "read by agents"), ("CMakeLists.txt", "run by cmake"),
    ("Cargo.toml", "names build scripts and macros"), ("Dockerfile", "run by docker"), ("GEMINI.md", "read by agents"), ("GNUmakefile", "run by make"),
    ("Gemfile", "run by bundler"), ("Jenkinsfile", "run by CI"), ("Justfile", "run by just"), ("Makefile", "run by make"), ("Rakefile", "run by rake"),
    ("Taskfile.yml", "run by task"), ("Vagrantfile", "run by vagrant"), ("build.gradle", "run by gradle"), ("build.gradle.kts", "run by gradle"),
    ("build.rs", "run by cargo"), ("compose.yaml", "run by docker"), ("conftest.py", "run by pytest"), ("docker-compose.yml", "run by docker"),
    ("gradlew", "run by gradle"), ("justfile", "run by just"), ("makefile", "run by make"), ("meson.build", "run by meson"), ("mise.toml", "run by mise"),
    ("mvnw", "run by maven"), ("noxfile.py", "run by nox"), ("package.json", "names scripts of npm"), ("pom.xml", "run by maven"),
    ("pyproject.toml", "names build backends"), ("rust-toolchain.toml", "names a compiler"), ("setup.cfg", "read by setuptools"),
    ("setup.py", "run by pip"), ("sitecustomize.py", "run by every python"), ("tox.ini", "run by tox"), ("usercustomize.py", "run by every python"),
];

/// By the end of the path.
const BY_PLACE: &[(&str, &str)] = &[
    (".cargo/config", "names a linker and runners"), (".cargo/config.toml", "names a linker and runners"), (".git/config", "names programs of git"),
    (".git/info/attributes", "names filters of git"), (".gitattributes", "names filters of git"), (".claude/settings.json", "names hooks of an agent"),
    (".claude/settings.local.json", "names hooks of an agent"), (".codex/config.toml", "names programs of an agent"),
    (".cursor/hooks.json", "names hooks of an agent"), (".cursor/mcp.json", "starts programs of agents"),
    (".devcontainer/devcontainer.json", "run by editors"), (".gemini/settings.json", "names programs of an agent"),
    (".git/rebase-merge/git-rebase-todo", "run by git"), (".idea/workspace.xml", "names programs of editors"), (".zed/tasks.json", "run by editors"),
    (".vscode/launch.json", "run by editors"), (".vscode/settings.json", "names programs of editors"), (".vscode/tasks.json", "run by editors"),
];

/// Everything in a directory of this name.
const BY_DIRECTORY: &[(&str, &str)] = &[
    (".git/hooks", "run by git"), (".github/workflows", "run by CI"), (".husky", "run by git"), (".idea/runConfigurations", "run by editors"),
    (".githooks", "run by git"), (".claude/hooks", "run by an agent"), (".claude/commands", "read by agents"), (".circleci", "run by CI"),
];

/// Directories that hold so much that is run that they are named instead of listed.
const NOT_LISTED: &[&str] = &["node_modules", "target", ".venv", "venv", ".tox", ".git/objects", ".git/lfs"];

/// Why a path of a workspace may run on the host, where it is known to.
#[must_use]
pub fn runs_on_host(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    let named = BY_NAME.iter().find(|(known, _)| *known == name);
    let placed = || BY_PLACE.iter().find(|(known, _)| path.ends_with(known));
    let within = || BY_DIRECTORY.iter().find(|(known, _)| path.ancestors().skip(1).any(|above| above.ends_with(known)));
    // Git's own configuration of submodules and worktrees lies deeper.
    let of_git = path.components().any(|part| part.as_os_str() == ".git");
    let hooked = of_git && path.components().any(|part| part.as_os_str() == "hooks");
    let deeper = || (of_git && matches!(name, "config" | "config.worktree") || hooked).then_some("names programs of git");
    named.or_else(placed).or_else(within).map(|(_, why)| *why).or_else(deeper).or_else(|| name.ends_with(".pth").then_some("run by every python"))
}

/// Such files, as they were at one moment.
#[derive(Debug, Clone)]
pub struct HostFiles {
    root: PathBuf,
    files: BTreeMap<PathBuf, State>,
    left_out: Vec<PathBuf>,
}

impl HostFiles {
    /// Looks for them.
    ///
    /// # Errors
    /// Of the file system; `E2BIG` past a limit.
    pub fn look(root: &Path) -> std::io::Result<Self> {
        let opened = open_root(root)?;
        let mut files = BTreeMap::new();
        let mut left_out = Vec::new();
        let unreadable = walk(root, |found: &Found| {
            if NOT_LISTED.iter().any(|name| found.path.ends_with(name)) {
                left_out.push(found.path.clone());
                return Ok(false);
            }
            if runs_on_host(&found.path).is_some() {
                match state(&opened, found) {
                    Ok(Some(state)) => drop(files.insert(found.path.clone(), state)),
                    Ok(None) => {}
                    Err(_) => left_out.push(found.path.clone()),
                }
            }
            Ok(true)
        })?;
        left_out.extend(unreadable);
        Ok(Self { root: root.to_owned(), files, left_out })
    }

    /// Which of them changed since. Call it when nothing of the agent is left.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub fn changes(&self) -> std::io::Result<Changes> {
        let now = Self::look(&self.root)?;
        Ok(Changes { list: compare(&self.files, &now.files), left_out: now.left_out })
    }
}
