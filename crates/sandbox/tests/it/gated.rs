//! The exec gate of a sandbox: what people use works through it, and nothing passes it.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use marque_sandbox::bpf::{Action, Program, Rule};
use marque_sandbox::exec::{Answer, Denial, Exec, Held, Outcome, Verdict, hook, question};
use marque_sandbox::{Exit, Grade, Plan, SpawnError, Step, Supervisor, probe, spawn};
use rustix::io::Errno;

use crate::races::{harmless_arguments, harmless_script, read_ends};
use crate::session::{ALLOW, Book, PROBE, settings, text};
use crate::world::{Done, World, promise, start};

/// A plan of a command, judged by the book.
fn plan(world: &World, book: &Arc<Book>, command: &[&str]) -> Plan {
    let judge = Arc::clone(book);
    let (hook, _handle) = hook(settings(), judge).unwrap();
    let arguments = command.iter().map(Into::into).collect();
    Plan { program: command[0].into(), arguments, hook: Some(hook), ..world.plan("") }
}

fn inside(world: &World, book: &Arc<Book>, command: &[&str]) -> Done {
    start(plan(world, book, command)).done()
}

fn denying(program: &'static str) -> Arc<Book> {
    Book::new(move |exec| if exec.path.ends_with(program.as_bytes()) { Verdict::Deny(Denial::because("this one needs a grant; ask for `exec:it`")) } else { ALLOW })
}

promise!(shells_python_git_and_make_work_in_a_sandbox_whose_execs_are_judged, || {
    let world = World::new();
    world.write("work/Makefile", "all: one two\n\t@echo made\none two:\n\t@gcc -x c -c -o $@.o $@.c && echo built $@\n");
    world.write("work/one.c", "int one;\n");
    world.write("work/two.c", "int two;\n");
    world.write("work/job.py", "import subprocess\nprint(subprocess.check_output(['/bin/echo', 'python'], text=True), end='')\n");
    world.write(
        "work/job.sh",
        "set -e\ndash -c 'echo dash; exit 0'\npython3 job.py\ngit init -q .\ngit -c user.name=a -c user.email=a@b commit -q --allow-empty -m commit\n\
         git log --format=%s\nmake -s\n",
    );
    let book = Book::allowing();
    let done = inside(&world, &book, &["/bin/bash", "job.sh"]);
    assert_eq!((done.text.as_str(), done.exit), ("dash\npython\ncommit\nbuilt one\nbuilt two\nmade\n", Exit::Code(0)));
    assert_eq!(book.tampered(), 0);
    let seen = book.seen();
    for name in ["bash", "dash", "python3", "echo", "git", "make", "gcc", "cc1"] {
        let ends = format!("/{name}");
        assert!(seen.iter().any(|exec| exec.path.ends_with(ends.as_bytes())), "`{name}` was not judged");
    }
    let script = book.of("/python3").script.clone().unwrap();
    assert_eq!((script.held, script.path.as_slice()), (Held::Given, b"job.py".as_slice()));
});

promise!(a_denied_program_of_a_sandbox_does_not_start_and_its_caller_is_told_why, || {
    let (world, book) = (World::new(), denying("/true"));
    let done = inside(&world, &book, &["/bin/sh", "-c", "/bin/true; echo $?"]);
    assert!(done.text.starts_with("marque: this one needs a grant; ask for `exec:it`\n"), "{}", done.text);
    assert!(done.text.contains("not permitted") || done.text.contains("denied"), "{}", done.text);
    assert!(done.text.ends_with("126\n"), "{}", done.text);
});

promise!(an_agent_that_is_denied_itself_is_an_error_of_the_execution, || {
    let (world, book) = (World::new(), denying("/true"));
    let (supervisor, _inside) = spawn(plan(&world, &book, &["/bin/true"])).unwrap();
    let error = supervisor.running().unwrap_err();
    assert_eq!((error.step, error.errno), (Step::Execute, Errno::PERM));
    assert_eq!(supervisor.wait(), Exit::Ended);
});

promise!(a_program_waits_for_its_late_approval_while_others_run, || {
    let world = World::new();
    let (asked, questions) = channel();
    let asked = Mutex::new(asked);
    let book = Book::new(move |exec| {
        if !exec.path.ends_with(b"/true") {
            return ALLOW;
        }
        let (pending, resolver) = question();
        asked.lock().unwrap().send(resolver).unwrap();
        Verdict::Ask(pending)
    });
    let script = "/bin/true & /bin/echo others; wait $!; echo $?";
    let mut running = start(plan(&world, &book, &["/bin/sh", "-c", script]));
    let resolver = questions.recv().unwrap();
    assert_eq!(running.line(), "others");
    assert!(resolver.is_waiting());
    assert!(resolver.resolve(Answer::Allow));
    assert_eq!(running.done().text, "0\n");
});

promise!(a_question_of_a_sandbox_that_ended_is_withdrawn, || {
    let world = World::new();
    let (asked, questions) = channel();
    let asked = Mutex::new(asked);
    let book = Book::new(move |_| {
        let (pending, resolver) = question();
        asked.lock().unwrap().send(resolver).unwrap();
        Verdict::Ask(pending)
    });
    let (supervisor, _inside) = spawn(plan(&world, &book, &["/bin/true"])).unwrap();
    let resolver = questions.recv().unwrap();
    assert!(resolver.is_waiting());
    supervisor.kill();
    assert_eq!(supervisor.wait(), Exit::Ended);
    assert!(supervisor.running().is_err());
    assert!(!resolver.resolve(Answer::Allow));
    assert_eq!(book.withdrawn.lock().unwrap().len(), 1);
});

/// A race in a sandbox, which shows the probe.
fn race(what: &str, harmless: fn(&Exec) -> bool) {
    let world = World::new();
    let book = Book::new(move |exec| if harmless(exec) { ALLOW } else { Verdict::Deny(Denial::because("not this one")) });
    let work = world.workspace.to_str().unwrap();
    let mut plan = plan(&world, &book, &[&PROBE, "race", what, "100", work]);
    plan.files.shown.push(PROBE.as_str().into());
    let done = start(plan).done();
    let line = done.text.lines().find(|line| line.starts_with("safe=")).unwrap_or_else(|| panic!("{}", done.text));
    let ends = read_ends(line);
    assert_eq!(ends.ran, 0, "{ends:?}");
    assert!(ends.safe > 0 && book.tampered() >= ends.killed, "{ends:?}");
}

promise!(arguments_that_change_after_the_verdict_never_run_in_a_sandbox, || race("argv", harmless_arguments));

promise!(a_script_that_is_exchanged_after_the_verdict_never_runs_in_a_sandbox, || race("shebang", harmless_script));

promise!(a_script_that_is_rewritten_under_its_interpreter_never_runs_in_a_sandbox, || race("shell", harmless_script));

/// How long so many execs take in a sandbox of their own.
fn execs(world: &World, count: usize) -> Duration {
    let book = Book::allowing();
    let script = format!("i=0; while [ $i -lt {count} ]; do /bin/true || exit 1; i=$((i+1)); done");
    let from = Instant::now();
    assert_eq!(inside(world, &book, &["/bin/sh", "-c", &script]).exit, Exit::Code(0));
    from.elapsed()
}

promise!(a_bomb_of_execs_does_not_stop_another_session_and_ends_with_its_own, || {
    let (world, other) = (World::new(), World::new());
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let book = Book::new(move |_| {
        let _enough = tell.lock().unwrap().send(());
        ALLOW
    });
    // Each process becomes the next program without end.
    let script = "import os\n\
        again = 'exec /bin/sh -c \"$0\" \"$0\"'\n\
        for _ in range(24):\n    if os.fork() == 0: os.execv('/bin/sh', ['sh', '-c', again, again])\n\
        os.wait()\n";
    let bomb = start(plan(&world, &book, &[crate::world::PYTHON, "-c", script]));
    assert_eq!(told.iter().take(200).count(), 200);
    let took = execs(&other, 20);
    // More were judged in the meantime: the bomb is still there.
    assert!(told.try_iter().count() > 0);
    assert!(took < Duration::from_secs(60), "{took:?}");
    bomb.supervisor.kill();
    assert_eq!(bomb.done().exit, Exit::Ended);
});

/// What comes of a start on a machine that refuses this call to supervisor and sandbox alike.
fn where_refused(number: libc::c_long, rule: Rule, world: &World, book: &Arc<Book>) -> (Grade, String, Result<Supervisor, SpawnError>) {
    let plan = plan(world, book, &["/bin/true"]);
    // Filters are the thread's, and of those that it makes.
    let tried = std::thread::spawn(move || {
        Program::new(&[(number, rule)]).unwrap().install().unwrap();
        let report = probe();
        (report.grade, report.to_string(), spawn(plan).map(|(supervisor, _inside)| supervisor))
    });
    tried.join().unwrap()
}

promise!(a_kernel_without_notifications_starts_nothing_and_says_so, || {
    let (world, book) = (World::new(), Book::allowing());
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32;
    let (grade, report, started) = where_refused(libc::SYS_seccomp, Rule::when_any(1, listener, Action::Errno(22)), &world, &book);
    assert_eq!(grade, Grade::C);
    assert!(report.contains("no seccomp notifications"), "{report}");
    let error = started.map(drop).unwrap_err();
    assert_eq!((error.step, error.errno), (Step::Hook, Errno::INVAL));
    assert!(error.to_string().starts_with("could not install the filters of the exec gate"), "{error}");
});

promise!(a_kernel_that_refuses_tracing_starts_nothing_and_says_so, || {
    let (world, book) = (World::new(), Book::allowing());
    let (grade, report, started) = where_refused(libc::SYS_ptrace, Rule::Is(Action::Errno(1)), &world, &book);
    assert_eq!(grade, Grade::C);
    assert!(report.contains("tracing is refused"), "{report}");
    let error = started.unwrap().running().unwrap_err();
    assert_eq!((error.step, error.errno), (Step::Execute, Errno::PERM));
    let became = book.became.lock().unwrap();
    assert!(matches!(became[..], [Outcome::Unverifiable(_)]), "{became:?}");
});

promise!(a_variable_that_the_agent_changed_is_seen_against_its_first_environment, || {
    let world = World::new();
    let book = Book::allowing();
    let mut plan = world.plan("");
    let environment: Vec<String> = plan.environment.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect();
    let baseline = marque_sandbox::exec::Baseline::new(environment.iter().map(String::as_bytes));
    let judge = Arc::clone(&book);
    let settings = marque_sandbox::exec::Settings { baseline, ..settings() };
    (plan.hook, plan.program) = (Some(hook(settings, judge).unwrap().0), "/usr/bin/env".into());
    plan.arguments = ["env", "GIT_SSH_COMMAND=x", "/bin/true"].map(Into::into).into();
    assert_eq!(start(plan).done().exit, Exit::Code(0));
    assert!(book.of("/usr/bin/env").env_changed.is_empty());
    let changed = &book.of("/bin/true").env_changed;
    assert_eq!(changed[..], [(b"GIT_SSH_COMMAND".to_vec(), Some(b"x".to_vec()))], "{}", text(&book.of("/bin/true").path));
});
