//! The user's own id, mapped to itself: inside, files have the owners they have outside, and no other user exists.

use rustix::process::Pid;

/// Whether a child may leave its supplementary groups: only root may map groups without giving that up.
pub(crate) fn may_leave_groups() -> bool {
    rustix::process::geteuid().is_root()
}

/// Writes the maps of a child that waits in a new user namespace.
pub(crate) fn map(child: Pid) -> std::io::Result<()> {
    let write = |name: &str, text: String| std::fs::write(format!("/proc/{}/{name}", child.as_raw_nonzero()), text);
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    write("uid_map", format!("{uid} {uid} 1\n"))?;
    if !may_leave_groups() {
        // Whoever is kept out of something by a group must not get in by leaving it.
        write("setgroups", "deny".into())?;
    }
    write("gid_map", format!("{gid} {gid} 1\n"))
}
