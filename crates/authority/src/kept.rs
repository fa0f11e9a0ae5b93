//! Credentials that upstreams put into answers (threats C10): kept here for the session, shown to the agent as placeholders
//! and addresses of the gateway, and given back only where they belong.

use crate::authority::Authority;
use crate::leaf::Leaf;
use crate::{admit, limits};
use marque_api::{Code, Problem};
use marque_detect::Secret;
use marque_model::{CredentialId, Scheme, Target};
use std::collections::HashMap;
use std::sync::Arc;

/// The use in whose answer a credential came.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its intent.
    pub seq: u64,
    /// The account that it used: tokens and cookies act for it too.
    pub credential: Option<(CredentialId, u32)>,
    /// What it meant.
    pub meanings: Vec<admit::Meaning>,
    /// Its canonical path.
    pub path: String,
    /// Its answer passes unsearched.
    pub opaque: bool,
}

/// A credential that an upstream put into an answer.
pub struct Kept {
    /// Whose answer it was.
    pub target: Target,
    /// Where it stood: `json /token`, `cookie sid`, `location`.
    pub carrier: String,
    /// The value.
    pub value: Secret,
    /// Which use's answer it was.
    pub source: Arc<Source>,
    /// Where it leads, if it is an address.
    pub leads_to: Option<Target>,
    touched: u64,
}

/// All that a leaf keeps, by placeholder. The one that was not asked for for the longest time goes first.
#[derive(Default)]
pub struct KeptBox {
    by_name: HashMap<String, Arc<Kept>>,
    ticks: u64,
}

impl KeptBox {
    /// What stands behind a placeholder.
    pub fn get(&mut self, name: &str) -> Option<Arc<Kept>> {
        self.ticks += 1;
        let ticks = self.ticks;
        let kept = self.by_name.get_mut(name)?;
        if let Some(kept) = Arc::get_mut(kept) {
            kept.touched = ticks;
        }
        Some(kept.clone())
    }

    /// The placeholder under which the same is kept already: a cookie that is set with every answer stays one cookie.
    fn known(&self, target: &Target, carrier: &str, value: &Secret) -> Option<String> {
        let same = |kept: &Kept| kept.target == *target && kept.carrier == carrier && kept.value.eq_bytes(value.expose());
        self.by_name.iter().find(|(_, kept)| same(kept)).map(|(name, _)| name.clone())
    }

    /// Forgets all of it: the session is over.
    pub fn clear(&mut self) {
        self.by_name.clear();
    }

    fn put(&mut self, name: String, mut kept: Kept) {
        if self.by_name.len() >= limits::KEPT_MAX {
            let oldest = self.by_name.iter().min_by_key(|(_, kept)| kept.touched).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                self.by_name.remove(&oldest);
            }
        }
        self.ticks += 1;
        kept.touched = self.ticks;
        self.by_name.insert(name, Arc::new(kept));
    }
}

fn withheld(detail: impl Into<String>) -> Problem {
    Problem::new(Code::WITHHELD, detail, "ask for the content through the service's own API")
}

impl Authority {
    /// Keeps a credential that an upstream put into an answer; the agent gets a placeholder that is good only there. For an
    /// address it is the name that stands behind the gateway's own path.
    ///
    /// # Errors
    /// Where an address leads to a host that the profile does not name, or no randomness is to be had.
    pub fn keep_answer(
        &self,
        leaf: &Arc<Leaf>,
        target: &Target,
        source: &Arc<Source>,
        carrier: &str,
        value: Secret,
    ) -> Result<String, Problem> {
        let is_address = carrier == "location" || carrier.starts_with("url ");
        let (value, leads_to) = match is_address {
            true => {
                let (there, path) = self.address(leaf, target, &value)?;
                (path, Some(there))
            }
            false => (value, None),
        };
        let mut kept = leaf.kept.lock();
        if leads_to.is_none()
            && let Some(known) = kept.known(target, carrier, &value)
        {
            return Ok(known);
        }
        let fresh = crate::random::bytes::<16>()
            .map_err(|_| Problem::plain(Code::QUOTA, "try again; no randomness is to be had"))?;
        let name = format!("marque-kept-{}", crate::hex(&fresh));
        leaf.needles.add_kept(telling(&value, leads_to.is_some()));
        let entry = Kept {
            target: target.clone(),
            carrier: carrier.to_owned(),
            value,
            source: source.clone(),
            leads_to,
            touched: 0,
        };
        kept.put(name.clone(), entry);
        Ok(name)
    }

    /// Where a signed address leads, and its path with the query. No name is resolved here.
    fn address(&self, leaf: &Leaf, target: &Target, value: &Secret) -> Result<(Target, Secret), Problem> {
        let unread = || withheld("the answer leads to a signed address that cannot be read");
        let text = std::str::from_utf8(value.expose()).map_err(|_| unread())?;
        // A fragment is never sent.
        let text = text.split('#').next().unwrap_or_default();
        let (there, path) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => absolute(Scheme::Https, rest).ok_or_else(unread)?,
            (None, Some(rest)) => absolute(Scheme::Http, rest).ok_or_else(unread)?,
            (None, None) if text.starts_with('/') && !text.starts_with("//") => (target.clone(), text.to_owned()),
            (None, None) => return Err(unread()),
        };
        let declared = || {
            let profile = leaf.roads.get(target).and_then(|road| road.profile.as_ref());
            profile.is_some_and(|profile| profile.may_lead_to(&there))
        };
        if there != *target && !declared() {
            let host = there.host();
            return Err(withheld(format!(
                "the answer leads to a signed address at `{host}`, which works for whoever holds it and which the service \
                 profile does not name"
            )));
        }
        if path.len() > limits::KEPT_ADDRESS_BYTES_MAX {
            return Err(unread());
        }
        Ok((there, Secret::new(path.into_bytes())))
    }

    /// The credential behind a placeholder: for the very target that it came from, or another host of the same account; a
    /// cookie only there, and under its own name.
    #[must_use]
    pub fn restore_answer(&self, leaf: &Arc<Leaf>, target: &Target, slot: &str, placeholder: &str) -> Option<Secret> {
        let kept = leaf.kept.lock().get(placeholder)?;
        if kept.leads_to.is_some() {
            return None;
        }
        let is_cookie = |text: &str| text.starts_with("cookie ");
        let same_account = || {
            let road = leaf.roads.get(target)?;
            let (id, version) = kept.source.credential?;
            Some(road.candidates.iter().any(|c| c.id == id && c.version == version))
        };
        let fits = match is_cookie(&kept.carrier) || is_cookie(slot) {
            true => kept.carrier == slot && kept.target == *target,
            false => kept.target == *target || same_account() == Some(true),
        };
        fits.then(|| Secret::new(kept.value.expose().to_vec()))
    }

    /// A profile let a credential of an answer through: the agent holds it until it expires, and the statement says so.
    pub fn exposed(&self, leaf: &Arc<Leaf>, what: String) {
        let mut exposed = leaf.exposed.lock();
        if exposed.len() < limits::KEPT_MAX {
            exposed.insert(what);
        }
    }
}

fn absolute(scheme: Scheme, rest: &str) -> Option<(Target, String)> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    // User information is no part of an authority here, so that an address with it is not read.
    let target = Target::from_authority(scheme, &authority.to_ascii_lowercase()).ok()?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some((target, path))
}

/// What an upstream may echo: a token as it is; of an address its query, and each value in it that is long enough to be
/// secret by itself.
fn telling(value: &Secret, is_address: bool) -> Vec<Secret> {
    let bytes = value.expose();
    let Some(at) = bytes.iter().position(|b| *b == b'?').filter(|_| is_address) else {
        return if is_address { Vec::new() } else { vec![Secret::new(bytes.to_vec())] };
    };
    let query = bytes.get(at + 1..).unwrap_or_default();
    let values = query.split(|b| *b == b'&').filter_map(|pair| pair.splitn(2, |b| *b == b'=').nth(1));
    let long = values.filter(|v| v.len() >= limits::TELLING_BYTES_MIN).take(limits::TELLING_MAX);
    long.chain([query]).map(|v| Secret::new(v.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(n: usize) -> Kept {
        let source = Source { seq: 1, credential: None, meanings: Vec::new(), path: "/".into(), opaque: false };
        Kept {
            target: Target::new(Scheme::Https, "a.test", 443).unwrap(),
            carrier: "json /token".into(),
            value: Secret::new(format!("value-{n}").into_bytes()),
            source: Arc::new(source),
            leads_to: None,
            touched: 0,
        }
    }

    #[test]
    fn as_many_are_kept_as_allowed_and_the_one_longest_unused_goes() {
        let mut all = KeptBox::default();
        for n in 0..limits::KEPT_MAX {
            all.put(n.to_string(), kept(n));
        }
        assert!(all.get("0").is_some(), "n are kept");
        all.put("one more".into(), kept(limits::KEPT_MAX));
        assert!(all.get("0").is_some(), "it was used");
        assert!(all.get("1").is_none(), "it was not");
        assert_eq!(all.by_name.len(), limits::KEPT_MAX);
    }

    #[test]
    fn the_same_value_in_the_same_place_is_the_same_placeholder() {
        let mut all = KeptBox::default();
        all.put("p".into(), kept(1));
        let target = kept(1).target;
        assert_eq!(all.known(&target, "json /token", &kept(1).value), Some("p".into()));
        assert_eq!(all.known(&target, "json /other", &kept(1).value), None);
        assert_eq!(all.known(&target, "json /token", &kept(2).value), None);
    }

    #[test]
    fn an_address_is_read_with_or_without_path_and_never_with_a_user() {
        let read = |text| absolute(Scheme::Https, text).map(|(t, p)| format!("{} {p}", t.origin()));
        assert_eq!(read("Files.test/a?sig=1").as_deref(), Some("https://files.test:443 /a?sig=1"));
        assert_eq!(read("files.test?sig=1").as_deref(), Some("https://files.test:443 /?sig=1"));
        assert_eq!(read("files.test:8443").as_deref(), Some("https://files.test:8443 /"));
        for bad in ["u@files.test/a", "u:p@files.test/a", "", "files.test./a", "files.test:0/"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_tells_an_address_is_its_query_and_its_long_values() {
        let all = telling(&Secret::new(b"/o?sig=0123456789abcdef0123&e=1".to_vec()), true);
        let all: Vec<_> = all.iter().map(|s| String::from_utf8_lossy(s.expose()).into_owned()).collect();
        assert_eq!(all, ["0123456789abcdef0123", "sig=0123456789abcdef0123&e=1"]);
        assert!(telling(&Secret::new(b"/public/file".to_vec()), true).is_empty());
    }
}
