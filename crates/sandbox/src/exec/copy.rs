//! The sealed copy of a script, made in the process that will read it.

use std::io::{self, Write};
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::limits::PATH_BYTES_MAX;
use super::memory::Memory;
use super::resolve::Base;

/// Newer than the bindings.
const MFD_NOEXEC_SEAL: u32 = 8;

/// Flags by which a new file can be sealed: as one that nobody executes, where the kernel knows that (6.3) and may demand it.
pub(super) fn sealing() -> u32 {
    static FLAGS: OnceLock<u32> = OnceLock::new();
    *FLAGS.get_or_init(|| {
        let known = memfd_create("", MemfdFlags::NOEXEC_SEAL | MemfdFlags::CLOEXEC).is_ok();
        if known { MFD_NOEXEC_SEAL } else { libc::MFD_ALLOW_SEALING }
    })
}

/// The path at `at` in the memory of a stopped task. None where the call will fail in the kernel too.
pub(super) fn path_of(tid: i32, at: u64) -> io::Result<Option<Vec<u8>>> {
    let mut path = Vec::new();
    match Memory::open(tid)?.string(at, PATH_BYTES_MAX, &mut path) {
        Ok(true) => Ok(Some(path)),
        Ok(false) | Err(_) => Ok(None),
    }
}

/// The name of the directory at which a relative path begins.
pub(super) fn directory(tid: i32, from: Base) -> Option<Vec<u8>> {
    let link = match from {
        Base::Cwd => format!("/proc/{tid}/cwd"),
        Base::Descriptor(fd) => format!("/proc/{tid}/fd/{fd}"),
    };
    std::fs::read_link(link).ok().map(|path| std::os::unix::ffi::OsStringExt::into_vec(path.into_os_string()))
}

/// Writes the judged bytes to the new file and closes it for ever.
pub(super) fn fill(tid: i32, fd: i64, bytes: &[u8]) -> io::Result<()> {
    // Opened anew: the interpreter's descriptor stays at the beginning.
    let mut file = std::fs::OpenOptions::new().write(true).open(format!("/proc/{tid}/fd/{fd}"))?;
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(())
}
