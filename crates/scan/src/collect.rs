//! Puts what was found together: one value is one finding, wherever it stands. The value itself goes no further than this.

use crate::judge::{Judge, Raw};
use crate::limits::{FINDINGS_MAX, NOTES_MAX, PLACES_MAX, TEXT_CHARS_MAX};
use crate::report::{Finding, Holder, Looked, Report};
use crate::Error;
use aws_lc_rs::{hmac, rand};
use std::collections::HashMap;

/// What stands for a value: a hash under a key that is made for one scan and forgotten with it.
type Tag = [u8; 32];

/// Where something was found.
pub(crate) struct Place<'a> {
    /// As it is shown.
    pub(crate) shown: &'a str,
    /// When the file was written, in seconds since 1970.
    pub(crate) written_s: Option<u64>,
}

pub(crate) struct Collector<'a> {
    judge: &'a Judge,
    key: hmac::Key,
    now_s: u64,
    by_value: HashMap<Tag, usize>,
    report: Report,
    full: bool,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(judge: &'a Judge, now_s: u64) -> Result<Self, Error> {
        let mut key = [0u8; 32];
        rand::fill(&mut key).map_err(|_| Error::Random)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Ok(Self { judge, key, now_s, by_value: HashMap::new(), report: Report::default(), full: false })
    }

    pub(crate) fn looked(&mut self) -> &mut Looked {
        &mut self.report.looked
    }

    pub(crate) fn note(&mut self, text: String) {
        let text = self.shown(&text, &[], NOTE_CHARS_MAX);
        match self.report.notes.len() {
            n if n < NOTES_MAX && !self.report.notes.contains(&text) => self.report.notes.push(text),
            n if n == NOTES_MAX => self.report.notes.push("more could not be read; this list is cut".into()),
            _ => {}
        }
    }

    /// Takes findings of one place.
    pub(crate) fn add(&mut self, place: &Place<'_>, found: Vec<Raw>) {
        for raw in found {
            self.one(place, raw);
        }
    }

    fn one(&mut self, place: &Place<'_>, raw: Raw) {
        let tags = self.tags(&raw);
        let age_days = place.written_s.map(|at| self.now_s.saturating_sub(at) / 86_400);
        let known = tags.iter().find_map(|tag| self.by_value.get(tag)).copied();
        let at = match known {
            Some(at) => {
                self.again(at, place, &raw, age_days);
                at
            }
            None if self.report.findings.len() >= FINDINGS_MAX => return self.say_full(),
            None => {
                let finding = self.fresh(place, &raw, age_days);
                self.report.findings.push(finding);
                self.report.findings.len() - 1
            }
        };
        for tag in tags {
            self.by_value.entry(tag).or_insert(at);
        }
    }

    fn fresh(&self, place: &Place<'_>, raw: &Raw, age_days: Option<u64>) -> Finding {
        Finding {
            name: self.shown(&raw.name, &raw.values, TEXT_CHARS_MAX),
            kind: raw.kind.clone(),
            place: self.shown(place.shown, &raw.values, NOTE_CHARS_MAX),
            line: raw.line,
            detail: raw.detail.as_deref().map(|d| self.shown(d, &raw.values, TEXT_CHARS_MAX)),
            age_days,
            shared: Vec::new(),
            held_by: Vec::new(),
            production: raw.production || crate::judge::says_production(place.shown),
            exact: raw.exact,
        }
    }

    fn again(&mut self, at: usize, place: &Place<'_>, raw: &Raw, age_days: Option<u64>) {
        let detail = raw.detail.as_deref().map(|d| self.shown(d, &raw.values, TEXT_CHARS_MAX));
        let shown = self.shown(place.shown, &raw.values, NOTE_CHARS_MAX);
        let Some(finding) = self.report.findings.get_mut(at) else { return };
        if finding.place != shown && !finding.shared.contains(&shown) && finding.shared.len() < PLACES_MAX {
            finding.shared.push(shown);
        }
        finding.age_days = finding.age_days.max(age_days);
        finding.production |= raw.production;
        if raw.exact && !finding.exact {
            finding.exact = true;
            finding.kind.clone_from(&raw.kind);
        }
        finding.detail = finding.detail.take().or(detail);
    }

    /// Takes what one process holds: of a value that was found elsewhere too, the process is its holder.
    pub(crate) fn held(&mut self, holder: &Holder, found: Vec<Raw>) {
        for raw in found {
            let tags = self.tags(&raw);
            let known = tags.iter().find_map(|tag| self.by_value.get(tag)).copied();
            let at = match known {
                Some(at) => at,
                None if self.report.findings.len() >= FINDINGS_MAX => return self.say_full(),
                None => {
                    let place = format!("process {}", self.shown(&holder.name, &raw.values, TEXT_CHARS_MAX));
                    let finding = self.fresh(&Place { shown: &place, written_s: None }, &raw, None);
                    self.report.findings.push(finding);
                    self.report.findings.len() - 1
                }
            };
            for tag in tags {
                self.by_value.entry(tag).or_insert(at);
            }
            let holder = Holder { name: self.shown(&holder.name, &raw.values, TEXT_CHARS_MAX), pid: holder.pid };
            if let Some(finding) = self.report.findings.get_mut(at)
                && !finding.held_by.contains(&holder)
                && finding.held_by.len() < PLACES_MAX
            {
                finding.held_by.push(holder);
            }
        }
    }

    pub(crate) fn finish(mut self) -> Report {
        // What matters most first: production, then what is certain, then what lies in many places. Stable, so the order of
        // looking decides the rest.
        self.report.findings.sort_by_key(|f| {
            (std::cmp::Reverse(f.production), std::cmp::Reverse(f.exact), std::cmp::Reverse(f.shared.len() + f.held_by.len()))
        });
        self.report
    }

    fn say_full(&mut self) {
        if !self.full {
            self.full = true;
            self.note(format!("more than {FINDINGS_MAX} credentials: the rest is not listed"));
        }
    }

    fn tags(&self, raw: &Raw) -> Vec<Tag> {
        let tag = |value: &marque_detect::Secret| {
            let mut out = [0u8; 32];
            for (to, from) in out.iter_mut().zip(hmac::sign(&self.key, value.expose()).as_ref()) {
                *to = *from;
            }
            out
        };
        raw.values.iter().map(tag).collect()
    }

    /// Text of a file for people: cut, without control characters, and never with something that is a secret in it.
    fn shown(&self, text: &str, values: &[marque_detect::Secret], chars_max: usize) -> String {
        let holds = |value: &marque_detect::Secret| {
            std::str::from_utf8(value.expose()).is_ok_and(|v| v.len() >= HIDE_BYTES_MIN && text.contains(v))
        };
        if values.iter().any(holds) || self.judge.has_secret(text) {
            return "(hidden)".into();
        }
        let odd = |c: char| c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let mut out: String = text.chars().take(chars_max).map(|c| if odd(c) { '\u{fffd}' } else { c }).collect();
        if text.chars().nth(chars_max).is_some() {
            out.push('…');
        }
        out
    }
}

/// A shorter value stands in other words by chance.
const HIDE_BYTES_MIN: usize = 4;
/// Notes hold a path.
const NOTE_CHARS_MAX: usize = 400;
