//! WebSocket: after a correct 101 and not before, frames are carried, and what the upstream says in them is scrubbed.

use crate::answer::{self, Limits};
use crate::body::AnswerBody;
use crate::connect::spawn;
use crate::gate::{Ending, Gate};
use crate::limits::{SPLICE_BUFFER_BYTES, UPGRADE_BYTES_MAX};
use crate::problem::{Problem, found};
use crate::serve::House;
use crate::settlement::Use;
use crate::splice::{Stopped, carry_up, pass_on, together};
use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use marque_detect::oracle::Verdict;
use marque_detect::scrub::{Hits, Scrubber};
use marque_wire::http::ws::{self, Handshake, Kind, Piece, Rewriter, Side, WsError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Passes on the upstream's 101, if it is a correct answer to the handshake, and carries frames from then on.
pub(crate) fn switch<G: Gate>(
    house: &Arc<House<G>>,
    mut use_: Use<G>,
    mut response: Response<Incoming>,
    client: OnUpgrade,
    asked: &Handshake,
    limits: Limits,
    governed: bool,
) -> Result<Response<AnswerBody>, Problem> {
    let upstream = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    if let Err(e) = ws::check_response(&parts, asked) {
        use_.settle(Ending::UpstreamFailed);
        return Err(found::handshake(&e.to_string()));
    }
    if limits.withhold || limits.guessable {
        // Frames cannot be held whole, so that a guess would show in where the stream stops.
        use_.settle(Ending::Withheld);
        return Err(found::withheld());
    }
    answer::switching(&mut use_, &mut parts, governed)?;
    parts.extensions = http::Extensions::new();
    use_.connection = None;
    let state = Arc::clone(use_.state());
    spawn(&state, house, async move {
        let (client, upstream) = tokio::join!(client, upstream);
        if let (Ok(client), Ok(upstream)) = (client, upstream) {
            frames(client, upstream, use_, limits).await;
        }
    });
    Ok(Response::from_parts(parts, AnswerBody::empty()))
}

async fn frames<G: Gate>(client: Upgraded, upstream: Upgraded, mut use_: Use<G>, limits: Limits) {
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_upstream, to_upstream) = tokio::io::split(TokioIo::new(upstream));
    let sent = use_.sent.clone().unwrap_or_default();
    let up = carry_up(from_client, to_upstream, &sent, limits.request_max);
    let ending = {
        let down = scrubbed(from_upstream, to_client, &mut use_, limits.answer_max);
        together(up, down).await
    };
    use_.settle(ending);
}

/// Carries the upstream's frames, their payloads scrubbed.
async fn scrubbed<G, R, W>(mut from: R, mut to: W, use_: &mut Use<G>, max: u64) -> Result<(), Stopped>
where
    G: Gate,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let max = max.min(UPGRADE_BYTES_MAX);
    let mut rewriter = Rewriter::new(Side::Server);
    let mut scrubber = Scrubber::new(Arc::clone(use_.needles()));
    let mut buffer = vec![0; SPLICE_BUFFER_BYTES];
    let mut out = Vec::new();
    loop {
        let n = from.read(&mut buffer).await?;
        let Some(data) = buffer.get(..n).filter(|d| !d.is_empty()) else { break };
        if use_.received.fetch_add(n as u64, Ordering::Relaxed) + n as u64 > max {
            return Err(Stopped::Limit);
        }
        let result = rewriter.push(data, &mut |piece, out| payload(use_, &mut scrubber, piece, out), &mut || [0; 4], &mut out);
        pass_on(&mut to, &out).await?;
        out.clear();
        if let Err(e) = result {
            // FIN and opcode 8 (RFC 6455 section 5.5.1), unmasked as a server's frames are.
            let code = e.close_code().to_be_bytes();
            pass_on(&mut to, &[&[0x88, 2], code.as_slice()].concat()).await?;
            to.shutdown().await?;
            return Err(if e == WsError::Withheld { Stopped::Withheld } else { Stopped::Broken });
        }
    }
    Ok(to.shutdown().await?)
}

fn payload<G: Gate>(use_: &mut Use<G>, scrubber: &mut Scrubber, piece: Piece<'_>, out: &mut Vec<u8>) -> Result<(), WsError> {
    let mut hits = Hits::default();
    if piece.kind == Kind::Control {
        // Between the pieces of a message, and short: searched by itself.
        out.extend_from_slice(&use_.needles().scrub_counting(piece.bytes, &mut hits));
    } else {
        let before = scrubber.hits().total();
        scrubber.push(piece.bytes, out);
        let all = scrubber.hits();
        if all.total() > before {
            hits = all;
        }
        if piece.is_last {
            scrubber.finish(out);
            scrubber.reset();
        }
    }
    if use_.tell(&hits) == Verdict::Withhold {
        out.clear();
        return Err(WsError::Withheld);
    }
    Ok(())
}
