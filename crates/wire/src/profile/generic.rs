//! Hosts that no profile knows: the method is the operation, the path the resource.

use super::extract::Plain;
use super::view::{Extracted, Meaning};
use super::{Credential, Profile};
use marque_chain::sha256;
use marque_model::{Effect, Target};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;

/// What stands as it is in a canonical path (RFC 3986 `pchar` without escapes), as in the chain's path patterns.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

impl Profile {
    /// The profile of a service that has none, with one alias, `api`. Operation = method, resource = canonical path;
    /// GET, HEAD and OPTIONS read, POST, PUT and PATCH write, DELETE destroys, anything else is unknown.
    #[must_use]
    pub fn generic(service: &str, host: Target) -> Self {
        Self {
            service: service.to_owned(),
            digest: sha256(format!("marque/generic/v1 {service} {host}").as_bytes()).0,
            hosts: BTreeMap::from([("api".to_owned(), host)]),
            credential: Credential::default(),
            base: BTreeMap::new(),
            signed: Vec::new(),
            variables: BTreeMap::new(),
            resources: BTreeMap::new(),
            graphql: None,
            ops: Vec::new(),
            generic: true,
        }
    }
}

pub(super) fn judge(plain: &Plain<'_>) -> Result<Extracted, String> {
    let effect = match plain.method {
        "GET" | "OPTIONS" => Effect::Read,
        "POST" | "PUT" | "PATCH" => Effect::Write,
        "DELETE" => Effect::Destructive,
        _ => return Err("the method is not known".into()),
    };
    // A member `_method` may hide in a multipart body; a rule can see that there is one.
    Ok(known(plain, effect, plain.is_multipart()?))
}

fn known(plain: &Plain<'_>, effect: Effect, multipart: bool) -> Extracted {
    let path = plain.segments.iter().map(|piece| format!("/{}", utf8_percent_encode(piece, ESCAPED)));
    let attributes = multipart.then(|| ("multipart".to_owned(), "true".to_owned()));
    Extracted::Known(vec![Meaning {
        operation: plain.method.to_owned(),
        resource: path.collect(),
        effect,
        attributes: attributes.into_iter().collect(),
        opaque: false,
        answers: Vec::new(),
        needs: Vec::new(),
        resolve: None,
    }])
}
