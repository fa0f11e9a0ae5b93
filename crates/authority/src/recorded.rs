//! Text on its way into the journal. What looks like a secret stays out of it, also in encrypted form: a purpose, a reference
//! or an address may repeat what somebody pasted (threats H9).

use marque_detect::pattern::{Rules, builtin_rules};
use std::borrow::Cow;
use std::sync::OnceLock;

/// What stands where a secret was. Without a character that an address or a pattern of a task would read as more.
const MASK: &str = "-masked-";
/// What stands for a text that could not be searched.
const UNSEARCHED: &str = "-not-recorded-";

/// Text that was searched for secrets. Openings take no other.
pub(crate) struct Recorded<'a>(Cow<'a, str>);

impl<'a> Recorded<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        static RULES: OnceLock<Option<Rules>> = OnceLock::new();
        // The built-in rules compile, as their tests show. If they did not, nothing would be recorded unsearched.
        match RULES.get_or_init(|| Rules::compile(&builtin_rules()).ok()) {
            Some(rules) => Self(masked(rules, text)),
            None => Self(UNSEARCHED.into()),
        }
    }

    /// A key of the session's own: random, and of use to nobody without the records.
    pub(crate) fn key(bytes: &[u8; 32]) -> Recorded<'static> {
        Recorded(crate::hex(bytes).into())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_owned(self) -> Recorded<'static> {
        Recorded(self.0.into_owned().into())
    }
}

fn masked<'a>(rules: &Rules, text: &'a str) -> Cow<'a, str> {
    let found = rules.find(text.as_bytes());
    if found.is_empty() {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for finding in found {
        // Rules find bytes; a finding that would cut a character in two takes the whole of it.
        let (start, end) = (text.floor_char_boundary(finding.range.start), text.ceil_char_boundary(finding.range.end));
        out.push_str(text.get(from..start).unwrap_or_default());
        out.push_str(MASK);
        from = end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_not_recorded_and_the_rest_is() {
        let token = format!("ghp_{}", "aB3dE5fG7hJ9".repeat(3));
        for (text, want) in [
            ("read the items", "read the items".to_owned()),
            ("psql -c \"ALTER ROLE app PASSWORD 'hunter2'\" then look", "psql -c \"ALTER ROLE app PASSWORD '-masked-'\" then look".into()),
            ("/q?sql=ALTER%20ROLE%20app%20PASSWORD%20%27hunter2%27&x=1", "/q?sql=ALTER%20ROLE%20app%20PASSWORD%20%27-masked-%27&x=1".into()),
            (&format!("push with {token}, please"), "push with -masked-, please".into()),
            ("/v1?api_key=abcdefgh12345678&page=2", "/v1?api_key=-masked-&page=2".into()),
            ("grüße PASSWORD 'ä€x' ü", "grüße PASSWORD '-masked-' ü".into()),
        ] {
            assert_eq!(Recorded::of(text).text(), want);
        }
        assert_eq!(Recorded::key(&[0xab; 32]).text(), "ab".repeat(32));
    }
}
