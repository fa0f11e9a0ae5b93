//! C2SP tlog-witness `add-checkpoint`: the request and what a witness answers, as a pure decision.

use crate::checkpoint::{Checkpoint, parse_decimal};
use crate::limits::{MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES, MAX_PROOF_HASHES, MAX_TREE_SIZE};
use crate::merkle::{Hash, empty_root, verify_consistency};
use crate::note::{Note, SignatureLine, SignatureType, VerifierKey};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

/// Longest request: the proof lines and a note.
pub const MAX_REQUEST_BYTES: usize = MAX_NOTE_BYTES + (MAX_PROOF_HASHES + 2) * 45;

/// A parsed request body; nothing in it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint the log believes the witness has.
    pub old_size: u64,
    /// Consistency proof from there.
    pub proof: Vec<Hash>,
    /// The new checkpoint, signed.
    pub note: Note,
}

impl AddCheckpoint {
    /// Parses a body: `old N`, at most 63 proof lines, an empty line, a signed checkpoint. `None` means 400.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_REQUEST_BYTES {
            return None;
        }
        let (head, note) = std::str::from_utf8(body).ok()?.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old_size = parse_decimal(lines.next()?.strip_prefix("old ")?)?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF_HASHES {
                return None;
            }
            proof.push(parse_hash(line)?);
        }
        Some(Self { old_size, proof, note: Note::parse(note.as_bytes()).ok()? })
    }

    /// The request body.
    #[must_use]
    pub fn to_body(&self) -> String {
        let proof: String = self.proof.iter().map(|hash| format!("{}\n", BASE64.encode(hash))).collect();
        format!("old {}\n{proof}\n{}", self.old_size, self.note)
    }
}

/// What a witness answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// 200 after making this checkpoint durable as the latest; check and write are one atomic step of the caller.
    Cosign(Checkpoint),
    /// 400.
    BadRequest,
    /// 403: no trusted key of the log signed.
    Forbidden,
    /// 404: the witness does not know the log.
    UnknownLog,
    /// 409: the witness has another size, or another root at this size. The body is this size and a newline.
    Conflict {
        /// Size the witness last cosigned.
        size: u64,
    },
    /// 422: the proof does not verify.
    Unprocessable,
}

impl Decision {
    /// HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Cosign(_) => 200,
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Unprocessable => 422,
        }
    }
}

/// Decides on a request. `log_keys` are all log keys the witness trusts (a log's name is its origin), `latest` gives the last
/// checkpoint it cosigned for an origin.
pub fn decide(request: &AddCheckpoint, log_keys: &[VerifierKey], latest: impl FnOnce(&str) -> Option<Checkpoint>) -> Decision {
    let Ok(next) = Checkpoint::parse(request.note.text()) else { return Decision::BadRequest };
    let keys: Vec<VerifierKey> =
        log_keys.iter().filter(|key| key.name() == next.origin && key.kind() == SignatureType::Ed25519).cloned().collect();
    if keys.is_empty() {
        return Decision::UnknownLog;
    }
    if request.note.verified_by(&keys).is_err() {
        return Decision::Forbidden;
    }
    if request.old_size > next.size {
        return Decision::BadRequest;
    }
    let (size, root) = latest(&next.origin).map_or_else(|| (0, empty_root()), |last| (last.size, last.root));
    if request.old_size != size || (next.size == size && next.root != root) {
        return Decision::Conflict { size };
    }
    match verify_consistency(size, next.size, &request.proof, &root, &next.root) {
        Ok(()) => Decision::Cosign(next),
        Err(_) => Decision::Unprocessable,
    }
}

/// What a log learns from a witness's answer. Nothing in it is trusted: a cosignature is checked with the witness's key, and a
/// size that it claims is shown by a checkpoint or is nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: signature lines, at least one.
    Cosigned(Vec<SignatureLine>),
    /// 409: the witness has this size, or another root at it.
    Conflict {
        /// Size that it says it last cosigned.
        size: u64,
    },
    /// Another refusal.
    Refused {
        /// Its HTTP status.
        status: u16,
    },
}

impl Answer {
    /// Parses an answer: signature lines for 200, a size and a newline for 409. `None` for what no witness sends.
    #[must_use]
    pub fn parse(status: u16, body: &[u8]) -> Option<Self> {
        if body.len() > MAX_NOTE_BYTES {
            return None;
        }
        match status {
            200 => {
                let lines = std::str::from_utf8(body).ok()?.strip_suffix('\n')?.split('\n');
                let lines = lines.take(MAX_NOTE_SIGNATURES + 1).map(SignatureLine::parse).collect::<Result<Vec<_>, _>>().ok()?;
                (lines.len() <= MAX_NOTE_SIGNATURES).then_some(Self::Cosigned(lines))
            }
            409 => {
                let size = parse_decimal(std::str::from_utf8(body).ok()?.strip_suffix('\n')?)?;
                (size <= MAX_TREE_SIZE).then_some(Self::Conflict { size })
            }
            400..=599 => Some(Self::Refused { status }),
            _ => None,
        }
    }

    /// The body of such an answer.
    #[must_use]
    pub fn to_body(&self) -> String {
        match self {
            Self::Cosigned(lines) => lines.iter().map(SignatureLine::to_line).collect(),
            Self::Conflict { size } => format!("{size}\n"),
            Self::Refused { .. } => String::new(),
        }
    }
}

pub(crate) fn parse_hash(line: &str) -> Option<Hash> {
    Hash::try_from(BASE64.decode(line).ok()?).ok()
}
