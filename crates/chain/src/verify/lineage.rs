//! What a chain says once it is verified.

use serde::Serialize;

use crate::claims::{Agent, HumanAssertion, PolicyRef, Session, StatusRef};
use crate::commitment::Digest;
use crate::grant::{Grant, Limits, UseRef};
use crate::key::PublicKey;

/// One link of a verified chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Hop {
    /// Handle for revocation.
    pub jti: String,
    /// Label by the delegator.
    pub agent: Agent,
    /// Policy this hop adds.
    pub policy: Option<PolicyRef>,
    /// RFC 7638 thumbprint of `key`.
    pub holder: String,
    /// The holder's key.
    pub key: PublicKey,
    /// Unix seconds.
    pub iat_s: u64,
    /// Unix seconds.
    pub exp_s: u64,
    /// 0 for link 0.
    pub depth: u8,
    /// Deepest hop allowed below.
    pub max_depth: u8,
    /// Who may accept it.
    pub audience: Vec<String>,
    /// With effective limits.
    pub grants: Vec<Grant>,
    /// Effective limits over all grants.
    pub limits: Limits,
    /// For each grant the index of the grant of the hop above which covers it; empty for link 0.
    pub under: Vec<usize>,
    /// SHA-256 of the link's signing input.
    pub hash: Digest,
}

/// Who signed what, from the root to the leaf. It does not prove that nothing was revoked since, nor when it
/// was signed: those need a status or a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lineage {
    pub(super) issuer: String,
    pub(super) root: PublicKey,
    pub(super) session: Session,
    pub(super) status: Option<StatusRef>,
    pub(super) human_assertion: Option<(HumanAssertion, Digest)>,
    pub(super) hops: Vec<Hop>,
}

impl Lineage {
    /// `iss` of link 0.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The root key that signed link 0.
    #[must_use]
    pub fn root(&self) -> &PublicKey {
        &self.root
    }

    /// The session of link 0.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Where the status of link 0 is published.
    #[must_use]
    pub fn status(&self) -> Option<&StatusRef> {
        self.status.as_ref()
    }

    /// The passkey assertion and the challenge it has to answer. Not verified here.
    #[must_use]
    pub fn human_assertion(&self) -> Option<(&HumanAssertion, Digest)> {
        self.human_assertion
            .as_ref()
            .map(|(assertion, challenge)| (assertion, *challenge))
    }

    /// From link 0 to the leaf; never empty.
    #[must_use]
    pub fn hops(&self) -> &[Hop] {
        &self.hops
    }

    /// The last hop. `None` cannot occur in a value made by this crate.
    #[must_use]
    pub fn leaf(&self) -> Option<&Hop> {
        self.hops.last()
    }

    /// The leaf's first grant that permits a use. By containment every ancestor permits it too.
    #[must_use]
    pub fn permits(&self, what: &UseRef<'_>) -> Option<usize> {
        self.leaf()?
            .grants
            .iter()
            .position(|grant| grant.permits(what))
    }
}
