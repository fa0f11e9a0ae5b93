//! Publishing a port of the sandbox to its owner: `localhost:3000` inside becomes a port of the host's loopback, for the
//! owner's programs alone.

use crate::limits::{PUBLISH_WAIT, PUBLISHED_CONNECTIONS};
use crate::supervisor::Supervisor;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

/// A published port. Dropping it closes the port and its connections.
pub struct Published {
    address: SocketAddr,
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
    open: Arc<Mutex<Vec<Weak<TcpStream>>>>,
}

/// Publishes `inside`, a port on which something listens in the sandbox, at `outside` on the host's loopback; 0 chooses one.
/// Connections of other users than this process's are closed at once.
///
/// # Errors
/// The port is taken.
pub fn publish(sandbox: &Arc<Supervisor>, inside: u16, outside: u16) -> std::io::Result<Published> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, outside))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let (stopped, open) = (stop.try_clone()?, Arc::new(Mutex::new(Vec::new())));
    let (connections, sandbox) = (Arc::clone(&open), Arc::downgrade(sandbox));
    let thread = std::thread::Builder::new().name("publish".into()).spawn(move || accept(&listener, &stopped, &sandbox, inside, &connections))?;
    Ok(Published { address, stop, thread: Some(thread), open })
}

impl Published {
    /// Where the owner reaches it.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // An eventfd has room for one.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
            // Its pipes see the end and leave.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, stop: &OwnedFd, sandbox: &Weak<Supervisor>, inside: u16, open: &Mutex<Vec<Weak<TcpStream>>>) {
    let count = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = [PollFd::new(stop, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let [stopped, _] = fds;
        let Some(sandbox) = sandbox.upgrade().filter(|_| stopped.revents().is_empty()) else { return };
        let Ok((client, from)) = listener.accept() else { continue };
        if count.load(Ordering::Relaxed) >= PUBLISHED_CONNECTIONS || !is_owner(from, listener) {
            continue;
        }
        count.fetch_add(1, Ordering::Relaxed);
        let client = Arc::new(client);
        let mut list = open.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|stream| stream.strong_count() > 0);
        list.push(Arc::downgrade(&client));
        drop(list);
        let left = Arc::clone(&count);
        let work = move || {
            // What fails closes the connection, which is all that there is to say.
            let service = connect(&sandbox, inside);
            // A connection keeps no sandbox alive.
            drop(sandbox);
            let _ = service.and_then(|service| carry(&client, &service));
            left.fetch_sub(1, Ordering::Relaxed);
        };
        if std::thread::Builder::new().name("published".into()).spawn(work).is_err() {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Carries bytes both ways until both sides are done.
fn carry(client: &TcpStream, service: &TcpStream) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    std::thread::scope(|scope| {
        let back = scope.spawn(|| {
            let done = std::io::copy(&mut &*service, &mut &*client);
            let _ = client.shutdown(Shutdown::Write);
            done
        });
        let done = std::io::copy(&mut &*client, &mut &*service);
        let _ = service.shutdown(Shutdown::Write);
        let _ = back.join();
        done.map(drop)
    })
}

/// Connects to a service inside, on either of the loopback addresses.
fn connect(sandbox: &Arc<Supervisor>, port: u16) -> std::io::Result<TcpStream> {
    let four = dial(sandbox, (Ipv4Addr::LOCALHOST, port).into());
    four.or_else(|error| dial(sandbox, (Ipv6Addr::LOCALHOST, port).into()).map_err(|_| error))
}

fn dial(sandbox: &Arc<Supervisor>, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = sandbox.socket(to.is_ipv6())?;
    rustix::net::sockopt::set_tcp_user_timeout(&socket, PUBLISH_WAIT.as_millis() as u32)?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket.into())
}

/// Whether the other end of a connection belongs to this process's user, as the kernel's table has it.
fn is_owner(from: SocketAddr, listener: &TcpListener) -> bool {
    let Ok(to) = listener.local_addr() else { return false };
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let uid = table.lines().find_map(|line| uid_in(line, &spell(from), &spell(to)));
    uid == Some(rustix::process::geteuid().as_raw())
}

/// An address as `/proc/net/tcp` spells it: the bytes of memory, as a number, then the port.
fn spell(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port()),
        SocketAddr::V6(_) => String::new(),
    }
}

/// The owner in one line of the table, if it is of this connection and somebody holds it: one that nobody holds is shown as
/// root's.
fn uid_in(line: &str, local: &str, remote: &str) -> Option<u32> {
    let mut fields = line.split_whitespace().skip(1);
    let is_it = fields.next()? == local && fields.next()? == remote;
    let uid = fields.nth(4)?;
    let inode = fields.nth(1)?;
    (is_it && inode != "0").then(|| uid.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_connection_is_read_from_the_kernels_table() {
        let line = "   1: 0100007F:C350 0100007F:0BB8 01 00000000:00000000 00:00000000 00000000  1001        0 4711 1 0";
        assert_eq!(uid_in(line, "0100007F:C350", "0100007F:0BB8"), Some(1001));
        assert_eq!(uid_in(line, "0100007F:C351", "0100007F:0BB8"), None);
        assert_eq!(uid_in(&line.replace("1001        0 4711", "0        0 0"), "0100007F:C350", "0100007F:0BB8"), None);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(is_owner(client.local_addr().unwrap(), &listener));
        assert!(!is_owner((Ipv4Addr::LOCALHOST, 1).into(), &listener));
    }
}
