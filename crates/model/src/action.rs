//! A normalised intended use, and the digest that an approval binds.

use crate::effect::Effect;
use crate::ids::{CredentialId, SessionId};
use crate::target::Target;
use aws_lc_rs::digest::{Context, SHA256};
use std::collections::BTreeMap;

/// What is known about the bytes that will be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// SHA-256 over the exact bytes to be forwarded, before the credential is placed. Can be asked about.
    Exact([u8; 32]),
    /// Longer than the hold limit: it can be allowed and never asked; its hash settles in the outcome.
    Streamed,
}

/// One use, as every later phase sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Where it goes.
    pub target: Target,
    /// The profile's name; `http` where no profile knows the host.
    pub service: String,
    /// The environment that the target or resource is registered in.
    pub environment: String,
    /// The profile's operation (`repo.read`), or the method.
    pub operation: String,
    /// Canonical resource name (`acme/web@main`), or the canonical path.
    pub resource: String,
    /// What it does.
    pub effect: Effect,
    /// Everything else that a decision may look at, by name.
    pub attributes: BTreeMap<String, String>,
    /// HTTP method, upper case, and canonical path: what an `http` grant is compared with.
    pub method: String,
    /// See `method`.
    pub path: String,
    /// The bytes.
    pub content: Content,
}

/// SHA-256 over domain tag, key of the session, session, leaf, target, credential version and all that was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActionDigest(pub [u8; 32]);

/// What the digest binds beside the action itself (threats C14, H20).
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The session.
    pub session: SessionId,
    /// `jti` of the asking leaf: a sibling's retry is another question.
    pub leaf: &'a str,
    /// The one credential that would be used.
    pub credential: Option<(CredentialId, u32)>,
    /// Random, of the session, and erasable: a digest stands in the journal for ever, and without this key whoever has the
    /// journal could try addresses and bodies until one fits (threats H9).
    pub key: &'a [u8; 32],
}

impl Action {
    /// The digest of this action by that leaf with that credential. Every field is length-prefixed, so that no two
    /// different actions have the same input.
    #[must_use]
    pub fn digest(&self, binding: &Binding<'_>) -> ActionDigest {
        let mut hash = Hasher::new(b"marque/action/v2");
        hash.field(binding.key);
        hash.field(binding.session.as_bytes());
        hash.field(binding.leaf.as_bytes());
        match binding.credential {
            None => hash.field(b""),
            Some((id, version)) => {
                hash.field(id.as_bytes());
                hash.field(&version.to_be_bytes());
            }
        }
        hash.field(self.target.origin().as_bytes());
        for text in [&self.service, &self.environment, &self.operation, &self.resource, &self.method, &self.path] {
            hash.field(text.as_bytes());
        }
        hash.field(&[self.effect.code()]);
        hash.field(&(self.attributes.len() as u64).to_be_bytes());
        for (name, value) in &self.attributes {
            hash.field(name.as_bytes());
            hash.field(value.as_bytes());
        }
        match self.content {
            Content::Exact(sha256) => hash.field(&sha256),
            Content::Streamed => hash.field(b"streamed"),
        }
        hash.finish()
    }
}

struct Hasher(Context);

impl Hasher {
    fn new(tag: &[u8]) -> Self {
        let mut this = Self(Context::new(&SHA256));
        this.field(tag);
        this
    }
    fn field(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }
    fn finish(self) -> ActionDigest {
        let mut out = [0u8; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        ActionDigest(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Scheme, TargetError};

    fn action() -> Result<Action, TargetError> {
        Ok(Action {
            target: Target::new(Scheme::Https, "api.github.test", 443)?,
            service: "github".into(),
            environment: "staging".into(),
            operation: "pr.create".into(),
            resource: "acme/web".into(),
            effect: Effect::Write,
            attributes: BTreeMap::from([("base".to_owned(), "main".to_owned())]),
            method: "POST".into(),
            path: "/repos/acme/web/pulls".into(),
            content: Content::Exact([1; 32]),
        })
    }

    #[test]
    fn changing_any_bound_field_changes_the_digest() -> Result<(), TargetError> {
        let binding = Binding {
            session: SessionId::from_bytes([1; 10]),
            leaf: "leaf-a",
            credential: Some((CredentialId::from_bytes([2; 10]), 1)),
            key: &[7; 32],
        };
        let base = action()?.digest(&binding);
        assert_eq!(base, action()?.digest(&binding));
        let edits: Vec<fn(&mut Action)> = vec![
            |a| a.service.push('x'),
            |a| a.environment.push('x'),
            |a| a.operation.push('x'),
            |a| a.resource.push('x'),
            |a| a.effect = Effect::Destructive,
            |a| a.attributes = BTreeMap::from([("base".to_owned(), "dev".to_owned())]),
            |a| a.attributes = BTreeMap::from([("bas".to_owned(), "emain".to_owned())]),
            |a| a.method = "PUT".into(),
            |a| a.path.push('/'),
            |a| a.content = Content::Exact([2; 32]),
            |a| a.content = Content::Streamed,
            |a| {
                // Moving a byte over a field's border must not cancel out.
                a.operation.push('a');
                a.resource.remove(0);
            },
        ];
        for edit in edits {
            let mut other = action()?;
            edit(&mut other);
            assert_ne!(base, other.digest(&binding));
        }
        let mut other = action()?;
        other.target = Target::new(Scheme::Https, "api.github.test", 8443)?;
        assert_ne!(base, other.digest(&binding));
        let rebind = [
            Binding { session: SessionId::from_bytes([3; 10]), ..binding },
            Binding { leaf: "leaf-b", ..binding },
            Binding { credential: Some((CredentialId::from_bytes([2; 10]), 2)), ..binding },
            Binding { credential: Some((CredentialId::from_bytes([3; 10]), 1)), ..binding },
            Binding { credential: None, ..binding },
            Binding { key: &[8; 32], ..binding },
        ];
        for binding in rebind {
            assert_ne!(base, action()?.digest(&binding));
        }
        Ok(())
    }
}
