//! From a request to what it means.

use super::body::{Body, Found, find_pair, media_type, one};
use super::limits::{GRAPHQL_BYTES_MAX, HOLD_BYTES_DEFAULT, PARAMETERS_MAX, PATH_BYTES_MAX, PATH_SEGMENTS_MAX};
use super::matcher::{HttpMatcher, Matcher, Scalar, Test};
use super::template::{Captures, Fit, spell};
use super::view::{BodyNeed, Extracted, Meaning, RequestView, Resolve};
use super::{GraphqlRule, Op, OpMatch, Profile, ResourceRule, Source};
use crate::git::{self, Phase, Service};
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// Headers by which a client asks to be read as another method or path.
const OVERRIDES: [&str; 6] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url", "x-original-method"];

/// The parts of a request that every service shares, checked.
pub(super) struct Plain<'a> {
    pub view: &'a RequestView<'a>,
    /// HEAD is a GET.
    pub method: &'a str,
    pub segments: Vec<&'a str>,
    body: OnceCell<Result<Body, String>>,
}

impl<'a> Plain<'a> {
    /// # Errors
    /// Why the request has more than one reading.
    pub(super) fn of(view: &'a RequestView<'a>) -> Result<Self, String> {
        if view.headers.iter().any(|(name, _)| OVERRIDES.contains(&name.replace('_', "-").to_ascii_lowercase().as_str())) {
            return Err("a header asks for another method or path".into());
        }
        let is_override = |key: &str| key.eq_ignore_ascii_case("_method") || OVERRIDES.contains(&key.to_ascii_lowercase().as_str());
        if view.query.iter().any(|(key, _)| is_override(key)) {
            return Err("a parameter asks for another method".into());
        }
        if view.query.len() > PARAMETERS_MAX {
            return Err("the query has more parameters than are read".into());
        }
        let segments = segments(view.path)?;
        let method = if view.method == "HEAD" { "GET" } else { view.method };
        if !matches!(method, "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") {
            return Err("the method is not known".into());
        }
        let this = Self { view, method, segments, body: OnceCell::new() };
        if this.may_override()? {
            let form = match view.body {
                None => return Err("a form, which may ask for another method, was not held".into()),
                Some(bytes) => super::body::form(bytes)?,
            };
            if form.iter().any(|(key, _)| is_override(key)) {
                return Err("a form member asks for another method".into());
            }
        }
        Ok(this)
    }

    /// Whether a server that knows method overrides would read this body as a form (Rack: POST of a form, or without type).
    fn may_override(&self) -> Result<bool, String> {
        let media = media_type(self.view.headers)?;
        Ok(self.method == "POST" && media.as_deref().is_none_or(|m| m == "application/x-www-form-urlencoded"))
    }

    pub(super) fn is_multipart(&self) -> Result<bool, String> {
        Ok(media_type(self.view.headers)?.is_some_and(|media| media.starts_with("multipart/")))
    }

    fn body(&self) -> Result<&Body, String> {
        let parsed = self.body.get_or_init(|| Body::parse(self.view.headers, self.view.body));
        parsed.as_ref().map_err(Clone::clone)
    }
}

/// The decoded segments behind the first slash; only the last may be empty.
fn segments(path: &str) -> Result<Vec<&str>, String> {
    let below = path.strip_prefix('/').ok_or("the path does not start with `/`")?;
    if path.len() > PATH_BYTES_MAX {
        return Err("the path is longer than is read".into());
    }
    let segments: Vec<&str> = below.split('/').collect();
    if segments.len() > PATH_SEGMENTS_MAX {
        return Err("the path has more segments than are read".into());
    }
    let last = segments.len() - 1;
    for (at, piece) in segments.iter().enumerate() {
        let stem = piece.split(';').next().unwrap_or_default();
        if (piece.is_empty() && at != last) || matches!(stem, "." | "..") {
            return Err("the path has an empty or dot segment".into());
        }
        if piece.chars().any(|c| c.is_control() || c == '\\') || has_escape(piece) {
            return Err("the path has a control character, a backslash or a second escape".into());
        }
    }
    Ok(segments)
}

fn has_escape(piece: &str) -> bool {
    let hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    let bytes = piece.as_bytes();
    bytes.iter().enumerate().any(|(at, b)| *b == b'%' && hex(bytes.get(at + 1)) && hex(bytes.get(at + 2)))
}

/// An operation that claims the request.
pub(super) struct Claim<'p> {
    pub op: &'p Op,
    pub matched: &'p OpMatch,
    pub captures: Captures,
}

impl Profile {
    pub(super) fn judge_need(&self, view: &RequestView<'_>) -> BodyNeed {
        let git = self.is_git(view).and_then(|()| git::recognise(view.method, view.path, view.query, view.headers));
        if let Some(found) = git {
            let push = found.service == Service::ReceivePack && found.phase == Phase::Call;
            return if push { BodyNeed::GitCommands } else { BodyNeed::None };
        }
        if self.is_graphql(view).is_some() {
            return BodyNeed::Hold(GRAPHQL_BYTES_MAX);
        }
        // The body is not there yet, so it cannot be a reason to stop.
        let empty = RequestView { body: Some(b""), ..*view };
        let Ok(plain) = Plain::of(&empty) else { return BodyNeed::None };
        let wanted = self.reading_bodies().filter(|(_, http)| may_fit(http, &plain));
        let wanted = wanted.map(|(op, _)| op.hold.unwrap_or(HOLD_BYTES_DEFAULT)).max();
        let form = plain.may_override().unwrap_or(false).then_some(HOLD_BYTES_DEFAULT);
        wanted.max(form).map_or(BodyNeed::None, BodyNeed::Hold)
    }

    pub(super) fn judge(&self, view: &RequestView<'_>) -> Result<Extracted, String> {
        if self.generic {
            return super::generic::judge(&Plain::of(view)?);
        }
        if !self.hosts.contains_key(view.alias) {
            return Err("the profile has no such host".into());
        }
        if self.is_git(view).is_some()
            && let Some(found) = git::recognise(view.method, view.path, view.query, view.headers)
        {
            Plain::of(view)?;
            return self.judge_git(view, &found);
        }
        if let Some(rule) = self.is_graphql(view) {
            return self.judge_graphql(view, rule);
        }
        self.judge_http(&Plain::of(view)?)
    }

    fn is_git(&self, view: &RequestView<'_>) -> Option<()> {
        (view.alias == "git" && self.hosts.contains_key("git")).then_some(())
    }

    fn is_graphql(&self, view: &RequestView<'_>) -> Option<&GraphqlRule> {
        let rule = self.graphql.as_ref()?;
        (rule.alias == view.alias && rule.path == view.path && view.method == "POST").then_some(rule)
    }

    /// HTTP matchers that look at a body, or whose operation does.
    fn reading_bodies(&self) -> impl Iterator<Item = (&Op, &HttpMatcher)> {
        self.ops.iter().flat_map(|op| {
            let reads = op.attributes.values().any(|source| matches!(source, Source::Body(_)));
            op.matches.iter().filter_map(move |matched| match &matched.matcher {
                Matcher::Http(http) if reads || !http.body.is_empty() => Some((op, http)),
                _ => None,
            })
        })
    }

    fn judge_http(&self, plain: &Plain<'_>) -> Result<Extracted, String> {
        if plain.method == "GET" && has_body(plain.view)? {
            return Err("a GET has a body".into());
        }
        let mut claims: Vec<Claim<'_>> = Vec::new();
        let mut near: Vec<&Op> = Vec::new();
        for op in &self.ops {
            for matched in &op.matches {
                let Matcher::Http(http) = &matched.matcher else { continue };
                match http_fit(http, plain) {
                    Fit::No => {}
                    Fit::Near => near.push(op),
                    Fit::Exact(captures) => {
                        if let Some(captures) = conditions(http, plain, captures)? {
                            claims.push(Claim { op, matched, captures });
                            break;
                        }
                    }
                }
            }
        }
        let claim = winner(claims)?;
        let op = claim.op;
        if near.iter().any(|other| other.line != op.line && !is_over(op, other)) {
            return Err("the path is written like another operation's, but in other case".into());
        }
        if plain.is_multipart()? && !op.multipart {
            return Err("the body is multipart".into());
        }
        let mut meaning = self.meaning(op, claim.matched, &claim.captures)?;
        for (name, source) in &op.attributes {
            if let Some(value) = read(source, plain)? {
                meaning.attributes.insert(name.clone(), value);
            }
        }
        Ok(Extracted::Known(vec![meaning]))
    }

    pub(super) fn meaning(&self, op: &Op, matched: &OpMatch, captures: &Captures) -> Result<Meaning, String> {
        let mut canonical = Captures::new();
        let mut attributes = BTreeMap::new();
        for (name, value) in captures {
            let rule = self.variables.get(name);
            let value = match rule {
                Some(rule) => rule.canonical(name, value)?,
                None => super::VariableRule::default().canonical(name, value)?,
            };
            if !rule.is_some_and(|rule| rule.secret) {
                attributes.insert(name.clone(), value.clone());
            }
            canonical.insert(name.clone(), value);
        }
        let missing = || "the resource is not captured".to_owned();
        let (resource, resolve) = match self.resources.get(&matched.resource).ok_or_else(missing)? {
            ResourceRule::Name(name) => (name.render(&canonical).ok_or_else(missing)?, None),
            ResourceRule::Ask { query, is } => {
                let id = captures.get(&matched.resource).ok_or_else(missing)?;
                let name = format!("node/{}", spell(id).replace('/', "%2F"));
                (name, Some(Resolve { query: query.clone(), id: id.clone(), is: is.clone() }))
            }
        };
        Ok(Meaning {
            operation: op.name.clone(),
            resource,
            effect: op.effect,
            attributes,
            opaque: op.opaque,
            answers: op.answers.clone(),
            needs: op.needs.clone(),
            resolve,
        })
    }
}

fn has_body(view: &RequestView<'_>) -> Result<bool, String> {
    let length = one(view.headers, "content-length")?;
    Ok(view.body.is_some_and(|body| !body.is_empty())
        || length.is_some_and(|n| n != "0")
        || one(view.headers, "transfer-encoding")?.is_some())
}

/// The one claim that is over all others.
pub(super) fn winner(mut claims: Vec<Claim<'_>>) -> Result<Claim<'_>, String> {
    let wins = |claim: &Claim<'_>| claims.iter().all(|other| other.op.line == claim.op.line || is_over(claim.op, other.op));
    match claims.iter().position(wins) {
        Some(at) => Ok(claims.swap_remove(at)),
        None if claims.is_empty() => Err("no operation of the profile matches".into()),
        None => Err("two operations of the profile match".into()),
    }
}

fn is_over(op: &Op, other: &Op) -> bool {
    op.over.iter().any(|at| at.value == other.name)
}

/// Alias, method, path and whether the query could pass; its values are judged with the other conditions. A query with two
/// readings fits, so that it is judged.
fn may_fit(http: &HttpMatcher, plain: &Plain<'_>) -> bool {
    http.path.may_have(plain.segments.len())
        && http.alias == plain.view.alias
        && http.methods.iter().any(|method| method == plain.method)
        && http.path.shape(&plain.segments).is_some()
        && http.query.iter().all(|(key, test)| match find_pair(plain.view.query, key) {
            Ok(value) => passes(test, value.map(|v| Scalar::Text(v.to_owned())).as_ref()),
            Err(_) => true,
        })
}

/// How it fits, with what its path captures.
fn http_fit(http: &HttpMatcher, plain: &Plain<'_>) -> Fit {
    if may_fit(http, plain) { http.path.fit(&plain.segments) } else { Fit::No }
}

fn passes(test: &Test, value: Option<&Scalar>) -> bool {
    match (test, value) {
        (Test::Absent, value) => value.is_none(),
        (Test::Present | Test::Capture(_), value) => value.is_some(),
        (Test::Equals(want), value) => value == Some(want),
    }
}

/// The remaining conditions. `None`: they do not hold.
fn conditions(http: &HttpMatcher, plain: &Plain<'_>, mut captures: Captures) -> Result<Option<Captures>, String> {
    for (key, test) in &http.query {
        let value = find_pair(plain.view.query, key)?;
        if let (Test::Capture(name), Some(value)) = (test, value) {
            captures.insert(name.clone(), value.to_owned());
        }
    }
    // Servers that read arguments from both places differ on which wins.
    let held = plain.view.body.is_some_and(|body| !body.is_empty());
    if held && !http.query.is_empty() && plain.body().is_ok_and(|b| http.query.iter().any(|(key, _)| b.has_member(key))) {
        return Err("a parameter stands in the query and in the body".into());
    }
    for (pointer, test) in &http.body {
        if let [key] = pointer.as_slice()
            && plain.view.query.iter().any(|(k, _)| k.split('[').next().is_some_and(|k| k.eq_ignore_ascii_case(key)))
        {
            return Err("a parameter stands in the query where the body is meant".into());
        }
        let value = match plain.body()?.find(pointer)? {
            Found::Absent => None,
            Found::Scalar(scalar) => Some(scalar),
            // Neither absent nor any value: no test passes but presence.
            Found::Complex if *test == Test::Present => continue,
            Found::Complex => return Ok(None),
        };
        if !passes(test, value.as_ref()) {
            return Ok(None);
        }
        if let (Test::Capture(name), Some(value)) = (test, value) {
            let Scalar::Text(text) = value else { return Err(format!("`{name}` is no string")) };
            captures.insert(name.clone(), text);
        }
    }
    Ok(Some(captures))
}

fn read(source: &Source, plain: &Plain<'_>) -> Result<Option<String>, String> {
    let text = match source {
        Source::Query(key) => find_pair(plain.view.query, key)?.map(str::to_owned),
        Source::Body(pointer) => match plain.body()?.find(pointer)? {
            Found::Scalar(Scalar::Text(text) | Scalar::Number(text)) => Some(text),
            Found::Scalar(Scalar::Bool(flag)) => Some(flag.to_string()),
            Found::Absent | Found::Complex => None,
        },
    };
    Ok(text.map(|text| spell(&text)))
}
