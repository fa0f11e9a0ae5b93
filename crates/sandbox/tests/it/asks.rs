//! Questions: only the thread that asks waits, and it waits once.

use std::process::Stdio;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use marque_sandbox::exec::limits::ASKS_MAX;
use marque_sandbox::exec::{Answer, Denial, Exec, Gates, Received, Resolver, Verdict, notifying, question, receive};

use crate::world::promise;
use crate::session::{ALLOW, Book, command, confine, output_of, probe, run, settings, start, text};

type Questions = Arc<Mutex<Vec<(Arc<Exec>, Resolver)>>>;

/// Asks about programs with this first argument, allows others.
fn asking(word: &'static str) -> (Arc<Book>, Questions, std::sync::mpsc::Receiver<()>) {
    let questions = Questions::default();
    let (tell, asked) = channel();
    let kept = Arc::clone(&questions);
    let book = Book::new(move |exec| {
        // The first argument, not any: the probe is given the words that it is to use.
        if exec.argv.iter().nth(1) != Some(word.as_bytes()) {
            return ALLOW;
        }
        let (pending, resolver) = question();
        kept.lock().unwrap().push((Arc::clone(exec), resolver));
        tell.send(()).unwrap();
        Verdict::Ask(pending)
    });
    (book, questions, asked)
}

fn alarm_is_pending(tid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() & (1 << (libc::SIGALRM - 1)) != 0
}

promise!(a_question_under_a_storm_of_signals_is_asked_once, || {
    let (book, questions, asked) = asking("--asked");
    let session = start(probe(&["storm", "/bin/true", "--asked"]), &book, settings()).unwrap();
    asked.recv().unwrap();
    let (exec, resolver) = questions.lock().unwrap().pop().unwrap();
    while !alarm_is_pending(exec.tid) {
        std::thread::yield_now();
    }
    for _ in 0..1_000 {
        assert_eq!(unsafe { libc::kill(exec.pid, libc::SIGALRM) }, 0);
    }
    assert!(resolver.is_waiting());
    assert!(resolver.resolve(Answer::Allow));
    session.finish();
    assert_eq!(book.seen().iter().filter(|exec| exec.path == b"/bin/true").count(), 1);
    assert!(questions.lock().unwrap().is_empty());
});

// The control: without `WAIT_KILLABLE_RECV` the same storm makes a call come again and again.
promise!(without_the_killable_wait_the_storm_asks_again_and_again, || {
    use std::io::{Read, Write};
    use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
    use std::os::unix::process::CommandExt;
    let mut command = probe(&["storm", "/bin/true", "--asked"]);
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let filter = notifying(Gates::Exec).unwrap();
    unsafe {
        command.pre_exec(move || {
            let fd = filter.install_with_listener(false)?;
            let told = [libc::getpid().to_ne_bytes(), fd.as_raw_fd().to_ne_bytes()];
            (&theirs).write_all(told.as_flattened())?;
            (&theirs).read_exact(&mut [0])
        })
    };
    let starter = std::thread::spawn(move || output_of(command.spawn().unwrap()));
    let mut told = [0; 8];
    ours.read_exact(&mut told).unwrap();
    let [child, number] = [&told[..4], &told[4..]].map(|half| i32::from_ne_bytes(half.try_into().unwrap()));
    let child = rustix::process::Pid::from_raw(child).unwrap();
    let pidfd = rustix::process::pidfd_open(child, rustix::process::PidfdFlags::empty()).unwrap();
    let fd = rustix::process::pidfd_getfd(&pidfd, number, rustix::process::PidfdGetfdFlags::empty()).unwrap();
    let listener = marque_sandbox::exec::Listener::new(fd).unwrap();
    ours.write_all(b"+").unwrap();
    let stop: OwnedFd = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)) };
    let mut calls = 0;
    while let Received::Call(call) = listener.receive(stop.as_fd()).unwrap() {
        calls += 1;
        // The first is the probe's own; later ones wait for the storm to take them away.
        if calls == 1 || calls > 4 {
            assert!(listener.allow(call.id) || calls > 4);
            continue;
        }
        while listener.valid(call.id) {
            std::thread::yield_now();
        }
    }
    starter.join().unwrap();
    assert!(calls > 4, "{calls}");
});

promise!(while_one_waits_others_run_and_are_judged, || {
    let (book, questions, asked) = asking("--asked");
    let script = "/bin/true --asked & for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true || exit 1; done; echo through; wait $!; echo $?";
    let mut command = command("/bin/sh", &["-c", script]);
    command.stdout(Stdio::piped());
    let mut session = start(command, &book, settings()).unwrap();
    asked.recv().unwrap();
    let mut line = [0; 8];
    std::io::Read::read_exact(session.judged.child().stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(&line, b"through\n");
    let (_, resolver) = questions.lock().unwrap().pop().unwrap();
    assert!(resolver.resolve(Answer::Allow));
    assert_eq!(text(&session.finish().stdout), "0\n");
});

promise!(an_answer_can_deny, || {
    let (book, questions, asked) = asking("--asked");
    let session = start(command("/bin/sh", &["-c", "/bin/true --asked; echo $?"]), &book, settings()).unwrap();
    asked.recv().unwrap();
    let (_, resolver) = questions.lock().unwrap().pop().unwrap();
    assert!(resolver.resolve(Answer::Deny(Denial::because("not today"))));
    let output = session.finish();
    assert_eq!(text(&output.stdout), "126\n");
    assert!(text(&output.stderr).starts_with("marque: not today\n"), "{}", text(&output.stderr));
});

promise!(a_question_whose_thread_is_gone_is_withdrawn_and_not_denied, || {
    let (book, questions, asked) = asking("--asked");
    let (tell, events) = channel();
    let session = start(command("/bin/sh", &["-c", "/bin/true --asked"]), &book, settings()).unwrap();
    asked.recv().unwrap();
    *book.event.lock().unwrap() = Some(tell);
    let (exec, resolver) = questions.lock().unwrap().pop().unwrap();
    assert_eq!(unsafe { libc::kill(exec.pid, libc::SIGKILL) }, 0);
    while events.recv().unwrap() != "withdrawn" {}
    assert!(!resolver.is_waiting());
    assert!(!resolver.resolve(Answer::Allow));
    assert_eq!(*book.withdrawn.lock().unwrap(), [exec.id]);
    session.finish();
});

promise!(as_many_questions_wait_as_may_and_one_more_is_denied, || {
    let (book, questions, asked) = asking("--asked");
    let script = format!("i=0; while [ $i -le {ASKS_MAX} ]; do /bin/true --asked & i=$((i+1)); done; wait");
    let session = start(command("/bin/sh", &["-c", &script]), &book, settings()).unwrap();
    for _ in 0..=ASKS_MAX {
        asked.recv().unwrap();
    }
    // One of them was turned away; the others wait until they are answered.
    loop {
        let waiting = questions.lock().unwrap().iter().filter(|(_, resolver)| resolver.is_waiting()).count();
        if waiting == ASKS_MAX {
            break;
        }
        std::thread::yield_now();
    }
    for (_, resolver) in questions.lock().unwrap().drain(..) {
        resolver.resolve(Answer::Allow);
    }
    let output = session.finish();
    assert_eq!(text(&output.stderr).matches("too many questions").count(), 1, "{}", text(&output.stderr));
    assert_eq!(book.withdrawn.lock().unwrap().len(), 1);
});

promise!(a_judge_who_breaks_denies, || {
    let book = Book::new(|exec| if exec.argv.iter().any(|arg| arg == b"--broken") { panic!("broken") } else { ALLOW });
    let output = run(&book, command("/bin/sh", &["-c", "/bin/true --broken; echo $?; /bin/true; echo $?"]));
    assert_eq!(text(&output.stdout), "126\n0\n");
});

promise!(nobody_to_answer_denies, || {
    let book = Book::new(|exec| if exec.argv.iter().any(|arg| arg == b"--asked") { Verdict::Ask(question().0) } else { ALLOW });
    let output = run(&book, command("/bin/sh", &["-c", "/bin/true --asked; echo $?"]));
    assert_eq!(text(&output.stdout), "126\n");
});

promise!(a_gate_that_is_stopped_leaves_nothing_running, || {
    let (book, questions, asked) = asking("--asked");
    let mut command = command("/bin/sh", &["-c", "/bin/true --asked; echo $?"]);
    command.stdin(Stdio::null());
    let ours = confine(&mut command);
    let gate = marque_sandbox::exec::ExecGate::new(settings()).unwrap();
    let handle = gate.handle();
    let judge = Arc::clone(&book);
    let runs = std::thread::spawn(move || gate.run(receive(&ours).unwrap(), &*judge).unwrap());
    let child = command.spawn().unwrap();
    asked.recv().unwrap();
    handle.stop();
    assert_eq!(runs.join().unwrap(), marque_sandbox::exec::Ended::Stopped);
    // ENOSYS: the shell says so and that it found no program to run.
    let output = output_of(child);
    assert!(text(&output.stderr).contains("not implemented"), "{}", text(&output.stderr));
    assert_ne!(text(&output.stdout), "0\n");
    assert_eq!(book.withdrawn.lock().unwrap().len(), 1);
    drop(questions);
});
