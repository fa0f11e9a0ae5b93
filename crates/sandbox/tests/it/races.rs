//! What is judged is what runs, whoever exchanges it meanwhile. Each race is run twice: judged and then let go, which must be seen
//! to run what was denied, and with the exec stop, which must not.
//!
//! `MARQUE_RACES` says how many attempts the long form has.

use std::collections::BTreeMap;
use std::sync::Mutex;

use marque_sandbox::exec::{Denial, Exec, Verdict};
use sha2::{Digest, Sha256};

use crate::world::promise;
use crate::session::{ALLOW, Book, probe, run, run_unverified, text};

/// Attempts of the short form.
const ATTEMPTS: usize = 500;

/// Attempts, and how many denied programs the control must have run for the race to count.
fn form() -> (usize, usize) {
    match std::env::var("MARQUE_RACES").ok().and_then(|text| text.parse().ok()) {
        Some(attempts) => (attempts, 20),
        None => (ATTEMPTS, 1),
    }
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Ends {
    pub safe: usize,
    pub ran: usize,
    pub denied: usize,
    pub killed: usize,
    pub other: usize,
}

fn ends(output: &std::process::Output) -> Ends {
    read_ends(&text(&output.stdout))
}

pub fn read_ends(line: &str) -> Ends {
    let mut ends = Ends::default();
    for (name, count) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
        let count = count.parse().unwrap();
        match name {
            "safe" => ends.safe = count,
            "ran" => ends.ran = count,
            "denied" => ends.denied = count,
            "killed" => ends.killed = count,
            _ => ends.other = count,
        }
    }
    assert!(ends.safe + ends.ran + ends.denied + ends.killed + ends.other > 0, "{line}");
    ends
}

fn race(what: &str, harmless: fn(&Exec) -> bool) {
    let (attempts, least) = form();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let mut control = Ends::default();
    // Where one round shows nothing, the next may: what must not happen is that the race is void.
    for _ in 0..20 {
        let round = ends(&run_unverified(probe(&["race", what, &attempts.to_string(), path]), harmless));
        control.ran += round.ran;
        control.safe += round.safe;
        if control.ran >= least {
            break;
        }
    }
    assert!(control.ran >= least, "the race is void: without the exec stop {} denied programs ran", control.ran);
    let book = Book::new(move |exec| if harmless(exec) { ALLOW } else { Verdict::Deny(Denial::because("not this one")) });
    let held = ends(&run(&book, probe(&["race", what, &attempts.to_string(), path])));
    eprintln!("{what}: {attempts} attempts, control {control:?}, held {held:?}, tampered {}", book.tampered());
    assert_eq!(held.ran, 0, "{held:?}");
    assert!(held.safe > 0, "nothing ran at all: {held:?}");
    assert!(book.tampered() >= held.killed, "something was killed that was not found to be tampered with");
}

pub fn harmless_arguments(exec: &Exec) -> bool {
    !exec.argv.iter().any(|arg| arg == b"DENYME")
}

promise!(arguments_that_change_after_the_verdict_never_run, || {
    race("argv", harmless_arguments);
});

pub fn harmless_script(exec: &Exec) -> bool {
    !exec.script.as_ref().is_some_and(|script| script.bytes.windows(7).any(|text| text == b"exit 20"))
}

promise!(a_script_that_is_exchanged_after_the_verdict_never_runs, || {
    race("shebang", harmless_script);
});

promise!(a_script_that_is_rewritten_under_its_interpreter_never_runs, || {
    race("shell", harmless_script);
});

fn is(exec: &Exec, program: &str) -> bool {
    static KNOWN: Mutex<BTreeMap<String, [u8; 32]>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap();
    let digest = known.entry(program.to_owned()).or_insert_with(|| Sha256::digest(std::fs::read(program).unwrap()).into());
    exec.program.sha256 == *digest
}

promise!(a_binary_that_is_exchanged_after_the_verdict_never_runs, || {
    race("binary", |exec| !is(exec, "/bin/false"));
});

// Its times do not move, so that what is remembered by them is wrong; the exec stop reads it anew.
promise!(a_binary_that_was_written_through_a_mapping_is_not_taken_for_what_it_was, || {
    race("mapped", |exec| !exec.path.ends_with(b"/job") || is(exec, "/bin/true"));
});
