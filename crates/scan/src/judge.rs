//! Whether a name and a value are a credential. Pure: text in, judgement out.

mod aws;
mod url;
mod words;

pub(crate) use aws::account_of;
pub(crate) use words::{is_reference, is_stand_in, says_production};

use crate::limits::VALUE_BYTES_MAX;
use crate::{Error, Service};
use marque_detect::Secret;
use marque_detect::limits::RULE_MATCH_MAX_BYTES;
use marque_detect::pattern::{Precision, Rule, Rules, builtin_rules};
use words::{is_path, is_plain, says_password, says_secret};

/// Fewest estimated bits of a value whose name says that it is a token or key.
const TOKEN_BITS_MIN: u32 = 40;
/// Fewest bytes of such a value.
const TOKEN_BYTES_MIN: usize = 12;
/// Fewest bytes of a value whose name says that it is a password.
const PASSWORD_BYTES_MIN: usize = 6;

/// A credential with its values, which live until they are hashed.
pub(crate) struct Raw {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) detail: Option<String>,
    pub(crate) line: Option<usize>,
    pub(crate) production: bool,
    pub(crate) exact: bool,
    /// More than one where they are one login.
    pub(crate) values: Vec<Secret>,
}

impl Raw {
    /// A credential that a format's own field declares.
    pub(crate) fn declared(name: impl Into<String>, kind: impl Into<String>, value: &str) -> Self {
        let (name, kind) = (name.into(), kind.into());
        Self {
            production: says_production(&name),
            name,
            kind,
            detail: None,
            line: None,
            exact: true,
            values: vec![Secret::new(value.as_bytes().to_vec())],
        }
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        self.production |= says_production(&detail);
        self.detail = Some(detail);
        self
    }

    pub(crate) fn at_line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }
}

/// Rules and names that make something a credential.
pub(crate) struct Judge {
    rules: Rules,
    services: Vec<Service>,
}

impl Judge {
    pub(crate) fn new(services: &[Service]) -> Result<Self, Error> {
        let mut rules = builtin_rules();
        for service in services {
            let Some(looks) = &service.looks else { continue };
            let rule = Rule::new(&format!("service:{}", service.name), looks, RULE_MATCH_MAX_BYTES);
            // A user's own profile whose expression cannot be bounded finds nothing; its variables still do.
            if Rules::compile(std::slice::from_ref(&rule)).is_ok() {
                rules.push(rule);
            }
        }
        Ok(Self { rules: Rules::compile(&rules)?, services: services.to_vec() })
    }

    /// One variable, or one member of a settings file.
    pub(crate) fn variable(&self, name: &str, value: &str) -> Option<Raw> {
        let value = unquoted(cut(value.trim()));
        if value.is_empty() || is_reference(value) {
            return None;
        }
        if let Some(found) = url::login(value) {
            return Some(found.named(name));
        }
        if is_stand_in(value) {
            return None;
        }
        self.by_rule(name, value).or_else(|| self.by_name(name, value))
    }

    /// Whether a known service keeps its credential in that variable.
    pub(crate) fn is_of_service(&self, name: &str) -> bool {
        self.services.iter().any(|s| s.env.iter().any(|known| known == name))
    }

    /// What a rule of a credential's own shape finds in a value.
    fn by_rule(&self, name: &str, value: &str) -> Option<Raw> {
        let findings = self.rules.find(value.as_bytes());
        let exact = findings.iter().filter(|f| f.precision == Precision::Exact && counts(&f.rule) && &*f.rule != IN_URL);
        let found = exact.into_iter().next()?;
        let secret = value.get(found.range.clone())?;
        let raw = Raw::declared(name, kind_of(&found.rule), secret);
        let live = secret.starts_with("sk_live_") || secret.starts_with("rk_live_");
        Some(Raw { production: raw.production || live, ..raw })
    }

    fn by_name(&self, name: &str, value: &str) -> Option<Raw> {
        if is_plain(value) || is_path(value) || value.contains("://") || value.chars().any(char::is_whitespace) {
            return None;
        }
        let token = value.len() >= TOKEN_BYTES_MIN && bits(value) >= TOKEN_BITS_MIN;
        let guess = |kind: &str| Raw { exact: false, ..Raw::declared(name, kind, value) };
        let service = self.services.iter().find(|s| s.env.iter().any(|known| known == name));
        match service {
            Some(service) if token => return Some(guess(&service.name)),
            _ => {}
        }
        if says_password(name) && value.len() >= PASSWORD_BYTES_MIN {
            return Some(guess("password"));
        }
        (says_secret(name) && token).then(|| guess("token or key"))
    }

    /// Every shape that rules find in a text: the line of each.
    pub(crate) fn text(&self, name: &str, text: &str) -> Vec<Raw> {
        let mut out = Vec::new();
        let (mut line, mut at) = (1, 0);
        for found in self.rules.find(text.as_bytes()) {
            let Some(secret) = text.get(found.range.clone()) else { continue };
            // Without the host beside it, a weak password in a URL is taken for a default of development.
            let weak = &*found.rule == IN_URL && bits(secret) < TOKEN_BITS_MIN;
            if found.precision != Precision::Exact || !counts(&found.rule) || is_stand_in(secret) || is_reference(secret) || weak {
                continue;
            }
            line += text.as_bytes().get(at..found.range.start).unwrap_or_default().iter().filter(|b| **b == b'\n').count();
            at = found.range.start;
            out.push(Raw::declared(name, kind_of(&found.rule), secret).at_line(line));
        }
        out
    }

    /// Whether a rule of a credential's own shape finds anything: such a text is not shown.
    pub(crate) fn has_secret(&self, text: &str) -> bool {
        self.rules.find(text.as_bytes()).iter().any(|f| f.precision == Precision::Exact && counts(&f.rule))
    }
}

/// The rule for passwords in URLs: a URL that is a value of its own is read as one.
const IN_URL: &str = "postgres-url-password";

fn bits(text: &str) -> u32 {
    Secret::new(text.as_bytes().to_vec()).entropy_bits_estimate()
}

/// An access key id names a key and is not one.
fn counts(rule: &str) -> bool {
    rule != "aws-access-key-id"
}

fn kind_of(rule: &str) -> String {
    rule.strip_prefix("service:").unwrap_or(rule).replace('-', " ")
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(VALUE_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    value.get(..end).unwrap_or(value)
}

/// Without the quotes around it.
pub(crate) fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests;
