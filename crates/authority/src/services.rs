//! The profiles that ship with the program. They are part of it, so a workspace cannot change them (threats C11); a
//! profile of the user's own takes effect by digest through an act that widens authority.

use crate::Error;
use marque_wire::profile::{Egress, Profile};
use std::collections::BTreeMap;
use std::sync::Arc;

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../services/", $name, ".toml")))),+]
    };
}

/// Name and text of every shipped profile.
pub const SHIPPED: &[(&str, &str)] = shipped!["anthropic", "docker-registry", "github", "openai", "slack"];

/// The named set `@package-registries`: readable without a credential and without a question.
const PACKAGE_REGISTRIES: &str = include_str!("../../../services/package-registries.toml");

/// Origins of `@package-registries`.
///
/// # Errors
/// Where the shipped set does not parse.
pub fn package_registries() -> Result<Vec<String>, Error> {
    let set = Egress::parse(PACKAGE_REGISTRIES).map_err(|e| Error::Profile("package-registries".into(), e.to_string()))?;
    Ok(set.hosts().map(marque_model::Target::origin).collect())
}

/// Profiles by name.
pub type Services = BTreeMap<String, Arc<Profile>>;

/// Reads the shipped profiles.
///
/// # Errors
/// Where one does not parse, which a test of `wire` excludes.
pub fn shipped() -> Result<Services, Error> {
    let mut out = Services::new();
    for (name, text) in SHIPPED {
        let profile = Profile::parse(text).map_err(|e| Error::Profile((*name).to_owned(), e.to_string()))?;
        out.insert((*name).to_owned(), Arc::new(profile));
    }
    Ok(out)
}
