//! Connections without a network namespace: whatever leaves a session leaves through the gateway.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};

use marque_sandbox::connect::limits::CONNECTS_MAX;
use marque_sandbox::connect::{Caller, Dial, Exchange};
use marque_sandbox::exec::Settings;

use crate::world::{is_root, promise};
use crate::session::{Book, command, probe, settings, start, text};

/// A gateway that says where it was asked to go, and repeats what it hears.
struct Gateway {
    at: SocketAddr,
    asked: Mutex<Vec<SocketAddr>>,
    refuse: Option<i32>,
}

impl Gateway {
    fn start(refuse: Option<i32>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(|| {
                    let mut stream = stream.unwrap();
                    let mut heard = String::new();
                    stream.read_to_string(&mut heard).unwrap();
                    stream.write_all(heard.as_bytes()).unwrap();
                });
            }
        });
        Arc::new(Self { at, asked: Mutex::default(), refuse })
    }
}

impl Dial for Gateway {
    fn dial(&self, _: Caller, to: SocketAddr) -> Result<OwnedFd, i32> {
        self.asked.lock().unwrap().push(to);
        if let Some(errno) = self.refuse {
            return Err(errno);
        }
        let mut stream = TcpStream::connect(self.at).unwrap();
        write!(stream, "<{to}>").unwrap();
        Ok(stream.into())
    }
}

fn within(gateway: &Arc<Gateway>, command: Command) -> Output {
    let book = Book::allowing();
    let dial: Arc<dyn Dial> = Arc::clone(gateway) as _;
    let settings = Settings { connections: Some(Exchange::new(dial)), ..settings() };
    start(command, &book, settings).unwrap().finish()
}

promise!(every_connection_ends_at_the_gateway_which_knows_where_it_was_meant_to_go, || {
    let gateway = Gateway::start(None);
    for to in ["169.254.169.254:80", "10.1.2.3:5432", "[2001:db8::1]:443", "127.0.0.1:9"] {
        let output = within(&gateway, probe(&["connect", to]));
        assert_eq!(text(&output.stdout), format!("<{to}>hello\n"), "{}", text(&output.stderr));
    }
    // What is listening on this host is not reached past it either.
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = host.local_addr().unwrap().to_string();
    assert_eq!(text(&within(&gateway, probe(&["connect", &to])).stdout), format!("<{to}>hello\n"));
    host.set_nonblocking(true).unwrap();
    assert_eq!(host.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    // The control: outside, it is.
    let direct = std::thread::spawn(move || probe(&["connect", &to]).output().unwrap());
    host.set_nonblocking(false).unwrap();
    drop(host.accept().unwrap());
    direct.join().unwrap();
});

promise!(the_gateways_refusal_is_the_connections, || {
    let gateway = Gateway::start(Some(libc::ECONNREFUSED));
    let output = within(&gateway, probe(&["connect", "10.1.2.3:22"]));
    assert_eq!(text(&output.stdout), format!("errno {}\n", libc::ECONNREFUSED));
});

promise!(what_needs_no_connect_is_refused, || {
    let gateway = Gateway::start(None);
    for (what, errno) in [
        ("udp", libc::EACCES),
        ("udp6", libc::EACCES),
        ("raw", libc::EACCES),
        ("datagram", libc::EACCES),
        ("sctp", libc::EPROTONOSUPPORT),
        ("mptcp", libc::EPROTONOSUPPORT),
        ("fastopen", libc::EOPNOTSUPP),
    ] {
        let output = within(&gateway, probe(&["socket", what]));
        assert_eq!(text(&output.stdout), format!("errno {errno}\n"), "{what}: {}", text(&output.stderr));
    }
    for what in ["tcp", "route"] {
        assert_eq!(text(&within(&gateway, probe(&["socket", what])).stdout), "made\n", "{what}");
    }
    // A raw socket is root's alone anyway.
    let controls = ["udp", "udp6", "datagram"].into_iter().chain(is_root().then_some("raw"));
    for what in controls {
        assert_eq!(text(&probe(&["socket", what]).output().unwrap().stdout), "made\n", "the control of {what}");
    }
    assert!(gateway.asked.lock().unwrap().is_empty());
});

promise!(a_unix_socket_is_reached_where_the_session_made_it, || {
    let gateway = Gateway::start(None);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let outside = UnixListener::bind(path("outside")).unwrap();
    outside.set_nonblocking(true).unwrap();
    std::os::unix::fs::symlink(path("outside"), path("link")).unwrap();
    for name in ["outside", "link"] {
        let output = within(&gateway, probe(&["unix", "connect", &path(name)]));
        assert_eq!(text(&output.stdout), format!("errno {}\n", libc::EACCES));
    }
    assert!(outside.accept().is_err());
    let output = within(&gateway, probe(&["unix", "bind", &path("inside")]));
    assert_eq!(text(&output.stdout), "connected true\n", "{}", text(&output.stderr));
    // One session's sockets are not another's.
    let output = within(&gateway, probe(&["unix", "connect", &path("inside")]));
    assert_eq!(text(&output.stdout), format!("errno {}\n", libc::EACCES));
    // The control.
    assert_eq!(text(&probe(&["unix", "connect", &path("outside")]).output().unwrap().stdout), "connected false\n");
});

promise!(clients_that_wait_in_loops_work_through_it, || {
    let gateway = Gateway::start(None);
    let body = "import asyncio\n\
        async def one(n):\n    r, w = await asyncio.open_connection('10.0.0.%d' % n, 7)\n    w.write(b'hi'); w.write_eof()\n    return await r.read()\n\
        async def main(): return await asyncio.gather(*map(one, range(1, 9)))\n\
        print(asyncio.run(main())[6].decode())\n";
    let output = within(&gateway, command("/usr/bin/python3", &["-c", body]));
    assert_eq!(text(&output.stdout), "<10.0.0.7:7>hi\n", "{}", text(&output.stderr));
    let body = "const s = require('net').connect(7, '10.0.0.7', () => s.end('hi')); s.on('data', d => process.stdout.write(d));";
    let output = within(&gateway, command("node", &["-e", body]));
    assert_eq!(text(&output.stdout), "<10.0.0.7:7>hi", "{}", text(&output.stderr));
});

/// A gateway that takes its time.
struct Slow {
    entered: Mutex<Sender<()>>,
    go: (Mutex<bool>, Condvar),
}

impl Dial for Slow {
    fn dial(&self, _: Caller, _: SocketAddr) -> Result<OwnedFd, i32> {
        self.entered.lock().unwrap().send(()).unwrap();
        let (go, told) = &self.go;
        drop(told.wait_while(go.lock().unwrap(), |go| !*go).unwrap());
        Err(libc::ECONNREFUSED)
    }
}

promise!(so_many_connections_are_made_at_once_and_no_more, || {
    let (entered, entries) = channel();
    let slow = Arc::new(Slow { entered: Mutex::new(entered), go: Default::default() });
    let body = format!(
        "import socket, threading, os\n\
         def one():\n    os.write(1, b'%d\\n' % socket.socket().connect_ex(('10.0.0.7', 7)))\n\
         for _ in range({CONNECTS_MAX} + 1): threading.Thread(target=one).start()\n"
    );
    let dial: Arc<dyn Dial> = Arc::clone(&slow) as _;
    let settings = Settings { connections: Some(Exchange::new(dial)), ..settings() };
    let mut session = start(command("/usr/bin/python3", &["-c", &body]), &Book::allowing(), settings).unwrap();
    let mut lines = BufReader::new(session.judged.child().stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), libc::EAGAIN.to_string());
    assert_eq!(entries.iter().take(CONNECTS_MAX).count(), CONNECTS_MAX);
    *slow.go.0.lock().unwrap() = true;
    slow.go.1.notify_all();
    session.finish();
    let refused = libc::ECONNREFUSED.to_string();
    assert_eq!(lines.filter(|line| *line == refused).count(), CONNECTS_MAX);
    assert!(entries.try_recv().is_err());
});

promise!(what_a_socket_was_given_before_it_has_after, || {
    let gateway = Gateway::start(None);
    let body = "import socket, fcntl, os\n\
        s = socket.socket(); T = socket.IPPROTO_TCP\n\
        s.setsockopt(T, socket.TCP_NODELAY, 1); s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)\n\
        s.setsockopt(T, socket.TCP_KEEPIDLE, 77); s.setblocking(False)\n\
        assert s.connect_ex(('10.0.0.7', 7)) == 0\n\
        print(s.getsockopt(T, socket.TCP_NODELAY), s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), s.getsockopt(T, socket.TCP_KEEPIDLE),\n\
        bool(fcntl.fcntl(s, fcntl.F_GETFL) & os.O_NONBLOCK), bool(fcntl.fcntl(s, fcntl.F_GETFD) & fcntl.FD_CLOEXEC))\n";
    let output = within(&gateway, command("/usr/bin/python3", &["-c", body]));
    assert_eq!(text(&output.stdout), "1 1 77 True True\n", "{}", text(&output.stderr));
});

// A thread writes another address while the call is judged. Whatever address it is, the connection is the gateway's.
promise!(an_address_that_changes_while_it_is_judged_changes_nothing, || {
    let gateway = Gateway::start(None);
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    host.set_nonblocking(true).unwrap();
    let port = host.local_addr().unwrap().port().to_string();
    let within_session = within(&gateway, probe(&["race-connect", "500", &port]));
    assert_eq!(text(&within_session.stdout), "500\n", "{}", text(&within_session.stderr));
    assert!(host.accept().is_err(), "a connection came past the gateway");
    let asked = gateway.asked.lock().unwrap();
    assert!(asked.iter().any(|to| to.ip().is_loopback()) && asked.iter().any(|to| !to.ip().is_loopback()), "nothing raced");
});
