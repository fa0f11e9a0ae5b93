//! The parts of a state, each with its one encoding.

use super::{Part, SnapshotError, field, maybe, tuple};
use crate::budget::{Budget, Charge, Spent};
use crate::codec::{BodyError, Field};
use crate::lease::Lease;
use crate::session::{EndReason, Facts, Phase, Session};
use crate::state::{Ask, AskPhase, Credential, OpenUse, Path, Used};
use marque_chain::Limits;
use marque_journal::cbor::{CborError, Reader, Writer};
use std::collections::{BTreeSet, VecDeque};

pub(super) fn put_budget(w: &mut Writer<'_>, budget: &Budget) {
    let Spent { uses, bytes, rows } = budget.spent();
    w.array(4).uint(uses).uint(bytes).uint(rows).array(budget.window_ms().len());
    for at_ms in budget.window_ms() {
        w.uint(*at_ms);
    }
}

pub(super) fn take_budget(r: &mut Reader<'_>, limits: &Limits) -> Result<Budget, SnapshotError> {
    tuple(r, 4)?;
    let spent = Spent { uses: r.uint()?, bytes: r.uint()?, rows: r.uint()? };
    let mut window_ms = VecDeque::new();
    for _ in 0..r.array()? {
        window_ms.push_back(r.uint()?);
    }
    Budget::resumed(*limits, spent, window_ms).ok_or(SnapshotError::Contradiction("a budget remembers uses that its rate does not"))
}

fn take_charge(r: &mut Reader<'_>) -> Result<Charge, SnapshotError> {
    Ok(Charge { bytes: r.uint()?, rows: r.uint()? })
}

/// Nothing for an active session, else what it is and why.
fn put_phase(w: &mut Writer<'_>, phase: Phase) {
    match phase {
        Phase::Active => w.array(1).uint(0),
        Phase::Ending(why) => w.array(2).uint(1).uint(why.code().into()),
        Phase::Ended(why) => w.array(2).uint(2).uint(why.code().into()),
    };
}

fn take_phase(r: &mut Reader<'_>) -> Result<Phase, SnapshotError> {
    let why = |r: &mut Reader<'_>| -> Result<EndReason, SnapshotError> { field(r) };
    match (r.array()?, r.uint()?) {
        (1, 0) => Ok(Phase::Active),
        (2, 1) => why(r).map(Phase::Ending),
        (2, 2) => why(r).map(Phase::Ended),
        _ => Err(BodyError::Code.into()),
    }
}

impl Part for Facts {
    fn put(&self, w: &mut Writer<'_>) {
        w.array(4).uint(self.uses).array(self.by_effect.len());
        for count in self.by_effect {
            w.uint(count);
        }
        w.bool(self.read_untrusted).uint(self.epoch);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        tuple(r, 4)?;
        let mut facts = Self { uses: r.uint()?, ..Self::default() };
        tuple(r, facts.by_effect.len() as u64)?;
        for count in &mut facts.by_effect {
            *count = r.uint()?;
        }
        (facts.read_untrusted, facts.epoch) = (r.bool()?, r.uint()?);
        Ok(facts)
    }
}

impl Part for Session {
    fn put(&self, w: &mut Writer<'_>) {
        w.array(15);
        self.id.put(w);
        self.human.put(w);
        w.text(&self.agent).text(&self.environment);
        self.mode.put(w);
        self.grade.put(w);
        w.uint(self.opened_seq).uint(self.opened_ms).uint(self.not_after_ms);
        put_phase(w, self.phase);
        Part::put(&self.facts, w);
        self.links.put(w);
        self.asks_open.put(w);
        self.uses_open.put(w);
        w.uint(self.journal_bytes);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        tuple(r, 15)?;
        Ok(Self {
            id: field(r)?,
            human: field(r)?,
            agent: field(r)?,
            environment: field(r)?,
            mode: field(r)?,
            grade: field(r)?,
            opened_seq: r.uint()?,
            opened_ms: r.uint()?,
            not_after_ms: r.uint()?,
            phase: take_phase(r)?,
            facts: Part::take(r)?,
            links: field(r)?,
            asks_open: field(r)?,
            uses_open: field(r)?,
            journal_bytes: r.uint()?,
        })
    }
}

impl Part for Credential {
    fn put(&self, w: &mut Writer<'_>) {
        w.array(11);
        self.id.put(w);
        self.version.put(w);
        w.text(&self.name).text(&self.service).text(&self.environment);
        self.origins.put(w);
        w.text(&self.placement).bytes(&self.row).text(&self.source);
        self.pins.put(w);
        self.resources.put(w);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        tuple(r, 11)?;
        Ok(Self {
            id: field(r)?,
            version: field(r)?,
            name: field(r)?,
            service: field(r)?,
            environment: field(r)?,
            origins: field(r)?,
            placement: field(r)?,
            row: field(r)?,
            source: field(r)?,
            pins: field(r)?,
            resources: field(r)?,
        })
    }
}

impl Part for Ask {
    fn put(&self, w: &mut Writer<'_>) {
        w.array(8);
        self.id.put(w);
        self.session.put(w);
        w.text(&self.leaf).bytes(&self.digest).text(&self.group).text(&self.rule).uint(self.expires_ms);
        match self.phase {
            AskPhase::Open => w.array(1).uint(0),
            AskPhase::Denied => w.array(1).uint(1),
            AskPhase::Approved { uses_left, expires_ms } => w.array(3).uint(2).uint(uses_left.into()).uint(expires_ms),
        };
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        tuple(r, 8)?;
        let (id, session, leaf): (_, _, String) = (field(r)?, field(r)?, field(r)?);
        let (digest, group, rule) = (field(r)?, field(r)?, field(r)?);
        let expires_ms = r.uint()?;
        let phase = match (r.array()?, r.uint()?) {
            (1, 0) => AskPhase::Open,
            (1, 1) => AskPhase::Denied,
            (3, 2) => AskPhase::Approved { uses_left: field(r)?, expires_ms: r.uint()? },
            _ => return Err(BodyError::Code.into()),
        };
        Ok(Self { id, session, leaf: leaf.into(), digest, group, rule, expires_ms, phase })
    }
}

impl Part for OpenUse {
    fn put(&self, w: &mut Writer<'_>) {
        w.array(5);
        self.session.put(w);
        w.array(self.path.iter().count());
        for (link, grant) in self.path.iter() {
            w.array(2).uint(link.into()).uint(grant.into());
        }
        w.uint(self.reserved.bytes).uint(self.reserved.rows);
        self.credential.put(w);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        tuple(r, 5)?;
        let session = field(r)?;
        let mut path = Path::EMPTY;
        for _ in 0..r.array()? {
            tuple(r, 2)?;
            if !path.push(field(r)?, field(r)?) {
                return Err(SnapshotError::Contradiction("a use has a longer path than a chain has links"));
            }
        }
        Ok(Self { session, path, reserved: take_charge(r)?, credential: maybe(r)? })
    }
}

impl Part for Lease {
    fn put(&self, w: &mut Writer<'_>) {
        w.array(3);
        self.session.put(w);
        self.state.put(w);
        w.uint(self.not_after_ms);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        tuple(r, 3)?;
        Ok(Self { session: field(r)?, state: field(r)?, not_after_ms: r.uint()? })
    }
}

impl Part for Used {
    fn put(&self, w: &mut Writer<'_>) {
        w.array(2).array(self.credentials.len());
        for id in &self.credentials {
            id.put(w);
        }
        self.standing.put(w);
    }

    fn take(r: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        tuple(r, 2)?;
        let mut credentials = BTreeSet::new();
        for _ in 0..r.array()? {
            let id = field(r)?;
            if credentials.last().is_some_and(|last| *last >= id) {
                return Err(CborError::KeyOrder.into());
            }
            credentials.insert(id);
        }
        Ok(Self { credentials, standing: field(r)? })
    }
}
