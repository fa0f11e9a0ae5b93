//! A bare forward proxy that leads names to local servers: for the control runs without the product, and for trying how
//! a client uses a proxy. It sees ciphertext only.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::error::{Doing, Result};

/// A request head longer than this is refused.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A running proxy; dropping it stops it.
pub struct ConnectProxy {
    addr: SocketAddr,
    seen: Seen,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

type Seen = Arc<Mutex<Vec<String>>>;
type Routes = Arc<HashMap<String, SocketAddr>>;

impl ConnectProxy {
    /// Starts a proxy that leads `host:port` to a local address and refuses every other name.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start(routes: impl IntoIterator<Item = (String, SocketAddr)>) -> Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("bind a loopback port")?;
        listener
            .set_nonblocking(true)
            .doing("make the listener non-blocking")?;
        let addr = listener.local_addr().doing("read the bound address")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .doing("start a runtime")?;
        let (routes, seen) = (
            Arc::new(routes.into_iter().collect::<HashMap<_, _>>()),
            Seen::default(),
        );
        let (stop, stopped) = oneshot::channel();
        let log = Arc::clone(&seen);
        let thread = thread::Builder::new()
            .name("testkit-proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! { () = accept(listener, routes, log) => {}, _ = stopped => {} }
                });
            })
            .doing("start a proxy thread")?;
        Ok(Self {
            addr,
            seen,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The request heads it received.
    #[must_use]
    pub fn heads(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: StdListener, routes: Routes, seen: Seen) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let (routes, seen) = (Arc::clone(&routes), Arc::clone(&seen));
            tokio::spawn(async move {
                // A client or server that breaks off ends the tunnel.
                let _ = tunnel(stream, &routes, &seen).await;
            });
        }
    }
}

async fn tunnel(mut client: TcpStream, routes: &Routes, seen: &Seen) -> io::Result<()> {
    let head = read_head(&mut client).await?;
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(head.clone());
    let mut words = head.split_whitespace();
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let connect = method == "CONNECT";
    let absolute = target
        .strip_prefix("http://")
        .map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())));
    let authority = match absolute {
        Some((authority, _)) if authority.contains(':') => authority.to_owned(),
        Some((authority, _)) => format!("{authority}:80"),
        None => target.to_owned(),
    };
    let Some(addr) = routes.get(&authority) else {
        let refusal = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        return client.write_all(refusal).await;
    };
    let mut server = TcpStream::connect(addr).await?;
    if connect {
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
    } else {
        let path = absolute.map_or("/", |(_, path)| if path.is_empty() { "/" } else { path });
        // One exchange per connection, so that the next request's target is not passed on unread.
        let origin =
            head.replacen(target, path, 1)
                .replacen("\r\n", "\r\nconnection: close\r\n", 1);
        server.write_all(origin.as_bytes()).await?;
    }
    copy_bidirectional(&mut client, &mut server)
        .await
        .map(|_| ())
}

async fn read_head(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(client.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
