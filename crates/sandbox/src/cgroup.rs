//! A cgroup of the sandbox's own, where the user's is delegated: a second way to end everything at once, beside the pid
//! namespace.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The cgroup; it goes with the value, once nothing is in it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// A new cgroup below this process's, and the directory to start a child in; `None` where that is not allowed.
    pub(crate) fn make(processes: u32) -> Option<(Self, OwnedFd)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let own = own_cgroup()?;
        let name = format!("marque-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        sweep(&own);
        let this = Self { dir: own.join(name) };
        std::fs::create_dir(&this.dir).ok()?;
        if !this.dir.join("cgroup.kill").exists() {
            return None;
        }
        // Only where the controller is delegated too.
        let _ = std::fs::write(this.dir.join("pids.max"), processes.to_string());
        let dir = open(&this.dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        Some((this, dir))
    }

    /// Ends everything in it.
    pub(crate) fn kill(&self) {
        // The pid namespace ends it as well.
        let _ = std::fs::write(self.dir.join("cgroup.kill"), "1");
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // One that is not empty stays until the next start.
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// Removes what supervisors left that were killed. Only empty ones can be removed.
fn sweep(own: &Path) {
    for entry in std::fs::read_dir(own).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix("marque-")?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

/// This process's cgroup in the unified hierarchy.
fn own_cgroup() -> Option<PathBuf> {
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let root = mounts.lines().find_map(unified)?;
    let dir = root.join(path.trim_start_matches('/'));
    dir.is_dir().then_some(dir)
}

/// Where a line of mountinfo mounts the unified hierarchy.
fn unified(line: &str) -> Option<PathBuf> {
    let (before, after) = line.split_once(" - ")?;
    (after.split(' ').next()? == "cgroup2").then(|| before.split(' ').nth(4).map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found_among_mounts() {
        let line = "36 25 0:31 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(unified(line), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(unified("36 25 0:31 / /sys/fs/cgroup rw - cgroup cgroup rw,memory"), None);
    }
}
