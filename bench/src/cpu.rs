//! Cores and CPU time. Time on the clock says little on a machine that does other things too; time on a core says what
//! the work costs.

use crate::Result;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::time::Duration;

/// The core of the system under test.
pub(crate) const TESTED: usize = 0;
/// Name of the thread that keeps the search index.
pub(crate) const INDEX: &str = "index";
/// The core of load generator and upstream.
pub(crate) const LOAD: usize = 1;

/// Runs `work` with this thread on one core; children started by it stay there.
pub(crate) fn on<T>(core: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let me = Pid::from_raw(0);
    let before = sched_getaffinity(me)?;
    let mut one = CpuSet::new();
    one.set(core)?;
    sched_setaffinity(me, &one).map_err(|e| format!("core {core} cannot be used: {e}; two cores are needed"))?;
    let result = work();
    sched_setaffinity(me, &before)?;
    result
}

/// CPU time of a process and everything below it, ended threads included.
pub(crate) fn of_tree(pid: i32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for pid in marque_testkit::proc::descendants(pid) {
        let clock = clock_getcpuclockid(Pid::from_raw(pid)).map_err(|e| format!("process {pid} is gone: {e}"))?;
        sum += read(clock)?;
    }
    Ok(sum)
}

/// CPU time of the threads of that name in a process and everything below it. It counts the time that the scheduler gave
/// them (first field of `schedstat`, ns).
pub(crate) fn of_threads(pid: i32, name: &str) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for pid in marque_testkit::proc::descendants(pid) {
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            if std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
                let stat = std::fs::read_to_string(task.join("schedstat"))?;
                sum += Duration::from_nanos(stat.split(' ').next().unwrap_or_default().parse()?);
            }
        }
    }
    Ok(sum)
}

/// CPU time of this thread.
pub(crate) fn of_thread() -> Result<Duration> {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: ClockId) -> Result<Duration> {
    Ok(Duration::from(clock_gettime(clock)?))
}

/// Name of the processor.
pub(crate) fn model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

/// Load average over a minute.
pub(crate) fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(f64::NAN)
}
