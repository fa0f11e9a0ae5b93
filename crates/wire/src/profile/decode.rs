//! From TOML to a [`Profile`].

use super::error::{ProfileError, nearest};
use super::limits::{HOLD_BYTES_MAX, MATCHES_MAX, OPS_MAX, PROFILE_BYTES_MAX};
use super::matcher::{Matcher, body_pointer};
use super::reader::{At, Lines, Reader};
use super::returns;
use super::template::{NameTemplate, is_variable};
use super::{Credential, GraphqlRule, Op, OpMatch, Profile, ResourceRule, Source, VariableRule};
use crate::graphql::Fields;
use marque_chain::sha256;
use marque_model::{Effect, Scheme, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use marque_detect::placeholder::Shape;
use toml::de::DeTable;

const ROOT: &[&str] = &["service", "about", "hosts", "credential", "vars", "resource", "graphql", "base", "signed", "op"];
const CREDENTIAL: &[&str] = &["kinds", "env", "looks", "placeholder", "place", "rewrite", "returns"];
const VARIABLE: &[&str] = &["fold", "strip", "is", "starts", "secret"];
const ASK: &[&str] = &["ask", "is", "cache"];
const GRAPHQL: &[&str] = &["at", "fields", "within"];
const OP: &[&str] = &[
    "name", "effect", "match", "on", "over", "needs", "attributes", "answers", "opaque", "multipart", "hold", "yes", "no",
];

/// Parses TOML within the bound, and hands its root to `read`.
pub(super) fn document<T>(
    text: &str,
    known: &[&'static str],
    read: impl FnOnce(&Reader<'_>) -> Result<T, ProfileError>,
) -> Result<T, ProfileError> {
    if text.len() > PROFILE_BYTES_MAX {
        return Err(ProfileError::TooLong { max: PROFILE_BYTES_MAX });
    }
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let line = lines.line(error.span().map_or(0, |span| span.start));
        ProfileError::Syntax { line, why: error.message().lines().next().unwrap_or_default().to_owned() }
    })?;
    read(&Reader::new(&lines, table.get_ref(), 1, known)?)
}

pub(super) fn profile(text: &str) -> Result<Profile, ProfileError> {
    document(text, ROOT, |root| {
        root.text("about")?;
        let service = name(root.required("service")?)?;
        let hosts = hosts(root)?;
        let variables = variables(root)?;
        let resources = resources(root, &variables)?;
        let graphql = graphql(root, &hosts)?;
        let mut this = Profile {
            service,
            digest: sha256(text.as_bytes()).0,
            credential: credential(root, &hosts)?,
            base: base(root, &hosts)?,
            signed: root.texts("signed")?.into_iter().map(returns::leads_to).collect::<Result<_, _>>()?,
            hosts,
            variables,
            resources,
            graphql,
            ops: Vec::new(),
            generic: false,
        };
        let tables = root.tables("op", OP)?;
        if tables.len() > OPS_MAX {
            return Err(ProfileError::value(root.line, "there are more operations than the bound"));
        }
        for table in tables {
            let op = op(&table, &this)?;
            if this.ops.iter().any(|other| other.name == op.name && other.effect != op.effect) {
                return Err(ProfileError::value(op.line, format!("`{}` is there with another effect", op.name)));
            }
            this.ops.push(op);
        }
        over_is_sound(&this)?;
        Ok(this)
    })
}

fn name(at: At<String>) -> Result<String, ProfileError> {
    let ok = !at.value.is_empty() && at.value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if ok { Ok(at.value) } else { Err(ProfileError::value(at.line, format!("`{}` is no lower case name", at.value))) }
}

fn hosts(root: &Reader<'_>) -> Result<BTreeMap<String, Target>, ProfileError> {
    let mut out = BTreeMap::new();
    for (alias, host) in root.map("hosts")? {
        let target = Target::from_authority(Scheme::Https, &host.value)
            .map_err(|error| ProfileError::value(host.line, error.to_string()))?;
        if out.values().any(|other| *other == target) {
            return Err(ProfileError::value(host.line, format!("`{}` has two aliases", host.value)));
        }
        if !is_variable(&alias) {
            return Err(ProfileError::value(host.line, format!("`{alias}` is no alias of lower case letters")));
        }
        out.insert(alias, target);
    }
    if out.is_empty() { Err(ProfileError::Missing { line: root.line, key: "hosts" }) } else { Ok(out) }
}

fn known_alias(alias: &str, line: usize, hosts: &BTreeMap<String, Target>) -> Result<(), ProfileError> {
    if hosts.contains_key(alias) {
        return Ok(());
    }
    let meant = nearest(alias, hosts.keys().map(String::as_str));
    Err(ProfileError::UnknownKey { line, key: alias.to_owned(), meant })
}

fn credential(root: &Reader<'_>, hosts: &BTreeMap<String, Target>) -> Result<Credential, ProfileError> {
    let Some(table) = root.table("credential", CREDENTIAL)? else { return Ok(Credential::default()) };
    let plain = |list: Vec<At<String>>| list.into_iter().map(|at| at.value).collect();
    let looks = table.text("looks")?;
    if let Some(at) = &looks
        && let Err(error) = regex_syntax::parse(&at.value)
    {
        let why = error.to_string().lines().last().unwrap_or_default().to_owned();
        return Err(ProfileError::value(at.line, format!("`looks` is no regular expression: {why}")));
    }
    let placeholder = table.text("placeholder")?;
    if let Some(at) = &placeholder {
        let shape = Shape::parse(&at.value);
        shape.map_err(|error| ProfileError::value(at.line, format!("`placeholder` is no shape: {error}")))?;
    }
    Ok(Credential {
        kinds: plain(table.texts("kinds")?),
        env: plain(table.texts("env")?),
        looks: looks.map(|at| at.value),
        placeholder: placeholder.map(|at| at.value),
        place: by_alias(&table, "place", hosts)?,
        rewrite: plain(table.texts("rewrite")?),
        returns: by_alias(&table, "returns", hosts)?,
    })
}

/// One text or several for each host.
fn by_alias<T: FromStr<Err: Display>>(
    table: &Reader<'_>,
    key: &'static str,
    hosts: &BTreeMap<String, Target>,
) -> Result<BTreeMap<String, Vec<T>>, ProfileError> {
    let mut out = BTreeMap::new();
    if let Some(places) = table.table(key, &[])? {
        for alias in places.keys() {
            known_alias(&alias.value, alias.line, hosts)?;
            let list = places.texts(&alias.value)?.into_iter().map(parsed).collect::<Result<_, _>>()?;
            out.insert(alias.value, list);
        }
    }
    Ok(out)
}

/// A value whose meaning is another module's.
fn parsed<T: FromStr<Err: Display>>(at: At<String>) -> Result<T, ProfileError> {
    at.value.parse().map_err(|error| ProfileError::value(at.line, format!("{error}")))
}

fn base(root: &Reader<'_>, hosts: &BTreeMap<String, Target>) -> Result<BTreeMap<String, String>, ProfileError> {
    let mut out = BTreeMap::new();
    for (variable, url) in root.map("base")? {
        let alias = url.value.split_once('{').and_then(|(_, tail)| tail.split_once('}')).map(|(alias, _)| alias);
        known_alias(alias.unwrap_or(&url.value), url.line, hosts)?;
        out.insert(variable, url.value);
    }
    Ok(out)
}

fn variables(root: &Reader<'_>) -> Result<BTreeMap<String, VariableRule>, ProfileError> {
    let mut out = BTreeMap::new();
    let Some(table) = root.table("vars", &[])? else { return Ok(out) };
    for key in table.keys() {
        let Some(rule) = table.table(&key.value, VARIABLE)? else { continue };
        let fold = match rule.text("fold")? {
            None => false,
            Some(at) if at.value == "lower" => true,
            Some(at) => return Err(ProfileError::value(at.line, "`fold` can be `lower` alone")),
        };
        let rule = VariableRule {
            fold,
            strip: rule.text("strip")?.map(|at| at.value),
            alphabet: rule.text("is")?.map(|at| alphabet(&at.value)),
            starts: rule.texts("starts")?.into_iter().map(|at| at.value).collect(),
            secret: rule.flag("secret")?,
        };
        if !is_variable(&key.value) {
            return Err(ProfileError::value(key.line, format!("`{}` is no variable", key.value)));
        }
        out.insert(key.value, rule);
    }
    Ok(out)
}

/// `alnum -_.`: classes by name, other characters as they are.
fn alphabet(text: &str) -> BTreeSet<char> {
    let mut out = BTreeSet::new();
    for word in text.split_ascii_whitespace() {
        match word {
            "alnum" => out.extend(('a'..='z').chain('A'..='Z').chain('0'..='9')),
            "lower" => out.extend('a'..='z'),
            "upper" => out.extend('A'..='Z'),
            "digit" => out.extend('0'..='9'),
            _ => out.extend(word.chars()),
        }
    }
    out
}

fn resources(
    root: &Reader<'_>,
    variables: &BTreeMap<String, VariableRule>,
) -> Result<BTreeMap<String, ResourceRule>, ProfileError> {
    let mut out = BTreeMap::new();
    let Some(table) = root.table("resource", &[])? else { return Ok(out) };
    for key in table.keys() {
        let rule = match table.table(&key.value, ASK) {
            Ok(Some(ask)) => {
                ask.text("cache")?;
                ResourceRule::Ask { query: ask.required("ask")?.value, is: ask.required("is")?.value }
            }
            // A wrong key inside is the error; a string is the usual case.
            Err(error @ ProfileError::UnknownKey { .. }) => return Err(error),
            _ => {
                let name = NameTemplate::parse(&table_text(&table, &key)?)
                    .map_err(|why| ProfileError::value(key.line, why))?;
                let secret = |name: &&str| variables.get(*name).is_some_and(|rule| rule.secret);
                if name.variables().iter().any(secret) {
                    return Err(ProfileError::value(key.line, "a secret variable cannot name a resource"));
                }
                ResourceRule::Name(name)
            }
        };
        out.insert(key.value, rule);
    }
    Ok(out)
}

fn table_text(table: &Reader<'_>, key: &At<String>) -> Result<String, ProfileError> {
    let one = table.texts(&key.value)?.pop();
    one.map(|at| at.value).ok_or_else(|| ProfileError::value(key.line, format!("`{}` is empty", key.value)))
}

fn graphql(root: &Reader<'_>, hosts: &BTreeMap<String, Target>) -> Result<Option<GraphqlRule>, ProfileError> {
    let Some(table) = root.table("graphql", GRAPHQL)? else { return Ok(None) };
    let at = table.required("at")?;
    let (alias, path) = at
        .value
        .split_once(":/")
        .ok_or_else(|| ProfileError::value(at.line, format!("`{}` is not `alias:/path`", at.value)))?;
    known_alias(alias, at.line, hosts)?;
    let set = |list: Vec<At<String>>| list.into_iter().map(|at| at.value).collect::<BTreeSet<_>>();
    let mut fields = Fields { base: set(table.texts("fields")?), within: BTreeMap::new() };
    if let Some(within) = table.table("within", &[])? {
        for key in within.keys() {
            let names = set(within.texts(&key.value)?);
            fields.within.insert(key.value, names);
        }
    }
    Ok(Some(GraphqlRule { alias: alias.to_owned(), path: format!("/{path}"), fields }))
}

fn op(table: &Reader<'_>, profile: &Profile) -> Result<Op, ProfileError> {
    let name = table.required("name")?;
    marque_chain::grant::ActionPattern::parse(&name.value)
        .ok()
        .filter(|_| !name.value.contains('*'))
        .ok_or_else(|| ProfileError::value(name.line, format!("`{}` is no operation name", name.value)))?;
    let effect = table.required("effect")?;
    let word = |e: &Effect| *e != Effect::Unparsed && e.word() == effect.value;
    let Some(effect) = Effect::ALL.into_iter().find(word) else {
        return Err(ProfileError::value(effect.line, format!("`{}` is no effect", effect.value)));
    };
    let hold = table.number("hold")?;
    if let Some(at) = hold.as_ref().filter(|at| at.value > HOLD_BYTES_MAX) {
        return Err(ProfileError::value(at.line, format!("`hold` is above {HOLD_BYTES_MAX} bytes")));
    }
    let on = table.text("on")?;
    let lines = table.texts("match")?;
    if lines.is_empty() {
        return Err(ProfileError::Missing { line: table.line, key: "match" });
    }
    if lines.len() > MATCHES_MAX {
        return Err(ProfileError::value(table.line, "`match` has more lines than the bound"));
    }
    let plain = |list: Vec<At<String>>| list.into_iter().map(|at| at.value).collect();
    Ok(Op {
        name: name.value,
        effect,
        line: table.line,
        matches: lines.into_iter().map(|at| matched(at, on.as_ref(), profile)).collect::<Result<_, _>>()?,
        over: table.texts("over")?,
        attributes: attributes(table)?,
        needs: plain(table.texts("needs")?),
        answers: table.texts("answers")?.into_iter().map(parsed).collect::<Result<_, _>>()?,
        opaque: table.flag("opaque")?,
        multipart: table.flag("multipart")?,
        hold: hold.map(|at| at.value),
        yes: table.texts("yes")?,
        no: table.texts("no")?,
    })
}

fn attributes(table: &Reader<'_>) -> Result<BTreeMap<String, Source>, ProfileError> {
    let read = |(name, at): (String, At<String>)| {
        let source = match at.value.split_once(' ') {
            Some(("body", pointer)) => {
                Source::Body(body_pointer(pointer).map_err(|why| ProfileError::value(at.line, why))?)
            }
            Some(("query", key)) => Source::Query(key.to_owned()),
            _ => return Err(ProfileError::value(at.line, "an attribute is `body /pointer` or `query key`")),
        };
        Ok((name, source))
    };
    table.map("attributes")?.into_iter().map(read).collect()
}

fn matched(at: At<String>, on: Option<&At<String>>, profile: &Profile) -> Result<OpMatch, ProfileError> {
    let refuse = |why: String| ProfileError::value(at.line, why);
    let matcher = Matcher::parse(&at.value).map_err(refuse)?;
    match &matcher {
        Matcher::Http(http) => known_alias(&http.alias, at.line, &profile.hosts)?,
        Matcher::Upload { .. } | Matcher::Receive { .. } => known_alias("git", at.line, &profile.hosts)?,
        Matcher::Graphql { .. } if profile.graphql.is_none() => {
            return Err(refuse("a `graphql` match needs a `[graphql]` table".into()));
        }
        Matcher::Graphql { .. } => {}
    }
    let resource = match on {
        Some(on) => on.value.clone(),
        None => fitting(&matcher, profile).map_err(refuse)?,
    };
    match profile.resources.get(&resource) {
        None => Err(refuse(format!("there is no resource `{resource}`"))),
        Some(ResourceRule::Name(name)) if !name.variables().is_subset(&matcher.variables()) => {
            Err(refuse(format!("the match does not capture all of `{resource}`")))
        }
        Some(ResourceRule::Ask { .. }) if !matcher.variables().contains(resource.as_str()) => {
            Err(refuse(format!("the match does not capture `{resource}`")))
        }
        Some(_) => Ok(OpMatch { matcher, resource, line: at.line }),
    }
}

/// The template that uses most of what is captured; two that use as much need `on`.
fn fitting(matcher: &Matcher, profile: &Profile) -> Result<String, String> {
    let captured = matcher.variables();
    let width = |(key, rule): (&String, &ResourceRule)| match rule {
        ResourceRule::Name(name) if name.variables().is_subset(&captured) => {
            Some((name.variables().len(), key.clone()))
        }
        ResourceRule::Ask { .. } if captured.contains(key.as_str()) => Some((1, key.clone())),
        _ => None,
    };
    let fits: Vec<_> = profile.resources.iter().filter_map(width).collect();
    let best = fits.iter().map(|(n, _)| *n).max().ok_or("no `[resource]` fits what is captured, so `on` is missing")?;
    let mut names = fits.into_iter().filter(|(n, _)| *n == best).map(|(_, key)| key);
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        _ => Err("two resources fit what is captured, so `on` is missing".into()),
    }
}

/// `over` names operations that are there, and no two are over each other.
fn over_is_sound(profile: &Profile) -> Result<(), ProfileError> {
    for op in &profile.ops {
        for at in &op.over {
            let Some(other) = profile.ops.iter().find(|other| other.name == at.value) else {
                let meant = nearest(&at.value, profile.ops.iter().map(|op| op.name.as_str()));
                return Err(ProfileError::UnknownKey { line: at.line, key: at.value.clone(), meant });
            };
            if other.name == op.name || other.over.iter().any(|back| back.value == op.name) {
                return Err(ProfileError::value(at.line, format!("`{}` cannot be over `{}`", op.name, at.value)));
            }
        }
    }
    Ok(())
}
