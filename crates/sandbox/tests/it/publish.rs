//! A port of the sandbox on the owner's loopback.

use crate::world::{OTHER, PYTHON, World, is_root, promise, script, start};
use marque_sandbox::publish;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

const SERVICE: &str = r#"
l = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
l.bind(('127.0.0.1', 3000)); l.listen()
print('up', flush=True)
while True:
    c, _ = l.accept()
    c.settimeout(None)
    data = b''
    while True:
        got = c.recv(65536)
        if not got: break
        data += got
    c.sendall(data[::-1]); c.close()
"#;

fn talk(to: std::net::SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    let mut out = Vec::new();
    stream.read_to_end(&mut out)?;
    Ok(out)
}

promise!(a_published_port_reaches_the_agents_service, || {
    let world = World::new();
    let mut running = start(world.plan(&script(SERVICE)));
    assert_eq!(running.line(), "up");
    let published = publish(&running.supervisor, 3000, 0).unwrap();
    assert_eq!(talk(published.address(), b"abc").unwrap(), b"cba");
    let long: Vec<u8> = (0..1_000_000_u32).map(|i| i as u8).collect();
    let reversed: Vec<u8> = long.iter().rev().copied().collect();
    assert!(talk(published.address(), &long).unwrap() == reversed);
    let address = published.address();
    drop(published);
    // A child that another test has just made closes its copy of the listener in its first moment.
    let end = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < end, "closed with its value");
    }
});

promise!(a_published_port_without_a_service_closes, || {
    let world = World::new();
    let mut running = start(world.plan(&script(SERVICE)));
    assert_eq!(running.line(), "up");
    let published = publish(&running.supervisor, 3001, 0).unwrap();
    assert!(talk(published.address(), b"").map_or(true, |bytes| bytes.is_empty()));
});

#[test]
fn a_published_port_is_its_owners_alone() {
    if !is_root() {
        // Another user can be tried by root only; root runs this.
        return;
    }
    let world = World::new();
    let mut running = start(world.plan(&script(SERVICE)));
    assert_eq!(running.line(), "up");
    let published = publish(&running.supervisor, 3000, 0).unwrap();
    let port = published.address().port();
    let client = script(&format!(
        "s = socket.create_connection(('127.0.0.1', {port}))\ntry:\n    s.sendall(b'abc'); s.shutdown(1); print(s.recv(10))\nexcept OSError as e:\n    print(b'')"
    ));
    let run = |uid| String::from_utf8(Command::new(PYTHON).args(["-c", &client]).uid(uid).gid(uid).output().unwrap().stdout).unwrap();
    assert_eq!(run(0), "b'cba'\n", "the control");
    assert_eq!(run(OTHER), "b''\n");
}
