//! From a plan to everything that the child needs.

use crate::child::Prepared;
use crate::error::{SpawnError, Step};
use crate::files::{self, Placeholders};
use crate::identity::may_leave_groups;
use crate::limits::{ARGUMENT_BYTES, FD_NUMBER, FDS, PORTS, PROCESSES};
use crate::plan::Plan;
use crate::sys::process::Strings;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What the child needs, and what the parent keeps for it.
pub(crate) struct Kit {
    pub(crate) prepared: Prepared,
    /// Until the child has its copies.
    pub(crate) descriptors: Vec<OwnedFd>,
    pub(crate) placeholders: Placeholders,
    pub(crate) unprotected: Vec<PathBuf>,
}

fn refused(errno: Errno, about: impl Into<PathBuf>) -> SpawnError {
    SpawnError::at(Step::Plan, errno, about)
}

/// Reads the plan.
pub(crate) fn prepare(plan: Plan) -> Result<Kit, SpawnError> {
    ports(&plan.network.ports)?;
    let program = std::fs::canonicalize(&plan.program).map_err(|e| SpawnError::at(Step::Execute, crate::error::errno_of(&e), &plan.program))?;
    let directory = std::fs::canonicalize(&plan.directory).map_err(files::at(&plan.directory))?;
    let (arguments, environment) = words(plan.arguments, &plan.environment)?;
    let processes = if plan.processes == 0 { PROCESSES } else { plan.processes };
    let uid = rustix::process::geteuid().as_raw();
    let shown = files::plan(&plan.files, &plan.network, &program, (plan.nested, processes), uid)?;
    let (descriptors, numbers) = descriptors(plan.descriptors)?;
    let opened = vec![-1; shown.stage.sources.len()];
    let prepared = Prepared {
        stage: shown.stage,
        ports: plan.network.ports,
        dns: plan.network.dns,
        leave_groups: may_leave_groups(),
        program: c_string(program.into_os_string().into_vec())?,
        arguments: Strings::new(arguments),
        environment: Strings::new(environment),
        directory: c_string(directory.into_os_string().into_vec())?,
        descriptors: numbers,
        terminal: plan.terminal,
        processes,
        hook: plan.hook,
        kept: Vec::new(),
        opened,
    };
    Ok(Kit { prepared, descriptors, placeholders: shown.placeholders, unprotected: shown.unprotected })
}

/// Arguments and environment as `execve` takes them.
fn words(arguments: Vec<OsString>, environment: &[(OsString, OsString)]) -> Result<(Vec<CString>, Vec<CString>), SpawnError> {
    let environment = environment.iter().map(|(name, value)| [name.as_bytes(), value.as_bytes()].join(&b'='));
    let (arguments, environment) = (strings(arguments.into_iter().map(OsStringExt::into_vec))?, strings(environment)?);
    let total: usize = environment.iter().chain(&arguments).map(|s| s.as_bytes_with_nul().len()).sum();
    if total > ARGUMENT_BYTES {
        return Err(SpawnError::new(Step::Plan, Errno::TOOBIG));
    }
    Ok((arguments, environment))
}

/// Port 53 is [`crate::plan::Network::dns`].
fn ports(ports: &[u16]) -> Result<(), SpawnError> {
    if ports.len() > PORTS {
        return Err(SpawnError::new(Step::Plan, Errno::TOOBIG));
    }
    for (index, port) in ports.iter().enumerate() {
        if *port == 0 || *port == 53 || ports.iter().take(index).any(|earlier| earlier == port) {
            return Err(refused(Errno::INVAL, format!("port {port}")));
        }
    }
    Ok(())
}

fn c_string(bytes: Vec<u8>) -> Result<CString, SpawnError> {
    CString::new(bytes).map_err(|_| SpawnError::new(Step::Plan, Errno::INVAL))
}

fn strings(list: impl Iterator<Item = Vec<u8>>) -> Result<Vec<CString>, SpawnError> {
    list.map(c_string).collect()
}

/// From which number to which.
type Numbers = Vec<(i32, i32)>;

/// The agent's descriptors, the standard ones among them, and from which number to which each goes.
fn descriptors(given: Vec<(i32, OwnedFd)>) -> Result<(Vec<OwnedFd>, Numbers), SpawnError> {
    if given.len() > FDS {
        return Err(SpawnError::new(Step::Plan, Errno::TOOBIG));
    }
    let mut all = given;
    for number in 0..3 {
        if !all.iter().any(|(taken, _)| *taken == number) {
            let null = std::fs::File::options().read(true).write(true).open("/dev/null").map_err(files::at(Path::new("/dev/null")))?;
            all.push((number, null.into()));
        }
    }
    let mut numbers: Numbers = Vec::with_capacity(all.len());
    for (number, fd) in &all {
        if !(0..FD_NUMBER).contains(number) || numbers.iter().any(|(_, taken)| taken == number) {
            return Err(refused(Errno::INVAL, format!("descriptor {number}")));
        }
        numbers.push((fd.as_raw_fd(), *number));
    }
    Ok((all.into_iter().map(|(_, fd)| fd).collect(), numbers))
}

/// Finds a program as a shell would, in the `PATH` that the agent gets. Relative entries are skipped.
#[must_use]
pub fn find_program(name: &OsString, path: &OsString, directory: &Path) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.as_bytes().contains(&b'/') {
        return Some(directory.join(name)).filter(executable);
    }
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_ports_each_once() {
        let many: Vec<u16> = (1_000..).take(PORTS + 1).collect();
        assert!(ports(&many[..PORTS]).is_ok());
        assert!(ports(&many).is_err());
        assert!(ports(&[443, 443]).is_err() && ports(&[0]).is_err() && ports(&[53]).is_err());
    }

    #[test]
    fn so_many_bytes_of_arguments_and_environment() {
        let environment = [("A".into(), "b".into())];
        let try_with = |len: usize| words(vec!["x".repeat(len).into()], &environment).map(|(arguments, _)| arguments.len());
        // `A=b` and two ends.
        assert_eq!(try_with(ARGUMENT_BYTES - 5).unwrap(), 1);
        assert!(try_with(ARGUMENT_BYTES - 4).is_err());
        assert!(words(vec!["a\0b".into()], &[]).is_err());
    }

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn so_many_descriptors_each_number_once() {
        let many = |count: i32| (0..count).map(|number| (number, null())).collect();
        assert_eq!(descriptors(many(FDS as i32)).unwrap().0.len(), FDS);
        assert!(descriptors(many(FDS as i32 + 1)).is_err());
        assert!(descriptors(vec![(FD_NUMBER - 1, null())]).is_ok_and(|(all, _)| all.len() == 4));
        assert!(descriptors(vec![(FD_NUMBER, null())]).is_err());
        assert!(descriptors(vec![(5, null()), (5, null())]).is_err());
    }

    #[test]
    fn a_program_is_found_in_absolute_entries_alone() {
        let find = |name: &str, path: &str| find_program(&name.into(), &path.into(), Path::new("/usr"));
        assert_eq!(find("env", "bin:/nowhere:/usr/bin"), Some("/usr/bin/env".into()));
        assert_eq!(find("env", "bin"), None);
        assert_eq!(find("bin/env", ""), Some("/usr/bin/env".into()));
    }
}
