//! Every target is fed a share of each run of the tests: about half a second each.

use marque_fuzz::engine::{Budget, run};
use marque_fuzz::{TARGETS, corpus};
use std::collections::BTreeSet;
use std::time::Duration;

/// Of processor time, so that a busy machine changes the number of inputs and not the verdict.
const SHARE: Budget =
    Budget { at_least: 64, inputs: 20_000, time: Duration::from_millis(400), one_input: Duration::from_secs(2) };

#[test]
fn no_parser_of_outside_bytes_panics_breaks_its_law_or_takes_long() {
    let mut found = Vec::new();
    let mut inputs = 0;
    for target in TARGETS {
        match run(target, 1, SHARE) {
            Ok(fed) => inputs += fed.inputs,
            Err(finding) => found.push(finding.to_string()),
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(inputs > 10_000, "{inputs}");
}

#[test]
fn every_target_has_one_name_and_seeds_of_its_own() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|t| t.name).collect();
    assert_eq!(names.len(), TARGETS.len());
    for target in TARGETS {
        let seeds = corpus::seeds(target.name);
        assert!(seeds.iter().any(|s| !s.is_empty()), "{} has no seed", target.name);
        assert_eq!(seeds, corpus::seeds(target.name), "{}: the seeds are the same each time", target.name);
    }
}

#[test]
fn the_readme_lists_every_target() {
    let readme = include_str!("../README.md");
    let rows: Vec<&str> = readme.lines().filter_map(|l| l.strip_prefix("| `")?.split('`').next()).collect();
    let names: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
    if rows != names {
        panic!("the table of fuzz/README.md is not the list:\n{rows:?}\n{names:?}");
    }
}
