//! Bytes carried from one stream to another, read or unread.

use crate::body::Sent;
use crate::gate::{Ending, Gate};
use crate::limits::{SPLICE_BUFFER_BYTES, UPGRADE_BYTES_MAX, UPGRADE_LIFE};
use crate::settlement::Use;
use bytes::{Buf, Bytes};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// A stream with bytes in front that were read from it already.
pub(crate) struct Rewind<S> {
    front: Bytes,
    io: S,
}

impl<S> Rewind<S> {
    pub(crate) fn new(front: Bytes, io: S) -> Self {
        Self { front, io }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewind<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.front.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, out);
        }
        let take = self.front.remaining().min(out.remaining());
        out.put_slice(&self.front.split_to(take));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewind<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// Why a stream ended before its ends did.
pub(crate) enum Stopped {
    /// One end broke off.
    Broken,
    /// A byte limit.
    Limit,
    /// What would come next holds a credential.
    Withheld,
}

impl From<io::Error> for Stopped {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Carries both directions of a stream that is not read.
pub(crate) async fn splice<G, A, B>(client: A, upstream: B, use_: &mut Use<G>, up_max: u64, down_max: u64)
where
    G: Gate,
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (from_upstream, to_upstream) = tokio::io::split(upstream);
    let (sent, received) = (use_.sent.clone().unwrap_or_default(), Arc::clone(&use_.received));
    let up = carry_up(from_client, to_upstream, &sent, up_max);
    let down = carry_down(from_upstream, to_client, &received, down_max);
    let ending = together(up, down).await;
    use_.settle(ending);
}

/// Runs both directions. One that stops stops the other; one that merely ends does not.
pub(crate) async fn together(
    up: impl Future<Output = Result<(), Stopped>>,
    down: impl Future<Output = Result<(), Stopped>>,
) -> Ending {
    let both = async { tokio::try_join!(up, down) };
    match tokio::time::timeout(UPGRADE_LIFE, both).await {
        Ok(Ok(_)) => Ending::Completed,
        Ok(Err(Stopped::Broken)) => Ending::Aborted,
        Ok(Err(Stopped::Withheld)) => Ending::Withheld,
        Ok(Err(Stopped::Limit)) | Err(_) => Ending::Limit,
    }
}

pub(crate) async fn carry_up<R, W>(mut from: R, mut to: W, sent: &Sent, max: u64) -> Result<(), Stopped>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let max = max.min(UPGRADE_BYTES_MAX);
    let mut buffer = vec![0; SPLICE_BUFFER_BYTES];
    loop {
        let n = from.read(&mut buffer).await?;
        let Some(data) = buffer.get(..n).filter(|d| !d.is_empty()) else { break };
        sent.add(n);
        if sent.bytes() > max {
            return Err(Stopped::Limit);
        }
        pass_on(&mut to, data).await?;
    }
    Ok(to.shutdown().await?)
}

async fn carry_down<R, W>(mut from: R, mut to: W, received: &AtomicU64, max: u64) -> Result<(), Stopped>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let max = max.min(UPGRADE_BYTES_MAX);
    let mut buffer = vec![0; SPLICE_BUFFER_BYTES];
    loop {
        let n = from.read(&mut buffer).await?;
        let Some(data) = buffer.get(..n).filter(|d| !d.is_empty()) else { break };
        if received.fetch_add(n as u64, Ordering::Relaxed) + n as u64 > max {
            return Err(Stopped::Limit);
        }
        pass_on(&mut to, data).await?;
    }
    Ok(to.shutdown().await?)
}

/// Writes and flushes: a TLS stream may keep a record in its buffer, and nothing would ever push it out while we wait to
/// read.
pub(crate) async fn pass_on<W: AsyncWrite + Unpin>(to: &mut W, data: &[u8]) -> io::Result<()> {
    to.write_all(data).await?;
    to.flush().await
}
