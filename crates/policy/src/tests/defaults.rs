use super::support::{DEFAULT, DEFAULT_TEST, default_policies, load, vocabulary};
use crate::Pack;
use std::collections::BTreeSet;

#[test]
fn the_default_pack_loads_with_its_assertions_and_no_warning() {
    let pack = Pack::load(&[("default.cedar", DEFAULT)], Some(("default.test.toml", DEFAULT_TEST)), &vocabulary());
    let pack = pack.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(pack.warnings(), []);
}

#[test]
fn every_rule_of_the_default_pack_has_an_assertion_and_is_needed_by_one() {
    let asserted: BTreeSet<&str> =
        DEFAULT_TEST.lines().filter_map(|l| l.strip_prefix("rule = \"")?.strip_suffix('"')).collect();
    let pack = load(DEFAULT).unwrap_or_else(|e| panic!("{e}"));
    let rules: BTreeSet<&str> = pack.rule_ids().filter(|id| *id != "base").collect();
    assert_eq!(rules, asserted);
    // The control: without any one of the rules, the pack does not load.
    for rule in pack.rules.iter().filter(|rule| &*rule.id != "base") {
        let (at, len) = rule.policy.as_ref().loc().map(|loc| (loc.span.offset(), loc.span.len())).unwrap();
        let without = format!("{}{}", DEFAULT.get(..at).unwrap(), DEFAULT.get(at + len..).unwrap());
        let result =
            Pack::load(&[("default.cedar", &without)], Some(("default.test.toml", DEFAULT_TEST)), &vocabulary());
        assert!(result.is_err(), "nothing needs `{}`", rule.id);
    }
}

#[test]
fn the_default_pack_looks_at_no_counter() {
    let policies = default_policies();
    assert!(policies.rules.iter().all(|rule| !rule.counters));
}
