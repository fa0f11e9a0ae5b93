//! Upstream connections of one leaf, by target. Never shared between leaves or sessions; a connection that carried a
//! credential carries that very version of it or none again.

use crate::body::OutBody;
use crate::limits::{POOL_IDLE, POOL_IDLE_PER_TARGET_MAX, POOL_TARGETS_MAX};
use crate::tls::Protocol;
use hyper::client::conn::{http1, http2};
use marque_model::{CredentialId, Target};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Which credential a connection carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Nothing yet: it was opened to see whether the upstream is what it should be.
    Nothing,
    /// Requests with that credential, or knowingly without one.
    Tag(Option<(CredentialId, u32)>),
}

/// One end of an upstream connection.
pub(crate) enum Sender {
    H1(http1::SendRequest<OutBody>),
    H2(http2::SendRequest<OutBody>),
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::H1(s) => s.is_closed(),
            Self::H2(s) => s.is_closed(),
        }
    }
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::H1(_) => Protocol::H1,
            Self::H2(_) => Protocol::H2,
        }
    }
}

struct Idle {
    sender: Sender,
    carried: Carried,
    since: Instant,
}

#[derive(Default)]
struct Slot {
    idle: Vec<Idle>,
    /// The last client that spoke TLS to this target did not speak HTTP/2.
    h1_clients: bool,
}

/// The upstream connections of one leaf.
#[derive(Default)]
pub(crate) struct Pool {
    slots: Mutex<HashMap<Target, Slot>>,
}

impl Pool {
    /// A live connection that may carry `tag`, if there is one. The caller owns an HTTP/1 connection until it gives it
    /// back; of an HTTP/2 connection it gets a share.
    pub(crate) fn take(&self, target: &Target, protocol: Protocol, tag: Option<(CredentialId, u32)>) -> Option<Sender> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get_mut(target)?;
        slot.drop_unusable(tag);
        // The last one given back first: it is the least likely to be closed from the other side.
        let at = slot.idle.iter().rposition(|idle| idle.sender.protocol() == protocol && idle.may_carry(tag))?;
        if let Sender::H2(shared) = &slot.idle.get(at)?.sender {
            let share = Sender::H2(shared.clone());
            if let Some(idle) = slot.idle.get_mut(at) {
                idle.carried = Carried::Tag(tag);
                idle.since = Instant::now();
            }
            return Some(share);
        }
        Some(slot.idle.swap_remove(at).sender)
    }

    /// Keeps a connection for later requests. An HTTP/2 connection is given once, when it was opened.
    pub(crate) fn give(&self, target: &Target, sender: Sender, carried: Carried) {
        if sender.is_closed() {
            return;
        }
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= POOL_TARGETS_MAX && !slots.contains_key(target) {
            slots.retain(|_, slot| {
                slot.drop_unusable(None);
                !slot.idle.is_empty()
            });
            if slots.len() >= POOL_TARGETS_MAX {
                return;
            }
        }
        let slot = slots.entry(target.clone()).or_default();
        if slot.idle.len() >= POOL_IDLE_PER_TARGET_MAX {
            slot.idle.remove(0);
        }
        slot.idle.push(Idle { sender, carried, since: Instant::now() });
    }

    /// Which protocol a connection that is at hand speaks.
    pub(crate) fn at_hand(&self, target: &Target) -> Option<Protocol> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get_mut(target)?;
        slot.drop_unusable(None);
        let prefers = |idle: &&Idle| !slot.h1_clients || idle.sender.protocol() == Protocol::H1;
        slot.idle.iter().rev().find(prefers).map(|idle| idle.sender.protocol())
    }

    /// Whether the clients of this target speak HTTP/1 alone, as far as is known.
    pub(crate) fn has_h1_clients(&self, target: &Target) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(target).is_some_and(|s| s.h1_clients)
    }

    /// Remembers what a client offered.
    pub(crate) fn note_client(&self, target: &Target, speaks_h2: bool) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(target) {
            slot.h1_clients = !speaks_h2;
        }
    }

    #[cfg(test)]
    fn idle(&self) -> usize {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().map(|s| s.idle.len()).sum()
    }
}

impl Idle {
    fn may_carry(&self, tag: Option<(CredentialId, u32)>) -> bool {
        match self.carried {
            Carried::Nothing => true,
            Carried::Tag(carried) => carried == tag,
        }
    }
}

impl Slot {
    /// Drops what is closed, too old, or carried another version of the credential that is about to be used.
    fn drop_unusable(&mut self, tag: Option<(CredentialId, u32)>) {
        let now = Instant::now();
        self.idle.retain(|idle| {
            let outdated = match (idle.carried, tag) {
                (Carried::Tag(Some((id, version))), Some((now_id, now_version))) => id == now_id && version != now_version,
                _ => false,
            };
            !outdated && !idle.sender.is_closed() && now.duration_since(idle.since) < POOL_IDLE
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper_util::rt::TokioIo;
    use marque_model::Scheme;

    fn target(n: usize) -> Target {
        Target::new(Scheme::Http, &format!("h{n}.test"), 80).unwrap()
    }

    /// A connection to nobody, and what keeps it open.
    async fn sender() -> (Sender, tokio::task::JoinHandle<()>, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(64);
        let (sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
        let task = tokio::spawn(async move {
            let _ = connection.await;
        });
        (Sender::H1(sender), task, far)
    }

    fn credential(version: u32) -> Option<(CredentialId, u32)> {
        Some((CredentialId::from_bytes([1; 10]), version))
    }

    #[tokio::test]
    async fn a_connection_that_carried_one_version_of_a_credential_never_carries_another() {
        let pool = Pool::default();
        let (s, _task, _far) = sender().await;
        pool.give(&target(0), s, Carried::Tag(credential(1)));
        assert!(pool.take(&target(0), Protocol::H1, None).is_none(), "nor none");
        assert!(pool.take(&target(1), Protocol::H1, credential(1)).is_none(), "nor elsewhere");
        assert_eq!(pool.idle(), 1);
        assert!(pool.take(&target(0), Protocol::H1, credential(2)).is_none());
        assert_eq!(pool.idle(), 0, "the old version's connection is gone");
    }

    #[tokio::test]
    async fn a_fresh_connection_carries_anything_once() {
        let pool = Pool::default();
        let (s, _task, _far) = sender().await;
        pool.give(&target(0), s, Carried::Nothing);
        assert!(pool.take(&target(0), Protocol::H2, credential(1)).is_none());
        assert!(pool.take(&target(0), Protocol::H1, credential(1)).is_some());
        assert!(pool.take(&target(0), Protocol::H1, credential(1)).is_none());
    }

    #[tokio::test]
    async fn as_many_idle_connections_are_kept_as_allowed_and_not_one_more() {
        let pool = Pool::default();
        let mut keep = Vec::new();
        for _ in 0..=POOL_IDLE_PER_TARGET_MAX {
            let (s, task, far) = sender().await;
            keep.push((task, far));
            pool.give(&target(0), s, Carried::Nothing);
        }
        assert_eq!(pool.idle(), POOL_IDLE_PER_TARGET_MAX);
        for n in 1..=POOL_TARGETS_MAX {
            let (s, task, far) = sender().await;
            keep.push((task, far));
            pool.give(&target(n), s, Carried::Nothing);
        }
        assert_eq!(pool.slots.lock().unwrap().len(), POOL_TARGETS_MAX);
    }
}
