//! Which environment the words of a command hint at. Whole segments count: `prod` is one, `product` and `nonprod` are not.

use crate::reading::Environment;
use crate::shell::expand::DYNAMIC;

/// Words before `prod` that make another environment of it.
const NOT: &[&str] = &["non", "not", "no", "pre"];

/// The hint of one text; the strictest of its segments.
pub(crate) fn environment(text: &str) -> Environment {
    let mut best = Environment::Unknown;
    let mut before = String::new();
    if loopback(text) {
        best = Environment::Development;
    }
    for segment in text.split(|c: char| !c.is_alphanumeric()).filter(|segment| !segment.is_empty()) {
        let segment = segment.to_ascii_lowercase();
        let mut found = of_segment(segment.trim_end_matches(|c: char| c.is_ascii_digit()));
        if found == Environment::Production && NOT.contains(&before.as_str()) {
            found = Environment::Unknown;
        }
        best = best.max(found);
        before = segment;
    }
    best
}

/// Whether a host, an address with a host, or a host with a port is this machine.
pub(crate) fn loopback(text: &str) -> bool {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['/', '?']).next().unwrap_or_default();
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let here = |host: &str| host == "localhost" || host.starts_with("127.") || host == "0.0.0.0" || host == "::1" || host == "[::1]";
    here(text) || text.starts_with("[::1]:") || (text.starts_with(':') && text.len() > 1) || text.rsplit_once(':').is_some_and(|(host, port)| here(host) && port.chars().all(|c| c.is_ascii_digit()))
}

fn of_segment(segment: &str) -> Environment {
    match segment {
        "prod" | "production" | "prd" | "live" => Environment::Production,
        "stg" | "staging" | "uat" => Environment::Staging,
        "dev" | "development" | "test" | "sandbox" | "localhost" => Environment::Development,
        _ => Environment::Unknown,
    }
}

/// The hint of several texts. One that is known only when it runs may say anything, so that the others say nothing less than
/// production.
pub(crate) fn strictest<'t>(texts: impl IntoIterator<Item = &'t str>) -> Environment {
    let (mut best, mut open) = (Environment::Unknown, false);
    for text in texts {
        best = best.max(environment(text));
        open |= text.contains(DYNAMIC);
    }
    if open && best != Environment::Production { Environment::Unknown } else { best }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prod_is_a_whole_segment() {
        for text in ["prod", "acme-prod", "prod-eu1", "db.production.acme.test", "PRD_MAIN", "live", "prod01", "arn:aws:s3:::prod/x"] {
            assert_eq!(environment(text), Environment::Production, "{text}");
        }
        for text in ["nonprod", "preprod", "product", "products", "reproduce", "alive", "livestream", "non-prod", "pre-prod", "prodigy"] {
            assert_ne!(environment(text), Environment::Production, "{text}");
        }
        assert_eq!(environment("staging-db"), Environment::Staging);
        assert_eq!(environment("acme_uat"), Environment::Staging);
        assert_eq!(environment("dev.acme.test"), Environment::Development);
        assert_eq!(environment("acme"), Environment::Unknown);
    }

    #[test]
    fn what_is_not_known_lowers_no_hint() {
        assert_eq!(strictest(["staging", "\0"]), Environment::Unknown);
        assert_eq!(strictest(["prod", "\0"]), Environment::Production);
        assert_eq!(strictest(["staging", "prod"]), Environment::Production);
    }
}
