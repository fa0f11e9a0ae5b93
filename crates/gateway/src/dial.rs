//! The way to the upstream: names are resolved once, here; every address is judged; exactly a judged address is dialled
//! (dataplane research 1.2).

use crate::gate::{DialPlan, RoutePlan};
use crate::limits::{ADDRESSES_MAX, DIAL_TRIES_MAX, DIAL_WAIT, RESOLVE_WAIT};
use crate::problem::{Problem, found};
use marque_wire::ip;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, RwLock};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Turns a name into addresses. Injected, so that tests decide what a name means.
pub trait Resolver: Send + Sync + 'static {
    /// Every address of `host`.
    fn resolve<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|a| a.ip()).collect()) })
    }
}

/// Dials upstreams.
pub(crate) struct Dialer {
    pub(crate) resolver: Arc<dyn Resolver>,
    /// Our own listeners: dialling one would be a loop.
    pub(crate) own: RwLock<Vec<SocketAddr>>,
}

impl Dialer {
    /// A connection to the plan's target, at an address that was judged.
    pub(crate) async fn dial(&self, plan: &RoutePlan) -> Result<TcpStream, Problem> {
        let host = plan.target.host();
        let addresses = self.addresses(plan).await?;
        let mut why = "it has no address".to_owned();
        for ip in addresses.into_iter().take(DIAL_TRIES_MAX) {
            let address = SocketAddr::new(ip, plan.target.port());
            if self.is_own(address) {
                return Err(found::address(host, "it is the gateway itself"));
            }
            match timeout(DIAL_WAIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // The kernel may have been told to translate: what was reached must be what was judged.
                    if stream.peer_addr().ok() != Some(address) {
                        return Err(found::address(host, "another address answered"));
                    }
                    // Without it a small request waits for the last one's acknowledgement (45 ms).
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(e)) => why = e.kind().to_string(),
                Err(_) => why = "no answer in time".to_owned(),
            }
        }
        Err(found::dial(host, &why))
    }

    async fn addresses(&self, plan: &RoutePlan) -> Result<Vec<IpAddr>, Problem> {
        let target = &plan.target;
        let candidates = match &plan.dial {
            DialPlan::Pinned(pinned) => {
                // A pin lifts private and loopback addresses, and nothing lifts the metadata services' (dataplane 1.2).
                for ip in pinned {
                    ip::judge(&[*ip], Some(*ip)).map_err(|e| found::address(target.host(), &e.to_string()))?;
                }
                return Ok(pinned.clone());
            }
            DialPlan::Public => match target.ip() {
                Some(ip) => vec![ip],
                None => match timeout(RESOLVE_WAIT, self.resolver.resolve(target.host())).await {
                    Ok(Ok(addresses)) if !addresses.is_empty() => addresses,
                    _ => return Err(found::resolve(target.host())),
                },
            },
        };
        judge(target.host(), &candidates)
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        let own = self.own.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        own.iter().any(|o| {
            o.port() == address.port() && (o.ip() == address.ip() || (o.ip().is_unspecified() && address.ip().is_loopback()))
        })
    }
}

/// Every address must be allowed: a name with one public and one private address is refused, because which of them is
/// dialled would be up to whoever answers for the name.
fn judge(host: &str, candidates: &[IpAddr]) -> Result<Vec<IpAddr>, Problem> {
    if candidates.len() > ADDRESSES_MAX {
        return Err(found::address(host, "it has too many addresses"));
    }
    ip::judge(candidates, None).map_err(|e| found::address(host, &e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(n: usize) -> Vec<IpAddr> {
        (0..n).map(|i| IpAddr::from([93, 184, 216, i as u8])).collect()
    }

    #[test]
    fn one_refused_address_refuses_the_name() {
        let mut all = ips(3);
        assert!(judge("x.test", &all).is_ok());
        all.push(IpAddr::from([169, 254, 169, 254]));
        assert!(judge("x.test", &all).is_err());
    }

    #[test]
    fn a_name_has_as_many_addresses_as_allowed_and_not_one_more() {
        assert!(judge("x.test", &ips(ADDRESSES_MAX)).is_ok());
        assert!(judge("x.test", &ips(ADDRESSES_MAX + 1)).is_err());
    }
}
