//! What the judge sees of an exec, and what never comes before it.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;

use marque_sandbox::exec::limits::{ARGV_BYTES_MAX, ENV_BYTES_MAX, INTERPRETERS_MAX, LINKS_MAX, PARENTS_MAX, SCRIPT_BYTES_MAX};
use marque_sandbox::exec::{Baseline, Denial, Held, Kind, Outcome, Settings, Stdin, Verdict};

use crate::world::promise;
use crate::session::{ALLOW, Book, PROBE, command, probe, run, settings, start, text};

promise!(a_denied_program_does_not_start_and_its_caller_is_told_why, || {
    let book = Book::new(|exec| {
        if exec.path == b"/bin/true" { Verdict::Deny(Denial::because("`true` needs a grant; ask for `exec:true`")) } else { ALLOW }
    });
    let output = run(&book, command("/bin/sh", &["-c", "/bin/true; echo $?"]));
    assert_eq!(text(&output.stdout), "126\n");
    let told = text(&output.stderr);
    assert!(told.starts_with("marque: `true` needs a grant; ask for `exec:true`\n"), "{told}");
    assert!(told.contains("Operation not permitted") || told.contains("Permission denied"), "{told}");
    let control = run(&Book::allowing(), command("/bin/sh", &["-c", "/bin/true; echo $?"]));
    assert_eq!(text(&control.stdout), "0\n");
});

promise!(what_is_not_there_is_answered_without_the_judge, || {
    let book = Book::allowing();
    let mut sh = command("/bin/sh", &["-c", "/nowhere/x; echo $?; cd / && ./etc/passwd; echo $?; /etc; echo $?; exec env true"]);
    sh.env("PATH", "/nowhere:/nothing:/also/nothing:/usr/bin:/bin");
    let output = run(&book, sh);
    assert_eq!(text(&output.stdout), "127\n126\n126\n");
    let paths: Vec<_> = book.seen().iter().map(|exec| text(&exec.path)).collect();
    assert_eq!(paths, ["/bin/sh", "/usr/bin/env", "/usr/bin/true"]);
});

promise!(every_name_of_a_file_is_the_file, || {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/bin/true", &link).unwrap();
    std::os::unix::fs::symlink("link", directory.path().join("link-to-link")).unwrap();
    let script = "/proc/self/root/usr/bin/true x && /proc/thread-self/root/bin/true x && /proc/$$/root/bin/true x && \
        ./link x && ./link-to-link x && ../$(/usr/bin/basename $PWD)/link x && /usr/bin/../bin/true x && cd /usr/bin && \
        /proc/self/cwd/true x && exec 3</usr/bin/true && /proc/self/fd/3 x && /dev/fd/3 x && echo all";
    let book = Book::allowing();
    let mut sh = command("/bin/sh", &["-c", script]);
    sh.current_dir(directory.path());
    let output = run(&book, sh);
    assert_eq!(text(&output.stdout), "all\n", "{}", text(&output.stderr));
    let file = std::fs::metadata("/bin/true").unwrap();
    let seen = book.seen();
    let same = seen.iter().filter(|exec| exec.argv.count == 2 && exec.argv.iter().nth(1) == Some(b"x")).inspect(|exec| {
        assert_eq!((exec.program.dev, exec.program.ino), (file.dev(), file.ino()), "{}", text(&exec.path));
    });
    assert_eq!(same.count(), 10);
    assert_eq!(book.tampered(), 0);
});

promise!(a_program_that_lies_in_no_directory_is_denied, || {
    assert_eq!(probe(&["memfd", "/bin/true"]).status().unwrap().code(), Some(0), "the control runs");
    let book = Book::allowing();
    let output = run(&book, probe(&["memfd", "/bin/true"]));
    assert_eq!(text(&output.stdout), "errno 1\n");
    assert_eq!(book.refused.lock().unwrap().len(), 1);
    assert!(text(&output.stderr).contains("lies in no directory"));
    // A file on disk may be named by its descriptor.
    assert_eq!(run(&Book::allowing(), probe(&["descriptor", "/bin/true"])).status.code(), Some(0));
});

promise!(a_deleted_program_is_denied, || {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy("/bin/true", directory.path().join("x")).unwrap();
    let mut sh = command("/bin/sh", &["-c", "exec 3<x; rm x; /proc/self/fd/3; echo $?"]);
    sh.current_dir(directory.path());
    assert_eq!(text(&run(&Book::allowing(), sh).stdout), "126\n");
});

promise!(a_thread_beside_the_first_may_exec, || {
    let book = Book::allowing();
    let output = run(&book, probe(&["thread", "/bin/echo", "from", "beside"]));
    assert_eq!(text(&output.stdout), "from beside\n", "{}", text(&output.stderr));
    let echo = book.of("/bin/echo");
    assert_ne!(echo.tid, echo.pid);
    assert!(book.became.lock().unwrap().contains(&Outcome::Started { pid: echo.pid }));
});

promise!(a_loader_that_is_started_as_a_program_is_seen_with_its_arguments, || {
    let loader = "/lib64/ld-linux-x86-64.so.2";
    let book = Book::allowing();
    assert_eq!(run(&book, command(loader, &["/bin/true", "--x"])).status.code(), Some(0));
    let seen = book.of("ld-linux-x86-64.so.2");
    assert_eq!(seen.argv.iter().map(text).collect::<Vec<_>>(), [loader, "/bin/true", "--x"]);
});

promise!(arguments_up_to_the_limit_are_whole_and_beyond_it_truncated, || {
    // One argument may be 128 KiB at most, so that it takes two.
    for (more, truncated) in [(0, false), (1, true)] {
        let book = Book::allowing();
        let first = "a".repeat(ARGV_BYTES_MAX / 2);
        let names = "/bin/true".len() + 1 + first.len() + 1 + 1;
        let second = "b".repeat(ARGV_BYTES_MAX - names + more);
        assert_eq!(run(&book, command("/bin/true", &[&first, &second])).status.code(), Some(0));
        let seen = book.of("/bin/true");
        assert_eq!((seen.argv.truncated, seen.argv.bytes.len()), (truncated, ARGV_BYTES_MAX));
        assert_eq!(seen.argv.count, if truncated { 2 } else { 3 });
        assert_eq!(book.tampered(), 0);
    }
});

promise!(an_environment_up_to_the_limit_is_whole_and_beyond_it_truncated, || {
    // As for arguments, one variable may be 128 KiB at most.
    for (more, truncated) in [(0, false), (1, true)] {
        let book = Book::allowing();
        let names = ["A", "B", "C"];
        let each = "x".repeat(ENV_BYTES_MAX / 3);
        let last = "x".repeat(ENV_BYTES_MAX - 2 * (each.len() + 3) - 3 + more);
        let mut program = command("/bin/true", &[]);
        program.env_clear().envs(names.into_iter().zip([&each, &each, &last]));
        assert_eq!(run(&book, program).status.code(), Some(0));
        let seen = book.of("/bin/true");
        assert_eq!((seen.env.truncated, seen.env.bytes.len(), seen.env.count), (truncated, ENV_BYTES_MAX, if truncated { 2 } else { 3 }));
        assert_eq!(book.tampered(), 0);
    }
});

promise!(so_many_interpreters_of_interpreters_are_followed_and_no_more, || {
    for (scripts, code) in [(INTERPRETERS_MAX, Some(0)), (INTERPRETERS_MAX + 1, None)] {
        let directory = tempfile::tempdir().unwrap();
        let mut interpreter = "/bin/true".to_owned();
        for number in 0..scripts {
            let path = directory.path().join(format!("script{number}"));
            std::fs::write(&path, format!("#!{interpreter}\n")).unwrap();
            make_executable(&path);
            interpreter = path.to_str().unwrap().to_owned();
        }
        let book = Book::allowing();
        let ran = start(command(&interpreter, &[]), &book, settings());
        assert_eq!((ran.is_ok(), book.seen().len()), (code.is_some(), usize::from(code.is_some())));
        match ran {
            Ok(session) => assert_eq!(session.finish().status.code(), code),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ELOOP)),
        }
        assert_eq!(book.tampered(), 0);
    }
});

promise!(so_many_links_are_followed_and_no_more, || {
    for (links, ends) in [(LINKS_MAX, None), (LINKS_MAX + 1, Some(libc::ELOOP))] {
        let directory = tempfile::tempdir().unwrap();
        // `/bin` may be a link itself.
        let mut target = std::path::Path::new("/bin/true").canonicalize().unwrap();
        for number in 0..links {
            let link = directory.path().join(format!("link{number}"));
            std::os::unix::fs::symlink(&target, &link).unwrap();
            target = link;
        }
        let last = target.file_name().unwrap().to_str().unwrap().to_owned();
        for path in [target.to_str().unwrap().to_owned(), format!("./{last}")] {
            let book = Book::allowing();
            let mut program = command(&path, &[]);
            program.current_dir(directory.path());
            let error = start(program, &book, settings()).map(|session| session.finish()).err();
            assert_eq!(error.and_then(|error| error.raw_os_error()), ends, "{path}");
            assert_eq!(book.tampered(), 0);
        }
    }
});

promise!(a_program_without_any_argument_gets_an_empty_one, || {
    let book = Book::allowing();
    let output = run(&book, probe(&["empty", &PROBE]));
    assert_eq!(book.tampered(), 0, "{:?}", output.status);
    assert_eq!(book.seen().last().unwrap().argv.count, 0);
});

promise!(arguments_that_cannot_be_read_are_not_taken_for_none, || {
    let control = probe(&["hidden"]).output().unwrap();
    assert!(control.status.success(), "the control needs memfd_secret: {}", text(&control.stderr));
    let book = Book::allowing();
    assert_eq!(text(&run(&book, probe(&["hidden"])).stdout), "errno 1\n");
    assert_eq!(*book.refused.lock().unwrap(), ["the arguments of the program cannot be read"]);
});

promise!(what_is_other_in_the_environment_is_seen, || {
    let baseline = Baseline::new([b"HOME=/root".as_slice(), b"TERM=dumb"]);
    let book = Book::allowing();
    let mut sh = command("/bin/sh", &["-c", "export PAGER='sh -c x'; unset TERM; exec /bin/true"]);
    sh.env_clear().envs([("HOME", "/root"), ("TERM", "dumb")]);
    start(sh, &book, Settings { baseline, ..settings() }).unwrap().finish();
    let changed = &book.of("/bin/true").env_changed;
    assert!(changed.contains(&(b"PAGER".to_vec(), Some(b"sh -c x".to_vec()))));
    assert!(changed.contains(&(b"TERM".to_vec(), None)));
    assert!(!changed.iter().any(|(name, _)| name == b"HOME"));
    assert!(book.of("/bin/sh").env_changed.is_empty());
});

promise!(a_script_is_seen_with_its_bytes_its_line_and_its_caller, || {
    let directory = tempfile::tempdir().unwrap();
    let job = directory.path().join("job.sh");
    std::fs::write(&job, "#!/bin/sh -eu\necho \"$0 $1\"\n").unwrap();
    make_executable(&job);
    let book = Book::allowing();
    let mut sh = command("/bin/sh", &["-c", "echo x | ./job.sh one; exit 0"]);
    sh.current_dir(directory.path());
    let output = run(&book, sh);
    assert_eq!(text(&output.stdout), "./job.sh one\n", "{}", text(&output.stderr));
    let seen = book.of("./job.sh");
    let script = seen.script.as_ref().unwrap();
    assert_eq!(text(&script.bytes), "#!/bin/sh -eu\necho \"$0 $1\"\n");
    assert_eq!((seen.kind, script.held, script.truncated), (Kind::Script, Held::Given, false));
    assert_eq!(seen.stdin, Stdin::Stream);
    assert_eq!(text(&seen.cwd), directory.path().to_str().unwrap());
    assert_ne!(seen.binary, seen.program);
    assert_eq!(book.tampered(), 0);
});

promise!(a_script_longer_than_is_read_is_not_held, || {
    for (len, held) in [(SCRIPT_BYTES_MAX, Held::Given), (SCRIPT_BYTES_MAX + 1, Held::No)] {
        let directory = tempfile::tempdir().unwrap();
        let job = directory.path().join("job");
        let mut bytes = b"exit 7\n#".to_vec();
        bytes.resize(len, b'x');
        std::fs::write(&job, bytes).unwrap();
        let book = Book::allowing();
        let output = run(&book, command("/bin/sh", &[job.to_str().unwrap()]));
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(book.of("/bin/sh").script.as_ref().unwrap().held, held);
    }
});

promise!(a_script_on_a_pipe_is_seen_to_be_unknown, || {
    let directory = tempfile::tempdir().unwrap();
    let book = Book::allowing();
    let script = "mkfifo fifo; echo 'exit 5' > fifo & /bin/bash fifo; echo $?; /bin/bash <(echo exit 6); echo $?; echo exit 7 | /bin/sh; echo $?";
    let mut bash = command("/bin/bash", &["-c", script]);
    bash.current_dir(directory.path());
    let output = run(&book, bash);
    assert_eq!(text(&output.stdout), "5\n6\n7\n", "{}", text(&output.stderr));
    let seen = book.seen();
    let scripts: Vec<_> = seen.iter().filter(|exec| exec.path == b"/bin/bash").filter_map(|exec| exec.script.as_ref()).collect();
    assert_eq!(scripts.len(), 2, "the fifo and the substitution");
    assert!(scripts.iter().all(|script| script.held == Held::No && script.bytes.is_empty()), "{scripts:?}");
    let sh = book.of("/bin/sh");
    assert!(sh.script.is_none() && sh.stdin == Stdin::Stream);
});

promise!(a_file_that_is_no_program_is_judged_for_what_a_shell_makes_of_it, || {
    let directory = tempfile::tempdir().unwrap();
    let job = directory.path().join("job");
    std::fs::write(&job, "echo from a file\n").unwrap();
    make_executable(&job);
    let path = job.to_str().unwrap().to_owned();
    let book = Book::allowing();
    let output = run(&book, command("/bin/sh", &["-c", &path]));
    assert_eq!(text(&output.stdout), "from a file\n");
    assert_eq!(book.of("/job").kind, Kind::Other);
    assert!(book.became.lock().unwrap().contains(&Outcome::Failed));
    let denying = Book::new(|exec| if exec.kind == Kind::Other { Verdict::Deny(Denial::because("no")) } else { ALLOW });
    assert_eq!(text(&run(&denying, command("/bin/sh", &["-c", &path])).stdout), "");
});

promise!(a_process_that_cannot_be_looked_into_starts_nothing_unless_root_looks, || {
    let book = Book::allowing();
    let output = run(&book, probe(&["undumpable", "/bin/true"]));
    if rustix::process::geteuid().is_root() {
        assert_eq!(output.status.code(), Some(0));
    } else {
        assert_eq!(text(&output.stdout), "errno 1\n");
    }
});

promise!(a_verdict_is_remembered_until_it_is_forgotten, || {
    let book = Book::new(|_| Verdict::Allow { remember: true });
    let mut sh = command("/bin/sh", &["-c", "for i in 1 2 3; do /bin/true; done; /bin/true other; read x; /bin/true"]);
    sh.stdin(std::process::Stdio::piped());
    let (tell, events) = std::sync::mpsc::channel();
    *book.event.lock().unwrap() = Some(tell);
    let mut session = start(sh, &book, settings()).unwrap();
    let mut ran = 0;
    while ran < 5 {
        ran += usize::from(events.recv().unwrap() == "became");
    }
    assert_eq!(book.seen().len(), 3, "the shell, `true`, and `true other`");
    session.judged.handle().forget();
    std::io::Write::write_all(&mut session.judged.child().stdin.take().unwrap(), b"\n").unwrap();
    session.finish();
    assert_eq!(book.seen().len(), 4);
});

promise!(many_execs_at_once_all_run, || {
    let book = Book::allowing();
    let output = run(&book, probe(&["many", "64", "/bin/true"]));
    assert_eq!(text(&output.stdout), "failed 0\n", "{}", text(&output.stderr));
    assert_eq!(book.seen().len(), 65);
});

promise!(without_its_supervisor_nothing_starts, || {
    use std::io::{BufRead, BufReader, Write};
    for killed in [false, true] {
        let mut supervisor = probe(&["supervise", &PROBE, "wait-then", "/bin/true"]);
        supervisor.stdin(std::process::Stdio::piped());
        let mut supervisor = supervisor.spawn().unwrap();
        let mut lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
        let _ready = lines.next().unwrap().unwrap();
        let mut to = supervisor.stdin.take().unwrap();
        if killed {
            supervisor.kill().unwrap();
            // The kill must have come first.
            supervisor.wait().unwrap();
        }
        to.write_all(b"\n").unwrap();
        let said = lines.next().map(Result::unwrap);
        // Without the kill it became `true`, which says nothing.
        assert_eq!(said, killed.then(|| format!("errno {}", libc::ENOSYS)));
        // Without the kill it ends by itself once its session has.
        supervisor.wait().unwrap();
    }
});

promise!(a_command_that_may_not_start_is_an_error_to_whoever_starts_it, || {
    let book = Book::new(|_| Verdict::Deny(Denial::because("no")));
    let error = start(command("/bin/true", &[]), &book, settings()).map(|_| ()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
});

promise!(parents_are_named, || {
    let (tell, got) = std::sync::mpsc::channel();
    let book = Book::new(move |exec| {
        tell.send(exec.parents()).unwrap();
        ALLOW
    });
    let output = run(&book, command("/bin/sh", &["-c", "/bin/true; exit 0"]));
    assert_eq!(output.status.signal(), None);
    let parents = got.iter().nth(1).unwrap();
    assert_eq!(text(&parents[0].name), "sh");
    assert!(parents.iter().any(|parent| parent.pid == std::process::id() as i32));
    // Shells in shells, more than are named.
    let nest = "[ $1 -eq 0 ] && /bin/true && exit 0; /bin/sh -c \"$0\" \"$0\" $(($1 - 1)); exit $?";
    assert_eq!(run(&book, command("/bin/sh", &["-c", nest, nest, &PARENTS_MAX.to_string()])).status.code(), Some(0));
    assert_eq!(got.try_iter().last().unwrap().len(), PARENTS_MAX);
});

pub fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
