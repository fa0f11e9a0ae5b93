//! What running processes of this user have in their environment. Any process of the same user can read this.

use crate::Options;
use crate::collect::Collector;
use crate::judge::Judge;
use crate::limits::{ENVIRON_BYTES_MAX, PROCESSES_MAX, VARIABLES_MAX};
use crate::readers::variables;
use crate::report::Holder;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(crate) fn look(judge: &Judge, proc: &Path, options: &Options, into: &mut Collector<'_>) {
    let mut pids: Vec<u32> = match std::fs::read_dir(proc) {
        Ok(entries) => entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect(),
        Err(error) => return into.note(format!("`{}` cannot be read: {error}", proc.display())),
    };
    pids.sort_unstable();
    pids.retain(|pid| *pid != options.own_pid && is_of(proc, *pid, options.uid));
    if pids.len() > PROCESSES_MAX {
        into.note(format!("only {PROCESSES_MAX} processes were looked at"));
    }
    let mut closed = 0u32;
    for pid in pids.into_iter().take(PROCESSES_MAX) {
        match environ(proc, pid) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                into.looked().processes += 1;
                let text = String::from_utf8_lossy(&bytes);
                let pairs = text.split('\0').filter_map(|pair| pair.split_once('=')).take(VARIABLES_MAX);
                let found = variables(judge, pairs);
                if !found.is_empty() {
                    into.held(&Holder { name: name_of(proc, pid), pid }, found);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => closed += 1,
            // It ended meanwhile.
            Err(_) => {}
        }
    }
    if closed > 0 {
        into.note(format!("{closed} processes of this user do not let themselves be read"));
    }
}

fn is_of(proc: &Path, pid: u32, uid: u32) -> bool {
    std::fs::metadata(proc.join(pid.to_string())).is_ok_and(|meta| meta.uid() == uid)
}

/// Its variables, wiped when dropped; none where it has no environment.
fn environ(proc: &Path, pid: u32) -> std::io::Result<Option<Vec<u8>>> {
    let file = std::fs::File::open(proc.join(pid.to_string()).join("environ"))?;
    let mut bytes = Vec::new();
    file.take(u64::try_from(ENVIRON_BYTES_MAX).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok((!bytes.is_empty()).then_some(bytes))
}

fn name_of(proc: &Path, pid: u32) -> String {
    let name = std::fs::read_to_string(proc.join(pid.to_string()).join("comm")).unwrap_or_default();
    match name.trim() {
        "" => "?".into(),
        name => name.to_owned(),
    }
}
