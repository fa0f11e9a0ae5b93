//! A profile against its own examples, and its operations against each other.

use super::body::form;
use super::reader::At;
use super::view::{Extracted, RequestView};
use super::{Op, Profile};
use crate::http::CanonicalPath;
use marque_model::{Scheme, Target};

/// What was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Operations.
    pub operations: usize,
    /// Examples that had to match, and did.
    pub yes: usize,
    /// Examples that had not to match, and did not.
    pub no: usize,
}

/// What is wrong with a profile that could be read. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckProblem {
    /// Two operations claim some request, and neither is declared `over` the other.
    #[error("line {line}: `{one}` and `{other}` (line {other_line}) both claim some request; say which is `over` the other")]
    Overlap {
        /// Of the first match.
        line: usize,
        /// Its operation.
        one: String,
        /// Of the second match.
        other_line: usize,
        /// Its operation.
        other: String,
    },
    /// An operation without a `yes`.
    #[error("line {line}: `{operation}` has no example in `yes`")]
    NoExample {
        /// Of the operation.
        line: usize,
        /// Its name.
        operation: String,
    },
    /// An example that is no request at all.
    #[error("line {line}: `{example}` is no example: {why}")]
    Unreadable {
        /// Of the example.
        line: usize,
        /// The example.
        example: String,
        /// One sentence.
        why: String,
    },
    /// A `yes` that is something else, or a `no` that matches.
    #[error("line {line}: `{example}` should {}be `{operation}`, and is {found}", if *.wanted { "" } else { "not " })]
    Example {
        /// Of the example.
        line: usize,
        /// The example.
        example: String,
        /// Whether it stands in `yes`.
        wanted: bool,
        /// The operation.
        operation: String,
        /// What was found.
        found: String,
    },
}

impl Profile {
    /// Runs every `yes` and `no` line and looks for operations that overlap.
    ///
    /// # Errors
    /// Every problem, by line.
    pub fn check(&self) -> Result<Checked, Vec<CheckProblem>> {
        let mut problems = self.overlaps();
        let mut done = Checked { operations: self.ops.len(), yes: 0, no: 0 };
        for op in &self.ops {
            if op.yes.is_empty() {
                problems.push(CheckProblem::NoExample { line: op.line, operation: op.name.clone() });
            }
            for (list, wanted) in [(&op.yes, true), (&op.no, false)] {
                for example in list {
                    problems.extend(self.run(op, example, wanted).err());
                }
            }
            done.yes += op.yes.len();
            done.no += op.no.len();
        }
        if problems.is_empty() { Ok(done) } else { Err(problems) }
    }

    /// Decided symbolically over method, host, path, query, body, refs and root fields.
    fn overlaps(&self) -> Vec<CheckProblem> {
        let is_over = |a: &Op, b: &Op| a.over.iter().any(|at| at.value == b.name);
        let mut out = Vec::new();
        for (at, one) in self.ops.iter().enumerate() {
            for other in self.ops.iter().skip(at + 1).filter(|other| !is_over(one, other) && !is_over(other, one)) {
                let pairs = one.matches.iter().flat_map(|a| other.matches.iter().map(move |b| (a, b)));
                if let Some((a, b)) = pairs.into_iter().find(|(a, b)| a.matcher.intersects(&b.matcher)) {
                    out.push(CheckProblem::Overlap {
                        line: a.line,
                        one: one.name.clone(),
                        other_line: b.line,
                        other: other.name.clone(),
                    });
                }
            }
        }
        out
    }

    fn run(&self, op: &Op, example: &At<String>, wanted: bool) -> Result<(), CheckProblem> {
        let (text, resource) = split_resource(&example.value);
        let found = match Example::parse(self, text) {
            Ok(example) => self.extract(&example.view()),
            // What the gateway refuses before it looks at a profile matches nothing.
            Err(why) if !wanted => Extracted::unknown(why),
            Err(why) => {
                return Err(CheckProblem::Unreadable { line: example.line, example: example.value.clone(), why });
            }
        };
        let actions = found.actions();
        let named = |wanted: &str| actions.iter().any(|a| a.resource == wanted);
        let is = actions.iter().any(|a| a.operation == op.name);
        let fits = if wanted { is && resource.is_none_or(named) } else { !is };
        if fits {
            return Ok(());
        }
        let list: Vec<_> = actions.iter().map(|a| format!("`{}` on `{}`", a.operation, a.resource)).collect();
        let found = match &found {
            Extracted::Unknown { why } => format!("unknown: {why}"),
            Extracted::Known(_) => list.join(" and "),
        };
        Err(CheckProblem::Example {
            line: example.line,
            example: example.value.clone(),
            wanted,
            operation: op.name.clone(),
            found,
        })
    }

    /// Every `yes` line, for tests that mutate requests.
    #[cfg(test)]
    pub(super) fn yes_lines(&self) -> Vec<&str> {
        self.ops.iter().flat_map(|op| &op.yes).map(|at| split_resource(&at.value).0).collect()
    }
}

fn split_resource(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(" -> ") {
        Some((request, resource)) if !resource.contains([' ', '}']) => (request, Some(resource)),
        _ => (text, None),
    }
}

/// A request as an example writes it: `METHOD URL [BODY]`, `git fetch REPO`, `git push REPO CHANGE REF`, or
/// `graphql DOCUMENT`.
#[derive(Debug, Clone)]
pub(super) struct Example {
    pub alias: String,
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

impl Example {
    pub(super) fn view(&self) -> RequestView<'_> {
        RequestView {
            alias: &self.alias,
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: self.body.as_deref(),
        }
    }

    pub(super) fn parse(profile: &Profile, text: &str) -> Result<Self, String> {
        match text.split_once(' ') {
            Some(("git", rest)) => git(rest),
            Some(("graphql", document)) => {
                let rule = profile.graphql.as_ref().ok_or("the profile has no GraphQL")?;
                let body = serde_json::json!({ "query": document }).to_string();
                Ok(Self::post(&rule.alias, rule.path.clone(), "application/json", body.into_bytes()))
            }
            Some((method, rest)) => {
                let (url, body) = rest.split_once(' ').map_or((rest, None), |(url, body)| (url, Some(body)));
                url_example(profile, method, url, body)
            }
            None => Err("it has no URL".into()),
        }
    }

    fn post(alias: &str, path: String, media: &str, body: Vec<u8>) -> Self {
        Self {
            alias: alias.to_owned(),
            method: "POST".into(),
            path,
            query: Vec::new(),
            headers: vec![("content-type".into(), media.into())],
            body: Some(body),
        }
    }
}

fn url_example(profile: &Profile, method: &str, url: &str, body: Option<&str>) -> Result<Example, String> {
    let below = url.strip_prefix("https://").ok_or("its URL does not start with `https://`")?;
    let at = below.find('/').ok_or("its URL has no path")?;
    let (authority, target) = below.split_at_checked(at).ok_or("its URL has no path")?;
    let target_host = Target::from_authority(Scheme::Https, authority).map_err(|error| error.to_string())?;
    let alias = profile.alias_of(&target_host).ok_or("its host is not the profile's")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = CanonicalPath::parse(path).map_err(|error| error.to_string())?;
    let media = match body {
        Some(body) if body.starts_with(['{', '[']) => "application/json",
        _ => "application/x-www-form-urlencoded",
    };
    let headers = match (method, body) {
        ("GET" | "HEAD" | "DELETE", None) => Vec::new(),
        _ => vec![("content-type".to_owned(), media.to_owned())],
    };
    Ok(Example {
        alias: alias.to_owned(),
        method: method.to_owned(),
        path: super::decoded_path(&path),
        query: form(query.as_bytes())?,
        headers,
        body: Some(body.unwrap_or_default().as_bytes().to_vec()),
    })
}

fn git(text: &str) -> Result<Example, String> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match words.as_slice() {
        ["fetch", repo] => {
            let media = "application/x-git-upload-pack-request";
            Ok(Example::post("git", format!("/{repo}/git-upload-pack"), media, Vec::new()))
        }
        ["push", repo, changes @ ..] if !changes.is_empty() && changes.len() % 2 == 0 => {
            let mut body = String::new();
            for (n, pair) in changes.chunks(2).enumerate() {
                let [change, name] = pair else { continue };
                let (zero, one, two) = ("0".repeat(40), "1".repeat(40), "2".repeat(40));
                let (old, new) = match *change {
                    "create" => (zero, one),
                    "delete" => (one, zero),
                    _ => (one, two),
                };
                let capabilities = if n == 0 { "\0 report-status" } else { "" };
                let line = format!("{old} {new} {name}{capabilities}");
                body += &format!("{:04x}{line}", line.len() + 4);
            }
            body += "0000";
            let media = "application/x-git-receive-pack-request";
            Ok(Example::post("git", format!("/{repo}/git-receive-pack"), media, body.into_bytes()))
        }
        _ => Err("it is neither `git fetch REPO` nor `git push REPO CHANGE REF`".into()),
    }
}
