//! Serves a sandbox's names on the sockets that were made inside, in one thread.

use super::message::answer;
use super::names::Names;
use crate::limits::{DNS_CONNECTIONS, DNS_IDLE, DNS_QUERY_BYTES, DNS_TURN};
use crate::sys::packet;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// A running resolver. Dropping it stops it.
pub struct Server {
    names: Arc<Mutex<Names>>,
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

struct Client {
    stream: TcpStream,
    got: Vec<u8>,
    last: Instant,
}

impl Server {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread or descriptor.
    pub fn start(udp: Vec<UdpSocket>, tcp: Vec<TcpListener>, ipv6: bool) -> std::io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let names = Arc::new(Mutex::new(Names::new()));
        udp.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
        tcp.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
        let mut serving = Serving { udp, tcp, clients: Vec::new(), names: Arc::clone(&names), ipv6, stop: stop.try_clone()? };
        let thread = std::thread::Builder::new().name("names".into()).spawn(move || while serving.turn() {})?;
        Ok(Self { names, stop, thread: Some(thread) })
    }

    /// The names of this session: of an address that was dialled, which name it means.
    pub fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An eventfd has room for one.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Serving {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    clients: Vec<Client>,
    names: Arc<Mutex<Names>>,
    ipv6: bool,
    stop: OwnedFd,
}

impl Serving {
    /// Waits for something and does it. Whether to go on.
    fn turn(&mut self) -> bool {
        let sockets = self.udp.iter().map(AsFd::as_fd).chain(self.tcp.iter().map(AsFd::as_fd)).chain(self.clients.iter().map(|c| c.stream.as_fd()));
        let mut fds: Vec<PollFd<'_>> = std::iter::once(self.stop.as_fd()).chain(sockets).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let idle = Timespec { tv_sec: DNS_IDLE.as_secs() as i64, tv_nsec: 0 };
        match poll(&mut fds, (!self.clients.is_empty()).then_some(&idle)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return false,
        }
        if fds.first().is_some_and(|stop| !stop.revents().is_empty()) {
            return false;
        }
        drop(fds);
        self.datagrams();
        self.streams();
        self.accept();
        true
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        answer(query, &mut names, self.ipv6).map(|answer| answer.bytes)
    }

    fn datagrams(&self) {
        let mut buffer = [0_u8; DNS_QUERY_BYTES];
        for socket in &self.udp {
            // An error is of one packet, or says that there is none. So many at once, that a flood is not all that there is.
            for _ in 0..DNS_TURN {
                let Ok((len, from, to)) = packet::receive(socket, &mut buffer) else { break };
                if let Some(bytes) = self.answer(buffer.get(..len).unwrap_or_default()) {
                    // Whoever is gone asks no more.
                    let _ = packet::send(socket, &bytes, from, to);
                }
            }
        }
    }

    fn streams(&mut self) {
        let now = Instant::now();
        let mut clients = std::mem::take(&mut self.clients);
        clients.retain_mut(|client| self.stream(client, now) && now.duration_since(client.last) < DNS_IDLE);
        self.clients = clients;
    }

    /// Reads what is there and answers what is whole (RFC 1035 section 4.2.2). Whether the client stays.
    fn stream(&self, client: &mut Client, now: Instant) -> bool {
        let mut buffer = [0_u8; 1024];
        for _ in 0..DNS_TURN {
            match client.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(len) => client.got.extend_from_slice(buffer.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
            client.last = now;
            while let Some((length, rest)) = client.got.split_first_chunk::<2>() {
                let len = usize::from(u16::from_be_bytes(*length));
                if len > DNS_QUERY_BYTES {
                    return false;
                }
                let Some(query) = rest.get(..len) else { break };
                let Some(bytes) = self.answer(query) else { return false };
                let mut out = (bytes.len() as u16).to_be_bytes().to_vec();
                out.extend_from_slice(&bytes);
                // A client that does not read is not waited for.
                if client.stream.write_all(&out).is_err() {
                    return false;
                }
                client.got.drain(..2 + len);
            }
        }
        true
    }

    fn accept(&mut self) {
        for listener in &self.tcp {
            for _ in 0..DNS_TURN {
                let Ok((stream, _)) = listener.accept() else { break };
                // Over the limit it is closed at once.
                if self.clients.len() < DNS_CONNECTIONS && stream.set_nonblocking(true).is_ok() {
                    self.clients.push(Client { stream, got: Vec::new(), last: Instant::now() });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::call::set_option;
    use std::net::{Ipv4Addr, SocketAddr};

    const QUERY: &[u8] = b"\x07\x09\x01\0\0\x01\0\0\0\0\0\0\x01a\x01b\0\0\x01\0\x01";

    fn server() -> (Server, SocketAddr, SocketAddr) {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        set_option(&udp, libc::IPPROTO_IP, libc::IP_PKTINFO, 1).unwrap();
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (datagrams, streams) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        (Server::start(vec![udp], vec![tcp], true).unwrap(), datagrams, streams)
    }

    fn ask(stream: &mut TcpStream, query: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat())?;
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut out = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut out)?;
        Ok(out)
    }

    #[test]
    fn both_ways_give_the_same_answer_and_remember_the_name() {
        let (server, udp, tcp) = server();
        let over_tcp = ask(&mut TcpStream::connect(tcp).unwrap(), QUERY).unwrap();
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.connect(udp).unwrap();
        client.send(QUERY).unwrap();
        let mut buffer = [0; 512];
        let len = client.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..len], over_tcp);
        assert_eq!(server.names().asked().collect::<Vec<_>>(), ["a.b"]);
    }

    #[test]
    fn so_many_connections_and_no_more() {
        let (_server, _, tcp) = server();
        let mut open: Vec<_> = (0..DNS_CONNECTIONS).map(|_| TcpStream::connect(tcp).unwrap()).collect();
        assert!(open.iter_mut().all(|stream| ask(stream, QUERY).is_ok()));
        let mut one_more = TcpStream::connect(tcp).unwrap();
        assert!(ask(&mut one_more, QUERY).is_err());
        assert!(ask(&mut open[0], QUERY).is_ok());
    }

    #[test]
    fn a_question_is_so_long_and_no_longer() {
        let (_server, _, tcp) = server();
        let mut longest = QUERY.to_vec();
        longest.resize(DNS_QUERY_BYTES, 0);
        assert!(ask(&mut TcpStream::connect(tcp).unwrap(), &longest).is_ok());
        longest.push(0);
        assert!(ask(&mut TcpStream::connect(tcp).unwrap(), &longest).is_err());
    }
}
