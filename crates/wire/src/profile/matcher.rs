//! One line of `match`: which requests an operation means.

use super::template::{PathTemplate, Segment, is_variable};
use crate::git::Change;
use crate::graphql::Kind;
use std::collections::BTreeSet;

/// A value that a condition compares with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar {
    Text(String),
    Bool(bool),
    Number(String),
}

/// What is asked of one query parameter or body member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    Absent,
    Present,
    Equals(Scalar),
    Capture(String),
}

impl Test {
    /// Whether no value passes both. Only what is certain.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Absent) => false,
            (Self::Absent, _) | (_, Self::Absent) => true,
            (Self::Equals(a), Self::Equals(b)) => a != b,
            _ => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpMatcher {
    pub methods: Vec<String>,
    pub alias: String,
    pub path: PathTemplate,
    pub query: Vec<(String, Test)>,
    pub body: Vec<(Vec<String>, Test)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Matcher {
    Http(HttpMatcher),
    Upload { repo: PathTemplate },
    Receive { repo: PathTemplate, changes: BTreeSet<Change>, refs: PathTemplate },
    Graphql { kind: Kind, name: String, args: Vec<(Vec<String>, String)> },
}

impl Matcher {
    /// The host it is about; none for GraphQL, whose table says it once for all.
    pub(super) fn alias(&self) -> Option<&str> {
        match self {
            Self::Http(http) => Some(&http.alias),
            Self::Upload { .. } | Self::Receive { .. } => Some("git"),
            Self::Graphql { .. } => None,
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(' ') {
            Some(("git", rest)) => git(rest),
            Some(("graphql", rest)) => graphql(rest),
            _ => http(text).map(Self::Http),
        }
    }

    /// Names of what a match captures.
    pub(super) fn variables(&self) -> BTreeSet<&str> {
        match self {
            Self::Http(http) => {
                let query = http.query.iter().map(|(_, test)| test);
                let tests = query.chain(http.body.iter().map(|(_, test)| test));
                let mut out: BTreeSet<&str> = http.path.variables().into_iter().collect();
                for test in tests {
                    if let Test::Capture(name) = test {
                        out.insert(name);
                    }
                }
                out
            }
            Self::Upload { repo } => repo.variables().into_iter().collect(),
            Self::Receive { repo, refs, .. } => repo.variables().into_iter().chain(refs.variables()).collect(),
            Self::Graphql { args, .. } => args.iter().map(|(_, name)| name.as_str()).collect(),
        }
    }

    /// Whether one request may match both: decided by alias, method, path, exclusive conditions, refs and field names;
    /// conditions that may hold together count as overlapping.
    pub(super) fn intersects(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(a), Self::Http(b)) => {
                let excluded = |(key, test): &(String, Test)| {
                    b.query.iter().any(|(k, t)| k == key && test.excludes(t))
                };
                let body_excluded = |(pointer, test): &(Vec<String>, Test)| {
                    b.body.iter().any(|(p, t)| p == pointer && test.excludes(t))
                };
                a.alias == b.alias
                    && a.methods.iter().any(|method| b.methods.contains(method))
                    && a.path.intersects(&b.path)
                    && !a.query.iter().any(excluded)
                    && !a.body.iter().any(body_excluded)
            }
            (Self::Upload { repo: a }, Self::Upload { repo: b }) => a.intersects(b),
            (
                Self::Receive { repo, changes, refs },
                Self::Receive { repo: their_repo, changes: their_changes, refs: their_refs },
            ) => repo.intersects(their_repo) && !changes.is_disjoint(their_changes) && refs.intersects(their_refs),
            (Self::Graphql { kind, name, .. }, Self::Graphql { kind: k, name: n, .. }) => kind == k && name == n,
            _ => false,
        }
    }
}

fn http(text: &str) -> Result<HttpMatcher, String> {
    let mut words = words(text)?.into_iter();
    let (Some(methods), Some(place)) = (words.next(), words.next()) else {
        return Err(format!("`{text}` is not `METHOD alias:/path`"));
    };
    let methods: Vec<String> = methods.split('|').map(str::to_owned).collect();
    // HEAD is a GET whose answer is cut; naming it would split the two.
    const KNOWN: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    if let Some(bad) = methods.iter().find(|m| !KNOWN.contains(&m.as_str())) {
        return Err(format!("`{bad}` is not a method that a profile may name"));
    }
    let (alias, path) = place.split_once(":/").ok_or_else(|| format!("`{place}` is not `alias:/path`"))?;
    let path = PathTemplate::parse(path)?;
    let mut out = HttpMatcher { methods, alias: alias.to_owned(), path, query: Vec::new(), body: Vec::new() };
    while let Some(word) = words.next() {
        if let Some(condition) = word.strip_prefix('?') {
            out.query.push(query_condition(condition)?);
        } else if word == "body" {
            let pointer = words.next().ok_or_else(|| format!("`{text}` ends after `body`"))?;
            let (pointer, absent) = pointer.strip_prefix('!').map_or((pointer.as_str(), false), |p| (p, true));
            let steps = body_pointer(pointer)?;
            let compared = words.as_slice().first().is_some_and(|word| word == "==");
            let test = match (absent, compared) {
                (true, true) => return Err(format!("`{text}` compares what must be absent")),
                (true, false) => Test::Absent,
                (false, false) => Test::Present,
                (false, true) => {
                    words.next();
                    operand(&words.next().ok_or_else(|| format!("`{text}` ends after `==`"))?)?
                }
            };
            out.body.push((steps, test));
        } else {
            return Err(format!("`{word}` is neither `?key…` nor `body /pointer…`"));
        }
    }
    Ok(out)
}

fn query_condition(text: &str) -> Result<(String, Test), String> {
    let (key, test) = match (text.strip_prefix('!'), text.split_once('=')) {
        (Some(key), None) => (key, Test::Absent),
        (None, None) => (text, Test::Present),
        (None, Some((key, value))) => match variable(value) {
            Some(name) => (key, Test::Capture(name)),
            None => (key, Test::Equals(Scalar::Text(value.to_owned()))),
        },
        (Some(_), Some(_)) => return Err(format!("`?{text}` compares what must be absent")),
    };
    if key.is_empty() { Err(format!("`?{text}` has no key")) } else { Ok((key.to_owned(), test)) }
}

/// A JSON pointer (RFC 6901) without escapes and wildcards.
pub(super) fn body_pointer(text: &str) -> Result<Vec<String>, String> {
    let below = text.strip_prefix('/').ok_or_else(|| format!("`{text}` is no pointer, which starts with `/`"))?;
    let steps: Vec<String> = below.split('/').map(str::to_owned).collect();
    if steps.iter().any(|step| step.is_empty() || step.contains(['~', '*'])) {
        return Err(format!("`{text}` has an empty step, `~` or `*`"));
    }
    Ok(steps)
}

fn operand(text: &str) -> Result<Test, String> {
    if let Some(name) = variable(text) {
        return Ok(Test::Capture(name));
    }
    if let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        return Ok(Test::Equals(Scalar::Text(inner.to_owned())));
    }
    match text {
        "true" => Ok(Test::Equals(Scalar::Bool(true))),
        "false" => Ok(Test::Equals(Scalar::Bool(false))),
        _ if text.parse::<i64>().is_ok() => Ok(Test::Equals(Scalar::Number(text.to_owned()))),
        _ => Err(format!("`{text}` is no `\"text\"`, number, true, false or `{{name}}`")),
    }
}

fn variable(text: &str) -> Option<String> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    is_variable(name).then(|| name.to_owned())
}

/// Splits at spaces outside of quotes.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        if c == ' ' && !quoted {
            out.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        } else {
            word.push(c);
        }
    }
    if quoted {
        return Err(format!("`{text}` has an open quote"));
    }
    out.extend((!word.is_empty()).then_some(word));
    Ok(out)
}

fn git(text: &str) -> Result<Matcher, String> {
    let mut words = text.split_ascii_whitespace();
    let (Some(service), Some(repo)) = (words.next(), words.next()) else {
        return Err(format!("`git {text}` is not `git SERVICE repository`"));
    };
    let repo = PathTemplate::parse(repo)?;
    let rest: Vec<&str> = words.collect();
    match (service, rest.as_slice()) {
        ("upload-pack", []) => Ok(Matcher::Upload { repo }),
        ("receive-pack", [refs]) => receive(repo, "create|update|delete", refs),
        ("receive-pack", [changes, refs]) => receive(repo, changes, refs),
        _ => Err(format!("`git {text}` is not `upload-pack REPO` or `receive-pack REPO [CHANGES] refs/…`")),
    }
}

fn receive(repo: PathTemplate, words: &str, refs: &str) -> Result<Matcher, String> {
    let mut changes = BTreeSet::new();
    for word in words.split('|') {
        changes.insert(match word {
            "create" => Change::Create,
            "update" => Change::Update,
            "delete" => Change::Delete,
            // Honest: the client's `--force` never reaches the wire.
            "force" => return Err("`force` cannot be seen in a push: its commands look like any update".into()),
            _ => return Err(format!("`{word}` is not create, update or delete")),
        });
    }
    let mut refs = PathTemplate::parse(refs)?;
    if refs.segments.first() != Some(&Segment::Literal("refs".into())) {
        return Err("a ref starts with `refs/`".into());
    }
    // Branch names have slashes: a variable at the end takes the rest.
    if let Some(last) = refs.segments.last_mut()
        && let Segment::One(name) = last
    {
        *last = Segment::Rest(name.take());
    }
    Ok(Matcher::Receive { repo, changes, refs })
}

fn graphql(text: &str) -> Result<Matcher, String> {
    let bad = || format!("`graphql {text}` is not `graphql query|mutation NAME(arg, input.member: var)`");
    let (kind, rest) = text.split_once(' ').ok_or_else(bad)?;
    let kind = match kind {
        "query" => Kind::Query,
        "mutation" => Kind::Mutation,
        _ => return Err(bad()),
    };
    let (name, list) = match rest.split_once('(') {
        None => (rest, ""),
        Some((name, list)) => (name, list.strip_suffix(')').ok_or_else(bad)?),
    };
    let is_name = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name(name) {
        return Err(bad());
    }
    let mut args = Vec::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (path, variable) = item.split_once(':').map_or((item, item), |(p, v)| (p.trim(), v.trim()));
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        if !path.iter().all(|p| is_name(p)) || !is_variable(variable) {
            return Err(bad());
        }
        args.push((path, variable.to_owned()));
    }
    Ok(Matcher::Graphql { kind, name: name.to_owned(), args })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_or_refused() {
        for good in [
            "GET api:/repos/{owner}/{name}/**",
            "GET|POST api:/a ?x=y ?z ?!w ?c={c}",
            "POST api:/a body /force == true body /a/b == \"x y\" body !/c body /d body /n == 7 body /ch == {channel}",
            "git upload-pack {owner}/{name}",
            "git receive-pack {owner}/{name} delete refs/**",
            "git receive-pack {owner}/{name} create|update refs/heads/{branch}",
            "graphql query repository(owner, name)",
            "graphql mutation createPullRequest(input.repositoryId: node)",
            "graphql query viewer",
        ] {
            assert!(Matcher::parse(good).is_ok(), "{good} {:?}", Matcher::parse(good));
        }
        for bad in [
            "",
            "GET",
            "get api:/a",
            "HEAD api:/a",
            "TRACE api:/a",
            "GET api/a",
            "GET api:/a x",
            "GET api:/a ?",
            "GET api:/a ?!x=y",
            "POST api:/a body",
            "POST api:/a body /x ==",
            "POST api:/a body !/x == 1",
            "POST api:/a body x",
            "POST api:/a body /x == y",
            "POST api:/a body /x == \"y",
            "git receive-pack {o}/{n}",
            "git receive-pack {o}/{n} force refs/heads/{b}",
            "git receive-pack {o}/{n} heads/{b}",
            "git upload-archive {o}/{n}",
            "graphql subscription x",
            "graphql query x(",
        ] {
            assert!(Matcher::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exclusive_conditions_do_not_overlap_and_open_ones_do() {
        let both = |a: &str, b: &str| Matcher::parse(a).unwrap().intersects(&Matcher::parse(b).unwrap());
        assert!(both("GET api:/a/{x}", "GET api:/a/b"));
        assert!(!both("GET api:/a/{x}", "POST api:/a/b"));
        assert!(!both("GET api:/a", "GET git:/a"));
        assert!(!both("PATCH api:/a body /force == true", "PATCH api:/a body !/force"));
        assert!(!both("PATCH api:/a body /f == true", "PATCH api:/a body /f == false"));
        assert!(both("PATCH api:/a body /f == true", "PATCH api:/a body /g == false"));
        assert!(both("GET api:/a ?x", "GET api:/a ?x={v}"));
        assert!(!both("GET api:/a ?x=1", "GET api:/a ?x=2"));
        assert!(both("git receive-pack {o}/{n} refs/heads/{b}", "git receive-pack {o}/{n} delete refs/**"));
        assert!(!both("git receive-pack {o}/{n} create|update refs/heads/{b}", "git receive-pack {o}/{n} delete refs/**"));
        assert!(both("graphql query a(x)", "graphql query a(y)"));
        assert!(!both("graphql query a", "graphql mutation a"));
    }
}
