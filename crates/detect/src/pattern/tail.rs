//! How far a finding goes on after its bounded match.

use super::Tail;
use crate::limits::FINDING_TAIL_MAX_BYTES;

/// The end of a finding whose match ends at `end`.
pub(super) fn tail_end(input: &[u8], end: usize, tail: &Tail, next: &mut NextText) -> usize {
    let reach = input.len().min(end.saturating_add(FINDING_TAIL_MAX_BYTES));
    match tail {
        Tail::None => end,
        Tail::Token => {
            let rest = input.get(end..reach).unwrap_or_default();
            end + rest
                .iter()
                .take_while(|b| b.is_ascii_alphanumeric() || b"-._=+/~".contains(b))
                .count()
        }
        Tail::Through(text) => {
            let found = next.from(input, end, text.as_bytes());
            found
                .map(|at| at + text.len())
                .filter(|through| *through <= reach)
                .unwrap_or(end)
        }
    }
}

/// Where a text comes next. Asked with growing offsets, it reads the input once however often it is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct NextText {
    found: Option<usize>,
    /// No occurrence begins before this, other than `found`.
    pub(super) searched: usize,
}

impl NextText {
    pub(super) fn from(&mut self, input: &[u8], from: usize, text: &[u8]) -> Option<usize> {
        if let Some(at) = self.found.filter(|at| *at >= from) {
            return Some(at);
        }
        let start = from.max(self.searched);
        let rest = input.get(start..).unwrap_or_default();
        self.found = rest
            .windows(text.len().max(1))
            .position(|window| window == text)
            .map(|at| start + at);
        self.searched = self.found.map_or(input.len(), |at| at + 1);
        self.found
    }
}
