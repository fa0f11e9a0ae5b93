//! Named sets of hosts that may be read without a credential.

use super::decode::document;
use super::error::ProfileError;
use marque_chain::sha256;
use marque_model::{Scheme, Target};
use std::collections::BTreeSet;

/// A set of hosts, as data in `services/`. Reached with GET and HEAD alone, without a credential and without a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    name: String,
    digest: [u8; 32],
    hosts: BTreeSet<Target>,
}

impl Egress {
    /// Reads a set.
    ///
    /// # Errors
    /// [`ProfileError`] with the line.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        document(text, &["egress", "about", "hosts"], |root| {
            root.text("about")?;
            let name = root.required("egress")?.value;
            let mut hosts = BTreeSet::new();
            for at in root.texts("hosts")? {
                let target = Target::from_authority(Scheme::Https, &at.value)
                    .map_err(|error| ProfileError::value(at.line, error.to_string()))?;
                if !hosts.insert(target) {
                    return Err(ProfileError::value(at.line, format!("`{}` is there twice", at.value)));
                }
            }
            if hosts.is_empty() {
                return Err(ProfileError::Missing { line: root.line, key: "hosts" });
            }
            Ok(Self { name, digest: sha256(text.as_bytes()).0, hosts })
        })
    }

    /// What a task calls it, after `@`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
    /// SHA-256 of the text.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }
    /// The hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &Target> {
        self.hosts.iter()
    }
    /// Whether a request without credential may go there.
    #[must_use]
    pub fn permits(&self, target: &Target, method: &str) -> bool {
        matches!(method, "GET" | "HEAD") && self.hosts.contains(target)
    }
}
