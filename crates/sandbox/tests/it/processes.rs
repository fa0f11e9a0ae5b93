//! Other processes: not seen, not traced, not signalled; and what the agent itself is left with.

use crate::world::{World, promise, script};
use marque_sandbox::limits::PID_MAX_LEAST;
use std::process::{Child, Command, Stdio};

struct Victim(Child);

impl Victim {
    fn new() -> Self {
        Self(Command::new("/usr/bin/sleep").arg("1000").env("CANARY", "canary").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

promise!(processes_of_the_host_are_not_seen_traced_or_signalled, || {
    let world = World::new();
    let victim = Victim::new();
    let pid = victim.0.id();
    let attack = script(&format!(
        "attempt(lambda: 'CANARY=canary' in open('/proc/{pid}/environ').read().split('\\0'))\n\
         attempt(lambda: call(libc.ptrace(0x4206, {pid}, 0, 0)))\nattempt(lambda: os.kill({pid}, 0))"
    ));
    assert_eq!(world.outside(&attack), "True\nok\nNone\n", "the control");
    assert_eq!(world.inside(&attack).text, "ENOENT\nESRCH\nESRCH\n");
});

promise!(the_sandboxs_own_first_process_is_neither_seen_nor_traced, || {
    let attack = script(
        r#"
print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()) == [os.getpid()])
for name in ('environ', 'mem', 'cmdline', 'maps'):
    attempt(lambda: open('/proc/1/' + name, 'rb').read(1))
attempt(lambda: os.readlink('/proc/1/root'))
attempt(lambda: call(libc.ptrace(0x4206, 1, 0, 0)))
buf = ctypes.create_string_buffer(8)
class iovec(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
one = iovec(ctypes.addressof(buf), 8)
attempt(lambda: call(libc.process_vm_readv(1, ctypes.byref(one), 1, ctypes.byref(one), 1, 0)))
attempt(lambda: os.kill(1, 9))
"#,
    );
    let text = World::new().inside(&attack).text;
    assert_eq!(text, "True\nENOENT\nENOENT\nENOENT\nENOENT\nENOENT\nEPERM\nEPERM\nEPERM\n");
});

promise!(the_agent_has_no_capability_and_can_get_none, || {
    let attack = script(
        r#"
status = dict(l.split(':\t', 1) for l in open('/proc/self/status').read().splitlines() if ':\t' in l)
print([int(status[k], 16) for k in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')], status['NoNewPrivs'], status['Groups'].split() if os.getuid() == 0 else [])
for flag in (0x10000000, 0x20000, 0x40000000):
    attempt(lambda: call(libc.unshare(flag)))
attempt(lambda: call(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)))
"#,
    );
    let text = World::new().inside(&attack).text;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "[0, 0, 0, 0, 0] 1 []");
    assert_eq!(lines[1], "ENOSPC", "no user namespace of its own");
    assert_eq!(lines[2..], ["EPERM"; 3]);
});

promise!(the_memory_of_another_process_of_the_sandbox_is_not_written, || {
    let world = World::new();
    let attack = script(
        r#"
pid = os.fork()
if pid == 0:
    import signal
    signal.pause()
attempt(lambda: open(f'/proc/{pid}/mem', 'r+b') and 'opened')
attempt(lambda: open('/proc/self/mem', 'r+b') and 'opened')
os.kill(pid, 9)
"#,
    );
    assert_eq!(world.outside(&attack), "opened\nopened\n", "the control");
    assert_eq!(world.inside(&attack).text, "EACCES\nEACCES\n");
});

promise!(a_sandbox_that_may_nest_makes_user_namespaces, || {
    let world = World::new();
    let mut plan = world.plan(&script("attempt(lambda: call(libc.unshare(0x10000000)))"));
    plan.nested = true;
    assert_eq!(crate::world::start(plan).done().text, "ok\n");
});

promise!(keys_of_the_session_that_started_it_are_out_of_reach, || {
    let world = World::new();
    // KEYCTL_JOIN_SESSION_KEYRING, then a key of the kind `user` in it; found again by a search from the session keyring.
    let outer = script(
        r#"
import subprocess
libc.syscall(250, 1, None)
key = libc.syscall(248, b'user', b'marque-it', b'canary', 6, -3)
attempt(lambda: call(libc.syscall(250, 10, -3, b'user', b'marque-it', 0)))
r = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
print(r.stdout.decode(), end='')
"#,
    );
    let inner = script("attempt(lambda: call(libc.syscall(250, 10, -3, b'user', b'marque-it', 0)))");
    let hold = crate::world::beside("hold");
    let out = Command::new(crate::world::PYTHON).args(["-c", &outer]).arg(hold).args([&world.home, &world.workspace]).args([crate::world::PYTHON, "-c", &inner]).output().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "ok\nENOKEY\n", "{}", String::from_utf8_lossy(&out.stderr));
});

promise!(a_fork_bomb_is_bounded_and_ends_with_the_sandbox, || {
    let world = World::new();
    let attack = script(
        r#"
count = 0
try:
    while True:
        if os.fork() == 0:
            import signal
            signal.pause()
        count += 1
except OSError as e:
    print(errno.errorcode[e.errno], count <= int(sys.argv[1]), flush=True)
"#,
    );
    // Root is bounded by process ids alone, of which a namespace has this many at least.
    for (processes, most) in [(512, 512), (64, PID_MAX_LEAST)] {
        let mut plan = world.plan(&attack);
        plan.arguments.push(most.to_string().into());
        plan.processes = processes;
        assert_eq!(crate::world::start(plan).done().text, "EAGAIN True\n");
    }
});
