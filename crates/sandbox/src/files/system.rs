//! The system's own directories: read-only, and of `/etc` only what everybody on the machine may read.

use super::at;
use super::layout::Layout;
use super::ops::Access;
use crate::error::{SpawnError, Step};
use crate::limits::{ETC_ENTRIES, HIDES, SMALL_BYTES, TMP_BYTES};
use rustix::io::Errno;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Programs and libraries. On most systems all but `/usr` are links into it.
const PROGRAMS: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/snap"];
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// Parts of `/proc` that are the machine's rather than a process's.
const PROC_OF_THE_MACHINE: &[&str] = &["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "latency_stats", "timer_list"];
/// Read by runtimes to size their thread pools.
const PROCESSORS: &str = "/sys/devices/system/cpu";

/// Programs, devices, `/proc`, and private directories.
pub(super) fn add(layout: &mut Layout, uid: u32) -> Result<(), SpawnError> {
    for path in PROGRAMS.iter().map(Path::new) {
        match std::fs::read_link(path) {
            Ok(to) => layout.link(path, to),
            Err(_) if path.exists() => drop(layout.show(path, Access::Read)?),
            Err(_) => {}
        }
    }
    if Path::new(PROCESSORS).exists() {
        layout.show(Path::new(PROCESSORS), Access::Read)?;
    }
    layout.special();
    for name in PROC_OF_THE_MACHINE {
        let path = Path::new("/proc").join(name);
        if let Ok(meta) = path.metadata() {
            layout.read_only(&path, meta.is_dir());
        }
    }
    devices(layout)?;
    for path in ["/tmp", "/var/tmp", "/dev/shm"] {
        layout.tmpfs(path, TMP_BYTES, 0o1777);
    }
    layout.tmpfs("/run", SMALL_BYTES, 0o755);
    layout.link("/var/run", "/run");
    layout.directory(format!("/run/user/{uid}"), 0o700);
    Ok(())
}

fn devices(layout: &mut Layout) -> Result<(), SpawnError> {
    layout.tmpfs("/dev", SMALL_BYTES, 0o755);
    for path in DEVICES.iter().map(|name| Path::new("/dev").join(name)).filter(|path| path.exists()) {
        layout.show(&path, Access::Device)?;
    }
    for (name, to) in [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")] {
        layout.link(Path::new("/dev").join(name), to);
    }
    Ok(())
}

/// Hides what not everybody may read of `/etc`: to the agent of root, or of a member of a group, it would be open.
pub(super) fn etc(layout: &mut Layout) -> Result<(), SpawnError> {
    const READ: u32 = 0o004;
    const READ_AND_ENTER: u32 = 0o005;
    let (mut looked, mut hidden) = (0_usize, 0_usize);
    let mut next = vec![PathBuf::from("/etc")];
    while let Some(dir) = next.pop() {
        for entry in std::fs::read_dir(&dir).map_err(at(&dir))? {
            let path = entry.map_err(at(&dir))?.path();
            looked += 1;
            // One that is gone again is not seen either.
            let Ok(meta) = path.symlink_metadata() else { continue };
            let kind = meta.file_type();
            let open = match kind.is_dir() {
                true => meta.mode() & READ_AND_ENTER == READ_AND_ENTER,
                false => kind.is_symlink() || (meta.mode() & READ != 0 && !kind.is_socket()),
            };
            if !open {
                layout.cover(&path, kind.is_dir());
                hidden += 1;
            } else if kind.is_dir() {
                next.push(path);
            }
            if looked > ETC_ENTRIES || hidden > HIDES {
                return Err(SpawnError::at(Step::Plan, Errno::TOOBIG, "/etc"));
            }
        }
    }
    Ok(())
}
