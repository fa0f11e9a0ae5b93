//! Connections of clients that know of no gateway: in a sandbox every address leads here, and what was dialled is the target.
//!
//! The name is the one that the sandbox's own resolver gave the address for; a TLS server name and a `Host` have to agree with
//! it (I13). The gateway resolves the name again before it dials: nothing that the client says chooses an address.

use crate::connect::Tunnel;
use crate::gate::Gate;
use crate::limits::HEAD_WAIT;
use crate::problem::{Problem, found};
use crate::request::{Rules, route};
use crate::serve::{Conn, Identity};
use crate::socket::ClientIo;
use crate::splice::Rewind;
use crate::strict::Strict;
use crate::tls;
use bytes::Bytes;
use marque_model::{Scheme, Target};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// What the addresses mean that a sandbox's resolver gives out.
pub trait Names: fmt::Debug + Send + Sync {
    /// The name that an address was given for.
    fn name_of(&self, address: IpAddr) -> Option<String>;
    /// Whether an address is of those that stand for names, given or not.
    fn is_reserved(&self, address: IpAddr) -> bool;
}

/// First byte of a TLS connection: the record type `handshake` (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// Serves a connection that was dialled as `dialled`, until it closes.
pub(crate) async fn serve<G: Gate>(conn: &Arc<Conn<G>>, mut io: ClientIo, dialled: SocketAddr, names: &dyn Names) {
    let identity = match conn.identify(None) {
        Ok(identity) => identity,
        Err(problem) => return conn.house.gate.refused(conn.listener, None, None, &problem),
    };
    // A client that waits for the other side to speak gets no further here.
    let mut first = [0];
    let Ok(Ok(1)) = tokio::time::timeout(HEAD_WAIT, io.read(&mut first)).await else { return };
    let scheme = if first == [HANDSHAKE] { Scheme::Https } else { Scheme::Http };
    let target = match target_of(scheme, dialled, names) {
        Ok(target) => target,
        Err(problem) => return refused(conn, identity, &problem).await,
    };
    conn.signals.go_raw();
    let stream = Rewind::new(Bytes::copy_from_slice(&first), Strict::new(io, Arc::clone(&conn.signals)));
    let tunnel = Tunnel::new(conn, identity, target);
    match scheme {
        Scheme::Http => tunnel.serve_h1(stream).await,
        Scheme::Https => intercept(tunnel, stream).await,
    }
}

async fn refused<G: Gate>(conn: &Conn<G>, identity: &Identity<G>, problem: &Problem) {
    conn.house.gate.refused(conn.listener, Some(&identity.leaf), None, problem);
    identity.state.in_turn().await;
}

/// A TLS connection: what a CONNECT would have to be granted, with an alert where that would get an answer.
async fn intercept<G: Gate>(tunnel: Tunnel<G>, stream: crate::connect::Outer) {
    let problem = match granted(&tunnel).await {
        Ok(Granted::Through(through)) => return through.carry(stream).await,
        Ok(Granted::Read(protocol)) => return tunnel.serve_tls(stream, protocol).await,
        Err(problem) => problem,
    };
    tunnel.refused(&problem);
    tunnel.state.in_turn().await;
    if let Some(hello) = tls::hello(stream).await {
        hello.deny().await;
    }
}

enum Granted<G: Gate> {
    Through(crate::connect::Through<G>),
    Read(tls::Protocol),
}

async fn granted<G: Gate>(tunnel: &Tunnel<G>) -> Result<Granted<G>, Problem> {
    let (plan, rules) = route(&*tunnel.house.gate, &tunnel.leaf, &tunnel.target)?;
    match rules {
        Rules::PassThrough => Box::pin(tunnel.dial_through(&plan)).await.map(Granted::Through),
        _ => tunnel.prepare(&plan).await.map(Granted::Read),
    }
}

/// The target behind what was dialled. A sandbox's own loopback is nobody's target, and an address of the resolver's range that
/// was given to no name was made up.
fn target_of(scheme: Scheme, dialled: SocketAddr, names: &dyn Names) -> Result<Target, Problem> {
    let address = dialled.ip().to_canonical();
    if address.is_loopback() || address.is_unspecified() {
        return Err(found::misdirected("nothing listens at this port of the sandbox itself"));
    }
    let host = match names.name_of(address) {
        Some(name) => name,
        None if names.is_reserved(address) => return Err(found::misdirected("no name was looked up for this address")),
        None => address.to_string(),
    };
    Target::new(scheme, &host, dialled.port()).map_err(|error| found::misdirected(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct One;

    impl Names for One {
        fn name_of(&self, address: IpAddr) -> Option<String> {
            (address.to_string() == "198.18.1.0").then(|| "api.example.test".to_owned())
        }
        fn is_reserved(&self, address: IpAddr) -> bool {
            address.to_string().starts_with("198.18.")
        }
    }

    fn dialled(address: &str) -> Result<String, &'static str> {
        target_of(Scheme::Https, address.parse().unwrap(), &One).map(|target| target.origin()).map_err(|problem| problem.code)
    }

    #[test]
    fn what_was_dialled_is_the_target_and_what_was_made_up_is_none() {
        assert_eq!(dialled("198.18.1.0:443").as_deref(), Ok("https://api.example.test:443"));
        assert_eq!(dialled("[::ffff:198.18.1.0]:8443").as_deref(), Ok("https://api.example.test:8443"));
        assert_eq!(dialled("169.254.169.254:443").as_deref(), Ok("https://169.254.169.254:443"));
        assert_eq!(dialled("[2001:db8::1]:443").as_deref(), Ok("https://[2001:db8::1]:443"));
        for nothing in ["198.18.9.9:443", "127.0.0.1:443", "127.8.8.8:443", "[::1]:443", "0.0.0.0:443", "[::ffff:127.0.0.1]:443"] {
            assert_eq!(dialled(nothing), Err("MQ-4103"), "{nothing}");
        }
    }
}
