//! Containment grades: what a machine lets us do, as an ordered word, with what is lost and how to get it back.

use rustix::io::Errno;
use std::fmt;

/// How well an agent is contained. Ordered: `D` is the weakest. The numbers are those of records and policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Grade {
    /// Nothing keeps the agent from the user's own files and processes.
    D = 1,
    /// Hooks and courtesies.
    C = 2,
    /// Network and programs are judged; files are denied, not hidden.
    B = 3,
    /// Own namespaces: one road out, files hidden, programs judged.
    A = 4,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
        })
    }
}

/// Something that was tried: it worked, or the system said why not.
pub type Tried = Result<(), Errno>;

/// What was found by trying. Values alone, so that a report can be made of any machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// User, network, mount, pid, ipc, uts and cgroup namespaces at once.
    pub namespaces: Tried,
    /// The user's id mapped into them.
    pub identity: Tried,
    /// The loopback interface and the one route.
    pub network: Tried,
    /// A tmpfs, and a tree of the host on it, read-only.
    pub mounts: Tried,
    /// A fresh `/proc`.
    pub proc: Tried,
    /// Version of Landlock; 0 where there is none.
    pub landlock: u32,
    /// A filter that notifies a supervisor.
    pub notify: Tried,
    /// Tracing an own child.
    pub trace: Tried,
    /// Settings that are known to refuse, as `name=value`.
    pub settings: Vec<String>,
    /// Whether this is a container.
    pub container: bool,
}

/// Landlock that scopes signals and abstract sockets (Linux 6.12).
pub const LANDLOCK_SCOPED: u32 = 6;

/// A grade, and what to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The grade.
    pub grade: Grade,
    /// Why it is not higher; empty at A.
    pub why: Vec<String>,
    /// What is lost against A.
    pub lost: Vec<&'static str>,
    /// What still holds.
    pub enforced: Vec<&'static str>,
    /// How to get it back: commands or settings.
    pub fixes: Vec<String>,
}

impl Facts {
    /// The grade that these facts allow.
    #[must_use]
    pub fn report(&self) -> Report {
        let why = self.why();
        let judged = self.notify.is_ok() && self.trace.is_ok();
        let grade = match (self.confines(), judged, self.landlock) {
            (true, true, _) => Grade::A,
            (_, true, 1..) => Grade::B,
            (_, _, 1..) => Grade::C,
            _ => Grade::D,
        };
        let (lost, enforced) = consequences(grade);
        let fixes = if grade == Grade::A { Vec::new() } else { self.fixes() };
        Report { grade, why, lost, enforced, fixes }
    }

    /// Whether [`crate::spawn`] works: everything of grade A but the judging of programs.
    #[must_use]
    pub const fn confines(&self) -> bool {
        let spaces = self.namespaces.is_ok() && self.identity.is_ok() && self.network.is_ok() && self.mounts.is_ok() && self.proc.is_ok();
        spaces && self.landlock >= LANDLOCK_SCOPED
    }

    fn why(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut note = |what: &str, tried: &Tried| {
            if let Err(errno) = tried {
                out.push(format!("{what} ({errno})"));
            }
        };
        note("no user namespaces", &self.namespaces);
        if self.namespaces.is_ok() {
            note("ids cannot be mapped", &self.identity);
            note("no network of its own", &self.network);
            note("mounting is refused", &self.mounts);
            note("/proc cannot be mounted", &self.proc);
        }
        note("no seccomp notifications", &self.notify);
        note("tracing is refused", &self.trace);
        match self.landlock {
            0 => out.push("no Landlock".into()),
            older @ 1..LANDLOCK_SCOPED => out.push(format!("Landlock {older} is older than {LANDLOCK_SCOPED}")),
            _ => {}
        }
        if let (Some(first), false) = (out.first_mut(), self.settings.is_empty()) {
            first.push_str(": ");
            first.push_str(&self.settings.join(", "));
        }
        out
    }

    fn fixes(&self) -> Vec<String> {
        let mut out: Vec<String> = self.settings.iter().filter_map(|setting| fix_of(setting)).collect();
        let refused = self.namespaces.is_err() || self.mounts.is_err() || self.proc.is_err();
        if self.container && refused {
            out.push("run the authority beside the container and give the container no network but its socket, or allow user namespaces in it".into());
        }
        if self.landlock < LANDLOCK_SCOPED {
            out.push(format!("boot Linux 6.12 or newer with `landlock` in `lsm=` (Landlock {LANDLOCK_SCOPED})"));
        }
        if self.notify.is_err() {
            out.push("use a kernel with CONFIG_SECCOMP_FILTER, 5.5 or newer, and a container runtime that lets seccomp(2) through".into());
        }
        out.dedup();
        out
    }
}

/// The command that undoes a setting which refuses.
fn fix_of(setting: &str) -> Option<String> {
    let (name, _) = setting.split_once('=')?;
    let value = match name {
        "kernel.apparmor_restrict_unprivileged_userns" => "0",
        "kernel.unprivileged_userns_clone" => "1",
        "user.max_user_namespaces" => "15000",
        "kernel.yama.ptrace_scope" => "1",
        _ => return None,
    };
    Some(format!("sudo sysctl {name}={value}"))
}

fn consequences(grade: Grade) -> (Vec<&'static str>, Vec<&'static str>) {
    const HIDING: &str = "hiding files and sockets by mount";
    const ENDING: &str = "ending every process of the agent with its supervisor";
    const EXITS: &str = "the gateway as the only road out";
    const PROGRAMS: &str = "judging every program before it starts";
    const FILES: &str = "denying files by Landlock";
    match grade {
        Grade::A => (Vec::new(), vec![EXITS, HIDING, FILES, PROGRAMS, ENDING]),
        Grade::B => (vec![HIDING, ENDING], vec![EXITS, FILES, PROGRAMS]),
        Grade::C => (vec![EXITS, PROGRAMS, HIDING, ENDING], vec![FILES]),
        Grade::D => (vec![EXITS, PROGRAMS, HIDING, FILES, ENDING], Vec::new()),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "containment {}", self.grade)?;
        if self.grade == Grade::A {
            return Ok(());
        }
        write!(f, " ({}). Lost: {}.", self.why.join("; "), self.lost.join(", "))?;
        if !self.enforced.is_empty() {
            write!(f, " Still enforced: {}.", self.enforced.join(", "))?;
        }
        if !self.fixes.is_empty() {
            write!(f, " Fix: {}", self.fixes.join("; or "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Facts {
        Facts {
            namespaces: Ok(()),
            identity: Ok(()),
            network: Ok(()),
            mounts: Ok(()),
            proc: Ok(()),
            landlock: 7,
            notify: Ok(()),
            trace: Ok(()),
            settings: Vec::new(),
            container: false,
        }
    }

    #[test]
    fn grades_are_ordered_integers() {
        assert!(Grade::A > Grade::B && Grade::B > Grade::C && Grade::C > Grade::D);
        assert_eq!([Grade::D as u8, Grade::C as u8, Grade::B as u8, Grade::A as u8], [1, 2, 3, 4]);
    }

    #[test]
    fn everything_that_works_is_grade_a_and_says_no_more() {
        let report = all().report();
        assert_eq!((report.grade, report.to_string()), (Grade::A, "containment A".to_owned()));
    }

    #[test]
    fn a_machine_without_user_namespaces_hears_what_is_lost_and_how_to_get_it_back() {
        let setting = "kernel.apparmor_restrict_unprivileged_userns=1".to_owned();
        let report = Facts { namespaces: Err(Errno::PERM), settings: vec![setting], ..all() }.report();
        assert_eq!(report.grade, Grade::B);
        assert_eq!(
            report.to_string(),
            "containment B (no user namespaces (Operation not permitted (os error 1)): \
             kernel.apparmor_restrict_unprivileged_userns=1). Lost: hiding files and sockets by mount, ending every process of \
             the agent with its supervisor. Still enforced: the gateway as the only road out, denying files by Landlock, judging \
             every program before it starts. Fix: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        );
    }

    #[test]
    fn each_missing_step_lowers_the_grade() {
        let no = Err(Errno::PERM);
        let grade = |facts: Facts| facts.report().grade;
        assert_eq!(grade(Facts { network: no, ..all() }), Grade::B);
        assert_eq!(grade(Facts { mounts: no, ..all() }), Grade::B);
        assert_eq!(grade(Facts { proc: no, ..all() }), Grade::B);
        assert_eq!(grade(Facts { identity: no, ..all() }), Grade::B);
        assert_eq!(grade(Facts { landlock: 5, ..all() }), Grade::B);
        assert_eq!(grade(Facts { trace: no, ..all() }), Grade::C);
        assert_eq!(grade(Facts { notify: no, ..all() }), Grade::C);
        assert_eq!(grade(Facts { landlock: 0, ..all() }), Grade::D);
    }
}
