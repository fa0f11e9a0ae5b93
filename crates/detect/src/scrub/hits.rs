//! How often which secret was masked.

/// Names a secret to the caller; the scrubber attaches no meaning to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId(pub u32);

/// Hits by secret. Occurrences of one secret that overlap are one hit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits(Vec<(SecretId, u32)>);

impl Hits {
    /// Hits of one secret.
    #[must_use]
    pub fn of(&self, id: SecretId) -> u32 {
        self.iter()
            .find(|(known, _)| *known == id)
            .map_or(0, |(_, count)| count)
    }

    /// Hits of all secrets.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Whether nothing was masked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each secret that was hit, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (SecretId, u32)> + '_ {
        self.0.iter().copied()
    }

    /// Adds the hits of another part of the same answer.
    pub fn merge(&mut self, other: &Self) {
        for (id, count) in other.iter() {
            self.add(id, count);
        }
    }

    pub(super) fn add(&mut self, id: SecretId, count: u32) {
        if count == 0 {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == id) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => self.0.push((id, count)),
        }
    }
}

/// Counts occurrences in the order of their ends.
#[derive(Clone, Default)]
pub(super) struct Tally(Vec<Run>);

#[derive(Clone, Copy, Default)]
struct Run {
    covered_until: u64,
    count: u32,
}

impl Tally {
    pub(super) fn record(&mut self, occurrence: super::Occurrence) {
        if self.0.len() <= occurrence.secret {
            self.0.resize(occurrence.secret + 1, Run::default());
        }
        if let Some(run) = self.0.get_mut(occurrence.secret) {
            if occurrence.start >= run.covered_until {
                run.count = run.count.saturating_add(1);
            }
            run.covered_until = run.covered_until.max(occurrence.end);
        }
    }

    pub(super) fn hits(&self, ids: &[SecretId]) -> Hits {
        let mut hits = Hits::default();
        for (id, run) in ids.iter().zip(&self.0) {
            hits.add(*id, run.count);
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_of_parts_of_an_answer_add_up() {
        let (mut head, mut body) = (Hits::default(), Hits::default());
        assert!(head.is_empty());
        head.add(SecretId(1), 1);
        body.add(SecretId(1), 2);
        body.add(SecretId(9), u32::MAX);
        head.merge(&body);
        assert_eq!(
            (
                head.of(SecretId(1)),
                head.of(SecretId(9)),
                head.of(SecretId(2))
            ),
            (3, u32::MAX, 0)
        );
        assert_eq!(head.total(), u32::MAX);
    }
}
