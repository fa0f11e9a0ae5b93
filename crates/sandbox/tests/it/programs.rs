//! Programs that people use work through the gate.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex};

use marque_sandbox::exec::limits::WATCHES_MAX;
use marque_sandbox::exec::{Held, Outcome};

use crate::execs::make_executable;
use crate::world::promise;
use crate::session::{ALLOW, Book, command, run, settings, start, text};

fn needed(program: &str) -> String {
    let path = std::env::var("PATH").unwrap();
    let found = path.split(':').map(|directory| format!("{directory}/{program}")).find(|path| Path::new(path).exists());
    found.unwrap_or_else(|| panic!("`{program}` is needed for this test"))
}

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    make_executable(&path);
    path.to_str().unwrap().to_owned()
}

/// Runs a script both ways: by its `#!` line and as an argument of its interpreter.
fn script(line: &str, body: &str, interpreter: &[&str], expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "job", &format!("#!{line}\n{body}"));
    let book = Book::allowing();
    let output = run(&book, command(&path, &["one", "two"]));
    assert_eq!(text(&output.stdout), expected, "{line}: {:?} {:?} {}", output.status, book.became, text(&output.stderr));
    assert_eq!(book.tampered(), 0);
    let book = Book::allowing();
    let args: Vec<&str> = interpreter[1..].iter().copied().chain([path.as_str(), "one", "two"]).collect();
    let output = run(&book, command(interpreter[0], &args));
    assert_eq!(text(&output.stdout), expected, "{interpreter:?}: {:?} {:?} {}", output.status, book.became, text(&output.stderr));
    assert_eq!(book.tampered(), 0);
    let seen = book.seen();
    let last = seen.iter().rev().find_map(|exec| exec.script.as_ref()).unwrap();
    assert_eq!(last.held, Held::Given, "{interpreter:?}");
    assert!(text(&last.bytes).ends_with(body));
}

promise!(scripts_of_shells_run_from_what_was_judged, || {
    let body = "f() { echo \"$#\" \"$(basename \"$0\")\"; }\nf \"$@\"\n/bin/true && echo \"$1\"\n";
    for shell in ["dash", "bash", "zsh"] {
        let path = needed(shell);
        // In a function zsh's `$0` is the function.
        let name = if shell == "zsh" { "f" } else { "job" };
        script(&path, body, &[&path], &format!("2 {name}\none\n"));
    }
    let busybox = needed("busybox");
    script(&format!("{busybox} sh"), body, &[&busybox, "sh"], "2 job\none\n");
});

promise!(scripts_of_interpreters_run_from_what_was_judged_and_know_their_place, || {
    let python = "import sys, os\nprint(len(sys.argv), os.path.basename(__file__), os.path.isdir(sys.path[0]))\n";
    script("/usr/bin/python3", python, &["/usr/bin/python3", "-u"], "3 job True\n");
    let node = "const path = require('path');\nconsole.log(process.argv.length, path.basename(__filename));\n";
    script(&needed("node"), node, &[&needed("node"), "--no-warnings"], "4 job\n");
    script("/usr/bin/perl", "print scalar(@ARGV), \"\\n\";\n", &["/usr/bin/perl", "-w"], "2\n");
});

promise!(a_module_of_node_runs_from_what_was_judged, || {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "job.mjs", "import fs from 'fs';\nconsole.log(typeof fs.readFileSync);\n");
    let book = Book::allowing();
    let output = run(&book, command(&needed("node"), &[&path]));
    assert_eq!(text(&output.stdout), "function\n", "{}", text(&output.stderr));
    assert_eq!(book.seen().last().unwrap().script.as_ref().unwrap().held, Held::Given);
});

promise!(so_many_interpreters_are_on_the_way_to_their_scripts_and_no_more, || {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "job", "exit 0\n");
    let pids = Arc::new(Mutex::new(Vec::new()));
    let stopped = Arc::clone(&pids);
    // Each is stopped before it comes to open its script.
    let book = Book::new(move |exec| {
        if exec.script.is_some() {
            assert_eq!(unsafe { libc::kill(exec.pid, libc::SIGSTOP) }, 0);
            stopped.lock().unwrap().push(exec.pid);
        }
        ALLOW
    });
    let mut shell = command("/bin/sh", &["-c", &format!("i=0; while [ $i -le {WATCHES_MAX} ]; do /bin/sh job & i=$((i+1)); done; wait")]);
    shell.current_dir(directory.path());
    let mut session = start(shell, &book, settings()).unwrap();
    let mut lines = BufReader::new(session.judged.child().stderr.take().unwrap()).lines();
    let told = lines.next().unwrap().unwrap();
    assert_eq!(told, "marque: too many interpreters are on the way to their scripts; try again");
    let pids = pids.lock().unwrap().clone();
    assert_eq!(pids.len(), WATCHES_MAX + 1);
    for pid in pids {
        // The one that was denied may be gone.
        let _ = unsafe { libc::kill(pid, libc::SIGCONT) };
    }
    session.finish();
    assert!(!lines.any(|line| line.unwrap().contains("too many interpreters")));
    let started = book.became.lock().unwrap().iter().filter(|outcome| matches!(outcome, Outcome::Started { .. })).count();
    assert_eq!((started, book.tampered()), (WATCHES_MAX + 1, 0), "the shell, and those that may");
});

promise!(a_script_behind_env_is_judged_with_the_program_that_reads_it, || {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), "job", "#!/usr/bin/env bash\necho \"$1\"\n");
    let book = Book::allowing();
    assert_eq!(text(&run(&book, command(&path, &["one"])).stdout), "one\n");
    let held: Vec<Held> = book.seen().iter().filter_map(|exec| exec.script.as_ref().map(|script| script.held)).collect();
    assert_eq!(held, [Held::Again, Held::Given]);
});

promise!(an_interpreter_may_be_a_script_itself, || {
    let directory = tempfile::tempdir().unwrap();
    let outer = write(directory.path(), "outer", "#!/bin/sh -e\necho outer \"$#\" \"$(basename \"$1\")\"\n");
    let path = write(directory.path(), "job", &format!("#!{outer}\nnothing\n"));
    let book = Book::allowing();
    let output = run(&book, command(&path, &["one"]));
    assert_eq!(text(&output.stdout), "outer 2 job\n", "{}", text(&output.stderr));
    assert_eq!(book.tampered(), 0);
});

promise!(python_starts_programs_from_eight_threads, || {
    let body = "import subprocess, concurrent.futures as f\n\
        go = lambda n: subprocess.run(['/bin/echo', str(n)], capture_output=True, check=True).stdout\n\
        with f.ThreadPoolExecutor(8) as pool: print(sum(int(x) for x in pool.map(go, range(64))))\n\
        try: subprocess.run(['/nowhere'])\nexcept FileNotFoundError: print('not found')\n";
    let book = Book::allowing();
    let output = run(&book, command("/usr/bin/python3", &["-c", body]));
    assert_eq!(text(&output.stdout), "2016\nnot found\n", "{}", text(&output.stderr));
    assert_eq!((book.seen().len(), book.tampered()), (65, 0));
});

promise!(node_starts_programs, || {
    let body = "const {execFile} = require('child_process'); let left = 16;\n\
        for (let n = 0; n < 16; n++) execFile('/bin/echo', [String(n)], (e, out) => { if (e) throw e; if (!--left) console.log('all'); });";
    let book = Book::allowing();
    let output = run(&book, command(&needed("node"), &["-e", body]));
    assert_eq!(text(&output.stdout), "all\n", "{}", text(&output.stderr));
    assert_eq!(book.seen().iter().filter(|exec| exec.path == b"/bin/echo").count(), 16);
});

promise!(make_builds_in_parallel, || {
    let directory = tempfile::tempdir().unwrap();
    let rules: String = (0..12).map(|n| format!("out{n}: src{n}.c\n\t@gcc -c -o $@ $< && test -s $@\n")).collect();
    let all: String = (0..12).map(|n| format!(" out{n}")).collect();
    write(directory.path(), "Makefile", &format!("all:{all}\n\t@echo built\n{rules}"));
    for n in 0..12 {
        write(directory.path(), &format!("src{n}.c"), &format!("int f{n}(void) {{ return {n}; }}\n"));
    }
    needed("gcc");
    let book = Book::allowing();
    let output = run(&book, command(&needed("make"), &["-j4", "-s", "-C", directory.path().to_str().unwrap()]));
    assert_eq!(text(&output.stdout), "built\n", "{}", text(&output.stderr));
    assert!(book.seen().iter().filter(|exec| exec.path.ends_with(b"cc1")).count() == 12);
    assert_eq!(book.tampered(), 0);
});
