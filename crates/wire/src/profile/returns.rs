//! What answers gave and where it comes back: slots by host, and the hosts that signed addresses may lead to.

use super::error::ProfileError;
use super::reader::At;
use super::{LeadsTo, Profile};
use crate::answer::{Carrier, ReturnSlot, Treat};
use crate::place::Placement;
use marque_model::{Scheme, Target};

impl Profile {
    /// The slots of that host in which a client gives back what answers of this service gave it: those that the profile
    /// names, else `bearer` where answers of this very host carry a token; and every cookie that they set.
    #[must_use]
    pub fn returns(&self, alias: &str) -> Vec<ReturnSlot> {
        let mut out = self.credential.returns.get(alias).cloned().unwrap_or_default();
        let named = !out.is_empty();
        let own = self.ops.iter().filter(|op| op.matches.iter().any(|m| m.matcher.alias() == Some(alias)));
        let swapped = own.flat_map(|op| &op.answers).filter(|field| field.treat == Treat::Swap);
        for field in swapped {
            let slot = match &field.carrier {
                Carrier::Cookie(None) => ReturnSlot::AnyCookie,
                Carrier::Cookie(Some(name)) => ReturnSlot::At(Placement::Cookie { name: name.clone() }),
                Carrier::Json(_) | Carrier::Form(_) | Carrier::Header(_) if !named => ReturnSlot::At(Placement::Bearer),
                _ => continue,
            };
            if !out.contains(&slot) {
                out.push(slot);
            }
        }
        out
    }

    /// Whether a signed address in an answer may lead there: only where the profile names the host. The address that the
    /// answer came from is the caller's to compare.
    #[must_use]
    pub fn may_lead_to(&self, target: &Target) -> bool {
        self.signed.iter().any(|known| match known {
            LeadsTo::Host(host) => host == target,
            LeadsTo::Below(name) => {
                let below = target.host().strip_suffix(name.as_str()).and_then(|rest| rest.strip_suffix('.'));
                target.scheme() == Scheme::Https && target.port() == 443 && below.is_some_and(|rest| !rest.is_empty())
            }
        })
    }
}

/// `host`, `host:port` or `*.name`.
pub(super) fn leads_to(at: At<String>) -> Result<LeadsTo, ProfileError> {
    let host = at.value.strip_prefix("*.").unwrap_or(&at.value);
    let refuse = |why: String| ProfileError::value(at.line, why);
    let target = Target::from_authority(Scheme::Https, host).map_err(|e| refuse(e.to_string()))?;
    if host.len() == at.value.len() {
        return Ok(LeadsTo::Host(target));
    }
    // `*.com` would be everybody's.
    if target.port() != 443 || target.ip().is_some() || !target.host().contains('.') {
        return Err(refuse(format!("`{}` is no name of a zone with two labels or more", at.value)));
    }
    Ok(LeadsTo::Below(target.host().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(credential: &str, answers: &str, signed: &str) -> Result<Profile, ProfileError> {
        Profile::parse(&format!(
            "service = \"s\"\nhosts = {{ api = \"api.test\", auth = \"auth.test\" }}\nsigned = {signed}\n[credential]\n{credential}\n\
             [resource]\nall = \"all\"\n[[op]]\nname = \"login\"\neffect = \"read\"\non = \"all\"\nanswers = {answers}\n\
             match = [\"GET auth:/login\"]\nyes = [\"GET https://auth.test/login\"]\n"
        ))
    }

    fn returns(credential: &str, answers: &str, alias: &str) -> Vec<String> {
        profile(credential, answers, "[]").unwrap().returns(alias).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_answers_gave_comes_back_where_the_profile_says_or_else_where_it_came_from() {
        for (credential, answers, auth, api) in [
            ("", r#"["json /token", "json /other"]"#, vec!["bearer"], vec![]),
            ("", r#"["cookie sid", "cookie *"]"#, vec!["cookie sid", "cookie *"], vec![]),
            ("", r#"["location", "url /u"]"#, vec![], vec![]),
            ("", r#"["pass json /token", "pass cookie *"]"#, vec![], vec![]),
            (r#"returns = { api = "bearer" }"#, r#"["json /token"]"#, vec!["bearer"], vec!["bearer"]),
            (
                r#"returns = { api = ["header X-Token"], auth = "form refresh_token" }"#,
                r#"["json /token", "cookie sid"]"#,
                vec!["form refresh_token", "cookie sid"],
                vec!["header x-token"],
            ),
        ] {
            assert_eq!(returns(credential, answers, "auth"), auth, "{credential} {answers}");
            assert_eq!(returns(credential, answers, "api"), api, "{credential} {answers}");
        }
        assert!(profile(r#"returns = { git = "bearer" }"#, "[]", "[]").is_err(), "an alias that is none");
        assert!(profile(r#"returns = { api = "somewhere" }"#, "[]", "[]").is_err(), "a slot that is none");
    }

    #[test]
    fn a_signed_address_leads_to_named_hosts_alone() {
        let profile = profile("", "[]", r#"["files.test", "odd.test:8443", "*.store.test"]"#).unwrap();
        let leads = |scheme, host, port| profile.may_lead_to(&Target::new(scheme, host, port).unwrap());
        for (host, port) in [("files.test", 443), ("odd.test", 8443), ("a.store.test", 443), ("b.a.store.test", 443)] {
            assert!(leads(Scheme::Https, host, port), "{host}:{port}");
            assert!(!leads(Scheme::Http, host, port), "{host}:{port} in clear");
        }
        for (host, port) in [
            ("api.test", 443),
            ("files.test", 8443),
            ("odd.test", 443),
            ("store.test", 443),
            ("astore.test", 443),
            ("a.store.test", 8443),
            ("files.test.evil.test", 443),
            ("127.0.0.1", 443),
        ] {
            assert!(!leads(Scheme::Https, host, port), "{host}:{port}");
        }
    }

    #[test]
    fn everybodys_zone_is_no_zone() {
        for bad in [r#"["*.com"]"#, r#"["*."]"#, r#"["*.store.test:8443"]"#, r#"["*.127.0.0.1"]"#, r#"["Files.test"]"#, r#"["a b"]"#] {
            assert!(profile("", "[]", bad).is_err(), "{bad}");
        }
    }
}
