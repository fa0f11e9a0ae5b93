//! The whole state as bytes: deterministic CBOR, one encoding for one state, so that a hash stands for it.
//!
//! Grants are not in it: they are read from the signed links again, whose signatures are checked as in a replay. Whoever forges
//! such bytes can therefore not widen what a session may do.

mod parts;

use crate::codec::{BodyError, Field};
use crate::judge::Refusal;
use crate::registry::{Kind, Selector};
use crate::state::{LinkState, State};
use marque_chain::PublicKey;
use marque_journal::cbor::{CborError, Reader, Writer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What these bytes are: another number is another program's.
const VERSION: u64 = 1;
/// Items of the outermost array.
const FIELDS: u64 = 20;

/// Why bytes are not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not the one encoding of anything.
    #[error("the state is not encoded as it should be: {0}")]
    Encoding(#[from] BodyError),
    /// Written by another version of the program.
    #[error("version {0} of the state is not known")]
    Version(u64),
    /// A link in it does not verify.
    #[error(transparent)]
    Link(#[from] Refusal),
    /// Its parts do not fit each other.
    #[error("the state contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl From<CborError> for SnapshotError {
    fn from(error: CborError) -> Self {
        Self::Encoding(error.into())
    }
}

/// Something that stands for itself in a snapshot.
trait Part: Sized {
    fn put(&self, w: &mut Writer<'_>);
    fn take(r: &mut Reader<'_>) -> Result<Self, SnapshotError>;
}

/// A fixed number of items.
fn tuple(r: &mut Reader<'_>, len: u64) -> Result<(), SnapshotError> {
    if r.array()? == len { Ok(()) } else { Err(CborError::Unexpected.into()) }
}

/// A field that the codec of bodies knows.
fn field<T: Field>(r: &mut Reader<'_>) -> Result<T, SnapshotError> {
    Ok(T::take(r)?)
}

/// A value that may be missing.
fn maybe<T: Field>(r: &mut Reader<'_>) -> Result<Option<T>, SnapshotError> {
    match r.null() {
        Ok(()) => Ok(None),
        Err(_) => field(r).map(Some),
    }
}

/// A map, as an array of its entries in the order of the keys.
fn put_map<K, V>(w: &mut Writer<'_>, map: &BTreeMap<K, V>, mut put: impl FnMut(&mut Writer<'_>, &K, &V)) {
    w.array(map.len());
    for (key, value) in map {
        put(w, key, value);
    }
}

/// Reads it back. Nothing is allocated by the announced length: each entry costs bytes that must be there.
fn take_map<K: Ord + Clone, V>(
    r: &mut Reader<'_>,
    mut take: impl FnMut(&mut Reader<'_>) -> Result<(K, V), SnapshotError>,
) -> Result<BTreeMap<K, V>, SnapshotError> {
    let mut map = BTreeMap::new();
    for _ in 0..r.array()? {
        let (key, value) = take(r)?;
        if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(CborError::KeyOrder.into());
        }
        map.insert(key, value);
    }
    Ok(map)
}

impl State {
    /// The state's bytes. [`State::session_journal_bytes_max`] is not in them: it is a choice of whoever runs the program.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        let w = &mut writer;
        w.array(FIELDS as usize).uint(VERSION);
        self.instance.put(w);
        self.root_key.as_ref().map(|key| *key.as_bytes()).put(w);
        self.checkpoint_vkey.put(w);
        w.uint(self.epoch).uint(self.policy_seq).uint(self.next_seq).uint(self.time_ms);
        put_map(w, &self.sessions, |w, _, session| session.put(w));
        put_map(w, &self.links, |w, index, link| put_link(w, *index, link));
        self.next_link.put(w);
        put_map(w, &self.credentials, |w, _, credential| credential.put(w));
        put_map(w, &self.asks, |w, _, ask| ask.put(w));
        put_map(w, &self.open_uses, |w, seq, open| {
            w.uint(*seq);
            open.put(w);
        });
        put_map(w, &self.leases, |w, id, lease| {
            id.put(w);
            lease.put(w);
        });
        put_map(w, &self.applied, |w, (what, name), digest| {
            w.text(what).text(name).bytes(digest);
        });
        w.array(self.registry.entries().count());
        for entry in self.registry.entries() {
            entry.selector.kind.code().put(w);
            w.text(&entry.selector.service).text(&entry.selector.name).text(&entry.environment);
        }
        put_map(w, &self.humans, |w, id, seq| {
            id.put(w);
            w.uint(*seq);
        });
        put_map(w, &self.erased, |w, id, seq| {
            id.put(w);
            w.uint(*seq);
        });
        put_map(w, &self.used, |w, id, used| {
            id.put(w);
            used.put(w);
        });
        self.is_all_there();
        out
    }

    /// Asks the compiler: a field that was added and is not encoded would be lost by a start.
    fn is_all_there(&self) {
        let Self {
            session_journal_bytes_max: _,
            instance: _,
            root_key: _,
            checkpoint_vkey: _,
            epoch: _,
            policy_seq: _,
            next_seq: _,
            time_ms: _,
            sessions: _,
            links: _,
            next_link: _,
            by_jti: _,
            credentials: _,
            asks: _,
            open_uses: _,
            leases: _,
            applied: _,
            registry: _,
            humans: _,
            erased: _,
            used: _,
        } = self;
    }

    /// Reads what [`State::encode`] wrote.
    ///
    /// # Errors
    /// [`SnapshotError`] for anything else. It never panics, and takes time and memory in proportion to the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        tuple(r, FIELDS)?;
        match r.uint()? {
            VERSION => {}
            other => return Err(SnapshotError::Version(other)),
        }
        let mut state = Self::new();
        state.instance = maybe(r)?;
        state.root_key = root_key(maybe(r)?)?;
        state.checkpoint_vkey = maybe(r)?;
        (state.epoch, state.policy_seq) = (r.uint()?, r.uint()?);
        (state.next_seq, state.time_ms) = (r.uint()?, r.uint()?);
        state.sessions = take_map(r, |r| crate::session::Session::take(r).map(|s| (s.id, s)))?;
        let mut before = None;
        for _ in 0..r.array()? {
            state.take_link(r, &mut before)?;
        }
        state.next_link = field(r)?;
        if before.is_some_and(|last| last >= state.next_link) {
            return Err(SnapshotError::Contradiction("a link has a number that was not given yet"));
        }
        state.credentials = take_map(r, |r| crate::state::Credential::take(r).map(|c| (c.id, c)))?;
        state.asks = take_map(r, |r| crate::state::Ask::take(r).map(|a| (a.id, a)))?;
        state.open_uses = take_map(r, |r| Ok((r.uint()?, Part::take(r)?)))?;
        state.leases = take_map(r, |r| Ok((field(r)?, Part::take(r)?)))?;
        state.applied = take_map(r, |r| Ok(((field(r)?, field(r)?), field(r)?)))?;
        let entries = take_map(r, take_entry)?;
        state.registry = crate::registry::Registry::of(entries);
        state.humans = take_map(r, |r| Ok((field(r)?, r.uint()?)))?;
        state.erased = take_map(r, |r| Ok((field(r)?, r.uint()?)))?;
        state.used = take_map(r, |r| Ok((field(r)?, Part::take(r)?)))?;
        reader.end()?;
        Ok(state)
    }

    fn take_link(&mut self, r: &mut Reader<'_>, before: &mut Option<u32>) -> Result<(), SnapshotError> {
        tuple(r, 8)?;
        let (index, session, parent): (u32, _, Option<u32>) = (field(r)?, field(r)?, maybe(r)?);
        if before.is_some_and(|last| index <= last) {
            return Err(CborError::KeyOrder.into());
        }
        *before = Some(index);
        let text: String = field(r)?;
        let above = match parent.map(|parent| self.links.get(&parent).ok_or(SnapshotError::Contradiction("a link has no parent"))) {
            None => None,
            Some(found) => Some(found?.jti.clone()),
        };
        let hop = self.hop_at(above.as_deref(), &text, None)?;
        let (revoked, not_after_ms) = (r.bool()?, r.uint()?);
        let whole = parts::take_budget(r, &hop.limits)?;
        if r.array()? != hop.grants.len() as u64 {
            return Err(SnapshotError::Contradiction("a link has as many budgets as grants"));
        }
        let budgets = hop.grants.iter().map(|grant| parts::take_budget(r, grant.limits())).collect::<Result<_, _>>()?;
        let jti: Arc<str> = hop.jti.as_str().into();
        let under = hop.under.iter().map(|i| u32::try_from(*i).unwrap_or(u32::MAX)).collect();
        let link = LinkState {
            jti: jti.clone(),
            session,
            parent,
            text: text.into(),
            grants: hop.grants.into(),
            under,
            budgets,
            whole,
            revoked,
            not_after_ms,
        };
        self.links.insert(index, link);
        match self.by_jti.insert(jti, index) {
            None => Ok(()),
            Some(_) => Err(SnapshotError::Contradiction("two links have one name")),
        }
    }
}

fn put_link(w: &mut Writer<'_>, index: u32, link: &LinkState) {
    w.array(8);
    index.put(w);
    link.session.put(w);
    link.parent.put(w);
    w.text(&link.text).bool(link.revoked).uint(link.not_after_ms);
    parts::put_budget(w, &link.whole);
    w.array(link.budgets.len());
    for budget in &link.budgets {
        parts::put_budget(w, budget);
    }
}

fn root_key(bytes: Option<[u8; 32]>) -> Result<Option<PublicKey>, SnapshotError> {
    let read = |bytes| PublicKey::from_bytes(bytes).map_err(|_| SnapshotError::Contradiction("the root key is none"));
    bytes.map(read).transpose()
}

fn take_entry(r: &mut Reader<'_>) -> Result<(Selector, String), SnapshotError> {
    let kind = Kind::from_code(r.uint()?).ok_or(BodyError::Code)?;
    let (service, name, environment): (String, String, String) = (field(r)?, field(r)?, field(r)?);
    Ok((crate::judge::selector(kind.word(), &service, &name)?, environment))
}
