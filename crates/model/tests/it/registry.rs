use crate::world::{World, leaf, session};
use marque_model::event::{EnvironmentAdd, EnvironmentRemove};
use marque_model::limits::{REGISTRY_ENTRIES_MAX, REGISTRY_NAME_BYTES_MAX};
use marque_model::registry::{Found, Pattern, RegistryError, Selector};
use marque_model::{Draft, Refusal, State};
use proptest::prelude::*;

fn add(kind: &str, service: &str, name: &str, environment: &str) -> Draft {
    let event = EnvironmentAdd { kind: kind.into(), service: service.into(), name: name.into(), environment: environment.into() };
    Draft::new(event)
}

fn remove(kind: &str, service: &str, name: &str) -> Draft {
    Draft::new(EnvironmentRemove { kind: kind.into(), service: service.into(), name: name.into() })
}

/// The environment that the registry gives, or why it gives none.
fn found(state: &State, service: &str, resource: &str) -> String {
    match state.registry.index().map(|index| index.resource(service, resource)) {
        Some(Found::Registered(entry)) => entry.environment.clone(),
        Some(Found::Unknown) => "unknown".into(),
        Some(Found::Silent) | None => "silent".into(),
    }
}

fn host(state: &State, host: &str) -> Option<String> {
    Some(state.registry.index()?.host(host)?.environment.clone())
}

#[test]
fn the_narrower_entry_counts() {
    let mut world = World::new();
    for (name, environment) in [("acme/*", "staging"), ("acme/payments-*", "production"), ("acme/payments-docs", "staging"), ("acme/web@prod", "production")] {
        world.append(add("resource", "github", name, environment)).unwrap();
    }
    for (resource, environment) in [
        ("acme/web", "staging"),
        ("acme/web@main", "staging"),
        ("acme/web@prod", "production"),
        ("acme/payments-api", "production"),
        ("acme/payments-api@main", "production"),
        ("ACME/Payments-API", "production"),
        ("acme/payments-docs", "staging"),
        ("acme/payments-docs@main", "staging"),
        ("acme/payments", "staging"),
        ("acme", "unknown"),
        ("other/web", "unknown"),
        ("acme@web", "unknown"),
        ("", "unknown"),
    ] {
        assert_eq!(found(&world.state, "github", resource), environment, "{resource}");
    }
    assert_eq!(found(&world.state, "slack", "acme/web"), "silent");
}

#[test]
fn an_account_is_everything_of_it() {
    let mut world = World::new();
    world.append(add("account", "github", "acme", "production")).unwrap();
    for resource in ["acme/web", "acme/web@main", "org/acme", "Acme/x"] {
        assert_eq!(found(&world.state, "github", resource), "production", "{resource}");
    }
    assert_eq!(found(&world.state, "github", "acmeco/web"), "unknown");
    // One resource of it elsewhere is narrower; the account in other words is the same thing.
    world.append(add("resource", "github", "acme/sandbox", "staging")).unwrap();
    assert_eq!(found(&world.state, "github", "acme/sandbox@main"), "staging");
    assert!(world.append(add("resource", "github", "acme", "staging")).is_err());
    assert!(world.append(add("resource", "github", "org/acme", "staging")).is_err());
}

#[test]
fn hosts_zones_and_networks_nest() {
    let mut world = World::new();
    for (name, environment) in [
        ("*.acme.example", "staging"), ("*.prod.acme.example", "production"), ("db.prod.acme.example", "staging"),
        ("10.0.0.0/8", "staging"), ("10.1.0.0/16", "production"), ("10.1.2.3", "staging"), ("fd00::/8", "production"),
    ] {
        world.append(add("host", "", name, environment)).unwrap();
    }
    for (name, environment) in [
        ("api.acme.example", Some("staging")), ("acme.example", None), ("api.prod.acme.example", Some("production")),
        ("prod.acme.example", Some("staging")), ("db.prod.acme.example", Some("staging")), ("xacme.example", None),
        ("10.2.0.1", Some("staging")), ("10.1.0.1", Some("production")), ("10.1.2.3", Some("staging")), ("11.0.0.1", None),
        ("fd00::1", Some("production")), ("fe80::1", None), ("::ffff:10.1.0.1", Some("production")), ("a00::1", None),
    ] {
        assert_eq!(host(&world.state, name).as_deref(), environment, "{name}");
    }
    for wrong in ["", "*", "*.", "a b", "10.0.0.1/8", "10.0.0.0/33", "*.10.0.0.1", "host:443", "a/b"] {
        assert!(matches!(Selector::parse("host", "", wrong), Err(RegistryError::Host(_))), "{wrong}");
    }
}

#[test]
fn two_equal_entries_of_different_environments_are_refused() {
    let mut world = World::new();
    world.append(add("resource", "github", "acme/web", "staging")).unwrap();
    world.append(add("resource", "github", "acme/web", "staging")).unwrap();
    assert!(matches!(world.append(add("resource", "github", "acme/web", "production")), Err(Refusal::Sequence(_))));
    world.append(add("resource", "github", "acme/*", "staging")).unwrap();
    // Neither lies in the other, and `acme/web-one` lies in both.
    world.append(add("resource", "github", "*/web-one", "staging")).unwrap();
    assert!(world.append(add("resource", "github", "*/web-*", "production")).is_err());
    world.append(add("host", "", "*.acme.example", "staging")).unwrap();
    assert!(world.append(add("host", "", "*.acme.example", "production")).is_err());
    world.append(add("database", "postgres", "orders", "production")).unwrap();
    assert!(world.append(add("database", "postgres", "orders", "staging")).is_err());
    world.append(remove("database", "postgres", "orders")).unwrap();
    world.append(add("database", "postgres", "orders", "staging")).unwrap();
    assert!(world.append(remove("database", "postgres", "others")).is_err());
    // A record has one spelling.
    assert!(world.append(add("host", "", "API.test", "staging")).is_err());
    assert!(world.append(add("planet", "github", "acme", "staging")).is_err());
    assert!(world.append(add("resource", "github", "acme/x", "sta ging")).is_err());
}

#[test]
fn a_change_of_the_registry_makes_decisions_in_flight_be_made_again() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    let epoch = |world: &World| world.state.sessions[&session(1)].facts.epoch;
    let decided = |world: &World| {
        let mut draft = World::intent(1, 0, None).by_leaf(leaf(1));
        draft.facts_epoch = Some(epoch(world));
        draft
    };
    let before = decided(&world);
    world.append(add("resource", "github", "acme/web", "production")).unwrap();
    assert_eq!(world.append(before), Err(Refusal::FactsChanged));
    let between = decided(&world);
    world.append(remove("resource", "github", "acme/web")).unwrap();
    assert_eq!(world.append(between), Err(Refusal::FactsChanged));
    let after = decided(&world);
    world.append(after).unwrap();
}

#[test]
fn the_registry_takes_as_many_entries_as_it_says_and_not_one_more() {
    let mut world = World::new();
    for n in 0..REGISTRY_ENTRIES_MAX {
        world.append(add("resource", "github", &format!("acme/r{n}"), "staging")).unwrap();
    }
    assert!(world.append(add("resource", "github", "acme/one-more", "staging")).is_err());
    let selector = Selector::parse("resource", "github", "acme/one-more").unwrap();
    assert_eq!(world.state.registry.judge(&selector, "staging"), Err(RegistryError::Full));
    world.append(remove("resource", "github", "acme/r7")).unwrap();
    world.append(add("resource", "github", "acme/one-more", "staging")).unwrap();
    assert!(Pattern::parse(&"a".repeat(REGISTRY_NAME_BYTES_MAX)).is_ok());
    assert!(Pattern::parse(&"a".repeat(REGISTRY_NAME_BYTES_MAX + 1)).is_err());
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("a*"), Just("ab*"), Just("*")];
    let rest = proptest::collection::vec((prop_oneof![4 => Just("/"), 1 => Just("@")], segment.clone()), 0..3);
    (segment, rest).prop_map(|(first, rest)| rest.iter().fold(first.to_owned(), |out, (sep, part)| out + sep + part))
}

fn resource() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("a"), Just("b"), Just("ab"), Just("A"), Just("abc"), Just("")];
    let rest = proptest::collection::vec((prop_oneof![4 => Just("/"), 1 => Just("@")], segment.clone()), 0..4);
    (segment, rest).prop_map(|(first, rest)| rest.iter().fold(first.to_owned(), |out, (sep, part)| out + sep + part))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What is told of any resource is what the entries that name it say of themselves, looked at one by one: whichever of the
    /// narrowest is asked, the environment is the same.
    #[test]
    fn a_resource_belongs_to_one_environment(
        wanted in proptest::collection::vec((pattern(), prop_oneof![Just("staging"), Just("production")]), 1..9),
        asked in proptest::collection::vec(resource(), 1..12),
    ) {
        let mut world = World::new();
        for (name, environment) in &wanted {
            // Refused where it would not be clear.
            let _ = world.append(add("resource", "github", name, environment));
        }
        for resource in &asked {
            let naming: Vec<(Pattern, &str)> = world.state.registry.entries()
                .map(|e| (Pattern::parse(&e.selector.name).unwrap(), &*e.environment))
                .filter(|(pattern, _)| pattern.holds(resource))
                .collect();
            let narrowest: Vec<&str> = naming.iter()
                .filter(|(pattern, _)| !naming.iter().any(|(other, _)| pattern.covers(other) && !other.covers(pattern)))
                .map(|(_, environment)| *environment)
                .collect();
            let told = found(&world.state, "github", resource);
            match narrowest.first() {
                None => prop_assert_eq!(told, "unknown"),
                Some(first) => {
                    prop_assert!(narrowest.iter().all(|e| e == first), "{}: {:?}", resource, narrowest);
                    prop_assert_eq!(&told, first, "{}", resource);
                }
            }
        }
    }

    #[test]
    fn covering_and_overlapping_mean_what_they_say(a in pattern(), b in pattern(), asked in resource()) {
        let (a, b) = (Pattern::parse(&a).unwrap(), Pattern::parse(&b).unwrap());
        prop_assert!(a.covers(&a) && a.overlaps(&a));
        prop_assert_eq!(a.overlaps(&b), b.overlaps(&a));
        if a.covers(&b) && b.holds(&asked) {
            prop_assert!(a.holds(&asked));
        }
        if a.holds(&asked) && b.holds(&asked) {
            prop_assert!(a.overlaps(&b));
        }
    }
}
