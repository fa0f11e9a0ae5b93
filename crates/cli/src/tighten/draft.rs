//! From uses to grants. Nothing here is wider than what was granted: each grant is checked to lie within the one that
//! permitted its uses, and where a shorter form does not, the longer one is taken.

use crate::out::Failure;
use marque_api::control::{OpenedWith, UsedOnce, Uses};
use marque_authority::services::package_registries;
use marque_chain::grant::{ActionPattern, Methods, PathPattern, ResourcePattern};
use marque_chain::limits::{MAX_ENTRIES, MAX_GRANTS};
use marque_chain::{Grant, HttpGrant, ServiceGrant, covers};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The set of hosts that holds the public package registries.
const REGISTRIES: &str = "@package-registries";
/// Open hosts that are written; more are for people to choose from.
pub(super) const HOSTS_MAX: usize = 12;
/// Different names below one branch prefix, or values of one path segment, before a pattern stands for them.
const GENERAL_MIN: usize = 2;
/// Paths of one origin before what they have in common stands for them.
const PATHS_MAX: usize = 8;

/// Everything that a session used.
pub(super) struct Record {
    pub(super) session: String,
    pub(super) opened: OpenedWith,
    pub(super) grants: Vec<Grant>,
    pub(super) uses: Vec<UsedOnce>,
    /// Hosts that observe mode let pass, with connections.
    pub(super) hosts: BTreeMap<String, u64>,
    /// What was refused, by code.
    pub(super) refused: BTreeMap<(String, String), u64>,
}

impl Record {
    pub(super) fn of(pages: Vec<Uses>) -> Result<Self, Failure> {
        let mut opened = None;
        let (mut uses, mut hosts, mut refused) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut session = String::new();
        for page in pages {
            session = page.session;
            opened = opened.or(page.opened);
            uses.extend(page.uses);
            for passed in page.passed {
                *hosts.entry(passed.host).or_default() += passed.count;
            }
            for one in page.refused {
                *refused.entry((one.what, one.code)).or_default() += one.count;
            }
        }
        let opened = opened.ok_or_else(|| Failure::new("the journal has no such session", "give the whole id of an ended session"))?;
        let mut grants = Vec::new();
        for grant in opened.grants.as_array().into_iter().flatten() {
            grants.push(Grant::from_json(grant.clone()).map_err(|e| Failure::new(format!("the session's grants: {e}"), "report this"))?);
        }
        Ok(Self { session, opened, grants, uses, hosts, refused })
    }
}

/// One grant to be written, and how often it was used, by effect.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) grant: Grant,
    pub(super) counts: BTreeMap<String, u64>,
}

/// A task to be written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) parts: Vec<Part>,
    /// Entries of `[egress]` that were granted.
    pub(super) granted: Vec<(String, u64)>,
    /// Entries of `[egress]` that observe mode let pass, most used first.
    pub(super) passed: Vec<(String, u64)>,
}

impl Draft {
    pub(super) fn of(record: &Record) -> Result<Self, Failure> {
        let mut draft = Self::default();
        let registries: BTreeSet<String> = package_registries()?.into_iter().collect();
        let mut by_parent: BTreeMap<usize, Vec<&UsedOnce>> = BTreeMap::new();
        for used in record.uses.iter().filter(|u| u.would_deny.is_empty() && !has_wildcard(u)) {
            if let Some(parent) = used.grant.and_then(|g| usize::try_from(g).ok()) {
                by_parent.entry(parent).or_default().push(used);
            }
        }
        for (parent, uses) in &by_parent {
            let Some(parent) = record.grants.get(*parent) else { continue };
            if is_registries(parent, &registries) {
                draft.granted.push((REGISTRIES.into(), uses.len() as u64));
            } else {
                draft.parts.extend(parts(parent, uses));
            }
        }
        draft.pass(&record.hosts, &registries);
        let room = MAX_GRANTS.saturating_sub(draft.granted.len());
        if draft.parts.len() > room {
            let whole = |(parent, uses): (&usize, &Vec<&UsedOnce>)| narrowed(record.grants.get(*parent)?, uses);
            draft.parts = by_parent.iter().filter_map(whole).filter(|p| !is_registries(&p.grant, &registries)).take(room).collect();
        }
        if draft.parts.is_empty() {
            let help = "a task needs a grant: run the work in a session that grants it, then tighten that one";
            return Err(Failure::new(format!("session `{}` used nothing that a grant permits", record.session), help));
        }
        Ok(draft)
    }

    fn pass(&mut self, hosts: &BTreeMap<String, u64>, registries: &BTreeSet<String>) {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (host, count) in hosts {
            let scheme = if host.ends_with(":80") { "http" } else { "https" };
            // What is no origin was never reached.
            let Ok(origin) = marque_authority::origin(&format!("{scheme}://{host}")) else { continue };
            let name = if registries.contains(&origin) { REGISTRIES.to_owned() } else { origin };
            *counts.entry(name).or_default() += count;
        }
        counts.retain(|name, _| !self.granted.iter().any(|(known, _)| known == name));
        self.passed = counts.into_iter().collect();
        self.passed.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    }
}

/// Whether a name has a character that a grant would read as a pattern: an agent may ask for `/%2a%2a`, and no grant can be
/// written for that alone.
fn has_wildcard(used: &UsedOnce) -> bool {
    [used.resource.as_deref(), used.path.as_deref()].into_iter().flatten().any(|name| name.contains('*'))
}

/// Open hosts as the grants that a session makes of them.
pub(super) fn open(egress: &[String], environment: &str) -> Result<Vec<Grant>, Failure> {
    let mut out = Vec::new();
    for name in egress {
        let (origins, methods) = match name.as_str() {
            REGISTRIES => (package_registries()?, json!(["GET", "HEAD"])),
            other => (vec![marque_authority::origin(other)?], json!(["*"])),
        };
        let grant = json!({"type": "http", "environment": environment, "locations": origins, "actions": methods, "paths": ["/**"]});
        out.push(Grant::from_json(grant).map_err(|e| Failure::new(e.to_string(), "report this"))?);
    }
    Ok(out)
}

fn is_registries(grant: &Grant, registries: &BTreeSet<String>) -> bool {
    let Grant::Http(http) = grant else { return false };
    let reads = match http.methods() {
        Methods::Any => false,
        Methods::These(names) => names.iter().all(|n| n == "GET" || n == "HEAD"),
    };
    reads && !has_limits(grant) && http.locations().len() == registries.len() && http.locations().iter().all(|l| registries.contains(l.as_str()))
}

fn has_limits(grant: &Grant) -> bool {
    *grant.limits() != marque_chain::Limits::NONE
}

fn counts(uses: &[&UsedOnce]) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    for used in uses {
        *out.entry(used.effect.clone()).or_default() += 1;
    }
    out
}

/// The grants that one parent's uses need.
fn parts(parent: &Grant, uses: &[&UsedOnce]) -> Vec<Part> {
    // A limit holds for all uses of a grant together: two grants with it would be twice as much.
    let grouped = match parent {
        _ if has_limits(parent) => vec![uses.to_vec()],
        Grant::Service(_) => by_repository(uses),
        Grant::Http(_) => by_origin(uses),
    };
    let mut out = Vec::new();
    for group in grouped {
        let grant = match parent {
            Grant::Service(service) => service_grant(parent, service, &group),
            Grant::Http(http) => http_grant(parent, http, &group),
        };
        match grant.filter(|grant| covers(parent, grant).is_ok()) {
            Some(grant) => out.push(Part { grant, counts: counts(&group) }),
            None => out.extend(narrowed(parent, &group)),
        }
    }
    merged(out)
}

/// Uses of one thing together: what stands before `@`, and whether there is an `@`; then those with the same operations.
fn by_repository<'a>(uses: &[&'a UsedOnce]) -> Vec<Vec<&'a UsedOnce>> {
    let mut by_base: BTreeMap<(String, bool), Vec<&UsedOnce>> = BTreeMap::new();
    for used in uses {
        let resource = used.resource.as_deref().unwrap_or("");
        let base = resource.split('@').next().unwrap_or(resource);
        by_base.entry((base.to_owned(), resource.contains('@'))).or_default().push(used);
    }
    let mut by_operations: BTreeMap<(BTreeSet<&str>, bool), Vec<&UsedOnce>> = BTreeMap::new();
    for ((_, is_ref), group) in by_base {
        let operations = group.iter().map(|u| u.operation.as_str()).collect();
        by_operations.entry((operations, is_ref)).or_default().extend(group);
    }
    by_operations.into_values().collect()
}

fn by_origin<'a>(uses: &[&'a UsedOnce]) -> Vec<Vec<&'a UsedOnce>> {
    let mut by_path: BTreeMap<(&str, String), Vec<&UsedOnce>> = BTreeMap::new();
    for used in uses {
        by_path.entry((&used.origin, shape(used.path.as_deref().unwrap_or("")))).or_default().push(used);
    }
    let mut by_methods: BTreeMap<(&str, BTreeSet<&str>), Vec<&UsedOnce>> = BTreeMap::new();
    for ((origin, _), group) in by_path {
        let methods = group.iter().map(|u| u.operation.as_str()).collect();
        by_methods.entry((origin, methods)).or_default().extend(group);
    }
    by_methods.into_values().collect()
}

fn service_grant(parent: &Grant, service: &ServiceGrant, uses: &[&UsedOnce]) -> Option<Grant> {
    let operations: BTreeSet<&str> = uses.iter().map(|u| u.operation.as_str()).collect();
    let resources: BTreeSet<&str> = uses.iter().filter_map(|u| u.resource.as_deref()).collect();
    let within = |text: &str| {
        let pattern = ResourcePattern::parse(text).ok()?;
        service.resources().iter().any(|p| p.covers(&pattern)).then(|| text.to_owned())
    };
    let mut on: Vec<String> = Vec::new();
    for (prefix, members) in branches(&resources) {
        match (members.len() >= GENERAL_MIN).then(|| within(&prefix)).flatten() {
            Some(pattern) => on.push(pattern),
            None => on.extend(members.iter().filter_map(|m| within(m))),
        }
    }
    if on.len() > MAX_ENTRIES {
        on = shortened(on, within);
    }
    let operations: Vec<String> = operations.into_iter().filter(|o| ActionPattern::parse(o).is_ok()).map(str::to_owned).collect();
    grant_of(parent, json!({"actions": operations, "resources": on}))
}

/// Names below one prefix of branches: `acme/web@agent/x` and `acme/web@agent/y` are both `acme/web@agent/**`. A name that
/// has no such prefix stands alone.
fn branches<'a>(resources: &BTreeSet<&'a str>) -> BTreeMap<String, Vec<&'a str>> {
    let mut out: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for resource in resources {
        let prefix = resource.split_once('@').and_then(|(base, name)| {
            let (first, _) = name.split_once('/')?;
            Some(format!("{base}@{first}/**"))
        });
        out.entry(prefix.unwrap_or_else(|| (*resource).to_owned())).or_default().push(resource);
    }
    out
}

/// The last segment before any `@` as `*`.
fn shortened(on: Vec<String>, within: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut out = BTreeSet::new();
    for name in on {
        let (base, rest) = name.split_once('@').map_or((name.as_str(), None), |(base, rest)| (base, Some(rest)));
        let general = base.rsplit_once('/').map(|(owner, _)| match rest {
            Some(rest) => format!("{owner}/*@{rest}"),
            None => format!("{owner}/*"),
        });
        out.insert(general.and_then(|g| within(&g)).unwrap_or(name));
    }
    out.into_iter().collect()
}

fn http_grant(parent: &Grant, http: &HttpGrant, uses: &[&UsedOnce]) -> Option<Grant> {
    let origins: BTreeSet<&str> = uses.iter().map(|u| u.origin.as_str()).collect();
    let methods: BTreeSet<&str> = uses.iter().map(|u| u.operation.as_str()).collect();
    let within = |text: &str| {
        let pattern = PathPattern::parse(text).ok()?;
        http.paths().iter().any(|p| p.covers(&pattern)).then(|| text.to_owned())
    };
    let mut by_shape: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for path in uses.iter().filter_map(|u| u.path.as_deref()) {
        by_shape.entry(shape(path)).or_default().insert(path);
    }
    let mut paths: BTreeSet<String> = BTreeSet::new();
    for (shape, members) in by_shape {
        match (members.len() >= GENERAL_MIN).then(|| within(&shape)).flatten() {
            Some(pattern) => drop(paths.insert(pattern)),
            None => paths.extend(members.into_iter().filter_map(within)),
        }
    }
    if paths.len() > PATHS_MAX {
        paths = paths.into_iter().map(|p| below(&p).and_then(|b| within(&b)).unwrap_or(p)).collect();
    }
    grant_of(parent, json!({"locations": origins, "actions": methods, "paths": paths}))
}

/// A path with `*` where a segment looks like the name of one thing: a number, a hash, a UUID.
fn shape(path: &str) -> String {
    let one = |piece: &str| {
        let digits = piece.bytes().filter(u8::is_ascii_digit).count();
        let hex = piece.len() >= 7 && digits > 0 && piece.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        !piece.is_empty() && (digits == piece.len() || hex)
    };
    path.split('/').map(|piece| if one(piece) { "*" } else { piece }).collect::<Vec<_>>().join("/")
}

/// Everything below the first segment.
fn below(path: &str) -> Option<String> {
    let (first, _) = path.strip_prefix('/')?.split_once('/')?;
    Some(format!("/{first}/**"))
}

/// The parent's grant with other members: type, service, environment and limits stay.
fn grant_of(parent: &Grant, members: Value) -> Option<Grant> {
    let mut value = serde_json::to_value(parent).ok()?;
    let object = value.as_object_mut()?;
    for (name, list) in members.as_object()? {
        object.insert(name.clone(), list.clone());
    }
    Grant::from_json(value).ok()
}

/// The parent without the entries that nothing needed. Never wider, and short enough whenever the parent was.
fn narrowed(parent: &Grant, uses: &[&UsedOnce]) -> Option<Part> {
    let texts = |list: &[&dyn ToString]| list.iter().map(|p| p.to_string()).collect::<Vec<_>>();
    let grant = match parent {
        Grant::Service(service) => {
            let actions: Vec<&dyn ToString> = service
                .actions()
                .iter()
                .filter(|p| uses.iter().any(|u| p.permits(&u.operation)))
                .map(|p| p as &dyn ToString)
                .collect();
            let resources: Vec<&dyn ToString> = service
                .resources()
                .iter()
                .filter(|p| uses.iter().any(|u| u.resource.as_deref().is_some_and(|r| p.permits(r))))
                .map(|p| p as &dyn ToString)
                .collect();
            grant_of(parent, json!({"actions": texts(&actions), "resources": texts(&resources)}))
        }
        Grant::Http(http) => {
            let locations: Vec<&dyn ToString> =
                http.locations().iter().filter(|l| uses.iter().any(|u| u.origin == l.as_str())).map(|l| l as &dyn ToString).collect();
            let paths: Vec<&dyn ToString> = http
                .paths()
                .iter()
                .filter(|p| uses.iter().any(|u| u.path.as_deref().is_some_and(|path| p.permits(path))))
                .map(|p| p as &dyn ToString)
                .collect();
            let methods: BTreeSet<&str> = uses.iter().map(|u| u.operation.as_str()).collect();
            grant_of(parent, json!({"locations": texts(&locations), "actions": methods, "paths": texts(&paths)}))
        }
    };
    let grant = grant.filter(|grant| covers(parent, grant).is_ok())?;
    Some(Part { grant, counts: counts(uses) })
}

/// Equal grants once, with what both were used.
fn merged(parts: Vec<Part>) -> Vec<Part> {
    let mut out: Vec<Part> = Vec::new();
    for part in parts {
        match out.iter_mut().find(|known| known.grant == part.grant) {
            Some(known) => {
                for (effect, count) in part.counts {
                    *known.counts.entry(effect).or_default() += count;
                }
            }
            None => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests;
