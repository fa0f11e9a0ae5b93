//! Sockets that clients come in by: TCP, and Unix sockets whose peer the kernel names.

use crate::gate::Peer;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A bound socket, perhaps made in another network namespace.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// TCP, made in a sandbox's network: nobody else reaches it, and every address there leads to it.
    Inside(std::net::TcpListener),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixListener),
}

pub(crate) enum Bound {
    Tcp(TcpListener),
    Inside(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    pub(crate) fn new(socket: Socket) -> std::io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            Socket::Inside(listener) => {
                listener.set_nonblocking(true)?;
                Self::Inside(TcpListener::from_std(listener)?)
            }
            Socket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Self::Unix(UnixListener::from_std(listener)?)
            }
        })
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            // The address of another network is nobody's here.
            Self::Inside(_) | Self::Unix(_) => None,
        }
    }

    pub(crate) async fn accept(&self) -> std::io::Result<(ClientIo, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                let local = stream.local_addr()?;
                let _ = stream.set_nodelay(true);
                Ok((ClientIo::Tcp(stream), Peer::Tcp { remote, local }))
            }
            Self::Inside(listener) => {
                let (stream, _) = listener.accept().await?;
                let dialled = stream.local_addr()?;
                let _ = stream.set_nodelay(true);
                Ok((ClientIo::Tcp(stream), Peer::Inside { dialled }))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let who = stream.peer_cred()?;
                Ok((ClientIo::Unix(stream), Peer::Unix { uid: who.uid(), pid: who.pid() }))
            }
        }
    }
}

/// The client's end of an accepted connection.
pub(crate) enum ClientIo {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, out),
            Self::Unix(s) => Pin::new(s).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, bytes),
            Self::Unix(s) => Pin::new(s).poll_write(cx, bytes),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_flush(cx),
            Self::Unix(s) => Pin::new(s).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Self::Unix(s) => Pin::new(s).poll_write_vectored(cx, bufs),
        }
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
}
