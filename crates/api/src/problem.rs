//! A refusal as programs see it: RFC 9457 problem details. It says that it is Marque's and not the upstream's, has a code,
//! and names the next step.

use crate::code::Code;
use serde::{Deserialize, Serialize};

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retry {
    /// The same request will not be answered otherwise.
    Never,
    /// The same request, after a human answered.
    AfterApproval,
    /// The same request, later.
    Later,
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind it is.
    pub code: Code,
    /// One sentence about this very case, for the asker.
    pub detail: String,
    /// What to do next, for the asker. Never names a rule, another session or a value.
    pub help: String,
    /// Whether to try again.
    pub retry: Retry,
    /// Seconds to wait before a retry.
    pub retry_after_s: Option<u32>,
    /// Where a human can answer. Holds nothing that authorises.
    pub approval: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    r#type: std::borrow::Cow<'a, str>,
    title: std::borrow::Cow<'a, str>,
    status: u16,
    detail: std::borrow::Cow<'a, str>,
    code: std::borrow::Cow<'a, str>,
    help: std::borrow::Cow<'a, str>,
    from: std::borrow::Cow<'a, str>,
    retry: Retry,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    approval: Option<std::borrow::Cow<'a, str>>,
}

impl Problem {
    /// A refusal that no retry changes.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), help: help.into(), retry: Retry::Never, retry_after_s: None, approval: None }
    }

    /// A refusal that says no more than its code does.
    #[must_use]
    pub fn plain(code: Code, help: impl Into<String>) -> Self {
        Self::new(code, code.sentence(), help)
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.code.status()
    }

    /// `application/problem+json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let wire = Wire {
            r#type: format!("urn:marque:error:{}", self.code.text()).into(),
            title: self.code.sentence().into(),
            status: self.status(),
            detail: self.detail.as_str().into(),
            code: self.code.text().into(),
            help: self.help.as_str().into(),
            from: "marque, not the upstream".into(),
            retry: self.retry,
            approval: self.approval.as_deref().map(Into::into),
        };
        serde_json::to_string(&wire).unwrap_or_else(|_| String::from("{}"))
    }

    /// Reads [`Problem::to_json`] back.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        let wire: Wire<'_> = serde_json::from_str(text).ok()?;
        Some(Self {
            code: Code::from_text(&wire.code)?,
            detail: wire.detail.into_owned(),
            help: wire.help.into_owned(),
            retry: wire.retry,
            retry_after_s: None,
            approval: wire.approval.map(std::borrow::Cow::into_owned),
        })
    }

    /// One line for tools that show no body: `marque MQ-2104: … help: … (Not from the upstream.)`.
    #[must_use]
    pub fn to_line(&self) -> String {
        format!("marque {}: {}. {} (From marque, not the upstream.)", self.code.text(), self.detail, self.help)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.text(), self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_back_and_says_whose_it_is() {
        let mut problem = Problem::new(Code::NOT_GRANTED, "`git.push` on `acme/web@main`", "push to `agent/*`");
        problem.retry = Retry::AfterApproval;
        let json = problem.to_json();
        assert!(json.contains("not the upstream"));
        assert_eq!(Problem::from_json(&json), Some(problem));
    }
}
