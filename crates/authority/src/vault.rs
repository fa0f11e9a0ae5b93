//! A vault (OpenBao, HashiCorp Vault) as the place of values: KV version 2, read with a token that is a credential of its own.
//! To read it is a use too, of the authority's own: recorded before the token leaves (I1), and never a way for an agent.

use crate::authority::{Authority, Fetch};
use crate::credentials::{pins_of, places};
use crate::leaf::Leaf;
use crate::recorded::Recorded;
use crate::references::{Reference, Why, fitting, read_local};
use marque_chain::sha256;
use marque_detect::Secret;
use marque_model::action::Binding;
use marque_model::event::{Draft, PRINCIPAL_SYSTEM, UseIntent, UseOutcome, field};
use marque_model::state::Credential;
use marque_model::{Action, Content, Effect, Scheme, Target};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use zeroize::Zeroize;

/// The service of a vault's token. Sessions have no road to it.
pub(crate) const SERVICE: &str = "vault";
/// Where the token goes.
pub(crate) const PLACEMENT: &str = "header X-Vault-Token";
/// What is done there.
const OPERATION: &str = "kv.read";

/// A field of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    mount: String,
    path: String,
    field: String,
}

impl Address {
    /// `MOUNT/PATH#FIELD`; the mount is the first segment.
    ///
    /// # Errors
    /// A sentence that says how it is written.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let how = "write `vault:MOUNT/PATH#FIELD`, segments of letters, digits, `-`, `_` and `.`";
        let (place, field) = text.rsplit_once('#').ok_or(how)?;
        let (mount, path) = place.split_once('/').ok_or(how)?;
        let plain = |s: &str| {
            !matches!(s, "" | "." | "..") && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let fits = text.len() <= crate::limits::VAULT_ADDRESS_BYTES_MAX && plain(mount) && path.split('/').all(plain) && !field.is_empty();
        if fits { Ok(Self { mount: mount.into(), path: path.into(), field: field.into() }) } else { Err(how) }
    }

    fn url_path(&self) -> String {
        format!("/v1/{}/data/{}", self.mount, self.path)
    }
}

/// Cleartext to a vault only on this machine.
pub(crate) fn is_guarded(target: &Target, pins: &[IpAddr]) -> bool {
    let loopback = !pins.is_empty() && pins.iter().all(IpAddr::is_loopback);
    target.scheme() == Scheme::Https || loopback
}

impl Authority {
    /// The one vault of an environment.
    pub(crate) fn vault_of(&self, environment: &str) -> Result<Credential, Why> {
        let state = self.state.read();
        let mut all = state.credentials.values().filter(|c| c.service == SERVICE && c.environment == environment);
        match (all.next(), all.next()) {
            (Some(one), None) => Ok(one.clone()),
            (None, _) => Err(format!("`{environment}` has no vault: add its token with `--service {SERVICE}`")),
            (Some(_), Some(_)) => Err(format!("`{environment}` has two vaults")),
        }
    }

    /// The value of a field, for a use of that leaf whose intent is `cause`.
    pub(crate) async fn read_vault(&self, leaf: &Arc<Leaf>, cause: u64, address: &Address) -> Result<Secret, Why> {
        let vault = self.vault_of(&leaf.environment)?;
        let place = places(&vault).into_iter().next().ok_or("its vault has no address")?;
        let elsewhere = self.check_hosts(std::slice::from_ref(&place), &vault.pins, &vault.environment);
        elsewhere.map_err(|_| "its vault belongs to another environment".to_owned())?;
        let seq = self.vault_intent(leaf, cause, &vault, &place.target, address).await?;
        let done = self.ask_vault(&vault, &place.target, address).await;
        let (verdict, status) = match &done {
            Ok((status, _)) => (1, *status),
            Err(_) => (4, 0),
        };
        let outcome = UseOutcome { verdict, status, bytes: 0, rows: 0, scrubbed: 0, content: None, opaque: false };
        let draft = Draft::new(outcome).in_session(leaf.session, leaf.mode).by_leaf(leaf.jti.clone()).caused_by(seq);
        self.append_later(draft.into());
        let (status, body) = done?;
        match status {
            200 => field_of(body.expose(), &address.field),
            403 => Err("the vault refuses its token".into()),
            404 => Err("the vault has no such secret".into()),
            503 => Err("the vault is sealed or not ready".into()),
            other => Err(format!("the vault answered {other}")),
        }
    }

    async fn vault_intent(&self, leaf: &Arc<Leaf>, cause: u64, vault: &Credential, target: &Target, address: &Address) -> Result<u64, Why> {
        let credential = Some((vault.id, vault.version));
        let path = address.url_path();
        let action = Action {
            target: target.clone(),
            service: SERVICE.into(),
            environment: vault.environment.clone(),
            operation: OPERATION.into(),
            resource: format!("{}/{}", address.mount, address.path),
            effect: Effect::Reveal,
            attributes: BTreeMap::from([("field".to_owned(), address.field.clone())]),
            method: "GET".into(),
            path: path.clone(),
            content: Content::Exact(sha256(b"").0),
        };
        let intent = UseIntent {
            credential: Some(vault.id),
            version: vault.version,
            digest: action.digest(&Binding { session: leaf.session, leaf: &leaf.jti, credential, key: &leaf.digest_key }).0,
            service: action.service,
            operation: action.operation,
            resource: Some(action.resource),
            effect: action.effect,
            grant: None,
            bytes: 0,
            rows: 0,
            ask: None,
            origin: target.origin(),
            would_deny: Vec::new(),
            principal: PRINCIPAL_SYSTEM,
        };
        let draft = Draft::new(intent).in_session(leaf.session, leaf.mode).by_leaf(leaf.jti.clone()).caused_by(cause);
        let entry = self.with_opening(draft, leaf.human, field::URL, &Recorded::of(&path));
        *leaf.carried.lock().entry(vault.id).or_default() += 1;
        self.durable_intent(leaf, entry).await.map_err(|_| "its reading could not be recorded".to_owned())
    }

    async fn ask_vault(&self, vault: &Credential, target: &Target, address: &Address) -> Result<(u16, Secret), Why> {
        let row = self.vault_get((vault.id, vault.version)).await.map_err(|_| "the vault's token cannot be opened".to_owned())?;
        let token = match vault.source.as_str() {
            "value" => row,
            _ => {
                let text = std::str::from_utf8(row.expose()).unwrap_or_default();
                let reference = Reference::parse(text).map_err(str::to_owned)?;
                read_local(&reference).await.map_err(|why| format!("the token of its vault: {why}"))?
            }
        };
        let mut token = hyper::header::HeaderValue::from_bytes(token.expose()).map_err(|_| "the vault's token is no header value")?;
        token.set_sensitive(true);
        let mut headers = hyper::HeaderMap::new();
        headers.insert("x-vault-token", token);
        headers.insert("x-vault-request", hyper::header::HeaderValue::from_static("true"));
        headers.insert(hyper::header::ACCEPT, hyper::header::HeaderValue::from_static("application/json"));
        let listeners = self.listeners.read().clone().ok_or("there is no gateway")?;
        let what = Fetch { target: target.clone(), pins: pins_of(&vault.pins, target), path: address.url_path(), headers };
        let fetched = listeners.fetch(what).await.map_err(|problem| format!("its vault: {}", problem.detail))?;
        Ok((fetched.status, fetched.body))
    }
}

/// The field of an answer of KV version 2; what else is in it is wiped.
fn field_of(body: &[u8], field: &str) -> Result<Secret, Why> {
    let mut answer: serde_json::Value = serde_json::from_slice(body).map_err(|_| "the vault's answer is no JSON")?;
    let found = match answer.pointer_mut("/data/data").and_then(|data| data.get_mut(field)) {
        Some(serde_json::Value::String(text)) => fitting(std::mem::take(text).into_bytes()),
        Some(_) => Err("the field is no text".into()),
        None => Err("the secret has no such field".into()),
    };
    wipe(&mut answer, 0);
    found
}

/// As deep as answers of a vault are; a deeper one is not wiped there, and was read into nothing.
const WIPE_DEPTH: usize = 8;

fn wipe(value: &mut serde_json::Value, depth: usize) {
    match value {
        serde_json::Value::String(text) => text.zeroize(),
        serde_json::Value::Object(map) if depth < WIPE_DEPTH => map.values_mut().for_each(|v| wipe(v, depth + 1)),
        serde_json::Value::Array(list) if depth < WIPE_DEPTH => list.iter_mut().for_each(|v| wipe(v, depth + 1)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_answer_is_the_value_and_nothing_else_is() {
        let answer = br#"{"data":{"data":{"token":"a-long-enough-value\n","n":7},"metadata":{"token":"not-this-one"}}}"#;
        assert_eq!(field_of(answer, "token").map(|v| v.expose().to_vec()), Ok(b"a-long-enough-value".to_vec()));
        for wrong in ["n", "metadata", "absent", ""] {
            assert!(field_of(answer, wrong).is_err(), "{wrong}");
        }
        assert!(field_of(br#"{"data":{"data":null}}"#, "token").is_err(), "a deleted version");
        assert!(field_of(b"", "token").is_err());
    }

    #[test]
    fn an_address_has_as_many_bytes_as_allowed_and_not_one_more() {
        let of = |n: usize| format!("secret/{}#f", "a".repeat(n - "secret/#f".len()));
        assert!(Address::parse(&of(crate::limits::VAULT_ADDRESS_BYTES_MAX)).is_ok());
        assert!(Address::parse(&of(crate::limits::VAULT_ADDRESS_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_token_goes_in_cleartext_to_this_machine_alone() {
        let target = |text| crate::credentials::parse_origin(text).unwrap();
        assert!(is_guarded(&target("https://vault.test"), &[]));
        assert!(is_guarded(&target("http://vault.test:8200"), &["127.0.0.1".parse().unwrap()]));
        assert!(!is_guarded(&target("http://vault.test:8200"), &[]));
        assert!(!is_guarded(&target("http://vault.test:8200"), &["127.0.0.1".parse().unwrap(), "10.0.0.7".parse().unwrap()]));
    }
}
