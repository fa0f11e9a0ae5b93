//! Why a text is no profile.

/// Why a text is no profile. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Longer than the bound.
    #[error("the profile is longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// Not TOML.
    #[error("line {line}: {why}")]
    Syntax {
        /// Where.
        line: usize,
        /// What the TOML reader says.
        why: String,
    },
    /// A key that no profile has.
    #[error("line {line}: unknown key `{key}`{}", did_you_mean(.meant.as_deref()))]
    UnknownKey {
        /// Where.
        line: usize,
        /// The key.
        key: String,
        /// The known key that is nearest.
        meant: Option<String>,
    },
    /// A key that every profile has.
    #[error("line {line}: `{key}` is missing")]
    Missing {
        /// Of the table that lacks it.
        line: usize,
        /// The key.
        key: &'static str,
    },
    /// A value that cannot be used.
    #[error("line {line}: {why}")]
    Value {
        /// Where.
        line: usize,
        /// One sentence.
        why: String,
    },
}

impl ProfileError {
    pub(super) fn value(line: usize, why: impl Into<String>) -> Self {
        Self::Value { line, why: why.into() }
    }
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |word| format!(", did you mean `{word}`?"))
}

/// The known word nearest to `word`, if it is near at all. `word` is cut: the distance is quadratic.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const WORD_CHARS_MAX: usize = 32;
    let word: Vec<char> = word.chars().take(WORD_CHARS_MAX).collect();
    let best = known.into_iter().map(|k| (distance(&word, k), k)).min_by_key(|(d, _)| *d)?;
    (best.0 <= 1 + word.len() / 4).then(|| best.1.to_owned())
}

/// Levenshtein distance.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            let cost = usize::from(x != y);
            left = (diagonal + cost).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_offered_and_a_far_one_is_not() {
        assert_eq!(nearest("efect", ["effect", "match"]), Some("effect".into()));
        assert_eq!(nearest("matches", ["effect", "match"]), Some("match".into()));
        assert_eq!(nearest("zebra", ["effect", "match"]), None);
    }
}
