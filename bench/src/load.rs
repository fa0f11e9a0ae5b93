//! The load generator: HTTP/1.1 in a closed loop over so many connections, plain, over TLS, or in tunnels of a proxy.
//! Every request is another action until all were asked for; an answer that is not 200 voids the sample.

use crate::Result;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Connections at a time.
pub(crate) const CONNECTIONS: usize = 32;
/// Distinct actions.
pub(crate) const ACTIONS: u32 = 10_000;
/// Digits of an action's number.
const DIGITS: usize = 5;
/// Before the sample: connections stand, code is warm.
const WARM: Duration = Duration::from_millis(400);

/// Where requests go, and how they look.
#[derive(Clone)]
pub(crate) struct Road {
    /// Who is dialled.
    pub(crate) address: SocketAddr,
    /// Authority of the upstream: `Host`, and target of a tunnel.
    pub(crate) host: String,
    /// Requests name the whole URL, as a proxy without a tunnel wants it.
    pub(crate) absolute: bool,
    /// Value of `Proxy-Authorization`.
    pub(crate) proxy_authorization: Option<String>,
    /// Ask for a tunnel first.
    pub(crate) tunnel: bool,
    /// Speak TLS, in the tunnel where there is one.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// How much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// A new connection for every request.
    pub(crate) fresh: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    /// CPU time of the measured side between the first and the last counted request.
    pub(crate) cpu: Duration,
    pub(crate) elapsed: Duration,
}

impl Sample {
    /// CPU µs per request.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// One request, with the place of its action's number.
struct Template {
    bytes: Vec<u8>,
    at: usize,
}

struct Counters {
    done: Cell<u64>,
    stop: Cell<bool>,
}

/// Drives a road, and reads `cpu` around the counted part.
pub(crate) fn drive(road: &Road, shape: Shape, cpu: impl Fn() -> Result<Duration>) -> Result<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let set = tokio::task::LocalSet::new();
    let counters = Rc::new(Counters { done: Cell::new(0), stop: Cell::new(false) });
    set.block_on(&runtime, async {
        let tasks: Vec<_> = (0..shape.connections)
            .map(|n| {
                let first = n as u32 * (ACTIONS / shape.connections.max(1) as u32);
                tokio::task::spawn_local(client(road.clone(), shape, first, Rc::clone(&counters)))
            })
            .collect();
        tokio::time::sleep(WARM).await;
        let (before, from, start) = (counters.done.get(), cpu()?, Instant::now());
        tokio::time::sleep(shape.time).await;
        let (requests, to, elapsed) = (counters.done.get() - before, cpu()?, start.elapsed());
        counters.stop.set(true);
        for task in tasks {
            task.await??;
        }
        if requests == 0 {
            return Err("nothing was answered in the time of a sample".into());
        }
        Ok(Sample { requests, cpu: to.saturating_sub(from), elapsed })
    })
}

async fn client(road: Road, shape: Shape, first: u32, counters: Rc<Counters>) -> Result<()> {
    let mut template = road.template();
    let mut action = first;
    while !counters.stop.get() {
        let mut stream = open(&road).await?;
        if let Some(config) = &road.tls {
            let name = road.host.split(':').next().unwrap_or_default().to_owned();
            let connector = TlsConnector::from(Arc::clone(config));
            let mut tls = connector.connect(ServerName::try_from(name)?, stream).await?;
            exchange(&mut tls, &mut template, &mut action, shape.fresh, &counters).await?;
            // The other side may be gone first; what was asked was answered.
            let _ = tls.shutdown().await;
        } else {
            exchange(&mut stream, &mut template, &mut action, shape.fresh, &counters).await?;
        }
    }
    Ok(())
}

async fn open(road: &Road) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(road.address).await?;
    stream.set_nodelay(true)?;
    if road.tunnel {
        let auth = road.proxy_authorization.as_ref().map(|a| format!("proxy-authorization: {a}\r\n")).unwrap_or_default();
        let head = format!("CONNECT {0} HTTP/1.1\r\nhost: {0}\r\n{auth}\r\n", road.host);
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::with_capacity(256);
        while end_of_head(&answer).is_none() {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the proxy closed the connection before its tunnel stood".into());
            }
        }
        if answer.get(9..12) != Some(b"200") {
            return Err(format!("no tunnel: {}", String::from_utf8_lossy(&answer)).into());
        }
    }
    Ok(stream)
}

/// Requests one after the other until told to stop, or one.
async fn exchange<S>(stream: &mut S, template: &mut Template, action: &mut u32, once: bool, counters: &Counters) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answer = Vec::with_capacity(8 * 1024);
    loop {
        template.name(*action);
        *action = (*action + 1) % ACTIONS;
        stream.write_all(&template.bytes).await?;
        // A TLS stream may hold the record back otherwise.
        stream.flush().await?;
        answer.clear();
        let end = loop {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the connection was closed before the answer".into());
            }
            if let Some(end) = end_of_head(&answer) {
                break end;
            }
        };
        let whole = end + length(answer.get(..end).unwrap_or_default())?;
        while answer.len() < whole {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the connection was closed within the answer".into());
            }
        }
        if answer.get(9..12) != Some(b"200") {
            return Err(format!("an answer is not 200: {}", String::from_utf8_lossy(&answer)).into());
        }
        counters.done.set(counters.done.get() + 1);
        if once || counters.stop.get() {
            return Ok(());
        }
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

fn length(head: &[u8]) -> Result<usize> {
    let wanted = b"content-length:";
    let at = head.windows(wanted.len()).position(|w| w.eq_ignore_ascii_case(wanted)).ok_or("an answer has no length")?;
    let digits = head.get(at + wanted.len()..).unwrap_or_default().trim_ascii_start();
    let digits = digits.split(|b| !b.is_ascii_digit()).next().unwrap_or_default();
    Ok(std::str::from_utf8(digits)?.parse()?)
}

impl Road {
    fn template(&self) -> Template {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let prefix = if self.absolute { format!("{scheme}://{}", self.host) } else { String::new() };
        let zeros = "0".repeat(DIGITS);
        let mut text = format!("GET {prefix}/repos/acme/r");
        let at = text.len();
        text.push_str(&format!("{zeros}/issues HTTP/1.1\r\nhost: {}\r\n", self.host));
        if let Some(value) = self.proxy_authorization.as_ref().filter(|_| !self.tunnel) {
            text.push_str(&format!("proxy-authorization: {value}\r\n"));
        }
        // What the agent itself brings is to be replaced.
        text.push_str("authorization: Bearer the-agents-own\r\nuser-agent: marque-bench\r\naccept: application/json\r\n\r\n");
        Template { bytes: text.into_bytes(), at }
    }
}

impl Template {
    fn name(&mut self, action: u32) {
        let mut rest = action;
        let digits = self.bytes.get_mut(self.at..self.at + DIGITS).unwrap_or_default();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}
