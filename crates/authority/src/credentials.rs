//! Stored credentials: added by an act that widens authority, opened only for a permit.

use crate::authority::Authority;
use crate::references::Reference;
use crate::vault;
use crate::{Error, random};
use marque_api::control::{CredentialAdd as Asked, CredentialView};
use marque_api::{Code, Problem};
use marque_detect::Secret;
use marque_model::event::{CredentialAdd, CredentialRemove, Draft};
use marque_model::state::Credential;
use marque_model::{CredentialId, Scheme, Target};
use marque_switch::{fail_point, guard_off};
use marque_wire::place::Placement;
use std::net::IpAddr;
use std::sync::Arc;
use zeroize::Zeroize;

/// One destination of a credential: alias, origin, placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What the profile calls the host.
    pub alias: String,
    /// Where it may go.
    pub target: Target,
    /// In which slot.
    pub placement: Placement,
}

fn input(detail: impl Into<String>, help: impl Into<String>) -> Error {
    Error::Refused(Problem::new(Code::INPUT, detail, help))
}

/// `https://host:port`, the port optional.
pub(crate) fn parse_origin(text: &str) -> Result<Target, Error> {
    let bad = |why: String| input(format!("`{text}` is not an origin: {why}"), "write it like `https://api.example.com`");
    let (scheme, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (Scheme::Https, rest),
        (None, Some(rest)) => (Scheme::Http, rest),
        (None, None) => return Err(bad("it begins with neither `https://` nor `http://`".into())),
    };
    Target::from_authority(scheme, rest.trim_end_matches('/')).map_err(|e| bad(e.to_string()))
}

/// `host:port=address`.
pub(crate) fn parse_pin(text: &str) -> Result<(String, IpAddr), Error> {
    let parsed = text.rsplit_once('=').and_then(|(host, ip)| Some((host.to_owned(), ip.parse().ok()?)));
    parsed.ok_or_else(|| input(format!("`{text}` is not a pin"), "write it like `api.internal:443=10.0.0.7`"))
}

/// The places of a credential, as its record has them.
pub(crate) fn places(credential: &Credential) -> Vec<Place> {
    let mut out = Vec::new();
    for (origin, placement) in credential.origins.iter().zip(credential.placement.split("; ")) {
        let Some((alias, origin)) = origin.split_once('=') else { continue };
        let (Ok(target), Ok(placement)) = (parse_origin(origin), placement.parse::<Placement>()) else { continue };
        out.push(Place { alias: alias.to_owned(), target, placement });
    }
    out
}

/// Addresses that a target is pinned to.
pub(crate) fn pins_of(pins: &[String], target: &Target) -> Vec<IpAddr> {
    let name = format!("{}:{}", target.host(), target.port());
    pins.iter().filter_map(|p| parse_pin(p).ok()).filter(|(host, _)| *host == name).map(|(_, ip)| ip).collect()
}

impl Authority {
    /// Whether this is the passphrase; every act that widens authority passes here (I14).
    ///
    /// # Errors
    /// Where it is not.
    pub(crate) async fn check_passphrase(self: &Arc<Self>, passphrase: &mut String) -> Result<(), Error> {
        let secret = Secret::new(passphrase.as_bytes().to_vec());
        passphrase.zeroize();
        let signer = self.signer.clone();
        let checked = tokio::task::spawn_blocking(move || signer.check(&secret)).await;
        match checked.map_err(|e| Error::Signer(e.to_string()))?? || guard_off("I14") {
            true => Ok(()),
            false => Err(Error::Refused(Problem::plain(Code::AUTH, "give the passphrase that was set at the first run"))),
        }
    }

    /// Reads a reference as it will be read, and sees that there is a vault where it needs one.
    fn reference_kind(&self, text: &str, asked: &Asked) -> Result<&'static str, Error> {
        let reference = Reference::parse(text).map_err(|how| input("that is no reference", how))?;
        if matches!(reference, Reference::Vault(_)) {
            if asked.service == vault::SERVICE {
                return Err(input("a vault's own token cannot be in a vault", "give its value, or an `env:`, `file:` or `cmd:` reference"));
            }
            let help = "add its token first: `marque credential add vault --service vault --env ENV --host https://… < token`";
            self.vault_of(&asked.environment).map_err(|why| input(why, help))?;
        }
        Ok(reference.kind())
    }

    fn places_asked(&self, asked: &Asked) -> Result<Vec<Place>, Error> {
        let profile = self.services.read().get(&asked.service).cloned();
        let profile = profile.as_deref();
        let is_vault = asked.service == vault::SERVICE;
        if profile.is_none() && asked.service != "http" && !is_vault {
            let own = ["http".to_owned(), vault::SERVICE.to_owned()];
            let known: Vec<String> = self.services.read().keys().cloned().chain(own).collect();
            let help = format!("known services: {}", known.join(", "));
            return Err(Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{}` is no service", asked.service), help)));
        }
        let mut named: Vec<(String, Target)> = Vec::new();
        for host in &asked.hosts {
            let (alias, origin) = match host.split_once('=') {
                Some((alias, origin)) => (alias, origin),
                None => ("api", host.as_str()),
            };
            named.push((alias.to_owned(), parse_origin(origin)?));
        }
        if let (Some(profile), true) = (profile, named.is_empty()) {
            named.extend(profile.aliases().map(|(alias, target)| (alias.to_owned(), target.clone())));
        }
        if named.is_empty() {
            return Err(input("a credential needs at least one host", "add `--host https://api.example.com`"));
        }
        let mut out = Vec::new();
        for (alias, target) in named {
            let allowed = match profile {
                Some(profile) => profile.credential().place.get(&alias).cloned().ok_or_else(|| {
                    input(format!("`{alias}` is no host of `{}`", asked.service), "see `marque service show`")
                })?,
                None if is_vault => vec![vault::PLACEMENT.parse::<Placement>().map_err(|e| input(e.to_string(), "leave `--place` out"))?],
                None => Vec::new(),
            };
            let placement = match (&asked.placement, allowed.first()) {
                (Some(text), _) => text.parse::<Placement>().map_err(|e| {
                    input(format!("`{text}` is no placement: {e}"), "write it like `bearer` or `header X-Api-Key`")
                })?,
                (None, Some(first)) => first.clone(),
                (None, None) => {
                    return Err(input("a credential for `http` needs a placement", "add `--place bearer`, or another one"));
                }
            };
            if profile.is_some_and(|p| !p.allows_place(&alias, &placement)) {
                let help = allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(input(
                    format!("`{placement}` is no placement of `{}`", asked.service),
                    format!("the profile allows: {help}"),
                ));
            }
            out.push(Place { alias, target, placement });
        }
        let guarded = |place: &Place| vault::is_guarded(&place.target, &pins_of(&asked.pins, &place.target));
        if is_vault && (out.len() != 1 || asked.placement.is_some() || !out.iter().all(guarded)) {
            let help = "give one `--host https://vault.internal:8200`, and a `--pin` where its address is private; no `--place`";
            return Err(input("a vault has one address, over TLS or pinned to this machine", help));
        }
        Ok(out)
    }

    /// Adds a credential, or a new version of one with that name.
    ///
    /// # Errors
    /// Where the passphrase is wrong, or the record makes no sense.
    pub async fn credential_add(self: &Arc<Self>, mut asked: Asked, uid: u32) -> Result<CredentialView, Error> {
        self.check_passphrase(&mut asked.passphrase).await?;
        self.judge_act("credential.add", &asked.name, &asked.environment, self.subject_of(uid).await?)?;
        let places = self.places_asked(&asked)?;
        for pin in &asked.pins {
            parse_pin(pin)?;
        }
        for pattern in &asked.resources {
            marque_chain::grant::ResourcePattern::parse(pattern)
                .map_err(|e| input(format!("`{pattern}` is no resource pattern: {e}"), "write it like `acme/*`"))?;
        }
        if asked.name.is_empty() || asked.environment.is_empty() {
            return Err(input("a credential needs a name and an environment", "add `--env staging`"));
        }
        self.check_hosts(&places, &asked.pins, &asked.environment)?;
        let (source, mut text) = match (asked.value.take(), asked.reference.take()) {
            (Some(value), None) => ("value", value),
            (None, Some(reference)) => (self.reference_kind(&reference, &asked)?, reference),
            _ => return Err(input("a credential is a value or a reference", "give the value on standard input")),
        };
        if source == "value" && text.len() < marque_detect::limits::SECRET_MIN_BYTES {
            text.zeroize();
            return Err(input("the value is too short to be recognised in answers", "use a longer credential"));
        }
        let secret = Secret::new(std::mem::take(&mut text).into_bytes());
        let _one_at_a_time = self.changing_credentials.lock().await;
        let (id, version) = {
            let state = self.state.read();
            match state.credentials.values().find(|c| c.name == asked.name) {
                Some(old) if old.environment != asked.environment || old.service != asked.service => {
                    let detail = format!("`{}` is a credential for {} in {} already", old.name, old.service, old.environment);
                    let help = "give another name, or take that one out first: `marque credential remove NAME`";
                    return Err(Error::Refused(Problem::new(Code::CONFLICT, detail, help)));
                }
                Some(old) => (old.id, old.version.saturating_add(1)),
                None => (CredentialId::from_bytes(random::bytes()?), 1),
            }
        };
        let row = self.vault_put(format!("credential/{id}"), version, secret).await?;
        fail_point("credential.sealed");
        let event = CredentialAdd {
            id,
            version,
            name: asked.name,
            service: asked.service,
            environment: asked.environment,
            origins: places.iter().map(|p| format!("{}={}", p.alias, p.target.origin())).collect(),
            placement: places.iter().map(|p| p.placement.to_string()).collect::<Vec<_>>().join("; "),
            row,
            source: source.to_owned(),
            pins: asked.pins,
            resources: asked.resources,
        };
        let credential = Credential::from(&event);
        self.append(Draft::new(event).into()).await?;
        fail_point("credential.durable");
        self.remember()?;
        Ok(view(&credential))
    }

    /// Removes a credential. Gives authority back, so it needs no passphrase.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub async fn credential_remove(self: &Arc<Self>, name: &str) -> Result<(), Error> {
        let _one_at_a_time = self.changing_credentials.lock().await;
        let found = self.state.read().credentials.values().find(|c| c.name == name || c.id.to_string() == name).map(|c| c.id);
        let id = found.ok_or_else(|| {
            Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{name}` is no credential"), "see `marque credential list`"))
        })?;
        self.append(Draft::new(CredentialRemove { id }).into()).await?;
        fail_point("credential.removed");
        self.values.write().retain(|key, _| key.0 != id);
        self.remember()
    }

    /// Addresses that a target is pinned to in the records of those credentials: an act that widens authority put them there
    /// (I14).
    pub fn pins(&self, target: &Target, of: impl Iterator<Item = CredentialId>) -> Vec<IpAddr> {
        let state = self.state.read();
        of.filter_map(|id| state.credentials.get(&id)).flat_map(|c| pins_of(&c.pins, target)).collect()
    }

    /// All credentials, without values.
    #[must_use]
    pub fn credential_list(&self) -> Vec<CredentialView> {
        let mut list: Vec<CredentialView> = self.state.read().credentials.values().map(view).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// The value of that version, opened once and kept while the process lives.
    pub(crate) async fn credential_value(&self, key: (CredentialId, u32)) -> Result<Arc<Secret>, Error> {
        if let Some(value) = self.values.read().get(&key) {
            return Ok(value.clone());
        }
        let value = Arc::new(Box::pin(self.vault_get(key)).await?);
        self.values.write().insert(key, value.clone());
        Ok(value)
    }

    /// Every credential event carries the hash of its sealed row: an older file of secrets is noticed (threats H27).
    pub(crate) fn check_secrets(&self) -> Result<(), Error> {
        let state = self.state.read();
        let secrets = self.secrets.lock();
        for credential in state.credentials.values() {
            let found = secrets.row_hash(&format!("credential/{}", credential.id), credential.version);
            if found != Some(credential.row) {
                return Err(Error::Secrets(format!(
                    "the sealed value of `{}` is not the one that the journal knows: the file was replaced by an older one",
                    credential.name
                )));
            }
        }
        Ok(())
    }
}

fn view(credential: &Credential) -> CredentialView {
    CredentialView {
        id: credential.id.to_string(),
        name: credential.name.clone(),
        service: credential.service.clone(),
        environment: credential.environment.clone(),
        version: credential.version,
        origins: credential.origins.clone(),
        placement: credential.placement.clone(),
        source: credential.source.clone(),
        kind: "static".into(),
    }
}
