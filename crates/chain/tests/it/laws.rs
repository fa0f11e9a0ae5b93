//! Laws of containment over grants made from bytes, so that a failure shrinks to few bytes.

use std::collections::BTreeMap;

use marque_chain::grant::{ActionPattern, PathPattern, ResourcePattern};
use marque_chain::{Grant, Limits, Rate, UseRef, UseWhat, contain, covers};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Bytes as a source of choices; zeros when they run out.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn below(&mut self, n: usize) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(*first) % n
    }
    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }
    fn yes(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
    fn some<T: PartialEq>(&mut self, max: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut out = Vec::new();
        for _ in 0..=self.below(max) {
            let item = one(self);
            if !out.contains(&item) {
                out.push(item);
            }
        }
        out
    }
}

const ENVIRONMENTS: [&str; 3] = ["staging", "production", "dev"];
const ORIGINS: [&str; 4] = [
    "https://a.test:443",
    "https://b.test:443",
    "http://a.test:80",
    "http://127.0.0.1:8080",
];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "PUT"];
const SEGMENTS: [&str; 5] = ["a", "b", "c", "x%2Fy", "%20"];
const WORDS: [&str; 4] = ["a", "b", "repo", "read"];
const SERVICES: [&str; 2] = ["github", "stripe"];

fn path(b: &mut Bytes<'_>) -> String {
    let n = b.below(4);
    let mut text: String = (0..n)
        .map(|_| format!("/{}", if b.yes(4) { "*" } else { b.pick(&SEGMENTS) }))
        .collect();
    if b.yes(3) || text.is_empty() {
        text.push_str("/**");
    } else if b.yes(6) {
        text.push('/');
    }
    text
}

fn action(b: &mut Bytes<'_>) -> String {
    let mut words: Vec<&str> = (0..b.below(3)).map(|_| b.pick(&WORDS)).collect();
    words.push(if b.yes(3) { "*" } else { b.pick(&WORDS) });
    words.join(".")
}

fn resource(b: &mut Bytes<'_>) -> String {
    let mut text = String::new();
    for _ in 0..b.below(4) {
        text.push_str(if b.yes(4) { "*" } else { b.pick(&WORDS) });
        text.push(if b.yes(3) { '@' } else { '/' });
    }
    text.push_str(match b.below(4) {
        0 => "**",
        1 => "*",
        _ => b.pick(&WORDS),
    });
    text
}

fn limits(b: &mut Bytes<'_>) -> Value {
    let mut out = json!({});
    for name in ["uses", "bytes", "until_s", "rows"] {
        if b.yes(2) {
            out[name] = json!(b.below(100));
        }
    }
    if b.yes(2) {
        out["rate"] = json!({"uses": b.below(20), "per_s": 1 + b.below(20)});
    }
    out
}

fn grant(b: &mut Bytes<'_>) -> Value {
    let environment = b.pick(&ENVIRONMENTS);
    let mut out = if b.yes(2) {
        let actions = if b.yes(4) {
            vec!["*"]
        } else {
            b.some(3, |b| b.pick(&METHODS))
        };
        json!({"type":"http","environment":environment,"locations":b.some(3, |b| b.pick(&ORIGINS)),"actions":actions,"paths":b.some(3, path)})
    } else {
        json!({"type":"service","service":b.pick(&SERVICES),"environment":environment,"actions":b.some(3, action),"resources":b.some(3, resource)})
    };
    out["limits"] = limits(b);
    out
}

/// A non-empty part of a list, each entry narrowed.
fn part(b: &mut Bytes<'_>, from: &Value, one: impl Fn(&mut Bytes<'_>, &str) -> String) -> Value {
    let from: Vec<&str> = from
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap())
        .collect();
    json!(b.some(3, |b| {
        let entry = b.pick(&from);
        one(b, entry)
    }))
}

/// Replaces wildcards by something they stand for, or leaves them.
fn narrow_pattern(b: &mut Bytes<'_>, text: &str, one: &[&str], sep: char) -> String {
    let text = match text.strip_suffix("**") {
        Some(head) if b.yes(2) => {
            format!("{head}{}{sep}{}", b.pick(one), b.pick(&["*", "**", "q"]))
        }
        _ => text.to_owned(),
    };
    let mut out = String::new();
    for piece in text.split_inclusive(['/', '@']) {
        let (body, end) = piece.split_at(piece.len() - usize::from(piece.ends_with(['/', '@'])));
        out.push_str(if body == "*" && b.yes(2) {
            b.pick(one)
        } else {
            body
        });
        out.push_str(end);
    }
    out
}

fn narrow(b: &mut Bytes<'_>, parent: &Value) -> Value {
    let mut child = parent.clone();
    if parent["type"] == "http" {
        child["locations"] = part(b, &parent["locations"], |_, t| t.into());
        child["paths"] = part(b, &parent["paths"], |b, t| {
            narrow_pattern(b, t, &["a", "q", "%20"], '/')
        });
        let any = parent["actions"] == json!(["*"]);
        child["actions"] = match (any, b.yes(2)) {
            (true, true) => parent["actions"].clone(),
            (true, false) => json!(["DELETE", "GET"]),
            _ => part(b, &parent["actions"], |_, t| t.into()),
        };
    } else {
        child["resources"] = part(b, &parent["resources"], |b, t| {
            narrow_pattern(b, t, &["a", "q"], '/')
        });
        child["actions"] = part(b, &parent["actions"], |b, t| match t.strip_suffix('*') {
            Some(head) if b.yes(2) => format!("{head}{}", b.pick(&["q", "q.*", "q.r"])),
            _ => t.into(),
        });
    }
    let limits = child["limits"].as_object_mut().unwrap();
    limits.retain(|_, _| !b.yes(4));
    for (name, value) in limits.iter_mut() {
        if name == "rate" {
            let (uses, per_s) = (
                value["uses"].as_u64().unwrap(),
                value["per_s"].as_u64().unwrap(),
            );
            *value = match b.below(3) {
                0 => json!({"uses": uses / 2, "per_s": per_s.div_ceil(2)}),
                1 => json!({"uses": uses, "per_s": per_s + 1}),
                _ => json!({"uses": uses.saturating_sub(1), "per_s": per_s}),
            };
        } else {
            *value = json!(value.as_u64().unwrap().saturating_sub(b.below(3) as u64));
        }
    }
    child
}

fn typed(value: &Value) -> Grant {
    Grant::from_json(value.clone()).unwrap_or_else(|e| panic!("{value}: {e}"))
}

/// A use as owned text: `(environment, service, [origin, method, path] or [action, resource])`.
#[derive(Debug, Clone)]
struct Use(String, Vec<String>);

impl Use {
    fn permitted_by(&self, grant: &Grant) -> bool {
        let what = match self.1.as_slice() {
            [origin, method, path] if origin.contains("://") => UseWhat::Http {
                origin,
                method,
                path,
            },
            [service, action, resource] => UseWhat::Service {
                service,
                action,
                resource,
            },
            _ => unreachable!(),
        };
        grant.permits(&UseRef {
            environment: &self.0,
            what,
        })
    }
}

fn instance(b: &mut Bytes<'_>, pattern: &str, sep: char) -> String {
    let text = match pattern.strip_suffix("**") {
        Some(head) => format!(
            "{head}{}",
            b.pick(&["zz", "a", &format!("zz{sep}b"), &format!("a{sep}zz{sep}c")])
        ),
        None => pattern.to_owned(),
    };
    let mut out = String::new();
    for c in text.chars() {
        if c == '*' {
            out.push_str(b.pick(&["zz", "a", "b"]))
        } else {
            out.push(c)
        }
    }
    out
}

/// A use built from the grant's own entries; mostly one it permits.
fn use_of(b: &mut Bytes<'_>, grant: &Value) -> Use {
    let entry = |b: &mut Bytes<'_>, name: &str| {
        let list: Vec<&str> = grant[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_str().unwrap())
            .collect();
        b.pick(&list).to_owned()
    };
    let environment = grant["environment"].as_str().unwrap().to_owned();
    if grant["type"] == "http" {
        let method = match entry(b, "actions").as_str() {
            "*" => b.pick(&["GET", "PATCH"]).to_owned(),
            other => other.to_owned(),
        };
        let path = entry(b, "paths");
        Use(
            environment,
            vec![entry(b, "locations"), method, instance(b, &path, '/')],
        )
    } else {
        let action = entry(b, "actions").replace('*', b.pick(&["zz", "zz.b", "a"]));
        let resource = entry(b, "resources");
        Use(
            environment,
            vec![
                grant["service"].as_str().unwrap().to_owned(),
                action,
                instance(b, &resource, '/'),
            ],
        )
    }
}

const WIDENED: [&str; 12] = [
    "type",
    "environment",
    "service",
    "locations",
    "methods",
    "paths",
    "actions",
    "resources",
    "uses",
    "rate",
    "amount",
    "star",
];

/// One step beyond `parent` in one field, with the pointer at which that has to be reported. `None` where the
/// parent has no edge in that field (it covers everything there, or is of the other type).
fn widen(b: &mut Bytes<'_>, parent: &Value, child: &mut Value, field: &str) -> Option<String> {
    let http = parent["type"] == "http";
    let push = |child: &mut Value, name: &str, entry: &str| {
        let list = child[name].as_array_mut().unwrap();
        list.push(json!(entry));
        Some(format!("/{name}/{}", list.len() - 1))
    };
    let covered = |name: &str, test: &dyn Fn(&str) -> bool| {
        parent[name]
            .as_array()
            .unwrap()
            .iter()
            .any(|v| test(v.as_str().unwrap()))
    };
    match field {
        "type" => {
            let environment = child["environment"].clone();
            *child = if http {
                json!({"type":"service","service":"github","environment":environment,"actions":["a"],"resources":["a"]})
            } else {
                json!({"type":"http","environment":environment,"locations":[ORIGINS[0]],"actions":["GET"],"paths":["/a"]})
            };
            Some("/type".into())
        }
        "environment" => {
            child["environment"] = json!("elsewhere");
            Some("/environment".into())
        }
        "service" if !http => {
            child["service"] = json!("elsewhere");
            Some("/service".into())
        }
        "locations" if http => push(child, "locations", "https://elsewhere.test:443"),
        "methods" if http && parent["actions"] != json!(["*"]) => match b.yes(2) {
            true => push(child, "actions", "DELETE"),
            false => {
                child["actions"] = json!(["*"]);
                Some("/actions/0".into())
            }
        },
        "paths" if http => {
            let new = b.pick(&["/zz", "/zz/zz/zz/zz", "/zz/x%2Fzz", "/zz/"]);
            let taken = covered("paths", &|t| PathPattern::parse(t).unwrap().permits(new));
            if taken {
                None
            } else {
                push(child, "paths", new)
            }
        }
        "actions" if !http => {
            let taken = covered("actions", &|t| {
                ActionPattern::parse(t).unwrap().permits("zz.zz")
            });
            if taken {
                None
            } else {
                push(child, "actions", "zz.zz")
            }
        }
        "resources" if !http => {
            let new = b.pick(&["zz", "zz/zz/zz/zz/zz", "zz@zz", "zz/zz@zz/zz"]);
            let taken = covered("resources", &|t| {
                ResourcePattern::parse(t).unwrap().permits(new)
            });
            if taken {
                None
            } else {
                push(child, "resources", new)
            }
        }
        // A literal of an entry becomes `*`: wider unless some entry of the parent has a wildcard there.
        "star" => {
            let name = if http { "paths" } else { "resources" };
            let entry = child[name][0].as_str().unwrap().to_owned();
            let at = entry.rfind(['/', '@']).map_or(0, |i| i + 1);
            if entry.ends_with('*') || entry.ends_with('/') {
                return None;
            }
            let (starred, witness) = (
                format!("{}*", &entry[..at]),
                format!("{}zz", &entry[..at]).replace('*', "zz"),
            );
            let taken = covered(name, &|t| {
                if http {
                    PathPattern::parse(t).unwrap().permits(&witness)
                } else {
                    ResourcePattern::parse(t).unwrap().permits(&witness)
                }
            });
            if taken || child[name].as_array().unwrap().contains(&json!(starred)) {
                return None;
            }
            child[name][0] = json!(starred);
            Some(format!("/{name}/0"))
        }
        "uses" => over(parent, child, "uses"),
        "amount" => over(parent, child, b.pick(&["bytes", "until_s", "rows"])),
        "rate" => {
            let uses = parent["limits"]["rate"]["uses"].as_u64()?;
            let per_s = parent["limits"]["rate"]["per_s"].as_u64()?;
            let wider = match b.below(2) {
                // One second shorter needs two windows to cover the parent's.
                0 if per_s > 1 && uses > 0 => json!({"uses": uses, "per_s": per_s - 1}),
                _ => json!({"uses": uses + 1, "per_s": per_s}),
            };
            child["limits"]["rate"] = wider;
            Some("/limits/rate".into())
        }
        _ => None,
    }
}

fn over(parent: &Value, child: &mut Value, name: &str) -> Option<String> {
    child["limits"][name] = json!(parent["limits"][name].as_u64()? + 1);
    Some(format!("/limits/{name}"))
}

fn seed_bytes(i: u32) -> Vec<u8> {
    (0..8_u32)
        .flat_map(|part| marque_chain::sha256(&[i.to_be_bytes(), part.to_be_bytes()].concat()).0)
        .collect()
}

fn sound(parent: &Grant, child: &Grant, what: &Use) -> bool {
    !(covers(parent, child).is_ok() && what.permitted_by(child)) || what.permitted_by(parent)
}

#[test]
fn containment_is_sound_and_every_single_widening_is_named() {
    const N: u32 = 6000;
    let (mut contained, mut widened, mut used) = (0_u32, 0_u32, 0_u32);
    let mut by_field: BTreeMap<&str, u32> = BTreeMap::new();
    for i in 0..N {
        let data = seed_bytes(i);
        let mut b = Bytes(&data);
        let parent = grant(&mut b);
        let mut child = narrow(&mut b, &parent);
        match i % 5 {
            0 | 1 => assert_eq!(
                covers(&typed(&parent), &typed(&child)),
                Ok(()),
                "{parent} {child}"
            ),
            2 | 3 => {
                // The limits of the first check come last, so every earlier field is still the parent's.
                child["limits"] = json!({});
                let turn = usize::try_from(i).unwrap();
                let hit = (0..WIDENED.len()).find_map(|k| {
                    let field = WIDENED[(turn + k) % WIDENED.len()];
                    let mut wide = child.clone();
                    widen(&mut b, &parent, &mut wide, field).map(|pointer| (field, wide, pointer))
                });
                let (field, wide, pointer) = hit.unwrap();
                let refused = covers(&typed(&parent), &typed(&wide))
                    .expect_err(&format!("{field}: {parent} {wide}"));
                assert_eq!(refused.pointer, pointer, "{field}: {parent} {wide}");
                *by_field.entry(field).or_default() += 1;
                child = wide;
            }
            _ => child = grant(&mut b),
        }
        let (parent_t, child_t) = (typed(&parent), typed(&child));
        let is_contained = covers(&parent_t, &child_t).is_ok();
        contained += u32::from(is_contained);
        widened += u32::from(i % 5 == 2 || i % 5 == 3);
        for _ in 0..8 {
            let what = use_of(&mut b, &child);
            assert!(
                sound(&parent_t, &child_t, &what),
                "{parent} {child} {what:?}"
            );
            used += u32::from(is_contained && what.permitted_by(&child_t));
        }
    }
    assert!(contained * 10 >= N * 3, "{contained} contained");
    assert!(widened * 10 >= N * 3, "{widened} widened");
    assert!(used > N * 2, "{used} uses permitted");
    assert_eq!(by_field.len(), WIDENED.len(), "{by_field:?}");
    assert!(by_field.values().all(|n| *n >= 50), "{by_field:?}");
}

/// Small models whole: `covers` is then exactly inclusion, not just sound.
#[test]
fn path_containment_is_inclusion_in_every_small_model() {
    let patterns = words(&["a", "b", "*"], 3, &["", "/", "/**"]);
    let patterns: Vec<PathPattern> = patterns
        .iter()
        .chain([&"/**".to_owned(), &"/".to_owned()])
        .map(|t| PathPattern::parse(t).unwrap())
        .collect();
    let paths: Vec<String> = words(&["a", "b", "z"], 4, &["", "/"])
        .into_iter()
        .chain(["/".to_owned()])
        .collect();
    let sets: Vec<Vec<bool>> = patterns
        .iter()
        .map(|p| paths.iter().map(|t| p.permits(t)).collect())
        .collect();
    inclusion(&patterns, &sets, PathPattern::covers);
}

#[test]
fn resource_containment_is_inclusion_in_every_small_model() {
    let join = |mut text: String| {
        text.remove(0);
        text
    };
    let patterns = words_with(&["a", "*"], &['/', '@'], 3, &["", "/**", "@**"]);
    let patterns: Vec<ResourcePattern> = patterns
        .into_iter()
        .map(join)
        .chain(["**".to_owned()])
        .map(|t| ResourcePattern::parse(&t).unwrap())
        .collect();
    let resources: Vec<String> = words_with(&["a", "z"], &['/', '@'], 5, &[""])
        .into_iter()
        .map(join)
        .collect();
    let sets: Vec<Vec<bool>> = patterns
        .iter()
        .map(|p| resources.iter().map(|t| p.permits(t)).collect())
        .collect();
    inclusion(&patterns, &sets, ResourcePattern::covers);
}

fn inclusion<T: std::fmt::Debug>(patterns: &[T], sets: &[Vec<bool>], covers: fn(&T, &T) -> bool) {
    let mut yes = 0;
    for (p, mine) in patterns.iter().zip(sets) {
        for (c, theirs) in patterns.iter().zip(sets) {
            let included = mine.iter().zip(theirs).all(|(m, t)| *m || !*t);
            assert_eq!(covers(p, c), included, "{p:?} {c:?}");
            yes += u32::from(included);
        }
    }
    assert!(yes > 200, "{yes}");
}

fn words(segments: &[&str], max: usize, ends: &[&str]) -> Vec<String> {
    words_with(segments, &['/'], max, ends)
}

fn words_with(segments: &[&str], seps: &[char], max: usize, ends: &[&str]) -> Vec<String> {
    let mut level = vec![String::new()];
    let mut all = Vec::new();
    for depth in 0..max {
        let seps = if depth == 0 { &seps[..1] } else { seps };
        level = level
            .iter()
            .flat_map(|head| {
                seps.iter()
                    .flat_map(move |s| segments.iter().map(move |t| format!("{head}{s}{t}")))
            })
            .collect();
        all.extend(
            level
                .iter()
                .flat_map(|w| ends.iter().map(move |end| format!("{w}{end}"))),
        );
    }
    all
}

#[test]
fn a_rate_is_covered_only_if_every_schedule_is() {
    let rate = |uses, per_s| Rate { uses, per_s };
    assert!(rate(10, 60).covers(&rate(10, 60)));
    assert!(rate(10, 60).covers(&rate(10, 3600)));
    assert!(rate(10, 60).covers(&rate(5, 30)));
    assert!(!rate(10, 60).covers(&rate(6, 30)));
    assert!(!rate(10, 60).covers(&rate(10, 59)));
    assert!(!rate(u64::MAX, u64::MAX).covers(&rate(2, 1)));
    // Against every schedule over a short time.
    let keeps = |schedule: u32, r: Rate| {
        (0..10).all(|start| {
            (start..(start + r.per_s).min(10))
                .filter(|t| schedule >> t & 1 == 1)
                .count() as u64
                <= r.uses
        })
    };
    for (pu, pw, cu, cw) in
        (0..256_u64).map(|n| (n & 3, 1 + (n >> 2 & 3), n >> 4 & 3, 1 + (n >> 6)))
    {
        let (parent, child) = (rate(pu, pw), rate(cu, cw));
        if parent.covers(&child) {
            assert!(
                (0..1024).all(|s| !keeps(s, child) || keeps(s, parent)),
                "{parent:?} {child:?}"
            );
        }
    }
}

#[test]
fn a_child_is_never_covered_by_two_parents_together() {
    let parents = [json!(["/a"]), json!(["/b"])].map(|paths| typed(&json!({"type":"http","environment":"dev","locations":[ORIGINS[0]],"actions":["GET"],"paths":paths})));
    let child = typed(
        &json!({"type":"http","environment":"dev","locations":[ORIGINS[0]],"actions":["GET"],"paths":["/a","/b"]}),
    );
    assert_eq!(
        contain(&parents, std::slice::from_ref(&child))
            .unwrap_err()
            .pointer,
        "/authorization_details/0/paths/1"
    );
    assert_eq!(
        contain(&[], std::slice::from_ref(&child))
            .unwrap_err()
            .pointer,
        "/authorization_details/0"
    );
    assert_eq!(
        contain(&parents, &[parents[1].clone(), parents[0].clone()]),
        Ok(vec![1, 0])
    );
    assert_eq!(
        contain(&[child.clone(), parents[0].clone()], &parents[..1]),
        Ok(vec![0]),
        "the first parent counts"
    );
}

fn effective(child: &Grant, parent: &Grant) -> Grant {
    child
        .clone()
        .with_limits(child.limits().inheriting(parent.limits()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn containment_is_reflexive_sound_and_transitive(data in proptest::collection::vec(any::<u8>(), 0..256)) {
        let mut b = Bytes(&data);
        let (a_json, other) = (grant(&mut b), grant(&mut b));
        let b_json = narrow(&mut b, &a_json);
        let a = typed(&a_json);
        let second = effective(&typed(&b_json), &a);
        let c_json = narrow(&mut b, &serde_json::to_value(&second).map(|mut v| { if v.get("limits").is_none() { v["limits"] = json!({}); } v }).unwrap());
        let c = typed(&c_json);
        prop_assert!(covers(&a, &a).is_ok());
        prop_assert!(covers(&a, &second).is_ok() && covers(&second, &c).is_ok() && covers(&a, &c).is_ok());
        let o = effective(&typed(&other), &a);
        for (x, y, z) in [(&a, &o, &c), (&o, &a, &second), (&c, &second, &a), (&second, &c, &o)] {
            if covers(x, y).is_ok() {
                let y = effective(y, x);
                if covers(&y, z).is_ok() {
                    prop_assert!(covers(x, z).is_ok());
                }
            }
        }
        for _ in 0..4 {
            let what = use_of(&mut b, &c_json);
            prop_assert!(sound(&a, &c, &what) && sound(&second, &c, &what) && sound(&o, &c, &what));
        }
        prop_assert_eq!(Grant::from_json(serde_json::to_value(&c).unwrap()), Ok(c.clone()));
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-z%/@.*?0-9A-F:~ -]{0,40}") {
        for parsed in [PathPattern::parse(&text).map(|p| p.to_string()).ok(), ActionPattern::parse(&text).map(|p| p.to_string()).ok(), ResourcePattern::parse(&text).map(|p| p.to_string()).ok()].into_iter().flatten() {
            prop_assert_eq!(&parsed, &text);
        }
        // A literal pattern permits itself and nothing else does so in another spelling.
        if let Ok(p) = PathPattern::parse(&text) && !text.contains('*') {
            prop_assert!(p.permits(&text));
        }
        if let Ok(p) = ResourcePattern::parse(&text) && !text.contains('*') {
            prop_assert!(p.permits(&text));
        }
    }

    #[test]
    fn limits_inherit_to_something_covered(p in any::<[Option<u16>; 4]>(), c in any::<[Option<u16>; 4]>()) {
        let make = |[uses, bytes, until_s, rows]: [Option<u16>; 4]| Limits { uses: uses.map(u64::from), rate: None, bytes: bytes.map(u64::from), until_s: until_s.map(u64::from), rows: rows.map(u64::from) };
        let (p, c) = (make(p), make(c));
        let e = c.inheriting(&p);
        prop_assert_eq!(p.covers(&c).is_ok(), p.covers(&e).is_ok());
        prop_assert!(p.uses.is_none() || e.uses.is_some());
    }
}
