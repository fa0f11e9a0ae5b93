//! Unix sockets of the host: by path, by abstract name, by a descriptor that was left open.

use crate::world::{World, is_root, promise, script, start};
use marque_sandbox::Step;
use marque_sandbox::limits::HIDES;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

const ATTACK: &str = "def reach(path):\n    s = socket.socket(socket.AF_UNIX); s.connect(path); return 'reached'\n";

/// Tries a socket of the host from outside, where it answers, and from inside.
fn unreachable(world: &World, path: &str, expected: &str) {
    let attack = script(&format!("{ATTACK}attempt(lambda: reach({path}))"));
    assert_eq!(world.outside(&attack), "reached\n", "the control");
    assert_eq!(world.inside(&attack).text, format!("{expected}\n"));
}

fn at(path: &Path) -> (UnixListener, String) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    (UnixListener::bind(path).unwrap(), format!("{:?}", path.display().to_string()))
}

promise!(an_abstract_socket_of_the_host_is_unreachable, || {
    let world = World::new();
    let name = format!("marque-it-{}", std::process::id());
    let _host = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    unreachable(&world, &format!("'\\0{name}'"), "ECONNREFUSED");
});

promise!(an_ssh_agent_in_the_temporary_directory_is_unreachable, || {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (_host, path) = at(&dir.path().join("ssh-agent/agent.1"));
    unreachable(&world, &path, "ENOENT");
});

promise!(sockets_of_the_home_are_unreachable, || {
    let world = World::new();
    for name in [".gnupg/S.gpg-agent", ".ssh/control", ".docker/run/docker.sock", ".local/share/marque/control.sock"] {
        let (_host, path) = at(&world.home.join(name));
        unreachable(&world, &path, "ENOENT");
    }
});

promise!(a_socket_of_the_host_in_the_workspace_is_unreachable, || {
    let world = World::new();
    let (_host, path) = at(&world.workspace.join(".git/fsmonitor--daemon.ipc"));
    unreachable(&world, &path, "ECONNREFUSED");
});

promise!(so_many_sockets_of_a_workspace_are_hidden_and_no_more, || {
    let world = World::new();
    let bind = |index: usize| UnixListener::bind(world.workspace.join(format!("s{index}"))).unwrap();
    let _first: Vec<_> = (0..HIDES).map(bind).collect();
    let count = script(&format!("{ATTACK}for i in range({HIDES}):\n    attempt(lambda: reach('s%d' % i))"));
    assert_eq!(world.inside(&count).text, "ECONNREFUSED\n".repeat(HIDES));
    let _one_more = bind(HIDES);
    let error = marque_sandbox::spawn(world.plan("")).map(drop).unwrap_err();
    assert_eq!((error.step, error.errno), (Step::Plan, rustix::io::Errno::TOOBIG));
});

promise!(docker_d_bus_and_whatever_else_the_host_runs_are_not_there, || {
    let world = World::new();
    let list = "print(sorted(os.listdir('/run')), os.listdir('/run/user/%d' % os.getuid()))\n\
                for p in ('/var/run/docker.sock', '/run/docker.sock', '/run/dbus/system_bus_socket', '/run/systemd/private'):\n    attempt(lambda: os.stat(p))";
    let done = world.inside(&script(list));
    assert_eq!(done.text, "['user'] []\nENOENT\nENOENT\nENOENT\nENOENT\n");
    if is_root() {
        let (_host, path) = at(Path::new(&format!("/run/marque-it-{}.sock", std::process::id())));
        unreachable(&world, &path, "ENOENT");
        std::fs::remove_file(format!("/run/marque-it-{}.sock", std::process::id())).unwrap();
    }
});

promise!(sockets_that_the_agent_makes_itself_work, || {
    let text = r#"
for path in (os.path.join(os.getcwd(), 's'), '/tmp/s', '\0own'):
    l = socket.socket(socket.AF_UNIX); l.bind(path); l.listen()
    attempt(lambda: reach(path))
"#;
    assert_eq!(World::new().inside(&script(&format!("{ATTACK}{text}"))).text, "reached\nreached\nreached\n");
});

promise!(no_descriptor_but_those_that_were_handed_over_is_open, || {
    let world = World::new();
    let secret = world.write("secret", "s");
    // Without close-on-exec: left open by a careless caller.
    let left = std::fs::File::open(&secret).unwrap();
    rustix::io::fcntl_setfd(&left, rustix::io::FdFlags::empty()).unwrap();
    let handed = std::fs::File::open(world.write("work/handed", "handed")).unwrap();
    let list = "def is_open(n):\n    try:\n        os.fstat(n); return True\n    except OSError:\n        return False\n\
                print([n for n in range(4096) if is_open(n)], os.read(7, 6))";
    let mut plan = world.plan(&script(list));
    plan.descriptors.push((7, handed.into()));
    assert_eq!(start(plan).done().text, "[0, 1, 2, 7] b'handed'\n");
});
