//! A use as the gateway understood it, before anybody decided on it.

use crate::kept::Source;
use crate::leaf::Candidate;
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use marque_model::{Content, CredentialId, Effect};
use marque_wire::place::{Placement, Slot};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One meaning of a request: most have one, a push of three branches has three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The profile's operation, or the method.
    pub operation: String,
    /// Canonical resource, or the canonical path.
    pub resource: String,
    /// What it does.
    pub effect: Effect,
    /// Whatever else the profile found.
    pub attributes: BTreeMap<String, String>,
}

/// What `content` is the hash of, besides method and address.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Headers that an approval binds.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Names of headers that go upstream and that it does not bind.
    pub unbound: Vec<HeaderName>,
    /// The held body; empty where it is streamed, which nobody is asked about.
    pub body: Bytes,
}

/// One use as the gateway understood it.
#[derive(Debug, Clone)]
pub struct Request {
    /// What it means, never empty.
    pub meanings: Vec<Meaning>,
    /// Upper case.
    pub method: String,
    /// Canonical path.
    pub path: String,
    /// Path and query, as forwarded.
    pub uri: String,
    /// The bytes.
    pub content: Content,
    /// What a human who is asked gets to see of them.
    pub shown: Shown,
    /// What it brings back of what earlier answers gave.
    pub brings: Brings,
}

/// What a request brings back of what earlier answers gave.
#[derive(Debug, Clone, Default)]
pub struct Brings {
    /// The use whose answer it was: the cause of this one.
    pub source: Option<Arc<Source>>,
    /// The slots in which it goes back: no credential is attached there.
    pub slots: Vec<Slot>,
    /// It is a read at this address, which an answer gave; no credential is attached at all.
    pub address: Option<marque_model::Target>,
}

impl Brings {
    /// Whether a credential is put into that place too.
    pub(crate) fn leaves(&self, placement: &Placement) -> bool {
        let slots = placement.slots();
        self.address.is_none() && !slots.is_empty() && !slots.iter().any(|slot| self.slots.contains(slot))
    }

    /// The account that a use is recorded under: the one that is attached, or the one that what is brought back belongs to.
    pub(crate) fn account(&self, candidate: Option<&Candidate>) -> Option<(CredentialId, u32)> {
        match &self.source {
            Some(source) => source.credential,
            None => candidate.filter(|c| self.leaves(&c.placement)).map(|c| (c.id, c.version)),
        }
    }
}
