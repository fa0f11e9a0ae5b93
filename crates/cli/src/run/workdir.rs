//! A directory of the session's own: the certificates that tools are pointed to. Gone when the run is.

use crate::out::Failure;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// Where Debian, Fedora and Alpine keep the system's roots as one file.
const SYSTEM_BUNDLES: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The directory.
pub(super) struct WorkDir {
    dir: PathBuf,
    /// The system's roots and the session's.
    pub(super) bundle: PathBuf,
    /// The session's root alone.
    pub(super) root: PathBuf,
}

impl WorkDir {
    pub(super) fn make(session: &str, ca_pem: &str) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("no directory for the session: {e}"), "free some space");
        let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|d| d.is_dir());
        let dir = base.unwrap_or_else(std::env::temp_dir).join(format!("marque-{session}"));
        std::fs::DirBuilder::new().mode(0o700).create(&dir).map_err(failed)?;
        let this = Self { bundle: dir.join("bundle.pem"), root: dir.join("root.pem"), dir };
        let system = SYSTEM_BUNDLES.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        std::fs::write(&this.root, ca_pem).map_err(failed)?;
        std::fs::write(&this.bundle, format!("{system}\n{ca_pem}")).map_err(failed)?;
        Ok(this)
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // What is left there is public; a directory that cannot be removed is the system's to clean.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
