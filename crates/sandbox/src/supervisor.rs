//! A running sandbox, as its owner holds it.

use crate::child::{Message, Prepared, Tag, receive, send};
use crate::error::{SpawnError, Step};
use crate::limits::STEP_WAIT;
use crate::plan::Plan;
use crate::prepare::{Kit, prepare};
use crate::start::{Channels, Child, failure, thread_failed};
use crate::sys::process::block_signals;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_type};
use rustix::net::{SocketType, getsockname};
use rustix::process::{Signal, pidfd_send_signal};
use std::any::Any;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How an agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(u8),
    /// By a signal.
    Signal(i32),
    /// With the whole sandbox, which was ended from outside.
    Ended,
}

/// What was made inside and belongs outside: whoever accepts here is reached from the sandbox alone.
#[derive(Debug, Default)]
pub struct Inside {
    /// The gateway's listeners by port, for IPv4 and, where there is one, IPv6. Of an accepted connection the local address is
    /// the one that the agent dialled, whatever it is: one of the loopback networks is the agent's own and must be refused.
    pub tcp: Vec<(u16, TcpListener)>,
    /// For DNS over TCP.
    pub dns_tcp: Vec<TcpListener>,
    /// For DNS over UDP; see [`crate::dns::Server`].
    pub dns_udp: Vec<UdpSocket>,
    /// Whether the sandbox has IPv6.
    pub ipv6: bool,
}

/// A sandbox. Dropping it ends everything in it and waits for that; so does the end of this process, however it ends.
pub struct Supervisor {
    init: OwnedFd,
    agent: OwnedFd,
    requests: Mutex<OwnedFd>,
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
    unprotected: Vec<PathBuf>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether it executes, once that is known.
    running: Option<Result<(), SpawnError>>,
    ended: Option<Exit>,
}

struct Started {
    init: OwnedFd,
    agent: OwnedFd,
    requests: OwnedFd,
    inside: Inside,
}

/// Makes a sandbox and starts the agent in it. When this returns, everything is in place and the agent is about to execute:
/// see [`Supervisor::running`].
///
/// # Errors
/// Which step failed; nothing is left of the sandbox then.
pub fn spawn(plan: Plan) -> Result<(Supervisor, Inside), SpawnError> {
    let kit = prepare(plan)?;
    let unprotected = kit.unprotected.clone();
    let channels = Channels::new()?;
    let shared = Arc::new(Shared::default());
    let (tell, told) = sync_channel(1);
    let theirs = Arc::clone(&shared);
    // The child dies with the thread that made it: this one does nothing else, and stays.
    let keeper = std::thread::Builder::new().name("sandbox".into()).spawn(move || keep(kit, channels, &theirs, &tell));
    let keeper = keeper.map_err(|e| thread_failed(&e))?;
    let started = match told.recv() {
        Ok(Ok(started)) => started,
        Ok(Err(error)) => {
            // It has cleaned up; what it would say is known.
            let _ = keeper.join();
            return Err(error);
        }
        Err(_) => return Err(SpawnError::new(Step::Lost, Errno::CHILD)),
    };
    let Started { init, agent, requests, inside } = started;
    let requests = Mutex::new(requests);
    Ok((Supervisor { init, agent, requests, shared, keeper: Some(keeper), unprotected }, inside))
}

/// The keeper's whole life.
fn keep(kit: Kit, channels: Channels, shared: &Shared, tell: &SyncSender<Result<Started, SpawnError>>) {
    block_signals();
    let Kit { mut prepared, descriptors, placeholders, unprotected: _ } = kit;
    let (mut child, owner) = match begin(&mut prepared, channels, descriptors) {
        Ok((child, owner, started)) => {
            // An owner that is gone again drops what it would have got.
            let _ = tell.send(Ok(started));
            (child, owner)
        }
        Err(error) => {
            drop(placeholders);
            let _ = tell.send(Err(error));
            return;
        }
    };
    let mut exit = Exit::Ended;
    while let Some(message) = child.next() {
        match message.tag {
            Tag::Running => shared.set(|state| state.running = Some(Ok(()))),
            Tag::Ended => exit = exit_of(message.value),
            _ => shared.set(|state| state.running = Some(Err(failure(&message, &prepared)))),
        }
    }
    child.kill();
    child.reap();
    drop(child);
    drop(owner);
    drop(placeholders);
    shared.set(|state| {
        state.running.get_or_insert(Err(SpawnError::new(Step::Lost, Errno::PIPE)));
        state.ended = Some(exit);
    });
}

/// What was returned by a hook.
type Owner = Option<Box<dyn Any + Send>>;

/// From the plan to an agent that is about to execute.
fn begin(prepared: &mut Prepared, channels: Channels, descriptors: Vec<OwnedFd>) -> Result<(Child, Owner, Started), SpawnError> {
    let (mut child, requests) = Child::make(prepared, channels)?;
    // The agent has its copies: what is left here would keep its pipes open.
    drop(descriptors);
    let sockets = child.settle(prepared)?;
    let (agent, given) = child.ready(prepared)?;
    let owner = Child::hooked(prepared, given, &agent)?;
    let init = child.pidfd.try_clone().map_err(|e| thread_failed(&e))?;
    let started = Started { init, agent, requests, inside: Inside::of(sockets.fds).map_err(|errno| SpawnError::new(Step::Hand, errno))? };
    child.go()?;
    Ok((child, owner, started))
}

fn exit_of(value: i32) -> Exit {
    match value {
        256.. => Exit::Signal(value - 256),
        code => Exit::Code(u8::try_from(code).unwrap_or(u8::MAX)),
    }
}

impl Inside {
    /// Tells sockets apart by what they are: those that [`spawn`] gave, perhaps on their way through another process.
    ///
    /// # Errors
    /// One is no socket of the internet's, or a TCP socket that does not listen.
    pub fn of(sockets: Vec<OwnedFd>) -> Result<Self, Errno> {
        let mut out = Self::default();
        for fd in sockets {
            let address: SocketAddr = getsockname(&fd)?.try_into()?;
            out.ipv6 |= address.is_ipv6();
            match (socket_type(&fd)?, address.port()) {
                (SocketType::DGRAM, _) => out.dns_udp.push(fd.into()),
                (SocketType::STREAM, _) if !socket_acceptconn(&fd)? => return Err(Errno::INVAL),
                (SocketType::STREAM, 53) => out.dns_tcp.push(fd.into()),
                (SocketType::STREAM, port) => out.tcp.push((port, fd.into())),
                _ => return Err(Errno::PROTOTYPE),
            }
        }
        Ok(out)
    }

    /// The sockets alone, for [`Inside::of`].
    #[must_use]
    pub fn into_sockets(self) -> Vec<OwnedFd> {
        let tcp = self.tcp.into_iter().map(|(_, listener)| listener).chain(self.dns_tcp);
        tcp.map(OwnedFd::from).chain(self.dns_udp.into_iter().map(OwnedFd::from)).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        let mut state = self.lock();
        loop {
            match look(&state) {
                Some(found) => return found,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Supervisor {
    /// Waits until the agent executes. With a hook that asks about the first program, that is after the answer.
    ///
    /// # Errors
    /// The agent's program could not be executed.
    pub fn running(&self) -> Result<(), SpawnError> {
        self.shared.wait(|state| state.running.clone())
    }

    /// Waits until nothing is left of the sandbox.
    pub fn wait(&self) -> Exit {
        self.shared.wait(|state| state.ended)
    }

    /// How the agent ended, if nothing is left of the sandbox.
    #[must_use]
    pub fn ended(&self) -> Option<Exit> {
        self.shared.lock().ended
    }

    /// Readable when nothing is left of the sandbox.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.init.as_fd()
    }

    /// The agent's own pidfd.
    #[must_use]
    pub fn agent(&self) -> BorrowedFd<'_> {
        self.agent.as_fd()
    }

    /// Sends the agent a signal. One that has ended needs none.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.agent, signal);
    }

    /// Ends everything in the sandbox at once; [`Self::wait`] tells when it is done.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.init, Signal::KILL);
    }

    /// Protected paths of the workspace that could not be protected, because a link stands in them.
    #[must_use]
    pub fn unprotected(&self) -> &[PathBuf] {
        &self.unprotected
    }

    /// A new TCP socket of the sandbox's network: connecting it reaches services inside.
    ///
    /// # Errors
    /// The sandbox has ended, or has no more descriptors.
    pub fn socket(&self, ipv6: bool) -> std::io::Result<OwnedFd> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        // The answer to a question that was given up is nobody's.
        while receive(&*requests, Some(Duration::ZERO), drop).is_ok_and(|message| message.is_some()) {}
        send(&*requests, Message::new(Tag::Socket, if ipv6 { 6 } else { 4 }), &[])?;
        let mut made = None;
        let answer = receive(&*requests, Some(STEP_WAIT), |fd| made = Some(fd))?.ok_or(Errno::PIPE)?;
        Ok(made.ok_or_else(|| Errno::from_raw_os_error(answer.value))?)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.kill();
        if let Some(keeper) = self.keeper.take() {
            // It ends when everything inside has.
            let _ = keeper.join();
        }
    }
}
