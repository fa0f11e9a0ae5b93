//! `services/*.toml`, run against their own examples and against mutations of them.

use super::check::Example;
use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

/// Fewest examples of a profile that is shipped (acceptance, section 3).
const YES_MIN: usize = 20;
const NO_MIN: usize = 5;

const TEXTS: [(&str, &str); 5] = [
    ("github", include_str!("../../../../services/github.toml")),
    ("anthropic", include_str!("../../../../services/anthropic.toml")),
    ("openai", include_str!("../../../../services/openai.toml")),
    ("slack", include_str!("../../../../services/slack.toml")),
    ("docker-registry", include_str!("../../../../services/docker-registry.toml")),
];

static SHIPPED: LazyLock<Vec<Profile>> = LazyLock::new(|| TEXTS.iter().map(|(_, text)| Profile::parse(text).unwrap()).collect());

/// Every `yes` line, with its profile and what it means.
static REQUESTS: LazyLock<Vec<(usize, Example, Vec<Meaning>)>> = LazyLock::new(|| {
    let of = |(at, profile): (usize, &'static Profile)| {
        profile.yes_lines().into_iter().map(move |line| {
            let example = Example::parse(profile, line).unwrap();
            let Extracted::Known(actions) = profile.extract(&example.view()) else { panic!("{line}") };
            (at, example, actions)
        })
    };
    SHIPPED.iter().enumerate().flat_map(of).collect()
});

#[test]
fn every_placeholder_is_one_that_its_own_rule_finds() {
    use marque_detect::pattern::{Rule, Rules};
    use marque_detect::placeholder::Shape;
    for profile in SHIPPED.iter() {
        let credential = profile.credential();
        let shape = Shape::parse(credential.placeholder.as_deref().unwrap()).unwrap();
        let text = shape.fill(&vec![7; shape.random_bytes()]).unwrap();
        let rules = Rules::compile(&[Rule::new("own", credential.looks.as_deref().unwrap(), 256)]).unwrap();
        let found = rules.find(text.as_bytes());
        assert!(found.iter().any(|f| f.range == (0..text.len())), "{}: {text}", profile.service());
    }
}

#[test]
fn every_shipped_profile_means_what_its_examples_say() {
    for (service, text) in TEXTS {
        let profile = Profile::parse(text).unwrap_or_else(|error| panic!("services/{service}.toml: {error}"));
        assert_eq!(profile.service(), service);
        let checked = profile.check().unwrap_or_else(|problems| {
            let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
            panic!("services/{service}.toml:\n{}", list.join("\n"))
        });
        assert!(checked.yes >= YES_MIN && checked.no >= NO_MIN, "{service}: {checked:?}");
    }
}

#[test]
fn every_shipped_profile_names_what_grants() {
    for profile in SHIPPED.iter() {
        assert!(profile.operations().any(|(_, effect, _)| effect == Effect::Grant), "{}", profile.service());
    }
}

#[test]
fn every_example_is_given_no_more_body_than_it_asks_for() {
    for (at, example, actions) in REQUESTS.iter() {
        let profile = &SHIPPED[*at];
        let view = example.view();
        if profile.need(&view) == BodyNeed::None {
            let without = RequestView { body: None, ..view };
            assert_eq!(profile.extract(&without), Extracted::Known(actions.clone()), "{example:?}");
        }
    }
}

#[test]
fn package_registries_are_read_and_nothing_else() {
    let set = Egress::parse(include_str!("../../../../services/package-registries.toml")).unwrap();
    let target = |host: &str| Target::new(marque_model::Scheme::Https, host, 443).unwrap();
    assert_eq!(set.name(), "package-registries");
    assert!(set.permits(&target("registry.npmjs.org"), "GET") && set.permits(&target("pypi.org"), "HEAD"));
    assert!(!set.permits(&target("registry.npmjs.org"), "PUT") && !set.permits(&target("registry.npmjs.org"), "get"));
    assert!(!set.permits(&target("registry.npmjs.org.evil.test"), "GET"));
    let http = Target::new(marque_model::Scheme::Http, "pypi.org", 80).unwrap();
    assert!(!set.permits(&http, "GET"));
}

/// One change that a client, a proxy or an attacker makes to a request. The raw path is written anew.
#[derive(Debug, Clone)]
enum Mutation {
    MethodCase,
    Head,
    PathCase(usize),
    Escape(usize),
    EscapeTwice(usize),
    DotSegment(usize, &'static str),
    DoubleSlash(usize),
    TrailingSlash,
    ExtraQuery,
    RepeatQuery(usize),
    OverrideQuery,
    OverrideHeader,
    BodyMember,
    Coding,
    Charset,
    Multipart,
}

fn mutations() -> impl Strategy<Value = Mutation> {
    use Mutation as M;
    prop_oneof![
        Just(M::MethodCase),
        Just(M::Head),
        any::<usize>().prop_map(M::PathCase),
        any::<usize>().prop_map(M::Escape),
        any::<usize>().prop_map(M::EscapeTwice),
        (any::<usize>(), prop::sample::select(vec![".", "..", "%2e", "%2E%2e", "..;", ".%2e"])).prop_map(|(a, b)| M::DotSegment(a, b)),
        any::<usize>().prop_map(M::DoubleSlash),
        Just(M::TrailingSlash),
        Just(M::ExtraQuery),
        any::<usize>().prop_map(M::RepeatQuery),
        Just(M::OverrideQuery),
        Just(M::OverrideHeader),
        Just(M::BodyMember),
        Just(M::Coding),
        Just(M::Charset),
        Just(M::Multipart),
    ]
}

/// The request after the change, or `None` where the gateway's own check of the path refuses it.
fn mutate(example: &Example, mutation: &Mutation) -> Option<Example> {
    let mut out = example.clone();
    let mut raw = example.path.clone();
    let slashes: Vec<usize> = raw.match_indices('/').map(|(at, _)| at).collect();
    let letters: Vec<usize> = raw.bytes().enumerate().filter(|(_, b)| b.is_ascii_alphabetic()).map(|(at, _)| at).collect();
    let pick = |list: &[usize], n: usize| list.get(n % list.len().max(1)).copied();
    match mutation {
        Mutation::MethodCase => out.method = out.method.to_ascii_lowercase(),
        Mutation::Head if out.method == "GET" => out.method = "HEAD".into(),
        Mutation::Head => {}
        Mutation::PathCase(n) => {
            let at = pick(&letters, *n)?;
            // Upper and lower case of an ASCII letter differ in this bit.
            let flipped = char::from(raw.as_bytes()[at] ^ 0x20);
            raw.replace_range(at..=at, &flipped.to_string());
        }
        Mutation::Escape(n) | Mutation::EscapeTwice(n) => {
            let at = pick(&letters, *n)?;
            let percent = if matches!(mutation, Mutation::Escape(_)) { "%" } else { "%25" };
            let escaped = format!("{percent}{:02x}", raw.as_bytes()[at]);
            raw.replace_range(at..=at, &escaped);
        }
        Mutation::DotSegment(n, dots) => raw.insert_str(pick(&slashes, *n)?, &format!("/{dots}")),
        Mutation::DoubleSlash(n) => raw.insert(pick(&slashes, *n)?, '/'),
        Mutation::TrailingSlash => raw.push('/'),
        Mutation::ExtraQuery => out.query.push(("zz".into(), "1".into())),
        Mutation::RepeatQuery(n) => {
            let (key, _) = out.query.get(n % out.query.len().max(1))?.clone();
            out.query.push((key.to_ascii_uppercase(), "other".into()));
        }
        Mutation::OverrideQuery => out.query.push(("_method".into(), "GET".into())),
        Mutation::OverrideHeader => out.headers.push(("x-http-method-override".into(), "GET".into())),
        Mutation::BodyMember => {
            let body = String::from_utf8(out.body.take()?).ok()?;
            let grown = match body.strip_prefix('{') {
                Some("}") => r#"{"force":false,"channel":"C9"}"#.to_owned(),
                Some(rest) => format!(r#"{{"force":false,"channel":"C9","model":"zz",{rest}"#),
                None => format!("{body}&channel=C9&model=zz"),
            };
            // What the member changes is another request where it was absent; where it was there, it is a second.
            let first = example.body.as_ref().and_then(|b| String::from_utf8(b.clone()).ok()).unwrap_or_default();
            if !["channel", "model", "force"].iter().any(|key| first.contains(key)) {
                return None;
            }
            out.body = Some(grown.into_bytes());
        }
        Mutation::Coding => out.headers.push(("content-encoding".into(), "gzip".into())),
        Mutation::Charset => {
            out.headers.iter_mut().filter(|(k, _)| k == "content-type").for_each(|(_, v)| v.push_str("; charset=utf-16"));
        }
        Mutation::Multipart => {
            out.headers.retain(|(k, _)| k != "content-type");
            out.headers.push(("content-type".into(), "multipart/form-data; boundary=x".into()));
        }
    }
    // A segment of the decoded example is written raw but for what must be escaped.
    let raw = if matches!(mutation, Mutation::Escape(_) | Mutation::EscapeTwice(_) | Mutation::DotSegment(..)) { raw } else { raw.replace('%', "%25") };
    out.path = decoded_path(&crate::http::CanonicalPath::parse(&raw).ok()?);
    Some(out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    /// Whatever is done to a request: unknown, or at least as severe and about the same things.
    #[test]
    fn no_mutation_lowers_an_effect_or_moves_to_another_resource(n in any::<prop::sample::Index>(), mutation in mutations()) {
        let (at, example, actions) = n.get(&REQUESTS);
        let Some(mutated) = mutate(example, &mutation) else { return Ok(()) };
        let profile = &SHIPPED[*at];
        let found = profile.extract(&mutated.view());
        let before = actions.iter().map(|a| a.effect).max().unwrap();
        prop_assert!(found.effect() >= before, "{mutation:?} {mutated:?} {found:?}");
        for action in found.actions() {
            // Names whose case matters to the upstream are other names in other case; that is what they say.
            prop_assert!(actions.iter().any(|a| a.resource.eq_ignore_ascii_case(&action.resource)), "{mutation:?} {mutated:?} {action:?}");
        }
    }

    #[test]
    fn no_request_makes_a_profile_panic(
        method in "[A-Za-z]{0,8}", path in "/?[ -~]{0,60}", key in "\\PC{0,8}", value in "\\PC{0,12}", body in prop::collection::vec(any::<u8>(), 0..60), n in 0usize..5,
    ) {
        let profile = &SHIPPED[n];
        let query = [(key.clone(), value.clone())];
        for alias in profile.aliases().map(|(alias, _)| alias) {
            let headers = [("content-type".to_owned(), "application/json".to_owned())];
            let view = RequestView { alias, method: &method, path: &path, query: &query, headers: &headers, body: Some(&body) };
            let _ = (profile.need(&view), profile.extract(&view));
        }
    }
}
