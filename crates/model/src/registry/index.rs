//! The registry as it is asked: made once per change, asked once per meaning of a use, without an allocation.

use super::host::{HostPattern, Network};
use super::pattern::{Pattern, first_piece};
use super::{Entry, Kind, patterns_of};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What the registry says of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// It belongs to that entry's environment.
    Registered(&'a Arc<Entry>),
    /// Its service is registered resource by resource, and no entry names it.
    Unknown,
    /// Nothing is registered of its service.
    Silent,
}

/// Patterns of one service, the narrower first.
type Patterns = Vec<(Pattern, Arc<Entry>)>;

#[derive(Debug, Clone, Default)]
struct OneService {
    /// Those whose first segment is a word, by that word.
    by_word: Vec<(Box<str>, Patterns)>,
    /// The others.
    open: Patterns,
}

/// The compiled registry.
#[derive(Debug, Clone, Default)]
pub struct Index {
    names: BTreeMap<Box<str>, Arc<Entry>>,
    below: BTreeMap<Box<str>, Arc<Entry>>,
    /// The narrower first.
    networks: Vec<(Network, Arc<Entry>)>,
    services: BTreeMap<Box<str>, OneService>,
}

impl Index {
    pub(super) fn new<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> Self {
        let mut this = Self::default();
        let mut by_service: BTreeMap<Box<str>, Patterns> = BTreeMap::new();
        for entry in entries {
            match entry.selector.kind {
                Kind::Host => this.add_host(entry),
                Kind::Account | Kind::Resource => {
                    let list = by_service.entry(entry.selector.service.as_str().into()).or_default();
                    list.extend(patterns_of(&entry.selector).into_iter().map(|pattern| (pattern, entry.clone())));
                }
                // No profile speaks of databases yet.
                Kind::Database => {}
            }
        }
        this.networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.length));
        for (service, mut list) in by_service {
            list.sort_by(|(a, _), (b, _)| a.narrower_first(b));
            let one = this.services.entry(service).or_default();
            for (pattern, entry) in list {
                match pattern.first_word().map(Box::<str>::from) {
                    None => one.open.push((pattern, entry)),
                    Some(word) => match one.by_word.binary_search_by(|(known, _)| known.cmp(&word)) {
                        Ok(at) => {
                            if let Some((_, list)) = one.by_word.get_mut(at) {
                                list.push((pattern, entry));
                            }
                        }
                        Err(at) => one.by_word.insert(at, (word, vec![(pattern, entry)])),
                    },
                }
            }
        }
        this
    }

    fn add_host(&mut self, entry: &Arc<Entry>) {
        match HostPattern::parse(&entry.selector.name) {
            Ok(HostPattern::Name(name)) => {
                self.names.insert(name, entry.clone());
            }
            Ok(HostPattern::Below(zone)) => {
                self.below.insert(zone, entry.clone());
            }
            Ok(HostPattern::Network(network)) => self.networks.push((network, entry.clone())),
            // A selector is read when it is made.
            Err(_) => {}
        }
    }

    /// Where that resource of that service belongs. Of several entries that name it, the narrowest.
    #[must_use]
    pub fn resource(&self, service: &str, resource: &str) -> Found<'_> {
        let Some(one) = self.services.get(service) else { return Found::Silent };
        let first = first_piece(resource);
        let words = one.by_word.binary_search_by(|(word, _)| against(word, first)).ok().and_then(|at| one.by_word.get(at));
        let all = words.into_iter().flat_map(|(_, list)| list).chain(&one.open);
        let mut fitting = all.filter(|(pattern, _)| pattern.holds(resource));
        fitting.next().map_or(Found::Unknown, |(_, entry)| Found::Registered(entry))
    }

    /// The entry of that host, a name in its canonical form or an address.
    #[must_use]
    pub fn host(&self, host: &str) -> Option<&Arc<Entry>> {
        if let Ok(ip) = host.parse() {
            return self.address(ip);
        }
        let zones = || host.match_indices('.').filter_map(|(at, _)| host.get(at + 1..));
        self.names.get(host).or_else(|| zones().find_map(|zone| self.below.get(zone)))
    }

    /// The entry of that address.
    #[must_use]
    pub fn address(&self, ip: IpAddr) -> Option<&Arc<Entry>> {
        self.networks.iter().find(|(network, _)| network.holds(ip)).map(|(_, entry)| entry)
    }
}

/// A word in lower case against a segment in any.
fn against(word: &str, segment: &str) -> Ordering {
    word.bytes().cmp(segment.bytes().map(|b| b.to_ascii_lowercase()))
}
