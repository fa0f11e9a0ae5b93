//! The fold as the journal's committer sees it: judge, encode with backlinks, apply.

use crate::snapshot;
use marque_journal::record::{Backlink, Digest, KeyKind, Mode as RecordMode, Record, RecordHead};
use marque_journal::segment::Opening;
use marque_model::event::{Draft, JournalSnapshot};
use marque_model::{Event, Mode, Refusal, State};
use marque_store::index::KeyOf;
use marque_store::sealed::OpeningKey;
use marque_store::{Announcement, FrameSink, Frozen, Machine, ReplayError, Urgency};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

/// Free text of a record, to be encrypted under its subject's key once the record has its place. Erasable, and never an
/// input of the fold.
#[derive(Clone)]
pub struct OpenText {
    /// Which field, as in `marque_model::event::field`.
    pub field: u64,
    /// Salt of its commitment.
    pub salt: [u8; 32],
    /// Nonce of the encryption.
    pub nonce: [u8; 12],
    /// The text.
    pub text: Box<str>,
    /// Whose key.
    pub key: Arc<OpeningKey>,
}

/// What callers hand to the journal.
#[derive(Clone)]
pub struct Entry {
    /// The event and its preconditions.
    pub draft: Draft,
    /// Openings of the draft's commitments.
    pub openings: Vec<OpenText>,
}

impl From<Draft> for Entry {
    fn from(draft: Draft) -> Self {
        Self { draft, openings: Vec::new() }
    }
}

/// A backlink's key: kind, and id with its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(u8, [u8; 16], u8);

impl Key {
    pub(crate) fn new(kind: u8, id: &[u8]) -> Self {
        let mut out = [0u8; 16];
        let len = id.len().min(16);
        if let (Some(to), Some(from)) = (out.get_mut(..len), id.get(..len)) {
            to.copy_from_slice(from);
        }
        Self(kind, out, len as u8)
    }

    pub(crate) const fn kind(&self) -> u8 {
        self.0
    }

    pub(crate) fn id(&self) -> &[u8] {
        self.1.get(..usize::from(self.2)).unwrap_or_default()
    }

    /// The key as a search names it.
    pub(crate) fn of(key: &KeyOf) -> Self {
        Self::new(key.kind, &key.id)
    }
}

/// The newest record of each key, for whoever wants to know that none was left out: number and place.
pub(crate) type Heads = Arc<RwLock<HashMap<Key, (u64, u64)>>>;

/// The key under which a link's records are linked.
pub(crate) fn link_key(jti: &str) -> KeyOf {
    KeyOf { kind: KeyKind::Link as u8, id: short(b"marque/link/v1", &[jti.as_bytes()]).to_vec() }
}

/// State and the heads of the backlinks.
pub struct Fold {
    state: Arc<RwLock<State>>,
    heads: Heads,
    body: Vec<u8>,
}

impl Fold {
    /// An empty fold that publishes into `state`.
    #[must_use]
    pub fn new(state: Arc<RwLock<State>>) -> Self {
        Self { state, heads: Heads::default(), body: Vec::new() }
    }

    /// The newest record of each key, as it moves.
    pub(crate) fn heads(&self) -> Heads {
        self.heads.clone()
    }
}

/// The keys that a record touches, at most five, ascending by kind and id.
struct Keys {
    list: [([u8; 16], usize, KeyKind); 5],
    len: usize,
}

impl Keys {
    fn of(draft: &Draft, state: &State) -> Self {
        let mut keys = Self { list: [([0; 16], 0, KeyKind::Human); 5], len: 0 };
        let human = match &draft.event {
            Event::SessionOpen(event) => Some(event.human),
            Event::AskAnswer(event) => Some(event.by),
            Event::Erased(event) => Some(event.subject),
            _ => draft.session.and_then(|id| state.sessions.get(&id)).map(|s| s.human),
        };
        if let Some(human) = human {
            keys.push(KeyKind::Human, human.as_bytes());
        }
        if let Some(session) = draft.session {
            keys.push(KeyKind::Session, session.as_bytes());
        }
        let jti: Option<&str> = match &draft.event {
            Event::SessionOpen(event) => Some(&event.jti),
            Event::LinkRegister(event) => Some(&event.jti),
            Event::LinkRevoke(event) => Some(&event.jti),
            _ => draft.leaf.as_deref(),
        };
        if let Some(jti) = jti {
            keys.push(KeyKind::Link, &short(b"marque/link/v1", &[jti.as_bytes()]));
        }
        let credential = match &draft.event {
            Event::CredentialAdd(event) => Some(event.id),
            Event::CredentialRemove(event) => Some(event.id),
            Event::UseIntent(event) => event.credential,
            _ => None,
        };
        if let Some(id) = credential {
            keys.push(KeyKind::Credential, id.as_bytes());
        }
        if let Event::UseIntent(event) = &draft.event
            && let Some(resource) = &event.resource
        {
            let parts = [event.service.as_bytes(), event.origin.as_bytes(), resource.as_bytes()];
            keys.push(KeyKind::Resource, &short(b"marque/resource/v1", &parts));
        }
        keys
    }

    fn push(&mut self, kind: KeyKind, id: &[u8]) {
        if let Some(slot) = self.list.get_mut(self.len) {
            let len = id.len().min(16);
            if let (Some(to), Some(from)) = (slot.0.get_mut(..len), id.get(..len)) {
                to.copy_from_slice(from);
            }
            slot.1 = len;
            slot.2 = kind;
            self.len += 1;
        }
    }
}

/// The first 16 bytes of a hash over length-prefixed parts.
fn short(tag: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in std::iter::once(&tag).chain(parts) {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut out = [0u8; 16];
    if let Some(head) = hash.finish().as_ref().get(..16) {
        out.copy_from_slice(head);
    }
    out
}

/// The ciphertexts of a record's text: bound to its place, so made only when the place is known.
fn seal(seq: u64, openings: &[OpenText]) -> Result<Vec<Vec<u8>>, Refusal> {
    let one = |o: &OpenText| {
        let plain = [o.salt.as_slice(), o.text.as_bytes()].concat();
        o.key.seal(seq, o.field, o.nonce, &plain).map_err(|_| Refusal::Quota("DRAFT_OPENING_BYTES"))
    };
    openings.iter().map(one).collect()
}

/// Second build only: a refusal whose guard was taken away is none.
fn unguarded(draft: &Draft, refusal: Refusal) -> Result<(), Refusal> {
    let guard = match (&draft.event, &refusal) {
        (Event::UseIntent(_), Refusal::LimitReached { .. }) => "I4",
        (Event::UseIntent(_), Refusal::SessionNotLive | Refusal::LeafNotLive) => "I6",
        (Event::UseIntent(_), Refusal::ApprovalSpent) => "I9",
        _ => return Err(refusal),
    };
    if marque_switch::guard_off(guard) { Ok(()) } else { Err(refusal) }
}

const fn record_mode(mode: Mode) -> RecordMode {
    match mode {
        Mode::Enforce => RecordMode::Enforce,
        Mode::Observe => RecordMode::Observe,
        Mode::Adopt => RecordMode::Adopt,
    }
}

const fn model_mode(mode: RecordMode) -> Mode {
    match mode {
        RecordMode::Enforce => Mode::Enforce,
        RecordMode::Observe => Mode::Observe,
        RecordMode::Adopt => Mode::Adopt,
    }
}

impl Machine for Fold {
    type Draft = Entry;
    type Refusal = Refusal;

    fn commit(&mut self, seq: u64, now_ms: u64, entry: &mut Entry, out: &mut FrameSink<'_>) -> Result<(), Refusal> {
        let draft = &entry.draft;
        let mut state = self.state.write();
        state.judge(draft, now_ms).or_else(|refusal| unguarded(draft, refusal))?;
        let keys = Keys::of(draft, &state);
        let mut heads = self.heads.write();
        let mut links = [Backlink { key_kind: KeyKind::Human, key_id: &[], n: 0, prev_seq: None }; 5];
        for (link, (id, len, kind)) in links.iter_mut().zip(keys.list.iter().take(keys.len)) {
            let head = heads.get(&Key(*kind as u8, *id, *len as u8));
            *link = Backlink {
                key_kind: *kind,
                key_id: id.get(..*len).unwrap_or(&[]),
                n: head.map_or(0, |(n, _)| n + 1),
                prev_seq: head.map(|(_, seq)| *seq),
            };
        }
        self.body.clear();
        draft.event.encode_body(&mut self.body);
        let commitments: &[(u64, Digest)] = &draft.commitments;
        let head = RecordHead {
            seq,
            time_ms: now_ms,
            kind: draft.event.kind(),
            session: draft.session.map(|id| *id.as_bytes()),
            leaf: draft.leaf.as_deref().unwrap_or(""),
            backlinks: links.get(..keys.len).unwrap_or(&[]),
            cause: draft.cause,
            reason: draft.reason,
            exec: draft.exec,
            effect: draft.effect_digest,
            lease: draft.lease.map(|id| *id.as_bytes()),
            taint: draft.taint,
            commitments,
            mode: draft.mode.map(record_mode),
        };
        let sealed = seal(seq, &entry.openings)?;
        let openings: Vec<Opening<'_>> = entry
            .openings
            .iter()
            .zip(&sealed)
            .map(|(o, ciphertext)| Opening { seq, field: o.field, subject: o.key.subject(), nonce: o.nonce, ciphertext })
            .collect();
        out.append(&head, &self.body, &openings).map_err(|_| Refusal::Quota("MAX_RECORD_BYTES"))?;
        for (id, len, kind) in keys.list.iter().take(keys.len) {
            let head = heads.entry(Key(*kind as u8, *id, *len as u8)).or_insert((u64::MAX, 0));
            *head = (head.0.wrapping_add(1), seq);
        }
        drop(heads);
        // Judged a moment ago under the same lock; what `apply` could still find wrong, the judge has excluded.
        state.apply(draft, seq, now_ms, self.body.len() + 200)
    }

    fn urgency(entry: &Entry) -> Urgency {
        match (entry.draft.is_essential(), entry.draft.is_report()) {
            (_, true) => Urgency::Report,
            (true, _) => Urgency::Vital,
            (false, _) => Urgency::Ordinary,
        }
    }

    fn replay(&mut self, record: &Record<'_>) -> Result<(), ReplayError> {
        let fail = |what: String| ReplayError(format!("record {}: {what}", record.seq()));
        let event = Event::decode(record.kind(), record.body()).map_err(|e| fail(e.to_string()))?;
        let draft = Draft {
            session: record.head().session.map(marque_model::SessionId::from_bytes),
            leaf: (!record.head().leaf.is_empty()).then(|| record.head().leaf.into()),
            cause: record.head().cause,
            mode: record.head().mode.map(model_mode),
            ..Draft::new(event)
        };
        for link in record.head().backlinks {
            self.heads.write().insert(Key::new(link.key_kind as u8, link.key_id), (link.n, record.seq()));
        }
        let mut state = self.state.write();
        let bytes = record.body().len() + 200;
        state.apply(&draft, record.seq(), record.head().time_ms, bytes).map_err(|e| fail(e.to_string()))
    }

    fn freeze(&self) -> Option<Frozen> {
        // Copied under the lock, encoded by whoever writes it: the committer waits for the copy alone.
        let (state, heads) = (self.state.read().clone(), self.heads.read().clone());
        Some(Box::new(move || snapshot::encode(&state, &heads)))
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ReplayError> {
        let (mut state, heads) = match state {
            Some(bytes) => snapshot::decode(bytes).map_err(ReplayError)?,
            None => (State::new(), HashMap::new()),
        };
        let mut present = self.state.write();
        state.session_journal_bytes_max = present.session_journal_bytes_max;
        *present = state;
        *self.heads.write() = heads;
        Ok(())
    }

    fn announce(announcement: Announcement) -> Option<Entry> {
        let Announcement { seq, digest } = announcement;
        Some(Draft::new(JournalSnapshot { seq, digest }).into())
    }

    fn announced(record: &Record<'_>) -> Option<Announcement> {
        if record.kind() != JournalSnapshot::KIND {
            return None;
        }
        match Event::decode(record.kind(), record.body()) {
            Ok(Event::JournalSnapshot(JournalSnapshot { seq, digest })) => Some(Announcement { seq, digest }),
            _ => None,
        }
    }

    fn durable(&mut self, _next_seq: u64) {}
}
