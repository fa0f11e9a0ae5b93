//! The switches, switched on.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

struct Plan {
    name: String,
    nth: u64,
    seen: AtomicU64,
}

static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| {
    let text = std::env::var("MARQUE_FAIL_POINT").ok()?;
    let (name, nth) = match text.rsplit_once(':') {
        Some((name, nth)) => (name.to_owned(), nth.parse().ok()?),
        None => (text, 1),
    };
    Some(Plan { name, nth, seen: AtomicU64::new(0) })
});
static TRACE: LazyLock<Option<Trace>> = LazyLock::new(|| {
    let path = std::env::var_os("MARQUE_FAIL_TRACE")?;
    let file = OpenOptions::new().create(true).append(true).open(path).ok()?;
    Some(Trace { file, seen: Mutex::default() })
});
static SHIFT: LazyLock<Option<std::path::PathBuf>> = LazyLock::new(|| std::env::var_os("MARQUE_CLOCK_SHIFT").map(Into::into));
static OFF: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let text = std::env::var("MARQUE_GUARD_OFF").unwrap_or_default();
    text.split(',').map(|name| name.trim().to_owned()).collect()
});

struct Trace {
    file: std::fs::File,
    seen: Mutex<BTreeSet<String>>,
}

impl Trace {
    fn note(&self, name: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.insert(name.to_owned()) {
            // One write of one line: two processes append to the same file.
            let _ = (&self.file).write_all(format!("{name}\n").as_bytes());
        }
    }
}

/// The process may end here, in the second build, when it is told to.
pub fn fail_point(name: &str) {
    if let Some(trace) = &*TRACE {
        trace.note(name);
    }
    let Some(plan) = &*PLAN else { return };
    if plan.name == name && plan.seen.fetch_add(1, Ordering::Relaxed) + 1 == plan.nth && claim() {
        die();
    }
}

/// A fail point of one file: its name is the file's, without directory and id, and the step.
pub fn fail_point_of(path: &str, step: &str) {
    if PLAN.is_none() && TRACE.is_none() {
        return;
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    // The name of a mark is the instance's id.
    let file = if file.ends_with(".mark") { "mark" } else { file };
    // That of a snapshot is its segment's number.
    let file = if file.ends_with(".snap") { "snapshot" } else { file };
    fail_point(&format!("{file}.{step}"));
}

/// Whether this invariant's guard was taken away; only ever in the second build.
#[must_use]
pub fn guard_off(invariant: &str) -> bool {
    OFF.contains(invariant)
}

/// Milliseconds to add to wall clock and boot time. A file that is not there shifts nothing.
#[must_use]
pub fn clock_shift() -> (i64, i64) {
    let text = SHIFT.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Only the first process that comes by dies.
fn claim() -> bool {
    match std::env::var_os("MARQUE_FAIL_HIT") {
        None => true,
        Some(path) => OpenOptions::new().write(true).create_new(true).open(path).is_ok(),
    }
}

fn die() -> ! {
    // As if from outside: nothing is flushed, no destructor runs, no handler is asked.
    let kill = rustix::process::Signal::KILL;
    let _ = match std::env::var_os("MARQUE_FAIL_SCOPE") {
        Some(scope) if scope == "group" => rustix::process::kill_current_process_group(kill),
        _ => rustix::process::kill_process(rustix::process::getpid(), kill),
    };
    loop {
        std::thread::park();
    }
}
