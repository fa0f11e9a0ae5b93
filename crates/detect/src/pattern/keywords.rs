//! Where the keywords stand that a rule of a common shape needs nearby.

use std::ops::Range;

use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::{Rule, RuleError};
use crate::limits::{KEYWORD_REACH_BYTES, RULE_MATCH_MAX_BYTES, RULES_MEMORY_MAX_BYTES};

/// Finds keywords of all keyed rules at once.
#[derive(Debug, Clone)]
pub(super) struct KeywordSearch {
    regex: Regex,
    /// Per pattern: positions in [`Rules::keyed`](super::Rules) of the rules that have this keyword or one that begins it.
    owners: Vec<Vec<usize>>,
}

impl KeywordSearch {
    pub(super) fn new(keyed: &[&Rule]) -> Result<Option<Self>, RuleError> {
        let owned = |owner: usize, rule: &Rule| -> Vec<(String, usize)> {
            rule.keywords
                .iter()
                .map(|word| (word.to_ascii_lowercase(), owner))
                .collect()
        };
        let all: Vec<(String, usize)> = keyed
            .iter()
            .enumerate()
            .flat_map(|(owner, rule)| owned(owner, rule))
            .collect();
        // A search reports one word per place: the longest, which implies those that begin it.
        let mut words: Vec<&str> = all.iter().map(|(word, _)| word.as_str()).collect();
        words.sort_unstable_by_key(|word| (std::cmp::Reverse(word.len()), *word));
        words.dedup();
        if words.is_empty() {
            return Ok(None);
        }
        let owners_of = |word: &&str| {
            all.iter()
                .filter(|(part, _)| word.starts_with(part.as_str()))
                .map(|(_, owner)| *owner)
                .collect()
        };
        let owners = words.iter().map(owners_of).collect();
        let patterns: Vec<String> = words
            .iter()
            .map(|word| format!("(?i:{})", regex_syntax::escape(word)))
            .collect();
        let regex = Regex::builder()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(Regex::config().nfa_size_limit(Some(RULES_MEMORY_MAX_BYTES)))
            .build_many(&patterns)
            .map_err(|_| RuleError::TooBig {
                max: RULES_MEMORY_MAX_BYTES,
            })?;
        Ok(Some(Self { regex, owners }))
    }

    /// Per keyed rule: where its keywords begin, in order.
    pub(super) fn places(&self, input: &[u8], keyed: usize) -> Vec<Vec<usize>> {
        let mut places = vec![Vec::new(); keyed];
        let mut from = 0;
        while let Some(found) = self.regex.search(&Input::new(input).range(from..)) {
            for owner in self
                .owners
                .get(found.pattern().as_usize())
                .into_iter()
                .flatten()
            {
                if let Some(list) = places.get_mut(*owner) {
                    list.push(found.start());
                }
            }
            from = found.start() + 1;
        }
        places
    }
}

/// The parts of the input where a match may be near a keyword, apart from each other.
pub(super) fn reaches(keyword_places: &[usize], len: usize) -> Vec<Range<usize>> {
    let mut reaches: Vec<Range<usize>> = Vec::new();
    for place in keyword_places {
        let start = place.saturating_sub(RULE_MATCH_MAX_BYTES);
        let end = place
            .saturating_add(KEYWORD_REACH_BYTES + RULE_MATCH_MAX_BYTES)
            .min(len);
        match reaches.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => reaches.push(start..end),
        }
    }
    reaches
}

/// Whether a keyword begins within reach before the match, or in it.
pub(super) fn near(keyword_places: &[usize], range: &Range<usize>) -> bool {
    let earliest = range.start.saturating_sub(KEYWORD_REACH_BYTES);
    let first = keyword_places.partition_point(|place| *place < earliest);
    keyword_places
        .get(first)
        .is_some_and(|place| *place < range.end)
}
